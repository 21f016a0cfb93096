"""A Peer with the right key does its worst. Whatever it sends: the Node stays up and answers, the links of
others stay up, its memory stays bounded, and the log says what was wrong."""

import asyncio
import struct
import time

import msgpack
import pytest

from kit import PATIENCE, until
from peer import (
    BYE,
    ECHO,
    EVENT,
    FINISH,
    FINISHED,
    HEARTBEAT,
    HELLO,
    INTEREST,
    LOG,
    MESSAGES,
    PADDING,
    U64,
    USE,
    Peer,
    frame,
    head,
    interest,
    message,
    number,
    text,
)

MIB = 1 << 20
MAX_PAYLOAD = 16 * MIB + 1024
NIL = msgpack.packb(None)


def hello(version=1, boot=7, features=(), count=None):
    names = b"".join(map(text, features))
    return frame(HELLO, struct.pack("<HQQQB", version, boot, 0, 0, len(features) if count is None else count) + names)


GREETING = hello() + frame(INTEREST)


class Scene:
    """A Node under attack by `mallory`, with a link to `honest`, which sends it ticks."""

    def __init__(self, system):
        # No test is to end because Python takes seconds to make what it sends.
        system.options = "heartbeat: 10s\n"
        self.me = system.node("mallory")
        system.node("honest", roles="timer1: {type: timer, tick: 100ms, log: false}")
        system.node("judge", roles=f"cuckoo: {{timer: timer1, log: false}}, logger: {{file: {system.folder / 'log'}}}")
        self.node = system.start("judge")
        system.start("honest")
        self.node.wait_for_peer("honest")
        self.before = self.node.memory()

    async def link(self, **options):
        """The Peer, and a session of it that is in use."""
        peer = Peer(self.me, self.node, **options)
        session = await peer.link()
        await asyncio.to_thread(self.node.wait_for_peer, "mallory")
        return peer, session

    async def says(self, *parts):
        """Waits for a line of the log."""
        return await asyncio.to_thread(self.node.log.wait_for, *parts)

    async def status(self):
        return await asyncio.to_thread(self.node.kozoctl, "status")

    async def survives(self, grown=16 * MIB):
        """What has to be so after every attack."""
        ticks = len(self.node.printed.lines)
        honest = await asyncio.to_thread(self.node.peer, "honest")
        assert honest["state"] == "up" and honest["sessions"] == 1, honest
        await asyncio.to_thread(self.node.printed.wait_for, "timer1@honest", after=ticks)
        assert self.node.runs()
        memory = self.node.memory()
        assert memory - self.before < grown, f"{self.before} bytes before, {memory} after"


@pytest.fixture
def scene(system):
    return Scene(system)


FORGED = {
    "another's name": {"origin": "honest"},
    "the Node's own name": {"origin": "judge"},
    "a name with a terminal's orders": {"origin": "\x1b[2J\nroot"},
    "another run": {"boot": 1},
    "passed on": {"hops": 1},
}


@pytest.mark.parametrize("claim", FORGED.values(), ids=FORGED)
async def test_nobody_speaks_in_anothers_name(scene, claim):
    peer, session = await scene.link()
    said = head(LOG, "log") + message(1, 1, msgpack.packb("forged"))
    session.write(peer.batch(said * 3, **claim))
    session.write(peer.say(LOG, "log", "genuine"))
    await asyncio.to_thread(scene.node.printed.wait_for, "<peer@mallory> genuine")
    assert "forged" not in scene.node.printed.text()
    line = await scene.says("refused a message in the name of", "mallory")
    assert line.isprintable()
    assert (await scene.status())["refused"]["forged"] == 3
    await scene.survives()


