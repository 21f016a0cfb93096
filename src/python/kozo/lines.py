"""The lines of the protocol: JSON, one object a line, read in batches and written as cheaply as it goes.

The standard library does the JSON, and `msgspec` or `orjson`, where one of them is installed, once there is much of it. See
`kozo-role(7)` for what the lines say.
"""

from __future__ import annotations

import os

from .errors import KozoError, RefusedError
from .values import UnsendableError, is_plain, pack_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Line = dict[str, Any]

# What stands in a line in which an object stands for bytes, or with what JSON cannot say.
_MARKS = (b'"$base64"', b'"msgpack":')

#: Bytes that are much.
_MUCH = 256 * 1024

# As the Node has them, in bytes.
LONGEST_NAME = 255
_LONGEST_LINE = 22_435_156
#: Characters of a text for the journal or of a status. The Node shows far fewer.
_LONGEST_TEXT = 64 * 1024
KINDS = ("event", "order", "log", "reply")


def _as_list(whole: bytes) -> bytes:
    # One list is read much faster than its items one by one. In JSON no newline is inside of a text.
    return b"[%b]" % whole[:-1].replace(b"\n", b",")


def _standard() -> tuple[Callable[[bytes], list[Line]], Callable[[object], bytes]]:
    import json

    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    encode = encoder.encode
    make = getattr(json.encoder, "c_make_encoder", None)
    # What `encode` makes anew for every value. It needs no check for cycles, as `is_plain` bounds the depth.
    words = (encoder.default, json.encoder.encode_basestring, None, ":", ",")
    chunks = make(None, *words, False, False, False) if make else None  # noqa: FBT003 - it takes no names

    def dump(value: object) -> bytes:
        if chunks is None or type(value) is str:
            return encode(value).encode()
        return "".join(chunks(value, 0)).encode()

    def load_lines(data: bytes) -> list[Line]:
        lines: list[Line] = json.loads(_as_list(data))
        return lines

    return load_lines, dump


def _orjson() -> tuple[Callable[[bytes], list[Line]], Callable[[object], bytes]]:
    import orjson

    def load_lines(data: bytes) -> list[Line]:
        lines: list[Line] = orjson.loads(_as_list(data))
        return lines

    return load_lines, orjson.dumps


def _msgspec() -> tuple[Callable[[bytes], list[Line]], Callable[[object], bytes]]:
    import msgspec

    decoder = msgspec.json.Decoder(dict)
    return decoder.decode_lines, msgspec.json.Encoder().encode


class Codec:
    """Reads and writes JSON: with the standard library at first, and with what is faster once there is much to do.

    A fast library takes longer to import, and more memory, than most Roles take for all else.
    """

    #: Reads whole lines, however many.
    read: Callable[[bytes], list[Line]]
    #: Writes a value for which `is_plain` holds.
    dump: Callable[[object], bytes]

    def __init__(self) -> None:
        self._read, self._dump = _standard()
        #: Whether msgspec reads and writes.
        self.has_msgspec = False
        # Bytes until there is much to do.
        self._left = _MUCH
        self.read, self.dump = self._read_first, self._dump_first
        # For tests and measurements: `standard`, whatever is installed, or `fast`, from the first line on.
        wish = os.environ.get("KOZO_PYTHON_JSON")
        if wish == "standard":
            self.read, self.dump = self._read, self._dump
        elif wish == "fast":
            self._hurry()

    def _read_first(self, whole: bytes) -> list[Line]:
        self._count(len(whole))
        return self._read(whole)

    def _dump_first(self, value: object) -> bytes:
        data = self._dump(value)
        self._count(len(data))
        return data

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            self._hurry()

    def _hurry(self) -> None:
        self.read, self.dump = self._read, self._dump
        for library in (_msgspec, _orjson):
            try:
                self.read, self.dump = library()
            except ImportError:
                continue
            self.has_msgspec = library is _msgspec
            break


#: That of this process.
codec = Codec()


