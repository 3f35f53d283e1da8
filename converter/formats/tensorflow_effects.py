"""Which variables the functions of a SavedModel may change when they are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from converter.errors import ModelFileError
from converter.formats.tensorflow_values import attributes

#: How deep calls may be nested.
MAX_DEPTH = 64
#: Operations that call a function.
CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
#: Operations that run one of two functions, and the attributes that name these.
BRANCHES = frozenset({"If", "StatelessIf"})
BRANCH_NAMES = ("then_branch", "else_branch")
#: Operations that run a function as long as another says so.
LOOPS = frozenset({"While", "StatelessWhile"})
LOOP_NAMES = ("cond", "body")
# Operations that leave a variable as it is.
_READS = frozenset(
    {
        *("ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape"),
        *("VarIsInitializedOp", "DisableCopyOnRead"),
    }
)


class Effects:
    """What functions do to the variables that they are given.

    Parameters
    ----------
    functions : mapping of str to dict
        FunctionDef messages by name.
    """

    def __init__(self, functions: Mapping[str, dict[str, Any]]) -> None:
        self.functions = functions
        self._changed: dict[str, frozenset[int]] = {}

    def changes(self, name: str, path: tuple[str, ...] = ()) -> frozenset[int]:
        """Return the arguments of a function that it may change, if they are variables.

        Whatever is not known to leave a variable as it is may change it.
        """
        if name in self._changed:
            return self._changed[name]
        if name in path or len(path) > MAX_DEPTH:
            raise ModelFileError("calls functions nested too deeply, or a function calls itself")
        function = self.functions.get(name, {})
        readers: dict[str, list[tuple[dict[str, Any], int]]] = {}
        for node in function.get("node", ()):
            given = [one for one in node.get("input", ()) if not one.startswith("^")]
            for place, one in enumerate(given):
                readers.setdefault(one, []).append((node, place))
        found: set[int] = set()
        for formal, one in enumerate(function.get("signature", {}).get("input_arg", ())):
            stack, seen = [one.get("name", "")], set()
            while stack:
                reference = stack.pop()
                if reference in seen:
                    continue
                seen.add(reference)
                for node, place in readers.get(reference, ()):
                    operation = node.get("op", "")
                    if operation == "Identity":
                        stack.append(f"{node.get('name', '')}:output:0")
                    elif operation in CALLS:
                        inner = attributes(node).get("f")
                        if place in self.changes(str(inner), (*path, name)):
                            found.add(formal)
                    elif operation in BRANCHES:
                        told = attributes(node)
                        for inner in (told.get(key) for key in BRANCH_NAMES):
                            if place - 1 in self.changes(str(inner), (*path, name)):
                                found.add(formal)
                    elif operation in LOOPS:
                        told = attributes(node)
                        if not self._hands_on(str(told.get("body")), place):
                            found.add(formal)
                        for inner in (told.get(key) for key in LOOP_NAMES):
                            if place in self.changes(str(inner), (*path, name)):
                                found.add(formal)
                    elif operation not in _READS:
                        found.add(formal)
        self._changed[name] = frozenset(found)
        return self._changed[name]

    def _hands_on(self, name: str, place: int) -> bool:
        """Tell whether a function returns one of its arguments in the argument's own place."""
        function = self.functions.get(name, {})
        signature = function.get("signature", {})
        formal, results = signature.get("input_arg", ()), signature.get("output_arg", ())
        if place >= min(len(formal), len(results)):
            return False
        returns = {one.get("key", ""): one.get("value", "") for one in function.get("ret", ())}
        reference = returns.get(results[place].get("name", ""), "")
        nodes = {f"{one.get('name', '')}:output:0": one for one in function.get("node", ())}
        seen = set()
        while reference in nodes and nodes[reference].get("op") == "Identity":
            if reference in seen:
                return False
            seen.add(reference)
            reference = next(iter(nodes[reference].get("input", ())), "")
        return bool(reference == formal[place].get("name", ""))
