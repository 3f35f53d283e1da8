"""Attributes and operands that give sizes, places and axes, as plain integers."""

from __future__ import annotations

from typing import Any

import numpy as np


def integers(values: Any) -> tuple[int, ...]:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" and array.size:
        raise ValueError("wants integers")
    return tuple(int(value) for value in array.reshape(-1))
