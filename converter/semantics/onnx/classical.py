"""Operators of the domain ai.onnx.ml, as skl2onnx and its kin write classical models.

Where the specification is silent the behaviour is onnxruntime's; where runtimes disagree the
operator is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.onnx.operator import Operator
from converter.tracing import algebra
from converter.tracing.affine import Affine, check_size, note
from converter.tracing.linked import Decided, Linked, UsedLink

_PROBIT = (
    "post_transform PROBIT is read as the normal distribution function, which makes it a probit "
    "regression; onnxruntime computes that function's inverse instead"
)


def scaler(X: Any, *, offset: Any = (), scale: Any = ()) -> Any:
    _table(X)
    width = np.shape(X)[-1]
    shift, factor = (np.asarray(v, dtype=np.float64) for v in (offset, scale))
    if not len(shift) == len(factor) or len(shift) not in (1, width):
        raise ValueError(f"{len(shift)} offsets and {len(factor)} scales for {width} columns")
    X = X.as_float() if isinstance(X, Affine) else X
    return _float(np.multiply(np.subtract(X, shift), factor), X)


def linear_regressor(
    X: Any,
    *,
    coefficients: Any = (),
    intercepts: Any = (),
    post_transform: str = "NONE",
    targets: int = 1,
) -> Any:
    score = _scores(X, coefficients, intercepts, targets)
    if post_transform == "NONE":
        return _float(score, X)
    if post_transform == "LOGISTIC":
        if targets == 1:
            note(X, "post_transform LOGISTIC of a single target is ignored by onnxruntime")
        return _float(algebra.sigmoid(score), X)
    if post_transform == "PROBIT":
        note(X, _PROBIT)
        return _float(algebra.normal_cdf(score), X)
    if post_transform == "SOFTMAX" and targets > 1:
        return _float(algebra.softmax(score, (1,)), X)
    raise NotAffine(f"post_transform {post_transform!r}, on which runtimes disagree")


def linear_classifier(
    X: Any,
    *,
    coefficients: Any,
    classlabels_ints: Any = (),
    classlabels_strings: Any = (),
    intercepts: Any = (),
    multi_class: int = 0,
    post_transform: str = "NONE",
) -> Any:
    labels = _labels(classlabels_ints, classlabels_strings)
    _table(X)
    width = np.shape(X)[-1]
    rows = len(coefficients) // max(width, 1)
    if rows != len(labels) and not (rows == 1 and len(labels) == 2):
        raise ValueError(f"{rows} rows of coefficients for {len(labels)} classes")
    weights, offsets = _weights(coefficients, intercepts, rows, width)
    if rows == 1 and len(labels) == 2:
        scores = _pair(_linear(X, weights, offsets), post_transform)
    elif rows == 2 and post_transform == "LOGISTIC" and _opposite(weights, offsets):
        # Two sigmoids of opposite arguments: a probability and the rest to one.
        scores = _pair(_linear(X, weights[1:], offsets[1:]), post_transform)
    else:
        scores = _transformed(_linear(X, weights, offsets), post_transform)
    return _label(scores), _float(scores, X)


def svm_regressor(
    X: Any,
    *,
    coefficients: Any = (),
    kernel_params: Any = (),
    kernel_type: str = "LINEAR",
    n_supports: int = 0,
    one_class: int = 0,
    post_transform: str = "NONE",
    rho: Any = (),
    support_vectors: Any = (),
) -> Any:
    _linear_kernel(kernel_type)
    if one_class or post_transform != "NONE":
        what = "one_class" if one_class else f"post_transform {post_transform!r}"
        raise NotAffine(f"decides by {what}, which is not affine")
    if len(rho) != 1:
        raise ValueError(f"has {len(rho)} values of rho")
    weights = np.asarray(coefficients, dtype=np.float64)
    if n_supports:
        weights = weights @ _vectors(support_vectors, n_supports, len(weights))
    elif len(support_vectors):
        raise ValueError("has support vectors and says that it has none")
    return _float(_scores(X, weights, rho, 1), X)


def svm_classifier(
    X: Any,
    *,
    classlabels_ints: Any = (),
    classlabels_strings: Any = (),
    coefficients: Any = (),
    kernel_params: Any = (),
    kernel_type: str = "LINEAR",
    post_transform: str = "NONE",
    prob_a: Any = (),
    prob_b: Any = (),
    rho: Any = (),
    support_vectors: Any = (),
    vectors_per_class: Any = (),
) -> Any:
    _linear_kernel(kernel_type)
    if len(prob_a) or len(prob_b):
        raise NotAffine("couples pairwise probabilities by an iteration (prob_a, prob_b)")
    if not len(vectors_per_class):
        raise NotAffine("has no support vectors, a form on which runtimes disagree")
    counts = [int(count) for count in vectors_per_class]
    classes = len(_labels(classlabels_ints, classlabels_strings))
    if len(counts) != classes or classes < 2 or min(counts) < 0:
        raise ValueError(f"support vectors of {len(counts)} classes for {classes} labels")
    total = sum(counts)
    vectors = _vectors(support_vectors, total, total)
    duals = np.asarray(coefficients, dtype=np.float64)
    if duals.size != (classes - 1) * total or len(rho) != classes * (classes - 1) // 2:
        raise ValueError("coefficients or rho do not fit the number of support vectors")
    duals = duals.reshape(classes - 1, total)
    starts = np.cumsum([0, *counts])
    weights = []
    for i in range(classes):
        for j in range(i + 1, classes):
            mine, other = slice(starts[i], starts[i + 1]), slice(starts[j], starts[j + 1])
            weights.append(duals[j - 1, mine] @ vectors[mine] + duals[i, other] @ vectors[other])
    scores = _scores(X, np.concatenate(weights), rho, len(weights))
    if classes > 2:
        scores = _transformed(scores, post_transform)
    elif post_transform == "NONE":
        scores = np.concatenate([np.negative(scores), scores], axis=1)
    else:
        scores = _pair(scores, post_transform)
    return _label(scores), _float(scores, X)


def _pair(score: Any, post_transform: str) -> Any:
    """Return the values of two classes from the second one's score."""
    if post_transform == "LOGISTIC":
        p = algebra.sigmoid(score)
        return np.concatenate([np.subtract(1.0, p), p], axis=1)
    if post_transform == "NONE":
        return np.concatenate([np.subtract(1.0, score), score], axis=1)
    raise NotAffine(f"post_transform {post_transform!r} of one score, on which runtimes disagree")


