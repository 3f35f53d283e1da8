"""The regressions of a network with several outputs, on one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from converter.regression.caveats import Caveat
from converter.regression.optimality import Optimality
from converter.regression.shown import Shown

if TYPE_CHECKING:
    import os

    import pandas as pd

    from converter.regression.conversion import Conversion


@dataclass(frozen=True, repr=False)
class JointConversion(Shown, Mapping[str, "Conversion"]):
    """A network of several outputs as one regression for each, on the same rows.

    What `Conversion` has once, this has by the output's name; and it is a mapping from that name
    to the `Conversion`. All have the same regressors, so that estimating equation by equation
    loses nothing, even where the errors are correlated (Zellner, JASA 57, 1962).

    Parameters
    ----------
    parts : dict of str to Conversion
    """

    parts: dict[str, Conversion]

    def __getitem__(self, name: str) -> Conversion:
        return self.parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def results(self) -> dict[str, Any]:
        """statsmodels results wrappers pinned at the network's coefficients."""
        return {name: part.results for name, part in self.parts.items()}

    @property
    def refit(self) -> dict[str, Any]:
        """statsmodels results wrappers at the optimum."""
        return {name: part.refit for name, part in self.parts.items()}

    @property
    def optimality(self) -> dict[str, Optimality]:
        """How far each output is from its optimum."""
        return {name: part.optimality for name, part in self.parts.items()}

    @property
    def caveats(self) -> dict[str, list[Caveat]]:
        """What to know before believing the numbers."""
        return {name: part.caveats for name, part in self.parts.items()}

    @property
    def parameters(self) -> dict[str, float]:
        """What the architecture lets each output estimate; see `Conversion.parameters`."""
        return {name: part.parameters for name, part in self.parts.items()}

    def tidy(self, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row a term, the output's name in front; see `Conversion.tidy`."""
        return self._stacked({name: one.tidy(conf_level) for name, one in self.parts.items()})

    def glance(self) -> pd.DataFrame:
        """Return one row an output; see `Conversion.glance`."""
        return self._stacked({name: one.glance() for name, one in self.parts.items()})

    def summary(self) -> str:
        """Return the summaries, one below the other."""
        return "\n\n\n".join(f"Output {name}\n{one.summary()}" for name, one in self.parts.items())

    def to_dict(self) -> dict[str, Any]:
        """Return everything that `summary` says as plain Python values, ready for JSON."""
        return {"outputs": {name: one.to_dict() for name, one in self.parts.items()}}

    def export(self, path: str | os.PathLike[str], to: str | None = None) -> None:
        """Write all of them to a file, where the format holds several; see `Conversion.export`.

        Raises
        ------
        ValueError
            If it does not: take one of the parts.
        OSError
            If the file cannot be written.
        """
        from converter.exports import export

        export(self, path, to, {})

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}: {one!r}" for name, one in self.parts.items())
        return f"JointConversion({shown})"

    def _stacked(self, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        import pandas as pd

        named = [table.assign(output=name) for name, table in tables.items()]
        stacked = pd.concat(named, ignore_index=True)
        return stacked[["output", *(one for one in stacked.columns if one != "output")]]
