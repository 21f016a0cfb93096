"""Scripts with asyncio."""

from __future__ import annotations

import asyncio
import signal
import threading
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from helping import stop_role
from kit import until

import kozo
from kozo import aio, attaching

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def test_what_is_sent_is_received(clock: Any) -> None:
    async def main() -> None:
        async with await aio.attach() as node:
            assert repr(node) == "<Node 'clock', attached as 'pytest'>"
            doors, windows = await node.receive("event", "door"), await node.receive("event", "window*", channel="?")
            sent = await node.send("event", "door", {"raw": b"\x00"}, confirm=True)
            assert sent is not None
            assert sent.roles == 1
            await node.send("event", "window", 2, channel="a")
            await node.send("event", "window", 3, channel="aa")
            await node.send("event", "window", "x" * 100_000, channel="b")
            assert [(await anext(windows)).data for _ in range(2)] == [2, "x" * 100_000]
            assert (await anext(doors)).data == {"raw": b"\x00"}
            await doors.close()
            assert [message async for message in doors] == []
            await node.status("here")
            await node.log("a line\ud800")
            with pytest.raises(kozo.KozoError, match="unknown kind"):
                await node.send("evnt", "door")
            with pytest.raises(kozo.RefusedError):
                await node.send("event", "large", "x" * (17 << 20))
            with pytest.raises(kozo.RefusedError, match="at most 16 MiB are allowed"):
                await node.send("event", "large", "x" * (23 << 20))
            replies = await node.receive("reply")
            await node.send("event", "window", channel="c")
            await (await anext(windows)).reply("seen")
            assert [(reply.type, reply.channel, reply.data) async for reply in _one(replies)] == [
                ("window", "c", "seen")
            ]
        with pytest.raises(kozo.DisconnectedError, match="closed by this program"):
            await node.send("event", "door")
        assert [message async for message in windows] == []

    asyncio.run(main())
    clock.log.wait_for("INFO a line\\ud800")


async def _one(receiver: aio.Receiver) -> AsyncIterator[kozo.Message]:
    yield await anext(receiver)


def test_a_flood(clock: Any) -> None:
    count = 5000

    async def main() -> list[Any]:
        async with await aio.attach() as giver, await aio.attach() as taker:
            numbers = await taker.receive("event", "number")

            async def give() -> None:
                for number in range(count):
                    await giver.send("event", "number", number, confirm=number % 500 == 0)

            task = asyncio.create_task(give())
            taken = [(await anext(numbers)).data for _ in range(count)]
            await task
            return taken

    assert asyncio.run(main()) == list(range(count))


def test_one_that_only_sends_waits_for_the_node(clock: Any) -> None:
    async def main() -> None:
        async with await aio.attach() as node:
            waited = False

            async def look() -> None:
                nonlocal waited
                waited = True
                clock.process.send_signal(signal.SIGCONT)

            clock.process.send_signal(signal.SIGSTOP)
            task = asyncio.create_task(look())
            # More than is kept for a Node that does not read.
            for _ in range(5000):
                await node.send("event", "door", "x" * 1000)
            assert waited
            await task

    asyncio.run(main())


def test_what_was_sent_last_is_not_lost(clock: Any) -> None:
    async def main() -> int:
        count = 0
        async with await aio.attach() as node:
            clock.process.send_signal(signal.SIGSTOP)
            # Until neither the connection nor the event loop takes more.
            while node.talk._may_write.is_set():
                await node.send("event", "number", {"number": count, "text": "x" * 1000})
                count += 1
            threading.Timer(0.2, clock.process.send_signal, [signal.SIGCONT]).start()
        return count

    with kozo.attach(queue_length=5000) as node, node.receive("event", "number", timeout=5) as numbers:
        count = asyncio.run(main())
        assert [message.data["number"] for message in islice(numbers, count)] == list(range(count))


def test_a_node_that_restarts_is_attached_to_again(clock: Any) -> None:
    async def main() -> None:
        async with await aio.attach(name="porter") as node, await node.receive("event", "door") as doors:
            await node.status("watches the door")
            for end in ("kill", "terminate"):
                getattr(clock.process, end)()
                await asyncio.to_thread(clock.process.wait)
                sending = asyncio.create_task(node.send("event", "door", {"open": True}))
                await asyncio.sleep(0)
                # In this thread, whose end is that of the Node.
                clock.start()
                await sending
                assert (await anext(doors)).data == {"open": True}
                assert clock.kozoctl("role", "porter")["status"] == "watches the door"

    asyncio.run(main())


def test_a_node_that_goes_again_at_once_is_attached_to_again(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    attach = attaching.attach

    killed: list[Any] = []

    def attach_and_kill(*arguments: Any) -> Any:
        attached = attach(*arguments)
        if not killed:
            killed.append(clock.process)
            clock.process.kill()
            clock.process.wait()
        return attached

    async def main() -> None:
        async with await aio.attach() as node, await node.receive("event", "door") as doors:
            monkeypatch.setattr("kozo.attaching.attach", attach_and_kill)
            clock.process.kill()
            clock.process.wait()
            clock.start()
            await asyncio.to_thread(until, "it has gone again", lambda: killed)
            await asyncio.to_thread(killed[0].wait)
            clock.start()
            await node.send("event", "door", 1)
            async with asyncio.timeout(10):
                assert (await anext(doors)).data == 1

    asyncio.run(main())


def test_one_that_is_closed_while_it_attaches_again_is_gone(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    attach = attaching.attach

    async def main() -> None:
        node = await aio.attach(name="porter")
        attached: asyncio.Queue[Any] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def attach_and_close(*arguments: Any) -> Any:
            found = attach(*arguments)
            asyncio.run_coroutine_threadsafe(node.close(), loop).result()
            loop.call_soon_threadsafe(attached.put_nowait, found)
            return found

        monkeypatch.setattr("kozo.attaching.attach", attach_and_close)
        clock.process.kill()
        clock.process.wait()
        clock.start()
        connection = (await attached.get()).connection
        await asyncio.to_thread(until, "its connection is closed", lambda: connection.fileno() == -1)

    asyncio.run(main())


def test_what_waits_for_a_node_waits_for_so_long(clock: Any) -> None:
    async def main() -> None:
        with pytest.raises(kozo.NoNodeError):
            await aio.attach("nowhere")
        async with await aio.attach(patience=0.3) as node:
            clock.process.kill()
            clock.process.wait()
            with pytest.raises(kozo.DisconnectedError, match=r"did not come back within 0\.3 s"):
                await node.receive("event")

    asyncio.run(main())


def test_a_role_that_is_stopped_ends(clock: Any) -> None:
    async def main() -> None:
        async with await aio.attach(name="porter") as node:
            events = await node.receive("event")
            await asyncio.to_thread(stop_role, clock, "porter")
            assert [message async for message in events] == []
            with pytest.raises(kozo.DisconnectedError, match="the Node has stopped this Role"):
                await node.send("event", "door")

    asyncio.run(main())