def _transformed(scores: Any, post_transform: str) -> Any:
    if post_transform == "NONE":
        return scores
    if post_transform == "LOGISTIC":
        return algebra.sigmoid(scores)
    if post_transform == "SOFTMAX":
        return algebra.softmax(scores, (1,))
    raise NotAffine(f"post_transform {post_transform!r}, which is no known link")


def _opposite(weights: np.ndarray, offsets: np.ndarray) -> bool:
    return bool(np.all(weights[0] == -weights[1]) and np.all(offsets[0] == -offsets[1]))


def _label(scores: Any) -> Any:
    if isinstance(scores, (Affine, Linked)):
        return Decided(scores, scores.shape[:1])
    return None


def _labels(ints: Any, strings: Any) -> Any:
    if len(ints) and len(strings):
        raise ValueError("has labels of both kinds")
    return ints if len(ints) else strings


def _linear_kernel(kernel_type: str) -> None:
    if kernel_type != "LINEAR":
        raise NotAffine(f"has the kernel {kernel_type!r}, which is not linear")


def _vectors(values: Any, count: int, expected: int) -> np.ndarray:
    vectors = np.asarray(values, dtype=np.float64)
    if count < 1 or vectors.size % count or count != expected:
        raise ValueError(f"{vectors.size} numbers do not make {count} support vectors")
    return vectors.reshape(count, -1)


def _table(X: Any) -> None:
    if np.ndim(X) not in (1, 2):
        raise ValueError("needs a table of rows and columns")


