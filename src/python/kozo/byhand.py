"""A Role that is run by hand: it attaches to a Node of this machine, and again when that restarts."""

from __future__ import annotations

import os
import sys

from .encodings import details
from .errors import KozoError
from .node import PATIENCE, Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Protocol

    from .conversation import Conversation
    from .message import Message, Pattern
    from .settings import Declared

    class Program(Protocol):
        """A Role that can be run by hand."""

        #: What runs its file.
        interpreter: str
        #: How it speaks with the Node.
        encoding: str

        @property
        def declared(self) -> Declared:
            """Its options."""

        def describe(self) -> dict[str, Any]:
            """Say what it is."""

        def patterns(self) -> list[Pattern]:
            """Give what it wants."""

        def wants_peers(self) -> bool:
            """Tell whether it is to be told of Peers."""

        def deliver(self, messages: list[Message]) -> None:
            """Take Messages."""

        def notice(self, method: str, params: dict[str, Any]) -> None:
            """Take what else the Node says."""

        def run_attached(self, node: str | None, name: str | None, options: dict[str, object]) -> None:
            """Attach with these options, and run."""


class ProgramNode(Node):
    """The Node of a program that is a Role."""

    def __init__(self, program: Program, node: str | None, name: str | None, options: dict[str, object]) -> None:
        """Attach the program, with these options."""
        self._program = program
        said = details(program.encoding, type=_type(), options=options, interest=program.patterns())
        super().__init__(node, name or _type(), PATIENCE, said)
        print(f"kozo: attached to the Node '{self.name}' as the Role '{self.role}'; Ctrl-C ends it", file=sys.stderr)

    def _say_again(self, conversation: Conversation) -> None:
        super()._say_again(conversation)
        if self._program.wants_peers():
            conversation.subscribe("peers")

    def _attach_again(self, conversation: Conversation) -> bool:
        is_there = super()._attach_again(conversation)
        if is_there:
            print(f"kozo: attached again to the Node '{self.name}'", file=sys.stderr)
        return is_there

    def _deliver(self, messages: list[Message]) -> None:
        self._program.deliver(messages)

    def _notice(self, method: str, params: dict[str, Any]) -> None:
        if method == "stop":
            super()._notice(method, params)
        else:
            self._program.notice(method, params)

    def subscribe(self, *facts: str) -> None:
        """Have the Node tell of what changes: it is asked to with each connection."""


def _type() -> str:
    return os.path.splitext(os.path.basename(sys.argv[0]))[0] or "python"


def run(program: Program, node: str | None, name: str | None, arguments: Sequence[str]) -> None:
    """Run a program with the arguments of its command line."""
    from .describing import usage

    own = os.path.basename(sys.argv[0])
    if any(argument in ("-h", "--help") for argument in arguments):
        print(usage(f"{program.interpreter} {own}", program.describe()))
        raise SystemExit(0)
    try:
        node, name, options = _read(program.declared, node, name, list(arguments))
        program.run_attached(node, name, options)
    except KozoError as error:
        # Who runs it by hand wants the sentence, not where in this package it was said.
        print(f"{own}: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _read(
    declared: Declared, node: str | None, name: str | None, arguments: list[str]
) -> tuple[str | None, str | None, dict[str, object]]:
    options: dict[str, object] = {}
    while arguments:
        word, is_joined, value = arguments.pop(0).partition("=")
        if word not in ("--node", "--name", "--set"):
            raise KozoError(f"unknown argument {word!r}: use --node, --name, --set, --describe or --help")
        if not is_joined:
            if not arguments:
                raise KozoError(f"{word} needs a value")
            value = arguments.pop(0)
        if word == "--node":
            node = value
        elif word == "--name":
            name = value
        else:
            option, is_set, text = value.partition("=")
            known = declared.options
            if option not in known or not is_set:
                raise KozoError(f"there is no option {option!r}; there are: {', '.join(known) or 'none'}")
            options[option] = known[option].parse(option, text)
    missing = declared.missing(options)
    if missing:
        raise KozoError(f"the option '{missing[0]}' must be given: --set {missing[0]}=VALUE")
    return node, name, {**declared.defaults(), **options}
