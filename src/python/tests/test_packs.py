"""What a Node says in MessagePack, cut and read."""

from __future__ import annotations

import random
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from helping import SPEAKER

import kozo
from kozo.packs import PackReader, PackSender
from kozo.scanning import Scanner
from kozo.values import Extension, pack, unpack

if TYPE_CHECKING:
    from kozo.message import Message

#: What a Node begins each value with.
BEGIN = b"\x83\xa7jsonrpc\xa32.0"
HEAD = BEGIN + b"\xa6method\xa7message\xa6params"

#: Data that msgspec reads otherwise than this package does, or not at all, as it is encoded.
ODD = [
    # Points in time.
    b"\xd6\xff\x00\x00\x00\x01",
    b"\xd7\xff" + bytes(8),
    b"\xc7\x0c\xff" + bytes(12),
    b"\xc7\x04\xff" + bytes(4),
    b"\xc8\x00\x08\xff" + bytes(8),
    b"\x91\xc9\x00\x00\x00\x0c\xff" + bytes(12),
    b"\xc7\x05\xff" + bytes(5),
    b"\x92\x01\x81\xa1a\xd6\xff\x00\x00\x00\x01",
    b"\x81\xd6\xff\x00\x00\x00\x01\x02",
    # Texts that are not UTF-8.
    b"\xa2\xff\xfe",
    b"\x81\xa1\xffx"[:3] + b"\x01",
    # Keys that are maps.
    b"\x81\x81\x01\x02\x03",
    b"\x81\x91\x92\x01\x80\x02",
    # Extensions.
    b"\xd4\x05x",
    b"\xc7\x03\x07abc",
    b"\x91" * 120 + b"\xc0",
    b"\xca\x3f\x80\x00\x00",
]


def message(number: int, data: bytes, packed: bytes | None = None, **more: object) -> bytes:
    """Write a Message as a Node does; its data is encoded, or what is no value."""
    params: dict[str, object] = {
        "time": 1,
        "node": "clock",
        "boot": 2**64 - 1,
        "id": number,
        "role": "bell",
        "kind": "event",
        "type": "door",
        "channel": None,
    }
    params |= more
    members = b"".join(map(pack, [part for member in params.items() for part in member])) + pack("data") + data
    if packed is not None:
        members += pack("msgpack") + pack(packed)
    return HEAD + bytes([0x81 + len(params) + (packed is not None)]) + members


def as_read(parts: list[Any]) -> list[Any]:
    """Give Messages by what is in them, and other lines as they are."""
    found: list[Any] = []
    for part in parts:
        if isinstance(part, list):
            found += [(item.id, item.boot, item.channel, item.data) for item in part]
        else:
            found.append(part)
    return found


def expected(value: bytes) -> Any:
    """Give the same of one value, by the code that reads everything."""
    line: Any = unpack(value)
    params = line.get("params")
    if line.get("method") != "message":
        return line
    return (params["id"], str(params["boot"]), params["channel"], params.get("msgpack", params["data"]))


def read(values: list[bytes], sizes: list[int]) -> list[Any]:
    """Read values that come in pieces of these sizes, again and again."""
    reader, whole, at, turn = PackReader(SPEAKER), b"".join(values), 0, 0
    found: list[Any] = []
    while at < len(whole):
        size = sizes[turn % len(sizes)]
        ready = reader.cut(whole[at : at + size])
        if ready:
            found += as_read(reader.read(ready))
        at, turn = at + size, turn + 1
    # What is whole is there, without anything behind it.
    return found


