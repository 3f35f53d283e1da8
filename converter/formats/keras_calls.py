"""How layers are called in a Functional model: references to tensors, arguments, in three dialects.

Keras 3 writes ``{"args": [...], "kwargs": {...}}`` (keras.src.models.functional, serialize_node);
Keras 1 and 2 ``[[layer, call, tensor, {settings}], ...]`` (tf_keras.src.engine.node, serialize),
for operators on tensors with one level of lists less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from converter.errors import ModelFileError, printable
from converter.formats.containers import round_bfloat16

_MAX_INDEX = 1 << 20
# What stands where Keras 2 passes a constant as the first argument.
_CONSTANT = "_CONSTANT_VALUE"
_NUMBERS = frozenset(
    {
        *("bool", "bfloat16", "float16", "float32", "float64"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    }
)


@dataclass(frozen=True, slots=True)
class Ref:
    """A tensor inside a graph: layer name, which call of it, which of its outputs."""

    layer: str
    call: int
    tensor: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """A call argument of a kind that is not read."""

    kind: str


@dataclass(slots=True)
class Call:
    """One use of a layer.

    Parameters
    ----------
    arguments : tuple
        Positional arguments: `Ref`, ndarray, plain Python values, slices, `Unknown`, or lists,
        tuples and dictionaries of these.
    settings : dict
        Keyword arguments, likewise.
    legacy : bool
        Whether the record is of Keras 2's kind.
    """

    arguments: tuple[Any, ...]
    settings: dict[str, Any]
    legacy: bool = False

    def tensors(self) -> Iterator[Ref]:
        """Yield the tensors that are read, in the order of the arguments."""
        for leaf in leaves((self.arguments, self.settings)):
            if isinstance(leaf, Ref):
                yield leaf

    def map(self, change: Callable[[Any], Any]) -> None:
        """Replace every leaf of the arguments."""
        self.arguments = map_leaves(self.arguments, change)
        self.settings = map_leaves(self.settings, change)


def leaves(value: Any) -> Iterator[Any]:
    """Yield what lists, tuples and dictionaries hold, dictionaries in the order of their keys."""
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from leaves(one)
    elif isinstance(value, dict):
        # Keras flattens dictionaries so, whatever their order in the file.
        for key in sorted(value):
            yield from leaves(value[key])
    else:
        yield value


def map_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return nested lists, tuples and dictionaries with every leaf replaced, in `leaves`' order."""
    if isinstance(value, (list, tuple)):
        return type(value)(map_leaves(one, change) for one in value)
    if isinstance(value, dict):
        return {key: map_leaves(value[key], change) for key in sorted(value)}
    return change(value)


def parse_call(record: Any, name: str) -> Call:
    """Parse one entry of a layer's ``inbound_nodes``.

    Raises
    ------
    ModelFileError
        If it is not what Keras writes.
    """
    what = f"a call of layer {printable(name)!r}"
    if isinstance(record, list):
        return _legacy_call(record, what)
    if not isinstance(record, dict):
        raise ModelFileError(f"{what} is not what Keras writes: expected an object")
    args, kwargs = record.get("args", []), record.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise ModelFileError(f"{what} is not what Keras writes")
    return Call(
        tuple(_argument(one, what) for one in args),
        {key: _argument(value, what) for key, value in kwargs.items()},
    )


def _legacy_call(record: list[Any], what: str) -> Call:
    settings: dict[str, Any] = {}

    def tensor(parts: list[Any]) -> Any:
        if len(parts) == 4:
            if not isinstance(parts[3], dict):
                raise ModelFileError(f"{what} is not what Keras writes")
            settings.update({key: _legacy(value, what) for key, value in parts[3].items()})
        if parts[0] == _CONSTANT:
            return _legacy(parts[2], what)
        return reference(parts[:3], what)

    def walk(value: Any) -> Any:
        if _is_node_data(value):
            return tensor(value)
        if isinstance(value, list):
            return [walk(one) for one in value]
        if isinstance(value, dict):
            return {key: walk(value[key]) for key in sorted(value)}
        raise ModelFileError(f"{what} is not what Keras writes")

    argument = walk(record)
    if isinstance(argument, list) and len(argument) == 1 and not _is_node_data(record):
        (argument,) = argument
    return Call((argument,), settings, True)


def _is_node_data(value: Any) -> bool:
    return isinstance(value, list) and len(value) in (3, 4) and isinstance(value[0], str)


def _legacy(value: Any, what: str) -> Any:
    """Parse an argument as Keras 2 writes it: tensors are bare lists that begin with a name."""
    if _is_node_data(value):
        return reference(value[:3], what)
    if isinstance(value, list):
        return [_legacy(one, what) for one in value]
    if isinstance(value, dict):
        return {key: _legacy(one, what) for key, one in value.items()}
    return _plain(value)


def _argument(value: Any, what: str) -> Any:
    if isinstance(value, list):
        return [_argument(one, what) for one in value]
    if not isinstance(value, dict):
        return _plain(value)
    kind, config = value.get("class_name"), value.get("config")
    if kind is None or "config" not in value:
        return {key: _argument(one, what) for key, one in value.items()}
    if not isinstance(config, dict):
        return Unknown(str(kind))
    if kind == "__keras_tensor__":
        history = config.get("keras_history")
        if not isinstance(history, list):
            raise ModelFileError(f"{what} refers to a tensor in a way that Keras does not write")
        return reference(history, what)
    if kind in ("__numpy__", "__tensor__"):
        return array(config, what)
    if kind == "__slice__":
        return slice(*(_argument(config.get(key), what) for key in ("start", "stop", "step")))
    if kind == "__ellipsis__":
        return Ellipsis
    return Unknown(str(kind))


def array(config: dict[str, Any], what: str) -> np.ndarray:
    """Return an array written out in JSON, in the type that it names.

    Raises
    ------
    ModelFileError
        If it is not one of numbers, or does not fit its type.
    """
    dtype = config.get("dtype")
    if not isinstance(dtype, str) or dtype not in _NUMBERS:
        raise ModelFileError(f"{what} has a constant of the unknown type {printable(str(dtype))}")
    try:
        values = np.asarray(config.get("value"))
        if values.dtype.kind not in "biuf":
            raise ValueError("no numbers")
        if dtype == "bfloat16":
            return round_bfloat16(values)
        # Not of the array: a number that does not fit its type is to be an error.
        return np.asarray(config.get("value"), dtype=dtype)
    except (TypeError, ValueError, OverflowError):
        raise ModelFileError(f"{what} has a constant that is not numeric") from None


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return Unknown("number that is not finite")
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return Unknown("number that is too large")
    return value


def reference(parts: list[Any], what: str) -> Ref:
    """Return the tensor that ``[layer, call, tensor]`` names."""
    if (
        len(parts) != 3
        or not isinstance(parts[0], str)
        or any(type(n) is not int or not 0 <= n < _MAX_INDEX for n in parts[1:])
    ):
        raise ModelFileError(f"{what} refers to a tensor in a way that Keras does not write")
    return Ref(*parts)


def references(value: Any, what: str) -> Any:
    """Parse Keras' description of a model's inputs or outputs: `Ref` in lists or dictionaries."""
    if isinstance(value, dict):
        return {key: references(value[key], what) for key in sorted(value)}
    if not isinstance(value, list):
        raise ModelFileError(f"{what} is not what Keras writes: expected a list")
    if len(value) == 3 and isinstance(value[0], str):
        return reference(value, what)
    return [references(one, what) for one in value]
