"""Where the numbers of a report come from: files with their digests, versions, date, command."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from converter.digest import Digest

_PACKAGES = ("numpy", "scipy", "pandas", "pyarrow", "statsmodels", "onnx", "h5py", "tflite")


@dataclass(frozen=True, slots=True)
class Given:
    """A file, or what else rows came from.

    Parameters
    ----------
    name : str
        The path as it was given, or what kind of object it was.
    size : int or None
        Bytes.
    sha256 : str
        Empty if it is no file that is still there.
    """

    name: str
    size: int | None = None
    sha256: str = ""


def source_of(data: Any) -> Given:
    """Return what is known of a table or a model that was given."""
    if not isinstance(data, (str, os.PathLike)):
        from converter.regression.origin import kind_of

        return Given(f"{kind_of(data)} in memory")
    path = Path(data)
    if not path.exists():
        return Given(str(data))
    files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
    return Given(str(data), sum(one.stat().st_size for one in files), Digest(path).result())


def versions(packages: Sequence[str] = _PACKAGES) -> list[tuple[str, str]]:
    """Return the versions of what computed the numbers."""
    from converter import __version__

    found = [("converter", __version__), ("Python", platform.python_version())]
    for name in packages:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return [*found, ("system", f"{platform.system()} {platform.machine()}")]


def now() -> str:
    """Return the date and time, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
