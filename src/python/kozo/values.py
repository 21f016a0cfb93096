"""Data of Messages: what can be sent, and MessagePack for what JSON cannot say.

The Node speaks JSON with programs. What JSON has no word for (bytes, keys that are no texts, infinity) goes as MessagePack
in Base64. Most data needs none of that, so the code here is short rather than fast.
"""

from __future__ import annotations

import struct
from binascii import a2b_base64, b2a_base64
from math import isfinite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

# What `kozo` sends and receives: None, bool, int, float, str, bytes, and lists and dicts of those.
type_names = "None, bool, int, float, str, bytes, and lists, tuples and dicts of those"

DEEPEST = 100
_SMALLEST = -(2**63)
_LARGEST = 2**64 - 1
# JSON of the Node has bytes as an object with this one key.
_BASE64_KEY = "$base64"


_BYTES = (bytes, bytearray, memoryview)
# What MessagePack has in front of so many bytes.
SHORT_HEADS = [bytes((0xC4, length)) for length in range(256)]


class UnsendableError(TypeError, ValueError):
    """The data has something in it that no Message can carry."""


def is_plain(value: object, depth: int = DEEPEST) -> bool:
    """Tell whether JSON says all of the value.

    >>> is_plain({"open": True, "since": [1, 2.5]}), is_plain({1: "one"}), is_plain(b"")
    (True, False, False)
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return _SMALLEST <= value <= _LARGEST  # type: ignore[operator]
    if kind is float:
        return isfinite(value)  # type: ignore[arg-type]
    if kind is dict:
        if depth == 0 or (len(value) == 1 and _BASE64_KEY in value):  # type: ignore[arg-type,operator]
            return False
        for key, item in value.items():  # type: ignore[attr-defined]  # noqa: SIM110 - twice as fast
            if type(key) is not str or not is_plain(item, depth - 1):
                return False
        return True
    if kind is list or kind is tuple:
        return depth > 0 and all(is_plain(item, depth - 1) for item in value)  # type: ignore[attr-defined]
    return False


def is_native(value: object, depth: int = DEEPEST) -> bool:
    """Tell whether msgspec encodes the value as `pack` does, but for texts that are not valid Unicode.

    >>> is_native({1: [b"", float("inf")]}), is_native({(1, 2): 3}), is_native(2**64)
    (True, False, False)
    """
    kind = type(value)
    if kind is bytes or kind is str or kind is float or kind is bool or value is None:
        return True
    if kind is int:
        return _SMALLEST <= value <= _LARGEST  # type: ignore[operator]
    if kind is dict:
        if depth == 0:
            return False
        for key, item in value.items():  # type: ignore[attr-defined]  # noqa: SIM110 - twice as fast
            if not is_native(key, 0) or not is_native(item, depth - 1):
                return False
        return True
    if kind is list or kind is tuple:
        return depth > 0 and all(is_native(item, depth - 1) for item in value)  # type: ignore[attr-defined]
    return False


def pack(value: object, place: str = "data") -> bytes:
    r"""Encode a value as MessagePack; `place` is what it is called in an error.

    >>> pack({1: b"\x00"})
    b'\x81\x01\xc4\x01\x00'

    Raises:
        UnsendableError: No Message can carry it; the text says where in the data it is.
    """
    out = bytearray()
    _pack(out, value, place, 127)
    return bytes(out)


def pack_text(value: object) -> bytes:
    """Encode a value as MessagePack in Base64, as the Node takes it in JSON."""
    if type(value) is bytes and len(value) < 256:
        # Most of what JSON cannot say.
        return b2a_base64(SHORT_HEADS[len(value)] + value, newline=False)
    return b2a_base64(pack(value), newline=False)


def with_bytes(value: object) -> object:
    r"""Give a value that was read from JSON with bytes in place of the objects that stand for them.

    >>> with_bytes([{"$base64": "AAE="}, {"$base64": 1}])
    [b'\x00\x01', {'$base64': 1}]
    """
    if type(value) is dict:
        if len(value) == 1 and type(text := value.get(_BASE64_KEY)) is str:
            return a2b_base64(text)
        return {key: with_bytes(item) for key, item in value.items()}
    if type(value) is list:
        return [with_bytes(item) for item in value]
    return value


def unpack_text(text: str) -> object:
    """Decode MessagePack in Base64.

    >>> unpack_text("gQGhYQ==")
    {1: 'a'}
    """
    return unpack(a2b_base64(text))


def unpack(data: bytes) -> object:
    """Decode one value of MessagePack. Extension types of MessagePack become `Extension`."""
    reader = _Reader(data)
    return reader.value()


def unpack_data(packed: bytes) -> object:
    r"""Decode data that a Node gives as MessagePack; as Peers may send anything, data that is no value stays what it is.

    >>> unpack_data(b"\x92\x01\x02"), unpack_data(b"\x92\x01")
    ([1, 2], b'\x92\x01')
    """
    try:
        return unpack(packed)
    except (ValueError, RecursionError):
        return packed


def tuples(value: object) -> object:
    """Give the value with tuples in place of lists, as Messages arrived in 2014.

    >>> tuples({"at": [1, [2, 3]]})
    {'at': (1, (2, 3))}
    """
    if isinstance(value, list):
        return tuple(map(tuples, value))
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return value


class Extension(tuple[int, bytes]):
    """An extension type of MessagePack: its number and its bytes."""

    __slots__ = ()

    def __new__(cls, number: int, data: bytes) -> Self:
        """Make one of its number and its bytes."""
        return super().__new__(cls, (number, data))


def _pack(out: bytearray, value: object, place: str, depth: int) -> None:
    if value is None:
        out.append(0xC0)
    elif isinstance(value, bool):
        out.append(0xC3 if value else 0xC2)
    elif isinstance(value, int):
        _pack_int(out, value, place)
    elif isinstance(value, float):
        out += struct.pack(">Bd", 0xCB, value)
    elif isinstance(value, str):
        try:
            text = value.encode()
        except UnicodeEncodeError:
            raise UnsendableError(f"{place} contains a text that is not valid Unicode") from None
        _pack_head(out, len(text), (0xA0, 32), (0xD9, 0xDA, 0xDB))
        out += text
    elif isinstance(value, _BYTES):
        _pack_head(out, len(value), None, (0xC4, 0xC5, 0xC6))
        out += value
    elif isinstance(value, Extension):
        number, data = value
        _pack_head(out, len(data), None, (0xC7, 0xC8, 0xC9))
        out += struct.pack(">b", number) + data
    elif isinstance(value, (list, tuple, dict)):
        if depth == 0:
            raise UnsendableError(f"{place[:100]} is nested too deeply: at most 127 levels are allowed")
        if isinstance(value, dict):
            _pack_head(out, len(value), (0x80, 16), (None, 0xDE, 0xDF))
            for key, item in value.items():
                _pack(out, key, f"a key of {place}", depth - 1)
                _pack(out, item, f"{place}[{key!r}]", depth - 1)
        else:
            _pack_head(out, len(value), (0x90, 16), (None, 0xDC, 0xDD))
            for index, item in enumerate(value):
                _pack(out, item, f"{place}[{index}]", depth - 1)
    else:
        name = type(value).__name__
        raise UnsendableError(f"{place} is of type {name}, which no Message can carry: it can carry {type_names}")


def _pack_int(out: bytearray, value: int, place: str) -> None:
    if not _SMALLEST <= value <= _LARGEST:
        raise UnsendableError(f"{place} is a whole number of more than 64 bits")
    if -32 <= value < 128:
        out += struct.pack(">b" if value < 0 else ">B", value)
    elif value < 0:
        out += struct.pack(">Bq", 0xD3, value)
    else:
        out += struct.pack(">BQ", 0xCF, value)


def _pack_head(out: bytearray, length: int, small: tuple[int, int] | None, codes: tuple[int | None, int, int]) -> None:
    if small and length < small[1]:
        out.append(small[0] | length)
        return
    for code, bound, layout in zip(codes, (1 << 8, 1 << 16, 1 << 32), (">BB", ">BH", ">BI"), strict=True):
        if code is not None and length < bound:
            out += struct.pack(layout, code, length)
            return
    raise UnsendableError("data contains a value of more than 4 GiB")


# Codes of one number, with its layout.
_NUMBERS = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
# Codes of what has a length, with the layout of that.
_LENGTHS = {
    0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xC7: ">B", 0xC8: ">H", 0xC9: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I",
    0xDC: ">H", 0xDD: ">I", 0xDE: ">H", 0xDF: ">I",
}  # fmt: skip
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


class _Reader:
    """Reads MessagePack from its beginning on."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _take(self, length: int) -> bytes:
        taken = self._data[self._at : self._at + length]
        if len(taken) < length:
            raise ValueError("the MessagePack ends too early")
        self._at += length
        return taken

    def _number(self, layout: str) -> int | float:
        number: int | float = struct.unpack(layout, self._take(struct.calcsize(layout)))[0]
        return number

    def value(self) -> object:
        code = self._take(1)[0]
        if code < 0x80:
            return code
        if code >= 0xE0:
            return code - 0x100
        if code < 0x90:
            return self._map(code & 0x0F)
        if code < 0xA0:
            return self._list(code & 0x0F)
        if code < 0xC0:
            return self._text(code & 0x1F)
        if code in _CONSTANTS:
            return _CONSTANTS[code]
        if code in _NUMBERS:
            return self._number(_NUMBERS[code])
        if 0xD4 <= code <= 0xD8:
            return self._extension(1 << (code - 0xD4))
        if code not in _LENGTHS:
            raise ValueError(f"{code:#x} is not a code of MessagePack")
        length = int(self._number(_LENGTHS[code]))
        if code <= 0xC6:
            return self._take(length)
        if code <= 0xC9:
            return self._extension(length)
        if code <= 0xDB:
            return self._text(length)
        return self._list(length) if code <= 0xDD else self._map(length)

    def _text(self, length: int) -> str:
        return self._take(length).decode(errors="surrogateescape")

    def _extension(self, length: int) -> Extension:
        return Extension(int(self._number(">b")), self._take(length))

    def _list(self, length: int) -> list[object]:
        return [self.value() for _ in range(length)]

    def _map(self, length: int) -> dict[object, object]:
        entries = ((self.value(), self.value()) for _ in range(length))
        return {_hashable(key): value for key, value in entries}


def _hashable(key: object) -> object:
    """Give a key of a map as one of a dict, which lists and maps cannot be."""
    if isinstance(key, list):
        return tuple(map(_hashable, key))
    if isinstance(key, dict):
        return tuple((name, _hashable(value)) for name, value in key.items())
    return key
