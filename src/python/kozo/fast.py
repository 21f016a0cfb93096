"""Messages read by msgspec, which makes each of its line without a dict in between. Imported only where msgspec is installed."""

from __future__ import annotations

from binascii import a2b_base64
from typing import TYPE_CHECKING, Any

import msgspec

from .lines import is_all_said
from .message import Message
from .values import unpack_data, with_bytes

if TYPE_CHECKING:
    from collections.abc import Callable


# Told apart by identity and open to further attributes, as Messages that are read otherwise.
class _Read(Message, msgspec.Struct, dict=True, weakref=True, eq=False):
    """A Message. What is missing is that of another line, which is read otherwise."""

    time: int = 0
    node: str = ""
    boot: str = ""
    id: int = 0
    role: str = ""
    kind: str = ""
    type: str = ""
    channel: str | None = None
    data: Any = None
    msgpack: str | None = None


def reader(speaker: object) -> Callable[[bytes], list[Message] | None]:
    """Give what reads whole lines if all of them are Messages; they reply by `speaker`."""
    made = msgspec.defstruct("Message", [], bases=(_Read,), namespace={"_speaker": speaker}, eq=False)
    line = msgspec.defstruct("Line", [("method", str, ""), ("params", made | None, None)], gc=False)
    decode = msgspec.json.Decoder(line).decode_lines

    def read(whole: bytes) -> list[Message] | None:
        try:
            lines: list[Any] = decode(whole)
        except msgspec.ValidationError:
            return None
        messages = [line.params for line in lines if line.method == "message"]
        if len(messages) < len(lines):
            return None
        if not is_all_said(whole):
            for message in messages:
                packed = message.msgpack
                message.data = with_bytes(message.data) if packed is None else unpack_data(a2b_base64(packed))
        return messages

    return read
