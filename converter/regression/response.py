"""What is to be known of a response beside the regression, as a small mergeable state."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

# Values that are shown when they are none that a regression takes, and where they are looked for.
_SHOWN, _SEARCHED = 5, 1 << 12
_NONE = np.zeros(0)


@dataclass(frozen=True)
class Response:
    """A response of many observations.

    Parameters
    ----------
    count : int
        Observations.
    weight : float
        Sum of their weights; `count` where they have none.
    mean : float
        Weighted.
    squares : float
        Weighted sum of squares about the mean.
    lowest, highest : float
    whole : bool
        Whether all are whole numbers.
    binary : bool
        Whether all are 0 or 1.
    examples : tuple of float
        Some of the smallest values.
    classes : ndarray of int
        Of a response in classes, how often each occurs.
    log_weights : float
        Sum of the weights' logarithms.
    log_factorials : float
        Of counts, the sum of ``log y!``.
    values : ndarray, shape (n,), or None
        The response itself, where its rows are in memory.
    """

    count: int
    weight: float
    mean: float
    squares: float
    lowest: float
    highest: float
    whole: bool
    binary: bool
    examples: tuple[float, ...]
    classes: np.ndarray = field(default_factory=lambda: _NONE, compare=False)
    log_weights: float = 0.0
    log_factorials: float = 0.0
    values: np.ndarray | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        y: np.ndarray,
        weights: np.ndarray | None = None,
        *,
        classes: int = 0,
        counts: bool = False,
        keep: bool = False,
    ) -> Response:
        """Return the state of some observations, one at least.

        Parameters
        ----------
        y : ndarray of float64, shape (n,)
        weights : ndarray, shape (n,), optional
        classes : int
            Of a response in classes that are numbered from 0 on, how many there are.
        counts : bool
            Whether the response is one of counts.
        keep : bool
            Keep the values.
        """
        from scipy.special import gammaln

        mean = float(np.average(y, weights=weights))
        away = y - mean
        squares = float(away @ away if weights is None else weights @ away**2)
        lowest, highest = float(y.min()), float(y.max())
        binary = lowest in (0.0, 1.0) and bool(((y == 0.0) | (y == 1.0)).all())
        whole = binary or bool((y == np.rint(y)).all())
        numbered = classes and whole and lowest >= 0 and highest < classes
        return cls(
            count=len(y),
            weight=float(len(y) if weights is None else weights.sum()),
            mean=mean,
            squares=squares,
            lowest=lowest,
            highest=highest,
            whole=whole,
            binary=binary,
            examples=_smallest(y[:1] if lowest == highest else y[:_SEARCHED]),
            classes=np.bincount(y.astype(int), minlength=classes) if numbered else _NONE,
            log_weights=0.0 if weights is None else float(np.log(weights).sum()),
            log_factorials=float(gammaln(y + 1.0).sum()) if counts and lowest >= 0 else 0.0,
            values=y if keep else None,
        )

    def merge(self, other: Response) -> Response:
        """Return the state of both (Chan, Golub & LeVeque, American Statistician 37, 1983)."""
        weight = self.weight + other.weight
        apart = other.mean - self.mean
        both = len(self.classes) == len(other.classes)
        return Response(
            count=self.count + other.count,
            weight=weight,
            mean=self.mean + apart * (other.weight / weight),
            squares=self.squares
            + other.squares
            + apart * apart * (self.weight * (other.weight / weight)),
            lowest=min(self.lowest, other.lowest),
            highest=max(self.highest, other.highest),
            whole=self.whole and other.whole,
            binary=self.binary and other.binary,
            examples=_smallest(np.array([*self.examples, *other.examples])),
            classes=self.classes + other.classes if both else _NONE,
            log_weights=self.log_weights + other.log_weights,
            log_factorials=self.log_factorials + other.log_factorials,
        )

    @property
    def constant(self) -> bool:
        """Whether all are the same."""
        return self.lowest == self.highest

    @property
    def occurring(self) -> int:
        """How many classes occur."""
        return int((self.classes > 0).sum())

    @property
    def about_zero(self) -> float:
        """Weighted sum of squares."""
        return self.squares + self.weight * self.mean**2


def _smallest(values: np.ndarray) -> tuple[float, ...]:
    return tuple(np.unique(values)[:_SHOWN].tolist())
