"""The SHA-256 of a model: what an auditor compares with the file that was inspected."""

from __future__ import annotations

import hashlib
import os
import threading

# Files of a folder that its digest covers at most: a model has a handful.
_MAX_FILES = 10_000


def _of_folder(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a folder: of the sorted lines ``digest  name`` of its files.

    It is what ``sha256sum`` prints of the files, sorted by name and hashed again. Links are
    not followed.
    """
    lines = []
    for folder, _, names in os.walk(path):
        for name in names:
            whole = os.path.join(folder, name)
            if os.path.islink(whole) or not os.path.isfile(whole):
                continue
            with open(whole, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            shown = os.path.relpath(whole, path).replace(os.sep, "/")
            lines.append((shown, f"{digest}  {shown}\n"))
        if len(lines) > _MAX_FILES:
            return ""
    text = "".join(line for _, line in sorted(lines))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


class Digest:
    """The SHA-256 of a file or a folder, computed beside the folding (hashlib releases the GIL)."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._value = ""
        self._thread: threading.Thread | None = None
        try:
            self._small = os.path.getsize(path) < 1 << 20 and not os.path.isdir(path)
        except OSError:
            self._small = True
        if not self._small:
            self._thread = threading.Thread(target=self._run)
            self._thread.start()

    def _run(self) -> None:
        try:
            if os.path.isdir(self._path):
                self._value = _of_folder(self._path)
                return
            with open(self._path, "rb") as file:
                self._value = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            self._value = ""

    def result(self) -> str:
        """Wait for the digest; empty if the file cannot be read (the reader says so)."""
        if self._thread is None:
            if os.path.isfile(self._path) or os.path.isdir(self._path):
                self._run()
        else:
            self._thread.join()
        return self._value
