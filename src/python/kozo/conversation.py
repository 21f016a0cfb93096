"""What is said with one Node over one connection.

No thread reads in the background. Who needs something from the Node (a Message, an answer) reads until it is there; while
one thread does, the others wait for what it finds. So a Message is handled in the thread that waited for it, and a
program that waits for nothing costs nothing.
"""

from __future__ import annotations

import sys
import threading
from binascii import b2a_base64
from contextlib import suppress
from time import monotonic

from .encodings import JSON
from .errors import DisconnectedError, KozoError, RefusedError
from .lines import check_length, log_line, notification, request, status_line
from .values import unpack_text, with_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .encodings import Encoding
    from .lines import Line
    from .message import Message, Pattern
    from .node import Node
    from .sent import Sent
    from .stream import Stream

#: Seconds that the Node may take for an answer.
PATIENCE = 60.0
#: Seconds of one wait: the system takes no more than 24 days.
LONGEST_WAIT = 86_400.0
#: Data of more bytes is confirmed, as it may be more than a queue holds.
LARGE = 64 * 1024


class Start:
    """What the Node says first."""

    def __init__(self, params: dict[str, Any], *, is_json: bool = True) -> None:
        """Read what `start` says."""
        self.node: str = params["node"]
        self.role: str = params["role"]
        self.options: dict[str, Any] = params.get("options") or {}
        self.stored: Any = params.get("stored")
        if is_json:
            self.stored = with_bytes(self.stored)
        if "storedMsgpack" in params:
            self.stored = unpack_text(params["storedMsgpack"])
        #: All of it, with what later versions add.
        self.said = params


