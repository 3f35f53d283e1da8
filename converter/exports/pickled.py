"""What Python pickles: statsmodels results in statsmodels' own classes."""

from __future__ import annotations

import io
from typing import Any


def pickle(value: Any) -> bytes:
    """Return statsmodels results as `results.save` writes them.

    ``statsmodels.api.load`` reads them back where this package is not installed. Loading a pickle
    runs whatever code is in it.
    """
    file = io.BytesIO()
    value.results.save(file)
    return file.getvalue()
