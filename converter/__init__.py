"""Turn saved affine neural networks into the regressions that they are."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from converter.batches.run import Batch, batch
    from converter.errors import DataError, Finding, ModelFileError, Rejected
    from converter.inspection import Inspection, fold, inspect
    from converter.model import AffineModel
    from converter.regression.conversion import Conversion
    from converter.regression.convert import convert
    from converter.regression.joint import JointConversion
    from converter.reports.contents import Report
    from converter.reports.report import report
    from converter.verification import Verification, verify

__version__ = "0.1.0"

_HOMES = {
    "AffineModel": "converter.model",
    "Batch": "converter.batches.run",
    "Conversion": "converter.regression.conversion",
    "DataError": "converter.errors",
    "Finding": "converter.errors",
    "Inspection": "converter.inspection",
    "JointConversion": "converter.regression.joint",
    "ModelFileError": "converter.errors",
    "Rejected": "converter.errors",
    "Report": "converter.reports.contents",
    "Verification": "converter.verification",
    "batch": "converter.batches.run",
    "convert": "converter.regression.convert",
    "fold": "converter.inspection",
    "inspect": "converter.inspection",
    "register_layer": "converter.registry",
    "report": "converter.reports.report",
    "verify": "converter.verification",
}

__all__ = [
    "AffineModel",
    "Batch",
    "Conversion",
    "DataError",
    "Finding",
    "Inspection",
    "JointConversion",
    "ModelFileError",
    "Rejected",
    "Report",
    "Verification",
    "batch",
    "convert",
    "fold",
    "inspect",
    "register_layer",
    "report",
    "verify",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
