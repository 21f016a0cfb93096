"""Helpers of the API of 2014 for Roles."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def rpio() -> Any:
    """Return the module for the pins of a Raspberry Pi: `RPIO`, or else `RPi.GPIO`.

    Raises:
        ImportError: Neither is installed.
    """
    import importlib

    try:
        return importlib.import_module("RPIO")
    except ImportError:
        pass
    try:
        return importlib.import_module("RPi.GPIO")
    except ImportError:
        text = "there is neither RPIO nor RPi.GPIO: on Debian, `sudo apt install python3-rpi-lgpio` has the latter"
        raise ImportError(text) from None


def randomWait(upTo: float, sleepFunction: Callable[[float], object] = time.sleep) -> object:  # noqa: N802, N803
    """Sleep for a random time, at most this many seconds."""
    return sleepFunction(random.uniform(0, upTo))  # noqa: S311 - nothing is to be secret
