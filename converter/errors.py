"""What can go wrong, as the caller sees it: three exceptions and the record of one finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One operation that keeps a network from being a regression.

    Parameters
    ----------
    node : str
        Name of the layer or node in the file.
    operation : str
        What it computes, in the file's own words (``relu``, ``MaxPool``, ``Lambda`` ...).
    reason : str
        Why that is not affine, or why nothing can be proved about it.
    """

    node: str
    operation: str
    reason: str

    def to_dict(self) -> dict[str, str]:
        """Return the finding as a plain dictionary."""
        return asdict(self)


class Rejected(ValueError):
    """The network is not a regression.

    Attributes
    ----------
    findings : tuple of Finding
        Every offending operation on the way to the output, in the network's order.
    """

    def __init__(self, path: str, findings: Sequence[Finding]) -> None:
        self.path = path
        self.findings = tuple(findings)
        super().__init__(f"not a regression: {path}\n" + format_findings(self.findings))

    def __reduce__(self) -> tuple[type[Rejected], tuple[str, tuple[Finding, ...]]]:
        # The default would call Rejected(message) in the process that receives it.
        return (Rejected, (self.path, self.findings))


class ModelFileError(ValueError):
    """The file is damaged, hostile, or not a model that this package reads."""


class TooLarge(ModelFileError):
    """More would be needed than is allowed. Seen by callers as a ModelFileError."""


class NotFinite(ModelFileError):
    """A weight or a constant holds a NaN or an infinity. Seen by callers as a ModelFileError."""


#: The reason given where an operation would mix infinite or undefined numbers into the result.
NOT_FINITE = "combines values with a constant that is infinite or not a number"


class SignatureError(ValueError):
    """A file has no such signature, or several of which none was chosen."""


class DataError(ValueError):
    """The table does not fit the model."""


class NotAffine(Exception):
    """Raised inside a rule: this operation has no affine meaning on these operands.

    The interpreter adds node and operation and turns it into a `Finding`. It never leaves
    the package.

    Parameters
    ----------
    reason : str
        Why, as the end of a sentence about the operation.
    node, operation : str, optional
        Where the reason lies, if not in the operation being applied (a sigmoid is only known
        to be misplaced when a later operation uses its result).
    shape : tuple of int, optional
        The shape of the result, where the rule knows it.
    rows : bool
        The number of rows is at fault: what was traced holds for that number alone.
    least : float, optional
        What no element of the result is less than.
    """

    def __init__(
        self,
        reason: str,
        *,
        node: str | None = None,
        operation: str | None = None,
        shape: tuple[int, ...] | None = None,
        rows: bool = False,
        least: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.rows = rows
        self.least = least
        self.shape = shape
        self.reason = reason
        self.node = node
        self.operation = operation


def format_findings(findings: Sequence[Finding]) -> str:
    """Return the findings as aligned lines: node, operation, reason."""
    shown = [tuple(printable(part) for part in (f.node, f.operation, f.reason)) for f in findings]
    wide = [max((len(row[column]) for row in shown), default=0) for column in (0, 1)]
    return "\n".join(
        f"  {node:<{wide[0]}}  {operation:<{wide[1]}}  {reason}"
        for node, operation, reason in shown
    )


def printable(text: str, limit: int = 300) -> str:
    """Return `text` on one line with control characters escaped, cut at `limit` characters.

    Names come out of files that strangers wrote; a terminal must not obey them.
    """
    if text.isprintable() and len(text) <= limit:
        return text
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return safe if len(safe) <= limit else safe[: limit - 3] + "..."
