# The tests that come with the source package, as autopkgtest runs them: on a machine with the packages.

for suite in bookworm trixie; do
    mesh_machine "$suite" "$suite" "$(mesh_layer "$suite")"
    boot "$suite"
    for test in $(sed -n 's/^Tests: //p' "$lab_top/debian/tests/control"); do
        put "$suite" "/root/$test" < "$lab_top/debian/tests/$test"
        at "$suite" chmod +x "/root/$test"
        at "$suite" "/root/$test"
    done
done
