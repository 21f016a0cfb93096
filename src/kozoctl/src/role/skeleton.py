#!/usr/bin/env python3
"""The Role NAME: answers the Order `NAME`.

It speaks the protocol of kozo-role(7): one JSON object a line, from the Node on standard input, and to the Node on
standard output. What it prints to standard error goes to the log.
"""

import json
import sys

DESCRIPTION = {
    "format": "1.0",
    "author": "",
    "version": "1.0",
    "description": "Answers the Order NAME.",
    "config": {},
    "interest": [{"kind": "order", "type": "NAME"}],
}


def tell(method, **params):
    """Says something to the Node."""
    print(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}), flush=True)


def main():
    for line in sys.stdin:
        told = json.loads(line)
        match told.get("method"):
            case "start":
                tell("interest", patterns=DESCRIPTION["interest"])
                tell("ready")
            case "message":
                message = told["params"]
                tell("send", kind="reply", type="NAME", data={"to": message["data"]})
            case "stop":
                break


if sys.argv[1:] == ["--describe"]:
    print(json.dumps(DESCRIPTION))
else:
    main()
