"""Operations that look codes up, or sort values into finitely many levels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.levels import Bins, Codes, Hashed, Vocabulary, salt_of
from converter.semantics.onnx.refusal import traced
from converter.semantics.tensorflow.arrays import number
from converter.semantics.tensorflow.operator import Operation
from converter.tracing.affine import Affine
from converter.tracing.codes import check_levels, expand, present, recode, recoded
from converter.tracing.pointwise import codes_of
from converter.tracing.views import Origin

_NEGATIVE = "counts codes below zero, which is an error"
_ANY_TEXT = "turns numbers into text"
# What the number of indicators that stand side by side may be.
_MAX_WIDTH = 1 << 13


def bucketize(input: Any, *, boundaries: Any, T: Any) -> Any:
    edges = np.asarray(boundaries, dtype=np.float32).astype(np.float64)
    if not np.isfinite(edges).all() or (np.diff(edges) < 0).any():
        raise ValueError("has boundaries that do not rise")
    levels = Bins(tuple(edges.tolist()), types=(T if T == "float64" else "float32",))
    return recode(input, levels, np.arange(levels.count))


def dense_bincount(
    input: Any, size: Any, weights: Any, *, T: Any = "float32", binary_output: bool = False
) -> Any:
    """Count how often each code stands in a row, or say whether it does."""
    count = number(size, "a number of codes")
    if not 0 < count <= _MAX_WIDTH:
        raise NotAffine(f"counts {count:,} codes one by one")
    if np.ndim(input) != 2 or not traced(input):
        raise NotAffine("counts codes of all rows together")
    input = _without_negative(input)
    kind = "i" if T in ("int32", "int64") else "f"
    if binary_output:
        return present(input, Codes(count), np.eye(count, dtype=bool), zeros=True).as_kind(kind)
    rows = expand(input, Codes(count), np.eye(count, dtype=bool), zeros=True)
    if traced(weights):
        raise NotAffine("weights a count by a value that depends on the input")
    if np.size(weights):
        rows = np.multiply(rows, np.expand_dims(weights, -1))
    return np.sum(rows, axis=1).as_kind(kind)


def _without_negative(codes: Affine) -> Affine:
    """Return codes without the levels whose code is below zero, which is an error.

    A table gives what it does not know -1, where there is no bucket for it.

    Raises
    ------
    NotAffine
        If other levels have such codes.
    """
    found = codes_of(codes)
    if found is None or not any(_below_zero(origin) for origin in found.origins):
        return codes
    resolved = []
    for origin in found.origins:
        levels, values = origin.levels, origin.values
        if not _below_zero(origin):
            if levels is None or values is None:
                raise NotAffine(_NEGATIVE)
        elif (
            not isinstance(levels, Vocabulary)
            or values is None
            or not np.array_equal(np.flatnonzero(values < 0), levels.strangers)
        ):
            raise NotAffine(_NEGATIVE)
        else:
            values = np.delete(values, levels.strangers)
            levels = replace(levels, buckets=0)
        resolved.append((levels, values))
    return recoded(codes.tape, found, resolved)


def _below_zero(origin: Origin) -> bool:
    return origin.values is not None and bool((origin.values < 0).any())


def _hashed(input: Any, count: int, salt: Any, hashing: str) -> Any:
    if not isinstance(input, Affine) or input.kind != "s":
        raise NotAffine("hashes what is no text of an input")
    check_levels(count)
    return recode(input, Hashed(count, None, salt, hashing), np.arange(count))


def string_to_hash_bucket_fast(input: Any, *, num_buckets: int) -> Any:
    return _hashed(input, num_buckets, None, "fingerprint")


def string_to_hash_bucket_strong(input: Any, *, num_buckets: int, key: Any) -> Any:
    return _hashed(input, num_buckets, salt_of(key), "siphash")


def as_string(
    input: Any,
    *,
    T: Any,
    precision: int = -1,
    scientific: bool = False,
    shortest: bool = False,
    width: int = -1,
    fill: str = "",
) -> Any:
    """Write whole numbers in decimal, as they are hashed anyway."""
    if T not in ("int32", "int64") or width != -1 or fill or scientific or shortest:
        raise NotAffine(_ANY_TEXT)
    found = codes_of(input) if isinstance(input, Affine) and input.kind != "c" else None
    if found is None or any(origin.changed for origin in found.origins):
        raise NotAffine(_ANY_TEXT)
    return input.as_kind("s")


def look_up(keys: Any, values: Any, x: Any, default: Any) -> Any:
    """Return the value that stands beside a key, in a table that the file holds."""
    if traced(default) or np.size(default) != 1:
        raise NotAffine("looks up with a default that depends on the input")
    if values.dtype.kind not in "iuf" or np.asarray(default).dtype.kind not in "iuf":
        raise NotAffine("turns codes into tokens, which are no numbers")
    text = keys.dtype.kind == "O"
    if not text and keys.dtype.kind not in "iu":
        raise NotAffine("looks numbers up that are not whole")
    if not traced(x):
        raise NotAffine("looks up a constant")
    levels = Vocabulary(tuple(keys.tolist()))
    table = np.append(np.asarray(default).astype(values.dtype), values)
    if table.dtype.kind == "f":
        return expand(x, levels, table[:, None].astype(np.float64))[..., 0]
    return recode(x, levels, table)


OPERATIONS: dict[str, Operation] = {
    "AsString": Operation(as_string),
    "Bucketize": Operation(bucketize),
    "DenseBincount": Operation(dense_bincount),
    "LookupTableFindV2": Operation(look_up, text=True),
    "StringToHashBucketFast": Operation(string_to_hash_bucket_fast),
    "StringToHashBucketStrong": Operation(string_to_hash_bucket_strong),
}
