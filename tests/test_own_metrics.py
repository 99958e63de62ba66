"""Metrics of the user's own, in fastnet.ops or of arrays, in training and evaluation; and all metrics standing alone."""

import json
import pickle

import numpy as np
import pytest
from plans import Graph, Model

import fastnet as fn
from fastnet import _core
from fastnet._tallies import ArrayTally, FormulaTally
from fastnet.saving.compiled_description import describe_for_c

ops = fn.ops
METRICS = fn.metrics.METRICS
ENGINE = sorted(
    {cls for cls in METRICS.values() if hasattr(cls, "kernel") and ... not in cls._arguments().values()},
    key=lambda cls: cls.__name__,
)


def absolute(y_true, y_pred):
    return ops.mean(ops.abs(y_pred - y_true), axis=-1)


def absolute_of_arrays(y_true, y_pred):
    return np.abs(np.asarray(y_pred, np.float64) - y_true).mean(axis=-1)


class Error(fn.metrics.Metric):
    """As written for Keras."""

    def __init__(self, name="error", **kwargs):
        super().__init__(name=name, **kwargs)
        self.total = self.add_weight(name="total")
        self.count = self.add_weight(name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        values = ops.mean(ops.abs(y_pred - y_true), axis=-1)
        self.total.assign(self.total + ops.sum(values))
        self.count.assign_add(ops.cast(ops.shape(y_pred)[0], "float32"))

    def result(self):
        return self.total / self.count


class ErrorOfArrays(Error):
    direction = "min"

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(np.abs(np.asarray(y_pred, np.float64) - y_true).mean(axis=-1).sum())
        self.count.assign_add(len(y_true))


OWN = {
    "function": (lambda: absolute, FormulaTally),
    "function of arrays": (lambda: absolute_of_arrays, ArrayTally),
    "wrapper": (lambda: fn.metrics.MeanMetricWrapper(absolute, name="wrapped"), FormulaTally),
    "class": (Error, FormulaTally),
    "class of arrays": (ErrorOfArrays, ArrayTally),
}


def make_data(n=53, width=3, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 4)), random.normal(size=(n, width))


def make_model(width=3, dropout=0.0, dtype="float64"):
    layers = [fn.Input((4,)), fn.layers.Dense(8, "tanh"), fn.layers.Dropout(dropout), fn.layers.Dense(width)]
    return fn.Sequential(layers, seed=0, dtype=dtype)


def half_squared(y_true, y_pred):
    """A loss that goes through Python."""
    return 0.5 * float(np.mean((y_pred - y_true) ** 2)), (y_pred - y_true) / y_pred.size


def tally_of(model):
    return model._compiled.tallies[0][-1]


# ---- in compile -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize("loss", ["mse", half_squared, lambda t, p: ops.mean((t - p) ** 2, axis=-1)])
def test_is_what_the_same_metric_of_the_engine_is(kind, loss):
    """In fit with batches that do not divide the rows, dropout and validation, in evaluate and on one batch."""
    make, tally = OWN[kind]
    (x, y), logs = make_data(), {}
    model = make_model(dropout=0.3)
    model.compile("adam", loss, metrics=["mae", make()])
    history = model.fit(x, y, batch_size=7, epochs=3, validation_split=0.3, verbose=0).history
    names = [name for name in history if name not in ("loss", "val_loss", "learning_rate", "gradient_norm", "seconds")]
    assert len(names) == 4 and names[0] == "mae" and names[2] == "val_mae"
    np.testing.assert_allclose(history[names[1]], history["mae"], rtol=1e-12)
    np.testing.assert_allclose(history[names[3]], history["val_mae"], rtol=1e-12)
    for logs in (model.evaluate(x, y, batch_size=10, return_dict=True), model.train_on_batch(x[:9], y[:9], return_dict=True)):
        assert logs[names[1]] == pytest.approx(logs["mae"], rel=1e-12)
    if loss is not half_squared:
        assert type(tally_of(model)) is tally


@pytest.mark.parametrize("kind", OWN)
def test_metrics_leave_training_alone(kind):
    (x, y), found = make_data(), []
    for metrics in ([], [OWN[kind][0]()]):
        model = make_model(dropout=0.3, dtype="float32")
        model.compile("adam", "mse", metrics=metrics)
        model.fit(x, y, batch_size=8, epochs=2, verbose=0)
        found.append(np.concatenate([weight.ravel() for weight in model.get_weights()]))
    np.testing.assert_array_equal(*found)


