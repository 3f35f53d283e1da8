"""Regressions as documents: text, Markdown, LaTeX. Names are escaped as each wants it."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from converter.errors import printable

if TYPE_CHECKING:
    import pandas as pd

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~&$!])")
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "#": r"\#",
    "$": r"\$",
    "%": r"\%",
    "&": r"\&",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "[": "{[}",  # at the start of a row it would be an argument of the line before
    "]": "{]}",
    "²": r"\textsuperscript{2}",
}
_TABLE = str.maketrans(_LATEX)
# Names are cut off nowhere: a table of coefficients is no message.
_WHOLE = 1 << 30


def text(value: Any) -> bytes:
    """Return the summary that the command line prints."""
    return f"{value.summary()}\n".encode()


def markdown(value: Any) -> bytes:
    """Return the tables of `tidy` and `glance`, the verdict and the caveats; six digits."""
    parts = [_markdown_table(value.tidy()), _markdown_table(value.glance())]
    several = isinstance(value.caveats, dict)
    for name, one in value.items() if several else [("", value)]:
        lead = f"{markdown_escaped(name)}: " if several else ""
        parts.append(lead + markdown_escaped(one.verdict_sentence))
        said = [f"- {markdown_escaped(str(caveat))}" for caveat in one.caveats]
        parts += ["\n".join(said)] * bool(said)
    return ("\n\n".join(parts) + "\n").encode()


def markdown_escaped(name: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return _MARKDOWN.sub(r"\\\1", printable(name, _WHOLE))


def _markdown_table(table: pd.DataFrame) -> str:
    def cell(value: Any) -> str:
        return f"{value:.6g}" if isinstance(value, float) else markdown_escaped(str(value))

    numeric = [kind.kind in "iuf" for kind in table.dtypes]
    lines = [list(map(markdown_escaped, table.columns)), ["---:" if n else "---" for n in numeric]]
    lines += [list(map(cell, row)) for row in table.itertuples(index=False, name=None)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def latex(value: Any) -> bytes:
    """Return statsmodels' summary, a table for a document that loads booktabs.

    statsmodels escapes some of the characters that TeX reads as commands, and not the backslash,
    braces or the hat: here all are, and statsmodels' own replacements are left out.
    """
    shown = copy.deepcopy(value.results.summary())
    for table in shown.tables:
        table.output_formats["latex"]["replacements"] = {}
        for row in table:
            for cell in row:
                if isinstance(cell.data, str):
                    cell.data = latex_escaped(cell.data)
    shown.tables[0].title = latex_escaped(shown.tables[0].title or "")
    if shown.extra_txt:
        lines = shown.extra_txt.split("\n")
        shown.extra_txt = "\n".join(map(latex_escaped, lines))
    return f"{shown.as_latex()}\n".encode()


def latex_escaped(name: str) -> str:
    """Return text that TeX sets as it is, on one line."""
    return printable(name, _WHOLE).translate(_TABLE)
