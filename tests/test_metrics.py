"""Metrics: the engine's sums against the reference, results against scikit-learn, the Python classes."""

import json

import numpy as np
import pytest
import reference
from plans import assert_close
from sklearn import metrics as sklearn

import fastnet as fn
from fastnet import _core
from fastnet._config import serialize

WIDTHS = [1, 2, 3, 10, 16, 17, 33, 100]
ATTRIBUTES = {
    "binary_accuracy": [{}, {"threshold": 0.3}],
    "binary_confusion": [{}, {"threshold": 0.3}],
    "matthews_correlation": [{}, {"threshold": 0.3}],
    "top_k_categorical_accuracy": [{}, {"k": 1}, {"k": 2}],
    "sparse_top_k_categorical_accuracy": [{}, {"k": 1}, {"k": 2}],
    "auc": [{}, {"num_thresholds": 2}, {"num_thresholds": 50}, {"from_logits": 1}],
}
CASES = [(name, attributes) for name in _core.registry("metrics") for attributes in ATTRIBUTES.get(name, [{}])]
CLASSES = [
    cls
    for cls in vars(fn.metrics).values()
    if isinstance(cls, type)
    and issubclass(cls, fn.metrics.Metric)
    and not cls.__name__.startswith("_")
    and hasattr(cls, "kernel")
    and ... not in cls._arguments().values()  # for those, tests/test_composed_metrics.py
]
YES_OR_NO = ("binary_accuracy", "binary_confusion", "auc")


def make_data(name, shape, dtype, seed=0):
    """Targets and predictions that suit the metric; predictions with many ties."""
    rng = np.random.default_rng(seed)
    prediction = rng.integers(0, 21, shape) / 20
    if reference.METRICS[name].labels:
        target = rng.integers(0, shape[-1], shape[:-1])
    elif name in YES_OR_NO or (name == "matthews_correlation" and shape[-1] == 1):
        target = rng.integers(0, 2, shape)
    elif "categorical" in name or name == "matthews_correlation":
        target = np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]
    else:
        target = rng.normal(size=shape)
    return target.astype(dtype), prediction.astype(dtype)


def engine_sums(name, attributes, target, prediction):
    sums = np.zeros(_core.metric_size(name, attributes, prediction.shape[1:]))
    _core.update_metric(name, attributes, target, prediction, sums)
    return sums


def reference_sums(name, attributes, target, prediction):
    return reference.METRICS[name].accumulators(target.astype(np.float64), prediction, **attributes)


def test_every_metric_has_reference_and_class():
    names = set(_core.registry("metrics"))
    assert names == set(reference.METRICS)
    assert names - {"sums"} == {
        kernel for cls in CLASSES for kernel in (cls.kernel, cls.labels_kernel) if kernel
    }  # "sums": formulas


@pytest.mark.parametrize(("name", "attributes"), CASES)
def test_against_reference(name, attributes, isa, dtype):
    for width in WIDTHS:
        for rows in (1, 2, 17, 64):
            target, prediction = make_data(name, (rows, width), dtype)
            if attributes.get("threshold"):
                attributes = {**attributes, "threshold": float(np.dtype(dtype).type(attributes["threshold"]))}
            assert_close(
                engine_sums(name, attributes, target, prediction),
                reference_sums(name, attributes, target, prediction),
                1e-12,
                f"{name} {attributes} {prediction.shape}",
            )


@pytest.mark.parametrize(("name", "attributes"), CASES)
def test_inner_axes_are_positions_and_sums_add_up(name, attributes, isa, dtype):
    target, prediction = make_data(name, (6, 5, 4), dtype)
    expected = engine_sums(name, attributes, target.reshape(30, *target.shape[2:]), prediction.reshape(30, 4))
    assert_close(engine_sums(name, attributes, target, prediction), expected, 1e-12, name)
    sums = np.zeros_like(expected)
    for lo, hi in ((0, 1), (1, 4), (4, 6)):
        _core.update_metric(name, attributes, target[lo:hi], prediction[lo:hi], sums)
    assert_close(sums, expected, 1e-12, name)


