"""Whether a table fits in memory, worked out from its metadata."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from converter.regression.streams.sources import Source

#: Bytes that a conversion may take for its rows, unless more or less is asked for.
MEMORY = 2_000_000_000
# Copies of the columns that statsmodels and its results take, beside the table itself.
_COPIES = 6
# How compressed text begins, and how much it may hold.
_MAGIC, _UNPACKED = (b"\x1f\x8b", b"BZ", b"(\xb5", b"\x04\x22"), 10
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def bytes_of(memory: str | int | float | None) -> int:
    """Return a size in bytes: a number, or one with a unit, ``500 MB``, ``2 GiB``.

    Raises
    ------
    ValueError
        If it is none.
    """
    if memory is None:
        return MEMORY
    if isinstance(memory, (int, float)) and not isinstance(memory, bool) and memory >= 0:
        return int(min(memory, sys.maxsize))
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([kmgt]?)(i?)b?\s*", str(memory).lower())
    if found is None:
        raise ValueError(
            f"memory must be a number of bytes, perhaps with a unit (500 MB, 2 GiB), not {memory!r}"
        )
    number, unit, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** _UNITS[unit])


def is_small(data: Any, room: int) -> bool:
    """Tell whether a file is text so short that it fits in any case."""
    if not isinstance(data, (str, os.PathLike)) or os.path.isdir(data):
        return False
    if not os.path.isfile(data):
        return True  # reading it will say why, and this must not wait for what never comes
    try:
        with open(data, "rb") as file:
            head = file.read(6)
        size = os.path.getsize(data)
    except OSError:
        return True  # reading it will say why
    packed = head[:4] == b"PAR1" or head == b"ARROW1"
    # A number and its separator take two characters, eight bytes, and copies.
    return not packed and size * (_UNPACKED if head[:2] in _MAGIC else 1) * 4 * _COPIES <= room


def fits(source: Source, columns: Sequence[str], where: str | None, memory: int) -> bool:
    """Tell whether some columns of a table fit in memory, with what is made of them."""
    rows = source.count(where)
    return rows is not None and rows * len(columns) * 8 * _COPIES <= memory
