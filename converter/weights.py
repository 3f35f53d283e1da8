"""What a network's coefficients do when its weights move: directions they can take, and rounding.

The architecture decides which coefficients training can reach. Near the saved weights these are a
surface whose tangent is the range of the Jacobian of (weights -> coefficients); the map is a
polynomial of low degree in the weights, so differences at a few points give its derivative along
any direction, whatever the file's format.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import qr

from converter.errors import ModelFileError, NotAffine, Rejected
from converter.formats import read
from converter.inspection import fold_network_each
from converter.model import AffineModel
from converter.network import Network

# Steps, in proportion to the weights, of a derivative of fourth order: what is left out is of the
# order 1e-12, and rounding errors of 1e-13.
_STEP = 1e-3
_STENCIL = ((1.0, 8.0 / 12.0), (-1.0, -8.0 / 12.0), (2.0, -1.0 / 12.0), (-2.0, 1.0 / 12.0))
# Singular values, beside the largest, of directions that are none.
_NONE = 1e-8
# Directions, beside the longest, that are rounding errors.
_ROUNDING = 1e-10
# Directions beyond the rank that are tried before it is believed.
_SPARE = 3
# Arrays of a network whose values are rounded, or moved; the numbers that it may hold together.
_LARGEST = 1 << 24

#: From the models of a network, one for each output, to the coefficients of a regression.
Reading = Callable[[Sequence[AffineModel]], np.ndarray]


@dataclass(frozen=True)
class Neighbourhood:
    """A network whose weights can be moved.

    Parameters
    ----------
    network : Network
    output : str, int or None
        As for `converter.fold`.
    trained : dict of int to ndarray
        The arrays that training may have changed, by identity: layers that share a weight share
        the array.
    """

    network: Network
    output: str | int | None
    trained: dict[int, np.ndarray]

    @classmethod
    def of(
        cls,
        path: str | os.PathLike[str],
        output: str | int | None = None,
        signature: str | None = None,
    ) -> Neighbourhood:
        """Read a saved network; parameters and errors as for `converter.fold`."""
        network = read(path, signature)
        return cls(network, output, _trained(network))

    @property
    def says_what_is_trained(self) -> bool:
        """Whether the file tells weights that were trained from constants."""
        return self.network.format not in ("onnx", "tflite")

    @property
    def size(self) -> int:
        """Numbers that training may have changed."""
        return sum(array.size for array in self.trained.values())

    def refold(self, moved: dict[int, np.ndarray]) -> list[AffineModel]:
        """Fold the network with other weights."""
        nodes = tuple(
            replace(
                node,
                weights={role: moved.get(id(one), one) for role, one in node.weights.items()},
            )
            if node.weights
            else node
            for node in self.network.nodes
        )
        constants = {
            edge: moved.get(id(one), one) if edge not in self.network.frozen else one
            for edge, one in self.network.constants.items()
        }
        network = replace(self.network, nodes=nodes, constants=constants)
        return fold_network_each(network, self.network.path, self.output)

    def tangent(self, reading: Reading, seed: int = 0) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return directions in which the coefficients can move.

        Each array of weights is moved by itself, and coefficients are measured by how far they
        move, so that neither units nor the size of the saved weights decide what counts.

        Parameters
        ----------
        reading : callable
            From the models of the outputs to the coefficients, shape (p,).
        seed : int
            Of the random directions in which the weights are moved.

        Returns
        -------
        directions : ndarray, shape (p, k)
            In each, one coefficient moves that does in no other; k is the number of parameters
            that the architecture has.
        notes : tuple of str
            What else the reader should know.

        Raises
        ------
        ModelFileError
            If the network is too large to be folded that often.
        """
        if self.size > _LARGEST:
            raise ModelFileError(
                f"{self.network.path}: restricted=True moves every weight; this network has "
                f"{self.size:,}, and {_LARGEST:,} are allowed"
            )
        rng = np.random.default_rng(seed)
        movable, fixed = self._movable(rng)
        params = reading(self.refold({}))
        sizes = [float(np.sqrt(np.mean(one**2))) for one in movable.values()]
        # A bias may be a rounding error: it is moved as far as other weights are.
        usual = float(np.median([size for size in sizes if size > 0] or [1.0]))
        found: list[np.ndarray] = []
        rank = 0
        for (key, array), size in zip(movable.items(), sizes, strict=True):
            reach, tried = max(size, usual), 0
            while rank < len(params) and tried < array.size + _SPARE:
                count = min(max(tried // 2, _SPARE + 1), array.size + _SPARE - tried)
                for _ in range(count):
                    way = reach * rng.standard_normal(array.shape)
                    found.append(self._derivative({key: array}, {key: way}, reading))
                tried += count
                before, rank = rank, span(np.column_stack(found), params).shape[1]
                if rank - before < count:
                    break
        if not found:
            return np.zeros((len(params), 0)), fixed
        return span(np.column_stack(found), params), fixed

    def rounded(self, reading: Reading, count: int = 3, seed: int = 0) -> list[np.ndarray]:
        """Return coefficients of networks whose weights are rounded otherwise.

        Weights in single (or half) precision move at random within half a unit in their last place.
        """
        rng = np.random.default_rng(seed)
        single = {
            key: one
            for key, one in self.trained.items()
            if one.dtype.itemsize < 8 and one.size <= _LARGEST
        }
        if not single or self.size > _LARGEST:
            return []
        found = []
        for _ in range(count):
            moved = {
                key: one.astype(np.float64)
                + rng.uniform(-0.5, 0.5, one.shape) * np.spacing(np.abs(one)).astype(np.float64)
                for key, one in single.items()
            }
            found.append(reading(self.refold(moved)))
        return found

    def _derivative(
        self, arrays: dict[int, np.ndarray], ways: dict[int, np.ndarray], reading: Reading
    ) -> np.ndarray:
        """Return the derivative of the coefficients as weights move."""
        total: np.ndarray | float = 0.0
        for step, weight in _STENCIL:
            moved = {key: arrays[key] + step * _STEP * way for key, way in ways.items()}
            total = total + weight * reading(self.refold(moved))
        return np.asarray(total) / _STEP

    def _movable(self, rng: np.random.Generator) -> tuple[dict[int, np.ndarray], tuple[str, ...]]:
        """Return the weights that can move without the network ceasing to be a regression."""
        all_ = {key: one.astype(np.float64) for key, one in self.trained.items()}
        if self._stays(all_, rng):
            return all_, ()
        kept = {key: one for key, one in all_.items() if self._stays({key: one}, rng)}
        count = len(all_) - len(kept)
        return kept, (
            f"{count} of {len(all_)} weight arrays were held fixed: with other values in them the "
            "network is no regression",
        )

    def _stays(self, arrays: dict[int, np.ndarray], rng: np.random.Generator) -> bool:
        moved = {k: v + _STEP * rng.standard_normal(v.shape) for k, v in arrays.items()}
        try:
            self.refold(moved)
        except (Rejected, NotAffine, ModelFileError, ValueError):
            return False
        return True


def span(columns: np.ndarray, params: np.ndarray | None = None) -> np.ndarray:
    """Return a basis of what some directions span, in which each has a coefficient of its own.

    Parameters
    ----------
    columns : ndarray, shape (p, n)
    params : ndarray, shape (p,), optional
        The coefficients of which they are numerical derivatives, and as exact as these.

    Returns
    -------
    ndarray, shape (p, k)
    """
    reach = np.abs(columns).max(axis=1, initial=0.0)
    # Coefficients are rounded, and their differences divided by the step.
    rounding = 0.0 if params is None else 4.0 * np.finfo(float).eps / _STEP * np.abs(params)
    moved = reach > rounding
    unit = np.where(moved, reach, 1.0)
    scaled = np.where(moved[:, None], columns / unit[:, None], 0.0)
    lengths = np.linalg.norm(scaled, axis=0)
    # What is next to nothing beside the others is rounding errors, and no direction.
    real = lengths > _ROUNDING * lengths.max(initial=0.0)
    scaled = scaled[:, real] / lengths[real]
    if not scaled.size:
        return np.zeros((len(columns), 0))
    u, s, _ = np.linalg.svd(scaled, full_matrices=False)
    noise = float(np.max((rounding / unit)[moved])) if params is not None else 0.0
    basis = u[:, s > max(_NONE, noise) * s[0]]
    _, _, pivots = qr(basis.T, mode="economic", pivoting=True)
    basis = basis @ np.linalg.inv(basis[pivots[: basis.shape[1]]])
    return np.asarray(basis * np.where(moved, reach, 0.0)[:, None])


def _trained(network: Network) -> dict[int, np.ndarray]:
    arrays = [
        one
        for node in network.nodes
        for role, one in node.weights.items()
        if role not in node.frozen
    ]
    # What one node holds fixed, another that shares it does too.
    fixed = {id(node.weights[role]) for node in network.nodes for role in node.frozen}
    arrays += [one for edge, one in network.constants.items() if edge not in network.frozen]
    return {
        id(one): one
        for one in arrays
        if one.size and one.dtype.kind == "f" and id(one) not in fixed
    }
