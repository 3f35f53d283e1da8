"""How conversions are shown: as a page, and in notebooks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from converter.regression.conversion import Conversion
    from converter.regression.joint import JointConversion
    from converter.reports.contents import Report


class Shown:
    """A conversion, or several together."""

    def report(
        self, path: str | os.PathLike[str], *, verify: bool = False, points: int = 64
    ) -> Report:
        """Write the regression as one self-contained HTML page.

        Parameters
        ----------
        path, verify, points
            See `converter.report`. What the network's file says is read again; where it is no
            longer there, the page does without.

        Raises
        ------
        ValueError
            If the network is to be run, and its file is not there.
        OSError
            If the page cannot be written.
        """
        from converter.reports.report import report_of

        made = cast("Conversion | JointConversion", self)
        return report_of(made, path, verify=verify, points=points)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from converter.reports.notebook import conversion_html

        return conversion_html(cast("Conversion | JointConversion", self))
