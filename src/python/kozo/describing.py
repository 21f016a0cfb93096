"""What a program says of itself: `--describe`, `--help`."""

from __future__ import annotations

import json
import os
import sys

from . import stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .program import Program


def description(program: Program) -> dict[str, Any]:
    """Give the description of the type that a program is."""
    main = sys.modules["__main__"]
    said: dict[str, Any] = {"format": "1.0", "description": _of(main)}
    for name in ("author", "version"):
        told = getattr(main, f"__{name}__", None)
        if told is not None:
            said[name] = str(told)
    said["config"] = program.declared.described()
    said["interest"] = program.patterns()
    said["needsStorage"] = program.keeper is not None
    if program.encoding != "json":
        said["encoding"] = program.encoding
    return said


def _of(module: object) -> str:
    return " ".join((getattr(module, "__doc__", None) or "").split())


def print_description(said: dict[str, Any]) -> NoReturn:
    """Print a description where the program's own `print()` does not reach, and end."""
    _, output = stdio.claim()
    text = json.dumps(said, indent=4, ensure_ascii=False) + "\n"
    with os.fdopen(output, "w", encoding="utf-8") as out:
        out.write(text)
    raise SystemExit(0)


def usage(command: str, said: dict[str, Any]) -> str:
    """Give what `--help` prints.

    >>> pin = {"description": "Where it is.", "default": 7}
    >>> print(usage("python3 bell.py", {"description": "Rings.", "config": {"pin": pin}}))
    Rings.
    <BLANKLINE>
    Usage: python3 bell.py [--node NODE] [--name ROLE] [--set OPTION=VALUE]...
           python3 bell.py --describe
    <BLANKLINE>
    Attaches to a Node of this machine as a Role. In a folder of rolePath, the Node starts it.
    <BLANKLINE>
    Options of the Role:
      pin (default 7): Where it is.
    """
    lines = [
        said.get("description") or "A Role of Kōzō.",
        "",
        f"Usage: {command} [--node NODE] [--name ROLE] [--set OPTION=VALUE]...",
        f"       {command} --describe",
        "",
        "Attaches to a Node of this machine as a Role. In a folder of rolePath, the Node starts it.",
    ]
    return "\n".join(lines + option_lines("Role", said))


def option_lines(what: str, said: dict[str, Any]) -> list[str]:
    """Give the part of `--help` that tells of options."""
    lines = ["", f"Options of the {what}:"] if said["config"] else []
    for option, told in said["config"].items():
        if "default" not in told:
            default = " (required)"
        else:
            default = "" if told["default"] is None else f" (default {json.dumps(told['default'], ensure_ascii=False)})"
        meaning = told.get("description")
        lines.append(f"  {option}{default}: {meaning}" if meaning else f"  {option}{default}")
    return lines
