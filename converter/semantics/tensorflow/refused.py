"""Operations that are refused on whatever they are given, each with its reason."""

from __future__ import annotations

from converter.semantics.keras.categorical import LAYERS
from converter.semantics.keras.ops.nonlinear import OPERATORS as KERAS
from converter.semantics.tensorflow.operator import Operation
from converter.tracing.functions import PRODUCT
from converter.tracing.linked import ACTIVATION, CHOICE, FUNCTION

_RUNS = "runs code that is not in the graph"
_TABLE = "looks up a table that the graph does not hold"
_STATE = "keeps or changes a state from call to call"
_RANDOM = "draws random numbers"
_CONTROL = "decides at run time what is computed"
_STRINGS = "computes with text"


def _refused(reason: str, *names: str, keeps_shape: bool = False) -> dict[str, Operation]:
    return {name: Operation(None, reason, keeps_shape=keeps_shape) for name in names}


OPERATIONS: dict[str, Operation] = {
    **_refused(_RUNS, "PyFunc", "EagerPyFunc", "PyFuncStateless", "XlaCallModule", "TPUExecute"),
    **_refused(
        _TABLE,
        *("HashTableV2", "LookupTableSizeV2", "MutableHashTableV2"),
        *("CapturedObject", "HashTable", "AnonymousHashTable"),
    ),
    **_refused(
        _STATE,
        *("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp", "VarHandleOp"),
        *("ReadVariableOp", "VariableV2", "RestoreV2", "SaveV2", "Iterator", "IteratorGetNext"),
    ),
    **_refused(
        _RANDOM,
        *("RandomUniform", "RandomStandardNormal", "StatelessRandomUniformV2", "Multinomial"),
        *("StatelessRandomNormalV2", "StatefulUniform", "TruncatedNormal", "RandomShuffle"),
        *("StatelessRandomUniform", "StatelessRandomGetKeyCounter", "RandomUniformInt"),
    ),
    **_refused(
        _CONTROL,
        *("Case", "StatelessCase", "Switch"),
        *("Merge", "Enter", "Exit", "NextIteration", "LoopCond"),
        *("TensorListPushBack", "TensorListPopBack", "TensorListConcatV2", "EmptyTensorList"),
        "MapDefun",
    ),
    **_refused(
        LAYERS["HashedCrossing"].refusal, "SparseCross", "SparseCrossV2", "SparseCrossHashed"
    ),
    **_refused(
        _STRINGS,
        *("StringSplitV2", "StringJoin", "StringToHashBucket", "StringFormat"),
        *("RegexReplace", "StaticRegexReplace", "StringLower", "StringToNumber"),
        *("ParseExampleV2", "DecodeRaw", "DecodeJpeg", "DecodePng", "DecodeBase64"),
    ),
    **_refused(
        ACTIVATION,
        *("Selu", "Gelu", "LeakyReluGrad"),
        keeps_shape=True,
    ),
    **_refused(
        FUNCTION,
        *("Lgamma", "Digamma", "Erfinv", "Ndtri", "InvGrad", "BesselI0e", "BesselI1e"),
        keeps_shape=True,
    ),
    **_refused(
        CHOICE,
        *("TopKV2", "InTopKV2", "UniqueV2", "Unique", "MaxPool3D", "MaxPoolV2"),
        *("NonMaxSuppressionV4", "CropAndResize", "SegmentMax", "Bincount"),
        *("SparseToDense", "MaxPoolWithArgmax"),
    ),
    **_refused(PRODUCT, "MatrixInverse", "MatrixDeterminant", "Cholesky", "Svd", "Qr"),
    **_refused("normalises by values of its neighbourhood", "LRN", keeps_shape=True),
    **_refused(
        KERAS["Sort"].refusal,
        *("SortV2", "XlaSort"),
    ),
    **_refused(
        "computes a loss",
        *("SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits", "L2Loss"),
    ),
}