def test_class_numbers_and_several_metrics_of_one_function():
    random = np.random.default_rng(0)
    x, labels = random.normal(size=(60, 4)), random.integers(0, 3, 60)

    def accuracy(y_true, y_pred):
        return ops.equal(ops.argmax(y_pred, axis=-1), y_true)

    model = make_model()
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy", accuracy, accuracy])
    history = model.fit(x, labels, verbose=0, epochs=2).history
    assert history["accuracy"] == history["accuracy_1"] == history["accuracy_2"]


def test_several_outputs_have_their_own():
    a = fn.Input((4,))
    model = fn.Model(a, [fn.layers.Dense(2, name="one")(a), fn.layers.Dense(3, name="two")(a)], seed=0, dtype="float64")
    x, y = make_data()
    targets = {"one": y[:, :2], "two": y}
    model.compile("adam", "mse", metrics={"one": ["mae", Error()], "two": [ErrorOfArrays(), absolute, "mae"]})
    logs = model.fit(x, targets, epochs=2, verbose=0).history
    np.testing.assert_allclose(logs["one_error"], logs["one_mae"], rtol=1e-12)
    np.testing.assert_allclose(logs["two_error"], logs["two_mae"], rtol=1e-12)
    np.testing.assert_allclose(logs["two_absolute"], logs["two_mae"], rtol=1e-12)
    logs = model.evaluate(x, targets, return_dict=True)
    assert logs["one_error"] == pytest.approx(logs["one_mae"]) and logs["two_error"] == pytest.approx(logs["two_mae"])


def test_sample_weights_do_not_enter():
    x, y = make_data()
    model = make_model()
    model.compile("adam", "mse", metrics=["mae", absolute, ErrorOfArrays()])
    weights = np.random.default_rng(0).uniform(size=len(x))
    logs = model.evaluate(x, y, sample_weight=weights, return_dict=True)
    assert logs["mae"] == pytest.approx(absolute_of_arrays(y, model.predict(x)).mean())
    assert logs["absolute"] == pytest.approx(logs["mae"]) and logs["error"] == pytest.approx(logs["mae"])


def test_masked_steps_are_left_out_of_functions():
    random = np.random.default_rng(0)
    tokens, y = random.integers(0, 5, (40, 6)), random.normal(size=(40, 6, 2))
    layers = [
        fn.Input((6,)),
        fn.layers.Embedding(5, 4, mask_zero=True),
        fn.layers.LSTM(5, return_sequences=True),
        fn.layers.Dense(2),
    ]
    model = fn.Sequential(layers, seed=0, dtype="float64")
    model.compile("adam", "mse", metrics=["mae", absolute])
    logs = model.evaluate(tokens, y, batch_size=16, return_dict=True)
    counted = tokens != 0
    expected = np.abs(model.predict(tokens) - y)[counted].mean()
    assert logs["mae"] == pytest.approx(expected, rel=1e-12) and logs["absolute"] == pytest.approx(expected, rel=1e-12)
    model.compile("adam", "mse", metrics=[lambda t, p: ops.mean(ops.abs(t - p), axis=(1, 2))])
    with pytest.raises(ValueError, match=r"has a mask of shape \(None, 6\), its value has shape \(None,\)"):
        model.evaluate(tokens, y)
    model.compile("adam", "mse", metrics=[absolute_of_arrays])
    with pytest.raises(TypeError, match="has a mask, which a function of arrays would not heed"):
        model.evaluate(tokens, y)


def test_many_models_have_one_metric_object():
    x, y = make_data()
    shared, alone = [Error(), ErrorOfArrays("of_arrays"), absolute], []
    models = [make_model() for _ in range(6)]
    for i, model in enumerate(models):
        model.compile(fn.optimizers.SGD(0.01 * (1 + i)), "mse", metrics=["mae", *shared])
    for history in fn.fit_many(models, x, y, epochs=3, batch_size=8, verbose=0):
        for name in ("error", "of_arrays", "absolute"):
            np.testing.assert_allclose(history.history[name], history.history["mae"], rtol=1e-12)
        alone.append(history.history["mae"][-1])
    assert len(set(alone)) == 6


@pytest.mark.parametrize("kind", OWN)
def test_full_batch_optimizers_and_targets_of_another_shape(kind):
    x, y = make_data()
    model = make_model()
    model.compile("lbfgs", "mse", metrics=["mae", OWN[kind][0]()])
    history = model.fit(x, y, batch_size=20, epochs=2, verbose=0).history
    np.testing.assert_allclose(list(history.values())[2], history["mae"], rtol=1e-12)
    column = make_model(1)
    column.compile("adam", "mse", metrics=["mae", OWN[kind][0]()])
    for targets in (y[:, 0], y[:, :1]):
        loss, mae, own = column.evaluate(x, targets)
        assert own == pytest.approx(mae, rel=1e-12) and loss > 0