def test_labels_and_one_hot_targets_count_alike(isa, dtype):
    labels, prediction = make_data("sparse_categorical_accuracy", (40, 7), dtype)
    one_hot = reference.one_hot(labels, 7)
    for sparse, dense in (
        ("sparse_categorical_accuracy", "categorical_accuracy"),
        ("sparse_top_k_categorical_accuracy", "top_k_categorical_accuracy"),
        ("categorical_confusion", "categorical_confusion"),
    ):
        np.testing.assert_array_equal(engine_sums(sparse, {}, labels, prediction), engine_sums(dense, {}, one_hot, prediction))


def test_ties(isa, dtype):
    """The first of the largest is the prediction; in the top k are never more than k, of equal ones the last."""
    prediction = np.array([[1, 3, 3, 2]] * 4, dtype)
    labels = np.array([0, 1, 2, 3])
    hits = [engine_sums("sparse_categorical_accuracy", {}, labels[i : i + 1], prediction[:1])[0] for i in range(4)]
    assert hits == [0, 1, 0, 0]
    for k, expected in ((1, [0, 0, 1, 0]), (2, [0, 1, 1, 0]), (3, [0, 1, 1, 1]), (4, [1, 1, 1, 1])):
        hits = [
            engine_sums("sparse_top_k_categorical_accuracy", {"k": k}, labels[i : i + 1], prediction[:1])[0] for i in range(4)
        ]
        assert hits == expected, k


@pytest.mark.parametrize("width", [3, 10, 40])
def test_ties_against_scikit_learn(width, isa, dtype):
    """All metrics that choose classes, of predictions that are nearly all equal to others of their row."""
    rng = np.random.default_rng(width)
    labels = rng.integers(0, width, 400)
    labels[:width] = np.arange(width)
    prediction = rng.integers(0, 3, (400, width)).astype(dtype)
    called, one_hot, m = prediction.argmax(axis=1), np.eye(width)[labels], fn.metrics
    classes = list(range(width))
    for target in (labels, one_hot):
        assert m.Accuracy()(target, prediction) == sklearn.accuracy_score(labels, called)
        assert m.CategoricalAccuracy()(target, prediction) == sklearn.accuracy_score(labels, called)
        np.testing.assert_allclose(
            m.F1Score(None)(target, prediction), sklearn.f1_score(labels, called, average=None, zero_division=0)
        )
        for k in range(1, min(width, 6)):
            expected = sklearn.top_k_accuracy_score(labels, prediction, k=k, labels=classes)
            assert m.TopKCategoricalAccuracy(k)(target, prediction) == pytest.approx(expected)
    for average in ("micro", "macro", "weighted"):
        options = {"average": average, "zero_division": 0}
        assert m.Precision(average=average)(labels, prediction) == pytest.approx(
            sklearn.precision_score(labels, called, **options)
        )
        assert m.Recall(average=average)(labels, prediction) == pytest.approx(sklearn.recall_score(labels, called, **options))


def test_outputs_that_are_all_equal_are_not_always_right():
    labels = np.arange(10)
    for k in range(1, 10):
        assert fn.metrics.TopKCategoricalAccuracy(k)(labels, np.ones((10, 10))) == pytest.approx(k / 10)


