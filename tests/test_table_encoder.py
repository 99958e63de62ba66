"""TableEncoder: what it recognises, what comes out, against the same by hand in NumPy and pandas."""

import copy
import datetime
import json
import pickle

import numpy as np
import pandas as pd
import pytest

import fastnet as fn

TableEncoder = fn.utils.TableEncoder
RANDOM = np.random.default_rng(0)
N = 120
WORDS = ["red", "green", "blue", "old", "new", "big", "small", "fast", "slow", "good", "bad", "fine"]


def frame():
    found = pd.DataFrame({
        "age": RANDOM.normal(40, 10, N), "income": np.round(RANDOM.lognormal(8, 2.5, N), 2), "floors": RANDOM.integers(1, 4, N),
        "town": RANDOM.permutation(np.repeat(["Rome", "Bern", "Oslo"], [60, 40, 20])), "zone": pd.Categorical(RANDOM.integers(0, 25, N)),
        "sold": RANDOM.random(N) < 0.5, "when": pd.date_range("2021-12-25", periods=N, freq="31h"),
        "day": [f"2024-02-{1 + i % 29:02}" for i in range(N)], "price": [str(i / 4) for i in range(N)],
        "owner": [f"owner {i}" for i in range(N)], "notes": [" ".join(RANDOM.choice(WORDS, 5)) for _ in range(N)], "nothing": [None] * N,
    })  # fmt: skip
    found.loc[[3, 7], "age"], found.loc[5, "town"], found.loc[9, "when"] = np.nan, None, pd.NaT
    return found


FRAME = frame()
KINDS = {
    "age": "number", "income": "number", "floors": "number", "town": "category", "zone": "category", "sold": "boolean", "when": "date",
    "day": "date", "price": "number", "owner": "ignored", "notes": "text", "nothing": "ignored",
}  # fmt: skip


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def part(encoder, table, name):
    """The numbers of a column, by what their names begin with."""
    numbers, _ = encoder.transform(table)
    return numbers[:, [i for i, one in enumerate(encoder.feature_names) if one == name or one.startswith(f"{name} ")]]


@pytest.fixture(scope="module")
def encoder():
    return TableEncoder().fit(FRAME)


def test_columns_are_recognised(encoder):
    assert encoder.recognised == KINDS
    assert encoder.category_names == ["zone"] and encoder.cardinalities == [1 + FRAME["zone"].nunique()]
    numbers, indices = encoder.transform(FRAME)
    assert numbers.shape == (N, len(encoder.feature_names)) and numbers.dtype == np.float32 and np.isfinite(numbers).all()
    assert indices.shape == (N, 1) and indices.dtype == np.int64


def test_numbers(encoder):
    age = FRAME["age"].to_numpy()
    scaled = (age - np.nanmean(age)) / np.nanstd(age)
    close(part(encoder, FRAME, "age"), np.column_stack([np.nan_to_num(scaled), np.isnan(age)]))
    price = np.arange(N) / 4
    close(part(encoder, FRAME, "price"), ((price - price.mean()) / price.std())[:, None])
    income = FRAME["income"].to_numpy()
    spread = np.subtract(*np.quantile(income, [0.75, 0.25])) / 1.349
    assert np.abs(income - np.median(income)).max() > 8 * spread  # its tails are long
    squashed = np.arcsinh((income - np.median(income)) / spread)
    close(part(encoder, FRAME, "income"), ((squashed - squashed.mean()) / squashed.std())[:, None])
    close(part(encoder, FRAME, "sold"), np.where(FRAME["sold"], 1, -1)[:, None])


def test_categories(encoder):
    """The most frequent first, and a gap is one."""
    town = FRAME["town"].fillna("").to_numpy()
    order = sorted(set(town), key=lambda one: ((town == one).sum(), one), reverse=True)
    close(part(encoder, FRAME, "town"), np.column_stack([np.zeros(N), *(town == one for one in order)]))
    zone = FRAME["zone"].astype(str).to_numpy()
    order = sorted(set(zone), key=lambda one: ((zone == one).sum(), one), reverse=True)
    np.testing.assert_array_equal(encoder.transform(FRAME)[1][:, 0], [1 + order.index(one) for one in zone])
    other = FRAME.assign(town="Lima", zone=99)
    close(part(encoder, other, "town"), np.eye(5)[np.zeros(N, int)])
    assert not encoder.transform(other)[1].any()


def test_dates(encoder):
    when = FRAME["when"]
    days = (when - pd.Timestamp(0)).dt.total_seconds().to_numpy() / 86400
    angles = [(when.dt.day_of_year - 1) / 366, when.dt.day_of_week / 7, days % 1]
    waves = [
        wave(2 * np.pi * angle.to_numpy() if hasattr(angle, "to_numpy") else 2 * np.pi * angle)
        for angle in angles
        for wave in (np.sin, np.cos)
    ]
    expected = np.nan_to_num(np.column_stack([(days - np.nanmean(days)) / np.nanstd(days), *waves, when.isna()]))
    close(part(encoder, FRAME, "when"), expected)
    as_text = FRAME.assign(when=when.astype(str).replace("NaT", ""))
    close(part(encoder, as_text, "when"), expected)
    objects = {name: FRAME[name].tolist() for name in FRAME} | {
        "when": [None if pd.isna(one) else one.to_pydatetime() for one in when]
    }
    close(encoder.transform(objects)[0], encoder.transform(FRAME)[0])
    assert part(encoder, FRAME, "day").shape == (N, 5)
    assert TableEncoder().fit({"d": [datetime.date(2024, 1, 1), None, datetime.date(2024, 1, 3)]}).recognised == {"d": "date"}


