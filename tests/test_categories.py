"""What is looked up is affine in the indicators of its levels; equal predictions say so."""

from __future__ import annotations

import zipfile

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import FIXTURES
from keras import layers, ops

import converter
from converter.hashing import bucket
from converter.levels import Bins, Codes, Hashed, Vocabulary

WORDS = ["paris", "rome", "oslo", "", "lima", "[UNK]", "zürich", "a much longer word " * 5]


def _dense(*parts: object) -> object:
    return layers.Dense(2)(layers.Concatenate()([layers.Flatten()(part) for part in parts]))


def embedded_codes() -> tuple:
    x = keras.Input((1,), dtype="int32", name="code")
    return keras.Model(x, _dense(layers.Embedding(4, 3)(x))), {"code": [[0], [1], [2], [3]]}


def codes_as_floats() -> tuple:
    """The default type of an input is float32; one of its elements is a code."""
    x = keras.Input((3,), name="x")
    code = layers.Embedding(5, 2)(x[:, 1:2])
    raw = np.array([[0.5, 0.0, 1.5], [1.0, 4.0, -1.0], [2.0, 2.0, 0.25]])
    return keras.Model(x, _dense(x[:, :1], code, x[:, 2:])), {"x": raw}


def sequence_of_codes() -> tuple:
    x = keras.Input((4,), dtype="int64", name="steps")
    pooled = layers.Permute((2, 1))(layers.Embedding(6, 3)(x))
    return keras.Model(x, _dense(layers.Dense(1)(pooled))), {
        "steps": [[0, 1, 2, 3], [5, 5, 5, 5], [4, 0, 4, 1]]
    }


def words() -> tuple:
    x = keras.Input((1,), dtype="string", name="city")
    lookup = layers.StringLookup(vocabulary=["paris", "rome", "oslo"], mask_token="")
    code = lookup(x)
    return keras.Model(x, _dense(layers.Embedding(5, 2)(code))), {"city": [[w] for w in WORDS]}


def words_in_buckets() -> tuple:
    x = keras.Input((1,), dtype="string", name="city")
    parts = [
        layers.StringLookup(vocabulary=["paris"], num_oov_indices=3, output_mode=mode)(x)
        for mode in ("one_hot", "count", "multi_hot")
    ]
    salted = layers.StringLookup(
        vocabulary=["rome", "lima"], num_oov_indices=2, salt=[3, 5], output_mode="one_hot"
    )
    return keras.Model(x, _dense(*parts, salted(x))), {"city": [[w] for w in WORDS]}


def adapted() -> tuple:
    x = keras.Input((1,), dtype="string", name="city")
    lookup = layers.StringLookup(output_mode="one_hot")
    lookup.adapt(np.array(["oslo", "rome", "rome", "two words"]))
    y = keras.Input((1,), name="size")
    bins = layers.Discretization(num_bins=4, output_mode="one_hot")
    bins.adapt(np.linspace(0.0, 8.0, 50))
    values = np.linspace(-2.0, 10.0, len(WORDS))[:, None]
    return keras.Model([x, y], _dense(lookup(x), bins(y))), {
        "city": [[w] for w in WORDS],
        "size": values,
    }


def numbers_looked_up() -> tuple:
    x = keras.Input((1,), dtype="int64", name="code")
    parts = [
        layers.IntegerLookup(vocabulary=[10, -3, 7], mask_token=0, output_mode=mode)(x)
        for mode in ("one_hot", "multi_hot", "count")
    ]
    several = layers.IntegerLookup(vocabulary=[5], num_oov_indices=3)
    hashed = layers.IntegerLookup(vocabulary=[5], num_oov_indices=3, oov_method="farmhash")
    parts += [layers.Embedding(4, 2)(one(x)) for one in (several, hashed)]
    return keras.Model(x, _dense(*parts)), {"code": [[10], [-3], [7], [0], [5], [11], [-8]]}


def bins() -> tuple:
    x = keras.Input((2,), name="x")
    as_code = layers.Discretization(bin_boundaries=[0.1, 1.0])(x)
    as_number = layers.Rescaling(0.5)(layers.Discretization(bin_boundaries=[0.5])(x))
    values = [[-1.0, 0.1], [0.1, 0.5], [np.float32(0.1), 1.0], [1.0, 7.0], [0.0999, 0.3]]
    return keras.Model(x, _dense(layers.Embedding(3, 2)(as_code), as_number, x)), {"x": values}