@pytest.mark.parametrize("curve", ["ROC", "PR"])
def test_auc_of_targets_however_they_are_written(curve, isa, dtype):
    """-1 and 1 as of Hinge, 0 and 2, 0 and 255: negative up to 0 and positive from 1 on."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, (500, 1))
    score = np.clip(0.3 * target + 0.7 * rng.random((500, 1)), 0, 1).astype(dtype)

    def area(target, score):
        return fn.metrics.AUC(curve=curve)(target, score)

    expected = area(target, score)
    judge = sklearn.roc_auc_score if curve == "ROC" else sklearn.average_precision_score
    assert expected == pytest.approx(judge(target, score), abs=5e-3)
    for negative, positive in ((-1, 1), (0, 2), (0, 255), (-3, 4)):
        assert area(np.where(target, positive, negative), score) == expected
    for judge in (area, fn.metrics.Recall(), fn.metrics.F1Score()):
        with pytest.raises(
            ValueError, match="y_true holds numbers from 1 to 2, of which all are positive; negative targets are 0 or -1"
        ):
            judge(target + 1, score)
    model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)], seed=0)
    model.compile("sgd", "hinge", metrics=[fn.metrics.AUC(curve=curve)])
    with pytest.raises(ValueError, match="auc: y holds numbers from 1 to 2"):
        model.evaluate(score, target + 1)
    soft = area(np.full((500, 1), 0.5), score)  # in parts
    assert soft == pytest.approx(0.5)
    for only in (-1, 0, 1, 2):
        assert np.isnan(area(np.full((500, 1), only), score))


@pytest.mark.parametrize(("mean", "deviation"), [(0, 1), (1e4, 1), (1e6, 1), (1e8, 1), (-1.7e9, 100), (1e12, 1)])
def test_r2_score_does_not_depend_on_the_mean(mean, deviation, isa):
    """In one part or many, the first target being like the others or not."""
    rng = np.random.default_rng(0)
    for width in (1, 3, 40):
        target = mean + deviation * rng.normal(size=(1000, width))
        prediction = target + 0.5 * deviation * rng.normal(size=target.shape)
        for first in (target[0], np.zeros(width)):
            target[0] = prediction[0] = first
            t, p = target.astype(np.longdouble), prediction.astype(np.longdouble)
            exact = np.mean(1 - ((t - p) ** 2).sum(axis=0) / ((t - t.mean(axis=0)) ** 2).sum(axis=0))
            sums = np.zeros(1 + 3 * width)
            for lo, hi in ((0, 1), (1, 33), (33, 900), (900, 1000)):
                _core.update_metric("r2_score", {}, target[lo:hi], prediction[lo:hi], sums)
            for found in (fn.metrics.R2Score()(target, prediction), fn.metrics.R2Score().compute(sums)):
                assert found == pytest.approx(float(exact), abs=1e-6)


@pytest.mark.parametrize("width", [3, 20])
def test_nan_is_never_right(width, isa, dtype):
    for column in (0, 1, width - 1):
        prediction = np.linspace(0.1, 0.9, width, dtype=dtype)[np.newaxis]
        prediction[0, column] = np.nan
        for label in range(width):
            target = np.array([label])
            one_hot = reference.one_hot(target, width)
            assert engine_sums("sparse_categorical_accuracy", {}, target, prediction)[0] == 0
            assert engine_sums("categorical_accuracy", {}, one_hot, prediction)[0] == 0
            positions, *counts = engine_sums("categorical_confusion", {}, target, prediction)
            assert positions == 1
            true_positives, false_positives, false_negatives = np.reshape(counts, (3, width))
            assert true_positives.sum() == false_positives.sum() == 0
            np.testing.assert_array_equal(false_negatives, one_hot[0])
        hit = engine_sums("sparse_top_k_categorical_accuracy", {"k": 5}, np.array([column]), prediction)[0]
        assert hit == 0
    for target in (0.0, 1.0):
        nan = np.array([[np.nan]], dtype)
        assert engine_sums("binary_accuracy", {}, np.array([[target]]), nan)[0] == 0
        assert list(engine_sums("binary_confusion", {}, np.array([[target]]), nan)) == [1, 0, 1 - target, target]
        assert np.isnan(fn.metrics.AUC()([[0.0], [1.0], [target]], np.array([[0.1], [0.9], [np.nan]], dtype)))
    for name in ("mean_squared_error", "mean_absolute_error", "r2_score"):
        assert np.isnan(fn.metrics.get(name)([[0.0], [1.0]], np.array([[0.5], [np.nan]], dtype)))


# ---- results -----------------------------------------------------------------------------------


@pytest.fixture
def binary():
    rng = np.random.default_rng(0)
    score = rng.uniform(size=500)
    return (rng.uniform(size=500) < score**2).astype(int), score


@pytest.fixture
def multiclass():
    rng = np.random.default_rng(0)
    labels = rng.choice(4, 400, p=[0.5, 0.2, 0.2, 0.1])
    return labels, np.eye(4)[labels] + rng.normal(scale=0.8, size=(400, 4))


def test_accuracies_against_scikit_learn(binary, multiclass):
    target, score = binary
    assert fn.metrics.BinaryAccuracy()(target, score) == pytest.approx(sklearn.accuracy_score(target, score > 0.5))
    assert fn.metrics.BinaryAccuracy(threshold=0.7)(target, score) == pytest.approx(sklearn.accuracy_score(target, score > 0.7))
    labels, prediction = multiclass
    expected = sklearn.accuracy_score(labels, prediction.argmax(axis=1))
    assert fn.metrics.SparseCategoricalAccuracy()(labels, prediction) == pytest.approx(expected)
    assert fn.metrics.CategoricalAccuracy()(np.eye(4)[labels], prediction) == pytest.approx(expected)
    for k in (1, 2, 3):
        expected = sklearn.top_k_accuracy_score(labels, prediction, k=k)
        assert fn.metrics.SparseTopKCategoricalAccuracy(k)(labels, prediction) == pytest.approx(expected)
        assert fn.metrics.TopKCategoricalAccuracy(k)(np.eye(4)[labels], prediction) == pytest.approx(expected)


def test_regression_against_scikit_learn():
    rng = np.random.default_rng(0)
    target = rng.normal(5, 3, (100, 4)) * [1, 2, 3, 4]
    prediction = target + rng.normal(size=(100, 4))
    m = fn.metrics
    assert m.MeanSquaredError()(target, prediction) == pytest.approx(sklearn.mean_squared_error(target, prediction))
    assert m.MeanAbsoluteError()(target, prediction) == pytest.approx(sklearn.mean_absolute_error(target, prediction))
    assert m.RootMeanSquaredError()(target, prediction) == pytest.approx(sklearn.mean_squared_error(target, prediction) ** 0.5)
    assert m.R2Score()(target, prediction) == pytest.approx(sklearn.r2_score(target, prediction))
    assert m.R2Score("variance_weighted_average")(target, prediction) == pytest.approx(
        sklearn.r2_score(target, prediction, multioutput="variance_weighted")
    )
    np.testing.assert_allclose(
        m.R2Score(None)(target, prediction), sklearn.r2_score(target, prediction, multioutput="raw_values")
    )
    score = sklearn.r2_score(target[:, 0], prediction[:, 0])
    assert m.R2Score(num_regressors=3)(target[:, 0], prediction[:, 0]) == pytest.approx(1 - (1 - score) * 99 / 96)


@pytest.mark.parametrize("constant", [0.0, 2.0, 0.1, 3.7, 16777217.0])
def test_r2_score_of_constant_targets(constant, dtype):
    """As scikit-learn defines it; its own mean of constants such as 0.1 is not that constant, and then it has -1e34."""
    target = np.full((1000, 1), constant, dtype)
    for prediction, expected in ((target, 1), (target + target.dtype.type(1.5), 0)):
        assert fn.metrics.R2Score()(target, prediction) == expected
        if constant in (0.0, 2.0):
            assert sklearn.r2_score(target, prediction) == expected
        sums = np.zeros(4)
        for lo in range(0, 1000, 32):
            _core.update_metric("r2_score", {}, target[lo : lo + 32], prediction[lo : lo + 32], sums)
        assert fn.metrics.R2Score().compute(sums) == expected


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_binary_precision_recall_f1_against_scikit_learn(binary, threshold):
    target, score = binary
    called = score > threshold
    m = fn.metrics
    assert m.Precision(threshold)(target, score) == pytest.approx(sklearn.precision_score(target, called))
    assert m.Recall(threshold)(target, score) == pytest.approx(sklearn.recall_score(target, called))
    assert m.F1Score(threshold=threshold)(target, score) == pytest.approx(sklearn.f1_score(target, called))


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
def test_multiclass_precision_recall_f1_against_scikit_learn(multiclass, average):
    labels, prediction = multiclass
    called = prediction.argmax(axis=1)
    m = fn.metrics
    for target in (labels, np.eye(4)[labels]):
        assert m.F1Score(average)(target, prediction) == pytest.approx(sklearn.f1_score(labels, called, average=average))
    assert m.Precision(average=average)(labels, prediction) == pytest.approx(
        sklearn.precision_score(labels, called, average=average)
    )
    assert m.Recall(average=average)(labels, prediction) == pytest.approx(sklearn.recall_score(labels, called, average=average))


def test_averages_by_default(multiclass):
    labels, prediction = multiclass
    called = prediction.argmax(axis=1)
    m = fn.metrics
    assert m.Precision()(labels, prediction) == pytest.approx(sklearn.precision_score(labels, called, average="macro"))
    # One-hot targets: each entry for itself, as in Keras.
    assert m.Precision()(np.eye(4)[labels], prediction) == pytest.approx(
        sklearn.precision_score(np.eye(4)[labels], prediction > 0.5, average="micro")
    )
    np.testing.assert_allclose(m.F1Score(None)(labels, prediction), sklearn.f1_score(labels, called, average=None))
    for i in range(4):
        assert m.Recall(class_id=i)(labels, prediction) == pytest.approx(sklearn.recall_score(labels == i, called == i))


def test_nothing_to_divide_by():
    m = fn.metrics
    assert m.Precision()([0, 1], [0.1, 0.2]) == 0
    assert m.Recall()([0, 0], [0.1, 0.9]) == 0
    assert m.F1Score()([0, 0], [0.1, 0.2]) == 0
    assert np.isnan(m.AUC()([1, 1], [0.1, 0.2]))
    assert np.isnan(m.MeanSquaredError().compute(np.zeros(2)))


@pytest.mark.filterwarnings("ignore:A single label was found")
def test_matthews_correlation_against_scikit_learn():
    random, metric = np.random.default_rng(0), fn.metrics.MatthewsCorrelation
    for case in range(60):
        n, k = int(random.integers(1, 40)), int(random.integers(2, 6))
        labels, scores = random.integers(0, k, n), random.integers(0, 4, (n, k)) / 3  # with many ties
        expected = sklearn.matthews_corrcoef(labels, scores.argmax(axis=1))
        assert metric()(labels, scores) == pytest.approx(expected, abs=1e-12), case
        assert metric()(np.eye(k)[labels], scores) == pytest.approx(expected, abs=1e-12), case
        target, score = random.integers(0, 2, n), random.integers(0, 11, n) / 10
        for threshold in (0.5, 0.2):
            expected = sklearn.matthews_corrcoef(target, score > threshold)
            found = fn.metrics.MatthewsCorrelation(threshold=threshold)(target, score)
            assert found == pytest.approx(expected, abs=1e-12), case
        assert fn.metrics.MatthewsCorrelation(threshold=0.2)(2 * target - 1, score) == pytest.approx(expected, abs=1e-12)


@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.parametrize(
    ("target", "prediction"),
    [([1, 1], [0.9, 0.9]), ([0, 0], [0.9, 0.1]), ([0, 1], [0.9, 0.9]), ([1], [0.1]), ([0, 1], [0.1, 0.9]), ([0, 1], [0.9, 0.1])],
)
def test_matthews_correlation_where_all_are_of_one_class(target, prediction):
    expected = sklearn.matthews_corrcoef(target, np.array(prediction) > 0.5)
    assert fn.metrics.MatthewsCorrelation()(target, prediction) == expected
    scores = np.stack([1 - np.array(prediction), prediction], axis=1)
    assert fn.metrics.MatthewsCorrelation()(target, scores) == expected


def test_matthews_correlation_of_nan_is_of_a_class_that_there_is_not(dtype):
    labels, scores = np.array([0, 1, 2, 2, 1]), np.eye(3)[[0, 1, 2, 0, 1]].astype(dtype)
    scores[1, 2] = np.nan
    assert fn.metrics.get("mcc")(labels, scores) == pytest.approx(sklearn.matthews_corrcoef(labels, [0, 3, 2, 0, 1]))
    score = np.array([0.1, 0.9, np.nan, 0.8], dtype)
    assert fn.metrics.get("mcc")([0, 1, 1, 0], score) == pytest.approx(sklearn.matthews_corrcoef([0, 1, 1, 0], [0, 1, 2, 1]))


def test_matthews_correlation_of_a_model_leaves_out_what_is_masked():
    """As it trains and evaluates, over batches; the loss's threshold, and positions that do not count."""
    random = np.random.default_rng(0)
    tokens, y = random.integers(0, 5, (40, 6)), random.integers(0, 3, (40, 6))
    model = fn.Sequential([fn.Input((6,)), fn.layers.Embedding(5, 4, mask_zero=True), fn.layers.Dense(3)], seed=0)
    model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["mcc"])
    found = model.evaluate(tokens, y, batch_size=7, return_dict=True)["mcc"]
    counted = tokens != 0
    expected = sklearn.matthews_corrcoef(y[counted], model.predict(tokens).argmax(axis=-1)[counted])
    assert found == pytest.approx(expected)
    x, z = random.normal(size=(50, 3)), random.integers(0, 2, 50)
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(1)], seed=0)
    model.compile("adam", fn.losses.BinaryCrossentropy(from_logits=True), metrics=["matthews_correlation"])
    assert model.evaluate(x, z)[1] == pytest.approx(sklearn.matthews_corrcoef(z, model.predict(x)[:, 0] > 0))


