"""What is said of files that cannot be read, and whether they are the same still."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from converter.errors import DataError, printable
from converter.regression.tables import NOT_UTF8, reason


class Named:
    """Gives an error the name of the file that it came from."""

    def __init__(self, file: str) -> None:
        self.file = file

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, UnicodeDecodeError):
            raise DataError(f"{self.file}: {NOT_UTF8}") from None
        if isinstance(error, (pa.ArrowException, OSError)):
            # The library names the file again, and more than once.
            named = re.findall(r"'([^']*)'", reason(error))
            files = [one for one in named if os.sep in one]
            why = re.split(r"'[^']*': ", reason(error))[-1]
            raise DataError(
                f"{printable(files[-1]) if files else self.file}: cannot be read as a table: "
                f"{why.rstrip('.')}; the file is damaged, cut short or of another kind (a folder "
                "holds Parquet files only)"
            ) from None


def damaged(file: str, where: str, error: Exception) -> DataError:
    """Return what is said of a part of a file that cannot be read."""
    return DataError(
        f"{file}: {where} cannot be read: {reason(error)}; the file is damaged or cut short"
    )


def stamp_of(files: Sequence[Any]) -> object:
    """Return sizes and times of files; None if these cannot be had."""
    try:
        found = [os.stat(file) for file in files]
    except OSError:
        return None
    return [(one.st_size, one.st_mtime_ns) for one in found]
