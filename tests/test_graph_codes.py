"""Codes in graphs: what is made of one until it is looked up is followed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import converter

_R = np.random.default_rng(7)
T5 = _R.normal(size=(5, 2))
T8 = _R.normal(size=(8, 2))
ROWS = 60
#: All tables that were made: what a saved function looks up must belong to what is saved.
TABLES: list = []
f64 = tf.float64


@cache
def _made(keys: tuple, values: tuple, default: float) -> tf.lookup.StaticHashTable:
    kind = tf.string if isinstance(keys[0], str) else tf.int64
    numbers = tf.int64 if isinstance(values[0], int) else f64
    with tf.init_scope():
        filled = tf.lookup.KeyValueTensorInitializer(keys, values, kind, numbers)
        TABLES.append(tf.lookup.StaticHashTable(filled, default))
    return TABLES[-1]


def _table(keys: list, values: list, default: float = -1) -> tf.lookup.StaticHashTable:
    return _made(tuple(keys), tuple(values), default)


def _or_bucket(found, bucket, start: int):
    return tf.where(found == -1, bucket, found + start)


def _again_later(x, times: int):
    for _ in range(times):
        x = tf.concat([tf.where(x[:, :1] < 0, x[:, :1] + 5, x[:, :1]), x[:, 1:]], 1)
    return x


def _bincount(x, **settings):
    return tf.math.bincount(x, minlength=5, maxlength=5, axis=-1, **settings)


#: Of two whole numbers from 0 to 4 in each row.
WHOLE: dict[str, Callable] = {
    "gather": lambda x: tf.gather(T5, x),
    "gather_counted_from_the_end": lambda x: tf.gather(T5, tf.where(x < 0, x + 5, x)),
    "gather_with_an_offset_for_each": lambda x: tf.gather(T8, x + [0, 3]),
    "gather_shifted": lambda x: tf.gather(T5, (x + 1000) - 1000),
    "gather_every_other": lambda x: tf.gather(np.repeat(T5, 2, axis=0), 2 * x),
    "gather_in_pairs": lambda x: tf.gather(T5, x // 2),
    "gather_backwards": lambda x: tf.gather(T5, 4 - x),
    "one_hot": lambda x: tf.one_hot(x, 5, dtype=f64),
    "one_hot_of_numbers": lambda x: tf.one_hot(x, 5, 4.0, -1.0),
    "equal": lambda x: tf.cast(x == 3, f64),
    "not_equal": lambda x: tf.cast(x != 0, f64),
    "either": lambda x: tf.cast((x == 1) | (x == 2), f64) - tf.cast(tf.logical_not(x == 4), f64),
    "chosen_number": lambda x: tf.where(x == 2, tf.constant(1.5, f64), tf.constant(-0.5, f64)),
    "remainder": lambda x: tf.cast(x % 3, f64),
    "remainder_looked_up": lambda x: tf.gather(T5, x % 3),
    "remainder_of_a_lookup": lambda x: tf.gather(T5, (x % 4) % 3 + 1),
    "bincount": lambda x: tf.cast(_bincount(x), f64),
    "bincount_binary": lambda x: tf.cast(_bincount(x, binary_output=True), f64),
    "bincount_weighted": lambda x: _bincount(x, weights=tf.zeros_like(x, f64) + [0.5, 2.0]),
    "table": lambda x: tf.cast(_table([0, 1, 4], [7, 9, 11]).lookup(tf.cast(x, tf.int64)), f64),
    "table_of_numbers": lambda x: _table([0, 1], [0.5, 0.25], 9.0).lookup(tf.cast(x, tf.int64)),
    "table_or_bucket": lambda x: tf.gather(
        T8,
        _or_bucket(
            _table([3, 4], [0, 1]).lookup(tf.cast(x, tf.int64)), tf.cast(x, tf.int64) % 3, 3
        ),
    ),
    "hashed": lambda x: tf.gather(T5, tf.strings.to_hash_bucket_fast(tf.as_string(x), 5)),
    "small_numbers_cast": lambda x: tf.cast(
        tf.square(tf.cast(tf.cast(x % 200, tf.uint8), tf.int32)), f64
    ),
    "wrapped_again_and_again": lambda x: tf.gather(T5, _again_later(x, 30)),
    "joined": lambda x: tf.gather(T8, tf.concat([x, x + 1], axis=1)),
    "compared_with_several": lambda x: tf.cast(x[..., None] == [0, 1, 2, 4], f64),
    "unlike_several": lambda x: tf.cast(x != [1, 3], f64) + tf.cast(x == [2, 3], f64),
    "compared_after_a_shift": lambda x: tf.cast(x + 1 == 3, f64) - tf.cast(x - 2 == 0, f64),
    "remainder_after_a_shift": lambda x: tf.gather(T5, (x - 7) % 5),
    "remainders_of_several": lambda x: tf.cast((x + [1, 2]) % [2, 3], f64),
    "code_and_number": lambda x: tf.gather(T5, x)[..., 0] + tf.cast(x, f64),
    "known_code_and_number": lambda x: tf.cast(x % 3, f64) * 2.0 - tf.cast(x, f64),
}

#: Of two words in each row.
WORDS: dict[str, Callable] = {
    "table": lambda t: tf.cast(_table(["a", "b"], [5, 7]).lookup(t), f64),
    "table_looked_up": lambda t: tf.gather(T5, _table(["a", "b"], [1, 2], 0).lookup(t)),
    "mask": lambda t: tf.gather(
        T5, tf.where(t == "", tf.constant(0, tf.int64), _table(["a"], [2], 1).lookup(t))
    ),
    "table_or_bucket": lambda t: tf.gather(
        T8,
        _or_bucket(_table(["a", "b"], [0, 1]).lookup(t), tf.strings.to_hash_bucket_fast(t, 3), 3),
    ),
    "table_or_strong_bucket": lambda t: tf.gather(
        T8,
        _or_bucket(
            _table(["a", "b"], [0, 1]).lookup(t), tf.strings.to_hash_bucket_strong(t, 3, [4, 5]), 3
        ),
    ),
    "hashed": lambda t: tf.gather(T5, tf.strings.to_hash_bucket_fast(t, 5)),
    "hashed_but_for_a_mask": lambda t: tf.gather(
        T5, tf.where(t == "", tf.constant(0, tf.int64), tf.strings.to_hash_bucket_fast(t, 4) + 1)
    ),
    "word": lambda t: tf.cast(t == "b", f64) + tf.cast(t != "", f64),
    "two_tables": lambda t: tf.cast(
        _table(["a", "b"], [5, 7]).lookup(t) * _table(["b", "c"], [2, 3]).lookup(t), f64
    ),
}

#: Of two numbers in each row.
NUMBERS: dict[str, Callable] = {
    "bins": lambda x: tf.gather(T5, tf.raw_ops.Bucketize(input=x, boundaries=[-1.0, 0.0, 0.5])),
    "bins_one_hot": lambda x: tf.one_hot(tf.raw_ops.Bucketize(input=x, boundaries=[0.0]), 2),
    "bins_compared": lambda x: tf.where(
        tf.raw_ops.Bucketize(input=x, boundaries=[-1.0, 0.0, 0.5]) >= 2,
        tf.constant(3.0, f64),
        tf.constant(1.0, f64),
    ),
    "bins_of_two_kinds": lambda x: tf.cast(
        tf.raw_ops.Bucketize(input=x, boundaries=[-1.0, 0.0])
        * tf.raw_ops.Bucketize(input=x, boundaries=[-0.5, 0.5]),
        f64,
    ),
    "bins_and_number": lambda x: tf.cast(tf.raw_ops.Bucketize(input=x, boundaries=[0.0]), f64) - x,
    "bins_of_rounded_numbers": lambda x: tf.cast(
        tf.raw_ops.Bucketize(input=tf.cast(x, tf.float32), boundaries=[0.1, 0.2]), f64
    ),
}


def _again(x, times: int):
    """Read a code several times in each step: what is read must not be computed as often."""
    for _ in range(times):
        x = tf.where(x < 0, x + 5, x)
    return x


def _two_columns(x, function):
    return function(x[:, 0], x[:, 1])


#: What is affine in no indicators, or in none that can be told.
REFUSED: dict[str, Callable] = {
    "threshold": lambda x: tf.where(x < 3, tf.constant(1.0, f64), tf.constant(0.0, f64)),
    "relu": lambda x: tf.cast(tf.maximum(x, 2), f64),
    "wrapped_number": lambda x: tf.cast(tf.where(x < 0, x + 5, x), f64),
    "square": lambda x: tf.cast(x * x, f64),
    "crossed": lambda x: tf.cast(_two_columns(x, lambda a, b: tf.logical_and(a == 1, b == 1)), f64)[
        :, None
    ],
    "compared": lambda x: tf.cast(_two_columns(x, tf.equal), f64)[:, None],
    "crossed_code": lambda x: tf.gather(np.repeat(T5, 5, 0), x[:, 0] + 5 * x[:, 1]),
    "chosen_by_another": lambda x: tf.where(x[:, :1] == 1, tf.cast(x[:, 1:], f64), 0.0),
    "another_row": lambda x: tf.gather(T5, tf.reverse(x, [0])),
    "counted_over_all_rows": lambda x: tf.cast(
        tf.math.bincount(tf.reshape(x, [-1]), minlength=5, maxlength=5)[None] + 0 * x[:, :1], f64
    ),
    "table_too_small": lambda x: tf.gather(T5, x % 7),
    "bins_of_cut_numbers": lambda x: tf.cast(
        tf.raw_ops.Bucketize(input=tf.cast(tf.cast(x, f64) / 2.0, tf.int32), boundaries=[0.0, 1.0]),
        f64,
    ),
    "text_of_a_computed_number": lambda x: tf.gather(
        T5, tf.strings.to_hash_bucket_fast(tf.as_string(x + 1), 5)
    ),
    "compared_in_bfloat16": lambda x: tf.cast(
        tf.equal(tf.cast(x, tf.bfloat16), tf.cast(256, tf.bfloat16)), f64
    ),
    # 24 // 0.1 is 240 in single precision, and 239 in double.
    "quotient_of_a_fraction": lambda x: tf.cast(x % 50, tf.float32) // 0.1,
    "remainder_of_a_fraction": lambda x: tf.cast(x % 50, tf.float32) % 0.3,
    "counted_below_zero": lambda x: tf.cast(_bincount(x % 5 - 2), f64),
    "mean_of_whole_marks": lambda x: tf.cast(
        tf.reduce_mean(tf.one_hot(x, 5, dtype=tf.int32), 1), f64
    ),
    "mean_of_whole_numbers": lambda x: tf.cast(
        tf.reduce_mean(tf.gather(tf.constant([1, 2, 4, 7, 9]), x), 1, keepdims=True), f64
    ),
    "small_numbers_that_wrap": lambda x: tf.cast(
        tf.gather(tf.constant([200, 100, 7, 250, 255], tf.uint8), x) + 100, f64
    ),
    "division_by_a_code": lambda x: tf.cast(7 // x, f64),
    "too_many_steps": lambda x: tf.gather(T5, _again(x, 400)),
    "clipped": lambda x: tf.gather(T5, tf.clip_by_value(x, 0, 4)),
    "capped": lambda x: tf.one_hot(tf.minimum(x, 2), 3),
    "told_apart_by_a_threshold": lambda x: tf.gather(T5, tf.where(x >= 18, 1, 0)),
    "narrowed": lambda x: tf.gather(T5, tf.cast(tf.cast(x + 256, tf.uint8), tf.int32)),
    "size_as_code": lambda x: tf.cast(tf.equal(x, tf.shape(x)[0]), f64),
    "row_as_code": lambda x: tf.cast(tf.equal(x, tf.range(tf.shape(x)[0])[:, None]), f64),
}


def _saved(folder, function: Callable, kind, columns: int = 2) -> tuple[str, Callable]:
    """Save a function of two values in each row, and the tables that it looks up."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec((None, columns), kind, name="x")])
    def call(x):
        return {"y": function(x)}

    traced = call.get_concrete_function()
    module.tables, module.call = list(TABLES), call
    path = str(folder / "saved")
    tf.saved_model.save(module, path, signatures=traced)
    return path, call


