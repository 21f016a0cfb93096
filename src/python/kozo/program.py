"""A file that is a Role, while it runs: it calls the functions that the file has declared."""

from __future__ import annotations

import sys
from collections import deque
from contextlib import suppress
from time import monotonic

from . import durations, encodings, stdio
from .conversation import Conversation
from .errors import DisconnectedError, KozoError, KozoStopError
from .message import Message, Pattern, matcher
from .settings import Declared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .keeping import Keeper
    from .node import Node

MOMENTS = ("start", "stop", "peer", "reopen")
#: Heads of Messages for which is kept who is called.
_MOST_KNOWN = 1024
#: Messages that wait while a function waits for the Node, beyond what came last.
_MOST_WAITING = 1024
#: Seconds until it says how many were dropped, if more are all the time.
_TELLING = 10.0


class Handler:
    """A function that is called for Messages."""

    def __init__(self, words: Pattern, function: Callable[..., object]) -> None:
        self.words = words
        self.matches = matcher([words])
        self.call = taking(function)


class Timer:
    """A function that is called from time to time, on a grid that begins with the first time."""

    def __init__(self, interval: float | str | Callable[[], float | str], function: Callable[..., object]) -> None:
        self.interval = interval
        self.call = taking(function)
        self.seconds = self.next = 0.0

    def begin(self) -> None:
        """Learn the interval, now that the options are known."""
        interval = self.interval() if callable(self.interval) else self.interval
        self.seconds = durations.seconds(interval)
        if self.seconds <= 0:
            raise KozoError(f"kozo.every({interval!r}): an interval must be positive")
        self.next = monotonic()

    def advance(self, now: float) -> None:
        """Go on to the next time that is still to come."""
        self.next += self.seconds * max(1, -int(-(now - self.next) // self.seconds))


class Program:
    """What a file has declared, and the conversation with the Node while it runs."""

    #: What runs such a file.
    interpreter = "python3"
    #: How it speaks with the Node.
    encoding = "json"

    def __init__(self) -> None:
        self.declared = Declared()
        self.handlers: list[Handler] = []
        self.timers: list[Timer] = []
        self.moments: dict[str, list[Callable[[object], object]]] = {moment: [] for moment in MOMENTS}
        self.keeper: Keeper | None = None
        self.has_run = False
        self._peer: Conversation | Node | None = None
        self._waiting: deque[Message | tuple[str, dict[str, Any]]] = deque()
        #: Messages that were dropped and not told of so far, and when to tell at the latest.
        self._dropped, self._tell_at = 0, 0.0
        self._known: dict[tuple[str | None, ...], list[Callable[[object], object]]] = {}
        self._is_stopping = False
        self._goes_on = True

    # What it says.

    @property
    def peer(self) -> Conversation | Node:
        """What it speaks with.

        Raises:
            KozoError: It does not run.
        """
        if self._peer is None:
            raise KozoError("this works only while kozo.run() runs; a script uses kozo.attach() instead")
        return self._peer

    def patterns(self) -> list[Pattern]:
        """Give what it wants, each once."""
        found: list[Pattern] = []
        for handler in self.handlers:
            if handler.words not in found:
                found.append(handler.words)
        return found

    def wants_peers(self) -> bool:
        """Tell whether it is to be told of Peers."""
        return bool(self.moments["peer"])

    def describe(self) -> dict[str, Any]:
        """Say what it is."""
        from .describing import description

        return description(self)

    # What it is told.

    def deliver(self, messages: list[Message]) -> None:
        """Keep Messages until it is their turn, but not more and more: the oldest are dropped, as in a queue of the Node."""
        if len(self._waiting) > _MOST_WAITING:
            self._drop(len(self._waiting) - _MOST_WAITING)
        self._waiting += messages

    def _drop(self, count: int) -> None:
        if not self._dropped:
            self._tell_at = monotonic() + _TELLING
        oldest = [self._waiting.popleft() for _ in range(count)]
        notices = [item for item in oldest if not isinstance(item, Message)]
        self._dropped += count - len(notices)
        self._waiting.extendleft(reversed(notices))

    def _tell_of_dropped(self, peer: Conversation | Node) -> None:
        """Say how many were dropped: once for all of a flood, unless that does not end."""
        if self._waiting and monotonic() < self._tell_at:
            return
        count, self._dropped = self._dropped, 0
        text = f"{count} Messages dropped, the oldest: more than {_MOST_WAITING} waited while a function waited for the Node"
        with suppress(DisconnectedError):
            peer.log(text, "warning")

    def notice(self, method: str, params: dict[str, Any]) -> None:
        """Keep something else that the Node has said until it is its turn."""
        if method == "stop":
            self._is_stopping = True
        else:
            self._waiting.append((method, params))

    # Running.

    def run_started(self, descriptors: tuple[int, int]) -> None:
        """Speak with the Node that has started this program."""
        from .started import converse

        said = converse(self, descriptors)
        if said is None:
            return
        conversation, start = said
        if self.keeper is not None:
            self.keeper.take(start.stored)
        self._begin(conversation, start.options)
        # The description may be of another version of this file, or a file of its own.
        conversation.say_interest(self.patterns())
        conversation.ready()
        self._go(conversation, self.keeper)

    def run_attached(self, node: str | None, name: str | None, options: dict[str, object]) -> None:
        """Attach to a Node of this machine."""
        from .byhand import ProgramNode

        peer = ProgramNode(self, node, name, options)
        self._begin(peer, options)
        self._go(peer, None)

    def _begin(self, peer: Conversation | Node, options: dict[str, Any]) -> None:
        self._peer = peer
        self.declared.take(options)
        if self.moments["peer"]:
            peer.subscribe("peers")
        for call in self.moments["start"]:
            call(None)
        for timer in self.timers:
            timer.begin()

    def _go(self, peer: Conversation | Node, keeper: Keeper | None) -> None:
        try:
            while not self._is_stopping:
                if self.timers:
                    self._call_timers()
                if self._dropped:
                    self._tell_of_dropped(peer)
                if self._waiting:
                    self._handle(self._waiting.popleft())
                    continue
                try:
                    if keeper is not None and isinstance(peer, Conversation):
                        self._keep(keeper.keep, peer)
                    peer.wait(self._is_called, self._left())
                except DisconnectedError:
                    if not self._waiting:
                        break
        finally:
            self._end(peer, keeper)

    def _is_called(self) -> bool:
        return bool(self._waiting) or self._is_stopping or (self.keeper is not None and self.keeper.is_done())

    def _left(self) -> float | None:
        if not self.timers:
            return None
        return max(0.0, min(timer.next for timer in self.timers) - monotonic())

    def _end(self, peer: Conversation | Node, keeper: Keeper | None) -> None:
        try:
            for call in self.moments["stop"]:
                self._call(call, None, "stop")
            if keeper is not None and isinstance(peer, Conversation):
                self._keep(keeper.finish, peer)
        except DisconnectedError:
            # It is gone, and hears nothing.
            pass
        finally:
            self._peer = None
            peer.close()

    def _keep(self, keep: Callable[[Conversation], None], conversation: Conversation) -> None:
        try:
            keep(conversation)
        except DisconnectedError:
            raise
        except KozoError as error:
            conversation.log(str(error), "warning")

    def _handle(self, item: Message | tuple[str, dict[str, Any]]) -> None:
        if isinstance(item, Message):
            about = (item.kind, item.type, item.channel, item.role, item.node)
            calls = self._known.get(about)
            if calls is None:
                calls = self._find(about, item)
            for call in calls:
                self._call(call, item, item)
        else:
            moment, params = item
            for call in self.moments.get(moment, ()):
                self._call(call, params, moment)

    def _find(self, about: tuple[str | None, ...], message: Message) -> list[Callable[[object], object]]:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        calls = [handler.call for handler in self.handlers if handler.matches(message)]
        self._known[about] = calls
        return calls

    def _call_timers(self) -> None:
        now = monotonic()
        for timer in self.timers:
            if timer.next <= now:
                timer.advance(now)
                self._call(timer.call, None, "every")

    def _call(self, call: Callable[[object], object], argument: object, about: object) -> None:
        try:
            call(argument)
        except KozoStopError:
            self._is_stopping = True
        except DisconnectedError:
            raise
        except Exception as error:  # noqa: BLE001 - the Role goes on, or fails as it says
            from .failing import report

            report(error, about, self._peer)
            if not self._goes_on:
                raise SystemExit(1) from None

    def run(
        self, on_error: str, node: str | None, name: str | None, arguments: Sequence[str] | None, encoding: str
    ) -> None:
        """Be a Role; see `run`, which is what to call."""
        if on_error not in ("continue", "fail"):
            raise KozoError(f"on_error must be 'continue' or 'fail', not {on_error!r}")
        encodings.check(encoding)
        self.encoding = encoding
        self.has_run, self._goes_on = True, on_error == "continue"
        if stdio.is_described():
            from .describing import print_description

            print_description(self.describe())
        _end_when_told()
        try:
            if stdio.is_spoken_to():
                self.run_started(stdio.claim())
            else:
                from .byhand import run

                run(self, node, name, sys.argv[1:] if arguments is None else arguments)
        except KeyboardInterrupt:
            # That is how one who started it by hand ends it.
            pass


def taking(function: Callable[..., object]) -> Callable[[object], object]:
    """Give what calls a function with what it was called for, if it takes that."""
    code = getattr(function, "__code__", None)
    if code is not None and code.co_flags & 0x80:
        raise TypeError(f"{function.__name__} is async, but a Role calls plain functions; kozo.aio is for scripts")
    is_method = hasattr(function, "__self__")
    if code is not None and code.co_argcount - is_method == 0 and not code.co_flags & 0x04:
        return lambda _: function()
    return function


def _end_when_told() -> None:
    """Let SIGTERM end what a handler does, in order that what it has stored is kept."""
    import signal
    import threading

    def end(_number: int, _frame: object) -> None:
        raise SystemExit(0)

    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)
