"""Frames with text, categories, dates, booleans and gaps, straight into the estimators."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

import fastnet as fn
from fastnet._scaling import _quantiles
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
    table = Table(x.assign(kind=pd.Categorical(np.where(x["rooms"] > 3, "large", "small"))), 255)
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


@pytest.mark.parametrize("scaling", ["standard", "robust", "piecewise", "periodic", None])
@pytest.mark.parametrize("max_one_hot", [2, 255])
def test_scalings_and_embeddings(scaling, max_one_hot):
    """A large category has an Embedding, whatever becomes of the numbers."""
    x, y = frame()
    options = small(scaling=scaling, max_one_hot=max_one_hot, max_iter=200, dtype="float32")
    regressor = MLPRegressor(**options).fit(x, y)
    embeddings = [layer for layer in regressor.models_[0].layers if isinstance(layer, fn.layers.Embedding)]
    assert [layer.weights[0].shape for layer in embeddings] == ([(5, 4)] if max_one_hot == 2 else [])
    assert regressor.score(x, y) > 0.75
    unseen = x.head(3).assign(city=["Bern", "Zug", None])
    assert np.isfinite(regressor.predict(unseen)).all()
    copy = pickle.loads(pickle.dumps(regressor))
    np.testing.assert_array_equal(copy.predict(x), regressor.predict(x))


def test_a_frame_of_one_large_category():
    city = np.repeat(["a", "b", "c", "d"], 20)
    x = pd.DataFrame({"city": city})
    for members in (1, 2):
        classifier = MLPClassifier(**small(max_one_hot=0, n_members=members, max_iter=200)).fit(x, city)
        assert classifier.score(x, city) == 1.0 and list(classifier.predict(x.head(1).assign(city="e")))[0] in city


def test_periodic_waves_are_those_of_their_paper():
    """relu(dense(concat(sin(2 pi c x), cos(2 pi c x)))) for each feature, with weights of its own, beside the feature itself."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3))
    regressor = MLPRegressor(**small(scaling="periodic", max_iter=3, hidden_layer_sizes=())).fit(x, x[:, 0])
    model = regressor.models_[0]
    waves, dense = (layer for layer in model.layers if isinstance(layer, fn.layers.EinsumDense))
    frequencies, (kernel, bias) = waves.get_weights()[0], dense.get_weights()
    assert not np.array_equal(frequencies, np.zeros_like(frequencies)) and 0.05 < frequencies.std() / (2 * np.pi) < 0.15
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    turns = scaled[:, :, None] * frequencies
    parts = [np.concatenate([np.sin(turns[:, i]), np.cos(turns[:, i])], axis=1) @ kernel[i] + bias[i] for i in range(3)]
    features = np.concatenate([scaled, *[np.maximum(one, 0) for one in parts]], axis=1)
    kernel, bias = regressor.coefs_[0], regressor.intercepts_[0]
    np.testing.assert_allclose(model.predict(x, verbose=0), features @ kernel + bias, rtol=1e-10, atol=1e-10)


def test_tables_of_arrow():
    pa = pytest.importorskip("pyarrow")
    x, y = frame()
    table = pa.Table.from_pandas(x)
    regressor = MLPRegressor(**small()).fit(table, y)
    np.testing.assert_allclose(regressor.predict(table), MLPRegressor(**small()).fit(x, y).predict(x), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="feature names should match"):
        regressor.predict(table.select(["age", "city"]))


def test_cells_that_are_no_numbers():
    x, y = frame()
    regressor = MLPRegressor(**small(max_iter=2)).fit(x, y)
    wrong = x.astype({"age": object})
    wrong.iloc[7, 0] = "old"
    for fitted in (regressor, pickle.loads(pickle.dumps(regressor))):
        with pytest.raises(ValueError, match="column 'age', row 7: 'old' is no number.*frame.*category") as error:
            fitted.predict(wrong)
        assert "kinds" not in str(error.value)  # which the estimators do not take
    wrong["age"] = wrong["age"].astype(str).astype("category")  # what the message says
    assert MLPRegressor(**small(max_iter=2)).fit(wrong, y).predict(wrong).shape == (300,)


@pytest.mark.parametrize("columns", [["age", "city"], ["age"]])
@pytest.mark.parametrize("call", ["fit", "partial_fit", "predict", "score"])
def test_dictionaries_of_columns_are_refused(columns, call):
    """Whatever the estimator was fitted on: frames of numbers alone are arrays to it."""
    x, y = frame()
    x = x[columns].fillna({"age": 40.0})
    estimator = MLPRegressor(**small(max_iter=2)).fit(x, y)
    given = {name: x[name].to_numpy() for name in columns}
    with pytest.raises(TypeError, match=r"MLPRegressor takes an array.*a frame.*got a dict with \['age'.*pandas.DataFrame"):
        getattr(estimator, call)(*([given] if call == "predict" else [given, y]))
    assert estimator.predict(x).shape == (300,)


