"""Connections of Transports that are no plain sockets, or come too late."""

from __future__ import annotations

import hashlib
import pathlib
import socket
import threading

import pytest
from examples import HERE, bare, described, example, exchange, pair, received
from kit import until
from playing import PlayedNode, Refused

# Sockets that are none.

LIKE = '''
    class Like:
        """Adds a number to each byte, and is strict."""

        def __init__(self, connection):
            self.connection, self.is_closed, self.timeout = connection, False, None
            self.table = bytes((byte ^ 7) for byte in range(256))

        def send(self, data):
            assert type(data) is bytes and data and not self.is_closed
            return self.connection.send(data[:10000].translate(self.table))

        def recv(self, size):
            assert not self.is_closed and size > 0
            data = self.connection.recv(min(size, 10000))
            if not data:
                raise socket.error(104, "Connection reset by peer")
            return data.translate(self.table)

        def settimeout(self, timeout):
            assert isinstance(timeout, float)
            self.connection.settimeout(timeout)

        def close(self):
            self.is_closed = True
            self.connection.close()
            tell("closed")

    def acceptUnauthenticatedConnection(self):
        return self.Like(self.listening.accept()[0])

    def getUnauthenticatedSocket(self, otherTransport, addressIndex, address):
        return self.Like(socket.create_connection(address))
'''


@pytest.mark.parametrize("ends_first", ["clock", "scribe"])
def test_what_is_like_a_socket(tmp_path: pathlib.Path, ends_first: str) -> None:
    system, file = example(tmp_path, LIKE)
    with PlayedNode(system, "clock", file) as clock, PlayedNode(system, "scribe", file) as scribe:
        out, come = pair(clock, scribe)
        assert out.family == socket.AF_UNIX
        exchange(out, come)
        first, second = (out, come) if ends_first == "clock" else (come, out)
        first.sendall(b"the last words")
        first.close()
        assert received(second, 100) == b"the last words"
        second.close()
        clock.wait_for_error("closed")
        scribe.wait_for_error("closed")
        assert clock.errors == scribe.errors == ["closed"]


def fill(connection: socket.socket) -> int:
    """Send until nothing more is taken for a while, and give how much that was."""
    connection.settimeout(0.5)
    sent = 0
    while True:
        try:
            sent += connection.send(bytes(65536))
        except TimeoutError:
            return sent


def test_who_does_not_read_holds_nothing_up(tmp_path: pathlib.Path) -> None:
    system, file = example(tmp_path, LIKE)
    with PlayedNode(system, "clock", file) as clock, PlayedNode(system, "scribe", file) as scribe:
        out, come = pair(clock, scribe)
        sent = fill(out)
        # It waits until there is room again, and loses nothing.
        out.settimeout(60)
        waiting = threading.Thread(target=out.sendall, args=[b"x"])
        waiting.start()
        assert hashlib.sha256(received(come, sent + 1)).digest() == hashlib.sha256(bytes(sent) + b"x").digest()
        waiting.join()
        # One whose other side takes nothing is closed all the same.
        fill(out)
        out.close()
        clock.wait_for_error("closed")


def test_a_connection_that_fails_is_shown_and_ends(tmp_path: pathlib.Path) -> None:
    system, file = example(tmp_path, LIKE.replace("return self.connection.send(data[:10000]", "return None and (data"))
    with PlayedNode(system, "clock", file) as clock, PlayedNode(system, "scribe", file) as scribe:
        out, come = pair(clock, scribe)
        out.sendall(b"x")
        assert out.recv(1) == b""
        clock.wait_for_error("<3>KozoError: `send` returned None: it must return how many bytes it wrote, at least 1")
        assert come.recv(1) == b""


def test_many_connections_fit_into_the_memory_of_a_program(tmp_path: pathlib.Path) -> None:
    more = (
        LIKE
        + """
    def init(self):
        import resource
        # What a Node allows.
        resource.setrlimit(resource.RLIMIT_DATA, (512 * 1024 * 1024,) * 2)
"""
    )
    system, file = example(tmp_path, more)
    with PlayedNode(system, "clock", file) as clock, PlayedNode(system, "scribe", file) as scribe:
        scribe.ask("listen")
        (where,), _ = clock.ask("addresses", **clock.of("scribe"))
        ends = [(clock.connect("scribe", address=where, index=0)[1], scribe.take().connection) for _ in range(80)]
        for out, come in ends:
            with out, come:
                out.sendall(b"x")
                assert come.recv(1) == b"x"


