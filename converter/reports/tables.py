"""statsmodels' tables as cells, for a page that escapes what they hold."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text, and whether it heads its row or its column."""

    text: str
    head: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table.

    Parameters
    ----------
    title : str
    header : tuple of str
        One a column; empty if the table has none.
    rows : tuple of tuple of Cell
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def tables_of(results: Any) -> tuple[list[Grid], list[str]]:
    """Return the tables of a statsmodels summary, and its notes.

    Parameters
    ----------
    results : statsmodels results wrapper
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Far from the optimum statsmodels' diagnostics overflow; the caveats say what is wrong.
        warnings.simplefilter("ignore")
        summary = results.summary()
    grids = [grid for table in summary.tables for grid in _grids(table)]
    notes = [line for line in str(summary.extra_txt or "").splitlines() if line.strip()]
    return [grid for grid in grids if grid.rows], notes


def _grids(table: Any) -> list[Grid]:
    """Return a table of statsmodels'; of several equations, one for each."""
    whole = _grid(table)
    starts = [n for n, row in enumerate(whole.rows) if all(cell.head == "col" for cell in row)]
    if not whole.header or not starts:
        return [whole]
    made, header, first = [], whole.header, 0
    for start in [*starts, len(whole.rows)]:
        made.append(Grid(whole.title, header, whole.rows[first:start]))
        if start < len(whole.rows):
            header, first = tuple(cell.text for cell in whole.rows[start]), start + 1
    return made


def _grid(table: Any) -> Grid:
    """Return one of statsmodels' SimpleTables.

    The first line holds the headers if its cells are said to be such; the cells of names are
    stubs, and in the tables of pairs every other cell is the name of the next.
    """
    lines = [[_cell(cell) for cell in row] for row in table]
    header: tuple[str, ...] = ()
    if lines and all(cell.head == "col" for cell in lines[0]):
        header = tuple(cell.text for cell in lines.pop(0))
    elif lines:
        lines = [
            [
                Cell(cell.text, "row" if place % 2 == 0 and cell.text else "")
                for place, cell in enumerate(line)
            ]
            for line in lines
        ]
    return Grid(str(table.title or ""), header, tuple(map(tuple, lines)))


def _cell(cell: Any) -> Cell:
    kind = str(cell.datatype)
    text = cell.format(0, output_format="txt").strip()
    head = "col" if kind.startswith("header") or kind == "empty" else ""
    return Cell(text, "row" if kind.startswith("stub") else head)
