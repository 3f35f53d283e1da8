"""Models of categories made by hand, and tables of every value that tells their levels apart."""

from __future__ import annotations

import numpy as np

from converter.levels import OTHER, Bins, Codes, Hashed, Levels, Vocabulary
from converter.model import AffineModel
from converter.variables import Variable

WORDS = ("it's", 'say "x"', "back\\slash", "]]>", "a|b", "", "new\nline", "%_&")
LEVELS: dict[str, tuple[Levels, list]] = {
    "codes": (Codes(4), [0, 1, 2, 3]),
    "words": (Vocabulary(WORDS, buckets=1), [*WORDS, "stranger", "IT'S"]),
    "words alone": (Vocabulary(WORDS, buckets=0), list(WORDS)),
    "masked words": (Vocabulary(WORDS[:3], mask="none", buckets=1), ["none", *WORDS[:4]]),
    "numbers": (Vocabulary((3, 7, -2), buckets=1, types=("int32",)), [3, 7, -2, 0, 100]),
    "one or other": (Vocabulary((3,), buckets=1, unknown=OTHER, types=("float32",)), [3, 4, -1]),
    "bins": (
        Bins((float(np.float32(-0.1)), float(np.float32(0.7)), 2.0), types=("float32",)),
        [
            *(-5.0, 0.0, 1.0, 2.0, 50.0),
            *(float(np.float32(b)) + d for b in (-0.1, 0.7) for d in (-1e-7, -1e-9, 0.0, 1e-9)),
            *(np.nextafter(2.0, 0.0), np.float64(2.0) - 2.0**-24, np.float64(2.0) - 2.0**-25),
        ],
    ),
}
HASHED = Hashed(5)


def coded(levels: Levels, name: str = 'it\'s "coded"', **more) -> AffineModel:
    """Return a model of a category and a number."""
    text = isinstance(levels, Vocabulary) and levels.text
    variables = (Variable(name, (0,), levels, text=text), Variable("z", (1,)))
    terms = tuple(term for one in variables for term in one.terms)
    rng = np.random.default_rng(8)
    given = {
        "coef": rng.normal(size=(1, len(terms))),
        "intercept": np.array([0.25]),
        "has_intercept": np.array([True]),
        "link": "identity",
        "family": "gaussian",
        "feature_names": terms,
        "output_names": ("y",),
        "inputs": ((name, (1,)), ("z", (1,))),
        "groups": (-1,),
        "variables": variables,
    }
    return AffineModel(**{**given, **more})
