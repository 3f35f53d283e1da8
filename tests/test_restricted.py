"""Regressions that the architecture restricts, against restricted and reduced-rank estimates."""

from __future__ import annotations

import keras
import numpy as np
import onnx
import pytest
import statsmodels.api as sm
from onnx import TensorProto, helper, numpy_helper

import converter

RNG = np.random.default_rng(20)
N = 300


def _onnx(path, nodes, weights, inputs, outputs):
    """Save a graph in double precision."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, TensorProto.DOUBLE, s) for n, s in inputs],
        [helper.make_tensor_value_info(n, TensorProto.DOUBLE, s) for n, s in outputs],
        [numpy_helper.from_array(np.asarray(v, dtype=np.float64), n) for n, v in weights.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def _smoother(path, kernel, bias):
    """A convolution over six values by a kernel of three, and the mean of its four results."""
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["r"]),
        helper.make_node("Conv", ["r", "kernel", "bias"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    weights = {"kernel": np.reshape(kernel, (1, 1, 3)), "bias": [bias]}
    _onnx(path, nodes, weights, [("x", ["n", 6])], [("y", ["n", 1])])
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 1, 6]), "shape"))
    onnx.save(model, path)
    return path


# A kernel (a, b, c) gives the six coefficients (a, a+b, a+b+c, a+b+c, b+c, c) / 4.
_SMOOTH = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1], [0, 1, 1], [0, 0, 1]]) / 4.0
# What these six satisfy: three equations.
_TIED = np.array(
    [
        [0, 0, 0, 1, -1, 0, 0],
        [0, 1, 0, -1, 0, 1, 0],
        [0, 0, 1, -1, 0, 0, 1],
    ]
)


@pytest.fixture(scope="module")
def rows():
    X = RNG.normal(size=(N, 6)) @ RNG.normal(size=(6, 6)) + 1.0
    return X, 2.0 + X @ RNG.normal(size=6) * 0.3 + RNG.normal(size=N)


def test_shared_kernel_is_restricted_least_squares(tmp_path, rows):
    """Against GLM's fit_constrained, but for the degrees of freedom in its scale."""
    X, y = rows
    peer = sm.GLM(y, sm.add_constant(X)).fit_constrained((_TIED, np.zeros(3)))
    best = np.linalg.lstsq(np.column_stack([np.ones(N), X @ _SMOOTH]), y, rcond=None)[0]
    path = _smoother(tmp_path / "m.onnx", best[1:], best[0])
    made = converter.convert(path, X, y, restricted=True)
    assert made.parameters == 4
    np.testing.assert_allclose(made.results.params, peer.params, rtol=1e-9)
    residual = y - made.results.predict()
    assert made.results.df_resid == N - 4
    assert made.results.scale == pytest.approx(residual @ residual / (N - 4), rel=1e-12)
    errors = np.asarray(peer.bse) * np.sqrt(made.results.scale / peer.scale)
    np.testing.assert_allclose(made.results.bse, errors, rtol=1e-8)
    assert made.optimality.verdict == "optimum"
    assert made.optimality.df == (4, N - 4)
    # Away from it, the restricted optimum is still found, and the distance is in its own errors.
    off = converter.convert(
        _smoother(tmp_path / "o.onnx", best[1:] * [1.1, 0.8, 1.0], best[0] + 0.2),
        X,
        y,
        restricted=True,
    )
    np.testing.assert_allclose(off.refit.params, peer.params, rtol=1e-9)
    np.testing.assert_allclose(off.refit.bse, errors, rtol=1e-8)
    difference = np.asarray(off.results.params - off.refit.params)
    drift = np.array(list(off.optimality.drift.values()))
    np.testing.assert_allclose(drift, difference / errors, rtol=1e-6)
    fitted = np.column_stack([np.ones(N), X]) @ difference
    statistic = fitted @ fitted / 4 / made.results.scale
    assert off.optimality.statistic == pytest.approx(statistic, rel=1e-9)
    # Without the restriction the same network is far from an optimum that it cannot reach.
    free = converter.convert(path, X, y)
    assert free.optimality.df == (7, N - 7)
    assert free.results.df_resid == N - 7
    topics = {one.topic for one in free.caveats}
    assert "restricted" not in topics
    assert "restricted" in {one.topic for one in made.caveats}


