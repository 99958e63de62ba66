"""Cells of tables of whatever type, names of whatever kind, and cells that are not what their column is: an error names them."""

import datetime
import decimal
import fractions

import numpy as np
import pandas as pd
import pytest

import fastnet as fn
from fastnet.utils._table_columns import as_dates, as_floats, values_of

N = 40
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=N).round(3)
DAYS = pd.date_range("2024-03-30", periods=N, freq="7h")  # over the change to summer time
UTC = DAYS.to_numpy().astype("datetime64[s]").astype(float)


def with_gaps(cells, gap):
    return [gap if i % 7 == 3 else one for i, one in enumerate(cells)]


def encoder_of(column, **options):
    return fn.utils.TableEncoder(**options).fit({"x": X, "c": column})


NUMBERS = {
    "decimals": [decimal.Decimal(str(one)) for one in X],
    "fractions": [fractions.Fraction(str(one)) for one in X],
    "numpy's as objects": np.array([np.float64(one) for one in X], object),
    "text": [str(one) for one in X],
    "text with blanks": [f" {one} " for one in X],
    "Float64": pd.array(X, "Float64"),
    "sparse": pd.arrays.SparseArray(X),
    "spans of time": pd.to_timedelta(X, unit="s"),
    "spans of time of Python": [datetime.timedelta(seconds=float(one)) for one in X],
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_any_type(kind):
    given = NUMBERS[kind]
    for gap in (None, np.nan):
        column = pd.Series(with_gaps(given, gap), dtype=object)
        encoder = encoder_of(column)
        assert encoder.recognised["c"] == "number"
        expected = np.array(with_gaps(X, np.nan))
        np.testing.assert_allclose(as_floats(values_of(column)), expected, atol=1e-6)
        numbers, _ = encoder.transform({"x": X, "c": column})
        there = ~np.isnan(expected)
        np.testing.assert_array_equal(numbers[:, 2], ~there)
        np.testing.assert_allclose(
            numbers[there, 1], (expected[there] - expected[there].mean()) / expected[there].std(), atol=1e-5
        )
    assert encoder_of(given).recognised["c"] == "number"


def test_times_of_the_day_are_seconds():
    times = [datetime.time(i % 24, i, 2) for i in range(N)]
    assert encoder_of(times).recognised["c"] == "number"
    expected = [one.hour * 3600 + one.minute * 60 + one.second for one in times]
    np.testing.assert_array_equal(as_floats(values_of(times)), expected)


DATES = {
    "UTC": DAYS.tz_localize("UTC"),
    "Zurich": DAYS.tz_localize("UTC").tz_convert("Europe/Zurich"),
    "of Python": DAYS.tz_localize("UTC").tz_convert("Asia/Kolkata").to_pydatetime(),
    "without a zone": DAYS,
    "text": DAYS.strftime("%Y-%m-%d %H:%M:%S"),
    "text in UTC": DAYS.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "text with a zone": (DAYS + pd.Timedelta("2h")).strftime("%Y-%m-%dT%H:%M:%S+02:00"),
}


@pytest.mark.parametrize("kind", DATES)
@pytest.mark.filterwarnings("error")
def test_dates_with_and_without_time_zones(kind):
    given = pd.Series(DATES[kind])
    assert encoder_of(given).recognised["c"] == "date"
    np.testing.assert_array_equal(as_dates(values_of(given)), UTC)
    gaps = given.copy()
    gaps[3::7] = None
    np.testing.assert_array_equal(as_dates(values_of(gaps)), with_gaps(UTC, np.nan))
    assert encoder_of(gaps).recognised["c"] == "date"


def test_periods_are_dates():
    months = pd.Series(pd.period_range("2020-01", periods=N, freq="M"))
    assert encoder_of(months).recognised["c"] == "date"
    np.testing.assert_array_equal(
        as_dates(values_of(months)), months.dt.to_timestamp().to_numpy().astype("datetime64[s]").astype(float)
    )


@pytest.mark.parametrize(
    "column", [np.full(N, np.nan), [None] * N, pd.Series([pd.NaT] * N), pd.array([pd.NA] * N, "Int64"), [""] * N, [" "] * N]
)
def test_columns_of_gaps_are_left_out(column):
    encoder = encoder_of(column)
    assert encoder.recognised["c"] == "ignored"
    np.testing.assert_array_equal(*(encoder.transform({"x": X, "c": one})[0] for one in (column, ["text"] * N)))


def test_booleans():
    yes = X > 0
    for column in (pd.array(with_gaps(yes, pd.NA), "boolean"), with_gaps(yes, None), with_gaps(yes, np.nan)):
        encoder = encoder_of(pd.Series(column))
        assert encoder.recognised["c"] == "boolean"
        np.testing.assert_array_equal(encoder.transform({"x": X, "c": column})[0][:, 1], with_gaps(np.where(yes, 1.0, -1.0), 0.0))
    texts = np.where(yes, "Yes", "no")
    encoder = encoder_of(texts, kinds={"c": "boolean"})
    np.testing.assert_array_equal(encoder.transform({"x": X, "c": texts})[0][:, 1], np.where(yes, 1.0, -1.0))


def with_one(cells, row, cell):
    cells = list(cells)
    cells[row] = cell
    return cells


WRONG = {
    "text among numbers": (X, "oops", "'oops' is no number", None),
    "text among numbers that are text": ([str(one) for one in X], "oops", "'oops' is no number", None),
    "infinity": (X, np.inf, "inf.* is not finite", None),
    "text among dates": ([f"2024-05-{1 + i % 28:02}" for i in range(N)], "2024-02-30", "'2024-02-30' is no date", None),
    "text among booleans": (np.where(X > 0, "yes", "no"), "maybe", "'maybe' is neither yes nor no", {"c": "boolean"}),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_cell_that_is_not_what_its_column_is(what):
    """Formerly all of these were gaps."""
    cells, cell, message, kinds = WRONG[what]
    encoder = encoder_of(cells, kinds=kinds)
    x = fn.layers.Dense(1)(encoder.get_encoded_features())
    model = fn.Model(list(encoder.get_inputs().values()), x, seed=0)
    bad = {"x": X, "c": np.array(with_one(cells, 31, cell), object)}
    for function in (encoder.transform, lambda table: model.predict(table, verbose=0)):
        with pytest.raises(ValueError, match=f"column 'c', row 31: .*{message}.*kinds="):
            function(bad)
    with pytest.raises(ValueError, match=f"column 'c', row 31: .*{message}"):
        fn.utils.TableEncoder(kinds or {"c": encoder.recognised["c"]}).fit(bad)


def test_few_mistakes_in_a_column_of_numbers_are_told_and_many_make_categories():
    cells = [str(i) for i in range(100)]
    with pytest.raises(ValueError, match=r"column 'c', row 7: 'x' is no number \(5 such cells in all\)"):
        fn.utils.TableEncoder().fit({"c": with_one(cells, slice(7, 12), ["x"] * 5)})
    codes = ["1", "2", "3", "1A"] * 10
    assert encoder_of(codes).recognised["c"] == "category"
    with pytest.raises(ValueError, match="column 'c', row 0: complex"):
        encoder_of(X + 1j)


def test_unseen_categories_and_types():
    encoder = encoder_of(pd.Series(pd.Categorical(np.arange(N) % 3)))
    expected = encoder.transform({"x": X, "c": np.arange(N) % 3})[0]
    for column in (np.arange(N) % 3.0, [str(i % 3) for i in range(N)], np.array([np.float32(i % 3) for i in range(N)], object)):
        np.testing.assert_array_equal(encoder.transform({"x": X, "c": column})[0], expected)
    assert encoder.transform({"x": X[:1], "c": ["new"]})[0][0].tolist()[1:] == [1, 0, 0, 0]


# ---- names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [[0, 1], [("a", 1), ("a", 2)], ["a", 1], [np.int64(3), 2.5]])
def test_names_that_are_no_text(names):
    table = pd.DataFrame({0: X, 1: np.where(X > 0, "a", "b")})
    expected = fn.utils.TableEncoder().fit_transform({"x": table[0], "c": table[1]})[0]
    table.columns = pd.Index(names, tupleize_cols=isinstance(names[0], tuple))
    encoder = fn.utils.TableEncoder().fit(table)
    assert [*encoder.recognised] == [str(name) for name in table.columns]
    np.testing.assert_array_equal(encoder.transform(table)[0], expected)
    model = fn.Model(list(encoder.get_inputs().values()), fn.layers.Dense(1)(encoder.get_encoded_features()), seed=0)
    model.compile("adam", "mse")
    model.fit(table, X, epochs=1, verbose=0)
    direct = fn.utils.TableEncoder(columns=encoder.columns)
    assert model.predict(table, verbose=0).shape == (N, 1) and direct.recognised == encoder.recognised


def test_names_that_tell_no_columns_apart():
    table = pd.DataFrame(np.column_stack([X, X]), columns=["a", "a"])
    for one in (table, pd.DataFrame({0: X, "0": X})):
        with pytest.raises(ValueError, match="several columns of the name '(a|0)'"):
            fn.utils.TableEncoder().fit(one)


def test_a_frame_of_which_one_column_says_something():
    """The frame was taken for the data of the only input."""
    table = pd.DataFrame({"owner": [f"name {i} {chr(65 + i % 26)}" for i in range(60)], "x": np.arange(60.0)})
    encoder = fn.utils.TableEncoder({"owner": "ignored"}).fit(table)
    model = fn.Model(list(encoder.get_inputs().values()), fn.layers.Dense(1)(encoder.get_encoded_features()), seed=0)
    model.compile("adam", "mse")
    model.fit(table, table["x"], epochs=1, verbose=0)
    expected = model.predict({"x": table["x"]}, verbose=0)
    np.testing.assert_array_equal(model.predict(table, verbose=0), expected)
    np.testing.assert_array_equal(model.predict(table[["x"]], verbose=0), expected)
    with pytest.raises(ValueError, match="x has no column 'x'; its columns are .'owner', 'y'"):
        model.predict(table.rename(columns={"x": "y"}), verbose=0)
