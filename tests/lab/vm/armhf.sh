# The programs for armhf, which qemu-user executes: the Nodes of a testnet find each other.

has_crossed armhf
root=$lab_run/root
cp -a "$("$vm/build" armhf)/root" "$root"
for package in "$crossed"/packages/*_armhf.deb; do
    dpkg-deb --extract "$package" "$root"
done
mkdir -p "$root/proc"
mount --rbind /proc "$root/proc"

"$vm/foreign" armhf chroot "$root" timeout --preserve-status --signal=INT 60 /usr/bin/kozo testnet > "$lab_run/testnet" 2>&1 &
eventually 4 grep -q 'Cuckoo!' "$lab_run/testnet"
"$vm/foreign" armhf chroot "$root" kozoctl --node injector wait peer=clock:up peer=scribe:up --timeout 20s
wait $!
umount --recursive "$root/proc"
