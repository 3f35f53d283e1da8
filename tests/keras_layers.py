"""Every Keras layer with many combinations of arguments, each a small network of its own.

A case is an input shape and a function that returns the layers (or one, or a model). Whether it is
affine is not said here: the tests ask Keras' numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A network to be built.

    Parameters
    ----------
    shape : tuple of int
        Of the input, without the batch axis.
    make : callable
        Returns a layer, a list of layers, or a function of the input tensor.
    tolerance : float
        Of coefficients, relative to the largest; Keras resizes in 32 bits.
    tune : callable
        Changes the model once it has its weights.
    floatx : str
        TensorFlow pools volumes in 32 bits alone.
    formats : tuple of str
        Keras cannot write some random layers as .h5.
    """

    shape: Shape
    make: Callable[[], Any]
    tolerance: float = 1e-9
    tune: Callable[[Any], None] = lambda model: None
    floatx: str = "float64"
    formats: tuple[str, ...] = ("keras", "h5")


CASES: dict[str, Case] = {}


def add(name: str, shape: Shape, make: Callable[[], Any], **more: Any) -> None:
    assert name not in CASES, name
    CASES[name] = Case(shape, make, **more)


def _image(rank: int, size: int, channels: int, data_format: str) -> Shape:
    """Return a shape; no axis of an output is to be as long as it has channels."""
    sizes = (size, size - 1, size - 2)[:rank]
    return (*sizes, channels) if data_format == "channels_last" else (channels, *sizes)


def _label(**settings: Any) -> str:
    return "-".join(f"{key}={str(value).replace(' ', '')}" for key, value in settings.items())


def _functional(shape: Shape, layer: Any) -> Any:
    inputs = keras.Input(shape)
    return keras.Model(inputs, layer(inputs))


FORMATS = ("channels_last", "channels_first")


def convolutions() -> Iterator[tuple[str, Shape, Callable[[], Any]]]:
    """Yield convolutions of every kind."""
    for rank, padding, (strides, dilation), data_format in itertools.product(
        (1, 2, 3), ("valid", "same", "causal"), ((1, 1), (2, 1), (3, 1), (1, 2)), FORMATS
    ):
        if padding == "causal" and rank > 1:
            continue
        if data_format == "channels_first" and (rank == 3 or padding == "causal") and strides > 2:
            continue
        said = {"padding": padding, "strides": strides, "dilation_rate": dilation}
        said["data_format"] = data_format
        size = 7 if rank < 3 else 5
        for kernel in ((2,), (3,)) if rank < 3 else ((2,),):
            layer = getattr(layers, f"Conv{rank}D")
            yield (
                f"Conv{rank}D-{_label(kernel=kernel[0], **said)}",
                _image(rank, size, 2, data_format),
                lambda layer=layer, kernel=kernel, said=said: layer(11, kernel[0], **said),
            )
    for rank in (1, 2, 3):
        layer = getattr(layers, f"Conv{rank}D")
        yield (
            f"Conv{rank}D-groups",
            _image(rank, 4, 4, "channels_last"),
            lambda layer=layer: layer(6, 2, groups=2, use_bias=False),
        )
    yield (
        "Conv2D-uneven",
        (6, 5, 2),
        lambda: layers.Conv2D(2, (3, 2), strides=(2, 1), padding="same"),
    )
    yield (
        "Conv2D-twice",
        (6, 5, 2),
        lambda: [layers.Conv2D(3, 2), layers.Conv2D(1, 2), layers.Flatten()],
    )
    yield "Conv2D-relu", (4, 4, 1), lambda: layers.Conv2D(2, 2, activation="relu")
    yield "Conv2D-gap", (7, 7, 1), lambda: layers.Conv2D(2, 1, strides=3, padding="same")


