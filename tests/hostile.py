"""Names that break out of where they are written if they can, and models that bear them."""

from __future__ import annotations

import numpy as np
from models import affine

import converter

NAMES = (
    'say "x"',
    "it's",
    "back\\slash\\",
    "]]></x>",
    "</script><b>",
    "new\nline",
    "%_&#$^~{}",
    "a|b`c*",
    "'); DROP TABLE data; --",
    "ünïcode",
)
OUTPUT = "y\"'\\\n]]>%_&#|"


def model(link: str = "identity", family: str = "gaussian", outputs: int = 1, **more):
    """Return a model of inputs with these names."""
    rng = np.random.default_rng(4)
    slopes = rng.normal(size=(outputs, len(NAMES)))
    made = affine(slopes, rng.normal(size=outputs), link=link, family=family, names=NAMES, **more)
    names = (OUTPUT,) if outputs == 1 else tuple(f"{OUTPUT}[{i}]" for i in range(outputs))
    return converter.AffineModel(**{**vars(made), "output_names": names})


def table(rows: int = 60, seed: int = 5):
    """Return a DataFrame with these columns, and a response of this name."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(rows, len(NAMES))), columns=list(NAMES))
    frame[OUTPUT] = rng.normal(size=rows)
    return frame


def conversion(**more):
    """Return a regression on that table."""
    return converter.convert(model(), table(), OUTPUT, **more)