@pytest.mark.parametrize(
    "n, features, options, scaling, alpha",
    [
        (500, 4, {}, "piecewise", 3.0),
        (4000, 2, {}, "piecewise", 0.75),
        (100, 50, {}, "piecewise", 3.0),
        (100, 51, {}, "standard", 1e-4),
        (100, 4, {"layers": [fn.layers.Dense(3)]}, "standard", 1e-4),
        (100, 4, {"scaling": "periodic"}, "periodic", 3.0),
        (100, 4, {"scaling": None}, None, 1e-4),
    ],
)
def test_what_auto_is(n, features, options, scaling, alpha):
    x = np.random.default_rng(0).normal(size=(n, features))
    networks = [
        MLPRegressor(**small(hidden_layer_sizes=(2,), max_iter=1, **{**options, **more})).fit(x, x[:, 0])
        for more in ({}, {"scaling": scaling, "alpha": alpha})
    ]
    for one, other in zip(*(network.models_[0].get_weights() for network in networks)):
        np.testing.assert_array_equal(one, other)
    assert networks[0].loss_ == networks[1].loss_


def test_auto_in_partial_fit_knows_no_number_of_rows():
    x = np.random.default_rng(0).normal(size=(60, 3))
    one, other = (MLPRegressor(**small(**options)).partial_fit(x, x[:, 0]) for options in ({}, {"alpha": 1e-4}))
    np.testing.assert_array_equal(one.coefs_[0], other.coefs_[0])


@pytest.mark.parametrize("alpha", ["auto", 0.0])
@pytest.mark.parametrize("scaling", ["auto", "standard", "robust", "piecewise", "periodic", None])
def test_a_row_of_weight_two_counts_as_two_whatever_the_scaling(scaling, alpha):
    rng = np.random.default_rng(0)
    x, counts = rng.normal(size=(200, 3)), rng.integers(0, 4, 200)
    y = x[:, 0] + x[:, 1] ** 2
    # One batch of all rows, and as its alpha for so many rows is not at its limit, 20 times as many.
    counts = 20 * counts if alpha == "auto" else counts
    rows = np.repeat(np.arange(200), counts)
    options = small(scaling=scaling, alpha=alpha, shuffle=False, early_stopping=False, max_iter=5, batch_size=len(rows))
    with pytest.warns(UserWarning, match="clipped"):
        weighted = MLPRegressor(**options).fit(x, y, sample_weight=counts)
    repeated = MLPRegressor(**options).fit(x[rows], y[rows])
    np.testing.assert_allclose(weighted.predict(x), repeated.predict(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scaling", ["auto", "robust", "periodic"])
@pytest.mark.parametrize("estimator", [MLPRegressor, MLPClassifier])
def test_the_unit_of_weights_says_nothing_where_alpha_is_automatic(estimator, scaling):
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(300, 3)), rng.uniform(0.5, 1.5, 300)
    y = x[:, 0] + x[:, 1] ** 2
    y = y > 1 if estimator is MLPClassifier else y
    scores = [
        estimator(**small(scaling=scaling)).fit(x, y, sample_weight=w).score(x, y) for w in (weights, weights / weights.sum())
    ]
    assert min(scores) > 0.9 and abs(scores[0] - scores[1]) < 0.02


@pytest.mark.parametrize("method", ["nearest", "linear"])
def test_quantiles_of_rows_with_weights_are_those_of_repeated_rows(method):
    rng = np.random.default_rng(0)
    places = np.linspace(0, 1, 33)
    for n in [1, 2, 3, 5, 17, 40] * 5:
        for column in (rng.normal(size=n), rng.integers(0, 4, n).astype(float)):
            counts = rng.integers(1, 5, n).astype(float)
            expected = np.quantile(np.repeat(column, counts.astype(int)), places, method=method)
            np.testing.assert_allclose(_quantiles(column, places, counts, method), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("change", ["solver", "validation", "callback"])
@pytest.mark.parametrize("estimator", [MLPRegressor, MLPClassifier])
def test_an_estimator_that_cannot_be_fitted_anew_is_what_it_was(estimator, change):
    x, y = frame()
    y = np.where(y > y.mean(), "high", "low") if estimator is MLPClassifier else y
    known = estimator(**small(max_iter=3)).fit(x, y)
    expected, attributes = known.predict(x), set(vars(known))
    other, target = x[["age", "rooms"]], np.arange(len(y)) % 3
    more = {}
    if change == "solver":
        known.set_params(solver="bogus")
    elif change == "validation":
        more = {"validation_data": (other, target[:-1])}
    else:
        more = {"callbacks": ["none"]}
    with pytest.raises((TypeError, ValueError)):
        known.fit(other, target, **more)
    assert (known.predict(x) == expected).all() and set(vars(known)) == attributes
    new = estimator(**small(solver="bogus"))
    with pytest.raises(ValueError, match="bogus"):
        new.fit(x, y)
    assert not [name for name in vars(new) if name.endswith("_")]


@pytest.mark.parametrize(("there", "asked"), [(1, 3), (3, 1), (3, 2)])
def test_training_goes_on_with_as_many_networks_as_there_are(there, asked):
    x, y = frame(n=60)
    known = MLPRegressor(**small(max_iter=2, n_members=there, warm_start=True)).fit(x, y)
    expected = known.predict(x)
    known.set_params(n_members=asked)
    for go_on in (known.fit, known.partial_fit):
        with pytest.raises(ValueError, match=f"n_members={asked}, and there are {there} networks"):
            go_on(x, y)
    assert (known.predict(x) == expected).all()
    assert len(known.set_params(warm_start=False).fit(x, y).models_) == asked
