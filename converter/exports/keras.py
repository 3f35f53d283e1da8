"""A Keras archive of Dense layers that compute what a model does, written without Keras.

Format: keras.src.saving.saving_lib, a zip of metadata.json, config.json and model.weights.h5;
docs/keras-files.md.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converter.exports.layout import (
    Output,
    fresh,
    outputs_of,
    refuse_categories,
    refuse_link,
    rounded,
)
from converter.model import AffineModel
from converter.network import Loss

_ACTIVATIONS = {
    "identity": "linear",
    "logit": "sigmoid",
    "softmax": "softmax",
    "log": "exponential",
}
# Keras' own losses, whose classes are called as the functions are, in another case.
_LOSSES = frozenset(
    {
        *("mean_squared_error", "mean_absolute_error", "poisson", "huber"),
        *("binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"),
    }
)
# The oldest Keras whose archives have this form. Of what was written, not of what reads it.
_VERSION = "3.0.0"
# The archive depends on nothing but the model.
_DATE = (1980, 1, 1, 0, 0, 0)


def keras(model: AffineModel, *, float32: bool = False) -> bytes:
    """Return the file.

    Inputs keep the model's names and shapes, outputs their names; a slash, which Keras allows in
    no name, becomes an underscore, and so does in an output's what TensorFlow does not allow. A
    training loss that is Keras' own is recorded.

    Parameters
    ----------
    model : AffineModel
    float32 : bool
        Single precision; else double, in which the coefficients are exact.

    Raises
    ------
    ValueError
        If an input is a category, or Keras has no activation for the link.
    """
    refuse_categories(
        model,
        "keras",
        "whose codes or words Dense layers do not read: export it as sql or pmml",
    )
    refuse_link(
        model, "keras", _ACTIVATIONS, "for which Keras has no activation: export it as onnx"
    )
    made = _Network(model, float32)
    config = made.config()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in (
            ("metadata.json", json.dumps({"keras_version": _VERSION}).encode()),
            ("config.json", json.dumps(config).encode()),
            ("model.weights.h5", made.weights()),
        ):
            archive.writestr(zipfile.ZipInfo(name, _DATE), content)
    return file.getvalue()


@dataclass(frozen=True, slots=True)
class _Edge:
    """What a layer returns."""

    layer: str
    shape: tuple[int, ...]

    def config(self, dtype: str) -> dict[str, Any]:
        return {
            "class_name": "__keras_tensor__",
            "config": {
                "shape": [None, *self.shape],
                "dtype": dtype,
                "keras_history": [self.layer, 0, 0],
            },
        }


@dataclass(slots=True)
class _Network:
    """A functional model as it grows."""

    model: AffineModel
    float32: bool
    layers: list[dict[str, Any]] = field(default_factory=list)
    arrays: list[tuple[int, str, list[np.ndarray]]] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    @property
    def dtype(self) -> str:
        return "float32" if self.float32 else "float64"

    def layer(
        self, kind: str, name: str, config: dict[str, Any], inputs: Any, shape: tuple[int, ...]
    ) -> _Edge:
        own = {"name": name} | config
        if kind != "InputLayer":
            policy = {"module": "keras", "class_name": "DTypePolicy", "registered_name": None}
            own |= {"trainable": True, "dtype": policy | {"config": {"name": self.dtype}}}
        several = isinstance(inputs, list)
        given: Any = [one.config(self.dtype) for one in inputs] if several else None
        if isinstance(inputs, _Edge):
            given = inputs.config(self.dtype)
        self.layers.append(
            {
                "module": "keras.layers",
                "class_name": kind,
                "config": own,
                "registered_name": None,
                "name": name,
                "inbound_nodes": [] if given is None else [{"args": [given], "kwargs": {}}],
            }
        )
        if inputs is not None and kind == "Dense":
            assert isinstance(inputs, _Edge)
            self.layers[-1]["build_config"] = {"input_shape": [None, *inputs.shape]}
        return _Edge(name, shape)

    def config(self) -> dict[str, Any]:
        """Return the model's configuration; afterwards its weights are known."""
        names = [fresh(_name(name), self.taken) for name, _ in self.model.inputs]
        outputs = outputs_of(self.model)
        results = [fresh(_scope(one.name or "output"), self.taken) for one in outputs]
        inputs = []
        for name, (_, shape) in zip(names, self.model.inputs, strict=True):
            own = {"batch_shape": [None, *shape], "dtype": self.dtype, "sparse": False}
            inputs.append(self.layer("InputLayer", name, own, None, shape))
        flat = [self.flat(edge) for edge in inputs]
        if len(flat) > 1:
            width = sum(edge.shape[0] for edge in flat)
            joined = fresh("concatenate", self.taken)
            flat = [self.layer("Concatenate", joined, {"axis": -1}, flat, (width,))]
        ends = [self.end(flat[0], one, name) for one, name in zip(outputs, results, strict=True)]
        self.layers = self.ordered()
        found: dict[str, Any] = {
            "module": "keras.src.models.functional",
            "class_name": "Functional",
            "config": {
                "name": "regression",
                "trainable": True,
                "layers": self.layers,
                "input_layers": [[edge.layer, 0, 0] for edge in inputs],
                "output_layers": [[edge.layer, 0, 0] for edge in ends],
            },
            "registered_name": "Functional",
            "build_config": {"input_shape": None},
        }
        loss = _loss(self.model.loss)
        if loss is not None:
            losses = loss if len(ends) == 1 else [loss] * len(ends)
            found["compile_config"] = {"optimizer": "sgd", "loss": losses}
        return found

    def ordered(self) -> list[dict[str, Any]]:
        """Return the layers with the Dense ones in the order in which Keras has them."""
        places = {name: place for place, name in enumerate(self.dense_names())}
        first = next(n for n, one in enumerate(self.layers) if one["name"] in places)
        own = [one for one in self.layers if one["name"] in places]
        behind = [one for one in self.layers[first:] if one["name"] not in places]
        own.sort(key=lambda one: places[one["name"]])
        return [*self.layers[:first], *own, *behind]

    def dense_names(self) -> list[str]:
        """Return the Dense layers as Keras has them.

        By how many layers there are from one to an output, the most first, and else as they were
        made (keras.src.ops.function, `map_graph`).
        """
        return [name for _, name, _ in sorted(self.arrays, key=lambda one: -one[0])]

    def flat(self, edge: _Edge) -> _Edge:
        width = math.prod(edge.shape)
        if len(edge.shape) == 1:
            return edge
        name = fresh("reshape", self.taken)
        return self.layer("Reshape", name, {"target_shape": [width]}, edge, (width,))

    def end(self, x: _Edge, output: Output, name: str) -> _Edge:
        """Return an output: its Dense layers side by side, in its shape."""
        blocks = _blocks(self.model, output)
        depth = (len(blocks) > 1) + (len(output.shape) > 1)  # layers behind
        edges = [
            self.dense(x, output.rows[block], fresh("dense", self.taken) if depth else name, depth)
            for block in blocks
        ]
        width = len(output.rows)
        if len(edges) > 1:
            joined = name if len(output.shape) == 1 else fresh("concatenate", self.taken)
            edges = [self.layer("Concatenate", joined, {"axis": -1}, edges, (width,))]
        if len(output.shape) == 1:
            return edges[0]
        return self.layer(
            "Reshape", name, {"target_shape": list(output.shape)}, edges[0], output.shape
        )

    def dense(self, x: _Edge, rows: np.ndarray, name: str, depth: int) -> _Edge:
        coef, intercept = rounded(self.model, self.float32)
        bias = bool(self.model.has_intercept[rows[0]])
        arrays = [coef[rows].T] + [intercept[rows]] * bias
        self.arrays.append((depth, name, arrays))
        own = {
            "units": len(rows),
            "activation": _ACTIVATIONS[self.model.link],
            "use_bias": bias,
        }
        return self.layer("Dense", name, own, x, (len(rows),))

    def weights(self) -> bytes:
        """Return the HDF5 file, whose groups count the layers of a class, whatever their names."""
        import h5py

        arrays_of = {name: arrays for _, name, arrays in self.arrays}
        file = io.BytesIO()
        with h5py.File(file, "w") as store:
            store.create_group("vars").attrs["name"] = "regression"
            for number, name in enumerate(self.dense_names()):
                path = "dense" if number == 0 else f"dense_{number}"
                own = store.create_group(f"layers/{path}/vars")
                own.attrs["name"] = name
                for place, array in enumerate(arrays_of[name]):
                    own.create_dataset(str(place), data=np.ascontiguousarray(array))
            if _loss(self.model.loss) is not None:
                # The optimizer that Keras wants beside a loss: its steps, and its step size.
                store["optimizer/vars/0"] = np.int64(0)
                store["optimizer/vars/1"] = np.float32(0.01)
        return file.getvalue()


