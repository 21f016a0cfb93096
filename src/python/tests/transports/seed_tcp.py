"""A simple TCP socket transport, to the text of the README of 2014."""

import socket

from kozo import AuthenticatedTransport


class MyTransport(AuthenticatedTransport):
    def init(self):
        AuthenticatedTransport.init(self)
        address = self["address"]
        if not isinstance(address, (list, tuple)):
            address = [part.strip() for part in str(address).split(",")]
        self._addresses = list(address)

    def bind(self):
        AuthenticatedTransport.bind(self)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("", self["port"]))
        self._socket.listen(128)

    def getPriority(self):
        return AuthenticatedTransport.Priority_GOOD

    def canAccept(self):
        return True

    def acceptUnauthenticatedConnection(self):
        connection, _address = self._socket.accept()
        return connection

    def getUnauthenticatedConnectAddresses(self, otherTransport):
        return otherTransport._addresses

    def getUnauthenticatedSocket(self, otherTransport, addressIndex, address):
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.settimeout(10)
        try:
            connection.connect((address, otherTransport["port"]))
        except OSError:
            connection.close()
            return None
        connection.settimeout(None)
        return connection


transportInfo = {
    "format": "1.0",
    "class": MyTransport,
    "author": "John Smith",
    "version": "1.0",
    "description": "A simple TCP socket transport.",
    "config": {
        "port": {"default": 9001, "description": "TCP port to bind to."},
        "address": {"description": "An address or a list of addresses that the node can be reached from."},
    },
}
