"""The order in which Keras has the layers of a Functional model, and numbers their weights."""

from __future__ import annotations

from converter.formats.keras_config import Model

_Node = tuple[str, int]


def keras_order(model: Model) -> list[str]:
    """Return the names of the layers on the way to the outputs, in Keras' order.

    By depth, which is how many operations there are from a layer to an output at most, the deepest
    first; of one depth as they are met from the outputs backwards.

    Source: keras.src.ops.function, `map_graph`; the same in Keras 2 (engine.functional).

    Parameters
    ----------
    model : Model
        Functional, without cycles.
    """
    reads = {
        (layer.name, place): [(ref.layer, ref.call) for ref in call.tensors()]
        for layer in model.layers
        for place, call in enumerate(layer.calls)
    }
    inputs = {(ref.layer, ref.call) for ref in model.inputs}
    met: dict[str, int] = {}
    finished: dict[_Node, None] = {}
    for output in model.outputs:
        stack: list[tuple[_Node, int]] = [((output.layer, output.call), 0)]
        while stack:
            node, next_ = stack.pop()
            if node in finished:
                continue
            met.setdefault(node[0], len(met))
            before = [] if node in inputs else reads.get(node, [])
            if next_ < len(before):
                stack += [(node, next_ + 1), (before[next_], 0)]
            else:
                finished[node] = None
    depths: dict[_Node, int] = {}
    deepest: dict[str, int] = {}
    for node in reversed(finished):
        depth = max(depths.get(node, 0), deepest.get(node[0], 0))
        depths[node] = deepest[node[0]] = depth
        for one in [] if node in inputs else reads.get(node, []):
            depths[one] = max(depths.get(one, 0), depth + 1)
    return sorted(deepest, key=lambda name: (-deepest[name], met[name]))
