"""What goes wrong, each with one sentence that says what to do about it."""

from __future__ import annotations


class KozoError(RuntimeError):
    """Anything that Kōzō refuses or that goes wrong with it; all errors of this package are one.

    Like the original's, it takes the parts of its text: `KozoError("no pin", 7)` is `no pin 7`.
    """

    def __init__(self, *parts: object) -> None:
        super().__init__(" ".join(map(str, parts)))


class NoNodeError(KozoError):
    """No Node runs on this machine, or none of the name that was asked for."""


class SeveralNodesError(KozoError):
    """Several Nodes run on this machine, and the program did not say which it means."""


class NotAllowedError(KozoError):
    """This user may not attach programs to the Node."""


class RefusedError(KozoError):
    """The Node does not do what it was asked: the name is taken, the Message is too large."""


class DisconnectedError(KozoError):
    """The Node has gone, and did not come back in time."""


class KozoStopError(KozoError):
    """The Role is to stop. Raised where it waits, so that it ends; do not catch it."""
