"""Recurrent layers: affine where the cell's activation is linear."""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import NotAffine, TooLarge
from converter.semantics.keras.activations import activate
from converter.semantics.keras.layer import Layer
from converter.tracing.affine import check_size

# Steps that are written out; each takes about half a millisecond.
_MAX_STEPS = 10_000


def simple_rnn(
    sequences: Any,
    initial_state: Any = None,
    *,
    units: int,
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any = None,
    use_bias: bool = True,
    activation: Any = "tanh",
    return_sequences: bool = False,
    return_state: bool = False,
    go_backwards: bool = False,
    stateful: bool = False,
    time_major: bool = False,
) -> Any:
    """``state = activation(x @ kernel + bias + state @ recurrent_kernel)``, step by step."""
    if stateful:
        raise NotAffine("keeps its state from one batch to the next (stateful)")
    if time_major:
        raise NotAffine("has the steps in front of the rows (time_major)")
    shape = np.shape(sequences)
    if len(shape) != 3 or kernel.shape != (shape[2], units):
        raise ValueError(f"a kernel of shape {list(kernel.shape)} does not fit {list(shape)}")
    if recurrent_kernel.shape != (units, units):
        raise ValueError("a recurrent kernel that is not square")
    if use_bias and np.shape(bias) != (units,):
        raise ValueError(f"a bias of shape {list(np.shape(bias))} does not fit {units} units")
    check_size((*shape[:2], units))
    if shape[1] > _MAX_STEPS:
        raise TooLarge(f"runs over {shape[1]:,} steps; at most {_MAX_STEPS:,} are written out")
    if isinstance(initial_state, (list, tuple)):
        if len(initial_state) != 1:
            raise ValueError(f"is given {len(initial_state)} states; it has one")
        (initial_state,) = initial_state
    if initial_state is not None and np.shape(initial_state) != (shape[0], units):
        raise ValueError("is given a state of another shape")
    state, outputs = initial_state, []
    for step in range(shape[1])[:: -1 if go_backwards else 1]:
        y = np.matmul(sequences[:, step], kernel)
        if use_bias:
            y = np.add(y, bias)
        # The state before the first step is zero where none is given.
        if state is not None:
            y = np.add(y, np.matmul(state, recurrent_kernel))
        state = activate(y, activation)
        outputs.append(state)
    if state is None:
        raise ValueError("runs over no steps")
    output = np.stack(outputs, axis=1) if return_sequences else state
    return (output, state) if return_state else output


LAYERS: dict[str, Layer] = {
    "SimpleRNN": Layer(
        simple_rnn,
        inert=frozenset(
            {"dropout", "recurrent_dropout", "unroll", "zero_output_for_mask", "implementation"}
        ),
    ),
}