class Stop(fn.callbacks.Callback):
    """Interrupts the batch of this number; None: none."""

    def __init__(self, batch):
        self.batch = batch

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.batch:
            raise KeyboardInterrupt


def test_training_goes_on_within_an_epoch_from_a_checkpoint(tmp_path):
    """The variables are a part of the sums that a checkpoint holds."""
    x, y = make_data(80)

    def fit(stop, **options):
        model = make_model()
        model.compile("adam", "mse", metrics=["mae", Error(), ErrorOfArrays("of_arrays")])
        callbacks = [fn.callbacks.TrainingCheckpoint(tmp_path / f"state{stop}.safetensors", every_steps=2), Stop(stop)]
        return model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=callbacks, **options).history

    whole = fit(None)
    with pytest.raises(KeyboardInterrupt):
        fit(4)
    resumed = fit(None, resume_from=tmp_path / "state4.safetensors")
    for name in ("mae", "error", "of_arrays"):
        assert whole[name] == resumed[name]
        np.testing.assert_allclose(resumed[name], resumed["mae"], rtol=1e-12)


def test_callbacks_ask_which_way_is_better():
    x, y = make_data()

    class Rising(Error):
        _direction = "up"  # as Keras's metrics say it

    model = make_model()
    model.compile(fn.optimizers.SGD(0.1), "mse", metrics=[ErrorOfArrays("falls"), Rising("rises"), absolute])
    stop = fn.callbacks.EarlyStopping(monitor="val_falls", patience=1)
    assert len(model.fit(x, y, validation_split=0.2, epochs=5, verbose=0, callbacks=[stop]).epoch) > 2
    stop = fn.callbacks.EarlyStopping(monitor="rises", patience=1)
    assert len(model.fit(x, y, epochs=9, verbose=0, callbacks=[stop]).epoch) == 2
    with pytest.raises(ValueError, match="mode"):
        model.fit(x, y, epochs=2, verbose=0, callbacks=[fn.callbacks.EarlyStopping(monitor="absolute")])
    assert model.fit(x, y, epochs=2, verbose=0, callbacks=[fn.callbacks.EarlyStopping("absolute", mode="min")]).epoch == [0, 1]


class Confusion(fn.metrics.Metric):
    """A matrix in place of a number, with a dictionary as its value."""

    def __init__(self, classes=3, name="confusion", **kwargs):
        super().__init__(name=name, **kwargs)
        self.classes = classes
        self.matrix = self.add_variable((classes, classes), "zeros", name="matrix")
        self.bias = self.add_variable((), "ones")

    def update_state(self, y_true, y_pred, sample_weight=None):
        true = ops.expand_dims(ops.one_hot(y_true, self.classes), 2)
        predicted = ops.expand_dims(ops.one_hot(ops.argmax(y_pred, axis=-1), self.classes), 1)
        self.matrix.assign_add(ops.sum(true * predicted, axis=0))

    def result(self):
        return {"matrix": self.matrix.numpy() + self.bias, "right": ops.trace(np.asarray(self.matrix))}


def test_matrices_and_dictionaries():
    random = np.random.default_rng(0)
    x, labels = random.normal(size=(50, 4)), random.integers(0, 3, 50)
    model = make_model()
    model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=[Confusion()])
    logs = model.evaluate(x, labels, batch_size=16, return_dict=True)
    expected = np.zeros((3, 3))
    np.add.at(expected, (labels, model.predict(x).argmax(axis=1)), 1)
    np.testing.assert_array_equal(logs["matrix"], expected + 1)
    assert logs["right"] == np.trace(expected) and list(logs) == ["loss", "matrix", "right"]
    assert type(tally_of(model)) is FormulaTally


class Counts(Error):
    """Keeps something that is no variable."""

    def __init__(self, name="counts"):
        super().__init__(name=name)
        self.batches = []

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.batches.append(1)
        self.total.assign_add(ops.sum(y_pred * 0))
        self.count.assign_add(1)

    def result(self):
        return self.count


