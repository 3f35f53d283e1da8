"""Exports as tables and documents: other programs read the same names and numbers."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys

import hostile
import numpy as np
import pandas as pd
import pytest
from conftest import FIXTURES
from markdown_it import MarkdownIt
from models import affine

import converter
from converter.errors import printable
from converter.exports import FORMATS, format_of


@pytest.fixture(scope="module")
def made():
    return hostile.conversion()


def _read(path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    # Python's own reading of digits: the default of older versions of pandas is not exact.
    numbers = [name for name in table if name not in ("output", "term")]
    return table.assign(**{name: table[name].map(float) for name in numbers})


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_pandas_reads_back_the_model(tmp_path, suffix):
    model = hostile.model(outputs=2)
    path = tmp_path / f"m.{suffix}"
    model.export(path)
    read = _read(path)
    pd.testing.assert_frame_equal(read, model.to_frame(), check_exact=True)
    rows = read.set_index(["output", "term"])["coefficient"]
    for place, output in enumerate(model.output_names):
        assert rows[output, "(intercept)"] == model.intercept[place]
        assert rows[output][list(model.feature_names)].tolist() == model.coef[place].tolist()


def test_a_term_that_the_architecture_lacks_is_no_row():
    model = converter.AffineModel(**{**vars(hostile.model()), "has_intercept": np.array([False])})
    assert model.to_frame()["term"].tolist() == list(hostile.NAMES)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_pandas_reads_back_the_regression(tmp_path, made, suffix):
    path = tmp_path / f"m.{suffix}"
    made.export(path)
    read = _read(path)
    pd.testing.assert_frame_equal(read, made.tidy(), check_exact=True)


def test_json_and_npz(tmp_path, made):
    made.export(tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text(encoding="utf-8")) == made.to_dict()
    made.export(tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as saved:
        assert saved["term"].tolist() == ["const", *hostile.NAMES]
        np.testing.assert_array_equal(saved["estimate"], made.results.params)
        np.testing.assert_array_equal(saved["cov_params"], made.results.cov_params())


def test_text_is_the_summary(tmp_path, made):
    made.export(tmp_path / "m.dat", to="text")
    read = (tmp_path / "m.dat").read_text(encoding="utf-8")
    clock = re.compile(r"Time:\s+\d+:\d+:\d+")  # statsmodels tells when it was asked
    assert clock.sub("", read) == clock.sub("", made.summary()) + "\n"
    assert clock.search(read)


def test_markdown_shows_every_name_as_it_is(tmp_path, made):
    made.export(tmp_path / "m.md")
    tokens = MarkdownIt("commonmark").enable("table").parse((tmp_path / "m.md").read_text("utf-8"))
    cells = [one for one in tokens if one.type == "inline"]
    width = made.tidy().shape[1]
    shown = ["".join(part.content for part in one.children) for one in cells]
    rows = [shown[i * width : (i + 1) * width] for i in range(1, 2 + len(hostile.NAMES))]
    assert [row[0] for row in rows] == ["const", *(printable(n) for n in hostile.NAMES)]
    assert [row[1] for row in rows] == [f"{v:.6g}" for v in made.results.params]
    assert not [t for one in cells for t in one.children if t.type not in ("text", "text_special")]
    assert any(str(made.caveats[0])[:40] in one for one in shown)


def test_latex_has_no_bare_special_character(tmp_path, made):
    made.export(tmp_path / "m.tex")
    text = (tmp_path / "m.tex").read_text(encoding="utf-8")
    words = r"\\(?:textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar"
    words += r"|textquotedbl)\{\}|\\textsuperscript\{2\}|\{[\[\]]\}|\\[{}#$%&_]"
    values = {
        "textbackslash": "\\",
        "textasciitilde": "~",
        "textasciicircum": "^",
        "textless": "<",
        "textgreater": ">",
        "textbar": "|",
        "textquotedbl": '"',
        "textsuperscript": "²",
    }

    def plain(found: re.Match) -> str:
        word = found.group()
        return values.get(word.strip("\\").partition("{")[0]) or word.strip("{}")[-1:] or word[-1]

    rows = [line for line in text.splitlines() if line.startswith(r"\textbf{") and " & " in line]
    terms = []
    for row in rows:
        name = re.match(r"\\textbf\{(.*?)\s*\}\s+& ", row)
        if name is None or row.count(" & ") != 6:
            continue
        bare = re.sub(words, "", name.group(1))
        assert not re.search(r"[\\{}#$%&_~^<>|\"]", bare), row
        terms.append(
            re.sub(words, lambda m: m.group() if m.group()[1] in "{}" else plain(m), name[1])
        )
    found = [re.sub(r"\\([{}])", r"\1", one) for one in terms if one]
    assert found[-len(hostile.NAMES) :] == [printable(name) for name in hostile.NAMES]
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") > 0


def test_several_outputs(tmp_path):
    model, data = hostile.model(outputs=2), hostile.table()
    data["other"] = np.random.default_rng(1).normal(size=len(data))
    joint = converter.convert(model, data, [hostile.OUTPUT, "other"])
    for suffix in ("json", "csv", "parquet", "txt", "md"):
        joint.export(tmp_path / f"m.{suffix}")
    read = _read(tmp_path / "m.csv")
    pd.testing.assert_frame_equal(read, joint.tidy(), check_exact=True)
    for suffix in ("tex", "pickle", "npz"):
        with pytest.raises(ValueError, match="export one of its parts"):
            joint.export(tmp_path / f"m.{suffix}")
    first = next(iter(joint))
    joint[first].export(tmp_path / "m.tex")


_BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "converter":
            raise ImportError(name)
sys.meta_path.insert(0, Block())
import statsmodels.api as sm
for path in sys.argv[1:]:
    results = sm.load(path)
    print(repr(results.params.to_numpy().ravel().tolist()), repr(float(results.llf)))
    assert "network weights" in str(results.summary()).lower()
assert "converter" not in sys.modules
"""


