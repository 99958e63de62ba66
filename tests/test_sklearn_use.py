"""The estimators in use: what they add to scikit-learn's, copies, and its pipelines, searches and ensembles with two jobs."""

import pathlib
import pickle
import runpy
from copy import deepcopy

import joblib
import numpy as np
import pytest
import scipy.sparse
import sklearn
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastnet as fn
from fastnet.sklearn import MLPClassifier, MLPRegressor, _threads

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:scipy.optimize.*iprint:DeprecationWarning"),  # scikit-learn 1.6 with a later scipy
]


@pytest.fixture(scope="module")
def classes():
    return make_classification(200, 6, n_informative=5, n_classes=3, n_redundant=0, random_state=0)


@pytest.fixture(scope="module")
def numbers():
    x, y = make_regression(200, 6, noise=1.0, random_state=0)
    return x, 1000 + 50 * y


def quick(**options):
    return MLPClassifier(**{"hidden_layer_sizes": (12,), "max_iter": 10, "random_state": 0, "n_threads": 1, **options})


# ---- copies ------------------------------------------------------------------------------------------


def test_copies_predict_and_go_on_with_the_same_bits(classes, tmp_path):
    x, y = classes
    first = quick(alpha=0.01, batch_size=30, learning_rate_init=0.01).fit(x, y)
    joblib.dump(first, tmp_path / "classifier")
    for copy in (pickle.loads(pickle.dumps(first)), joblib.load(tmp_path / "classifier")):
        np.testing.assert_array_equal(copy.predict_proba(x), first.predict_proba(x))
        going = pickle.loads(pickle.dumps(first)).partial_fit(x, y)
        np.testing.assert_array_equal(copy.partial_fit(x, y).predict_proba(x), going.predict_proba(x))


def test_clone_has_objects_of_its_own():
    optimizer, layers = fn.optimizers.AdamW(0.01), [fn.layers.Dense(4, "relu")]
    copy = clone(MLPClassifier(solver=optimizer, layers=layers))
    assert copy.solver is not optimizer and copy.solver.get_config() == optimizer.get_config()
    assert copy.layers[0] is not layers[0] and copy.layers[0].get_config() == layers[0].get_config()


def test_fit_changes_no_argument(classes):
    optimizer, layers = fn.optimizers.AdamW(0.01), [fn.layers.Dense(4, "relu")]
    estimator = quick(solver=optimizer, layers=layers)
    first = estimator.fit(*classes).predict_proba(classes[0])
    assert optimizer.iterations == 0 and not layers[0].weights
    np.testing.assert_array_equal(estimator.fit(*classes).predict_proba(classes[0]), first)


# ---- training on ---------------------------------------------------------------------------------------


def test_warm_start_goes_on(classes):
    x, y = classes
    going = quick(max_iter=4, warm_start=True, solver="sgd", momentum=0.0, shuffle=False, batch_size=40)
    going.fit(x, y).fit(x, y)
    at_once = clone(going).set_params(max_iter=8).fit(x, y)
    np.testing.assert_allclose(going.loss_curve_, at_once.loss_curve_, rtol=1e-12)
    assert going.n_iter_ == 4 and going.t_ == at_once.t_ == 1600
    with pytest.raises(ValueError, match="same classes"):
        going.fit(x, np.minimum(y, 1))


def test_epochs_by_partial_fit_are_those_of_fit(classes):
    x, y = classes
    at_once = quick(max_iter=5, batch_size=30, scaling=None).fit(x, y)
    parts = quick(batch_size=30, scaling=None)
    for _ in range(5):
        parts.partial_fit(x, y, classes=[0, 1, 2])
    np.testing.assert_allclose(parts.loss_curve_, at_once.loss_curve_, rtol=1e-12)
    np.testing.assert_array_equal(parts.predict_proba(x), at_once.predict_proba(x))


