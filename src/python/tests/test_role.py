"""Files that are Roles: started by a Node, and by hand."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
from itertools import islice
from typing import Any

import pytest
from helping import running, stop_role
from kit import PROGRAMS, until

import kozo

HERE = pathlib.Path(__file__).parent / "roles"

# The line of it that raises, behind one that says what runs it.
FAILS = 2 + (HERE / "bell.py").read_text().splitlines().index('    raise ZeroDivisionError("on purpose")')


def put(roles: pathlib.Path, name: str, text: str | None = None) -> pathlib.Path:
    """Put a file where Nodes find it."""
    file = roles / f"{name}.py"
    if text is None:
        text = (HERE / f"{name}.py").read_text()
    file.write_text(f"#!{sys.executable}\n{text}")
    file.chmod(0o755)
    return file


def start(system: Any, role: str, options: str = "") -> Any:
    """Start a Node with one Role, and wait until that runs."""
    node = system.node("clock", f"{role}: {{{options}}}")
    system.start("clock")
    node.kozoctl("wait", f"role={role}:running", "--timeout", "30s")
    return node


@pytest.fixture
def bell(system: Any, roles: pathlib.Path) -> Any:
    put(roles, "bell")
    return start(system, "bell", "sound: dong")


def test_six_lines_are_a_role(system: Any, roles: pathlib.Path) -> None:
    put(
        roles,
        "doorbell",
        """import kozo

@kozo.on("order", "ring")
def ring(message):
    kozo.send("event", "rung", channel=message.channel)

kozo.run()
""",
    )
    start(system, "doorbell")
    with kozo.attach() as node, node.receive("event", "rung") as rung:
        node.send("order", "ring", channel="door")
        message = next(rung)
        assert (message.role, message.channel, message.data) == ("doorbell", "door", None)


def test_a_file_that_is_not_executable(system: Any, roles: pathlib.Path, tmp_path: pathlib.Path) -> None:
    # What a Node runs then.
    command = f'#!/bin/sh\nexec "{sys.executable}" -m kozo "{HERE / "bell.py"}" "$@"\n'
    program = roles / "bell"
    program.write_text(command)
    program.chmod(0o755)
    start(system, "bell", "sound: dong")
    with kozo.attach() as node, node.receive("event", "rung") as rung:
        node.send("order", "ring")
        assert next(rung).data["sound"] == "dong"
    for arguments in (["--describe"], ["--help"]):
        ways = ([sys.executable, str(HERE / "bell.py")], [str(program)])
        told = [subprocess.run([*way, *arguments], capture_output=True, text=True, check=True).stdout for way in ways]
        assert told[0] == told[1]


def test_options_storage_and_stray_prints(system: Any, bell: Any) -> None:
    for start_number in (0, 1):
        with kozo.attach() as node, node.receive("event", "rung") as rung:
            for number in range(3):
                node.send("order", "ring", number, channel="door")
                message = next(rung)
                assert message.channel == "door"
                rings = 3 * start_number + number + 1
                assert message.data["sound"] == "dong"
                assert message.data["rings"] == rings
                assert message.data["last"] == [0, 1, 2, 0, 1, 2][:rings]
        bell.log.wait_for("INFO a stray print", "bell")
        bell.log.wait_for("INFO printed before anything was said", "bell")
        bell.kozoctl("role", "bell", "restart")
        bell.kozoctl("wait", "role=bell:running", "--timeout", "30s")
    assert bell.kozoctl("role", "bell")["restarts"] == 0


def test_what_waits_while_it_waits_for_the_node_has_an_end(
    system: Any, roles: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    last = tmp_path / "last"
    put(
        roles,
        "reader",
        f"""import os
import kozo

numbers = []

@kozo.on("order", "begin")
def begin():
    kozo.send("event", "begun")
    while not os.path.exists({str(last)!r}):
        kozo.send("event", "progress", confirm=True)
    for _ in range(50):
        # All that has come is read by then.
        kozo.send("event", "progress", confirm=True)

@kozo.on("order", "count")
def count(message):
    numbers.append(message.data)

@kozo.on("order", "report")
def report():
    kozo.send("event", "counted", numbers)

