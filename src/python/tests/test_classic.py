"""The API of 2014: `timer` and `cuckoo` written in it, beside those that are built in."""

from __future__ import annotations

import json
import pathlib
import re
import signal
import subprocess
import sys
from typing import Any

import pytest
from helping import running
from kit import until

import kozo

HERE = pathlib.Path(__file__).parent / "roles"

# How a Node runs a file that is not executable.
WRAPPER = '#!/bin/sh\nexec "{python}" -m kozo "{file}" "$@"\n'

# Those that tell of both timers, and all that tell something.
BIRDS = ("newbird", "allbird")
ROLES = ("new", "old", "oldbird", *BIRDS)


def put(roles: pathlib.Path, name: str, text: str | None = None, as_type: str | None = None) -> None:
    """Put a file where Nodes find it, unchanged."""
    file = roles.parent / "files" / f"{name}.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text or (HERE / f"{name}.py").read_text())
    program = roles / (as_type or name)
    program.write_text(WRAPPER.format(python=sys.executable, file=file))
    program.chmod(0o755)


def test_timer_and_cuckoo_behave_like_the_built_in_ones(system: Any, roles: pathlib.Path) -> None:
    put(roles, "timer", as_type="old-timer")
    put(roles, "cuckoo", as_type="old-cuckoo")
    node = system.node(
        "clock",
        "new: {type: timer, tick: 0.2, message: tea}, old: {type: old-timer, tick: 0.2, message: tea}, "
        "quiet: {type: old-timer, tick: 3600, log: false}, "
        "newbird: {type: cuckoo}, oldbird: {type: old-cuckoo, timer: new}, allbird: {type: old-cuckoo}",
    )
    system.start("clock")
    with kozo.attach() as script, script.receive() as messages:
        seen: dict[tuple[str, str], list[Any]] = {}

        def enough() -> bool:
            for message in iter(lambda: messages.get(0.01), None):
                seen.setdefault((message.role, message.kind), []).append(message)
            told = {role: [message.data for message in seen.get((role, "log"), [])] for role in ROLES}
            both = all(any(f"{timer}@" in line for line in told[bird]) for bird in BIRDS for timer in ("new", "old"))
            return both and min(map(len, told.values())) >= 3

        until("both tick, and both cuckoos tell", enough)
    for kind in ("event", "log"):
        old, new = seen["old", kind][0], seen["new", kind][0]
        shapes = [re.sub(r"\d\d:\d\d:\d\d", "TIME", json.dumps(message.data)) for message in (old, new)]
        assert shapes[0] == shapes[1]
        assert (old.type, old.channel) == (new.type, new.channel)
    for role in ("old", "new"):
        times = [message.time for message in seen[role, "event"]]
        # A machine that is busy may make one late, but none too many.
        assert times[-1] - times[0] > (len(times) - 2) * 200_000
    assert ("quiet", "log") not in seen
    # What they tell of a tick is the same, and each hears the timer that it was told of, or all.
    told = {}
    for bird in ("oldbird", "newbird", "allbird"):
        told[bird] = {re.sub(r"\d\d:\d\d:\d\d", "TIME", message.data) for message in seen[bird, "log"]}
    assert told["oldbird"] == {"Cuckoo! new@clock: TIME tea"}
    assert told["newbird"] >= {"Cuckoo! new@clock: TIME tea", "Cuckoo! old@clock: TIME tea"}
    assert told["allbird"] >= {"Cuckoo! new@clock: TIME tea", "Cuckoo! old@clock: TIME tea"}
    assert any("Cuckoo! new@clock" in line for line in node.log.lines)

    node.process.terminate()
    node.process.wait()
    system.start("clock")
    node.log.wait_for("The last cuckoo was new@clock: ", " tea", "oldbird")
    node.printed.wait_for("The last cuckoo was ", " tea")


