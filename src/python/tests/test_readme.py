"""What the README says, typed in."""

from __future__ import annotations

import doctest
import pathlib
import sys
from typing import TYPE_CHECKING, Any

from test_role import put, start
from test_transport_link import exchange, start_pair

import kozo

if TYPE_CHECKING:
    import pytest

README = pathlib.Path(__file__).parent.parent / "README.md"


def blocks() -> list[str]:
    """Give the pieces of Python."""
    return [part.partition("```")[0] for part in README.read_text().split("```python\n")[1:]]


def test_the_script(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [""])
    script = doctest.DocTestParser().get_doctest(blocks()[0], {}, "README.md", str(README), 0)
    assert len(script.examples) == 7
    told: list[str] = []
    assert doctest.DocTestRunner().run(script, out=told.append).failed == 0, "".join(told)


def test_the_roles(system: Any, roles: pathlib.Path) -> None:
    short, long, _, _ = blocks()[1:]
    put(roles, "doorbell", short)
    start(system, "doorbell")
    with kozo.attach() as node, node.receive("event", "rung") as rung:
        node.send("order", "ring", channel="door")
        assert next(rung).channel == "door"
    put(roles, "doorbell", long.replace("22,", "24,"))
    clock = system.nodes["clock"]
    clock.kozoctl("reload")
    clock.kozoctl("wait", "role=doorbell:running", "--timeout", "30s")
    with kozo.attach() as node, node.receive("reply", "ring") as replies:
        node.send("order", "ring", channel="back door")
        assert next(replies).data == "ding"


def test_the_transport(system: Any) -> None:
    clock, _ = start_pair(system, "air", blocks()[-1])
    clock.wait_for_peer("scribe")
    exchange(system)


def test_it_is_two_screens_at_most() -> None:
    # Of 50 lines each, without the empty ones.
    assert len([line for line in README.read_text().splitlines() if line]) <= 100