def depthwise() -> Iterator[tuple[str, Shape, Callable[[], Any]]]:
    for kind, rank, padding, (strides, dilation), data_format in itertools.product(
        ("Depthwise", "Separable"),
        (1, 2),
        ("valid", "same"),
        ((1, 1), (2, 1), (1, 2), (2, 2)),
        FORMATS,
    ):
        said = {"padding": padding, "strides": strides, "dilation_rate": dilation}
        said["data_format"] = data_format
        said["depth_multiplier"] = 1 if strides == 2 else 2
        first = (11, 2) if kind == "Separable" else (2,)
        layer = getattr(layers, f"{kind}Conv{rank}D")
        yield (
            f"{kind}Conv{rank}D-{_label(**said)}",
            _image(rank, 6, 7, data_format),
            lambda layer=layer, first=first, said=said: layer(*first, **said),
        )
    yield "SeparableConv1D-no-bias", (6, 2), lambda: layers.SeparableConv1D(3, 3, use_bias=False)
    yield (
        "DepthwiseConv2D-no-bias",
        (4, 4, 2),
        lambda: layers.DepthwiseConv2D((3, 2), use_bias=False),
    )


def transposed() -> Iterator[tuple[str, Shape, Callable[[], Any]]]:
    for rank, padding, strides, kernel, extra, data_format in itertools.product(
        (1, 2, 3), ("valid", "same"), (1, 2, 3), (1, 2, 3, 4), (None, 0, 1, 2), FORMATS
    ):
        if extra is not None and extra >= strides:
            continue
        # On a CPU, TensorFlow runs these in channels_last alone.
        if data_format == "channels_first" or (rank == 3 and (strides > 2 or kernel > 3)):
            continue
        if rank == 2 and kernel in (1, 4) and strides == 1:
            continue
        if padding == "same" and extra == 0 and kernel % 2 == 0:
            continue  # Keras works out a length that TensorFlow refuses
        said = {"padding": padding, "strides": strides, "output_padding": extra}
        layer = getattr(layers, f"Conv{rank}DTranspose")
        yield (
            f"Conv{rank}DTranspose-{_label(kernel=kernel, **said)}",
            _image(rank, 4 if rank < 3 else 3, 2, data_format),
            lambda layer=layer, kernel=kernel, said=said: layer(2, kernel, **said),
        )
    yield (
        "Conv2DTranspose-no-bias",
        (3, 2, 2),
        lambda: layers.Conv2DTranspose(2, (2, 3), strides=(2, 3), use_bias=False),
    )


def poolings() -> Iterator[tuple[str, Shape, Callable[[], Any]]]:
    for rank, padding, size, strides, data_format in itertools.product(
        (1, 2, 3), ("valid", "same"), (1, 2, 3), (None, 1, 2), FORMATS
    ):
        if rank == 3 and size == 3:
            continue
        said = {
            "padding": padding,
            "pool_size": size,
            "strides": strides,
            "data_format": data_format,
        }
        shape = _image(rank, 6 if rank < 3 else 4, 2, data_format)
        for kind in ("Average", "Max"):
            if kind == "Max" and (size == 3 or rank == 3):
                continue
            layer = getattr(layers, f"{kind}Pooling{rank}D")
            yield (
                f"{kind}Pooling{rank}D-{_label(**said)}",
                shape,
                lambda layer=layer, said=said: layer(**said),
            )
    for rank, data_format, keepdims in itertools.product((1, 2, 3), FORMATS, (False, True)):
        said = {"data_format": data_format, "keepdims": keepdims}
        for kind in ("Average", "Max"):
            layer = getattr(layers, f"Global{kind}Pooling{rank}D")
            yield (
                f"Global{kind}Pooling{rank}D-{_label(**said)}",
                _image(rank, 4, 2, data_format),
                lambda layer=layer, said=said: layer(**said),
            )
    padded = {"pool_size": 3, "padding": "same"}
    yield "MaxPooling1D-lone", (1, 3), lambda: layers.MaxPooling1D(**padded)
    yield "MaxPooling2D-lone", (1, 1, 2), lambda: layers.MaxPooling2D(**padded, strides=1)
    yield "MaxPooling2D-not-lone", (1, 2, 2), lambda: layers.MaxPooling2D(**padded, strides=1)
    yield "GlobalMaxPooling2D-one", (1, 1, 3), lambda: layers.GlobalMaxPooling2D()
    yield "GlobalMaxPooling1D-one-kept", (1, 3), lambda: layers.GlobalMaxPooling1D(keepdims=True)
    for rank, made, data_format in itertools.product((1, 2, 3), (1, 2, 3, 4), FORMATS):
        for kind in ("Average", "Max"):
            if rank == 3 and (made > 2 or kind == "Max"):
                continue
            layer = getattr(layers, f"Adaptive{kind}Pooling{rank}D")
            yield (
                f"Adaptive{kind}Pooling{rank}D-{_label(made=made, data_format=data_format)}",
                _image(rank, 7 if rank < 3 else 4, 2, data_format),
                lambda layer=layer, made=made, data_format=data_format: layer(
                    made, data_format=data_format
                ),
            )
    yield "AdaptiveMaxPooling1D-same", (4, 2), lambda: layers.AdaptiveMaxPooling1D(4)
    yield (
        "AdaptiveAveragePooling2D-uneven",
        (7, 5, 1),
        lambda: layers.AdaptiveAveragePooling2D((3, 2)),
    )


