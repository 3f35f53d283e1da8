"""Legacy Keras files (``.h5``): one HDF5 file with the configuration in attributes.

Format: keras.src.legacy.saving.legacy_h5_format (Keras 3) and keras/saving/legacy (Keras 2).
Weights are kept in a group per top-level layer, in the order of ``weight_names``; a nested model's
are all trainable ones, then all others.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from converter.errors import ModelFileError, printable
from converter.formats import keras_graph, keras_one
from converter.formats.containers import map_file
from converter.formats.hdf5 import Hdf5, Subtree
from converter.formats.keras_config import Layer, Model, load_json, parse_model
from converter.formats.keras_weights import Role
from converter.network import Network

_BEHIND = "has its weights among those of a layer that is not known, so which they are is not known"


def read(path: Path, shown: str) -> Network:
    """Read a Keras HDF5 file; see `converter.formats.read`."""
    content = map_file(path)
    file = Hdf5(content)
    config = file.text(file.root, "model_config")
    if config is None:
        if file.subtree("layers") is not None or file.names(file.root, "layer_names") is not None:
            raise ModelFileError(
                "holds weights only; save the whole model, or name the file NAME.weights.h5 and "
                "put the model's configuration (model.to_json()) beside it as NAME.json"
            )
        raise ModelFileError("is an HDF5 file without a Keras model (no model_config)")
    record = load_json(config, "model_config")
    compiled = file.text(file.root, "training_config")
    version = file.text(file.root, "keras_version") or ""
    producer = f"keras {version}".strip()
    old = keras_one.is_old(version)
    model = parse_model(keras_one.modernised(record) if old else record)
    if isinstance(model, str):
        name = str(record["class_name"])
        return keras_graph.subclassed(shown, "h5", len(content), name, model)
    tree = file.subtree("model_weights")
    if tree is None or "" not in tree.groups:
        raise ModelFileError("has a configuration and no weights (no group model_weights)")
    assign(file, tree, model, old=old)
    return keras_graph.build(
        shown,
        "h5",
        len(content),
        model,
        None if compiled is None else load_json(compiled, "training_config"),
        producer,
    )


def assign(file: Hdf5, tree: Subtree, model: Model, *, old: bool = False) -> None:
    """Fill in the weights of every layer from a tree with a group for each.

    Parameters
    ----------
    file : Hdf5
    tree : Subtree
    model : Model
    old : bool
        Whether the weights are named as Keras 1 does.

    Raises
    ------
    ModelFileError
        If layers and stored weights do not correspond.
    """
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
        if not layer.is_known or layer.refusal:
            # The order of the weights behind an unknown layer is not known.
            for one in {id(one): one for one, _ in wanted}.values():
                one.refusal = one.refusal or _BEHIND
            continue
        _distribute(file, tree, stored, layer, name, wanted, old)
    for layer in by_name.values():
        if layer.is_known and any(_weights(layer)):
            raise ModelFileError(f"has no weights for layer {printable(layer.name)!r}")


def _distribute(
    file: Hdf5,
    tree: Subtree,
    stored: list[str],
    layer: Layer,
    group: str,
    wanted: list[tuple[Layer, Role]],
    old: bool,
) -> None:
    if len(stored) != len(wanted):
        raise ModelFileError(
            f"layer {printable(layer.name)!r} needs {len(wanted)} weights "
            f"({', '.join(role.name for _, role in wanted)}); the file holds {len(stored)}"
        )
    for name, (one, role) in zip(stored, wanted, strict=True):
        said = keras_one.role_names(name, one.name if old else "")
        if not {role.name, role.other or role.name}.intersection(said):
            raise ModelFileError(
                f"layer {printable(one.name)!r} wants {role.name} where the file has "
                f"{printable(name)!r}"
            )
        path = f"{group}/{name}"
        if path not in tree.datasets:
            raise ModelFileError(f"lacks the weight {printable(name)!r}")
        values = file.array(tree.datasets[path], path)
        one.weights[role.name] = keras_one.kernel(one.class_name, values) if old else values


def _weights(layer: Layer) -> Iterator[tuple[Layer, Role]]:
    """Yield a layer's weights in stored order: trainable ones first, then the others."""
    inner = list(_variables(layer, True))
    if layer.trainable:
        yield from ((one, role) for one, role, trainable in inner if trainable)
        yield from ((one, role) for one, role, trainable in inner if not trainable)
    else:
        yield from ((one, role) for one, role, _ in inner)


def _variables(layer: Layer, trainable: bool) -> Iterator[tuple[Layer, Role, bool]]:
    trainable = trainable and layer.trainable
    if layer.model is not None:
        for inner in layer.model.layers:
            if not inner.is_operator:
                yield from _variables(inner, trainable)
        return
    for role in layer.roles or ():
        if not (role.copied or role.archived):
            yield layer, role, trainable and role.trainable
    for part in layer.parts.values():
        yield from _variables(part, trainable)
