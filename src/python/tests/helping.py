"""What several files of tests use."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kit import PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextmanager
def running(command: Sequence[Any], **more: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run a program, and end it at the end of the block, however that ends."""
    with subprocess.Popen(command, **more) as process:
        try:
            yield process
        finally:
            process.kill()


def stop_role(node: Any, role: str) -> None:
    """Stop a Role. One that has attached itself is gone then."""
    command = [PROGRAMS / "kozoctl", "--node", node.name, "role", role, "stop"]
    subprocess.run(command, env=node.system.environment, capture_output=True, timeout=30, check=True)


class Speaker:
    """Keeps what is replied."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []

    def send(self, *words: Any, channel: str | None) -> None:
        self.sent.append((*words, channel))


SPEAKER: Any = Speaker()