def _weights(
    coefficients: Any, intercepts: Any, targets: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    weights = np.asarray(coefficients, dtype=np.float64).reshape(-1)
    if targets < 1 or weights.size != targets * width:
        raise ValueError(f"{weights.size} coefficients for {targets} targets of {width} columns")
    offsets = np.asarray(intercepts, dtype=np.float64)
    if offsets.size not in (0, targets):
        raise ValueError(f"{offsets.size} intercepts for {targets} targets")
    return weights.reshape(targets, width), offsets


def _linear(X: Any, weights: np.ndarray, offsets: Any) -> Any:
    X = np.reshape(X, (1, -1)) if np.ndim(X) == 1 else X
    if isinstance(X, Affine):
        X = X.as_float()
    elif isinstance(X, Linked):
        raise UsedLink()
    else:
        check_size((X.shape[0], len(weights)))
    product = np.matmul(X, weights.T)
    return np.add(product, offsets) if offsets.size else product


def _scores(X: Any, coefficients: Any, intercepts: Any, targets: int) -> Any:
    _table(X)
    weights, offsets = _weights(coefficients, intercepts, targets, np.shape(X)[-1])
    return _linear(X, weights, offsets)


def _float(result: Any, X: Any) -> Any:
    """Give results on constants the type that the operators have."""
    if isinstance(result, np.ndarray):
        wide = isinstance(X, np.ndarray) and X.dtype == np.float64
        return result.astype(np.float64 if wide else np.float32)
    return result


def feature_vectorizer(*X: Any, inputdimensions: Any = ()) -> Any:
    if len(inputdimensions) != len(X):
        raise ValueError(f"{len(inputdimensions)} input dimensions for {len(X)} inputs")
    parts = []
    for part, width in zip(X, inputdimensions, strict=True):
        part = np.reshape(part, (1, -1)) if np.ndim(part) == 1 else part
        if np.ndim(part) != 2 or np.shape(part)[1] != width:
            raise NotAffine(f"joins an input of shape {list(np.shape(part))} as {width} columns")
        parts.append(part.as_float() if isinstance(part, Affine) else part)
    return np.concatenate(parts, axis=1)


def array_feature_extractor(X: Any, Y: Any) -> Any:
    where = np.asarray(Y)
    if where.dtype.kind not in "iu":
        raise ValueError("indices must be integers")
    where = where.reshape(-1)
    size = np.shape(X)[-1]
    if where.size and (where.min() < 0 or where.max() >= size):
        raise ValueError(f"an index lies outside an axis of {size}")
    taken = np.take(X, where, axis=-1)
    return np.reshape(taken, (1, where.size)) if np.ndim(X) == 1 else taken


def normalizer(X: Any, *, norm: str = "MAX") -> Any:
    if norm not in ("MAX", "L1", "L2"):
        raise NotAffine(f"has the unknown norm {norm!r}")
    axis = np.ndim(X) - 1
    if norm == "L1" and algebra.sums_to_one(X, (axis,)):
        return X
    if isinstance(X, Linked):
        raise UsedLink()
    if isinstance(X, Affine):
        raise NotAffine("divides each row by its own norm")
    size = {
        "MAX": np.max(X, axis=axis, keepdims=True),
        "L1": np.sum(np.abs(X), axis=axis, keepdims=True),
        "L2": np.sqrt(np.sum(np.square(X), axis=axis, keepdims=True)),
    }[norm]
    return _float(np.divide(X, np.where(size == 0, 1, size)), X)


def zip_map(X: Any, *, classlabels_int64s: Any = (), classlabels_strings: Any = ()) -> Any:
    """Name the columns: the numbers stay what they are."""
    labels = _labels(classlabels_int64s, classlabels_strings)
    if np.ndim(X) not in (1, 2) or np.shape(X)[-1] != len(labels):
        raise ValueError(f"{len(labels)} labels for a value of shape {list(np.shape(X))}")
    return np.reshape(X, (1, -1)) if np.ndim(X) == 1 else X


def _refused(reason: str, *names: str, labels: bool = False) -> dict[str, Operator]:
    operator = Operator({1: None}, refusal=reason, labels=labels, keeps_shape=labels)
    return dict.fromkeys(names, operator)


OPERATORS: dict[str, Operator] = {
    "ArrayFeatureExtractor": Operator(
        {1: array_feature_extractor}, moves=True, labels=True, accepts="the indices are constant"
    ),
    "FeatureVectorizer": Operator({1: feature_vectorizer}, accepts="always"),
    "LinearClassifier": Operator(
        {1: linear_classifier}, accepts="post_transform NONE, LOGISTIC, SOFTMAX"
    ),
    "LinearRegressor": Operator(
        {1: linear_regressor}, accepts="post_transform NONE, LOGISTIC, SOFTMAX, PROBIT"
    ),
    "Normalizer": Operator({1: normalizer}, accepts="norm L1 of probabilities that sum to one"),
    "SVMClassifier": Operator({1: svm_classifier}, accepts="linear kernel, without prob_a"),
    "SVMRegressor": Operator({1: svm_regressor}, accepts="linear kernel"),
    "Scaler": Operator({1: scaler}, accepts="always"),
    "ZipMap": Operator({1: zip_map}, moves=True, accepts="always"),
    **_refused("replaces missing values, which depends on the input", "Imputer"),
    **_refused("compares values with a threshold", "Binarizer"),
    **_refused(
        "looks up codes: the network is affine in their indicators, not in the codes",
        *("CastMap", "CategoryMapper", "DictVectorizer", "OneHotEncoder"),
    ),
    **_refused("looks up labels", "LabelEncoder", labels=True),
    **_refused(
        "a tree ensemble is piecewise constant",
        *("TreeEnsembleClassifier", "TreeEnsembleRegressor"),
    ),
    "TreeEnsemble": Operator({5: None}, refusal="a tree ensemble is piecewise constant"),
}
