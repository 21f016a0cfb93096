"""Bytes to and from a Node, over two file descriptors.

A write is done at once by who writes, unless another one was just before it: then it waits in memory for the next of a
handful of occasions (the reader is about to wait, much has gathered, a thread that does nothing else gets its turn, the
program ends), so that a flood of Messages takes few calls of the system and a lone one is not late.
"""

from __future__ import annotations

import atexit
import os
import select
import threading
from contextlib import suppress
from stat import S_ISSOCK
from time import monotonic

#: Bytes that are read at once. What the standard library makes of twice as many is so much that the C library gives its memory
#: back to the system each time, and gets it again page by page.
READ = 32 * 1024
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
        self._gathered: list[bytes] = []
        # About how many bytes have gathered: threads that add to it at once may lose one of the sums.
        self._size = 0
        # Whether a thread is about to take what has gathered. Who adds looks at it afterwards, and who takes clears it before,
        # so nothing is left behind. A lock in its place would more than double the time that a write in a flood takes.
        self._is_seen_to = False
        self._last = -1.0
        self._wake = threading.Event()
        self._making_writer = threading.Lock()
        self._has_writer = False
        self._broken: OSError | None = None
        self._is_closed = False

    def read(self, timeout: float | None = None) -> bytes | None:
        """Wait for bytes. None if none came within so many seconds, nothing once the other side has closed."""
        # What the other side has said before it stopped reading is still to be read; the next one who writes is told.
        with suppress(OSError):
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
        self._gathered.append(data)
        self._size += len(data)
        if self._size < GATHERED:
            if self._is_seen_to:
                return
            self._is_seen_to = True
            now = monotonic()
            is_flood = now - self._last < FLOOD
            self._last = now
            if is_flood:
                self._wake_writer()
                return
        self.flush()

    def flush(self) -> None:
        """Write what has gathered.

        Raises:
            OSError: The other side reads no more.
        """
        self._is_seen_to = False
        if self._gathered:
            with self._turn:
                self._write_gathered()

    def hand_over(self, data: bytes, descriptor: int) -> None:
        """Write whole lines now, over a Unix socket, and a descriptor with them.

        Raises:
            OSError: The other side reads no more, or has too many descriptors to take yet.
        """
        import socket

        with self._turn:
            self._write_gathered()
            with socket.socket(fileno=os.dup(self._writing)) as connection:
                sent = socket.send_fds(connection, [data], [descriptor])
                connection.sendall(data[sent:])

    def _write_gathered(self) -> None:
        if self._broken is not None:
            # Behind `close` the number of the descriptor may be that of another file.
            raise self._broken
        data = b""
        counts: list[int] = []
        try:
            # What other threads add meanwhile stays.
            taken = self._gathered[:]
            count = len(taken)
            # Between these two the interpreter calls no handlers of signals, as nothing is called.
            data = b"".join(taken)
            del self._gathered[:count]
            self._size = 0
            while (written := sum(counts)) < len(data):
                # `extend` takes the count before the interpreter calls handlers of signals, which may raise.
                counts.extend(map(os.write, (self._writing,), (memoryview(data)[written:],)))
        except OSError as error:
            self._broken = error
            raise
        except BaseException:
            self._put_back(data[sum(counts) :])
            raise

    def _put_back(self, rest: bytes) -> None:
        """Have the rest of what a signal has interrupted written later: half a line would end the conversation."""
        if rest:
            self._gathered.insert(0, rest)
            self._wake_writer()

    def _wake_writer(self) -> None:
        if not self._has_writer:
            with self._making_writer:
                if not self._has_writer:
                    threading.Thread(target=self._write_when_woken, name="kozo-writer", daemon=True).start()
                    self._has_writer = True
                    atexit.register(self._flush_at_exit, os.getpid())
        self._wake.set()

    def _write_when_woken(self) -> None:
        while not self._is_closed:
            self._wake.wait()
            self._wake.clear()
            try:
                self.flush()
            except OSError:
                # The next one who writes is told.
                return

    def _flush_at_exit(self, process: int) -> None:
        # A fork has a copy of what this process writes.
        if os.getpid() == process:
            with suppress(OSError):
                self.flush()

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
        with self._turn:
            if self._is_closed:
                return
            self._is_closed = True
            try:
                # The other side may have gone already.
                with suppress(OSError):
                    self._write_gathered()
            finally:
                self._broken = BrokenPipeError("it is closed")
                for descriptor in {self._reading, self._writing}:
                    os.close(descriptor)
        atexit.unregister(self._flush_at_exit)
        self._wake.set()
