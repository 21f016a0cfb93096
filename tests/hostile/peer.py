"""A Peer in Python: the protocol `kozo` as docs/protocol.md describes it, and nothing from the daemon's code."""

import asyncio
import itertools
import re
import secrets
import struct
import time

import asyncssh
import msgpack

from kit import PATIENCE, subsystem

HELLO, INTEREST, MESSAGES, HEARTBEAT, ECHO, USE, FINISH, FINISHED, BYE, PADDING = range(1, 11)
EVENT, ORDER, LOG, REPLY, ANY = 0, 1, 2, 3, 255
U64 = 1 << 64


def text(value):
    """A byte of length and UTF-8."""
    raw = value.encode()
    return bytes([len(raw)]) + raw


def number(value):
    """LEB128."""
    value, out = value % U64, bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def frame(kind, payload=b""):
    """Kind, length, payload."""
    return struct.pack("<BI", kind, len(payload)) + payload


def interest(kind=ANY, type="*", channel=None, role="*", node="*"):
    """One entry of a frame `interest`."""
    on = b"\0" if channel is None else b"\1" + text(channel)
    return bytes([kind]) + text(type) + on + text(role) + text(node)


def head(kind, type, role="peer", channel=""):
    """What holds for the Messages behind it."""
    return bytes([0, kind]) + text(role) + text(type) + text(channel)


def message(counter, timestamp, data):
    """A Message: `counter` and `timestamp` are differences to the one before."""
    return number(len(data)) + number(counter) + number(timestamp * 2 if timestamp >= 0 else -timestamp * 2 - 1) + data


def matches(pattern, name):
    """Whether a pattern matches the whole of a name."""
    parts = re.findall(r"\\?.", pattern, re.DOTALL)
    wild = {"*": ".*", "?": "."}
    expression = "".join(wild.get(part) or re.escape(part[-1]) for part in parts)
    return re.fullmatch(expression, name, re.DOTALL) is not None


