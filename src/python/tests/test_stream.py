"""Bytes over real sockets, in the order and at the moments at which they go wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import kozo
from kozo.stream import Stream

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterator
    from types import FrameType


@pytest.fixture
def pair() -> Iterator[tuple[Stream, socket.socket]]:
    """A stream, and the other end of its connection."""
    ours, theirs = socket.socketpair()
    descriptor = ours.detach()
    stream = Stream(descriptor, descriptor)
    theirs.settimeout(10)
    with theirs:
        yield stream, theirs
        stream.close()


class Bytes(bytes):
    """Bytes that do something when their length is asked for: a second thread may have its turn just then."""

    meanwhile: Callable[[], object] | None = None

    def __len__(self) -> int:
        """Do it, once."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()
        return super().__len__()


def read_all(connection: socket.socket, size: int) -> bytes:
    """Read so many bytes."""
    found = b""
    while len(found) < size:
        found += connection.recv(1 << 20)
    return found


def in_a_thread(call: Callable[[], object]) -> None:
    """Call something in another thread, and wait until it is done."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_a_script_that_does_not_close_loses_nothing(clock: Any) -> None:
    script = "import kozo\nnode = kozo.attach()\nfor number in range(5): node.send('event', 'number', number)\n"
    with kozo.attach() as node, node.receive("event", "number") as numbers:
        subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
        assert [getattr(numbers.get(5), "data", None) for _ in range(5)] == list(range(5))


def test_threads_do_not_leave_the_writing_to_each_other(pair: tuple[Stream, socket.socket]) -> None:
    stream, theirs = pair
    first = Bytes(b"first\n")
    first.meanwhile = lambda: in_a_thread(lambda: stream.write(b"second\n"))
    stream.write(first)
    assert read_all(theirs, 13) == b"first\nsecond\n"


def test_a_write_that_comes_late_does_not_hit_another_file(
    pair: tuple[Stream, socket.socket], tmp_path: pathlib.Path
) -> None:
    stream, _ = pair
    opened: list[int] = []
    told: list[BaseException] = []

    def close_inside(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code is not Stream.write.__code__:
            return None
        # Behind the look whether it is closed.
        if event == "line" and frame.f_lineno > frame.f_code.co_firstlineno + 7 and not opened:
            opened.append(-1)
            stream.close()
            opened[0] = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
        return close_inside

    def write() -> None:
        sys.settrace(close_inside)
        try:
            stream.write(b"a line\n")
        except OSError as error:
            told.append(error)
        finally:
            sys.settrace(None)

    descriptor = stream._writing
    in_a_thread(write)
    assert opened == [descriptor]
    os.close(descriptor)
    assert (tmp_path / "other").read_bytes() == b""
    assert [str(error) for error in told] == ["it is closed"]


def test_what_was_said_before_it_stopped_reading_is_read(pair: tuple[Stream, socket.socket]) -> None:
    stream, theirs = pair
    theirs.sendall(b"farewell\n")
    theirs.shutdown(socket.SHUT_RD)
    # As if it had come in a flood.
    stream._gathered.append(b"a line\n")
    assert stream.read() == b"farewell\n"
    with pytest.raises(BrokenPipeError):
        stream.write(b"another\n")


def test_a_signal_leaves_no_half_a_line(pair: tuple[Stream, socket.socket]) -> None:
    stream, theirs = pair

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    line = b"x" * (4 << 20) + b"\n"
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            # More than the socket takes.
            stream.write(line)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    # What is left of it is written, whether something else is or not.
    assert read_all(theirs, len(line)) == line
    stream.write(b"another\n")
    assert read_all(theirs, 8) == b"another\n"


def writers() -> int:
    """Count the threads that write, of all streams."""
    return [thread.name for thread in threading.enumerate()].count("kozo-writer")


def test_two_threads_wake_one_writer(pair: tuple[Stream, socket.socket]) -> None:
    stream, theirs = pair
    count, threads = 300, 8
    begin = threading.Barrier(threads)
    before = writers()

    def flood() -> None:
        begin.wait(10)
        for _ in range(count):
            stream.write(b"a line\n")

    running = [threading.Thread(target=flood) for _ in range(threads)]
    for thread in running:
        thread.start()
    assert read_all(theirs, 7 * count * threads) == b"a line\n" * (count * threads)
    for thread in running:
        thread.join(10)
    assert writers() <= before + 1
    stream.close()
    deadline = time.monotonic() + 10
    while writers() > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
