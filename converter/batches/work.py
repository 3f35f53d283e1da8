"""One job, done: what a worker computes and hands back as plain values."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import time
import traceback
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from converter.batches.plan import Job
from converter.digest import Digest
from converter.errors import DataError, ModelFileError, Rejected

if TYPE_CHECKING:
    from converter.model import AffineModel
    from converter.regression.conversion import Conversion
    from converter.regression.tables import Table

# Bytes of tables that a worker keeps for the next job, and of a model that it fetches.
_KEPT = 1 << 28
_FETCHED = 1 << 33
# What the copy of what lies behind a URL is called.
_FETCHED_AS = "converter-fetched"
# Bytes of an ONNX model that are searched for the key of external data.
_SEARCHED = 1 << 26

REGRESSION, REJECTED, FAILED, UNCHANGED = "regression", "rejected", "failed", "unchanged"


@dataclass
class Outcome:
    """What became of a job, in the shape of the ledger's tables.

    Parameters
    ----------
    key : str
    status : {"regression", "rejected", "failed", "unchanged"}
    model : dict
        Columns of the table ``model``.
    regressions, coefficients, caveats : list of dict
        Rows of these tables.
    failure : dict or None
    """

    key: str
    status: str
    model: dict[str, Any]
    regressions: list[dict[str, Any]] = field(default_factory=list)
    coefficients: list[dict[str, Any]] = field(default_factory=list)
    caveats: list[dict[str, Any]] = field(default_factory=list)
    failure: dict[str, Any] | None = None


def do(jobs: Sequence[tuple[Job, tuple[str, str] | None]]) -> list[Outcome]:
    """Do some jobs.

    Parameters
    ----------
    jobs : sequence of (Job, known)
        `known` are the digests of model and table that the ledger has for the same question;
        where they are the same still, nothing is done again.
    """
    return [_one(job, known) for job, known in jobs]


def question(job: Job) -> str:
    """Return the digest of what is asked, apart from the contents of the files."""
    scalers = [job.options.get(key) for key in ("scaler", "target_scaler")]
    contents = [Digest(one).result() for one in scalers if isinstance(one, str)]
    text = json.dumps([asdict(job), contents], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def failed(job: Job, kind: str, sentence: str, detail: str = "", seconds: float = 0.0) -> Outcome:
    """Return the outcome of a job that came to nothing."""
    model = {"seconds": seconds}
    failure = {"kind": kind, "sentence": sentence, "detail": detail}
    return Outcome(job.key, FAILED, model, failure=failure)


def _one(job: Job, known: tuple[str, str] | None) -> Outcome:
    start = time.perf_counter()
    hashes = ("", "")
    try:
        with _local(job.model) as path:
            digest = Digest(path)
            hashes = (digest.result(), _table_digest(job.data))
            whole = all(hashes[: 1 if job.data is None else 2]) and not _has_companions(path)
            if known == hashes and whole:
                return Outcome(job.key, UNCHANGED, {})
            made = _made(job, path)
    except Rejected as rejected:
        findings = [asdict(one) for one in rejected.findings]
        made = Outcome(job.key, REJECTED, {"verdict": "rejected", "findings": json.dumps(findings)})
    except (ModelFileError, DataError, ValueError, TypeError, OSError) as error:
        made = failed(job, _kind(error), _by_url(str(error), job))
    except MemoryError:
        made = failed(job, "memory", "more memory would be needed than there is")
    except Exception as error:  # a defect of ours must not cost the other models
        name = type(error).__name__
        made = failed(job, "internal", f"{name}: {error}", traceback.format_exc(limit=-8))
    made.model |= {
        "sha256": hashes[0],
        "data_sha256": hashes[1],
        "seconds": time.perf_counter() - start,
    }
    return made


def _by_url(sentence: str, job: Job) -> str:
    """Return a sentence with the address of what was fetched in place of the copy's."""
    for url in (job.model, job.data or ""):
        suffix = re.escape(os.path.splitext(url)[1])
        for place in re.findall(rf"\S*{_FETCHED_AS}{suffix}", sentence) if "://" in url else ():
            sentence = sentence.replace(place, url)
    return sentence


