"""Mutated files: no crash, no hang, no exception but ours. Run with ``-m slow``.

``FUZZ_SECONDS=600`` sets how long each part takes (20 by default), ``FUZZ_SEED`` where it starts.
"""

from __future__ import annotations

import copy
import io
import json
import os
import random
import shutil
import signal
import time
import zipfile
from collections.abc import Callable, Iterator

import h5py
import pytest
from conftest import FIXTURES
from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2

import converter

SECONDS = float(os.environ.get("FUZZ_SECONDS", "20"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
# No single file may take longer.
LIMIT = 5.0

ARCHIVES = [
    FIXTURES / "longley_linear.keras",
    FIXTURES / "marriages.keras",
    FIXTURES / "diabetes_deep.keras",
    *sorted((FIXTURES / "tf_keras").glob("*.keras")),
]
HDF5 = [path.with_suffix(".h5") for path in ARCHIVES]

SAVED = sorted(path.parent for path in FIXTURES.glob("**/saved_model.pb"))

# What damaged and hostile configurations hold.
ODD: list[object] = [
    *(None, True, False, 0, 1, -1, 2, 3, 1 << 31, 1 << 62, 1 << 80, -(1 << 62), 0.5, -1.5),
    *(1e308, float("inf"), float("nan"), "", "relu", "linear", "Dense", "..", "/etc/passwd"),
    *("channels_first", "same", "valid", "causal", "keras.layers", "os", "\0", "x" * 5000),
    *([], {}, [None], [1 << 40, 1 << 40], {"class_name": "Lambda", "config": {}}, [[]], [0] * 50),
]


class _TooSlow(Exception):
    pass


def _places(value: object, path: tuple = ()) -> Iterator[tuple]:
    """Yield the path of everything inside nested lists and dictionaries."""
    yield path
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, one in inside:
        yield from _places(one, (*path, key))


def _at(value: object, path: tuple) -> object:
    for key in path:
        value = value[key]  # type: ignore[index]
    return value


def _mutated(value: object, rng: random.Random) -> object:
    """Change a few places: to something odd, to what stands elsewhere, or remove or double them."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        places = list(_places(value))[1:]
        if not places:
            return value
        path = rng.choice(places)
        parent, key = _at(value, path[:-1]), path[-1]
        kind = rng.randrange(5)
        if kind == 0:
            parent[key] = copy.deepcopy(rng.choice(ODD))  # type: ignore[index]
        elif kind == 1:
            parent[key] = copy.deepcopy(_at(value, rng.choice(places)))  # type: ignore[index]
        elif kind == 2:
            del parent[key]  # type: ignore[attr-defined]
        elif isinstance(parent, list):
            parent.insert(key, copy.deepcopy(parent[key]))
        else:
            parent[str(rng.choice(ODD))] = copy.deepcopy(parent[key])  # type: ignore[index]
    return value


def _bytes(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 2, 8, 64))):
        place = rng.randrange(len(changed))
        kind = rng.randrange(4)
        if kind == 0:
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[place] = rng.choice((0, 255, 127, 128))
        elif kind == 2:
            other = rng.randrange(len(changed))
            size = rng.randrange(64)
            changed[place : place + size] = changed[other : other + size]
        else:
            del changed[place : place + rng.randrange(16)]
        if not changed:
            return b""
    return bytes(changed)


def _config_archive(rng: random.Random) -> tuple[str, bytes]:
    with zipfile.ZipFile(rng.choice(ARCHIVES)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = json.dumps(_mutated(json.loads(members["config.json"]), rng)).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return "m.keras", buffer.getvalue()


def _config_h5(rng: random.Random) -> tuple[str, bytes]:
    buffer = io.BytesIO(rng.choice(HDF5).read_bytes())
    with h5py.File(buffer, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        del file.attrs["model_config"]
        file.attrs["model_config"] = json.dumps(_mutated(config, rng))
    return "m.h5", buffer.getvalue()


def _raw(rng: random.Random) -> tuple[str, bytes]:
    path = rng.choice([*ARCHIVES, *HDF5])
    return f"m{path.suffix}", _bytes(path.read_bytes(), rng)


def _weights(rng: random.Random) -> tuple[str, bytes]:
    with zipfile.ZipFile(rng.choice(ARCHIVES)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["model.weights.h5"] = _bytes(members["model.weights.h5"], rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return "m.keras", buffer.getvalue()


def _graph(rng: random.Random) -> tuple[str, bytes]:
    """Change a SavedModel's messages; some of what comes out is none, and is drawn again."""
    folder = rng.choice(SAVED)
    message = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    if rng.randrange(4) == 0:
        return f"{folder.name}/saved_model.pb", _bytes(message.SerializeToString(), rng)
    message.meta_graphs[0].meta_info_def.ClearField("stripped_op_list")  # read by nobody
    record = json_format.MessageToDict(message)
    while True:
        try:
            made = json_format.ParseDict(_mutated(record, rng), saved_model_pb2.SavedModel())
        except (json_format.ParseError, TypeError, ValueError, AttributeError, OverflowError):
            continue
        return f"{folder.name}/saved_model.pb", made.SerializeToString()


@pytest.mark.slow
@pytest.mark.parametrize("make", [_config_archive, _config_h5, _raw, _weights, _graph])
def test_no_exception_but_ours(tmp_path, make: Callable):
    rng = random.Random(f"{SEED} {make.__name__}")

    def too_slow(*_: object) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGALRM, too_slow)
    verdicts: dict[str, int] = {}
    end = time.monotonic() + SECONDS
    try:
        while time.monotonic() < end:
            name, content = make(rng)
            path = file = tmp_path / name
            if file.name == "saved_model.pb":
                path = file.parent
                if not path.exists():
                    (original,) = (one for one in SAVED if one.name == path.name)
                    shutil.copytree(original, path)
            file.write_bytes(content)
            signal.setitimer(signal.ITIMER_REAL, LIMIT)
            try:
                verdict = converter.inspect(path).verdict
            except converter.ModelFileError:
                verdict = "ModelFileError"
            except BaseException:
                (FIXTURES.parent / f"fuzz_{name.replace('/', '_')}").write_bytes(content)
                raise
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0.0)
            verdicts[verdict] = verdicts.get(verdict, 0) + 1
    finally:
        signal.signal(signal.SIGALRM, before)
    print(make.__name__, verdicts)
    # Mutations that never reach past the reader's first check would test nothing.
    assert len(verdicts) > 1
