"""Files out: a model, or a regression on data, in the formats that other programs read.

`FORMATS` is the one table of them. Each is one function that turns a value into the bytes of a
file; what a format cannot hold exactly it refuses with a sentence.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

#: What is to be known of files that Python unpickles.
PICKLE = "loading a pickle runs whatever code is in it: load only files that you trust"


@dataclass(frozen=True, slots=True)
class Format:
    """A file format.

    Parameters
    ----------
    name : str
    suffixes : tuple of str
        Of file names, the usual one first.
    home : str
        Module of this package with a function of the format's name: it takes what is exported and
        the options, and returns bytes.
    takes : tuple of str
        ``model``: the folded network; ``regression``: it needs data; ``several``: regressions of
        several outputs together.
    options : tuple of str
        Keyword arguments beside.
    warning : str
        What a user is told once it is written.
    classes : bool
        Whether the writer takes ``classes``, the labels of a response in classes.
    """

    name: str
    suffixes: tuple[str, ...]
    home: str
    takes: tuple[str, ...]
    options: tuple[str, ...] = ()
    warning: str = ""
    classes: bool = False

    def write(self, value: Any, options: Mapping[str, Any]) -> bytes:
        """Return the bytes of the file."""
        writer = getattr(import_module(f"{__name__}.{self.home}"), self.name)
        return bytes(writer(value, **options))


_MODEL, _ALL, _DATA = ("model",), ("model", "regression", "several"), ("regression", "several")

FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Format("json", (".json",), "tables", _ALL),
        Format("csv", (".csv",), "tables", _ALL),
        Format("parquet", (".parquet",), "tables", _ALL),
        Format("npz", (".npz",), "tables", ("model", "regression")),
        Format("onnx", (".onnx",), "onnx", _MODEL, ("float32",)),
        Format("keras", (".keras",), "keras", _MODEL, ("float32",)),
        Format("sql", (".sql",), "sql", _MODEL, ("table", "linear_predictor")),
        Format("pmml", (".pmml",), "pmml", _MODEL, classes=True),
        Format("joblib", (".joblib",), "sklearn", _MODEL, (), PICKLE, classes=True),
        Format("text", (".txt",), "documents", _DATA),
        Format("markdown", (".md",), "documents", _DATA),
        Format("latex", (".tex",), "documents", ("regression",)),
        Format("script", (".py",), "script", ("regression",)),
        Format("pickle", (".pickle", ".pkl"), "pickled", ("regression",), (), PICKLE),
    )
}


def export(value: Any, path: str | os.PathLike[str], to: str | None, options: Any) -> Format:
    """Write a model or a regression to a file.

    Parameters
    ----------
    value : AffineModel, Conversion or JointConversion
    path : path-like
    to : str, optional
        A name in `FORMATS`; by default what the file's suffix says.
    options : mapping
        Keyword arguments of that format.

    Returns
    -------
    Format

    Raises
    ------
    ValueError
        If there is no such format, it cannot hold the value exactly, or has no such option.
    OSError
        If the file cannot be written.
    """
    from converter.files import refuse_to_overwrite, write_atomically
    from converter.model import AffineModel

    # Of the kinds of regressions only the joint one is a mapping; a model needs none of them.
    refuse_to_overwrite(path, *_made_from(value))
    kind = "model" if isinstance(value, AffineModel) else "regression"
    kind = "several" if isinstance(value, Mapping) else kind
    chosen = format_of(path, to, kind)
    asked = {name: given for name, given in options.items() if given not in (None, False)}
    strange = [name for name in asked if name not in chosen.options]
    if strange:
        having = [one.name for one in FORMATS.values() if strange[0] in one.options]
        raise ValueError(
            f"{chosen.name} has no option {strange[0]}"
            + (f" (formats that have one: {', '.join(having)})" if having else "")
        )
    if kind == "several" and kind not in chosen.takes:
        names = ", ".join(map(repr, value))
        raise ValueError(
            f"a file of format {chosen.name} holds one regression, and there are several: export "
            f"one of its parts, made[name].export(..) with a name among {names} (--output)"
        )
    if kind == "regression" and kind not in chosen.takes:
        if chosen.classes and value.classes:
            asked["classes"] = value.classes
        value = value.folded
    content = chosen.write(value, asked)
    write_atomically(path, lambda file: file.write(content))
    return chosen


def _made_from(value: Any) -> list[str | None]:
    """Return the files that a model or a regression was made from."""
    if isinstance(value, Mapping):
        return [file for one in value.values() for file in _made_from(one)]
    origin = getattr(value, "origin", None)
    model = getattr(value, "model", value)
    return [model.path or None, None if origin is None else origin.path]


def format_of(path: str | os.PathLike[str], to: str | None, kind: str = "model") -> Format:
    """Return the format of a file by its name, or by what is asked for.

    Parameters
    ----------
    path : path-like
    to : str, optional
    kind : str
        What is to be written; see `Format.takes`.

    Raises
    ------
    ValueError
        If there is none, or it needs data.
    """
    shown = os.fspath(path)
    if to is None:
        suffix = Path(path).suffix.lower()
        found = [one for one in FORMATS.values() if suffix in one.suffixes]
        if not found:
            raise ValueError(
                f"{shown}: the file's name must end in {_suffixes(kind)}, or the format be named "
                "(to=, --to)"
            )
        chosen = found[0]
    elif to in FORMATS:
        chosen = FORMATS[to]
    else:
        raise ValueError(f"there is no format {to!r}; there are {', '.join(FORMATS)}")
    if kind == "model" and kind not in chosen.takes:
        raise ValueError(
            f"{shown}: {chosen.name} holds a regression on data: give the data (converter.convert; "
            f"--data, --target); without, the file's name must end in {_suffixes(kind)}"
        )
    return chosen


def _suffixes(kind: str) -> str:
    # A regression is a model too.
    fit = [one for one in FORMATS.values() if kind in one.takes or kind == "regression"]
    names = [one.suffixes[0] for one in fit]
    return f"{', '.join(names[:-1])} or {names[-1]}"
