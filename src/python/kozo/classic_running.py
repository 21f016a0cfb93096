"""Runs a Role of the API of 2014."""

from __future__ import annotations

import os
import threading
from collections import deque
from time import monotonic

from . import stdio
from .conversation import LONGEST_WAIT, Conversation, Start
from .errors import DisconnectedError, KozoStopError
from .info import options
from .messages import RoleMessage, of
from .roleinfo import description, interest
from .system import begin, kozoSystem
from .values import pack, tuples

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .classic import Role
    from .message import Message, Pattern
    from .node import Node
    from .settings import Declared

#: Seconds that `run` has to notice that the Role is to stop, before the process ends under it. The Node waits for one.
_ENDING = 0.6


class Running:
    """A Role that runs: `run` is called in this thread, and another one reads what the Node says."""

    #: What runs such a file.
    interpreter = "python3 -m kozo"
    #: How it speaks with the Node.
    encoding = "json"

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
        from .started import converse

        said = converse(self, stdio.claim())
        if said is not None:
            conversation, start = said
            self._begin(conversation, start)
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
        begin(start.node, start.said)
        self.peer, self.node, self.stored = peer, start.node, tuples(start.stored)
        self._role = self.info["class"](start.role, options(self.info, start.options, start.role, start.node))
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
            raise KozoStopError("the Role must stop")

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
            kozoSystem().heed(params)
