"""The simple recurrent layer, unrolled: affine if its activation is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.arguments import integers
from converter.semantics.onnx.operator import Operator
from converter.semantics.precision import contract, double, floating, in_type_of
from converter.tracing.affine import check_size, pin
from converter.tracing.algebra import sigmoid

# Steps are unrolled one by one, and each looks at all states once; this many take seconds.
_MOST_LOOKS = 1 << 29

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "Relu": lambda x: np.maximum(x, 0.0),
    "Sigmoid": sigmoid,
    "Tanh": np.tanh,
}


def rnn_7(
    X: Any,
    W: Any,
    R: Any,
    B: Any = None,
    sequence_lens: Any = None,
    initial_h: Any = None,
    *,
    activation_alpha: Any = None,
    activation_beta: Any = None,
    activations: Any = ("Tanh", "Tanh"),
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
) -> Any:
    return rnn(
        X,
        W,
        R,
        B,
        sequence_lens,
        initial_h,
        activation_alpha=activation_alpha,
        activation_beta=activation_beta,
        activations=activations,
        clip=clip,
        direction=direction,
        hidden_size=hidden_size,
    )


def rnn(
    X: Any,
    W: Any,
    R: Any,
    B: Any = None,
    sequence_lens: Any = None,
    initial_h: Any = None,
    *,
    activation_alpha: Any = None,
    activation_beta: Any = None,
    activations: Any = ("Tanh", "Tanh"),
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
) -> Any:
    """Compute ``H_t = f(X_t W' + H_(t-1) R' + Wb + Rb)``: ONNX operators, RNN.

    Raises
    ------
    NotAffine
        If a traced value meets another activation than Affine, or a clip.
    """
    operands = (X, W, R, B, initial_h)
    floating(*operands)
    if direction not in ("forward", "reverse", "bidirectional") or layout not in (0, 1):
        raise ValueError(f"the direction {direction!r} or the layout {layout} is unknown")
    if clip is not None:
        raise NotAffine("limits the values before its activation (clip)")
    directions = 2 if direction == "bidirectional" else 1
    traced = any(o is not None and not isinstance(o, np.ndarray) for o in operands)
    functions = _functions(activations, activation_alpha, activation_beta, directions, traced)
    if layout:
        X = np.swapaxes(X, 0, 1)
        initial_h = None if initial_h is None else np.swapaxes(initial_h, 0, 1)
    _check_shapes(X, W, R, B, initial_h, directions, hidden_size)
    steps, batch = X.shape[:2]
    for operand in operands:
        pin(operand, [steps])
    hidden = R.shape[-1]
    check_size((steps, directions, batch, hidden))
    lengths = None
    if sequence_lens is not None:
        lengths = np.array(integers(sequence_lens))
        if lengths.shape != (batch,) or np.any((lengths < 1) | (lengths > steps)):
            raise ValueError(f"sequence_lens {lengths[:20].tolist()} for {batch} of {steps} steps")
    outputs, lasts = [], []
    for place, function in enumerate(functions):
        backwards = direction == "reverse" or place == 1
        inputs = contract("sbi,hi->sbh", X, W[place])
        if B is not None:
            inputs = np.add(inputs, np.add(B[place, :hidden], B[place, hidden:]))
        if backwards:
            inputs = _reversed(inputs, lengths)
        start = None if initial_h is None else double(initial_h[place])
        made, last = _unrolled(inputs, double(R[place]), start, lengths, function)
        outputs.append(_reversed(made, lengths) if backwards else made)
        lasts.append(last)
    y, y_h = np.stack(outputs, axis=1), np.stack(lasts, axis=0)
    if layout:
        y, y_h = np.transpose(y, (2, 0, 1, 3)), np.swapaxes(y_h, 0, 1)
    return in_type_of(X, y), in_type_of(X, y_h)


def _functions(
    activations: Any, alpha: Any, beta: Any, directions: int, traced: bool
) -> list[Callable[[Any], Any]]:
    """Return the activation of each direction.

    Affine is no ONNX operator, of which its alpha could have its default: onnxruntime takes 0, so
    alpha must be given; beta is 0. Runtimes differ in how they deal alphas out to activations of
    different kinds.
    """
    names = tuple(activations)
    if names == ("Tanh", "Tanh"):
        names = names[:directions]  # the default, whatever the direction
    if len(names) != directions:
        raise ValueError(f"{len(names)} activations for {directions} directions")
    if set(names) == {"Affine"}:
        beta = beta or [0.0] * directions
        if any(values is None or len(values) != directions for values in (alpha, beta)):
            raise NotAffine("has Affine activations without an alpha for each")
        return [_affine(a, b) for a, b in zip(alpha, beta, strict=True)]
    if traced:
        others = sorted(set(names) - {"Affine"})
        raise NotAffine(
            f"has a non-linear activation ({', '.join(others)}) of a value that depends on the "
            "input"
        )
    if not _ACTIVATIONS.keys() >= set(names) or alpha or beta:
        raise NotAffine(f"is not evaluated with the activations {', '.join(names)}")
    return [_ACTIVATIONS[name] for name in names]


def _affine(alpha: float, beta: float) -> Callable[[Any], Any]:
    return lambda x: np.add(np.multiply(x, np.float64(alpha)), np.float64(beta))


def _check_shapes(
    x: Any, w: Any, r: Any, b: Any, start: Any, directions: int, hidden_size: int | None
) -> None:
    if np.ndim(x) != 3 or np.ndim(w) != 3 or np.ndim(r) != 3:
        raise ValueError("wants sequences and weights of three axes")
    steps, batch, features = x.shape
    hidden = r.shape[-1]
    if steps < 1 or steps * steps * batch * hidden > _MOST_LOOKS:
        raise ValueError(f"{steps} steps are none, or too many to unroll")
    if w.shape != (directions, hidden, features) or r.shape != (directions, hidden, hidden):
        raise ValueError(f"weights of {list(w.shape)} and {list(r.shape)}")
    if hidden_size is not None and hidden_size != hidden:
        raise ValueError(f"hidden_size is {hidden_size}, the weights have {hidden}")
    if b is not None and np.shape(b) != (directions, 2 * hidden):
        raise ValueError(f"a bias of {list(np.shape(b))}")
    if start is not None and np.shape(start) != (directions, batch, hidden):
        raise ValueError(f"initial_h of {list(np.shape(start))}")


def _unrolled(
    inputs: Any, r: Any, start: Any, lengths: np.ndarray | None, function: Callable[[Any], Any]
) -> tuple[Any, Any]:
    """Return all states (S, B, H), zero beyond a sequence's end, and its last one (B, H)."""
    state = start
    made: list[Any] = []
    for step in range(inputs.shape[0]):
        total = inputs[step]
        if state is not None:
            total = np.add(total, np.matmul(state, np.transpose(r)))
        new = function(total)
        if lengths is None or step < lengths.min():
            made.append(new)
            state = new
        else:
            on = (step < lengths)[:, None].astype(np.float64)
            shown = np.multiply(new, on)
            made.append(shown)
            state = np.add(shown, np.multiply(state, 1.0 - on))
    return np.stack(made, axis=0), state


def _reversed(values: Any, lengths: np.ndarray | None) -> Any:
    """Reverse sequences (S, B, H) in time, each within its own length."""
    if lengths is None:
        return np.flip(values, axis=0)
    steps, batch, hidden = values.shape
    time = np.arange(steps)[:, None]
    source = np.where(time < lengths, lengths - 1 - time, time) * batch + np.arange(batch)
    return np.take(np.reshape(values, (steps * batch, hidden)), source, axis=0)


OPERATORS: dict[str, Operator] = {
    "RNN": Operator({7: rnn_7, 14: rnn}, accepts="all activations are Affine, without clip")
}