def _blocks(model: AffineModel, output: Output) -> list[np.ndarray]:
    """Return runs of neighbouring elements that are one Dense layer each.

    Raises
    ------
    ValueError
        If several softmaxes are interleaved.
    """
    has = model.has_intercept[output.rows]
    numbers = np.zeros(len(has), dtype=int)
    for number, group in enumerate(output.groups):
        numbers[group] = number
        if np.ptp(group) != len(group) - 1 or len(set(has[group].tolist())) > 1:
            raise ValueError(
                "keras: the elements of a softmax are no neighbours, or some have an intercept and "
                "some have none, which no Dense layer is: export it as onnx"
            )
    cuts = np.flatnonzero((np.diff(numbers) != 0) | (np.diff(has.astype(int)) != 0)) + 1
    return np.split(np.arange(len(has)), cuts)


def _name(name: str) -> str:
    return name.replace("/", "_")


def _scope(name: str) -> str:
    """Return a name that TensorFlow takes for a scope, as it does an output layer's."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    return plain if re.match(r"[A-Za-z0-9.]", plain) else f"output{plain}"


def _loss(loss: Loss | None) -> dict[str, Any] | None:
    """Return Keras' record of a loss; None if it is not one of Keras' own."""
    if loss is None or str(loss) not in _LOSSES:
        return None
    return {
        "module": "keras.losses",
        "class_name": str(loss).title().replace("_", ""),
        "config": dict(loss.settings),
        "registered_name": None,
    }