def test_robust_covariances_of_a_restricted_regression(tmp_path, rows):
    X, y = rows
    best = np.linalg.lstsq(np.column_stack([np.ones(N), X @ _SMOOTH]), y, rcond=None)[0]
    path = _smoother(tmp_path / "m.onnx", best[1:], best[0])
    made = converter.convert(path, X, y, restricted=True, cov_type="HC0")
    small = sm.OLS(y, sm.add_constant(X @ _SMOOTH)).fit(cov_type="HC0")
    to_terms = np.zeros((7, 4))
    to_terms[0, 0], to_terms[1:, 1:] = 1.0, _SMOOTH
    expected = to_terms @ small.cov_params() @ to_terms.T
    np.testing.assert_allclose(made.results.cov_params(), expected, rtol=1e-7, atol=1e-14)


def test_dense_chain_with_one_output_restricts_nothing(tmp_path, rows):
    X, y = rows
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"]),
        helper.make_node("Gemm", ["h", "v", "c"], ["y"]),
    ]
    weights = {
        "w": RNG.normal(size=(6, 3)),
        "b": RNG.normal(size=3),
        "v": RNG.normal(size=(3, 1)),
        "c": [0.3],
    }
    path = _onnx(tmp_path / "m.onnx", nodes, weights, [("x", ["n", 6])], [("y", ["n", 1])])
    plain, made = (converter.convert(path, X, y, restricted=one) for one in (False, True))
    assert made.parameters == plain.parameters == 7
    np.testing.assert_array_equal(made.results.bse, plain.results.bse)
    assert made.optimality == plain.optimality


@pytest.mark.parametrize("frozen", ["bias", "layer", "normalization"])
def test_what_was_not_trained_is_no_parameter(tmp_path, rows, frozen):
    X, y = rows
    layers = keras.layers
    first = layers.Dense(2, use_bias=False, trainable=frozen != "layer")
    stack = [keras.Input((6,)), first, layers.Dense(1)]
    expected = 7
    if frozen == "layer":
        expected = 3  # two directions of the inputs, and the intercept
    if frozen == "bias":
        stack[-1] = layers.Dense(1, use_bias=False)
        expected = 6
    if frozen == "normalization":
        # Shifts the inputs, so there is an intercept; it is not free.
        stack[1:1] = [layers.Normalization(mean=[1.0] * 6, variance=[2.0] * 6)]
        stack[-1] = layers.Dense(1, use_bias=False)
        expected = 6
    model = keras.Sequential(stack)
    model.compile("sgd", "mse")
    model.save(tmp_path / "m.keras")
    made = converter.convert(tmp_path / "m.keras", X, y, restricted=True)
    assert made.parameters == expected
    assert made.results.df_resid == N - expected
    assert len(made.results.params) == (6 if frozen == "bias" else 7)


def test_inputs_that_the_network_ignores_are_no_parameters(tmp_path, rows):
    X, y = rows
    nodes = [
        helper.make_node("Gather", ["x", "places"], ["some"], axis=1),
        helper.make_node("Gemm", ["some", "w", "b"], ["y"]),
    ]
    path = _onnx(
        tmp_path / "m.onnx",
        nodes,
        {"w": RNG.normal(size=(2, 1)), "b": [0.1]},
        [("x", ["n", 6])],
        [("y", ["n", 1])],
    )
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 4]), "places"))
    onnx.save(model, path)
    made = converter.convert(path, X, y, restricted=True)
    small = sm.OLS(y, sm.add_constant(X[:, [1, 4]])).fit()
    assert made.parameters == 3
    np.testing.assert_allclose(made.refit.params.iloc[[0, 2, 5]], small.params, rtol=1e-9)
    np.testing.assert_allclose(made.refit.bse.iloc[[0, 2, 5]], small.bse, rtol=1e-9)
    assert (made.refit.params.iloc[[1, 3, 4, 6]] == 0).all()


