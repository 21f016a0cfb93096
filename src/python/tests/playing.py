"""A Node that a test plays towards a Transport: what kozo-transport(7) says, and signatures by ssh-keygen."""

from __future__ import annotations

import base64
import itertools
import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from kit import PATIENCE, until

if TYPE_CHECKING:
    import pathlib

#: Bytes of a line of a Transport.
LONGEST_LINE = 64 * 1024


class Refused(Exception):  # noqa: N818 - the program says so
    """The program answers with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.code = error["code"]


class Accepted(NamedTuple):
    """A connection that came in."""

    params: dict[str, Any]
    connection: socket.socket


class PlayedSystem:
    """The Nodes of a System, with their keys and Transports."""

    def __init__(self, folder: pathlib.Path, type_name: str, **options: dict[str, Any]) -> None:
        """Have a Node for each of these names, with one Transport `air` that has these options."""
        self.folder, self.type = folder, type_name
        self.nodes: dict[str, Any] = {}
        for name, its in options.items():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name], check=True)
            public = " ".join((folder / f"{name}.pub").read_text().split()[:2])
            self.nodes[name] = {"publicKey": public, "transports": {"air": {"type": type_name, "options": its}}}

    def sign(self, node: str, data: bytes) -> str:
        """Sign with the key of a Node."""
        command: list[str | pathlib.Path] = [
            "ssh-keygen",
            "-q",
            "-Y",
            "sign",
            "-n",
            "kozo-transport",
            "-f",
            self.folder / node,
        ]
        return subprocess.run(command, input=data, capture_output=True, check=True).stdout.decode()

    def verify(self, node: str, data: bytes, signature: str) -> bool:
        """Tell whether that Node has signed this."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            signers, signed = f"{folder}/signers", f"{folder}/signed"
            with open(signers, "w") as file:
                file.write(f"{node} {self.nodes[node]['publicKey']}\n")
            with open(signed, "w") as file:
                file.write(signature)
            command = [
                "ssh-keygen",
                "-q",
                "-Y",
                "verify",
                "-n",
                "kozo-transport",
                "-f",
                signers,
                "-I",
                node,
                "-s",
                signed,
            ]
            return subprocess.run(command, input=data, capture_output=True, check=False).returncode == 0


class PlayedNode:
    """A Node, and its Transport `air` that is a program."""

    def __init__(self, system: PlayedSystem, name: str, file: pathlib.Path) -> None:
        """Start the program that is this file."""
        self.system, self.name = system, name
        self.accepted: queue.Queue[Accepted] = queue.Queue()
        self.said: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self._answers: dict[int, queue.Queue[tuple[dict[str, Any], int | None]]] = {}
        self._numbers = itertools.count(1)
        self._socket, theirs = socket.socketpair()
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith("KOZO_") or key == "KOZO_PYTHON_JSON"
        }
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{theirs.fileno()}', "sh", sys.executable, "-P", "-m", "kozo", str(file)],
            env=kept | {"KOZO_RUN": "7.1", "KOZO_NODE": name, "KOZO_TRANSPORT": "air"},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        theirs.close()
        for read in (self._read, self._read_errors):
            threading.Thread(target=read, daemon=True).start()
        self.notify(
            "start",
            protocol=1,
            features=[],
            node=name,
            transport="air",
            type=system.type,
            options=system.nodes[name]["transports"]["air"]["options"],
            config={"heartbeat": 10.0},
            nodes=system.nodes,
            accept="/nonexistent",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._socket.close()
        print(f"-- errors of {self.name}:", *self.errors, sep="\n")

    def _read(self) -> None:
        rest, descriptors = b"", list[int]()
        while True:
            try:
                data, came, _, _ = socket.recv_fds(self._socket, 65536, 16)
            except OSError:
                return
            if not data:
                return
            descriptors += came
            *lines, rest = (rest + data).split(b"\n")
            if any(len(line) > LONGEST_LINE for line in (*lines, rest)):
                # A Node closes the connection too.
                self._socket.shutdown(socket.SHUT_RDWR)
                return
            for line in lines:
                self._take(json.loads(line), descriptors)

    def _take(self, line: dict[str, Any], descriptors: list[int]) -> None:
        self.said.append(line)
        match line:
            case {"method": "accepted", "params": params}:
                self.accepted.put(Accepted(params, socket.socket(fileno=descriptors.pop(0))))
            case {"method": "sign", "id": number, "params": {"data": data}}:
                self._say({"id": number, "result": {"signature": self.system.sign(self.name, base64.b64decode(data))}})
            case {"method": "verify", "id": number, "params": params}:
                result = params["node"] in self.system.nodes and self.system.verify(
                    params["node"], base64.b64decode(params["data"]), params["signature"]
                )
                self._say({"id": number, "result": result})
            case {"id": int(number)}:
                answer = self._answers.pop(number)
                answer.put((line, descriptors.pop(0) if descriptors and "result" in line else None))

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors.append(line.rstrip("\n"))

    def _say(self, line: dict[str, Any]) -> None:
        self._socket.sendall(json.dumps({"jsonrpc": "2.0", **line}).encode() + b"\n")

    def notify(self, method: str, **params: Any) -> None:
        """Say something that is not answered."""
        self._say({"method": method, "params": params})

    def begin(self, method: str, **params: Any) -> int:
        """Ask something, and give the number of the request."""
        number = next(self._numbers)
        self._answers[number] = queue.Queue()
        self._say({"id": number, "method": method, "params": params})
        return number

    def ask(self, method: str, **params: Any) -> tuple[Any, int | None]:
        """Ask something, and give the result, and the descriptor that came with it."""
        number = next(self._numbers)
        answers = self._answers[number] = queue.Queue()
        self._say({"id": number, "method": method, "params": params})
        line, descriptor = answers.get(timeout=PATIENCE)
        if "error" in line:
            raise Refused(line["error"])
        return line["result"], descriptor

    def of(self, peer: str, **more: Any) -> dict[str, Any]:
        """Give what a request says of a Peer's Transport."""
        return {"node": peer, "transport": "air", **self.system.nodes[peer]["transports"]["air"], **more}

    def connect(self, peer: str, **more: Any) -> tuple[dict[str, Any], socket.socket]:
        """Connect to a Peer's Transport."""
        result, descriptor = self.ask("connect", **self.of(peer, **more))
        assert descriptor is not None
        return result, socket.socket(fileno=descriptor)

    def take(self) -> Accepted:
        """Give the next connection that came in."""
        found = self.accepted.get(timeout=PATIENCE)
        found.connection.settimeout(PATIENCE)
        return found

    def wait_for_error(self, text: str) -> str:
        """Wait until it has written such a line to standard error, and give it."""
        line: str = until(text, lambda: next((line for line in self.errors if text in line), None))
        return line
