"""What a Node says, cut and read."""

from __future__ import annotations

import base64
import json
import weakref
from typing import Any

import pytest
from helping import SPEAKER

import kozo
from kozo.lines import codec
from kozo.message import Message
from kozo.reading import Reader


@pytest.fixture(params=["standard", "msgspec"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """A reader of each kind."""
    monkeypatch.setattr(codec, "has_msgspec", request.param == "msgspec")
    return Reader(SPEAKER)


def message(number: int, **more: Any) -> bytes:
    """Write a Message as a Node does."""
    params = {
        "time": 1,
        "node": "clock",
        "boot": str(2**64 - 1),
        "id": number,
        "role": "bell",
        "kind": "event",
        "type": "door",
    }
    line = {"jsonrpc": "2.0", "method": "message", "params": params | {"channel": None, "data": number} | more}
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def read(reader: Reader, data: bytes) -> list[Any]:
    """Give Messages by their data, and other lines as they are."""
    return [
        [message.data for message in part] if isinstance(part, list) else part for part in reader.read(data) if part
    ]


def test_lines_are_cut_wherever_they_end(reader: Reader) -> None:
    whole = b"".join(map(message, range(50)))
    for size in (1, 7, 64, 1000, len(whole)):
        found = [reader.read(reader.cut(whole[at : at + size])) for at in range(0, len(whole), size)]
        assert [
            message.data for parts in found for part in parts for message in part if isinstance(message, Message)
        ] == [*range(50)]


def test_what_comes_between_messages_stays_in_its_place(reader: Reader) -> None:
    peer = {"jsonrpc": "2.0", "method": "peer", "params": {"name": "attic", "state": "up", "since": 1}}
    # One that has a name in common with Messages, and is otherwise unlike them.
    odd = {"jsonrpc": "2.0", "method": "odd", "params": {"kind": ["a", "list"]}}
    answer = {"jsonrpc": "2.0", "id": 1, "result": {}}
    said = [json.dumps(line).encode() + b"\n" for line in (peer, odd, answer)]
    whole = message(1) + message(2) + said[0] + message(3) + said[1] + said[2] + message(4)
    assert read(reader, whole) == [[1, 2], peer, [3], odd, answer, [4]]


def test_data_is_what_was_sent(reader: Reader) -> None:
    whole = (
        message(1, data={"$base64": "AAE="})
        + message(2, data=[{"$base64": "AAE="}, {"a": "$base64"}], channel="ö")
        + message(3, data=None, msgpack="gQGhYQ==")
        + message(4, later="what no version knows yet")
        # Peers may send anything as data.
        + message(5, data="not MessagePack", msgpack="kwE=")
        + message(6, data="nested too deeply", msgpack=base64.b64encode(b"\x91" * 5000).decode())
    )
    expected = [b"\x00\x01", [b"\x00\x01", {"a": "$base64"}], {1: "a"}, 4, b"\x93\x01", b"\x91" * 5000]
    assert read(reader, whole) == [expected]


def test_a_message_is_an_object_like_others(reader: Reader) -> None:
    found = [item for part in reader.read(message(1) + message(1, channel="front")) for item in part]
    first: Any = found[0]
    second: Any = found[1]
    assert all(isinstance(item, kozo.Message) for item in found)
    assert first != second
    assert len({first, second}) == 2
    assert weakref.ref(first)() is not None
    first.seen = True
    assert first.seen
    assert repr(second) == "<event 'door' channel='front' from bell@clock: 1>"
    second.reply("dong")
    assert SPEAKER.sent.pop() == ("reply", "door", "dong", "front")
