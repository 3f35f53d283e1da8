"""The meaning of the operations in TensorFlow's graphs: a table from operation to a function."""

from __future__ import annotations

from typing import Any

from converter.errors import NotAffine, printable
from converter.network import Node
from converter.semantics import Rule
from converter.semantics.keras.calls import keywords, results
from converter.semantics.tensorflow import (
    arithmetic,
    arrays,
    categorical,
    control,
    fixed,
    refused,
    spatial,
)
from converter.semantics.tensorflow.operator import Operation
from converter.tracing.items import Items

OPERATIONS: dict[str, Operation] = {
    **refused.OPERATIONS,
    **fixed.OPERATIONS,
    **arithmetic.OPERATIONS,
    **categorical.OPERATIONS,
    **arrays.OPERATIONS,
    **control.OPERATIONS,
    **spatial.OPERATIONS,
}

# Attributes that name the types of operands and results, and how many there are.
_TYPES = frozenset(
    {
        *("T", "N", "Tidx", "Tshape", "Tperm", "Tdim", "Tpaddings", "Tmultiples", "Taxis"),
        *("Tindex", "Tindices", "Tparams", "Tlen", "TI", "TL", "Tshift", "Index", "SrcT", "U"),
        "Tout",
        *("Tblock_shape", "Tcrops", "Tsegmentids", "index_type", "Truncate", "num_split"),
        *("dtype", "shape", "Tcomparison", "Ta", "Tb", "Tin", "num"),
    }
)


def rule_for(node: Node) -> Rule:
    """Return the meaning of an operation; see `converter.semantics.rule_for`."""
    if node.refusal:
        raise NotAffine(node.refusal)
    operation = OPERATIONS.get(node.operation)
    if operation is None:
        raise NotAffine("an unknown operation; nothing is known about what it computes")
    function = operation.function
    if function is None:
        reason = operation.refusal

        def refuse(operands: list[Any]) -> tuple[Any, ...]:
            raise NotAffine(reason)

        return Rule(refuse, refusal=reason, keeps_shape=operation.keeps_shape)
    known = keywords(function)
    settings: dict[str, Any] = {}
    for key, value in node.attributes.items():
        if key in known:
            settings[key] = value
        elif not (key.startswith("_") or key in _TYPES or key in operation.inert):
            raise NotAffine(f"has the attribute {printable(key)!r}, which is not known")
    missing = [key for key, required in known.items() if required and key not in settings]
    if missing:
        raise NotAffine(f"does not say its {', '.join(missing)}")
    count = len(node.outputs)

    def call(operands: list[Any], *bodies: Any) -> tuple[Any, ...]:
        found = function(*bodies, *operands, **settings)
        if isinstance(found, Items):
            return (found,)
        return tuple(found) if operation.handles != "numbers" else results(found, count)

    return Rule(
        call,
        refusal=operation.refusal,
        keeps_shape=operation.keeps_shape,
        moves=operation.moves,
        labels=operation.labels,
        reads_shape=operation.reads_shape,
        shape_operands=operation.shape_operands,
        infinite=operation.infinite,
        handles=operation.handles,
        text=operation.text,
    )
