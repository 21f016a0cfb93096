"""Where values of MessagePack end, found without making anything of them."""

from __future__ import annotations

#: Of each code, how many bytes the value has that begins with it, but for what is inside of it or behind its length.
_SIZES = (
    [1] * 0xA0 + [1 + length for length in range(0x20)] + [1] * 10
    + [5, 9, 2, 3, 5, 9, 2, 3, 5, 9, 3, 4, 6, 10, 18] + [1] * 7 + [1] * 0x20
)  # fmt: skip
#: How many values are inside of it.
_INSIDE = [0] * 0x80 + [2 * count for count in range(16)] + [*range(16)] + [0] * 0x60
#: How many bytes its length has.
_WIDTHS = (
    [0] * 0xC4 + [1, 2, 4, 1, 2, 4] + [0] * 15 + [1, 2, 4, 2, 4, 2, 4] + [0] * 0x20
)  # fmt: skip

_NONE = 0xC1
_EXTENSIONS = (0xC7, 0xC8, 0xC9)
_FIRST_LIST = 0xDC
_FIRST_MAP = 0xDE


class Scanner:
    """Finds the end of a value that comes in pieces. What was looked at once is not looked at again."""

    def __init__(self) -> None:
        """Begin before a value."""
        # Values that have not begun.
        self._missing = 1
        # Bytes of the next piece that belong to what has begun.
        self._skipped = 0
        # The beginning of a value whose length is still to come.
        self._head = b""

    def end(self, data: bytes, begin: int = 0) -> int | None:
        """Look at the next piece, from `begin` on; return where in it the value ends, None if it does not.

        >>> Scanner().end(bytes.fromhex("c0 93 01 a2 61 62 c0 c0"), 1)
        7

        Raises:
            ValueError: It is no MessagePack.
        """
        head = len(self._head)
        if head:
            data, begin = self._head + data[begin:], 0
        at, missing, size = begin + self._skipped, self._missing, len(data)
        while missing and at < size:
            code = data[at]
            width = _WIDTHS[code]
            if not width:
                if code == _NONE:
                    raise ValueError(f"{code:#x} is not a code of MessagePack")
                at += _SIZES[code]
                missing += _INSIDE[code] - 1
                continue
            behind = at + 1 + width
            if behind > size:
                break
            length = int.from_bytes(data[at + 1 : behind], "big")
            at = behind
            if code < _FIRST_LIST:
                at += length + (code in _EXTENSIONS)
                missing -= 1
            else:
                missing += length * (2 if code >= _FIRST_MAP else 1) - 1
        if not missing and at <= size:
            return at - head
        # Nothing is called between these, so a handler of a signal leaves all of them or none.
        self._missing, self._skipped, self._head = missing, max(0, at - size), data[at:]
        return None
