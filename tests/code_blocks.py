"""Code blocks of the documentation, as sybil's examples: executed, or marked as not to be.

Blocks are found by a CommonMark parser (markdown-it-py), so that none hides in a list or an
indentation. What becomes of one:

``python``
    is executed, in one namespace a page. An ``output`` block right behind it is what it prints.
``console``, or no language and a first line ``$ ..``
    Commands behind ``$``, each followed by what it prints; ``...`` elides, as in doctest. The exit
    status must be 0 unless ``$ echo $?`` asks for it next.
``json``, ``toml``
    must be such.
``text``
    is shown as it is: a layout of files, a drawing. It holds no commands.
``{name}``
    A directive of Sphinx, which the build of the pages looks at.

``<!-- not run: why -->`` before a block has it left alone. ``<!-- prepare: .. -->`` is Python that
readers of the page are spared: files that its commands need. Anything else is an error.
"""

from __future__ import annotations

import contextlib
import difflib
import doctest
import io
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from unittest import mock

from markdown_it import MarkdownIt
from sybil import Document, Example, Region
from sybil.evaluators.python import PythonEvaluator
from sybil.region import Lexeme

# Directives that hold no code for readers.
DIRECTIVES = ("{eval-rst}", "{include}", "{math}", "{toctree}")
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+?)\s*-->\s*", re.DOTALL)
_PREPARE = re.compile(r"<!-- prepare:\n(?P<code>.+?)-->\s*", re.DOTALL)
_PROGRESS = re.compile(r"^\d+ of \d+ \(.* s left\): .*\n", re.MULTILINE)
_DATES = re.compile(r"(?<=Date:)( +)\w{3}, \d\d \w{3} \d{4}|(?<=Time:)( +)\d\d:\d\d:\d\d")
# What a shell does not pass on to a command as it is.
_SHELL = set("|<>;&()$*?`~")


class WrongBlock(AssertionError):
    """A block does not do what it says."""


@dataclass(frozen=True)
class Block:
    """A code block, or what prepares for the next.

    Parameters
    ----------
    kind : str
        Its language, ``console`` also where it only shows; ``prepare``; "" if it has none.
    code : str
    line : int
        Of its code, counted from 0.
    span : tuple of int
        Its first line, and the one behind its last.
    not_run : str or None
        The reason, where it is marked so.
    """

    kind: str
    code: str
    line: int
    span: tuple[int, int]
    not_run: str | None

    @property
    def evaluated(self) -> bool:
        """Whether something is done with it."""
        return self.not_run is None and self.kind in _EVALUATORS

    @property
    def explained(self) -> bool:
        """Whether it is run, checked, or says why not."""
        if self.not_run is not None:
            return bool(self.not_run)
        if self.kind == "text":
            return not any(line.lstrip().startswith("$ ") for line in self.code.splitlines())
        return self.evaluated or self.kind in DIRECTIVES


def blocks(text: str) -> list[Block]:
    """Return the code blocks of a page, in order."""
    found: list[Block] = []
    reason = None
    for token in MarkdownIt("commonmark").parse(text):
        if token.map is None:
            continue
        span = (token.map[0], token.map[1])
        if token.type == "html_block":
            reason = None
            if marked := _NOT_RUN.fullmatch(token.content):
                reason = marked["reason"]
            elif prepared := _PREPARE.fullmatch(token.content):
                found.append(Block("prepare", prepared["code"], span[0] + 1, span, None))
        elif token.type in ("fence", "code_block"):
            kind = token.info.split()[0] if token.info.strip() else ""
            if not kind and token.content.startswith("$ "):
                kind = "console"
            line = span[0] + (token.type == "fence")
            found.append(Block(kind, token.content, line, span, reason))
            reason = None
        elif not token.type.endswith(("_open", "_close")):
            reason = None  # a mark counts for the block right behind it
    return found


