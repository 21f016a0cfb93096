"""Programs that speak MessagePack with a Node."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from helping import running, stop_role
from kit import PROGRAMS, until
from test_role import put, start

import kozo
from kozo import aio
from kozo.values import Extension

if TYPE_CHECKING:
    import pathlib

ROLE = """import kozo

state = kozo.storage(seen=[])
options = kozo.options(sound="ding")

@kozo.on("order", "ring")
def ring(message):
    state.seen.append(message.data)
    message.reply({"sound": options.sound, "seen": state.seen})

@kozo.when("peer")
def peer(told):
    print("peer", told["name"], told["state"])

kozo.run(encoding="msgpack")
"""

#: What values begin with, also within data: guesses at where they end are wrong then.
BEGIN = b"\x83\xa7jsonrpc\xa32.0"


def ring(node: kozo.Node, data: object) -> Any:
    """Send an order, and give the data of what is answered."""
    with node.receive("reply", "ring") as replies:
        node.send("order", "ring", data)
        return next(replies).data


def test_a_role_that_a_node_starts(system: Any, roles: pathlib.Path) -> None:
    program = put(roles, "bell", ROLE)
    told = json.loads(subprocess.run([program, "--describe"], capture_output=True, text=True, check=True).stdout)
    assert told["encoding"] == "msgpack"
    system.node("attic")
    clock = start(system, "bell", "sound: dong")
    clock.log.wait_for("INFO peer attic down", "bell")
    # Neither is what it is in JSON.
    rung = [{"$base64": "AAE="}, {1: b"\x00", (2, 3): float("inf")}]
    for number in (1, 2):
        with kozo.attach(encoding="msgpack") as node:
            assert ring(node, rung[number - 1]) == {"sound": "dong", "seen": rung[:number]}
        clock.kozoctl("role", "bell", "restart")
        clock.kozoctl("wait", "role=bell:running", "--timeout", "30s")
    system.start("attic")
    clock.log.wait_for("INFO peer attic up", "bell")


def test_a_role_that_is_run_by_hand(clock: Any, tmp_path: pathlib.Path) -> None:
    program = tmp_path / "bell.py"
    program.write_text(ROLE)
    by_kozoctl = [PROGRAMS / "kozoctl", "--node", "clock"]
    attached = [*by_kozoctl, "attach", "--msgpack", "--name", "bell", "--", sys.executable, program]
    for command in ([sys.executable, program], [*by_kozoctl, "role", "try", put(tmp_path, "bell", ROLE)], attached):
        with running(command, env=clock.system.environment, stderr=subprocess.DEVNULL), kozo.attach() as node:
            clock.kozoctl("wait", "role=bell:running", "--timeout", "30s")
            assert ring(node, b"\x00") == {"sound": "ding", "seen": [b"\x00"]}
            stop_role(clock, "bell")
            until("it is gone", lambda: "bell" not in [role["name"] for role in clock.kozoctl("roles")])


def test_what_is_sent_in_one_encoding_arrives_in_the_other(clock: Any) -> None:
    stamp = Extension(-1, b"\x00\x00\x00\x01")
    sent = [BEGIN, {"in": [BEGIN * 3, {1: stamp}]}, b"\xd6\xff" + bytes(4), stamp, "ö", None, BEGIN * 5000, 2**64 - 1]
    with kozo.attach(encoding="msgpack") as node, kozo.attach() as other:
        for one, another in ((node, other), (other, node)):
            with another.receive("event", "door") as doors:
                for data in sent:
                    one.send("event", "door", data)
                one.send("event", "door", "last", confirm=True)
                for data in sent:
                    message = next(doors)
                    assert message.data == data
                    assert type(message.data) is type(data)
                assert next(doors).data == "last"
            assert message.boot.isdecimal()


def test_an_answer_between_messages_is_heard(clock: Any) -> None:
    with kozo.attach(encoding="msgpack") as node, node.receive("event", "door") as doors:
        for number in range(100):
            node.send("event", "door", BEGIN if number % 3 else number)
            if number % 10 == 0:
                sent = node.send("event", "window", confirm=True)
                assert sent is not None
                assert sent.sequence == number + number // 10 + 2
        assert [next(doors).data for _ in range(100)] == [BEGIN if number % 3 else number for number in range(100)]
        with pytest.raises(kozo.RefusedError, match="bytes"):
            node.send("event", "large", b"x" * (17 << 20))


def test_an_encoding_that_there_is_not(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for attach in (kozo.attach, lambda encoding: asyncio.run(aio.attach(encoding=encoding))):
        with monkeypatch.context() as patch:
            with pytest.raises(kozo.KozoError, match="unknown encoding 'yaml': use json or msgpack"):
                attach(encoding="yaml")
            # As where it is not installed.
            patch.setitem(sys.modules, "msgspec", None)
            patch.delitem(sys.modules, "kozo.packs", raising=False)
            patch.delattr(kozo, "packs", raising=False)
            with pytest.raises(kozo.KozoError, match="the encoding msgpack needs msgspec: `sudo apt install"):
                attach(encoding="msgpack")


def test_a_description_that_says_another_encoding(system: Any, roles: pathlib.Path) -> None:
    put(roles, "bell", ROLE)
    (roles / "bell.json").write_text('{"format": 1}')
    clock = system.node("clock", "bell: {}")
    system.start("clock")
    clock.log.wait_for("the Node does not speak MessagePack", "bell")
