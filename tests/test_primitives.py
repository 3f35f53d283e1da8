"""Each tape primitive passes the dot test: ``<A u, v> == <u, A* v>``."""

from __future__ import annotations

import numpy as np
import pytest

from converter.tracing import primitives as p

RNG = np.random.default_rng(2)


def _index(size, source, empty=False):
    index = RNG.integers(-1 if empty else 0, source, size)
    return index.astype(np.intp)


CASES = {
    "add": (p.Add(3), [(2, 3)] * 3, (2, 3)),
    "scale": (p.Scale(RNG.normal(size=(3, 1))), [(2, 3, 4)], (2, 3, 4)),
    "scale_by_float32": (p.Scale(RNG.normal(size=4).astype("f4")), [(2, 4)], (2, 4)),
    "shift": (p.Shift(RNG.normal(size=3)), [(2, 3)], (2, 3)),
    "reshape": (p.Take((2, 6), (3, 4)), [(2, 6)], (3, 4)),
    "take": (p.Take((2, 3), (5,), _index(5, 6)), [(2, 3)], (5,)),
    "take_with_gaps": (p.Take((6,), (4, 2), _index(8, 6, True)), [(6,)], (4, 2)),
    "permute": (p.Take((6,), (6,), RNG.permutation(6)), [(6,)], (6,)),
    "join": (
        p.Join([(3,), (2, 1)], [np.array([6, 0, 3]), np.array([1, 2])], (7,)),
        [(3,), (2, 1)],
        (7,),
    ),
    "sum": (p.Sum((2, 3, 4), (0, 2)), [(2, 3, 4)], (1, 3, 1)),
    "broadcast": (p.Broadcast((3, 1), (2, 3, 4)), [(3, 1)], (2, 3, 4)),
    "contract": (p.Contract(RNG.normal(size=(4, 5)), "ab", "bc", "ac"), [(2, 4)], (2, 5)),
    "contract_many": (
        p.Contract(RNG.normal(size=(3, 4, 5)), "abic", "acd", "adbi"),
        [(3, 2, 6, 4)],
        (3, 5, 2, 6),
    ),
    "contract_outer": (p.Contract(RNG.normal(size=(4,)), "a", "b", "ba"), [(3,)], (4, 3)),
    "contract_blocks": (
        p.Contract(RNG.normal(size=(300, 700)).astype("f4"), "ab", "bc", "ac"),
        [(2, 300)],
        (2, 700),
    ),
    "contract_transposed": (
        p.Contract(RNG.normal(size=(700, 300)).astype("f4").T, "ab", "bc", "ac"),
        [(2, 300)],
        (2, 700),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_dot(name):
    primitive, sources, target = CASES[name]
    us = [RNG.normal(size=(3, *source)) for source in sources]
    v = RNG.normal(size=(3, *target))
    forward, back = primitive.forward(*us), primitive.adjoint(v)
    assert forward.shape == v.shape
    assert [b.shape for b in back] == [u.shape for u in us]
    left = (forward * v).sum()
    right = sum((u * b).sum() for u, b in zip(us, back, strict=True))
    assert left == pytest.approx(right, rel=1e-11)


@pytest.mark.parametrize("source", ["contract", "contract_many", "contract_outer"])
def test_contract_is_einsum(source):
    primitive, (shape,), _ = CASES[source]
    u = RNG.normal(size=(3, *shape))
    expected = np.einsum(
        f"Z{primitive.source},{primitive.labels}->Z{primitive.target}", u, primitive.constant
    )
    np.testing.assert_allclose(primitive.forward(u), expected, rtol=1e-12, atol=1e-12)


def test_repeated_rows_are_multiplied_once_and_come_back_in_place():
    matrix = RNG.normal(size=(300, 400)).astype("f4")
    rows = RNG.normal(size=(3, 300))[[0, 1, 0, 2, 1]]
    rows[3] = 0.0
    np.testing.assert_allclose(p.product(rows, matrix), rows @ matrix, rtol=1e-12, atol=1e-11)


def test_a_weight_that_is_not_finite_is_found_in_any_block():
    matrix = np.ones((500, 500), dtype="f4")
    matrix[499, 3] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        p.product(np.ones((1, 500)), matrix)
    huge = np.full((2, 3), 1e308)
    assert p.finite(huge) is huge