def _agree(folder, function: Callable, data: np.ndarray, kind) -> converter.AffineModel:
    path, call = _saved(folder, function, kind)
    expected = call(tf.constant(data, kind))["y"].numpy()
    model = converter.fold(path)
    found = model.predict(data)
    np.testing.assert_allclose(found, expected.reshape(len(data), -1), rtol=1e-9, atol=1e-12)
    return model


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers(tmp_path, name):
    model = _agree(tmp_path, WHOLE[name], _R.integers(0, 5, (ROWS, 2)), tf.int32)
    assert model.categorical


def test_small_whole_numbers(tmp_path):
    def looked_up(x):
        return tf.gather(T8, tf.cast(x, tf.int32) + 3) + tf.cast(x == 2, f64)[..., None]

    _agree(tmp_path, looked_up, _R.integers(0, 5, (ROWS, 2)), tf.uint8)


def test_small_whole_numbers_that_wrap_around_are_refused(tmp_path):
    table = _R.normal(size=(300, 2))
    path, _ = _saved(tmp_path, lambda x: tf.gather(table, tf.cast(x + 250, tf.int32)), tf.uint8)
    with pytest.raises(converter.Rejected, match="wrap"):
        converter.fold(path)


@pytest.mark.parametrize("name", WORDS)
def test_words(tmp_path, name):
    words = np.array(["a", "b", "c", "", "other", "zebra", "ä"], dtype=object)
    model = _agree(tmp_path, WORDS[name], _R.choice(words, (ROWS, 2)), tf.string)
    assert model.categorical


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(tmp_path, name):
    data = np.concatenate([_R.normal(size=(ROWS, 2)), [[0.1, 0.2], [-1.0, 0.5], [0.0, 1e-9]]])
    assert _agree(tmp_path, NUMBERS[name], data, f64).categorical


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    path, _ = _saved(tmp_path, REFUSED[name], tf.int32)
    with pytest.raises(converter.Rejected):
        converter.fold(path)


