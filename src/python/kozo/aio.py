"""The same as `kozo.attach()`, for asyncio.

>>> import asyncio
>>> from kozo import aio
>>> async def main():
...     async with await aio.attach(name="porter") as node:
...         async with await node.receive("event", "door") as doors:
...             await node.send("event", "door", data={"open": True})
...             async for message in doors:
...                 return message
>>> asyncio.run(main())
<event 'door' from porter@clock: {'open': True}>
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from . import attaching
from .conversation import LARGE, PATIENCE
from .encodings import details
from .errors import DisconnectedError, KozoError, NoNodeError, RefusedError
from .lines import check_length, log_line, notification, request, status_line
from .message import Message, Pattern, Queue, pattern
from .places import asked
from .sent import Sent, sent
from .stream import GATHERED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from typing import Self

    from .lines import Line

T = TypeVar("T")

#: Seconds between two attempts to reach a Node that has gone.
PAUSE = 0.1
#: Seconds that a Node may take to read the last that a program has said.
_ENDING = 5.0


async def attach(
    node: str | None = None,
    *,
    name: str | None = None,
    patience: float = 30.0,
    queue_length: int = 1024,
    encoding: str = "json",
) -> Node:
    """Attach to a Node of this machine; see `kozo.attach`, which has the same arguments and exceptions."""
    node, said = asked(node), details(encoding, messageQueueLength=queue_length)
    attached = await asyncio.to_thread(attaching.attach, node, name, said)
    made = Node(node, patience, said, attached)
    try:
        await made.converse(made.talk)
    except BaseException:
        await made.close()
        raise
    return made


class Node:
    """A Node to which this program is attached; see `kozo.Node`. It belongs to one event loop and must be closed."""

    def __init__(
        self, node: str | None, patience: float, details: dict[str, Any], attached: attaching.Attached
    ) -> None:
        """See `attach`, which is what to call."""
        self._details = details
        #: The name of the Role that this program is.
        self.role: str = attached.start["role"]
        #: The name of the Node.
        self.name: str = attached.start["node"]
        self._asked, self._patience = node or self.name, patience
        self._queues: list[_Queue] = []
        self._status: str | None = None
        self._is_closed = False
        #: What is said with the Node now.
        self.talk = _Talk(self, attached)

    async def converse(self, talk: _Talk) -> None:
        """Speak over this connection from now on."""
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: talk, sock=talk.connection)
        if self._is_closed:
            talk.close()
            return
        self.talk = talk
        # What follows may fail, and is tried again then.
        talk.keep(loop.create_task(self._look_after(talk)))
        if self._queues:
            await talk.ask("interest", {"patterns": self._patterns()})
        talk.tell(notification("ready"))
        if self._status is not None:
            talk.tell(status_line(self._status))

    async def _look_after(self, talk: _Talk) -> None:
        """Attach again when the Node has gone, and comes back."""
        await talk.ended.wait()
        if talk.is_stopped:
            await self.close()
        # It is tried for as long as anything is waited for.
        while not self._is_closed and self.talk is talk:
            try:
                await self._reconnect()
            except (NoNodeError, attaching.NameTakenError, DisconnectedError):
                await asyncio.sleep(PAUSE)
            except KozoError:
                await self.close()

    async def _reconnect(self) -> None:
        attached = await asyncio.to_thread(attaching.attach, self._asked, self.role, self._details)
        if self._is_closed:
            attached.connection.close()
        else:
            await self.converse(_Talk(self, attached))

    async def _with(self, say: Callable[[_Talk], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    if self._is_closed:
                        raise DisconnectedError(self.talk.why or "it was closed by this program")
                    talk = self.talk
                    try:
                        return await say(talk)
                    except DisconnectedError:
                        await asyncio.sleep(PAUSE)
        except TimeoutError:
            text = f"the Node '{self.name}' is gone and did not come back within {self._patience:g} s"
            raise DisconnectedError(text) from None

    async def send(
        self,
        kind: str,
        type: str | None = None,
        data: object = None,
        *,
        channel: str | None = None,
        confirm: bool = False,
    ) -> Sent | None:
        """Send a Message; see `kozo.Node.send`. It waits until the Node has taken the Messages before it."""
        if confirm:
            return await self.talk.send_confirmed(kind, type, data, channel)
        if not self.talk.send_now(kind, type, data, channel):
            await self._with(lambda talk: talk.send(kind, type, data, channel))
        return None

    async def log(self, text: str, level: str = "info") -> None:
        """Write a line to the journal of the Node; the level is `error`, `warning`, `info` or `debug`."""
        await self._with(lambda talk: talk.say(log_line(text, level)))

    async def status(self, text: str | None) -> None:
        """Set what `kozoctl role` shows of this program; None takes it away."""
        self._status = text
        await self._with(lambda talk: talk.say(status_line(text)))

    async def receive(
        self,
        kind: str | None = None,
        type: str | None = None,
        *,
        channel: str | None = None,
        role: str | None = None,
        node: str | None = None,
    ) -> Receiver:
        """Receive the Messages that match, from now on, one after the other; see `kozo.Node.receive`."""
        queue = _Queue(pattern(kind, type, channel, role, node))
        await self._say_interest(queue.pattern)
        self._queues.append(queue)
        return Receiver(self, queue)

    def _patterns(self) -> list[Pattern]:
        return [queue.pattern for queue in self._queues]

    async def _say_interest(self, *more: Pattern) -> None:
        await self._with(lambda talk: talk.ask("interest", {"patterns": [*self._patterns(), *more]}))

    async def forget(self, queue: _Queue) -> None:
        """Receive no more of these Messages."""
        if queue in self._queues:
            self._queues.remove(queue)
            queue.close()
            if not self._is_closed:
                await self._say_interest()

    def deliver(self, messages: list[Message]) -> None:
        """Take what has come."""
        for queue in self._queues:
            # One alone has only what the Node found to match.
            queue.put(messages if len(self._queues) == 1 else filter(queue.matches, messages))

    async def close(self) -> None:
        """Detach from the Node. Iterations over its receivers end."""
        self._is_closed = True
        self.talk.close()
        for queue in self._queues:
            queue.close()
        await self.talk.wait_until_closed()

    async def __aenter__(self) -> Self:
        """Detach at the end of the block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Detach."""
        await self.close()

    def __repr__(self) -> str:
        """Show where it is attached."""
        state = "closed" if self._is_closed else f"attached as {self.role!r}"
        return f"<Node {self.name!r}, {state}>"


class _Queue(Queue):
    """A queue of which a task can wait for the next Message."""

    def __init__(self, words: Pattern) -> None:
        super().__init__(words)
        self._changed = asyncio.Event()

    def put(self, messages: Iterable[Message]) -> None:
        self.messages += messages
        self._changed.set()

    def close(self) -> None:
        self.is_closed = True
        self._changed.set()

    async def take(self) -> Message | None:
        """Wait for a Message; None once it is closed and all are taken."""
        while not self.messages:
            if self.is_closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self.messages.popleft()


class Receiver:
    """The Messages that match a pattern: an asynchronous iterator, and a context manager that ends the interest."""

    def __init__(self, node: Node, queue: _Queue) -> None:
        """Take what comes into the queue."""
        self._node, self._queue = node, queue

    def __aiter__(self) -> Self:
        """Give itself."""
        return self

    async def __anext__(self) -> Message:
        """Wait for the next Message."""
        message = await self._queue.take()
        if message is None:
            raise StopAsyncIteration
        return message

    def __repr__(self) -> str:
        """Show what it receives."""
        return f"<Receiver of {self._queue}>"

    async def close(self) -> None:
        """End the interest. Iterations end after the Messages that arrived before."""
        await self._node.forget(self._queue)

    async def __aenter__(self) -> Self:
        """End the interest at the end of the block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the interest."""
        await self.close()


class _Talk(asyncio.Protocol):
    """What is said with one Node over one connection."""

    def __init__(self, node: Node, attached: attaching.Attached) -> None:
        self._deliver = node.deliver
        encoding, self.connection = attached.encoding, attached.connection
        self._reader, self._sender, self._encode = encoding.reader(node), encoding.sender(), encoding.encode
        self._begun = attached.rest
        self._transport: asyncio.Transport | None = None
        self._gathered: list[bytes] = []
        self._size = 0
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._answers: dict[int, asyncio.Future[Line]] = {}
        self._number = 0
        self._task: asyncio.Task[None] | None = None
        self.ended = asyncio.Event()
        self._is_gone = asyncio.Event()
        self.is_stopped = False
        self.why = ""

    def keep(self, task: asyncio.Task[None]) -> None:
        """Hold a task that goes on for as long as this does."""
        self._task = task

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        if self._begun:
            self.data_received(self._begun)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"the Node has gone: {exc}" if exc else "the Node has closed the connection")
        self._is_gone.set()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        whole = self._reader.cut(data)
        for part in self._reader.read(whole) if whole else ():
            if isinstance(part, list):
                self._deliver(part)
            else:
                self._heed(part)

    def _heed(self, line: Line) -> None:
        if line.get("method") == "stop":
            # A Node that ends may come back, and a Role that it has stopped does not.
            self.is_stopped = line["params"].get("ends") == "role"
            self.why = "the Node has stopped this Role"
            self.close()
        elif line.get("id") in self._answers:
            answer = self._answers.pop(line["id"])
            if not answer.done():
                answer.set_result(line)
        elif "error" in line:
            self.why = f"the Node does not understand this program: {line['error']['message']}"

    def write(self, line: bytes) -> None:
        """Write what is encoded, with what else is said in this turn of the event loop."""
        check_length(line)
        if self.ended.is_set():
            raise DisconnectedError(self.why)
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self._flush)
        self._gathered.append(line)
        self._size += len(line)
        if self._size >= GATHERED:
            # A task that only sends gives the event loop no turn until it has to wait.
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._gathered)
        self._gathered.clear()
        self._size = 0
        if self._transport is not None and data and not self.ended.is_set():
            self._transport.write(data)

    def tell(self, line: Line) -> None:
        """Say something that is not answered."""
        self.write(self._encode(line))

    async def say(self, line: Line) -> None:
        """Do the same, where it is to be awaited."""
        self.tell(line)

    def send_now(self, kind: str, message_type: str | None, data: object, channel: str | None) -> bool:
        """Send a Message, if nothing has to be waited for."""
        line = self._sender.line(kind, message_type, channel, data)
        is_possible = len(line) < LARGE and self._may_write.is_set() and not self.ended.is_set()
        if is_possible:
            self.write(line)
        return is_possible

    async def send(self, kind: str, message_type: str | None, data: object, channel: str | None) -> None:
        """Send a Message."""
        line = self._sender.line(kind, message_type, channel, data)
        if len(line) >= LARGE:
            await self.send_confirmed(kind, message_type, data, channel)
            return
        self.write(line)
        if not self._may_write.is_set():
            await self._may_write.wait()

    async def send_confirmed(self, kind: str, message_type: str | None, data: object, channel: str | None) -> Sent:
        """Send a Message, and learn what became of it."""
        number = self._expect()
        line = self._sender.line(kind, message_type, channel, data, number)
        return sent(await self._answer(number, line))

    async def ask(self, method: str, params: dict[str, object]) -> dict[str, Any]:
        """Say something that is answered, and give the answer."""
        number = self._expect()
        return await self._answer(number, self._encode(request(number, method, params)))

    def _expect(self) -> int:
        self._number += 1
        return self._number

    async def _answer(self, number: int, line: bytes) -> dict[str, Any]:
        self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            self.write(line)
            async with asyncio.timeout(PATIENCE):
                answer = await self._answers[number]
        except TimeoutError:
            raise DisconnectedError(f"the Node did not answer within {PATIENCE:.0f} s") from None
        finally:
            self._answers.pop(number, None)
        if "error" in answer:
            raise RefusedError(answer["error"]["message"])
        result: dict[str, Any] = answer["result"]
        return result

    def _end(self, why: str) -> None:
        self.why = self.why or why
        self.ended.set()
        self._may_write.set()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(DisconnectedError(self.why))

    def close(self) -> None:
        """End the conversation."""
        self._flush()
        self._end("it was closed by this program")
        if self._transport is not None:
            self._transport.close()
        else:
            self.connection.close()

    async def wait_until_closed(self) -> None:
        """Wait until the Node has read what was said: it would be lost when the event loop ends."""
        if self._transport is not None:
            try:
                async with asyncio.timeout(_ENDING):
                    await self._is_gone.wait()
            except TimeoutError:
                self._transport.abort()
