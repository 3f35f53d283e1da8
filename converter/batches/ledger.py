"""The ledger: one SQLite file with everything that a run found, written as it was found.

One transaction for each model, in WAL mode: whenever the run is killed, what is in the file is
whole. docs/ledger.md describes the tables.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from converter.batches.plan import Job
from converter.batches.work import FAILED, GLANCE, REGRESSION, REJECTED, Outcome
from converter.errors import DataError, printable

#: Of the tables; kept in the file as `PRAGMA user_version`.
SCHEMA = 2
_MAGIC = 0x636F6E76  # "conv", as `PRAGMA application_id`

_GLANCE_TYPES = {"family": "TEXT", "link": "TEXT", "verdict": "TEXT", "nobs": "INTEGER"}
_TABLES = f"""
CREATE TABLE run (
  id INTEGER PRIMARY KEY, started TEXT NOT NULL, finished TEXT, jobs INTEGER NOT NULL,
  version TEXT NOT NULL, python TEXT NOT NULL, request TEXT NOT NULL
);
CREATE TABLE model (
  key TEXT PRIMARY KEY, run INTEGER NOT NULL REFERENCES run, last_run INTEGER, status TEXT NOT NULL,
  model TEXT NOT NULL, data TEXT, target TEXT, filter TEXT, options TEXT NOT NULL,
  labels TEXT NOT NULL, question TEXT NOT NULL, sha256 TEXT, data_sha256 TEXT,
  verdict TEXT, link TEXT, family TEXT, loss TEXT, format TEXT, inputs INTEGER, outputs INTEGER,
  nobs INTEGER, dropped INTEGER, findings TEXT, seconds REAL, finished TEXT NOT NULL
);
CREATE TABLE regression (
  key TEXT NOT NULL REFERENCES model ON DELETE CASCADE, output TEXT NOT NULL,
  {", ".join(f"{name} {_GLANCE_TYPES.get(name, 'REAL')}" for name in GLANCE)},
  converged INTEGER, sentence TEXT, PRIMARY KEY (key, output)
) WITHOUT ROWID;
CREATE TABLE coefficient (
  key TEXT NOT NULL REFERENCES model ON DELETE CASCADE, output TEXT NOT NULL,
  outcome TEXT NOT NULL DEFAULT '', term TEXT NOT NULL, coef REAL, bse REAL, statistic REAL,
  p REAL, low REAL, high REAL, optimum REAL, optimum_bse REAL, drift REAL
);
CREATE INDEX coefficient_key ON coefficient (key);
CREATE TABLE caveat (
  key TEXT NOT NULL REFERENCES model ON DELETE CASCADE, output TEXT NOT NULL,
  topic TEXT NOT NULL, sentence TEXT NOT NULL
);
CREATE INDEX caveat_key ON caveat (key);
CREATE TABLE failure (
  key TEXT PRIMARY KEY REFERENCES model ON DELETE CASCADE, kind TEXT NOT NULL,
  sentence TEXT NOT NULL, detail TEXT NOT NULL
);
PRAGMA user_version = {SCHEMA};
PRAGMA application_id = {_MAGIC};
"""
# Tables that what is found about a model goes to.
_FILLED = ("model", "regression", "coefficient", "caveat", "failure")
#: The tables that `export` writes, and how.
EXPORTS = {
    "models": "SELECT * FROM model ORDER BY key",
    "glance": "SELECT * FROM regression ORDER BY key, output",
    "tidy": "SELECT * FROM coefficient ORDER BY rowid",
    "caveats": "SELECT * FROM caveat ORDER BY rowid",
    "failures": "SELECT * FROM failure ORDER BY key",
}


class Ledger:
    """An open ledger.

    Parameters
    ----------
    path : path-like
        Made if it is not there.
    readonly : bool
        It is there, and nothing of it is written, not even the files beside it that SQLite keeps;
        it may be a stranger's.

    Raises
    ------
    DataError
        If the file is something else, or of another version.
    """

    def __init__(self, path: str | os.PathLike[str], *, readonly: bool = False) -> None:
        self.path, self.readonly = Path(path), readonly
        shown = printable(str(path))
        if readonly:
            self._open_to_read(shown)
            return
        if not str(path) or str(path).startswith((":memory:", "file:")):
            raise ValueError(f"ledger must be the path of a file, not {str(path)!r}")
        try:
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=30.0)
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            magic = self._db.execute("PRAGMA application_id").fetchone()[0]
            empty = not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        except sqlite3.Error as error:
            raise DataError(f"{shown}: cannot be used as a ledger: {error}") from None
        if not empty and (magic != _MAGIC or version != SCHEMA):
            self._db.close()
            what = _what(magic, version)
            raise DataError(f"{shown}: {what}; name another file with ledger= (--ledger)")
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            if empty:
                self._create()
        except sqlite3.Error as error:
            raise DataError(f"{shown}: cannot be used as a ledger: {error}") from None
        self._columns = {name: _columns_of(self._db, name) for name in _FILLED}
        self._run = 0

    def _open_to_read(self, shown: str) -> None:
        """Open the file to be read, and see that its tables are tables, and whole."""
        url = f"file:{quote(os.path.abspath(self.path))}?mode=ro"
        # A journal beside it cannot be opened where nothing can be written; then nobody writes.
        for extra in ("", "&immutable=1"):
            try:
                self._db = sqlite3.connect(
                    url + extra, isolation_level=None, timeout=30.0, uri=True
                )
                self._db.text_factory = lambda text: text.decode("utf-8", "replace")
                self._db.execute("PRAGMA trusted_schema = OFF")
                magic = self._db.execute("PRAGMA application_id").fetchone()[0]
                version = self._db.execute("PRAGMA user_version").fetchone()[0]
                kinds = self._db.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
                break
            except sqlite3.Error as error:
                failure = error
        else:
            raise DataError(f"{shown}: cannot be read as a ledger: {failure}")
        try:
            self._check_tables(shown, magic, version, kinds)
        except BaseException:
            self._db.close()
            raise

    def _check_tables(
        self, shown: str, magic: int, version: int, kinds: Sequence[tuple[Any, ...]]
    ) -> None:
        """Refuse a file that is no ledger, or lacks tables or columns of one.

        Parameters
        ----------
        shown : str
        magic, version : int
        kinds : sequence of (str, str, str)
            Kind, name and SQL of what it holds.
        """
        if magic != _MAGIC or version != SCHEMA:
            raise DataError(f"{shown}: {_what(magic, version)}")
        there = {
            name
            for kind, name, sql in kinds
            if kind == "table" and str(sql).upper().startswith("CREATE TABLE")
        }
        with closing(sqlite3.connect(":memory:")) as whole:
            whole.executescript(_TABLES)
            for name in ("run", *_FILLED):
                if name not in there or not _columns_of(whole, name) <= _columns_of(self._db, name):
                    raise DataError(f"{shown}: is no whole ledger: the table {name} lacks columns")

    def _create(self) -> None:
        """Make the tables, unless another run did so in between."""
        self._db.execute("BEGIN IMMEDIATE")
        if not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in filter(str.strip, _TABLES.split(";")):
                self._db.execute(statement)
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file; what belongs to it only while it is open is folded into it."""
        if not self.readonly:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()

    def begin(self, jobs: int, request: Mapping[str, Any]) -> None:
        """Record the start of a run."""
        from converter import __version__

        text = json.dumps(request, default=str)
        cursor = self._db.execute(
            "INSERT INTO run (started, jobs, version, python, request) VALUES (?, ?, ?, ?, ?)",
            (_now(), jobs, __version__, sys.version.split()[0], text),
        )
        self._run = int(cursor.lastrowid or 0)

    def end(self, keys: Iterable[str]) -> None:
        """Record that a run came to its end, and which jobs it was about.

        Parameters
        ----------
        keys : iterable of str
            Those that were known already too.
        """
        self._db.execute("BEGIN")
        self._db.executemany(
            "UPDATE model SET last_run = ? WHERE key = ?", ((self._run, key) for key in keys)
        )
        self._db.execute("COMMIT")
        self._db.execute("UPDATE run SET finished = ? WHERE id = ?", (_now(), self._run))

    def known(self, retry: bool = False) -> dict[str, tuple[str, str, str]]:
        """Return question and digests of every job that is done, by key.

        Parameters
        ----------
        retry : bool
            Leave out those that failed; files that could not be read are always left out.
        """
        rows = self._db.execute(
            "SELECT m.key, question, sha256, data_sha256 FROM model m LEFT JOIN failure f "
            "USING (key) WHERE f.kind IS NULL OR (? AND f.kind <> 'file')",
            (not retry,),
        )
        return {key: (asked, model or "", data or "") for key, asked, model, data in rows}

    def write(self, job: Job, question: str, made: Outcome) -> None:
        """Record what became of a job, in place of what was known of it."""
        row = {
            "key": job.key,
            "run": self._run,
            "last_run": self._run,
            "status": made.status,
            "model": job.model,
            "data": job.data,
            "target": None if job.target is None else json.dumps(job.target),
            "filter": job.where,
            "options": json.dumps(job.options, default=str),
            "labels": json.dumps(job.labels, default=str),
            "question": question,
            "finished": _now(),
            **made.model,
        }
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            db.execute("DELETE FROM model WHERE key = ?", (job.key,))
            self._insert("model", [row])
            self._insert("regression", made.regressions, job.key)
            self._insert("coefficient", made.coefficients, job.key)
            self._insert("caveat", made.caveats, job.key)
            self._insert("failure", [made.failure] if made.failure else [], job.key)
            db.execute("COMMIT")
        except BaseException as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise DataError(
                    f"{printable(str(self.path))}: cannot be written: {error}"
                ) from None
            raise

    def _insert(self, table: str, rows: list[dict[str, Any]], key: str | None = None) -> None:
        if not rows:
            return
        if key is not None:
            rows = [{"key": key, **row} for row in rows]
        given = dict.fromkeys(name for row in rows for name in row)
        names = [name for name in given if name in self._columns[table]]
        places = ", ".join("?" * len(names))
        self._db.executemany(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})",
            [tuple(_stored(row.get(name)) for name in names) for row in rows],
        )

    def statuses(self, keys: Iterable[str]) -> dict[str, int]:
        """Return how many of some models are regressions, rejected, failed."""
        wanted, counts = set(keys), {REGRESSION: 0, REJECTED: 0, FAILED: 0}
        for key, status in self._db.execute("SELECT key, status FROM model"):
            if key in wanted:
                counts[status] += 1
        return counts

    def rows(
        self, table: str, key: str | None = None, *, order: str = "key"
    ) -> list[dict[str, Any]]:
        """Return rows of a table, of one model or of all.

        Parameters
        ----------
        table : str
        key : str, optional
        order : str
            The column that they are in the order of.
        """
        chosen = "" if key is None else " WHERE key = ?"
        try:
            cursor = self._db.execute(
                f"SELECT * FROM {table}{chosen} ORDER BY {order}", () if key is None else (key,)
            )
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]
        except sqlite3.Error as error:
            shown = printable(str(self.path))
            raise DataError(f"{shown}: the table {table} cannot be read: {error}") from None

    def frame(self, name: str) -> Any:
        """Return a table of `EXPORTS` as a pandas DataFrame."""
        import pandas as pd

        return pd.read_sql_query(EXPORTS[name], self._db)

    def export(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write every table as Parquet and CSV; returns the files."""
        from converter.files import write_atomically

        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        written = []
        for name in EXPORTS:
            table = self.frame(name)
            text = table.to_csv(index=False).encode()
            write_atomically(place / f"{name}.parquet", table.to_parquet)
            write_atomically(place / f"{name}.csv", partial(_put, text))
            written += [place / f"{name}.parquet", place / f"{name}.csv"]
        return written


def _what(magic: int, version: int) -> str:
    """Return what a file is that is no ledger of these tables."""
    return f"is a ledger of version {version}" if magic == _MAGIC else "is no ledger"


def _columns_of(db: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in db.execute(f"PRAGMA table_info({table})")}


def _put(text: bytes, file: BinaryIO) -> None:
    file.write(text)


def _stored(value: Any) -> Any:
    """Return a value as SQLite has it: of text, nothing that is not Unicode."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
