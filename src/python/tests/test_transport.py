"""Transports to the text of 2014, towards a Node that the test plays."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from examples import BASE, HERE, bare, described, example, exchange, pair, seed_tcp
from kit import until
from playing import PlayedNode, Refused

if TYPE_CHECKING:
    import pathlib

# The examples.


def test_one_to_the_text_of_2014(tmp_path: pathlib.Path) -> None:
    system, file = seed_tcp(tmp_path), HERE / "seed_tcp.py"
    with PlayedNode(system, "clock", file) as clock, PlayedNode(system, "scribe", file) as scribe:
        assert scribe.ask("listen") == ({}, None)
        assert clock.ask("canConnect", **clock.of("scribe")) == (True, None)
        assert clock.ask("addresses", **clock.of("scribe")) == (["127.0.0.1"], None)
        result, out = clock.connect("scribe", address="127.0.0.1", index=0)
        assert result == {"address": f"127.0.0.1:{system.nodes['scribe']['transports']['air']['options']['port']}"}
        accepted = scribe.take()
        assert accepted.params == {"address": f"127.0.0.1:{out.getsockname()[1]}"}
        out.settimeout(60)
        exchange(out, accepted.connection)
        # They are the sockets themselves, so they outlive the programs.
        assert {out.family, accepted.connection.family} == {socket.AF_INET}
        clock.process.kill()
        scribe.process.kill()
        clock.process.wait()
        scribe.process.wait()
        exchange(out, accepted.connection)


def test_one_that_is_not_there(tmp_path: pathlib.Path) -> None:
    system, file = seed_tcp(tmp_path), HERE / "seed_tcp.py"
    with PlayedNode(system, "clock", file) as clock:
        with pytest.raises(Refused, match=r"127\.0\.0\.1 does not lead to air@scribe now"):
            clock.connect("scribe", address="127.0.0.1", index=0)
        # Options of a Peer that have changed.
        system.nodes["scribe"]["transports"]["air"]["options"] = {"address": "a, b", "port": 1}
        assert clock.ask("addresses", **clock.of("scribe"))[0] == ["a", "b"]
        with pytest.raises(Refused) as refused:
            clock.ask("dance")
        assert refused.value.code == -32601


def test_one_that_authenticates(tmp_path: pathlib.Path) -> None:
    system, file = bare(tmp_path), HERE / "bare.py"
    with PlayedNode(system, "clock", file) as clock, PlayedNode(system, "scribe", file) as scribe:
        scribe.ask("listen")
        with pytest.raises(Refused) as refused:
            clock.ask("addresses", **clock.of("scribe"))
        assert refused.value.code == -32601
        result, out = clock.connect("scribe", address=None, index=0)
        accepted = scribe.take()
        assert (result["peer"], accepted.params["peer"]) == ("scribe", "clock")
        assert accepted.params["address"].startswith("127.0.0.1:")
        out.settimeout(60)
        exchange(out, accepted.connection)
        out.close()
        assert accepted.connection.recv(1) == b""


def test_one_that_authenticates_lets_no_other_in(tmp_path: pathlib.Path) -> None:
    (tmp_path / "other").mkdir()
    system, file = bare(tmp_path), HERE / "bare.py"
    # Its `clock` has another key.
    other = bare(tmp_path / "other")
    other.nodes["scribe"] = system.nodes["scribe"]
    with PlayedNode(other, "clock", file) as clock, PlayedNode(system, "scribe", file) as scribe:
        scribe.ask("listen")
        with pytest.raises(Refused, match="`connect` did not reach air@scribe"):
            clock.connect("scribe", address=None, index=0)
        until("it says why", lambda: [line for line in scribe.said if line.get("method") == "log"])
        logged = next(line for line in scribe.said if line.get("method") == "log")
        assert logged["params"] == {"level": "warning", "text": "no Peer: this is not the signature of clock"}
        assert scribe.accepted.empty()


def test_a_stranger_who_says_a_byte_now_and_then_has_to_leave(tmp_path: pathlib.Path) -> None:
    system, file = bare(tmp_path), tmp_path / "bare.py"
    file.write_text((HERE / "bare.py").read_text().replace("PATIENCE = 10", "PATIENCE = 1"))
    with PlayedNode(system, "scribe", file) as scribe:
        scribe.ask("listen")
        where = ("127.0.0.1", system.nodes["scribe"]["transports"]["air"]["options"]["port"])
        with socket.create_connection(where) as stranger:
            stranger.settimeout(0.1)

            def has_closed() -> bool:
                try:
                    while stranger.recv(65536):
                        pass
                except TimeoutError:
                    stranger.send(b" ")
                    return False
                except ConnectionError:
                    pass
                return True

            until("it has closed", has_closed)


# All that a Transport can override and call.


def test_what_is_called_where(tmp_path: pathlib.Path) -> None:
    more = """
    def init(self):
        AuthenticatedTransport.init(self)
        tell("init", self, self.isSelf(), self.getNode().getName(), self["port"] == 9001, self["name"], self["both"],
             self["none"])

    def localInit(self):
        AuthenticatedTransport.localInit(self)
        tell("localInit", self, kozoConfig("heartbeat"), self.getNode().getPublicKey()[0],
             sorted(node.getName() for node in kozoSystem().getNodes()))

    def bind(self):
        tell("bind", self)