def hashes() -> tuple:
    x = keras.Input((1,), dtype="string", name="city")
    y = keras.Input((1,), dtype="int64", name="code")
    parts = [
        layers.Hashing(7, output_mode="one_hot")(x),
        layers.Embedding(5, 2)(layers.Hashing(5, mask_value="")(x)),
        layers.Hashing(6, salt=9, output_mode="count")(x),
        layers.Hashing(4, output_mode="multi_hot")(y),
        layers.Embedding(3, 1)(layers.Hashing(3, salt=[1, 2])(y)),
    ]
    return keras.Model([x, y], _dense(*parts)), {
        "city": [[w] for w in WORDS],
        "code": [[i * i - 3] for i in range(len(WORDS))],
    }


def sets() -> tuple:
    x = keras.Input((3,), dtype="int64", name="tags")
    y = keras.Input((3,), dtype="string", name="words")
    parts = [
        layers.CategoryEncoding(5, output_mode="multi_hot")(x),
        layers.CategoryEncoding(5, output_mode="count")(x),
        layers.CategoryEncoding(5, output_mode="one_hot")(x),
        layers.StringLookup(vocabulary=["rome", "lima"], output_mode="multi_hot")(y),
    ]
    return keras.Model([x, y], _dense(*parts)), {
        "tags": [[0, 1, 2], [4, 4, 4], [3, 0, 3]],
        "words": [["rome", "rome", "lima"], ["x", "y", "lima"], ["x", "x", "x"]],
    }


def one_table_for_two_inputs() -> tuple:
    x, y = (keras.Input((1,), dtype="int32", name=name) for name in ("home", "away"))
    table = layers.Embedding(4, 2, name="team")
    strength = layers.Dense(1, use_bias=False, name="strength")
    both = layers.Subtract()([strength(layers.Flatten()(table(one))) for one in (x, y)])
    joined = table(layers.Concatenate()([y, x]))
    return keras.Model([x, y], _dense(both, joined)), {
        "home": [[0], [1], [2], [3]],
        "away": [[3], [1], [0], [2]],
    }


def code_and_number() -> tuple:
    x = keras.Input((1,), dtype="int32", name="grade")
    number = layers.Rescaling(1.0)(x)
    return keras.Model(x, _dense(layers.Embedding(5, 2)(x), number)), {
        "grade": [[0], [1], [2], [3], [4]]
    }


def link() -> tuple:
    x = keras.Input((1,), dtype="int32", name="code")
    y = layers.Dense(1, activation="sigmoid")(layers.Flatten()(layers.Embedding(3, 2)(x)))
    return keras.Model(x, y), {"code": [[0], [1], [2]]}


