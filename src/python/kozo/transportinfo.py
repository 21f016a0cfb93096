"""What a `transportInfo` and its class say of the type that they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import info
from .errors import KozoError
from .system import SystemNode
from .transport import AuthenticatedTransport, Transport

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

_PRIORITIES = ("worst", "bad", "meh", "good", "best")


class _Unknown:
    """Options that nobody has told."""

    def get(self, option: str) -> NoReturn:
        raise KozoError(f"the option '{option}' is not known before the Transport runs")


def checked_class(told: Mapping[str, Any]) -> type[Transport]:
    """Give the class that is described.

    Raises:
        KozoError: It is no Transport.
    """
    cls = told.get("class")
    if not isinstance(cls, type) or not issubclass(cls, Transport):
        raise KozoError(f"the `class` of a transportInfo is a Transport or an AuthenticatedTransport, not {cls!r}")
    return cls


def description(told: Mapping[str, Any]) -> dict[str, Any]:
    """Give the description of a type of Transports, of its `transportInfo` and its class."""
    cls = checked_class(told)
    said = info.described(told) | {"kind": "transport", "priority": _priority(told), "canAccept": can_accept(told)}
    said["authenticates"] = not issubclass(cls, AuthenticatedTransport)
    if cls.canConnect is not Transport.canConnect:
        # It is asked each time.
        said["connectsTo"] = ["*"]
    return said | {name: told[name] for name in ("connectsTo", "connectTimeout") if name in told}


def _sample(told: Mapping[str, Any], options: Any) -> Transport:
    made: Transport = told["class"]("", SystemNode("", is_self=False), "", options)
    return made


def _priority(told: Mapping[str, Any]) -> str:
    try:
        priority = _sample(told, info.options(told, {}, "", "")).getPriority()
        return _PRIORITIES[max(Transport.Priority_WORST, min(priority, Transport.Priority_BEST))]
    except Exception:  # noqa: BLE001 - it needs a Node to know
        return _PRIORITIES[Transport.Priority_MEH]


def can_accept(told: Mapping[str, Any]) -> bool:
    """Tell whether any such Transport can be connected to: not one can, if it says so whatever its options are."""
    try:
        return bool(_sample(told, _Unknown()).canAccept())
    except Exception:  # noqa: BLE001 - that depends
        return True
