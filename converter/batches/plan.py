"""What a run is to do: from paths, patterns, folders and manifests to a list of jobs."""

from __future__ import annotations

import difflib
import glob
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from converter.errors import DataError, printable
from converter.regression.tables import listed
from converter.regression.where import fill

#: Options of `converter.convert` that a manifest may give for each model.
OPTIONS = frozenset(
    {
        *("features", "family", "cov_type", "groups", "maxlags", "weights", "output", "missing"),
        *("scaler", "target_scaler", "base", "signature", "training_data", "restricted"),
        *("memory", "passes"),
    }
)
# Columns of a manifest, and how alike another may be that is not meant to be one.
_MEANT, _ALIKE = ("id", "model", "data", "target", "where", *sorted(OPTIONS)), 0.8
_MODELS = (".keras", ".h5", ".hdf5", ".onnx", ".tflite")
_MANIFESTS = (".csv", ".jsonl", ".ndjson", ".parquet")
_INSIDE = ("saved_model.pb", "saved_model.pbtxt")
_SWITCHES = ("training_data", "restricted")
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_LISTS = ("features", "target", "groups")


@dataclass(frozen=True)
class Job:
    """One model, perhaps with a table.

    Parameters
    ----------
    key : str
        What the ledger calls it.
    model : str
        Path, or fsspec URL.
    data : str or None
        Likewise.
    target : str, list of str, or None
    where : str or None
        Which rows of the table.
    options : dict
        Of `converter.convert`.
    labels : dict
        What else a manifest says of it.
    """

    key: str
    model: str
    data: str | None = None
    target: Any = None
    where: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, Any] = field(default_factory=dict)


