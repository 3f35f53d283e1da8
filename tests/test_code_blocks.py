"""Every code block of the documentation does what the page says, or the page says why not."""

from __future__ import annotations

import doctest
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from code_blocks import WrongBlock, blocks, comments, regions, run
from conftest import FIXTURES
from sybil import Document

import converter

ROOT = FIXTURES.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# Said of a block whose lines stand in .ci/run.
BY_CI = ".ci/run does"

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@pytest.fixture
def _as_installed() -> Iterator[None]:
    """Keras as a reader finds it: other tests leave it in double precision."""
    keras = sys.modules.get("keras")
    if keras is None:
        yield
        return
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


@pytest.mark.usefixtures("_as_installed")
@every_page
def test_blocks_do_what_the_page_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fixtures").symlink_to(FIXTURES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    from converter import registry

    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
    document = Document.parse(str(page), regions)
    wrong = []
    for example in document:
        line = f"{page.name}:{example.line}"
        try:
            example.evaluate()
        except WrongBlock as error:
            wrong.append(f"{line}: {error}")
        except Exception as error:
            error.add_note(f"in the block of {line}")
            raise
    assert not wrong, "\n\n".join(wrong)


@every_page
def test_no_block_is_silently_left_alone(page: Path) -> None:
    text = page.read_text()
    found = blocks(text)
    unexplained = [
        f"{page.name}:{one.span[0] + 1}: {one.kind or 'no language'}"
        for one in found
        if not one.explained
    ]
    assert not unexplained, "neither run nor marked (<!-- not run: why -->)"
    seen = Document.parse(str(page), regions).regions
    assert len(seen) == sum(one.evaluated for one in found)
    # A mark that has lost its block is seen too.
    said = comments(text)
    marks = sum(one.startswith("<!-- not run") for one in said)
    assert marks == sum(one.not_run is not None for one in found)
    prepared = sum(one.startswith("<!-- prepare") for one in said)
    assert prepared == sum(one.kind == "prepare" for one in found)


@every_page
def test_what_continuous_integration_runs_it_runs(page: Path) -> None:
    commands = (ROOT / ".ci" / "run").read_text().replace(" --quiet", "")
    for one in blocks(page.read_text()):
        if one.not_run and one.not_run.startswith(BY_CI):
            for line in one.code.splitlines():
                for command in line.split("#")[0].split(" && "):
                    assert command.strip() in commands


def test_examples_of_docstrings() -> None:
    for home in sorted(set(converter._HOMES.values())):
        made = doctest.testmod(import_module(home), optionflags=doctest.ELLIPSIS)
        assert not made.failed, home


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("```python\n1 / 0\n```\n", ["python"]),
        ("- in a list\n\n  ```console\n  $ false\n  ```\n", ["console"]),
        ("said:\n\n    $ false\n", ["console"]),
        ("```console\n$ echo a\nb\n```\n", ["console"]),
        ("```python\nprint(1)\n```\n\n```output\n2\n```\n", ["python", "output"]),
        ("```json\n{\n```\n", ["json"]),
    ],
)
def test_blocks_that_are_wrong_are_found(text: str, kinds: list[str], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    assert [one.kind for one in blocks(text)] == kinds
    examples = list(Document.parse(str(page), regions))
    for example in examples[:-1]:
        example.evaluate()
    with pytest.raises((WrongBlock, ZeroDivisionError, ValueError)):
        examples[-1].evaluate()


@pytest.mark.parametrize(
    "text",
    [
        "```bash\nls\n```\n",
        "    indented\n",
        "```text\n$ converter\n```\n",
        "<!-- not run: words between -->\n\nwords\n\n    indented\n",
        "```{code-block} python\n1 / 0\n```\n",
    ],
)
def test_blocks_that_are_not_explained_are_found(text: str) -> None:
    (one,) = blocks(text)
    assert not one.explained


def test_commands_are_run_with_their_status() -> None:
    assert run("converter inspect nowhere.keras")[1] == 2
    assert run("converter --version | wc -l") == ("1\n", 0)
