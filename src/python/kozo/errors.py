"""What goes wrong, each with one sentence that says what to do about it."""

from __future__ import annotations


class KozoError(RuntimeError):
    """The base class of all errors of this package.

    Like the original's, it takes the parts of its text: `KozoError("no pin", 7)` is `no pin 7`.
    """

    def __init__(self, *parts: object) -> None:
        super().__init__(" ".join(map(str, parts)))


class NoNodeError(KozoError):
    """No Node runs on this machine, or none with the given name."""


class SeveralNodesError(KozoError):
    """Several Nodes run on this machine, and the program did not choose one."""


class NotAllowedError(KozoError):
    """This user may not attach programs to the Node."""


class RefusedError(KozoError):
    """The Node refused a request: for example, the name is taken or the Message is too large."""


class DisconnectedError(KozoError):
    """The Node is gone and did not come back in time."""


class KozoStopError(KozoError):
    """The Role must stop. Raised where the Role waits, so that it ends; do not catch it."""
