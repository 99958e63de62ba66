"""The estimators with sparse matrices, which stay what they are: against arrays of the same numbers, and against scikit-learn's."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder, StandardScaler

import fastnet as fn
from fastnet._scaling import Scaling

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:scipy.optimize.*iprint:DeprecationWarning"),  # scikit-learn 1.6 with a later scipy
]

COLUMNS = 120
ESTIMATORS = {"classifier": fn.sklearn.MLPClassifier, "regressor": fn.sklearn.MLPRegressor}


def matrix(n=90, seed=0, density=0.05):
    """With a row and a column of zeros, and columns of different sizes."""
    found = scipy.sparse.random(n, COLUMNS, density, "csr", random_state=seed, dtype=np.float64)
    found = found @ scipy.sparse.diags(np.where(np.arange(COLUMNS) % 7, 1.0, 300.0))
    found = found.tolil()
    found[4] = 0
    found[:, 9] = 0
    return found.tocsr()


def targets(kind, n=90):
    random = np.random.default_rng(3)
    return random.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1]) if kind == "classifier" else random.normal(size=n)


def quick(kind, **options):
    return ESTIMATORS[kind](**{"hidden_layer_sizes": (7,), "max_iter": 8, "batch_size": 25, "random_state": 0} | options)


def outputs(estimator, x):
    return estimator.predict_proba(x) if hasattr(estimator, "predict_proba") else estimator.predict(x)


def is_sparse(estimator, x):
    """Whether it predicts with the non-zeros alone."""
    estimator.predict(x)
    return any(label.startswith("sparse dense") for label in estimator.models_[0]._latest_plan().stage_labels())


def assert_alike(found, expected, x):
    np.testing.assert_allclose(outputs(found, x), outputs(expected, x.toarray()), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.loss_curve_, expected.loss_curve_, rtol=1e-8)
    np.testing.assert_allclose(found.validation_scores_ or [], expected.validation_scores_ or [], rtol=1e-9)


WAYS = [
    {},
    {"scaling": "max_abs"},
    {"early_stopping": True, "validation_fraction": 0.2},
    {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.1},
    {"activation": "tanh", "hidden_layer_sizes": (6, 5), "alpha": 0.1},
    {"n_members": 3, "early_stopping": True},
    {"dropout": 0.3, "dtype": "float64"},
    {"layers": [fn.layers.Dense(6, "gelu")], "shuffle": False},
    {"batch_size": 67},
]


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("options", WAYS, ids=str)
def test_all_is_as_of_arrays(kind, options):
    x, y, options = matrix(), targets(kind), {"scaling": None} | options
    weights = np.random.default_rng(2).integers(0, 3, 90)
    found = quick(kind, **options).fit(x, y, weights)
    assert_alike(found, quick(kind, **options).fit(x.toarray(), y, weights), x)
    assert is_sparse(found, x)
    np.testing.assert_allclose(found.score(x, y, weights), found.score(x.toarray(), y, weights), rtol=1e-9)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_rows_to_validate_with_and_steps_of_a_batch(kind):
    x, y, held = matrix(), targets(kind), (matrix(30, 5), targets(kind, 30))
    found, expected = quick(kind, scaling=None), quick(kind, scaling=None)
    found.fit(x, y, validation_data=held)
    expected.fit(x.toarray(), y, validation_data=(held[0].toarray(), held[1]))
    assert_alike(found, expected, x)
    options = {"classes": ["a", "b", "c"]} if kind == "classifier" else {}
    found, expected = quick(kind, scaling=None), quick(kind, scaling=None)
    for first in (0, 30, 60):
        rows = slice(first, first + 30)
        found.partial_fit(x[rows], y[rows], **options)
        expected.partial_fit(x[rows].toarray(), y[rows], **options)
    assert_alike(found, expected, x)
    assert is_sparse(found, x)


def test_classes_that_are_weighted_and_training_that_goes_on():
    x, y = matrix(), targets("classifier")
    options = {"scaling": None, "class_weight": "balanced", "warm_start": True, "max_iter": 3}
    found, expected = quick("classifier", **options), quick("classifier", **options)
    for _ in range(2):
        found.fit(x, y)
        expected.fit(x.toarray(), y)
    assert_alike(found, expected, x)


def test_several_targets():
    x, y = matrix(), np.random.default_rng(0).normal(size=(90, 2))
    found, expected = quick("regressor", scaling=None).fit(x, y), quick("regressor", scaling=None).fit(x.toarray(), y)
    assert_alike(found, expected, x)
    found = quick("classifier", scaling=None).fit(x, scipy.sparse.csr_matrix(y > 0.5))
    np.testing.assert_array_equal(found.predict(x), quick("classifier", scaling=None).fit(x, (y > 0.5) + 0).predict(x))


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_same_curve_as_sklearn(solver):
    x, y = matrix(), targets("classifier")
    common = dict(
        hidden_layer_sizes=(8,), solver=solver, batch_size=26, max_iter=12, shuffle=False, random_state=3, learning_rate_init=0.01
    )
    theirs, ours = MLPClassifier(**common).fit(x, y), fn.sklearn.MLPClassifier(**common, scaling=None).fit(x, y)
    assert is_sparse(ours, x)
    for mine, given in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(mine, given, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), rtol=1e-7)


# ---- scaling ---------------------------------------------------------------------------------------------


def deviations(kind, x, weights=None):
    found = Scaling(kind, np.ones(x.shape[1], bool), x, weights)
    assert not found.mean.any()
    return found.deviation


@pytest.mark.parametrize("weighted", [False, True])
def test_scalings_that_keep_zeros(weighted):
    x = matrix()
    x.data[5] = 0.0  # written down
    weights = np.random.default_rng(2).uniform(0.5, 2, 90) if weighted else None
    expected = StandardScaler(with_mean=False).fit(x, sample_weight=weights).scale_
    np.testing.assert_allclose(deviations("standard", x, weights), expected, rtol=1e-12)
    np.testing.assert_allclose(deviations("max_abs", x, weights), MaxAbsScaler().fit(x).scale_, rtol=1e-15)
    np.testing.assert_allclose(deviations("max_abs", x.toarray(), weights), MaxAbsScaler().fit(x).scale_, rtol=1e-15)


@pytest.mark.parametrize("weighted", [False, True])
def test_one_number_for_all_columns_but_those_of_another_unit(weighted):
    x = matrix()
    x.data[5] = 0.0
    weights = np.random.default_rng(2).uniform(0.5, 2, 90) if weighted else np.ones(90)
    sizes = []
    for column in x.toarray().T:
        used = column != 0
        sizes.append(np.sqrt(np.average(column[used] ** 2, weights=weights[used])) if used.any() else 0.0)
    sizes = np.array(sizes)
    middle = np.median(sizes[sizes > 0])
    expected = np.where(sizes > 10 * middle, sizes, middle)
    assert 10 < (expected > middle).sum() < 30  # one of seven
    np.testing.assert_allclose(deviations("common", x, weights if weighted else None), expected, rtol=1e-12)
    np.testing.assert_array_equal(deviations("common", scipy.sparse.csr_matrix((5, 9))), np.ones(9))


@pytest.mark.parametrize("scaling", ["auto", "standard", "max_abs"])
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_the_unit_says_nothing_and_scaling_is_a_part_of_the_network(kind, scaling):
    x, y = matrix(), targets(kind)
    found = quick(kind, scaling=scaling).fit(x, y)
    other = quick(kind, scaling=scaling).fit(x * 1024.0, y)
    np.testing.assert_allclose(outputs(other, x * 1024.0), outputs(found, x), rtol=1e-9)
    assert is_sparse(found, x)
    np.testing.assert_allclose(outputs(found, x.toarray()), outputs(found, x), rtol=1e-9)
    np.testing.assert_allclose(found.models_[0].predict(x.toarray()), found._outputs(x), rtol=1e-9)


@pytest.mark.parametrize("scaling", ["auto", "standard", "max_abs"])
def test_a_row_of_weight_two_counts_as_two(scaling):
    x, y, twice = matrix(), targets("regressor"), np.r_[np.arange(90), np.arange(30)]
    weights = np.where(np.arange(90) < 30, 2.0, 1.0)
    options = {"scaling": scaling, "solver": "sgd", "momentum": 0.0, "batch_size": 120, "max_iter": 5, "shuffle": False}
    found = quick("regressor", **{**options, "batch_size": 90}).fit(x, y, weights)
    expected = quick("regressor", **options).fit(x[twice], y[twice])
    np.testing.assert_allclose(found.predict(x), expected.predict(x), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("options", [{"solver": "lbfgs"}, {"scaling": "robust"}, {"scaling": "piecewise"}], ids=str)
def test_what_needs_arrays_makes_them(options):
    x, y = matrix(), targets("classifier")
    found, expected = quick("classifier", **options).fit(x, y), quick("classifier", **options).fit(x.toarray(), y)
    if options.get("solver") != "lbfgs":
        np.testing.assert_allclose(outputs(found, x), outputs(expected, x.toarray()), rtol=1e-9)
    assert not is_sparse(quick("classifier").fit(x[:, :50], y), x[:, :50])  # few columns have their places between quantiles


# ---- what matrices there are -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [scipy.sparse.csc_matrix, scipy.sparse.coo_array, scipy.sparse.lil_matrix, scipy.sparse.csr_array]
)
def test_formats(make):
    x, y = matrix(), targets("classifier")
    expected = outputs(quick("classifier").fit(x, y), x)
    np.testing.assert_array_equal(outputs(quick("classifier").fit(make(x), y), make(x)), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool, np.uint8])
def test_dtypes(dtype):
    x, y = (matrix() * 5).astype(dtype), targets("classifier")
    found = quick("classifier").fit(x, y)
    assert found.models_[0].dtype == ("float32" if dtype == np.float32 else "float64")
    assert is_sparse(found, x) and np.isfinite(found.predict_proba(x)).all()
    np.testing.assert_array_equal(quick("classifier", dtype="float32").fit(x, y).models_[0].dtype, "float32")


def test_matrices_that_are_not_canonical_stay_as_they_are():
    x, y = matrix(), targets("regressor")
    half = scipy.sparse.csr_matrix((np.repeat(x.data / 2, 2), np.repeat(x.indices, 2), 2 * x.indptr), shape=x.shape)
    before = half.data.copy(), half.indices.copy()
    found = quick("regressor").fit(half, y)
    np.testing.assert_allclose(found.predict(half), quick("regressor").fit(x, y).predict(x), rtol=1e-9)
    np.testing.assert_array_equal(half.data, before[0])
    np.testing.assert_array_equal(half.indices, before[1])


def test_numbers_that_are_none():
    x, y = matrix(), targets("regressor")
    found = quick("regressor").fit(x, y)
    x.data[3] = np.nan
    for call in (lambda: quick("regressor").fit(x, y), lambda: found.predict(x)):
        with pytest.raises(ValueError, match="NaN"):
            call()
    with pytest.raises(ValueError, match="features"):
        found.predict(matrix()[:, 1:])


def test_memory_does_not_grow_with_the_columns():
    n, columns = 1000, 20_000
    x = scipy.sparse.random(n, columns, 20 / columns, "csr", random_state=0, dtype=np.float32)
    y = np.random.default_rng(0).integers(0, 3, n)
    tracemalloc.start()
    try:
        for scaling in ("auto", "standard", "max_abs"):
            found = quick("classifier", early_stopping=True, scaling=scaling, max_iter=2).fit(x, y, np.arange(n) % 3)
            found.score(x, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert is_sparse(found, x)
    assert peak < 3e7 < n * columns * 4 / 2  # weights, moments and what is learnt of the columns


# ---- in scikit-learn -------------------------------------------------------------------------------------

WORDS = ["red", "green", "blue", "small", "large", "round", "square", "soft", "hard", "old", "new", "warm", "cold"]


def texts(n=240):
    """Of things that are warm or cold."""
    random = np.random.default_rng(0)
    found = [" ".join([*random.choice(WORDS[:11], 3), f"word{random.integers(60)}"]) for _ in range(n)]
    y = random.integers(0, 2, n)
    return [f"{text} {WORDS[11 + one]}" for text, one in zip(found, y)], y


@pytest.mark.parametrize(
    "vectorizer", [TfidfVectorizer(), HashingVectorizer(n_features=1 << 14), TfidfVectorizer(norm=None)], ids=str
)
def test_pipelines_of_text(vectorizer):
    x, y = texts()
    options = {"hidden_layer_sizes": (16,), "max_iter": 40, "learning_rate_init": 0.01, "random_state": 0}
    theirs = make_pipeline(clone(vectorizer), MLPClassifier(**options)).fit(x[:120], y[:120])
    pipeline = make_pipeline(clone(vectorizer), fn.sklearn.MLPClassifier(**options)).fit(x[:120], y[:120])
    assert is_sparse(pipeline[-1], pipeline[0].transform(x[120:]))
    assert pipeline.score(x[120:], y[120:]) >= max(0.65, theirs.score(x[120:], y[120:]) - 0.05)


def test_one_hot_columns_and_a_search():
    random = np.random.default_rng(0)
    columns = random.integers(0, 40, (300, 3)).astype(str)
    y = (columns[:, 1].astype(int) < 20).astype(int)
    network = fn.sklearn.MLPClassifier((16,), max_iter=40, learning_rate_init=0.01, random_state=0)
    pipeline = make_pipeline(OneHotEncoder(handle_unknown="ignore"), network)
    search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [1e-4, 1e2]}, cv=3).fit(columns, y)
    assert search.best_params_ == {"mlpclassifier__alpha": 1e-4} and search.best_score_ > 0.9
    best = search.best_estimator_
    assert is_sparse(best[-1], best[0].transform(columns))
    assert best.predict([["unseen", "3", "0"]]) == [1]


def test_batches_of_hashed_text():
    x, y = texts(200)
    hashing = HashingVectorizer(n_features=1 << 14)
    network = fn.sklearn.MLPClassifier((16,), learning_rate_init=0.01, random_state=0)
    for _ in range(10):
        for first in range(0, 160, 40):
            network.partial_fit(hashing.transform(x[first : first + 40]), y[first : first + 40], classes=[0, 1])
    assert is_sparse(network, hashing.transform(x[160:]))
    assert network.score(hashing.transform(x[160:]), y[160:]) > 0.9


def test_importances():
    x, y = matrix(300), np.asarray(matrix(300)[:, 1:4].sum(axis=1)).ravel()
    network = fn.sklearn.MLPRegressor(
        (8,), importances=True, max_iter=60, learning_rate_init=0.02, random_state=0, scaling="max_abs"
    )
    network.fit(x, y)
    assert network.feature_importances_.shape == (COLUMNS,)
    assert set(network.feature_importances_.argsort()[-3:]) == {1, 2, 3}


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("scaling", ["auto", "standard", "max_abs", "robust"])
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_numbers_whose_squares_are_infinite(kind, scaling):
    """In arrays, few or many, in matrices, and in targets: an error, no infinite prediction."""
    x, y = matrix().tolil(), targets(kind)
    x[7, 3] = -1e300
    x = x.tocsr()
    for given in (x, x.toarray(), x[:, :5].toarray()):
        with pytest.raises(ValueError, match=r"column 3 has numbers as large as 1e\+300, whose squares are infinite"):
            quick(kind, scaling=scaling).fit(given, y)
    if kind == "regressor":
        with pytest.raises(ValueError, match=r"1e\+300"):
            quick(kind, scaling=scaling).fit(matrix(), np.where(y > 0, 1e300, y))


def test_targets_that_are_text_of_numbers():
    x, y = matrix(), np.arange(90)
    found = quick("regressor").fit(x, y.astype(str))
    np.testing.assert_array_equal(found.predict(x), quick("regressor").fit(x, y).predict(x))
    with pytest.raises(ValueError, match="'a'"):
        quick("regressor").fit(x, np.full(90, "a"))
