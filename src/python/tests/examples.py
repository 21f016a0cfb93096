"""Transports that tests run, towards Nodes that they play, and what they do with connections."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
from typing import Any

from playing import PlayedNode, PlayedSystem

HERE = pathlib.Path(__file__).parent / "transports"


def port() -> int:
    """Give a port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
        return number


def received(connection: socket.socket, size: int) -> bytes:
    """Read so many bytes."""
    parts = bytearray()
    while len(parts) < size and (data := connection.recv(65536)):
        parts += data
    return bytes(parts)


def described(file: pathlib.Path) -> Any:
    command: list[str | pathlib.Path] = [sys.executable, "-m", "kozo", file, "--describe"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def exchange(one: socket.socket, other: socket.socket) -> None:
    """Have each side send a megabyte to the other at once, and compare what arrives."""
    data = [os.urandom(1024 * 1024) for _ in range(2)]
    ends = (one, other)
    senders = [threading.Thread(target=end.sendall, args=[mine]) for end, mine in zip(ends, data, strict=True)]
    for sender in senders:
        sender.start()
    got = [b"", b""]

    def read(number: int) -> None:
        got[number] = received(ends[number], 1024 * 1024)

    readers = [threading.Thread(target=read, args=[number]) for number in range(2)]
    for thread in readers:
        thread.start()
    for thread in [*senders, *readers]:
        thread.join()
    assert got == data[::-1]


def seed_tcp(folder: pathlib.Path) -> PlayedSystem:
    options = {"address": "127.0.0.1", "port": port()}
    return PlayedSystem(folder, "seed_tcp", clock=options, scribe={**options, "port": port()})


def bare(folder: pathlib.Path) -> PlayedSystem:
    options = {"address": "127.0.0.1", "port": port()}
    return PlayedSystem(folder, "bare", clock=options, scribe={**options, "port": port()})


BASE = """
import socket, sys, threading, time
from kozo import *
from kozo import AuthenticatedTransport, Transport, Channel, KozoError, TRANSPORT_NAME, TRANSPORTNODE_NAME, kozoConfig
from kozo import DisconnectedError, kozoSystem

def tell(*parts):
    print(*parts, file=sys.stderr)

class Example(AuthenticatedTransport):
    def bind(self):
        AuthenticatedTransport.bind(self)
        self.listening = socket.create_server(("127.0.0.1", self["port"]))

    def acceptUnauthenticatedConnection(self):
        return self.listening.accept()[0]

    def getUnauthenticatedConnectAddresses(self, otherTransport):
        return [("127.0.0.1", otherTransport["port"])]

    def getUnauthenticatedSocket(self, otherTransport, addressIndex, address):
        return socket.create_connection(address)
{more}

transportInfo = {{"format": "1.0", "class": Example, "config": {{"port": {{"default": 9001}}, {options}}}}}
"""


def example(folder: pathlib.Path, more: str = "", options: str = "") -> tuple[PlayedSystem, pathlib.Path]:
    """Give a System with two Nodes, and a file with a Transport that has more methods."""
    file = folder / "example.py"
    file.write_text(BASE.format(more=more, options=options))
    return PlayedSystem(folder, "example", clock={"port": port()}, scribe={"port": port()}), file


def pair(clock: PlayedNode, scribe: PlayedNode) -> tuple[socket.socket, socket.socket]:
    """Connect one to the other, and give both ends."""
    scribe.ask("listen")
    (where,), _ = clock.ask("addresses", **clock.of("scribe"))
    _, out = clock.connect("scribe", address=where, index=0)
    out.settimeout(60)
    return out, scribe.take().connection
