"""A model on the scale of its response, where the network leaves the link to its loss."""

from __future__ import annotations

from dataclasses import replace

from converter.model import AffineModel

_LINKS = {"binomial": "logit", "multinomial": "softmax", "poisson": "log"}


def on_response(model: AffineModel) -> AffineModel:
    """Return the model with the link of its family.

    A network that was trained from logits ends without a sigmoid or softmax, and one that was
    trained on the logarithm of a rate without an exponential: its loss applies it. The regression
    that such a network is predicts probabilities, or rates, of its linear predictor. Other models
    are returned as they are.
    """
    link = _LINKS.get(model.family)
    if model.link != "identity" or link is None or (link == "softmax" and len(model.coef) < 2):
        return model
    groups = (0,) * len(model.coef) if link == "softmax" else model.groups
    return replace(model, link=link, groups=groups)
