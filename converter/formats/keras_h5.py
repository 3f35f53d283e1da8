"""Legacy Keras files (``.h5``): one HDF5 file with the configuration in attributes.

Format: keras.src.legacy.saving.legacy_h5_format (Keras 3) and keras/saving/legacy (Keras 2).
Weights are kept in a group per top-level layer, in the order of ``weight_names``; a nested model's
are all trainable ones, then all others.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from converter.errors import ModelFileError, printable
from converter.formats import keras_graph
from converter.formats.containers import map_file
from converter.formats.hdf5 import Hdf5, Subtree
from converter.formats.keras_config import Layer, Model, load_json, parse_model
from converter.network import Network


def read(path: Path, shown: str) -> Network:
    """Read a Keras HDF5 file; see `converter.formats.read`."""
    content = map_file(path)
    file = Hdf5(content)
    config = file.text(file.root, "model_config")
    if config is None:
        if file.subtree("layers") is not None:
            raise ModelFileError("holds weights only; save the whole model")
        raise ModelFileError("is an HDF5 file without a Keras model (no model_config)")
    record = load_json(config, "model_config")
    compiled = file.text(file.root, "training_config")
    producer = f"keras {file.text(file.root, 'keras_version') or ''}".strip()
    model = parse_model(record)
    if isinstance(model, str):
        name = str(record["class_name"])
        return keras_graph.subclassed(shown, "h5", len(content), name, model)
    _assign(file, model)
    return keras_graph.build(
        shown,
        "h5",
        len(content),
        model,
        None if compiled is None else load_json(compiled, "training_config"),
        producer,
    )


def _assign(file: Hdf5, model: Model) -> None:
    """Fill in the weights of every layer.

    Raises
    ------
    ModelFileError
        If layers and stored weights do not correspond.
    """
    tree = file.subtree("model_weights")
    if tree is None or "" not in tree.groups:
        raise ModelFileError("has a configuration and no weights (no group model_weights)")
    names = file.names(tree.groups[""], "layer_names")
    if names is None:
        raise ModelFileError("does not list its layers (no attribute layer_names)")
    if len(set(names)) < len(names):
        raise ModelFileError("lists a layer twice in layer_names")
    by_name = {layer.name: layer for layer in model.layers if not layer.is_operator}
    for name in names:
        layer = by_name.pop(name, None)
        if layer is None:
            raise ModelFileError(f"holds weights for {printable(name)!r}, which is no layer")
        own = tree.groups.get(name)
        stored = [] if own is None else file.names(own, "weight_names") or []
        wanted = list(_weights(layer))
        if any(one.roles is None and one.model is None for one, _ in wanted):
            continue  # an unknown layer within: it is refused, and the order is not known
        _distribute(file, tree, stored, layer, name, [(one, role) for one, role in wanted if role])
    for layer in by_name.values():
        if any(role for _, role in _weights(layer)):
            raise ModelFileError(f"has no weights for layer {printable(layer.name)!r}")


def _distribute(
    file: Hdf5,
    tree: Subtree,
    stored: list[str],
    layer: Layer,
    group: str,
    wanted: list[tuple[Layer, str]],
) -> None:
    if len(stored) != len(wanted):
        raise ModelFileError(
            f"layer {printable(layer.name)!r} needs {len(wanted)} weights "
            f"({', '.join(role for _, role in wanted)}); the file holds {len(stored)}"
        )
    for name, (one, role) in zip(stored, wanted, strict=True):
        last = name.split("/")[-1].split(":")[0]
        if last != role:
            raise ModelFileError(
                f"layer {printable(one.name)!r} wants {role} where the file has {printable(name)!r}"
            )
        path = f"{group}/{name}"
        if path not in tree.datasets:
            raise ModelFileError(f"lacks the weight {printable(name)!r}")
        one.weights[role] = file.array(tree.datasets[path], path)


def _weights(layer: Layer) -> Iterator[tuple[Layer, str]]:
    """Yield a layer's weights in stored order: trainable ones first, then the others.

    An unknown layer within yields one entry with an empty role.
    """
    if layer.model is None and layer.roles is None:
        yield layer, ""
        return
    inner = list(_variables(layer, True))
    if layer.trainable:
        yield from ((one, role) for one, role, trainable in inner if trainable)
        yield from ((one, role) for one, role, trainable in inner if not trainable)
    else:
        yield from ((one, role) for one, role, _ in inner)


def _variables(layer: Layer, trainable: bool) -> Iterator[tuple[Layer, str, bool]]:
    trainable = trainable and layer.trainable
    if layer.model is not None:
        for inner in layer.model.layers:
            if not inner.is_operator:
                yield from _variables(inner, trainable)
    elif layer.roles is None:
        yield layer, "", False
    else:
        for role in layer.roles:
            yield layer, role.name, trainable and role.trainable
