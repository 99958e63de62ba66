"""Frames with text, categories, dates, booleans and gaps, straight into the estimators."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

from fastnet.sklearn import MLPClassifier, MLPRegressor
from fastnet.sklearn._tables import Table, is_table

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


def test_which_numbers_are_scaled():
    x, _ = frame()
    table = Table(x.assign(kind=pd.Categorical(np.where(x["rooms"] > 3, "large", "small"))))
    numbers = table.encode(x.assign(kind="small"), np.float64)
    assert numbers.shape == (300, len(table.scaled)) and numbers.dtype == np.float64
    many = [len(np.unique(column)) > 2 for column in numbers.T]
    circles = np.abs(numbers).max(axis=0) <= 1 + 1e-6  # places in the year and the week, which are as they are
    assert (table.scaled == (np.array(many) & ~circles)).all()
    assert table.scaled.sum() == 3  # age, day, rooms


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
        (lambda x: x.to_numpy()[:, :5], "expected a frame with the columns"),
    ],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_tables_that_do_not_fit(change, message):
    x, y = frame(60)
    regressor = MLPRegressor(**small(max_iter=2)).fit(x, y)
    with pytest.raises(ValueError, match=message):
        regressor.predict(change(x))
