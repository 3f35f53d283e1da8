"""Random graphs of affine and other operators: the verdict and the numbers are the reference's.

Run all 2,000 graphs with ``pytest -m slow tests/test_random_graphs.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from onnx_zoo import ROWS, Graph

import converter

_SIZES = (2, 3, 4)


class _Builder:
    """Draws operators one by one; each value has a shape behind its rows."""

    def __init__(self, draw, seed):
        self.draw = draw
        self.graph = Graph(rng=np.random.default_rng(seed))
        shape = (draw(st.sampled_from(_SIZES)), draw(st.sampled_from(_SIZES)))
        self.inputs = {"x": [ROWS, *shape]}
        self.values = [("x", shape)]

    def one(self):
        return self.draw(st.sampled_from(self.values))

    def add(self, operation, inputs, shape, **attributes):
        name = self.graph.add(operation, *inputs, **attributes)
        self.values.append((name, tuple(shape)))

    def weight(self, *shape):
        """Return a constant whose elements are neither zero nor one."""
        rng = self.graph.rng
        return self.graph.constant(rng.uniform(0.3, 0.9, shape) * rng.choice([-1.0, 1.0], shape))

    def two_alike(self):
        name, shape = self.one()
        alike = [v for v in self.values if v[1] == shape and v[0] != name]
        if not alike:
            return None
        return name, self.draw(st.sampled_from(alike))[0], shape


def matmul(b):
    name, shape = b.one()
    if shape:
        size = b.draw(st.sampled_from(_SIZES))
        b.add("MatMul", [name, b.weight(shape[-1], size)], (*shape[:-1], size))


def product_from_the_left(b):
    name, shape = b.one()
    if len(shape) == 2:
        size = b.draw(st.sampled_from(_SIZES))
        b.add("MatMul", [b.weight(size, shape[0]), name], (size, shape[1]))


def elementwise(b):
    name, shape = b.one()
    constant = b.weight(*shape) if b.draw(st.booleans()) else b.weight()
    operation = b.draw(st.sampled_from(["Add", "Sub", "Mul", "Div"]))
    left = b.draw(st.booleans()) and operation != "Div"
    b.add(operation, [constant, name] if left else [name, constant], shape)


def sum_of_two(b):
    pair = b.two_alike()
    if pair:
        b.add(b.draw(st.sampled_from(["Add", "Sub", "Mean", "Sum"])), pair[:2], pair[2])


def joined(b):
    pair = b.two_alike()
    if pair and pair[2]:
        b.add("Concat", pair[:2], (2 * pair[2][0], *pair[2][1:]), axis=1)


def sliced(b):
    name, shape = b.one()
    if shape and shape[0] > 1:
        start = b.draw(st.integers(0, shape[0] - 2))
        bounds = [b.graph.integers(start), b.graph.integers(shape[0]), b.graph.integers(1)]
        b.add("Slice", [name, *bounds], (shape[0] - start, *shape[1:]))


def gathered(b):
    name, shape = b.one()
    if shape:
        # The largest of two equal elements would be affine, and not provably so.
        places = b.draw(st.permutations(range(shape[-1])))[: b.draw(st.integers(1, 4))]
        indices = b.graph.integers(*places)
        b.add("Gather", [name, indices], (*shape[:-1], len(places)), axis=len(shape))


def flattened(b):
    name, shape = b.one()
    if len(shape) == 2:
        b.add("Flatten", [name], (shape[0] * shape[1],))


def folded(b):
    name, shape = b.one()
    if len(shape) == 1 and shape[0] % 2 == 0:
        b.add("Reshape", [name, b.graph.integers(0, 2, -1)], (2, shape[0] // 2))


def turned(b):
    name, shape = b.one()
    if len(shape) == 2:
        b.add("Transpose", [name], shape[::-1], perm=[0, 2, 1])


def reduced(b):
    name, shape = b.one()
    if len(shape) == 2:
        operation = b.draw(st.sampled_from(["ReduceSum", "ReduceMean"]))
        axis = b.draw(st.integers(1, 2))
        rest = shape[:1] if axis == 2 else shape[1:]
        if operation == "ReduceSum":
            b.add(operation, [name, b.graph.integers(axis)], rest, keepdims=0)
        else:
            b.add(operation, [name], rest, axes=[axis], keepdims=0)


def accumulated(b):
    name, shape = b.one()
    if shape:
        axis = b.graph.constant(len(shape), np.int64)
        b.add("CumSum", [name, axis], shape, reverse=int(b.draw(st.booleans())))


def chosen(b):
    pair = b.two_alike()
    if pair:
        mask = b.graph.constant(b.graph.rng.integers(0, 2, pair[2]), bool)
        b.add("Where", [mask, *pair[:2]], pair[2])


def padded(b):
    name, shape = b.one()
    if len(shape) == 2 and shape[1] > 1:
        mode = b.draw(st.sampled_from(["constant", "edge", "reflect"]))
        pads = b.graph.integers(0, 0, 1, 0, 0, 0)
        b.add("Pad", [name, pads], (shape[0], shape[1] + 1), mode=mode)


def convolved(b):
    name, shape = b.one()
    if len(shape) == 2 and shape[1] > 1:
        size = b.draw(st.sampled_from(_SIZES))
        weights = [b.weight(size, shape[0], 2), b.weight(size)]
        b.add("Conv", [name, *weights], (size, shape[1]), pads=[0, 1], kernel_shape=[2])


def contracted(b):
    name, shape = b.one()
    if len(shape) == 2:
        b.add("Einsum", [name, b.weight(*shape)], (shape[1],), equation="nij,ij->nj")


AFFINE = [
    matmul,
    product_from_the_left,
    elementwise,
    sum_of_two,
    joined,
    sliced,
    gathered,
    flattened,
    folded,
    turned,
    reduced,
    accumulated,
    chosen,
    padded,
    convolved,
    contracted,
]


def activated(b):
    name, shape = b.one()
    names = ["Relu", "Tanh", "Sigmoid", "Abs", "Exp", "Softplus", "Elu", "Sin"]
    b.add(b.draw(st.sampled_from(names)), [name], shape)


def multiplied(b):
    pair = b.two_alike()
    if pair:
        b.add("Mul", pair[:2], pair[2])


def squared(b):
    name, shape = b.one()
    b.add("Pow", [name, b.graph.constant(2.0)], shape)


def largest(b):
    name, shape = b.one()
    if len(shape) == 2 and shape[1] > 1:
        b.add("ReduceMax", [name], shape[:1], axes=[2], keepdims=0)


def softened(b):
    name, shape = b.one()
    if shape and shape[-1] > 1:
        b.add("Softmax", [name], shape, axis=-1)


OTHER = [activated, multiplied, squared, largest]


@st.composite
def graphs(draw):
    builder = _Builder(draw, draw(st.integers(0, 2**31)))
    for _ in range(draw(st.integers(1, 9))):
        # One operator in five spoils whatever it touches.
        kind = OTHER if draw(st.integers(0, 4)) == 0 else AFFINE
        draw(st.sampled_from(kind))(builder)
    if draw(st.integers(0, 4)) == 0:
        # At the end alone: sums of probabilities are one, wherever they are taken.
        softened(builder)
    output, _ = builder.values[-1]
    return builder.graph.model([output], builder.inputs), builder.inputs["x"][1:]


def _is_affine(run, shape, rng):
    zero = run(np.zeros((1, *shape)))
    for scale in (0.3, 3.0, 30.0):
        a, b = (rng.standard_normal((1, *shape)) * scale for _ in range(2))
        values = [run(a), run(b), run(0.25 * a + 0.75 * b), run(-a)]
        if not all(np.isfinite(value).all() for value in values):
            return False
        size = max(1e-12, *(np.abs(value).max() for value in values))
        if np.abs(0.25 * values[0] + 0.75 * values[1] - values[2]).max() > 1e-9 * size:
            return False
        if np.abs(values[0] + values[3] - 2 * zero).max() > 1e-9 * size:
            return False
    return True


def assert_verdict_and_numbers(tmp_path, model, shape):
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    runner = ReferenceEvaluator(model)

    def run(x):
        with np.errstate(all="ignore"):
            return runner.run(None, {"x": x})[0]

    rng = np.random.default_rng(0)
    found = converter.inspect(path)
    if found.verdict == "rejected":
        points = [run(rng.standard_normal((1, *shape))) for _ in range(2)]
        if np.allclose(*points, rtol=1e-9, atol=1e-12):
            return  # what does not depend on the input is no regression, affine or not
        assert not _is_affine(run, shape, rng), found.findings
        return
    assert (found.link == "identity") == _is_affine(run, shape, rng)
    x = rng.standard_normal((5, *shape))
    expected = run(x).reshape(5, -1)
    computed = converter.fold(path).predict(x)
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(computed, expected, rtol=0, atol=1e-9 * scale)


_KEPT = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]


@settings(max_examples=150, deadline=None, suppress_health_check=_KEPT, derandomize=True)
@given(case=graphs())
def test_some_random_graphs(tmp_path, case):
    assert_verdict_and_numbers(tmp_path, *case)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, suppress_health_check=_KEPT, database=None)
@given(case=graphs())
def test_many_random_graphs(tmp_path, case):
    assert_verdict_and_numbers(tmp_path, *case)