def plan(
    models: Any,
    *,
    data: Any = None,
    target: Any = None,
    where: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[Job]:
    """Return the jobs of a run.

    Parameters
    ----------
    models : path-like or iterable of path-like
        Model files, patterns, folders, manifests (CSV, JSON lines or Parquet with a column
        ``model``), or fsspec URLs of any of these.
    data, target, where, options
        For every model; a manifest's columns take precedence. `where` may name the manifest's
        columns, and ``{id}``, ``{stem}`` (the file's name) and ``{model}``.

    Raises
    ------
    ValueError
        If there is nothing to do, two jobs have one id, or an option is not known.
    """
    common = dict(options or {})
    unknown = sorted(set(common) - OPTIONS)
    if unknown:
        raise ValueError(
            f"there is no option {listed(unknown)}; there are {listed(sorted(OPTIONS))}"
        )
    if isinstance(models, (str, bytes, os.PathLike)):
        models = [models]
    jobs: list[Job] = []
    for one in models:
        for fields in _expanded(os.fsdecode(one)):
            jobs.append(_job(fields, data, target, where, common))
    if not jobs:
        raise ValueError("there is no model to convert")
    about = [*_of_regressions(common), *(["target"] if target is not None else [])]
    about += ["where"] if where is not None else []
    if about and all(job.data is None for job in jobs):
        raise ValueError(f"{listed(about)}: is about regressions, and there is no table (data=)")
    seen: dict[str, Job] = {}
    for job in jobs:
        if job.key in seen and job != seen[job.key]:
            raise ValueError(
                f"two jobs are called {printable(job.key)!r}; give each an id (a column id in the "
                "manifest)"
            )
        seen[job.key] = job
    return list(seen.values())


def _job(
    fields: dict[str, Any], data: Any, target: Any, where: str | None, common: Mapping[str, Any]
) -> Job:
    """Make a job of a manifest's line, or of a path alone."""
    given = {
        key: one for key, one in fields.items() if one is not None and one == one and one != ""
    }
    model = str(given.pop("model"))
    own = {key: given.pop(key, None) for key in ("data", "target", "where")}
    labels = {key: value for key, value in given.items() if key not in OPTIONS}
    options = {**common, **{key: value for key, value in given.items() if key in OPTIONS}}
    stem = Path(model.rstrip("/")).name
    named = {key: one for key, one in fields.items() if key not in OPTIONS}
    names = {**named, **labels, "model": model, "stem": stem.removesuffix(Path(stem).suffix)}
    names.setdefault("id", names["stem"])
    template = where if own["where"] is None else str(own["where"])
    text = None if template is None else fill(template, names)
    table = data if own["data"] is None else own["data"]
    response = target if own["target"] is None else own["target"]
    if table is None and _of_regressions(given):
        raise ValueError(
            f"{printable(model)}: {listed(_of_regressions(given))} is about a regression, and "
            "there is no table (data)"
        )
    for label in labels:
        meant = difflib.get_close_matches(label, _MEANT, 1, _ALIKE)
        if meant and label not in _MEANT:
            raise ValueError(
                f"{printable(model)}: the manifest's column {printable(label)!r} is no option, and "
                f"{meant[0]!r} is; if it is a label, rename it"
            )
    if table is not None and response is None:
        raise ValueError(f"{printable(model)}: there is a table, and no target; name its column")
    return Job(
        key=_unicode(str(labels.get("id", model if text is None else f"{model} | {text}"))),
        model=model,
        data=None if table is None else os.fspath(table),
        target=_listed(response) if isinstance(response, str) else response,
        where=text,
        options={key: _option(key, value, model) for key, value in options.items()},
        labels=labels,
    )


def _of_regressions(options: Iterable[str]) -> list[str]:
    """Return the options that mean nothing without a table."""
    return sorted((set(options) & OPTIONS) - {"output", "signature"})


def _unicode(text: str) -> str:
    """Return a name of bytes that are no UTF-8 so that it can be stored, unlike any other."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _option(key: str, value: Any, model: str) -> Any:
    if key in _LISTS and isinstance(value, str):
        return _listed(value)
    if key in _SWITCHES and not isinstance(value, bool):
        known = _WORDS.get(str(value).strip().lower())
        if known is None:
            raise ValueError(f"{printable(model)}: {key} must be true or false, not {value!r}")
        return known
    return value


def _listed(text: str) -> Any:
    """Return names separated by commas as a list; one name as it is."""
    names = [name.strip() for name in text.split(",")]
    return names if len(names) > 1 else names[0]


def _expanded(path: str) -> Iterator[dict[str, Any]]:
    """Yield the fields of each job that a path, pattern, folder, manifest or URL stands for."""
    if "://" in path:
        yield from ({"model": one} for one in _remote(path))
    elif glob.has_magic(path) and not os.path.exists(path):
        found = sorted(glob.glob(path, recursive=True))
        if not found:
            raise ValueError(f"{printable(path)}: no file has such a name")
        for one in found:
            yield from _expanded(one)
    elif Path(path).suffix.lower() in _MANIFESTS:
        yield from _manifest(Path(path))
    elif os.path.isdir(path) and not _is_model(Path(path)):
        yield from ({"model": one} for one in _models_in(Path(path)))
    else:
        yield {"model": path}


def _is_model(folder: Path) -> bool:
    """Tell whether a folder is a model: a SavedModel, or an unpacked Keras archive."""
    return any((folder / name).exists() for name in _INSIDE) or (
        (folder / "config.json").exists() and (folder / "metadata.json").exists()
    )


def _models_in(folder: Path) -> Iterator[str]:
    """Yield the models in a folder and those in it; links to folders are not followed."""
    found = []
    for place, folders, names in os.walk(folder):
        here = Path(place)
        found += [str(here / name) for name in names if Path(name).suffix.lower() in _MODELS]
        inside = [name for name in folders if _is_model(here / name)]
        found += [str(here / name) for name in inside]
        folders[:] = [name for name in folders if name not in inside]
    if not found:
        raise ValueError(f"{printable(str(folder))}: there is no model in this folder")
    yield from sorted(found)


def _remote(url: str) -> list[str]:
    """Return the models that a URL stands for."""
    import fsspec

    scheme = url.split("://", 1)[0]
    try:
        files, path = fsspec.core.url_to_fs(url)
        if glob.has_magic(path):
            found = sorted(files.glob(path))
        elif files.isdir(path):
            found = sorted(one for one in files.find(path) if Path(one).suffix.lower() in _MODELS)
        else:
            return [url]
    except (ImportError, OSError, ValueError) as error:
        raise ValueError(f"{printable(url)}: cannot be read: {printable(str(error))}") from None
    if not found:
        raise ValueError(f"{printable(url)}: there is no model")
    return [f"{scheme}://{one.lstrip('/') if scheme != 'file' else one}" for one in found]


def _manifest(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a manifest; paths in it are relative to its folder."""
    lines = _json_lines(path) if path.suffix.lower() in (".jsonl", ".ndjson") else _table(path)
    for number, line in enumerate(lines, 1):
        if not line.get("model"):
            raise DataError(f"{path}: line {number} names no model (column model)")
        for key in ("model", "data", "scaler", "target_scaler"):
            value = line.get(key)
            if isinstance(value, str) and value and "://" not in value:
                line[key] = str(path.parent / value)
        yield line


def _table(path: Path) -> list[dict[str, Any]]:
    from converter.regression.tables import load

    table = load(path)
    if "model" not in table.names:
        raise DataError(f"{path}: a manifest has a column model; this has {listed(table.names)}")
    # 007 is a name, and no number.
    columns = {name: table.values(name, text=name == "id").tolist() for name in table.names}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    number = 0
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise DataError(f"{path}: line {number} is not an object")
                yield record
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: line {number or 1} is not JSON: {error}") from None
