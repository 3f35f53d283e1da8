"""Layers that apply other layers, written out as the nodes that they amount to.

Source: `call` of TimeDistributed, Bidirectional, RNN, StackedRNNCells and SpectralNormalization
in Keras 3 and tf_keras.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from converter.errors import ModelFileError, printable
from converter.formats.keras_calls import Call, Ref
from converter.formats.keras_config import LAYERS, Layer

if TYPE_CHECKING:
    from converter.formats.keras_graph import Builder

#: The module of operations that only wrappers need.
WRAPPED = "keras.wrappers"

_ONE = Call((Ref("", 0, 0),), {})
_RECURRENT = frozenset({"RNN", "SimpleRNN", "LSTM", "GRU"})
_MERGES = {
    "sum": ("Add", {}),
    "ave": ("Average", {}),
    "mul": ("Multiply", {}),
    "concat": ("Concatenate", {"axis": -1}),
}


def _plain(layer: Layer, class_name: str, module: str, config: dict[str, Any]) -> Layer:
    """Return a layer of ours, which stands under the name of the wrapper."""
    return Layer(layer.name, class_name, module, config, roles=[])


def _time_distributed(
    builder: Builder, layer: Layer, prefix: str, call: Call, edges: list[str], count: int
) -> list[str]:
    """Apply the layer inside to every step, all steps taken for rows."""
    if len(edges) != 1:
        return builder.node(layer, prefix + layer.name, call, edges, count)
    name = prefix + layer.name
    merge = _plain(layer, "TimeDistributed", WRAPPED, {"to_rows": True})
    split = _plain(layer, "TimeDistributed", WRAPPED, {"to_rows": False})
    rows = builder.node(merge, name, _ONE, edges)
    inner = builder.apply(layer.parts["layer"], f"{name}/", _ONE, rows, 1)
    both = Call((Ref("", 0, 0), Ref("", 0, 1)), {})
    return builder.node(split, name, both, [*inner[:1], *edges])


def _spectral_normalization(
    builder: Builder, layer: Layer, prefix: str, call: Call, edges: list[str], count: int
) -> list[str]:
    """Apply the layer inside: its kernel is normalised by training, not by inference."""
    name = prefix + layer.name
    if len(edges) != 1:
        return builder.node(layer, name, call, edges, count, "is given several tensors")
    inner = builder.apply(layer.parts["layer"], f"{name}/", call, edges, 1)
    back = _plain(layer, "SpectralNormalization", WRAPPED, {})
    both = Call((Ref("", 0, 0), Ref("", 0, 1)), {})
    return builder.node(back, name, both, [*inner, *edges])


def _pipeline(
    builder: Builder, layer: Layer, prefix: str, call: Call, edges: list[str], count: int
) -> list[str]:
    """Apply the layers inside one after the other."""
    for place, part in enumerate(layer.parts.values()):
        inside = f"{prefix}{layer.name}/"
        edges = builder.apply(part, inside, _ONE if place else call, edges, 1)
    return edges


def _recurrent(
    builder: Builder, layer: Layer, prefix: str, call: Call, edges: list[str], count: int
) -> list[str]:
    """Apply a cell step by step, and a stack of cells one after the other."""
    cells = _cells(layer.parts["cell"])
    if any(cell.class_name != "SimpleRNNCell" or not cell.is_built_in for cell in cells):
        odd = next(c for c in cells if c.class_name != "SimpleRNNCell" or not c.is_built_in)
        return builder.node(
            replace(odd, name=layer.name), prefix + layer.name, call, edges, count, odd.refusal
        )
    if len(cells) > 1 and (count > 1 or len(edges) > 1):
        reason = "gives or takes the states of several cells, which is not supported"
        return builder.node(layer, prefix + layer.name, call, edges, count, reason)
    config = {key: value for key, value in layer.config.items() if key != "cell"}
    for place, cell in enumerate(cells):
        last = place == len(cells) - 1
        settings = {**{k: v for k, v in cell.config.items() if k != "name"}, **config}
        if not last:
            settings["return_sequences"] = True
        if place:
            settings["go_backwards"] = False
        settings["return_state"] = config.get("return_state", False) if last else False
        step = replace(
            _plain(layer, "SimpleRNN", LAYERS, settings), weights=cell.weights, roles=layer.roles
        )
        name = prefix + layer.name + (f"/{cell.name}" if len(cells) > 1 else "")
        edges = builder.node(step, name, call if not place else _ONE, edges, count if last else 1)
    return edges


def _cells(cell: Layer) -> list[Layer]:
    if cell.class_name == "StackedRNNCells" and cell.is_built_in:
        return [inner for part in cell.parts.values() for inner in _cells(part)]
    return [cell]


def _bidirectional(
    builder: Builder, layer: Layer, prefix: str, call: Call, edges: list[str], count: int
) -> list[str]:
    """Apply both layers, turn the second one's sequence round, and merge."""
    name = prefix + layer.name
    forward, backward = layer.parts["forward_layer"], layer.parts["backward_layer"]
    mode = layer.config.get("merge_mode", "concat")
    states = bool(forward.config.get("return_state"))
    if states or len(edges) > 1:
        reason = "gives or takes the states of two layers, which is not supported"
        return builder.node(layer, name, call, edges, count, reason)
    if mode is not None and mode not in _MERGES:
        raise ModelFileError(f"layer {printable(layer.name)!r} has an unknown merge_mode")
    for one in (forward, backward):
        if one.class_name not in _RECURRENT and not one.refusal:
            reason = "runs a layer in both directions that is not recurrent"
            return builder.node(layer, name, call, edges, count, reason)
    ahead = builder.apply(_named(forward, "forward"), f"{name}/", call, edges, 1)
    behind = builder.apply(_named(backward, "backward"), f"{name}/", call, edges, 1)
    if forward.config.get("return_sequences"):
        flip = _plain(layer, "Flip", WRAPPED, {"axis": 1})
        behind = builder.node(flip, name, _ONE, behind)
    if mode is None:
        return [*ahead, *behind]
    merge = _plain(layer, _MERGES[mode][0], LAYERS, dict(_MERGES[mode][1]))
    both = Call(([Ref("", 0, 0), Ref("", 0, 1)],), {})
    return builder.node(merge, name, both, [*ahead, *behind])


def _named(layer: Layer, name: str) -> Layer:
    return layer if layer.name else replace(layer, name=name)


#: By class: adds the nodes of one call; see `keras_graph.Builder.apply`.
WRAPPERS: dict[str, Callable[..., list[str]]] = {
    "Bidirectional": _bidirectional,
    "Pipeline": _pipeline,
    "RNN": _recurrent,
    "SimpleRNN": _recurrent,
    "SpectralNormalization": _spectral_normalization,
    "TimeDistributed": _time_distributed,
}