def test_logistic_regression_with_shared_weights(tmp_path, rows):
    """Within the plane it is the logistic regression on the sums that share a weight."""
    X, _ = rows
    total = X[:, :3].sum(axis=1), X[:, 3:].sum(axis=1)
    small_X = sm.add_constant(np.column_stack(total))
    y = (RNG.random(N) < 1.0 / (1.0 + np.exp(-small_X @ [0.2, 0.3, -0.2]))) * 1.0
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["r"]),
        helper.make_node("ReduceSum", ["r", "axis"], ["s"], keepdims=0),
        helper.make_node("Gemm", ["s", "w", "b"], ["h"]),
        helper.make_node("Sigmoid", ["h"], ["y"]),
    ]
    path = _onnx(
        tmp_path / "m.onnx",
        nodes,
        {"w": [[0.25], [-0.1]], "b": [0.1]},
        [("x", ["n", 6])],
        [("y", ["n", 1])],
    )
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 2, 3]), "shape"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([2]), "axis"))
    onnx.save(model, path)
    made = converter.convert(path, X, y, restricted=True)
    peer = sm.Logit(y, small_X).fit(disp=0, tol=1e-14)
    assert made.parameters == 3
    np.testing.assert_allclose(made.refit.params.iloc[[0, 1, 4]], peer.params, rtol=1e-8)
    np.testing.assert_allclose(made.refit.bse.iloc[[0, 1, 4]], peer.bse, rtol=1e-8)
    at = np.array([0.1, 0.25, -0.1])
    information = -sm.Logit(y, small_X).hessian(at)
    np.testing.assert_allclose(
        made.results.bse.iloc[[0, 1, 4]],
        np.sqrt(np.diag(np.linalg.inv(information))),
        rtol=1e-8,
    )
    score = sm.Logit(y, small_X).score(at)
    expected = score @ np.linalg.solve(information, score)
    assert made.optimality.statistic == pytest.approx(expected, rel=1e-8)
    assert made.optimality.df == (3,)
    assert made.results.df_resid == N - 3


def _reduced(X, Y):
    """Rank-one least squares with an intercept: coefficients (2, p) and intercepts (2,)."""
    center = X.mean(axis=0), Y.mean(axis=0)
    free = np.linalg.lstsq(X - center[0], Y - center[1], rcond=None)[0]
    axis = np.linalg.svd((X - center[0]) @ free, full_matrices=False)[2][:1]
    coef = (free @ axis.T @ axis).T
    return coef, center[1] - coef @ center[0]


def _bottleneck(path, coef, intercept):
    u, s, vt = np.linalg.svd(coef, full_matrices=False)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Gemm", ["h", "v", "c"], ["y"]),
    ]
    weights = {"w": vt[:1].T * s[0], "v": u[:, :1].T, "c": intercept}
    shape = [("x", ["n", coef.shape[1]])]
    return _onnx(path, nodes, weights, shape, [("y", ["n", 2])])


def test_bottleneck_is_reduced_rank_regression(tmp_path):
    """Standard errors against the spread of replications, coefficients against Eckart-Young."""
    p, noise = 3, np.linalg.cholesky([[1.0, 0.6], [0.6, 2.0]])
    X = RNG.normal(size=(N, p)) @ np.array([[1, 0.3, 0], [0, 1, 0.5], [0, 0, 1]])
    true = np.outer([1.0, -0.5], [0.5, 1.0, -0.7])

    def response():
        return 1.0 + X @ true.T + RNG.normal(size=(N, 2)) @ noise.T

    Y = response()
    coef, intercept = _reduced(X, Y)
    path = _bottleneck(tmp_path / "m.onnx", coef, intercept)
    made = converter.convert(path, X, Y, restricted=True)
    # p + 2 - 1 of a matrix of rank one, and two intercepts.
    names = list(made)
    assert [made[name].parameters for name in names] == [3.0, 3.0]
    for place, name in enumerate(names):
        one = made[name]
        assert one.optimality.verdict == "optimum"
        assert one.optimality.df == (p + 2 - 1 + 2,)
        np.testing.assert_allclose(one.refit.params, [intercept[place], *coef[place]], rtol=1e-9)
        assert one.results.df_resid == N - 3.0
    spread = np.std([np.ravel(_reduced(X, response())[0]) for _ in range(2000)], axis=0, ddof=1)
    errors = np.concatenate([np.asarray(made[name].results.bse)[1:] for name in names])
    np.testing.assert_allclose(errors, spread, rtol=0.15)
    free = converter.convert(path, X, Y)
    wide = np.concatenate([np.asarray(free[name].results.bse)[1:] for name in names])
    # The ordinary ones are those of another model: these data tell the two apart.
    assert (np.abs(wide / spread - 1.0) > 0.15).any()


