"""Operations of keras.ops, as Keras 3 records them in a graph: one function each.

Positional parameters are those of the operation's `call`, keyword-only ones those of its
constructor, which the file keeps in its configuration.
"""

from __future__ import annotations

from converter.semantics.keras.layer import Layer
from converter.semantics.keras.ops import (
    elementwise,
    image,
    movement,
    nonlinear,
    placement,
    products,
    reduction,
    spatial,
    spectral,
)

OPERATORS: dict[str, Layer] = {
    **nonlinear.OPERATORS,
    **elementwise.OPERATORS,
    **image.OPERATORS,
    **movement.OPERATORS,
    **placement.OPERATORS,
    **products.OPERATORS,
    **reduction.OPERATORS,
    **spatial.OPERATORS,
    **spectral.OPERATORS,
}