class Conversation:
    """One connection to a Node, from `start` on. All threads may use it.

    Messages go to `deliver` and all else that the Node says by itself to `notice`, both in the thread that happens to
    read, which holds no lock then.
    """

    def __init__(
        self,
        stream: Stream,
        deliver: Callable[[list[Message]], object],
        notice: Callable[[str, dict[str, Any]], object],
        *,
        encoding: Encoding = JSON,
        begun: bytes = b"",
        speaker: Node | None = None,
    ) -> None:
        """Speak over this stream, of which `begun` was read already. Replies go by `speaker`."""
        self._stream = stream
        self._deliver, self._notice = deliver, notice
        # The Messages that come here reply here.
        self._reader = encoding.reader(speaker or self)
        # What has come.
        self._unread = self._reader.cut(begun) if begun else b""
        self._sender, self._encode = encoding.sender(), encoding.encode
        # Ctrl-C cannot come between taking this and the block that lets go of it, unlike with a Condition.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        # The thread that reads; 0 if none does.
        self._reading = 0
        self._is_closing = False
        self._answers: dict[int, Line | None] = {}
        self._number = 0
        #: Why the conversation is over, once it is.
        self.ended: str | None = None

    # What the program says.

    def send(
        self,
        kind: str,
        type: str | None = None,
        data: object = None,
        channel: str | None = None,
        confirm: bool = False,  # noqa: FBT001, FBT002 - by place it is called faster
    ) -> Sent | None:
        """Send a Message; what became of it is known only if that is asked for."""
        line = self._sender.line(kind, type, channel, data)
        if not confirm and len(line) < LARGE:
            # Not by `_write`: one call less for each Message of a flood.
            try:
                self._stream.write(line)
            except (OSError, ValueError) as error:
                raise DisconnectedError(self._farewell(error)) from None
            return None
        number = self._expect()
        line = self._sender.line(kind, type, channel, data, number)
        answer = self._ask(number, line)
        if not confirm:
            return None
        from .sent import sent

        return sent(answer)

    def interest(self, patterns: Sequence[Pattern]) -> None:
        """Say which Messages are wanted from now on."""
        self._request("interest", {"patterns": list(patterns)})

    def say_interest(self, patterns: Sequence[Pattern]) -> None:
        """Do the same, without waiting until the Node has heeded it."""
        self.say(notification("interest", {"patterns": list(patterns)}))

    def store(self, packed: bytes) -> int:
        """Have a value kept, as `pack` gives it; return the number by which `is_answered` tells that it is on disk."""
        number = self._expect()
        self.say(request(number, "store", {"msgpack": b2a_base64(packed, newline=False).decode()}))
        return number

    def log(self, text: str, level: str = "info") -> None:
        """Write a line to the journal."""
        self.say(log_line(text, level))

    def status(self, text: str | None) -> None:
        """Set what `kozoctl role` shows of this Role."""
        self.say(status_line(text))

    def ready(self) -> None:
        """Say that Messages may come."""
        self.say(notification("ready"))

    def subscribe(self, *facts: str) -> None:
        """Ask the Node to report changes."""
        self.say(notification("subscribe", {"facts": list(facts)}))

    def say(self, line: Line) -> None:
        """Write something that is no Message."""
        self.write(self._encode(line))

    def write(self, line: bytes) -> None:
        """Write what is encoded."""
        check_length(line)
        self._write(line)

    def _write(self, line: bytes) -> None:
        try:
            self._stream.write(line)
        except (OSError, ValueError) as error:
            raise DisconnectedError(self._farewell(error)) from None

    def _farewell(self, error: Exception) -> str:
        # The Node may have said why it does not read any more.
        with suppress(KozoError):
            self.wait(lambda: self.ended is not None, 1.0)
        return self.ended or f"the Node reads no more: {error}"

    # What the Node answers.

    def _expect(self) -> int:
        with self._lock:
            self._number += 1
            self._answers[self._number] = None
            return self._number

    def _request(self, method: str, params: dict[str, object]) -> Any:
        number = self._expect()
        try:
            line = self._encode(request(number, method, params))
        except BaseException:
            # What cannot be said is not answered.
            del self._answers[number]
            raise
        return self._ask(number, line)

    def _ask(self, number: int, line: bytes) -> Any:
        try:
            self.write(line)
            if not self.wait(lambda: self._answers[number] is not None, PATIENCE):
                raise DisconnectedError(f"the Node did not answer within {PATIENCE:.0f} s")
            return self.answer(number)
        finally:
            self._answers.pop(number, None)

    def is_answered(self, number: int) -> bool:
        """Tell whether the answer is there."""
        return self._answers.get(number) is not None

    def answer(self, number: int) -> Any:
        """Give the answer that is there.

        Raises:
            RefusedError: The Node does not do it.
        """
        answer = self._answers.pop(number) or {}
        if "error" in answer:
            raise RefusedError(answer["error"]["message"])
        return answer["result"]

    # What the Node says.

    def wait(self, is_there: Callable[[], object], timeout: float | None = None) -> bool:
        """Read until something is there, or time is over; say whether it is.

        Raises:
            DisconnectedError: The conversation has ended, and it is not there.
            KozoError: It is called while this thread delivers what it has read, so nothing more can come.
        """
        me = threading.get_ident()
        if self._reading == me:
            raise KozoError("isInterestedIn cannot wait for the Node, of which nothing is read until it returns")
        deadline = None if timeout is None else monotonic() + timeout
        has_read = False
        while True:
            # Ctrl-C may come wherever something is called.
            try:
                with self._lock:
                    while not is_there():
                        if self.ended is not None:
                            raise DisconnectedError(self.ended)
                        left = None if deadline is None else min(max(0.0, deadline - monotonic()), LONGEST_WAIT)
                        # What has come already is read, however late it is.
                        if left == 0 and (has_read or self._reading):
                            return False
                        if not self._reading:
                            break
                        self._changed.wait(left)
                    else:
                        return True
                    self._reading = me
                self._read(left)
            finally:
                if self._reading == me:
                    with self._lock:
                        self._reading = 0
                        self._changed.notify_all()
                        if self._is_closing:
                            self._stream.close()
            has_read = True

    def _read(self, timeout: float | None) -> None:
        if not self._unread:
            self._wait_for_lines(timeout)
        if self._unread:
            # Ctrl-C meanwhile leaves them to the next one who reads.
            parts = self._reader.read(self._unread)
            self._unread = b""
            for part in parts:
                if isinstance(part, list):
                    self._deliver(part)
                else:
                    self._heed(part)

    def _wait_for_lines(self, timeout: float | None) -> None:
        try:
            data = self._stream.read(timeout)
        except (OSError, ValueError) as error:
            data = b""
            self.ended = self.ended or f"the Node has gone: {error}"
        if data:
            self._unread = self._reader.cut(data)
        elif data is not None:
            self.ended = self.ended or "the Node has closed the connection"

    def _heed(self, line: Line) -> None:
        method = line.get("method")
        if method is not None:
            self._notice(method, line.get("params") or {})
        elif line.get("id") in self._answers:
            self._answers[line["id"]] = line
        elif "error" in line and line.get("id") is None:
            # It closes after this.
            self.ended = f"the Node does not understand this program: {line['error']['message']}"

    def close(self, why: str = "it is closed") -> None:
        """End the conversation, also for those who wait in other threads."""
        with self._lock:
            self.ended = self.ended or why
            self._is_closing = True
            self._changed.notify_all()
            if self._reading:
                # Who reads closes it: a number of a file may not be another file's while it is read.
                self._stream.interrupt()
            else:
                self._stream.close()

    def __del__(self) -> None:
        """End one that the program has forgotten: else the Node would keep Messages for it."""
        # Threads that hold locks are gone when the interpreter ends.
        if not sys.is_finalizing():
            self.close()