def test_matthews_correlation_without_meaning_says_so():
    with pytest.raises(ValueError, match="no meaning for 3 decisions of their own"):
        fn.metrics.resolve("mcc", L.BinaryCrossentropy(), (3,))
    with pytest.raises(ValueError, match="the largest prediction counts; a threshold, here 0.3, has no meaning"):
        fn.metrics.MatthewsCorrelation(threshold=0.3).adapt_to(L.SparseCategoricalCrossentropy(), (3,))
    with pytest.raises(ValueError, match="holds numbers from 1 to 2, of which all are positive"):
        fn.metrics.MatthewsCorrelation()([1, 2], [0.2, 0.9])
    assert fn.metrics.MatthewsCorrelation()([1, 2], np.eye(3)[[1, 2]]) == 1


def test_auc_against_scikit_learn(binary):
    target, score = binary
    assert fn.metrics.AUC()(target, score) == pytest.approx(sklearn.roc_auc_score(target, score), abs=1e-3)
    # With a value for each bucket there is nothing between the thresholds.
    middles = (np.floor(score * 199) + 0.5) / 199
    assert fn.metrics.AUC()(target, middles) == pytest.approx(sklearn.roc_auc_score(target, middles))
    assert fn.metrics.AUC(curve="PR")(target, score) == pytest.approx(sklearn.average_precision_score(target, score), abs=5e-3)


