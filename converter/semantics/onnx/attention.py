"""Attention: sums of values weighted by a softmax of how well keys match queries.

With constant queries and keys it is linear in the values. The match itself, a further output, is
linear in queries or in keys; the updated caches are so too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from converter.errors import NOT_FINITE, NotAffine
from converter.semantics.onnx.operator import Operator
from converter.semantics.onnx.refusal import attempt, refuse, traced
from converter.semantics.precision import double, floating, in_type_of
from converter.tracing.affine import check_size, pin
from converter.tracing.linked import CHOICE, FUNCTION
from converter.tracing.primitives import finite

# float32, float16, float64 and bfloat16; rounding is no part of what is computed here.
_PRECISIONS = (1, 10, 11, 16)

_SOFTMAX = "takes a softmax of what depends on the input, and goes on with it"


@dataclass(frozen=True, slots=True)
class _Settings:
    """Attributes of Attention, as ONNX names them; `padded` tells whether masks may be short."""

    is_causal: int
    kv_num_heads: int | None
    q_num_heads: int | None
    qk_matmul_output_mode: int
    scale: float | None
    softcap: float
    softmax_precision: int | None
    left_window_size: int = -1
    right_window_size: int = -1
    padded: bool = True

    def __post_init__(self) -> None:
        if self.qk_matmul_output_mode not in (0, 1, 2, 3):
            raise NotAffine(f"has the unknown qk_matmul_output_mode {self.qk_matmul_output_mode}")
        if self.softmax_precision not in (None, *_PRECISIONS):
            raise NotAffine(f"has the unknown softmax_precision {self.softmax_precision}")
        if not self.softcap >= 0.0:
            raise NotAffine(f"has the unknown softcap {self.softcap}")
        if self.scale is not None and not self.scale >= 0.0:
            raise NotAffine(f"has the scale {self.scale}, whose root is taken")
        if min(self.left_window_size, self.right_window_size) < -1:
            raise NotAffine("has a window of a negative size")


def attention_23(
    Q: Any,
    K: Any,
    V: Any,
    attn_mask: Any = None,
    past_key: Any = None,
    past_value: Any = None,
    *,
    is_causal: int = 0,
    kv_num_heads: int | None = None,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int | None = None,
) -> Any:
    """Attend: ONNX operators, Attention-23; see `attention`."""
    settings = _Settings(
        is_causal,
        kv_num_heads,
        q_num_heads,
        qk_matmul_output_mode,
        scale,
        softcap,
        softmax_precision,
        padded=False,
    )
    return _attend(Q, K, V, attn_mask, past_key, past_value, None, settings)


def attention_24(
    Q: Any,
    K: Any,
    V: Any,
    attn_mask: Any = None,
    past_key: Any = None,
    past_value: Any = None,
    nonpad_kv_seqlen: Any = None,
    *,
    is_causal: int = 0,
    kv_num_heads: int | None = None,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int | None = None,
) -> Any:
    """Attend, some keys being padding: ONNX operators, Attention-24; see `attention`."""
    settings = _Settings(
        is_causal,
        kv_num_heads,
        q_num_heads,
        qk_matmul_output_mode,
        scale,
        softcap,
        softmax_precision,
    )
    return _attend(Q, K, V, attn_mask, past_key, past_value, nonpad_kv_seqlen, settings)


def attention(
    Q: Any,
    K: Any,
    V: Any,
    attn_mask: Any = None,
    past_key: Any = None,
    past_value: Any = None,
    nonpad_kv_seqlen: Any = None,
    *,
    is_causal: int = 0,
    kv_num_heads: int | None = None,
    left_window_size: int = -1,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    right_window_size: int = -1,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int | None = None,
) -> Any:
    """Return Y, present_key, present_value, qk_matmul_output: ONNX operators, Attention."""
    settings = _Settings(
        is_causal,
        kv_num_heads,
        q_num_heads,
        qk_matmul_output_mode,
        scale,
        softcap,
        softmax_precision,
        left_window_size,
        right_window_size,
    )
    return _attend(Q, K, V, attn_mask, past_key, past_value, nonpad_kv_seqlen, settings)


def _attend(
    Q: Any,
    K: Any,
    V: Any,
    attn_mask: Any,
    past_key: Any,
    past_value: Any,
    nonpad_kv_seqlen: Any,
    settings: _Settings,
) -> tuple[Any, Any, Any, Any]:
    floating(Q, K, V, past_key, past_value)
    if (past_key is None) != (past_value is None):
        raise ValueError("past_key and past_value are given together or not at all")
    if past_key is not None and nonpad_kv_seqlen is not None:
        raise ValueError("nonpad_kv_seqlen is not used with past_key")
    packed = np.ndim(Q) == 3
    query = by_heads(Q, settings.q_num_heads)
    present_key = _joined(past_key, by_heads(K, settings.kv_num_heads))
    present_value = _joined(past_value, by_heads(V, settings.kv_num_heads))
    batch, heads, rows, width = np.shape(query)
    kv_heads, total, depth = _check_cache(np.shape(query), present_key, present_value)
    whole = (batch, heads, rows, total)
    check_size(whole)
    check_size((batch, heads, rows, depth))
    offset: Any = 0 if past_key is None else np.shape(past_key)[2]
    valid = None
    if nonpad_kv_seqlen is not None:
        valid = _lengths(nonpad_kv_seqlen, batch, total)
        offset = valid - rows
    excluded = _excluded(whole, offset, valid, settings)
    windows = (settings.left_window_size, settings.right_window_size)
    if settings.is_causal or max(windows) >= 0 or valid is not None:
        for value in (query, present_key, present_value):
            pin(value, [rows, total])

    factor = width**-0.5 if settings.scale is None else settings.scale
    keys = _repeated(double(present_key), heads // kv_heads)

    def match() -> Any:
        product = np.matmul(double(query), np.swapaxes(keys, 2, 3))
        return np.multiply(product, np.float64(factor))

    def cap() -> Any:
        value = _or_raise(matched)
        if settings.softcap == 0.0:
            return value
        refuse(FUNCTION, value)
        return settings.softcap * np.tanh(value / settings.softcap)

    def add_bias() -> Any:
        value = _or_raise(capped)
        added = _or_raise(bias)
        # What is excluded has an infinite score, which no affine function has.
        return np.add(value, finite(added) if traced(value) and not traced(added) else added)

    def weigh() -> Any:
        values = _repeated(double(present_value), heads // kv_heads)
        weights = weighted
        if isinstance(weights, NotAffine) and _alike(values):
            # However they are weighted, the weights' sum is one (or zero, where none is seen).
            weights = _softmax(bias, bias, bias, whole)
        weights = _or_raise(weights)
        result = np.matmul(finite(weights) if traced(values) else weights, values)
        if not packed:
            return result
        return np.reshape(np.transpose(result, (0, 2, 1, 3)), (batch, rows, heads * depth))

    bias = attempt(lambda: _bias(attn_mask, whole, excluded, settings.padded), whole)
    matched = attempt(match, whole)
    capped = attempt(cap, whole)
    scored = attempt(add_bias, whole)
    alike = traced(query, keys) and _indifferent(query, keys)
    scores = (bias, bias) if alike else (capped, scored)
    weighted = attempt(lambda: _softmax(*scores, bias, whole), whole)
    shown = (matched, capped, scored, weighted)[settings.qk_matmul_output_mode]
    y = attempt(weigh, (batch, rows, heads * depth) if packed else (*whole[:3], depth))
    return in_type_of(Q, y), present_key, present_value, in_type_of(Q, shown)


def _indifferent(query: Any, keys: Any) -> bool:
    """Tell whether a query matches all keys alike, by what is constant of the two."""
    return _alike(keys) or (not traced(query) and not np.any(query))


def _alike(value: Any) -> bool:
    """Tell whether a constant is the same at each place of the sequence."""
    return not traced(value) and bool(np.all(value - value[:, :, :1] == 0.0))


def _or_raise(value: Any) -> Any:
    if isinstance(value, NotAffine):
        raise value
    return value


def by_heads(value: Any, heads: int | None) -> Any:
    """Return a value of shape (batch, heads, sequence, width)."""
    shape = np.shape(value)
    if len(shape) == 4:
        if heads not in (None, shape[1]):
            raise ValueError(f"{heads} heads asked for in a value of shape {list(shape)}")
        return value
    if len(shape) != 3 or heads is None or heads < 1 or shape[2] % heads:
        raise ValueError(f"a value of shape {list(shape)} does not divide into {heads} heads")
    apart = np.reshape(value, (*shape[:2], heads, shape[2] // heads))
    return np.transpose(apart, (0, 2, 1, 3))


def _joined(past: Any, value: Any) -> Any:
    """Return what is cached with what is new behind it."""
    if past is None:
        return value
    shape, earlier = np.shape(value), np.shape(past)
    if len(earlier) != 4 or earlier[:2] != shape[:2] or earlier[3] != shape[3]:
        raise ValueError(f"a cache of shape {list(earlier)} does not fit {list(shape)}")
    check_size((*shape[:2], earlier[2] + shape[2], shape[3]))
    return np.concatenate([past, value], axis=2)


def _check_cache(query: tuple[int, ...], key: Any, value: Any) -> tuple[int, int, int]:
    """Return the heads and the length of the cache and the width of its values."""
    batch, heads, total, width = np.shape(key)
    others = np.shape(value)
    if (batch, width) != (query[0], query[3]) or others[:3] != (batch, heads, total):
        raise ValueError(
            f"keys of shape {[batch, heads, total, width]} and values of {list(others)} do not fit "
            f"queries of {list(query)}"
        )
    if heads < 1 or query[1] % heads:
        raise ValueError(f"{query[1]} heads of queries share {heads} heads of keys")
    return heads, total, others[3]


def _repeated(value: Any, times: int) -> Any:
    """Give each head to several heads of queries, which are neighbours."""
    shape = np.shape(value)
    check_size((shape[0], shape[1] * times, *shape[2:]))
    return np.repeat(value, times, axis=1) if times > 1 else value


def _lengths(nonpad_kv_seqlen: Any, batch: int, total: int) -> np.ndarray:
    """Return how many keys are none of padding, shape (batch, 1, 1, 1)."""
    refuse(CHOICE, nonpad_kv_seqlen)
    lengths = np.asarray(nonpad_kv_seqlen)
    if lengths.dtype.kind not in "iu" or lengths.shape != (batch,):
        raise ValueError("needs one length for each sample")
    if (lengths < 0).any() or (lengths > total).any():
        raise ValueError(f"a length lies outside the {total} keys")
    return lengths.astype(np.int64).reshape(batch, 1, 1, 1)


def _excluded(
    whole: tuple[int, ...], offset: Any, valid: np.ndarray | None, settings: _Settings
) -> np.ndarray:
    """Return which keys a query may not see; its axes broadcast to `whole`."""
    key = np.arange(whole[3])
    # How far each key lies ahead of the query.
    ahead = key - (np.arange(whole[2])[:, None] + offset)
    excluded = np.zeros((1, 1, *whole[2:]), bool)
    if settings.is_causal:
        excluded = excluded | (ahead > 0)
    if settings.left_window_size >= 0:
        excluded = excluded | (ahead < -settings.left_window_size)
    if settings.right_window_size >= 0:
        excluded = excluded | (ahead > settings.right_window_size)
    return excluded if valid is None else excluded | (key >= valid)


def _bias(mask: Any, whole: tuple[int, ...], excluded: np.ndarray, padded: bool) -> Any:
    """Return what is added to the scores: the mask, and minus infinity where excluded."""
    if mask is not None:
        shape, total = np.shape(mask), whole[3]
        if not traced(mask) and mask.dtype.kind == "b":
            mask = np.where(mask, 0.0, -np.inf)
        else:
            floating(mask)
            mask = double(mask)
            if not traced(mask) and (np.isnan(mask) | np.isposinf(mask)).any():
                raise NotAffine(NOT_FINITE)
        if shape and shape[-1] < total:
            if shape[-1] == 1:
                raise NotAffine("has a mask for one key: repeated by some, padded by others")
            if not padded:
                raise ValueError(f"a mask of shape {list(shape)} does not fit {list(whole)}")
            out = np.arange(total) >= shape[-1]
            excluded = excluded | out
            mask = np.take(mask, np.where(out, 0, np.arange(total)), axis=-1)
        if np.broadcast_shapes(np.shape(mask), whole) != whole:
            raise ValueError(f"a mask of shape {list(shape)} does not fit {list(whole)}")
    if not excluded.any():
        return np.zeros((1, 1, *whole[2:])) if mask is None else mask
    closed = np.where(excluded, -np.inf, 0.0)
    if mask is None:
        return closed
    if traced(mask):
        raise NotAffine("adds a mask that depends on the input to scores that are left out")
    return np.where(excluded, -np.inf, mask)


def _softmax(capped: Any, scored: Any, bias: Any, whole: tuple[int, ...]) -> np.ndarray:
    """Return the weights of the keys, all zero for a query that may see none."""
    refuse(_SOFTMAX, _or_raise(bias))
    open_ = ~np.isneginf(np.broadcast_to(bias, whole))
    if (np.sum(open_, axis=-1) <= 1).all():
        # A key that is alone has all the weight, however well it matches.
        return open_.astype(np.float64)
    refuse(_SOFTMAX, _or_raise(capped))
    scores = _or_raise(scored)
    largest = np.max(scores, axis=-1, keepdims=True, initial=-np.inf)
    weights = np.exp(scores - np.where(np.isneginf(largest), 0.0, largest))
    total = np.sum(weights, axis=-1, keepdims=True)
    weights = weights / np.where(total == 0.0, 1.0, total)
    return np.where(open_.any(axis=-1, keepdims=True), weights, 0.0)


OPERATORS: dict[str, Operator] = {
    "Attention": Operator(
        {23: attention_23, 24: attention_24, 25: attention},
        infinite=frozenset({3}),
        accepts="Q, K and the mask are constant",
    ),
}