def test_a_connection_that_gets_no_threads_ends_alone(tmp_path: pathlib.Path) -> None:
    more = (
        LIKE
        + """
    def getUnauthenticatedSocket(self, otherTransport, addressIndex, address):
        start = threading.Thread.start

        def refuse(thread):
            if thread.name == "kozo-outward":
                threading.Thread.start = start
                raise RuntimeError("can't start new thread")
            start(thread)

        if address == "refused":
            threading.Thread.start = refuse
        return self.Like(socket.create_connection(("127.0.0.1", otherTransport["port"])))
"""
    )
    system, file = example(tmp_path, more)
    with PlayedNode(system, "clock", file) as clock, PlayedNode(system, "scribe", file) as scribe:
        scribe.ask("listen")
        _, out = clock.connect("scribe", address="refused", index=0)
        with out, scribe.take().connection:
            out.settimeout(60)
            assert out.recv(1) == b""
        clock.wait_for_error("RuntimeError: can't start new thread")
        clock.wait_for_error("closed")
        _, out = clock.connect("scribe", address="x", index=0)
        out.settimeout(60)
        exchange(out, scribe.take().connection)
        # One answer to each request.
        numbers = [line["id"] for line in clock.said if "id" in line]
        assert len(numbers) == len(set(numbers))


def test_what_comes_too_late_is_closed(tmp_path: pathlib.Path) -> None:
    more = (
        LIKE
        + """
    is_let_go = threading.Event()

    def canConnect(self, otherTransport):
        self.is_let_go.set()
        return True

    def getUnauthenticatedSocket(self, otherTransport, addressIndex, address):
        if addressIndex == 1:
            tell("waits")
            self.is_let_go.wait()
        return self.Like(socket.create_connection(("127.0.0.1", otherTransport["port"])))
"""
    )
    system, file = example(tmp_path, more)
    with PlayedNode(system, "clock", file) as clock, PlayedNode(system, "scribe", file) as scribe:
        scribe.ask("listen")
        late = clock.begin("connect", **clock.of("scribe", address="x", index=1))
        clock.wait_for_error("waits")
        clock.notify("cancel", id=late)
        _, out = clock.connect("scribe", address="x", index=0)
        out.settimeout(60)
        clock.ask("canConnect", **clock.of("scribe"))
        clock.wait_for_error("closed")
        exchange(out, scribe.take().connection)
        assert late not in [line.get("id") for line in clock.said]


def test_tls_is_more_than_its_socket() -> None:
    import ssl

    from kozo.pumping import _is_plain

    one, other = socket.socketpair()
    with one, other:
        assert _is_plain(one)
        wrapped = ssl.create_default_context().wrap_socket(one, server_hostname="clock", do_handshake_on_connect=False)
        with wrapped:
            assert not _is_plain(wrapped)


# Channels.

CHANNEL = """
class Plain(Channel):
    def __init__(self, fromNode, toNode, connection):
        Channel.__init__(self, fromNode, toNode)
        self.connection = connection

    def send(self, bytes):
        try:
            return self.connection.send(bytes)
        except OSError:
            return None

    def receive(self, bytes, timeout):
        self.connection.settimeout(timeout)
        try:
            return self.connection.recv(bytes) or None
        except OSError:
            return None

class Example(Transport):
    def bind(self):
        Transport.bind(self)
        self.listening = socket.create_server(("127.0.0.1", self["port"]))

    def peer(self):
        return kozoSystem().getNodeByName("scribe" if self.getNode().getName() == "clock" else "clock")

    def accept(self):
        return Plain(self.peer(), self.getNode(), self.listening.accept()[0])

    def connect(self, otherTransport):
        if otherTransport["port"] == 1:
            return Plain(self.getNode(), self.getNode(), None)
        return Plain(self.getNode(), otherTransport.getNode(), socket.create_connection(("127.0.0.1", otherTransport["port"])))

transportInfo["class"] = Example
"""


def test_a_channel_without_close(tmp_path: pathlib.Path) -> None:
    system, file = example(tmp_path)
    file.write_text(file.read_text() + CHANNEL)
    assert described(file)["authenticates"] is True
    with PlayedNode(system, "clock", file) as clock, PlayedNode(system, "scribe", file) as scribe:
        scribe.ask("listen")
        result, out = clock.connect("scribe", address=None, index=0)
        assert result == {"address": "air", "peer": "scribe"}
        accepted = scribe.take()
        assert accepted.params == {"address": "air", "peer": "clock"}
        out.settimeout(60)
        # Longer than one wait: what has nothing to say is not at its end.
        out.settimeout(1.2)
        with pytest.raises(TimeoutError):
            out.recv(1)
        out.settimeout(60)
        exchange(out, accepted.connection)
        out.close()
        # What it has is let go of.
        assert accepted.connection.recv(1) == b""
        system.nodes["scribe"]["transports"]["air"]["options"] = {"port": 1}
        with pytest.raises(Refused, match="a Channel is between this Node and another, not from clock"):
            clock.connect("scribe", address=None, index=0)


def test_one_that_sends_without_end_is_closed_when_the_node_is_gone(tmp_path: pathlib.Path) -> None:
    system, file = bare(tmp_path), HERE / "bare.py"
    with PlayedNode(system, "clock", file) as clock, PlayedNode(system, "scribe", file) as scribe:
        scribe.ask("listen")
        threads = pathlib.Path(f"/proc/{clock.process.pid}/task")
        _, out = clock.connect("scribe", address=None, index=0)
        come = scribe.take().connection
        # The other side reads nothing.
        fill(out)
        assert len(list(threads.iterdir())) > 2
        out.close()
        until("its threads have gone", lambda: len(list(threads.iterdir())) == 1)
        come.close()
