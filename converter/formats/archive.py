"""Hardened access to zip archives: named members only, nothing is ever extracted."""

from __future__ import annotations

import struct
import zipfile
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from converter.errors import ModelFileError, printable
from converter.formats.containers import View, map_file

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_MAX_MEMBERS = 10_000
# A deflated member may be this much larger than what is stored, plus a floor. Weights hardly
# compress; Keras itself stores them.
_MAX_EXPANSION = 32
_EXPANSION_FLOOR = 1 << 26
# Members up to this size are compared with their checksum at once, larger ones in a thread
# beside the folding.
_AT_ONCE = 1 << 22
_POOL = ThreadPoolExecutor(1, thread_name_prefix="checksum")


class Archive:
    """A zip archive whose stored members are views of a memory map.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ModelFileError
        If the archive is damaged, or its member names are repeated, absolute or lead upwards.
    """

    def __init__(self, path: Path) -> None:
        self.content = map_file(path)
        self.members: dict[str, zipfile.ZipInfo] = {}
        self._pending: list[Future[None]] = []
        try:
            with zipfile.ZipFile(View(self.content)) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError) as error:
            raise ModelFileError(f"is a damaged zip archive: {error}") from None
        except (struct.error, UnicodeDecodeError, IndexError):
            raise ModelFileError("is a damaged zip archive") from None
        if len(members) > _MAX_MEMBERS:
            raise ModelFileError(f"has {len(members):,} members; a saved model has a handful")
        for member in members:
            name = member.filename
            parts = PurePosixPath(name).parts
            if name.startswith("/") or ".." in parts or "\\" in name or ":" in name:
                raise ModelFileError(
                    f"has a member called {printable(name)!r}, which leads out of the archive; "
                    "refused"
                )
            if name in self.members:
                raise ModelFileError(f"has two members called {printable(name)!r}; refused")
            self.members[name] = member
        self._refuse_overlaps()

    @property
    def size(self) -> int:
        """Bytes of the whole archive."""
        return len(self.content)

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def _refuse_overlaps(self) -> None:
        end, before = 0, ""
        for member in sorted(self.members.values(), key=lambda m: m.header_offset):
            if member.header_offset < end:
                raise ModelFileError(
                    f"has members {printable(before)!r} and {printable(member.filename)!r} that "
                    "share bytes; refused"
                )
            end, before = member.header_offset + 30 + member.compress_size, member.filename

    def read(self, name: str, limit: int) -> memoryview:
        """Return a member's bytes: a view of the map if it is stored, else inflated.

        Parameters
        ----------
        name : str
        limit : int
            The most bytes that are accepted.

        Raises
        ------
        ModelFileError
            If there is no such member, or it is encrypted, damaged, or larger than `limit` or
            than its compressed size justifies.
        """
        member = self.members.get(name)
        if member is None:
            raise ModelFileError(f"is not a Keras model: the archive has no {name}")
        if member.flag_bits & 0x1:
            raise ModelFileError(f"has an encrypted member {name}")
        if member.file_size > limit:
            raise ModelFileError(
                f"has a member {name} of {member.file_size:,} bytes; at most {limit:,} are read"
            )
        data = self._stored(member)
        if member.compress_type == zipfile.ZIP_STORED:
            if member.compress_size != member.file_size:
                raise ModelFileError(f"is damaged: {name} contradicts its own size")
        elif member.compress_type == zipfile.ZIP_DEFLATED:
            data = self._inflate(member, data)
        else:
            raise ModelFileError(f"has {name} in a compression that Keras does not use")
        if len(data) <= _AT_ONCE:
            self._check(member, data)
        else:
            # zlib lets other threads run meanwhile.
            self._pending.append(_POOL.submit(self._check, member, data))
        return data

    def _check(self, member: zipfile.ZipInfo, data: memoryview) -> None:
        if zlib.crc32(data) != member.CRC:
            raise ModelFileError(f"is damaged: {member.filename} does not match its checksum")

    def verify(self) -> None:
        """Wait for the checksums of the large members that were read.

        Raises
        ------
        ModelFileError
            If one does not match.
        """
        for pending in self._pending:
            pending.result()

    def _stored(self, member: zipfile.ZipInfo) -> memoryview:
        start = member.header_offset
        header = self.content[start : start + _LOCAL_HEADER.size]
        if len(header) < _LOCAL_HEADER.size or bytes(header[:4]) != b"PK\x03\x04":
            raise ModelFileError(f"is damaged: {printable(member.filename)!r} has no header")
        fields = _LOCAL_HEADER.unpack(header)
        begin = start + _LOCAL_HEADER.size + fields[9] + fields[10]
        data = self.content[begin : begin + member.compress_size]
        if len(data) < member.compress_size:
            raise ModelFileError(f"is cut short inside {printable(member.filename)!r}")
        return data

    def _inflate(self, member: zipfile.ZipInfo, data: memoryview) -> memoryview:
        if member.file_size > _EXPANSION_FLOOR + _MAX_EXPANSION * member.compress_size:
            raise ModelFileError(
                f"has a member {member.filename} that would grow from {member.compress_size:,} "
                f"to {member.file_size:,} bytes, like a zip bomb; refused (save the model again, "
                "or pack it without compression)"
            )
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = inflater.decompress(data, member.file_size + 1)
        except zlib.error:
            raise ModelFileError(f"is damaged: {member.filename} does not inflate") from None
        if len(content) != member.file_size:
            raise ModelFileError(f"is damaged: {member.filename} contradicts its own size")
        return memoryview(content)
