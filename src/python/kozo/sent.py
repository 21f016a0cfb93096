"""What becomes of Messages, for who asks."""

from __future__ import annotations

from typing import Any, NamedTuple


class Sent(NamedTuple):
    """The number of a sent Message, and how many receivers it was queued for.

    >>> node = kozo.attach()
    >>> node.send("event", "door", data={"open": True}, confirm=True).unreachable
    0
    >>> node.close()
    """

    #: Its number in this run of the Node.
    sequence: int
    #: For how many Roles of this Node it was queued.
    roles: int
    #: For how many Peers it was queued.
    peers: int
    #: How many Peers want it and cannot be reached.
    unreachable: int


def sent(answer: dict[str, Any]) -> Sent:
    """Read what the Node answers to a Message."""
    return Sent(answer["sequence"], answer["roles"], answer["peers"], answer["unreachable"])
