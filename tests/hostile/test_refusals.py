"""Of SSH a Node wants nothing but the subsystem `kozo`: whatever else a Peer asks for is refused at once, costs
next to nothing, and cannot be asked for without end."""

import asyncio
import time

import asyncssh
import pytest
from asyncssh.packet import Boolean, String, UInt32

from kit import PATIENCE, until
from peer import Peer

MIB = 1 << 20
GLOBAL_REQUEST, SUCCESS, FAILURE = 80, 81, 82
OPEN, CONFIRMATION, OPEN_FAILURE = 90, 91, 92
# So many that it shows if each leaves something behind.
REQUESTS = 20_000
# Of each kind, what the other side answered; asyncssh itself would have none of it.
ANSWERS = [SUCCESS, FAILURE, CONFIRMATION, OPEN_FAILURE]


def count_answers(connection):
    """Counts what the other side answers to packets that a test has made itself."""
    counted = dict.fromkeys(ANSWERS, 0)

    def count(_, kind, __, ___):
        counted[kind] += 1

    connection._packet_handlers = {**connection._packet_handlers, **dict.fromkeys(ANSWERS, count)}
    return counted


class Anvil:
    """A Peer whose part a test plays, and which the Node dials: a server that lets anybody have anything."""

    def __init__(self, me):
        self.me = me
        # Connections of the Node on which the subsystem was requested.
        self.opened = asyncio.Queue()

    async def __aenter__(self):
        opened = self.opened

        class Server(asyncssh.SSHServer):
            def validate_public_key(self, *_):
                return True

            def public_key_auth_supported(self):
                return True

        async def process(process):
            # Others dial too.
            if process.get_extra_info("username") == "judge":
                await opened.put(process.channel.get_connection())
            await asyncio.Event().wait()

        self.listening = await asyncssh.listen(
            self.me.address,
            self.me.port,
            server_factory=Server,
            server_host_keys=[self.me.key],
            process_factory=process,
            encoding=None,
        )
        return self

    async def __aexit__(self, *_):
        self.listening.close()
        await self.listening.wait_closed()


@pytest.fixture
def judge(system):
    """A Node with a link to `honest`; it dials `mallory` too, whose part a test plays."""
    for name in ["judge", "honest", "mallory"]:
        system.node(name)
    judge = system.start("judge")
    system.start("honest")
    judge.wait_for_peer("honest")
    return judge


async def survives(judge, before, grown=8 * MIB):
    honest = await asyncio.to_thread(judge.peer, "honest")
    assert honest["state"] == "up" and honest["sessions"] == 1, honest
    growth = judge.memory() - before
    print(f"memory grown by {growth / MIB:.1f} MiB")
    assert growth < grown


async def open_channels(connection, ask):
    """Asks for a few channels, each of which is refused, and then for so many that the Node has had enough."""
    answers = count_answers(connection)
    for number in range(30):
        ask(number)
    deadline = time.monotonic() + PATIENCE
    while sum(answers.values()) < 30:
        assert time.monotonic() < deadline, answers
        await asyncio.sleep(0.01)
    assert answers[OPEN_FAILURE] == 30, answers
    for number in range(40_000):
        ask(number)
    await asyncio.wait_for(connection.wait_closed(), PATIENCE)
    assert answers[CONFIRMATION] == 0, answers


async def test_a_server_that_opens_channels(system, judge):
    async with Anvil(system.nodes["mallory"]) as anvil:
        before = judge.memory()
        for _ in range(3):
            connection = await anvil.opened.get()

            def ask(number):
                kind = [b"session", b"auth-agent@openssh.com", b"nonsense@example.org"][number % 3]
                connection.send_packet(OPEN, String(kind), UInt32(number), UInt32(1 << 30), UInt32(1 << 15))

            await open_channels(connection, ask)
    reason = "asks for more than the subsystem 'kozo'"
    await asyncio.to_thread(until, "it says why", lambda: reason in (judge.peer("mallory")["last_error"] or ""))
    await survives(judge, before)


async def test_a_client_that_opens_channels(system, judge):
    mallory, before = system.nodes["mallory"], judge.memory()
    for _ in range(3):
        connection = await judge.ssh(mallory)

        def ask(number):
            kind = [b"x11", b"direct-tcpip"][number % 2]
            rest = [String(b"10.0.0.1"), UInt32(22), String(b"10.0.0.2"), UInt32(22)][2 - 2 * (number % 2) :]
            connection.send_packet(OPEN, String(kind), UInt32(number), UInt32(1 << 30), UInt32(1 << 15), *rest)

        await open_channels(connection, ask)
    await survives(judge, before)


async def test_global_requests_are_refused_from_a_client(system, judge):
    before = judge.memory()
    session = await Peer(system.nodes["mallory"], judge).link()
    await flood_with_requests(session.connection)
    await survives(judge, before)


async def test_global_requests_are_refused_from_a_server(system, judge):
    before = judge.memory()
    async with Anvil(system.nodes["mallory"]) as anvil:
        await flood_with_requests(await anvil.opened.get())
        await survives(judge, before)


async def flood_with_requests(connection):
    answers = count_answers(connection)
    for number in range(REQUESTS):
        request = [b"tcpip-forward", b"nonsense@example.org"][number % 2]
        rest = [String(b"0.0.0.0"), UInt32(2222)] if request == b"tcpip-forward" else []
        connection.send_packet(GLOBAL_REQUEST, String(request), Boolean(True), *rest)
        if number % 100 == 0:
            await asyncio.sleep(0)
    deadline = time.monotonic() + PATIENCE
    while answers[FAILURE] < REQUESTS:
        assert time.monotonic() < deadline and not connection.is_closed(), answers
        await asyncio.sleep(0.01)
    assert answers[SUCCESS] == 0


WISHES = {
    "a command": {"command": "id"},
    "a shell": {},
    "a terminal": {"term_type": "xterm"},
    "the subsystem 'sftp'": {"subsystem": "sftp"},
}


@pytest.mark.parametrize("wish, options", WISHES.items(), ids=WISHES)
async def test_who_wants_something_else_is_told_what_this_is(system, judge, wish, options):
    connection = await judge.ssh(system.nodes["mallory"])
    began = time.monotonic()
    with pytest.raises(asyncssh.Error):
        await connection.create_session(asyncssh.SSHClientSession, env={"A": "B"}, **options)
    await asyncio.wait_for(connection.wait_closed(), PATIENCE)
    print(f"{wish}: refused after {time.monotonic() - began:.3f} s")
    await asyncio.to_thread(judge.log.wait_for, "refused a connection", f"'mallory' asked for {wish}")
