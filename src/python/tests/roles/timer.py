"""The Role `timer`, in the API of 2014, from its description: an Event `tick` at a regular interval."""

import time

from kozo import Role


class Timer(Role):
    def getRateControl(self):
        return self["tick"]

    def run(self):
        tick = (self["message"], time.strftime("%H:%M:%S"))
        self.sendEvent("tick", data=tick)
        if self["log"]:
            self.sendLog("Tick:", tick[1], *((self["message"] and [self["message"]]) or []))


roleInfo = {
    "format": "1.0",
    "class": Timer,
    "author": "The authors of Kōzō",
    "version": "1.0",
    "description": "A simple Role that emits a timer message (events of type tick) at a regular interval.",
    "config": {
        "tick": {"default": 1, "description": "Number of seconds between each message."},
        "message": {"default": None, "description": "A string to insert into every message."},
        "log": {"default": True, "description": "Whether to send a log message with every tick."},
    },
}