"""
    options = '"name": {"default": TRANSPORT_NAME}, "both": {"default": TRANSPORTNODE_NAME}'
    system, file = example(tmp_path, more, options)
    system.nodes["attic"] = {
        "publicKey": "ssh-ed25519 AAAA",
        "transports": {"ground": {"type": "example", "options": {}}},
    }
    system.nodes["cellar"] = {"publicKey": "ssh-ed25519 AAAA", "transports": {"air": {"type": "tcp", "options": {}}}}
    with PlayedNode(system, "clock", file) as clock:
        clock.wait_for_error("localInit")
        inits = sorted(line for line in clock.errors if line.startswith("init"))
        assert inits == [
            "init air@clock True clock False air air@clock None",
            "init air@scribe False scribe False air air@scribe None",
            "init ground@attic False attic True ground ground@attic None",
        ]
        local = [line for line in clock.errors if not line.startswith("init")]
        assert local == ["localInit air@clock 10.0 ssh-ed25519 ['attic', 'cellar', 'clock', 'scribe']"]
        assert not clock.ask("canConnect", **clock.of("cellar"))[0]
        clock.notify("stop")
        assert clock.process.wait(5) == 0


def test_addresses_are_anything_and_tried_one_by_one(tmp_path: pathlib.Path) -> None:
    more = """
    class Place:
        def __init__(self, port):
            self.port = port

    def getUnauthenticatedConnectAddresses(self, otherTransport):
        yield None
        yield "raises"
        yield self.Place(otherTransport["port"])

    def getUnauthenticatedSocket(self, otherTransport, addressIndex, address):
        if address == "raises":
            raise ZeroDivisionError("on purpose")
        if addressIndex == 7:
            raise DisconnectedError("another Node")
        if address is None:
            return None
        assert addressIndex == 2
        return socket.create_connection(("127.0.0.1", address.port))
"""
    system, file = example(tmp_path, more)
    with PlayedNode(system, "clock", file) as clock, PlayedNode(system, "scribe", file) as scribe:
        scribe.ask("listen")
        where, _ = clock.ask("addresses", **clock.of("scribe"))
        assert where[:2] == ["None", "raises"]
        with pytest.raises(Refused, match="None does not lead to air@scribe now"):
            clock.connect("scribe", address=where[0], index=0)
        line = file.read_text()[: file.read_text().index("raise Zero")].count("\n") + 1
        said = f"example.py:{line}: ZeroDivisionError: on purpose (in getUnauthenticatedSocket, for connect)"
        with pytest.raises(Refused) as refused:
            clock.connect("scribe", address=where[1], index=1)
        assert str(refused.value) == said
        clock.wait_for_error(f"<3>{said}")
        with pytest.raises(Refused, match="another Node"):
            clock.connect("scribe", address="x", index=7)
        _, out = clock.connect("scribe", address=where[2], index=2)
        out.settimeout(60)
        exchange(out, scribe.take().connection)


def test_it_says_what_it_is(tmp_path: pathlib.Path) -> None:
    _, file = example(tmp_path)
    said = {"kind": "transport", "priority": "meh", "canAccept": True, "authenticates": False}
    config = {"port": {"default": 9001, "kind": "number"}}
    assert described(file) == {"format": "1.0", "config": config, **said}
    other = tmp_path / "other"
    other.mkdir()
    more = """
    def canConnect(self, otherTransport):
        return otherTransport.getType() == "tcp" and otherTransport["address"] == "b"

    def canAccept(self):
        return False

    def getPriority(self):
        return self.Priority_WORST if self["port"] == 9001 else self.Priority_BEST
