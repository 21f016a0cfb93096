"""What a `roleInfo` and a `transportInfo` have in common: who wrote the type, and its options."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

#: Defaults of options that stand for the name of the Role or Transport, and of its Node.
NODE_NAME = "\0kozo node name"
ROLE_NAME = "\0kozo role name"
ROLENODE_NAME = "\0kozo role name@node name"
TRANSPORT_NAME = "\0kozo transport name"
TRANSPORTNODE_NAME = "\0kozo transport name@node name"

_NAMES = (NODE_NAME, ROLE_NAME, ROLENODE_NAME, TRANSPORT_NAME, TRANSPORTNODE_NAME)


def described(info: Mapping[str, Any], *more: str) -> dict[str, Any]:
    """Give the description of a type, with these members of its info as well if it has them."""
    said: dict[str, Any] = {"format": "1.0"}
    said |= {name: info[name] for name in ("author", "version", "description", *more) if name in info}
    said["config"] = {name: _described(option) for name, option in (info.get("config") or {}).items()}
    return said


def _described(option: Mapping[str, Any]) -> dict[str, Any]:
    said = dict(option)
    if "default" not in said:
        return said
    default = said["default"]
    if default in _NAMES:
        # Known once it runs.
        said["default"] = None
    elif isinstance(default, tuple):
        said["default"] = list(default)
    elif type(default) is int:
        # In 2014 that could be set to any number.
        said.setdefault("kind", "number")
    return said


def options(info: Mapping[str, Any], said: Mapping[str, Any], name: str, node: str) -> dict[str, Any]:
    """Give the options of the Role or Transport of this name on this Node, as its code knows them."""
    both = f"{name}@{node}"
    names = dict(zip(_NAMES, (node, name, both, name, both), strict=True))
    found: dict[str, Any] = {}
    for option, told in (info.get("config") or {}).items():
        default = told.get("default")
        value = said.get(option)
        if value is None:
            found[option] = names.get(default, default) if isinstance(default, str) else default
        elif "kind" not in told and default is None and isinstance(value, str):
            found[option] = _scalar(value)
        elif isinstance(value, float) and value.is_integer() and not isinstance(default, float):
            found[option] = int(value)
        else:
            found[option] = value
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