CASES = {
    case.__name__: case
    for case in (
        *(embedded_codes, codes_as_floats, sequence_of_codes, words, words_in_buckets),
        *(adapted, numbers_looked_up, bins, hashes, sets, one_table_for_two_inputs),
        *(code_and_number, link),
    )
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("categories")
    made: dict[str, tuple] = {}

    def get(name: str) -> tuple:
        if name not in made:
            keras.config.set_floatx("float32")
            keras.config.set_dtype_policy("float32")
            keras.utils.set_random_seed(4)
            model, raw = CASES[name]()
            for suffix in ("keras", "h5"):
                model.save(folder / f"{name}.{suffix}")
            # An exported model's inputs have the names of its tensors.
            signature = [tf.TensorSpec(t.shape, t.dtype, name=t.name) for t in model.inputs]
            one = signature if len(signature) > 1 else signature[:1]
            model.export(folder / f"{name}.saved_model", input_signature=[one], verbose=False)
            tensors = {
                tensor.name: tf.cast(tf.constant(raw[tensor.name]), tensor.dtype)
                if tensor.dtype != "string"
                else tf.constant(raw[tensor.name])
                for tensor in model.inputs
            }
            given = tensors if len(tensors) > 1 else next(iter(tensors.values()))
            made[name] = (raw, np.asarray(model(given)), folder)
        return made[name]

    yield get
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")


@pytest.mark.parametrize("suffix", ["keras", "h5", "saved_model"])
@pytest.mark.parametrize("name", CASES)
def test_predictions_are_the_networks(saved, name, suffix):
    raw, expected, folder = saved(name)
    if name == "adapted" and suffix == "h5":
        with pytest.raises(converter.Rejected, match="does not hold its vocabulary"):
            converter.fold(folder / "adapted.h5")
        return
    model = converter.fold(folder / f"{name}.{suffix}")
    arrays = {key: np.array(value, dtype=object) for key, value in raw.items()}
    np.testing.assert_allclose(model.predict(arrays), expected, rtol=2e-5, atol=2e-6)
    assert model.categorical
    assert len(set(model.feature_names)) == model.coef.shape[1]
    frame = pd.DataFrame(
        {
            column: np.array(raw[column.split("[")[0]], dtype=object)[
                :, int(column.split("[")[1][:-1]) if "[" in column else 0
            ]
            for column in model.columns
        }
    )
    np.testing.assert_array_equal(model.predict(frame), model.predict(arrays))
    assert converter.inspect(folder / f"{name}.{suffix}").verdict == (
        "linked" if name == "link" else "affine"
    )


def test_terms_are_named_by_input_and_level(saved):
    _, _, folder = saved("words")
    assert converter.fold(folder / "words.keras").feature_names == (
        *("C(city)[]", "C(city)[[UNK]]", "C(city)[paris]", "C(city)[rome]", "C(city)[oslo]"),
    )
    saved("sequence_of_codes")
    names = converter.fold(folder / "sequence_of_codes.keras").feature_names
    assert names[:2] == ("C(steps[0])[0]", "C(steps[0])[1]")
    assert len(names) == 4 * 6
    saved("bins")
    names = converter.fold(folder / "bins.keras").feature_names
    # Two discretisations share their cuts; the number itself keeps its column.
    assert names[:5] == ("x[0]", "C(x[0])[(-inf, 0.1)]", "C(x[0])[[0.1, 0.5)]",
                         "C(x[0])[[0.5, 1.0)]", "C(x[0])[[1.0, inf)]")  # fmt: skip


def test_a_code_used_as_a_number_too_is_its_levels_number(saved):
    _, _, folder = saved("code_and_number")
    assert converter.fold(folder / "code_and_number.keras").feature_names == tuple(
        f"C(grade)[{i}]" for i in range(5)
    )


def test_what_is_computed_is_no_code(tmp_path):
    x = keras.Input((2,), name="x")
    code = layers.Dense(1, name="score")(x)
    model = keras.Model(x, _dense(layers.Embedding(4, 2, name="table")(code)))
    model.save(tmp_path / "m.keras")
    (finding,) = converter.inspect(tmp_path / "m.keras").findings
    assert finding.node == "table"
    assert "no code" in finding.reason


def test_products_of_indicators_are_refused(tmp_path):
    x, y = (keras.Input((1,), dtype="int32", name=name) for name in "ab")
    parts = [layers.Flatten()(layers.Embedding(4, 2)(one)) for one in (x, y)]
    model = keras.Model([x, y], layers.Multiply(name="times")(parts))
    model.save(tmp_path / "m.keras")
    (finding,) = converter.inspect(tmp_path / "m.keras").findings
    assert finding.node == "times"


def test_a_table_too_small_for_its_codes_is_refused(tmp_path):
    x = keras.Input((1,), dtype="string", name="city")
    code = layers.StringLookup(vocabulary=["a", "b"])(x)
    model = keras.Model(x, _dense(layers.Embedding(2, 2, name="table")(code)))
    model.save(tmp_path / "m.keras")
    (finding,) = converter.inspect(tmp_path / "m.keras").findings
    assert (finding.node, "level 'b'" in finding.reason) == ("table", True)


@pytest.mark.parametrize("salt", [None, (133, 137)])
def test_buckets_are_tensorflows(salt):
    rng = np.random.default_rng(0)
    texts = [rng.bytes(size) for size in [*range(0, 150), 255, 256, 257, 1000]]
    count = (1 << 62) - 57
    if salt is None:
        expected = tf.strings.to_hash_bucket_fast(texts, count)
    else:
        expected = tf.strings.to_hash_bucket_strong(texts, count, key=salt)
    assert [bucket(text, count, salt) for text in texts] == expected.numpy().tolist()


def test_levels_of_odd_values():
    assert Codes(3).match(np.array([0, 2.0, 2.5, -1, 3, None, "1"], dtype=object)).tolist() == [
        *(0, 2, -1, -1, -1, -1, -1),
    ]
    words = Vocabulary(("1", "b"), buckets=1)
    assert words.match(np.array(["1", 1, "b", "c", 7, None], dtype=object)).tolist() == [
        *(1, 1, 2, 0, -1, -1),
    ]
    assert Vocabulary((4,), buckets=0).match(np.array([4, 5])).tolist() == [0, -1]
    assert Bins((0.0,)).match(np.array([-1.0, 0.0, np.nan, "x"], dtype=object)).tolist() == [-1] * 4
    assert Bins((0.0,)).match(np.array([-1.0, 0.0, np.nan])).tolist() == [0, 1, -1]
    assert (
        Hashed(3).match(np.array([2.7, 2], dtype=object)).tolist()
        == [Hashed(3).match(np.array([2]))[0]] * 2
    )


MARRIAGES = FIXTURES / "marriages.csv"


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_category_becomes_contrasts_with_a_base(suffix):
    import statsmodels.formula.api as smf

    path = FIXTURES / f"marriages.{suffix}"
    made = converter.convert(path, MARRIAGES, "rate_marriage", base={"occupation": "teacher"})
    frame = pd.read_csv(MARRIAGES)
    formula = "rate_marriage ~ age + yrs_married + C(occupation, Treatment('teacher'))"
    expected = smf.ols(formula, frame).fit()
    by_level = {name.split("T.")[-1].rstrip("]"): v for name, v in expected.params.items()}
    errors = {name.split("T.")[-1].rstrip("]"): v for name, v in expected.bse.items()}
    for name, value in made.refit.params.items():
        key = name.removeprefix("C(occupation)[").rstrip("]") if "[" in name else name
        key = "Intercept" if key == "const" else key
        assert value == pytest.approx(by_level[key], rel=1e-9)
        assert made.results.bse[name] == pytest.approx(errors[key], rel=1e-9)
    assert made.optimality.verdict == "optimum"
    # The identified contrasts predict what the network does.
    np.testing.assert_allclose(
        made.results.fittedvalues, made.model.predict(frame)[:, 0], rtol=1e-12
    )
    assert any("'teacher' (the base)" in caveat for caveat in made.caveats)
    assert any("occurs in no row" in caveat for caveat in made.caveats)


def test_the_base_may_be_any_level_that_occurs():
    path = FIXTURES / "marriages.keras"
    first = converter.convert(path, MARRIAGES, "rate_marriage")
    other = converter.convert(path, MARRIAGES, "rate_marriage", base={"occupation": "student"})
    assert "C(occupation)[managerial]" not in first.results.params
    assert first.results.llf == pytest.approx(other.results.llf, rel=1e-12)
    for base in ({"occupation": "[UNK]"}, {"age": "1"}, {"nowhere": "x"}):
        with pytest.raises(converter.DataError, match="base"):
            converter.convert(path, MARRIAGES, "rate_marriage", base=base)
    with pytest.raises(converter.DataError, match="has none"):
        converter.convert(
            FIXTURES / "longley_linear.keras", FIXTURES / "longley.csv", "TOTEMP", base={"a": "b"}
        )


def test_unknown_words_are_the_networks_unknown_level():
    frame = pd.read_csv(MARRIAGES)
    frame.loc[:40, "occupation"] = "astronaut"
    made = converter.convert(FIXTURES / "marriages.keras", frame, "rate_marriage")
    assert "C(occupation)[student]" in made.results.params
    # A level without a name is no base as long as one with a name occurs.
    assert any("'managerial' (the base)" in caveat for caveat in made.caveats)
    assert "C(occupation)[[UNK]]" in made.results.params
    np.testing.assert_allclose(
        made.results.fittedvalues, made.model.predict(frame)[:, 0], rtol=1e-12
    )


def test_missing_words_are_missing_values():
    frame = pd.read_csv(MARRIAGES)
    frame.loc[3:5, "occupation"] = None
    with pytest.raises(converter.DataError, match=r"3 of 1274 rows.*occupation \(3\)"):
        converter.convert(FIXTURES / "marriages.keras", frame, "rate_marriage")
    made = converter.convert(FIXTURES / "marriages.keras", frame, "rate_marriage", missing="drop")
    assert made.dropped == 3


@pytest.mark.parametrize(
    "lookup",
    [
        lambda: layers.CategoryEncoding(4, output_mode="multi_hot"),
        lambda: layers.IntegerLookup(vocabulary=[0, 1, 2, 3], output_mode="multi_hot"),
    ],
)
def test_a_set_of_codes_enters_as_indicators_alone(tmp_path, lookup):
    import statsmodels.api as sm

    rng = np.random.default_rng(3)
    codes = rng.integers(0, 4, (200, 3))
    has = np.array([[level in row for level in range(4)] for row in codes], dtype=float)
    y = has @ [1.0, 2.0, -1.0, 0.5] + rng.normal(0.0, 0.3, 200)
    expected = sm.OLS(y, sm.add_constant(has)).fit()
    model = keras.Sequential(
        [keras.Input((3,), dtype="int64", name="t"), lookup(), layers.Dense(1, dtype="float64")]
    )
    kernel = np.zeros(model.layers[-1].kernel.shape)
    kernel[-4:, 0] = expected.params[1:]
    model.layers[-1].set_weights([kernel, expected.params[:1]])
    model.compile("sgd", "mse")
    model.save(tmp_path / "m.keras")
    table = pd.DataFrame(codes, columns=["t0", "t1", "t2"]).assign(y=y)
    made = converter.convert(tmp_path / "m.keras", table, "y")
    assert made.optimality.verdict == "optimum"
    assert made.results.df_resid == expected.df_resid
    np.testing.assert_allclose(made.results.bse, expected.bse, rtol=1e-6)


@pytest.mark.parametrize("kind", ["string", "object"])
def test_pandas_own_missing_value_is_one(kind):
    frame = pd.read_csv(MARRIAGES)
    frame["occupation"] = frame["occupation"].astype(kind)
    frame.loc[3:5, "occupation"] = pd.NA
    with pytest.raises(converter.DataError, match=r"3 of 1274 rows.*occupation \(3\)"):
        converter.convert(FIXTURES / "marriages.keras", frame, "rate_marriage")
    made = converter.convert(FIXTURES / "marriages.keras", frame, "rate_marriage", missing="drop")
    assert made.dropped == 3


@pytest.mark.parametrize(
    "lookup",
    [
        lambda: layers.StringLookup(vocabulary=["1", "01", "001"], output_mode="one_hot"),
        lambda: layers.Hashing(num_bins=50, output_mode="one_hot"),
    ],
)
def test_words_of_digits_in_a_file_are_words(tmp_path, lookup):
    x = keras.Input((1,), dtype="string", name="code")
    model = keras.Model(x, layers.Dense(1)(lookup()(x)))
    path, table = tmp_path / "m.keras", tmp_path / "m.csv"
    model.save(path)
    words = np.array(["1", "01", "001", "01", "1", "001", "1"])
    y = np.arange(7.0)
    pd.DataFrame({"y": y, "code": words}).to_csv(table, index=False)
    made = converter.convert(path, table, "y")
    expected = model.predict(tf.constant(words[:, None]), verbose=0)[:, 0]
    np.testing.assert_allclose(made.results.fittedvalues, expected, rtol=1e-5)
    assert len(made.results.params) == 3


def test_codes_beyond_the_table_are_refused_by_row(saved):
    _, _, folder = saved("link")
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"code": rng.integers(0, 3, 60), "y": rng.integers(0, 2, 60)})
    made = converter.convert(folder / "link.keras", frame, "y")
    assert list(made.results.params.index) == ["const", "C(code)[1]", "C(code)[2]"]
    np.testing.assert_allclose(
        made.results.predict(), made.model.predict(frame[["code"]])[:, 0], rtol=1e-9
    )
    frame.loc[7, "code"] = 5
    with pytest.raises(converter.DataError, match=r"'code' holds '5' in row 8"):
        converter.convert(folder / "link.keras", frame, "y")


