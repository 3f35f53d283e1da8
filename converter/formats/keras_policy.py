"""Dtype policies of Keras layers: in what precision a layer computes, and whether quantised.

Format: keras.src.dtype_policies (Keras 3: a name or a record) and tf_keras.mixed_precision.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_FLOATS = frozenset(
    {"float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16"}
)
_PLAIN = frozenset({"DTypePolicy", "FloatDTypePolicy", "Policy", "PolicyV1"})
_QUANTIZED = frozenset(
    {
        *("AWQDTypePolicy", "GPTQDTypePolicy", "Int4DTypePolicy"),
        *("QuantizedDTypePolicy", "QuantizedFloat8DTypePolicy"),
    }
)
_MODE = re.compile(
    r"(int8|float8|int4|int4/(-?\d{1,9})|gptq/(\d{1,2})/(-?\d{1,9})|awq/(4)/(-?\d{1,9}))"
)


@dataclass(frozen=True, slots=True)
class Quantization:
    """How a layer stores its kernel in small integers.

    Parameters
    ----------
    mode : str
        ``int8``, ``int4``, ``gptq``, ``awq`` or ``float8``.
    bits : int
        Of a stored number; 0 where the mode does not say it.
    group : int or None
        How many rows of the kernel share a scale; -1 for all of them, None where the mode does
        not say it.
    """

    mode: str
    bits: int = 0
    group: int | None = None

    @property
    def grouped(self) -> bool:
        """Whether there are zero points and a scale for each group of rows."""
        return self.mode in ("gptq", "awq") or (self.group or 0) > 0


def policy_of(config: Mapping[str, Any]) -> Quantization | str | None:
    """Return what a layer's policy says.

    Returns
    -------
    Quantization, str, or None
        None for plain floating point numbers of any precision; a string names a policy that is
        not known.
    """
    policy = config.get("dtype")
    if policy is None:
        return None
    source: Any = None
    if isinstance(policy, Mapping):
        settings = policy.get("config")
        settings = settings if isinstance(settings, Mapping) else {}
        kind = policy.get("class_name")
        if kind in _PLAIN:
            policy = settings.get("name")
        elif kind in _QUANTIZED:
            policy, source = settings.get("mode"), settings.get("source_name")
            return _quantization(policy, source)
        else:
            return f"the policy {kind}"
    if isinstance(policy, str) and "_from_" in policy:
        policy, _, source = policy.partition("_from_")
        return _quantization(policy, source)
    return None if isinstance(policy, str) and policy in _FLOATS else str(policy)


def computed_in(config: Mapping[str, Any]) -> str:
    """Return the type in which a layer computes; empty if the layer does not say it."""
    policy = config.get("dtype")
    while isinstance(policy, Mapping):
        names = [policy[key] for key in ("config", "name", "source_name") if policy.get(key)]
        policy = names[0] if names else None
    name = policy if isinstance(policy, str) else ""
    # "int8_from_mixed_bfloat16" quantises weights and computes in the latter.
    return name.split("_from_")[-1].removeprefix("mixed_")


def _quantization(mode: Any, source: Any) -> Quantization | str:
    found = _MODE.fullmatch(mode) if isinstance(mode, str) else None
    if found is None or not (source is None or (isinstance(source, str) and source in _FLOATS)):
        return f"{mode} from {source}"
    numbers = [int(number) for number in found.groups()[1:] if number is not None]
    name = found.group(1).split("/")[0]
    if len(numbers) == 2:
        return Quantization(name, numbers[0], numbers[1])
    return Quantization(name, 4 if name == "int4" else 8, numbers[0] if numbers else None)
