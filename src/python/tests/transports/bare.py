"""A Transport that authenticates and encrypts by itself, for tests: do not use it for anything else.

Both sides make up a number for a key exchange (Diffie and Hellman's, in the group 14 of RFC 3526), and sign both numbers and
both names with the keys of their Nodes, each in its own part. The key of each direction is a hash of what they agree on. A
record is its length, its bytes combined (XOR) with SHAKE256 of the key and the number of the record, and an HMAC of all that.
It is what the standard library of Python has, put together for a test: nobody has reviewed it.
"""

import hashlib
import hmac
import json
import secrets
import select
import socket
import struct
import time
from contextlib import suppress

from kozo import Channel, KozoError, Transport, kozoSystem

PRIME = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F"
    "83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B"
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510"
    "15728E5A8AACAA68FFFFFFFFFFFFFFFF",
    16,
)
RECORD = 16 * 1024
TAG = 32
LINE = 16 * 1024
# Seconds in which each side has said who it is, or leaves its place to others.
PATIENCE = 10


class Cipher:
    """One direction."""

    def __init__(self, key):
        self.key, self.number = key, 0

    def _combine(self, data):
        stream = hashlib.shake_256(b"stream" + self.key + struct.pack(">Q", self.number)).digest(len(data))
        return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")

    def _tag(self, data):
        return hmac.digest(self.key, b"tag" + struct.pack(">Q", self.number) + data, "sha256")

    def seal(self, data):
        data = self._combine(data)
        record = struct.pack(">I", len(data)) + data + self._tag(data)
        self.number += 1
        return record

    def open(self, data, tag):
        if not hmac.compare_digest(tag, self._tag(data)):
            raise ValueError("a record that was not made by the other side")
        data = self._combine(data)
        self.number += 1
        return data


class BareChannel(Channel):
    def __init__(self, fromNode, toNode, connection, sealing, opening):
        Channel.__init__(self, fromNode, toNode)
        self._socket, self._sealing, self._opening = connection, sealing, opening
        self._came, self._plain = bytearray(), bytearray()

    def getpeername(self):
        return self._socket.getpeername()

    def send(self, bytes):
        part = bytes[:RECORD]
        try:
            self._socket.sendall(self._sealing.seal(part))
        except OSError:
            return None
        return len(part)

    def receive(self, bytes, timeout):
        deadline = time.monotonic() + timeout
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while not self._plain:
            left = max(0, deadline - time.monotonic())
            if not poll.poll(left * 1000):
                return None
            try:
                came = self._socket.recv(65536)
                if not came:
                    return None
                self._came += came
                self._open_records()
            except (OSError, ValueError):
                return None
        taken = self._plain[:bytes]
        del self._plain[:bytes]
        return b"" + taken

    def _open_records(self):
        while len(self._came) >= 4:
            (length,) = struct.unpack(">I", self._came[:4])
            if not 0 < length <= RECORD:
                raise ValueError("no record is that long")
            end = 4 + length + TAG
            if len(self._came) < end:
                return
            self._plain += self._opening.open(self._came[4 : 4 + length], self._came[4 + length : end])
            del self._came[:end]

    def close(self):
        with suppress(OSError):
            # Wakes a thread that sends.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Bare(Transport):
    def bind(self):
        Transport.bind(self)
        self._socket = socket.create_server(("", self["port"]))

    def getPriority(self):
        return Transport.Priority_BAD

    def accept(self):
        connection, _address = self._socket.accept()
        return self._meet(connection, None)

    def connect(self, otherTransport):
        address = otherTransport["address"], otherTransport["port"]
        try:
            connection = socket.create_connection(address, timeout=PATIENCE)
        except OSError:
            return None
        return self._meet(connection, otherTransport.getNode())

    def _meet(self, connection, expected):
        """Say who each of the two is; `expected` is whom this one has connected to."""
        try:
            channel = self._introduce(connection, expected, time.monotonic() + PATIENCE)
            connection.settimeout(None)
            return channel
        except (OSError, ValueError, KeyError, TypeError, KozoError) as error:
            self.warn("no Peer:", error)
            connection.close()
            return None

    def _introduce(self, connection, expected, deadline):
        secret = secrets.randbits(256)
        own = {"node": self.getNode().getName(), "share": pow(2, secret, PRIME)}
        say(connection, deadline, own)
        other = hear(connection, deadline)
        node = kozoSystem().getNodeByName(other["node"])
        if node is None or node.isSelf() or (expected is not None and node is not expected):
            raise ValueError("it says it is %r" % other["node"])
        if not 1 < other["share"] < PRIME - 1:
            raise ValueError("its share is not in the group")
        client, server = (own, other) if expected is not None else (other, own)
        names = [[said["node"], said["share"]] for said in (client, server)]
        agreed = json.dumps(names).encode()
        # Who has connected proves who it is first.
        if expected is not None:
            say(connection, deadline, self.sign(b"client" + agreed))
            self._check(node, b"server" + agreed, hear(connection, deadline))
        else:
            self._check(node, b"client" + agreed, hear(connection, deadline))
            say(connection, deadline, self.sign(b"server" + agreed))
        shared = pow(other["share"], secret, PRIME).to_bytes(256, "big")
        to_server, to_client = (
            Cipher(hashlib.sha256(part + shared + agreed).digest()) for part in (b"to server", b"to client")
        )
        if expected is not None:
            return BareChannel(self.getNode(), node, connection, to_server, to_client)
        return BareChannel(node, self.getNode(), connection, to_client, to_server)

    def _check(self, node, data, signature):
        if not self.verify(node, data, signature):
            raise ValueError("this is not the signature of %s" % node)


def say(connection, deadline, value):
    limit(connection, deadline)
    connection.sendall(json.dumps(value).encode() + b"\n")


def hear(connection, deadline):
    # Byte by byte: what comes behind the last line is for the Channel.
    line = bytearray()
    while not line.endswith(b"\n"):
        limit(connection, deadline)
        byte = connection.recv(1)
        if not byte or len(line) == LINE:
            raise ValueError("it says nothing")
        line += byte
    return json.loads(line)


def limit(connection, deadline):
    """Have it wait no longer than until then: one who sends a byte now and then would wait for ever."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it takes too long to say who it is")
    connection.settimeout(left)


transportInfo = {
    "format": "1.0",
    "class": Bare,
    "author": "The authors of Kōzō",
    "version": "1.0",
    "description": "TCP with an authentication and an encryption of its own: for tests alone.",
    "config": {
        "port": {"default": 9002, "description": "TCP port to bind to."},
        "address": {"description": "The address that the node can be reached from."},
    },
}
