"""Attaching this program to a Node that runs, as a Role for as long as it lasts."""

from __future__ import annotations

import os
import sys

from . import places
from .encodings import JSON, encoding
from .errors import DisconnectedError, KozoError, RefusedError
from .lines import codec, encoded, request
from .scanning import Scanner
from .values import unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from .lines import Line

#: Names that are tried when a program did not ask for one.
_MOST_NAMES = 1000


class NameTakenError(RefusedError):
    """There is a Role of this name already."""


def default_name() -> str:
    """Give the name of a program that has none: that of its file, or `python`.

    >>> default_name()
    'pytest'
    """
    name = os.path.splitext(os.path.basename(sys.argv[0] if sys.argv else ""))[0]
    if name == "__main__":
        # `python3 -m PACKAGE`
        name = os.path.basename(os.path.dirname(sys.argv[0]))
    if name.startswith("ipykernel"):
        name = "notebook"
    return name.strip("-. ") or "python"


def names(name: str | None) -> Iterator[str]:
    """Give the names to try: the one that was asked for, or the usual one, with a number where it is taken."""
    if name is not None:
        yield name
        return
    usual = default_name()
    yield usual
    for number in range(2, _MOST_NAMES):
        yield f"{usual}-{number}"


def introduction(name: str, details: dict[str, Any]) -> bytes:
    """Write the first line of a program that attaches."""
    return encoded(request(0, "attach", {"name": name, **details}))


def check(answer: Line) -> None:
    """Look at the Node's answer to the first line.

    Raises:
        RefusedError: It is a refusal.
    """
    if "error" not in answer:
        return
    text: str = answer["error"]["message"]
    if text.endswith("already"):
        raise NameTakenError(
            f"the Node refuses: {text}; close that one, or give another name: kozo.attach(name='bell-2')"
        )
    if "a program of a Node" in text:
        text = "a Node started this program, so it already is a Role: use kozo.run() instead of kozo.attach()"
        raise RefusedError(text)
    raise RefusedError(f"the Node refuses: {text}")


class Attached:
    """A connection to a Node that has taken this program in, and what the Node has said so far."""

    def __init__(self, connection: socket.socket, path: Path, name: str, details: dict[str, Any]) -> None:
        """Introduce the program over this connection, which is closed if that fails."""
        self.connection, self.path = connection, path
        self.encoding = encoding(details.get("encoding", "json"))
        #: What has come behind `start`.
        self.rest = b""
        try:
            connection.settimeout(places.ANSWER)
            connection.sendall(introduction(name, details))
            # The answer is JSON in any case.
            check(self._line())
            start = self._line() if self.encoding is JSON else self._value()
            self.start: dict[str, Any] = start["params"]
            connection.settimeout(None)
        except TimeoutError:
            connection.close()
            raise DisconnectedError(f"the Node at {path} does not answer") from None
        except OSError as error:
            connection.close()
            raise DisconnectedError(f"the Node at {path} has gone: {error}") from None
        except BaseException:
            connection.close()
            raise

    def _line(self) -> Line:
        """Give the next line of JSON."""
        while b"\n" not in self.rest:
            self._receive()
        line, end, self.rest = self.rest.partition(b"\n")
        return codec.read(line + end)[0]

    def _value(self) -> Line:
        """Give the next value of MessagePack."""
        while (end := Scanner().end(self.rest)) is None:
            self._receive()
        line: Any = unpack(self.rest[:end])
        self.rest = self.rest[end:]
        return line  # type: ignore[no-any-return]

    def _receive(self) -> None:
        data = self.connection.recv(64 * 1024)
        if not data:
            raise DisconnectedError(f"the Node at {self.path} has closed the connection")
        self.rest += data


def attach(node: str | None, name: str | None, details: dict[str, Any]) -> Attached:
    """Attach to a Node under this name, or under the first one that is free."""
    if os.environ.get("KOZO_RUN") and os.environ.get("KOZO_ROLE"):
        role = os.environ["KOZO_ROLE"]
        raise KozoError(f"a Node started this program as its Role '{role}': use kozo.run(), not kozo.attach()")
    for attempt in names(name):
        connection, path = places.connect(node)
        try:
            return Attached(connection, path, attempt, details)
        except NameTakenError:
            if name is not None:
                raise
    raise KozoError(f"{_MOST_NAMES} Roles are already called '{default_name()}': choose another, such as name='bell'")
