"""ONNX's own conformance cases: accepted where the truth is affine, refused where it is not.

The exceptions stand in ``conformance_exceptions.txt``, each with its reason.
"""

from __future__ import annotations

import fnmatch
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from onnx_conformance import Undecided, Variant, truth, variants

import converter

_SHARDS = 24
# The preview domains: optimisers' steps, and what has no specification yet.
_LEFT_OUT = (
    *("test_adagrad*", "test_adam*", "test_momentum*", "test_nesterov*"),
    "test_flexattention*",
)


@cache
def _exceptions() -> dict[str, str]:
    """Return pattern -> reason."""
    found = {}
    for line in (Path(__file__).parent / "conformance_exceptions.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern, reason = line.split(maxsplit=1)
            found[pattern] = reason
    return found


@cache
def _variants() -> tuple[Variant, ...]:
    return tuple(
        one
        for one in variants()
        if not any(fnmatch.fnmatch(one.name, pattern) for pattern in _LEFT_OUT)
    )


def _excepted(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in _exceptions())


def _disagreement(path: Path, variant: Variant, output: int) -> str:
    """Return what is wrong, empty if nothing is."""
    try:
        folded = converter.fold(path, output=output)
    except converter.Rejected as rejected:
        folded, why = None, f"rejected: {rejected}"
    except converter.ModelFileError as error:
        folded, why = None, f"file error: {error}"
    try:
        known = truth(variant, output)
    except Undecided:
        return ""
    if folded is None:
        return f"affine, but {why}" if known.affine else ""
    if (folded.link == "identity") != known.affine:
        return f"is {'affine' if known.affine else 'not affine'}, but has link {folded.link}"
    for point, expected in zip(known.points, known.values, strict=False):
        rows = point.size // folded.coef.shape[1]
        found = folded.predict(point.reshape(rows, -1)).reshape(expected.shape)
        scale = max(1e-3, np.abs(expected).max(initial=0.0), np.abs(folded.coef).max(initial=0.0))
        if np.abs(found - expected).max(initial=0.0) > 3e-5 * scale:
            return f"off by {np.abs(found - expected).max():.3g} of {scale:.3g}"
    return ""


@pytest.mark.parametrize("shard", range(_SHARDS))
def test_variants_of_the_conformance_cases(tmp_path, shard):
    path = tmp_path / "m.onnx"
    wrong = []
    for variant in _variants()[shard::_SHARDS]:
        path.write_bytes(variant.model.SerializeToString())
        for output in range(len(variant.model.graph.output)):
            name = f"{variant.name}[{output}]"
            if not _excepted(name):
                why = _disagreement(path, variant, output)
                wrong += [f"{name}: {why}"] if why else []
    assert not wrong, "\n" + "\n".join(wrong)


def test_exceptions_are_few_and_each_has_a_reason():
    exceptions = _exceptions()
    assert len(exceptions) <= 25
    assert all(len(reason) > 10 for reason in exceptions.values())
    names = [f"{one.name}[0]" for one in _variants()]
    for pattern in exceptions:
        stem = pattern.split("/")[0]
        assert any(fnmatch.fnmatchcase(name.split("/")[0], stem) for name in names), pattern
