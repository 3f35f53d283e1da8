"""Custom Keras layers whose meaning a user teaches, in numpy terms.

A file only names its custom classes; their code is never run. What a layer of that name computes
can be said here, and it is then traced like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

#: Modules that register layers are found under this group of entry points.
GROUP = "converter.layers"


@dataclass(frozen=True, slots=True)
class CustomLayer:
    """A custom layer as a user described it.

    Parameters
    ----------
    function : callable
    weights : tuple of str
        Its weights in the order in which the layer creates them.
    frozen : frozenset of str
        Those among them that training does not change.
    inert : frozenset of str
        Configuration keys without effect on inference.
    """

    function: Callable[..., Any]
    weights: tuple[str, ...]
    frozen: frozenset[str]
    inert: frozenset[str]


_REGISTERED: dict[str, CustomLayer] = {}
_Function = TypeVar("_Function", bound=Callable[..., Any])


def register_layer(
    name: str,
    *,
    weights: Sequence[str] = (),
    frozen: Sequence[str] = (),
    inert: Sequence[str] = (),
) -> Callable[[_Function], _Function]:
    """Teach the meaning of a custom Keras layer.

    Parameters
    ----------
    name : str
        ``Package>Class`` as Keras registered it, or ``module.Class`` of a class that was not
        registered (``__main__.Class`` of a script or a notebook).
    weights : sequence of str
        The names of its weights, in the order in which the layer adds them.
    frozen : sequence of str
        Those of them that are not trainable.
    inert : sequence of str
        Keys of its configuration that have no effect on inference.

    Returns
    -------
    callable
        A decorator for the function. Its positional parameters are those of the layer's `call`,
        its keyword-only parameters the layer's weights and the keys of its configuration that
        matter; any other key is a refusal. It must be written with numpy's functions and
        operators, which work on traced values as long as the result is affine.

    Raises
    ------
    ValueError
        If the name is not of one of these forms.

    Examples
    --------
    >>> import numpy as np
    >>> from converter import register_layer
    >>> @register_layer("MyPackage>Scale", weights=["gamma"])
    ... def scale(x, *, gamma, factor=1.0):
    ...     return np.multiply(x, gamma * factor)
    """
    if ">" not in name and "." not in name:
        raise ValueError(f"{name!r} must be 'Package>Class', or 'module.Class'")

    def register(function: _Function) -> _Function:
        _REGISTERED[name] = CustomLayer(
            function, tuple(weights), frozenset(frozen), frozenset(inert)
        )
        return function

    return register


def custom_layer(*names: str) -> tuple[str, CustomLayer] | None:
    """Return what was registered under one of some names, and which it is."""
    for attempt in range(2):
        for name in names:
            if name in _REGISTERED:
                return name, _REGISTERED[name]
        if not attempt:
            _load_entry_points()
    return None


def registered_as(class_name: str) -> list[str]:
    """Return the names under which a class of that name was registered, in whatever module."""
    _load_entry_points()
    return [name for name in _REGISTERED if name.rpartition(".")[2] == class_name]


@cache
def _load_entry_points() -> None:
    """Import the installed modules that register layers, once, when a custom class turns up."""
    from importlib.metadata import entry_points  # takes longer to import than all else here

    for one in entry_points(group=GROUP):
        one.load()
