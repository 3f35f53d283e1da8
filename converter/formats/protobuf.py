"""A reader for the Protocol Buffers wire format that copies no tensor.

Messages become plain dictionaries; byte fields stay views of the underlying memory map, so that
weights are never read before they are used. Anything that the schema does not know, and any
field that stands twice where it may stand once, is an error: a field that were skipped could
change what the model means.

Format: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from converter.errors import ModelFileError

# `skip`: the field is known and means nothing for inference. `view`: bytes left in place.
Kind = Literal["int", "float", "fixed32", "string", "bytes", "view", "skip", "numbers", "message"]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message type.

    Parameters
    ----------
    name : str
    kind : str
        ``numbers`` is a repeated scalar, kept as an array.
    repeated : bool
    message : str
        For messages, the type.
    dtype : str
        For numbers: ``<f4``, ``<f8``, or ``varint``.
    """

    name: str
    kind: Kind
    repeated: bool = False
    message: str = ""
    dtype: str = ""


Schema = dict[str, dict[int, Field]]

_MAX_DEPTH = 64
# Each decoded field costs some 100 bytes; a graph of 100,000 nodes has about a million.
_MAX_FIELDS = 3_000_000


class Decoder:
    """Decodes messages of one schema out of one buffer.

    Parameters
    ----------
    schema : dict
        Message type -> field number -> `Field`.
    buffer : memoryview of bytes
    """

    def __init__(self, schema: Schema, buffer: memoryview) -> None:
        self.schema, self.buffer = schema, buffer
        self.fields_left = _MAX_FIELDS

    def decode(self, message: str) -> dict[str, Any]:
        """Decode the whole buffer as one message.

        Raises
        ------
        ModelFileError
            If it is cut short, malformed, or holds fields that the schema does not know.
        """
        return self._message(message, 0, len(self.buffer), 0)

    def _message(self, message: str, start: int, end: int, depth: int) -> dict[str, Any]:
        if depth > _MAX_DEPTH:
            raise ModelFileError("messages are nested too deeply")
        buffer, fields = self.buffer, self.schema[message]
        result: dict[str, Any] = {}
        place = start
        while place < end:
            key = buffer[place]
            if key < 0x80:
                place += 1
            else:
                key, place = self._varint(place, end)
            field = fields.get(key >> 3)
            if field is None:
                raise ModelFileError(
                    f"holds field {key >> 3} of {message}, which this version does not know"
                )
            self.fields_left -= 1
            if self.fields_left < 0:
                raise ModelFileError(f"has more than {_MAX_FIELDS:,} fields")
            wire = key & 7
            value: Any
            if wire == 2:
                length, place = self._varint(place, end)
                stop = place + length
                if stop > end:
                    raise ModelFileError(
                        f"is cut short: {field.name} of {message} goes beyond the end"
                    )
                value = self._delimited(field, message, place, stop, depth)
                place = stop
            elif wire == 0:
                number, place = self._varint(place, end)
                value = number - (1 << 64) if number >> 63 else number
            elif wire in (1, 5):
                stop = place + (8 if wire == 1 else 4)
                if stop > end:
                    raise ModelFileError(f"is cut short inside {field.name} of {message}")
                layout = "<d" if wire == 1 else "<I" if field.kind == "fixed32" else "<f"
                value = struct.unpack_from(layout, buffer, place)[0]
                place = stop
            else:
                raise ModelFileError(f"is malformed inside {message}")
            self._store(result, field, message, value, wire)
        return result

    def _store(
        self, result: dict[str, Any], field: Field, message: str, value: Any, wire: int
    ) -> None:
        kind = field.kind
        if kind == "skip":
            return
        if kind == "numbers":
            if wire != 2:
                if wire != {"<f4": 5, "<f8": 1, "varint": 0}[field.dtype]:
                    raise ModelFileError(f"is malformed: {field.name} of {message}")
                value = np.asarray([value], "<i8" if field.dtype == "varint" else field.dtype)
            result.setdefault(field.name, []).append(value)
            return
        if wire != {"int": 0, "float": 5, "fixed32": 5}.get(kind, 2):
            raise ModelFileError(f"is malformed: {field.name} of {message}")
        if field.repeated:
            result.setdefault(field.name, []).append(value)
        elif field.name in result:
            raise ModelFileError(f"is malformed: {field.name} of {message} stands there twice")
        else:
            result[field.name] = value

    def _delimited(self, field: Field, message: str, start: int, end: int, depth: int) -> Any:
        kind = field.kind
        if kind == "message":
            return self._message(field.message, start, end, depth + 1)
        if kind == "string":
            try:
                return str(self.buffer[start:end], "utf-8")
            except UnicodeDecodeError:
                raise ModelFileError(f"{field.name} of {message} is not text") from None
        if kind == "bytes":
            return bytes(self.buffer[start:end])
        if kind == "numbers":
            return self._packed(field, message, self.buffer[start:end])
        return self.buffer[start:end]

    def _packed(self, field: Field, message: str, data: memoryview) -> np.ndarray:
        if field.dtype == "varint":
            return packed_varints(data)
        if len(data) % int(field.dtype[-1]):
            raise ModelFileError(f"{field.name} of {message} is not a whole number of values")
        return np.frombuffer(data, field.dtype)

    def _varint(self, place: int, end: int) -> tuple[int, int]:
        number = shift = 0
        while place < end:
            byte = self.buffer[place]
            place += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number & 0xFFFF_FFFF_FFFF_FFFF, place
            shift += 7
            if shift > 63:
                break
        raise ModelFileError("is cut short or malformed: a number does not end")


# Bytes of packed numbers decoded at once, which takes some sixty times as many.
_VARINTS = 1 << 18


def _in_parts(octets: np.ndarray, data: memoryview) -> np.ndarray:
    parts, start = [], 0
    while start < octets.size:
        stop = min(start + _VARINTS, octets.size)
        # A part ends where a number does.
        ends = np.flatnonzero(octets[max(start, stop - 11) : stop] < 0x80)
        if ends.size:
            stop = max(start, stop - 11) + int(ends[-1]) + 1
        parts.append(packed_varints(data[start:stop]))
        start = stop
    return np.concatenate(parts)


def packed_varints(data: memoryview) -> np.ndarray:
    """Return packed varints as int64 (two's complement, as Protocol Buffers store them).

    Raises
    ------
    ModelFileError
        If the last number does not end, or one is longer than ten bytes.
    """
    octets = np.frombuffer(data, np.uint8)
    if octets.size == 0:
        return np.empty(0, np.int64)
    if octets.size > _VARINTS:
        return _in_parts(octets, data)
    last = np.flatnonzero(octets < 0x80)
    if last.size == 0 or last[-1] != octets.size - 1:
        raise ModelFileError("is cut short or malformed: a number does not end")
    first = np.concatenate([[0], last[:-1] + 1])
    lengths = last - first + 1
    if lengths.max() > 10:
        raise ModelFileError("is malformed: a number of more than ten bytes")
    numbers = np.zeros(last.size, np.uint64)
    for digit in range(int(lengths.max())):
        long = lengths > digit
        part = (octets[first[long] + digit] & np.uint8(0x7F)).astype(np.uint64)
        numbers[long] |= part << np.uint64(7 * digit)
    return numbers.view(np.int64)
