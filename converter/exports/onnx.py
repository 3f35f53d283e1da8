"""The smallest ONNX network that computes what a model does: Gemm, and its link."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

import converter
from converter.exports.layout import Output, fresh, outputs_of, refuse_categories, rounded
from converter.formats.onnx import LOSS
from converter.model import AffineModel

#: Any runtime of the last years reads these.
OPSET, IR_VERSION = 17, 8
_HALF_ROOT = 1.0 / math.sqrt(2.0)


def onnx(model: AffineModel, *, float32: bool = False) -> bytes:
    """Return the file.

    Inputs keep the model's names and shapes, with a free leading axis; several are put side by
    side. Names, link and loss are in its ``metadata_props``, as JSON.

    Parameters
    ----------
    model : AffineModel
    float32 : bool
        Single precision; else double, in which the coefficients are exact.

    Raises
    ------
    ValueError
        If an input is a category, a coefficient overflows in single precision, or a normal
        distribution function is wanted in double precision.
    """
    refuse_categories(
        model,
        "onnx",
        "which ONNX looks up in tables that no reader takes for a regression: export it as sql or "
        "pmml",
    )
    if model.link == "probit" and not float32:
        raise ValueError(
            "onnx: the model ends in the link 'probit', whose Erf onnxruntime computes in single "
            "precision alone: export it with float32=True (--float32)"
        )
    from onnx import checker

    made = _Graph(model, float32).build()
    checker.check_model(made)
    return bytes(made.SerializeToString())


class _Graph:
    """A graph as it grows."""

    def __init__(self, model: AffineModel, float32: bool) -> None:
        from onnx import TensorProto, helper, numpy_helper

        self.model, self.helper, self.numpy_helper = model, helper, numpy_helper
        self.dtype: Any = np.float32 if float32 else np.float64
        self.element = TensorProto.FLOAT if float32 else TensorProto.DOUBLE
        self.coef, self.intercept = rounded(model, float32)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.outputs = outputs_of(model)
        # Names of inputs are the features'; an output of the same name steps back.
        self.taken = {name for name, _ in model.inputs}
        self.names = [fresh(one.name or "output", self.taken) for one in self.outputs]

    def node(self, operation: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        output = output or fresh(operation.lower(), self.taken)
        name = f"{operation.lower()}_{len(self.nodes)}"
        self.nodes.append(
            self.helper.make_node(operation, inputs, [output], name=name, **attributes)
        )
        return output

    def constant(self, values: Any, name: str, dtype: Any = None) -> str:
        name = fresh(name, self.taken)
        array = np.asarray(values, dtype=self.dtype if dtype is None else dtype)
        self.constants.append(self.numpy_helper.from_array(array, name))
        return name

    def model_inputs(self) -> str:
        """Return the edge that carries all inputs side by side, shape (n, terms)."""
        flat = []
        for name, shape in self.model.inputs:
            if len(shape) == 1:
                flat.append(name)
            elif shape:
                flat.append(self.node("Flatten", [name], axis=1))
            else:
                column = self.constant([-1, 1], "column", np.int64)
                flat.append(self.node("Reshape", [name, column]))
        return flat[0] if len(flat) == 1 else self.node("Concat", flat, axis=1)

    def eta(self, x: str, output: Output) -> str:
        """Return the linear predictor of an output, shape (n, k)."""
        edges = []
        for part in output.parts:
            rows = output.rows[part]
            inputs = [x, self.constant(self.coef[rows], "coef")]
            if self.model.has_intercept[rows[0]]:
                inputs.append(self.constant(self.intercept[rows], "intercept"))
            edges.append(self.node("Gemm", inputs, transB=1))
        return self.joined(edges, output.parts)

    def joined(self, edges: list[str], places: list[np.ndarray]) -> str:
        """Put columns side by side, each at its place."""
        if len(edges) == 1:
            return edges[0]
        edge = self.node("Concat", edges, axis=1)
        order = np.argsort(np.concatenate(places))
        if (order == np.arange(len(order))).all():
            return edge
        return self.node("Gather", [edge, self.constant(order, "order", np.int64)], axis=1)

    def linked(self, eta: str, output: Output) -> str:
        """Return what the link makes of a linear predictor, shape (n, k)."""
        link = self.model.link
        if link == "identity":
            return eta
        if link == "logit":
            return self.node("Sigmoid", [eta])
        if link == "log":
            return self.node("Exp", [eta])
        if link == "softmax":
            return self.softmax(eta, output)
        one = self.constant(1.0, "one")
        if link == "cloglog":
            survival = self.node("Exp", [self.node("Neg", [self.node("Exp", [eta])])])
            return self.node("Sub", [one, survival])
        assert link == "probit"
        scaled = self.node("Mul", [eta, self.constant(_HALF_ROOT, "half_root")])
        total = self.node("Add", [self.node("Erf", [scaled]), one])
        return self.node("Mul", [total, self.constant(0.5, "half")])

    def softmax(self, eta: str, output: Output) -> str:
        if output.one_softmax:
            return self.node("Softmax", [eta], axis=1)
        edges = []
        for group in output.groups:
            places = self.constant(group, "group", np.int64)
            edges.append(self.node("Softmax", [self.node("Gather", [eta, places], axis=1)], axis=1))
        return self.joined(edges, output.groups)

    def model_outputs(self, x: str) -> list[Any]:
        found = []
        for output, name in zip(self.outputs, self.names, strict=True):
            edge = self.linked(self.eta(x, output), output)
            if len(output.shape) > 1:
                shape = self.constant([-1, *output.shape], "shape", np.int64)
                edge = self.node("Reshape", [edge, shape])
            self.nodes[-1].output[0] = name  # the last one's: no other node reads it
            found.append(
                self.helper.make_tensor_value_info(name, self.element, ["n", *output.shape])
            )
        return found

    def loss(self) -> dict[str, str]:
        """Return the training loss as `converter.formats.onnx` reads it, where it is known."""
        loss = self.model.loss
        if loss is None:
            return {}
        return {LOSS: json.dumps({"name": str(loss), "settings": loss.settings})}

    def build(self) -> Any:
        helper, model = self.helper, self.model
        inputs = [
            helper.make_tensor_value_info(name, self.element, ["n", *shape])
            for name, shape in model.inputs
        ]
        outputs = self.model_outputs(self.model_inputs())
        graph = helper.make_graph(
            self.nodes, "regression", inputs, outputs, initializer=self.constants
        )
        made = helper.make_model(
            graph,
            producer_name="converter",
            producer_version=converter.__version__,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        helper.set_model_props(
            made,
            {
                "feature_names": json.dumps(model.feature_names),
                "output_names": json.dumps(model.output_names),
                "link": model.link,
                "family": model.family,
                "loss": "" if model.loss is None else model.loss.describe(),
                "precision": np.dtype(self.dtype).name,
            }
            | self.loss(),
        )
        return made
