"""What the tests have: Nodes of this machine, which are real ones."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from kit import System

import kozo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _points_at(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", system.environment["XDG_RUNTIME_DIR"])
    # Other Nodes may run on this machine.
    monkeypatch.setenv("KOZO_NODE", str(system.folder / "run/kozo/clock"))
    for name in ("KOZO_ROLE", "KOZO_RUN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    """Nodes that go when the test ends, and that this process finds."""
    with System() as system:
        _points_at(system, monkeypatch)
        yield system


@pytest.fixture
def clock(system: System) -> Any:
    """A Node `clock`, which runs."""
    system.node("clock")
    return system.start("clock")


@pytest.fixture
def roles(system: System) -> Path:
    """The folder of programs that are Roles."""
    folder: Path = system.folder / "roles"
    folder.mkdir()
    system.options += f"rolePath: {folder}\n"
    return folder


@pytest.fixture(scope="session")
def _node_of_examples() -> Iterator[System]:
    with System() as system:
        system.node("clock")
        system.start("clock")
        yield system


@pytest.fixture(autouse=True)
def _encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    # `check` runs what is sent and received in each encoding.
    encoding = os.environ.get("KOZO_PYTHON_ENCODING")
    if encoding is not None:
        for attach in (kozo.attach, kozo.aio.attach):
            monkeypatch.setitem(attach.__kwdefaults__, "encoding", encoding)


@pytest.fixture(autouse=True)
def _examples(
    request: pytest.FixtureRequest, doctest_namespace: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Examples in docstrings run against a Node of their own.
    if isinstance(request.node, pytest.DoctestItem):
        _points_at(request.getfixturevalue("_node_of_examples"), monkeypatch)
        doctest_namespace["kozo"] = kozo


# Programs that Nodes start find the package that is tested.
os.environ["PYTHONPATH"] = os.path.dirname(os.path.dirname(os.path.abspath(kozo.__file__)))
