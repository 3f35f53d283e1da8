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


@dataclass(frozen=True)
class Truth:
    """What the reference computes.

    Parameters
    ----------
    affine : bool
        At points of several scales, near zero and far from it, the output is between others where
        the points are, to single precision.
    points, values : list of ndarray
    """

    affine: bool
    points: list[np.ndarray]
    values: list[np.ndarray]


def truth(variant: Variant, output: int) -> Truth:
    """Return what the reference says of one output.

    Raises
    ------
    Undecided
        If the output cannot be computed, or holds no finite numbers.
    """
    runner = _runner(variant)
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

    points = [np.zeros(variant.shape)]
    for scale in (1.0, 0.1, 30.0):
        a, b = (rng.standard_normal(variant.shape) * scale for _ in range(2))
        points += [a, b, 0.25 * a + 0.75 * b, -a]
    points = [p.astype(variant.dtype).astype(np.float64) for p in points]
    values = [run(points[0])]
    if not 0 < values[0].size <= _MAX_OUTPUT or not np.isfinite(values[0]).all():
        raise Undecided("empty, too large, or not finite at zero")
    for point in points[1:]:
        values.append(run(point))
        if values[-1].shape != values[0].shape or not np.isfinite(values[-1]).all():
            return Truth(False, points, values)
    for start in (1, 5, 9):
        a, b, between, minus = values[start : start + 4]
        size = max(1e-3, *(np.abs(v).max(initial=0.0) for v in (a, b, between, minus)))
        if np.abs(0.25 * a + 0.75 * b - between).max(initial=0.0) > 1e-4 * size:
            return Truth(False, points, values)
        if np.abs(a + minus - 2 * values[0]).max(initial=0.0) > 2e-4 * size:
            return Truth(False, points, values)
    return Truth(True, points, values)


def _runner(variant: Variant) -> ReferenceEvaluator:
    try:
        return ReferenceEvaluator(variant.model)
    except Exception as error:
        raise Undecided(f"{type(error).__name__}: {error}") from None