"""
    system, file = example(other, more)
    assert described(file) == {
        "format": "1.0",
        "config": config,
        **said,
        "priority": "worst",
        "canAccept": False,
        "connectsTo": ["*"],
    }
    with PlayedNode(system, "clock", file) as clock:
        tcp = {"node": "scribe", "transport": "wire", "type": "tcp"}
        assert clock.ask("canConnect", **tcp, options={"address": "b"})[0] is True
        assert clock.ask("canConnect", **tcp, options={"address": "c"})[0] is False
    # It depends on options, so the Node has to ask.
    file.write_text(BASE.format(more=more.replace("return False", "return self['port'] == 9002"), options=""))
    assert described(file)["canAccept"] is True
    bare = described(HERE / "bare.py")
    assert (bare["authenticates"], bare["priority"], list(bare["config"]["address"])) == (True, "bad", ["description"])


def test_one_that_cannot_accept_is_not_connected_to(tmp_path: pathlib.Path) -> None:
    more = """
    def canAccept(self):
        return self["port"] != 1

    def bind(self):
        tell("bind")
        AuthenticatedTransport.bind(self)
"""
    system, file = example(tmp_path, more)
    system.nodes["scribe"]["transports"]["air"]["options"]["port"] = 1
    with PlayedNode(system, "clock", file) as clock, PlayedNode(system, "scribe", file) as scribe:
        assert clock.ask("canConnect", **clock.of("scribe"))[0] is False
        assert scribe.ask("listen")[0] == {}
        scribe.wait_for_error("bind")
        assert scribe.errors == ["bind"]
        assert not clock.errors


def test_several_accept_at_once(tmp_path: pathlib.Path) -> None:
    more = """
    meeting = threading.Barrier(3)

    def acceptUnauthenticatedConnection(self):
        self.meeting.wait()
        return self.listening.accept()[0]
"""
    system, file = example(tmp_path, more)
    with PlayedNode(system, "clock", file) as clock, PlayedNode(system, "scribe", file) as scribe:
        out, come = pair(clock, scribe)
        exchange(out, come)


def test_what_it_raises_does_not_end_it(tmp_path: pathlib.Path) -> None:
    more = """
    count = 0

    def acceptUnauthenticatedConnection(self):
        connection = self.listening.accept()[0]
        self.count += 1
        if self.count == 1:
            raise ZeroDivisionError("on purpose")
        if self.count == 2:
            return None
        if self.count == 3:
            return 7
        if self.count == 4:
            sys.exit("enough")
        if self.count <= 8:
            raise DisconnectedError("another Node")
        return connection
"""
    system, file = example(tmp_path, more)
    with PlayedNode(system, "clock", file) as clock, PlayedNode(system, "scribe", file) as scribe:
        scribe.ask("listen")
        line = file.read_text()[: file.read_text().index("raise Zero")].count("\n") + 1
        (where,), _ = clock.ask("addresses", **clock.of("scribe"))
        # More than there are threads.
        for _ in range(8):
            clock.connect("scribe", address=where, index=0)[1].close()
        scribe.wait_for_error(
            f"<3>example.py:{line}: ZeroDivisionError: on purpose (in acceptUnauthenticatedConnection"
        )
        scribe.wait_for_error("<3>KozoError: 7 is not a socket: it has no `send` (for what it accepts)")
        scribe.wait_for_error("SystemExit: enough (in acceptUnauthenticatedConnection")
        scribe.wait_for_error("DisconnectedError: another Node (in acceptUnauthenticatedConnection")
        _, out = clock.connect("scribe", address=where, index=0)
        out.settimeout(60)
        exchange(out, scribe.take().connection)


@pytest.mark.parametrize("step", ["init", "localInit", "bind", "__init__"])
def test_one_that_cannot_begin_says_where(tmp_path: pathlib.Path, step: str) -> None:
    more = f"""
    def {step}(self, *more):
        raise KozoError("no", 7)
