"""Transports, ways for Nodes to reach each other: a class that is one, and a `transportInfo` that describes it.

    import socket
    from kozo import AuthenticatedTransport

    class Tcp(AuthenticatedTransport):
        def bind(self):
            super().bind()
            self.listening = socket.create_server(("", self["port"]))

        def acceptUnauthenticatedConnection(self):
            return self.listening.accept()[0]

        def getUnauthenticatedConnectAddresses(self, otherTransport):
            return [(otherTransport["address"], otherTransport["port"])]

        def getUnauthenticatedSocket(self, otherTransport, addressIndex, address):
            return socket.create_connection(address, timeout=10)

    transportInfo = {
        "format": "1.0",
        "class": Tcp,
        "config": {"port": {"default": 9001}, "address": {"description": "Where others reach it."}},
    }

In a folder of `transportPath` a file `mytransport.py` is the type `mytransport`. A Node runs a process for each of its Transports
of this type. There the class is made once for each Transport of the type in the System, so that `otherTransport` is one
too; `localInit`, `bind` and all else are called for that of the Node alone.

A connection that is a socket (`socket.socket`, connected, of the type `SOCK_STREAM`) is handed over to the Node, which reads and
writes it itself: that is as fast as tcp, and goes on when this program ends. Of all others the bytes pass through this program.

Methods are called in several threads at once, with stacks of 512 KiB. One that raises an exception is shown in the journal, with
its line; the program goes on. Not so in two cases: an `OSError` or a `KozoError` of `connect` or `getUnauthenticatedSocket` is
what networks do, so the Node alone is told its text, without a line; and a Transport that cannot be connected to ends, with the
exit code 1, if `init`, `localInit` or `bind` raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .errors import KozoError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Protocol

    from .system import SystemNode

    class SocketLike(Protocol):
        """A connection of an `AuthenticatedTransport`."""

        def send(self, data: bytes, /) -> int:
            """Write some of it, and tell how much. Raises `socket.timeout` when time is over."""

        def recv(self, size: int, /) -> bytes:
            """Read at most so much. Raises `socket.timeout` when time is over, and `socket.error` at the end."""

        def settimeout(self, timeout: float, /) -> object:
            """Set the time of both, in seconds."""

        def close(self) -> object:
            """Close it. Neither is called behind this."""

    class Keys(Protocol):
        """What signs and verifies."""

        def sign(self, data: bytes) -> str:
            """Sign, in the name of the Node."""

        def verify(self, node: str, data: bytes, signature: str) -> bool:
            """Tell whether this is a signature of that Node."""

        def log(self, text: str, level: str = "info") -> None:
            """Write a line to the journal."""


class Channel:
    """A connection of a `Transport` that authenticates by itself, to be derived from.

    Override `send` and `receive`, which two threads call.
    """

    def __init__(self, fromNode: SystemNode, toNode: SystemNode) -> None:
        """Be a connection from this Node to that one; one of the two is the Node that this program is on."""
        # Names that no class derived from this one takes by chance.
        self.__from_node, self.__to_node = fromNode, toNode
        self._kozo_is_alive = True

    # To be overridden.

    def send(self, bytes: bytes) -> int | None:
        """Write some of these bytes, and give how many; None on an error, which ends the Channel."""
        raise NotImplementedError("a Channel has a method `send`")

    def receive(self, bytes: int, timeout: float) -> bytes | None:
        """Read 1 to so many bytes within so many seconds; None if time is over, or at once on an error, which ends it."""
        raise NotImplementedError("a Channel has a method `receive`")

    def close(self) -> None:
        """Let go of what it has. Neither `send` nor `receive` is called behind this.

        A `send` that does not return for 10 s after the Node has gone is still under way: wake it. The `shutdown` of a socket
        does that, its `close` alone does not.
        """

    # To be called.

    def getFromNode(self) -> SystemNode:
        """Give the Node that has connected."""
        return self.__from_node

    def getToNode(self) -> SystemNode:
        """Give the Node that was connected to."""
        return self.__to_node

    def isAlive(self) -> bool:
        """Tell whether it is still to be used."""
        return self._kozo_is_alive


class Transport:
    """A Transport that authenticates and encrypts by itself, to be derived from.

    Override `accept` and `connect`, and what else is to be different. The Node runs no SSH over such a Transport: it believes
    what a `Channel` says of who is at its other end. For this there are `sign` and `verify`.
    """

    #: What `getPriority` gives: the Node prefers the higher ones.
    Priority_WORST: ClassVar[int] = 0
    Priority_BAD: ClassVar[int] = 1
    Priority_MEH: ClassVar[int] = 2
    Priority_GOOD: ClassVar[int] = 3
    Priority_BEST: ClassVar[int] = 4

    def __init__(
        self, name: str, node: SystemNode, type: str, options: Mapping[str, Any], keys: Keys | None = None
    ) -> None:
        """Be the Transport of this name, Node and type, with these options."""
        # Names that no class derived from this one takes by chance.
        self.__name, self.__node, self.__type = name, node, type
        self.__options, self.__keys = options, keys

    # To be overridden.

    def init(self) -> None:
        """Prepare, also what is a Transport of another Node. No networking here."""

    def localInit(self) -> None:
        """Prepare what is the Transport of this Node."""

    def bind(self) -> None:
        """Be ready to accept."""

    def getPriority(self) -> int:
        """Give how much the Node is to prefer it: `Priority_WORST`, `_BAD`, `_MEH`, `_GOOD` or `_BEST`.

        That is one for all Transports of a type: it is asked when the Node wants to know what the type is, with the defaults
        of its options.
        """
        return self.Priority_MEH

    def canAccept(self) -> bool:
        """Tell whether it can be connected to."""
        return True

    def canConnect(self, otherTransport: Transport) -> bool:
        """Tell whether it can connect to that Transport. One of another type is a `Transport` with the options it has."""
        return type(self) is type(otherTransport)

    def accept(self) -> Channel | None:
        """Wait until a Peer has connected, authenticate it, and give a Channel; None if it comes to nothing.

        Eight threads call it, and a stranger that says nothing holds one of them until the deadline of the handshake: have a
        short one, for all of it and not for each read. Eight such strangers keep all others out so long.
        """
        raise NotImplementedError("a Transport has a method `accept`")

    def connect(self, otherTransport: Transport) -> Channel | None:
        """Connect to that Transport, authenticate its Node, and give a Channel; None if it comes to nothing."""
        raise NotImplementedError("a Transport has a method `connect`")

    # To be called.

    def __getitem__(self, option: str) -> Any:
        """Give the value of an option; None for one that there is not."""
        return self.__options.get(option)

    def getName(self) -> str:
        """Give its name."""
        return self.__name

    def getType(self) -> str:
        """Give its type."""
        return self.__type

    def getNode(self) -> SystemNode:
        """Give its Node."""
        return self.__node

    def isSelf(self) -> bool:
        """Tell whether its Node is the one that this program is on."""
        return self.__node.isSelf()

    def sign(self, data: bytes) -> str:
        """Sign up to 16 KiB with the key of this Node.

        Nobody but this Node can make such a signature. It says nothing of when or for whom: sign what the other side has made
        up for this connection, both names, and what the two agree on.
        """
        return self._with_keys().sign(data)

    def verify(self, node: SystemNode | str, data: bytes, signature: str) -> bool:
        """Tell whether `sign` made this on that Node, of the same data."""
        return self._with_keys().verify(str(node), data, signature)

    def info(self, *parts: object) -> None:
        """Write a line to the journal."""
        self._with_keys().log(_line(parts))

    def warn(self, *parts: object) -> None:
        """Write a warning to the journal."""
        self._with_keys().log(_line(parts), "warning")

    def error(self, *parts: object) -> None:
        """Write an error to the journal."""
        self._with_keys().log(_line(parts), "error")

    def _with_keys(self) -> Keys:
        if self.__keys is None:
            raise KozoError("a Transport can do this from `init` on, not before")
        return self.__keys

    def __str__(self) -> str:
        """Show where it is."""
        return f"{self.__name}@{self.__node}"


class AuthenticatedTransport(Transport):
    """A Transport over which the Node authenticates and encrypts, to be derived from.

    Override the three methods with `Unauthenticated` in their names, and what else is to be different. What they give is a
    socket, or something like one: an object with `send`, `recv`, `settimeout` and `close`. One thread calls its `send`, another
    its `recv`.
    """

    def acceptUnauthenticatedConnection(self) -> SocketLike | None:
        """Wait until something has connected, and give its socket. Three threads call it."""
        raise NotImplementedError("an AuthenticatedTransport has a method `acceptUnauthenticatedConnection`")

    def getUnauthenticatedConnectAddresses(self, otherTransport: Transport) -> Iterable[Any]:
        """Give where that Transport may be, for `getUnauthenticatedSocket`: at most 64, which are tried in turn."""
        raise NotImplementedError("an AuthenticatedTransport has a method `getUnauthenticatedConnectAddresses`")

    def getUnauthenticatedSocket(self, otherTransport: Transport, addressIndex: int, address: Any) -> SocketLike | None:
        """Connect to one of the addresses, and give the socket; None, or an exception, if that Transport is not there."""
        raise NotImplementedError("an AuthenticatedTransport has a method `getUnauthenticatedSocket`")


def _line(parts: tuple[object, ...]) -> str:
    return " ".join(map(str, parts))
