"""A program that a Node has started: it speaks over its standard input and output."""

from __future__ import annotations

from .conversation import Conversation, Start
from .encodings import encoding
from .errors import DisconnectedError
from .stream import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from .message import Message

    class Program(Protocol):
        """A Role that a Node can start."""

        #: The encoding of its description.
        encoding: str

        def deliver(self, messages: list[Message]) -> None:
            """Take Messages."""

        def notice(self, method: str, params: dict[str, Any]) -> None:
            """Take what else the Node says."""


def converse(program: Program, descriptors: tuple[int, int]) -> tuple[Conversation, Start] | None:
    """Give the conversation, and what the Node says first; None if the Role was to stop before that."""
    starts: list[Start] = []

    def notice(method: str, params: dict[str, Any]) -> None:
        if method == "start":
            starts.append(Start(params, is_json=program.encoding == "json"))
        else:
            program.notice(method, params)

    spoken = encoding(program.encoding)
    conversation = Conversation(Stream(*descriptors), program.deliver, notice, encoding=spoken)
    try:
        conversation.wait(lambda: starts)
    except DisconnectedError:
        return None
    return conversation, starts[0]