EVERYTHING = """
import socket
from kozo import (KozoError, NODE_NAME, ROLE_NAME, ROLENODE_NAME, Role, SystemNode, kozoConfig, kozoSystem)
from kozo.messages import Event, Log, Order

class Everything(Role):
    def localInit(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.getNode().getName()

    def isInterestedIn(self, message):
        if message.getChannel() == "odd":
            raise KozoError("what is this?")
        if message.getChannel() == "waits":
            self.setStorage(1)
        return isinstance(message, Order) and message.getOrderType() == "ask"

    def run(self):
        message = self.getMessage()
        what = message.getOrderData()[0]
        self.sendEvent("told", channel=message.getChannel(), data=self.tell(what, message))

    def tell(self, what, message):
        if what == "options":
            return [self[name] for name in ("node", "role", "both", "port", "missing", "text", "required")]
        if what == "tuple":
            return repr(message.getOrderData())
        if what == "sender":
            return (message.getSender().getName(), message.getSenderNode().getName(), message.getSenderRole().getName(),
                    str(message.getSenderRole()), message.getSender().isSelf(), message.getTimestamp() > 1e9)
        if what == "names":
            return (self.getName(), self.getNode().getName(), [n.getName() for n in kozoSystem().getNodes()],
                    kozoSystem().getSelfNode().getName(), kozoSystem().getNodeByName("nowhere"))
        if what == "timeout":
            return (self.getMessage(0), self.getMessage(timeout=0.01))
        if what == "lines":
            self.info("a", 1); self.warn("b", 2); self.sendLog("c", 3, None)
        if what == "system":
            try:
                kozoConfig("beat")
            except KozoError as error:
                problem = str(error)
            try:
                SystemNode("cellar", is_self=False).getPublicKey()
            except KozoError as error:
                return (kozoConfig("heartbeat"), self.getNode().getPublicKey(), problem, str(error))
        if what in ("sleep", "accept"):
            self.sendEvent("blocks")
        if what == "sleep":
            self.sleep(float("inf"))
        if what == "accept":
            self._socket.accept()
        if what == "raise":
            raise KozoError("no", 7)
        return None

roleInfo = {
    'format': '1.0',
    'class': Everything,
    'config': {
        'node': {'default': NODE_NAME, 'description': ''},
        'role': {'default': ROLE_NAME},
        'both': {'default': ROLENODE_NAME},
        'port': {'default': 7050},
        'text': {'default': None},
        'required': {'description': 'It has no default.'},
    }
}
"""


@pytest.fixture
def everything(system: Any, roles: pathlib.Path) -> Any:
    put(roles, "everything", EVERYTHING)
    node = system.node(
        "clock", "everything: {required: 8, port: 80, text: tea}, again: {type: everything, required: on}"
    )
    system.node("attic")
    system.start("clock")
    return node


def ask(what: str, role: str = "everything") -> Any:
    """Ask a Role that runs, and give what it tells."""
    with kozo.attach() as node, node.receive("event", "told", role=role) as told:
        until("it is there", lambda: node.send("order", "ask", ("tuple",)) or told.get(0.2))
        while told.get(0.2):
            pass
        node.send("order", "ask", (what, (1, [2])), channel="c")
        message = next(told)
        assert message.channel == "c"
        return message.data


def test_all_that_a_role_can_call(everything: Any) -> None:
    assert ask("options") == ["clock", "everything", "everything@clock", 80, None, "tea", 8]
    assert ask("options", "again") == ["clock", "again", "again@clock", 7050, None, None, True]
    assert ask("tuple") == "('tuple', (1, (2,)))"
    assert ask("sender") == ["clock", "clock", "pytest", "pytest@clock", True, True]
    assert ask("names") == ["everything", "clock", ["clock", "attic"], "clock", None]
    assert ask("timeout") == [None, None]
    with kozo.attach() as node, node.receive("log") as logs:
        ask("lines")
        assert next(logs).data == "c 3 None"
    everything.log.wait_for("INFO a 1", "everything")
    everything.log.wait_for("WARN b 2", "everything")


def test_what_a_node_does_not_tell_is_said(everything: Any) -> None:
    check_system(ask("system"))


def check_system(told: Any) -> None:
    heartbeat, key, *problems = told
    assert heartbeat > 0
    assert key[0] == "ssh-ed25519"
    assert key[1].startswith("AAAA")
    assert problems[0].startswith("the configuration has no option 'beat'")
    assert problems[1] == "the System has no Node 'cellar'"


@pytest.mark.parametrize("what", ["sleep", "accept"])
def test_one_that_blocks_is_stopped(everything: Any, what: str) -> None:
    ask("tuple")
    with kozo.attach() as node, node.receive("event", "blocks") as blocks:
        node.send("order", "ask", (what,))
        next(blocks)
        everything.kozoctl("role", "everything", "stop")
    assert everything.kozoctl("role", "everything")["state"] == "stopped"
    assert "signal" not in (everything.kozoctl("role", "everything")["last_exit"] or "")


