"""What the clients in Python share: the command line, the parts that they play, and how what came is counted.

A program of this folder is one process of one run, as `peerbench` is one in Rust, and says the same on standard
output (see ../README.md). It makes a `Peer` of its system and hands it to `play`.
"""

import argparse
import json
import os
import sys
import threading
import time
from pathlib import Path

now = time.monotonic_ns
number_of = int.from_bytes

# What a part publishes to, and what it listens on.
SUBJECTS = {
    "send": ("data", None),
    "drip": ("data", None),
    "recv": (None, "data"),
    "watch": (None, "data"),
    "ping": ("ping", "pong"),
    "echo": ("pong", "ping"),
}

# Round trips before those that count.
WARM_UP = 2000

# Pauses between two messages that are worth a line, in nanoseconds.
PAUSE = 3_000_000


def options(*more):
    """The command line; `more` are names of switches that only one system has."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=SUBJECTS)
    parser.add_argument("--addr", required=True, metavar="HOST:PORT")
    parser.add_argument("--certs", required=True, type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--fanout", type=int, default=1)
    for name in more:
        parser.add_argument(f"--{name}", action="store_true")
    chosen = parser.parse_args()
    chosen.host, _, port = chosen.addr.rpartition(":")
    chosen.port = int(port)
    chosen.publishes, chosen.listens_on = SUBJECTS[chosen.role]
    # Where there is no broker: the receiving side, or the publisher of many.
    chosen.listens = (chosen.role in ("recv", "echo", "watch")) == (chosen.fanout == 1)
    # A certificate per side, both signed by the same authority.
    chosen.identity = "a" if chosen.listens else "b"
    return chosen


def say(line):
    """Tells the process that has started this one."""
    print(line, flush=True)


def linger():
    """Stays, connection and all, until standard input closes."""
    sys.stdin.read()
    os._exit(0)


def end_with_input():
    """Has the process end when standard input closes: for parts that never finish by themselves."""
    threading.Thread(target=linger, daemon=True).start()


def payload_maker(size):
    """A function that makes the payload of a number: eight bytes of it, little-endian, and zeros."""
    rest = bytes(size - 8)
    return lambda number: number.to_bytes(8, "little") + rest


class Tally:
    """What a receiver has seen of a flood."""

    def __init__(self, size, expected):
        self.size, self.expected = size, expected
        self.received = self.next = self.out_of_order = self.wrong_size = 0
        self.first_ns = self.last_ns = 0

    def take(self, payload):
        """Counts a message."""
        if len(payload) != self.size:
            self.wrong_size += 1
            return
        number = number_of(payload[:8], "little")
        if number < self.next:
            self.out_of_order += 1
        self.next = number = number + 1
        received = self.received + 1
        if received == 1:
            self.first_ns = now()
        # The clock is read for one message in sixteen and for the last.
        if not received & 15 or number == self.expected or received == self.expected:
            self.last_ns = now()
        self.received = received

    def report_when_done(self):
        """Says what came, from another thread, when all has or nothing more has for three seconds; then lingers."""
        threading.Thread(target=self._report, daemon=True).start()

    def _report(self):
        before = idle = 0
        while before < self.expected and (before == 0 or idle < 150):
            time.sleep(0.02)
            idle = idle + 1 if self.received == before else 0
            before = self.received
        say(
            json.dumps(
                {
                    "received": before,
                    "expected": self.expected,
                    "lost": max(0, self.expected - before),
                    "out_of_order": self.out_of_order,
                    "wrong_size": self.wrong_size,
                    "first_ns": self.first_ns,
                    "last_ns": self.last_ns,
                }
            )
        )
        linger()


class Watch:
    """Says when the first message came, and where there was a pause."""

    def __init__(self):
        self.last = 0

    def take(self, _payload):
        """Looks at the clock for a message."""
        came = now()
        if not self.last:
            say(f"FIRST {came}")
        elif came - self.last > PAUSE:
            say(f"GAP {self.last} {came}")
        self.last = came


def report_sent(count, start):
    """Says what a flood has sent since `start`."""
    say(json.dumps({"sent": count, "start_ns": start, "end_ns": now()}))


def report_round_trips(times):
    """Says what round trips, in nanoseconds, come to: those behind the warm-up."""
    times = sorted(times[WARM_UP:])

    def at(thousandths):
        return times[((len(times) - 1) * thousandths + 500) // 1000] / 1000

    quantiles = {"p50": 500, "p99": 990, "p999": 999, "min": 0, "max": 1000}
    say(json.dumps({"rounds": len(times), **{f"rtt_{name}_us": at(place) for name, place in quantiles.items()}}))


def check_answer(asked, answer):
    """Ends the process if that is not what was asked."""
    if answer != asked:
        sys.exit("wrong answer")


class Peer:
    """One process's end of a messaging system; each has those of these that its parts need."""

    def send(self, payload):
        """Publishes a message. It may wait in buffers of this process."""
        raise NotImplementedError

    def finish(self):
        """Lets go of all that waits in them."""

    def receive(self):
        """The next message."""
        raise NotImplementedError

    def drain(self, take):
        """Hands every message to `take`, for ever, across reconnections."""
        while True:
            take(self.receive())

    def echo(self):
        """Sends every message back."""
        self.drain(self.send)


def play(chosen, peer):
    """Plays the part of the command line."""
    say("READY")
    PLAYED[chosen.role](chosen, peer)


def _recv(chosen, peer):
    tally = Tally(chosen.size, chosen.count)
    tally.report_when_done()
    peer.drain(tally.take)


def _send(chosen, peer):
    sys.stdin.readline()
    payload, send, start = payload_maker(chosen.size), peer.send, now()
    for number in range(chosen.count):
        send(payload(number))
    peer.finish()
    report_sent(chosen.count, start)
    linger()


def _echo(_, peer):
    end_with_input()
    peer.echo()


def _ping(chosen, peer):
    sys.stdin.readline()
    payload, times = payload_maker(chosen.size), []
    for number in range(WARM_UP + chosen.count):
        asked = payload(number)
        start = now()
        peer.send(asked)
        answer = peer.receive()
        times.append(now() - start)
        check_answer(asked, answer)
    report_round_trips(times)
    linger()


def _drip(chosen, peer):
    end_with_input()
    payload, number = payload_maker(chosen.size), 0
    while True:
        peer.send(payload(number))
        number += 1
        time.sleep(0.001)


def _watch(_, peer):
    end_with_input()
    peer.drain(Watch().take)


PLAYED = {"recv": _recv, "send": _send, "echo": _echo, "ping": _ping, "drip": _drip, "watch": _watch}
