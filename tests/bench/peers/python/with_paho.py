"""Mosquitto over TLS, through paho-mqtt: QoS 0, or (--qos1) QoS 1."""

import collections
import os
import queue
import socket
import threading

import parts
from paho.mqtt import client as mqtt

# Messages that may wait in the client, where there is no limit; and how often it is looked at.
MOST_WAITING, LOOKED_AT = 10_000, 1000


class Paho(parts.Peer):
    def __init__(self, chosen):
        self.topic, self.qos = chosen.publishes, int(chosen.qos1)
        self.came = queue.SimpleQueue()
        self.take = self.came.put
        self.waiting, self.sent = collections.deque(), 0
        ready = threading.Event()
        self.client = client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=f"{chosen.role}-{os.getpid()}", protocol=mqtt.MQTTv311
        )
        client.tls_set(
            ca_certs=chosen.certs / "ca.crt",
            certfile=chosen.certs / f"{chosen.identity}.crt",
            keyfile=chosen.certs / f"{chosen.identity}.key",
        )
        client.max_queued_messages_set(0)  # No limit.
        client.max_inflight_messages_set(1000)  # QoS 1 publishes without an acknowledgement; the default is 20.
        # The library leaves this to its user.
        client.on_socket_open = lambda _client, _data, it: it.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.on_message = lambda _client, _data, message: self.take(message.payload)

        def connected(_client, _data, _flags, _reason, _properties):
            # A new session after a lost connection knows nothing of the old one's subscriptions.
            if chosen.listens_on:
                client.subscribe(chosen.listens_on, self.qos)
            else:
                ready.set()

        client.on_connect = connected
        client.on_subscribe = lambda *_: ready.set()
        client.connect(chosen.host, chosen.port)
        client.loop_start()
        ready.wait()

    def send(self, payload):
        self.client.publish(self.topic, payload, self.qos)

    def flood(self, payload):
        """As `send`, but no more than so many wait."""
        info = self.client.publish(self.topic, payload, self.qos)
        self.sent += 1
        if self.sent % LOOKED_AT == 0:
            self.waiting.append(info)
            if len(self.waiting) > MOST_WAITING // LOOKED_AT:
                self.waiting.popleft().wait_for_publish()
        self.last = info

    def finish(self):
        self.last.wait_for_publish()

    def receive(self):
        return self.came.get()

    def drain(self, take):
        self.take = take
        while not self.came.empty():
            take(self.came.get())
        threading.Event().wait()


if __name__ == "__main__":
    chosen = parts.options("qos1")
    peer = Paho(chosen)
    if chosen.role == "send":
        peer.send = peer.flood
    parts.play(chosen, peer)
