"""The regressions of a network on one table, or on a stream of its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from converter.model import AffineModel
from converter.regression.arguments import Request, check_settings, covariance_of, targets_of
from converter.regression.choice import Choice, choose, parts_of
from converter.regression.prepared import Regression, prepare
from converter.regression.scaling import part_of_scaler, scalers_of
from converter.regression.streams.files import source_of
from converter.regression.streams.room import fits, is_small
from converter.regression.streams.sources import Source, Watch, quiet
from converter.regression.tables import load

if TYPE_CHECKING:
    from converter.regression.streams.prepared import Draft

_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Asked:
    """The regressions of a network on one table, or on a stream of its rows.

    Parameters
    ----------
    parts : list of (str, AffineModel)
        See `each_of`.
    request : Request
    target, family, where
        As for `converter.convert`.
    watch : callable
        Told how far a stream is.
    """

    parts: list[tuple[str, AffineModel]]
    request: Request
    target: Any
    family: str | None
    where: str | None
    watch: Watch = quiet

    def settled(self, room: int) -> Asked:
        """Load the table, once for all outputs, or see to it that its rows are streamed.

        Parameters
        ----------
        room : int
            Bytes that its rows may take.
        """
        data, where = self.request.data, self.where
        source = None if is_small(data, room) else source_of(data)
        if source is None:
            return self._on(load(data, where))
        streamed = self._on(source)
        needed = streamed.needed
        if source.typed and needed and fits(source, needed, where, room):
            return self._on(source.table(source.all(where, needed)))
        if fits(source, source.schema.names, where, room):
            return self._on(source.whole(where))
        return streamed

    def _on(self, data: Any) -> Asked:
        return replace(self, request=replace(self.request, data=data))

    @property
    def needed(self) -> list[str]:
        """The columns that are read of a stream; none where they are not given by name."""
        from converter.regression.streams.prepared import names_columns

        if not names_columns(self.request, self.target):
            return []
        wanted = [one.reader.wanted.columns for one in self._drafts()]
        return list(dict.fromkeys(name for columns in wanted for name in columns))

    def _drafts(self) -> list[Draft]:
        from converter.regression.streams.prepared import draft

        return self._each(partial(draft, where=self.where))

    @cached_property
    def prepared(self) -> list[Regression]:
        """The regressions, with their rows or with what a first pass over them found."""
        if not isinstance(self.request.data, Source):
            return self._each(prepare)
        from converter.regression.streams.prepared import check, survey

        for _, part in self.parts:
            check(choose(part, self.family), self.request, self.target)
        return [survey(one, self.watch) for one in self._drafts()]

    def _each(self, make: Callable[[Choice, Request, Any, Sequence[str]], _Made]) -> list[_Made]:
        request = self.request
        if isinstance(request.data, Source):
            from converter.regression.streams.prepared import groups_of

            check_settings(request.cov_type, request.cov_kwds)
            beside = groups_of(request.cov_kwds)
        else:
            kwds, beside, complete = covariance_of(
                request.cov_type, request.cov_kwds, request.data, request.missing
            )
            request = replace(request, cov_kwds=kwds, complete=complete)
        # Groups may be told by a regressor.
        chosen = list(self.parts[0][1].columns)
        if isinstance(request.features, Mapping):
            chosen = list(request.features.values())
        elif request.features is not None:
            chosen = list(map(str, request.features))
        beside = [name for name in beside if name not in chosen]
        if len(self.parts) == 1:
            return [make(choose(self.parts[0][1], self.family), request, self.target, beside)]
        targets = targets_of(self.target, [name for name, _ in self.parts])
        columns = [one for one in targets if isinstance(one, str)]
        scaler, target_scaler = scalers_of(request.scaler, request.target_scaler)
        return [
            make(
                choose(part, self.family),
                replace(
                    request,
                    scaler=scaler,
                    target_scaler=part_of_scaler(target_scaler, place, len(targets)),
                ),
                own,
                [*beside, *(one for one in columns if one is not own)],
            )
            for place, ((_, part), own) in enumerate(zip(self.parts, targets, strict=True))
        ]

    def reading(self, models: Sequence[AffineModel]) -> list[np.ndarray]:
        """Return the coefficients of each regression of the network with other weights."""
        parts = each_of(models, self.family)
        return [one.reading(part) for one, (_, part) in zip(self.prepared, parts, strict=True)]


def each_of(models: Sequence[AffineModel], family: str | None) -> list[tuple[str, AffineModel]]:
    """Return the regressions of a network, by name."""
    return [part for one in models for part in parts_of(one, family)]
