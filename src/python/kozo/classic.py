"""The API of 2014: a class that is a Role, and a `roleInfo` that describes it.

    import time
    from kozo import Role

    class Timer(Role):
        def getRateControl(self):
            return self["tick"]

        def run(self):
            self.sendEvent("tick", data=(self["message"], time.strftime("%H:%M:%S")))

    roleInfo = {
        "format": "1.0",
        "class": Timer,
        "config": {"tick": {"default": 1, "description": "Seconds between two."}, "message": {"default": None}},
    }

A Node runs such a file as it is, and so does `python3 -m kozo timer.py`.

`isInterestedIn` is code that only this Role has, so the Node cannot know what it wants: such a Role gets every Message of the
System, over the network and through `isInterestedIn`, one after the other. One that declares its interest as data gets what it
wants and nothing else; `isInterestedIn` chooses among those then, if it is there:

    roleInfo = {..., "interest": [{"kind": "event", "type": "tick"}]}
"""

from __future__ import annotations

import os
import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from . import stdio
from .conversation import LONGEST_WAIT, Conversation, Start, read_start
from .errors import DisconnectedError, KozoError, KozoStopError
from .messages import RoleMessage, of
from .values import pack, tuples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .message import Message, Pattern
    from .node import Node
    from .settings import Declared

#: Defaults of options that stand for the name of the Role, and of its Node.
NODE_NAME = "\0kozo node name"
ROLE_NAME = "\0kozo role name"
ROLENODE_NAME = "\0kozo role name@node name"

#: Messages that wait for `getMessage`, if the Role does not say how many.
_QUEUE_LENGTH = 1024
#: Seconds that `run` has to notice that the Role is to stop, before the process ends under it. The Node waits for one.
_ENDING = 0.6


class SystemNode:
    """A Node of the System."""

    def __init__(self, name: str, *, is_self: bool) -> None:
        self._name, self._is_self = name, is_self

    def getName(self) -> str:
        """Give its name."""
        return self._name

    def isSelf(self) -> bool:
        """Tell whether the Role is on it."""
        return self._is_self

    def getPublicKey(self) -> list[str]:
        """Give the parts of its public key: its type, and the key.

        Raises:
            KozoError: It is a Node of the System no more.
        """
        key: str | None = _told("keys").get(self._name)
        if key is None:
            raise KozoError(f"the System has no Node '{self._name}'")
        return key.split(" ", 2)

    def __str__(self) -> str:
        """Show its name."""
        return self._name


class SenderRole:
    """A Role that has sent a Message."""

    def __init__(self, name: str, node: SystemNode) -> None:
        self._name, self._node = name, node

    def getName(self) -> str:
        """Give its name."""
        return self._name

    def getNode(self) -> SystemNode:
        """Give its Node."""
        return self._node

    def __str__(self) -> str:
        """Show where it is."""
        return f"{self._name}@{self._node}"


class KozoSystem:
    """The Nodes of the System: the one that the Role is on, and its Peers."""

    def __init__(self) -> None:
        self._nodes: dict[str, SystemNode] = {}
        self._own: SystemNode | None = None

    def getNodes(self) -> list[SystemNode]:
        """Give all Nodes."""
        return list(self._nodes.values())

    def getNodeByName(self, name: str) -> SystemNode | None:
        """Give the Node of this name, if there is one."""
        return self._nodes.get(name)

    def getSelfNode(self) -> SystemNode | None:
        """Give the Node that the Role is on; None before it runs."""
        return self._own

    def known(self, name: str, *, is_self: bool = False) -> SystemNode:
        """Give the Node of this name, which is one that something came from."""
        node = self._nodes.get(name)
        if node is None:
            node = self._nodes[name] = SystemNode(name, is_self=is_self)
        if is_self:
            self._own = node
        return node

    def heed(self, params: Mapping[str, Any]) -> None:
        """Heed what the Node says of a Peer."""
        if params["state"] == "removed":
            self._nodes.pop(params["name"], None)
        else:
            self.known(params["name"])


_system = KozoSystem()
_start: Start | None = None


