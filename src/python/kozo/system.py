"""The System as the API of 2014 shows it: its Nodes, and what its configuration says."""

from __future__ import annotations

from .errors import KozoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class SystemNode:
    """A Node of the System."""

    def __init__(self, name: str, *, is_self: bool) -> None:
        self._name, self._is_self = name, is_self

    def getName(self) -> str:
        """Return its name."""
        return self._name

    def isSelf(self) -> bool:
        """Tell whether this program is on it."""
        return self._is_self

    def getPublicKey(self) -> list[str]:
        """Return the parts of its public key: its type, and the key.

        Raises:
            KozoError: The System no longer has this Node.
        """
        key: str | None = _told("keys").get(self._name)
        if key is None:
            raise KozoError(f"the System has no Node '{self._name}'")
        return key.split(" ", 2)

    def __str__(self) -> str:
        """Show its name."""
        return self._name


class SenderRole:
    """A Role that has sent a Message."""

    def __init__(self, name: str, node: SystemNode) -> None:
        self._name, self._node = name, node

    def getName(self) -> str:
        """Return its name."""
        return self._name

    def getNode(self) -> SystemNode:
        """Return its Node."""
        return self._node

    def __str__(self) -> str:
        """Show where it is."""
        return f"{self._name}@{self._node}"


class KozoSystem:
    """The Nodes of the System: the one that this program is on, and its Peers."""

    def __init__(self) -> None:
        self._nodes: dict[str, SystemNode] = {}
        self._own: SystemNode | None = None

    def getNodes(self) -> list[SystemNode]:
        """Return all Nodes."""
        return list(self._nodes.values())

    def getNodeByName(self, name: str) -> SystemNode | None:
        """Return the Node of this name, or None."""
        return self._nodes.get(name)

    def getSelfNode(self) -> SystemNode | None:
        """Return the Node that this program is on; None before it runs."""
        return self._own

    def known(self, name: str, *, is_self: bool = False) -> SystemNode:
        """Return the Node of this name, which is one that something came from."""
        node = self._nodes.get(name)
        if node is None:
            node = self._nodes[name] = SystemNode(name, is_self=is_self)
        if is_self:
            self._own = node
        return node

    def heed(self, params: Mapping[str, Any]) -> None:
        """Heed what the Node says of a Peer."""
        if params["state"] == "removed":
            self._nodes.pop(params["name"], None)
        else:
            self.known(params["name"])


_system = KozoSystem()
_said: Mapping[str, Any] | None = None


def begin(node: str, said: Mapping[str, Any]) -> None:
    """Know the Node of this program, and what it says first: `config`, and the `keys` of Nodes by their names."""
    global _said  # noqa: PLW0603 - a process is one Role or one Transport
    _said = said
    _system.known(node, is_self=True)


def _told(name: str) -> dict[str, Any]:
    if _said is None:
        raise KozoError("the System is known only from `localInit` on")
    found: dict[str, Any] = _said.get(name) or {}
    return found


def kozoSystem() -> KozoSystem:
    """Return the System."""
    return _system


def kozoConfig(name: str) -> Any:
    """Return an option of the top level of the configuration: intervals in seconds, sizes in bytes.

    Raises:
        KozoError: The configuration has no such option.
    """
    told = _told("config")
    if name not in told:
        raise KozoError(f"the configuration has no option '{name}' at its top level: there are {', '.join(told)}")
    return told[name]