kozo.run()
""",
    )
    clock = start(system, "reader")
    with kozo.attach() as node, node.receive("event", "begun") as begun, node.receive("event", "counted") as counted:
        node.send("order", "begin")
        next(begun)
        for number in range(3000):
            # The queue of the Node is not to overflow.
            node.send("order", "count", number, confirm=number % 50 == 0)
        node.send("order", "report", confirm=True)
        last.touch()
        numbers = next(counted).data
    assert numbers == list(range(numbers[0], 3000))
    assert 1000 <= len(numbers) < 2500
    clock.log.wait_for(f"WARN {3000 - len(numbers)} Messages dropped, the oldest", "reader")


def test_a_flood_is_kept_once_it_is_over(system: Any, bell: Any) -> None:
    with kozo.attach() as node, node.receive("event", "rung") as rung:
        for number in range(100):
            node.send("order", "ring", number)
        for number in range(100):
            assert next(rung).data["rings"] == number + 1
    bell.kozoctl("role", "bell", "restart")
    bell.kozoctl("wait", "role=bell:running", "--timeout", "30s")
    with kozo.attach() as node, node.receive("event", "rung") as rung:
        node.send("order", "ring")
        assert next(rung).data["rings"] == 101


ODD = """
import kozo
state = kozo.storage(rings=0)

@kozo.on("order", "ring")
def ring():
    state.rings = {state.rings} if isinstance(state.rings, int) else 7
    kozo.send("event", "rung", str(state.rings))

kozo.run()
"""


def test_what_cannot_be_kept_is_said_and_the_role_goes_on(system: Any, roles: pathlib.Path) -> None:
    put(roles, "odd", ODD)
    node = start(system, "odd")
    with kozo.attach() as script, script.receive("event", "rung") as rung:
        for stored in ("{0}", "7"):
            script.send("order", "ring")
            assert next(rung).data == stored
        node.log.wait_for(
            "WARN its state could not be stored: storage['rings'] is of type set, which no Message can carry"
        )
        node.kozoctl("role", "odd", "restart")
        node.kozoctl("wait", "role=odd:running", "--timeout", "30s")
        script.send("order", "ring")
        assert next(rung).data == "{7}"


def test_an_exception_is_in_the_journal_with_its_line_and_the_role_goes_on(bell: Any) -> None:
    with kozo.attach() as node:
        node.send("order", "fail")
        bell.log.wait_for(f"ERROR bell.py:{FAILS}: ZeroDivisionError: on purpose (in fail, for the order 'fail')")
        bell.log.wait_for('raise ZeroDivisionError("on purpose")')
        assert not any("role.py" in line for line in bell.log.lines)
        rung = node.receive("event", "rung")
        node.send("order", "ring")
        next(rung)


def test_a_role_fails_if_it_says_so(system: Any, roles: pathlib.Path) -> None:
    text = (HERE / "bell.py").read_text().replace("kozo.run()", "kozo.run(on_error='fail')")
    put(roles, "bell", text)
    node = start(system, "bell")
    with kozo.attach() as script:
        script.send("order", "fail")
        until("it has failed", lambda: node.kozoctl("role", "bell")["last_error"])
    error = node.kozoctl("role", "bell")["last_error"]
    assert error == (
        f"the program exited with code 1: bell.py:{FAILS}: ZeroDivisionError: on purpose (in fail, for the order 'fail')"
    )


def test_options_are_checked_by_the_node(system: Any, roles: pathlib.Path) -> None:
    put(roles, "bell")
    system.node("clock", "bell: {puase: 7}")
    system.write()
    command = [PROGRAMS / "kozo", "--check", "--run", system.config, "clock"]
    done = subprocess.run(command, env=system.environment, capture_output=True, text=True, check=False)
    assert "has no option `puase`" in done.stderr


CHOSEN = """
import datetime, pathlib, typing
import kozo

@kozo.options
class options:
    pin: int = kozo.option(7, "Where it is.", min=0, max=40)
    loud: bool = False
    gain: float = 1.0
    names: list[str] = ["a"]
    pause: datetime.timedelta = datetime.timedelta(seconds=2)
    sound: pathlib.Path | None = None
    mode: typing.Literal["one", "two"] = "one"
    size: int = kozo.option("1 KiB", kind="size")
    who: str

@kozo.on("order", "show")
def show(message):
    message.reply([repr(getattr(options, name)) for name in
                   ("pin", "loud", "gain", "names", "pause", "sound", "mode", "size", "who")])

