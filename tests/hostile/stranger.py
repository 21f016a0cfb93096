"""A stranger made of bytes: speaks SSH as far as it costs him nothing, and makes the other side compute."""

import collections
import contextlib
import itertools
import multiprocessing
import os
import socket
import struct
import time

BANNER = b"SSH-2.0-stranger\r\n"

KEXINIT, KEX_ECDH_INIT = 20, 30

# What is asked of a Node, and how the cheapest question of it begins: 32 bytes are a point of Curve25519, and
# 1184 zero bytes a key of ML-KEM.
EXCHANGES = {
    "curve25519-sha256": lambda: os.urandom(32),
    "mlkem768x25519-sha256": lambda: bytes(1184) + os.urandom(32),
}


def string(value):
    """A string as SSH has it."""
    return struct.pack(">I", len(value)) + value


def packet(payload):
    """A packet that is not encrypted."""
    padding = 8 - (5 + len(payload)) % 8
    padding += 8 if padding < 4 else 0
    return struct.pack(">IB", 1 + len(payload) + padding, padding) + payload + bytes(padding)


def kexinit(exchange, host_key):
    """An offer of just that."""
    names = [exchange, host_key, *["aes256-gcm@openssh.com"] * 2, *["hmac-sha2-256-etm@openssh.com"] * 2]
    lists = b"".join(string(name.encode()) for name in [*names, "none", "none", "", ""])
    return packet(bytes([KEXINIT]) + os.urandom(16) + lists + bytes(5))


def question(exchange, host_key):
    """All that a stranger has to say to get a whole key exchange computed and signed."""
    init = bytes([KEX_ECDH_INIT]) + string(EXCHANGES[exchange]())
    return BANNER + kexinit(exchange, host_key) + packet(init)


def answer(connection):
    """Reads until the other side has computed it, or closes: gives the number of bytes that came."""
    came = b""
    try:
        while more := connection.recv(65536):
            came += more
            if finished(came):
                break
    except OSError:
        pass
    return came


def finished(came):
    """Whether what came has a key exchange's reply in it."""
    _, _, rest = came.partition(b"\n")
    while len(rest) >= 6:
        length = struct.unpack(">I", rest[:4])[0]
        if rest[5] == KEX_ECDH_INIT + 1 and len(rest) >= 4 + length:
            return True
        rest = rest[4 + length :]
    return False


def flood(address, port, rate, sources, said):
    """Opens so many connections a second, from each of these addresses in turn, says this on each and reads
    nothing; keeps the last thousand. For ever."""
    opened = collections.deque(maxlen=1000)
    begun = time.monotonic()
    for number in itertools.count():
        if (ahead := begun + number / rate - time.monotonic()) > 0:
            time.sleep(ahead)
        connection = socket.socket()
        connection.setblocking(False)
        try:
            connection.bind((sources[number % len(sources)], 0))
            with contextlib.suppress(BlockingIOError):
                connection.connect((address, port))
            # On loopback it is there at once, or not at all.
            connection.send(said)
        except OSError:
            connection.close()
        else:
            opened.append(connection)


class Flood:
    """Such a flood, in a process of its own, until the end of the block."""

    def __init__(self, node, rate, sources, said):
        arguments = (node.address, node.port, rate, sources, said)
        self.process = multiprocessing.get_context("spawn").Process(target=flood, args=arguments, daemon=True)

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.join()