def test_partial_fit_with_batches_of_other_sizes_has_their_penalty(classes):
    from sklearn.neural_network import MLPClassifier as Theirs

    x, y = classes
    options = dict(hidden_layer_sizes=(5,), alpha=0.5, shuffle=False, random_state=0, learning_rate_init=0.01)
    theirs, ours = Theirs(**options), MLPClassifier(**options, scaling=None)
    for start, stop in ((0, 30), (30, 100), (100, 120), (120, 200)):
        for one in (theirs, ours):
            one.partial_fit(x[start:stop], y[start:stop], classes=[0, 1, 2])
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-9)


# ---- what is given ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [scipy.sparse.csr_matrix, scipy.sparse.csc_array])
def test_sparse_is_dense(classes, make):
    x = np.where(np.abs(classes[0]) > 1, classes[0], 0.0)
    sparse, dense = quick().fit(make(x), classes[1]), quick().fit(x, classes[1])
    np.testing.assert_array_equal(sparse.predict_proba(make(x)), dense.predict_proba(x))


def test_dtype_is_that_of_the_data_or_asked_for(classes):
    x, y = classes
    single = quick().fit(x.astype(np.float32), y)
    assert single.predict_proba(x).dtype == np.float32 and single.models_[0].dtype == "float32"
    assert quick().fit(x, y).predict_proba(x).dtype == np.float64
    asked = quick(dtype="float32").fit(x, y)
    assert asked.predict_proba(x).dtype == np.float32
    np.testing.assert_allclose(asked.loss_curve_, quick().fit(x, y).loss_curve_, rtol=1e-4)


@pytest.mark.parametrize("kind", ["standard", "robust", "piecewise"])
def test_scaling_is_a_part_of_the_network(kind):
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(5, 2, 150), rng.lognormal(0, 2, 150), rng.random(150) < 0.1, np.full(150, 3.0)], axis=1)
    y = rng.integers(0, 2, 150)
    estimator = quick(hidden_layer_sizes=(), scaling=kind, max_iter=3).fit(x, y)
    mean, deviation = x.mean(axis=0), np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
    if kind == "robust":
        low, median, high = np.quantile(x[:, :2], [0.25, 0.5, 0.75], axis=0)
        mean[:2], deviation[:2] = median, (high - low) / 1.3489795003921634
    columns = [(x - mean) / deviation]
    if kind == "piecewise":  # equation 1 of Gorishniy et al. 2022; a feature of two values stays as it is
        for column in x[:, :2].T:
            edges = np.quantile(column, np.linspace(0, 1, 33), method="nearest")
            columns.append(np.clip((column[:, None] - edges[:-1]) / np.diff(edges), 0, 1))
    scores = np.hstack(columns) @ estimator.coefs_[0] + estimator.intercepts_[0]
    np.testing.assert_allclose(estimator.decision_function(x), scores[:, 0], rtol=1e-9, atol=1e-9)


def test_early_stopping_by_itself_is_for_many_rows():
    x, y = make_classification(10_001, 4, random_state=0)
    options = dict(hidden_layer_sizes=(4,), max_iter=2, batch_size=2000)
    assert quick(**options).fit(x, y).validation_scores_ is not None
    few = quick(**options).fit(x[1:], y[1:])
    assert few.validation_scores_ is None and few.t_ == 20_000
    assert quick(**options, early_stopping=False).fit(x, y).validation_scores_ is None
    assert quick(**options).partial_fit(x, y, classes=[0, 1]).validation_scores_ is None


def test_layers_as_a_list_and_as_a_function(classes):
    x, y = classes
    layers = [fn.layers.Dense(8, "gelu"), fn.layers.BatchNormalization()]

    def build(tensor):
        for layer in (fn.layers.Dense(8, "gelu"), fn.layers.BatchNormalization()):
            tensor = layer(tensor)
        return tensor

    by_list = quick(layers=layers, random_state=3).fit(x, y)
    by_function = quick(layers=build, random_state=3).fit(x, y)
    np.testing.assert_array_equal(by_list.predict_proba(x), by_function.predict_proba(x))
    assert [type(layer).__name__ for layer in by_list.models_[0].layers][-3:] == ["Dense", "BatchNormalization", "Dense"]
    with pytest.raises(AttributeError, match="models_"):
        by_list.coefs_
    with pytest.raises(ValueError, match="Flatten"):
        quick(layers=[fn.layers.Reshape((2, 3))]).fit(x, y)
    with pytest.raises(TypeError, match="layers must be layers"):
        quick(layers=["relu"]).fit(x, y)


