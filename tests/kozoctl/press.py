"""Presses keys in a shell that has a terminal: press.py SHELL [LINE...] -- [KEYS WANTED]...

LINEs set the shell up; the last one makes it prompt with "ready", without having that word in it, as the terminal
shows it too. Then KEYS are pressed until WANTED is on the line, which is cleared for the next. Says what did not come.
"""

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time

DEADLINE = 60

shell, *rest = sys.argv[1:]
setup, pressed = rest[: rest.index("--")], rest[rest.index("--") + 1 :]
child, terminal = pty.fork()
if child == 0:
    os.environ["TERM"] = "dumb"
    os.environ["HOME"] = os.getcwd()
    os.execvp("sh", ["sh", "-c", f"exec {shell}"])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))


def until(wanted, why):
    seen, end = "", time.monotonic() + DEADLINE
    while wanted not in seen:
        if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
            sys.exit(f"{why}: {wanted!r} did not come, but {seen!r}")
        try:
            seen += os.read(terminal, 4096).decode(errors="replace")
        except OSError:
            sys.exit(f"{why}: the shell ended after {seen!r}")


for line in setup:
    os.write(terminal, f"{line}\n".encode())
until("ready", shell)
for keys, wanted in zip(pressed[::2], pressed[1::2], strict=True):
    os.write(terminal, f"{keys}\t".encode())
    until(wanted, keys)
    # Ctrl-U.
    os.write(terminal, b"\x15")
os.close(terminal)
os.waitpid(child, 0)