def _has_companions(path: str) -> bool:
    """Tell whether a model may be more than its file: external data, or weights beside it."""
    if path.lower().endswith((".json", ".weights.h5")):
        return True
    if not path.lower().endswith(".onnx") or not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return b"location" in file.read(_SEARCHED)


def digests(job: Job) -> dict[str, str]:
    """Return the digests of a job that did not come back, where they can be had at once."""
    if any("://" in (one or "") for one in (job.model, job.data)):
        return {}
    return {"sha256": Digest(job.model).result(), "data_sha256": _table_digest(job.data)}


def _kind(error: Exception) -> str:
    kinds = ((ModelFileError, "model"), (DataError, "data"), (OSError, "file"))
    return next((kind for one, kind in kinds if isinstance(error, one)), "argument")


def _made(job: Job, path: str) -> Outcome:
    options = dict(job.options)
    if job.data is None:
        return _folded(job, path, options)
    from converter.regression.convert import convert
    from converter.regression.joint import JointConversion

    kwds: dict[str, Any] = {
        key: options.pop(key) for key in ("groups", "maxlags") if key in options
    }
    if isinstance(options.get("base"), str):
        options["base"] = json.loads(options["base"])
    with _table(job.data) as table:
        made = convert(path, table, job.target, cov_kwds=kwds or None, where=job.where, **options)
    parts = dict(made) if isinstance(made, JointConversion) else {"": made}
    outcome = Outcome(job.key, REGRESSION, _facts([one.model for one in parts.values()]))
    first = next(iter(parts.values()))
    outcome.model |= {"nobs": first.nobs, "dropped": first.dropped}
    for name, one in parts.items():
        output = name or one.model.output_names[0]
        outcome.regressions.append({"output": output, **_glance(one)})
        outcome.coefficients += _terms(one, output)
        outcome.caveats += [
            {"output": output, "topic": each.topic, "sentence": str(each)} for each in one.caveats
        ]
    return outcome


def _folded(job: Job, path: str, options: dict[str, Any]) -> Outcome:
    from converter.inspection import fold_each

    models = fold_each(path, options.get("output"), options.get("signature"))
    outcome = Outcome(job.key, REGRESSION, _facts(models))
    for one in models:
        for row, output in enumerate(one.output_names):
            terms = [("(intercept)", one.intercept[row])] * bool(one.has_intercept[row])
            terms += zip(one.feature_names, one.coef[row], strict=True)
            outcome.coefficients += [
                {"output": output, "term": term, "coef": float(value)} for term, value in terms
            ]
        outcome.caveats += [
            {"output": "", "topic": "network-notes", "sentence": note} for note in one.notes
        ]
    return outcome


def _facts(models: Sequence[AffineModel]) -> dict[str, Any]:
    links = {one.link for one in models}
    families = {one.family for one in models}
    losses = {None if one.loss is None else one.loss.describe() for one in models}
    return {
        "verdict": "affine" if links == {"identity"} else "linked",
        "link": links.pop() if len(links) == 1 else None,
        "family": families.pop() if len(families) == 1 else None,
        "loss": losses.pop() if len(losses) == 1 else None,
        "format": models[0].format,
        "outputs": sum(len(one.output_names) for one in models),
        "inputs": len(models[0].feature_names),
        "findings": "[]",
    }


def _glance(one: Conversion) -> dict[str, Any]:
    row = one.glance().to_dict("records")[0]
    known = {key: _plain(row[key]) for key in GLANCE if key in row}
    return known | {"sentence": one.verdict_sentence, "converged": int(one.optimality.converged)}


#: Columns of `Conversion.glance` that the ledger keeps.
GLANCE = (
    *("family", "link", "nobs", "df_model", "df_resid", "parameters", "r_squared"),
    *("adj_r_squared", "pseudo_r_squared", "sigma", "statistic", "p_value", "log_lik", "aic"),
    *("bic", "verdict", "max_drift", "optimality_statistic", "optimality_p_value"),
)

