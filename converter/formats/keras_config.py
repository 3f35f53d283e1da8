"""A Keras configuration as a tree of layers: parsed as data, every field checked, nothing run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converter.errors import ModelFileError, printable
from converter.formats.keras_calls import Call, Ref, leaves, parse_call, references
from converter.formats.keras_weights import SPATIAL, Role, part_records, roles
from converter.registry import custom_layer, registered_as

_MODELS = frozenset({"Sequential", "Functional", "Model"})
_INPUT = "InputLayer"
# Where Keras' own classes live; ``keras.anything_else`` is somebody else's.
_OUR_MODULES = re.compile(r"(tf_)?keras(\.(layers|models|ops|engine|src)(\.\w+)*)?")

# Layers of which Keras before 2.2 knew one data format, and did not write it down.
_LAST_ONLY = frozenset(
    {"Conv1D", "AveragePooling1D", "MaxPooling1D", "GlobalAveragePooling1D", "GlobalMaxPooling1D"}
)

# Layers whose configuration does not say whether they are trainable.
_SILENT = frozenset(
    {
        *("Discretization", "HashedCrossing"),
        *("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "Pipeline"),
    }
)

#: The module recorded for operators on KerasTensors (``a + b``), as against layers.
OPERATORS = "keras.ops"
LAYERS = "keras.layers"
#: Keras 2 records functions of TensorFlow applied to KerasTensors by their public names.
TENSORFLOW = "tensorflow"
#: Custom layers whose meaning a user has taught; the class is their registered name.
CUSTOM = "custom"
_FUNCTIONS = frozenset({"TFOpLambda", "SlicingOpLambda"})


@dataclass(slots=True)
class Layer:
    """One entry of a model's layer list.

    Parameters
    ----------
    name, class_name, module : str
    config : dict
    refusal : str
        Why nothing can be proved about it (a Lambda, a custom class), if so.
    calls : list of Call
    model : Model or None
        For nested models.
    parts : dict of str to Layer
        The layers inside a wrapper, by their path in an archive (``forward_layer``).
    roles : list of Role or None
        The weights that a built-in layer stores; None if its class is not known.
    weights : dict of str to ndarray
        By role, filled in by the format's reader.
    shared_id : int or None
        Equal for entries that are the same object.
    """

    name: str
    class_name: str
    module: str
    config: dict[str, Any]
    refusal: str = ""
    calls: list[Call] = field(default_factory=list)
    model: Model | None = None
    parts: dict[str, Layer] = field(default_factory=dict)
    roles: list[Role] | None = None
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    shared_id: int | None = None

    @property
    def trainable(self) -> bool:
        """Whether training may change the layer's weights."""
        return self.config.get("trainable", True) is not False

    @property
    def is_operator(self) -> bool:
        """Whether it is an operator on tensors, which is no layer and stores nothing."""
        return self.module == OPERATORS

    @property
    def is_built_in(self) -> bool:
        """Whether it is a layer of Keras' own."""
        return self.module == LAYERS and not self.refusal

    @property
    def makes_mask(self) -> bool:
        """Whether its result carries a mask that depends on its input."""
        return self.is_built_in and (
            self.class_name == "Masking" or self.config.get("mask_zero", False) is not False
        )

    @property
    def passes_mask(self) -> bool:
        """Whether its result carries the mask of its input, if it has one."""
        return self.class_name not in _DROPS_MASK

    @property
    def is_known(self) -> bool:
        """Whether the weights of the layer and of everything inside it are known."""
        if self.model is not None:
            return all(layer.is_known for layer in self.model.layers if not layer.is_operator)
        return self.roles is not None and all(part.is_known for part in self.parts.values())

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """Yield the layer and those inside it that are no models, with paths for display."""
        if self.model is not None:
            yield from self.model.walk(f"{prefix}{self.name}/")
            return
        yield f"{prefix}{self.name}", self
        for part in self.parts.values():
            yield from part.walk(f"{prefix}{self.name}/")