def resizings() -> Iterator[tuple[str, Shape, Callable[[], Any]]]:
    methods = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")
    for method, data_format in itertools.product(methods, FORMATS):
        for size in ((2, 3), (1, 2)):
            said = {"size": size, "interpolation": method, "data_format": data_format}
            yield (
                f"UpSampling2D-{_label(**said)}",
                _image(2, 4, 2, data_format),
                lambda said=said: layers.UpSampling2D(**said),
            )
    sizes = ((3, 8), (5, 4), (9, 2), (1, 1), (7, 6))
    for method, (height, width), antialias in itertools.product(methods, sizes, (False, True)):
        said = {"height": height, "width": width, "interpolation": method, "antialias": antialias}
        yield f"Resizing-{_label(**said)}", (7, 6, 1), lambda said=said: layers.Resizing(**said)
    for how, (height, width), method in itertools.product(
        ("crop", "pad"), sizes, ("bilinear", "nearest", "bicubic")
    ):
        said = {f"{how}_to_aspect_ratio": True, "interpolation": method}
        if how == "pad":
            said["fill_value"] = 2.5
        yield (
            f"Resizing-{_label(height=height, width=width, **said)}",
            (7, 6, 1),
            lambda height=height, width=width, said=said: layers.Resizing(height, width, **said),
        )
    yield (
        "Resizing-channels_first",
        (2, 5, 4),
        lambda: layers.Resizing(3, 7, data_format="channels_first", crop_to_aspect_ratio=True),
    )
    for height, width in ((3, 4), (4, 3), (7, 6), (9, 4), (8, 9)):
        yield (
            f"CenterCrop-{height}-{width}",
            (7, 6, 2),
            lambda height=height, width=width: layers.CenterCrop(height, width),
        )
    yield (
        "CenterCrop-channels_first",
        (2, 5, 5),
        lambda: layers.CenterCrop(2, 3, data_format="channels_first"),
    )


def movements() -> Iterator[tuple[str, Shape, Callable[[], Any]]]:
    yield "UpSampling1D", (3, 2), lambda: layers.UpSampling1D(3)
    for data_format in FORMATS:
        said = {"data_format": data_format}
        label = _label(**said)
        yield (
            f"UpSampling3D-{label}",
            (2, 3, 2, 2),
            lambda said=said: layers.UpSampling3D((1, 2, 3), **said),
        )
        yield (
            f"ZeroPadding1D-{label}",
            (3, 2),
            lambda said=said: layers.ZeroPadding1D((1, 2), **said),
        )
        yield (
            f"ZeroPadding2D-{label}",
            (3, 2, 2),
            lambda said=said: layers.ZeroPadding2D(((1, 2), (0, 1)), **said),
        )
        yield (
            f"ZeroPadding3D-{label}",
            (3, 2, 2, 2),
            lambda said=said: layers.ZeroPadding3D(((1, 2), (0, 1), (2, 0)), **said),
        )
        yield (
            f"Cropping2D-{label}",
            (4, 4, 4),
            lambda said=said: layers.Cropping2D(((1, 2), (0, 1)), **said),
        )
        yield (
            f"Cropping3D-{label}",
            (4, 4, 4, 4),
            lambda said=said: layers.Cropping3D(((1, 2), (0, 1), (2, 0)), **said),
        )
        yield f"Flatten-{label}", (2, 3, 2), lambda said=said: layers.Flatten(**said)
    yield "ZeroPadding1D-one", (3, 2), lambda: layers.ZeroPadding1D(2)
    yield "ZeroPadding2D-one", (3, 2, 1), lambda: layers.ZeroPadding2D(1)
    yield "ZeroPadding2D-two", (3, 2, 1), lambda: layers.ZeroPadding2D((1, 2))
    yield "Cropping1D", (5, 2), lambda: layers.Cropping1D((1, 2))
    yield "Cropping1D-one", (5, 2), lambda: layers.Cropping1D(2)
    yield "Cropping2D-one", (5, 4, 1), lambda: layers.Cropping2D(1)
    yield "RepeatVector", (3,), lambda: layers.RepeatVector(4)
    yield "Permute", (2, 3, 4), lambda: layers.Permute((3, 1, 2))
    yield "Reshape", (2, 6), lambda: layers.Reshape((3, -1, 2))
    yield "Flatten-vector", (3,), lambda: layers.Flatten()