def test_bottleneck_covariance_by_the_delta_method(tmp_path):
    """The sandwich, from the derivative of (w, v, c) -> coefficients written out by hand."""
    X = RNG.normal(size=(N, 3))
    Y = 1.0 + X @ np.outer([0.5, 1.0, -0.7], [1.0, -0.5]) + RNG.normal(size=(N, 2))
    coef, intercept = _reduced(X, Y)
    coef, intercept = coef * 1.05, intercept + 0.1  # not the optimum
    made = converter.convert(
        _bottleneck(tmp_path / "m.onnx", coef, intercept), X, Y, restricted=True
    )
    u, s, vt = np.linalg.svd(coef, full_matrices=False)
    w, v = vt[0] * s[0], u[:, 0]
    jacobian = np.zeros((8, 7))  # of (c1, b1, c2, b2) by (w, v, c)
    for k in range(2):
        block = slice(4 * k + 1, 4 * k + 4)
        jacobian[block, :3] = v[k] * np.eye(3)
        jacobian[block, 3 + k] = w
        jacobian[4 * k, 5 + k] = 1.0
    full = np.kron(np.eye(2), sm.add_constant(X))
    residual = Y - X @ coef.T - intercept
    sigma = residual.T @ residual / (N - 3)
    bread = jacobian @ np.linalg.pinv(jacobian.T @ full.T @ full @ jacobian) @ jacobian.T
    meat = full.T @ np.kron(sigma, np.eye(N)) @ full
    expected = np.sqrt(np.diag(bread @ meat @ bread))
    found = np.concatenate([np.asarray(one.results.bse) for one in made.values()])
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    assert {one.optimality.verdict for one in made.values()} == {"not at the optimum"}


def test_outputs_that_share_nothing_are_restricted_by_themselves(tmp_path, rows):
    X, y = rows
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"])]
    weights = {"w": RNG.normal(size=(6, 2)), "b": [0.1, 0.2]}
    path = _onnx(tmp_path / "m.onnx", nodes, weights, [("x", ["n", 6])], [("y", ["n", 2])])
    Y = np.column_stack([y, -y + X[:, 0]])
    plain, made = (converter.convert(path, X, Y, restricted=one) for one in (False, True))
    for name in plain:
        assert made[name].parameters == 7
        np.testing.assert_allclose(made[name].results.bse, plain[name].results.bse, rtol=1e-12)


def test_what_cannot_be_restricted_says_so(tmp_path, rows):
    X, y = rows
    with pytest.raises(ValueError, match="give the path"):
        converter.convert(converter.fold("fixtures/diabetes_l2.onnx"), X, y, restricted=True)
    coef, intercept = _reduced(X, np.column_stack([y, X[:, 0]]))
    path = _bottleneck(tmp_path / "m.onnx", coef, intercept)
    with pytest.raises(ValueError, match="share parameters"):
        converter.convert(path, X, np.column_stack([y, X[:, 0]]), restricted=True, cov_type="HC1")


@pytest.mark.parametrize("bias", [0.0, 1e-30, 1e-9, 1e-5, 0.1, 1e4])
def test_size_of_a_weight_decides_nothing(tmp_path, rows, bias):
    """Training leaves biases of 1e-9 where the target is centred: they are parameters."""
    X, y = rows
    layers = keras.layers
    hidden, last = layers.Dense(4, use_bias=False), layers.Dense(1)
    model = keras.Sequential([keras.Input((6,)), hidden, last])
    last.set_weights([last.get_weights()[0], np.array([bias])])
    model.compile("sgd", "mse")
    model.save(tmp_path / "m.keras")
    made = converter.convert(tmp_path / "m.keras", X, y, restricted=True)
    assert made.parameters == 7
    np.testing.assert_allclose(made.refit.bse, sm.OLS(y, sm.add_constant(X)).fit().bse, rtol=1e-9)


