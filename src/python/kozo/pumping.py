"""Connections on their way to the Node: real sockets as they are, others by two threads that pass on their bytes."""

from __future__ import annotations

import ipaddress
import select
import socket
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import KozoError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from .transport import Channel, SocketLike

    class End(Protocol):
        """What bytes are pumped from and to."""

        def write(self, data: bytes) -> int:
            """Write some of it, and tell how much; 0 if it took none so far."""

        def read(self) -> bytes | None:
            """Read; None if nothing has come yet, nothing at the end."""

        def close(self) -> object:
            """Close it."""


#: Bytes that are passed on at once.
_SIZE = 64 * 1024
#: Seconds of one wait: so long it takes to notice that the Node has closed.
_WAIT = 1.0
#: Seconds that one which does not keep to `settimeout` is waited for, until it is closed all the same.
_PATIENCE = 10.0


#: Characters of an address. It is for people.
_LONGEST_ADDRESS = 128


class _Failed(Exception):  # noqa: N818 - the Channel has an error, this passes it on
    """A Channel says that it has failed."""


class Parcel(NamedTuple):
    """A connection that is ready for the Node."""

    #: What the Node gets. Ours to close.
    descriptor: int
    #: Lets bytes flow, once the Node has it.
    begin: Callable[[], None]
    #: Closes it, if the Node is not to have it or it cannot begin.
    drop: Callable[[], None]


def parcel(connection: SocketLike, report: Callable[[BaseException, str], object]) -> Parcel:
    """Make a socket, or something like one, ready for the Node."""
    if isinstance(connection, socket.socket) and _is_plain(connection):
        return Parcel(connection.detach(), lambda: None, lambda: None)
    for method in ("send", "recv", "settimeout", "close"):
        if not hasattr(connection, method):
            raise KozoError(f"{connection!r} is not a socket: it has no `{method}`")
    return _pumped(_SocketEnd(connection), report)


def parcel_of_channel(channel: Channel, report: Callable[[BaseException, str], object]) -> Parcel:
    """Make a Channel ready for the Node."""
    return _pumped(_ChannelEnd(channel), report)


def _is_plain(connection: socket.socket) -> bool:
    """Tell whether what it sends and receives is what the system does: TLS, for instance, is more than that."""
    cls = type(connection)
    is_overridden = (getattr(cls, name) is not getattr(socket.socket, name) for name in ("send", "recv", "close"))
    return connection.type == socket.SOCK_STREAM and not any(is_overridden)


def _checked(written: object) -> int:
    if not isinstance(written, int) or written < 1:
        raise KozoError(f"`send` returned {written!r}: it must return how many bytes it wrote, at least 1")
    return written


class _SocketEnd:
    """A socket-like object."""

    def __init__(self, connection: SocketLike) -> None:
        self._connection = connection
        connection.settimeout(_WAIT)
        self.close = connection.close

    def write(self, data: bytes) -> int:
        try:
            written = self._connection.send(data)
        except TimeoutError as error:
            if error.errno is not None:
                # The system's, of a connection that is broken.
                raise
            return 0
        return _checked(written)

    def read(self) -> bytes | None:
        try:
            return self._connection.recv(_SIZE)
        except TimeoutError as error:
            if error.errno is not None:
                raise
            return None


