"""Start-up: nothing heavy is imported before it is needed, nothing of a model's ever."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import FIXTURES

import converter

HEAVY = ("tensorflow", "keras", "statsmodels", "pandas", "scipy", "pyarrow", "onnx", "h5py")


def _loaded_after(code: str, *argv: str) -> set[str]:
    """Run code in a fresh interpreter; return which of the heavy packages it imported."""
    report = f"{code}\nimport sys\nprint(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", report, *argv], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_import_converter_imports_nothing_heavy():
    assert _loaded_after("import converter") == set()


@pytest.mark.parametrize(
    ("suffix", "allowed"), [("keras", {"h5py"}), ("h5", {"h5py"}), ("onnx", set())]
)
def test_inspect_and_fold_need_no_runtime(suffix, allowed):
    code = "import sys, converter\nconverter.inspect(sys.argv[1])\nconverter.fold(sys.argv[1])"
    path = str(FIXTURES / f"longley_linear.{suffix}")
    assert _loaded_after(code, path) == allowed


@pytest.mark.parametrize(
    ("suffix", "allowed"),
    [("csv", set()), ("json", set()), ("npz", set()), ("pmml", set()), ("sql", set())]
    + [("keras", {"h5py"}), ("onnx", {"onnx"})],
)
def test_exports_import_what_they_write_with(tmp_path, suffix, allowed):
    code = "import sys, converter\nconverter.fold(sys.argv[1]).export(sys.argv[2])"
    path = str(FIXTURES / "longley_linear.onnx")
    assert _loaded_after(code, path, str(tmp_path / f"m.{suffix}")) == allowed


def test_the_public_names():
    assert set(converter.__all__) == {
        "AffineModel",
        "Batch",
        "Conversion",
        "DataError",
        "Finding",
        "Inspection",
        "JointConversion",
        "ModelFileError",
        "Rejected",
        "Report",
        "Verification",
        "batch",
        "convert",
        "fold",
        "inspect",
        "register_layer",
        "report",
        "verify",
    }
    for name in converter.__all__:
        assert getattr(converter, name).__name__ == name
    assert set(converter.__all__) <= set(dir(converter))
    with pytest.raises(AttributeError):
        _ = converter.no_such_name
