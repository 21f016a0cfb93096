"""Scripts: attach, send, receive."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import islice
from typing import Any

import pytest
from helping import running, stop_role
from kit import until

import kozo
import kozo.attaching
import kozo.places


def test_what_is_sent_is_received(clock: Any) -> None:
    with kozo.attach() as node, node.receive("event", "door*") as doors:
        assert (node.role, node.name) == ("pytest", "clock")
        node.send("event", "window")
        sent = node.send("event", "door", channel="front", data={"open": True}, confirm=True)
        assert sent is not None
        assert (sent.roles, sent.peers, sent.unreachable) == (1, 0, 0)
        message = next(doors)
        assert (message.kind, message.type, message.channel, message.data) == ("event", "door", "front", {"open": True})
        assert (message.role, message.node, message.id) == ("pytest", "clock", sent.sequence)


@pytest.mark.parametrize(
    "data",
    [
        None, True, 0, -1, 2**64 - 1, -(2**63), 1.5, 1e300, "", '日本 \n\\"', [], {}, [1, [2, {"a": None}]],
        b"\x00\xff", {"raw": b"x" * 70_000}, {1: "one", None: 2, (1, 2): 3}, float("inf"), {"$base64": "AAEC"},
        list(range(-40, 300)), {str(n): n for n in range(20)}, "x" * 100_000, [[[[b""]]]],
    ],
)  # fmt: skip
def test_all_data_arrives_as_it_was(clock: Any, data: object) -> None:
    with kozo.attach() as node, node.receive("event") as events:
        node.send("event", "data", data)
        node.send("event", "data", [data, {"in": data}])
        assert next(events).data == data
        assert next(events).data == [data, {"in": data}]


def test_tuples_arrive_as_lists(clock: Any) -> None:
    with kozo.attach() as node, node.receive() as messages:
        node.send("event", "pair", (1, (b"2", 3)))
        assert next(messages).data == [1, [b"2", 3]]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"a": [1, {2}]}, r"data\['a'\]\[1\] is of type set, which no Message can carry"),
        ({"a": 2**64}, r"data\['a'\] is a whole number of more than 64 bits"),
        ({"a": "\ud800"}, "data.* contains a text that is not valid Unicode"),
        ([[]] * 2 + [object()], r"data\[2\] is of type object"),
    ],
)
def test_what_no_message_can_carry_is_named(clock: Any, data: object, problem: str) -> None:
    with kozo.attach() as node:
        with pytest.raises(TypeError, match=problem):
            node.send("event", "data", data)
        nested: list[object] = []
        nested.append(nested)
        with pytest.raises(TypeError, match="nested too deeply"):
            node.send("event", "data", nested)
        # It goes on.
        assert node.send("event", "data", confirm=True)


def test_nonsense_is_refused_here(clock: Any) -> None:
    with kozo.attach() as node:
        for kind, message_type, channel, problem in [
            ("evnt", "door", None, "unknown kind 'evnt': use event, order, log or reply"),
            ("event", None, None, "the type is missing"),
            ("event", "", None, "the type is 0 bytes long; allowed: 1 to 255 bytes"),
            ("event", "é" * 128, None, "the type is 256 bytes long"),
            ("event", "door", "", "the channel is 0 bytes long"),
        ]:
            with pytest.raises(kozo.KozoError, match=problem):
                node.send(kind, message_type, channel=channel)
        node.send("log", data="a log needs no type")
        with pytest.raises(kozo.RefusedError, match="bytes"):
            node.send("event", "large", "x" * (17 << 20))
        with pytest.raises(kozo.RefusedError, match="at most 16 MiB are allowed"):
            node.send("event", "large", "x" * (23 << 20))
        assert node.send("event", "small", confirm=True)


def test_one_that_is_forgotten_detaches(clock: Any) -> None:
    node = kozo.attach(name="porter")
    doors = node.receive("event", "door")
    # A flood has a thread that writes.
    for number in range(1000):
        node.send("event", "window", number)
    assert node.send("event", "door", confirm=True)
    message = next(doors)
    del node
    gc.collect()
    message.reply()
    del doors, message
    gc.collect()
    clock.log.wait_for("detached", "porter")
    until("its thread ends", lambda: "kozo-writer" not in {thread.name for thread in threading.enumerate()})


def test_ctrl_c_while_it_reads_loses_nothing(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with kozo.attach() as node, node.receive("event", "door") as doors:
        reader = type(node._conversation._reader)
        read = reader.read

        def interrupted(*_: object) -> Any:
            monkeypatch.setattr(reader, "read", read)
            raise KeyboardInterrupt

        node.send("event", "door", 1, confirm=True)
        assert next(doors).data == 1
        node.send("event", "door", 2)
        monkeypatch.setattr(reader, "read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(doors)
        assert next(doors).data == 2


def test_threads_receive_what_each_wants(clock: Any) -> None:
    count = 300
    # A Role that floods itself loses the oldest, so it floods another one.
    with kozo.attach() as node, kozo.attach() as other:
        receivers = [node.receive("event", f"type{number}") for number in range(4)]
        taken: list[list[int]] = [[] for _ in receivers]

        def take(number: int) -> None:
            taken[number] += [message.data for message in islice(receivers[number], count)]

        takers = [threading.Thread(target=take, args=[number]) for number in range(4)]

        def give(number: int) -> None:
            for value in range(count):
                other.send("event", f"type{number}", value, confirm=value % 50 == 0)

        givers = [threading.Thread(target=give, args=[number]) for number in range(4)]
        for thread in takers + givers:
            thread.start()
        for thread in takers + givers:
            thread.join(60)
        assert taken == [list(range(count))] * 4


def test_interest_ends_with_the_loop(clock: Any) -> None:
    with kozo.attach() as node:
        queued: list[Any] = []
        ticker = threading.Thread(target=lambda: queued.append(node.send("event", "a", 1, confirm=True)))
        for message in _started(node.receive("event", "a", timeout=30), ticker):
            assert message.data == 1
            break
        else:
            pytest.fail("nothing came")
        ticker.join()
        assert queued[0].roles == 1
        node.send("event", "b")
        sent = node.send("event", "a", confirm=True)
        assert sent is not None
        assert sent.roles == 0
        # What came in between is not for those who ask later.
        again = node.receive("event", "a")
        node.send("event", "a", 3)
        assert next(again).data == 3


def _started(receiver: kozo.Receiver, thread: threading.Thread) -> kozo.Receiver:
    thread.start()
    return receiver


def test_an_iteration_ends_in_time_and_when_closed(clock: Any) -> None:
    node = kozo.attach()
    assert list(node.receive("event", timeout=0.05)) == []
    assert node.receive("event").get(timeout=0.01) is None
    waiting = node.receive("event")
    threading.Timer(0.1, node.close).start()
    assert list(waiting) == []
    assert repr(node) == "<Node 'clock', closed>"
    with pytest.raises(kozo.DisconnectedError, match="closed by this program"):
        node.send("event", "door")


def test_a_script_finds_its_node(system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Other Nodes may run on this machine.
    monkeypatch.delenv("KOZO_NODE")
    monkeypatch.setattr("kozo.places.parents", lambda: [system.folder / "run/kozo"])
    with pytest.raises(kozo.NoNodeError, match=r"no Node runs on this machine: start one, for example with `"):
        kozo.attach()
    for name in ("attic", "clock"):
        system.node(name)
    for name in ("attic", "clock"):
        system.start(name)
    with pytest.raises(
        kozo.SeveralNodesError,
        match=r"several Nodes run here, attic and clock: choose one, as in kozo\.attach\('attic'\)",
    ):
        kozo.attach()
    with pytest.raises(kozo.NoNodeError, match="the Node 'clok' does not run on this machine"):
        kozo.attach("clok")
    folder = system.folder / "run/kozo/attic"
    for place in (folder, folder / "role", folder / "bus"):
        with kozo.attach(str(place)) as node:
            assert node.name == "attic"
    with pytest.raises(kozo.NoNodeError, match="no Node listens at /nowhere/role"):
        kozo.attach("/nowhere/role")
    with kozo.attach("clock", name="bell") as node:
        with pytest.raises(kozo.RefusedError, match="there is a role 'bell' already"):
            kozo.attach("clock", name="bell")
        with kozo.attach("clock") as first, kozo.attach("clock") as second:
            assert (first.role, second.role) == ("pytest", "pytest-2")
        with node.receive("event") as events, kozo.attach("attic") as other:
            # Roles of one name on two Nodes.
            system.nodes["attic"].wait_for_peer("clock")
            assert other.peers() == {"clock": "up"}
            sent = other.send("event", "door", confirm=True)
            assert sent is not None
            assert (sent.roles, sent.peers) == (0, 1)
            assert next(events).node == "attic"


def test_who_may_not_attach_is_told_what_to_do(clock: Any) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    clock.system.folder.chmod(0o755)
    (clock.system.folder / "run").chmod(0o755)
    socket = clock.system.folder / "run/kozo/clock/role"
    kozo.attach(str(socket)).close()
    socket.parent.parent.chmod(0o755)
    socket.parent.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(
            kozo.NotAllowedError, match=r"you may not attach programs to the Node 'clock': be root, or join"
        ):
            kozo.attach(str(socket))
    finally:
        os.seteuid(0)


def test_a_node_that_restarts_is_attached_to_again(clock: Any) -> None:
    with kozo.attach(name="porter") as node, node.receive("event", "door") as doors:
        node.status("watches the door")
        # What is sent within a millisecond of something else gathers first, and may be lost with the Node.
        assert node.send("event", "window", confirm=True)
        for end in ("kill", "terminate"):
            getattr(clock.process, end)()
            clock.process.wait()
            # Nothing is there, and what is sent waits for it.
            thread = threading.Thread(target=node.send, args=["event", "door", {"open": True}])
            thread.start()
            clock.start()
            assert next(doors).data == {"open": True}
            thread.join()
            assert clock.kozoctl("role", "porter")["status"] == "watches the door"


def test_a_script_that_waits_sees_the_restart_too(clock: Any) -> None:
    with kozo.attach() as node, node.receive("event", "door") as doors:
        clock.process.terminate()
        clock.process.wait()
        done: list[object] = []
        thread = threading.Thread(target=lambda: done.append(next(doors).data))
        thread.start()
        clock.start()
        clock.kozoctl("wait", "role=pytest:running", "--timeout", "30s")
        while not done:
            clock.kozoctl("inject", "event", "door", "7")
            thread.join(0.05)
        assert done == [7]


def test_what_waits_for_a_node_waits_for_so_long(clock: Any) -> None:
    node = kozo.attach(patience=0.3)
    clock.process.kill()
    clock.process.wait()
    # Whether a Message that is to be confirmed was sent is not known, so it is not sent again.
    with pytest.raises(kozo.DisconnectedError, match="the Node has closed the connection"):
        node.send("event", "door", confirm=True)
    with pytest.raises(kozo.DisconnectedError, match=r"the Node 'clock' is gone and did not come back within 0\.3 s"):
        node.send("event", "door")
    with pytest.raises(kozo.DisconnectedError, match=r"the Node 'clock' is gone and did not come back within 0\.3 s"):
        node.receive("event")
    node.close()


def test_one_that_waits_for_the_node_does_not_keep_others_waiting(clock: Any) -> None:
    with kozo.attach(patience=0.3) as node, node.receive("event") as events:
        thread = threading.Thread(target=lambda: list(events))
        thread.start()
        clock.process.kill()
        clock.process.wait()
        with pytest.raises(kozo.DisconnectedError, match=r"did not come back within 0\.3 s"):
            node.send("event", "door")
        node.close()
        thread.join(10)
        assert not thread.is_alive()


def test_a_node_that_hangs_keeps_each_waiting_for_its_own_time(clock: Any) -> None:
    with kozo.attach(patience=0.3) as node, node.receive("event") as events:
        clock.process.kill()
        clock.process.wait()
        clock.start()
        clock.process.send_signal(signal.SIGSTOP)
        thread = threading.Thread(target=lambda: list(events))
        thread.start()
        until("the other thread attaches", node._attaching.locked)
        began = time.monotonic()
        with pytest.raises(kozo.DisconnectedError, match=r"did not come back within 0\.3 s"):
            node.send("event", "door")
        took = time.monotonic() - began
        clock.process.send_signal(signal.SIGCONT)
        # It waits ten times as long for a Node that hangs.
        assert took < kozo.places.ANSWER / 2
        node.close()
        thread.join(10)
        assert not thread.is_alive()


def test_one_that_is_closed_while_it_attaches_again_is_gone(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    node = kozo.attach(name="porter")
    attach = kozo.attaching.attach

    def close_then(*arguments: Any) -> Any:
        attached = attach(*arguments)
        node.close()
        return attached

    monkeypatch.setattr("kozo.node.attach", close_then)
    clock.process.kill()
    clock.process.wait()
    clock.start()
    with pytest.raises(kozo.DisconnectedError, match="closed by this program"):
        node.receive("event")
    monkeypatch.undo()
    assert "porter" not in [role["name"] for role in clock.kozoctl("roles")]


def test_what_has_come_is_there_without_waiting(clock: Any) -> None:
    with kozo.attach() as node, node.receive("event") as events:
        node.send("event", "door", 1, confirm=True)
        assert [getattr(until("it is there", lambda: events.get(0)), "data", None)] == [1]
        assert events.get(0) is None


@pytest.mark.parametrize("timeout", [float("inf"), 30 * 86_400.0])
def test_a_wait_may_be_long(clock: Any, timeout: float) -> None:
    with kozo.attach() as node, node.receive("event") as events:
        thread = threading.Timer(0.1, node.send, args=["event", "door", 1])
        thread.start()
        message = events.get(timeout)
        assert message is not None
        assert message.data == 1
        # While another thread reads.
        taken: list[object] = []
        threads = [threading.Thread(target=lambda: taken.append(events.get(timeout))) for _ in range(2)]
        for taker in threads:
            taker.start()
        for _ in threads:
            node.send("event", "door")
        for taker in threads:
            taker.join(10)
        assert len(taken) == 2
        thread.join()


def test_a_role_that_is_stopped_ends(clock: Any) -> None:
    node = kozo.attach(name="porter")
    ended: list[list[kozo.Message]] = []
    events = node.receive("event")
    thread = threading.Thread(target=lambda: ended.append(list(events)))
    thread.start()
    stop_role(clock, "porter")
    thread.join(30)
    assert ended == [[]]
    with pytest.raises(kozo.DisconnectedError, match="the Node has stopped this Role"):
        node.send("event", "door")


def test_ctrl_c_ends_it(clock: Any) -> None:
    script = "import kozo\nnode = kozo.attach(name='porter')\nfor m in node.receive():\n    pass"
    with running([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True) as process:
        clock.kozoctl("wait", "role=porter:running", "--timeout", "30s")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert told.endswith("KeyboardInterrupt\n")


def test_the_interactive_interpreter(clock: Any) -> None:
    lines = """
import kozo
node = kozo.attach()
node
bells = node.receive('order', 'ring')
node.send('order', 'ring', confirm=True)
next(bells)
"""
    done = subprocess.run([sys.executable, "-i", "-q"], input=lines, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "<Node 'clock', attached as 'python'>",
        "Sent(sequence=1, roles=1, peers=0, unreachable=0)",
        "<order 'ring' from python@clock: None>",
    ]