@dataclass(slots=True)
class Model:
    """A Sequential or Functional model.

    Parameters
    ----------
    name, class_name : str
    layers : list of Layer
    inputs, outputs : list of Ref
        Empty for a Sequential model, whose order says it.
    input_keys, output_keys : list of str or None
        The keys of a dictionary of inputs or outputs, in the same order.
    input_shape : tuple or None
        For a Sequential model without InputLayer, the first layer's batch shape.
    config : dict
    """

    name: str
    class_name: str
    layers: list[Layer]
    inputs: list[Ref]
    outputs: list[Ref]
    input_shape: tuple[int | None, ...] | None
    config: dict[str, Any]
    input_keys: list[str] | None = None
    output_keys: list[str] | None = None

    def output_names(self, count: int) -> list[str]:
        """Return the names of its outputs; repeated ones are numbered as Keras 2 does."""
        seen: dict[str, int] = {}
        result = []
        for place in range(count):
            if self.output_keys is not None:
                name = self.output_keys[place]
            else:
                name = self.outputs[place].layer if self.outputs else self.layers[-1].name
            repeated = seen[name] = seen.get(name, -1) + 1
            result.append(f"{name}_{repeated}" if repeated else name)
        return result

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """Yield every layer that is not a model, with its path for display."""
        for layer in self.layers:
            yield from layer.walk(prefix)


def load_json(
    text: bytes | str, what: str, hook: Callable[[dict[str, Any]], Any] | None = None
) -> dict[str, Any]:
    """Parse JSON that must be an object; a hook may put something else in an object's place.

    Raises
    ------
    ModelFileError
        If it is not.
    """
    try:
        value = json.loads(text, object_hook=hook)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ModelFileError(f"{what} is not readable JSON: {printable(reason)}") from None
    return as_dict(value, what)


def without_mark(record: dict[str, Any]) -> Any:
    """Return a parsed JSON object, or the list in place of what Keras 2 marked as one."""
    marked = record.get("class_name") in ("__tuple__", "TensorShape")
    if marked and isinstance(record.get("items"), list):
        return record["items"]
    return record


def as_dict(value: Any, what: str) -> dict[str, Any]:
    """Return `value`, which must be a JSON object."""
    if not isinstance(value, dict):
        raise ModelFileError(f"{what} is not what Keras writes: expected an object")
    return value


def as_list(value: Any, what: str) -> list[Any]:
    """Return `value`, which must be a JSON list."""
    if not isinstance(value, list):
        raise ModelFileError(f"{what} is not what Keras writes: expected a list")
    return value


def as_text(value: Any, what: str) -> str:
    """Return `value`, which must be a string."""
    if not isinstance(value, str):
        raise ModelFileError(f"{what} is not what Keras writes: expected a name")
    return value


def parse_model(record: dict[str, Any]) -> Model | str:
    """Parse the record of a saved model.

    Returns
    -------
    Model, or str
        A string says why its configuration does not tell what it computes (a subclassed model).

    Raises
    ------
    ModelFileError
        If the record is not what Keras writes.
    """
    class_name = as_text(record.get("class_name"), "the model's class_name")
    custom = foreign(record, class_name)
    config = record.get("config")
    if isinstance(config, list) and class_name == "Sequential":  # Keras up to 2.2
        config = {"name": "sequential", "layers": config}
    config = as_dict(config, "the model's configuration")
    if custom or class_name not in _MODELS or "layers" not in config:
        return custom or (
            f"is a subclassed model ({printable(class_name)}); its configuration does not say "
            "what it computes: export it (model.export, as SavedModel or ONNX), or build it from "
            "Sequential or Functional parts"
        )
    return _model(class_name, config, record)