#: Of two whole numbers in each row, with the operations of Keras.
KERAS: dict[str, Callable] = {
    "counted_from_the_end": lambda x: layers.Embedding(5, 2)(ops.where(ops.less(x, 0), x + 5, x)),
    "an_offset_for_each": lambda x: layers.Embedding(8, 2)(x + np.array([0, 3], "int32")),
    "shifted": lambda x: layers.Embedding(8, 2)(ops.add(x, 3)),
    "remainder": lambda x: layers.Embedding(3, 2)(ops.mod(x, 3)),
    "one_hot_of_a_remainder": lambda x: ops.one_hot(ops.mod(x, 3), 3),
    "halves": lambda x: layers.Embedding(5, 2)(ops.floor_divide(x, 2)),
    "token": lambda x: layers.Dense(1)(ops.cast(ops.equal(x, 3), "float64")),
    "tokens": lambda x: layers.Dense(1)(
        ops.cast(ops.logical_or(ops.equal(x, 3), ops.not_equal(1, x)), "float64")
    ),
    "looked_up_twice": lambda x: layers.Embedding(9, 2)(
        ops.square(layers.IntegerLookup(vocabulary=[4, 2], num_oov_indices=1)(x)) * 2
    ),
}


@pytest.mark.parametrize("name", KERAS)
def test_operations_of_keras(tmp_path, name):
    x = keras.Input((2,), dtype="int32", name="x")
    model = keras.Model(x, KERAS[name](x))
    model.save(tmp_path / "m.keras")
    data = _R.integers(0, 5, (ROWS, 2)).astype(np.int32)
    expected = np.asarray(model(data)).reshape(ROWS, -1)
    folded = converter.fold(tmp_path / "m.keras")
    np.testing.assert_allclose(folded.predict(data), expected, atol=1e-6)
    assert folded.categorical


