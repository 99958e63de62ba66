"""The estimators against scikit-learn's: its own checks, and the same numbers from the same first weights."""

import numpy as np
import pytest
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils.estimator_checks import check_estimator

import fastnet as fn

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:scipy.optimize.*iprint:DeprecationWarning"),  # scikit-learn 1.6 with a later scipy
]

#: What makes fastnet compute as scikit-learn does, which scales nothing.
PLAIN = {"scaling": None, "n_threads": 1}
ESTIMATORS = [fn.sklearn.MLPClassifier, fn.sklearn.MLPRegressor]


def data(kind, n=130):
    if kind == "regression":
        x, y = make_regression(n, 7, noise=5.0, random_state=0)
        return x, y / y.std()
    if kind == "several":
        x, y = make_regression(n, 7, n_targets=3, noise=5.0, random_state=0)
        return x, y / y.std(axis=0)
    if kind == "multilabel":
        return make_multilabel_classification(n, 7, n_classes=4, random_state=0)
    classes = {"binary": 2, "multiclass": 4}[kind]
    return make_classification(n, 7, n_informative=5, n_classes=classes, random_state=0)


def pair(kind, **options):
    """Theirs and ours with the same arithmetic."""
    if kind in ("regression", "several"):
        return MLPRegressor(**options), fn.sklearn.MLPRegressor(**options, **PLAIN, target_scaling=False)
    return MLPClassifier(**options), fn.sklearn.MLPClassifier(**options, **PLAIN)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_all_checks_of_sklearn(estimator):
    results = check_estimator(estimator(n_threads=1), on_fail=None, on_skip=None)
    wrong = [(one["check_name"], repr(one["exception"])) for one in results if one["status"] not in ("passed", "skipped")]
    assert not wrong
    assert {one["check_name"] for one in results if one["status"] == "skipped"} <= {"check_array_api_input"}
    assert len(results) > 55


CURVES = [
    ("regression", {}),
    ("regression", {"activation": "tanh", "solver": "sgd", "learning_rate_init": 0.05}),
    ("regression", {"solver": "sgd", "nesterovs_momentum": False, "learning_rate": "invscaling", "learning_rate_init": 0.1}),
    ("binary", {"activation": "logistic", "alpha": 0.1}),
    ("binary", {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.2, "alpha": 0.05}),
    ("multiclass", {"hidden_layer_sizes": (9, 6), "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-6}),
    ("multiclass", {"activation": "identity", "alpha": 0.0}),
    ("multiclass", {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.1, "tol": 0.1, "n_iter_no_change": 2}),
    ("multilabel", {"learning_rate_init": 0.01}),
    ("several", {"alpha": 0.0}),
]


@pytest.mark.parametrize("batch_size", [26, 40, 130])  # of 130 rows: without and with a smaller last batch, and all at once
@pytest.mark.parametrize("kind, options", CURVES)
def test_same_curve_as_sklearn(kind, options, batch_size):
    x, y = data(kind)
    common = dict(batch_size=batch_size, max_iter=12, shuffle=False, random_state=3)
    theirs, ours = pair(kind, **{"hidden_layer_sizes": (8,), **common, **options})
    theirs.fit(x, y)
    ours.fit(x, y)
    outputs = theirs.n_outputs_ if kind == "several" else 1  # there scikit-learn reports their mean, and differentiates their sum
    np.testing.assert_allclose(
        ours.loss_curve_, np.array(theirs.loss_curve_) * outputs, rtol=1e-4
    )  # of the penalty, theirs is a mean over the steps
    for mine, given in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(mine, given, rtol=1e-9, atol=1e-12)
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=1e-9, atol=1e-9)
    if kind not in ("regression", "several"):
        np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), rtol=1e-9)
        np.testing.assert_allclose(ours.predict_log_proba(x), np.log(theirs.predict_proba(x)), rtol=1e-9, atol=1e-12)
        assert ours.score(x, y) == theirs.score(x, y)


@pytest.mark.parametrize("kind", ["regression", "binary", "multilabel"])
def test_early_stopping_as_sklearn(kind):
    x, y = data(kind)
    options = dict(
        hidden_layer_sizes=(8,), early_stopping=True, max_iter=300, shuffle=False, random_state=1, learning_rate_init=0.01
    )
    theirs, ours = pair(kind, n_iter_no_change=4, **options)
    theirs.fit(x, y)
    ours.fit(x, y)
    assert ours.n_iter_ == theirs.n_iter_ < 300
    np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_, rtol=1e-7)
    np.testing.assert_allclose(ours.best_validation_score_, theirs.best_validation_score_, rtol=1e-7)
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-7, atol=1e-10)  # those of the best epoch
    assert ours.best_loss_ is theirs.best_loss_ is None


def test_lbfgs_finds_what_sklearn_finds():
    x, y = data("binary")
    theirs, ours = pair("binary", hidden_layer_sizes=(), solver="lbfgs", alpha=1.0, max_iter=500, tol=1e-7, random_state=0)
    theirs.fit(x, y)
    ours.fit(x, y)
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], atol=1e-4)
