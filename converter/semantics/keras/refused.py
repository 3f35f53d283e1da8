"""Layers that are never affine, with the reason."""

from __future__ import annotations

from converter.semantics.keras.layer import Layer

_ATTENTION = "an attention layer multiplies values that depend on the input"
_STATISTICS = "normalises by statistics of the values themselves"
_GATED = "a gated recurrent layer multiplies values that depend on the input"
_CELL = "a cell that is called by itself, which is not supported; put it into an RNN layer"
_SPECTRUM = "takes the magnitudes of a spectrum, a non-linear function of the signal"

LAYERS: dict[str, Layer] = {
    **dict.fromkeys(
        (
            *("AdditiveAttention", "Attention", "GroupQueryAttention", "GroupedQueryAttention"),
            "MultiHeadAttention",
        ),
        Layer(None, _ATTENTION),
    ),
    **dict.fromkeys(
        ("GroupNormalization", "LayerNormalization", "RMSNormalization", "UnitNormalization"),
        Layer(None, _STATISTICS, keeps_shape=True),
    ),
    **dict.fromkeys(
        (
            *("GRU", "LSTM", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "GRUCell", "LSTMCell"),
            *("CuDNNGRU", "CuDNNLSTM", "ConvLSTM1DCell", "ConvLSTM2DCell", "ConvLSTM3DCell"),
        ),
        Layer(None, _GATED),
    ),
    **dict.fromkeys(("SimpleRNNCell", "StackedRNNCells"), Layer(None, _CELL)),
    "MelSpectrogram": Layer(None, _SPECTRUM),
}