def test_dropout_schedules_and_optimizers(classes):
    x, y = classes
    plain = quick().fit(x, y)
    dropped = quick(dropout=[0.5]).fit(x, y)
    assert [type(layer).__name__ for layer in dropped.models_[0].layers][-2:] == ["Dropout", "Dense"]
    assert dropped.loss_curve_[0] != plain.loss_curve_[0]
    with pytest.raises(ValueError, match="2 rates for 1"):
        quick(dropout=[0.1, 0.2]).fit(x, y)
    scheduled = quick(learning_rate=fn.schedules.CosineDecay(0.01, 10)).fit(x, y)
    assert scheduled.models_[0].optimizer.learning_rate(0) == 0.01
    same = quick(solver=fn.optimizers.Adam(0.001, epsilon=1e-8), alpha=0.0).fit(x, y)
    np.testing.assert_array_equal(same.loss_curve_, quick(alpha=0.0).fit(x, y).loss_curve_)
    assert type(quick(solver="lion").fit(x, y).models_[0].optimizer).__name__ == "Lion"
    with pytest.raises(ValueError, match="unknown optimizer 'adma'"):
        quick(solver="adma").fit(x, y)


def test_targets_are_scaled(numbers):
    x, y = numbers
    estimator = MLPRegressor((20,), max_iter=300, learning_rate_init=0.01, random_state=0)
    assert estimator.fit(x, y).score(x, y) > 0.99
    scaled = TransformedTargetRegressor(clone(estimator).set_params(target_scaling=False), transformer=StandardScaler()).fit(x, y)
    np.testing.assert_allclose(estimator.predict(x), scaled.predict(x), rtol=1e-6)


def test_poisson_and_other_losses(numbers):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    counts = rng.poisson(np.exp(0.5 * x[:, 0] + 1))
    estimator = MLPRegressor((), loss="poisson", solver="lbfgs", alpha=0.0, scaling=None, max_iter=100, random_state=0)
    from sklearn.linear_model import PoissonRegressor

    expected = PoissonRegressor(alpha=0, tol=1e-8).fit(x, counts)
    np.testing.assert_allclose(estimator.fit(x, counts).coefs_[0][:, 0], expected.coef_, atol=1e-4)
    np.testing.assert_allclose(estimator.predict(x), expected.predict(x), rtol=1e-3)
    deviance = np.mean(counts * np.log(np.where(counts, counts, 1) / estimator.predict(x)) - counts + estimator.predict(x))
    np.testing.assert_allclose(estimator.loss_, deviance, rtol=1e-6)
    with pytest.raises(ValueError, match="not negative"):
        estimator.fit(x, -counts)
    for loss in ("absolute_error", "huber", fn.losses.LogCosh()):
        assert MLPRegressor((20,), loss=loss, learning_rate_init=0.02, random_state=0).fit(*numbers).score(*numbers) > 0.9


def test_given_rows_to_validate_with(classes):
    x, y = classes
    watched = quick(max_iter=30).fit(x[:150], y[:150], validation_data=(x[150:], y[150:]))
    assert len(watched.validation_scores_) == watched.n_iter_ == 30
    assert watched.validation_scores_[-1] == watched.score(x[150:], y[150:])
    stopped = quick(max_iter=500, learning_rate_init=0.05, early_stopping=True, n_iter_no_change=3)
    stopped.fit(x[:150], y[:150], validation_data=(x[150:], y[150:]))
    assert stopped.n_iter_ < 500
    assert stopped.score(x[150:], y[150:]) == stopped.best_validation_score_ == max(stopped.validation_scores_)
    with pytest.raises(ValueError, match="classes not in"):
        quick().fit(x, y, validation_data=(x, y + 1))