def _told(name: str) -> dict[str, Any]:
    if _start is None:
        raise KozoError("what the Node tells of the System is known from `localInit` on, not before")
    found: dict[str, Any] = _start.said.get(name) or {}
    return found


def kozoSystem() -> KozoSystem:
    """Give the System."""
    return _system


def kozoConfig(name: str) -> Any:
    """Give an option of the top level of the configuration: intervals in seconds, sizes in bytes.

    Raises:
        KozoError: There is no such option.
    """
    told = _told("config")
    if name not in told:
        raise KozoError(f"the configuration has no option '{name}' at its top level: there are {', '.join(told)}")
    return told[name]


class Role:
    """A Role, to be derived from.

    Override `run`, which is called again and again, and what else is to be different: `localInit`, `getRateControl`,
    `isInterestedIn`. All else is there to be called.
    """

    _info: Mapping[str, Any]

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        """Be the Role of this name, with these options."""
        self._name, self._options = name, dict(options)
        self._running: Running | None = None

    # To be overridden.

    def init(self) -> None:
        """Prepare, before `localInit`. In 2014 every Node did that for all Roles; now only that of the Role does."""

    def localInit(self) -> None:
        """Prepare, on the Node of the Role, before `run` is called first."""

    def run(self) -> None:
        """Do something. Called again and again until the Role is to stop; an exception makes it fail."""
        raise NotImplementedError("a Role has a method `run`")

    def isInterestedIn(self, message: RoleMessage) -> bool:  # noqa: ARG002 - it is there to be overridden
        """Tell whether `getMessage` is to give this one."""
        return True

    def getRateControl(self) -> float | None:
        """Give the seconds from one call of `run` to the next; None, if it waits by itself."""
        return None

    def getMessageRateControlOverride(self) -> bool:
        """Tell whether `run` is called at once when a Message waits."""
        return False

    def getMessageQueueLength(self) -> int:
        """Give how many Messages may wait for `getMessage`; then the oldest are dropped."""
        return _QUEUE_LENGTH

    # To be called.

    def __getitem__(self, option: str) -> Any:
        """Give the value of an option; None for one that there is not."""
        return self._options.get(option)

    def getName(self) -> str:
        """Give its name."""
        return self._name

    def getNode(self) -> SystemNode:
        """Give the Node that it is on."""
        return _system.known(self._now().node)

    def getMessage(self, timeout: float | None = None) -> RoleMessage | None:
        """Give the next Message that it is interested in; None if there is none within so many seconds.

        Raises:
            KozoStopError: The Role is to stop. Let it pass.
        """
        return self._now().next(timeout)

    def sendEvent(self, eventType: str, channel: str | None = None, data: Any = None) -> None:
        """Send an Event."""
        self._now().peer.send("event", eventType, data, channel=channel)

    def sendOrder(self, orderType: str, channel: str | None = None, data: Any = None) -> None:
        """Send an Order."""
        self._now().peer.send("order", orderType, data, channel=channel)

    def sendLog(self, *parts: object) -> None:
        """Send a Log of these parts, with spaces between them."""
        self._now().peer.send("log", None, _line(parts))

    def info(self, *parts: object) -> None:
        """Write a line to the journal."""
        self._now().peer.log(_line(parts))

    def warn(self, *parts: object) -> None:
        """Write a warning to the journal."""
        self._now().peer.log(_line(parts), "warning")

    def error(self, *parts: object) -> None:
        """Write an error to the journal."""
        self._now().peer.log(_line(parts), "error")

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            KozoStopError: The Role is to stop. Let it pass.
        """
        self._now().sleep(seconds)

    def getStorage(self, default: Any = None) -> Any:
        """Give what was stored last, in this run or in one before."""
        stored = self._now().stored
        return default if stored is None else stored

    def setStorage(self, value: Any) -> None:
        """Store a value, in place of the one before.

        Raises:
            RefusedError: The Node has nothing to store it in.
        """
        self._now().store(value)

    def _now(self) -> Running:
        if self._running is None:
            raise KozoError("a Role can do this from `localInit` on, not before")
        return self._running

    def __str__(self) -> str:
        """Show its name."""
        return self._name


class Running:
    """A Role that runs: `run` is called in this thread, and another one reads what the Node says."""

    #: What runs such a file.
    interpreter = "python3 -m kozo"

    def __init__(self, info: Mapping[str, Any]) -> None:
        """Make nothing of it yet."""
        self.info = info
        self.node = ""
        self.stored: Any = None
        self.peer: Conversation | Node
        self._role: Role
        self._changed = threading.Condition()
        self._messages: deque[RoleMessage] = deque()
        self._is_stopping = False
        self._has_failed = False
        self._has_ended = threading.Event()

    def go(self) -> None:
        """Speak with the Node that has started this program, or attach to one, and run until it is to stop."""
        try:
            if stdio.is_spoken_to():
                self._go_started()
            else:
                import sys

                from .byhand import run

                run(self, None, None, sys.argv[1:])
        except KeyboardInterrupt:
            # That is how one who started it by hand ends it.
            pass

    def _go_started(self) -> None:
        from .stream import Stream

        starts: list[Start] = []

        def notice(method: str, params: dict[str, Any]) -> None:
            if method == "start":
                starts.append(read_start(params))
            else:
                self.notice(method, params)

        conversation = Conversation(Stream(*stdio.claim()), self.deliver, notice)
        try:
            conversation.wait(lambda: starts)
        except DisconnectedError:
            return
        self._begin(conversation, starts[0])
        conversation.say_interest(self.patterns())
        self._run(conversation)

    def run_attached(self, node: str | None, name: str | None, options: dict[str, object]) -> None:
        """Attach to a Node of this machine."""
        from .byhand import ProgramNode

        peer = ProgramNode(self, node, name, options)
        self._begin(peer, peer.start)
        self._run(peer)

    @property
    def declared(self) -> Declared:
        """What options there are, for the command line."""
        from .settings import Declared

        declared = Declared()
        for name, told in description(self.info)["config"].items():
            declared.add(name, told)
        return declared

    def patterns(self) -> list[Pattern]:
        """Give what it wants."""
        return interest(self.info)

    def wants_peers(self) -> bool:
        """Tell whether it is to be told of Peers."""
        return True

    def describe(self) -> dict[str, Any]:
        """Say what it is."""
        return description(self.info)

    def _begin(self, peer: Conversation | Node, start: Start) -> None:
        global _start  # noqa: PLW0603 - a process is one Role
        _start = start
        self.peer, self.node, self.stored = peer, start.node, tuples(start.stored)
        _system.known(start.node, is_self=True)
        self._role = self.info["class"](start.role, options(self.info, start))
        self._messages = deque(maxlen=max(1, self._role.getMessageQueueLength()))
        self._role._running = self  # noqa: SLF001 - the two belong together

    def _run(self, peer: Conversation | Node) -> None:
        role = self._role
        peer.subscribe("peers")
        reader = threading.Thread(target=self._read, args=[peer], name="kozo-reader", daemon=True)
        step = "init"
        try:
            role.init()
            step = "localInit"
            role.localInit()
            if isinstance(peer, Conversation):
                peer.ready()
            reader.start()
            step = "run"
            self._call(role)
        except KozoStopError:
            pass
        except DisconnectedError:
            if not self._is_stopping:
                raise
        except Exception as error:  # noqa: BLE001 - it fails, and the Node starts it again
            self._fail(error, step, peer)
        finally:
            self._has_ended.set()
            peer.close()
        if self._has_failed:
            raise SystemExit(1)

    def _fail(self, error: Exception, step: str, peer: Conversation | Node) -> None:
        from .failing import report

        report(error, step, peer)
        self._has_failed = True

    def _call(self, role: Role) -> None:
        while not self._is_stopping:
            began = monotonic()
            role.run()
            pause = role.getRateControl()
            if pause is None or (role.getMessageRateControlOverride() and self._messages):
                continue
            left = began + pause - monotonic()
            if left > 0:
                self.sleep(left)

    # What `run` waits for.

    def next(self, timeout: float | None) -> RoleMessage | None:
        """Wait for a Message."""
        deadline = None if timeout is None else monotonic() + timeout
        with self._changed:
            while not self._messages:
                self._check()
                left = None if deadline is None else deadline - monotonic()
                if left is not None and left <= 0:
                    return None
                self._changed.wait(None if left is None else min(left, LONGEST_WAIT))
            self._check()
            return self._messages.popleft()

    def sleep(self, seconds: float) -> None:
        """Wait, unless it is to stop."""
        deadline = monotonic() + seconds
        with self._changed:
            while (left := deadline - monotonic()) > 0:
                self._check()
                self._changed.wait(min(left, LONGEST_WAIT))
            self._check()

    def _check(self) -> None:
        if self._is_stopping:
            raise KozoStopError("the Role is to stop")

    def store(self, value: Any) -> None:
        """Have a value kept, and wait until it is."""
        peer = self.peer
        if isinstance(peer, Conversation):
            number = peer.store(pack(value, "storage"))
            peer.wait(lambda: peer.is_answered(number))
            peer.answer(number)
        # What a Role that is run by hand stores is there until it ends.
        self.stored = tuples(value)

    # What the Node says.

    def _read(self, peer: Conversation | Node) -> None:
        try:
            peer.wait(lambda: self._is_stopping)
        except DisconnectedError:
            pass
        except Exception as error:  # noqa: BLE001 - the Role decides here what it is interested in
            self._fail(error, "isInterestedIn", peer)
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        # One that waits for something else than the Node does not see it.
        if not self._has_ended.wait(_ENDING):
            peer.close()
            os._exit(int(self._has_failed))

    def deliver(self, messages: list[Message]) -> None:
        """Keep Messages for `getMessage`, if the Role is interested."""
        for message in messages:
            shown = of(message)
            if self._role.isInterestedIn(shown):
                with self._changed:
                    self._messages.append(shown)
                    self._changed.notify()

    def notice(self, method: str, params: dict[str, Any]) -> None:
        """Heed what else the Node says."""
        if method == "stop":
            self._is_stopping = True
        elif method == "peer":
            _system.heed(params)


def _line(parts: tuple[object, ...]) -> str:
    return " ".join(map(str, parts))


def interest(info: Mapping[str, Any]) -> list[Pattern]:
    """Give what a Role wants: what its `roleInfo` says, or everything if it decides by code, or nothing."""
    told: list[Pattern] | None = info.get("interest")
    if told is not None:
        return told
    return [] if info["class"].isInterestedIn is Role.isInterestedIn else [{}]


def description(info: Mapping[str, Any]) -> dict[str, Any]:
    """Give the description of a type of Roles, of its `roleInfo`."""
    said: dict[str, Any] = {"format": "1.0"}
    for name in ("author", "version", "description", "needsStorage", "writes"):
        if name in info:
            said[name] = info[name]
    said["config"] = {name: _described(option) for name, option in (info.get("config") or {}).items()}
    said["interest"] = interest(info)
    return said


def _described(option: Mapping[str, Any]) -> dict[str, Any]:
    said = dict(option)
    if "default" not in said:
        return said
    default = said["default"]
    if default in (NODE_NAME, ROLE_NAME, ROLENODE_NAME):
        # Known once the Role runs.
        said["default"] = None
    elif isinstance(default, tuple):
        said["default"] = list(default)
    elif type(default) is int:
        # In 2014 that could be set to any number.
        said.setdefault("kind", "number")
    return said


def options(info: Mapping[str, Any], start: Start) -> dict[str, Any]:
    """Give the options of a Role as its code knows them."""
    names = {NODE_NAME: start.node, ROLE_NAME: start.role, ROLENODE_NAME: f"{start.role}@{start.node}"}
    found: dict[str, Any] = {}
    for name, option in (info.get("config") or {}).items():
        default = option.get("default")
        value = start.options.get(name)
        if value is None:
            found[name] = names.get(default, default) if isinstance(default, str) else default
        elif "kind" not in option and default is None and isinstance(value, str):
            found[name] = _scalar(value)
        elif isinstance(value, float) and value.is_integer() and not isinstance(default, float):
            found[name] = int(value)
        else:
            found[name] = value
    return found


def _scalar(text: str) -> Any:
    """Read a text as YAML does, where the option does not say what it is."""
    if text.lower() in ("true", "yes", "on", "false", "no", "off"):
        return text.lower() in ("true", "yes", "on")
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