class Values:
    """Makes values as a Node may say them, where data is what a Peer has made up."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def data(self, depth: int = 3) -> bytes:
        """Make up data."""
        choice = self.random.randrange(14 if depth else 10)
        if choice >= 10:
            return self.nested([self.data(depth - 1) for _ in range(self.random.randrange(6))])
        if choice < 3:
            return pack(self.random.choice([None, True, 7, -200, 2**63, 1.5, "", "ö" * 40, b"", "x" * 300]))
        if choice == 3:
            return self.random.choice(ODD)
        if choice == 4:
            return pack(self.random.randbytes(self.random.choice([1, 300, 6000])))
        if choice < 8:
            # What values begin with, whole values, and values that are cut off.
            value = self.value(0)
            parts = [BEGIN * self.random.randrange(3), value[: self.random.randrange(len(value))], BEGIN, value]
            return pack(b"".join(self.random.sample(parts, self.random.randrange(1, 5))))
        return pack(BEGIN.decode(errors="ignore") + "\x7f" * self.random.randrange(9))

    def nested(self, items: list[bytes]) -> bytes:
        """Make a list or a map of these."""
        if self.random.randrange(2):
            return bytes([0x90 + len(items)]) + b"".join(items)
        return bytes([0x80 + len(items)]) + b"".join(pack(f"{n}") + item for n, item in enumerate(items))

    def value(self, depth: int = 3) -> bytes:
        """Make a value up."""
        choice = self.random.randrange(12)
        number = self.random.randrange(2**40)
        if choice == 0:
            return pack({"jsonrpc": "2.0", "id": number, "result": {}})
        if choice == 1:
            return pack(
                {"jsonrpc": "2.0", "method": "peer", "params": {"name": "attic", "state": "up", "since": number}}
            )
        if choice == 2:
            return message(number, b"\xc0", self.random.choice([b"\xc1", BEGIN, b"\x93\x01"]), later=1)
        return message(number, self.data(depth) if depth else pack(b"x"), channel=self.random.choice([None, "front"]))


@pytest.mark.parametrize("seed", range(40))
def test_values_are_read_as_they_are_wherever_they_are_cut(seed: int) -> None:
    made = Values(seed)
    values = [made.value() for _ in range(60)]
    for sizes in ([1_000_000], [64], [made.random.randrange(1, 9)], [made.random.randrange(1, 5000) for _ in range(9)]):
        # Texts, as 1 and True are equal.
        assert repr(read(values, sizes)) == repr(list(map(expected, values)))


@pytest.mark.parametrize("data", ODD)
def test_odd_data_is_what_it_is_without_msgspec(data: bytes) -> None:
    plain = [message(number, pack(number)) for number in range(3)]
    for values in ([message(9, data)], [*plain, message(9, data)], [*plain, message(9, data), *plain]):
        for size in (7, 1000, 100_000):
            found = read(values, [size])
            assert found == list(map(expected, values))
            assert [type(item[3]) for item in found] == [type(expected(value)[3]) for value in values]


def test_extensions_are_of_this_package() -> None:
    ((_, _, _, data),) = read([message(1, b"\x92\xd4\x05x\xd6\xff\x00\x00\x00\x01")], [1000])
    assert data == [Extension(5, b"x"), Extension(-1, b"\x00\x00\x00\x01")]
    assert all(type(item) is Extension for item in data)


def test_a_whole_message_is_there_at_once() -> None:
    reader = PackReader(SPEAKER)
    for number in range(3):
        value = message(number, pack(BEGIN))
        assert as_read(reader.read(reader.cut(value))) == [expected(value)]
    large = message(4, pack(b"x" * 100_000))
    first = reader.cut(large[:50_000])
    assert as_read(reader.read(first)) == []
    assert as_read(reader.read(reader.cut(large[50_000:]))) == [expected(large)]


@pytest.mark.parametrize(
    "data",
    [pack(BEGIN * 40_000), pack([BEGIN] * 30_000), pack([0] * 400_000), pack({str(n): n for n in range(40_000)})],
)
def test_hostile_data_is_not_looked_at_again_and_again(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = [0, 0]
    messages, end = PackReader._messages, Scanner.end

    def count_messages(self: PackReader, data: bytes | memoryview, count: int) -> list[Message] | None:
        looked[0] += len(data)
        return messages(self, data, count)

    def count_end(self: Scanner, data: bytes, begin: int = 0) -> int | None:
        looked[1] += len(data) - begin
        return end(self, data, begin)

    monkeypatch.setattr(PackReader, "_messages", count_messages)
    monkeypatch.setattr(Scanner, "end", count_end)
    values = [message(1, data), message(2, b"\xc0"), message(3, data)]
    for size in (4096, 32 * 1024):
        looked[:] = [0, 0]
        assert [found[0] for found in read(values, [size])] == [1, 2, 3]
        assert max(looked) < 5 * len(b"".join(values))


def test_a_value_ends_where_it_ends_in_pieces_of_any_size() -> None:
    made = Values(7)
    for _ in range(200):
        value = made.value()
        for size in (1, 2, 3, 50, len(value)):
            scanner = Scanner()
            pieces = [value[at : at + size] for at in range(0, len(value), size)]
            behind = pieces[-1] + b"\xc0"
            assert [scanner.end(piece) for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
            assert scanner.end(behind) == len(pieces[-1])
    with pytest.raises(ValueError, match="0xc1 is not a code"):
        Scanner().end(b"\x91\xc1")


def test_what_ctrl_c_interrupts_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [message(1, pack(BEGIN)), message(2, pack(b"x" * 9000)), message(3, b"\xc0")]
    whole = b"".join(values)
    reader = PackReader(SPEAKER)
    found = reader.cut(whole[:5000])

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for name in ("_messages", "_read_exactly"):
        with monkeypatch.context() as patch:
            patch.setattr(reader, name, interrupt)
            with pytest.raises(KeyboardInterrupt):
                reader.read(found)
    with monkeypatch.context() as patch:
        assert as_read(reader.read(found)) == [expected(values[0])]
        patch.setattr(Scanner, "end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            reader.cut(whole[5000:6000])
    assert reader.cut(whole[6000:7000]) == b""
    assert as_read(reader.read(reader.cut(whole[7000:]))) == list(map(expected, values[1:]))


def test_a_message_is_an_object_like_others() -> None:
    reader = PackReader(SPEAKER)
    values = [message(1, pack("a")), message(1, pack(b"b"), channel="front"), message(1, ODD[0])]
    found: Any = [item for part in reader.read(reader.cut(b"".join(values))) for item in part]
    first, second, third = found
    assert all(isinstance(item, kozo.Message) for item in found)
    assert len(set(found)) == 3
    assert [item.boot for item in found] == [str(2**64 - 1)] * 3
    for item in (first, second, third):
        assert weakref.ref(item)() is not None
        item.seen = True
    assert repr(second) == "<event 'door' channel='front' from bell@clock: b'b'>"
    second.reply("dong")
    assert SPEAKER.sent.pop() == ("reply", "door", "dong", "front")


@pytest.mark.parametrize(
    "data",
    [
        None, True, -1, 2**64 - 1, -(2**63), 1.5, float("inf"), "", "ö" * 300, b"", b"x" * 300, [1, (2, b"3")],
        {1: {None: [b""]}}, {(1, 2): 3}, {"$base64": "AAEC"}, Extension(5, b"x"), bytearray(b"x"),
    ],
)  # fmt: skip
def test_what_is_sent_says_the_data(data: object) -> None:
    line: Any = unpack(PackSender().line("event", "door", "front", data, 70_000))
    assert line["id"] == 70_000
    params = {"kind": "event", "type": "door", "channel": "front", "data": unpack(pack(data))}
    assert line == {"id": 70_000, "method": "send", "params": params}
    line = unpack(PackSender().line("log", None, None, data))
    assert line == {"method": "send", "params": {"kind": "log", "data": unpack(pack(data))}}


@pytest.mark.parametrize("data", [2**64, {"a": {2}}, "\ud800", [{"\ud800": 1}], object()])
def test_what_cannot_be_sent_is_refused(data: object) -> None:
    with pytest.raises(TypeError):
        PackSender().line("event", "door", None, data)