kozo.run()
"""


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (
            "who: me",
            ["7", "False", "1.0", "['a']", "datetime.timedelta(seconds=2)", "None", "'one'", "1024", "'me'"],
        ),
        (
            "who: '7', pin: 40, loud: yes, gain: 2, names: [b, c], pause: 500ms, sound: /a/b, mode: two, size: 2 MiB",
            [
                "40", "True", "2.0", "['b', 'c']", "datetime.timedelta(microseconds=500000)", "PosixPath('/a/b')", "'two'",
                "2097152", "'7'",
            ],
        ),
    ],
)  # fmt: skip
def test_options_of_all_types(system: Any, roles: pathlib.Path, given: str, shown: list[str]) -> None:
    file = put(roles, "chosen", CHOSEN)
    start(system, "chosen", given)
    with kozo.attach() as node, node.receive("reply", "show") as replies:
        node.send("order", "show")
        assert next(replies).data == shown
        # By hand, the same texts mean the same.
        words = [word.split(": ") for word in given.replace("[b, c]", "b;c").split(", ")]
        settings = [f"--set={name}={text.strip(chr(39)).replace(';', ',')}" for name, text in words]
        with running([file, "--name=by-hand", *settings], stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert "attached to the Node 'clock' as the Role 'by-hand'" in process.stderr.readline()
            system.nodes["clock"].kozoctl("wait", "role=by-hand:running", "--timeout", "30s")
            node.send("order", "show")
            answers = {message.role: message.data for message in islice(replies, 2)}
            assert answers == {"chosen": shown, "by-hand": shown}
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--set", "pin=8"], "the option 'who' must be given: --set who=VALUE"),
        (["--set", "pim=8"], "there is no option 'pim'; there are: pin, loud,"),
        (["--set", "pin=x"], "the option 'pin': 'x' is no integer"),
        (["--set", "pin=41"], "the option 'pin': 41 is too large: at most 40 is allowed"),
        (["--set", "mode=three"], "the option 'mode': 'three' is not one of one, two"),
        (["--set", "pause=5 years"], "the option 'pause': '5 years' is not a duration"),
        (["--set"], "--set needs a value"),
        (["--sat=1"], "unknown argument '--sat': use --node, --name, --set, --describe or --help"),
        (["--set", "who=me"], "no Node listens at "),
    ],
)
def test_by_hand_one_sentence_says_what_is_wrong(
    system: Any, tmp_path: pathlib.Path, arguments: list[str], problem: str
) -> None:
    file = put(tmp_path, "chosen", CHOSEN)
    done = subprocess.run([file, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"chosen.py: {problem}")
    assert done.stderr.count("\n") == 1


def test_it_says_what_it_is(tmp_path: pathlib.Path) -> None:
    file = put(tmp_path, "bell")
    done = subprocess.run([file, "--describe"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {
        "format": "1.0",
        "author": "Ada",
        "description": "Rings a bell, and counts how often.",
        "config": {
            "sound": {"description": "What it says.", "kind": "text", "default": "ding"},
            "pause": {"description": "Between two rings.", "kind": "duration", "default": 0},
        },
        "interest": [{"kind": "order", "type": "ring"}, {"kind": "order", "type": "fail"}],
        "needsStorage": True,
    }
    done = subprocess.run([file, "--help"], capture_output=True, text=True, check=True)
    assert "Usage: python3 bell.py" in done.stdout
    assert 'sound (default "ding"): What it says.' in done.stdout


def test_by_hand_it_attaches_and_again_when_the_node_restarts(clock: Any, tmp_path: pathlib.Path) -> None:
    file = put(tmp_path, "bell")
    with running([file], stderr=subprocess.PIPE, text=True) as process:
        for end in ("terminate", "kill"):
            clock.kozoctl("wait", "role=bell:running", "--timeout", "30s")
            with kozo.attach() as node, node.receive("event", "rung") as rung:
                node.send("order", "ring")
                assert next(rung).role == "bell"
                node.send("order", "fail")
                clock.log.wait_for(f"ERROR bell.py:{FAILS}: ZeroDivisionError: on purpose")
            assert clock.kozoctl("role", "bell")["type"] == "bell"
            getattr(clock.process, end)()
            clock.process.wait()
            clock.start()
        clock.kozoctl("wait", "role=bell:running", "--timeout", "30s")
        stop_role(clock, "bell")
        assert process.wait(30) == 0


def test_kozoctl_tries_and_attaches_it(clock: Any, tmp_path: pathlib.Path) -> None:
    file = put(tmp_path, "bell")
    for arguments in (["role", "try", str(file), "--set", "sound=dong"], ["attach", "--", str(file)]):
        command = [PROGRAMS / "kozoctl", "-n", "clock", *arguments]
        with running(command, env=clock.system.environment, stderr=subprocess.PIPE) as process:
            clock.kozoctl("wait", "role=bell:running", "--timeout", "30s")
            with kozo.attach() as node, node.receive("event", "rung") as rung:
                # `kozoctl attach` knows nothing of what it wants until it has started.
                heard = until("it rings", lambda: node.send("order", "ring") or rung.get(0.2))
                assert heard.data["sound"] == ("dong" if "try" in arguments else "ding")
            process.terminate()
            assert process.wait(30) == 0


TIMED = """
import time, kozo
options = kozo.options(period=kozo.option("50ms", kind="duration"))

