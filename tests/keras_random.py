"""Random functional Keras networks, drawn layer by layer."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from hypothesis import strategies as st
from keras import layers, ops

SHAPES = ((3,), (4,), (3, 4), (4, 2), (2, 2), (4, 3, 2), (2, 3, 2))
LARGEST = 72


@dataclass(frozen=True)
class Value:
    """A tensor; `clean` if it is affine in the inputs, or in their indicators, by its making."""

    tensor: Any
    clean: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape[1:])

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass
class Builder:
    """What was drawn so far.

    Choices come from a generator of numbers: of one seed, fewer steps make the beginning of the
    same network, which is all that shrinking needs, and no choice is more frequent than others.
    """

    rng: np.random.Generator
    inputs: list = field(default_factory=list)
    codes: list = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    #: Layers and the shape that each was made for, to be called again.
    made: list[tuple[Any, tuple[int, ...]]] = field(default_factory=list)

    def of(self, options: Sequence) -> Any:
        return options[self.rng.integers(len(options))]

    def yes(self) -> bool:
        return bool(self.rng.integers(2))

    def one(self, *ranks: int) -> Value | None:
        """Draw one of the latest values, of one of the ranks."""
        fits = [v for v in self.values if not ranks or v.rank in ranks]
        return self.of(fits[-4:]) if fits else None

    def alike(self, number: int = 2) -> list[Value] | None:
        first = self.one()
        fits = [v for v in self.values if v.shape == first.shape and v is not first]
        return [first, *(self.of(fits) for _ in range(number - 1))] if fits else None

    def put(self, tensor, *used: Value, clean: bool = True) -> None:
        value = Value(tensor, clean and all(one.clean for one in used))
        if 0 < value.size <= LARGEST:
            self.values.append(value)

    def call(self, layer, value: Value, clean: bool = True, **settings) -> None:
        self.put(layer(value.tensor, **settings), value, clean=clean)
        if clean and not settings:
            self.made.append((layer, value.shape))

    def weight(self, *shape: int) -> np.ndarray:
        return self.rng.uniform(0.3, 0.9, shape) * self.rng.choice([-1.0, 1.0], shape)

    def constant(self, shape: tuple[int, ...]) -> Any:
        """Draw a number, or numbers that broadcast against a shape behind the rows."""
        kind = self.of(("number", "last", "all", "rows"))
        if kind == "number" or not shape:
            return float(self.weight())
        if kind == "rows":
            return self.weight(1, *shape)
        return self.weight(*(shape[-1:] if kind == "last" else shape))


# Affine operations.


def dense(b):
    v = b.one()
    b.call(layers.Dense(b.of((1, 2, 3)), use_bias=b.yes()), v)


def einsum_dense(b):
    if v := b.one(2):
        equation, shape = b.of((("abc,cd->abd", (v.shape[0], 2)), ("abc,bd->acd", (v.shape[1], 3))))
        bias = b.of((None, "d"))
        b.call(layers.EinsumDense(equation, output_shape=shape, bias_axes=bias), v)


def convolution_1d(b):
    if v := b.one(2):
        kind = b.of((layers.Conv1D, layers.SeparableConv1D, layers.Conv1DTranspose))
        more = {"dilation_rate": b.of((1, 2))} if kind is layers.Conv1D else {}
        more |= {"strides": b.of((1, 2))} if more.get("dilation_rate", 1) == 1 else {}
        padding = b.of(("same", "causal") if kind is layers.Conv1D else ("same",))
        b.call(kind(b.of((1, 2)), b.of((1, 2, 3)), padding=padding, **more), v)


def convolution_2d(b):
    if v := b.one(3):
        kind = b.of((layers.Conv2D, layers.DepthwiseConv2D, layers.Conv2DTranspose))
        number = () if kind is layers.DepthwiseConv2D else (b.of((1, 2)),)
        padding = b.of(("same", "valid")) if min(v.shape[:-1]) > 1 else "same"
        b.call(kind(*number, b.of((1, 2)), padding=padding, strides=b.of((1, 2))), v)


def pooling(b):
    v = b.one(2, 3)
    if not v:
        return
    padding = b.of(("same", "valid")) if min(v.shape[:-1]) > 1 else "same"
    if v.rank == 2:
        pooled = (
            layers.AveragePooling1D(2, b.of((1, 2)), padding=padding),
            layers.GlobalAveragePooling1D(keepdims=b.yes()),
        )
        b.call(b.of(pooled), v)
    else:
        pooled = (
            layers.AveragePooling2D(2, b.of((1, 2)), padding=padding),
            layers.GlobalAveragePooling2D(keepdims=b.yes()),
        )
        b.call(b.of(pooled), v)


def batch_normalisation(b):
    v = b.one()
    axis = b.of(range(1, v.rank + 1)) if b.yes() else -1
    b.call(layers.BatchNormalization(axis=axis, scale=b.yes(), center=b.yes()), v)


def normalisation(b):
    v = b.one()
    mean, variance = b.weight(v.shape[-1]), abs(b.weight(v.shape[-1]))
    b.call(layers.Normalization(mean=mean, variance=variance, invert=b.yes()), v)


def rescaling(b):
    # Keras holds both in single precision first, whatever the layer computes in.
    scale, offset = (float(np.float32(b.weight())) for _ in range(2))
    b.call(layers.Rescaling(scale, offset=offset), b.one())


def reshape(b):
    v = b.one()
    shapes = [(v.size,), (-1, v.shape[-1]), (1, -1)]
    shapes += [(2, v.size // 2), (-1, 2)] if v.size % 2 == 0 else []
    shapes += [(2, -1, 2)] if v.size % 4 == 0 else []
    shape = b.of(shapes)
    if b.yes():
        b.call(layers.Reshape(shape), v)
    else:
        b.put(
            ops.reshape(
                v.tensor, (-1, *[v.size // -math.prod(shape) if s < 0 else s for s in shape])
            ),
            v,
        )


def permute(b):
    if v := b.one(2, 3):
        order = [int(axis) for axis in b.rng.permutation(v.rank) + 1]
        if b.yes():
            b.call(layers.Permute(order), v)
        else:
            b.put(ops.transpose(v.tensor, (0, *order)), v)


def flatten(b):
    b.call(layers.Flatten(), b.one())


def repeat(b):
    if v := b.one(1):
        b.call(layers.RepeatVector(2), v)


def merged(b):
    if pair := b.alike(b.of((2, 2, 3))):
        name = b.of(("Add", "Average", "Concatenate", "Subtract"))
        pair = pair[:2] if name == "Subtract" else pair
        layer = getattr(layers, name)
        axis = {"axis": b.of(range(1, pair[0].rank + 1))} if name == "Concatenate" else {}
        b.put(layer(**axis)([one.tensor for one in pair]), *pair)


def arithmetic(b):
    v = b.one()
    c = b.constant(v.shape)
    x = v.tensor
    kinds = (
        lambda: x + c,
        lambda: ops.add(c, x),
        lambda: x - c,
        lambda: ops.subtract(c, x),
        lambda: x * c,
        lambda: x / c,
        lambda: -x,
        lambda: ops.multiply(c, x),
    )
    b.put(b.of(kinds)(), v)


def arithmetic_of_two(b):
    if pair := b.alike():
        x, y = (one.tensor for one in pair)
        joined = b.of(("+", "-", "add", "subtract", "stack", "where", "concatenate"))
        if joined == "where":
            mask = b.rng.integers(0, 2, pair[0].shape).astype(bool)
            b.put(ops.where(mask, x, y), *pair)
        elif joined in ("stack", "concatenate"):
            b.put(getattr(ops, joined)([x, y], axis=b.of((1, -1))), *pair)
        else:
            table = {"+": x.__add__, "-": x.__sub__}
            function = table.get(joined)
            b.put(function(y) if function else getattr(ops, joined)(x, y), *pair)


def multiplied_by_constant(b):
    v = b.one()
    if b.yes():
        b.put(layers.Multiply()([v.tensor, ops.convert_to_tensor(b.weight(1, *v.shape))]), v)
    else:
        b.put(layers.Multiply()([v.tensor, ops.ones_like(v.tensor)]), v)


def sliced(b):
    v = b.one()
    x, n = v.tensor, v.shape[0]
    places = [np.s_[:, ::-1], np.s_[..., :1], np.s_[:, None]]
    places += [np.s_[:, 1:], np.s_[:, : n - 1]] if n > 1 else []
    places += [np.s_[:, -1], np.s_[:, 0]] if v.rank > 1 else []
    b.put(x[b.of(places)], v)


def reduced(b):
    v = b.one()
    axis = b.of((1, -1, tuple(range(1, v.rank + 1))))
    keep = v.rank == 1 or axis not in (1, -1) or b.yes()
    function = b.of((ops.sum, ops.mean))
    b.put(function(v.tensor, axis=axis, keepdims=keep), v)


def moved(b):
    v = b.one()
    x = v.tensor
    indices = b.rng.integers(0, v.shape[-1], 3)
    kinds = (
        lambda: ops.flip(x, axis=-1),
        lambda: ops.roll(x, 1, axis=1),
        lambda: ops.repeat(x, 2, axis=1),
        lambda: ops.cumsum(x, axis=-1),
        lambda: ops.expand_dims(x, 1),
        lambda: ops.take(x, indices, axis=-1),
        lambda: ops.split(x, [1], axis=-1)[0] if v.shape[-1] > 1 else x,
        lambda: ops.concatenate([x, x], axis=-1),
    )
    b.put(b.of(kinds)(), v)


def matrix_product(b):
    v = b.one()
    x, last = v.tensor, v.shape[-1]
    if v.rank == 2 and b.yes():
        b.put(ops.matmul(b.weight(2, v.shape[0]), x), v)
    elif b.yes():
        b.put(ops.matmul(x, b.weight(last, 2)), v)
    else:
        b.put(ops.einsum("...i,ij->...j", x, b.weight(last, 2)), v)


def padded(b):
    v = b.one(2, 3)
    if v:
        layer = layers.ZeroPadding1D if v.rank == 2 else layers.ZeroPadding2D
        b.call(layer(b.of((1, (0, 1)))), v)


def cropped(b):
    v = b.one(2, 3)
    if v and min(v.shape[:-1]) > 1:
        layer = layers.Cropping1D((1, 0)) if v.rank == 2 else layers.Cropping2D(((0, 1), (1, 0)))
        b.call(layer, v)


def enlarged(b):
    v = b.one(2, 3)
    if v and v.rank == 2:
        b.call(layers.UpSampling1D(2), v)
    elif v:
        b.call(layers.UpSampling2D((2, 1)), v)


def training_only(b):
    kinds = (layers.Dropout(0.3), layers.GaussianNoise(0.1), layers.Identity())
    b.call(b.of((*kinds, layers.Activation("linear"), layers.ActivityRegularization(0.1))), b.one())


def time_distributed(b):
    if v := b.one(2, 3):
        inner = (layers.Dense(2), layers.Flatten(), layers.BatchNormalization())
        if v.rank == 3:
            inner += (layers.Conv1D(2, 2, padding="same"), layers.GlobalAveragePooling1D())
        b.call(layers.TimeDistributed(b.of(inner)), v)


def recurrent(b):
    if v := b.one(2):
        both = b.yes()
        settings = {"return_sequences": b.yes(), "use_bias": b.yes()}
        settings["go_backwards"] = b.yes() and not both
        layer = layers.SimpleRNN(2, activation=b.of(("linear", None)), **settings)
        if both:
            mode = b.of(("concat", "sum", "ave"))
            layer = layers.Bidirectional(layer, merge_mode=mode)
        b.call(layer, v)


def _inner(b, shape):
    x = keras.Input(shape)
    y = layers.Dense(b.of((1, 2)))(x)
    if b.yes():
        y = layers.Concatenate()([layers.BatchNormalization()(y), x * 2.0])
    if b.yes():
        y = layers.Flatten()(y)
    return keras.Model(x, y)


def nested(b):
    v = b.one()
    if b.yes():
        parts = [layers.Dense(2), layers.BatchNormalization()]
        model = keras.Sequential([keras.Input(v.shape), *parts])
        if b.yes():
            model = keras.Sequential([model, layers.Dense(2)])
    else:
        model = _inner(b, v.shape)
    b.call(model, v)


def nested_with_two_inputs(b):
    if pair := b.alike():
        x, y = (keras.Input(one.shape) for one in pair)
        model = keras.Model([x, y], [layers.Subtract()([x, layers.Dense(1)(y)]), x + y])
        for tensor in model([one.tensor for one in pair]):
            b.put(tensor, *pair)
        if b.yes():
            for tensor in model([pair[1].tensor, pair[0].tensor]):
                b.put(tensor, *pair)


def again(b):
    """Call a layer or a nested model a second time."""
    v = b.one()
    fits = [layer for layer, shape in b.made if shape == v.shape]
    if fits:
        b.put(b.of(fits)(v.tensor), v)


def embedded(b):
    if b.codes:
        size = b.of((2, 3))
        b.put(layers.Embedding(4, size)(b.of(b.codes)))


def encoded(b):
    if b.codes:
        tensor = b.of(b.codes)
        b.put(layers.CategoryEncoding(4, output_mode="one_hot")(tensor))


AFFINE = [
    *(dense, dense, einsum_dense, convolution_1d, convolution_2d, pooling, batch_normalisation),
    *(normalisation, rescaling, reshape, permute, flatten, repeat, merged, merged, arithmetic),
    *(arithmetic_of_two, arithmetic_of_two, multiplied_by_constant, sliced, reduced, moved),
    *(matrix_product, padded, cropped, enlarged, training_only, time_distributed, recurrent),
    *(nested, nested, nested_with_two_inputs, again, again, embedded, embedded, encoded),
]

# Others.


def activated(b):
    names = (
        "relu",
        "tanh",
        "sigmoid",
        "softplus",
        "elu",
        "gelu",
        "silu",
        "leaky_relu",
        "exponential",
    )
    name = b.of(names)
    v = b.one()
    if b.yes():
        b.put(layers.Activation(name)(v.tensor), v, clean=False)
    else:
        b.put(layers.Dense(2, activation=name)(v.tensor), v, clean=False)


def function(b):
    names = ("abs", "square", "exp", "sin", "relu", "sign", "round", "sigmoid", "softplus")
    v = b.one()
    b.put(getattr(ops, b.of(names))(v.tensor), v, clean=False)


def product(b):
    if pair := b.alike():
        x, y = (one.tensor for one in pair)
        kind = b.of(("*", "Multiply", "Maximum", "Minimum", "maximum", "dot"))
        if kind in ("*", "dot"):
            b.put(x * y if kind == "*" else layers.Dot(axes=-1)([x, y]), *pair, clean=False)
        elif kind == "maximum":
            b.put(ops.maximum(x, y), *pair, clean=False)
        else:
            b.put(getattr(layers, kind)()([x, y]), *pair, clean=False)


def maximal(b):
    v = b.one(2, 3)
    if v and v.rank == 2:
        b.put(layers.MaxPooling1D(2, padding="same")(v.tensor), v, clean=False)
    elif v:
        b.put(layers.GlobalMaxPooling2D()(v.tensor), v, clean=False)


def normalised(b):
    v = b.one()
    if v.shape[-1] > 1:
        kind = b.of((layers.LayerNormalization, layers.UnitNormalization, layers.Softmax))
        b.put(kind()(v.tensor), v, clean=False)


OTHER = [activated, activated, function, product, maximal, normalised]

#: Final links.
ENDS = ("sigmoid", "softmax", "exponential", "none", "none", "none")


def _ended(b, tensor) -> tuple[Any, str]:
    end = b.of(ENDS)
    if end == "none" or (end == "softmax" and tensor.shape[-1] < 2):
        return tensor, "none"
    if b.yes():
        return layers.Activation(end)(tensor), end
    functions = {"sigmoid": ops.sigmoid, "softmax": ops.softmax, "exponential": ops.exp}
    return functions[end](tensor), end


@dataclass
class Case:
    """A network, and the same without what stands at the ends of its outputs."""

    model: keras.Model
    before: keras.Model
    clean: list[bool]
    ends: list[str]
    codes: list[bool]
    suffix: str


def _randomise(model: keras.Model, rng: np.random.Generator) -> None:
    for variable in model.variables:
        if "seed" in variable.path or "count" in variable.path:
            continue
        values = rng.uniform(0.3, 0.9, variable.shape)
        if "variance" not in variable.path:
            values *= rng.choice([-1.0, 1.0], variable.shape)
        variable.assign(values)


@st.composite
def cases(draw) -> Case:
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    keras.backend.clear_session()
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    b = Builder(rng)
    for _ in range(b.of((1, 1, 2, 3))):
        tensor = keras.Input(b.of(SHAPES))
        b.inputs.append(tensor)
        b.values.append(Value(tensor))
    if b.of((False, False, True)):
        b.codes.append(keras.Input((b.of((1, 2, 3)),), dtype="int32"))
    for _ in range(draw(st.integers(1, 14))):
        # One operation in eight spoils whatever it touches.
        kind = OTHER if b.rng.integers(8) == 0 else AFFINE
        # Keras itself fails to multiply a tensor that it takes for sparse by a constant.
        with contextlib.suppress(AttributeError):
            b.of(kind)(b)
    values = b.values[-b.of((1, 2, 3, 4)) :]
    before = [value.tensor for value in values]
    outputs, ends = zip(*[_ended(b, tensor) for tensor in before], strict=True)
    inputs = b.inputs + b.codes
    alone = len(outputs) == 1 and b.yes()
    model = keras.Model(inputs, outputs[0] if alone else list(outputs))
    _randomise(model, rng)
    return Case(
        model,
        keras.Model(inputs, before),
        [value.clean for value in values],
        list(ends),
        [False] * len(b.inputs) + [True] * len(b.codes),
        b.of(("keras", "keras", "h5")),
    )