_TERMS = {
    "estimate": "coef",
    "std_error": "bse",
    "statistic": "statistic",
    "p_value": "p",
    "conf_low": "low",
    "conf_high": "high",
    "optimum": "optimum",
    "optimum_std_error": "optimum_bse",
    "drift": "drift",
}


def _terms(one: Conversion, output: str) -> list[dict[str, Any]]:
    return [
        {
            "output": output,
            "outcome": str(row.get("outcome", "")),
            "term": row["term"],
            **{name: _plain(row[key]) for key, name in _TERMS.items()},
        }
        for row in one.tidy().to_dict("records")
    ]


def _plain(value: Any) -> Any:
    """Return a number as Python has it; NaN, which SQLite stores as NULL, as None."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and value != value else value


# Tables and models that are shared between jobs -----------------------------------------------

_tables: OrderedDict[tuple[Any, ...], Table] = OrderedDict()
_digests: dict[tuple[Any, ...], str] = {}


def _stamp(path: str) -> tuple[Any, ...]:
    """Return what changes when a file, a folder's files, or what lies behind a URL does.

    Nothing of a file is read for it.
    """
    if "://" in path:
        import fsspec

        try:
            files, inside = fsspec.core.url_to_fs(path)
            return (path, files.ukey(inside))
        except (ImportError, ValueError) as error:
            raise OSError(f"{path}: cannot be read: {error}") from None
    if not os.path.isdir(path):
        found = os.stat(path)
        return (path, found.st_size, found.st_mtime_ns)
    stamps = []
    for place, _, names in os.walk(path):
        for name in names:
            found = os.stat(os.path.join(place, name))
            stamps.append((place, name, found.st_size, found.st_mtime_ns))
    return (path, *sorted(stamps))


def _table_digest(data: str | None) -> str:
    """Return the digest of a table's file; each file is read once by each worker."""
    if data is None:
        return ""
    try:
        stamp = _stamp(data)
    except OSError:
        return ""
    if stamp not in _digests:
        with _local(data) as path:
            _digests[stamp] = Digest(path).result()
    return _digests[stamp]


@contextmanager
def _table(data: str) -> Iterator[Table | str]:
    """Yield a table: the file itself if it is large, else what is kept for the next job."""
    from converter.regression.tables import load

    try:
        stamp = _stamp(data)
    except OSError:
        stamp = ()  # what is wrong is said when it is read
    table = _tables.pop(stamp, None) if stamp else None
    if table is None:
        with _local(data) as path:
            if not stamp or os.path.isdir(path) or os.path.getsize(path) > _KEPT // 4:
                yield path
                return
            table = load(path)
    _tables[stamp] = table
    while len(_tables) > 1 and sum(_size(one) for one in _tables.values()) > _KEPT:
        _tables.popitem(last=False)
    yield table


def _size(table: Table) -> int:
    return sum(getattr(column, "nbytes", 0) for column in table.columns.values())


@contextmanager
def _local(path: str) -> Iterator[str]:
    """Give a file of its own to what lies behind a URL."""
    if "://" not in path:
        yield path
        return
    if path.startswith("file://") and os.path.isdir(path.removeprefix("file://")):
        yield path.removeprefix("file://")
        return
    import fsspec

    try:
        with fsspec.open(path, "rb") as remote:
            size = getattr(remote, "size", None)
            if size is not None and size > _FETCHED:
                raise OSError(f"{path}: is larger than {_FETCHED:,} bytes")
            content: bytes = remote.read(_FETCHED + 1)
    except (ImportError, ValueError) as error:
        raise OSError(f"{path}: cannot be read: {error}") from None
    suffix = os.path.splitext(path)[1]
    with tempfile.TemporaryDirectory() as folder:
        place = os.path.join(folder, f"{_FETCHED_AS}{suffix}")
        with open(place, "wb") as file:
            file.write(content)
        yield place
