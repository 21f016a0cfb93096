"""What the `roleInfo` of a Role of 2014 says: its description, and what it wants."""

from __future__ import annotations

from .classic import Role
from .info import described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .message import Pattern


def interest(info: Mapping[str, Any]) -> list[Pattern]:
    """Give what a Role wants: what its `roleInfo` says, or everything if it decides by code, or nothing."""
    told: list[Pattern] | None = info.get("interest")
    if told is not None:
        return told
    return [] if info["class"].isInterestedIn is Role.isInterestedIn else [{}]


def description(info: Mapping[str, Any]) -> dict[str, Any]:
    """Give the description of a type of Roles, of its `roleInfo`."""
    return described(info, "needsStorage", "writes") | {"interest": interest(info)}
