"""From a tree of Keras layers to the nodes of a `Network`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from converter.errors import ModelFileError, printable
from converter.formats.keras_calls import Call, Ref, Unknown, leaves, map_leaves
from converter.formats.keras_config import Layer, Model, as_list, batch_shape
from converter.formats.keras_masks import masked_call
from converter.formats.keras_training import training_of
from converter.formats.keras_weights import AUGMENTATIONS
from converter.formats.keras_wrappers import WRAPPERS
from converter.network import Input, Network, Node, Output, Slot

# A model whose parts are used twice inside parts used twice doubles with every level.
_MAX_NODES = 300_000


def subclassed(path: str, format: str, size: int, name: str, reason: str) -> Network:
    """Return the network of a model whose configuration does not say what it computes."""
    return Network(
        path=path,
        format=format,
        dialect="keras",
        inputs=(Input("input", (None, 1), "float32"),),
        outputs=(Output("output", "output"),),
        nodes=(Node(name, "Model", ("input",), ("output",), refusal=reason),),
        size=size,
    )


def build(
    path: str,
    format: str,
    size: int,
    model: Model,
    compiled: Any,
    producer: str,
    verify: Callable[[], None] = lambda: None,
) -> Network:
    """Return the network of a parsed model whose layers hold their weights.

    Parameters
    ----------
    path, format, producer : str
    size : int
    model : Model
    compiled : dict or None
        Keras' compile configuration.
    verify : callable
        See `Network`.

    Raises
    ------
    ModelFileError
        If the graph has cycles, dangling references, or no inputs or outputs.
    """
    inputs = _inputs(model)
    names = [one.name for one in inputs]
    if len(set(names)) < len(names):
        raise ModelFileError("has two inputs of one name")
    if _calls(model) > _MAX_NODES:
        raise ModelFileError(f"unfolds to more than {_MAX_NODES:,} layer calls")
    builder = Builder(names)
    outputs = builder.model(model, "", names)
    names = model.output_names(len(outputs))
    return Network(
        path=path,
        format=format,
        dialect="keras",
        inputs=tuple(inputs),
        outputs=tuple(Output(name, edge) for name, edge in zip(names, outputs, strict=True)),
        nodes=tuple(builder.nodes),
        constants=builder.constants,
        training=training_of(model, compiled, names),
        size=size,
        producer=producer,
        verify=verify,
    )


def _calls(model: Model) -> int:
    """Return how many layer calls a model unfolds to, its nested models included."""
    total = 1
    for layer in model.layers:
        once = 1 if layer.model is None else _calls(layer.model)
        total += once * max(1, len(layer.calls))
    return total


def _inputs(model: Model) -> list[Input]:
    by_name = {layer.name: layer for layer in model.layers}
    if model.class_name != "Sequential":
        inputs = []
        for place, ref in enumerate(model.inputs):
            layer = by_name.get(ref.layer)
            if layer is None or layer.class_name != "InputLayer":
                raise ModelFileError(f"input {printable(ref.layer)!r} has no InputLayer")
            key = layer.name if model.input_keys is None else model.input_keys[place]
            inputs.append(_input(layer, key))
        return inputs
    first = model.layers[0]
    if first.class_name == "InputLayer":
        return [_input(first, first.name)]
    if model.input_shape is None:
        raise ModelFileError(
            "does not say the shape of its input; build the model (call it once, or give it an "
            "Input) before saving it"
        )
    name = f"{first.name}_input"
    if first.model is not None and first.model.layers[0].class_name == "InputLayer":
        name = first.model.layers[0].name
    return [Input(name, model.input_shape, "float32")]


def _input(layer: Layer, name: str) -> Input:
    shape = layer.config.get("batch_shape", layer.config.get("batch_input_shape"))
    if layer.config.get("ragged"):
        raise ModelFileError(f"input {printable(layer.name)!r} is ragged")
    dtype = layer.config.get("dtype")
    if isinstance(dtype, dict):
        inner = dtype.get("config")
        dtype = inner.get("name") if isinstance(inner, dict) else None
    sizes = batch_shape(as_list(shape, f"the shape of input {layer.name!r}"), layer.name)
    return Input(name, sizes, dtype if isinstance(dtype, str) else "float32")


# Layers whose `call` has training=True for its default in Keras 3.
_TRAINS = frozenset({*AUGMENTATIONS, "CenterCrop", "Pipeline", "Resizing"})

_ONE_TENSOR = Call((Ref("", 0, 0),), {})


class Builder:
    """Collects nodes and constants while models are laid out, nested ones in place."""

    def __init__(self, inputs: list[str]) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self.masked: set[str] = set()
        self._count = 0
        # Input names come from the file; an edge of ours must never be taken for one.
        self._prefix = "edge:"
        while any(name.startswith(self._prefix) for name in inputs):
            self._prefix += ":"

    def edge(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count}"

    def model(self, model: Model, prefix: str, inputs: list[str]) -> list[str]:
        """Lay out one use of a model; return the edges of its outputs."""
        if model.class_name == "Sequential":
            return self._sequential(model, prefix, inputs)
        return self._functional(model, prefix, inputs)

    def _sequential(self, model: Model, prefix: str, inputs: list[str]) -> list[str]:
        edges = inputs
        for layer in model.layers:
            if layer.class_name == "InputLayer" and not layer.refusal:
                continue
            if len(edges) != 1 and layer.model is None:
                raise ModelFileError(
                    f"layer {printable(layer.name)!r} follows {len(edges)} tensors in a Sequential "
                    "model"
                )
            edges = self.apply(layer, prefix, _ONE_TENSOR, edges, 1)
        return edges

    def _functional(self, model: Model, prefix: str, inputs: list[str]) -> list[str]:
        what = f"model {printable(model.name)!r}"
        if len(inputs) != len(model.inputs):
            raise ModelFileError(
                f"{what} has {len(model.inputs)} inputs and is called with {len(inputs)}"
            )
        known: dict[tuple[str, int], list[str]] = {}
        by_name = {layer.name: layer for layer in model.layers}
        for ref, edge in zip(model.inputs, inputs, strict=True):
            layer = by_name.get(ref.layer)
            if layer is not None and layer.refusal:
                known[ref.layer, ref.call] = self.apply(layer, prefix, _ONE_TENSOR, [edge], 1)
            else:
                known[ref.layer, ref.call] = [edge]
        counts = _counts(model)
        for layer, place in self._ordered(model, set(known)):
            call = layer.calls[place]
            operands = []
            for ref in call.tensors():
                results = known[ref.layer, ref.call]
                if ref.tensor >= len(results):
                    raise ModelFileError(
                        f"{what} reads output {ref.tensor} of layer {printable(ref.layer)!r}, "
                        f"which has {len(results)}"
                    )
                operands.append(results[ref.tensor])
            count = counts.get((layer.name, place), 1)
            known[layer.name, place] = self.apply(layer, prefix, call, operands, count)
        outputs = []
        for ref in model.outputs:
            results = known.get((ref.layer, ref.call), [])
            if ref.tensor >= len(results):
                raise ModelFileError(f"nothing defines the output {printable(ref.layer)!r}")
            outputs.append(results[ref.tensor])
        return outputs

    def _ordered(self, model: Model, known: set[tuple[str, int]]) -> list[tuple[Layer, int]]:
        """Return the calls in an order in which everything read has been computed."""
        what = f"model {printable(model.name)!r}"
        calls = {
            (layer.name, place): (layer, place)
            for layer in model.layers
            for place in range(len(layer.calls))
            if (layer.name, place) not in known
        }
        waiting: dict[tuple[str, int], int] = {}
        readers: dict[tuple[str, int], list[tuple[str, int]]] = {}
        for key, (layer, place) in calls.items():
            needs = {(r.layer, r.call) for r in layer.calls[place].tensors()} - known
            for need in needs:
                if need not in calls:
                    raise ModelFileError(
                        f"{what}: layer {printable(layer.name)!r} reads "
                        f"{printable(need[0])!r} (call {need[1]}), which does not exist"
                    )
                readers.setdefault(need, []).append(key)
            waiting[key] = len(needs)
        ready = deque(key for key, count in waiting.items() if not count)
        order = []
        while ready:
            key = ready.popleft()
            order.append(calls[key])
            for reader in readers.get(key, ()):
                waiting[reader] -= 1
                if not waiting[reader]:
                    ready.append(reader)
        if len(order) < len(calls):
            stuck = next(key[0] for key, count in waiting.items() if count)
            raise ModelFileError(f"{what} has a cycle through layer {printable(stuck)!r}")
        return order

    def apply(
        self, layer: Layer, prefix: str, call: Call, edges: Sequence[str], count: int
    ) -> list[str]:
        """Add the nodes of one call.

        Parameters
        ----------
        layer : Layer
        prefix : str
            Of the names of the nodes, for display.
        call : Call
        edges : sequence of str
            Those of the call's tensors, in order.
        count : int
            How many of its results are read.
        """
        name = prefix + layer.name
        if layer.is_built_in and layer.class_name in _TRAINS and not call.legacy:
            # Keras 3 always writes the default of these, which the model's own call replaces.
            said = {key: value for key, value in call.settings.items() if key != "training"}
            call = Call(call.arguments, said)
        if layer.model is not None:
            call, edges = self._unmasked(call, edges)
        refusal = layer.refusal or _call_refusal(call)
        if not refusal and not self.masked.isdisjoint(edges):
            refusal = masked_call(layer)
        if layer.model is not None and not refusal:
            outputs = self.model(layer.model, f"{name}/", _by_input(layer.model, call, edges))
        elif layer.class_name in WRAPPERS and not refusal and layer.is_built_in:
            outputs = WRAPPERS[layer.class_name](self, layer, prefix, call, list(edges), count)
        else:
            outputs = self.node(layer, name, call, edges, count, refusal)
        if layer.makes_mask or (layer.passes_mask and not self.masked.isdisjoint(edges)):
            self.masked.update(outputs)
        return outputs

    def _unmasked(self, call: Call, edges: Sequence[str]) -> tuple[Call, Sequence[str]]:
        """Return a model's call without the mask that Keras writes down; it goes to the inputs."""
        without = Call(
            call.arguments,
            {key: value for key, value in call.settings.items() if key != "mask"},
            call.legacy,
        )
        masks = Call((), {"mask": call.settings.get("mask")})
        if not any(True for _ in masks.tensors()):
            return without, edges
        # Keras flattens arguments in the order of their names.
        later = Call((), {key: value for key, value in without.settings.items() if key > "mask"})
        end = len(edges) - sum(1 for _ in later.tensors())
        start = end - sum(1 for _ in masks.tensors())
        kept = [*edges[:start], *edges[end:]]
        self.masked.update(kept)
        return without, kept

    def node(
        self,
        layer: Layer,
        name: str,
        call: Call,
        edges: Sequence[str],
        count: int = 1,
        refusal: str = "",
    ) -> list[str]:
        """Add one node for a layer's call; see `apply`."""
        inputs: list[str] = []
        remaining = iter(edges)

        def operand(leaf: Any) -> Any:
            if isinstance(leaf, Ref):
                inputs.append(next(remaining))
            elif isinstance(leaf, np.ndarray):
                inputs.append(self.edge())
                self.constants[inputs[-1]] = leaf
            else:
                return leaf
            return Slot(len(inputs) - 1)

        arguments, keywords = map_leaves((call.arguments, call.settings), operand)
        outputs = tuple(self.edge() for _ in range(count))
        self.nodes.append(
            Node(
                name=name,
                operation=layer.class_name,
                inputs=tuple(inputs),
                outputs=outputs,
                attributes=layer.config,
                weights=layer.weights,
                frozen=_frozen(layer),
                domain=layer.module,
                refusal=refusal,
                arguments=arguments,
                keywords=keywords,
            )
        )
        return list(outputs)