def test_scalers_scale_numbers_only():
    frame = pd.read_csv(MARRIAGES)
    path = FIXTURES / "marriages.keras"
    scaled = frame.assign(age=frame["age"] * 2.0 + 1.0, yrs_married=frame["yrs_married"] / 4.0)
    made = converter.convert(
        path,
        scaled,
        "rate_marriage",
        scaler={"mean": [1.0, 0.0], "scale": [2.0, 0.25]},
    )
    plain = converter.convert(path, frame, "rate_marriage")
    assert made.results.params["age"] == pytest.approx(plain.results.params["age"] / 2.0)
    assert made.results.rsquared == pytest.approx(plain.results.rsquared)


def test_the_command_line_states_the_base(capsys):
    from converter.cli import main

    status = main(
        [
            *("convert", str(FIXTURES / "marriages.keras"), "--data", str(MARRIAGES)),
            *("--target", "rate_marriage", "--base", "occupation=student"),
        ],
        standalone_mode=False,
    )
    shown = capsys.readouterr().out
    assert status == 0
    assert "C(occupation)[teacher]" in shown
    assert "C(occupation)[student]" not in shown


@pytest.fixture
def wide():
    """`predict` rounds arrays to floatx on the way in."""
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx(before)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("reads", ["float16", "float32", "float64", "mixed_float16", None])
@pytest.mark.parametrize("given", ["float16", "float32", "float64", "int32"])
def test_bins_are_told_apart_in_the_types_that_values_pass_through(
    tmp_path, wide, given, reads, suffix
):
    values = np.array(
        [[0.1], [0.7], [0.3], [np.nextafter(0.1, 1)], [np.float32(0.7)], [0.69999], [1.0], [9e4]]
    )
    if given == "int32":
        values = np.array([[-1], [0], [1], [2], [16777217]])
    x = keras.Input((1,), dtype=given, name="x")
    edges = [0.1, 0.7, 1.0, 16777218.0]
    outputs = [
        layers.Discretization(edges, dtype=reads, output_mode=mode)(x)
        for mode in ("int", "one_hot")
    ]
    keras.Model(x, outputs).save(tmp_path / f"m.{suffix}")
    model = keras.models.load_model(tmp_path / f"m.{suffix}")
    for place, expected in enumerate(model.predict(values, verbose=0)):
        folded = converter.fold(tmp_path / f"m.{suffix}", output=place)
        np.testing.assert_array_equal(folded.predict(values), expected.reshape(len(values), -1))


