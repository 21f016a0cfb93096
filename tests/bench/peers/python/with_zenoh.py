"""zenoh between two sessions in peer mode, over TLS with mutual authentication, no router: through eclipse-zenoh."""

import json
import threading
import time

import parts
import zenoh


def config(chosen):
    """As that of the client in Rust."""
    made = zenoh.Config()
    own, far = ("listen", "connect") if chosen.listens else ("connect", "listen")
    file = {name: str(chosen.certs / name) for name in ("ca.crt", f"{chosen.identity}.crt", f"{chosen.identity}.key")}
    certificate, key = file[f"{chosen.identity}.crt"], file[f"{chosen.identity}.key"]
    settings = {
        "mode": "peer",
        f"{own}/endpoints": [f"tls/{chosen.addr}"],
        f"{far}/endpoints": [],
        "scouting/multicast/enabled": False,
        "scouting/gossip/enabled": False,
        # It would bypass the encryption.
        "transport/shared_memory/enabled": False,
        "transport/link/tls": {
            "root_ca_certificate": file["ca.crt"],
            "enable_mtls": True,
            "listen_certificate": certificate,
            "listen_private_key": key,
            "connect_certificate": certificate,
            "connect_private_key": key,
        },
    }
    for name, value in settings.items():
        made.insert_json5(name, json.dumps(value))
    return made


class Zenoh(parts.Peer):
    def __init__(self, chosen):
        self.subject = chosen.listens_on
        self.session = session = zenoh.open(config(chosen))
        if chosen.listens:
            parts.say("LISTENING")
        if chosen.publishes:
            self.publisher = publisher = session.declare_publisher(
                chosen.publishes,
                congestion_control=zenoh.CongestionControl.BLOCK,
                # Not to wait to fill a batch.
                express=chosen.role in ("ping", "echo", "drip"),
            )
            self.send = publisher.put
        if chosen.role == "ping":
            # Only the asker takes its answers from a queue.
            self.answers = session.declare_subscriber(self.subject)
        if chosen.role in ("send", "ping"):
            while len(session.info.peers_zid()) < chosen.fanout or not publisher.matching_status.matching:
                time.sleep(0.01)
            time.sleep(0.3)  # And the other subscriptions: it does not say of how many it knows.

    def receive(self):
        return self.answers.recv().payload.to_bytes()

    def drain(self, take):
        self.subscriber = self.session.declare_subscriber(self.subject, lambda sample: take(sample.payload.to_bytes()))
        threading.Event().wait()


if __name__ == "__main__":
    chosen = parts.options()
    parts.play(chosen, Zenoh(chosen))
