"""Frames with text, categories, dates, booleans and gaps, straight into the estimators."""

import datetime
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

from fastnet.sklearn import MLPClassifier, MLPRegressor
from fastnet.sklearn._tables import TableEncoder, is_table

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def frame(n=300, seed=0):
    """Columns of every kind with gaps, and a target that depends on each of them."""
    rng = np.random.default_rng(seed)
    age, city, member = rng.uniform(18, 80, n), rng.choice(["Bern", "Basel", "Chur"], n), rng.random(n) < 0.5
    day = np.datetime64("2024-01-01") + rng.integers(0, 700, n).astype("timedelta64[D]")
    table = pd.DataFrame({"age": age, "city": city, "member": member, "day": day, "rooms": rng.integers(1, 7, n)})
    y = (
        0.05 * age
        + 2.0 * (city == "Bern")
        + member
        + np.sin(2 * np.pi * table["day"].dt.day_of_year / 365.25)
        + 0.1 * table["rooms"]
    )
    table.loc[rng.random(n) < 0.1, "age"] = np.nan
    table.loc[rng.random(n) < 0.1, "city"] = None
    table.loc[rng.random(n) < 0.1, "day"] = pd.NaT
    return table, y.to_numpy()


def small(**options):
    return {"hidden_layer_sizes": (16,), "max_iter": 60, "learning_rate_init": 0.01, "random_state": 0, "n_threads": 1, **options}


def test_what_is_a_table():
    numbers = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]})
    assert not is_table(numbers) and not is_table(numbers.to_numpy()) and not is_table([["a", 1]])
    for column in ([1.0, np.nan], [True, False], ["x", "y"], pd.to_datetime(["2024-01-01", "2024-01-02"])):
        assert is_table(numbers.assign(c=column))


def test_numbers_of_every_kind_of_column():
    table = pd.DataFrame(
        {
            "number": [1.0, np.nan, 4.0, 9.0],
            "whole": [1, 2, 3, 4],
            "yes": [True, False, True, True],
            "text": ["b ", "a", None, "b"],
            "kind": pd.Categorical(["u", "v", "u", "v"]),
            "day": pd.to_datetime(["2024-01-01", None, "2024-01-03", "2024-01-08"]),
        }
    )
    encoder = TableEncoder(table)
    week, year = 2 * np.pi * np.array([0, 2, 2, 0]) / 7, 2 * np.pi * np.array([0, 2, 2, 7]) / 365.25
    expected = [
        [1, 4, 4, 9], [0, 1, 0, 0],  # the median, and where it is one
        [1, 2, 3, 4],
        [1, 0, 1, 1],
        [1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0],  # b, what is rare or new, nothing
        [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0],  # u, v, what is new
        [0, 2, 2, 7], np.sin(year), np.cos(year), np.sin(week), np.cos(week), [0, 1, 0, 0],
    ]  # fmt: skip
    np.testing.assert_allclose(encoder.encode(table, np.float64), np.array(expected, float).T, atol=1e-12)
    assert np.flatnonzero(encoder.scaled).tolist() == [0, 2, 10]
    new = table.assign(text=["c", None, "a", "b"], kind=["w", "u", None, "v"], number=[None, 1.0, 2.0, 3.0])
    found = encoder.encode(new[[*reversed(table.columns)]], np.float64)
    assert found[:, 4:7].tolist() == [[0, 1, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert found[:, 7:10].tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_dates_in_objects_and_hours():
    rows = [datetime.datetime(2024, 1, 1, 6), None, datetime.datetime(2024, 1, 2, 18)]
    encoder = TableEncoder(pd.DataFrame({"when": pd.Series(rows, dtype=object)}))
    found = encoder.encode(pd.DataFrame({"when": pd.to_datetime(["2024-01-01 12:00"])}), np.float64)
    np.testing.assert_allclose(found[0, [0, 5, 6, 7]], [0.25, 0, -1, 0], atol=1e-12)


def test_estimators_take_tables():
    x, y = frame()
    regressor = MLPRegressor(**small(max_iter=300)).fit(x, y)
    assert regressor.score(x, y) > 0.8
    assert regressor.feature_names_in_.tolist() == [*x.columns] and regressor.n_features_in_ == 5
    shuffled = x[[*reversed(x.columns)]]
    with pytest.raises(ValueError, match="names should match"):
        regressor.predict(shuffled)
    classifier = MLPClassifier(**small(importances=True)).fit(x, np.where(y > np.median(y), "dear", "cheap"))
    assert set(classifier.predict(x)) == {"dear", "cheap"} and classifier.feature_importances_.shape == (5,)
    assert classifier.predict_proba(x.head(1).assign(city="Zug", age=np.nan, day=None)).shape == (1, 2)


def test_encoding_is_a_part_of_the_estimator():
    x, y = frame()
    regressor = MLPRegressor(**small()).fit(x, y)
    copy = pickle.loads(pickle.dumps(regressor))
    np.testing.assert_array_equal(copy.predict(x), regressor.predict(x))
    assert cross_val_score(clone(regressor), x, y, cv=3).mean() > 0.5
    search = GridSearchCV(clone(regressor), {"scaling": ["auto", "standard"]}, cv=2, n_jobs=2).fit(x, y)
    assert search.best_estimator_.predict(x).shape == y.shape
    held = MLPRegressor(**small(early_stopping=True)).fit(x[:200], y[:200], validation_data=(x[200:], y[200:]))
    assert held.best_validation_score_ == pytest.approx(held.score(x[200:], y[200:]), rel=1e-6)


def test_partial_fit_of_tables():
    x, y = frame()
    regressor = MLPRegressor(**small())
    for start in range(0, 300, 100):
        regressor.partial_fit(x[start : start + 100], y[start : start + 100])
    assert regressor.predict(x).shape == (300,) and regressor.t_ == 300


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x: x.drop(columns="city"), "feature names should match|unseen|missing"),
        (lambda x: x.assign(age="old"), "column 'age' was numbers in fit, and now holds 'old'"),
        (lambda x: x.assign(day="soon"), "column 'day' was dates in fit"),
        (lambda x: x.assign(age=np.inf), "infinity in column 'age'"),
        (lambda x: x.to_numpy()[:, :5], "expected a frame with the columns"),
    ],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_tables_that_do_not_fit(change, message):
    x, y = frame(60)
    regressor = MLPRegressor(**small(max_iter=2)).fit(x, y)
    with pytest.raises(ValueError, match=message):
        regressor.predict(change(x))


class Frame:
    """Columns by their names, as other libraries have them."""

    def __init__(self, columns):
        self.all, self.columns, self.shape = columns, list(columns), (len(next(iter(columns.values()))), len(columns))

    def __getitem__(self, name):
        return self.all[name]


def test_other_frames_are_those_of_pandas():
    x, y = frame()
    columns = {name: [None if one is pd.NaT or one != one else one for one in x[name].astype(object)] for name in x}
    expected = MLPRegressor(**small()).fit(x, y).predict(x)
    np.testing.assert_allclose(MLPRegressor(**small()).fit(Frame(columns), y).predict(Frame(columns)), expected, rtol=1e-6)
