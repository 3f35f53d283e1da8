"""Write the tables of operators from the registries: ONNX's into the README, others beside it.

Run ``python docs/operators.py`` after a change to the tables in converter/semantics.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from converter.semantics.keras import LAYERS
from converter.semantics.keras.ops import OPERATORS
from converter.semantics.keras.tensorflow import FUNCTIONS
from converter.semantics.onnx.operator import Operator
from converter.semantics.onnx.tables import DOMAINS
from converter.semantics.tensorflow import OPERATIONS

README = Path(__file__).parent.parent / "README.md"
OTHERS = Path(__file__).parent / "operations.md"
BEGIN, END = "<!-- operators: docs/operators.py -->\n", "<!-- end of operators -->\n"
_OLDEST = 7


def _accepted(operator: Operator) -> str:
    if operator.accepts:
        return operator.accepts
    if operator.random:
        return "never"
    if operator.refusal:
        return "all operands are constant"
    if operator.reads_shape:
        return "always: only the shape is read"
    if operator.moves:
        return "indices, shapes and axes are constant"
    return "one operand depends on the input, the others are constant"


def _refused(operator: Operator) -> str:
    if operator.refuses or operator.refusal:
        return operator.refuses or operator.refusal
    if operator.accepts.startswith("always") or operator.reads_shape:
        return "never"
    return "otherwise"


def rows() -> Iterator[str]:
    """Yield the table's lines; operators that are treated alike share one."""
    yield "| operators (first opset) | accepted when | refused when |"
    yield "| --- | --- | --- |"
    for domain, operators in DOMAINS.items():
        grouped: dict[tuple[str, str], list[str]] = {}
        for name in sorted(operators):
            operator = operators[name]
            since = min(operator.versions)
            shown = name if domain or since <= _OLDEST else f"{name} ({since})"
            key = (_accepted(operator), _refused(operator))
            grouped.setdefault(key, []).append(shown)
        for (accepted, refused), names in sorted(grouped.items(), key=lambda item: item[1]):
            prefix = f"{domain}: " if domain else ""
            yield f"| {prefix}{', '.join(names)} | {accepted} | {refused} |"


def current(text: str) -> str:
    """Return the README with the table as the registry has it now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n" + "\n".join(rows()) + f"\n\n{END}{after}"


def operations() -> str:
    """Return docs/operations.md: Keras' layers and operations, and TensorFlow's."""
    parts = [
        "# Layers and operations\n\nWritten by `python docs/operators.py` from the tables of the "
        "code. What is not listed is refused by name.\n",
        "Listed as accepted is what can be affine. Some of it is so with certain settings alone "
        "(ReLU and LeakyReLU with slope 1, PReLU with slopes 1, maximum pooling over windows of "
        "one element, SimpleRNN with a linear activation, Softmax at the very end), and is refused "
        "with others: [the manual](../README.md) has the conditions.\n",
    ]
    for title, table in (
        ("Layers of Keras", LAYERS),
        ("Operations of keras.ops, as Keras 3 records them", OPERATORS),
        ("Functions of TensorFlow, as Keras 2 records them", FUNCTIONS),
        ("Operations of TensorFlow's graphs (SavedModel)", OPERATIONS),
    ):
        accepted: dict[str, list[str]] = {}
        refused: dict[str, list[str]] = {}
        for name in sorted(table):
            one = table[name]
            if one.refusal:
                refused.setdefault(one.refusal, []).append(name)
            else:
                accepted.setdefault(getattr(one, "accepts", ""), []).append(name)
        parts.append(f"\n## {title}\n\n| | |\n| --- | --- |\n")
        for when, names in sorted(accepted.items()):
            shown = when or "one operand depends on the input, the others are constant"
            parts.append(f"| accepted where {shown} | {', '.join(names)} |\n")
        for reason, names in sorted(refused.items(), key=lambda item: item[1]):
            parts.append(f"| refused: {reason} | {', '.join(names)} |\n")
    return "".join(parts)


if __name__ == "__main__":
    README.write_text(current(README.read_text()))
    OTHERS.write_text(operations())
