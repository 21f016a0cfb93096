"""What several files of tests use."""

from __future__ import annotations

import subprocess
from typing import Any

from kit import PROGRAMS


def stop_role(node: Any, role: str) -> None:
    """Stop a Role. One that has attached itself is gone then, which the command takes for a failure."""
    command = [PROGRAMS / "kozoctl", "--node", node.name, "role", role, "stop"]
    subprocess.run(command, env=node.system.environment, capture_output=True, timeout=30, check=False)