@kozo.when("start")
def begin():
    kozo.status(f"every {options.period} s")

@kozo.every(lambda: options.period)
def beat():
    kozo.send("event", "beat", time.monotonic())

@kozo.when("peer")
def changed(peer):
    kozo.send("event", "peer", [peer["name"], peer["state"]])

@kozo.on("order", "block")
def block():
    kozo.send("event", "blocks")
    time.sleep(1000)

@kozo.when("stop")
def end():
    kozo.send("event", "ended")

kozo.run()
"""


def test_timers_moments_and_a_stop(system: Any, roles: pathlib.Path) -> None:
    put(roles, "timed", TIMED)
    node = start(system, "timed", "period: 20ms")
    with kozo.attach() as script:
        with script.receive("event", "beat") as beats:
            times = [next(beats).data for _ in range(11)]
        assert 0.15 < times[-1] - times[0] < 2
        assert node.kozoctl("role", "timed")["status"] == "every 0.02 s"
        with script.receive("event", "ended") as ended, script.receive("event", "beat") as beats:
            for last in ("restart", "stop"):
                next(beats)
                node.kozoctl("role", "timed", last)
                assert next(ended).role == "timed"
                while beats.get(0):
                    pass


SLOW = """
import time, kozo

@kozo.every("1ms")
def beat():
    time.sleep(0.02)

@kozo.on("order", "ask")
def ask(message):
    message.reply("heard")

kozo.run()
"""


def test_a_timer_that_is_always_late_keeps_nothing_waiting(system: Any, roles: pathlib.Path) -> None:
    put(roles, "slow", SLOW)
    node = start(system, "slow")
    with kozo.attach() as script, script.receive("reply", "ask") as replies:
        script.send("order", "ask")
        assert getattr(replies.get(10), "data", None) == "heard"
    node.kozoctl("role", "slow", "stop")
    assert "signal" not in (node.kozoctl("role", "slow")["last_exit"] or "")


def test_a_handler_that_blocks_is_stopped_all_the_same(system: Any, roles: pathlib.Path) -> None:
    put(roles, "timed", TIMED)
    node = start(system, "timed", "period: 1h")
    with (
        kozo.attach() as script,
        script.receive("event", "ended") as ended,
        script.receive("event", "blocks") as blocks,
    ):
        # It has begun once it shows its status.
        until("it has begun", lambda: node.kozoctl("role", "timed")["status"])
        script.send("order", "block")
        next(blocks)
        node.kozoctl("role", "timed", "stop")
        assert next(ended)


def test_a_role_that_attaches_is_told_to_run(system: Any, roles: pathlib.Path) -> None:
    put(
        roles,
        "script",
        "import sys, json\nif sys.argv[1:]: print('{\"format\": 1}')\nelse:\n    import kozo\n    kozo.attach()\n",
    )
    node = system.node("clock", "script: {}")
    system.start("clock")
    node.log.wait_for("a Node started this program as its Role 'script': use kozo.run(), not kozo.attach()")


def test_a_handler_that_is_async_is_refused() -> None:
    async def ring() -> None:
        pass

    with pytest.raises(TypeError, match="ring is async, but a Role calls plain functions"):
        kozo.on("order", "ring")(ring)


def test_it_starts_with_little() -> None:
    script = (
        "import sys, runpy; sys.argv = ['bell', '--describe']\nimport kozo\nfrom kozo import role\nprint(*sys.modules)"
    )
    environment = os.environ | {"KOZO_PYTHON_JSON": "standard"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split()) | set(done.stdout.split())
    assert "kozo.role" in loaded, done
    assert not loaded & {"asyncio", "logging", "dataclasses", "inspect", "socket", "pathlib", "argparse", "traceback"}
