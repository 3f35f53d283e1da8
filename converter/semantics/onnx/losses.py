"""Losses: sums of what was predicted for the classes that constant labels name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.onnx.linking import log_softmax
from converter.semantics.onnx.operator import Operator
from converter.semantics.onnx.refusal import attempt, refuse, traced
from converter.semantics.precision import double, floating, in_type_of
from converter.tracing.affine import check_size
from converter.tracing.linked import CHOICE, FUNCTION


def negative_log_likelihood_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Any:
    """Sum ``-input[n, target[n]] * weight[target[n]]``: ONNX, NegativeLogLikelihoodLoss.

    The mean leaves out ignored samples: they count with weight zero.
    """
    floating(input, weight)
    if reduction not in ("none", "sum", "mean"):
        raise NotAffine(f"has the unknown reduction {reduction!r}")
    where, ignored = _classes(np.shape(input), target, ignore_index)
    loss = np.negative(_kept(_picked(double(input), where), ignored))
    factor: Any = np.where(ignored, 0.0, 1.0)
    if weight is not None:
        if np.shape(weight) != np.shape(input)[1:2]:
            raise ValueError(f"weights of shape {list(np.shape(weight))} for the classes")
        if reduction == "mean":
            refuse("divides by weights that depend on the input", weight, shape=())
        factor = _kept(np.take(double(weight), where), ignored)
        loss = np.multiply(loss, factor)
    if reduction != "none":
        loss = np.sum(loss)
    if reduction == "mean":
        loss = np.divide(loss, np.sum(factor))
    return in_type_of(input, loss if traced(loss) else np.asarray(loss))


def softmax_cross_entropy_loss(
    scores: Any,
    labels: Any,
    weights: Any = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Any:
    """Take the loss of log(softmax(scores)); output, log_prob: ONNX, SoftmaxCrossEntropyLoss."""
    floating(scores, weights)
    shape = np.shape(scores)
    if len(shape) < 2:
        raise ValueError("needs a batch and a class axis")
    shown = log_softmax(double(scores), axis=1)

    def loss() -> Any:
        if shape[1] > 1:
            refuse(FUNCTION, scores)
        return negative_log_likelihood_loss(
            shown, labels, weights, ignore_index=ignore_index, reduction=reduction
        )

    output = attempt(loss, np.shape(labels) if reduction == "none" else ())
    return in_type_of(scores, output), in_type_of(scores, shown)


def _classes(
    shape: tuple[int, ...], target: Any, ignore_index: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return each sample's class, 0 for an ignored one, and which are ignored."""
    refuse(CHOICE, target)
    where = np.asarray(target)
    if where.dtype.kind not in "iu":
        raise ValueError("the classes must be integers")
    if len(shape) < 2 or where.shape != (shape[0], *shape[2:]):
        raise ValueError(f"classes of shape {list(where.shape)} do not fit {list(shape)}")
    where = where.astype(np.int64, copy=False)
    ignored = np.zeros(where.shape, bool) if ignore_index is None else where == ignore_index
    where = np.where(ignored, 0, where)
    if where.size and (where.min() < 0 or where.max() >= shape[1]):
        raise ValueError(f"a class lies outside the {shape[1]} of the input")
    return where, ignored


def _picked(input: Any, where: np.ndarray) -> Any:
    """Return ``input[n, where[n, d], d]`` for each n and d, in the shape of `where`."""
    shape = np.shape(input)
    check_size(where.shape)
    count = math.prod(shape[2:])
    flat = where.reshape(shape[0], count)
    place = (np.arange(shape[0])[:, None] * shape[1] + flat) * count + np.arange(count)
    return np.take(np.reshape(input, (-1,)), place.reshape(where.shape))


def _kept(value: Any, ignored: np.ndarray) -> Any:
    """Return the value with zeros for the samples that are ignored, whatever stands there."""
    return np.where(ignored, np.zeros(()), value) if ignored.any() else value


OPERATORS: dict[str, Operator] = {
    "NegativeLogLikelihoodLoss": Operator(
        {12: negative_log_likelihood_loss},
        accepts="target and weight are constant",
    ),
    "SoftmaxCrossEntropyLoss": Operator(
        {12: softmax_cross_entropy_loss},
        accepts="the scores are constant",
    ),
}
