"""A Peer that was written from the protocol's description works as a Node does."""

import asyncio

import pytest

import peer as protocol
from peer import EVENT, LOG, Peer, interest, matches


@pytest.fixture(params=["aaron", "zoe"])
def pair(request, system):
    """A Node `mallet` with a timer, a cuckoo and a logger, and a Peer: once the decider, once not."""
    system.node(
        "mallet",
        roles="timer1: {type: timer, tick: 200ms, log: false}, cuckoo: {timer: timer1, log: false}, "
        f"logger: {{file: {system.folder / 'log'}}}",
    )
    me = system.node(request.param, roles="timer1: {type: timer, log: false}")
    return system.start("mallet"), me


async def test_a_peer_from_the_description_alone(pair):
    node, me = pair
    peer = Peer(me, node, interests=[interest(EVENT, "tick", role="timer?")])
    session = await peer.link()
    await asyncio.to_thread(node.wait_for_peer, me.name)

    # What the timer says, in order.
    ticks = [await asyncio.wait_for(peer.inbox.get(), 30) for _ in range(3)]
    assert [tick["counter"] for tick in ticks] == sorted({tick["counter"] for tick in ticks})
    assert {(tick["type"], tick["role"], tick["channel"]) for tick in ticks} == {("tick", "timer1", "")}
    assert ticks[0]["data"][0] is None and len(ticks[0]["data"][1]) == len("12:34:56")

    # What its Roles want is known, and what they get is printed.
    assert peer.wants(EVENT, "tick", "timer1", "") and peer.wants(LOG, "log", "peer", "")
    assert not peer.wants(EVENT, "tock", "timer1", "")
    session.write(peer.say(LOG, "log", "hello from python"))
    session.write(peer.say(EVENT, "tick", [None, "quarter past"], role="timer1"))
    await asyncio.to_thread(node.printed.wait_for, f"<peer@{me.name}> hello from python")
    await asyncio.to_thread(node.printed.wait_for, f"timer1@{me.name}", "quarter past")

    # It outlives more than three heartbeats, and the round trip is measured on both sides.
    for _ in range(5):
        session.beat()
        await session.wait(session.echoed)
    seen = await asyncio.to_thread(node.peer, me.name)
    assert seen["state"] == "up" and seen["received"] == 2 and seen["round_trip_time"] > 0
    assert session.acknowledged == 2 and session.round_trip > 0

    await session.leave()
    await asyncio.to_thread(node.log.wait_for, "link down")
    assert session.acknowledged == 2
    # Nobody has lost anything.
    seen = await asyncio.to_thread(node.peer, me.name)
    assert "lost" not in seen["dropped"] and seen["received"] == 2, seen


async def test_a_peer_moves_from_one_session_to_another(pair):
    node, me = pair
    peer = Peer(me, node, interests=[interest(EVENT)])
    old = await peer.link()
    await asyncio.wait_for(peer.inbox.get(), 30)
    # The decider has to find the old session dead.
    old.silent = True
    new = await peer.session()
    if peer.decides:
        new.use()
        await old.leave("this session was replaced by another one")
    await new.wait(new.used)
    await old.wait(old.ended)
    assert not new.ended.is_set()
    new.write(peer.say(LOG, "log", "after"))
    await asyncio.to_thread(node.printed.wait_for, "> after")
    # What comes now comes once, in order.
    counters = [(await asyncio.wait_for(peer.inbox.get(), 30))["counter"] for _ in range(5)]
    assert counters == list(range(counters[0], counters[0] + 5))
    seen = await asyncio.to_thread(node.peer, me.name)
    assert seen["state"] == "up", seen
    await new.leave()


def test_patterns():
    yes = [("*", ""), ("t?ck", "tick"), ("*c*", "tick"), (r"\*", "*"), (r"a\?", "a?"), ("a\\", "a\\"), ("ä?", "äö")]
    no = [("t?ck", "tck"), ("tick", "ticks"), (r"\*", "x"), ("?", "")]
    assert [matches(*pair) for pair in yes] == [True] * len(yes)
    assert [matches(*pair) for pair in no] == [False] * len(no)
    assert protocol.number(300) == b"\xac\x02"
