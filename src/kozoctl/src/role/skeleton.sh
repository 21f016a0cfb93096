#!/bin/sh
# The Role NAME: answers the Order `NAME`. It speaks the protocol of kozo-role(7): one JSON object a line, from the Node
# on standard input, and to the Node on standard output. What it prints to standard error goes to the log.

# What it is, and what it takes.
if [ "$1" = --describe ]; then
    cat <<'DESCRIPTION'
{
    "format": "1.0",
    "author": "",
    "version": "1.0",
    "description": "Answers the Order NAME.",
    "config": {},
    "interest": [{"kind": "order", "type": "NAME"}]
}
DESCRIPTION
    exit
fi

# tell METHOD [PARAMS]: a line for the Node.
tell() {
    printf '{"jsonrpc": "2.0", "method": "%s", "params": %s}\n' "$1" "${2:-{\}}"
}

while IFS= read -r line; do
    case $line in
        *'"method":"start"'*)
            tell interest '{"patterns": [{"kind": "order", "type": "NAME"}]}'
            tell ready
            ;;
        *'"method":"message"'*)
            echo 'NAME: done' >&2
            tell send '{"kind": "reply", "type": "NAME", "data": "done"}'
            ;;
        *'"method":"stop"'*)
            exit
            ;;
    esac
done
