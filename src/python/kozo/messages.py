"""Messages in the API of 2014.

    from kozo.messages import Event

    class Cuckoo(Role):
        def isInterestedIn(self, message):
            return isinstance(message, Event) and message.getEventType() == "tick"

They are views of a `kozo.Message`.
"""

from __future__ import annotations

from .values import tuples

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .message import Message
    from .system import SenderRole, SystemNode


class RoleMessage:
    """What a Role has sent."""

    def __init__(self, message: Message) -> None:
        """Show a Message so. Lists in its data become tuples, as they were then."""
        self._message = message
        self._data: Any = tuples(message.data)

    def getType(self) -> str:
        """Return the kind of all such Messages, as opposed to heartbeats."""
        return "role"

    def getRoleType(self) -> str:
        """Return its kind: `event`, `order`, `log` or `reply`."""
        return self._message.kind

    def getTimestamp(self) -> float:
        """Return when it was sent, in seconds since 1970, by the clock of its Node."""
        return self._message.time / 1e6

    def getChannel(self) -> str | None:
        """Return its channel, or None."""
        return self._message.channel

    def getData(self) -> Any:
        """Return its data."""
        return self._data

    def getSender(self) -> SystemNode:
        """Return the Node that sent it."""
        from .system import kozoSystem

        return kozoSystem().known(self._message.node)

    def getSenderNode(self) -> SystemNode:
        """Return the Node that sent it."""
        return self.getSender()

    def getSenderRole(self) -> SenderRole:
        """Return the Role that sent it: its name, and its Node."""
        from .system import SenderRole

        return SenderRole(self._message.role, self.getSender())

    def __repr__(self) -> str:
        """Show what it is about."""
        return repr(self._message)


class Event(RoleMessage):
    """Something happened."""

    def getEventType(self) -> str:
        """Return its type."""
        return self._message.type

    def getEventData(self) -> Any:
        """Return its data."""
        return self._data


class Order(RoleMessage):
    """A Role should do something."""

    def getOrderType(self) -> str:
        """Return its type."""
        return self._message.type

    def getOrderData(self) -> Any:
        """Return its data."""
        return self._data


class Log(RoleMessage):
    """A line to keep."""

    def getMessage(self) -> str:
        """Return the line."""
        return self._data if isinstance(self._data, str) else str(self._data)


class Reply(RoleMessage):
    """The answer to an Order. There were none in 2014."""


_CLASSES = {"event": Event, "order": Order, "log": Log, "reply": Reply}


def of(message: Message) -> RoleMessage:
    """Return a Message as the API of 2014 has it."""
    return _CLASSES.get(message.kind, RoleMessage)(message)