def products() -> Iterator[tuple[str, Shape, Callable[[], Any]]]:
    yield "Dense-matrix", (3, 4), lambda: layers.Dense(2)
    yield "Dense-cube", (2, 3, 4), lambda: layers.Dense(2, use_bias=False)
    cases: list[tuple[str, Shape, Any, str | None]] = [
        ("ab,bc->ac", (4,), 3, "c"),
        ("ab,bc->ac", (4,), 3, None),
        ("abc,cd->abd", (3, 4), (None, 5), "d"),
        ("abc,cd->abd", (3, 4), (3, 5), "bd"),
        ("abc,cde->abde", (3, 4), (3, 2, 5), "de"),
        ("abc,cde->abde", (3, 4), (3, 2, 5), "e"),
        ("abcd,cde->abe", (3, 2, 4), (3, 5), "e"),
        ("abc,bde->ade", (3, 4), (2, 5), "d"),
        ("abc,bd->adc", (3, 4), (5, 4), "dc"),
        ("...x,xy->...y", (3, 4), 5, "y"),
        ("...x,xy->...y", (2, 3, 4), 5, None),
        ("abc...,bd->adc...", (2, 3, 2), (4, 3, 2), "d"),
        ("abc,dc->abd", (3, 4), (None, 5), "d"),
        ("ab,cde->acde", (2,), (2, 1, 2), None),
    ]
    for place, (equation, shape, output, bias) in enumerate(cases):
        yield (
            f"EinsumDense-{equation}-{bias}-{place}",
            shape,
            lambda equation=equation, output=output, bias=bias: layers.EinsumDense(
                equation, output_shape=output, bias_axes=bias
            ),
        )
    yield (
        "EinsumDense-relu",
        (4,),
        lambda: layers.EinsumDense("ab,bc->ac", output_shape=2, activation="relu"),
    )
    yield "Dot-itself", (3, 2), lambda: lambda x: layers.Dot(axes=1)([x, x])
    yield "Masking", (3, 2), lambda: [layers.Masking(), layers.Dense(2)]
    yield (
        "Masking-Sequential",
        (3, 2),
        lambda: [layers.Masking(), keras.Sequential([layers.Dense(2), layers.Dense(3)])],
    )
    yield (
        "Masking-Functional",
        (3, 2),
        lambda: [layers.Masking(), _functional((3, 2), layers.Dense(2)), layers.Dense(1)],
    )
    yield (
        "Masking-Sequential-of-Sequential",
        (3, 2),
        lambda: [layers.Masking(), keras.Sequential([keras.Sequential([layers.Dense(2)])])],
    )
    yield "Masking-conv", (4, 2), lambda: [layers.Masking(), layers.Conv1D(2, 2), layers.Dense(1)]


