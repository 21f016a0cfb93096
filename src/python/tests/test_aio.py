"""Scripts with asyncio."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helping import stop_role

import kozo
from kozo import aio


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
            await node.log("a line")
            with pytest.raises(kozo.KozoError, match="no kind of a Message"):
                await node.send("evnt", "door")
            with pytest.raises(kozo.RefusedError):
                await node.send("event", "large", "x" * (17 << 20))
        with pytest.raises(kozo.DisconnectedError, match="closed by this program"):
            await node.send("event", "door")
        assert [message async for message in windows] == []

    asyncio.run(main())
    clock.log.wait_for("INFO a line")


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


def test_a_node_that_restarts_is_attached_to_again(clock: Any) -> None:
    async def main() -> None:
        async with await aio.attach(name="porter") as node, await node.receive("event", "door") as doors:
            for end in ("kill", "terminate"):
                getattr(clock.process, end)()
                await asyncio.to_thread(clock.process.wait)
                sending = asyncio.create_task(node.send("event", "door", {"open": True}))
                await asyncio.sleep(0)
                # In this thread, whose end is that of the Node.
                clock.start()
                await sending
                assert (await anext(doors)).data == {"open": True}

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
