"""Variants of ONNX's own conformance cases: one operand is the input, the others constants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.reference import ReferenceEvaluator

# Larger cases (pictures of 224 x 224) only take time.
_MAX_INPUT = 600
_MAX_OUTPUT = 20_000
_FLOATS = {TensorProto.FLOAT: np.float32, TensorProto.DOUBLE: np.float64}


@dataclass(frozen=True)
class Variant:
    """A conformance case with a single input.

    Parameters
    ----------
    name : str
        ``case/input``.
    model : ModelProto
    input : str
    shape : tuple of int
    dtype : type
    sample : ndarray
        The case's own value of the input.
    """

    name: str
    model: onnx.ModelProto
    input: str
    shape: tuple[int, ...]
    dtype: Any
    sample: np.ndarray


def variants() -> Iterator[Variant]:
    """Yield all variants of all cases of the installed onnx."""
    for case in collect_testcases(""):
        model = case.model
        if model is None or not case.data_sets or not model.graph.node:
            continue
        given = case.data_sets[0][0]
        inputs = list(model.graph.input)
        if len(given) != len(inputs):
            continue
        for place, declared in enumerate(inputs):
            kind = declared.type.tensor_type.elem_type
            if not declared.type.HasField("tensor_type") or kind not in _FLOATS:
                continue
            value = given[place]
            if not isinstance(value, np.ndarray) or not 0 < value.size <= _MAX_INPUT:
                continue
            variant = _with_constants(model, inputs, given, place)
            if variant is not None:
                yield Variant(
                    f"{case.name}/{declared.name}",
                    variant,
                    declared.name,
                    value.shape,
                    _FLOATS[kind],
                    value,
                )


def _with_constants(
    model: onnx.ModelProto, inputs: list[Any], given: list[Any], place: int
) -> onnx.ModelProto | None:
    """Return the model with all inputs but one made constants (sequences, optionals too)."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    nodes: list[onnx.NodeProto] = []
    for number, (declared, value) in enumerate(zip(inputs, given, strict=True)):
        if number == place:
            continue
        name = declared.name
        if value is None:
            nodes.append(helper.make_node("Optional", [], [name], type=_element(declared.type)))
        elif isinstance(value, list):
            parts = [f"{name}_part{i}" for i in range(len(value))]
            for part, array in zip(parts, value, strict=True):
                if not isinstance(array, np.ndarray):
                    return None
                graph.initializer.append(numpy_helper.from_array(array, part))
            if not parts:
                return None
            nodes.append(helper.make_node("SequenceConstruct", parts, [name]))
        elif isinstance(value, np.ndarray):
            graph.initializer.append(numpy_helper.from_array(value, name))
        elif isinstance(value, onnx.TensorProto):
            tensor = onnx.TensorProto()
            tensor.CopyFrom(value)
            tensor.name = name
            graph.initializer.append(tensor)
        else:
            return None
    kept = onnx.ValueInfoProto()
    kept.CopyFrom(inputs[place])
    del graph.input[:]
    graph.input.append(kept)
    del kept
    kind = graph.input[0].type.tensor_type
    kind.shape.Clear()
    for size in given[place].shape:
        kind.shape.dim.add().dim_value = size
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    return made


def _element(type_: onnx.TypeProto) -> onnx.TypeProto:
    return type_.optional_type.elem_type if type_.HasField("optional_type") else type_


class Undecided(Exception):
    """The reference cannot compute the case, or its output is not one of numbers."""


def truth(variant: Variant, output: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the affine map of one output in the input, by the reference; None if it is not affine.

    Affine means here: at random points of several scales, far from and near the case's own, the
    output is what its differences along the axes say.

    Raises
    ------
    Undecided
        If the output cannot be computed, or holds no finite numbers.
    """
    try:
        runner = ReferenceEvaluator(variant.model)
    except Exception as error:
        raise Undecided(f"{type(error).__name__}: {error}") from None
    rng = np.random.default_rng(1)

    def run(x: np.ndarray) -> np.ndarray:
        try:
            with np.errstate(all="ignore"):
                found = runner.run(None, {variant.input: x.astype(variant.dtype)})[output]
        except Exception as error:
            raise Undecided(f"{type(error).__name__}: {error}") from None
        if not isinstance(found, np.ndarray) or found.dtype.kind != "f":
            raise Undecided("no array of floating point numbers")
        return np.asarray(found, dtype=np.float64)

    size = int(np.prod(variant.shape))
    centre = np.zeros(variant.shape)
    base = run(centre)
    if base.size > _MAX_OUTPUT or not np.isfinite(base).all():
        raise Undecided("too large, or not finite at zero")
    for scale in (1.0, 0.1, 30.0):
        a, b = (rng.standard_normal(variant.shape) * scale for _ in range(2))
        values = [run(p) for p in (a, b, 0.25 * a + 0.75 * b, -a)]
        if any(v.shape != base.shape for v in values):
            return None
        if not all(np.isfinite(v).all() for v in values):
            return None
        between = 0.25 * values[0] + 0.75 * values[1]
        size_of = max(1e-3, *(np.abs(v).max(initial=0.0) for v in values))
        if np.abs(between - values[2]).max(initial=0.0) > 1e-4 * size_of:
            return None
        if np.abs(values[0] + values[3] - 2 * base).max(initial=0.0) > 2e-4 * size_of:
            return None
    coef = np.empty((base.size, size))
    for place in range(size):
        step = np.zeros(size)
        step[place] = 1.0
        coef[:, place] = (run(step.reshape(variant.shape)) - base).reshape(-1)
    return coef, base.reshape(-1)
