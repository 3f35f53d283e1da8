"""The one plain record that every model file becomes. It holds data only; nothing here runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Dialect = Literal["onnx", "keras", "tensorflow"]


@dataclass(frozen=True, slots=True)
class Input:
    """An input of the network.

    Parameters
    ----------
    name : str
        Its name in the file.
    shape : tuple of (int or None), or None
        The leading axis included; None stands for a size that the file leaves open, and None
        instead of a tuple for a rank that it leaves open.
    dtype : str
        Element type as numpy spells it, ``float32`` for instance.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str


@dataclass(frozen=True, slots=True)
class Output:
    """An output of the network: its public name and the edge that carries it."""

    name: str
    edge: str


@dataclass(frozen=True, slots=True)
class Slot:
    """Stands for one of a node's inputs inside the arguments of a call."""

    place: int


@dataclass(frozen=True, slots=True)
class Node:
    """One operation.

    Parameters
    ----------
    name : str
        The node's or layer's name; for nested models the path ``outer/inner``.
    operation : str
        The operator or layer class (``Gemm``, ``Dense``).
    inputs : tuple of str
        Edges read; an empty string stands for an optional input that the file leaves out.
    outputs : tuple of str
        Edges written.
    attributes : mapping
        Attributes (ONNX) or configuration (Keras), as plain Python values and arrays.
    weights : mapping of str to ndarray
        The layer's own weights by role (``kernel``), for Keras; empty for ONNX, whose weights
        are constants of the network.
    frozen : tuple of str
        Roles of weights that training did not change.
    domain : str
        Operator set (ONNX), or module (Keras).
    version : int
        Opset version in force for the domain (ONNX), else 0.
    refusal : str
        If not empty, the reader knows already that nothing can be proved about this node, and
        why (a Lambda, a custom class).
    captured : tuple of str
        Edges that the graphs among the attributes read from outside themselves.
    arguments, keywords
        For Keras, how the layer is called: plain Python values in lists, tuples and
        dictionaries, with a `Slot` for each input.
    """

    name: str
    operation: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    frozen: tuple[str, ...] = ()
    domain: str = ""
    version: int = 0
    refusal: str = ""
    captured: tuple[str, ...] = ()
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph inside a node's attribute: the branch of an If, the body of a Loop.

    Parameters
    ----------
    inputs, outputs : tuple of str
        Its formal parameters and the edges that it returns.
    nodes : tuple of Node
    constants : mapping of str to ndarray
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)


def captured_edges(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the edges that graphs among a node's attributes read from outside themselves."""
    graphs = [value for value in attributes.values() if isinstance(value, Graph)]
    if not graphs:
        return ()
    names: dict[str, None] = {}
    for graph in graphs:
        own = {*graph.inputs, *graph.constants, *(o for n in graph.nodes for o in n.outputs)}
        read = [name for n in graph.nodes for name in (*n.inputs, *n.captured)]
        names.update(dict.fromkeys(n for n in (*read, *graph.outputs) if n and n not in own))
    return tuple(names)


class Loss(str):
    """The name of a training loss as Keras spells it, with its settings.

    It compares and prints as the name (``mean_squared_error``); `settings` holds what the file
    says beyond it (``from_logits``, ``label_smoothing`` ...).
    """

    settings: dict[str, Any]

    def __new__(cls, name: str, settings: Mapping[str, Any] | None = None) -> Loss:
        loss = super().__new__(cls, name)
        loss.settings = dict(settings or {})
        return loss

    def __getnewargs__(self) -> tuple[str, dict[str, Any]]:  # type: ignore[override]
        return (str(self), self.settings)

    @property
    def from_logits(self) -> bool:
        """Whether the loss applies the sigmoid or softmax itself."""
        return bool(self.settings.get("from_logits", False))

    def describe(self) -> str:
        """Return the name with the settings that change what is minimised, for people."""
        said = ", ".join(f"{k}={v}" for k, v in self.settings.items() if v and k != "reduction")
        return f"{self}({said})" if said else str(self)


@dataclass(frozen=True, slots=True)
class Training:
    """What the file says about how the network was trained.

    Parameters
    ----------
    losses : mapping of str to Loss
        By output name; empty where the file says nothing.
    penalties : tuple of (str, str)
        Layer and penalty (``"dense", "L2(0.01) on the kernel"``).
    stochastic : tuple of (str, str)
        Layer and class of layers that act in training only (Dropout and its kin).
    notes : tuple of str
        Whatever else decides what the numbers mean, as plain sentences.
    """

    losses: Mapping[str, Loss] = field(default_factory=dict)
    penalties: tuple[tuple[str, str], ...] = ()
    stochastic: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Network:
    """A saved network as data: edges carry values, nodes compute them.

    Parameters
    ----------
    path : str
        The file that it came from, as the caller named it.
    format : str
        ``onnx``, ``keras`` (zip archive), ``h5`` or ``saved_model``.
    dialect : {"onnx", "keras", "tensorflow"}
        Which table of meanings applies to the nodes.
    inputs, outputs, nodes
        In the file's order; every node stands behind the nodes that it reads.
    constants : mapping of str to ndarray
        Edges with a fixed value; large ones are views of a memory map.
    frozen : frozenset of str
        Those of them that training did not change, as far as the file tells.
    training : Training
        What the file says about the training run.
    size : int
        Bytes of the file, external data included.
    producer : str
        The program that wrote the file, if it says so.
    signature : str
        Which of a SavedModel's functions it is.
    verify : callable
        Waits for checks of the file that run beside the folding (a checksum over hundreds of
        megabytes); raises ModelFileError if one failed. To be called before any result is used.
    """

    path: str
    format: str
    dialect: Dialect
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    frozen: frozenset[str] = frozenset()
    training: Training = field(default_factory=Training)
    size: int = 0
    producer: str = ""
    signature: str = ""
    verify: Callable[[], None] = field(default=lambda: None, compare=False)