def _frozen(layer: Layer) -> tuple[str, ...]:
    """Return the weights of a layer that training did not change."""
    if not layer.trainable:
        return tuple(layer.weights)
    fixed = {role.name for role in layer.roles or () if not role.trainable}
    return tuple(name for name in layer.weights if name in fixed)


def _counts(model: Model) -> dict[tuple[str, int], int]:
    """Return how many of each call's results are read."""
    counts: dict[tuple[str, int], int] = {}
    reads = [ref for layer in model.layers for call in layer.calls for ref in call.tensors()]
    for ref in (*reads, *model.outputs):
        key = (ref.layer, ref.call)
        counts[key] = max(counts.get(key, 1), ref.tensor + 1)
    if sum(counts.values()) > _MAX_NODES:
        raise ModelFileError(f"reads more than {_MAX_NODES:,} results of layers")
    return counts


def _by_input(model: Model, call: Call, edges: Sequence[str]) -> list[str]:
    """Return the edges of a model's call in the order of its inputs.

    A dictionary given to a model whose inputs are a list names them (Functional.call).
    """
    if model.class_name != "Sequential" and model.input_keys is None:
        first = call.arguments[0] if call.arguments else None
        if isinstance(first, dict) and all(isinstance(one, Ref) for one in first.values()):
            by_name = dict(zip(sorted(first), edges, strict=False))
            names = [ref.layer for ref in model.inputs]
            if set(names) <= set(by_name):
                return [by_name[name] for name in names]
    return list(edges)


def _call_refusal(call: Call) -> str:
    """Say why a call's arguments are not acceptable, or return an empty string."""
    if call.settings.get("training"):
        return "is called with training=True, so it acts as in training"
    for leaf in leaves((call.arguments, call.settings)):
        if isinstance(leaf, Unknown):
            return f"is called with a value of kind {printable(leaf.kind)!r}, not supported"
    return ""
