"""Messages as programs get them, and what they declare that they want."""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, ClassVar

    from . import aio
    from .conversation import Conversation
    from .node import Node

#: Messages that a queue keeps for a program that does not take them; then the oldest are dropped.
MOST_WAITING = 100_000
#: Characters that are shown of the data of a Message.
_LONGEST_SHOWN = 1000

#: Patterns of `kind`, `type`, `channel`, `role` and `node`, of which some may be missing.
Pattern = dict[str, str]

_WORDS = ("kind", "type", "channel", "role", "node")


class Message:
    """A Message that a Role sent.

    Handlers get Messages, and iterating over `receive()` yields them:

    >>> node = kozo.attach()
    >>> with node.receive("event", "door") as doors:
    ...     node.send("event", "door", channel="front", data={"open": True})
    ...     message = next(doors)
    >>> message.type, message.channel, message.data
    ('door', 'front', {'open': True})
    >>> node.close()
    """

    __slots__ = ()

    #: When it was sent: microseconds since 1970, by the clock of its Node.
    time: int
    #: The Node that sent it.
    node: str
    #: The random number of that run of the Node, as a text.
    boot: str
    #: Its number among the Messages of that run.
    id: int
    #: The Role that sent it.
    role: str
    #: `event`, `order`, `log` or `reply`.
    kind: str
    #: What it is about.
    type: str
    #: What it is about, more closely; None if it has no channel.
    channel: str | None
    # msgspec would look for these words of `typing`, which is imported only where types are checked.
    if TYPE_CHECKING:
        #: Its data: None, bool, int, float, str, bytes, and lists and dicts of those.
        data: Any

        _speaker: ClassVar[Any]
    else:
        _speaker = None

    def reply(self, data: object = None, *, type: str | None = None) -> Any:
        """Send a Reply to it, with the same channel and, by default, the same type. With `kozo.aio`, await this."""
        if self._speaker is None:
            raise TypeError("only a Message that came from a Node can be replied to")
        return self._speaker.send("reply", type or self.type, data, channel=self.channel)

    def __repr__(self) -> str:
        """Show what it is about."""
        channel = "" if self.channel is None else f" channel={self.channel!r}"
        data = repr(self.data)
        if len(data) > _LONGEST_SHOWN:
            data = f"{data[:_LONGEST_SHOWN]}…"
        return f"<{self.kind} {self.type!r}{channel} from {self.role}@{self.node}: {data}>"


def message_class(speaker: Conversation | Node | aio.Node) -> type[Message]:
    """Give the class of the Messages that come from a Node, which reply by this."""
    return type("Message", (Message,), {"_speaker": speaker})


def pattern(
    kind: str | None,
    type: str | None,
    channel: str | None,
    role: str | None,
    node: str | None,
) -> Pattern:
    """Give the pattern with those of these words that are there."""
    words = zip(_WORDS, (kind, type, channel, role, node), strict=True)
    return {name: text for name, text in words if text is not None}


class Queue:
    """Messages that match a pattern, until they are taken."""

    def __init__(self, words: Pattern) -> None:
        """Take what matches these words."""
        self.pattern = words
        self.matches = matcher([words])
        self.messages: deque[Message] = deque(maxlen=MOST_WAITING)
        self.is_closed = False

    def is_ready(self) -> bool:
        """Tell whether there is something to learn."""
        return bool(self.messages) or self.is_closed

    def __str__(self) -> str:
        """Show what it takes, and what waits."""
        words = "".join(f" {name}={text!r}" for name, text in self.pattern.items()) or " everything"
        return f"{words[1:]}, {'closed' if self.is_closed else f'{len(self.messages)} waiting'}"


def matcher(patterns: Iterable[Pattern]) -> Callable[[Message], bool]:
    r"""Give what tells whether a Message is wanted, as the Node decides it.

    `*` stands for any characters, `?` for one, and `\` takes away the meaning of what is behind it.
    """
    tests = [_test(words) for words in patterns]
    if len(tests) == 1:
        return tests[0]
    return lambda message: any(test(message) for test in tests)


def _test(words: Pattern) -> Callable[[Message], bool]:
    literals: list[tuple[str, str]] = []
    globs: list[tuple[str, Callable[[str], object]]] = []
    for name, text in words.items():
        if any(special in text for special in "*?\\"):
            globs.append((name, _glob(text)))
        else:
            literals.append((name, text))

    def is_wanted(message: Message) -> bool:
        for name, text in literals:
            if getattr(message, name) != text:
                return False
        for name, matches in globs:
            text = getattr(message, name)
            if text is None or not matches(text):
                return False
        return True

    return is_wanted


def _glob(text: str) -> Callable[[str], object]:
    import re

    parts = []
    characters = iter(text)
    for character in characters:
        if character == "*":
            parts.append(".*")
        elif character == "?":
            parts.append(".")
        elif character == "\\":
            parts.append(re.escape(next(characters, "\\")))
        else:
            parts.append(re.escape(character))
    return re.compile("".join(parts), re.DOTALL).fullmatch
