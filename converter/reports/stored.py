"""The arrays of numbers in a model's file that its operations read, with their digests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from converter.network import Network, Node

# Numbers whose digest is taken at a time.
_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class Stored:
    """An array of numbers in the file.

    Parameters
    ----------
    name : str
        Of the constant, or layer and role.
    shape : tuple of int
    dtype : str
    sha256 : str
        Of its elements in row-major order, little-endian.
    frozen : bool
        Whether the file says that training did not change it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    sha256: str
    frozen: bool = False


def read_by(node: Node) -> tuple[str, ...]:
    """Return the edges that an operation reads, also in its branches and loops."""
    return (*node.inputs, *node.captured)


class Digests:
    """The arrays of a network, each read once."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.known: dict[int, str] = {}

    def of(self, node: Node) -> tuple[Stored, ...]:
        """Return what a node reads from the file."""
        constants = self.network.constants
        named = [
            (name, constants[name], name in self.network.frozen)
            for name in dict.fromkeys(read_by(node))
            if name in constants
        ]
        named += [
            (f"{node.name}/{role}", array, role in node.frozen)
            for role, array in node.weights.items()
        ]
        return tuple(
            Stored(name, tuple(array.shape), array.dtype.name, self._digest(array), frozen)
            for name, array, frozen in named
        )

    def _digest(self, array: np.ndarray) -> str:
        if id(array) not in self.known:
            self.known[id(array)] = digest_of(array)
        return self.known[id(array)]


def digest_of(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's elements, row-major and little-endian.

    Of text, of the elements in UTF-8 with a zero byte behind each.
    """
    digest = hashlib.sha256()
    flat = array.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK]
        if part.dtype.kind in "OUS":
            for one in part.tolist():
                digest.update(one if isinstance(one, bytes) else str(one).encode())
                digest.update(b"\0")
        else:
            little = part.dtype.newbyteorder("<") if part.dtype.kind in "iufcb" else part.dtype
            digest.update(np.ascontiguousarray(part.astype(little, copy=False)).tobytes())
    return digest.hexdigest()
