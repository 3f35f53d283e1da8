"""TensorFlow's checkpoints: a table of entries (variables.index) and shards of raw tensors.

Formats: tensorflow/core/util/tensor_bundle, and the sorted tables of LevelDB
(doc/table_format.md): blocks of entries whose keys share prefixes, an index block, a footer.
Tensors stay views of a memory map.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from converter.errors import ModelFileError, printable
from converter.formats.containers import Folder, widen_bfloat16
from converter.formats.crc32c import masked
from converter.formats.protobuf import Decoder
from converter.formats.tensorflow_protos import SCHEMA, TYPES

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_INDEX_LIMIT = 1 << 28
_MAX_ENTRIES = 1_000_000
_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    number = shift = 0
    while place < len(data) and shift < 64:
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7
    raise ModelFileError("has a damaged checkpoint: a number does not end")


def _block(data: memoryview, offset: int, size: int) -> memoryview:
    if offset < 0 or size < 4 or offset + size + 5 > len(data):
        raise ModelFileError("has a damaged checkpoint: a block goes beyond the end of its index")
    if data[offset + size]:
        raise ModelFileError("has a compressed checkpoint index, which TensorFlow does not write")
    return data[offset : offset + size]


def _entries(block: memoryview) -> list[tuple[bytes, memoryview]]:
    """Return the keys and values of one block."""
    (restarts,) = struct.unpack_from("<L", block, len(block) - 4)
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise ModelFileError("has a damaged checkpoint: a block contradicts itself")
    place, key, found = 0, b"", []
    while place < end:
        shared, place = _varint(block, place)
        own, place = _varint(block, place)
        length, place = _varint(block, place)
        if shared > len(key) or own > 1 << 16 or place + own + length > end:
            raise ModelFileError("has a damaged checkpoint: an entry contradicts its block")
        key = key[:shared] + bytes(block[place : place + own])
        place += own
        found.append((key, block[place : place + length]))
        place += length
    return found


def _table(data: memoryview) -> dict[str, memoryview]:
    """Return all entries of a sorted table."""
    if len(data) < _FOOTER or struct.unpack_from("<Q", data, len(data) - 8)[0] != _MAGIC:
        raise ModelFileError("has a checkpoint index that is none, or is cut short")
    footer = data[len(data) - _FOOTER :]
    _, place = _varint(footer, 0)
    _, place = _varint(footer, place)
    offset, place = _varint(footer, place)
    size, _ = _varint(footer, place)
    found: dict[str, memoryview] = {}
    for _, handle in _entries(_block(data, offset, size)):
        start, after = _varint(handle, 0)
        length, _ = _varint(handle, after)
        for key, value in _entries(_block(data, start, length)):
            found[key.decode("utf-8", "surrogateescape")] = value
        if len(found) > _MAX_ENTRIES:
            raise ModelFileError(f"has a checkpoint of more than {_MAX_ENTRIES:,} entries")
    return found


def sizes_of(shape: Any) -> tuple[int, ...]:
    """Return a TensorShapeProto's sizes."""
    return tuple(int(dim.get("size", 0)) for dim in (shape or {}).get("dim", ()))