# What ends a session that has greeted, and what the log says then.
NONSENSE = {
    "a frame of 4 GiB": (struct.pack("<BI", MESSAGES, 0xFFFFFFFF), "a frame of 4294967295 bytes"),
    "a frame one byte too large": (struct.pack("<BI", PADDING, MAX_PAYLOAD + 1), f"a frame of {MAX_PAYLOAD + 1} bytes"),
    "a second hello": (hello(), "a second hello"),
    "an empty hello": (frame(HELLO), "a malformed hello frame"),
    "half a heartbeat": (frame(HEARTBEAT, bytes(15)), "a malformed heartbeat frame"),
    "half an echo": (frame(ECHO, bytes(23)), "a malformed echo frame"),
    "an empty finished": (frame(FINISHED), "a malformed finished frame"),
    "an empty bye": (frame(BYE), "a malformed bye frame"),
    "a bye that is no text": (frame(BYE, b"\x02\xff\xff"), "a malformed bye frame"),
    "an interest in no kind": (frame(INTEREST, interest(kind=4)), "a malformed interest frame"),
    "an interest that is no text": (frame(INTEREST, b"\xff\x01\xff\0\0\0"), "a malformed interest frame"),
    "half an interest": (frame(INTEREST, interest()[:-1]), "a malformed interest frame"),
    "an empty batch": (frame(MESSAGES), "a malformed messages frame"),
}
BATCHES = {
    "data before a head": (message(1, 1, NIL), "a malformed messages frame"),
    "data that ends early": (head(LOG, "log") + number(9) + number(1) + number(2) + NIL, "a malformed messages frame"),
    "a length beyond 64 bits": (head(LOG, "log") + b"\xff" * 10 + b"\x01", "a malformed messages frame"),
    "a length that never ends": (head(LOG, "log") + b"\x80" * 10_000, "a malformed messages frame"),
    "a head that ends early": (head(LOG, "log")[:-2], "a malformed messages frame"),
    "a kind that does not exist": (head(9, "log") + message(1, 1, NIL), "kind number 9 does not exist"),
    "heads without Messages": (head(LOG, "log") * 3, "a malformed messages frame"),
    "no type": (head(LOG, "") + message(1, 1, NIL), "the type is 0 bytes long"),
    "no Role": (head(LOG, "log", role="") + message(1, 1, NIL), "the role is 0 bytes long"),
    "a type that is no text": (b"\0\2\1a\2\xff\xfe\0", "the type is not UTF-8"),
    "a channel that is no text": (b"\0\2\1a\1b\1\xff", "the channel is not UTF-8"),
}


async def ends(scene, session, says):
    """The session ends and the log says why."""
    await session.wait(session.ended)
    line = await scene.says(says)
    assert "mallory" in line
    # Whoever mends its ways is welcome.
    _, again = await scene.link()
    assert not again.ended.is_set()
    await scene.survives()


@pytest.mark.parametrize("sent, says", NONSENSE.values(), ids=NONSENSE)
async def test_what_is_not_the_protocol_ends_the_session(scene, sent, says):
    _, session = await scene.link()
    session.write(sent)
    await ends(scene, session, says)


@pytest.mark.parametrize("said, says", BATCHES.values(), ids=BATCHES)
async def test_a_batch_that_makes_no_sense_ends_the_session(scene, said, says):
    peer, session = await scene.link()
    # Those before it, in the same frame too, are delivered and counted.
    before = b"" if said.startswith(message(1, 1, NIL)) else head(LOG, "log") + message(2, 0, msgpack.packb("beside"))
    session.write(peer.say(LOG, "log", "before") + peer.batch(before + said))
    await ends(scene, session, says)
    lines = ["before", "beside"] if before else ["before"]
    for line in lines:
        await asyncio.to_thread(scene.node.printed.wait_for, f"<peer@mallory> {line}")
    seen = await asyncio.to_thread(scene.node.peer, "mallory")
    assert seen["received"] == len(lines), seen


REFUSED = {
    "version 0": (hello(version=0), "version 0 of the protocol is unknown"),
    "version 65535": (hello(version=65_535), "version 65535 of the protocol is unknown"),
    "an unknown feature": (hello(features=["\x1b[31mrelay\n"]), r"the feature '\u{1b}[31mrelay\n' is unknown"),
}