def _model(class_name: str, config: dict[str, Any], record: dict[str, Any]) -> Model:
    name = str(config.get("name", "model"))
    what = f"model {printable(name)!r}"
    functional = class_name != "Sequential"
    layers = [
        _layer(as_dict(one, f"a layer of {what}"), functional)
        for one in as_list(config["layers"], f"the layer list of {what}")
    ]
    seen: set[str] = set()
    for layer in layers:
        if layer.name in seen:
            raise ModelFileError(f"{what} has two layers called {printable(layer.name)!r}")
        seen.add(layer.name)
    if functional:
        inputs = references(config.get("input_layers"), f"the inputs of {what}")
        outputs = references(config.get("output_layers"), f"the outputs of {what}")
        return Model(
            *(name, class_name, layers, list(leaves(inputs))),
            *(_renumber(layers, list(leaves(outputs)), what), None, config),
            *(_keys(inputs), _keys(outputs)),
        )
    if not layers:
        raise ModelFileError(f"{what} has no layers")
    return Model(name, class_name, layers, [], [], _batch_shape(config, record, layers), config)


def _keys(structure: Any) -> list[str] | None:
    """Return the keys of a plain dictionary of tensors."""
    if isinstance(structure, dict) and all(isinstance(one, Ref) for one in structure.values()):
        return sorted(structure)
    return None


def _renumber(layers: list[Layer], outputs: list[Ref], what: str) -> list[Ref]:
    """Make every reference count a layer's calls from zero; return the outputs'.

    A nested model starts with a call of its own, from its inputs to its outputs. Keras 3 counts it
    where it writes down the outputs of the model around it (for Functional models, and nowhere
    else); Keras 2 counts it everywhere, for every model that knows its input.
    """
    legacy = any(call.legacy for layer in layers for call in layer.calls)
    counted = {
        layer.name
        for layer in layers
        if layer.model is not None and (legacy or layer.model.class_name != "Sequential")
    }

    def shifted(ref: Ref) -> Ref:
        if ref.layer not in counted:
            return ref
        if ref.call == 0:
            raise ModelFileError(
                f"{what} refers to the inside of the nested model {printable(ref.layer)!r}"
            )
        return Ref(ref.layer, ref.call - 1, ref.tensor)

    if legacy:
        for layer in layers:
            for call in layer.calls:
                call.map(lambda leaf: shifted(leaf) if isinstance(leaf, Ref) else leaf)
    return [shifted(ref) for ref in outputs]


def _batch_shape(
    config: dict[str, Any], record: dict[str, Any], layers: list[Layer]
) -> tuple[int | None, ...] | None:
    build = record.get("build_config")
    first = layers[0]
    inner = first.model.input_shape if first.model is not None else None
    for shape in (
        first.config.get("batch_shape"),
        first.config.get("batch_input_shape"),
        config.get("build_input_shape"),
        build.get("input_shape") if isinstance(build, dict) else None,
        None if inner is None else list(inner),
    ):
        if shape is not None:
            return batch_shape(shape, first.name)
    return None


def batch_shape(shape: Any, name: str) -> tuple[int | None, ...]:
    """Return a shape with a leading batch axis, checked."""
    sizes = as_list(shape, f"the shape of {printable(name)!r}")
    if not sizes or any(
        size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0)
        for size in sizes
    ):
        raise ModelFileError(f"the shape of {printable(name)!r} is {printable(str(shape))}")
    return (None, *sizes[1:])


