"""Hardened access to what models are stored in: memory maps and external data.

Everything here assumes that the file was made by an enemy: no path leads out of the model's
folder, no link is followed, and no size is believed before it has been compared with the bytes
that are there.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import os
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from converter.errors import ModelFileError, printable


def map_file(path: Path) -> memoryview:
    """Return a file's bytes as a read-only memory map.

    Raises
    ------
    ModelFileError
        If it cannot be read or is empty.
    """
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        raise ModelFileError(f"cannot be read: {error}") from None


def widen_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Return bfloat16 numbers, given as uint16, as the float32 numbers that they are."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def round_bfloat16(array: np.ndarray) -> np.ndarray:
    """Round to bfloat16 (nearest, ties to even), held as float32."""
    bits = array.astype(np.float32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) & np.uint64(0xFFFF0000)
    return rounded.astype(np.uint32).view(np.float32)


class View(io.RawIOBase):
    """A read-only file object over bytes that are already there, for zipfile and h5py."""

    def __init__(self, content: memoryview) -> None:
        self._content, self._place = content, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: len(self._content)}
        self._place = max(0, base[whence] + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        part = self._content[self._place : self._place + len(buffer)]
        buffer[: len(part)] = part
        self._place += len(part)
        return len(part)


class ExternalFiles:
    """The files beside an ONNX model that hold its external data.

    Parameters
    ----------
    folder : Path
        The model's own folder; nothing outside it is ever opened.

    Notes
    -----
    A location is refused if it is absolute, has a ``..``, passes through a symbolic link, or
    names a file with several hard links (which may be a file of somebody else).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.maps: dict[str, memoryview] = {}
        self.size = 0

    def data(self, entries: Sequence[dict[str, str]], name: str, expected: int) -> memoryview:
        """Return the bytes that a tensor's external_data entries point at.

        Parameters
        ----------
        entries : sequence of {"key": ..., "value": ...}
        name : str
            The weight's name, for messages.
        expected : int
            Bytes that its shape and type need, the default for ``length``.

        Raises
        ------
        ModelFileError
            If the entries, the location or the range are not acceptable.
        """
        keys: dict[str, str] = {}
        for entry in entries:
            key = entry.get("key", "")
            if key not in ("location", "offset", "length", "checksum") or key in keys:
                raise ModelFileError(
                    f"weight {name!r} has an unknown or repeated external data key "
                    f"{printable(key)!r}"
                )
            keys[key] = entry.get("value", "")
        content = self._open(keys.get("location", ""), name)
        offset = _count(keys.get("offset", "0"), name)
        length = _count(keys["length"], name) if "length" in keys else expected
        if offset + length > len(content):
            raise ModelFileError(
                f"weight {name!r} lies beyond the end of {printable(keys['location'])!r}"
            )
        if keys.get("checksum"):
            found = hashlib.sha1(content, usedforsecurity=False).hexdigest()
            if found != keys["checksum"].lower():
                raise ModelFileError(f"{printable(keys['location'])!r} has another checksum")
        return content[offset : offset + length]

    def _open(self, location: str, name: str) -> memoryview:
        if location not in self.maps:
            content = map_beside(self.folder, location, f"weight {name!r} has external data at")
            self.maps[location] = content
            self.size += len(content)
        return self.maps[location]


def map_beside(folder: Path, location: str, what: str) -> memoryview:
    """Return the bytes of a file in a folder that nobody vouches for.

    Parameters
    ----------
    folder : Path
    location : str
        A relative path; nothing outside the folder is ever opened.
    what : str
        Who names the file, as the beginning of a sentence.

    Raises
    ------
    ModelFileError
        If the location leads out of the folder or through a link, or is not a regular file with
        a single name.
    """
    shown = printable(location)
    parts = PurePosixPath(location).parts
    if (
        not parts
        or "\0" in location
        or "\\" in location
        or os.path.isabs(location)
        or Path(location).drive
        or ".." in parts
    ):
        raise ModelFileError(f"{what} {shown!r}; only files in the model's own folder are read")
    path = Path(os.path.realpath(folder)).joinpath(*parts)
    if Path(os.path.realpath(path)) != path:
        raise ModelFileError(
            f"{what} {shown!r}, which passes through a link; copy the file itself beside the model"
        )
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | _NONBLOCK)
    except OSError as error:
        raise ModelFileError(f"{what} {shown!r}: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise ModelFileError(
                f"{what} {shown!r}, which is not a regular file with a single name; copy the "
                "file itself beside the model"
            )
        if not status.st_size:
            return memoryview(b"")
        return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
    finally:
        os.close(descriptor)


class Folder:
    """A model saved as a folder, with the same methods as an `Archive`.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.members = frozenset(os.listdir(path))
        self.size = 0

    def __contains__(self, name: str) -> bool:
        return name in self.members or ("/" in name and (self.path / name).is_file())

    def read(self, name: str, limit: int) -> memoryview:
        """Return a file's bytes; see `Archive.read`."""
        if name not in self:
            raise ModelFileError(f"is not a Keras model: the folder has no {name}")
        content = map_beside(self.path, name, "is a folder with the file")
        if len(content) > limit:
            raise ModelFileError(
                f"has a file {name} of {len(content):,} bytes; at most {limit:,} are read"
            )
        self.size += len(content)
        return content

    def verify(self) -> None:
        """Files have no checksum."""


_NONBLOCK = getattr(os, "O_NONBLOCK", 0)


def _count(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ModelFileError(
            f"weight {name!r} has an external data offset or length of {printable(text)!r}"
        )
    return int(text)
