"""Keras 3 models: config.json and weights, in a zip (``.keras``), a folder or a pair of files.

Format: keras.src.saving.saving_lib. A pair is what ``model.to_json()`` and
``model.save_weights()`` leave: ``NAME.json`` and ``NAME.weights.h5``, or ``config.json`` and
``model.weights.h5``; a table of shards, ``.weights.json``, may stand for the weights.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from converter.errors import ModelFileError, printable
from converter.formats import keras_graph, keras_h5, keras_store
from converter.formats.archive import Archive
from converter.formats.containers import Folder
from converter.formats.hdf5 import Hdf5
from converter.formats.keras_config import Model, as_dict, load_json, parse_model
from converter.network import Network

_JSON_LIMIT = 1 << 24
_SHARDS_LIMIT = 10_000
_ASSETS, _ASSET_LIMIT = "assets", 1 << 26
_CONFIG, _METADATA = "config.json", "metadata.json"
_WEIGHTS, _SHARDED = ".weights.h5", ".weights.json"


def read(path: Path, shown: str) -> Network:
    """Read a .keras archive; see `converter.formats.read`."""
    return _bundle(Archive(path), shown)


def read_folder(path: Path, shown: str) -> Network:
    """Read the members of an archive out of a folder (``save_model(zipped=False)``)."""
    return _bundle(Folder(path), shown)


def is_folder(path: Path) -> bool:
    """Tell whether a folder holds a Keras model's configuration."""
    return (path / _CONFIG).is_file()


def is_weights(name: str) -> bool:
    """Tell whether a file holds weights alone, going by the name that Keras insists on."""
    return name.endswith((_WEIGHTS, _SHARDED))


def read_pair(path: Path, shown: str) -> Network:
    """Read a configuration (JSON) and the weights beside it; either of the two may be given."""
    config, weights = pair_of(path)
    folder = Folder(path.parent)
    text = folder.read(config, _JSON_LIMIT)
    return _model(bytes(text), config, shown, folder, weights, "")


def pair_of(path: Path) -> tuple[str, str]:
    """Return the names of the configuration and of the weights, of which one is given.

    Raises
    ------
    ModelFileError
        If the other one is not beside it.
    """
    names = frozenset(os.listdir(path.parent))
    if is_weights(path.name):
        stem = path.name.removesuffix(_WEIGHTS).removesuffix(_SHARDED)
        config = _first(
            names,
            (f"{stem}.json", _CONFIG),
            f"holds weights only; put the model's configuration (model.to_json()) beside it as "
            f"{printable(stem)}.json, or save the whole model",
        )
        weights = path.name
    else:
        config, stem = path.name, path.name.removesuffix(".json")
        stems = (stem, "model") if config == _CONFIG else (stem,)
        weights = _first(
            names,
            [f"{one}{suffix}" for one in stems for suffix in (_WEIGHTS, _SHARDED)],
            f"holds a configuration only; put the weights (model.save_weights()) beside it as "
            f"{printable(stem)}{_WEIGHTS}",
        )
    return config, weights


def _first(names: frozenset[str], wanted: Any, problem: str) -> str:
    found = next((name for name in wanted if name in names), None)
    if found is None:
        raise ModelFileError(problem)
    return found


def _bundle(members: Archive | Folder, shown: str) -> Network:
    version = ""
    text = bytes(members.read(_CONFIG, _JSON_LIMIT))
    if _METADATA in members.members:
        metadata = load_json(bytes(members.read(_METADATA, _JSON_LIMIT)), _METADATA)
        version = str(metadata.get("keras_version", ""))
    weights = f"model{_SHARDED}"
    if weights not in members.members:
        weights = f"model{_WEIGHTS}"
    return _model(text, _CONFIG, shown, members, weights, version)


def _model(
    text: bytes, config: str, shown: str, members: Archive | Folder, weights: str, version: str
) -> Network:
    record = load_json(text, config)
    producer = f"keras {version}".strip()
    model = parse_model(record)
    if isinstance(model, str):
        name = str(record["class_name"])
        return keras_graph.subclassed(shown, "keras", members.size, name, model)
    if weights.endswith(_SHARDED):
        files = _shards(bytes(members.read(weights, _JSON_LIMIT)), weights, members)
    else:
        files = [Hdf5(members.read(weights, 1 << 62))]
    _assign(files, weights, model, version, members)
    compiled = record.get("compile_config")
    return keras_graph.build(
        shown, "keras", members.size, model, compiled, producer, members.verify
    )


def _assign(
    files: list[Hdf5], weights: str, model: Model, version: str, members: Archive | Folder
) -> None:
    if len(files) == 1 and files[0].names(files[0].root, "layer_names") is not None:
        # Keras 2's save_weights writes what its .h5 models have inside.
        tree = files[0].subtree("")
        assert tree is not None
        keras_h5.assign(files[0], tree, model)
        return

    def asset(path: str) -> bytes | None:
        name = f"{_ASSETS}/{path}"
        return bytes(members.read(name, _ASSET_LIMIT)) if name in members else None

    store = keras_store.Store(weights, files, asset)
    keras_store.assign(store, model, skips_visited=version.startswith("2."))


def _shards(text: bytes, name: str, members: Archive | Folder) -> list[Hdf5]:
    """Open the files of a sharded store: ``{"weight_map": {path: file or [file, ...]}}``."""
    table = as_dict(load_json(text, name).get("weight_map"), f"the weight_map of {name}")
    found: dict[str, None] = {}
    for value in table.values():
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, str) or not one.endswith(_WEIGHTS):
                raise ModelFileError(f"{name} names a shard that Keras would not write")
            found[one] = None
    if len(found) > _SHARDS_LIMIT:
        raise ModelFileError(f"{name} names {len(found):,} shards")
    return [Hdf5(members.read(one, 1 << 62)) for one in found]
