"""Layers that change pictures at random in training, and leave them alone at inference.

Source: `transform_images` of keras.src.layers.preprocessing.image_preprocessing, which returns
what it is given unless it is told that this is training.
"""

from __future__ import annotations

from typing import Any

from converter.semantics.keras.layer import Layer


def unchanged(x: Any) -> Any:
    return x


_SETTINGS = frozenset(
    {
        *("all_ops", "alpha", "bounding_box_format", "brightness_factor", "chain_depth"),
        *("contrast_factor", "data_format", "factor", "fill_mode", "fill_value", "height_factor"),
        *("hue_factor", "interpolation", "kernel_size", "max_number", "mode", "num_chains"),
        *("num_ops", "saturation_factor", "scale", "sigma", "value_range", "width_factor"),
        *("x_factor", "y_factor", "addition_factor", "threshold_factor"),
        *("auto_vectorize", "rng_type"),
    }
)
_RANDOM = Layer(unchanged, inert=_SETTINGS)
_STATISTICS = "stretches pictures by statistics of their own, at inference too"

LAYERS: dict[str, Layer] = {
    **dict.fromkeys(
        (
            *("AugMix", "CutMix", "MaxNumBoundingBoxes", "MixUp", "RandAugment"),
            *("RandomBrightness", "RandomColorDegeneration", "RandomColorJitter"),
            *("RandomContrast", "RandomElasticTransform", "RandomErasing", "RandomFlip"),
            *("RandomGaussianBlur", "RandomGrayscale", "RandomHeight", "RandomHue"),
            *("RandomInvert", "RandomPerspective", "RandomPosterization", "RandomRotation"),
            *("RandomSaturation", "RandomSharpness", "RandomShear", "RandomTranslation"),
            *("RandomWidth", "RandomZoom", "Solarization"),
        ),
        _RANDOM,
    ),
    **dict.fromkeys(
        ("AutoContrast", "ContrastLimitedAdaptiveHistogramEqualization", "Equalization"),
        Layer(None, _STATISTICS, keeps_shape=True),
    ),
}
