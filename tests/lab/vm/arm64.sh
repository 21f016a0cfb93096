# Debian for arm64 on an emulated board: apt installs Kōzō there, it runs with its whole sandbox after a boot, and is
# linked with an amd64 container.

has_crossed arm64
install_guest arm64 "$crossed/apt"
. ../nodes.sh
. ../service.sh

machine() { # NAME: one is the board
    case $1 in
        one) mesh_make one arm64 ;;
        *) mesh_make "$1" "$lab_suite" ;;
    esac
}

prepare
[ "$(at one uname -m)" = aarch64 ]
echo "measured: boot: $(boot_time one)"
scenario_start_returns_when_the_node_is_ready
echo "measured: memory of a Node: $(at one awk '/^VmRSS/ { print $2, $3 }' "/proc/$(of clock ExecMainPID)/status")"
scenario_the_sandbox_is_tight_and_the_node_works_in_it

clock_at=one scribe_at=two
install_nodes two scribe
boot two
system | put one /etc/kozo/kozo.yml
echo "10.77.0.${lab_number[two]} two" | at one tee -a /etc/hosts
at one systemctl daemon-reload
fresh clock
at two systemctl start kozo@scribe
at one kozoctl wait peer=scribe:up --timeout 60s
eventually 10 at two grep -q 'Cuckoo!' /var/log/kozo/scribe.log
at one kozoctl ping scribe