def test_class_weights_are_weights_of_rows(classes):
    x, y = classes
    rows = np.concatenate([np.flatnonzero(y == 0)[:10], np.flatnonzero(y == 1), np.flatnonzero(y == 2)])
    x, y = x[rows], y[rows]
    by_class = quick(class_weight="balanced").fit(x, y)
    by_row = quick().fit(x, y, sample_weight=len(y) / (3 * np.bincount(y)[y]))
    np.testing.assert_allclose(by_class.predict_proba(x), by_row.predict_proba(x), rtol=1e-9)
    assert (by_class.predict(x) == 0).sum() > (quick().fit(x, y).predict(x) == 0).sum()


def test_members_are_averaged(classes):
    x, y = classes
    estimator = quick(n_members=3, early_stopping=True, max_iter=6).fit(x, y)
    assert len(estimator.models_) == 3
    scores = np.mean([model.predict(x, verbose=0) for model in estimator.models_], axis=0)
    np.testing.assert_allclose(estimator.decision_function(x), scores, rtol=1e-12)
    first = estimator.models_[0].get_weights()[-1], estimator.models_[1].get_weights()[-1]
    assert not np.array_equal(*first)
    np.testing.assert_array_equal(clone(estimator).set_params(n_threads=1).fit(x, y).predict_proba(x), estimator.predict_proba(x))


def test_importances():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4))
    y = (x[:, 2] > 0).astype(int)
    estimator = MLPClassifier((8,), importances=True, random_state=0, learning_rate_init=0.01).fit(x, y)
    assert estimator.feature_importances_.argmax() == 2 and estimator.feature_importances_[2] > 0.3
    assert np.abs(estimator.feature_importances_[[0, 1, 3]]).max() < 0.1
    selected = SelectFromModel(clone(estimator), max_features=1).fit(x, y)
    assert selected.get_support().tolist() == [False, False, True, False]
    assert not hasattr(quick().fit(x, y), "feature_importances_")


@pytest.mark.filterwarnings("ignore:targets too large")
def test_what_diverges_is_an_error(numbers):
    x, y = numbers
    with pytest.raises(ValueError, match="non-finite"):
        MLPRegressor(solver="sgd", learning_rate_init=1e3, scaling=None, target_scaling=False, max_iter=50, random_state=0).fit(
            x, y
        )


# ---- callbacks ---------------------------------------------------------------------------------------------


def test_callbacks_of_fastnet(classes):
    seen = []
    callback = fn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["loss"]))
    estimator = quick(alpha=0.0, batch_size=40).fit(*classes, callbacks=[callback])
    assert seen == estimator.loss_curve_
    scores = []
    callback = fn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: scores.append(logs["val_score"]))
    estimator = quick().fit(*classes, validation_data=classes, callbacks=[callback])
    assert scores == estimator.validation_scores_
    with pytest.raises(ValueError, match="n_members=1"):
        quick(n_members=2).fit(*classes, callbacks=[callback])


class TrialPruned(Exception):
    """As Optuna's."""


class Trial:
    """A trial of Optuna's interface, whose pruner ends it after the third report."""

    def __init__(self):
        self.reports = {}

    def report(self, value, step):
        self.reports[step] = value

    def should_prune(self):
        return len(self.reports) == 3


def test_trials_are_pruned(classes):
    trial, estimator = Trial(), quick()
    with pytest.raises(TrialPruned, match="after epoch 3: val_score was"):
        estimator.fit(*classes, validation_data=classes, callbacks=[fn.callbacks.OptunaPruning(trial, "val_score")])
    expected = quick(max_iter=3).fit(*classes, validation_data=classes).validation_scores_
    assert trial.reports == dict(enumerate(expected))
    with pytest.raises(TypeError, match="method should_prune"):
        fn.callbacks.OptunaPruning(type("Other", (), {"report": print})())