def test_a_number_modulo_a_code_is_no_remainder(tmp_path):
    x = keras.Input((1,), dtype="int32", name="x")
    model = keras.Model(x, layers.Embedding(9, 2)(ops.mod(7, x + 1)))
    model.save(tmp_path / "m.keras")
    with pytest.raises(converter.Rejected, match="divides a code by zero"):
        converter.fold(tmp_path / "m.keras")


def _lookup_of(folder, table) -> str:
    module = tf.Module()
    module.table = table

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.string, name="x")])
    def call(x):
        return {"y": tf.cast(module.table.lookup(x), f64)}

    path = str(folder / "saved")
    tf.saved_model.save(module, path, signatures=call.get_concrete_function())
    return path


def test_a_table_out_of_a_text_file_is_refused(tmp_path, monkeypatch):
    words = tmp_path / "words.txt"
    words.write_text("a\nb\n")
    whole, line = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    filled = tf.lookup.TextFileInitializer(str(words), tf.string, whole, tf.int64, line)
    path = _lookup_of(tmp_path, tf.lookup.StaticHashTable(filled, -1))
    opened = []
    sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" else None)
    with pytest.raises(converter.Rejected, match="looks up a table that the graph does not hold"):
        converter.fold(path)
    assert not [one for one in opened if "words.txt" in str(one)]


