"""Runs a file as a Role or a Transport: `python3 -m kozo FILE [ARGUMENT]...`, as a Node does with files that are not executable.

The file is one that ends with `kozo.run()`, or one of the API of 2014, with a `roleInfo` or a `transportInfo`.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main() -> None:
    """Run the file that the command line names."""
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print("Usage: python3 -m kozo FILE [--describe | --help | ARGUMENT...]", file=sys.stderr)
        raise SystemExit(2)
    file = sys.argv[1]
    # As if python3 had been given the file.
    sys.argv = sys.argv[1:]
    sys.path[0] = os.path.dirname(os.path.abspath(file))
    from . import stdio

    if stdio.is_described():
        stdio.claim()
    run_file(file)


def run_file(file: str) -> None:
    """Run a file, and the Role or Transport that is in it."""
    try:
        with open(file, "rb") as source:
            code = compile(source.read(), file, "exec")
    except OSError as error:
        print(f"{file}: {error.strerror}", file=sys.stderr)
        raise SystemExit(1) from None
    module = type(sys)("__main__")
    module.__file__ = file
    sys.modules["__main__"] = module
    exec(code, module.__dict__)  # noqa: S102 - that is what it is for
    info = getattr(module, "roleInfo", None)
    if info is not None:
        _run_classic(info)
        return
    info = getattr(module, "transportInfo", None)
    if info is not None:
        from .transporting import run

        run(info)
        return
    role = sys.modules.get("kozo.role")
    if role is None or not role.program.has_run:
        print(
            f"{file}: it has neither kozo.run() nor a roleInfo or transportInfo, so it is no Role and no Transport",
            file=sys.stderr,
        )
        raise SystemExit(1)


def _run_classic(info: dict[str, Any]) -> None:
    from . import stdio
    from .classic_running import Running
    from .roleinfo import description

    if stdio.is_described():
        from .describing import print_description

        print_description(description(info))
    Running(info).go()


if __name__ == "__main__":
    main()
