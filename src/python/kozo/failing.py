"""Exceptions in a Role, in the journal with file and line."""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING

from . import stdio

if TYPE_CHECKING:
    from types import TracebackType

    from .conversation import Conversation
    from .node import Node

_OWN = os.path.dirname(os.path.abspath(__file__))


def report(error: BaseException, about: object, peer: Conversation | Node | None) -> None:
    """Show an exception: to the journal, or to who has started the program by hand as well."""
    trace = _without_ours(error.__traceback__)
    lines = "".join(traceback.format_exception(type(error), error, trace)).splitlines()
    if stdio.is_spoken_to():
        # Levels as sd-daemon(3) has them. The last line is the one that `kozoctl role` shows of a Role that has failed.
        text = "".join(f"<3>{line}\n" for line in [*lines, _summary(error, trace, about)])
        sys.stderr.write(text)
        sys.stderr.flush()
        return
    sys.stderr.write("\n".join(lines) + "\n")
    if peer is not None:
        peer.log(_summary(error, trace, about), "error")


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OWN):
        trace = trace.tb_next
    return trace


def _summary(error: BaseException, trace: TracebackType | None, about: object) -> str:
    said = str(error)
    what = f"{type(error).__name__}: {said}" if said else type(error).__name__
    if isinstance(about, str):
        reason = about
    else:
        reason = f"the {getattr(about, 'kind', 'message')} '{getattr(about, 'type', '')}'"
    for frame in reversed(traceback.extract_tb(trace)):
        if not frame.filename.startswith(_OWN):
            return f"{os.path.basename(frame.filename)}:{frame.lineno}: {what} (in {frame.name}, for {reason})"
    return f"{what} (for {reason})"