def test_a_table_that_the_model_may_fill_is_refused(tmp_path):
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    table.insert(["a", "b"], [0, 1])
    path = _lookup_of(tmp_path, table)
    with pytest.raises(converter.Rejected, match="looks up a table"):
        converter.fold(path)


def test_a_table_of_words_is_refused(tmp_path):
    filled = tf.lookup.KeyValueTensorInitializer(["a", "b"], ["1", "2"])
    table = tf.lookup.StaticHashTable(filled, "0")
    module = tf.Module()
    module.table = table

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.string, name="x")])
    def call(x):
        return {"y": tf.strings.to_number(module.table.lookup(x), tf.float64)}

    path = str(tmp_path / "saved")
    tf.saved_model.save(module, path, signatures=call.get_concrete_function())
    with pytest.raises(converter.Rejected, match="turns codes into tokens"):
        converter.fold(path)


def test_the_code_of_an_input_is_not_the_input(tmp_path):
    """What is refused unless it is looked up stays refused beside what is looked up."""

    def function(x):
        wrapped = tf.where(x < 0, x + 5, x)
        return tf.gather(T5[:, 0], wrapped) + tf.cast(wrapped, f64)

    path, _ = _saved(tmp_path, function, tf.int32)
    with pytest.raises(converter.Rejected, match=r"decision|chooses"):
        converter.fold(path)


def test_a_code_that_the_network_does_not_know_is_refused_by_row(tmp_path):
    path, _ = _saved(tmp_path, WHOLE["gather_counted_from_the_end"], tf.int32)
    with pytest.raises(ValueError, match="row 2, which the network does not know"):
        converter.fold(path).predict(np.array([[0, 4], [1, -1]]))


