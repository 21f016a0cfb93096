"""Exceptions in a program, in the journal with file and line."""

from __future__ import annotations

import os
import sys
import traceback

from . import stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .conversation import Conversation
    from .node import Node

_OWN = os.path.dirname(os.path.abspath(__file__))


def report(error: BaseException, about: object, peer: Conversation | Node | None) -> str:
    """Show an exception: to the journal, or to who has started the program by hand as well. Give its last line."""
    shown = traceback.TracebackException.from_exception(error)
    # What went on in here would hide what went on there.
    frames = [frame for frame in shown.stack if not frame.filename.startswith(_OWN)]
    shown.stack = traceback.StackSummary.from_list(frames)
    lines = "".join(shown.format()).splitlines()
    summary = _summary(error, frames, about)
    if stdio.is_spoken_to() or stdio.is_transport():
        # Levels as sd-daemon(3) has them. The last line is the one that `kozoctl role` shows of a Role that has failed.
        sys.stderr.write("".join(f"<3>{line}\n" for line in [*lines, summary]))
        return summary
    sys.stderr.write("\n".join(lines) + "\n")
    if peer is not None:
        peer.log(summary, "error")
    return summary


def _summary(error: BaseException, frames: list[traceback.FrameSummary], about: object) -> str:
    said = str(error)
    what = f"{type(error).__name__}: {said}" if said else type(error).__name__
    reason = about if isinstance(about, str) else f"the {getattr(about, 'kind', '')} '{getattr(about, 'type', '')}'"
    if not frames:
        return f"{what} (for {reason})"
    last = frames[-1]
    place = last.name if last.name == reason else f"{last.name}, for {reason}"
    return f"{os.path.basename(last.filename)}:{last.lineno}: {what} (in {place})"
