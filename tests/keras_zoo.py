"""Small Keras networks: each is saved, folded, and compared with what Keras computes.

A case is a function that returns a model. AFFINE must be accepted, with a sigmoid at the end in
LOGISTIC; REFUSED must be refused with findings at the named layers.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from keras import layers


def _randomise(model: keras.Model, seed: int = 7) -> keras.Model:
    """Give every weight a value that a mistake would show: none zero, none one."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if "seed" in variable.path or "count" in variable.path:
            continue
        values = rng.uniform(0.2, 1.5, variable.shape)
        if "variance" not in variable.path:
            values *= rng.choice([-1.0, 1.0], variable.shape)
        variable.assign(values)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()
    return model


def dense_chain() -> keras.Model:
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(5), layers.Dense(3, use_bias=False), layers.Dense(1)]
    )


def no_bias() -> keras.Model:
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(5, use_bias=False), layers.Dense(1, use_bias=False)]
    )


def without_input_layer() -> keras.Model:
    model = keras.Sequential([layers.Dense(3, name="b"), layers.Dense(2, name="a")])
    model.build((None, 4))
    return model


def batch_normalisations() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.BatchNormalization(scale=False, epsilon=0.01),
            layers.Dense(3),
            layers.BatchNormalization(center=False),
            layers.Dense(2),
            layers.BatchNormalization(),
        ]
    )


def normalisations() -> keras.Model:
    x = inputs = keras.Input((3, 4))
    x = layers.Normalization(axis=-1)(x)
    x = layers.Normalization(axis=1)(x)
    x = layers.Normalization(axis=None)(x)
    x = layers.Normalization(axis=(1, 2))(x)
    x = layers.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[2.0, 3.0, 4.0, 5.0])(x)
    x = layers.Normalization(mean=0.5, variance=2.0, axis=None, invert=True)(x)
    x = layers.Rescaling([1.0, 2.0, 3.0, 4.0], offset=[0.25, 0.5, 0.75, 1.25])(x)
    return keras.Model(inputs, layers.Dense(1)(layers.Flatten()(x)))


def shapes() -> keras.Model:
    x = inputs = keras.Input((2, 3, 4))
    x = layers.Permute((3, 1, 2))(x)
    x = layers.Reshape((6, -1))(x)
    x = layers.Dense(2)(x)
    x = layers.Flatten(data_format="channels_first")(x)
    return keras.Model(inputs, layers.Dense(3)(x))


def merges() -> keras.Model:
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    da, db = layers.Dense(3)(a), layers.Dense(3)(b)
    total = layers.Add()([da, db, a])
    less = layers.Subtract()([total, b])
    mean = layers.Average()([less, da, db])
    wide = layers.Concatenate()([mean, a, layers.Identity()(b)])
    return keras.Model([b, a], layers.Dense(2)(wide))


def merge_of_ranks() -> keras.Model:
    a, b = keras.Input((2, 3), name="a"), keras.Input((3,), name="b")
    x = layers.Add()([a, b])
    x = layers.Concatenate(axis=1)([x, a])
    return keras.Model([a, b], layers.Flatten()(x))


def shared_layers() -> keras.Model:
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    tower = layers.Dense(4, name="tower")
    x = layers.Subtract()([tower(a), tower(b)])
    return keras.Model([a, b], layers.Dense(1)(x))


def nested() -> keras.Model:
    inner_input = keras.Input((3,))
    inner = keras.Model(
        inner_input,
        [layers.Dense(2, name="one")(inner_input), layers.Dense(2, name="two")(inner_input)],
        name="inner",
    )
    outer = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3), layers.BatchNormalization(), layers.Dense(3)],
        name="outer",
    )
    x = inputs = keras.Input((4,))
    one, two = inner(outer(x))
    again, _ = inner(layers.Dense(3)(x))
    x = layers.Concatenate()([two, one, again])
    return keras.Model(inputs, layers.Dense(1)(x))


def nested_frozen() -> keras.Model:
    part = keras.Sequential(
        [keras.Input((3,)), layers.Dense(3), layers.BatchNormalization(), layers.Dense(2)]
    )
    part.layers[0].trainable = False
    part.layers[1].trainable = False
    deep = keras.Sequential([keras.Input((3,)), part, layers.Dense(2)])
    return keras.Sequential([keras.Input((3,)), deep, layers.Dense(1)])


def nested_and_shared() -> keras.Model:
    """A model inside another, which is called beside the two that hold it."""
    one = keras.Sequential([keras.Input((3,)), layers.Dense(3, name="first")], name="one")
    two = keras.Sequential([keras.Input((3,)), one, layers.Dense(3, name="second")], name="two")
    three = keras.Sequential([keras.Input((3,)), two, layers.Dense(2, name="third")], name="three")
    x = keras.Input((3,))
    return keras.Model(x, [three(x), three(two(one(x)))])


def nested_outputs() -> keras.Model:
    """A nested model whose first and later calls are outputs of the model around it."""
    inner_input = keras.Input((2,))
    inner = keras.Model(inner_input, layers.Dense(2)(inner_input), name="inner")
    middle_input = keras.Input((2,))
    middle = keras.Model(middle_input, inner(layers.Dense(2)(middle_input)), name="middle")
    inputs = keras.Input((2,))
    first = middle(inputs)
    second = middle(first)
    third = keras.Sequential([keras.Input((2,)), layers.Dense(3)], name="last")(second)
    return keras.Model(inputs, [first, layers.Dense(1)(second), second, third])


def lower_precision() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(2, dtype="bfloat16"),
            layers.Dense(1, dtype="float16"),
        ]
    )


