"""What a SavedModel of Keras 2 says about its training, in ``keras_metadata.pb``."""

from __future__ import annotations

from typing import Any

from converter.errors import ModelFileError
from converter.formats.containers import Folder
from converter.formats.keras_config import Model, load_json, parse_model, without_mark
from converter.formats.keras_training import training_of
from converter.formats.protobuf import Decoder
from converter.formats.tensorflow_protos import SCHEMA
from converter.network import Training

NAME, _LIMIT = "keras_metadata.pb", 1 << 26


def told(folder: Folder) -> Training:
    """Return what Keras 2 wrote down beside the graph; exports say nothing.

    None of it enters the numbers, so that what cannot be made out is said, and no more.
    """
    if NAME not in folder:
        return Training()
    content = folder.read(NAME, _LIMIT)
    try:
        return _of_root(Decoder(SCHEMA, content).decode("SavedMetadata"))
    except (ModelFileError, TypeError, ValueError, LookupError, AttributeError):
        return Training(notes=(f"what {NAME} says about the training cannot be made out",))


def _of_root(record: dict[str, Any]) -> Training:
    """Return what the root among Keras 2's records of a model says about its training."""
    for one in record.get("nodes", ()):
        if one.get("node_path") == "root":
            found = load_json(one.get("metadata", ""), NAME, hook=without_mark)
            model = parse_model(found)
            if isinstance(model, Model):
                names = model.output_names(len(model.outputs) or 1)
                return training_of(model, found.get("training_config"), names)
    return Training()
