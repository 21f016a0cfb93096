#!/usr/bin/env python3
"""Says what a transcript has the program say, and writes down what the Node says, one line each."""

import json
import pathlib
import socket
import sys

here = pathlib.Path(__file__).parent
if "--describe" in sys.argv:
    options = {"band": {"kind": "integer", "default": 2}}
    print(json.dumps({"format": 1, "kind": "transport", "config": options}))
    sys.exit()

node = socket.socket(fileno=3)
heard = node.makefile("r", encoding="utf-8")
kept = []
with (here / "heard").open("w", encoding="utf-8", buffering=1) as log:
    for line in (here / "transcript").read_text(encoding="utf-8").splitlines():
        speaker, said = line[:2], line[2:]
        if speaker == "< ":
            log.write(heard.readline())
        elif said.startswith("[fd] "):
            ours, theirs = socket.socketpair()
            kept.append(ours)
            socket.send_fds(node, [said.removeprefix("[fd] ").encode() + b"\n"], [theirs.fileno()])
        else:
            node.sendall(said.encode() + b"\n")
