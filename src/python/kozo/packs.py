"""A conversation in MessagePack: values one behind the other, with nothing in between. Imported only where that was asked for.

One call of msgspec reads all values of a piece, as a list, once the head of that list is put in front. For the head one must
know how many values there are, and where the last one ends. Both are guessed: each value begins with the same bytes, which are
quickly found. Data of Messages may have these bytes in it too, so a guess may be wrong, but never unnoticed: msgspec accepts
a list only if it has as many values as its head says, and ends where the bytes end. Where a guess is wrong, and for all that is
no ordinary Message, the ends are looked for one after the other.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from .errors import KozoError
from .lines import Sender
from .message import Message, message_class
from .scanning import Scanner
from .values import SHORT_HEADS, Extension, is_native, pack, unpack

if TYPE_CHECKING:
    from . import aio
    from .conversation import Conversation
    from .lines import Line
    from .node import Node

#: What a Node begins each value with: an object of three members, the first of which says that it is JSON-RPC.
_BEGIN = b"\x83\xa7jsonrpc\xa32.0"
#: Bytes of a value that has not ended beyond which it is searched for its end, so that no byte of it is looked at twice.
_LONG = 4096
#: What is in front of the bytes 0xff of all points in time. msgspec makes its own of them, and they are to be `Extension`.
_TIMES = (b"\xd6", b"\xd7", b"\xc7\x04", b"\xc7\x08", b"\xc7\x0c", b"\x00\x04", b"\x00\x08", b"\x00\x0c")

#: What msgspec raises for what it does not read; versions differ in texts that are not UTF-8, and in keys that are maps.
_FAILURES = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)

_METHOD = b"\x82\xa6method\xa4send\xa6params"
_NUMBERED = b"\x83\xa2id"

encode = msgspec.msgpack.Encoder().encode


class PackSender(Sender):
    """Writes Messages."""

    def line(self, kind: str, message_type: str | None, channel: str | None, data: object, number: int = 0) -> bytes:
        """Write a Message; with a number, as a request that is answered."""
        begun = self._begun.get((kind, message_type, channel)) or self._begin(kind, message_type, channel)
        if number:
            begun = _NUMBERED + encode(number) + begun[1:]
        if type(data) is bytes and len(data) < 256:
            return begun + SHORT_HEADS[len(data)] + data
        if is_native(data):
            try:
                return begun + encode(data)
            except UnicodeEncodeError:
                # What follows says where.
                pass
        return begun + pack(data)

    def _written(self, params: dict[str, str]) -> bytes:
        # The data is one more member.
        try:
            return _METHOD + bytes((0x81 + len(params),)) + encode(params)[1:] + b"\xa4data"
        except UnicodeEncodeError:
            raise KozoError("the type or the channel is not valid Unicode") from None


# Told apart by identity and open to further attributes, as Messages that are read otherwise.
class _Packed(Message, msgspec.Struct, dict=True, weakref=True, eq=False, rename={"_boot": "boot"}):
    time: int
    node: str
    _boot: int
    id: int
    role: str
    kind: str
    type: str
    channel: str | None

    @property
    def boot(self) -> str:  # type: ignore[override]
        return str(self._boot)


def _reader(speaker: object, data: Any) -> Any:
    """Give what reads a list of Messages whose data is of a certain type."""
    # Data that is no value has another member.
    fields: list[tuple[str, Any, Any] | tuple[str, Any]] = [("data", data), ("msgpack", None, None)]
    made = msgspec.defstruct("Message", fields, bases=(_Packed,), namespace={"_speaker": speaker}, eq=False)
    said = msgspec.defstruct("Said", [("params", made)], tag_field="method", tag="message", gc=False)
    return msgspec.msgpack.Decoder(list[said], ext_hook=_extension).decode  # type: ignore[valid-type]


def _extension(number: int, data: memoryview) -> Extension:
    return Extension(number, bytes(data))


class PackReader:
    """Reads what comes over one connection. The Messages reply by `speaker`."""

    def __init__(self, speaker: Conversation | Node | aio.Node) -> None:
        """Read from the beginning of a value on."""
        self._class = message_class(speaker)
        # Data in which there can be no point in time, and any.
        self._read_plain = _reader(speaker, bytes | int | float | bool | None)
        self._read_any = _reader(speaker, Any)
        # The beginning of a value that has not ended.
        self._pieces: list[bytes] = []
        # What looks for the end of a long one, and how many of the pieces it has seen.
        self._scanner: Scanner | None = None
        self._seen = 0

    def cut(self, data: bytes) -> bytes:
        """Take what has come, and give what may have a whole value in it; what remains of that is kept by `read`."""
        pieces = self._pieces
        # It is there first, as Ctrl-C may interrupt all that follows.
        pieces.append(data)
        while self._scanner is not None:
            if self._seen == len(pieces):
                return b""
            end = self._scanner.end(pieces[self._seen])
            self._seen += 1
            if end is not None:
                self._scanner = None
        self._pieces = []
        return b"".join(pieces)

    def read(self, whole: bytes) -> list[list[Message] | Line]:
        """Read it: Messages in a row as a list, and other things as they are."""
        last = whole.rfind(_BEGIN)
        if last > 0:
            messages = self._messages(memoryview(whole)[:last], whole.count(_BEGIN, 0, last))
            if messages is None:
                return self._read_exactly(whole, [])
            rest = whole[last:]
        else:
            messages, rest = [], whole
        more = self._messages(rest, 1)
        if more is None:
            return self._read_exactly(rest, messages)
        messages += more
        return [messages]

    def _messages(self, data: bytes | memoryview, count: int) -> list[Message] | None:
        """Read so many Messages. None if that is not what it is, or msgspec would not read it as `unpack` does."""
        items = b"".join((b"\xdd", count.to_bytes(4, "big"), data))
        try:
            said = self._read_plain(items)
        except msgspec.ValidationError:
            return self._messages_of_any(items)
        except _FAILURES:
            return None
        return [one.params for one in said]

    def _messages_of_any(self, items: bytes) -> list[Message] | None:
        try:
            messages = [one.params for one in self._read_any(items)]
        except _FAILURES:
            return None
        if _may_have_times(items) and any(_has_times(message.data) for message in messages):
            return None
        return messages

    def _read_exactly(self, whole: bytes, messages: list[Message]) -> list[list[Message] | Line]:
        """Read values one by one, behind these Messages, and keep what has not ended."""
        parts: list[list[Message] | Line] = [messages]
        at = 0
        while True:
            scanner = Scanner()
            end = scanner.end(whole, at)
            if end is None:
                break
            value = whole[at:end]
            at = end
            found = self._messages(value, 1)
            if found is None:
                line = _line(value)
                if line.get("method") != "message":
                    messages = []
                    parts += [line, messages]
                    continue
                found = [self._message(line["params"])]
            messages += found
        rest = whole[at:]
        # Nothing is called between these: what Ctrl-C has interrupted is read again, from the same beginning.
        self._seen = 1
        self._scanner = scanner if len(rest) > _LONG else None
        self._pieces = [rest] if rest else []
        return parts

    def _message(self, params: dict[str, Any]) -> Message:
        params["boot"] = str(params["boot"])
        # Data that is no value.
        if "msgpack" in params:
            params["data"] = params.pop("msgpack")
        message: Any = self._class()
        message.__dict__ = params
        return message  # type: ignore[no-any-return]


def _may_have_times(items: bytes) -> bool:
    return any(part.endswith(_TIMES) for part in items.split(b"\xff")[:-1])


def _has_times(value: object) -> bool:
    kind = type(value)
    if kind is dict:
        return any(map(_has_times, value)) or any(map(_has_times, value.values()))  # type: ignore[attr-defined,call-overload]
    if kind is list or kind is tuple:
        return any(map(_has_times, value))  # type: ignore[call-overload]
    return kind is datetime


def _line(value: bytes) -> Line:
    line = unpack(value)
    if not isinstance(line, dict):
        raise KozoError("the Node does not speak MessagePack: the description of this type says another encoding")
    return line
