"""Shared set-up: models of the zoo are built and saved once a session."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

FIXTURES = Path(__file__).parent.parent / "fixtures"


@pytest.fixture
def command(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Return a function that runs the command line in this process, as subprocess.run would."""

    def run(*arguments: object) -> subprocess.CompletedProcess:
        from converter.cli import run as main

        argv = ["converter", *map(str, arguments)]
        monkeypatch.setattr("sys.argv", argv)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(argv, int(ended.value.code), printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def saved_keras(tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """Return a function: case -> (Keras model, path of .keras, path of .h5)."""
    import keras_zoo

    folder = tmp_path_factory.mktemp("keras")
    made: dict[str, tuple] = {}

    def get(case: Callable) -> tuple:
        name = case.__name__
        if name not in made:
            model = keras_zoo.build(case)
            paths = folder / f"{name}.keras", folder / f"{name}.h5"
            for path in paths:
                model.save(path)
            made[name] = (model, *paths)
        return made[name]

    return get


@pytest.fixture(scope="session")
def saved_onnx(tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """Return a function: case -> path of .onnx."""
    import onnx

    folder = tmp_path_factory.mktemp("onnx")

    def get(case: Callable) -> Path:
        path = folder / f"{case.__name__}.onnx"
        if not path.exists():
            onnx.save(case(), path)
        return path

    return get