def test_statsmodels_loads_the_pickle_where_converter_is_not(tmp_path, made):
    logit = converter.convert(
        FIXTURES / "spector_logistic.keras", FIXTURES / "spector.csv", "GRADE"
    )
    paths = [tmp_path / "ols.pickle", tmp_path / "logit.pkl"]
    for one, path in zip((made, logit), paths, strict=True):
        one.export(path)
    done = subprocess.run(
        [sys.executable, "-c", _BLOCKED, *map(str, paths)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    expected = [
        f"{one.results.params.tolist()!r} {float(one.results.llf)!r}" for one in (made, logit)
    ]
    assert done.stdout.splitlines() == expected


def test_the_command_line(tmp_path, command):
    path, data = FIXTURES / "spector_logistic.keras", FIXTURES / "spector.csv"
    asked = ("--data", data, "--target", "GRADE")
    done = command("export", path, *asked, "-o", tmp_path / "m.pkl")
    assert (done.returncode, done.stdout) == (0, "")
    assert "runs whatever code is in it" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    done = command("convert", path, *asked, "-o", tmp_path / "m", "--to", "latex")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "m").read_text().startswith(r"\begin{center}")
    done = command("export", path, "-o", tmp_path / "m.csv")
    assert done.returncode == 0
    assert pd.read_csv(tmp_path / "m.csv")["term"].tolist()[0] == "(intercept)"
    for more, words in (
        (("--family", "binomial", "-o", tmp_path / "m.csv"), "--family is about a table"),
        (("--data", data, "-o", tmp_path / "m.csv"), "--data needs --target"),
        (("-o", tmp_path / "m.tex"), "give the data"),
        (("-o", tmp_path / "m.csv", "--to", "excel"), "there is no format 'excel'"),
        (("-o", tmp_path / "m.csv", "--float32"), "csv has no option float32"),
        (("-o", tmp_path / "m.xyz"), "must end in .json"),
    ):
        done = command("export", path, *more)
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr


def test_a_file_is_written_whole_or_not_at_all(tmp_path, made):
    with pytest.raises(FileNotFoundError):
        made.export(tmp_path / "no" / "m.csv")
    made.export(tmp_path / "m.csv")
    before = (tmp_path / "m.csv").read_bytes()
    with pytest.raises(ValueError, match="has no option"):
        made.export(tmp_path / "m.csv", float32=True)
    assert (tmp_path / "m.csv").read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["m.csv"]


def test_every_suffix_names_one_format():
    suffixes = [suffix for one in FORMATS.values() for suffix in one.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    for one in FORMATS.values():
        assert format_of(f"m{one.suffixes[0].upper()}", None, "regression") == one


def test_predict_a_frame(made):
    data = hostile.table(rows=5)
    data.index = list("abcde")
    found = made.model.predict(data, as_frame=True)
    assert list(found.columns) == [hostile.OUTPUT]
    assert list(found.index) == list("abcde")
    np.testing.assert_array_equal(found.to_numpy(), made.model.predict(data))
    assert isinstance(made.model.predict(data), np.ndarray)
    assert io.StringIO(made.model.to_frame().to_csv()).readline()


def test_classes_are_called_what_the_table_calls_them():
    rng = np.random.default_rng(4)
    words = np.array(["bus", "car", "train"])
    table = {"x": rng.normal(size=90), "y": words[rng.integers(3, size=90)]}
    model = affine(
        rng.normal(size=(3, 1)), np.zeros(3), link="softmax", family="multinomial", groups=(0, 0, 0)
    )
    made = converter.convert(model, table, "y")
    assert made.folded.output_names == ("y[bus]", "y[car]", "y[train]")
    assert made.model.output_names == ("y[0]", "y[1]", "y[2]")