def test_auc_as_in_the_documentation_of_keras():
    target, score = [0, 0, 1, 1], [0, 0.5, 0.3, 0.9]
    # Thresholds just below 0, 0.5, just above 1: true positive rates 1, 0.5, 0 and false positive rates 1, 0, 0.
    assert fn.metrics.AUC(num_thresholds=3)(target, score) == pytest.approx(0.75)
    assert fn.metrics.AUC(num_thresholds=3, summation_method="minoring")(target, score) == pytest.approx(0.5)
    assert fn.metrics.AUC(num_thresholds=3, summation_method="majoring")(target, score) == pytest.approx(1.0)
    # Precision 0.5, 1, 0 at recall 1, 0.5, 0.
    assert fn.metrics.AUC(3, "PR", "minoring")(target, score) == pytest.approx(0.25)
    assert fn.metrics.AUC(3, "PR", "majoring")(target, score) == pytest.approx(1.0)
    # From (P, TP) = (4, 2) to (1, 1): slope 1/3, intercept 2/3; below that precision 1 for recall 1/2.
    assert fn.metrics.AUC(3, "PR")(target, score) == pytest.approx(1 / 2 * (1 / 3 * (1 + 2 / 3 * np.log(4))) + 1 / 2)
    logits = np.log(np.array([0.02, 0.5, 0.3, 0.9]) / np.array([0.98, 0.5, 0.7, 0.1]))
    assert fn.metrics.AUC(num_thresholds=3, from_logits=True)(target, logits) == pytest.approx(0.75)


