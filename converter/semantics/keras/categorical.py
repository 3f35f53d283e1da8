"""Layers that look codes up: affine in the indicators of their levels, never in the codes.

Sources: `call` of each layer, keras.src.utils.numerical_utils (`encode_categorical_inputs`) and
keras.src.layers.preprocessing.index_lookup; tf_keras computes the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.formats.keras_policy import Quantization, policy_of
from converter.levels import Bins, Codes, Hashed, Levels, Vocabulary, salt_of
from converter.semantics.keras.layer import Layer
from converter.semantics.keras.lora import merged
from converter.semantics.keras.quantization import check_weight_only, table
from converter.tracing import algebra
from converter.tracing.affine import Affine
from converter.tracing.codes import check_levels, expand, present, recode
from converter.tracing.primitives import finite

_MODES = {"binary": "multi_hot", "tf-idf": "tf_idf"}


def embedding(
    inputs: Any,
    *,
    input_dim: int,
    output_dim: int,
    lora_rank: Any = None,
    lora_alpha: Any = None,
    quantization: Quantization | None = None,
    quantization_config: Any = None,
    embeddings: Any,
    embeddings_scale: Any = None,
    embeddings_zero: Any = None,
    g_idx: Any = None,
    lora_embeddings_a: Any = None,
    lora_embeddings_b: Any = None,
) -> Any:
    """Return a row of the table for each code."""
    if quantization is not None:
        embeddings = table(
            *(quantization, quantization_config, embeddings, (input_dim, output_dim)),
            *(embeddings_scale, embeddings_zero, g_idx),
        )
    elif quantization_config is not None:
        raise NotAffine("has a quantization_config and no quantised dtype, which is not supported")
    embeddings = merged(embeddings, lora_embeddings_a, lora_embeddings_b, lora_rank, lora_alpha)
    _check_table(embeddings, input_dim, output_dim)
    return expand(inputs, Codes(input_dim), embeddings)


def _check_table(embeddings: Any, input_dim: int, output_dim: int) -> None:
    if np.shape(embeddings) != (input_dim, output_dim):
        raise ValueError(
            f"a table of shape {list(np.shape(embeddings))} is no embedding of {input_dim!r} codes "
            f"in {output_dim!r} numbers"
        )


def reversible_embedding(
    inputs: Any,
    reverse: Any = False,
    *,
    input_dim: int,
    output_dim: int,
    tie_weights: bool = True,
    reverse_dtype: Any = None,
    logit_soft_cap: Any = None,
    lora_rank: Any = None,
    lora_alpha: Any = None,
    quantization: Quantization | None = None,
    quantization_config: Any = None,
    embeddings: Any,
    embeddings_scale: Any = None,
    embeddings_zero: Any = None,
    g_idx: Any = None,
    lora_embeddings_a: Any = None,
    lora_embeddings_b: Any = None,
    reverse_embeddings: Any = None,
    reverse_embeddings_scale: Any = None,
    reverse_embeddings_zero: Any = None,
) -> Any:
    """Return a row of the table for each code; or, in reverse, the products with all rows.

    Source: keras.src.layers.core.reversible_embedding.
    """
    if reverse is None or reverse is False:
        return embedding(
            inputs,
            input_dim=input_dim,
            output_dim=output_dim,
            lora_rank=lora_rank,
            lora_alpha=lora_alpha,
            quantization=quantization,
            quantization_config=quantization_config,
            embeddings=embeddings,
            embeddings_scale=embeddings_scale,
            embeddings_zero=embeddings_zero,
            g_idx=g_idx,
            lora_embeddings_a=lora_embeddings_a,
            lora_embeddings_b=lora_embeddings_b,
        )
    if reverse is not True or type(tie_weights) is not bool:
        raise ValueError("says neither yes nor no whether it is called in reverse, or tied")
    if reverse_dtype not in (None, "float16", "bfloat16", "float32", "float64"):
        raise NotAffine(f"computes in {reverse_dtype!r} in reverse, which is not supported")
    stored, scale, zero = embeddings, embeddings_scale, embeddings_zero
    if not tie_weights:
        stored = np.transpose(reverse_embeddings)
        scale, zero = reverse_embeddings_scale, reverse_embeddings_zero
        if quantization is not None and quantization.grouped:
            scale, zero = np.transpose(scale), np.transpose(zero)
    if quantization is not None:
        check_weight_only(quantization, quantization_config)
        if lora_embeddings_a is not None:
            raise NotAffine("adds low-rank factors to a quantised table, not supported in reverse")
        stored = table(
            *(quantization, quantization_config, stored, (input_dim, output_dim)),
            *(scale, zero, g_idx),
        )
    elif tie_weights:
        stored = merged(stored, lora_embeddings_a, lora_embeddings_b, lora_rank, lora_alpha)
    _check_table(stored, input_dim, output_dim)
    y = np.matmul(inputs, np.transpose(stored))
    if logit_soft_cap is None:
        return y
    cap = float(finite(logit_soft_cap))
    if cap == 0.0:
        raise ValueError("has a logit_soft_cap of zero")
    return np.multiply(algebra.tanh(np.divide(y, cap)), cap)


def category_encoding(
    inputs: Any, count_weights: Any = None, *, num_tokens: Any, output_mode: str = "multi_hot"
) -> Any:
    """Encode whole numbers; the layer asks that they be below `num_tokens`."""
    if type(num_tokens) is not int or num_tokens < 1:
        raise NotAffine(f"has num_tokens={num_tokens!r}: how many codes there are is not known")
    check_levels(num_tokens)
    levels = Codes(num_tokens)
    return _encoded(inputs, levels, np.arange(num_tokens), num_tokens, output_mode, count_weights)


def discretization(
    inputs: Any,
    *,
    bin_boundaries: Any = None,
    num_bins: Any = None,
    bins: Any = None,
    output_mode: str = "int",
    dtype: Any = None,
) -> Any:
    """Say in which interval a number lies, ``[boundary, next boundary)``.

    In a model, the layer reads its input in the type that it computes in.
    """
    boundaries = bins if bin_boundaries is None else bin_boundaries
    if boundaries is None:
        raise NotAffine("does not say its bin_boundaries (adapt it before saving)")
    edges = finite(boundaries).reshape(-1).astype(np.float32).astype(np.float64)
    if (np.diff(edges) < 0).any():
        raise NotAffine("has bin_boundaries that do not rise")
    levels = Bins(tuple(edges.tolist()), types=_read_in(dtype))
    return _encoded(inputs, levels, np.arange(levels.count), levels.count, output_mode)


def _read_in(dtype: Any) -> tuple[str, ...]:
    """Return the floating point type that a layer rounds its input to, if any."""
    if policy_of({"dtype": dtype}) is not None:
        return ()  # the type of its codes
    name = dtype["config"]["name"] if isinstance(dtype, dict) else dtype or "float32"
    return (name.removeprefix("mixed_"),)


def hashing(
    inputs: Any,
    *,
    num_bins: Any,
    mask_value: Any = None,
    salt: Any = None,
    output_mode: str = "int",
) -> Any:
    """Say into which bucket a value is hashed."""
    if type(num_bins) is not int or num_bins < 1:
        raise ValueError(f"num_bins is {num_bins!r}")
    check_levels(num_bins)
    levels = Hashed(num_bins, mask_value, salt_of(salt))
    if output_mode == "one_hot" and np.ndim(inputs) and np.shape(inputs)[-1] == 1:
        inputs = inputs.reshape(inputs.shape[:-1])
    return _encoded(inputs, levels, np.arange(num_bins), num_bins, output_mode)


def _index_lookup(text: bool) -> Callable[..., Any]:
    def index_lookup(
        inputs: Any,
        *,
        vocabulary: Any = None,
        max_tokens: Any = None,
        num_oov_indices: Any = 1,
        mask_token: Any = None,
        oov_token: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        oov_method: str = "floormod",
        salt: Any = None,
        encoding: str = "utf-8",
        vocabulary_dtype: str = "int64",
        idf_weights: Any = None,
    ) -> Any:
        """Say which place a value has in a vocabulary: first the mask, then unknown values."""
        mode = _MODES.get(output_mode, output_mode)
        if invert:
            raise NotAffine("turns codes into tokens (invert), which are no numbers")
        if encoding.lower() not in ("utf-8", "utf8"):
            raise NotAffine(f"reads text in {encoding!r}, which is not supported")
        if isinstance(vocabulary, str):
            raise NotAffine("names a file for its vocabulary, which is never opened")
        if not isinstance(vocabulary, list) or not vocabulary:
            raise NotAffine(
                "does not hold its vocabulary; give it one before saving, or save as .keras"
            )
        if type(num_oov_indices) is not int or not 0 <= num_oov_indices < 1 << 20:
            raise ValueError(f"num_oov_indices is {num_oov_indices!r}")
        if oov_method not in ("floormod", "farmhash"):
            raise NotAffine(f"has the unknown oov_method {oov_method!r}")
        masked = mask_token is not None
        special = [mask_token] * (masked and mode == "int") + [oov_token] * num_oov_indices
        tokens = vocabulary[len(special) :] if vocabulary[: len(special)] == special else vocabulary
        wanted = str if text else int
        if any(type(token) is not wanted for token in tokens):
            raise ValueError(f"has tokens that are no {'text' if text else 'whole numbers'}")
        if len(set(tokens)) < len(tokens) or (masked and mask_token in tokens):
            raise ValueError("has a token twice in its vocabulary")
        key = salt_of(salt)
        hashing = "remainder" if not text and oov_method == "floormod" else "fingerprint"
        if key is not None:
            if hashing == "remainder":
                raise ValueError("has a salt and no hash function that takes it")
            hashing = "siphash"
        unknown = str(oov_token) if text and oov_token is not None else "[UNK]"
        levels = Vocabulary(tuple(tokens), mask_token, num_oov_indices, unknown, hashing, key)
        codes = np.arange(levels.count)
        if mode != "int" and masked:
            codes = codes - 1  # the mask is dropped
        depth = int(codes.max()) + 1
        if pad_to_max_tokens:
            if type(max_tokens) is not int or max_tokens < depth:
                raise ValueError(f"max_tokens is {max_tokens!r} for {depth} tokens")
            depth = max_tokens
        if mode != "tf_idf":
            return _encoded(inputs, levels, codes, depth, mode)
        if idf_weights is None:
            raise NotAffine("does not say its idf_weights")
        weights = _frequencies(idf_weights, num_oov_indices, len(tokens), depth)
        return np.multiply(_encoded(inputs, levels, codes, depth, "count"), weights)

    return index_lookup


def _frequencies(given: Any, unknown: int, tokens: int, depth: int) -> np.ndarray:
    """Return a weight for each code: archives hold them all, a configuration perhaps the tokens'.

    Source: `set_vocabulary` of keras.src.layers.preprocessing.index_lookup.
    """
    weights = finite(given).reshape(-1)
    if len(weights) == tokens and unknown:
        weights = np.concatenate([np.full(unknown, weights.mean()), weights])
    if len(weights) == unknown + tokens:
        return np.pad(weights, (0, depth - len(weights)))
    if len(weights) != depth:
        raise ValueError(f"has {len(weights)} idf_weights for {tokens} tokens")
    return weights


def _encoded(
    inputs: Any,
    levels: Levels,
    codes: np.ndarray,
    depth: int,
    mode: str,
    count_weights: Any = None,
) -> Any:
    """Return codes, or their encoding.

    Parameters
    ----------
    inputs : Affine or ndarray
    levels : Levels
    codes : ndarray of int, shape (levels,)
        The code of each level; -1 for one that is dropped.
    depth : int
        How many codes there are.
    mode : {"int", "one_hot", "multi_hot", "count"}
    count_weights : ndarray, optional
        Constant weights of a count.
    """
    mode = _MODES.get(mode, mode)
    if mode == "int":
        return recode(inputs, levels, codes)
    if mode not in ("one_hot", "multi_hot", "count"):
        raise NotAffine(f"has the output_mode {mode!r}, which is not supported")
    rank = np.ndim(inputs)
    if rank == 0 or (rank == 1 and mode != "one_hot"):
        raise NotAffine("takes all rows for one sample")
    if depth * levels.count > 1 << 26:
        raise NotAffine(f"encodes {levels.count:,} levels one by one; an Embedding is meant here")
    table = np.zeros((levels.count, depth), dtype=bool)
    kept = np.flatnonzero(codes >= 0)
    table[kept, codes[kept]] = True
    if mode == "one_hot":
        if rank > 1 and np.shape(inputs)[-1] == 1:
            inputs = inputs.reshape(inputs.shape[:-1])
        return expand(inputs, levels, table)
    if rank > 2:
        raise NotAffine("encodes sets along an axis that is not the last one")
    if mode == "multi_hot":
        return present(inputs, levels, table)
    rows = expand(inputs, levels, table)
    if count_weights is not None:
        if isinstance(count_weights, Affine):
            raise NotAffine("weights a count by a value that depends on the input")
        rows = np.multiply(rows, np.expand_dims(count_weights, -1))
    return np.sum(rows, axis=1)


_TEXT = "splits text into words, whose number and choice depend on the input"
_SPARSE = frozenset({"sparse"})

_EMBEDDING = frozenset({"mask_zero", "input_length", "activity_regularizer"})

#: Layers that hold a table of numbers, in which they compute.
TABLES = frozenset({"Embedding", "ReversibleEmbedding"})

LAYERS: dict[str, Layer] = {
    "CategoryEncoding": Layer(category_encoding, inert=_SPARSE | {"max_tokens"}),
    "Discretization": Layer(discretization, inert=_SPARSE | {"epsilon"}),
    "Embedding": Layer(embedding, inert=_EMBEDDING),
    "HashedCrossing": Layer(
        None, "crosses codes: affine in the indicators of pairs of levels, not of each input's"
    ),
    "Hashing": Layer(hashing, inert=_SPARSE),
    "IntegerLookup": Layer(_index_lookup(False), inert=_SPARSE | {"vocabulary_size", "max_values"}),
    "ReversibleEmbedding": Layer(reversible_embedding, inert=_EMBEDDING),
    "StringLookup": Layer(_index_lookup(True), inert=_SPARSE | {"vocabulary_size"}),
    "TextVectorization": Layer(None, _TEXT),
}