def test_one_that_raises_fails_with_its_line(everything: Any) -> None:
    ask("tuple")
    with kozo.attach() as node:
        node.send("order", "ask", ("raise",))
        line = EVERYTHING[: EVERYTHING.index('KozoError("no", 7)')].count("\n") + 1
        everything.log.wait_for(f"everything.py:{line}: KozoError: no 7 (in tell, for run)")
        until("it has failed", lambda: everything.kozoctl("role", "everything")["last_error"])


@pytest.mark.parametrize(
    ("channel", "line", "problem"),
    [
        ("odd", 'KozoError("what', "what is this?"),
        (
            "waits",
            "self.setStorage(1)",
            "isInterestedIn cannot wait for the Node, of which nothing is read until it returns",
        ),
    ],
)
def test_one_that_cannot_say_what_it_wants_fails(everything: Any, channel: str, line: str, problem: str) -> None:
    ask("tuple")
    with kozo.attach() as node:
        node.send("order", "ask", channel=channel)
        number = EVERYTHING[: EVERYTHING.index(line)].count("\n") + 1
        everything.log.wait_for(f"everything.py:{number}: KozoError: {problem} (in isInterestedIn)")
        until("it has failed", lambda: everything.kozoctl("role", "everything")["last_error"])


def test_one_that_cannot_begin_says_where(system: Any, roles: pathlib.Path) -> None:
    put(roles, "everything", EVERYTHING.replace('socket.create_server(("127.0.0.1", 0))', "socket.missing"))
    node = system.node("clock", "everything: {required: 8}")
    system.start("clock")
    node.log.wait_for("AttributeError", "missing", "(in localInit)")


def test_interest_as_data(system: Any, roles: pathlib.Path) -> None:
    text = EVERYTHING.replace("'class'", "'interest': [{'kind': 'order', 'type': 'ask', 'channel': 'c'}], 'class'")
    put(roles, "everything", text)
    system.node("clock", "everything: {required: 8}")
    node = system.start("clock")
    with kozo.attach() as script, script.receive("event", "told") as told:
        until("it is there", lambda: script.send("order", "ask", ("tuple",), channel="c") or told.get(0.2))
        before = node.kozoctl("role", "everything")["received"]
        for _ in range(10):
            script.send("event", "noise", confirm=True)
        assert node.kozoctl("role", "everything")["received"] == before


def test_by_hand(clock: Any) -> None:
    command = [sys.executable, "-m", "kozo", HERE / "timer.py", "--set", "tick=0.05", "--set", "message=tea"]
    with (
        kozo.attach() as node,
        node.receive("event", "tick") as ticks,
        running(command, stderr=subprocess.PIPE, text=True) as process,
    ):
        message = next(ticks)
        assert message.role == "timer"
        assert message.data[0] == "tea"
        next(ticks)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert clock.runs()


def test_by_hand_it_knows_the_system(clock: Any, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "everything.py"
    file.write_text(EVERYTHING)
    command = [sys.executable, "-m", "kozo", file, "--set=required=8"]
    with running(command, stderr=subprocess.PIPE):
        check_system(ask("system"))


def test_it_says_what_it_is() -> None:
    command = [sys.executable, "-m", "kozo", str(HERE / "timer.py")]
    done = subprocess.run([*command, "--describe"], capture_output=True, text=True, check=True)
    described = json.loads(done.stdout)
    assert described["config"]["tick"] == {
        "default": 1,
        "description": "Number of seconds between each message.",
        "kind": "number",
    }
    assert described["interest"] == []
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert "Usage: python3 -m kozo timer.py [--node NODE]" in done.stdout
    assert "tick (default 1): Number of seconds between each message." in done.stdout


def test_a_file_that_is_no_role_is_told_so(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "none.py"
    file.write_text("print('hello')")
    done = subprocess.run([sys.executable, "-m", "kozo", file], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    said = "it has neither kozo.run() nor a roleInfo or transportInfo, so it is no Role and no Transport"
    assert done.stderr == f"{file}: {said}\n"


def test_rpio_says_what_is_missing() -> None:
    with pytest.raises(ImportError, match=r"there is neither RPIO nor RPi\.GPIO: on Debian, `sudo apt install"):
        kozo.helpers.rpio()