def statistics() -> Iterator[tuple[str, Shape, Callable[[], Any]]]:
    for axis in (-1, 1, 2):
        yield (
            f"BatchNormalization-{axis}",
            (3, 4),
            lambda axis=axis: layers.BatchNormalization(axis),
        )
    yield "BatchNormalization-4D", (2, 3, 4), lambda: layers.BatchNormalization(axis=1, epsilon=0.1)
    yield "BatchNormalization-renorm", (4,), lambda: layers.BatchNormalization(renorm=True)
    yield (
        "BatchNormalization-bare",
        (4,),
        lambda: layers.BatchNormalization(center=False, scale=False),
    )
    for axis in (-1, 1, (1, 2), None):
        yield f"Normalization-{axis}", (3, 4), lambda axis=axis: layers.Normalization(axis=axis)
        yield (
            f"Normalization-{axis}-invert",
            (3, 4),
            lambda axis=axis: layers.Normalization(axis=axis, invert=True),
        )
    yield (
        "Normalization-arrays",
        (2,),
        lambda: layers.Normalization(mean=np.array([1.0, 2.0]), variance=np.array([2.0, 4.0])),
    )
    yield "Rescaling", (3, 2), lambda: layers.Rescaling(0.5, offset=-1)
    yield "Rescaling-list", (3, 2), lambda: layers.Rescaling([0.5, 2.0], offset=[1.0, 2.0])
    yield "Rescaling-array", (3, 2), lambda: layers.Rescaling(np.array([0.5, 2.0]), offset=0.25)
    for name in ("LayerNormalization", "RMSNormalization", "UnitNormalization"):
        yield name, (4,), lambda name=name: getattr(layers, name)()
    yield "GroupNormalization", (4,), lambda: layers.GroupNormalization(2)


#: Names of keras.activations that need no arguments.
ACTIVATIONS = sorted(
    name
    for name in set(dir(keras.activations)) - {"deserialize", "get", "serialize", "threshold"}
    if not name.startswith("_")
)


def activations() -> Iterator[tuple[str, Shape, Callable[[], Any]]]:
    for name in ACTIVATIONS:
        if name != "glu":
            yield (
                f"Dense-{name}",
                (3,),
                lambda name=name: [layers.Dense(4, activation=name), layers.Dense(2)],
            )
        yield (
            f"Activation-{name}",
            (4,),
            lambda name=name: [
                layers.Activation(getattr(keras.activations, name)),
                layers.Rescaling(2.0),
            ],
        )
    yield "ReLU-slope", (3,), lambda: layers.ReLU(negative_slope=1.0)
    yield "ReLU-slope-max", (3,), lambda: layers.ReLU(negative_slope=1.0, max_value=1.0)
    yield "ReLU-slope-threshold", (3,), lambda: layers.ReLU(negative_slope=1.0, threshold=0.5)
    yield "ReLU-half", (3,), lambda: layers.ReLU(negative_slope=0.5)
    yield "LeakyReLU-1", (3,), lambda: layers.LeakyReLU(1.0)
    yield "LeakyReLU", (3,), lambda: layers.LeakyReLU(0.9999)
    yield "ELU", (3,), lambda: layers.ELU(1.0)
    yield "PReLU-random", (3,), lambda: layers.PReLU()
    yield "Dense-LeakyReLU-1", (3,), lambda: layers.Dense(2, activation=layers.LeakyReLU(1.0))
    yield "Dense-LeakyReLU", (3,), lambda: layers.Dense(2, activation=layers.LeakyReLU(0.5))
    yield (
        "Conv1D-ReLU-1",
        (5, 2),
        lambda: layers.Conv1D(2, 2, activation=layers.ReLU(negative_slope=1)),
    )
    yield (
        "EinsumDense-ReLU-1",
        (4,),
        lambda: layers.EinsumDense(
            "ab,bc->ac", output_shape=2, activation=layers.ReLU(negative_slope=1)
        ),
    )
    yield "Activation-ELU", (3,), lambda: [layers.Activation(layers.ELU()), layers.Dense(1)]
    yield "Activation-LeakyReLU-1", (3,), lambda: layers.Activation(layers.LeakyReLU(1.0))
    yield (
        "SimpleRNN-ReLU-1",
        (3, 2),
        lambda: layers.SimpleRNN(2, activation=layers.ReLU(negative_slope=1)),
    )


