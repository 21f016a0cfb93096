"""Transports to the text of 2014, over which Nodes that run have links."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import socket
from typing import Any

from kit import until

import kozo

HERE = pathlib.Path(__file__).parent / "transports"


def free_port() -> int:
    """Give a port that is free at all addresses."""
    with socket.create_server(("", 0)) as free:
        number: int = free.getsockname()[1]
        return number


def start_pair(system: Any, type_name: str, text: str | None = None) -> tuple[Any, Any]:
    """Start two Nodes that have no other Transport than one of this type, named `air`."""
    folder = system.folder / "transports"
    folder.mkdir()
    (folder / f"{type_name}.py").write_text(text or (HERE / f"{type_name}.py").read_text())
    system.options += f"transportPath: {folder}\n"
    for name in ("clock", "scribe"):
        system.node(name)
    system.write()
    text, count = re.subn(
        r"tcp: \{address: (\S+), .*\}",
        lambda found: f"air: {{type: {type_name}, address: {found[1]}, port: {free_port()}}}",
        system.config.read_text(),
    )
    assert count == 2
    system.config.write_text(text)
    return system.start("clock"), system.start("scribe")


def exchange(system: Any) -> None:
    """Send a Message each way."""
    names = ("clock", "scribe")
    places = [str(system.folder / "run/kozo" / name) for name in names]
    with kozo.attach(places[0]) as clock, kozo.attach(places[1]) as scribe:
        for here, there in ((clock, scribe), (scribe, clock)):
            with there.receive("event", "hello") as hellos:
                # Until the other Node knows that it is wanted.
                until("it is wanted", lambda here=here: here.send("event", "hello", bytes(100_000), confirm=True).peers)
                hello = hellos.get(30)
                assert hello is not None
                assert hello.data == bytes(100_000)


def kill(node: Any) -> None:
    """Kill the program that is the Transport of a Node, and wait until it runs again."""
    process = transport(node)["process"]
    os.kill(process, signal.SIGKILL)
    until("it runs again", lambda: transport(node)["process"] not in (None, process))


def transport(node: Any) -> Any:
    """Give what a Node says of its Transport."""
    (found,) = node.kozoctl("status")["transports"]
    return found


def test_a_link_outlives_a_program_that_hands_it_over(system: Any) -> None:
    clock, scribe = start_pair(system, "seed_tcp")
    clock.wait_for_peer("scribe")
    exchange(system)
    for node in (clock, scribe):
        kill(node)
    exchange(system)
    assert clock.peer("scribe")["sessions"] == 1


def test_a_link_of_a_transport_that_authenticates(system: Any) -> None:
    clock, scribe = start_pair(system, "bare")
    clock.wait_for_peer("scribe")
    exchange(system)
    # The bytes pass through it, so this ends the link, and begins another.
    kill(clock)
    until("it has noticed", lambda: clock.peer("scribe")["sessions"] > 1)
    clock.wait_for_peer("scribe")
    scribe.wait_for_peer("clock")
    exchange(system)


def test_what_it_raises_is_in_the_journal(system: Any) -> None:
    clock, _ = start_pair(system, "seed_tcp")
    file = system.folder / "transports/seed_tcp.py"
    text = file.read_text()
    line = text[: text.index("connection.settimeout(10)")].count("\n") + 1
    scribe = system.nodes["scribe"]
    scribe.stop()
    clock.stop()
    file.write_text(text.replace("connection.settimeout(10)", "connection.missing()"))
    clock.start()
    said = (
        f"seed_tcp.py:{line}: AttributeError: 'socket' object has no attribute 'missing' (in getUnauthenticatedSocket"
    )
    clock.log.wait_for(said, "air")
    # It goes on, and the other one can connect to it.
    file.write_text(text)
    scribe.start()
    scribe.wait_for_peer("clock")
    assert transport(clock)["restarts"] == 0