@pytest.mark.parametrize("suffix", ["keras", "saved_model"])
@pytest.mark.parametrize(
    ("code", "known"),
    [
        (lambda x: x - 2010, range(2010, 2020)),
        (lambda x: x // 10, range(100)),
        (lambda x: x + 3, range(-3, 7)),
    ],
)
def test_all_codes_that_a_table_takes_are_levels(tmp_path, suffix, code, known):
    x = keras.Input((1,), dtype="int32", name="x")
    model = keras.Model(x, layers.Flatten()(layers.Embedding(10, 1)(code(x))))
    path = tmp_path / f"m.{suffix}"
    model.save(path) if suffix == "keras" else model.export(path, verbose=False)
    folded = converter.fold(path)
    data = np.array(known, np.int32)[:, None]
    assert [name.split("[")[1] for name in folded.feature_names] == [f"{one}]" for one in known]
    np.testing.assert_allclose(folded.predict(data), np.asarray(model(data)), atol=1e-6)


def test_exports_of_a_whole_table(tmp_path):
    """Every kind of column that a table may have, with vocabularies that were adapted."""
    number, text = keras.Input((2,), name="number"), keras.Input((1,), dtype="string", name="text")
    code, age = keras.Input((1,), dtype="int32", name="code"), keras.Input((1,), name="age")
    place, tags = (keras.Input((n,), dtype="string", name=f"words{n}") for n in (1, 3))
    lookup = layers.StringLookup(num_oov_indices=2, mask_token="")
    lookup.adapt(np.array(["a", "b", "c", "a"]))
    bins = layers.Discretization(num_bins=4, output_mode="one_hot")
    bins.adapt(_R.normal(40.0, 10.0, (100, 1)))
    parts = [
        layers.Normalization(mean=1.0, variance=2.0)(number),
        layers.Flatten()(layers.Embedding(lookup.vocabulary_size(), 4)(lookup(text))),
        layers.Flatten()(layers.Embedding(7, 2)(code)),
        bins(age),
        layers.Hashing(6, output_mode="one_hot")(place),
        layers.StringLookup(vocabulary=["x", "y"], output_mode="multi_hot")(tags),
    ]
    output = layers.Dense(1, activation="sigmoid")(layers.Concatenate()(parts))
    model = keras.Model([number, text, code, age, place, tags], output)
    model.save(tmp_path / "m.keras")
    model.export(tmp_path / "saved", verbose=False)
    archive, export = (converter.fold(tmp_path / name) for name in ("m.keras", "saved"))
    assert sorted(export.feature_names) == sorted(archive.feature_names)
    order = [export.feature_names.index(name) for name in archive.feature_names]
    np.testing.assert_allclose(export.coef[:, order], archive.coef, atol=1e-6)
    assert converter.verify(tmp_path / "saved", points=20).agrees


#: Numbers beyond 32 bits, and what is made of them there.
WIDE: dict[str, Callable] = {
    "bins": lambda x: tf.cast(
        tf.raw_ops.Bucketize(input=tf.cast(x, tf.int32), boundaries=[0.0, 5.0]), f64
    ),
    "text": lambda x: tf.gather(
        T5, tf.strings.to_hash_bucket_fast(tf.as_string(tf.cast(x, tf.int32)), 5)
    ),
    "remainder": lambda x: tf.gather(T5, tf.cast(x, tf.int32) % 5),
    "compared": lambda x: tf.cast(tf.cast(x, tf.int32) == 3, f64),
}


@pytest.mark.parametrize("name", WIDE)
def test_codes_that_wrap_around_in_a_cast_are_unknown(tmp_path, name):
    model = _agree(tmp_path, WIDE[name], _R.integers(-9, 9, (20, 2)), tf.int64)
    with pytest.raises(ValueError, match="4294967299"):
        model.predict(np.array([[1, 2], [2**32 + 3, 1]]))


def test_bins_of_whole_numbers_of_64_bits(tmp_path):
    data = np.array([[2**32 + 1, 2], [-(2**40), 2**50]])
    _agree(
        tmp_path,
        lambda x: tf.cast(tf.raw_ops.Bucketize(input=x, boundaries=[0.0, 5.0, 2.0**45]), f64),
        data,
        tf.int64,
    )


def test_the_text_of_a_number_whose_fraction_is_cut_off_is_refused(tmp_path):
    path, _ = _saved(
        tmp_path,
        lambda x: tf.gather(
            T5, tf.strings.to_hash_bucket_fast(tf.as_string(tf.cast(x, tf.int32)), 5)
        ),
        tf.float32,
    )
    with pytest.raises(converter.Rejected, match="text"):
        converter.fold(path)


def test_many_codes_in_many_columns(tmp_path):
    """Each column has a table of its own; what they have in common must not be done again."""
    offsets = np.arange(100)
    path, call = _saved(
        tmp_path,
        lambda x: tf.gather(np.arange(400.0), tf.where(x < 0, x + 5, x + offsets)),
        tf.int32,
        columns=100,
    )
    data = _R.integers(0, 5, (3, 100))
    expected = call(tf.constant(data, tf.int32))["y"]
    np.testing.assert_allclose(converter.fold(path).predict(data), expected)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32"])
def test_marks_of_small_whole_numbers_wrap_around(tmp_path, dtype):
    x = keras.Input((2,), dtype="int32", name="x")
    marks = ops.one_hot(x, 5, dtype=dtype)
    model = keras.Model(x, ops.cast(marks * 200 * 2, "float32"))
    model.save(tmp_path / "m.keras")
    if dtype != "int32":
        with pytest.raises(converter.Rejected, match="wrap around"):
            converter.fold(tmp_path / "m.keras")
        return
    data = np.array([[2, 3], [0, 4]])
    expected = np.reshape(model(data), (2, -1))
    np.testing.assert_allclose(converter.fold(tmp_path / "m.keras").predict(data), expected)


#: Codes that are rounded on the way: 257 is no number of eight bits, and 2049 none of eleven.
ROUNDED: dict[str, Callable] = {
    "raw": lambda x, half: layers.Embedding(2100, 2)(ops.cast(ops.cast(x, half), "int32")),
    "shifted": lambda x, half: layers.Embedding(2100, 2)(
        ops.cast(ops.cast(x + 25, half), "int32") - 20
    ),
    "remainder": lambda x, half: layers.Embedding(2100, 2)(
        ops.cast(ops.cast(ops.mod(x, 2070), half), "int32")
    ),
}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ROUNDED)
def test_codes_that_keras_rounds(tmp_path, name, dtype):
    x = keras.Input((2,), dtype="int32", name="x")
    model = keras.Model(x, ROUNDED[name](x, dtype))
    model.save(tmp_path / "m.keras")
    data = np.r_[0:30, 240:290, 2030:2062].reshape(-1, 2)
    expected = np.reshape(model(data), (len(data), -1))
    folded = converter.fold(tmp_path / "m.keras")
    np.testing.assert_allclose(folded.predict(data), expected, atol=1e-6)


