"""Operations that are refused on whatever depends on the input, each with its reason."""

from __future__ import annotations

from converter.semantics.keras.layer import Layer
from converter.tracing.functions import PRODUCT
from converter.tracing.linked import ACTIVATION

_RUNS = "runs functions that the file does not hold"
_STATISTICS = "normalises by statistics of the values themselves"
_ORDER = "orders or chooses among values that depend on the input"
_WHOLE = "computes with the bits of whole numbers"
_LOSS = "computes a loss, a non-linear function of values that depend on the input"
_MATRIX = "factorises or inverts a matrix that depends on the input"
_COMPARES = "compares values that depend on the input"
_DRAWS = "draws random numbers, or moves pixels by a non-linear function"
_COLOUR = "changes the colour space by a non-linear function"
_SPREAD = "a variance or a norm, a non-linear function of values that depend on the input"
_MISSING = "leaves out missing values, which depends on the input"
_COUNTS = "counts or places by values that depend on the input"


def _refused(reason: str, *names: str, keeps_shape: bool = False) -> dict[str, Layer]:
    return {name: Layer(None, reason, keeps_shape=keeps_shape) for name in names}


OPERATORS: dict[str, Layer] = {
    **_refused(
        ACTIVATION,
        *(
            "Gelu",
            "HardSigmoid",
            "HardSilu",
            "LogSigmoid",
            "Selu",
            "Silu",
            "Softplus",
            "Softsign",
            "SparsePlus",
            "SparseSigmoid",
        ),
        *("Squareplus", "TanhShrink", "Threshold", "Erfinv"),
        keeps_shape=True,
    ),
    **_refused("a softmax of another kind, which is no known link", "Sparsemax", keeps_shape=True),
    **_refused(PRODUCT, "Glu", "DotProductAttention", "CDist", "Polar", "Vander"),
    **_refused(
        _RUNS,
        *("AssociativeScan", "Cond", "ForiLoop", "Function", "JVP", "Map", "Scan", "Switch"),
        *("VectorizedMap", "WhileLoop"),
    ),
    **_refused(_STATISTICS, "LayerNorm", "Normalize", "RMSNorm", keeps_shape=True),
    **_refused(
        _ORDER,
        *("Argpartition", "Argsort", "Median", "Percentile", "Quantile", "Sort", "TopK", "Unique"),
        *("Nanmedian", "Nanpercentile", "Nanquantile", "Ptp", "SearchSorted"),
    ),
    **_refused(
        _WHOLE,
        *("BitwiseAnd", "BitwiseInvert", "BitwiseLeftShift", "BitwiseNot", "BitwiseOr"),
        *("BitwiseRightShift", "BitwiseXor", "Gcd", "Lcm", "LeftShift", "RightShift", "View"),
    ),
    **_refused(
        _LOSS,
        *("BinaryCrossentropy", "CategoricalCrossentropy", "CTCDecode", "CTCLoss", "PSNR"),
        *("SparseCategoricalCrossentropy", "SSIM"),
    ),
    **_refused(
        _MATRIX,
        *("Cholesky", "CholeskyInverse", "Det", "Eig", "Eigh", "Inv", "Logdet", "LuFactor"),
        *("MatrixRank", "Pinv", "Qr", "SVD", "Slogdet"),
    ),
    **_refused(
        _COMPARES, "All", "AllClose", "Any", "InTopK", "Isclose", "IsIn", "Nonzero", "CountNonzero"
    ),
    **_refused(_DRAWS, "ElasticTransform", "PerspectiveTransform"),
    **_refused(_COLOUR, "HSVToRGB", "RGBToHSV", keeps_shape=True),
    **_refused(_SPREAD, "Corrcoef", "Norm", "Nanstd", "Nanvar", "Std", "Var"),
    **_refused(
        _MISSING,
        *("NanToNum", "Nanargmax", "Nanargmin", "Nancumprod", "Nancumsum", "Nanmax", "Nanmean"),
        *("Nanmin", "Nanprod", "Nansum"),
    ),
    **_refused(_COUNTS, "Bincount", "Histogram", "SegmentReduction", "UnravelIndex"),
    **_refused(
        "works on segments, along the rows", "SegmentMax", "SegmentMin", "SegmentProd", "SegmentSum"
    ),
    **_refused(
        "makes a range of numbers out of values that depend on the input",
        *("Arange", "Geomspace", "Linspace", "Logspace", "Full"),
    ),
    **_refused("makes complex numbers, which are not supported", "ViewAsComplex", "ViewAsReal"),
    **_refused("the imaginary part of what has none", "Imag"),
}
