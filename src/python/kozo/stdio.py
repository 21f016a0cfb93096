"""Standard input and output of a program that a Node has started: they are for the protocol alone.

What the program prints goes to standard error, and so to the journal; else a stray `print()` would end the conversation.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from stat import S_ISSOCK

#: Says which process has taken its standard input and output away, as programs that it starts have theirs.
_TAKEN = "KOZO_PYTHON_STDIO"

_claimed: tuple[int, int] | None = None


@cache
def is_spoken_to() -> bool:
    """Tell whether a Node speaks on standard input: it has started this program, or `kozoctl attach` has."""
    if os.environ.get(_TAKEN, str(os.getpid())) != str(os.getpid()):
        return False
    if os.environ.get("KOZO_RUN") and "KOZO_ROLE" in os.environ:
        return True
    try:
        return all(S_ISSOCK(os.fstat(descriptor).st_mode) for descriptor in (0, 1))
    except OSError:
        return False


def is_transport() -> bool:
    """Tell whether a Node has started this program as a Transport, with which it speaks elsewhere."""
    return bool(os.environ.get("KOZO_RUN")) and "KOZO_TRANSPORT" in os.environ


def is_described() -> bool:
    """Tell whether this program was asked what it is."""
    return sys.argv[1:] == ["--describe"]


def claim() -> tuple[int, int]:
    """Take standard input and output, and give the file descriptors that they were."""
    global _claimed  # noqa: PLW0603 - a process has these once
    if _claimed is None:
        os.environ[_TAKEN] = str(os.getpid())
        _claimed = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        # What was printed before, and has not been written yet, goes there too.
        os.dup2(2, 1)
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(line_buffering=True)
    return _claimed
