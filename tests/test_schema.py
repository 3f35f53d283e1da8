"""The tables agree with the published schemas: ONNX's protobuf messages and operators."""

from __future__ import annotations

import inspect

import pytest
from onnx import defs, onnx_ml_pb2

from converter.formats.onnx import OPSETS
from converter.formats.onnx_schema import SCHEMA
from converter.semantics.onnx.tables import DOMAINS, OPERATORS

_MESSAGES = {
    "TypeProto.Tensor": onnx_ml_pb2.TypeProto.Tensor,
    "Dimension": onnx_ml_pb2.TensorShapeProto.Dimension,
    "Metadata": onnx_ml_pb2.StringStringEntryProto,
}


@pytest.mark.parametrize("name", SCHEMA)
def test_every_field_of_a_message_is_known_by_its_number(name):
    message = _MESSAGES.get(name) or getattr(onnx_ml_pb2, name)
    published = {field.number: field.name for field in message.DESCRIPTOR.fields}
    assert {number: field.name for number, field in SCHEMA[name].items()} == published


def _schemas(name):
    found = [s for s in defs.get_all_schemas_with_history() if s.name == name and s.domain == ""]
    newest_old = max((s.since_version for s in found if s.since_version <= OPSETS[0]), default=0)
    return [s for s in found if s.since_version >= newest_old and s.since_version <= OPSETS[-1]]


@pytest.mark.parametrize("name", OPERATORS)
def test_every_form_of_an_operator_is_covered(name):
    operator = OPERATORS[name]
    schemas = _schemas(name)
    assert schemas, f"{name} is no ONNX operator"
    for schema in schemas:
        since = max(schema.since_version, OPSETS[0])
        chosen = max((v for v in operator.versions if v <= since), default=None)
        assert chosen is not None, f"{name} of opset {since} has no form"
        function = operator.versions[chosen]
        if function is None:
            assert operator.refusal
            continue
        parameters = list(inspect.signature(function).parameters.values())
        if operator.handles == "graphs":
            parameters = parameters[1:]
        ours = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} - {"node_outputs"}
        published = set(schema.attributes) - {"consumed_inputs"}
        assert published <= ours | set(operator.inert), f"{name} {since}"
        assert ours <= published, f"{name} {since} has attributes that ONNX does not know"
        places = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        if not any(p.kind is p.VAR_POSITIONAL for p in parameters):
            assert len(places) == len(schema.inputs), f"{name} {since}"
            assert sum(p.default is p.empty for p in places) == schema.min_input


@pytest.mark.parametrize("domain", ["", "ai.onnx.ml"])
def test_every_operator_has_an_entry_from_the_opset_that_introduced_it(domain):
    introduced: dict[str, int] = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == domain:
            since = min(introduced.get(schema.name, schema.since_version), schema.since_version)
            introduced[schema.name] = since
    table = DOMAINS[domain]
    oldest = OPSETS[0] if domain == "" else 1
    assert set(table) == set(introduced)
    for name, since in introduced.items():
        assert max(min(table[name].versions), oldest) == max(since, oldest), name
