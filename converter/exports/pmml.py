"""A model as PMML 4.4, the Data Mining Group's XML: a RegressionModel.

Specification: https://dmg.org/pmml/v4-4-1/Regression.html and its neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

import converter
from converter.exports.layout import base_of, fresh, one_regression
from converter.exports.lookups import Lookup, parts_of
from converter.exports.response import on_response
from converter.model import AffineModel

_NAMESPACE = "http://www.dmg.org/PMML-4_4"
_METHODS = {
    "identity": "none",
    "logit": "logit",
    "softmax": "softmax",
    "log": "exp",
    "probit": "probit",
    "cloglog": "cloglog",
}
# Characters that XML 1.0 has no way to write (section 2.2).
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def pmml(model: AffineModel, *, classes: Sequence[Any] = ()) -> bytes:
    """Return the document.

    Behind a sigmoid, softmax, probit or cloglog, which may be left to the loss, it is a
    classification (of 0 and 1, or of what the outputs' names call the classes), else a
    regression. Missing values and levels that the network does not know are invalid.

    Parameters
    ----------
    model : AffineModel
    classes : sequence, optional
        Labels of the classes.

    Raises
    ------
    ValueError
        If the model has several outputs that are no softmax, a category cannot be told by
        comparisons, or a name holds characters that XML cannot.
    """
    model, named = one_regression(on_response(model), "pmml", classes)
    document = _Document(model, tuple(map(str, named)))
    root = document.build()
    for element in root.iter():
        for text in (*element.attrib.values(), element.text or ""):
            if _UNWRITABLE.search(text):
                raise ValueError(f"pmml: {text!r} holds a character that XML cannot")
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, "utf-8", xml_declaration=True)) + b"\n"


class _Document:
    """A document as it grows."""

    def __init__(self, model: AffineModel, classes: tuple[str, ...]) -> None:
        self.model, self.classes = model, classes
        self.numbers, self.lookups = parts_of(model, "pmml")
        self.taken = set(model.columns)
        name = model.output_names[0]
        self.target = fresh(base_of(name) if len(model.coef) > 1 else name, self.taken)

    def build(self) -> Element:
        root = Element("PMML", {"xmlns": _NAMESPACE, "version": "4.4"})
        header = SubElement(root, "Header", {"description": f"link {self.model.link}"})
        SubElement(header, "Application", {"name": "converter", "version": converter.__version__})
        self.dictionary(SubElement(root, "DataDictionary"))
        kind = "classification" if self.classes else "regression"
        own = SubElement(
            root,
            "RegressionModel",
            {"functionName": kind, "normalizationMethod": _METHODS[self.model.link]},
        )
        schema = SubElement(own, "MiningSchema")
        SubElement(schema, "MiningField", {"name": self.target, "usageType": "target"})
        strict = {"invalidValueTreatment": "returnInvalid"}
        strict["missingValueTreatment"] = "returnInvalid"
        for name in self.model.columns:
            SubElement(schema, "MiningField", {"name": name} | strict)
        if self.classes:
            self.output(SubElement(own, "Output"))
        derived = Element("LocalTransformations")
        fields = {one.column: self.derive(derived, one) for one in self.lookups}
        if len(derived):
            own.append(derived)
        self.tables(own, fields)
        return root

    def dictionary(self, parent: Element) -> None:
        categorical = {"optype": "categorical", "dataType": "string"}
        continuous = {"optype": "continuous", "dataType": "double"}
        target = {"name": self.target} | (categorical if self.classes else continuous)
        field = SubElement(parent, "DataField", target)
        for value in self.classes:
            SubElement(field, "Value", {"value": value})
        lookups = {one.column: one for one in self.lookups}
        for name in self.model.columns:
            one = lookups.get(name)
            if one is None or one.below:
                SubElement(parent, "DataField", {"name": name} | continuous)
                continue
            kind = {"dataType": "string" if one.text else "integer"}
            # Of any whole number, or any word, there is no list.
            optype = "categorical" if one.other is None or one.text else "continuous"
            field = SubElement(parent, "DataField", {"name": name, "optype": optype} | kind)
            if one.other is None:
                for known, _ in one.equal:
                    SubElement(field, "Value", {"value": str(known)})
            elif one.limits is not None:
                low, high = map(str, one.limits)
                margins = {"leftMargin": low, "rightMargin": high}
                SubElement(field, "Interval", {"closure": "closedClosed"} | margins)

    def output(self, parent: Element) -> None:
        """List the predicted class, and the probability of each."""
        taken = set(self.taken)
        for value in (None, *self.classes):
            name = "predicted" if value is None else f"probability({value})"
            feature = {"feature": "predictedValue", "dataType": "string", "optype": "categorical"}
            if value is not None:
                feature = {"feature": "probability", "value": value}
                feature |= {"dataType": "double", "optype": "continuous"}
            SubElement(parent, "OutputField", {"name": fresh(name, taken)} | feature)

    def derive(self, parent: Element, one: Lookup) -> str:
        """Return the field that holds a category's level, derived where the table's does not."""
        if not one.below and one.other is None:
            return one.column
        name = fresh(f"level of {one.column}", self.taken)
        field = SubElement(
            parent,
            "DerivedField",
            {"name": name, "optype": "categorical", "dataType": "string"},
        )
        if one.below:
            bins = SubElement(field, "Discretize", {"field": one.column})
            low, left = None, ""
            for bound, included, at in one.below:
                into = SubElement(bins, "DiscretizeBin", {"binValue": str(at)})
                margins = {} if low is None else {"leftMargin": repr(low)}
                if np.isfinite(bound):
                    margins["rightMargin"] = repr(bound)
                right = "Closed" if included and np.isfinite(bound) else "Open"
                SubElement(into, "Interval", {"closure": f"{left or 'open'}{right}"} | margins)
                low, left = bound, "open" if included else "closed"
            return name
        # Its parent's are words, its own are the columns of coefficients.
        table = SubElement(
            field,
            "MapValues",
            {"outputColumn": "level", "defaultValue": str(one.other), "dataType": "string"},
        )
        SubElement(table, "FieldColumnPair", {"field": one.column, "column": "value"})
        inline = SubElement(table, "InlineTable")
        for value, at in one.equal:
            row = SubElement(inline, "row")
            SubElement(row, "value").text = str(value)
            SubElement(row, "level").text = str(at)
        return name

    def tables(self, parent: Element, fields: Mapping[str, str]) -> None:
        """Write the coefficients, a table for each linear predictor."""
        model = self.model
        names: list[str | None] = list(self.classes) or [None]
        if self.classes and len(model.coef) == 1:
            names = names[::-1]  # the class that the output is the probability of comes first
        for row, value in enumerate(names):
            own = SubElement(parent, "RegressionTable")
            if value is not None:
                own.set("targetCategory", value)
            if row >= len(model.coef):  # what is left to one
                own.set("intercept", "0.0")
                continue
            own.set("intercept", repr(float(model.intercept[row])))
            for name, at in self.numbers:
                self.number(own, name, model.coef[row, at])
            for one in self.lookups:
                self.levels(own, one, fields[one.column], model.coef[row])

    @staticmethod
    def number(parent: Element, name: str, value: float) -> None:
        coefficient = {"coefficient": repr(float(value))}
        SubElement(parent, "NumericPredictor", {"name": name} | coefficient)

    @staticmethod
    def levels(parent: Element, one: Lookup, field: str, coef: np.ndarray) -> None:
        known = [(str(at), at) for _, at in one.equal] + [(str(at), at) for *_, at in one.below]
        if field == one.column:
            known = [(str(value), at) for value, at in one.equal]
        if one.other is not None:
            known.append((str(one.other), one.other))
        for value, at in known:
            SubElement(
                parent,
                "CategoricalPredictor",
                {"name": field, "value": value, "coefficient": repr(float(coef[at]))},
            )
