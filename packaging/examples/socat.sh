#!/bin/sh
# A Transport in shell: TCP, by socat(1) and jq(1). As the file socat in
# /usr/lib/kozo/transports it is the type socat, see kozo-transport(7).
[ "$1" != --describe ] || exec echo '{"format": 1, "kind": "transport",
    "description": "TCP, by socat.", "config": {
    "host": {"description": "Where others reach it."},
    "port": {"description": "Its port.", "default": 6021}}}'
read -r start <&3
port=$(printf %s "$start" | jq .params.options.port)
# It ends with its listener, and the Node starts both again.
{ socat "TCP-LISTEN:$port,reuseaddr,fork" "UNIX-CONNECT:$KOZO_ACCEPT"
  kill $$; } &
exec jq --unbuffered -c 'select(.id) | {jsonrpc: "2.0", id} +
    (if .method == "connect" then .params.options as {$host, $port} |
    {result: {proxyCommand: ["socat", "-", "TCP:\($host):\($port)"]}}
    elif .method == "listen" then {result: {}}
    else {error: {code: -32601, message: "there is no such method"}}
    end)' <&3 >&3