# ---- the Python classes ------------------------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES)
def test_class_and_engine_agree(cls):
    metric = cls()
    assert metric.attributes() == _core.registry("metrics")[metric.kernel]
    assert metric.direction in ("min", "max")
    assert fn.metrics.get(cls.__name__) == metric
    assert fn.metrics.get(cls) == metric


@pytest.mark.parametrize(
    "metric",
    [
        *[cls() for cls in CLASSES],
        fn.metrics.AUC(50, "PR", "majoring", from_logits=True),
        fn.metrics.Precision(0.3, class_id=2, average="weighted", name="mine"),
        fn.metrics.F1Score(None, threshold=0.2),
        fn.metrics.R2Score(None, 3),
    ],
)
def test_metric_survives_json(metric):
    again = fn.metrics.get(json.loads(json.dumps(serialize(metric))))
    assert again == metric and type(again) is type(metric) and again.name == metric.name
    assert repr(again) == repr(metric)


L = fn.losses


@pytest.mark.parametrize(
    ("identifier", "loss", "shape", "kernel", "attributes"),
    [
        ("accuracy", L.BinaryCrossentropy(), (1,), "binary_accuracy", {"threshold": 0.5}),
        ("accuracy", L.BinaryCrossentropy(from_logits=True), (1,), "binary_accuracy", {"threshold": 0.0}),
        ("accuracy", L.BinaryCrossentropy(), (5,), "binary_accuracy", {"threshold": 0.5}),
        ("accuracy", L.Hinge(), (1,), "binary_accuracy", {"threshold": 0.0}),
        ("accuracy", L.MeanSquaredError(), (1,), "binary_accuracy", {"threshold": 0.5}),
        ("accuracy", L.MeanSquaredError(), (3,), "categorical_accuracy", {}),
        ("acc", L.CategoricalCrossentropy(), (7, 3), "categorical_accuracy", {}),
        ("accuracy", L.SparseCategoricalCrossentropy(), (7, 3), "sparse_categorical_accuracy", {}),
        ("categorical_accuracy", L.SparseCategoricalCrossentropy(), (3,), "sparse_categorical_accuracy", {}),
        ("sparse_categorical_accuracy", L.CategoricalCrossentropy(), (3,), "categorical_accuracy", {}),
        ("top_k_accuracy", L.SparseCategoricalCrossentropy(), (9,), "sparse_top_k_categorical_accuracy", {"k": 5}),
        (fn.metrics.SparseTopKCategoricalAccuracy(3), L.CategoricalCrossentropy(), (9,), "top_k_categorical_accuracy", {"k": 3}),
        ("auc", L.BinaryCrossentropy(from_logits=True), (1,), "auc", {"num_thresholds": 200, "from_logits": 1}),
        ("auc", L.BinaryCrossentropy(), (1,), "auc", {"num_thresholds": 200, "from_logits": 0}),
        (
            fn.metrics.AUC(from_logits=False),
            L.BinaryCrossentropy(from_logits=True),
            (1,),
            "auc",
            {"num_thresholds": 200, "from_logits": 0},
        ),
        ("precision", L.BinaryCrossentropy(), (1,), "binary_confusion", {"threshold": 0.5}),
        ("recall", L.BinaryCrossentropy(from_logits=True), (1,), "binary_confusion", {"threshold": 0.0}),
        (fn.metrics.Recall(0.5), L.BinaryCrossentropy(from_logits=True), (1,), "binary_confusion", {"threshold": 0.5}),
        ("precision", L.SparseCategoricalCrossentropy(), (4,), "categorical_confusion", {}),
        ("f1", L.SparseCategoricalCrossentropy(), (4,), "categorical_confusion", {}),
        ("f1", L.CategoricalCrossentropy(), (4,), "categorical_confusion", {}),
        ("f1", L.BinaryCrossentropy(), (4,), "binary_confusion", {"threshold": 0.5}),
        ("f1", L.BinaryCrossentropy(), (1,), "binary_confusion", {"threshold": 0.5}),
        ("mse", L.MeanAbsoluteError(), (1,), "mean_squared_error", {}),
        ("rmse", L.MeanAbsoluteError(), (1,), "mean_squared_error", {}),
        ("mae", L.MeanAbsoluteError(), (1,), "mean_absolute_error", {}),
        ("r2", L.MeanSquaredError(), (1,), "r2_score", {}),
        ("accuracy", lambda y_true, y_pred: (0.0, y_pred), (3,), "categorical_accuracy", {}),
    ],
)
def test_resolve(identifier, loss, shape, kernel, attributes):
    metric = fn.metrics.resolve(identifier, loss, shape)
    assert (metric.kernel, metric.attributes()) == (kernel, attributes)
    assert metric.name == (identifier if isinstance(identifier, str) else identifier.name)


