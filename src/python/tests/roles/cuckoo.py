"""The Role `cuckoo`, in the API of 2014, from its description: prints ticks, and remembers the last one."""

from kozo import Role
from kozo.messages import Event


class Cuckoo(Role):
    def localInit(self):
        last = self.getStorage()
        if last is not None:
            self.tell("The last cuckoo was", *self.shown(*last))

    def isInterestedIn(self, message):
        if not isinstance(message, Event) or message.getEventType() != "tick":
            return False
        return self["timer"] is None or message.getSenderRole().getName() == self["timer"]

    def run(self):
        tick = self.getMessage()
        if tick is not None:
            last = (tick.getSenderRole().getName(), tick.getSenderNode().getName(), tick.getEventData())
            self.tell("Cuckoo!", *self.shown(*last))
            self.setStorage(last)

    def shown(self, role, node, data):
        # Tuples arrive as tuples.
        assert isinstance(data, tuple)
        message, time = data
        return [f"{role}@{node}:", time] + ([message] if message else [])

    def tell(self, *parts):
        print(*parts)
        if self["log"]:
            self.sendLog(*parts)


roleInfo = {
    "format": "1.0",
    "class": Cuckoo,
    "author": "The authors of Kōzō",
    "version": "1.0",
    "description": "Listens for tick events and prints them. Remembers the last cuckoo it got.",
    "needsStorage": True,
    "config": {
        "timer": {"default": None, "description": "The name of the timer to listen to; all of them, if there is none."},
        "log": {"default": True, "description": "Whether to send a log message for every tick."},
    },
}