def comments(text: str) -> list[str]:
    """Return the comments of a page, also those that stand where they mark nothing."""
    tokens = MarkdownIt("commonmark").parse(text)
    every = [*tokens, *(inner for token in tokens for inner in token.children or ())]
    return [token.content for token in every if token.type in ("html_block", "html_inline")]


def regions(document: Document) -> Iterator[Region]:
    """Yield what is to be evaluated: a parser of sybil's."""
    starts = [0]
    for line in document.text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for block in blocks(document.text):
        if block.evaluated:
            start, end = (starts[line] for line in block.span)
            code = Lexeme(block.code, start, block.line - block.span[0] - 1)
            yield Region(start, end, code, _EVALUATORS[block.kind])


def _python(example: Example) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        PythonEvaluator()(example)
    example.document.printed = printed.getvalue()  # type: ignore[attr-defined]


def _output(example: Example) -> None:
    printed = getattr(example.document, "printed", None)
    if printed is None:
        raise WrongBlock("there is no python block before this output")
    example.document.printed = None  # type: ignore[attr-defined]
    _compare(str(example.parsed), printed)


def _console(example: Example) -> None:
    status, asked = 0, True
    for command, expected in _commands(str(example.parsed)):
        if command == "echo $?":
            _compare(expected, f"{status}\n", command)
            asked = True
            continue
        if status and not asked:
            raise WrongBlock(f"exit status {status} that the block does not tell")
        printed, status = run(command)
        asked = False
        _compare(expected, printed, command)
    if status and not asked:
        raise WrongBlock(f"exit status {status} that the block does not tell ($ echo $?)")


def _commands(text: str) -> Iterator[tuple[str, str]]:
    """Yield commands and what is shown below them."""
    command: str | None = None
    shown: list[str] = []
    for line in text.splitlines():
        if command is not None and command.endswith("\\") and not shown:
            command = command[:-1].rstrip() + " " + line.strip().removeprefix("> ")
        elif line.startswith("$ "):
            if command is not None:
                yield command, "".join(shown)
            command, shown = line[2:].strip(), []
        elif command is None:
            raise WrongBlock(f"a console block begins with a command, not with {line!r}")
        else:
            shown.append(f"{line}\n")
    if command is not None:
        yield command, "".join(shown)


def run(command: str) -> tuple[str, int]:
    """Run a command of the package in this process, any other in a shell.

    Returns
    -------
    printed : str
        On stdout and stderr, as a terminal shows them.
    status : int
    """
    words = shlex.split(command)
    if words[0] != "converter" or _SHELL & set(command):
        here = (
            f'python() {{ "{sys.executable}" "$@"; }}; converter() {{ python -m converter "$@"; }}'
        )
        made = subprocess.run(
            ["bash", "-c", f"{here}; {command}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return made.stdout, made.returncode
    from converter.cli import run as entry

    printed = io.StringIO()
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        mock.patch.object(sys, "argv", words),
    ):
        try:
            entry()
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
    return printed.getvalue(), status


def _compare(expected: str, printed: str, command: str = "") -> None:
    want, got = _plain(expected), _plain(printed)
    if doctest.OutputChecker().check_output(want, got, doctest.ELLIPSIS):
        return
    lines = difflib.unified_diff(
        want.splitlines(), got.splitlines(), "the page", "what is printed", lineterm="", n=2
    )
    raise WrongBlock(f"{command}\n" + "\n".join(lines))


def _plain(text: str) -> str:
    """Return text without dates, times, blanks that nobody sees, and how far a slow run was."""
    text = _PROGRESS.sub("", text)
    text = _DATES.sub(lambda found: f"{found[1] or found[2]}(now)", text)
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines()) + "\n"


def _json(example: Example) -> None:
    json.loads(str(example.parsed))


def _toml(example: Example) -> None:
    tomllib.loads(str(example.parsed))


_EVALUATORS = {
    "python": _python,
    "prepare": _python,
    "output": _output,
    "console": _console,
    "json": _json,
    "toml": _toml,
}