def recurrent() -> Iterator[tuple[str, Shape, Callable[[], Any]]]:
    for sequences, backwards, bias in itertools.product((False, True), repeat=3):
        said = {"return_sequences": sequences, "go_backwards": backwards, "use_bias": bias}
        yield (
            f"SimpleRNN-{_label(**said)}",
            (3, 2),
            lambda said=said: layers.SimpleRNN(2, activation="linear", **said),
        )
    yield "SimpleRNN-tanh", (3, 2), lambda: layers.SimpleRNN(2)
    yield (
        "LSTM-linear",
        (3, 2),
        lambda: layers.LSTM(2, activation="linear", recurrent_activation="linear"),
    )
    yield (
        "GRU-linear",
        (3, 2),
        lambda: layers.GRU(2, activation="linear", recurrent_activation="linear"),
    )
    yield (
        "RNN-cells",
        (3, 2),
        lambda: layers.RNN(
            [layers.SimpleRNNCell(2, activation=None), layers.SimpleRNNCell(3, activation="linear")]
        ),
    )
    for mode in ("sum", "ave", "concat", "mul"):
        yield (
            f"Bidirectional-{mode}",
            (3, 2),
            lambda mode=mode: layers.Bidirectional(
                layers.SimpleRNN(2, activation="linear", return_sequences=True), merge_mode=mode
            ),
        )
    yield (
        "ConvLSTM1D",
        (3, 4, 2),
        lambda: layers.ConvLSTM1D(2, 2, activation="linear", recurrent_activation="linear"),
    )
    yield "TimeDistributed-Conv1D", (2, 4, 2), lambda: layers.TimeDistributed(layers.Conv1D(2, 2))
    yield (
        "TimeDistributed-pool",
        (2, 4, 4, 1),
        lambda: layers.TimeDistributed(layers.AveragePooling2D(2)),
    )
    yield (
        "TimeDistributed-relu",
        (2, 4),
        lambda: layers.TimeDistributed(layers.Dense(2, activation="relu")),
    )
    yield "SpectralNormalization", (4,), lambda: layers.SpectralNormalization(layers.Dense(2))
    yield (
        "SpectralNormalization-Conv2D",
        (4, 4, 2),
        lambda: layers.SpectralNormalization(layers.Conv2D(2, 2, padding="same")),
    )


def randoms() -> Iterator[tuple[str, Shape, Callable[[], Any]]]:
    image = (8, 8, 3)
    arguments: dict[str, tuple[Any, ...]] = {
        **dict.fromkeys(
            (
                *("RandomBrightness", "RandomColorDegeneration", "RandomContrast", "RandomHue"),
                *("RandomRotation", "RandomSaturation", "RandomSharpness", "RandomZoom"),
                "RandomGrayscale",
            ),
            (0.4,),
        ),
        "RandomPosterization": (4,),
        "RandomTranslation": (0.3, 0.2),
        "RandomCrop": (8, 8),
        "MaxNumBoundingBoxes": (3,),
        **dict.fromkeys(
            (
                *("AugMix", "CutMix", "MixUp", "RandAugment", "RandomColorJitter"),
                *("RandomElasticTransform", "RandomErasing", "RandomFlip", "RandomGaussianBlur"),
                *("RandomInvert", "RandomPerspective", "RandomShear", "Solarization"),
                *("AutoContrast", "ContrastLimitedAdaptiveHistogramEqualization"),
            ),
            (),
        ),
    }
    for name, given in arguments.items():
        yield name, image, lambda name=name, given=given: getattr(layers, name)(*given)
    yield "Pipeline", image, lambda: layers.Pipeline([layers.RandomFlip(), layers.Rescaling(2.0)])
    for name in ("Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise"):
        yield name, (3,), lambda name=name: getattr(layers, name)(0.4)
    for rank in (1, 2, 3):
        yield (
            f"SpatialDropout{rank}D",
            (2,) * (rank + 1),
            lambda rank=rank: getattr(layers, f"SpatialDropout{rank}D")(0.4),
        )
    for mode in ("real", "imag", "stft", "magnitude", "log", "psd", "angle"):
        for data_format, expand in itertools.product(FORMATS, (False, True)):
            if mode not in ("real", "stft") and (expand or data_format == "channels_first"):
                continue
            said = {"mode": mode, "data_format": data_format, "expand_dims": expand}
            yield (
                f"STFTSpectrogram-{_label(**said)}",
                (20, 2) if data_format == "channels_last" else (2, 20),
                lambda said=said: layers.STFTSpectrogram(
                    frame_length=6, frame_step=3, fft_length=8, **said
                ),
            )
    yield "MelSpectrogram", (64,), lambda: layers.MelSpectrogram(fft_length=16, num_mel_bins=4)