@pytest.fixture
def adult(tmp_path):
    """A folder with two files like those of the census."""
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        rows = [
            f"{age}, Private, 1, HS-grad, 9, {married}, Sales, Wife, White, Male, 0, 0, 40, Cuba, {'>' if age > 40 else '<='}50K"
            for age, married in zip(rng.integers(18, 80, 300), rng.choice(["Divorced", "Widowed"], 300))
        ]
        (tmp_path / f"adult-{part}.csv").write_text("\n".join(rows))
    return tmp_path


def test_a_table_becomes_a_saved_model(adult):
    example = runpy.run_path(str(pathlib.Path(__file__).parents[1] / "examples" / "adult.py"))["main"]
    assert example(adult) > 0.9
    assert (adult / "adult.safetensors").exists()


def test_optuna_tunes_a_table(adult):
    pytest.importorskip("optuna")
    example = runpy.run_path(str(pathlib.Path(__file__).parents[1] / "examples" / "optuna_adult.py"))["main"]
    found, default, complete, trials = example(adult, trials=8)
    assert found > 0.8 and 0.5 < default <= 1 and 4 <= complete <= trials == 8


class Teller:
    """A callback of scikit-learn's interface."""

    def __init__(self, stop_at):
        self.stop_at, self.told = stop_at, []

    def setup(self, estimator, context):
        self.told.append("setup")

    def teardown(self, estimator, context):
        self.told.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.told.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.told.append(("end", context.task_name, context.task_id, fitted_estimator.score(X, y)))
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_at


@pytest.mark.skipif(not hasattr(MLPClassifier, "set_callbacks"), reason="scikit-learn has callbacks from 1.9 on")
def test_callbacks_of_sklearn(classes):
    x, y = classes
    teller = Teller(4)
    estimator = quick().set_callbacks(teller).fit(x, y)
    assert estimator.n_iter_ == 4
    assert [one[:3] for one in teller.told[1:-1]] == [
        ("begin", "fit", 0),
        *((what, "epoch", i) for i in range(4) for what in ("begin", "end")),
        ("end", "fit", 0),
    ]
    assert (teller.told[0], teller.told[-1]) == ("setup", "teardown")
    expected = [quick(max_iter=epochs).fit(x, y).score(x, y) for epochs in (1, 2, 3, 4)]
    assert [one[3] for one in teller.told if one[:2] == ("end", "epoch")] == expected
    inner = Teller(100)
    make_pipeline(StandardScaler(), quick(max_iter=3).set_callbacks(inner)).fit(x, y)
    assert sum(one[:2] == ("end", "epoch") for one in inner.told if isinstance(one, tuple)) == 3


# ---- pipelines, searches, ensembles ---------------------------------------------------------------------------


def test_routing_of_weights_and_rows_to_validate_with(classes):
    x, y = classes
    weights = np.random.default_rng(0).uniform(0.5, 2, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = quick().set_fit_request(sample_weight=True, validation_data=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), estimator)
        pipeline.fit(x, y, sample_weight=weights, validation_data=(x, y))
    alone = quick().fit(StandardScaler().fit_transform(x), y, weights)
    np.testing.assert_allclose(pipeline.predict_proba(x), alone.predict_proba(StandardScaler().fit_transform(x)), rtol=1e-12)
    assert len(pipeline[-1].validation_scores_) == 10