@pytest.mark.parametrize("sent, says", REFUSED.values(), ids=REFUSED)
async def test_an_unknown_version_or_feature_is_refused_by_name(scene, sent, says):
    session = await Peer(scene.me, scene.node).session(sent + frame(INTEREST))
    await session.wait(session.ended)
    assert says in session.bye
    await scene.says("refused", says)
    await scene.survives()


EARLY = {
    "no hello": (frame(INTEREST), "a frame came before the hello"),
    "a Message first": (frame(MESSAGES, text("mallory") + bytes(9)), "a frame came before the hello"),
    "65 features": (hello(count=65) + bytes(65), "a malformed hello frame"),
    "255 features that are not there": (hello(count=255), "a malformed hello frame"),
    "a hello of 4 GiB": (struct.pack("<BI", HELLO, 0xFFFFFFFF), "a frame of 4294967295 bytes"),
    "a feature that is no text": (hello(count=1)[:1] + struct.pack("<I", 29) + hello(count=1)[5:] + b"\1\xff", "a malformed hello frame"),
}


@pytest.mark.parametrize("sent, says", EARLY.values(), ids=EARLY)
async def test_a_greeting_that_is_none(scene, sent, says):
    peer = Peer(scene.me, scene.node)
    for _ in range(5):
        session = await peer.session(sent)
        await session.wait(session.ended)
    await scene.says("refused", says)
    assert sum(says in line for line in scene.node.log.lines) == 1, "said once, not five times"
    await scene.survives()


async def test_a_greeting_in_pieces_and_one_that_breaks_off(scene):
    peer = Peer(scene.me, scene.node)
    whole = hello(features=[]) + frame(INTEREST, interest(EVENT, "tick", channel="hall"))
    for cut in range(len(whole)):
        connection = await scene.node.ssh(scene.me)
        writer, reader, _ = await connection.open_session(subsystem="kozo", encoding=None)
        for at in range(cut):
            writer.write(whole[at : at + 1])
        connection.abort()
    session = await peer.link()
    for byte in peer.say(LOG, "log", "in pieces"):
        session.write(bytes([byte]))
        await asyncio.sleep(0)
    await asyncio.to_thread(scene.node.printed.wait_for, "<peer@mallory> in pieces")
    await scene.survives()


async def test_frames_of_unknown_kinds_are_skipped(scene):
    peer, session = await scene.link()
    for kind in [0, *range(PADDING, 256)]:
        session.write(frame(kind, b"\xff" * kind))
    # The largest there may be, of nothing.
    for _ in range(4):
        session.write(frame(200, bytes(MAX_PAYLOAD)))
    session.write(peer.say(LOG, "log", "still here"))
    await asyncio.to_thread(scene.node.printed.wait_for, "<peer@mallory> still here")
    assert not session.ended.is_set()
    await scene.survives(24 * MIB)


async def test_what_may_grow_grows(scene):
    """Payloads with more behind their end, as a later version may have them."""
    peer = Peer(scene.me, scene.node)
    grown = hello()[5:] + b"more"
    session = await peer.session(frame(HELLO, grown) + frame(INTEREST))
    await session.wait(session.used)
    session.write(frame(HEARTBEAT, bytes(16) + b"more") + frame(USE, b"more") + frame(FINISHED, bytes(8) + b"more"))
    await session.wait(session.echoed)
    assert not session.ended.is_set()
    await scene.survives()


async def test_counters_that_jump(scene):
    peer, session = await scene.link()

    def said(counter, line):
        return peer.batch(head(LOG, "log") + message(counter, 1, msgpack.packb(line)))

    session.write(said(5, "five") + said(5, "again") + said(4, "back") + said(0, "zero") + said(10, "ten"))
    # In one frame, differences that wrap around.
    wrapped = message(11, 1, msgpack.packb("eleven")) + message(U64 - 1, 1, msgpack.packb("ten again"))
    session.write(peer.batch(head(LOG, "log") + wrapped))
    session.write(said(U64 - 1, "last") + said(1, "over"))
    await asyncio.to_thread(scene.node.printed.wait_for, "> last")
    session.write(frame(BYE, text("done")))
    await session.wait(session.ended)
    lines = [line.split("> ")[1] for line in scene.node.printed.lines if "@mallory" in line]
    assert lines == ["five", "ten", "eleven", "last"]
    assert (await scene.status())["refused"]["duplicate"] == 5
    # A new run counts from the beginning.
    peer, session = await scene.link()
    session.write(peer.say(LOG, "log", "new run"))
    await asyncio.to_thread(scene.node.printed.wait_for, "> new run")
    await scene.survives()


