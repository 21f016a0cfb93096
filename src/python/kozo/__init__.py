"""Kōzō for Python: small machines that tell each other what is happening.

A script takes part with `attach()`:

>>> import kozo
>>> node = kozo.attach()
>>> node.send("event", "door", data={"open": True})
>>> node.close()

A file is a Role with functions that are called for Messages, and `run()` at its end:

    import kozo

    @kozo.on("order", "ring")
    def ring(message):
        kozo.send("event", "rung", channel=message.channel)

    kozo.run()

`kozo.aio` has the same for asyncio, and `Role`, `Transport`, `kozo.messages` and `kozo.helpers` are the API
of 2014.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kozo import aio as aio

    from . import helpers as helpers
    from . import messages as messages
    from .classic import (
        Role as Role,
    )
    from .errors import (
        DisconnectedError as DisconnectedError,
    )
    from .errors import (
        KozoError as KozoError,
    )
    from .errors import (
        KozoStopError as KozoStopError,
    )
    from .errors import (
        NoNodeError as NoNodeError,
    )
    from .errors import (
        NotAllowedError as NotAllowedError,
    )
    from .errors import (
        RefusedError as RefusedError,
    )
    from .errors import (
        SeveralNodesError as SeveralNodesError,
    )
    from .info import (
        NODE_NAME as NODE_NAME,
    )
    from .info import (
        ROLE_NAME as ROLE_NAME,
    )
    from .info import (
        ROLENODE_NAME as ROLENODE_NAME,
    )
    from .info import (
        TRANSPORT_NAME as TRANSPORT_NAME,
    )
    from .info import (
        TRANSPORTNODE_NAME as TRANSPORTNODE_NAME,
    )
    from .message import Message as Message
    from .node import Node as Node
    from .node import Receiver as Receiver
    from .role import (
        every as every,
    )
    from .role import (
        log as log,
    )
    from .role import (
        on as on,
    )
    from .role import (
        options as options,
    )
    from .role import (
        run as run,
    )
    from .role import (
        send as send,
    )
    from .role import (
        status as status,
    )
    from .role import (
        storage as storage,
    )
    from .role import (
        when as when,
    )
    from .sent import Sent as Sent
    from .settings import option as option
    from .system import (
        KozoSystem as KozoSystem,
    )
    from .system import (
        SystemNode as SystemNode,
    )
    from .system import (
        kozoConfig as kozoConfig,
    )
    from .system import (
        kozoSystem as kozoSystem,
    )
    from .transport import (
        AuthenticatedTransport as AuthenticatedTransport,
    )
    from .transport import (
        Channel as Channel,
    )
    from .transport import (
        Transport as Transport,
    )

__version__ = "0.1.0"

# Where each name is. A Role that starts reads only the modules that it needs.
_PLACES = {
    "classic": ("Role",),
    "errors": (
        "DisconnectedError",
        "KozoError",
        "KozoStopError",
        "NoNodeError",
        "NotAllowedError",
        "RefusedError",
        "SeveralNodesError",
    ),
    "info": ("NODE_NAME", "ROLE_NAME", "ROLENODE_NAME", "TRANSPORT_NAME", "TRANSPORTNODE_NAME"),
    "message": ("Message",),
    "node": ("Node", "Receiver"),
    "settings": ("option",),
    "system": ("KozoSystem", "SystemNode", "kozoConfig", "kozoSystem"),
    "sent": ("Sent",),
    "role": ("every", "log", "on", "options", "run", "send", "status", "storage", "when"),
    "transport": ("AuthenticatedTransport", "Channel", "Transport"),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}

__all__ = ["attach", *_MODULES]  # noqa: PLE0604 - they are all texts


def attach(
    node: str | None = None,
    *,
    name: str | None = None,
    patience: float = 30.0,
    queue_length: int = 1024,
    encoding: str = "json",
) -> Node:
    """Attach to a Node of this machine as one of its Roles, until `close()` or the end of the program.

    >>> node = kozo.attach(name="porter")
    >>> node.role, node.name
    ('porter', 'clock')
    >>> node.close()

    Args:
        node: The name of the Node, or the path of its socket. Default: `$KOZO_NODE`, or else the only Node of this machine.
        name: The name of the Role. Default: the name of the program, with a number if the Node already has such a Role.
        patience: How long a call waits for a Node that restarts, in seconds.
        queue_length: How many Messages may wait in the Node for this program; when the queue is full, the oldest are dropped.
        encoding: `json`, or `msgpack`, for floods: it takes less than half of the time, `msgspec`, and 2.5 MB of memory.

    Raises:
        NoNodeError: There is no such Node.
        SeveralNodesError: Several Nodes run, and `node` names none of them.
        NotAllowedError: This user may not attach programs.
        RefusedError: The Node already has a Role of this name.
        KozoError: `msgspec` is not installed, and `encoding` needs it.
    """
    from .encodings import details
    from .node import Node

    return Node(node, name, patience, details(encoding, messageQueueLength=queue_length))


def __getattr__(name: str) -> object:
    """Import what is used, when it is used first."""
    import importlib

    module = _MODULES.get(name)
    if module is not None:
        value: object = getattr(importlib.import_module(f".{module}", __name__), name)
    elif name in ("aio", "helpers", "messages"):
        value = importlib.import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List what there is, whether it was used or not."""
    return sorted({*globals(), *__all__, "aio", "helpers", "messages"})


def _claim_standard_output() -> None:
    """Keep what the program prints out of the protocol, from the first import on."""
    from . import stdio

    if stdio.is_spoken_to() or stdio.is_described():
        stdio.claim()


_claim_standard_output()
