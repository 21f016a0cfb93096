#!/bin/sh
# A Transport in shell: TCP, by socat(1) and jq(1). In /usr/lib/kozo/transports it is the type `socat`, see kozo-transport(7).
[ "$1" != --describe ] || exec echo '{"format": 1, "kind": "transport", "description": "TCP, by socat.",
    "config": {"host": {"description": "Where others reach it."}, "port": {"description": "Its port.", "default": 6021}}}'
read -r start <&3
socat "TCP-LISTEN:$(printf %s "$start" | jq .params.options.port),reuseaddr,fork" "UNIX-CONNECT:$KOZO_ACCEPT" &
exec jq --unbuffered -c 'select(.id) | {jsonrpc: "2.0", id} + (if .method == "connect"
    then {result: {proxyCommand: ["socat", "-", "TCP:\(.params.options.host):\(.params.options.port)"]}}
    elif .method == "listen" then {result: {}}
    else {error: {code: -32601, message: "there is no such method"}} end)' <&3 >&3
