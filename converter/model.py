"""The result of folding: an affine map with names, a link, and what is known of its origin."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from converter.links import inverse_link
from converter.network import Loss, Training
from converter.variables import Variable, doubles, element_names

if TYPE_CHECKING:
    import os

    import pandas as pd


@dataclass(frozen=True, slots=True)
class Source:
    """What of which file a model was folded from.

    Parameters
    ----------
    sha256 : str
        Of the file as it was then; empty if the model was not read from one, and of a folder that
        `converter.fold` read (`convert` takes its digest).
    output, signature
        As they were asked for.
    """

    sha256: str = ""
    output: str | int | None = None
    signature: str | None = None


@dataclass(frozen=True)
class AffineModel:
    """A network folded into ``inverse_link(coef @ x + intercept)``.

    Parameters
    ----------
    coef : ndarray of float64, shape (outputs, terms)
        Coefficients of the flattened, row-major inputs in the model's own input order. An input
        that the network looks up (a code, a word) has a column for each of its levels.
    intercept : ndarray of float64, shape (outputs,)
    has_intercept : ndarray of bool, shape (outputs,)
        Whether the architecture has a constant term at all.
    link : str
        What the network applies last: ``identity``, ``logit`` (a final sigmoid) or another of
        `converter.links.LINKS`.
    family : str
        The regression that link and training loss make it: ``gaussian``, ``binomial``,
        ``multinomial`` or ``poisson``.
    feature_names : tuple of str, length terms
        The input's name where it is a single number, else ``name[i]`` or ``name[i,j]``; the
        indicators of a category are ``C(name)[level]``.
    output_names : tuple of str, length outputs
    loss : Loss or None
        The training loss, where the file records one.
    inputs : tuple of (str, tuple of int)
        Name and shape of one observation, for each of the model's inputs.
    path, format : str
        The file that it was folded from.
    training : Training
        What else the file says about the training run.
    groups : tuple of int, length outputs
        Behind a softmax, outputs with the same number share one; else -1.
    notes : tuple of str
        How the file was read, where that is not plain.
    variables : tuple of Variable
        What the columns of `coef` stand for: numbers, and categories with their levels. Empty
        where all are numbers.
    source : Source
        What of the file it was folded from.
    """

    coef: np.ndarray
    intercept: np.ndarray
    has_intercept: np.ndarray
    link: str
    family: str
    feature_names: tuple[str, ...]
    output_names: tuple[str, ...]
    loss: Loss | None = None
    inputs: tuple[tuple[str, tuple[int, ...]], ...] = ()
    path: str = ""
    format: str = ""
    training: Training = field(default_factory=Training)
    groups: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    variables: tuple[Variable, ...] = ()
    source: Source = field(default_factory=Source)

    @property
    def categorical(self) -> bool:
        """Whether any input is a category."""
        return bool(self.variables)

    @property
    def number(self) -> np.ndarray:
        """Which terms are numbers and no indicators, shape (terms,)."""
        if not self.variables:
            return np.ones(self.coef.shape[1], dtype=bool)
        return np.array([one.levels is None for one in self.variables for _ in range(one.width)])

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the elements of the inputs: what a table for `predict` holds.

        Without text that the network never looks at.
        """
        if not self.variables:
            return self.feature_names
        names = self.elements
        used = {element for one in self.variables for element in one.elements}
        return tuple(name for place, name in enumerate(names) if place in used)

    @property
    def elements(self) -> list[str]:
        """The names of all elements of the inputs, in order."""
        if not self.variables:
            return list(self.feature_names)
        return [name for one, shape in self.inputs for name in element_names(one, shape)]

    def select(self, output: str | int) -> AffineModel:
        """Return the model of one output element, by name or by place.

        Raises
        ------
        ValueError
            If there is no such element.
        """
        names = list(self.output_names)
        if isinstance(output, str) and output in names:
            output = names.index(output)
        if not isinstance(output, int) or not -len(names) <= output < len(names):
            raise ValueError(f"there is no output {output!r}; the model has {', '.join(names[:8])}")
        if self.link == "softmax" and len(names) > 1:
            raise ValueError(
                "the elements of a softmax are one multinomial regression; there is no choosing "
                "one of them"
            )
        row = slice(output % len(names), output % len(names) + 1)
        return replace(
            self,
            coef=self.coef[row],
            intercept=self.intercept[row],
            has_intercept=self.has_intercept[row],
            output_names=self.output_names[row],
            groups=self.groups[row],
        )

    def renamed(self, columns: Sequence[str]) -> AffineModel:
        """Return the model of a table's columns: each element is an input of that name.

        Parameters
        ----------
        columns : sequence of str
            A name for each of `self.columns`.
        """
        called = dict(zip(self.columns, columns, strict=True))
        # What the network never looks at keeps its name, unless a column has it.
        own = [called.get(name) for name in self.elements]
        taken = set(columns)
        for place, name in enumerate(self.elements):
            if own[place] is None:
                while name in taken:
                    name += "'"
                own[place] = name
                taken.add(name)
        names = [str(name) for name in own]
        variables = tuple(
            replace(one, name=names[one.elements[0]]) if len(one.elements) == 1 else one
            for one in self.variables
        )
        terms = [term for one in variables for term in one.terms]
        return replace(
            self,
            feature_names=tuple(terms if variables else names),
            inputs=tuple((name, (1,)) for name in names),
            variables=variables,
        )

    def linear_predictor(self, X: Any) -> np.ndarray:
        """Return ``X @ coef.T + intercept``.

        Parameters
        ----------
        X : array-like of shape (n, inputs) or ``(n, *input shape)``, DataFrame, or one per input
            A DataFrame that has the model's `columns` is read by name, any other by place.
            For several inputs, a sequence in the model's order or a mapping by input name.
            Categories are given as the network takes them: codes, words, numbers to be binned.

        Returns
        -------
        ndarray of float64, shape (n, outputs)

        Raises
        ------
        ValueError
            If the number of columns does not fit, or a category has a level that the network
            does not know.
        """
        matrix = self.design(X)
        return matrix @ self.coef.T + self.intercept

    @overload
    def predict(self, X: Any, *, as_frame: Literal[False] = False) -> np.ndarray: ...

    @overload
    def predict(self, X: Any, *, as_frame: Literal[True]) -> pd.DataFrame: ...

    def predict(self, X: Any, *, as_frame: bool = False) -> np.ndarray | pd.DataFrame:
        """Return what the network returns for each row of `X`.

        Parameters
        ----------
        X
            See `linear_predictor`.
        as_frame : bool
            Return a DataFrame with the outputs' names and the index of `X`.

        Returns
        -------
        ndarray of float64, or DataFrame, shape (n, outputs)
        """
        groups = np.array(self.groups) if self.groups else None
        found = inverse_link(self.link, self.linear_predictor(X), groups)
        if not as_frame:
            return found
        import pandas as pd

        return pd.DataFrame(found, columns=self.output_names, index=getattr(X, "index", None))

    def design(self, X: Any) -> np.ndarray:
        """Return the columns that the coefficients belong to, shape (n, terms); see above."""
        raw = self._matrix(X)
        if not self.variables:
            return raw
        return np.concatenate([one.columns(raw) for one in self.variables], axis=1)

    def _matrix(self, data: Any) -> np.ndarray:
        """Return the elements of all inputs, shape (n, elements); objects if any is a category."""
        names = self.elements
        parts: Sequence[Any]

        def cells(values: Any, names: Sequence[str]) -> np.ndarray:
            return np.asarray(values, dtype=object) if self.variables else doubles(values, names)

        if hasattr(data, "columns") and not isinstance(data, Mapping):
            present = [str(name) for name in data.columns]
            if set(self.columns) <= set(present):
                wanted = set(self.columns)
                rows = len(data)
                # What the network never looks at may be missing.
                filler = cells(np.zeros(rows), [])
                data = np.column_stack(
                    [cells(data[n], [n]) if n in wanted else filler for n in names]
                )
            elif names_its_inputs(self.inputs):
                missing = [name for name in self.columns if name not in present]
                raise ValueError(f"the table has no column {', '.join(missing)}")
            else:
                data = np.column_stack([cells(data[name], [name]) for name in present])
        if isinstance(data, Mapping):
            missing = [name for name, _ in self.inputs if name not in data]
            if missing:
                raise ValueError(f"no values for the inputs {missing}")
            parts = [data[name] for name, _ in self.inputs]
        elif isinstance(data, (list, tuple)) and (
            len(self.inputs) > 1 or (len(data) == 1 and np.ndim(data[0]) > 1)
        ):
            parts = data
        else:
            parts = [data]
        arrays = [cells(part, names) for part in parts]
        arrays = [
            a.reshape(*a.shape[:1], math.prod(a.shape[1:])) for a in map(np.atleast_1d, arrays)
        ]
        matrix = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1)
        if matrix.shape[1] != len(names):
            raise ValueError(f"X has {matrix.shape[1]} columns; the model has {len(names)} inputs")
        return matrix

    def export(
        self,
        path: str | os.PathLike[str],
        to: str | None = None,
        *,
        float32: bool = False,
        table: str | None = None,
        linear_predictor: bool = False,
    ) -> None:
        """Write the model to a file that other programs read.

        Parameters
        ----------
        path : path-like
            Its suffix says the format, unless `to` does.
        to : str, optional
            A name in `converter.exports.FORMATS`: ``onnx``, ``keras``, ``sql``, ``pmml``,
            ``joblib``, ``json``, ``csv``, ``parquet``, ``npz``.
        float32 : bool
            Round to single precision (``onnx`` and ``keras``).
        table : str, optional
            Name of the table that an ``sql`` query reads; by default ``data``.
        linear_predictor : bool
            Leave out the link (``sql``).

        Raises
        ------
        ValueError
            If the format cannot hold the model exactly.
        OSError
            If the file cannot be written.
        """
        from converter.exports import export

        options = {"float32": float32, "table": table, "linear_predictor": linear_predictor}
        export(self, path, to, options)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a coefficient: output, term, coefficient."""
        from converter.exports.tables import frame

        return frame(self)

    def to_sklearn(self) -> Any:
        """Return a fitted scikit-learn estimator that predicts the same.

        Returns
        -------
        LinearRegression, LogisticRegression, PoissonRegressor, or Pipeline
            The last where inputs are categories.

        Raises
        ------
        ValueError
            If scikit-learn has none that does.
        """
        from converter.exports.sklearn import estimator

        return estimator(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the model as plain Python values, ready for JSON."""
        return {
            "path": self.path,
            "format": self.format,
            "sha256": self.source.sha256,
            "link": self.link,
            "family": self.family,
            "loss": None if self.loss is None else str(self.loss),
            "loss_settings": {} if self.loss is None else dict(self.loss.settings),
            "feature_names": list(self.feature_names),
            "output_names": list(self.output_names),
            "coef": self.coef.tolist(),
            "intercept": self.intercept.tolist(),
            "has_intercept": self.has_intercept.tolist(),
            "groups": list(self.groups),
            "notes": list(self.notes),
            "categories": [
                {"name": one.name, "terms": list(one.terms)}
                for one in self.variables
                if one.levels is not None
            ],
        }

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from converter.reports.notebook import model_html

        return model_html(self)

    def __repr__(self) -> str:
        outputs, inputs = self.coef.shape
        return (
            f"AffineModel({outputs} outputs x {inputs} inputs, link={self.link!r}, "
            f"family={self.family!r}, path={self.path!r})"
        )


# Names that Keras, exporters and people give to an input without naming a variable.
_AUTOMATIC = re.compile(
    r"(?:(?:.*_)?inputs?(?:_layer)?(?:_?\d+)?|keras_tensor(?:_?\d+)?|serving_default.*"
    r"|args?_\d+|onnx::.*|x\d*|X\d*|.*:\d+)",
    re.DOTALL,
)


def names_its_inputs(inputs: Sequence[tuple[str, tuple[int, ...]]]) -> bool:
    """Tell whether each of several inputs is one number with a name that somebody gave it."""
    return len(inputs) > 1 and all(
        math.prod(shape) == 1 and not _AUTOMATIC.fullmatch(name) for name, shape in inputs
    )
