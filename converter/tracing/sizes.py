"""Constants that depend on how many rows were traced, and so are no constants of the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class SizeDependent:
    """Numbers read off a shape whose leading size is the trace's own choice.

    They may shape a value (the target of a reshape), for that is what they are made for; they
    may not enter its numbers. Nor may the number of elements of a constant that was shaped so.

    Parameters
    ----------
    value : ndarray
    mask : ndarray of bool, the shape of `value`
        Which elements depend on the number of rows.
    shaped : bool
        Whether the shape of `value` does. Where its elements do not, they are the same for each
        row: along the one axis whose size is a multiple of the number of rows.
    lawful : bool
        The elements that depend on the number of rows are affine in it, for any number.
    """

    value: np.ndarray
    mask: np.ndarray
    shaped: bool = False
    lawful: bool = True
