"""From a file to a `Network`: one module per format, chosen by content and not by suffix."""

from __future__ import annotations

import os
from pathlib import Path

from converter.errors import ModelFileError, SignatureError, printable
from converter.network import Network

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_KINDS = (
    "a Keras archive (.keras) or HDF5 file (.h5), a Keras configuration (.json) beside its weights "
    "(.weights.h5), a SavedModel folder, a TensorFlow Lite (.tflite) or ONNX model (.onnx)"
)


def read(path: str | os.PathLike[str], signature: str | None = None) -> Network:
    """Read a saved model, running nothing that came with it.

    Parameters
    ----------
    path : path-like
        A ``.keras`` archive or the folder that it unpacks to, a legacy Keras HDF5 file, a Keras
        configuration (JSON) with its ``.weights.h5`` beside it, a TensorFlow SavedModel folder,
        or an ONNX model, told apart by content.
    signature : str, optional
        Which signature of a SavedModel; by default ``serving_default``, or the only one.

    Returns
    -------
    Network

    Raises
    ------
    ModelFileError
        If the file cannot be read, is damaged, hostile, or none of these formats.
    ValueError
        If there is no such signature, or several of which none was chosen.
    TypeError
        If what is given is no path.
    """
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(
            f"expected the path of a saved model, not a {type(path).__name__}; save it first "
            "(model.save('m.keras'))"
        )
    shown = os.fsdecode(path)
    try:
        network = _read(Path(shown), shown, signature)
    except ModelFileError as error:
        raise ModelFileError(f"{printable(shown)}: {error}") from None
    except SignatureError as error:
        raise ValueError(f"{printable(shown)}: {error}") from None
    except RecursionError:
        raise ModelFileError(f"{printable(shown)}: nested too deeply to be a model") from None
    except MemoryError:
        raise ModelFileError(f"{printable(shown)}: needs more memory than there is") from None
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        # A stranger's file can hold anything anywhere; whatever the readers do not check by
        # itself still is a fault of the file.
        raise ModelFileError(
            f"{printable(shown)}: holds something that no saved model holds: "
            f"{printable(str(error))}"
        ) from None
    if signature is not None and network.format != "saved_model":
        raise ValueError(f"{printable(shown)}: only a TensorFlow SavedModel has signatures")
    return network


def _read(path: Path, shown: str, signature: str | None) -> Network:
    if "\0" in shown:
        raise ModelFileError("is not a path: it holds a null character")
    try:
        if path.is_dir():
            from converter.formats import keras_archive

            if keras_archive.is_folder(path):
                return keras_archive.read_folder(path, shown)
            from converter.formats import saved_model

            if saved_model.is_folder(path):
                return saved_model.read(path, shown, signature)
            if (path / "saved_model.pbtxt").exists():
                raise ModelFileError(
                    "is a SavedModel written out as text; save it again, so that it holds a "
                    "saved_model.pb"
                )
            raise ModelFileError(f"is a folder, and no SavedModel; give {_KINDS}")
        if not path.is_file():
            raise ModelFileError(
                "is not a regular file" if path.exists() else "there is no such file"
            )
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise ModelFileError(f"cannot be read: {error.strerror or error}") from None
    if not head:
        raise ModelFileError(f"the file is empty; expected {_KINDS}")
    if head.startswith(_ZIP) or head.startswith(b"PK\x05\x06"):
        from converter.formats import keras_archive

        return keras_archive.read(path, shown)
    if head.lstrip().startswith(b"{"):
        from converter.formats import keras_archive

        return keras_archive.read_pair(path, shown)
    if head.startswith(_HDF5):
        from converter.formats import keras_archive

        if keras_archive.is_weights(path.name):
            return keras_archive.read_pair(path, shown)
        from converter.formats import keras_h5

        return keras_h5.read(path, shown)
    if head[4:8] == b"TFL3":
        from converter.formats import tflite

        return tflite.read(path, shown)
    from converter.formats import onnx

    if not onnx.looks_like(head):
        raise ModelFileError(f"is not a model file; expected {_KINDS}")
    return onnx.read(path, shown)
