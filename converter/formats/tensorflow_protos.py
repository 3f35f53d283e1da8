"""The messages of a TensorFlow SavedModel that are read, by field number.

Source: the .proto files of TensorFlow (tensorflow/core/framework and tensorflow/core/protobuf:
saved_model, meta_graph, graph, function, node_def, op_def, attr_value, tensor, tensor_shape,
saved_object_graph, trackable_object_graph, tensor_bundle). ``skip`` marks what says nothing about
what the network computes.
"""

from __future__ import annotations

from converter.formats.protobuf import Field, Schema


def _skips(*numbers: int) -> dict[int, Field]:
    return {number: Field(f"field {number}", "skip") for number in numbers}


def _message(name: str, message: str, repeated: bool = False) -> Field:
    return Field(name, "message", repeated, message)


def _map(value: Field) -> dict[int, Field]:
    return {1: Field("key", "string"), 2: value}


_GRAPH: Schema = {
    "SavedModel": {1: Field("version", "int"), 2: _message("meta_graphs", "MetaGraphDef", True)},
    "MetaGraphDef": {
        1: _message("info", "MetaInfoDef"),
        2: _message("graph_def", "GraphDef"),
        5: _message("signatures", "SignatureEntry", True),
        7: _message("objects", "SavedObjectGraph"),
        **_skips(3, 4, 6),
    },
    "MetaInfoDef": {
        4: Field("tags", "string", True),
        5: Field("tensorflow_version", "string"),
        **_skips(1, 2, 3, 6, 7, 8),
    },
    "GraphDef": {
        1: _message("node", "NodeDef", True),
        2: _message("library", "FunctionDefLibrary"),
        **_skips(3, 4, 5),
    },
    "FunctionDefLibrary": {1: _message("function", "FunctionDef", True), **_skips(2, 3)},
    "FunctionDef": {
        1: _message("signature", "OpDef"),
        3: _message("node", "NodeDef", True),
        4: _message("ret", "TextEntry", True),
        **_skips(5, 6, 7, 8),
    },
    "TextEntry": _map(Field("value", "string")),
    "OpDef": {
        1: Field("name", "string"),
        2: _message("input_arg", "ArgDef", True),
        3: _message("output_arg", "ArgDef", True),
        **_skips(4, 5, 6, 8, 16, 17, 18, 19, 20, 21),
    },
    "ArgDef": {
        1: Field("name", "string"),
        3: Field("type", "int"),
        5: Field("number_attr", "string"),
        6: Field("type_list_attr", "string"),
        **_skips(2, 4, 7, 16, 17),
    },
    "NodeDef": {
        1: Field("name", "string"),
        2: Field("op", "string"),
        3: Field("input", "string", True),
        5: _message("attr", "AttrEntry", True),
        **_skips(4, 6, 7),
    },
    "AttrEntry": _map(_message("value", "AttrValue")),
    "AttrValue": {
        1: _message("list", "ListValue"),
        2: Field("s", "bytes"),
        3: Field("i", "int"),
        4: Field("f", "float"),
        5: Field("b", "int"),
        6: Field("type", "int"),
        7: _message("shape", "TensorShapeProto"),
        8: _message("tensor", "TensorProto"),
        9: Field("placeholder", "string"),
        10: _message("func", "NameAttrList"),
    },
    "ListValue": {
        2: Field("s", "bytes", True),
        3: Field("i", "numbers", dtype="varint"),
        4: Field("f", "numbers", dtype="<f4"),
        5: Field("b", "numbers", dtype="varint"),
        6: Field("type", "numbers", dtype="varint"),
        7: _message("shape", "TensorShapeProto", True),
        8: _message("tensor", "TensorProto", True),
        9: _message("func", "NameAttrList", True),
    },
    "NameAttrList": {1: Field("name", "string"), **_skips(2)},
    "TensorShapeProto": {
        2: _message("dim", "Dim", True),
        3: Field("unknown_rank", "int"),
    },
    "Dim": {1: Field("size", "int"), **_skips(2)},
    "TensorProto": {
        1: Field("dtype", "int"),
        2: _message("shape", "TensorShapeProto"),
        4: Field("content", "view"),
        5: Field("float_val", "numbers", dtype="<f4"),
        6: Field("double_val", "numbers", dtype="<f8"),
        7: Field("int_val", "numbers", dtype="varint"),
        8: Field("string_val", "bytes", True),
        10: Field("int64_val", "numbers", dtype="varint"),
        11: Field("bool_val", "numbers", dtype="varint"),
        13: Field("half_val", "numbers", dtype="varint"),
        16: Field("uint32_val", "numbers", dtype="varint"),
        17: Field("uint64_val", "numbers", dtype="varint"),
        **_skips(3, 9, 12, 14, 15, 18),
    },
    "SignatureEntry": _map(_message("value", "SignatureDef")),
    "SignatureDef": {
        1: _message("inputs", "TensorEntry", True),
        2: _message("outputs", "TensorEntry", True),
        **_skips(3, 4),
    },
    "TensorEntry": _map(_message("value", "TensorInfo")),
    "TensorInfo": {
        1: Field("name", "string"),
        2: Field("dtype", "int"),
        3: _message("shape", "TensorShapeProto"),
        4: Field("sparse", "bytes"),
        5: Field("composite", "bytes"),
    },
    "SavedObjectGraph": {
        1: _message("nodes", "SavedObject", True),
        2: _message("functions", "ConcreteEntry", True),
    },
    "SavedObject": {
        1: _message("children", "ObjectReference", True),
        6: _message("function", "SavedFunction"),
        7: _message("variable", "SavedVariable"),
        9: _message("constant", "SavedConstant"),
        **_skips(2, 3, 4, 5, 8, 10, 11, 12, 13, 14, 15, 16),
    },
    "ObjectReference": {1: Field("node_id", "int"), 2: Field("local_name", "string")},
    "SavedVariable": {
        1: Field("dtype", "int"),
        2: _message("shape", "TensorShapeProto"),
        3: Field("trainable", "int"),
        6: Field("name", "string"),
        **_skips(4, 5, 7, 8),
    },
    "SavedConstant": {1: Field("operation", "string")},
    "SavedFunction": {1: Field("names", "string", True), **_skips(2)},
    "ConcreteEntry": _map(_message("value", "SavedConcreteFunction")),
    "SavedConcreteFunction": {
        2: Field("bound_inputs", "numbers", dtype="varint"),
        **_skips(1, 3, 4),
    },
}

