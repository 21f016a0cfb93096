"""A Node as a script sees it: `kozo.attach()`."""

from __future__ import annotations

import threading
from time import monotonic, sleep

from .attaching import Attached, NameTakenError, attach
from .conversation import LONGEST_WAIT, Conversation, Start
from .errors import DisconnectedError, NoNodeError
from .message import Message, Pattern, Queue, pattern
from .places import asked
from .stream import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Any, Self, TypeVar

    from .sent import Sent

    T = TypeVar("T")

#: Seconds for which something that is said waits for a Node that has gone.
PATIENCE = 30.0
#: Seconds between two attempts to reach a Node that has gone.
PAUSE = 0.1


class Node:
    """A Node to which this program is attached as a Role.

    It is safe to use from all threads. It detaches on `close()`, at the end of a `with` block, when the program ends, or
    some time after the program drops its last reference to it, its receivers and its Messages.

    >>> with kozo.attach(name="porter") as node:
    ...     node.send("event", "door", data={"open": True})
    ...     node
    <Node 'clock', attached as 'porter'>

    When the Node restarts, this object attaches again under the same name and restores its interest. `receive()` waits
    for that as long as necessary, all other calls at most `patience` seconds before they raise `DisconnectedError`. The
    program misses the Messages sent meanwhile. A Message that it sent just before the Node stopped may be lost;
    `confirm=True` raises in that case.
    """

    def __init__(self, node: str | None, name: str | None, patience: float, details: dict[str, Any]) -> None:
        """Attach; see `kozo.attach`, which is what to call. `details` are what the Node is told besides the name."""
        self._patience, self._details = patience, details
        self._lock = threading.Lock()
        # Held while it attaches again, which takes long where a Node hangs.
        self._attaching = threading.Lock()
        self._queues: list[Queue] = []
        self._has_left = False
        self._states: dict[str, str] = {}
        self._wants_peers = False
        self._is_closed = False
        self._status: str | None = None
        node = asked(node)
        attached = attach(node, name, details)
        #: What the Node has said first.
        self.start = Start(attached.start)
        #: The name of the Role that this program is.
        self.role = self.start.role
        #: The name of the Node.
        self.name = self.start.node
        # That of another Node could be the only one there is later.
        self._asked = node or self.name
        self._conversation = self._converse(attached)

    def _converse(self, attached: Attached) -> Conversation:
        descriptor = attached.connection.detach()
        stream = Stream(descriptor, descriptor)
        conversation = Conversation(
            stream, self._deliver, self._notice, encoding=attached.encoding, begun=attached.rest, speaker=self
        )
        try:
            self._say_again(conversation)
        except BaseException:
            conversation.close()
            raise
        return conversation

    def _say_again(self, conversation: Conversation) -> None:
        """Say what a Node that has just started does not know."""
        if self._queues:
            # First, so that a Role that runs again wants what it wanted.
            conversation.interest(self._patterns())
        conversation.ready()
        if self._status is not None:
            conversation.status(self._status)
        if self._wants_peers:
            self._states.clear()
            conversation.subscribe("peers")

    # Sending.

    def send(
        self,
        kind: str,
        type: str | None = None,
        data: object = None,
        *,
        channel: str | None = None,
        confirm: bool = False,
    ) -> Sent | None:
        """Send a Message.

        Args:
            kind: `event`, `order`, `log` or `reply`.
            type: The type, such as `door`; optional for a log.
            data: None, a bool, a number, a text, bytes, or a list, tuple or dict of those.
            channel: The channel, such as `kitchen`.
            confirm: Wait until the Node has the Message, and return how many receivers it was queued for.

        Raises:
            KozoError: The Message is invalid, the Node refuses it, or the Node is gone and did not come back.
            TypeError: `data` contains a value that a Message cannot carry.
        """
        if self._has_left:
            self._say_interest()
        try:
            return self._conversation.send(kind, type, data, channel, confirm)
        except DisconnectedError:
            # Whether it was sent is not known then, and who asks wants to know.
            if confirm:
                raise
        return self._send_later(kind, type, data, channel)

    def _send_later(self, kind: str, type: str | None, data: object, channel: str | None) -> Sent | None:
        return self._with(lambda talk: talk.send(kind, type, data, channel))

    def log(self, text: str, level: str = "info") -> None:
        """Write a line to the journal of the Node; the level is `error`, `warning`, `info` or `debug`."""
        self._with(lambda talk: talk.log(text, level))

    def status(self, text: str | None) -> None:
        """Set what `kozoctl role` shows of this program; None takes it away."""
        self._status = text
        self._with(lambda talk: talk.status(text))

    # Receiving.

    def receive(
        self,
        kind: str | None = None,
        type: str | None = None,
        *,
        channel: str | None = None,
        role: str | None = None,
        node: str | None = None,
        timeout: float | None = None,
    ) -> Receiver:
        r"""Receive the Messages that match, from now on, one after the other.

        In a pattern, `*` matches any characters, `?` matches one, and `\` escapes the next character.

        >>> node = kozo.attach()
        >>> bells = node.receive("order", "ring*")
        >>> node.send("order", "ring twice")
        >>> next(bells)
        <order 'ring twice' from pytest@clock: None>
        >>> bells.get(timeout=0.01) is None
        True
        >>> node.close()

        Args:
            kind: `event`, `order`, `log` or `reply`. Default: all kinds.
            type: A pattern for the type.
            channel: A pattern for the channel; Messages without a channel never match it.
            role: A pattern for the name of the sending Role.
            node: A pattern for the name of the sending Node.
            timeout: End the iteration after this many seconds without a Message.
        """
        queue = Queue(pattern(kind, type, channel, role, node))
        # What came for a pattern that was wanted before is not for this one.
        self._say_interest(queue.pattern)
        with self._lock:
            self._queues = [*self._queues, queue]
        return Receiver(self, queue, timeout)

    def peers(self) -> dict[str, str]:
        """Return the Peers of the Node with the state of the link to each: `up`, `down`, `idle` or `disabled`.

        >>> with kozo.attach() as node:
        ...     node.peers()
        {}
        """
        if not self._wants_peers:
            self._with(lambda talk: talk.subscribe("peers"))
            self._wants_peers = True
        # What the Node says of Peers comes right behind its answer, so before the answer to the next request.
        self._say_interest()
        return dict(self._states)

    def _patterns(self) -> list[Pattern]:
        return [queue.pattern for queue in self._queues]

    def _say_interest(self, *more: Pattern) -> None:
        with self._lock:
            self._has_left = False
            self._queues = [queue for queue in self._queues if not queue.is_closed]
        self._with(lambda talk: talk.interest([*self._patterns(), *more]))

    def _leave(self, queue: Queue) -> None:
        # This may come from the garbage collector, so what it leads to is said later.
        queue.is_closed = True
        self._has_left = True

    def _deliver(self, messages: list[Message]) -> None:
        queues = self._queues
        for queue in queues:
            # One alone has only what the Node found to match.
            queue.messages += messages if len(queues) == 1 else filter(queue.matches, messages)

    def _notice(self, method: str, params: dict[str, Any]) -> None:
        if method == "peer":
            if params["state"] == "removed":
                self._states.pop(params["name"], None)
            else:
                self._states[params["name"]] = params["state"]
        elif method == "stop":
            # A Node that ends may come back, and a Role that it has stopped does not.
            self._is_closed = self._is_closed or params.get("ends") == "role"
            self._conversation.close("the Node has stopped this Role")

    # A Node that goes and comes back.

    def _with(self, say: Callable[[Conversation], T]) -> T:
        """Say something, for as long as it takes a Node that has gone to come back."""
        deadline = monotonic() + self._patience
        while True:
            conversation = self._conversation
            try:
                return say(conversation)
            except DisconnectedError:
                if not self._reconnect(conversation, deadline):
                    text = f"the Node '{self.name}' is gone and did not come back within {self._patience:g} s"
                    raise DisconnectedError(text) from None

    def wait(self, is_there: Callable[[], object], timeout: float | None = None) -> bool:
        """Wait until `is_there()` is true, checking after each line from the Node; keep waiting while the Node restarts."""
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            conversation = self._conversation
            left = None if deadline is None else max(0.0, deadline - monotonic())
            try:
                return conversation.wait(is_there, left)
            except DisconnectedError:
                if not self._reconnect(conversation, deadline):
                    return False

    def _reconnect(self, conversation: Conversation, deadline: float | None) -> bool:
        """Attach again, unless another thread has; say whether that went well in time.

        Raises:
            DisconnectedError: It is closed.
            KozoError: It cannot be done, however long it is tried.
        """
        while self._conversation is conversation:
            self._check_open(conversation)
            # Who has less time than the thread that tries it gives up in time.
            left = -1 if deadline is None else max(0.0, deadline - monotonic())
            if not self._attaching.acquire(timeout=min(left, LONGEST_WAIT)):
                return False
            try:
                if self._conversation is conversation and self._attach_again(conversation):
                    return True
            finally:
                self._attaching.release()
            if deadline is not None and monotonic() >= deadline:
                return False
            sleep(PAUSE)
        return True

    def _attach_again(self, conversation: Conversation) -> bool:
        """Attach once, in place of a conversation that has ended; say whether the Node is there."""
        self._check_open(conversation)
        try:
            made = self._converse(attach(self._asked, self.role, self._details))
        except (NoNodeError, NameTakenError, DisconnectedError):
            return False
        self._conversation = made
        conversation.close()
        if self._is_closed:
            # It was closed meanwhile, when this conversation was not known.
            made.close("it was closed by this program")
            self._check_open(made)
        return True

    def _check_open(self, conversation: Conversation) -> None:
        if self._is_closed:
            raise DisconnectedError(conversation.ended or "it was closed by this program")

    def subscribe(self, *facts: str) -> None:
        """Ask the Node to report changes."""
        self._with(lambda talk: talk.subscribe(*facts))

    def close(self) -> None:
        """Detach from the Node. Iterations over its receivers end."""
        self._is_closed = True
        self._conversation.close("it was closed by this program")

    def __enter__(self) -> Self:
        """Detach at the end of the block."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        """Detach."""
        self.close()

    def __repr__(self) -> str:
        """Show where it is attached."""
        state = "closed" if self._is_closed else f"attached as {self.role!r}"
        return f"<Node {self.name!r}, {state}>"


class Receiver:
    """The Messages that match a pattern, one after the other.

    It is an iterator, and a context manager that ends the interest; dropping the last reference also ends it, as the end of
    a `for` loop does. Ctrl-C raises `KeyboardInterrupt` in it; it can be used again after that. Several threads may read
    from one receiver; each Message goes to one of them.
    """

    def __init__(self, node: Node, queue: Queue, timeout: float | None) -> None:
        """Take what comes into the queue."""
        self._node, self._queue, self._timeout = node, queue, timeout

    def get(self, timeout: float | None = None) -> Message | None:
        """Return the next Message, or None after this many seconds or after `close()`."""
        queue = self._queue
        try:
            while not queue.messages:
                if queue.is_closed or not self._node.wait(queue.is_ready, timeout):
                    return None
            return queue.messages.popleft()
        except IndexError:
            # Another thread was faster.
            return self.get(timeout)
        except DisconnectedError:
            return None

    def __iter__(self) -> Iterator[Message]:
        """Give the next Message, again and again."""
        # Faster than a call of `__next__` for each.
        take = self._queue.messages.popleft
        while True:
            try:
                message = take()
            except IndexError:
                late = self.get(self._timeout)
                if late is None:
                    return
                message = late
            yield message

    def __next__(self) -> Message:
        """Wait for the next Message."""
        try:
            return self._queue.messages.popleft()
        except IndexError:
            message = self.get(self._timeout)
        if message is None:
            raise StopIteration
        return message

    def __repr__(self) -> str:
        """Show what it receives."""
        return f"<Receiver of {self._queue}>"

    def close(self) -> None:
        """End the interest. Iterations end after the Messages that arrived before."""
        if not self._queue.is_closed:
            self._node._leave(self._queue)  # noqa: SLF001 - the two belong together

    def __enter__(self) -> Self:
        """End the interest at the end of the block."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the interest."""
        self.close()

    def __del__(self) -> None:
        """End the interest of one that was forgotten."""
        self.close()
