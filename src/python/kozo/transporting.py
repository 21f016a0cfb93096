"""A Transport that runs: its Node asks, and it is called, in threads."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from . import failing, info, stdio
from .errors import DisconnectedError, KozoError
from .pumping import address, parcel, parcel_of_channel, shown
from .stream import Stream
from .system import begin, kozoSystem
from .talking import NO_METHOD, Talk
from .transport import AuthenticatedTransport, Channel, Transport
from .transportinfo import can_accept, checked_class, description

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

    from .pumping import Parcel
    from .transport import SocketLike

#: The descriptor over which the Node speaks.
_CHANNEL = 3
#: Threads that accept: one that authenticates may have to wait for the other side.
_ACCEPTING, _ACCEPTING_AUTHENTICATED = 3, 8
#: Requests that are under way at once, with those that the Node does not wait for any more.
_MOST_REQUESTS = 128
#: Addresses of a Transport that the Node is told.
_MOST_ADDRESSES = 64
#: Seconds until it accepts again after an error, the first time and at most.
_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
#: Seconds in which the same error of `accept` is shown once.
_SAME = 10.0
#: Bytes of the stack of a thread. The usual 8 MiB count in full towards `memoryLimit`, and a connection takes two threads.
_STACK = 512 * 1024

#: What goes wrong in the code of a Transport, which ends nothing but what it was asked for.
_WRONG = (Exception, SystemExit)


class _Ready(NamedTuple):
    """A connection, and what to say of it."""

    parcel: Parcel
    params: dict[str, object]


class Running:
    """The Transport of a Node that has started this program, and those of its type that other Nodes have."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        """Be of the type that this `transportInfo` describes."""
        self._info = told
        self._own: Transport
        self._type = ""
        #: All that are known, by Node and name, each with the options that the Node has told.
        self._known: dict[tuple[str, str], tuple[Transport, Any]] = {}
        self._addresses: dict[tuple[str, str], tuple[list[Any], list[str]]] = {}
        self._accepts = False
        self._has_begun = threading.Event()
        #: Why it has not begun as it should.
        self._problem: str | None = None
        self._has_failed = False
        self._is_stopping = threading.Event()
        self._lock, self._making = threading.Lock(), threading.Lock()
        self._under_way: set[Any] = set()
        self._cancelled: set[Any] = set()
        self._last_shown: dict[str, float] = {}
        os.set_inheritable(_CHANNEL, False)  # noqa: FBT003 - it takes no names
        self._talk = Talk(Stream(_CHANNEL, _CHANNEL), self._asked, self._notice)
        self._answers: dict[str, Callable[[dict[str, Any]], object]] = {
            "listen": self._listen,
            "canConnect": self._can_connect,
            "connect": self._connect,
        }
        if issubclass(told["class"], AuthenticatedTransport):
            self._answers["addresses"] = self._list_addresses

    def go(self) -> None:
        """Speak with the Node until it ends this. All that may take time has a thread of its own.

        Raises:
            SystemExit: It could not begin, and the Node asks nothing that would be answered with this.
        """
        try:
            self._talk.wait(self._is_stopping.is_set)
        except DisconnectedError:
            pass
        finally:
            self._is_stopping.set()
            self._talk.close()
        if self._has_failed:
            raise SystemExit(1)

    # What the Node says.

    def _notice(self, method: str, params: dict[str, Any]) -> None:
        if method == "start":
            self._spawn(self._begin, params)
        elif method == "cancel":
            with self._lock:
                if params["id"] in self._under_way:
                    self._cancelled.add(params["id"])
        elif method == "stop":
            self._is_stopping.set()

    def _asked(self, number: Any, method: str, params: dict[str, Any]) -> None:
        do = self._answers.get(method)
        if do is None:
            self._talk.refuse(number, f"there is no method '{method}'", NO_METHOD)
            return
        with self._lock:
            is_too_much = len(self._under_way) >= _MOST_REQUESTS
            if not is_too_much:
                self._under_way.add(number)
        if is_too_much:
            self._talk.refuse(number, f"{_MOST_REQUESTS} requests are under way: does `connect` have a timeout?")
            return
        try:
            self._spawn(self._answer, number, method, do, params)
        except RuntimeError as error:
            # There are too many threads. There may be fewer later.
            self._done(number)
            self._talk.refuse(number, str(error))

    def _spawn(self, call: Callable[..., None], *args: Any) -> None:
        def guarded() -> None:
            # Nobody waits for what is left to say to a Node that has gone.
            with suppress(DisconnectedError):
                call(*args)

        threading.Thread(target=guarded, name=f"kozo-{call.__name__.strip('_')}", daemon=True).start()

    def _answer(self, number: Any, method: str, do: Callable[[dict[str, Any]], object], params: dict[str, Any]) -> None:
        self._has_begun.wait()
        try:
            if self._problem is not None:
                raise KozoError(self._problem)
            result = do(params)
            is_wanted = self._done(number)
            if isinstance(result, _Ready):
                self._hand_over(number, result, is_wanted=is_wanted)
            elif is_wanted:
                self._talk.respond(number, result)
        except _WRONG as error:
            if self._is_over(error):
                raise
            # The Node is told, and may ask for something else.
            self._done(number)
            self._talk.refuse(number, self._blame(error, method))

    def _done(self, number: Any) -> bool:
        """Note that a request is done, and tell whether somebody still wants to know."""
        with self._lock:
            self._under_way.discard(number)
            is_wanted = number not in self._cancelled
            self._cancelled.discard(number)
            return is_wanted

    def _hand_over(self, number: Any, ready: _Ready, *, is_wanted: bool) -> None:
        """Give the Node a connection, or drop it if the Node does not want it any more."""
        if not is_wanted:
            os.close(ready.parcel.descriptor)
            ready.parcel.drop()
            return
        try:
            self._talk.hand_over(number, ready.params, ready.parcel.descriptor)
        except BaseException:
            ready.parcel.drop()
            raise
        try:
            ready.parcel.begin()
        except _WRONG as error:
            # The Node has its end, and sees that it closes.
            ready.parcel.drop()
            self._complain(error, "a connection")

    def _is_over(self, error: BaseException) -> bool:
        """Tell whether this says that the Node has gone: code of a Transport may raise the same of other Nodes."""
        return isinstance(error, DisconnectedError) and self._talk.ended is not None

    def _blame(self, error: BaseException, about: str) -> str:
        """Say what went wrong: in the journal too, unless it is what goes wrong with networks."""
        if isinstance(error, OSError | KozoError) and about == "connect":
            return str(error) or type(error).__name__
        return self._report(error, about)

    def _report(self, error: BaseException, about: str) -> str:
        return failing.report(error, about, None)

    # The Transports.

    def _begin(self, params: dict[str, Any]) -> None:
        try:
            self._make_all(params)
            self._own.localInit()
            self._accepts = bool(self._own.canAccept())
            if not self._accepts:
                # Else when the Node lets it listen.
                self._own.bind()
        except _WRONG as error:
            self._problem = self._report(error, "the start")
            if not can_accept(self._info):
                # The Node does not ask it to listen, so no refusal would tell the Node.
                self._has_failed = True
                self._talk.close()
                return
        # Each request is answered with the problem, if there is one.
        self._has_begun.set()

    def _make_all(self, params: dict[str, Any]) -> None:
        self._type = params["type"]
        nodes: dict[str, Any] = params.get("nodes") or {}
        keys = {name: told.get("publicKey") for name, told in nodes.items()}
        begin(params["node"], {"config": params.get("config"), "keys": keys})
        own = (params["node"], params["transport"])
        for name in nodes:
            kozoSystem().known(name)
        told = {
            (node, name): transport.get("options") or {}
            for node, said in nodes.items()
            for name, transport in (said.get("transports") or {}).items()
            if transport.get("type") == self._type
        }
        told[own] = params.get("options") or {}
        for (node, name), options in told.items():
            self._known[node, name] = self._make(node, name, self._type, options), options
        self._own = self._known[own][0]
        self._own.init()
        for key in told.keys() - {own}:
            self._init_other(key)

    def _make(self, node: str, name: str, type_name: str, options: dict[str, Any]) -> Transport:
        place = kozoSystem().known(node)
        if type_name != self._type:
            return Transport(name, place, type_name, options, self._talk)
        made: Transport = self._info["class"](
            name, place, type_name, info.options(self._info, options, name, node), self._talk
        )
        return made

    def _init_other(self, key: tuple[str, str]) -> None:
        try:
            self._known[key][0].init()
        except _WRONG as error:
            # Others can be connected to.
            self._report(error, f"the Transport {key[1]}@{key[0]}")
            del self._known[key]

    def _other(self, params: dict[str, Any]) -> Transport:
        """Give the Transport that the Node speaks of, which may have other options by now."""
        key, options = _key(params), params.get("options") or {}
        with self._making:
            known = self._known.get(key)
            if known is None or known[1] != options or known[0].getType() != params["type"]:
                made = self._make(*key, params["type"], options)
                made.init()
                known = self._known[key] = made, options
        return known[0]

    # What the Node asks for.

    def _listen(self, _params: dict[str, Any]) -> object:
        if self._accepts:
            self._own.bind()
            is_plain = isinstance(self._own, AuthenticatedTransport)
            for _ in range(_ACCEPTING if is_plain else _ACCEPTING_AUTHENTICATED):
                self._spawn(self._accept)
        return {}

    def _can_connect(self, params: dict[str, Any]) -> bool:
        other = self._other(params)
        return bool(other.canAccept() and self._own.canConnect(other))

    def _list_addresses(self, params: dict[str, Any]) -> list[str]:
        other, own = self._other(params), self._own
        assert isinstance(own, AuthenticatedTransport)  # noqa: S101 - else it is not asked
        found = list(islice(own.getUnauthenticatedConnectAddresses(other), _MOST_ADDRESSES))
        texts = [shown(where) for where in found]
        self._addresses[_key(params)] = found, texts
        return texts

    def _address(self, params: dict[str, Any]) -> Any:
        """Give the address that was listed as this text: it may be anything, and stays here."""
        index, text = params["index"], params["address"]
        found, texts = self._addresses.get(_key(params), ([], []))
        if index < len(texts) and texts[index] == text:
            return found[index]
        return text

    def _connect(self, params: dict[str, Any]) -> _Ready:
        other, own = self._other(params), self._own
        if not isinstance(own, AuthenticatedTransport):
            channel = own.connect(other)
            if channel is None:
                raise KozoError(f"`connect` did not reach {other}")
            return self._ready_channel(channel)
        connection = own.getUnauthenticatedSocket(other, params["index"], self._address(params))
        if connection is None:
            raise KozoError(f"{params['address']} does not lead to {other} now")
        return self._ready(connection, str(params["address"]))

    def _ready(self, connection: SocketLike, where: str) -> _Ready:
        params: dict[str, object] = {"address": address(connection) or where}
        return _Ready(parcel(connection, self._report), params)

    def _ready_channel(self, channel: Channel) -> _Ready:
        if not isinstance(channel, Channel):
            raise KozoError(f"{channel!r} is not a Channel")
        ends = {node.getName(): node.isSelf() for node in (channel.getFromNode(), channel.getToNode())}
        peers = [name for name, is_self in ends.items() if not is_self]
        if len(peers) != 1 or len(ends) != 2:
            raise KozoError(f"a Channel is between this Node and another, not from {' to '.join(ends)}")
        params: dict[str, object] = {"address": address(channel) or self._own.getName(), "peer": peers[0]}
        return _Ready(parcel_of_channel(channel, self._report), params)

    # What comes in.

    def _accept(self) -> None:
        pause = _PAUSE
        while not self._is_stopping.is_set():
            try:
                ready = self._take()
                if ready is not None:
                    self._hand_over(None, ready, is_wanted=True)
                    pause = _PAUSE
                    continue
            except _WRONG as error:
                if self._is_over(error):
                    raise
                # The next one may fare better.
                self._complain(error, "what it accepts")
                pause = min(2 * pause, _LONGEST_PAUSE)
            self._is_stopping.wait(pause)

    def _take(self) -> _Ready | None:
        own = self._own
        if not isinstance(own, AuthenticatedTransport):
            channel = own.accept()
            return None if channel is None else self._ready_channel(channel)
        connection = own.acceptUnauthenticatedConnection()
        return None if connection is None else self._ready(connection, own.getName())

    def _complain(self, error: BaseException, about: str) -> None:
        if isinstance(error, TimeoutError) and error.errno is None:
            # It looks from time to time whether it is to do something else.
            return
        kind, now = f"{type(error).__name__}: {error}", monotonic()
        with self._lock:
            is_new = now - self._last_shown.get(kind, -_SAME) >= _SAME
            if is_new:
                self._last_shown = {same: at for same, at in self._last_shown.items() if now - at < _SAME} | {kind: now}
        if is_new:
            self._report(error, about)


def _key(params: dict[str, Any]) -> tuple[str, str]:
    return params["node"], params["transport"]


def run(told: Mapping[str, Any]) -> None:
    """Run the Transport of the Node that has started this program."""
    try:
        checked_class(told)
    except KozoError as error:
        print(f"{os.path.basename(sys.argv[0])}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    if stdio.is_described():
        from .describing import print_description

        print_description(description(told))
    if not stdio.is_transport():
        _explain(told)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    threading.stack_size(_STACK)
    Running(told).go()


def _explain(told: Mapping[str, Any]) -> NoReturn:
    """Say to who has started it by hand what it is."""
    from .describing import option_lines

    said = description(told)
    own = os.path.basename(sys.argv[0])
    type_name = os.path.splitext(own)[0]
    lines = [
        said.get("description") or "A Transport of Kōzō.",
        "",
        f"Usage: python3 -m kozo {own} --describe",
        "",
        f"A Node runs it, as its Transport of the type '{type_name}': put it in a folder of transportPath.",
        *option_lines("Transport", said),
    ]
    is_asked = any(argument in ("-h", "--help") for argument in sys.argv[1:])
    print("\n".join(lines), file=sys.stdout if is_asked else sys.stderr)
    raise SystemExit(0 if is_asked else 2)