def test_searches_and_ensembles_with_two_jobs(classes):
    x, y = classes
    with joblib.parallel_config(backend="loky", n_jobs=2):
        grid = GridSearchCV(make_pipeline(StandardScaler(), quick()), {"mlpclassifier__alpha": [1e-4, 1e-2]}, cv=2).fit(x, y)
        assert set(grid.best_params_) == {"mlpclassifier__alpha"} and grid.score(x, y) > 0.3
        space = {"hidden_layer_sizes": [(4,), (8,), (16,)], "learning_rate_init": [0.01, 0.1]}
        halving = HalvingRandomSearchCV(
            quick(), space, n_candidates=6, resource="max_iter", max_resources=9, min_resources=1, cv=2, random_state=0
        ).fit(x, y)
        assert halving.best_estimator_.n_iter_ == 3
        assert cross_val_score(MLPRegressor((4,), max_iter=3), x, y, cv=2).shape == (2,)
        members = [("network", quick(learning_rate_init=0.05)), ("linear", LogisticRegression())]
        bagging = BaggingClassifier(quick(learning_rate_init=0.05), n_estimators=4, random_state=0)
        for ensemble in (bagging, VotingClassifier(members, voting="soft"), StackingClassifier(members, cv=2)):
            assert ensemble.fit(x, y).score(x, y) > 0.5
    alone = BaggingClassifier(quick(learning_rate_init=0.05), n_estimators=4, random_state=0).fit(x, y)
    np.testing.assert_allclose(bagging.predict_proba(x), alone.predict_proba(x), rtol=1e-12)


def test_threads_are_shared_among_jobs():
    import threadpoolctl

    most = fn._core.default_threads()
    assert _threads.allowed_threads(3) == 3
    assert _threads.allowed_threads(None) == most
    with threadpoolctl.threadpool_limits(1):
        assert _threads.allowed_threads(None) == 1
    found = joblib.Parallel(n_jobs=2, backend="threading")(joblib.delayed(_threads.allowed_threads)(None) for _ in range(2))
    assert found == [1, 1]
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(_threads.allowed_threads)(None) for _ in range(2))
    assert found == [max(1, joblib.cpu_count() // 2)] * 2


CHANGED = [
    ("hidden_layer_sizes", (9,)),
    ("hidden_layer_sizes", (7, 7)),
    ("activation", "tanh"),
    ("layers", [fn.layers.Dense(7)]),
    ("dropout", 0.5),
    ("scaling", "robust"),
    ("dtype", "float32"),
    ("target_scaling", False),
    ("loss", "poisson"),
]


@pytest.mark.parametrize("name, value", CHANGED)
@pytest.mark.parametrize("estimator", [fn.sklearn.MLPClassifier, fn.sklearn.MLPRegressor])
def test_training_that_goes_on_cannot_change_the_network(estimator, name, value):
    """scikit-learn's goes on with the old sizes, or fails in its step; here it is an error before."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(40, 3)), random.integers(0, 2, 40)
    options = {"hidden_layer_sizes": (7,), "max_iter": 2, "random_state": 0, "warm_start": True}
    known = estimator(**options).fit(x, y)
    if name not in known.get_params():
        return
    before = [weight.copy() for weight in known.models_[0].get_weights()]
    known.set_params(**{name: value})
    calls = [known.fit, known.partial_fit]
    for call in calls:
        with pytest.raises(ValueError, match=f"{name}=.*made with.*warm_start=False"):
            call(x, y)
    for weight, expected in zip(known.models_[0].get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)
    known.set_params(warm_start=False).fit(x, y)
    known.partial_fit(x, y)


def test_training_goes_on_with_what_is_the_same_in_other_words():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(40, 3)), random.integers(0, 2, 40)
    known = fn.sklearn.MLPClassifier(7, max_iter=2, warm_start=True, dropout=[0.5], layers=None, random_state=0).fit(x, y)
    known.set_params(hidden_layer_sizes=np.array([7]), dropout=(0.5,), alpha=0.1, solver="sgd", max_iter=3).fit(x, y)
    again = pickle.loads(pickle.dumps(known)).set_params(hidden_layer_sizes=[7]).fit(x, y)
    assert again.n_iter_ == 3
    own = fn.sklearn.MLPClassifier(layers=[fn.layers.Dense(4)], max_iter=2, warm_start=True, random_state=0).fit(x, y)
    pickle.loads(pickle.dumps(own)).fit(x, y)
    deepcopy(own).partial_fit(x, y)