def _layer(record: dict[str, Any], functional: bool) -> Layer:
    class_name = as_text(record.get("class_name"), "a layer's class_name")
    config = record.get("config")
    if isinstance(config, list) and class_name == "Sequential":  # Keras up to 2.2
        config = {"name": record.get("name", "sequential"), "layers": config}
    config = as_dict(config, f"the configuration of a {printable(class_name)}")
    if class_name in _LAST_ONLY and "data_format" not in config:
        config = {**config, "data_format": "channels_last"}
    name = as_text(
        record.get("name") if functional and "name" in record else config.get("name", ""),
        f"the name of a {printable(class_name)}",
    )
    refusal = foreign(record, class_name) or _RUNS_CODE.get(class_name, "")
    module = str(record.get("module") or "")
    calls = (
        [parse_call(one, name) for one in as_list(record.get("inbound_nodes", []), "inbound_nodes")]
        if functional
        else []
    )
    operator = module.startswith(("keras.src.ops", "keras.ops")) or (
        # Legacy files drop the module. Layers say whether they are trainable; operators do not.
        "module" not in record
        and functional
        and "trainable" not in config
        and class_name not in (*_MODELS, _INPUT, *_SILENT)
    )
    layer = Layer(name, class_name, OPERATORS if operator else LAYERS, config, refusal, calls)
    # Legacy files name a class without its module, ours and others alike.
    bare = "module" not in record and not operator and roles(class_name, config) is None
    known = class_name in (*_MODELS, _INPUT, *_FUNCTIONS)
    foreign_ = bool(refusal) or (bare and not known)
    taught = custom_layer(*_registered_names(record, class_name)) if foreign_ else None
    if taught is not None:
        layer.class_name, custom = taught
        layer.module, layer.refusal = CUSTOM, ""
        layer.roles = [Role(one, one not in custom.frozen) for one in custom.weights]
        return layer
    if class_name in _FUNCTIONS and not refusal:
        layer.module, layer.roles = TENSORFLOW, []
        layer.class_name = as_text(config.get("function"), f"the function of {printable(name)!r}")
        return layer
    shared = record.get("shared_object_id")
    layer.shared_id = shared if type(shared) is int else None
    if not refusal and not operator:
        if class_name in _MODELS and "layers" in config:
            layer.model = _model(class_name, config, record)
        else:
            layer.roles = roles(class_name, config)
            layer.parts = {
                path: _layer(as_dict(part, f"a layer inside {printable(name)!r}"), False)
                for path, part in part_records(class_name, config)
            }
    return layer


def _registered_names(record: dict[str, Any], class_name: str) -> list[str]:
    """Return the names under which a custom class may have been registered."""
    module, registered = record.get("module"), record.get("registered_name")
    names = [one for one in (registered, class_name) if isinstance(one, str) and ">" in one]
    if isinstance(module, str):
        return [*names, f"{module}.{class_name}"]
    if "module" in record:  # of a script or a notebook
        return [*names, f"__main__.{class_name}"]
    return [*names, *registered_as(class_name)]


# Layers that do not support masking: what they return has none.
_DROPS_MASK = frozenset(
    {
        *("Flatten", "Reshape", "Permute", "RepeatVector", "EinsumDense", "STFTSpectrogram", "Dot"),
        *("Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
        *("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"),
        *(f"{name}{rank}D" for name in SPATIAL for rank in (1, 2, 3)),
    }
)

_RUNS_CODE = {
    "Lambda": "carries Python code; it is never run, so nothing is known about it: export the "
    "model to ONNX or SavedModel, whose graph shows what it computes",
    "TFSMLayer": "runs another saved model from a path; it is never opened",
    "TorchModuleWrapper": "runs a PyTorch module; it is never run, so nothing is known about it",
    "JaxLayer": "runs a JAX function; it is never run, so nothing is known about it",
    "FlaxLayer": "runs a Flax module; it is never run, so nothing is known about it",
}


def foreign(record: Mapping[str, Any], class_name: str) -> str:
    """Say why a class is not Keras' own, or return an empty string."""
    module, registered = record.get("module"), record.get("registered_name")
    ours = module is None or (isinstance(module, str) and _OUR_MODULES.fullmatch(module))
    # Keras records a registered name for its own operators too: the class name itself.
    if "module" in record and module is None:
        ours = False
    if ">" in class_name or not ours or registered not in (None, class_name):
        shown = registered or (f"{module}.{class_name}" if module else class_name)
        return (
            f"is the custom class {printable(str(shown))}; its code is not run, so nothing is "
            "known about what it computes: export the model to ONNX or SavedModel, or teach its "
            "meaning (converter.register_layer)"
        )
    return ""