"""
    system, file = example(tmp_path, more)
    with PlayedNode(system, "clock", file) as clock:
        with pytest.raises(Refused, match=rf"example\.py:\d+: KozoError: no 7 \(in {step}") as refused:
            clock.ask("listen")
        clock.wait_for_error(f"<3>{refused.value}")
        assert clock.process.poll() is None


@pytest.mark.parametrize("step", ["init", "localInit", "bind"])
def test_one_that_only_connects_and_cannot_begin_ends(tmp_path: pathlib.Path, step: str) -> None:
    more = f"""
    def canAccept(self):
        return False

    def {step}(self, *more):
        raise KozoError("no", 7)
"""
    system, file = example(tmp_path, more)
    with PlayedNode(system, "clock", file) as clock:
        clock.wait_for_error(f"KozoError: no 7 (in {step}")
        assert clock.process.wait(5) == 1


# Signatures.


def test_what_is_signed_and_what_is_no_signature(tmp_path: pathlib.Path) -> None:
    more = """
    def getUnauthenticatedSocket(self, otherTransport, addressIndex, address):
        own, data = self.getNode(), bytes(16384)
        signature = self.sign(data)
        told = [self.verify(node, what, it) for node, what, it in [
            (own, data, signature), ("clock", data, signature), (otherTransport.getNode(), data, signature),
            (own, data[1:], signature), ("nobody", data, signature), ("n" * 70000, data, signature),
            ("n" * 256, data, signature), ("\\ud800", data, signature), ("", data, signature), (own, data, signature * 99),
            (own, data, "\\x01" * 16384), (own, data, "\\ud800"), (own, data, 7)]]
        assert not self._with_keys()._answers
        raise KozoError(told, self.sign(data + b"x"))
"""
    system, file = example(tmp_path, more)
    with PlayedNode(system, "clock", file) as clock:
        with pytest.raises(Refused, match="16384 bytes at most are signed, not 16385: sign a hash of them"):
            clock.connect("scribe", address="x", index=0)
        file.write_text(file.read_text().replace('self.sign(data + b"x")', ""))
    with PlayedNode(system, "clock", file) as clock:
        with pytest.raises(Refused) as refused:
            clock.connect("scribe", address="x", index=0)
        assert json.loads(str(refused.value).lower()) == [True] * 2 + [False] * 11


# By hand.


def test_a_class_that_is_no_transport(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "none.py"
    file.write_text('transportInfo = {"format": "1.0", "class": dict}')
    done = subprocess.run([sys.executable, "-m", "kozo", file], capture_output=True, text=True, check=False)
    said = "the `class` of a transportInfo is a Transport or an AuthenticatedTransport, not <class 'dict'>"
    assert (done.returncode, done.stderr) == (1, f"none.py: {said}\n")


def test_by_hand_it_says_who_runs_it() -> None:
    command = [sys.executable, "-m", "kozo", "seed_tcp.py"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KOZO_")}
    for more, code in ([], 2), (["--help"], 0):
        done = subprocess.run([*command, *more], cwd=HERE, env=environment, capture_output=True, text=True, check=False)
        said = done.stdout or done.stderr
        assert done.returncode == code
        assert "A Node runs it, as its Transport of the type 'seed_tcp': put it in a folder of transportPath." in said
        assert "  address (required): An address or a list" in said


def test_it_ends_when_the_node_does(tmp_path: pathlib.Path) -> None:
    system, file = example(tmp_path)
    with PlayedNode(system, "clock", file) as clock:
        clock.ask("listen")
        clock._socket.shutdown(socket.SHUT_RDWR)
        assert clock.process.wait(5) == 0
