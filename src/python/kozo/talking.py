"""What a Transport says to its Node: answers, connections with their descriptors, signatures to make or to look at."""

from __future__ import annotations

import os
import re
from binascii import b2a_base64
from typing import TYPE_CHECKING, Any

from .conversation import Conversation
from .errors import DisconnectedError, KozoError
from .lines import LONGEST_NAME, answer, encoded, notification, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from .lines import Line
    from .stream import Stream

#: Characters of a text. A line has 64 KiB at most, and a character up to six bytes.
_LONGEST_TEXT = 8192

#: Bytes that are signed, and of a signature.
_MOST_SIGNED = 16 * 1024

#: What a signature is made of.
_PRINTABLE = re.compile(r"[\n\r -~]*")

#: Codes of JSON-RPC.
NO_METHOD = -32601
REFUSED = 1


class Talk(Conversation):
    """The conversation of a Transport. Requests go to `asked` with their ids, in the thread that reads."""

    def __init__(
        self,
        stream: Stream,
        asked: Callable[[Any, str, dict[str, Any]], object],
        notice: Callable[[str, dict[str, Any]], object],
    ) -> None:
        super().__init__(stream, lambda _message: None, notice)
        self._asked = asked

    def _heed(self, line: Line) -> None:
        if "method" in line and "id" in line:
            self._asked(line["id"], line["method"], line.get("params") or {})
        elif "error" in line and line.get("id") is None:
            # A connection that it has not taken: it says so in the journal, and speaks on.
            pass
        else:
            super()._heed(line)

    def respond(self, number: Any, result: object) -> None:
        """Answer a request."""
        self.say(answer(number, result))

    def refuse(self, number: Any, text: str, code: int = REFUSED) -> None:
        """Say that a request comes to nothing, and why."""
        self.say(refusal(number, text[:_LONGEST_TEXT], code))

    def hand_over(self, number: Any, params: dict[str, object], descriptor: int) -> None:
        """Hand a connection over, as the answer to a request or, without one, as one that came in. It closes the descriptor."""
        line = notification("accepted", params) if number is None else answer(number, params)
        try:
            self._stream.hand_over(encoded(line), descriptor)
        except OSError as error:
            if self.ended is None:
                raise
            raise DisconnectedError(self._farewell(error)) from None
        finally:
            os.close(descriptor)

    def log(self, text: str, level: str = "info") -> None:
        """Write a line to the journal."""
        super().log(text[:_LONGEST_TEXT], level)

    def sign(self, data: bytes) -> str:
        """Have something signed with the key of this Node."""
        _check(data)
        signature: str = self._request("sign", {"data": _base64(data)})["signature"]
        return signature

    def verify(self, node: str, data: bytes, signature: str) -> bool:
        """Have the Node tell whether this is a signature of that Node."""
        _check(data)
        # Strangers have made both up, and the Node ends programs that say what makes no sense.
        if not _can_be_node(node) or not _can_be_signature(signature):
            return False
        return bool(self._request("verify", {"node": node, "data": _base64(data), "signature": signature}))


def _check(data: bytes) -> None:
    if len(data) > _MOST_SIGNED:
        raise KozoError(f"{_MOST_SIGNED} bytes at most are signed, not {len(data)}: sign a hash of them")


def _can_be_node(name: str) -> bool:
    try:
        return 1 <= len(name.encode()) <= LONGEST_NAME
    except UnicodeEncodeError:
        return False


def _can_be_signature(text: object) -> bool:
    return isinstance(text, str) and len(text) <= _MOST_SIGNED and _PRINTABLE.fullmatch(text) is not None


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()
