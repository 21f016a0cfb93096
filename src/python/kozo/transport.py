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
        """Write some of these bytes, and return how many; None on an error, which ends the Channel."""
        raise NotImplementedError("a Channel has a method `send`")

    def receive(self, bytes: int, timeout: float) -> bytes | None:
        """Read at least one and at most this many bytes; None after `timeout` seconds, or at once on an error, which ends it."""
        raise NotImplementedError("a Channel has a method `receive`")

    def close(self) -> None:
        """Release its resources. The Node calls neither `send` nor `receive` after this.

        A `send` that has not returned 10 s after the Node ended is still running: wake it up. The `shutdown` of a socket does
        that, its `close` alone does not.
        """

    # To be called.

    def getFromNode(self) -> SystemNode:
        """Return the Node that connected."""
        return self.__from_node

    def getToNode(self) -> SystemNode:
        """Return the Node to which it connected."""
        return self.__to_node

    def isAlive(self) -> bool:
        """Tell whether it is still usable."""
        return self._kozo_is_alive


class Transport:
    """A Transport that authenticates and encrypts by itself, to be derived from.

    Override `accept` and `connect`, and other methods if necessary. The Node does not run SSH over such a Transport: it
    trusts what a `Channel` says about the Node at its other end. Use `sign` and `verify` to authenticate it.
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
        """Prepare to accept connections."""

    def getPriority(self) -> int:
        """Return its priority: `Priority_WORST`, `_BAD`, `_MEH`, `_GOOD` or `_BEST`.

        All Transports of a type have the same priority: the Node asks for it when it reads the description of the type, with
        the default options.
        """
        return self.Priority_MEH

    def canAccept(self) -> bool:
        """Tell whether Peers can connect to it."""
        return True

    def canConnect(self, otherTransport: Transport) -> bool:
        """Tell whether it can connect to that Transport. One of another type is a `Transport` with the options it has."""
        return type(self) is type(otherTransport)

    def accept(self) -> Channel | None:
        """Wait until a Peer connects, authenticate it, and return a Channel; None if that fails.

        Eight threads call it, and a stranger that sends nothing occupies one of them until the deadline of the handshake.
        Use a short deadline, for the whole handshake and not for each read: eight such strangers block everyone else that long.
        """
        raise NotImplementedError("a Transport has a method `accept`")

    def connect(self, otherTransport: Transport) -> Channel | None:
        """Connect to that Transport, authenticate its Node, and return a Channel; None if that fails."""
        raise NotImplementedError("a Transport has a method `connect`")

    # To be called.

    def __getitem__(self, option: str) -> Any:
        """Return the value of an option; None if it does not exist."""
        return self.__options.get(option)

    def getName(self) -> str:
        """Return its name."""
        return self.__name

    def getType(self) -> str:
        """Return its type."""
        return self.__type

    def getNode(self) -> SystemNode:
        """Return its Node."""
        return self.__node

    def isSelf(self) -> bool:
        """Tell whether its Node is the one that this program is on."""
        return self.__node.isSelf()

    def sign(self, data: bytes) -> str:
        """Sign up to 16 KiB with the key of this Node.

        Only this Node can make such a signature. The signature does not say when or for whom it was made, so sign a challenge
        from the other side, both names, and what the two sides agree on.
        """
        return self._with_keys().sign(data)

    def verify(self, node: SystemNode | str, data: bytes, signature: str) -> bool:
        """Tell whether that Node made this signature with `sign`, for the same data."""
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
            raise KozoError("a Transport can do this only from `init` on")
        return self.__keys

    def __str__(self) -> str:
        """Show where it is."""
        return f"{self.__name}@{self.__node}"


class AuthenticatedTransport(Transport):
    """A Transport over which the Node authenticates and encrypts, to be derived from.

    Override the three methods with `Unauthenticated` in their names, and other methods if necessary. They return a socket,
    or a similar object with `send`, `recv`, `settimeout` and `close`. One thread calls its `send`, another its `recv`.
    """

    def acceptUnauthenticatedConnection(self) -> SocketLike | None:
        """Wait for a connection, and return its socket. Three threads call it."""
        raise NotImplementedError("an AuthenticatedTransport has a method `acceptUnauthenticatedConnection`")

    def getUnauthenticatedConnectAddresses(self, otherTransport: Transport) -> Iterable[Any]:
        """Return the possible addresses of that Transport, for `getUnauthenticatedSocket`: at most 64, to try in turn."""
        raise NotImplementedError("an AuthenticatedTransport has a method `getUnauthenticatedConnectAddresses`")

    def getUnauthenticatedSocket(self, otherTransport: Transport, addressIndex: int, address: Any) -> SocketLike | None:
        """Connect to one of the addresses, and return the socket; return None or raise if that Transport does not answer."""
        raise NotImplementedError("an AuthenticatedTransport has a method `getUnauthenticatedSocket`")


def _line(parts: tuple[object, ...]) -> str:
    return " ".join(map(str, parts))
