"""Hardened access to HDF5: hard links to plain datasets inside the file, and nothing else.

HDF5 lets a file point at other files (external links, external storage, virtual datasets,
references) and declare sizes that it does not have. All of it is refused before it is followed.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5l, h5o

from converter.errors import ModelFileError, printable
from converter.formats.containers import View, widen_bfloat16

_MAX_OBJECTS = 200_000
_MAX_DEPTH = 64
# A compressed dataset may be this much larger than what is stored, plus a floor.
_MAX_EXPANSION = 32
_EXPANSION_FLOOR = 1 << 26
_ATTRIBUTE_ELEMENTS = 1 << 16
_ATTRIBUTE_BYTES = 1 << 24
_ATTRIBUTE_STRINGS = 1 << 29
# Files up to this size are handed to HDF5 as a copy, which spares it a call into Python a read.
_COPIED = 1 << 22
# Numbers of the filters that need no plug-in: deflate, shuffle, Fletcher's checksum, LZF.
_FILTERS = frozenset({1, 2, 3, 32000})

# What the HDF5 library raises on damaged files, by way of h5py.
_DAMAGE = (OSError, RuntimeError, ValueError, TypeError, KeyError, OverflowError)


@dataclass(slots=True)
class Subtree:
    """The groups and datasets below a group, by path relative to it (``""`` is itself)."""

    groups: dict[str, h5g.GroupID] = field(default_factory=dict)
    datasets: dict[str, h5d.DatasetID] = field(default_factory=dict)


class Hdf5:
    """An HDF5 file in memory-mapped bytes.

    Parameters
    ----------
    content : memoryview
        The whole file.

    Raises
    ------
    ModelFileError
        If it is not a readable HDF5 file.
    """

    def __init__(self, content: memoryview) -> None:
        self.content = content
        self._seen = 0
        # The longest string of the file, as far as is known.
        self._longest = 0
        try:
            if len(content) <= _COPIED:
                self._longest = _check_heaps(content)
                self.root = h5f.open_file_image(bytes(content))
            else:
                self._file = h5py.File(View(content), "r")
                self.root = self._file.id
            self._names = set(h5g.open(self.root, b"/"))
        except ModelFileError:
            raise
        except _DAMAGE as error:
            raise ModelFileError(f"is a damaged HDF5 file: {_brief(error)}") from None

    def subtree(self, name: str) -> Subtree | None:
        """Walk everything below one group of the root, or below the root itself (""), once.

        Raises
        ------
        ModelFileError
            If a link on the way is not a hard link, or there are absurdly many objects.
        """
        if name and name.encode() not in self._names:
            return None
        tree = Subtree()
        visited: set[tuple[int, ...]] = set()
        try:
            root = h5g.open(self.root, b"/")
            top = self._open(root, name.encode(), name) if name else root
            stack = [(top, "", 0)]
            while stack:
                item, path, depth = stack.pop()
                if isinstance(item, h5d.DatasetID):
                    tree.datasets[path] = item
                    continue
                if not isinstance(item, h5g.GroupID):
                    raise ModelFileError(f"has something odd at {printable(path)!r}")
                if depth > _MAX_DEPTH:
                    raise ModelFileError("has groups nested too deeply")
                address = h5o.get_info(item).addr
                if address in visited:
                    raise ModelFileError(f"has the group {printable(path)!r} in two places")
                visited.add(address)
                tree.groups[path] = item
                for child in item:
                    below = (
                        f"{path}/{child.decode('utf-8', 'replace')}"
                        if path
                        else child.decode("utf-8", "replace")
                    )
                    stack.append((self._open(item, child, below), below, depth + 1))
        except _DAMAGE as error:
            if isinstance(error, ModelFileError):
                raise
            raise ModelFileError(f"is a damaged HDF5 file: {_brief(error)}") from None
        return tree

    def _open(self, group: h5g.GroupID, name: bytes, path: str) -> Any:
        self._seen += 1
        if self._seen > _MAX_OBJECTS:
            raise ModelFileError(f"has more than {_MAX_OBJECTS:,} objects")
        if group.links.get_info(name).type != h5l.TYPE_HARD:
            raise ModelFileError(
                f"has a link at {printable(path)!r} that may lead to another file; refused"
            )
        return h5o.open(group, name)

    def array(self, dataset: h5d.DatasetID, path: str) -> np.ndarray:
        """Return a dataset's values: a view of the map where it is stored in one piece.

        Raises
        ------
        ModelFileError
            If it is kept outside the file, declares more than it has, or is not numeric.
        """
        shown = printable(path)
        try:
            return self._array(dataset, shown)
        except _DAMAGE as error:
            if isinstance(error, ModelFileError):
                raise
            raise ModelFileError(f"is damaged at {shown!r}: {_brief(error)}") from None

    def _array(self, dataset: h5d.DatasetID, shown: str) -> np.ndarray:
        made = dataset.get_create_plist()
        if made.get_layout() == h5d.VIRTUAL or made.get_external_count():
            raise ModelFileError(f"keeps {shown!r} in other files; refused")
        dtype, shape = dataset.dtype, dataset.shape
        bfloat16 = False
        # The only two-byte type that numpy lacks and Keras stores; legacy files do not name it.
        if (
            dtype.kind == "V"
            and dtype.itemsize == 2
            and self.text(dataset, "dtype") in (None, "bfloat16")
        ):
            bfloat16 = True
        elif dtype.kind not in "fiub":
            raise ModelFileError(f"holds values of type {dtype} at {shown!r}; expected numbers")
        if shape is None:
            raise ModelFileError(f"has nothing at {shown!r}")
        size = math.prod(shape) * dtype.itemsize
        stored = dataset.get_storage_size()
        offset = dataset.get_offset()
        if offset is not None:
            if stored != size or offset + size > len(self.content):
                raise ModelFileError(f"is cut short or damaged at {shown!r}")
            array = np.frombuffer(self.content[offset : offset + size], dtype).reshape(shape)
        elif size == 0:
            array = np.empty(shape, dtype)
        else:
            limit = _EXPANSION_FLOOR + _MAX_EXPANSION * min(stored, len(self.content))
            if stored == 0 or size > limit:
                raise ModelFileError(
                    f"declares {size:,} bytes at {shown!r} and stores {stored:,}; refused"
                )
            _check_filters(made, shown)
            array = np.asarray(h5py.Dataset(dataset)[()])
        if bfloat16:
            array = widen_bfloat16(np.ascontiguousarray(array).view(np.uint16).reshape(shape))
        return array

    def text(self, owner: Any, name: str) -> str | None:
        """Return a string attribute, or None if there is none."""
        value = self._attribute(owner, name)
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1)[0]
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        return value if isinstance(value, str) else None

    def names(self, owner: Any, name: str) -> list[str] | None:
        """Return a list-of-strings attribute, joining the parts that Keras splits it into."""
        first = self._attribute(owner, name)
        if first is None:
            parts: list[Any] = []
            while (part := self._attribute(owner, f"{name}{len(parts)}")) is not None:
                parts.append(part)
            if not parts:
                return None
        else:
            parts = [first]
        return [
            one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one)
            for part in parts
            for one in np.asarray(part).reshape(-1)
        ]

    def _attribute(self, owner: Any, name: str) -> Any:
        try:
            key = name.encode()
            if not h5a.exists(owner, key):
                return None
            attribute = h5a.open(owner, key)
            count = math.prod(attribute.shape or ())
            if (
                count > _ATTRIBUTE_ELEMENTS
                or (count and attribute.get_storage_size() > _ATTRIBUTE_BYTES)
                # Many elements can all be one long string.
                or count * self._longest > _ATTRIBUTE_STRINGS
            ):
                raise ModelFileError(f"has an attribute {name!r} of an absurd size")
            return h5py.AttributeManager(_Owner(owner))[name]
        except _DAMAGE as error:
            if isinstance(error, ModelFileError):
                raise
            raise ModelFileError(f"is damaged at attribute {name!r}: {_brief(error)}") from None


def _check_filters(made: Any, shown: str) -> None:
    """Refuse a dataset whose filter is not built in: the library would load it as a plug-in."""
    for place in range(made.get_nfilters()):
        number = made.get_filter(place)[0]
        if number not in _FILTERS:
            raise ModelFileError(f"compresses {shown!r} with the unknown filter {number}; refused")


def _check_heaps(content: memoryview) -> int:
    """Walk the global heaps, where strings are kept, before the library does.

    Returns the length of the longest object.

    A damaged size there sends the HDF5 library (1.14) into an endless loop. Layout: HDF5 file
    format specification, section III.E.
    """
    longest = 0
    for match in re.finditer(rb"GCOL\x01\0\0\0", content):
        (size,) = struct.unpack_from("<Q", content, match.start() + 8)
        end = match.start() + size
        if end > len(content):
            raise ModelFileError("is a damaged HDF5 file: a heap goes beyond the end")
        place = match.start() + 16
        known: set[int] = set()
        while place + 16 <= end:
            index, _, reserved, length = struct.unpack_from("<HHLQ", content, place)
            # Object 0 is the free space: its length counts its own header.
            step = 16 + (length + 7) // 8 * 8 if index else length
            place += step
            if index in known or reserved or step < 16 or place > end:
                raise ModelFileError("is a damaged HDF5 file: a heap contradicts itself")
            known.add(index)
            longest = max(longest, length if index else 0)
        _check_references(content, match.start(), known)
    return longest


def _check_references(content: memoryview, heap: int, known: Collection[int]) -> None:
    """Look at what refers to a heap's objects, as length, address and index.

    The library allocates what the length says before it looks at the object (section IV.B).
    """
    for match in re.finditer(re.escape(struct.pack("<Q", heap)), content):
        place = match.start() - 4
        if place < 0 or place + 16 > len(content):
            continue
        length, _, index = struct.unpack_from("<LQL", content, place)
        # Some references have no length, and something else in front of them.
        if index in known and length > len(content):
            raise ModelFileError("is a damaged HDF5 file: a text is longer than the file")


class _Owner:
    """What h5py's attribute manager wants of an object: its identifier."""

    def __init__(self, identifier: Any) -> None:
        self.id = identifier


def _brief(error: Exception) -> str:
    return printable(str(error).strip("'\""), 120)
