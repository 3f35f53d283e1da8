"""The messages of onnx.proto3, as far as inference needs them.

Source: the ONNX repository, onnx/onnx-ml.proto (IR version 13).
"""

from __future__ import annotations

from converter.formats.protobuf import Field, Schema


def _text(name: str, repeated: bool = False) -> Field:
    return Field(name, "string", repeated)


def _skip(name: str) -> Field:
    return Field(name, "skip")


def _integer(name: str) -> Field:
    return Field(name, "int")


def _numbers(name: str, dtype: str = "varint") -> Field:
    return Field(name, "numbers", True, dtype=dtype)


def _one(name: str, message: str) -> Field:
    return Field(name, "message", message=message)


def _many(name: str, message: str) -> Field:
    return Field(name, "message", True, message=message)


SCHEMA: Schema = {
    "ModelProto": {
        1: _integer("ir_version"),
        2: _text("producer_name"),
        3: _text("producer_version"),
        4: _skip("domain"),
        5: _skip("model_version"),
        6: _skip("doc_string"),
        7: _one("graph", "GraphProto"),
        8: _many("opset_import", "OperatorSetIdProto"),
        14: _many("metadata_props", "Metadata"),
        20: _skip("training_info"),
        25: _many("functions", "FunctionProto"),
        26: _skip("configuration"),
    },
    # As bytes: what others keep there need not be text.
    "Metadata": {1: Field("key", "bytes"), 2: Field("value", "bytes")},
    "OperatorSetIdProto": {1: _text("domain"), 2: _integer("version")},
    "GraphProto": {
        1: _many("node", "NodeProto"),
        2: _text("name"),
        5: _many("initializer", "TensorProto"),
        10: _skip("doc_string"),
        11: _many("input", "ValueInfoProto"),
        12: _many("output", "ValueInfoProto"),
        13: _skip("value_info"),
        14: _skip("quantization_annotation"),
        15: _many("sparse_initializer", "SparseTensorProto"),
        16: _skip("metadata_props"),
    },
    "NodeProto": {
        1: _text("input", True),
        2: _text("output", True),
        3: _text("name"),
        4: _text("op_type"),
        5: _many("attribute", "AttributeProto"),
        6: _skip("doc_string"),
        7: _text("domain"),
        8: _text("overload"),
        9: _skip("metadata_props"),
        10: _skip("device_configurations"),
    },
    "AttributeProto": {
        1: _text("name"),
        2: Field("f", "float"),
        3: _integer("i"),
        4: Field("s", "bytes"),
        5: _one("t", "TensorProto"),
        6: _one("g", "GraphProto"),
        7: _numbers("floats", "<f4"),
        8: _numbers("ints"),
        9: Field("strings", "bytes", True),
        10: _many("tensors", "TensorProto"),
        11: _many("graphs", "GraphProto"),
        13: _skip("doc_string"),
        14: Field("tp", "view"),
        15: Field("type_protos", "view", True),
        20: _integer("type"),
        21: _text("ref_attr_name"),
        22: _one("sparse_tensor", "SparseTensorProto"),
        23: Field("sparse_tensors", "view", True),
    },
    "TensorProto": {
        1: _numbers("dims"),
        2: _integer("data_type"),
        3: Field("segment", "view"),
        4: _numbers("float_data", "<f4"),
        5: _numbers("int32_data"),
        6: Field("string_data", "bytes", True),
        7: _numbers("int64_data"),
        8: _text("name"),
        9: Field("raw_data", "view"),
        10: _numbers("double_data", "<f8"),
        11: _numbers("uint64_data"),
        12: _skip("doc_string"),
        13: _many("external_data", "StringStringEntryProto"),
        14: _integer("data_location"),
        16: _skip("metadata_props"),
    },
    "SparseTensorProto": {
        1: _one("values", "TensorProto"),
        2: _one("indices", "TensorProto"),
        3: _numbers("dims"),
    },
    "StringStringEntryProto": {1: _text("key"), 2: _text("value")},
    "ValueInfoProto": {
        1: _text("name"),
        2: _one("type", "TypeProto"),
        3: _skip("doc_string"),
        4: _skip("metadata_props"),
    },
    "TypeProto": {
        1: _one("tensor_type", "TypeProto.Tensor"),
        4: Field("sequence_type", "view"),
        5: Field("map_type", "view"),
        6: _skip("denotation"),
        7: Field("opaque_type", "view"),
        8: Field("sparse_tensor_type", "view"),
        9: Field("optional_type", "view"),
    },
    "TypeProto.Tensor": {1: _integer("elem_type"), 2: _one("shape", "TensorShapeProto")},
    "TensorShapeProto": {1: _many("dim", "Dimension")},
    "Dimension": {1: _integer("dim_value"), 2: _text("dim_param"), 3: _skip("denotation")},
    "FunctionProto": {
        1: _text("name"),
        4: _text("input", True),
        5: _text("output", True),
        6: _text("attribute", True),
        7: _many("node", "NodeProto"),
        8: _skip("doc_string"),
        9: _many("opset_import", "OperatorSetIdProto"),
        10: _text("domain"),
        11: _many("attribute_proto", "AttributeProto"),
        12: _skip("value_info"),
        13: _text("overload"),
        14: _skip("metadata_props"),
    },
}
