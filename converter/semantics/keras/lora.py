"""Low-rank additions to a kernel (LoRA): one product more, of constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.semantics.precision import double


def merged(kernel: Any, a: Any, b: Any, rank: Any, alpha: Any) -> Any:
    """Return ``kernel + alpha / rank * (a @ b)``.

    Archives of Keras 3 hold the sum already, and no `a` and `b`; legacy files hold all three.
    """
    if a is None or b is None:
        return kernel
    if type(rank) is not int or rank < 1 or np.shape(a)[-1:] != (rank,):
        raise ValueError(f"lora_rank {rank!r} does not fit a factor of shape {list(np.shape(a))}")
    scale = rank if alpha is None else alpha
    if isinstance(scale, bool) or not isinstance(scale, (int, float)):
        raise ValueError(f"lora_alpha must be a number, not {alpha!r}")
    made = (*np.shape(a)[:-1], *np.shape(b)[1:])
    if np.ndim(b) != 2 or np.shape(b)[0] != rank or made != np.shape(kernel):
        raise ValueError(f"lora factors make {list(made)}, no {list(np.shape(kernel))}")
    return double(kernel) + scale / rank * np.matmul(double(a), double(b))