_NOT_H5 = frozenset(
    {
        *("RandomBrightness", "RandomColorDegeneration", "RandomPosterization"),
        *("RandomSaturation", "RandomSharpness", "Solarization"),
    }
)


def operations() -> Iterator[tuple[str, Shape, Callable[[], Any]]]:
    """Yield operations of keras.ops that layers share their meaning with."""
    rng = np.random.default_rng(5)
    wide, deep = rng.normal(size=(2, 3, 2, 5)), rng.normal(size=(2, 2, 2, 3))
    point, one = rng.normal(size=(1, 1, 6, 4)), rng.normal(size=(3, 2, 4))
    cases: dict[str, Callable[[Any], Any]] = {
        "conv": lambda x: ops.conv(x, wide, strides=2, padding="same"),
        "conv-dilated": lambda x: ops.conv(x, wide, dilation_rate=(2, 1)),
        "depthwise_conv": lambda x: ops.depthwise_conv(x, deep, padding="same"),
        "separable_conv": lambda x: ops.separable_conv(x, deep, point),
        "average_pool": lambda x: ops.average_pool(x, 2, strides=1, padding="same"),
        "average_pool-first": lambda x: ops.average_pool(x, 2, data_format="channels_first"),
        "max_pool": lambda x: ops.max_pool(x, 2),
        "max_pool-one": lambda x: ops.max_pool(x, 1, strides=2),
        "adaptive_average_pool": lambda x: ops.adaptive_average_pool(x, (3, 2)),
        "adaptive_max_pool": lambda x: ops.adaptive_max_pool(x, (2, 2)),
        "resize": lambda x: ops.image.resize(x, (3, 7), interpolation="bicubic"),
        "batch_norm": lambda x: ops.batch_normalization(
            x, np.array([1.0, 2.0]), np.array([2.0, 3.0]), -1, scale=np.array([0.5, 2.0])
        ),
        "sum": lambda x: ops.add(x, np.array([[1.0], [2.0], [3.0], [4.0]])),
    }
    for name, function in cases.items():
        yield f"ops-{name}", (5, 4, 2), lambda function=function: function
    yield "ops-conv-1D", (6, 2), lambda: lambda x: ops.conv(x, one, strides=2)


for _family in (
    *(convolutions, depthwise, transposed, poolings, movements, products, statistics),
    *(activations, recurrent, randoms, operations),
):
    for _name, *_rest in _family():
        if "Pooling3D" in _name or _name == "MelSpectrogram":
            add(_name, *_rest, floatx="float32", tolerance=1e-5)
        elif "resize" in _name:
            add(_name, *_rest, tolerance=3e-6)
        elif _name in _NOT_H5:
            add(_name, *_rest, formats=("keras",))
        else:
            add(_name, *_rest)
for _case in resizings():
    add(*_case, tolerance=3e-6)


def _ones(model: Any) -> None:
    for layer in model.layers:
        if isinstance(layer, layers.PReLU):
            layer.alpha.assign(np.ones(layer.alpha.shape))


add("PReLU-ones", (3,), lambda: layers.PReLU(), tune=_ones)
add("PReLU-ones-shared", (3, 2, 2), lambda: layers.PReLU(shared_axes=[1, 2]), tune=_ones)


def _lora(rank: int, alpha: float | None = None) -> Callable[[Any], None]:
    def tune(model: Any) -> None:
        model.layers[1].enable_lora(rank, lora_alpha=alpha)
        randomise(model)

    return tune


# Keras keeps the factors in 32 bits.
add(
    "Dense-lora", (4,), lambda: [layers.Dense(5), layers.Dense(2)], tolerance=1e-6, tune=_lora(2, 3)
)
add("Conv2D-lora", (4, 3, 2), lambda: layers.Conv2D(3, 2), tolerance=1e-6, tune=_lora(2))
add(
    "Conv1D-lora",
    (4, 2),
    lambda: [layers.Conv1D(3, 2), layers.Flatten()],
    tolerance=1e-6,
    tune=_lora(2, 5),
)
add(
    "EinsumDense-lora",
    (3, 4),
    lambda: layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de"),
    tolerance=1e-6,
    tune=_lora(2, 3),
)