class Cutter:
    """Cuts what is read into whole lines."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def cut(self, data: bytes) -> bytes:
        """Give the lines that are whole now that this has come too."""
        end = data.rfind(b"\n") + 1
        if not end:
            self._rest.append(data)
            return b""
        whole = data if end == len(data) else data[:end]
        if self._rest:
            whole = b"".join((*self._rest, whole))
            self._rest = []
        if end < len(data):
            self._rest.append(data[end:])
        return whole


def is_all_said(whole: bytes) -> bool:
    """Tell whether the data in these lines is what their JSON says."""
    return not any(mark in whole for mark in _MARKS)


def encoded(line: object) -> bytes:
    """Write a line."""
    return codec.dump(line) + b"\n"


def notification(method: str, params: dict[str, object] | None = None) -> Line:
    """Give something that is not answered."""
    line: Line = {"jsonrpc": "2.0", "method": method}
    if params is not None:
        line["params"] = params
    return line


def log_line(text: object, level: str) -> Line:
    """Give a line for the journal."""
    return notification("log", {"level": level, "text": _shown(text)})


def status_line(text: object) -> Line:
    """Give what is shown of the Role."""
    return notification("status", {"text": None if text is None else _shown(text)})


def _shown(text: object) -> str:
    shown = str(text)[:_LONGEST_TEXT]
    return shown.encode(errors="backslashreplace").decode()


def answer(number: object, result: object) -> Line:
    """Give the answer to a request of the Node."""
    return {"jsonrpc": "2.0", "id": number, "result": result}


def refusal(number: object, text: str, code: int) -> Line:
    """Say that a request of the Node comes to nothing, and why."""
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": _shown(text)}}


def check_length(line: bytes) -> None:
    """Refuse a line that the Node would not read.

    Raises:
        RefusedError: It is too long.
    """
    if len(line) > _LONGEST_LINE:
        raise RefusedError(f"this takes {len(line)} bytes; at most 16 MiB are allowed")


def request(number: int, method: str, params: dict[str, object]) -> Line:
    """Give something that is answered."""
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def data_member(value: object) -> bytes:
    r"""Write the member of an object that has the data of a Message: `data`, or `msgpack` where JSON cannot say it.

    >>> data_member({"open": True}), data_member(b"\x00")
    (b'"data":{"open":true}', b'"msgpack":"xAEA"')
    """
    if type(value) is not bytes and is_plain(value):
        try:
            return b'"data":' + codec.dump(value)
        except UnicodeEncodeError:
            raise UnsendableError("data contains a text that is not valid Unicode") from None
    return b'"msgpack":"' + pack_text(value) + b'"'


class Sender:
    """Writes Messages. What those of a kind, type and channel have in common is written once."""

    def __init__(self) -> None:
        self._begun: dict[tuple[str, str | None, str | None], bytes] = {}

    def line(self, kind: str, message_type: str | None, channel: str | None, data: object, number: int = 0) -> bytes:
        """Write a Message; with a number, as a request that is answered."""
        about = (kind, message_type, channel)
        begun = self._begun.get(about)
        if begun is None:
            begun = self._begin(kind, message_type, channel)
        if number:
            begun = b'{"id":%d,%b' % (number, begun[1:])
        return begun + data_member(data) + b"}}\n"

    def _begin(self, kind: str, message_type: str | None, channel: str | None) -> bytes:
        if kind not in KINDS:
            raise KozoError(f"unknown kind {kind!r}: use event, order, log or reply")
        params = {"kind": kind}
        if message_type is not None:
            params["type"] = checked_name("type", message_type)
        elif kind != "log":
            raise KozoError(f"the type is missing: kozo.send({kind!r}, TYPE)")
        if channel is not None:
            params["channel"] = checked_name("channel", channel)
        begun = self._written(params)
        if len(self._begun) >= 256:
            self._begun.clear()
        self._begun[(kind, message_type, channel)] = begun
        return begun

    def _written(self, params: dict[str, str]) -> bytes:
        return b'{"jsonrpc":"2.0","method":"send","params":' + codec.dump(params)[:-1] + b","


def checked_name(what: str, name: object) -> str:
    """Give a type or a channel, if it can be one."""
    if not isinstance(name, str):
        raise KozoError(f"the {what} must be a text, not {name!r}")
    length = len(name.encode(errors="replace"))
    if not 1 <= length <= LONGEST_NAME:
        raise KozoError(f"the {what} is {length} bytes long; allowed: 1 to {LONGEST_NAME} bytes")
    return name
