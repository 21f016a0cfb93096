"""How a conversation is encoded: as lines of JSON, or as values of MessagePack, which needs `msgspec`."""

from __future__ import annotations

from .errors import KozoError
from .lines import Sender, encoded
from .reading import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from . import aio
    from .conversation import Conversation
    from .lines import Line
    from .message import Message
    from .node import Node

    class AnyReader(Protocol):
        """Reads what comes over one connection."""

        def cut(self, data: bytes) -> bytes:
            """Take what has come, and give what there is to read now."""

        def read(self, whole: bytes) -> list[list[Message] | Line]:
            """Read that: Messages in a row as a list, and other things as they are."""


#: What users call them.
NAMES = ("json", "msgpack")


class Encoding:
    """What a conversation needs of its encoding."""

    def __init__(
        self,
        encode: Callable[[object], bytes],
        sender: Callable[[], Sender],
        reader: Callable[[Conversation | Node | aio.Node], AnyReader],
    ) -> None:
        #: Writes anything that is no Message.
        self.encode = encode
        #: Makes what writes Messages.
        self.sender = sender
        #: Makes what reads, with the one by which Messages reply.
        self.reader = reader


JSON = Encoding(encoded, Sender, Reader)


def check(name: str) -> None:
    """Refuse an encoding that there is not.

    Raises:
        KozoError: There is none of this name, or what it needs is not installed.
    """
    if name not in NAMES:
        raise KozoError(f"unknown encoding {name!r}: use json or msgpack")
    encoding(name)


def encoding(name: str) -> Encoding:
    """Give an encoding. What takes memory is imported only for the one that needs it.

    Raises:
        KozoError: What it needs is not installed.
    """
    if name == "json":
        return JSON
    try:
        from . import packs
    except ImportError:
        text = "the encoding msgpack needs msgspec: `sudo apt install python3-msgspec`, or `pip install msgspec`"
        raise KozoError(text) from None
    return Encoding(packs.encode, packs.PackSender, packs.PackReader)


def details(encoding: str, **more: Any) -> dict[str, Any]:
    """Give what a program says when it attaches, with its encoding if that is not the usual one."""
    check(encoding)
    return more if encoding == "json" else {**more, "encoding": encoding}