class Decides(Error):
    """Looks at what it has: cannot be traced."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        if self.count < 20:
            self.count.assign_add(ops.sum(ops.ones_like(y_pred[:, 0])))

    def result(self):
        return self.count


@pytest.mark.parametrize(("make", "expected"), [(Counts, 4), (Decides, 20)])
def test_what_cannot_be_traced_is_called_with_arrays(make, expected):
    """A trace would be wrong: it would do once what is to be done for each batch."""
    x, y = make_data(40)
    model = make_model()
    model.compile("adam", "mse", metrics=[make()])
    history = model.fit(x, y, batch_size=10, epochs=2, verbose=0).history
    assert next(iter(history.values())) and list(history.values())[1] == [expected, expected]
    assert isinstance(tally_of(model), ArrayTally)


def test_a_file_knows_the_class_by_its_name(tmp_path):
    x, y = make_data()
    for given in (Error(), Error):
        model = make_model()
        model.compile("adam", "mse", metrics=[given])
        model.save(tmp_path / "model.safetensors")
        again = fn.load_model(tmp_path / "model.safetensors", custom_objects={"Error": Error})
        assert again.evaluate(x, y) == model.evaluate(x, y)
    model.compile("adam", "mse", metrics=[absolute])
    model.save(tmp_path / "model.safetensors")
    assert fn.load_model(tmp_path / "model.safetensors").predict(x).shape == y.shape


def test_steps_that_are_made_without_python_do_without_them(tmp_path):
    """Files for C and exported training are those of the model without the metric."""
    x, y = make_data()
    texts, described = [], []
    for i, metrics in enumerate(([], [absolute, Error()])):
        model = make_model()
        model.compile("adam", "mse", metrics=metrics)
        model.train_on_batch(x, y)
        path = tmp_path / f"{i}" / "net.c"
        path.parent.mkdir()
        model.export(path, training=True)
        texts.append(path.read_text())
        described.append(describe_for_c(model, "optimizer"))
    assert texts[0] == texts[1] and described[0] == described[1] and isinstance(described[0]["train"], dict)


# ---- standing alone ------------------------------------------------------------------------------------------


def make_metric(cls):
    return cls(k=2) if "TopK" in cls.__name__ else cls()


def data_for(cls, rows=37):
    random = np.random.default_rng(len(cls.__name__))
    y_pred = random.uniform(0.05, 0.95, size=(rows, 4))
    if "Sparse" in cls.__name__:
        return random.integers(0, 4, rows), y_pred
    if "Categorical" in cls.__name__ or cls.__name__ in ("Accuracy", "F1Score", "MatthewsCorrelation"):
        return np.eye(4)[random.integers(0, 4, rows)], y_pred
    if cls.__name__ in ("AUC", "BinaryAccuracy", "Precision", "Recall"):
        return random.integers(0, 2, (rows, 4)).astype(float), y_pred
    return random.normal(size=(rows, 4)), y_pred


@pytest.mark.parametrize("cls", ENGINE)
def test_in_parts_it_is_what_evaluate_says(cls):
    y_true, y_pred = data_for(cls)
    identity = fn.Sequential([fn.Input((4,)), fn.layers.Activation("linear")], seed=0, dtype="float64")
    loss = "mse" if y_true.ndim == 2 else fn.losses.SparseCategoricalCrossentropy()
    identity.compile("sgd", loss, metrics=[cls()])
    metric = cls()
    assert metric.result() == 0
    for _ in range(2):
        for rows in (slice(0, 1), slice(1, 20), slice(20, None)):
            metric.update_state(y_true[rows], y_pred[rows])
        assert metric.result() == pytest.approx(identity.evaluate(y_pred, y_true)[1], rel=1e-12)
        metric.reset_state()
    assert metric(y_true, y_pred) == pytest.approx(identity.evaluate(y_pred, y_true)[1], rel=1e-12)


@pytest.mark.parametrize("cls", ENGINE)
def test_a_weight_is_how_often_a_row_counts(cls):
    y_true, y_pred = data_for(cls)
    times = np.random.default_rng(1).integers(0, 4, len(y_pred))
    weighted, repeated, halves, plain = (make_metric(cls) for _ in range(4))
    weighted.update_state(y_true[:15], y_pred[:15], times[:15])
    weighted.update_state(y_true[15:], y_pred[15:], sample_weight=times[15:])
    repeated.update_state(np.repeat(y_true, times, axis=0), np.repeat(y_pred, times, axis=0))
    assert weighted.result() == pytest.approx(repeated.result(), rel=1e-11)
    assert weighted.result() != pytest.approx(plain(y_true, y_pred), rel=1e-6)
    halves.update_state(y_true, y_pred, times / 2)
    assert halves.result() == pytest.approx(repeated.result(), rel=1e-11)


def test_positions_have_weights():
    random = np.random.default_rng(0)
    y_true, y_pred, weights = random.normal(size=(5, 6, 2)), random.normal(size=(5, 6, 2)), random.uniform(size=(5, 6))
    expected = (((y_true - y_pred) ** 2).mean(axis=-1) * weights).sum() / weights.sum()
    assert fn.metrics.MeanSquaredError()(y_true, y_pred, weights) == pytest.approx(expected)
    square = fn.metrics.MeanMetricWrapper(lambda t, p: ((t - p) ** 2).mean(axis=-1))
    assert square(y_true, y_pred, sample_weight=weights) == pytest.approx(expected)
    with pytest.raises(ValueError, match="sample_weight"):
        fn.metrics.MeanSquaredError()(y_true, y_pred, weights[:3])


def test_means_and_sums_as_in_keras():
    """Values of Keras 3.15."""
    mean, total = fn.metrics.Mean(), fn.metrics.Sum(name="all")
    for metric in (mean, total):
        metric.update_state([1.0, 3.0, 5.0, 7.0])
        metric.update_state([[1.0, 2.0], [3.0, 4.0]], sample_weight=[2, 1])
    assert (mean.result(), total.result()) == (pytest.approx((16 + 3 + 3.5) / 7), 29.0)
    mean.update_state(4.0)
    assert mean.result() == pytest.approx(26.5 / 8)
    mean.reset_state()
    total.reset_state()
    assert (mean.result(), total.result(), total.name) == (0.0, 0.0, "all")


def test_state_is_kept_by_pickles_and_not_shared_by_copies():
    metric = Error()
    metric.update_state(np.zeros((4, 2)), np.ones((4, 2)))
    again = pickle.loads(pickle.dumps(metric))
    again.update_state(np.zeros((4, 2)), np.zeros((4, 2)))
    assert (float(metric.result()), float(again.result())) == (1.0, 0.5)
    assert json.loads(json.dumps(metric.get_config())) == {"name": "error", "dtype": None}


def test_other_targets_than_before_are_refused():
    metric = fn.metrics.Accuracy()
    metric.update_state([0, 1], [[0.2, 0.8], [0.3, 0.7]])
    with pytest.raises(ValueError, match="reset_state"):
        metric.update_state([[0, 1]], [[0.2, 0.8]])
    assert metric.result() == 0.5


# ---- errors, and the engine --------------------------------------------------------------------------------------


def test_errors():
    model = make_model()
    x, y = make_data()
    with pytest.raises(TypeError, match="Mean takes values, and no targets"):
        model.compile("adam", "mse", metrics=[fn.metrics.Mean()])
    with pytest.raises(NotImplementedError, match="update_state"):
        fn.metrics.Metric(name="nothing").update_state(1, 2)
    with pytest.raises(TypeError, match="function of"):
        fn.metrics.MeanMetricWrapper(3)
    model.compile("adam", "mse", metrics=[absolute_of_arrays])
    with pytest.raises(ValueError, match="mixup and cutmix"):
        model.fit(x, y, mixup=0.2, verbose=0)
    plan = Graph()
    value = plan.dense(plan.input((4,)), 3)
    plan.output(value, "mean_squared_error")
    plan.metric("mean_squared_error", 0, value)
    with pytest.raises(ValueError, match="compares a prediction with a target, and takes no value of nodes"):
        Model(plan, max_rows=4)


def test_sums_are_the_same_bits_for_any_number_of_threads():
    x, y = make_data(300)
    found = []
    for n_threads in (1, 2, 3):
        model = make_model(dtype="float32")
        model.compile("adam", "mse", metrics=[absolute, Error()], n_threads=n_threads)
        history = model.fit(x, y, batch_size=64, epochs=2, verbose=0).history
        found.append((history["absolute"], history["error"], model.evaluate(x, y)))
    assert found[0] == found[1] == found[2]
    assert "sums" in _core.registry("metrics")


@pytest.mark.parametrize("name", ["learning_rate", "gradient_norm", "seconds", "val_loss", "loss"])
def test_names_that_logs_have(name):
    """They were lost, or took the place of what has that name: a number tells them apart, as it does metrics of one name."""

    def metric(y_true, y_pred):
        return abs(y_true - y_pred)

    metric.__name__ = name
    model = fn.Sequential([fn.Input((2,)), fn.layers.Dense(1)], seed=0)
    model.compile("sgd", "mse", metrics=[metric, "mae"])
    x, y = np.ones((4, 2)), np.ones(4)
    history = model.fit(x, y, validation_data=(x, y), verbose=0).history
    np.testing.assert_allclose(history[f"{name}_1"], history["mae"], rtol=1e-6)
    np.testing.assert_allclose(history[f"val_{name}_1"], history["val_mae"], rtol=1e-6)
    np.testing.assert_allclose(history["val_loss"], [model.evaluate(x, y, verbose=0)[0]], rtol=1e-6)
