#!/usr/bin/env python3
"""A Transport over TCP that hands over descriptors. What it does besides, the tests say by files: it connects only while
the file `gate` of the Peer's options is there (if that has one), and cuts all its streams when a file `cut` appears beside that."""

import json
import os
import select
import socket
import sys

if "--describe" in sys.argv:
    options = {"host": {}, "port": {"default": 7021}, "gate": {"default": None}}
    name = os.path.basename(__file__)
    priority = "good" if name == "quick" else "bad"
    print(json.dumps({"format": 1, "kind": "transport", "priority": priority, "config": options}))
    sys.exit()

node = socket.socket(fileno=3)
waiting = b""


def heard():
    """The next line of the Node, for which this waits."""
    global waiting
    while b"\n" not in waiting:
        more = node.recv(65536)
        if not more:
            sys.exit()
        waiting += more
    line, waiting = waiting.split(b"\n", 1)
    return json.loads(line)


options = heard()["params"]["options"]
listener = socket.create_server((options["host"], options["port"]))
streams = []


def say(what, *descriptors):
    socket.send_fds(node, [json.dumps({"jsonrpc": "2.0", **what}).encode() + b"\n"], descriptors)


def hand_over(stream, what):
    say(what, stream.fileno())
    streams.append(stream)


def answer(request):
    if request["method"] == "stop":
        sys.exit()
    if "id" not in request:
        return
    params, answered = request["params"], {"id": request["id"]}
    if request["method"] == "listen":
        say({**answered, "result": {"address": f"relay {options['port']}"}})
    elif request["method"] == "connect":
        to = params["options"]
        try:
            if to.get("gate") and not os.path.exists(to["gate"]):
                raise OSError("the gate is closed")
            hand_over(socket.create_connection((to["host"], to["port"])), {**answered, "result": {}})
        except OSError as problem:
            say({**answered, "error": {"code": 1, "message": str(problem)}})
    else:
        say({**answered, "error": {"code": -32601, "message": "no such method"}})


while True:
    ready, _, _ = select.select([node, listener], [], [], 0.05)
    gate = options.get("gate")
    cut = gate and os.path.join(os.path.dirname(gate), "cut")
    if cut and os.path.exists(cut):
        for stream in streams:
            stream.shutdown(socket.SHUT_RDWR)
        streams.clear()
    if listener in ready:
        stream, (host, port) = listener.accept()
        hand_over(stream, {"method": "accepted", "params": {"address": f"{host}:{port}"}})
    if node in ready:
        answer(heard())
    while b"\n" in waiting:
        answer(heard())
