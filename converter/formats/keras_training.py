"""What a Keras configuration says about training: losses, penalties, layers that act only then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from converter.errors import printable
from converter.formats.keras_config import Layer, Model
from converter.formats.keras_weights import snake_case
from converter.network import Loss, Training

_STOCHASTIC = frozenset(
    {
        *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"),
        *("AlphaDropout", "GaussianDropout", "GaussianNoise"),
    }
)

# Keras' own short names for its losses (keras.losses.get).
_ALIASES = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "kld": "kl_divergence",
    "bce": "binary_crossentropy",
    "logcosh": "log_cosh",
    "kullback_leibler_divergence": "kl_divergence",
    "huber_loss": "huber",
    # TensorFlow Addons' (1.0 to 0.23), which Keras does not have.
    "Addons>PinballLoss": "pinball",
    "Addons>pinball_loss": "pinball",
}
# Settings that say nothing about what is minimised.
_INERT = frozenset({"name", "dtype", "axis"})


def training_of(model: Model, compiled: Any, outputs: Sequence[str]) -> Training:
    """Collect what is said about training.

    Parameters
    ----------
    model : Model
    compiled : dict or None
        ``compile_config`` (.keras) or ``training_config`` (.h5).
    outputs : sequence of str
        The model's output names.
    """
    penalties: list[tuple[str, str]] = []
    stochastic: list[tuple[str, str]] = []
    notes: list[str] = []
    for name, layer in model.walk():
        if layer.is_operator:
            continue
        penalties.extend((name, penalty) for penalty in _penalties(layer))
        if layer.class_name in _STOCHASTIC and _strength(layer):
            stochastic.append((name, layer.class_name))
        if not layer.trainable and layer.weights and any(r.trainable for r in layer.roles or ()):
            notes.append(f"layer {printable(name)} was frozen: its weights were not trained")
        constrained = [key for key, v in layer.config.items() if key.endswith("_constraint") and v]
        notes.extend(
            f"layer {printable(name)} was trained under a {_named(layer.config[key])} constraint "
            f"on its {key.removesuffix('_constraint')}"
            for key in constrained
        )
    settings = compiled if isinstance(compiled, Mapping) else {}
    if settings.get("loss_weights") is not None and len(outputs) > 1:
        notes.append("the losses of the outputs were weighted against each other")
    decay = _weight_decay(settings)
    if decay:
        notes.append(
            f"the optimiser decayed the weights (weight_decay={decay:g}), which acts as an L2 "
            "penalty on all of them"
        )
    return Training(
        _losses(settings.get("loss"), outputs), tuple(penalties), tuple(stochastic), tuple(notes)
    )


def _weight_decay(settings: Mapping[str, Any]) -> float:
    """Return how much the optimiser shrank the weights at each step."""
    optimizer = settings.get("optimizer", settings.get("optimizer_config"))
    config = optimizer.get("config") if isinstance(optimizer, Mapping) else None
    decay = config.get("weight_decay") if isinstance(config, Mapping) else None
    if isinstance(decay, bool) or not isinstance(decay, (int, float)) or abs(decay) > 1e300:
        return 0.0
    return float(decay)


def _losses(spec: Any, outputs: Sequence[str]) -> dict[str, Loss]:
    if spec is None:
        return {}
    if isinstance(spec, Mapping) and "class_name" not in spec:
        found = {name: _loss(one) for name, one in spec.items() if name in outputs}
        return {name: loss for name, loss in found.items() if loss is not None}
    if isinstance(spec, list):
        pairs = zip(outputs, spec, strict=False)
        return {name: loss for name, one in pairs if (loss := _loss(one)) is not None}
    loss = _loss(spec)
    return {} if loss is None else dict.fromkeys(outputs, loss)


def _loss(spec: Any) -> Loss | None:
    if spec is None:
        return None
    if isinstance(spec, str):
        return Loss(_canonical(spec))
    if not isinstance(spec, Mapping):
        return Loss("unknown")
    name, config = str(spec.get("class_name", "")), spec.get("config")
    registered = spec.get("registered_name")
    if name == "function" or isinstance(config, str):
        return Loss(_canonical(str(config)))
    foreign = registered not in (None, name) or ">" in name
    if foreign and str(registered or name) not in _ALIASES:
        return Loss(str(registered or name))
    settings = dict(config) if isinstance(config, Mapping) else {}
    plain = {
        str(k): v
        for k, v in settings.items()
        if k not in _INERT and isinstance(v, (str, int, float, type(None)))
    }
    return Loss(
        _ALIASES[str(registered or name)] if foreign else _canonical(snake_case(name)), plain
    )


def _canonical(name: str) -> str:
    plain = name if name.islower() or "_" in name else snake_case(name)
    plain = _ALIASES.get(name.lower(), plain)
    return _ALIASES.get(plain, plain)


def _strength(layer: Layer) -> Any:
    """Return how much a layer that acts in training only did: its rate or its deviation."""
    return layer.config.get("rate", layer.config.get("stddev", 1.0))


def _penalties(layer: Layer) -> list[str]:
    found = []
    for key, value in layer.config.items():
        if key.endswith("_regularizer") and value is not None:
            found.append(f"{_named(value)} on its {key.removesuffix('_regularizer')}")
    if layer.class_name == "ActivityRegularization":
        found.append("a penalty on its activations")
    return found


def _named(spec: Any) -> str:
    """Return a regulariser or constraint for people: ``L2(0.01)``."""
    if not isinstance(spec, Mapping):
        return printable(str(spec))
    config = spec.get("config")
    values = [
        f"{float(v):g}"
        for v in (config if isinstance(config, Mapping) else {}).values()
        if isinstance(v, (int, float)) and v and abs(v) < 1e300
    ]
    return printable(f"{spec.get('class_name', 'penalty')}({', '.join(values)})")
