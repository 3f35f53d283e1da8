"""Writing files so that no half-written one is ever left behind."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


def write_atomically(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Write a file beside its place, then rename it into place.

    Parameters
    ----------
    path : path-like
    write : callable
        Receives the open binary file.

    Raises
    ------
    OSError
        If the folder cannot be written; an existing file is then untouched.
    """
    target = Path(os.path.realpath(path))  # a link stays one
    if not os.fspath(path) or target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if target.exists() and not target.is_file():  # a pipe, a terminal: there is nothing to replace
        with open(target, "wb") as file:
            write(file)
        return
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def refuse_to_overwrite(path: str | os.PathLike[str], *sources: Any) -> None:
    """Refuse to write a file over what it is made from.

    Parameters
    ----------
    path : path-like
        The file to be written.
    *sources : object
        Those that are paths must not be the same file, nor a folder that holds it.

    Raises
    ------
    ValueError
    """
    target = os.path.realpath(path)
    for source in sources:
        if not isinstance(source, (str, os.PathLike)) or not os.path.exists(source):
            continue
        real = os.path.realpath(source)
        same = os.path.exists(target) and os.path.samefile(target, real)
        if same or target.startswith(os.path.join(real, "")):
            raise ValueError(
                f"{os.fspath(path)}: would be written over what it is made from "
                f"({os.fspath(source)}); name another file"
            )
