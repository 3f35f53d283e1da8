"""Where in the drawing of a network a finding stands, and what that makes of the parts behind."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from converter.errors import Finding
from converter.folding import Settled

if TYPE_CHECKING:
    from converter.reports.anatomy import Part


def judged(
    parts: Sequence[Part], places: Mapping[int, list[Finding]], refused: Container[int]
) -> tuple[Part, ...]:
    """Return the parts with what was found at them, and what that makes of those behind."""
    made: list[Part] = []
    for place, part in enumerate(parts):
        kind, found = part.kind, tuple(places.get(place, ()))
        behind = any(made[source].kind in ("refused", "after") for source in part.sources)
        if found:
            kind = "refused"
        elif behind and (place in refused or kind in ("opaque", "link", "decision", "affine")):
            kind = "after"
        elif kind == "opaque":
            kind = "idle"
        made.append(replace(part, kind=kind, findings=found))
    return tuple(made)


class Places:
    """Where findings stand in a drawing: at the operation that they are about.

    Names do not tell operations apart; what a trace made of each does. A finding that a later
    operation brought to light (a sigmoid is only known to be misplaced when its result is used)
    stands at the operation that it names, if that leads there, and not to an output that is well.
    """

    def __init__(
        self, parts: Sequence[Part], verdicts: Sequence[Settled | tuple[Finding, ...]]
    ) -> None:
        self.parts = parts
        first = len(parts) - len(verdicts)
        self.refused = {
            first + number: one
            for number, one in enumerate(verdicts)
            if not isinstance(one, Settled) and one
        }
        well = [n for n in range(first, len(parts)) if n not in self.refused]
        self.fine = self._before(well)
        self.wanted = dict.fromkeys(f for found in self.refused.values() for f in found)
        self.places: dict[int, list[Finding]] = {}

    def _before(self, ends: Iterable[int]) -> set[int]:
        """Return the places that some are computed from, and these."""
        wanted = set(ends)
        for place in range(len(self.parts) - 1, -1, -1):
            if place in wanted:
                wanted.update(self.parts[place].sources)
        return wanted

    def found(self, place: int, own: Sequence[Finding], inside: Sequence[str]) -> None:
        """Put what an operation's trace found."""
        for finding in dict.fromkeys(own):
            if finding not in self.wanted:
                continue
            at = place
            if finding.node not in (self.parts[place].name, "", *inside):
                named = self._named(finding, self._before([place]) - self.fine)
                at = place if named is None else named
            self._put(at, finding)

    def rest(self) -> None:
        """Put what no operation's trace found: about inputs, outputs, and links at the end."""
        placed = {finding for several in self.places.values() for finding in several}
        for finding in self.wanted:
            if finding in placed:
                continue
            ends = [end for end, found in self.refused.items() if finding in found]
            named = self._named(finding, self._before(ends))
            self._put(ends[0] if named is None else named, finding)

    def _named(self, finding: Finding, among: Iterable[int]) -> int | None:
        """Return the last part of a name; rather one that is a link than another."""
        found = [one for one in among if self.parts[one].name == finding.node]
        if finding.operation in ("input", "output"):
            found = [one for one in found if getattr(self.parts[one], finding.operation)]
        linked = [one for one in found if self.parts[one].kind in ("link", "decision")]
        return max(linked or found, default=None)

    def _put(self, place: int, finding: Finding) -> None:
        several = self.places.setdefault(place, [])
        if finding not in several:
            several.append(finding)
