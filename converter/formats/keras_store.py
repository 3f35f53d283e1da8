"""Weights as Keras 3 stores them, by path: ``layers/dense_1/vars/0``.

Format: keras.src.saving.saving_lib (`_save_state`, `_save_container_state`). N in ``<class>_N``
counts the layers of one class in the model's own order, whatever the layers are called. A layer
that several models share is stored with the first of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converter.errors import ModelFileError, printable
from converter.formats.hdf5 import Hdf5
from converter.formats.keras_config import CUSTOM, Layer, Model
from converter.formats.keras_order import keras_order
from converter.formats.keras_weights import Role, numbered, snake_case

#: Layers with a vocabulary, and the type of its tokens.
VOCABULARIES: dict[str, type] = {"IntegerLookup": int, "StringLookup": str}

# Keras 2.12 walks a model through this attribute, which comes first in its order.
_OLDEST = "_layer_checkpoint_dependencies"
# For classes that a user described.
_REGISTERED = " (register_layer(.., weights=[..]) names them in the order in which it adds them)"


@dataclass(slots=True)
class Store:
    """Named arrays in groups, out of one HDF5 file or several.

    Parameters
    ----------
    what : str
        Its name for messages.
    files : sequence of Hdf5
        Later ones add to what earlier ones hold.
    asset : callable
        Returns the bytes of a file beside the weights, by its path; None if there is none.
    """

    what: str
    files: list[Hdf5]
    asset: Callable[[str], bytes | None] = lambda path: None
    groups: dict[str, tuple[Hdf5, Any]] = field(default_factory=dict)
    datasets: dict[str, tuple[Hdf5, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for file in self.files:
            tree = file.subtree("")
            assert tree is not None
            for path, group in tree.groups.items():
                if path not in self.groups or len(group):
                    self.groups[path] = (file, group)
            for path, dataset in tree.datasets.items():
                if path in self.datasets:
                    raise ModelFileError(f"holds the weight {printable(path)!r} twice")
                self.datasets[path] = (file, dataset)

    def names(self, path: str) -> list[str]:
        """Return the names directly inside a group, numbers in their order."""
        found = self.groups.get(path)
        if found is None:
            return []
        return sorted((name.decode("utf-8", "replace") for name in found[1]), key=_place)

    def text(self, path: str, attribute: str) -> str | None:
        """Return an attribute of a group."""
        found = self.groups.get(path)
        return None if found is None else found[0].text(found[1], attribute)

    def array(self, path: str) -> np.ndarray:
        """Return a stored array, as a view of the file where it can be one."""
        found = self.datasets.get(path)
        if found is None:
            raise ModelFileError(f"has no weight at {printable(path)!r}")
        return found[0].array(found[1], path)


def _place(name: str) -> tuple[int, str]:
    number = name.isascii() and name.isdigit() and len(name) < 9
    return (int(name), name) if number else (1 << 30, name)


def assign(store: Store, model: Model, *, skips_visited: bool) -> None:
    """Hand every layer its weights.

    Parameters
    ----------
    store : Store
    model : Model
    skips_visited : bool
        Whether layers that were met before have no number of their own: Keras 2, as against 3.

    Raises
    ------
    ModelFileError
        If a layer lacks weights or has too many, or the file holds more than the layers.
    """
    root = "layers"
    if _OLDEST in store.groups and root not in store.groups:
        root = _OLDEST
    walk = _Walk(store, skips_visited, root)
    walk.model(model, root)
    for path in store.datasets:
        if (
            path.startswith(f"{root}/")
            and path not in walk.taken
            and not path.startswith(tuple(walk.foreign))
        ):
            raise ModelFileError(
                f"holds weights at {printable(path)!r} in {store.what} that no layer uses"
            )


@dataclass(slots=True)
class _Walk:
    store: Store
    skips_visited: bool
    container: str
    taken: set[str] = field(default_factory=set)
    foreign: list[str] = field(default_factory=list)
    visited: dict[int, Layer] = field(default_factory=dict)

    def model(self, model: Model, path: str) -> None:
        """Assign to the layers of a model whose list stands at `path`."""
        self._check_order(model, path)
        used: dict[str, int] = {}
        oldest = self._oldest(model, path) if self.container == _OLDEST else {}
        for layer in model.layers:
            if layer.is_operator:
                continue
            known = self._seen(layer)
            if known and self.skips_visited:
                continue
            name = snake_case(re.split(r"[>.]", layer.class_name)[-1])
            if name in oldest:
                place = used[name] = used.get(name, -1) + 1
                if place < len(oldest[name]) and not known:
                    self.layer(layer, f"{path}/{oldest[name][place]}")
                continue
            place_name = numbered(name, used)
            if not known:
                self.layer(layer, f"{path}/{place_name}")

    def _check_order(self, model: Model, path: str) -> None:
        """Refuse layers of a class in another order than Keras', where weights bear no names.

        Keras numbers them by its own order, whatever that of the file is; it writes no such file.
        """
        if model.class_name == "Sequential":
            return
        places: dict[str, int] | None = None
        last: dict[str, Layer] = {}
        for layer in model.layers:
            before = last.get(layer.class_name)
            if layer.is_operator or not (layer.roles or layer.model or layer.parts):
                continue
            last[layer.class_name] = layer
            if before is None:
                continue
            if places is None:
                places = {name: place for place, name in enumerate(keras_order(model))}
            own, other = places.get(layer.name), places.get(before.name)
            if own is None or other is None or own > other:
                continue
            names = [
                one for one in self.store.names(path) if self.store.names(f"{path}/{one}/vars")
            ]
            if any(self.store.text(f"{path}/{one}/vars", "name") is None for one in names):
                raise ModelFileError(
                    f"lists the layers {printable(before.name)!r} and {printable(layer.name)!r} in "
                    "another order than Keras, which numbers their weights by its own"
                )

    def _oldest(self, model: Model, path: str) -> dict[str, list[str]]:
        """Return the stored names of each class in order, whose numbers skip."""
        found: dict[str, list[str]] = {}
        for name in self.store.names(path):
            base, _, number = name.rpartition("_")
            if not (number.isascii() and number.isdigit()):
                base, number = name, "0"
            found.setdefault(base, []).append(f"{int(number[:9]):09d} {name}")
        return {base: [one[10:] for one in sorted(names)] for base, names in found.items()}

    def _seen(self, layer: Layer) -> bool:
        """Tell whether the same layer was met before, and give this entry its weights."""
        if layer.shared_id is None or (layer.model is None and not layer.roles and not layer.parts):
            return False
        first = self.visited.setdefault(layer.shared_id, layer)
        if first is layer:
            return False
        if not _alike(first.config, layer.config) or first.class_name != layer.class_name:
            raise ModelFileError(
                f"says that {printable(first.name)!r} and {printable(layer.name)!r} are one layer, "
                "with different settings"
            )
        _share(first, layer)
        return True

    def layer(self, layer: Layer, path: str) -> None:
        if layer.refusal or (not layer.is_known and layer.model is None):
            self.foreign.append(f"{path}/")
        elif layer.model is not None:
            # A model that was compiled by itself before it became a layer.
            self.foreign.extend((f"{path}/optimizer/", f"{path}/metrics/"))
            self.model(layer.model, f"{path}/{self.container}")
        else:
            # The state of a random generator acts in training only.
            self.foreign.append(f"{path}/seed_generator/")
            # So do the layers that make up a random one, and an activation with weights of its
            # own is refused.
            self.foreign.append(f"{path}/activation/")
            for inner, part in layer.parts.items():
                if not self._seen(part):
                    self.layer(part, f"{path}/{inner}")
            self._own(layer, path)
            if layer.class_name in VOCABULARIES and layer.config.get("vocabulary") is None:
                layer.config = {**layer.config, "vocabulary": self._vocabulary(layer, path)}

    def _vocabulary(self, layer: Layer, path: str) -> list[Any] | None:
        """Return the vocabulary that a layer adapted to, one token a line (IndexLookup)."""
        text = self.store.asset(f"{path}/vocabulary.txt")
        if text is None:
            return None
        try:
            lines = text.decode("utf-8").splitlines()
            while lines and not lines[-1]:
                lines.pop()
            return [int(one) for one in lines] if VOCABULARIES[layer.class_name] is int else lines
        except ValueError:
            raise ModelFileError(
                f"has a vocabulary for {printable(layer.name)!r} that is not one token a line"
            ) from None

    def _own(self, layer: Layer, path: str) -> None:
        assert layer.roles is not None
        stored = self.store.names(f"{path}/vars")
        wanted = [role for role in layer.roles if not role.legacy]
        if len(stored) < len(wanted):
            wanted = [role for role in wanted if not role.copied]
        said = self.store.text(f"{path}/vars", "name")
        if said is not None and layer.name and said != layer.name:
            raise ModelFileError(
                f"stores the weights of {printable(said)!r} where those of layer "
                f"{printable(layer.name)!r} belong"
            )
        keys = [role.name if role.archived else str(place) for place, role in enumerate(wanted)]
        if stored != keys:
            raise ModelFileError(
                f"layer {printable(layer.name)!r} needs the weights "
                f"{', '.join(role.name for role in wanted) or '(none)'}; {self.store.what} holds "
                f"{len(stored)} for it at {path!r}"
                + (_REGISTERED if layer.module == CUSTOM else "")
            )
        for key, role in zip(keys, wanted, strict=True):
            where = f"{path}/vars/{key}"
            self.taken.add(where)
            values = self.store.array(where)
            if role.copied:
                _check_copy(layer, role, values)
            else:
                layer.weights[role.name] = values


def _alike(first: Any, second: Any) -> bool:
    """Compare two configurations, which name the objects that they share or do not."""
    pairs = [(first, second)]
    while pairs:
        one, other = pairs.pop()
        if type(one) is not type(other):
            return False
        if isinstance(one, dict):
            keys, others = (set(record) - {"shared_object_id"} for record in (one, other))
            if keys != others:
                return False
            pairs.extend((one[key], other[key]) for key in keys)
        elif isinstance(one, list):
            if len(one) != len(other):
                return False
            pairs.extend(zip(one, other, strict=True))
        elif one != other:
            return False
    return True


def _share(first: Layer, second: Layer) -> None:
    """Give an entry the weights of the entry that is the same object."""
    second.weights = first.weights
    for mine, theirs in zip(first.parts.values(), second.parts.values(), strict=True):
        _share(mine, theirs)
    if first.model is not None and second.model is not None:
        for mine, theirs in zip(first.model.layers, second.model.layers, strict=True):
            _share(mine, theirs)


def _check_copy(layer: Layer, role: Role, values: np.ndarray) -> None:
    """Refuse a second copy of a weight that is not the same."""
    inner: Mapping[str, np.ndarray] = layer.parts["layer"].weights
    first = inner.get(role.name, inner.get("embeddings"))
    if first is None or first.shape != values.shape or not np.array_equal(first, values):
        raise ModelFileError(
            f"stores the {role.name} of {printable(layer.name)!r} twice, with different values"
        )
