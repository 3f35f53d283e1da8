"""The drawing of a network beside its list of parts: one row a part, values as lanes.

As version control draws branches: a value runs down in a lane from the part that makes it to the
last one that reads it. It needs no layout, works for any number of parts, and the list stays a
table that can be read aloud.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converter.reports.anatomy import Part

# Lanes that are drawn; of a network with more, none.
_MOST_LANES = 24
# Parts that are shown: of longer networks the ends, and what was refused with what is around it.
_MOST, _ENDS, _AROUND = 240, 60, 2
_UNIT = 14.0  # width of a lane in CSS pixels; rows are 100 high, and stretched


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the drawing.

    Parameters
    ----------
    part : Part or None
        None for parts that are left out.
    place : int
        Of the part; of those left out, of the first.
    omitted : int
        How many are left out here.
    paths : tuple of str
        SVG paths of lanes, in a box that is `width` wide and 100 high.
    x : float
        Where the part's mark is.
    width : float
    """

    part: Part | None
    place: int
    omitted: int
    paths: tuple[str, ...]
    x: float
    width: float


def rows_of(parts: Sequence[Part]) -> list[Row]:
    """Return the rows of a network's drawing."""
    last: dict[int, int] = {}
    for place, part in enumerate(parts):
        last.update(dict.fromkeys(part.sources, place))
    drawn: list[tuple[int, list[str], list[int]]] = []
    active: list[int | None] = []
    for place, part in enumerate(parts):
        before = dict(enumerate(active))
        reads = [lane for lane, value in before.items() if value in part.sources]
        for lane, value in before.items():
            if value is not None and last.get(value) == place:
                active[lane] = None
        free = [lane for lane, value in enumerate(active) if value is None]
        lane = min([one for one in reads if one in free] or free or [len(active)])
        if lane == len(active):
            active.append(None)
        paths = [
            _line(one, one)
            for one, value in before.items()
            if value is not None and active[one] == value
        ]
        paths += [_line(one, lane, end=50.0) for one in reads]
        if place in last:
            active[lane] = place
            paths.append(_line(lane, lane, start=50.0))
        while active and active[-1] is None:
            active.pop()
        drawn.append((lane, paths, [one for one, value in enumerate(active) if value is not None]))
    lanes = 1 + max((lane for lane, _, _ in drawn), default=0)
    shown = lanes <= _MOST_LANES
    width = lanes * _UNIT if shown else _UNIT
    rows: list[Row] = []
    kept = _kept(parts)
    for place, (part, (lane, paths, after)) in enumerate(zip(parts, drawn, strict=True)):
        if place in kept:
            x = (lane + 0.5) * _UNIT if shown else _UNIT / 2
            rows.append(Row(part, place, 0, tuple(paths) if shown else (), x, width))
        elif rows and rows[-1].part is None:
            previous = rows.pop()
            rows.append(Row(None, previous.place, previous.omitted + 1, previous.paths, 0.0, width))
        else:
            through = tuple(_line(one, one) for one in after) if shown else ()
            rows.append(Row(None, place, 1, through, 0.0, width))
    return rows


def _kept(parts: Sequence[Part]) -> set[int]:
    """Return the places of the parts that are shown."""
    count = len(parts)
    if count <= _MOST:
        return set(range(count))
    found = [place for place, part in enumerate(parts) if part.kind == "refused"]
    kept = {*range(_ENDS), *range(count - _ENDS, count)}
    for place in found:
        if len(kept) >= _MOST:
            break
        kept.update(range(max(place - _AROUND, 0), min(place + _AROUND + 1, count)))
    return kept


def _line(top: int, bottom: int, start: float = 0.0, end: float = 100.0) -> str:
    """Return the path of a value from one lane to another."""
    x, to = (top + 0.5) * _UNIT, (bottom + 0.5) * _UNIT
    if x == to:
        return f"M{x:g} {start:g}V{end:g}"
    middle = (start + end) / 2
    return f"M{x:g} {start:g}C{x:g} {middle:g} {to:g} {middle:g} {to:g} {end:g}"
