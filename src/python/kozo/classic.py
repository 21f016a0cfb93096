"""The API of 2014: a class that is a Role, and a `roleInfo` that describes it.

    import time
    from kozo import Role

    class Timer(Role):
        def getRateControl(self):
            return self["tick"]

        def run(self):
            self.sendEvent("tick", data=(self["message"], time.strftime("%H:%M:%S")))

    roleInfo = {
        "format": "1.0",
        "class": Timer,
        "config": {"tick": {"default": 1, "description": "Seconds between two."}, "message": {"default": None}},
    }

A Node runs such a file as it is, and so does `python3 -m kozo timer.py`.

`isInterestedIn` is code that only this Role has, so the Node cannot know what it wants: such a Role gets every Message of the
System, over the network and through `isInterestedIn`, one after the other. One that declares its interest as data gets what it
wants and nothing else; `isInterestedIn` chooses among those then, if it is there:

    roleInfo = {..., "interest": [{"kind": "event", "type": "tick"}]}
"""

from __future__ import annotations

from .errors import KozoError
from .system import SystemNode, kozoSystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .classic_running import Running
    from .messages import RoleMessage

#: Messages that wait for `getMessage`, if the Role does not say how many.
_QUEUE_LENGTH = 1024


class Role:
    """A Role, to be derived from.

    Override `run`, which is called repeatedly, and if necessary `localInit`, `getRateControl` and `isInterestedIn`.
    All other methods are for you to call.
    """

    _info: Mapping[str, Any]

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        """Be the Role of this name, with these options."""
        self._name, self._options = name, dict(options)
        self._running: Running | None = None

    # To be overridden.

    def init(self) -> None:
        """Prepare, before `localInit`. In 2014 every Node did that for all Roles; now only that of the Role does."""

    def localInit(self) -> None:
        """Prepare, on the Node of the Role, before `run` is called first."""

    def run(self) -> None:
        """Do something. Called repeatedly until the Role must stop; an exception makes it fail."""
        raise NotImplementedError("a Role has a method `run`")

    def isInterestedIn(self, message: RoleMessage) -> bool:  # noqa: ARG002 - it is there to be overridden
        """Tell whether `getMessage` is to give this one."""
        return True

    def getRateControl(self) -> float | None:
        """Return the seconds from one call of `run` to the next; None if `run` waits by itself."""
        return None

    def getMessageRateControlOverride(self) -> bool:
        """Tell whether `run` is called at once when a Message waits."""
        return False

    def getMessageQueueLength(self) -> int:
        """Return how many Messages may wait for `getMessage`; when the queue is full, the oldest are dropped."""
        return _QUEUE_LENGTH

    # To be called.

    def __getitem__(self, option: str) -> Any:
        """Return the value of an option; None if it does not exist."""
        return self._options.get(option)

    def getName(self) -> str:
        """Return its name."""
        return self._name

    def getNode(self) -> SystemNode:
        """Return the Node that it is on."""
        return kozoSystem().known(self._now().node)

    def getMessage(self, timeout: float | None = None) -> RoleMessage | None:
        """Return the next Message that the Role is interested in; None if none arrives within this many seconds.

        Raises:
            KozoStopError: The Role must stop. Do not catch it.
        """
        return self._now().next(timeout)

    def sendEvent(self, eventType: str, channel: str | None = None, data: Any = None) -> None:
        """Send an Event."""
        self._now().peer.send("event", eventType, data, channel=channel)

    def sendOrder(self, orderType: str, channel: str | None = None, data: Any = None) -> None:
        """Send an Order."""
        self._now().peer.send("order", orderType, data, channel=channel)

    def sendLog(self, *parts: object) -> None:
        """Send a Log of these parts, with spaces between them."""
        self._now().peer.send("log", None, _line(parts))

    def info(self, *parts: object) -> None:
        """Write a line to the journal."""
        self._now().peer.log(_line(parts))

    def warn(self, *parts: object) -> None:
        """Write a warning to the journal."""
        self._now().peer.log(_line(parts), "warning")

    def error(self, *parts: object) -> None:
        """Write an error to the journal."""
        self._now().peer.log(_line(parts), "error")

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            KozoStopError: The Role must stop. Do not catch it.
        """
        self._now().sleep(seconds)

    def getStorage(self, default: Any = None) -> Any:
        """Return the value that was stored last, in this run or an earlier one."""
        stored = self._now().stored
        return default if stored is None else stored

    def setStorage(self, value: Any) -> None:
        """Store a value, replacing the previous one.

        Raises:
            RefusedError: The Node has no `roleStorage`.
        """
        self._now().store(value)

    def _now(self) -> Running:
        if self._running is None:
            raise KozoError("a Role can do this only from `localInit` on")
        return self._running

    def __str__(self) -> str:
        """Show its name."""
        return self._name


def _line(parts: tuple[object, ...]) -> str:
    return " ".join(map(str, parts))
