"""Affine models made by hand, for tests that need no file."""

from __future__ import annotations

import numpy as np

from converter.model import AffineModel


def affine(
    slopes, intercept=None, *, link="identity", family="gaussian", names=None, groups=None, **more
) -> AffineModel:
    """Return a model; no intercept in the architecture if it is None."""
    slopes = np.atleast_2d(np.asarray(slopes, dtype=float))
    width = slopes.shape[1]
    if names is None:
        features, inputs = tuple(f"x[{i}]" for i in range(width)), (("x", (width,)),)
    else:
        features, inputs = tuple(names), tuple((name, (1,)) for name in names)
    return AffineModel(
        coef=slopes,
        intercept=np.broadcast_to(0.0 if intercept is None else intercept, len(slopes)) * 1.0,
        has_intercept=np.full(len(slopes), intercept is not None),
        link=link,
        family=family,
        feature_names=features,
        output_names=("y",) if len(slopes) == 1 else tuple(f"y[{i}]" for i in range(len(slopes))),
        groups=(-1,) * len(slopes) if groups is None else groups,
        inputs=inputs,
        **more,
    )