class Checkpoint:
    """The tensors of a checkpoint, by key.

    Parameters
    ----------
    folder : Folder
        That holds ``variables/variables.index`` and its shards; no other file is opened.
    """

    prefix = "variables/variables"

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.entries = _table(folder.read(f"{self.prefix}.index", _INDEX_LIMIT))
        header = self._decode("BundleHeader", self.entries.get("", memoryview(b"")))
        if header.get("endianness", 0):
            raise ModelFileError("has a checkpoint of a big-endian machine, which is not supported")
        self.shards = int(header.get("num_shards", 1))
        if not 0 < self.shards < 100_000:
            raise ModelFileError("has a checkpoint of an absurd number of shards")
        self._maps: dict[int, memoryview] = {}

    @staticmethod
    def _decode(message: str, data: memoryview) -> dict[str, Any]:
        return Decoder(SCHEMA, data).decode(message)

    def _raw(self, key: str) -> tuple[dict[str, Any], memoryview]:
        if key not in self.entries:
            raise ModelFileError(f"has no variable {printable(key)!r} in its checkpoint")
        entry = self._decode("BundleEntry", self.entries[key])
        if entry.get("slices"):
            raise ModelFileError(f"has the variable {printable(key)!r} in slices, not supported")
        shard = int(entry.get("shard_id", 0))
        if not 0 <= shard < self.shards:
            raise ModelFileError(f"has no shard {shard} in its checkpoint")
        if shard not in self._maps:
            name = f"{self.prefix}.data-{shard:05d}-of-{self.shards:05d}"
            self._maps[shard] = self.folder.read(name, 1 << 62)
        offset, size = int(entry.get("offset", 0)), int(entry.get("size", 0))
        data = self._maps[shard]
        if min(offset, size) < 0 or offset + size > len(data):
            raise ModelFileError(f"is cut short: {printable(key)!r} goes beyond its shard")
        return entry, data[offset : offset + size]

    def array(self, key: str) -> np.ndarray:
        """Return a tensor of numbers, as a view of its shard.

        Raises
        ------
        ModelFileError
            If there is none, its size does not fit its shape, or its bytes not their checksum.
        """
        entry, data = self._raw(key)
        dtype = TYPES.get(int(entry.get("dtype", 0)), "")
        if dtype in ("", "string"):
            raise ModelFileError(f"has the variable {printable(key)!r} in a type that is no number")
        shape = sizes_of(entry.get("shape"))
        item = np.dtype("<u2" if dtype == "bfloat16" else dtype).newbyteorder("<")
        if any(size < 0 for size in shape) or math.prod(shape) * item.itemsize != len(data):
            raise ModelFileError(
                f"has the variable {printable(key)!r} of shape {list(shape)} in {len(data):,} bytes"
            )
        if masked(data) != entry.get("crc32c", 0):
            raise ModelFileError(
                f"is damaged: {printable(key)!r} does not match its checksum; fetch the file again"
            )
        array = np.frombuffer(data, item).reshape(shape)
        return widen_bfloat16(array) if dtype == "bfloat16" else array

    def objects(self) -> list[dict[str, Any]]:
        """Return the graph of the objects whose variables are stored, as the checkpoint has it."""
        entry, data = self._raw(_GRAPH_KEY)
        if TYPES.get(int(entry.get("dtype", 0))) != "string" or sizes_of(entry.get("shape")):
            raise ModelFileError("has a checkpoint whose objects are not described by one text")
        # One string: its length, a checksum of the length, the bytes.
        length, place = _varint(data, 0)
        if place + 4 + length > len(data):
            raise ModelFileError("is cut short inside the description of its objects")
        text = data[place + 4 : place + 4 + length]
        return self._decode("TrackableObjectGraph", text).get("nodes", [])


def checkpoint_keys(saved: list[dict[str, Any]], stored: list[dict[str, Any]]) -> dict[int, str]:
    """Return the checkpoint's key of each saved object, both graphs walked by the same names."""
    keys: dict[int, str] = {}
    partner: dict[int, int] = {}
    stack = [(0, 0)] if saved and stored else []
    while stack:
        place, other = stack.pop()
        if place in partner:
            continue
        if not (0 <= place < len(saved) and 0 <= other < len(stored)):
            raise ModelFileError("refers to an object that does not exist")
        partner[place] = other
        for attribute in stored[other].get("attributes", ()):
            if attribute.get("name") == "VARIABLE_VALUE":
                keys[place] = attribute.get("checkpoint_key", "")
        theirs = dict(_children(stored[other]))
        stack.extend(
            (child, theirs[name]) for name, child in _children(saved[place]) if name in theirs
        )
    return keys


def _children(record: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for child in record.get("children", ()):
        yield child.get("local_name", ""), int(child.get("node_id", 0))