def _table(kind: type, mode: str | None, lora: bool = False, **settings: object) -> tuple:
    """Return a model of embeddings, quantised and with low-rank factors where that is asked."""
    codes = keras.Input((2,), dtype="int32", name="codes")
    x = keras.Input((5,), name="x")
    layer = kind(4, 5, **settings)
    outputs = [layers.Dense(2)(layers.Flatten()(layer(codes)))]
    if kind is layers.ReversibleEmbedding:
        outputs.append(layer(x, reverse=True))
    model = keras.Model([codes, x], layers.Concatenate()([*outputs, x]))
    rng = np.random.default_rng(4)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    if mode is not None:
        weights_only = {"activation_quantizer": None}
        layer.quantize(
            mode.split("-")[0],
            config=keras.quantizers.Int8QuantizationConfig(**weights_only)
            if mode == "int8"
            else keras.quantizers.Int4QuantizationConfig(
                block_size={"int4": 128, "int4-2": 2, "int4-all": None}[mode], **weights_only
            ),
        )
    if lora:
        layer.enable_lora(2, lora_alpha=3)
        layer.lora_embeddings_b.assign(rng.normal(size=layer.lora_embeddings_b.shape))
    return model, {
        "codes": rng.integers(0, 4, (8, 2)),
        "x": rng.normal(size=(8, 5)),
    }


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("mode", [None, "int8", "int4", "int4-2", "int4-all"])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (layers.Embedding, {}),
        (layers.Embedding, {"lora": True}),
        (layers.ReversibleEmbedding, {}),
        (layers.ReversibleEmbedding, {"tie_weights": False}),
    ],
)
def test_tables_in_every_form(tmp_path, kind, settings, mode, suffix):
    keras.utils.set_random_seed(5)
    model, data = _table(kind, mode, **settings)
    expected = np.asarray(model(data))
    model.save(tmp_path / f"m.{suffix}")
    if settings.get("lora") and mode is not None and suffix == "keras":
        # The archive's table is the sum, quantised again.
        expected = np.asarray(keras.models.load_model(tmp_path / f"m.{suffix}")(data))
    folded = converter.fold(tmp_path / f"m.{suffix}")
    np.testing.assert_allclose(folded.predict(data), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_a_whole_model_that_is_quantised_keeps_its_tables(tmp_path, mode, suffix):
    x = keras.Input((2,), dtype="int32", name="x")
    model = keras.Model(x, layers.Flatten()(layers.Embedding(4, 5)(x)))
    model.quantize(mode)
    model.save(tmp_path / f"m.{suffix}")
    data = np.array([[0, 1], [2, 3], [3, 0]])
    folded = converter.fold(tmp_path / f"m.{suffix}")
    np.testing.assert_allclose(folded.predict(data), model.predict(data, verbose=0), atol=1e-6)


def test_what_a_reversed_embedding_rounds_or_bends_is_no_regression(tmp_path):
    x = keras.Input((5,), name="x")
    layer = layers.ReversibleEmbedding(4, 5)
    model = keras.Model(x, layer(x, reverse=True))
    layer.quantize("int8")
    model.save(tmp_path / "rounds.keras")
    (finding,) = converter.inspect(tmp_path / "rounds.keras").findings
    assert "rounds what it is given" in finding.reason
    capped = layers.ReversibleEmbedding(4, 5, logit_soft_cap=2.0)
    model = keras.Model(x, 2.0 * ops.exp(capped(x, reverse=True)))
    model.save(tmp_path / "bends.keras")
    assert converter.inspect(tmp_path / "bends.keras").verdict == "rejected"


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_oov_indices": 2},
        {"mask_token": ""},
        {"pad_to_max_tokens": True, "max_tokens": 7},
        {"vocabulary": ["[UNK]", "rome", "lima"], "idf_weights": [0.3, 0.5, 2.0]},
    ],
)
def test_counts_weighted_by_frequencies(tmp_path, settings, suffix):
    x = keras.Input((3,), dtype="string", name="words")
    y = keras.Input((2,), dtype="int64", name="numbers")
    known = {"vocabulary": ["rome", "lima"], "idf_weights": [0.5, 2.0], "output_mode": "tf_idf"}
    parts = [layers.StringLookup(**{**known, **settings})(x)]
    parts += [layers.IntegerLookup(**{**known, "vocabulary": [4, 9]})(y)]
    model = keras.Model([x, y], _dense(*parts))
    data = {
        "words": tf.constant([["rome", "rome", "lima"], ["x", "y", "lima"], ["", "x", "rome"]]),
        "numbers": tf.constant([[4, 4], [9, 1], [2, 3]], dtype="int64"),
    }
    model.save(tmp_path / f"m.{suffix}")
    folded = converter.fold(tmp_path / f"m.{suffix}")
    raw = {key: value.numpy() for key, value in data.items()}
    np.testing.assert_allclose(folded.predict(raw), np.asarray(model(data)), rtol=0, atol=1e-5)


