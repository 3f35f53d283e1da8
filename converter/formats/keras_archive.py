"""Keras 3 archives (``.keras``): a zip of metadata.json, config.json and model.weights.h5.

Format: keras.src.saving.saving_lib. Weights stand at ``layers/<class>[_N]/vars/<i>``, N counting
the layers of one class in the model's own order, whatever the layers are called.
"""

from __future__ import annotations

from pathlib import Path

from converter.errors import ModelFileError, printable
from converter.formats import keras_graph
from converter.formats.archive import Archive
from converter.formats.hdf5 import Hdf5, Subtree
from converter.formats.keras_config import Layer, Model, load_json, parse_model
from converter.formats.keras_weights import snake_case
from converter.network import Network

_JSON_LIMIT = 1 << 24
_WEIGHTS = "model.weights.h5"


def read(path: Path, shown: str) -> Network:
    """Read a .keras archive; see `converter.formats.read`."""
    archive = Archive(path)
    record = load_json(bytes(archive.read("config.json", _JSON_LIMIT)), "config.json")
    producer = ""
    if "metadata.json" in archive.members:
        metadata = load_json(bytes(archive.read("metadata.json", _JSON_LIMIT)), "metadata.json")
        producer = f"keras {metadata.get('keras_version', '')}".strip()
    size = len(archive.content)
    model = parse_model(record)
    if isinstance(model, str):
        return keras_graph.subclassed(shown, "keras", size, str(record["class_name"]), model)
    _Weights(Hdf5(archive.read(_WEIGHTS, 1 << 62))).assign(model)
    return keras_graph.build(
        shown, "keras", size, model, record.get("compile_config"), producer, archive.verify
    )


class _Weights:
    """Hands the archive's datasets to the layers that they belong to."""

    def __init__(self, file: Hdf5) -> None:
        self.file = file
        self.tree = file.subtree("layers") or Subtree()
        self.taken: set[str] = set()
        self.foreign: list[str] = []
        self.shared: dict[int, Layer] = {}

    def assign(self, model: Model) -> None:
        """Fill in the weights of every layer.

        Raises
        ------
        ModelFileError
            If a layer lacks weights or has too many, or the file holds more than the layers.
        """
        self._model(model, "")
        for path in self.tree.datasets:
            if path not in self.taken and not path.startswith(tuple(self.foreign)):
                raise ModelFileError(
                    f"holds weights at {printable(path)!r} in {_WEIGHTS} that no layer uses"
                )

    def _model(self, model: Model, prefix: str) -> None:
        used: dict[str, int] = {}
        for layer in model.layers:
            if layer.is_operator:
                continue
            name = snake_case(layer.class_name.split(">")[-1])
            count = used[name] = used.get(name, -1) + 1
            # A Sequential model's own list leaves its InputLayer out; the count is the same.
            path = f"{prefix}{name}{f'_{count}' if count else ''}"
            if layer.model is not None:
                self._model(layer.model, f"{path}/layers/")
            elif layer.roles is None or layer.refusal:
                self.foreign.append(f"{path}/")
            else:
                # The state of a random generator acts in training only.
                self.foreign.append(f"{path}/seed_generator/")
                self._layer(layer, path)

    def _layer(self, layer: Layer, path: str) -> None:
        assert layer.roles is not None
        group = self.tree.groups.get(f"{path}/vars")
        stored = (
            []
            if group is None
            else sorted((name.decode("utf-8", "replace") for name in group), key=_place)
        )
        first = self.shared.get(layer.shared_id) if layer.shared_id is not None else None
        if not stored and layer.roles and first is not None and first.config == layer.config:
            layer.weights = first.weights
            return
        wanted = [role.name for role in layer.roles]
        if group is not None:
            said = self.file.text(group, "name")
            if said is not None and said != layer.name:
                raise ModelFileError(
                    f"stores the weights of {printable(said)!r} where those of layer "
                    f"{printable(layer.name)!r} belong"
                )
        if stored != [str(i) for i in range(len(wanted))]:
            raise ModelFileError(
                f"layer {printable(layer.name)!r} needs the weights {', '.join(wanted)}; "
                f"{_WEIGHTS} holds {len(stored)} for it at {path!r}"
            )
        for place, name in enumerate(stored):
            where = f"{path}/vars/{name}"
            self.taken.add(where)
            if place < len(wanted):
                if where not in self.tree.datasets:
                    raise ModelFileError(f"has no weight at {printable(where)!r}")
                layer.weights[wanted[place]] = self.file.array(self.tree.datasets[where], where)
        if layer.shared_id is not None and layer.roles:
            self.shared[layer.shared_id] = layer


def _place(name: str) -> tuple[int, str]:
    number = name.isascii() and name.isdigit() and len(name) < 9
    return (int(name), name) if number else (1 << 30, name)