async def test_times_that_no_calendar_has(scene):
    peer, session = await scene.link()
    data = msgpack.packb("some day")
    for at, timestamp in enumerate([0, -1, -(1 << 62), 1 << 62, (1 << 63) - 1], 1):
        session.write(peer.batch(head(LOG, "log") + message(at, timestamp, data)))
    peer.counter = 10
    session.write(peer.say(LOG, "log", "today"))
    await asyncio.to_thread(scene.node.printed.wait_for, "> today")
    assert scene.node.printed.text().count("some day") == 5
    await scene.survives()


async def test_words_that_were_not_asked_for(scene):
    """Only the decider may choose (it is the Node), nobody finishes what goes on, and no figure is believed."""
    peer, session = await scene.link()
    many = U64 - 1
    unasked = [
        frame(USE),
        frame(FINISHED, struct.pack("<Q", many)),
        frame(ECHO, struct.pack("<QQQ", many, many, many)),
        frame(ECHO, struct.pack("<QQQ", 0, 0, 0)),
        frame(HEARTBEAT, struct.pack("<QQ", many, many)),
        frame(FINISH),
        frame(INTEREST),
    ]
    for _ in range(1000):
        session.write(b"".join(unasked))
    session.write(peer.say(LOG, "log", "after all that"))
    await asyncio.to_thread(scene.node.printed.wait_for, "> after all that")
    seen = await asyncio.to_thread(scene.node.peer, "mallory")
    assert seen["state"] == "up" and seen["sessions"] == 1, seen
    await session.leave()
    # What was acknowledged without having been sent is no reason to count wrongly.
    seen = await asyncio.to_thread(scene.node.peer, "mallory")
    assert seen["received"] == 1 and seen["sent"] <= 1, seen
    await scene.survives()


async def test_a_goodbye_that_a_terminal_would_obey(scene):
    _, session = await scene.link()
    session.write(frame(BYE, text("\x1b]0;owned\x07\r\n\u202eroot")))
    await session.wait(session.ended)
    line = await scene.says("link down", "closed by the peer")
    assert line.isprintable() and r"\u{1b}]0;owned" in line
    await scene.survives()


async def test_floods_of_interest(scene):
    """As much as may be announced, again and again, and patterns that are hard to match."""
    peer, session = await scene.link()
    hard = [interest(EVENT, "*t" * 100 + str(at), channel="*?" * 100, role="*a*b" * 50) for at in range(1000)]
    session.write(frame(INTEREST, b"".join(hard)))
    for turn in range(4):
        all_of_them = b"".join(interest(EVENT, f"type{turn}-{at}") for at in range(65_536))
        session.write(frame(INTEREST, all_of_them))
    session.write(frame(INTEREST) + peer.say(LOG, "log", "enough"))
    await asyncio.to_thread(scene.node.printed.wait_for, "> enough")
    print(f"longest pause of the loop: {scene.node.longest_pause():.3f} s")
    await scene.survives(48 * MIB)


async def test_who_wants_too_much_is_taken_to_want_everything(scene):
    peer, session = await scene.link()

    async def asked():
        while peer.inbox.empty():
            await asyncio.to_thread(scene.node.kozoctl, "inject", "log", "log", '"hello"')

    for many in [interest(EVENT, "x") * 1025, interest(EVENT, "x") * 65_537, bytes(MAX_PAYLOAD)]:
        session.write(frame(INTEREST, many))
        await asyncio.wait_for(asked(), PATIENCE)
        session.write(frame(INTEREST) + frame(HEARTBEAT, bytes(16)))
        session.echoed.clear()
        await session.wait(session.echoed)
        while not peer.inbox.empty():
            peer.inbox.get_nowait()
    assert not session.ended.is_set()
    await scene.survives()


