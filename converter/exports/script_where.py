"""A row filter in SQL as an expression of pandas, for scripts; see `converter.regression.where`."""

from __future__ import annotations

from typing import Any

from converter.errors import printable

_COMPARED = {"EQ": "==", "LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}
_CONTRARY = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def condition_in_pandas(text: str) -> str:
    """Return the source of a boolean Series of the rows of ``table`` that meet a condition.

    Numbers are read by ``number(table[..])``. What is missing meets no comparison and no
    contrary of one, as in SQL.

    Parameters
    ----------
    text : str
        A condition that `converter.regression.where.condition` has read.

    Raises
    ------
    ValueError
        If pandas would compare otherwise: words by their order, truth values.
    """
    from sqlglot import exp, parse_one

    return _Writer(text, exp).expression(parse_one(text, into=exp.Condition))


class _Writer:
    """Writes a parsed condition; NOT is taken to the comparisons."""

    def __init__(self, text: str, exp: Any) -> None:
        self.text, self.exp = text, exp

    def expression(self, node: Any, negated: bool = False) -> str:
        exp = self.exp
        if isinstance(node, exp.Paren):
            return self.expression(node.this, negated)
        if isinstance(node, exp.Not):
            return self.expression(node.this, not negated)
        if isinstance(node, (exp.And, exp.Or)):
            both = "&" if isinstance(node, exp.And) != negated else "|"
            left, right = (self.expression(one, negated) for one in (node.left, node.right))
            return f"({left} {both} {right})"
        if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
            return f"{self.raw(node.this)}.{'notna' if negated else 'isna'}()"
        if isinstance(node, exp.In):
            values = [self.value(one) for one in node.expressions]
            column = self.column(node.this, values)
            found = f"{column}.isin({values!r})"
            return f"({column}.notna() & ~{found})" if negated else found
        if isinstance(node, exp.Between):
            low, high = self.value(node.args["low"]), self.value(node.args["high"])
            self.ordered(low, high)
            column = self.column(node.this, [low, high])
            if negated:
                return f"(({column} < {low!r}) | ({column} > {high!r}))"
            return f"(({column} >= {low!r}) & ({column} <= {high!r}))"
        return self.comparison(node, negated)

    def comparison(self, node: Any, negated: bool) -> str:
        exp = self.exp
        sign = "!=" if isinstance(node, exp.NEQ) else _COMPARED.get(type(node).__name__)
        if sign is None:
            raise self.refusal("a column of truth values")
        left, right = node.left, node.right
        if not isinstance(left, exp.Column):
            left, right, sign = right, left, _TURNED.get(sign, sign)
        value = self.value(right)
        sign = _CONTRARY[sign] if negated else sign
        column = self.column(left, [value])
        if sign == "!=":
            return f"({column}.notna() & ({column} != {value!r}))"
        if sign != "==":
            self.ordered(value)
        return f"({column} {sign} {value!r})"

    def column(self, node: Any, values: list[Any]) -> str:
        words = [isinstance(one, str) for one in values]
        return self.raw(node) if all(words) else f"number({self.raw(node)})"

    @staticmethod
    def raw(node: Any) -> str:
        return f"table[{node.name!r}]"

    def value(self, node: Any) -> Any:
        exp = self.exp
        if isinstance(node, exp.Neg):
            return -self.value(node.this)
        if isinstance(node, exp.Boolean):
            raise self.refusal("truth values")
        if node.is_string:
            return node.this
        return float(node.this)

    def ordered(self, *values: Any) -> None:
        if any(isinstance(one, str) for one in values):
            raise self.refusal("words or dates by their order")

    def refusal(self, what: str) -> ValueError:
        return ValueError(
            f"script: where={printable(self.text)!r} compares {what}, which a table read by pandas "
            "need not hold in the same form; filter the rows before, or export as pickle"
        )
