"""A System on disk, its running Nodes, and ways to reach them."""

import itertools
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import asyncssh

PROGRAMS = pathlib.Path(os.environ["KOZO_PROGRAMS"])

# How long anything may take that has no time limit of its own to keep: long, because a machine may be busy,
# and nothing waits for it but a test that fails.
PATIENCE = 60

# How often a Node calls its watchdog, in seconds: its event loop makes the calls.
WATCHDOG = 0.05

_numbers = itertools.count(1)


def address():
    """A loopback address that nobody else uses: of this process, counted up, and again from the beginning when
    the tests that had those are long over."""
    process, number = os.getpid(), next(_numbers) % 254
    return f"127.{1 + (process >> 8) % 250}.{process & 0xff}.{1 + number}"


def until(what, condition):
    """Waits until the condition gives something, and gives that."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.01)
    return found


class System:
    """A configuration and its keys, in a folder that goes with it."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kozo-hostile-"))
        (self.folder / "run").mkdir(mode=0o700)
        self.config = self.folder / "kozo.yml"
        # Lines of the top level of the file.
        self.options = "heartbeat: 1s\n"
        self.nodes = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in self.nodes.values():
            node.stop()
        shutil.rmtree(self.folder)

    def node(self, name, roles="", more="", key="ssh-ed25519", **key_options):
        """Adds a Node. `roles` is `NAME: {OPTION: VALUE, …}, …`, `more` lines with options of the Node,
        `key` what asyncssh.generate_private_key takes."""
        node = Node(self, name, asyncssh.generate_private_key(key, **key_options))
        node.roles, node.more = roles, more
        self.nodes[name] = node
        return node

    def write(self):
        """Writes the configuration, with what the Nodes have become by now."""
        text = [self.options, "system:\n"]
        for node in self.nodes.values():
            text += [
                f"  {node.name}:\n",
                f"    privateKey: {node.key_file}\n",
                f"    publicKey: {node.public_key}\n",
                f"    roleStorage: {self.folder / 'storage'}\n",
                f"    roles: {{{node.roles}}}\n",
                "    transports:\n",
                f"      tcp: {{address: {node.address}, bindAddress: {node.address}, port: {node.port}}}\n",
                *(f"    {line}\n" for line in node.more.splitlines()),
            ]
        self.config.write_text("".join(text))

    def start(self, name):
        """Writes the configuration if there is none yet, runs a Node, and returns when it is ready."""
        if not self.config.exists():
            self.write()
        return self.nodes[name].start()

    @property
    def environment(self):
        """That of programs which see no other Nodes than these."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KOZO_")}
        return kept | {
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent/kozo-test-bus",
        }


class Node:
    """A Node: one that runs, or one that a test plays."""

    def __init__(self, system, name, key):
        self.system, self.name = system, name
        self.key_file = system.folder / f"{name}.key"
        self.set_key(key)
        self.address = address()
        with socket.create_server((self.address, 0)) as free:
            self.port = free.getsockname()[1]
        self.process = None

    def set_key(self, key):
        """Gives it this key; the configuration wants to be written then."""
        self.key = key
        self.public_key = key.export_public_key().decode().strip()
        self.key_file.touch(mode=0o600)
        self.key_file.write_bytes(key.export_private_key())

    def start(self):
        """Runs it, and returns when it is ready."""
        notify = self.system.folder / f"{self.name}.notify"
        notify.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            listening.bind(str(notify))
            self.notified = Notified(listening.dup())
        self.process = subprocess.Popen(
            [PROGRAMS / "kozo", self.system.config, self.name],
            env=self.system.environment
            | {
                "KOZO_STOP_WITH_PARENT": "1",
                "NOTIFY_SOCKET": str(notify),
                "WATCHDOG_USEC": str(int(WATCHDOG * 2_000_000)),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.printed, self.log = Lines(self.process.stdout), Lines(self.process.stderr)
        until(f"{self.name} is ready", lambda: self.notified.ready.is_set() or self.process.poll() is not None)
        assert self.runs(), self.log.text()
        return self

    def runs(self):
        """Whether it still runs."""
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """Ends it at once, and prints its log for who looks for why a test has failed."""
        if self.process is None:
            return
        self.process.kill()
        code = self.process.wait()
        self.notified.close()
        print(f"-- log of {self.name}, which ended with {code}:", *self.log.lines[-100:], sep="\n")
        self.process = None

    def kozoctl(self, *arguments, code=0):
        """Runs a command against it. Gives the answer, or what it says where it is to end with another
        exit code than 0."""
        command = [PROGRAMS / "kozoctl", "--node", self.name, "--json", *arguments]
        done = subprocess.run(
            command, env=self.system.environment, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout) if code == 0 and done.stdout else done.stderr

    def peer(self, name):
        """What it says about a Peer."""
        return self.kozoctl("peer", name)

    def wait_for_peer(self, name, state="up"):
        """Waits until its link to a Peer is so."""
        self.kozoctl("wait", f"peer={name}:{state}", "--timeout", f"{PATIENCE}s")

    def memory(self, field="VmRSS"):
        """Bytes that it has in memory; with `VmHWM`, the most that it ever had."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split(f"{field}:")[1].split()[0]) * 1024

    def cpu(self):
        """Seconds of processor time that it has taken so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def longest_pause(self, since=0.0):
        """The longest time between two calls of its watchdog after `since` (time.monotonic): for how long
        its event loop was held up."""
        times = [at for at in [*self.notified.alive, time.monotonic()] if at >= since]
        return max(after - before for before, after in itertools.pairwise([since or times[0], *times]))

    def socket(self, source=None):
        """A bare TCP connection to it, from a loopback address."""
        connection = socket.create_connection(
            (self.address, self.port), timeout=PATIENCE, source_address=source and (source, 0)
        )
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    async def ssh(self, peer, key=None, **options):
        """A connection of SSH to it, in the name of a Peer (or any other) and with the key of that Peer, or
        another; `options` are those of asyncssh.connect."""
        name = peer if isinstance(peer, str) else peer.name
        usual = {
            "username": name,
            "client_keys": [key or peer.key],
            "known_hosts": ([self.key.convert_to_public()], [], []),
            "agent_path": None,
            "config": None,
            "connect_timeout": PATIENCE,
            "login_timeout": PATIENCE,
        }
        return await asyncssh.connect(self.address, self.port, **usual | options)


async def subsystem(connection):
    """Opens the subsystem `kozo`: an asyncio-like reader and writer of bytes."""
    writer, reader, _ = await connection.open_session(subsystem="kozo", encoding=None)
    return reader, writer


class Lines:
    """What a program writes, read as it comes."""

    def __init__(self, stream):
        self.lines = []
        self._grown = threading.Condition()
        self._ended = False
        threading.Thread(target=self._read, args=[stream], daemon=True).start()

    def _read(self, stream):
        with stream:
            for line in stream:
                with self._grown:
                    self.lines.append(line.decode(errors="replace").rstrip())
                    self._grown.notify_all()
        with self._grown:
            self._ended = True
            self._grown.notify_all()

    def text(self):
        """All of it so far."""
        return "\n".join(self.lines)

    def wait_for(self, *parts, after=0):
        """Waits for a line with all of these in it that is not among the first `after`; gives it. In an
        async test: `await asyncio.to_thread(node.log.wait_for, …)`."""

        def found():
            return next((line for line in self.lines[after:] if all(part in line for part in parts)), None)

        with self._grown:
            self._grown.wait_for(lambda: found() or self._ended, PATIENCE)
            line = found()
        last = "\n".join(self.lines[-30:])
        assert line, f"no line with {parts}; the last ones:\n{last}"
        return line


class Notified:
    """What a Node tells systemd, whose part this plays."""

    def __init__(self, listening):
        self.ready = threading.Event()
        # When it called its watchdog.
        self.alive = []
        self._listening = listening
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while said := self._listening.recv(4096):
            lines = said.decode().splitlines()
            if "WATCHDOG=1" in lines:
                self.alive.append(time.monotonic())
            if "READY=1" in lines:
                self.ready.set()
        self._listening.close()

    def close(self):
        """Ends it."""
        # An empty datagram to itself: closing a socket does not wake up who reads it.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", self._listening.getsockname())