def test_codes_that_fall(tmp_path):
    """Codes below zero count from the end: here they are those of large raw codes."""
    x = keras.Input((2,), dtype="int32", name="x")
    model = keras.Model(x, layers.Embedding(10, 2)(9 - x))
    model.save(tmp_path / "m.keras")
    model.export(tmp_path / "saved", verbose=False)
    data = _R.integers(0, 10, (ROWS, 2))
    expected = np.reshape(model(data), (ROWS, -1))
    for name in ("m.keras", "saved"):
        folded = converter.fold(tmp_path / name)
        assert [one.levels.labels for one in folded.variables] == [tuple("0123456789")] * 2
        np.testing.assert_allclose(folded.predict(data), expected, atol=1e-6)


@pytest.mark.parametrize("mode", ["multi_hot", "count"])
@pytest.mark.parametrize("suffix", ["m.keras", "saved"])
def test_tables_without_a_bucket_for_the_unknown(tmp_path, mode, suffix):
    words = layers.StringLookup(vocabulary=["a", "b"], num_oov_indices=0, output_mode=mode)
    x = keras.Input((3,), dtype="string", name="x")
    model = keras.Model(x, layers.Dense(2)(words(x)))
    model.save(tmp_path / "m.keras")
    model.export(tmp_path / "saved", verbose=False)
    data = np.array(["a", "b"], dtype=object)[_R.integers(0, 2, (ROWS, 3))]
    expected = model.predict(tf.constant(data), verbose=0)
    folded = converter.fold(tmp_path / suffix)
    np.testing.assert_allclose(folded.predict(data), expected, atol=1e-6)
    with pytest.raises(ValueError, match="'c' in row 1"):
        folded.predict(np.array([["a", "c", "b"]], dtype=object))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16"])
@pytest.mark.parametrize("suffix", ["m.keras", "saved"])
def test_categories_in_mixed_precision(tmp_path, policy, suffix):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        code = keras.Input((1,), dtype="int32", name="code")
        age = keras.Input((1,), dtype="float32", name="age")
        parts = [
            layers.CategoryEncoding(4, output_mode="one_hot")(code),
            layers.Flatten()(layers.Embedding(9, 2)(code + 1)),
            layers.Discretization([18.0, 40.1, 65.0], output_mode="one_hot")(age),
        ]
        parts = [ops.cast(one, "float32") for one in parts]
        output = layers.Dense(2, dtype="float32")(layers.Concatenate(dtype="float32")(parts))
        model = keras.Model([code, age], output)
        model.save(tmp_path / "m.keras")
        model.export(tmp_path / "saved", verbose=False)
        if suffix == "m.keras":  # the file does not record in what Discretization reads its input
            model = keras.saving.load_model(tmp_path / "m.keras")
        ages = np.r_[0.0:90.0:37j, 18.0, 17.99, 40.1, 40.2, 40.0, 65.0, 64.9][:40, None]
        data = [_R.integers(0, 4, (40, 1)), ages]
        expected = model.predict([data[0].astype("int32"), ages.astype("float32")], verbose=0)
    finally:
        keras.config.set_dtype_policy(before)
    folded = converter.fold(tmp_path / suffix)
    np.testing.assert_allclose(folded.predict(data), expected, atol=2e-2)


def test_remainders_of_scaled_codes(tmp_path):
    for function in (
        lambda x: tf.gather(T5, (-x) % 5),
        lambda x: tf.cast(x % -3, f64),
        lambda x: tf.gather(np.arange(80.0), x * 2 + 12),
        lambda x: tf.cast(3 - 2 * x == 1, f64) + tf.cast(3 - 2 * x == 2, f64),
    ):
        _agree(tmp_path, function, _R.integers(-5, 5, (ROWS, 2)), tf.int32)