class _ChannelEnd:
    """A Channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def write(self, data: bytes) -> int:
        written = self._channel.send(data)
        if written is None or not self._channel.isAlive():
            raise _Failed
        return _checked(written)

    def read(self) -> bytes | None:
        began = monotonic()
        data = self._channel.receive(_SIZE, _WAIT)
        # Both an error and the end of the time are None: but one of them comes early.
        if data is None and (monotonic() - began < _WAIT * 0.9 or not self._channel.isAlive()):
            raise _Failed
        return data

    def close(self) -> None:
        self._channel._kozo_is_alive = False  # noqa: SLF001 - the two belong together
        self._channel.close()


def _pumped(end: End, report: Callable[[BaseException, str], object]) -> Parcel:
    own, theirs = socket.socketpair()
    pump = _Pump(end, own, report)
    return Parcel(theirs.detach(), pump.begin, pump.close)


class _Pump:
    """Passes on what comes from either end of a stream, until the Node closes it."""

    def __init__(self, end: End, own: socket.socket, report: Callable[[BaseException, str], object]) -> None:
        self._end, self._own, self._report = end, own, report
        self._is_over = threading.Event()
        #: When the other side last took something.
        self._took = monotonic()
        self._closing, self._is_closed = threading.Lock(), False
        self._inward = threading.Thread(target=self._go_inward, name="kozo-inward", daemon=True)

    def begin(self) -> None:
        """Begin, in threads of its own."""
        self._inward.start()
        threading.Thread(target=self._go_outward, name="kozo-outward", daemon=True).start()

    def close(self) -> None:
        """End what runs, and close both ends."""
        self._is_over.set()
        with suppress(OSError):
            # The Node is to see it, and so is the other thread if the Node reads no more.
            self._own.shutdown(socket.SHUT_RDWR)
        if self._inward.ident is not None:
            # Nothing is read from what is closed.
            self._inward.join(_PATIENCE)
        self._own.close()
        self._close_end()

    def _close_end(self) -> None:
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
        try:
            self._end.close()
        except OSError:
            pass
        except Exception as error:  # noqa: BLE001 - what it cannot close is its own affair
            self._report(error, "close")

    def _guard(self, pass_on: Callable[[], None]) -> None:
        try:
            pass_on()
        except (OSError, _Failed):
            # Connections break. The Node sees this as an end.
            pass
        except Exception as error:  # noqa: BLE001 - one connection is broken, others go on
            self._report(error, "a connection")

    def _go_inward(self) -> None:
        self._guard(self._bring_in)
        with suppress(OSError):
            self._own.shutdown(socket.SHUT_WR)
        self._wake_writer()

    def _bring_in(self) -> None:
        while not self._is_over.is_set():
            data = self._end.read()
            if data is None:
                if self._has_gone():
                    return
                continue
            if not data:
                return
            self._own.sendall(data)

    def _wake_writer(self) -> None:
        """Close what takes nothing once the Node has gone: a `send` that waits for ever would keep both threads."""
        self._has_gone(wait=True)
        deadline = monotonic() + _PATIENCE
        while not self._is_over.wait(_WAIT):
            if monotonic() >= max(deadline, self._took + _PATIENCE):
                self._is_over.set()
                self._close_end()

    def _go_outward(self) -> None:
        self._guard(self._bring_out)
        self.close()

    def _bring_out(self) -> None:
        while data := self._own.recv(_SIZE):
            while data:
                written = self._end.write(data)
                if self._is_over.is_set() or (not written and self._has_gone()):
                    return
                if written:
                    self._took = monotonic()
                data = data[written:]

    def _has_gone(self, *, wait: bool = False) -> bool:
        """Tell whether the Node has closed, also while there is something of it to be read; or wait until then."""
        poll = select.poll()
        poll.register(self._own, 0)
        return bool(poll.poll(None if wait else 0))


def address(connection: Any) -> str | None:
    """Give where a socket, or something like one, is connected to, as the Node shows and limits it; None if it does not say."""
    try:
        peer = connection.getpeername()
    except Exception:  # noqa: BLE001 - it need not have that, and need not know
        return None
    return shown(peer) or None


def shown(where: object) -> str:
    """Show an address.

    >>> shown(("192.0.2.7", 80)), shown(("fe80::1%eth0", 80, 0, 2)), shown(("AA:BB:CC:DD:EE:FF", 3)), shown("clock.local")
    ('192.0.2.7:80', '[fe80::1]:80', 'AA:BB:CC:DD:EE:FF', 'clock.local')
    """
    if not isinstance(where, tuple) or len(where) < 2:
        return _text(where)
    host, port = where[:2]
    try:
        # A number is no address of IP, but for instance one of a virtual machine.
        known = ipaddress.ip_address(str(host))
    except ValueError:
        return _text(host)
    plain = str(known).partition("%")[0]
    return f"[{plain}]:{port}" if known.version == 6 else f"{plain}:{port}"


def _text(where: object) -> str:
    text = where.decode(errors="replace") if isinstance(where, bytes) else str(where)
    return text.encode(errors="backslashreplace").decode()[:_LONGEST_ADDRESS]
