"""Durations and sizes, as a configuration of Kōzō has them."""

from __future__ import annotations

_DURATIONS = {
    "ms": 0.001,
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("min", "m", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
}
_SIZES = {
    **dict.fromkeys(("b", "byte", "bytes"), 1),
    "kb": 1000, "kib": 1 << 10, "k": 1 << 10,
    "mb": 1000**2, "mib": 1 << 20, "m": 1 << 20,
    "gb": 1000**3, "gib": 1 << 30, "g": 1 << 30,
}  # fmt: skip


def seconds(duration: float | str) -> float:
    """Give the seconds of a duration: a number of them, or a text with units.

    >>> seconds("1min 30s"), seconds("500ms"), seconds(2)
    (90, 0.5, 2)
    """
    if not isinstance(duration, str):
        return duration
    return _sum(duration, _DURATIONS, "a duration: a number of seconds, or one with a unit, like 500ms, 5s, 2min")


def size(text: int | str) -> int:
    """Give the bytes of a size: a number of them, or a text with a unit.

    >>> size("64 KiB"), size(512)
    (65536, 512)
    """
    if not isinstance(text, str):
        return text
    return int(_sum(text.lower(), _SIZES, "a size: a number of bytes, or one with a unit, like 64 KiB, 1 MB"))


def _sum(text: str, units: dict[str, float] | dict[str, int], what: str) -> float:
    total: float = 0
    rest = text.strip()
    if not rest:
        raise ValueError(f"{text!r} is not {what}")
    while rest:
        number, rest = _while(rest, "0123456789.")
        unit, rest = _while(rest.lstrip(), "abcdefghijklmnopqrstuvwxyz")
        try:
            worth = float(number) if "." in number else int(number)
            total += worth * (units[unit] if unit or rest or total else 1)
        except (ValueError, KeyError):
            raise ValueError(f"{text!r} is not {what}") from None
        rest = rest.lstrip()
    return total


def _while(text: str, characters: str) -> tuple[str, str]:
    rest = text.lstrip(characters)
    return text[: len(text) - len(rest)], rest
