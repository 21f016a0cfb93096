"""Where the Nodes of this machine are."""

from __future__ import annotations

import os
from pathlib import Path
from stat import S_ISSOCK

from .errors import KozoError, NoNodeError, NotAllowedError, SeveralNodesError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

#: The socket in the folder of a Node at which programs attach.
ROLE_SOCKET = "role"
#: Where systemd makes the folders of its Nodes.
SYSTEM = "/run/kozo"

#: Seconds that a Node may take to say whether a program may attach.
ANSWER = 10.0


def parents() -> list[Path]:
    """Give the folders in which there may be folders of Nodes that this user can reach."""
    user = os.geteuid()
    found = [Path(SYSTEM)]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        found.append(Path(runtime, "kozo"))
    found += [Path(f"/run/user/{user}/kozo"), Path(f"/tmp/kozo-{user}")]  # noqa: S108 - where the Node puts it
    return list(dict.fromkeys(found))


def asked(node: str | None) -> str | None:
    """Give the Node that is meant: the one that was named, or that of `$KOZO_NODE`; None if there is neither."""
    return node or os.environ.get("KOZO_NODE") or None


def connect(node: str | None) -> tuple[socket.socket, Path]:
    """Connect to the Node of this name or at this path, or to the only one there is.

    Raises:
        NoNodeError: There is none.
        SeveralNodesError: There are several.
        NotAllowedError: This user may not.
    """
    if node is not None and "/" in node:
        return _connect_at(Path(node))
    listening: list[tuple[socket.socket, Path]] = []
    forbidden: list[Path] = []
    for path in _candidates(node):
        try:
            listening.append((_open(path), path))
        except PermissionError:
            forbidden.append(path)
        except OSError:
            # One whose Node has gone.
            continue
    if len(listening) == 1 and not (forbidden and node is None):
        return listening[0]
    for connection, _ in listening:
        connection.close()
    found = [path for _, path in listening] + forbidden
    if len(found) == 1:
        raise _not_allowed(found[0])
    if found:
        raise _several(found)
    raise NoNodeError(_nowhere(node))


def _candidates(node: str | None) -> list[Path]:
    found = []
    for parent in parents():
        if not _is_trustworthy(parent):
            continue
        try:
            names = [node] if node is not None else sorted(os.listdir(parent))
        except OSError:
            continue
        for name in names:
            path = parent / name / ROLE_SOCKET
            try:
                if S_ISSOCK(path.stat().st_mode):
                    found.append(path)
            except PermissionError:
                # A Node that this user may not reach is one all the same.
                found.append(path)
            except OSError:
                continue
    return found


def _is_trustworthy(folder: Path) -> bool:
    """Tell whether only root and this user can have put something there."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    is_ours = status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o022
    return folder.is_dir() and not folder.is_symlink() and (str(folder) == SYSTEM or is_ours)


def _connect_at(path: Path) -> tuple[socket.socket, Path]:
    if path.is_dir():
        path /= ROLE_SOCKET
    elif path.name == "bus":
        # As kozoctl names Nodes: by their control socket, which is beside it.
        path = path.with_name(ROLE_SOCKET)
    try:
        return _open(path), path
    except PermissionError:
        raise _not_allowed(path) from None
    except OSError as error:
        raise NoNodeError(f"no Node listens at {path}: {error.strerror}") from None


def _open(path: Path) -> socket.socket:
    import socket

    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        connection.settimeout(ANSWER)
        connection.connect(str(path))
        connection.settimeout(None)
    except BaseException:
        connection.close()
        raise
    return connection


def _nowhere(node: str | None) -> str:
    name = node or "NODE"
    start = f"kozo FILE {name}"
    if os.path.isdir("/run/systemd/system"):
        start = f"systemctl start kozo@{name}"
    if node is None:
        return f"no Node runs on this machine: start one, for example with `{start}`"
    return f"the Node '{node}' does not run on this machine: start it, for example with `{start}`"


def _not_allowed(path: Path) -> KozoError:
    return NotAllowedError(
        f"you may not attach programs to the Node '{path.parent.name}': be root, or join its group with "
        f"`sudo adduser $USER kozo` and log in again ({path})"
    )


def _several(found: list[Path]) -> KozoError:
    names = sorted({path.parent.name for path in found})
    if len(names) == 1:
        shown = " and ".join(f"'{path}'" for path in found)
        return SeveralNodesError(f"several Nodes here are called '{names[0]}', at {shown}: use kozo.attach(PATH)")
    shown = ", ".join(names[:-1]) + f" and {names[-1]}"
    return SeveralNodesError(f"several Nodes run here, {shown}: choose one, as in kozo.attach('{names[0]}')")
