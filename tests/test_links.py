"""Links, however a file spells them; and what only looks like one."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from onnx_zoo import Graph, saved

import converter


def _eta(g: Graph, outputs: int = 1) -> str:
    return g.add("Add", g.add("MatMul", "x", g.weight(4, outputs)), g.weight(outputs))


def _one(g: Graph) -> str:
    return g.constant(1.0)


def _half(g: Graph) -> str:
    return g.constant(0.5)


def sigmoid(g):
    return g.add("Sigmoid", _eta(g))


def reciprocal_of_one_plus_exp(g):
    e = g.add("Exp", g.add("Neg", _eta(g)))
    return g.add("Div", _one(g), g.add("Add", _one(g), e))


def reciprocal_operator(g):
    e = g.add("Exp", g.add("Mul", _eta(g), g.constant(-1.0)))
    return g.add("Reciprocal", g.add("Add", e, _one(g)))


def exp_over_one_plus_exp(g):
    e = g.add("Exp", _eta(g))
    return g.add("Div", e, g.add("Add", _one(g), e))


def shifted_odds(g):
    # 3 / (3 + 5 exp(-x)) = sigmoid(x - log(5 / 3))
    e = g.add("Mul", g.constant(5.0), g.add("Exp", g.add("Neg", _eta(g))))
    return g.add("Div", g.constant(3.0), g.add("Add", g.constant(3.0), e))


def tanh_form(g):
    t = g.add("Tanh", g.add("Div", _eta(g), g.constant(2.0)))
    return g.add("Mul", _half(g), g.add("Add", _one(g), t))


def tanh_form_expanded(g):
    t = g.add("Mul", g.add("Tanh", g.add("Mul", _eta(g), _half(g))), _half(g))
    return g.add("Add", t, _half(g))


def one_minus_sigmoid(g):
    return g.add("Sub", _one(g), g.add("Sigmoid", _eta(g)))


def pair(g):
    p = g.add("Sigmoid", _eta(g))
    return g.add("Concat", g.add("Sub", _one(g), p), p, axis=1)


def pair_normalised(g):
    both = pair(g)
    return g.add("Div", both, g.add("ReduceSum", both, g.integers(1)))


def two_sigmoids(g):
    eta = _eta(g)
    both = g.add("Sigmoid", g.add("Concat", g.add("Neg", eta), eta, axis=1))
    return g.add("Div", both, g.add("ReduceSum", g.add("Abs", both), g.integers(1)))


def second_of_two(g):
    return g.add("Gather", g.add("Softmax", _eta(g, 2), axis=1), g.integers(1), axis=1)


def sigmoid_moved(g):
    p = g.add("Transpose", g.add("Sigmoid", _eta(g, 3)), perm=[1, 0])
    return g.add("Transpose", g.add("Identity", g.add("Cast", p, to=TensorProto.DOUBLE)))


def softmax(g):
    return g.add("Softmax", _eta(g, 3), axis=-1)


def softmax_by_hand(g):
    e = g.add("Exp", _eta(g, 3))
    return g.add("Div", e, g.add("ReduceSum", e, g.integers(1)))


def softmax_stable(g):
    eta = _eta(g, 3)
    shifted = g.add("Sub", eta, g.add("ReduceMax", eta, axes=[1]))
    e = g.add("Exp", shifted)
    return g.add("Div", e, g.add("ReduceSum", e, g.integers(-1)))


def softmax_of_logarithms(g):
    return g.add("Exp", g.add("LogSoftmax", _eta(g, 3), axis=1))


def softmax_by_log_sum_exp(g):
    eta = _eta(g, 3)
    return g.add("Exp", g.add("Sub", eta, g.add("ReduceLogSumExp", eta, axes=[1])))


def softmax_by_log_of_sum(g):
    eta = _eta(g, 3)
    total = g.add("ReduceSum", g.add("Exp", eta), g.integers(1))
    return g.add("Exp", g.add("Sub", eta, g.add("Log", total)))


def softmax_of_groups(g):
    grouped = g.add("Reshape", _eta(g, 6), g.integers(-1, 2, 3))
    return g.add("Softmax", grouped, axis=2)


def softmax_of_a_middle_axis(g):
    grouped = g.add("Exp", g.add("Reshape", _eta(g, 6), g.integers(-1, 2, 3)))
    return g.add("Div", grouped, g.add("ReduceSum", grouped, g.integers(1)))


def softmax_with_temperature(g):
    return g.add("Softmax", g.add("Div", _eta(g, 3), g.constant(2.5)), axis=1)


def two_softmaxes(g):
    narrow, wide = g.add("Softmax", _eta(g, 2), axis=1), g.add("Softmax", _eta(g, 3), axis=1)
    return g.add("Concat", narrow, wide, axis=1)


def two_exponentials(g):
    return g.add("Concat", g.add("Exp", _eta(g)), g.add("Exp", _eta(g, 3)), axis=1)


def softmax_repeated(g):
    p = g.add("Unsqueeze", g.add("Softmax", _eta(g, 3), axis=1), g.integers(1))
    return g.add("Tile", p, g.integers(1, 2, 1))


def softmax_with_each_element_repeated(g):
    p = g.add("Unsqueeze", g.add("Softmax", _eta(g, 3), axis=1), g.integers(2))
    return g.add("Reshape", g.add("Tile", p, g.integers(1, 1, 2)), g.integers(-1, 6))


def mean_of_a_repeated_softmax(g):
    return g.add("ReduceMean", softmax_repeated(g), axes=[1], keepdims=0)


def both_of_two_and_one_again(g):
    p = g.add("Softmax", _eta(g, 2), axis=1)
    return g.add("Gather", p, g.integers(0, 1, 1), axis=1)


def sum_of_a_repeated_exp(g):
    e = g.add("Tile", g.add("Exp", _eta(g)), g.integers(1, 3))
    return g.add("ReduceSum", e, g.integers(1))


def relu_of_a_probability(g):
    return g.add("Relu", g.add("Sigmoid", _eta(g)))


def elu_of_a_softmax(g):
    return g.add("Elu", g.add("Softmax", _eta(g, 3), axis=1), alpha=0.3)


def clipped_probability(g):
    return g.add("Clip", g.add("Sigmoid", _eta(g)), g.constant(0.0), g.constant(1.0))


def positive_part_of_an_exp(g):
    return g.add("Max", g.add("Exp", _eta(g)), g.constant(0.0))


def slope_of_an_exp(g):
    return g.add("LeakyRelu", g.add("Exp", _eta(g)), alpha=0.2)


def exp(g):
    return g.add("Exp", _eta(g, 2))


def scaled_exp(g):
    return g.add("Div", g.add("Exp", _eta(g)), g.constant(4.0))


def reciprocal_exp(g):
    return g.add("Reciprocal", g.add("Exp", _eta(g)))


def probit(g):
    z = g.add("Mul", _eta(g), g.constant(np.sqrt(0.5)))
    return g.add("Mul", _half(g), g.add("Add", _one(g), g.add("Erf", z)))


def cloglog(g):
    inner = g.add("Neg", g.add("Exp", _eta(g)))
    return g.add("Sub", _one(g), g.add("Exp", inner))


def log_of_exp(g):
    return g.add("Log", g.add("Mul", g.add("Exp", _eta(g)), g.constant(3.0)))


LINKS = {
    sigmoid: "logit",
    reciprocal_of_one_plus_exp: "logit",
    reciprocal_operator: "logit",
    exp_over_one_plus_exp: "logit",
    shifted_odds: "logit",
    tanh_form: "logit",
    tanh_form_expanded: "logit",
    one_minus_sigmoid: "logit",
    pair: "logit",
    pair_normalised: "logit",
    two_sigmoids: "logit",
    second_of_two: "logit",
    sigmoid_moved: "logit",
    softmax: "softmax",
    softmax_by_hand: "softmax",
    softmax_stable: "softmax",
    softmax_of_logarithms: "softmax",
    softmax_by_log_sum_exp: "softmax",
    softmax_by_log_of_sum: "softmax",
    softmax_of_groups: "softmax",
    softmax_of_a_middle_axis: "softmax",
    softmax_with_temperature: "softmax",
    two_softmaxes: "softmax",
    two_exponentials: "log",
    softmax_repeated: "softmax",
    softmax_with_each_element_repeated: "softmax",
    mean_of_a_repeated_softmax: "softmax",
    both_of_two_and_one_again: "logit",
    sum_of_a_repeated_exp: "log",
    relu_of_a_probability: "logit",
    elu_of_a_softmax: "softmax",
    clipped_probability: "logit",
    positive_part_of_an_exp: "log",
    slope_of_an_exp: "log",
    exp: "log",
    scaled_exp: "log",
    reciprocal_exp: "log",
    probit: "probit",
    cloglog: "cloglog",
    log_of_exp: "identity",
}


def tanh(g):
    return g.add("Tanh", _eta(g))


def scaled_sigmoid(g):
    return g.add("Mul", g.add("Sigmoid", _eta(g)), g.constant(2.0))


def sigmoid_of_sigmoid(g):
    return g.add("Sigmoid", g.add("Sigmoid", _eta(g)))


def negative_exp(g):
    return g.add("Neg", g.add("Exp", _eta(g)))


def exp_plus_one(g):
    return g.add("Add", g.add("Exp", _eta(g)), _one(g))


def pole(g):
    # 1 / (exp(x) - 1) is no sigmoid.
    return g.add("Reciprocal", g.add("Sub", g.add("Exp", _eta(g)), _one(g)))


def softmax_over_rows(g):
    return g.add("Softmax", _eta(g, 3), axis=0)


def softmax_of_everything(g):
    e = g.add("Exp", _eta(g, 3))
    return g.add("Div", e, g.add("ReduceSum", e, keepdims=1))


def two_of_three(g):
    return g.add("Gather", g.add("Softmax", _eta(g, 3), axis=1), g.integers(0, 2), axis=1)


def sum_of_two_others(g):
    p = g.add("Unsqueeze", g.add("Sigmoid", _eta(g, 2)), g.integers(2))
    return g.add("ReduceSum", g.add("Concat", p, p, axis=2), g.integers(1))


def clipped_inside(g):
    return g.add("Clip", g.add("Sigmoid", _eta(g)), g.constant(0.1), g.constant(1.0))


def relu_of_a_tanh(g):
    return g.add("Relu", g.add("Tanh", _eta(g)))


def capped_exp(g):
    return g.add("Min", g.add("Exp", _eta(g)), g.constant(1e30))


def two_softmaxes_cut_up(g):
    p, q = (g.add("Softmax", _eta(g, 3), axis=1) for _ in range(2))
    first = g.add("Gather", p, g.integers(0, 1), axis=1)
    return g.add("Concat", first, g.add("Gather", q, g.integers(2), axis=1), axis=1)


def one_of_three_repeated(g):
    p = g.add("Softmax", _eta(g, 3), axis=1)
    return g.add("Gather", p, g.integers(0, 1, 2, 2), axis=1)


def sum_of_a_repeated_softmax(g):
    return g.add("ReduceSum", softmax_repeated(g), g.integers(1))


def sum_of_another_exp(g):
    return g.add(
        "Div",
        g.add("Exp", _eta(g, 3)),
        g.add("ReduceSum", g.add("Exp", _eta(g, 3)), g.integers(1)),
    )


def shifted_by_another_maximum(g):
    shifted = g.add("Sub", _eta(g, 3), g.add("ReduceMax", _eta(g, 3), axes=[1]))
    e = g.add("Exp", shifted)
    # The shift cancels whatever it is, but not where it is not common to the group.
    return g.add("Div", e, g.add("ReduceSum", g.add("Exp", _eta(g, 3)), g.integers(1)))


def sigmoids_normalised(g):
    p = g.add("Sigmoid", _eta(g, 2))
    return g.add("Div", p, g.add("ReduceSum", p, g.integers(1)))


def log_softmax(g):
    return g.add("LogSoftmax", _eta(g, 3), axis=1)


def erf_alone(g):
    return g.add("Erf", _eta(g))


def product_of_links(g):
    return g.add("Mul", g.add("Sigmoid", _eta(g)), g.add("Sigmoid", _eta(g)))


def link_times_input(g):
    return g.add("Mul", "x", g.add("Sigmoid", _eta(g)))


def selected_by_threshold(g):
    # A relu by hand.
    eta = _eta(g)
    return g.add("Where", g.add("Greater", eta, g.constant(0.0)), eta, g.constant([0.0]))


def counted_labels(g):
    labels = g.add("Cast", g.add("Greater", g.add("Sigmoid", _eta(g)), _half(g)), to=11)
    return g.add("ReduceSum", labels, g.integers(0), keepdims=1)


NO_LINKS = [
    tanh,
    scaled_sigmoid,
    sigmoid_of_sigmoid,
    negative_exp,
    exp_plus_one,
    pole,
    softmax_over_rows,
    softmax_of_everything,
    sum_of_two_others,
    clipped_inside,
    relu_of_a_tanh,
    capped_exp,
    two_softmaxes_cut_up,
    one_of_three_repeated,
    sum_of_a_repeated_softmax,
    two_of_three,
    sum_of_another_exp,
    shifted_by_another_maximum,
    sigmoids_normalised,
    log_softmax,
    erf_alone,
    product_of_links,
    link_times_input,
    selected_by_threshold,
    counted_labels,
]


@pytest.mark.parametrize("case", LINKS, ids=lambda case: case.__name__)
def test_a_link_is_found(tmp_path, case):
    path, model = saved(tmp_path, case)
    found = converter.inspect(path)
    assert found.findings == ()
    assert found.link == LINKS[case]
    folded = converter.fold(path)
    x = np.random.default_rng(3).standard_normal((7, 4))
    (expected,) = ReferenceEvaluator(model).run(None, {"x": x})
    # The reference approximates erf.
    tolerance = 1e-5 if LINKS[case] == "probit" else 1e-9
    np.testing.assert_allclose(folded.predict(x), expected.reshape(7, -1), rtol=tolerance)


@pytest.mark.parametrize("case", NO_LINKS, ids=lambda case: case.__name__)
def test_what_is_no_link_is_refused(tmp_path, case):
    path, _ = saved(tmp_path, case)
    found = converter.inspect(path)
    assert found.verdict == "rejected"
    assert found.findings


def _classifier(g: Graph, decision: str) -> list[str]:
    p = g.add("Softmax", _eta(g, 3), axis=1)
    if decision == "ArgMax":
        return [g.add("ArgMax", p, axis=1, keepdims=0), p]
    q = g.add("Sigmoid", _eta(g))
    label = g.add("Cast", g.add("Greater", q, g.constant(0.5)), to=TensorProto.INT64)
    return [g.add("Reshape", label, g.integers(-1)), q]


@pytest.mark.parametrize("decision", ["ArgMax", "Greater"])
def test_labels_are_set_aside(tmp_path, decision):
    g = Graph()
    label, chances = _classifier(g, decision)
    path = tmp_path / "m.onnx"
    model = g.model([label, chances])
    model.graph.output[0].type.CopyFrom(helper.make_tensor_type_proto(TensorProto.INT64, None))
    path.write_bytes(model.SerializeToString())
    link = "softmax" if decision == "ArgMax" else "logit"
    found = converter.inspect(path)
    assert found.verdict == "linked"
    assert found.link == link
    assert [one.verdict for one in found.outputs] == ["label", "linked"]
    assert any("set aside" in note for note in found.notes)
    assert converter.fold(path).output_names[0].startswith(chances)
    # Asked for by itself, a decision is reported by its link, with a note.
    alone = converter.inspect(path, output=label)
    assert (alone.verdict, alone.link) == ("linked", link)
    assert any(decision in note for note in alone.notes)


def test_a_decision_on_scores_has_no_link(tmp_path):
    g = Graph()
    path = tmp_path / "m.onnx"
    path.write_bytes(g.model([g.add("ArgMax", _eta(g, 3), axis=1)]).SerializeToString())
    (finding,) = converter.inspect(path).findings
    assert finding.operation == "ArgMax"


def test_one_class_of_a_softmax_is_no_model(tmp_path):
    path, _ = saved(tmp_path, softmax)
    with pytest.raises(ValueError, match="one multinomial regression"):
        converter.fold(path).select(0)


def test_an_unused_link_does_no_harm(tmp_path):
    g = Graph()
    eta = _eta(g)
    g.add("Relu", g.add("Sigmoid", eta))
    path = tmp_path / "m.onnx"
    path.write_bytes(g.model([eta]).SerializeToString())
    assert converter.inspect(path).verdict == "affine"


def test_a_scale_for_each_column_moves_with_the_values(tmp_path):
    """A constant that broadcasts to a link, and is undone after the columns have moved."""
    g = Graph()
    factors = np.array([0.5, 2.0, 4.0])
    p = g.add("Mul", g.add("Sigmoid", _eta(g, 3)), g.constant(factors))
    p = g.add("Gather", p, g.integers(2, 0), axis=1)
    path = tmp_path / "m.onnx"
    model = g.model([g.add("Div", p, g.constant(factors[[2, 0]]))])
    path.write_bytes(model.SerializeToString())
    assert converter.inspect(path).link == "logit"
    x = np.random.default_rng(0).standard_normal((5, 4))
    (expected,) = ReferenceEvaluator(model).run(None, {"x": x})
    np.testing.assert_allclose(converter.fold(path).predict(x), expected, rtol=1e-12)
