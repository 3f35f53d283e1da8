"""Masks that travel beside tensors: which layers take no notice of them.

A mask says which steps of a sequence count; Masking makes it from the values and
Embedding(mask_zero=True) from the codes. Keras hands it from layer to layer without a word in the
graph. Whatever reads it multiplies values by something that depends on the input.
"""

from __future__ import annotations

from converter.formats.keras_config import OPERATORS, TENSORFLOW, Layer
from converter.formats.keras_weights import AUGMENTATIONS, SPATIAL

# Layers whose values are the same with a mask and without one, at inference.
_BLIND = frozenset(
    {
        *("Activation", "ActivityRegularization", "AlphaDropout", "BatchNormalization"),
        *("Concatenate", "Dense", "Dot", "Dropout", "EinsumDense", "Flatten", "GaussianDropout"),
        *("GaussianNoise", "Identity", "LeakyReLU", "Normalization", "PReLU", "Permute", "ReLU"),
        *("RepeatVector", "Rescaling", "Reshape", "SpatialDropout1D", "SpatialDropout2D"),
        *("SpatialDropout3D", "ELU", "ThresholdedReLU", "Masking", "Pipeline"),
        *("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"),
        *("Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
        *("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"),
        *("CenterCrop", "Resizing", "STFTSpectrogram", *AUGMENTATIONS),
        *(f"{name}{rank}D" for name in SPATIAL for rank in (1, 2, 3)),
    }
) - {"GlobalAveragePooling1D", "GlobalAvgPool1D"}


def masked_call(layer: Layer) -> str:
    """Say why a layer cannot be called on a tensor with a mask, or return an empty string."""
    if layer.model is not None or (layer.is_built_in and layer.class_name in _BLIND):
        return ""
    if layer.module in (OPERATORS, TENSORFLOW):
        return ""  # they know nothing of masks
    return "reads a mask that depends on the input"