class Cursor:
    """Reads a payload from its beginning."""

    def __init__(self, payload):
        self.rest = payload

    def take(self, length):
        taken, self.rest = self.rest[:length], self.rest[length:]
        assert len(taken) == length, "a payload that ends too early"
        return taken

    def unpack(self, layout):
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))

    def text(self):
        return self.take(self.take(1)[0]).decode()

    def number(self):
        value = 0
        for shift in itertools.count(0, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value

    def messages(self):
        """Origin and boot, then each Message: kind, type, role, channel, counter, time, data."""
        node, boot, hops = self.text(), *self.unpack("QB")
        assert hops == 0
        said, counter, timestamp = None, 0, 0
        while self.rest:
            if self.rest[0] == 0:
                _, kind = self.take(2)
                role, type, channel = self.text(), self.text(), self.text()
                said = {"node": node, "boot": boot, "kind": kind, "role": role, "type": type, "channel": channel}
                continue
            length = self.number()
            counter = (counter + self.number()) % U64
            zigzag = self.number()
            timestamp = (timestamp + (zigzag >> 1 ^ -(zigzag & 1))) % U64
            yield said | {"counter": counter, "time": timestamp, "data": msgpack.unpackb(self.take(length))}


class Peer:
    """A run of a Node that a test plays: what is the same on all its sessions with `node`."""

    def __init__(self, me, node, interests=()):
        self.me, self.node, self.interests = me, node, interests
        self.boot, self.counter = secrets.randbits(64), 0
        self.decides = me.name.encode() < node.name.encode()
        self.received_boot, self.received, self.wanted = 0, 0, []
        self.inbox = asyncio.Queue()

    async def session(self, hello=None, **options):
        """A new session, on which both sides have said hello; `options` are those of Node.ssh."""
        session = Session(self, await self.node.ssh(self.me, **options))
        await session.greet(hello)
        return session

    async def link(self):
        """A session that is in use."""
        session = await self.session()
        if self.decides:
            session.use()
        await session.wait(session.used)
        return session

    def wants(self, kind, type, role, channel):
        """Whether the other side has announced interest in such Messages."""
        return any(
            of in (ANY, kind)
            and matches(types, type)
            and (channels is None or (channel and matches(channels, channel)))
            and matches(roles, role)
            and matches(nodes, self.me.name)
            for of, types, channels, roles, nodes in self.wanted
        )

    def say(self, kind, type, data, role="peer", channel=""):
        """A frame with one Message."""
        self.counter += 1
        said = head(kind, type, role, channel) + message(self.counter, int(time.time() * 1e6), msgpack.packb(data))
        return self.batch(said)

    def batch(self, said, origin=None, boot=None, hops=0):
        """A frame of heads and Messages."""
        boot = self.boot if boot is None else boot
        return frame(MESSAGES, text(origin or self.me.name) + struct.pack("<QB", boot, hops) + said)


class Session:
    """One connection of a Peer."""

    def __init__(self, peer, connection):
        self.peer, self.connection = peer, connection
        self.greeted, self.used, self.finished, self.ended, self.echoed = (asyncio.Event() for _ in range(5))
        self.bye, self.error, self.round_trip = None, None, None
        # A test that plays a silent Peer sets it.
        self.silent = False

    async def greet(self, hello=None):
        """Opens the subsystem, says hello and waits for the other side's."""
        peer = self.peer
        self.reader, self.writer = await subsystem(self.connection)
        if hello is None:
            hello = frame(HELLO, struct.pack("<HQQQB", 1, peer.boot, peer.received_boot, peer.received, 0))
            hello += frame(INTEREST, b"".join(peer.interests))
        self.write(hello)
        self.task = asyncio.create_task(self.read())
        await self.wait(self.greeted)

    def write(self, data):
        self.writer.write(data)

    def use(self):
        """The decider's word."""
        self.write(frame(USE))
        self.used.set()
        self.beat()

    def beat(self):
        self.echoed.clear()
        self.write(frame(HEARTBEAT, struct.pack("<QQ", time.monotonic_ns(), self.peer.received)))

    async def wait(self, event):
        """Waits for this, or for the end."""
        waiting = [asyncio.ensure_future(each.wait()) for each in (event, self.ended)]
        done, pending = await asyncio.wait(waiting, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        assert done, "not in time"

    async def leave(self, reason="test"):
        """Ends it as it should be ended: all that was sent has arrived then."""
        self.write(frame(FINISH))
        await self.wait(self.finished)
        self.beat()
        self.write(frame(BYE, text(reason)))
        await self.close()

    async def close(self):
        self.connection.close()
        await self.connection.wait_closed()
        await self.task

    async def read(self):
        """Does what each frame asks for, until the session ends."""
        try:
            while True:
                kind, length = struct.unpack("<BI", await self.reader.readexactly(5))
                self.take(kind, Cursor(await self.reader.readexactly(length)))
        except (asyncio.IncompleteReadError, asyncssh.Error, OSError) as error:
            self.error = error
        except Exception as error:  # A frame that was not understood, above all: for the test to see.
            self.error = error
            raise
        finally:
            self.ended.set()

    def take(self, kind, payload):
        peer = self.peer
        if kind == HELLO:
            version, boot, _, self.acknowledged, features = payload.unpack("HQQQB")
            assert (version, features) == (1, 0)
            if boot != peer.received_boot:
                peer.received_boot, peer.received = boot, 0
        elif kind == INTEREST:
            peer.wanted = []
            while payload.rest:
                of, types = *payload.take(1), payload.text()
                channels = payload.text() if payload.take(1) != b"\0" else None
                peer.wanted.append((of, types, channels, payload.text(), payload.text()))
            self.greeted.set()
        elif kind == MESSAGES:
            for received in payload.messages():
                assert (received["node"], received["boot"]) == (peer.node.name, peer.received_boot)
                peer.received += 1
                peer.inbox.put_nowait(received)
        elif kind == HEARTBEAT:
            sent, self.acknowledged = payload.unpack("QQ")
            if not self.silent:
                self.write(frame(ECHO, struct.pack("<QQQ", sent, peer.received, int(time.time() * 1e6))))
        elif kind == ECHO:
            sent, self.acknowledged, _ = payload.unpack("QQQ")
            self.round_trip = time.monotonic_ns() - sent
            self.echoed.set()
        elif kind == USE:
            self.used.set()
            self.beat()
        elif kind == FINISH:
            self.write(frame(FINISHED, struct.pack("<Q", peer.received)))
        elif kind == FINISHED:
            (self.acknowledged,) = payload.unpack("Q")
            self.finished.set()
        elif kind == BYE:
            self.bye = payload.text()