def test_frequencies_that_were_learned(tmp_path):
    x = keras.Input((3,), dtype="string", name="words")
    lookup = layers.StringLookup(output_mode="tf_idf")
    lookup.adapt(np.array([["rome", "rome", "lima"], ["x", "y", "lima"], ["a", "x", "rome"]]))
    model = keras.Model(x, _dense(lookup(x)))
    model.save(tmp_path / "m.keras")
    data = tf.constant([["rome", "rome", "lima"], ["b", "y", "lima"], ["", "x", "rome"]])
    folded = converter.fold(tmp_path / "m.keras")
    np.testing.assert_allclose(
        folded.predict({"words": data.numpy()}), np.asarray(model(data)), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("layer", [layers.CategoryEncoding(4), layers.Hashing(4)])
def test_a_number_of_levels_out_of_all_proportion_is_refused_at_once(tmp_path, layer):
    x = keras.Input((2,), dtype="int32", name="x")
    keras.Model(x, layer(x)).save(tmp_path / "m.keras")
    with (
        zipfile.ZipFile(tmp_path / "m.keras") as before,
        zipfile.ZipFile(tmp_path / "large.keras", "w") as after,
    ):
        for name in before.namelist():
            text = before.read(name)
            for key in (b'"num_tokens": ', b'"num_bins": '):
                text = text.replace(key + b"4", key + b"4000000000000")
            after.writestr(name, text)
    with pytest.raises(converter.ModelFileError, match=r"4,000,000,000,000 levels apart"):
        converter.fold(tmp_path / "large.keras")


def test_a_shipped_export_is_the_same_regression():
    archive, export = (
        converter.convert(
            FIXTURES / name,
            FIXTURES / "marriages.csv",
            "rate_marriage",
            base={"occupation": "teacher"},
        )
        for name in ("marriages.keras", "marriages_saved")
    )
    assert list(export.results.params.index) == list(archive.results.params.index)
    np.testing.assert_allclose(export.results.params, archive.results.params, rtol=1e-12)
    np.testing.assert_allclose(export.results.bse, archive.results.bse, rtol=1e-12)


def test_words_that_the_network_does_not_know_are_no_base_and_are_told(tmp_path):
    word, x = keras.Input((1,), dtype="string", name="zone"), keras.Input((1,), name="x")
    lookup = layers.StringLookup(vocabulary=["north", "south"], output_mode="one_hot")
    both = layers.Concatenate()([lookup(word), x])
    keras.Model([word, x], layers.Dense(1)(both)).save(tmp_path / "m.keras")
    rng = np.random.default_rng(1)
    zone = rng.choice(["north", "south", "mars"], 60)
    table = pd.DataFrame({"zone": zone, "x": rng.normal(size=60), "y": rng.normal(size=60)})
    made = converter.convert(tmp_path / "m.keras", table, "y")
    assert [name for name in made.results.params.index if "zone" in name] == [
        "C(zone)[[UNK]]",
        "C(zone)[south]",
    ]
    assert not any("spelled as in training" in one for one in made.caveats)
    loud = table.assign(zone=[one.upper() for one in zone])
    loud.loc[0, "zone"] = "north"
    made = converter.convert(tmp_path / "m.keras", loud, "y")
    assert any("59 of 60" in one and "spelled as in training" in one for one in made.caveats)
    with pytest.raises(converter.DataError, match="a mapping from column to level"):
        converter.convert(tmp_path / "m.keras", table, "y", base=["zone"])


def test_what_is_no_path_is_told_to_be_saved():
    with pytest.raises(TypeError, match=r"not a Sequential; save it first"):
        converter.fold(keras.Sequential())


def test_a_code_that_a_layer_rounds_on_the_way(tmp_path):
    """2049 is 2048 in half precision, in which a layer of that policy reads its input."""
    x = keras.Input((2,), name="x")
    model = keras.Model(
        x, layers.Embedding(3000, 2)(layers.Reshape((2,), dtype="mixed_float16")(x))
    )
    model.save(tmp_path / "m.keras")
    data = np.array([[2049.0, 3.0], [2051.0, 2050.0]])
    expected = np.reshape(model(data), (2, -1))
    np.testing.assert_allclose(converter.fold(tmp_path / "m.keras").predict(data), expected)


@pytest.mark.parametrize("crossed", [False, True])
def test_a_feature_space(tmp_path, crossed):
    """keras.utils.FeatureSpace makes a network of layers, two of which have no public name."""
    rng = np.random.default_rng(3)
    table = {
        "age": rng.normal(40.0, 10.0, 200),
        "income": rng.normal(size=200),
        "share": rng.normal(size=200),
        "edu": rng.choice(["a", "b", "c"], 200),
        "code": rng.integers(0, 4, 200),
        "word": rng.choice(["x", "y", "z"], 200),
        "number": rng.integers(0, 50, 200),
        "wind": rng.normal(size=200),
    }
    kinds = keras.utils.FeatureSpace
    space = kinds(
        features={
            "age": kinds.float_normalized(),
            "income": kinds.float(),
            "share": kinds.float_rescaled(scale=0.5),
            "edu": kinds.string_categorical(num_oov_indices=1),
            "code": kinds.integer_categorical(num_oov_indices=1),
            "word": kinds.string_hashed(num_bins=8),
            "number": kinds.integer_hashed(num_bins=8),
            "wind": kinds.float_discretized(num_bins=4),
        },
        crosses=[kinds.cross(("edu", "code"), crossing_dim=8)] if crossed else None,
        output_mode="concat",
    )
    space.adapt(tf.data.Dataset.from_tensor_slices(table).batch(32))
    inputs = space.get_inputs()
    model = keras.Model(inputs, layers.Dense(1)(space.get_encoded_features()))
    model.save(tmp_path / "m.keras")
    if crossed:
        with pytest.raises(converter.Rejected, match="crosses codes"):
            converter.fold(tmp_path / "m.keras")
        return
    expected = model.predict(
        {name: tf.constant(table[name][:, None]) for name in inputs}, verbose=0
    )
    found = converter.fold(tmp_path / "m.keras").predict(pd.DataFrame(table))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_values_that_are_no_words(tmp_path):
    x = keras.Input((1,), dtype="string", name="flag")
    hot = layers.StringLookup(vocabulary=["True", "False"], output_mode="one_hot")(x)
    keras.Model(x, layers.Dense(1)(hot)).save(tmp_path / "m.keras")
    model = converter.fold(tmp_path / "m.keras")
    words = model.predict(pd.DataFrame({"flag": ["True", "False"]}))
    np.testing.assert_array_equal(model.predict(pd.DataFrame({"flag": [True, False]})), words)
    with pytest.raises(ValueError, match="'7' in row 1, which is a number"):
        model.predict(pd.DataFrame({"flag": [7]}))
    with pytest.raises(ValueError, match="row 2, which is missing"):
        model.predict(pd.DataFrame({"flag": ["True", None]}))
    table = pd.DataFrame({"flag": ["True", "False", "other"] * 9, "y": np.arange(27.0)})
    made = converter.convert(model, table, "y")
    assert any("9 of 27 values of flag" in one for one in made.caveats)


def test_base_may_be_a_number(tmp_path):
    codes = keras.Input((1,), dtype="int32", name="code")
    flat = keras.layers.Flatten()(keras.layers.Embedding(3, 1)(codes))
    keras.Model(codes, flat).save(tmp_path / "m.keras")
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"code": rng.integers(0, 3, 60), "y": rng.normal(size=60)})

    def params(level):
        made = converter.convert(tmp_path / "m.keras", data, "y", base={"code": level})
        return list(made.results.params)

    assert params(2.0) == params(np.float64(2.0)) == params("2") == params(2) != params(1)
