"""Kōzō, through its package for Python: programs that attach to two Nodes which are linked over TCP.

With --standard it uses nothing but the standard library, else it speaks MessagePack by msgspec.
"""

import functools
import os

import parts

chosen = parts.options("standard")
if chosen.standard:
    # It would load msgspec for much JSON, too.
    os.environ["KOZO_PYTHON_JSON"] = "standard"

import kozo  # noqa: E402


class Kozo(parts.Peer):
    def __init__(self):
        receives = chosen.role in ("recv", "echo", "watch")
        encoding = "json" if chosen.standard else "msgpack"
        node = kozo.attach("a" if receives else "b", name=f"{chosen.role}-{os.getpid()}", encoding=encoding)
        if chosen.listens_on:
            self.messages = node.receive("event", chosen.listens_on)
        self.send = functools.partial(node.send, "event", chosen.publishes)

    def receive(self):
        return next(self.messages).data

    def drain(self, take):
        for message in self.messages:
            take(message.data)


parts.play(chosen, Kozo())
