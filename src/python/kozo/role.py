"""A file as a Role: functions that are called for Messages and from time to time, and `run()`.

    import kozo

    @kozo.on("order", "ring")
    def ring(message):
        kozo.send("event", "rung", channel=message.channel)

    kozo.run()

Run by hand it attaches to the Node of this machine; in a folder of `rolePath` the Node starts it. All functions are called
in the thread that called `run()`, one after the other.
"""

from __future__ import annotations

from .errors import KozoError
from .keeping import Keeper, Storage
from .message import pattern
from .program import MOMENTS, Handler, Program, Timer, taking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeVar, overload

    from .sent import Sent
    from .settings import Options

    Function = TypeVar("Function", bound=Callable[..., object])

    T = TypeVar("T")


#: The one that this process is.
program = Program()


def on(
    kind: str | None = None,
    type: str | None = None,
    *,
    channel: str | None = None,
    role: str | None = None,
    node: str | None = None,
) -> Callable[[Function], Function]:
    """Call a function for each Message that matches.

    The function takes the `Message`, or nothing. In a pattern, `*` matches any characters, `?` matches one.

        @kozo.on("event", "door*", channel="front")
        def opened(message):
            print(message.data)

    Args:
        kind: `event`, `order`, `log` or `reply`. Default: all kinds.
        type: A pattern for the type.
        channel: A pattern for the channel; Messages without a channel never match it.
        role: A pattern for the name of the sending Role.
        node: A pattern for the name of the sending Node.
    """
    words = pattern(kind, type, channel, role, node)

    def decorate(function: Function) -> Function:
        program.handlers.append(Handler(words, function))
        return function

    return decorate


def every(interval: float | str | Callable[[], float | str]) -> Callable[[Function], Function]:
    """Call a function when the Role starts, and then at a regular interval.

    Args:
        interval: Seconds, or a text like `500ms`, `5s`, `2min`; or a function that gives it once the options are known, as in
            `@kozo.every(lambda: options.period)`. Times that were missed are left out.
    """

    def decorate(function: Function) -> Function:
        program.timers.append(Timer(interval, function))
        return function

    return decorate


def when(moment: str) -> Callable[[Function], Function]:
    """Call a function at a given moment.

    Args:
        moment: `start`, once options and storage are there; `stop`, before the Role ends; `peer`, with what has changed about a
            Peer (a dict of its `name`, `state` and `since`); `reopen`, when files that it writes may have been moved.
    """
    if moment not in MOMENTS:
        raise KozoError(f"unknown moment {moment!r}: the moments are {', '.join(MOMENTS)}")

    def decorate(function: Function) -> Function:
        program.moments[moment].append(taking(function))
        return function

    return decorate


if TYPE_CHECKING:

    @overload
    def options(cls: type[T], /) -> T: ...

    @overload
    def options(**named: Any) -> Options: ...


def options(cls: type[T] | None = None, /, **named: Any) -> T | Options:
    """Declare the options that the Role takes from the configuration, and return an object that holds them.

    As keyword arguments, with their defaults:

        options = kozo.options(pin=7, loud=False)

    or as a class, which may be a dataclass, with their types:

        @kozo.options
        class options:
            pin: int = kozo.option(7, "Where the bell is.", min=0, max=40)
            sound: pathlib.Path | None = None

    The Node checks the values in the configuration. They are available once `run()` has been called.
    """
    if cls is not None:
        return program.declared.declare_class(cls)
    return program.declared.declare(named)


def storage(**defaults: Any) -> Storage:
    """Return an object whose attributes are stored and have the same values at the next start.

        state = kozo.storage(rings=0)

        @kozo.on("order", "ring")
        def ring():
            state.rings += 1

    This requires `roleStorage` in the configuration of the Node. A Role that you start by hand stores nothing.
    """
    if program.keeper is not None:
        raise KozoError("call kozo.storage() only once, with everything to store")
    kept = Storage(defaults)
    program.keeper = Keeper(kept)
    return kept


def send(
    kind: str,
    type: str | None = None,
    data: object = None,
    *,
    channel: str | None = None,
    confirm: bool = False,
) -> Sent | None:
    """Send a Message, from any thread; see `Node.send`."""
    return program.peer.send(kind, type, data, channel=channel, confirm=confirm)


def log(text: str, level: str = "info") -> None:
    """Write a line to the journal; the level is `error`, `warning`, `info` or `debug`."""
    program.peer.log(text, level)


def status(text: str | None) -> None:
    """Set what `kozoctl role` shows of this Role; None takes it away."""
    program.peer.status(text)


def run(
    *,
    on_error: str = "continue",
    node: str | None = None,
    name: str | None = None,
    arguments: Sequence[str] | None = None,
    encoding: str = "json",
) -> None:
    """Run the Role until the Node stops it.

    If a Node started this program, this talks to that Node; otherwise it attaches to the Node of this machine. With the
    argument `--describe` it prints its description, and with `--help` its arguments.

    Args:
        on_error: What to do after an exception in one of the functions, which the journal shows: `continue`, or `fail`, after
            which the Node restarts the Role.
        node: The Node to attach to, if there are several.
        name: The name of the Role when it attaches. Default: the name of the file.
        arguments: The arguments to use instead of the command line.
        encoding: How it speaks with the Node; see `kozo.attach`.
    """
    program.run(on_error, node, name, arguments, encoding)