def confusing_names() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(3, name="dense_2"),
            layers.Dense(3, name="dense"),
            layers.Dense(2, name="dense_1"),
        ]
    )


def training_only() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4, 3)),
            layers.Dropout(0.5),
            layers.SpatialDropout1D(0.2),
            layers.GaussianNoise(0.3),
            layers.GaussianDropout(0.3),
            layers.AlphaDropout(0.3),
            layers.ActivityRegularization(0.1),
            layers.Activation("linear"),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )


def two_outputs() -> keras.Model:
    x = inputs = keras.Input((3,))
    x = layers.Dense(4)(x)
    return keras.Model(
        inputs, [layers.Dense(1, name="price")(x), layers.Dense(2, name="sizes")(inputs)]
    )


def operators() -> keras.Model:
    x = inputs = keras.Input((3,))
    y = 2.0 * layers.Dense(3)(x) - x / 4.0 + np.array([1.0, 2.0, 3.0])
    return keras.Model(inputs, layers.Dense(1)(1.0 - (-y)))


def dead_branch() -> keras.Model:
    x = inputs = keras.Input((3,))
    layers.Dense(2, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(1)(x))


def wide_output() -> keras.Model:
    return keras.Sequential([keras.Input((2,)), layers.Dense(3), layers.Dense(7)])


def logistic() -> keras.Model:
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(3), layers.Dense(1, activation="sigmoid")]
    )


def logistic_layer() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(2),
            layers.Activation("sigmoid"),
            layers.Reshape((2, 1)),
            layers.Flatten(),
        ]
    )


AFFINE: dict[str, Callable[[], keras.Model]] = {
    case.__name__: case
    for case in (
        dense_chain,
        no_bias,
        without_input_layer,
        batch_normalisations,
        normalisations,
        shapes,
        merges,
        merge_of_ranks,
        shared_layers,
        nested,
        nested_frozen,
        nested_and_shared,
        nested_outputs,
        confusing_names,
        training_only,
        two_outputs,
        operators,
        dead_branch,
        wide_output,
    )
}


def softmax() -> keras.Model:
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(5), layers.Dense(3, activation="softmax")]
    )


def softmax_layer() -> keras.Model:
    x = keras.Input((4,))
    y = layers.Reshape((3, 2))(layers.Dense(6)(x))
    return keras.Model(x, layers.Softmax(axis=1)(y))


def exponential() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), layers.Dense(2, activation="exponential")])


LINKED: dict[str, tuple[Callable[[], keras.Model], str]] = {
    "softmax": (softmax, "softmax"),
    "softmax_layer": (softmax_layer, "softmax"),
    "exponential": (exponential, "log"),
}

LOGISTIC: dict[str, Callable[[], keras.Model]] = {
    case.__name__: case for case in (logistic, logistic_layer)
}


def hidden_relu() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3, activation="relu", name="bent"),
            layers.Dense(3, activation="tanh", name="bent_too"),
            layers.Dense(1),
        ]
    )


def relu_layers() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3),
            layers.ReLU(name="r"),
            layers.LeakyReLU(name="leaky"),
            layers.ELU(name="e"),
            layers.PReLU(name="p"),
            layers.Softmax(name="s"),
        ]
    )


def hidden_sigmoid() -> keras.Model:
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, activation="sigmoid", name="gate"), layers.Dense(1)]
    )


def sigmoid_twice() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(1, activation="sigmoid", name="first"),
            layers.Activation("sigmoid", name="second"),
        ]
    )


def product() -> keras.Model:
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    x = layers.Multiply(name="times")([layers.Dense(3)(a), b])
    return keras.Model([a, b], layers.Dense(1)(x))


def square() -> keras.Model:
    a = keras.Input((3,))
    return keras.Model(a, layers.Dense(1)(layers.Multiply(name="squared")([a, a])))


def maximum() -> keras.Model:
    a = keras.Input((3,))
    return keras.Model(a, layers.Maximum(name="larger")([a, layers.Dense(3)(a)]))


def layer_normalisation() -> keras.Model:
    return keras.Sequential(
        [keras.Input((3,)), layers.LayerNormalization(name="norm"), layers.Dense(1)]
    )


def unknown_layer() -> keras.Model:
    return keras.Sequential([keras.Input((3, 2)), layers.LSTM(2, name="memory"), layers.Dense(1)])


def lambda_layer() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((3,)),
            layers.Lambda(lambda x: x, output_shape=(3,), name="code"),
            layers.Dense(1),
        ]
    )


def nested_relu() -> keras.Model:
    part = keras.Sequential(
        [keras.Input((3,)), layers.Dense(2, activation="relu", name="bent")], name="part"
    )
    return keras.Sequential([keras.Input((3,)), part, layers.Dense(1)])


#: Case -> the layers that must be named, in order.
REFUSED: dict[str, tuple[Callable[[], keras.Model], tuple[str, ...]]] = {
    "hidden_relu": (hidden_relu, ("bent", "bent_too")),
    "relu_layers": (relu_layers, ("r", "leaky", "e", "p")),
    "hidden_sigmoid": (hidden_sigmoid, ("gate",)),
    "sigmoid_twice": (sigmoid_twice, ("first",)),
    "product": (product, ("times",)),
    "square": (square, ("squared",)),
    "maximum": (maximum, ("larger",)),
    "layer_normalisation": (layer_normalisation, ("norm",)),
    "unknown_layer": (unknown_layer, ("memory",)),
    "lambda_layer": (lambda_layer, ("code",)),
    "nested_relu": (nested_relu, ("part/bent",)),
}


def build(case: Callable[[], keras.Model]) -> keras.Model:
    """Build a case in float64 with telling weights."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    keras.utils.set_random_seed(3)
    return _randomise(case())