def _quantised(mode: str, **settings: Any) -> Callable[[Any], None]:
    def tune(model: Any) -> None:
        kinds = {
            "int8": keras.quantizers.Int8QuantizationConfig,
            "int4": keras.quantizers.Int4QuantizationConfig,
        }
        if settings:
            model.quantize(config=kinds[mode](**settings))
        else:
            model.quantize(mode)

    return tune


def _low_rank_and(mode: str, **settings: Any) -> Callable[[Any], None]:
    def tune(model: Any) -> None:
        _quantised(mode, **settings)(model)
        model.layers[1].enable_lora(2, lora_alpha=3)
        model.layers[1].lora_kernel_b.assign(np.ones(model.layers[1].lora_kernel_b.shape))

    return tune


_EINSUMS: tuple[tuple[str, Shape, Any, str], ...] = (
    ("abc,cde->abde", (2, 5), (None, 2, 3), "de"),
    ("abc,dc->abd", (2, 5), (None, 3), "d"),
    ("abcd,cde->abe", (2, 3, 2), (None, 5), "e"),
    ("abc,bd->adc", (3, 2), (4, 2), "dc"),
)

for _mode, _settings in (
    ("int8", {}),
    ("int8", {"activation_quantizer": None}),
    ("int4", {}),
    ("int4", {"block_size": None}),
    ("int4", {"block_size": 2}),
    ("float8", {}),
):
    _name = f"{_mode}-{_label(**_settings)}"
    _tune = _quantised(_mode, **_settings)
    _make = lambda: [layers.Dense(5), layers.Dense(3, use_bias=False)]  # noqa: E731
    add(f"Dense-{_name}", (5,), _make, tune=_tune)
    for _equation, _shape, _made, _bias in _EINSUMS:
        add(
            f"EinsumDense-{_equation}-{_name}",
            _shape,
            lambda equation=_equation, made=_made, bias=_bias: layers.EinsumDense(
                equation, output_shape=made, bias_axes=bias
            ),
            tune=_tune,
        )

add("Dense-int4-lora", (5,), lambda: layers.Dense(3), formats=("h5",), tune=_low_rank_and("int4"))


def randomise(model: Any, seed: int = 7) -> None:
    """Give every weight a value that a mistake would show: none zero, none one."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if "seed" in variable.path or "count" in variable.path or "int" in str(variable.dtype):
            continue
        values = rng.uniform(0.2, 1.5, variable.shape)
        if "variance" not in variable.path:
            values = values * rng.choice([-1.0, 1.0], variable.shape)
        variable.assign(values)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()


def build(case: Case) -> Any:
    """Return the model of a case, in float64, with telling weights."""
    keras.config.set_floatx(case.floatx)
    keras.config.set_dtype_policy(case.floatx)
    keras.utils.set_random_seed(3)
    inputs = keras.Input(case.shape)
    made = case.make()
    outputs = inputs
    for layer in made if isinstance(made, list) else [made]:
        outputs = layer(outputs)
    model = keras.Model(inputs, outputs)
    randomise(model)
    case.tune(model)
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    return model


def runnable(model: Any) -> Any:
    """Return a model that computes the same and runs on a CPU.

    TensorFlow convolves there with the channels at the end alone; a twin of the layer, between
    transpositions, takes the place of one that has them in front.
    """
    layer = model.layers[-1]
    first = getattr(layer, "data_format", "") == "channels_first"
    if not first or not isinstance(layer, (layers.Conv1D, layers.Conv2D, layers.STFTSpectrogram)):
        return model
    config = {**layer.get_config(), "data_format": "channels_last"}
    twin = type(layer).from_config(config)
    inputs = keras.Input(model.inputs[0].shape[1:])
    rank = len(inputs.shape) - 1
    outputs = twin(layers.Permute((*range(2, rank + 1), 1))(inputs))
    rank = len(outputs.shape) - 1
    outputs = layers.Permute((rank, *range(1, rank)))(outputs)
    twin.set_weights(layer.get_weights())
    return keras.Model(inputs, outputs)
