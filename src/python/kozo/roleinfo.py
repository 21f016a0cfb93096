"""What the `roleInfo` of a Role of 2014 says: its description, what it wants, its options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .classic import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .conversation import Start
    from .message import Pattern

#: Defaults of options that stand for the name of the Role, and of its Node.
NODE_NAME = "\0kozo node name"
ROLE_NAME = "\0kozo role name"
ROLENODE_NAME = "\0kozo role name@node name"


def interest(info: Mapping[str, Any]) -> list[Pattern]:
    """Give what a Role wants: what its `roleInfo` says, or everything if it decides by code, or nothing."""
    told: list[Pattern] | None = info.get("interest")
    if told is not None:
        return told
    return [] if info["class"].isInterestedIn is Role.isInterestedIn else [{}]


def description(info: Mapping[str, Any]) -> dict[str, Any]:
    """Give the description of a type of Roles, of its `roleInfo`."""
    said: dict[str, Any] = {"format": "1.0"}
    for name in ("author", "version", "description", "needsStorage", "writes"):
        if name in info:
            said[name] = info[name]
    said["config"] = {name: _described(option) for name, option in (info.get("config") or {}).items()}
    said["interest"] = interest(info)
    return said


def _described(option: Mapping[str, Any]) -> dict[str, Any]:
    said = dict(option)
    if "default" not in said:
        return said
    default = said["default"]
    if default in (NODE_NAME, ROLE_NAME, ROLENODE_NAME):
        # Known once the Role runs.
        said["default"] = None
    elif isinstance(default, tuple):
        said["default"] = list(default)
    elif type(default) is int:
        # In 2014 that could be set to any number.
        said.setdefault("kind", "number")
    return said


def options(info: Mapping[str, Any], start: Start) -> dict[str, Any]:
    """Give the options of a Role as its code knows them."""
    names = {NODE_NAME: start.node, ROLE_NAME: start.role, ROLENODE_NAME: f"{start.role}@{start.node}"}
    found: dict[str, Any] = {}
    for name, option in (info.get("config") or {}).items():
        default = option.get("default")
        value = start.options.get(name)
        if value is None:
            found[name] = names.get(default, default) if isinstance(default, str) else default
        elif "kind" not in option and default is None and isinstance(value, str):
            found[name] = _scalar(value)
        elif isinstance(value, float) and value.is_integer() and not isinstance(default, float):
            found[name] = int(value)
        else:
            found[name] = value
    return found


def _scalar(text: str) -> Any:
    """Read a text as YAML does, where the option does not say what it is."""
    if text.lower() in ("true", "yes", "on", "false", "no", "off"):
        return text.lower() in ("true", "yes", "on")
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
