"""From a tree of Keras layers to the nodes of a `Network`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from converter.errors import ModelFileError, printable
from converter.formats.keras_config import (
    LAYERS,
    Call,
    Layer,
    Model,
    Ref,
    Unknown,
    as_list,
    batch_shape,
)
from converter.formats.keras_training import training_of
from converter.network import Input, Network, Node, Output

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
    builder = _Builder(names)
    outputs = builder.model(model, "", names)
    names = _unique([_output_name(model, place) for place in range(len(outputs))])
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


def _unique(names: list[str]) -> list[str]:
    """Number repeated output names as Keras 2 does: ``dense``, ``dense_1``."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        count = seen[name] = seen.get(name, -1) + 1
        result.append(name if not count else f"{name}_{count}")
    return result


def _output_name(model: Model, place: int) -> str:
    return model.outputs[place].layer if model.outputs else model.layers[-1].name


def _inputs(model: Model) -> list[Input]:
    by_name = {layer.name: layer for layer in model.layers}
    if model.class_name != "Sequential":
        inputs = []
        for ref in model.inputs:
            layer = by_name.get(ref.layer)
            if layer is None or layer.class_name != "InputLayer":
                raise ModelFileError(f"input {printable(ref.layer)!r} has no InputLayer")
            inputs.append(_input(layer))
        return inputs
    first = model.layers[0]
    if first.class_name == "InputLayer":
        return [_input(first)]
    if model.input_shape is None:
        raise ModelFileError(
            "does not say the shape of its input; build the model (call it once, or give it an "
            "Input) before saving it"
        )
    name = f"{first.name}_input"
    if first.model is not None and first.model.layers[0].class_name == "InputLayer":
        name = first.model.layers[0].name
    return [Input(name, model.input_shape, "float32")]


def _input(layer: Layer) -> Input:
    shape = layer.config.get("batch_shape", layer.config.get("batch_input_shape"))
    if layer.config.get("sparse") or layer.config.get("ragged"):
        raise ModelFileError(f"input {printable(layer.name)!r} is sparse or ragged")
    dtype = layer.config.get("dtype")
    if isinstance(dtype, dict):
        inner = dtype.get("config")
        dtype = inner.get("name") if isinstance(inner, dict) else None
    sizes = batch_shape(as_list(shape, f"the shape of input {layer.name!r}"), layer.name)
    return Input(layer.name, sizes, dtype if isinstance(dtype, str) else "float32")


_ONE_TENSOR = Call((Ref("", 0, 0),), {})


class _Builder:
    """Collects nodes and constants while models are laid out, nested ones in place."""

    def __init__(self, inputs: list[str]) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
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
            edges = self._apply(layer, prefix, _ONE_TENSOR, edges)
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
                known[ref.layer, ref.call] = self._apply(layer, prefix, _ONE_TENSOR, [edge])
            else:
                known[ref.layer, ref.call] = [edge]
        for layer, place in self._ordered(model, set(known)):
            call = layer.calls[place]
            operands = []
            for ref in _tensors(call.arguments):
                results = known[ref.layer, ref.call]
                if ref.tensor >= len(results):
                    raise ModelFileError(
                        f"{what} reads output {ref.tensor} of layer {printable(ref.layer)!r}, "
                        f"which has {len(results)}"
                    )
                operands.append(results[ref.tensor])
            known[layer.name, place] = self._apply(layer, prefix, call, operands)
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
            needs = {(r.layer, r.call) for r in _tensors(layer.calls[place].arguments)} - known
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

    def _apply(self, layer: Layer, prefix: str, call: Call, edges: list[str]) -> list[str]:
        """Add the nodes of one call; `edges` are those of its tensors, in order."""
        name = prefix + layer.name
        refusal = layer.refusal or _call_refusal(layer, call)
        if layer.model is not None and not refusal:
            return self.model(layer.model, f"{name}/", edges)
        remaining = iter(edges)
        inputs = [self._operand(leaf, remaining) for one in call.arguments for leaf in _flat(one)]
        output = self.edge()
        self.nodes.append(
            Node(
                name=name,
                operation=layer.class_name,
                inputs=tuple(inputs),
                outputs=(output,),
                attributes=layer.config,
                weights=layer.weights,
                domain=layer.module,
                refusal=refusal,
            )
        )
        return [output]

    def _operand(self, argument: Any, edges: Iterator[str]) -> str:
        if isinstance(argument, Ref):
            return next(edges)
        if not isinstance(argument, (int, float, np.ndarray)):
            return ""  # nothing, or a value for which the call is refused
        edge = self.edge()
        try:
            self.constants[edge] = np.asarray(argument, dtype=np.float64)
        except OverflowError:
            raise ModelFileError("is called with a number that is too large") from None
        return edge


def _flat(argument: Any) -> list[Any]:
    if isinstance(argument, list):
        return [leaf for one in argument for leaf in _flat(one)]
    return [argument]


def _tensors(arguments: tuple[Any, ...]) -> list[Ref]:
    return [leaf for one in arguments for leaf in _flat(one) if isinstance(leaf, Ref)]


def _call_refusal(layer: Layer, call: Call) -> str:
    """Say why a call's arguments are not acceptable, or return an empty string."""
    for key, value in call.settings.items():
        if value is False and key == "training":
            continue
        if key == "training":
            return "is called with training=True, so it acts as in training"
        return f"is called with the argument {printable(key)!r}, which is not supported"
    for leaf in (leaf for one in call.arguments for leaf in _flat(one)):
        if isinstance(leaf, Unknown):
            return f"is called with a value of kind {printable(leaf.kind)!r}, not supported"
        if isinstance(leaf, (str, bool)):
            return f"is called with the value {printable(str(leaf))!r}, which is not supported"
    if layer.module == LAYERS and len(call.arguments) > 1:
        return "is called with more than one argument, which is not supported"
    return ""