async def test_a_million_heads(scene):
    peer, session = await scene.link()
    began = time.monotonic()
    for frames in range(6):
        # Seventeen bytes each, all different.
        first = 200_000 * frames
        heads = (head(EVENT, f"t{at:06x}", role="r") + message(1, 0, NIL) for at in range(first, first + 199_999))
        session.write(peer.batch(head(EVENT, "t") + message(first + 1, 1, NIL) + b"".join(heads)))
    peer.counter = 1_200_000
    session.write(peer.say(LOG, "log", "headed"))
    await asyncio.to_thread(scene.node.printed.wait_for, "> headed")
    print(f"longest pause of the loop: {scene.node.longest_pause(began):.3f} s")
    await scene.survives(40 * MIB)


async def test_messages_that_nobody_wants(scene):
    peer, session = await scene.link()
    began = time.monotonic()
    for first in range(0, 4_000_000, 1_000_000):
        flood = message(first + 1, 1, NIL) + message(1, 0, NIL) * 999_999
        session.write(peer.batch(head(EVENT, "unwanted") + flood))
    peer.counter = 4_000_000
    session.write(peer.say(LOG, "log", "through"))
    await asyncio.to_thread(scene.node.printed.wait_for, "> through")
    print(f"longest pause of the loop: {scene.node.longest_pause(began):.3f} s")
    seen = await asyncio.to_thread(scene.node.peer, "mallory")
    assert seen["received"] == 4_000_001
    await scene.survives(40 * MIB)


async def test_a_flood_for_a_role_that_is_slower(scene):
    peer, session = await scene.link()
    line = msgpack.packb("x" * 1000)
    for first in range(0, 200_000, 4_000):
        peer.counter = first + 4_000
        session.write(peer.batch(head(LOG, "log") + message(first + 1, 1, line) + message(1, 0, line) * 3_999))
    session.write(peer.say(LOG, "log", "washed up"))

    def all_taken():
        return scene.node.peer("mallory")["received"] == 200_001

    await asyncio.to_thread(until, "all are taken", all_taken)
    await scene.survives(40 * MIB)


async def test_who_asks_and_does_not_read(scene):
    """Heartbeats by the million, whose answers nobody takes."""
    peer, session = await scene.link()
    session.reader.channel.pause_reading()
    beat = frame(HEARTBEAT, struct.pack("<QQ", 1, 0))
    for _ in range(20):
        session.write(beat * 50_000)
    session.write(peer.say(LOG, "log", "a million beats"))
    await asyncio.to_thread(scene.node.printed.wait_for, "> a million beats")
    session.connection.abort()
    await scene.survives()


async def test_data_that_is_no_value(scene):
    peer, session = await scene.link()
    deep = b"\x91" * 100_000 + NIL
    bad = [b"\xc1", b"\xdd\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", NIL * 2, deep, b"\xa2\xff\xfe"]
    for at, data in enumerate(bad, 1):
        session.write(peer.batch(head(LOG, "log") + message(at, 1, data)))
        session.write(peer.batch(head(EVENT, "tick", role="timer1") + message(100 * at, 1, data)))
        peer.counter = 100 * at
    session.write(peer.say(LOG, "log", "sane"))
    await asyncio.to_thread(scene.node.printed.wait_for, "> sane")
    assert not session.ended.is_set()
    await scene.survives()


async def test_many_sessions_at_once(scene):
    peer, session = await scene.link()
    more = await asyncio.gather(*(peer.session() for _ in range(12)), return_exceptions=True)
    assert not session.ended.is_set()
    # The Node probes the one in use, which answers: the others are not needed.
    for other in more:
        if not isinstance(other, BaseException):
            await other.wait(other.ended)
    session.write(peer.say(LOG, "log", "the first one"))
    await asyncio.to_thread(scene.node.printed.wait_for, "> the first one")
    seen = await asyncio.to_thread(scene.node.peer, "mallory")
    assert seen["state"] == "up" and seen["sessions"] == 1, seen
    await scene.survives()
