"""ZeroMQ with CURVE, through pyzmq. The listening side checks the client's key, so authentication is mutual.

    with_pyzmq.py --keys FOLDER      makes the keys of both sides, as `peerbench zmq keys` does
"""

import sys
from pathlib import Path

import parts
import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils import z85

# The sockets of the parts: of one to one, and of one to many.
SOCKETS = {
    ("send", False): zmq.PUSH,
    ("drip", False): zmq.PUSH,
    ("recv", False): zmq.PULL,
    ("watch", False): zmq.PULL,
    ("send", True): zmq.XPUB,
    ("recv", True): zmq.SUB,
    ("ping", False): zmq.REQ,
    ("echo", False): zmq.REP,
}


def write_keys(folder):
    """Makes a file for each side: its public key, and behind it the private one."""
    for who in ("a", "b"):
        (folder / f"{who}.curve").write_bytes(b"".join(z85.decode(key) for key in zmq.curve_keypair()))


def keys(chosen, who):
    """The public and the private key of a side, as the library takes them."""
    both = (chosen.certs / f"{who}.curve").read_bytes()
    return z85.encode(both[:32]), z85.encode(both[32:])


class Allowed:
    """Says whether a client's public key may connect."""

    def __init__(self, key):
        self.key = key

    def callback(self, _domain, key):
        """What the authenticator asks."""
        return key == self.key


class Pyzmq(parts.Peer):
    def __init__(self, chosen):
        self.context = context = zmq.Context()
        many = chosen.fanout > 1
        self.socket = socket = context.socket(SOCKETS[chosen.role, many])
        socket.sndhwm = socket.rcvhwm = 10_000
        socket.curve_publickey, socket.curve_secretkey = keys(chosen, chosen.identity)
        if chosen.listens:
            self.authenticator = ThreadAuthenticator(context)
            self.authenticator.start()
            self.authenticator.configure_curve_callback("*", Allowed(keys(chosen, "b")[0]))
            socket.curve_server = True
            if many:
                # A publisher that is too fast for a subscriber waits instead of dropping, and it hears of every subscriber.
                socket.xpub_nodrop = socket.xpub_verbose = True
            socket.bind(f"tcp://{chosen.addr}")
            parts.say("LISTENING")
            if many:
                for _ in range(chosen.fanout):
                    socket.recv()
        else:
            socket.curve_serverkey = keys(chosen, "a")[0]
            if many:
                socket.subscribe(b"")
            socket.connect(f"tcp://{chosen.addr}")
        self.send, self.receive = socket.send, socket.recv


if __name__ == "__main__":
    if sys.argv[1:2] == ["--keys"]:
        write_keys(Path(sys.argv[2]))
    else:
        chosen = parts.options()
        parts.play(chosen, Pyzmq(chosen))
