"""Hardened access to HDF5: hard links to plain datasets inside the file, and nothing else.

HDF5 lets a file point at other files (external links, external storage, virtual datasets,
references) and declare sizes that it does not have. All of it is refused before it is followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from converter.errors import ModelFileError, printable
from converter.formats.containers import View

_MAX_OBJECTS = 200_000
_MAX_DEPTH = 64
# A compressed dataset may be this much larger than what is stored, plus a floor.
_MAX_EXPANSION = 32
_EXPANSION_FLOOR = 1 << 20
_ATTRIBUTE_BYTES = 1 << 24


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
        try:
            self.root = h5py.File(View(content), "r")
        except (OSError, RuntimeError, ValueError) as error:
            raise ModelFileError(f"is a damaged HDF5 file: {_brief(error)}") from None

    def group(self, parent: h5py.Group, name: str) -> h5py.Group | None:
        """Return a subgroup by path, or None if there is none.

        Raises
        ------
        ModelFileError
            If a link on the way is not a hard link, or leads to something else than a group.
        """
        found = self._follow(parent, name)
        if found is not None and not isinstance(found, h5py.Group):
            raise ModelFileError(f"is damaged: {printable(name)!r} is no group")
        return found

    def array(self, parent: h5py.Group, name: str) -> np.ndarray | None:
        """Return a dataset by path: a view of the map where it is stored in one piece.

        Raises
        ------
        ModelFileError
            If it is kept outside the file, declares more than it has, or is not numeric.
        """
        found = self._follow(parent, name)
        if found is None:
            return None
        shown = printable(f"{parent.name}/{name}")
        if not isinstance(found, h5py.Dataset):
            raise ModelFileError(f"is damaged: {shown!r} is no dataset")
        try:
            return self._array(found, shown)
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            if isinstance(error, ModelFileError):
                raise
            raise ModelFileError(f"is damaged at {shown!r}: {_brief(error)}") from None

    def _array(self, dataset: h5py.Dataset, shown: str) -> np.ndarray:
        if dataset.is_virtual or dataset.external:
            raise ModelFileError(f"keeps {shown!r} in other files; refused")
        dtype = dataset.dtype
        bfloat16 = False
        if dtype.kind == "V" and dtype.itemsize == 2 and self.text(dataset, "dtype") == "bfloat16":
            bfloat16 = True
        elif dtype.kind not in "fiub":
            raise ModelFileError(f"holds values of type {dtype} at {shown!r}; expected numbers")
        if dataset.shape is None:
            raise ModelFileError(f"has nothing at {shown!r}")
        size = int(np.prod(dataset.shape, dtype=object)) * dtype.itemsize
        stored = dataset.id.get_storage_size()
        offset = dataset.id.get_offset()
        if offset is not None:
            if stored != size or offset + size > len(self.content):
                raise ModelFileError(f"is cut short or damaged at {shown!r}")
            flat = np.frombuffer(self.content[offset : offset + size], dtype)
            array = flat.reshape(dataset.shape)
        elif size == 0:
            array = np.empty(dataset.shape, dtype)
        else:
            limit = _EXPANSION_FLOOR + _MAX_EXPANSION * min(stored, len(self.content))
            if stored == 0 or size > limit:
                raise ModelFileError(
                    f"declares {size:,} bytes at {shown!r} and stores {stored:,}; refused"
                )
            array = dataset[()]
            array = np.asarray(array)
        if bfloat16:
            bits = np.ascontiguousarray(array).view(np.uint16).reshape(dataset.shape)
            array = (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return array

    def text(self, owner: Any, name: str) -> str | None:
        """Return a string attribute, or None if there is none."""
        value = self._attribute(owner, name)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1)[0]
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
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
            if name not in owner.attrs:
                return None
            kind = owner.attrs.get_id(name)
            if int(np.prod(kind.shape, dtype=object)) > _ATTRIBUTE_BYTES:
                raise ModelFileError(f"has an attribute {name!r} of an absurd size")
            return owner.attrs[name]
        except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
            if isinstance(error, ModelFileError):
                raise
            raise ModelFileError(f"is damaged at attribute {name!r}: {_brief(error)}") from None

    def datasets(self, parent: h5py.Group, prefix: str = "") -> Iterator[str]:
        """Yield the paths of all datasets below a group.

        Raises
        ------
        ModelFileError
            If a link is not a hard link, or there are absurdly many objects.
        """
        stack = [(parent, prefix, 0)]
        while stack:
            group, path, depth = stack.pop()
            if depth > _MAX_DEPTH:
                raise ModelFileError("has groups nested too deeply")
            for name in self._children(group):
                self._seen += 1
                if self._seen > _MAX_OBJECTS:
                    raise ModelFileError(f"has more than {_MAX_OBJECTS:,} objects")
                child = self._one(group, name)
                if isinstance(child, h5py.Group):
                    stack.append((child, f"{path}{name}/", depth + 1))
                else:
                    yield f"{path}{name}"

    def _children(self, group: h5py.Group) -> list[str]:
        try:
            return list(group)
        except (OSError, RuntimeError, ValueError) as error:
            raise ModelFileError(f"is a damaged HDF5 file: {_brief(error)}") from None

    def _follow(self, parent: h5py.Group, name: str) -> Any:
        here: Any = parent
        for part in name.split("/"):
            if part in ("", ".", ".."):
                raise ModelFileError(f"has a weight at the impossible path {printable(name)!r}")
            if not isinstance(here, h5py.Group):
                return None
            here = self._one(here, part)
            if here is None:
                return None
        return here

    def _one(self, group: h5py.Group, name: str) -> Any:
        try:
            link = group.get(name, getlink=True)
            if link is None:
                return None
            if not isinstance(link, h5py.HardLink):
                raise ModelFileError(
                    f"has a link at {printable(f'{group.name}/{name}')!r} that may lead to "
                    "another file; refused"
                )
            return group[name]
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            if isinstance(error, ModelFileError):
                raise
            raise ModelFileError(
                f"is a damaged HDF5 file at {printable(name)!r}: {_brief(error)}"
            ) from None


def _brief(error: Exception) -> str:
    return printable(str(error).strip("'\""), 120)
