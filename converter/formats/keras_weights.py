"""Which weights a Keras layer stores, in which order, and under which archive path.

Source: `build` and `save_own_variables` of each layer class in Keras 3 and tf_keras.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from converter.formats.keras_policy import Quantization, policy_of


@dataclass(frozen=True, slots=True)
class Role:
    """A weight of a layer.

    Parameters
    ----------
    name : str
        Its name in the layer.
    trainable : bool
        Whether training changes it.
    copied : bool
        It is a layer's inside this one, of which archives of Keras 3 hold a second copy.
    legacy : bool
        Only legacy files (``.h5``) hold it.
    archived : bool
        Only archives hold it, under its own name.
    other : str
        What another version of Keras calls it in legacy files.
    """

    name: str
    trainable: bool = True
    copied: bool = False
    legacy: bool = False
    archived: bool = False
    other: str = ""


Config = Mapping[str, Any]


def _bias(config: Config) -> list[Role]:
    return [Role("bias")] if config.get("use_bias", True) else []


def _lora(config: Config) -> list[Role]:
    """Return the low-rank factors, which archives hold merged into the kernel."""
    if not config.get("lora_rank"):
        return []
    return [Role("lora_kernel_a", legacy=True), Role("lora_kernel_b", legacy=True)]


def _dense(config: Config) -> list[Role]:
    return _product(config, _bias(config))


def _einsum_dense(config: Config) -> list[Role]:
    return _product(config, [Role("bias")] if config.get("bias_axes") else [])


def _product(config: Config, bias: list[Role]) -> list[Role]:
    """Return the weights of a kernel and a bias as `variable_serialization_spec` orders them."""
    policy = policy_of(config)
    if not isinstance(policy, Quantization):
        frozen = bool(config.get("lora_rank"))
        return [Role("kernel", not frozen), *bias, *_lora(config)]
    if policy.mode == "float8":
        names = ("inputs_scale", "inputs_amax_history", "kernel_scale", "kernel_amax_history")
        more = ("outputs_grad_scale", "outputs_grad_amax_history")
        return [Role("kernel"), *bias, *(Role(name) for name in (*names, *more))]
    kernel, scale = Role("kernel", False), Role("kernel_scale", False)
    zero, groups = Role("kernel_zero", False, other="zero_point"), Role("g_idx", False)
    if policy.mode in ("gptq", "awq"):
        rows = [Role("awq_scales", False)] if policy.mode == "awq" else []
        return [*bias, kernel, scale, zero, *rows, groups]
    grouped = [zero, groups] if policy.grouped else []
    return [kernel, *bias, scale, *grouped, *_lora(config)]


def _conv(config: Config) -> list[Role]:
    frozen = bool(config.get("lora_rank"))
    return [Role("kernel", not frozen), *_bias(config), *_lora(config)]


def _depthwise_conv(config: Config) -> list[Role]:
    return [Role("kernel", other="depthwise_kernel"), *_bias(config)]


def _separable_conv(config: Config) -> list[Role]:
    return [Role("depthwise_kernel"), Role("pointwise_kernel"), *_bias(config)]


def _spectrogram(config: Config) -> list[Role]:
    names = {"real": ("real_kernel",), "imag": ("imag_kernel",)}
    wanted = names.get(str(config.get("mode")), ("real_kernel", "imag_kernel"))
    return [Role(name) for name in wanted]


def _batch_normalization(config: Config) -> list[Role]:
    roles = [Role("gamma")] if config.get("scale", True) else []
    roles += [Role("beta")] if config.get("center", True) else []
    names = ["moving_mean", "moving_variance"]
    if config.get("renorm"):
        names += ["moving_stddev", "renorm_mean", "renorm_stddev"]
    return [*roles, *(Role(name, False) for name in names)]


def _normalization(config: Config) -> list[Role]:
    if config.get("mean") is not None:
        return []
    return [Role("mean", False), Role("variance", False), Role("count", False)]


def _prelu(config: Config) -> list[Role]:
    return [Role("alpha")]


def _embedding(config: Config) -> list[Role]:
    policy = policy_of(config)
    frozen = bool(config.get("lora_rank"))
    names = ("lora_embeddings_a", "lora_embeddings_b") if frozen else ()
    factors = [Role(name, legacy=True) for name in names]
    if not isinstance(policy, Quantization):
        return [Role("embeddings", not frozen), *factors]
    more = ("embeddings_zero", "g_idx") if policy.grouped else ()
    stored = ("embeddings", "embeddings_scale", *more)
    return [*(Role(name, False) for name in stored), *factors]


def _reversible_embedding(config: Config) -> list[Role]:
    own = _embedding(config)
    if config.get("tie_weights", True):
        return own
    policy = policy_of(config)
    if not isinstance(policy, Quantization):
        return [own[0], Role("reverse_embeddings"), *own[1:]]
    names = ["reverse_embeddings", "reverse_embeddings_scale"]
    names += ["reverse_embeddings_zero"] if policy.grouped else []
    return [*own, *(Role(name, False) for name in names)]


def _lookup(config: Config) -> list[Role]:
    if config.get("output_mode") not in ("tf_idf", "tf-idf"):
        return []
    return [Role("idf_weights", False, archived=True)]


def _none(config: Config) -> list[Role]:
    return []


def _simple_rnn_cell(config: Config) -> list[Role]:
    bias = [Role("bias")] if config.get("use_bias", True) else []
    return [Role("kernel"), Role("recurrent_kernel"), *bias]


def _spectral_normalization(config: Config) -> list[Role]:
    return [Role("kernel", copied=True), Role("vector_u", False)]


#: Layers with spatial axes and without weights, but for the number of axes in their names.
SPATIAL = (
    *("AdaptiveAveragePooling", "AdaptiveMaxPooling", "AveragePooling", "AvgPool", "Cropping"),
    *("GlobalAveragePooling", "GlobalAvgPool", "GlobalMaxPool", "GlobalMaxPooling", "MaxPool"),
    *("MaxPooling", "UpSampling", "ZeroPadding"),
)
#: Layers that change pictures at random in training.
AUGMENTATIONS = (
    *("AugMix", "AutoContrast", "ContrastLimitedAdaptiveHistogramEqualization", "CutMix"),
    *("Equalization", "MaxNumBoundingBoxes", "MixUp", "RandAugment", "RandomBrightness"),
    *("RandomColorDegeneration", "RandomColorJitter", "RandomContrast", "RandomCrop"),
    *("RandomElasticTransform", "RandomErasing", "RandomFlip", "RandomGaussianBlur"),
    *("RandomGrayscale", "RandomHeight", "RandomHue", "RandomInvert", "RandomPerspective"),
    *("RandomPosterization", "RandomRotation", "RandomSaturation", "RandomSharpness"),
    *("RandomShear", "RandomTranslation", "RandomWidth", "RandomZoom", "Solarization"),
)

_ROLES: dict[str, Callable[[Config], list[Role]]] = {
    "BatchNormalization": _batch_normalization,
    "Dense": _dense,
    "EinsumDense": _einsum_dense,
    **dict.fromkeys(
        (
            *("Conv1D", "Conv2D", "Conv3D", "Convolution1D", "Convolution2D", "Convolution3D"),
            *("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "Deconvolution2D"),
            *("Convolution1DTranspose", "Convolution2DTranspose", "Convolution3DTranspose"),
            *("Deconvolution3D", "LocallyConnected1D", "LocallyConnected2D"),
        ),
        _conv,
    ),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), _depthwise_conv),
    **dict.fromkeys(
        (
            *("SeparableConv1D", "SeparableConv2D"),
            *("SeparableConvolution1D", "SeparableConvolution2D"),
        ),
        _separable_conv,
    ),
    "Embedding": _embedding,
    "ReversibleEmbedding": _reversible_embedding,
    **dict.fromkeys(("IntegerLookup", "StringLookup"), _lookup),
    "Normalization": _normalization,
    "PReLU": _prelu,
    "STFTSpectrogram": _spectrogram,
    "SimpleRNNCell": _simple_rnn_cell,
    "SpectralNormalization": _spectral_normalization,
    **dict.fromkeys(
        (
            *("Activation", "ActivityRegularization", "Add", "AlphaDropout", "Average"),
            *("Concatenate", "Dropout", "ELU", "Flatten", "GaussianDropout", "GaussianNoise"),
            *("Identity", "InputLayer", "LeakyReLU", "Maximum", "Minimum", "Multiply"),
            *("Permute", "ReLU", "Rescaling", "Reshape", "Softmax", "SpatialDropout1D"),
            *("SpatialDropout2D", "SpatialDropout3D", "Subtract", "ThresholdedReLU"),
            *("CategoryEncoding", "Discretization", "HashedCrossing", "Hashing"),
            "TextVectorization",
            *("Bidirectional", "Masking", "RNN", "SimpleRNN", "StackedRNNCells"),
            *("TimeDistributed", "Pipeline", "Dot", "RepeatVector", "CenterCrop", "Resizing"),
            *("MelSpectrogram", "UnitNormalization", *AUGMENTATIONS),
            *(f"{name}{rank}D" for name in SPATIAL for rank in (1, 2, 3)),
        ),
        _none,
    ),
}


def roles(class_name: str, config: Config) -> list[Role] | None:
    """Return the weights of a built-in layer in stored order, or None if it is not known."""
    known = _ROLES.get(class_name)
    return None if known is None else known(config)


def part_records(class_name: str, config: Config) -> Iterator[tuple[str, Any]]:
    """Yield the records of the layers inside a wrapper, with their paths in an archive.

    Source: the attributes that hold them (``self.forward_layer``), which archives spell out.
    """
    if class_name in ("TimeDistributed", "SpectralNormalization"):
        yield "layer", config.get("layer")
    elif class_name == "Bidirectional":
        forward = config.get("layer")
        backward = config.get("backward_layer")
        yield "forward_layer", forward
        yield "backward_layer", _backwards(forward) if backward is None else backward
    elif class_name == "RNN":
        yield "cell", config.get("cell")
    elif class_name == "SimpleRNN":
        yield "cell", {"class_name": "SimpleRNNCell", "config": {**config, "name": ""}}
    elif class_name == "StackedRNNCells":
        yield from _numbered("cells", config.get("cells"))
    elif class_name == "Pipeline":
        yield from _numbered("_pipeline_layers", config.get("layers"))


def _numbered(path: str, records: Any) -> Iterator[tuple[str, Any]]:
    """Yield the records of a list with the paths that archives give them."""
    used: dict[str, int] = {}
    for record in records if isinstance(records, list) else [None]:
        name = snake_case(str(record.get("class_name")) if isinstance(record, Mapping) else "")
        yield f"{path}/{numbered(name, used)}", record


def _backwards(record: Any) -> Any:
    """Return the record of the layer that Bidirectional makes for the other direction."""
    if not isinstance(record, Mapping) or not isinstance(record.get("config"), Mapping):
        return record
    # Keras gives it the same settings but for this one, and a name of its own.
    config = {**record["config"], "name": ""}
    config["go_backwards"] = not config.get("go_backwards", False)
    return {
        **{key: value for key, value in record.items() if key != "shared_object_id"},
        "config": config,
    }


def numbered(name: str, used: dict[str, int]) -> str:
    """Return a class name with the number that archives give to its next occurrence."""
    count = used[name] = used.get(name, -1) + 1
    return f"{name}_{count}" if count else name


def snake_case(class_name: str) -> str:
    """Return a class name as Keras spells it in archive paths (keras.src.utils.naming)."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
