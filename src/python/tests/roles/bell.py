"""Rings a bell, and counts how often."""

import kozo

__author__ = "Ada"

print("printed before anything was said")
options = kozo.options(
    sound=kozo.option("ding", "What it says."), pause=kozo.option(0, "Between two rings.", kind="duration")
)
state = kozo.storage(rings=0, last=[])


@kozo.on("order", "ring")
def ring(message: kozo.Message) -> None:
    print("a stray print")
    state.rings += 1
    state.last.append(message.data)
    kozo.send(
        "event", "rung", {"sound": options.sound, "rings": state.rings, "last": state.last}, channel=message.channel
    )


@kozo.on("order", "fail")
def fail() -> None:
    raise ZeroDivisionError("on purpose")


kozo.run()
