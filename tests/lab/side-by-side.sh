# Sourced by the `run` of mesh/ and of vm/: runs the scenarios of that folder, each a process, some at a time, as
# most of the time they wait.

took() { # SINCE NAME
    printf '%6d ms  %s\n' $(((${EPOCHREALTIME/./} - $1) / 1000)) "$2"
}

# Those in whose name PATTERN is found. What one prints is shown if it fails, and else the lines that MATCH. What one
# says of not being run is also written to the file $KOZO_NOT_RUN, for the summary of `make test`.
side_by_side() { # FOLDER PATTERN AT_ONCE MATCH
    local results=$lab_run/results file name failed
    mkdir "$results"
    for file in "$1"/*.sh; do
        name=$(basename "$file" .sh)
        [[ $name != lib && $name == *"$2"* ]] || continue
        while [ "$(jobs -rp | wc -l)" -ge "$3" ]; do
            wait -n
        done
        one_scenario "$file" "$results/$name" "$4" &
    done
    wait
    for failed in "$results"/*.failed; do
        [ -e "$failed" ] || continue
        printf '\n== %s\n' "$(basename "$failed" .failed)"
        cat "${failed%.failed}"
    done
    [ -n "$(compgen -G "$results/*.failed")" ] || return 0
    # Once more what matters: often only the end of an output is kept.
    for failed in "$results"/*.failed; do
        printf '\n== %s has failed\n' "$(basename "$failed" .failed)"
        sed -n '/^== journal of /q; p' "${failed%.failed}" | tail -n 20
    done
    return 1
}

one_scenario() { # FILE RESULT MATCH
    local began=${EPOCHREALTIME/./} name
    name=$(basename "$(dirname "$(realpath "$1")")")/$(basename "$1" .sh)
    # No other scenario's machine inherits what this one mounts.
    if unshare --mount "$(dirname "${BASH_SOURCE[0]}")/scenario" "$1" </dev/null > "$2" 2>&1; then
        took "$began" "$name"
        sed -nE "$3s/^/           /p" "$2"
        sed -n "s|^not run: |$name: |p" "$2" >> "${KOZO_NOT_RUN:-/dev/null}"
    else
        took "$began" "$name: FAILED"
        touch "$2.failed"
    fi
}