def test_units_of_the_columns_decide_nothing(tmp_path, rows):
    """A kernel over columns of 1e6 and of 1e-4, with a shared weight."""
    X, y = rows
    scale = np.array([1e6, 1e6, 1e-4, 1e-4, 1.0, 1e3])
    # Pairs share a weight: x1 with x2, x3 with x4.
    pairs = np.array(
        [[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]
    )
    small = sm.OLS(y, sm.add_constant((X * scale) @ pairs)).fit()
    nodes = [
        helper.make_node("MatMul", ["x", "shares"], ["s"]),
        helper.make_node("Gemm", ["s", "w", "b"], ["y"]),
    ]
    best = np.asarray(small.params)
    path = _onnx(
        tmp_path / "m.onnx",
        nodes,
        {"w": best[1:, None], "b": best[:1]},
        [("x", ["n", 6])],
        [("y", ["n", 1])],
    )
    model = onnx.load(path)
    whole = numpy_helper.from_array(pairs.astype(np.int64), "pairs")
    model.graph.initializer.append(whole)  # whole numbers are constants, not weights
    cast = helper.make_node("Cast", ["pairs"], ["shares"], to=TensorProto.DOUBLE)
    model.graph.node.insert(0, cast)
    onnx.save(model, path)
    made = converter.convert(path, X * scale, y, restricted=True)
    assert made.parameters == 5
    np.testing.assert_allclose(made.results.bse.iloc[[0, 1, 3, 5, 6]], small.bse, rtol=1e-6)
    assert made.optimality.max_drift < 1e-4  # of statsmodels, in such units


def test_what_belongs_to_an_ordinary_regression_is_refused(tmp_path, rows):
    X, y = rows
    best = np.linalg.lstsq(np.column_stack([np.ones(N), X @ _SMOOTH]), y, rcond=None)[0]
    path = _smoother(tmp_path / "m.onnx", best[1:], best[0])
    made = converter.convert(path, X, y, restricted=True)
    for results in (made.results, made.refit):
        for name in ("get_influence", "outlier_test"):
            with pytest.raises(ValueError, match="restricted"):
                getattr(results, name)()
        with pytest.raises(ValueError, match="restricted"):
            results.compare_f_test(sm.OLS(y, sm.add_constant(X[:, :2])).fit())
        # What rests on the covariance alone is right.
        assert np.isfinite(results.get_prediction().summary_frame()).all(axis=None)


@pytest.mark.parametrize(
    ("scale", "shift"),
    [((1.0, 1e10), 0.0), ((1e-9, 1e6), 0.0), ((1.0, 1.0), 3e4), ((1e5, 1.0), (1.7e9, 0.0))],
)
def test_columns_of_other_units_and_far_from_zero(tmp_path, rows, scale, shift):
    _, y = rows
    X = RNG.normal(size=(N, 2)) * scale + shift
    layers = keras.layers
    for widths in ((1,), (3, 1)):
        stack = [layers.Dense(width, dtype="float64") for width in widths]
        model = keras.Sequential([keras.Input((2,), dtype="float64"), *stack])
        model.compile("sgd", "mse")
        model.save(tmp_path / "m.keras")
        assert converter.convert(tmp_path / "m.keras", X, y, restricted=True).parameters == 3


def test_nothing_that_can_move_is_no_error(tmp_path, rows):
    X, y = rows
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, trainable=False)])
    model.compile("sgd", "mse")
    model.save(tmp_path / "m.keras")
    made = converter.convert(tmp_path / "m.keras", X, y, restricted=True)
    assert made.parameters == 0
    assert "could move" in made.verdict_sentence


def test_outputs_of_separate_convolutions_share_nothing(tmp_path, rows):
    """Rounding errors are no directions: each output has its four parameters, and its own test."""
    X, y = rows
    layers = keras.layers
    inputs = keras.Input((6,))
    series = layers.Reshape((6, 1))(inputs)
    each = [
        layers.GlobalAveragePooling1D()(layers.Conv1D(1, 3, dtype="float64")(series))
        for _ in range(2)
    ]
    keras.Model(inputs, layers.Concatenate()(each)).save(tmp_path / "m.keras")
    Y = np.column_stack([y, X[:, 0] - y])
    made = converter.convert(tmp_path / "m.keras", X, Y, restricted=True, cov_type="HC1")
    for one in made.values():
        assert one.parameters == 4
        assert one.optimality.df == (4, N - 4)
        assert one.results.df_model == 3


def test_separation_by_an_input_that_the_network_ignores(tmp_path, rows):
    """The restricted regression cannot use it, and has its optimum."""
    X, _ = rows
    y = (RNG.random(N) < 1.0 / (1.0 + np.exp(-X[:, 0]))) * 1.0
    columns = np.column_stack([X[:, :2], 2.0 * y - 1.0])
    nodes = [
        helper.make_node("Gather", ["x", "places"], ["some"], axis=1),
        helper.make_node("Gemm", ["some", "w", "b"], ["h"]),
        helper.make_node("Sigmoid", ["h"], ["y"]),
    ]
    path = _onnx(
        tmp_path / "m.onnx",
        nodes,
        {"w": [[0.3], [0.1]], "b": [0.1]},
        [("x", ["n", 3])],
        [("y", ["n", 1])],
    )
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 1]), "places"))
    onnx.save(model, path)
    assert not converter.convert(path, columns, y).optimality.converged
    made = converter.convert(path, columns, y, restricted=True)
    assert made.optimality.converged
    fit = sm.Logit(y, sm.add_constant(X[:, :2])).fit(disp=0, tol=1e-14)
    assert made.refit.llf == pytest.approx(fit.llf, rel=1e-10)
