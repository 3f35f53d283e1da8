"""The meaning of ONNX operators: tables from name and version to a numpy function.

An operator is a plain function with the operator's inputs as positional parameters and its
attributes as keyword-only ones, spelled as the specification spells them; that signature is the
schema against which nodes are checked. Versions are a mapping from the opset that introduced
a form to the function; the newest not above the model's opset holds.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from converter.errors import ModelFileError, NotAffine, printable
from converter.network import Graph, Node
from converter.semantics import Rule
from converter.semantics.onnx import (
    arithmetic,
    attention,
    carried,
    classical,
    constants,
    contrib,
    control,
    convolution,
    indexing,
    layout,
    linking,
    losses,
    movement,
    nonlinear,
    normalization,
    pooling,
    quantization,
    recurrent,
    reduction,
    reference,
    resize,
    rotary,
    sampling,
    sequences,
    signal,
)
from converter.semantics.onnx.operator import Operator

#: Operators of the default domain.
OPERATORS: dict[str, Operator] = {
    **arithmetic.OPERATORS,
    **attention.OPERATORS,
    **carried.OPERATORS,
    **constants.OPERATORS,
    **control.OPERATORS,
    **indexing.OPERATORS,
    **layout.OPERATORS,
    **linking.OPERATORS,
    **losses.OPERATORS,
    **movement.OPERATORS,
    **quantization.OPERATORS,
    **reduction.OPERATORS,
    **convolution.OPERATORS,
    **pooling.OPERATORS,
    **recurrent.OPERATORS,
    **resize.OPERATORS,
    **sampling.OPERATORS,
    **signal.OPERATORS,
    **rotary.OPERATORS,
    **nonlinear.OPERATORS,
    **normalization.OPERATORS,
    **sequences.OPERATORS,
}

#: Operators by domain.
DOMAINS: dict[str, dict[str, Operator]] = {
    "": OPERATORS,
    "ai.onnx.ml": classical.OPERATORS,
    "com.microsoft": contrib.OPERATORS,
}


def rule_for(node: Node) -> Rule:
    """Return the meaning of an ONNX node; see `converter.semantics.rule_for`."""
    if node.refusal:
        raise NotAffine(node.refusal)
    operator = DOMAINS.get(node.domain, {}).get(node.operation)
    if operator is None:
        raise NotAffine(
            "an unknown operator"
            + (f" of the domain {node.domain!r}" if node.domain else "")
            + "; nothing is known about what it computes"
        )
    since = max((v for v in operator.versions if v <= node.version), default=None)
    if since is None:
        raise NotAffine(f"does not exist in opset {node.version}")
    function = operator.versions[since]
    if function is None:
        if operator.random:
            raise NotAffine(operator.refusal)
        return Rule(
            partial(reference.evaluate, node),
            refusal=operator.refusal,
            keeps_shape=operator.keeps_shape,
            costly=True,
        )
    inputs, required, variadic, attributes = _signature(function, operator.handles == "graphs")
    for name in node.attributes:
        if name not in attributes and name not in operator.inert:
            raise NotAffine(f"has the attribute {name!r}, unknown in opset {node.version}")
    settings = {k: v for k, v in node.attributes.items() if k in attributes}
    for name, (needed, kind) in attributes.items():
        if name == "node_outputs":
            settings[name] = len(node.outputs)
        elif name in settings:
            if kind is not None and type(settings[name]) is not kind:
                raise ModelFileError(
                    f"node {printable(node.name)!r} ({node.operation}) has attribute {name!r} of "
                    f"another type than {kind.__name__}"
                )
        elif needed:
            raise ModelFileError(f"node {node.name!r} ({node.operation}) lacks attribute {name!r}")
    given = len(node.inputs)
    empty = [place for place in range(min(given, required)) if not node.inputs[place]]
    if empty:
        raise ModelFileError(
            f"node {printable(node.name)!r} ({node.operation}) leaves out its input {empty[0]}"
        )
    if (given > inputs and not variadic) or given < required:
        raise ModelFileError(
            f"node {node.name!r} ({node.operation}) has {given} inputs where opset "
            f"{node.version} wants {required if required == inputs else f'{required} to {inputs}'}"
        )

    def call(operands: list[Any], *bodies: Any) -> tuple[Any, ...]:
        result = function(*bodies, *operands, **settings)
        return result if isinstance(result, tuple) else (result,)

    return Rule(
        call,
        refusal=operator.refusal,
        shape_operands=operator.shape_operands,
        moves=operator.moves,
        reads_shape=operator.reads_shape,
        keeps_shape=operator.keeps_shape,
        infinite=operator.infinite,
        labels=operator.labels,
        handles=operator.handles,
    )


# Annotations of attributes, as written in the functions' signatures.
_KINDS = {
    **{"int": int, "int | None": int, "float": float, "float | None": float},
    **{"str": str, "str | None": str, "Graph": Graph},
}


@cache
def _signature(
    function: Callable[..., Any], runs_graphs: bool
) -> tuple[int, int, bool, dict[str, tuple[bool, type | None]]]:
    """Return inputs, required inputs, whether variadic, and attributes: (required, type)."""
    parameters = inspect.signature(function).parameters.values()
    places = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    if runs_graphs:
        places = places[1:]  # the first runs a body
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    attributes = {
        p.name: (p.default is p.empty, _KINDS.get(str(p.annotation)))
        for p in parameters
        if p.kind is p.KEYWORD_ONLY
    }
    return len(places), sum(p.default is p.empty for p in places), variadic, attributes