def test_texts(encoder):
    notes = FRAME["notes"]
    vectorize = fn.layers.TextVectorization(output_mode="multi_hot")
    vectorize.adapt(notes)
    close(part(encoder, FRAME, "notes"), vectorize(notes)[:, 1:])


def test_kinds_of_tables(encoder):
    expected = encoder.transform(FRAME)
    columns = {name: FRAME[name] for name in reversed(list(FRAME))}

    class Polars:
        columns = list(FRAME)

        def __getitem__(self, name):
            return FRAME[name]

        def to_numpy(self):
            return FRAME.to_numpy()

    class Arrow:
        column_names = list(FRAME)

        def column(self, name):
            return FRAME[name]

    for table in (columns, Polars(), Arrow()):
        for one, wanted in zip(encoder.transform(table), expected):
            np.testing.assert_array_equal(one, wanted)
    array = RANDOM.uniform(size=(9, 3))
    close(TableEncoder().fit_transform(array)[0], (array - array.mean(axis=0)) / array.std(axis=0))


def test_what_is_said_of_columns():
    encoder = TableEncoder({"floors": "category", "town": "ignored", "owner": "category"}, max_categories=10, max_one_hot=2).fit(
        FRAME
    )
    assert encoder.category_names == ["floors", "zone", "owner"] and encoder.cardinalities == [4, 11, 11]
    assert not any(name.startswith("town") for name in encoder.feature_names)


def test_copies(encoder):
    expected = encoder.transform(FRAME)
    for one in (
        TableEncoder.from_config(json.loads(json.dumps(encoder.get_config()))),
        pickle.loads(pickle.dumps(encoder)),
        copy.deepcopy(encoder),
    ):
        for found, wanted in zip(one.transform(FRAME), expected):
            np.testing.assert_array_equal(found, wanted)
        assert one.feature_names == encoder.feature_names


def test_a_part_of_a_model_and_of_its_file(encoder, tmp_path):
    model = fn.Model(list(encoder.get_inputs().values()), fn.layers.Dense(1)(encoder.get_encoded_features()), seed=0)
    assert list(encoder.get_inputs()) == [name for name, kind in KINDS.items() if kind != "ignored"]
    numbers, indices = encoder.transform(FRAME)
    table, kernel, bias = model.get_weights()
    assert len(table) == encoder.cardinalities[0]
    close(model.predict(FRAME), np.column_stack([numbers, table[indices[:, 0]]]) @ kernel + bias)
    model.compile("adam", "mse")
    y = RANDOM.normal(size=N)
    assert len(model.fit(FRAME, y, epochs=2, validation_split=0.2, verbose=0).history["val_loss"]) == 2
    model.save(tmp_path / "model.safetensors")
    loaded = fn.load_model(tmp_path / "model.safetensors")
    row = {name: FRAME[name].to_numpy()[:3] for name in encoder.get_inputs()}
    for one in (loaded, copy.deepcopy(model)):
        np.testing.assert_array_equal(one.predict(row), model.predict(row))
        one.fit(FRAME, y, verbose=0)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: TableEncoder({"a": "numbers"}), r"kinds\['a'\] must be one of"),
    (lambda: TableEncoder({"b": "number"}).fit({"a": [1.0]}), r"kinds names \['b'\]"),
    (lambda: TableEncoder(max_categories=0), "max_categories must be at least 1"),
    (lambda: TableEncoder().fit([1.0, 2.0]), "a table is a dictionary of columns, a frame or an array"),
    (lambda: TableEncoder().fit({}), "has no columns"),
    (lambda: TableEncoder().fit({"a": []}), "has no rows"),
    (lambda: TableEncoder().fit({"a": [1.0], "b": [1.0, 2.0]}), "different lengths"),
    (lambda: TableEncoder().fit({"a": [None, None]}), "no column of the table says anything"),
    (lambda: TableEncoder().transform({"a": [1.0]}), "does not know the table yet"),
    (lambda: TableEncoder().get_inputs(), "does not know the table yet"),
    (lambda: TableEncoder().fit({"a": [1.0, 2.0]}).transform({"b": [1.0]}), r"no columns \['a'\]; it has \['b'\]"),
    (lambda: TableEncoder(columns={"a": {"kind": "x"}}), "a column is one of"),
    (lambda: TableEncoder().fit({"a": [1.0, 2.0]})([fn.Input((1,)), fn.Input((1,))]), "called on 1 inputs"),
])  # fmt: skip
def test_what_is_refused(make, message):
    with pytest.raises((TypeError, ValueError, RuntimeError), match=message):
        make()
