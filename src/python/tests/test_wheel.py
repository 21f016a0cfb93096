"""The wheel: what is in it, and a Role that runs from it."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest
from helping import running
from test_readme import blocks

import kozo

SOURCE = pathlib.Path(__file__).parent.parent


def pip(*arguments: str | pathlib.Path) -> None:
    """Run pip, without a network."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        *arguments,
        "--no-deps",
        "--no-index",
    ]
    subprocess.run(command, check=True, timeout=120)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("wheel")
    # It is built in a copy, as setuptools leaves things behind.
    subprocess.run(["cp", "-r", SOURCE, folder / "source"], check=True)
    pip("wheel", "--no-build-isolation", "--wheel-dir", folder, folder / "source")
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def python(wheel: pathlib.Path) -> pathlib.Path:
    """A Python of a new environment, which has the wheel and nothing else."""
    folder = wheel.parent / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
    interpreter = folder / "bin" / "python3"
    pip("--python", interpreter, "install", wheel)
    return interpreter


def test_it_has_all_of_the_package(wheel: pathlib.Path, python: pathlib.Path) -> None:
    workspace = (SOURCE.parent.parent / "Cargo.toml").read_text()
    version = workspace.partition('\nversion = "')[2].partition('"')[0]
    assert wheel.name == f"kozo-{version}-py3-none-any.whl"
    assert kozo.__version__ == version
    (installed,) = python.parent.parent.glob("lib/python3*/site-packages/kozo")
    modules = {file.name for file in installed.iterdir()} - {"__pycache__"}
    assert modules == {file.name for file in (SOURCE / "kozo").iterdir()} - {"__pycache__"}


def test_a_role_of_six_lines_runs_from_it(clock: Any, python: pathlib.Path, tmp_path: pathlib.Path) -> None:
    doorbell = tmp_path / "doorbell.py"
    doorbell.write_text(blocks()[1])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    by_hand = running([python, doorbell], env=environment, cwd=tmp_path)
    with kozo.attach() as node, node.receive("event", "rung") as rung, by_hand:
        clock.kozoctl("wait", "role=doorbell:running", "--timeout", "30s")
        node.send("order", "ring", channel="front")
        assert next(rung).channel == "front"
