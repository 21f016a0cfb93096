"""Bytes to and from a Node, over two file descriptors.

A write is done at once by who writes, unless another one was just before it: then it waits in memory for the next of a
handful of occasions (the reader is about to wait, much has gathered, a thread that does nothing else gets its turn), so
that a flood of Messages takes few calls of the system and a lone one is not late.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from contextlib import suppress
from stat import S_ISSOCK
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes that are read at once: more than a pipe holds, and less than what memory is mapped anew for.
READ = 120 * 1024
#: Bytes that gather before they are written by who brings the last of them.
GATHERED = 64 * 1024
#: Seconds in which a second write makes it a flood.
FLOOD = 0.001


class Stream:
    """Both directions of a conversation. Any thread may write; one at a time may read."""

    def __init__(self, reading: int, writing: int) -> None:
        """Take over two file descriptors, which may be the same."""
        self._reading, self._writing = reading, writing
        self._poll: select.poll | None = None
        # Held while the system is called, so that what is written stays in order.
        self._turn = threading.Lock()
        self._gathered: deque[bytes] = deque()
        # About how many bytes have gathered: threads that add to it at once may lose one of the sums.
        self._size = 0
        self._last = -1.0
        self._wake: threading.Event | None = None
        self._broken: OSError | None = None
        self._is_closed = False

    def read(self, timeout: float | None = None) -> bytes | None:
        """Wait for bytes. None if none came within so many seconds, nothing once the other side has closed."""
        self.flush()
        if timeout is not None:
            if self._poll is None:
                self._poll = select.poll()
                self._poll.register(self._reading, select.POLLIN)
            if not self._poll.poll(max(0, -int(-timeout * 1000 // 1))):
                return None
        try:
            data = os.read(self._reading, READ)
        except ConnectionError:
            return b""
        # What is written next is likely an answer to this, and no flood.
        self._last = -1.0
        return data

    def write(self, data: bytes) -> None:
        """Write whole lines, now or soon.

        Raises:
            OSError: The other side reads no more.
        """
        if self._broken is not None:
            raise self._broken
        gathered = self._gathered
        gathered.append(data)
        self._size += len(data)
        if self._size < GATHERED:
            if len(gathered) > 1:
                # Who brought the first of them has seen to it that they are written.
                return
            now = monotonic()
            is_flood = now - self._last < FLOOD
            self._last = now
            if is_flood:
                self._wake_writer()
                return
        self.flush()

    def flush(self) -> None:
        """Write what has gathered."""
        if not self._gathered:
            return
        with self._turn:
            data = b"".join(self._take())
            self._size = 0
            self._write_all(data)

    def _take(self) -> Iterator[bytes]:
        # One by one, so that nothing is lost of what other threads add meanwhile.
        with suppress(IndexError):
            while True:
                yield self._gathered.popleft()

    def _write_all(self, data: bytes) -> None:
        try:
            written = os.write(self._writing, data) if data else 0
            if written < len(data):
                rest = memoryview(data)[written:]
                while rest:
                    rest = rest[os.write(self._writing, rest) :]
        except OSError as error:
            self._broken = error
            raise

    def _wake_writer(self) -> None:
        if self._wake is None:
            self._wake = threading.Event()
            threading.Thread(target=self._write_when_woken, name="kozo-writer", daemon=True).start()
        self._wake.set()

    def _write_when_woken(self) -> None:
        assert self._wake is not None  # noqa: S101 - it is made just before the thread
        while not self._is_closed:
            self._wake.wait()
            self._wake.clear()
            try:
                self.flush()
            except OSError:
                # The next one who writes is told.
                return

    def interrupt(self) -> None:
        """Have who reads a socket in another thread see its end."""
        with suppress(OSError):
            self.flush()
        if S_ISSOCK(os.fstat(self._reading).st_mode):
            import socket

            with socket.socket(fileno=os.dup(self._reading)) as connection, suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Write what has gathered, and close."""
        if self._is_closed:
            return
        self._is_closed = True
        # Who is closed to may have gone already.
        with suppress(OSError):
            self.flush()
        self._broken = BrokenPipeError("it is closed")
        if self._wake is not None:
            self._wake.set()
        with self._turn:
            for descriptor in {self._reading, self._writing}:
                os.close(descriptor)