def test_metrics_without_meaning_for_labels_say_so():
    for name in ("mse", "mae", "rmse", "r2", "auc", "binary_accuracy"):
        with pytest.raises(ValueError, match="needs a target for each of the 3 outputs.*class numbers"):
            fn.metrics.resolve(name, L.SparseCategoricalCrossentropy(), (3,))


def test_thresholds_without_meaning_say_so():
    for metric in (fn.metrics.Precision(0.3), fn.metrics.Recall(0.3), fn.metrics.F1Score(threshold=0.3)):
        with pytest.raises(ValueError, match="targets are class numbers.*threshold, here 0.3, has no meaning"):
            metric.adapt_to(L.SparseCategoricalCrossentropy(), (3,))


def test_call_checks_shapes_and_labels():
    with pytest.raises(ValueError, match=r"y_true has shape \(3,\), y_pred \(2, 4\)"):
        fn.metrics.CategoricalAccuracy()(np.zeros(3), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="label 4 in row 1 is not a class number from 0 to 3"):
        fn.metrics.CategoricalAccuracy()([0, 4], np.zeros((2, 4)))


def test_get_reports_unknown_names():
    with pytest.raises(ValueError, match="unknown metric 'acuracy'; did you mean 'accuracy'"):
        fn.metrics.get("acuracy")
    with pytest.raises(TypeError, match="3 is no metric"):
        fn.metrics.get(3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fn.metrics.TopKCategoricalAccuracy(0), "k must be at least 1, got 0"),
        (lambda: fn.metrics.AUC(curve="X"), "curve must be one of 'ROC', 'PR', got 'X'"),
        (lambda: fn.metrics.AUC(num_thresholds=1), "num_thresholds must be at least 2, got 1"),
        (lambda: fn.metrics.AUC(summation_method="x"), "summation_method must be one of"),
        (lambda: fn.metrics.F1Score("x"), "average must be one of 'micro', 'macro', 'weighted', None, got 'x'"),
        (lambda: fn.metrics.Precision([0.2, 0.5]), "thresholds must be one number"),
        (lambda: fn.metrics.R2Score("x"), "class_aggregation must be one of"),
        (lambda: fn.metrics.R2Score(num_regressors=-1), "num_regressors must not be negative, got -1"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