_CHECKPOINT: Schema = {
    "BundleHeader": {
        1: Field("num_shards", "int"),
        2: Field("endianness", "int"),
        **_skips(3),
    },
    "BundleEntry": {
        1: Field("dtype", "int"),
        2: _message("shape", "TensorShapeProto"),
        3: Field("shard_id", "int"),
        4: Field("offset", "int"),
        5: Field("size", "int"),
        6: Field("crc32c", "fixed32"),
        7: Field("slices", "bytes", True),
    },
    "TrackableObjectGraph": {1: _message("nodes", "TrackableObject", True)},
    "TrackableObject": {
        1: _message("children", "ObjectReference", True),
        2: _message("attributes", "SerializedTensor", True),
        **_skips(3, 4, 5),
    },
    "SerializedTensor": {
        1: Field("name", "string"),
        3: Field("checkpoint_key", "string"),
        **_skips(2, 4),
    },
}

# What Keras 2 keeps beside the graph (keras/protobuf/saved_metadata.proto).
_KERAS: Schema = {
    "SavedMetadata": {1: _message("nodes", "SavedMetadataObject", True)},
    "SavedMetadataObject": {
        3: Field("node_path", "string"),
        4: Field("identifier", "string"),
        5: Field("metadata", "string"),
        **_skips(1, 2, 6),
    },
}

SCHEMA: Schema = _GRAPH | _CHECKPOINT | _KERAS

#: numpy's names of TensorFlow's types of numbers, by number (types.proto).
TYPES: dict[int, str] = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    19: "float16",
    22: "uint32",
    23: "uint64",
}
