"""A notebook: cells that a kernel of Jupyter runs, in a main thread with an event loop that runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.manager import KernelManager
from kit import PATIENCE, until

import kozo

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator


class Notebook:
    """A kernel, and what the cells that it runs have shown."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._kernel = KernelManager()
        # All that it keeps for its user is for this test.
        environment = os.environ | {"HOME": str(folder), "IPYTHONDIR": str(folder), "JUPYTER_RUNTIME_DIR": str(folder)}
        self._kernel.start_kernel(env=environment)
        self._client = self._kernel.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=PATIENCE)

    def run(self, cell: str) -> str:
        """Run a cell, and give what it shows; of an exception the name and the text."""
        return self.shown(self._client.execute(cell, allow_stdin=False))

    def begin(self, cell: str) -> str:
        """Begin to run a cell."""
        name: str = self._client.execute(cell, allow_stdin=False)
        return name

    def shown(self, cell: str) -> str:
        """Wait until a cell has ended, and give what it has shown."""
        shown = []
        while True:
            message = self._client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != cell:
                continue
            content = message["content"]
            match message["msg_type"]:
                case "execute_result":
                    shown.append(content["data"]["text/plain"])
                case "stream":
                    shown.append(content["text"])
                case "error":
                    shown.append(f"{content['ename']}: {content['evalue']}")
                case "status" if content["execution_state"] == "idle":
                    return "".join(shown)

    def interrupt(self) -> None:
        """Do what the button with the square does, and Ctrl-C."""
        self._kernel.interrupt_kernel()

    def end(self) -> None:
        """End the kernel."""
        self._client.stop_channels()
        self._kernel.shutdown_kernel(now=True)


@pytest.fixture
def notebook(clock: Any, tmp_path: pathlib.Path) -> Iterator[Notebook]:
    made = Notebook(tmp_path)
    try:
        yield made
    finally:
        made.end()


def test_a_cell_waits_for_messages_and_is_interrupted(clock: Any, notebook: Notebook) -> None:
    assert notebook.run("import kozo\nnode = kozo.attach()\nnode") == "<Node 'clock', attached as 'notebook'>"
    assert notebook.run("doors = node.receive('event', 'door*')\ndoors") == (
        "<Receiver of kind='event' type='door*', 0 waiting>"
    )
    assert notebook.run("node.send('event', 'door', [b'x' * 10_000])\nmessage = next(doors)\nmessage").endswith("xxx…>")
    with kozo.attach() as other:
        cell = notebook.begin("for message in doors:\n    print(message.data)")
        other.send("event", "door", 1)
        # It waits for the next one by then.
        until("it was received", lambda: clock.kozoctl("role", "notebook")["received"] == 2)
        notebook.interrupt()
        assert notebook.shown(cell) == "1\nKeyboardInterrupt: "
        # It can go on.
        other.send("event", "door", 2, confirm=True)
        assert notebook.run("next(doors).data") == "2"


def test_a_cell_that_runs_again_attaches_again(clock: Any, notebook: Notebook) -> None:
    cell = "import kozo\nnode = kozo.attach(name='porter')"
    assert notebook.run(cell) == ""
    assert "there is a role 'porter' already; close that one, or give another name" in notebook.run(cell)
    assert notebook.run(f"node.close()\n{cell}") == ""
    # Then that one is forgotten.
    assert notebook.run(f"{cell.replace('porter', 'bell')}\n{cell.replace('porter', 'notebook')}") == ""
    assert notebook.run("import gc\n_ = gc.collect()") == ""
    clock.log.wait_for("detached", "bell")
    assert notebook.run("node") == "<Node 'clock', attached as 'notebook'>"


def test_cells_with_await(clock: Any, notebook: Notebook) -> None:
    assert notebook.run("from kozo import aio\nnode = await aio.attach()\nnode") == (
        "<Node 'clock', attached as 'notebook'>"
    )
    assert notebook.run("doors = await node.receive('event')\ndoors") == "<Receiver of kind='event', 0 waiting>"
    # The event loop goes on between the cells.
    with kozo.attach() as other:
        other.send("event", "door", 1, confirm=True)
        until("it was received", lambda: notebook.run("doors") == "<Receiver of kind='event', 1 waiting>")
    assert notebook.run("async for message in doors:\n    print(message.data)\n    break") == "1\n"
    assert notebook.run("await node.close()\nnode") == "<Node 'clock', closed>"
