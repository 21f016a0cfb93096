"""What a Node says, read in batches: Messages, and lines of other kinds."""

from __future__ import annotations

from binascii import a2b_base64

from .lines import Cutter, codec, is_all_said
from .message import Message, message_class
from .values import unpack_data, with_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from . import aio
    from .conversation import Conversation
    from .lines import Line
    from .node import Node


class Reader:
    """Reads what comes over one connection. The Messages reply by `speaker`."""

    def __init__(self, speaker: Conversation | Node | aio.Node) -> None:
        """Read from the beginning of a line on."""
        self._speaker, self._cutter = speaker, Cutter()
        self._class = message_class(speaker)
        self._fast: Callable[[bytes], list[Message] | None] | None = None

    def cut(self, data: bytes) -> bytes:
        """Give the lines that are whole now that this has come too."""
        return self._cutter.cut(data)

    def read(self, whole: bytes) -> list[list[Message] | Line]:
        """Read whole lines: Messages in a row as a list, and other lines as they are."""
        if codec.has_msgspec:
            if self._fast is None:
                from .fast import reader

                self._fast = reader(self._speaker)
            messages = self._fast(whole)
            if messages is not None:
                return [messages]
        return self._sort(codec.read(whole), is_all_said(whole))

    def _sort(self, lines: list[Line], is_said: bool) -> list[list[Message] | Line]:  # noqa: FBT001 - it is internal
        make = self._class
        messages: list[Message] = []
        parts: list[list[Message] | Line] = [messages]
        for line in lines:
            if line.get("method") == "message":
                params = line["params"]
                if is_said:
                    pass
                elif "msgpack" in params:
                    params["data"] = unpack_data(a2b_base64(params.pop("msgpack")))
                else:
                    params["data"] = with_bytes(params["data"])
                message: Any = make()
                # Names are those of the protocol, so nothing has to be copied.
                message.__dict__ = params
                messages.append(message)
            else:
                messages = []
                parts += [line, messages]
        return parts
