"""Which targets a metric takes, and class numbers that are out of range when they are read: nothing is indexed by them unchecked."""

import numpy as np
import pytest
import reference
from plans import Graph, Model
from test_shards import BATCH, N_ROWS, data, sharded_steps, suitable

import fastnet as fn
from fastnet import _core

EVALUATE = _core.FORWARD | _core.LOSS
TRAIN = EVALUATE | _core.BACKWARD | _core.UPDATE
BAD_LABELS = [7.0, -1.0, 2.5, np.nan, np.inf, -np.inf, 1e30, -1e30, 2.0**31]
LABEL_LOSSES = [name for name in _core.registry("losses") if reference.LOSSES[name].labels]


# ---- losses that are functions: their metrics go by the shape of the targets ------------------------------------------


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def cross_entropy(y_true, y_pred):
    """Of class numbers, with or without an axis of their own, or of one-hot rows."""
    if y_true.shape != y_pred.shape:
        y_true = np.eye(y_pred.shape[-1])[y_true.reshape(y_pred.shape[:-1]).astype(int)]
    p, n = softmax(y_pred.astype(np.float64)), y_pred.size // y_pred.shape[-1]
    return -(y_true * np.log(p)).sum() / n, (p - y_true) / n


METRICS = ["accuracy", "precision", "recall", fn.metrics.F1Score("macro"), "sparse_categorical_accuracy", "categorical_accuracy",
           fn.metrics.TopKCategoricalAccuracy(2, name="top")]  # fmt: skip


def classifier(loss, metrics=METRICS, shape=(4,)):
    model = fn.Sequential([fn.Input(shape), fn.layers.Dense(7)], seed=0)
    model.compile(fn.optimizers.SGD(0.1), loss, metrics=metrics)
    return model


def labelled(n=90, shape=()):
    random = np.random.default_rng(1)
    x = random.normal(size=(n, *shape, 4))
    return x, (x @ random.normal(size=(4, 7))).argmax(axis=-1)


@pytest.mark.parametrize("shape", [(), (5,)], ids=["rows", "steps"])
@pytest.mark.parametrize("kind", ["labels", "column", "float", "one-hot"])
def test_metrics_of_a_function_are_those_of_the_loss_it_computes(kind, shape):
    x, labels = labelled(shape=shape)
    y = {"labels": labels, "column": labels[..., None], "float": labels * 1.0, "one-hot": np.eye(7)[labels]}[kind]
    known = fn.losses.CategoricalCrossentropy if kind == "one-hot" else fn.losses.SparseCategoricalCrossentropy
    found, expected = (classifier(loss, shape=(*shape, 4)) for loss in (cross_entropy, known(from_logits=True)))
    for model in (found, expected):
        model.fit(x, y, epochs=3, batch_size=32, verbose=0, validation_split=0.2)
    for name, values in expected.history.history.items():
        if name not in ("seconds", "gradient_norm"):
            np.testing.assert_allclose(found.history.history[name], values, rtol=1e-5, err_msg=name)
    for call in ("evaluate", "train_on_batch"):
        given, wanted = (getattr(model, call)(x, y, return_dict=True) for model in (found, expected))
        assert list(given) == list(wanted)
        np.testing.assert_allclose(list(given.values()), list(wanted.values()), rtol=1e-5)
    accuracy = (found.predict(x).argmax(axis=-1) == labels).mean()
    assert found.evaluate(x, y, return_dict=True)["accuracy"] == pytest.approx(accuracy)


def test_metrics_of_a_function_follow_the_targets_of_each_call():
    """Trained with class numbers, validated with one-hot rows: each has its own."""
    x, labels = labelled()
    model = classifier(cross_entropy, ["accuracy", "precision"])
    model.fit(x, labels, verbose=0, validation_data=(x, np.eye(7)[labels]))
    accuracy = (model.predict(x).argmax(axis=-1) == labels).mean()
    assert model.history.history["val_accuracy"][-1] == pytest.approx(accuracy)
    assert model.evaluate(x, labels)[1] == pytest.approx(accuracy)


@pytest.mark.parametrize(("y", "message"), [
    (np.full(12, 7), "y: label 7 in row 0 is not a class number from 0 to 6"),
    (np.r_[np.zeros(11), np.nan], "y: label nan in row 11"),
    (np.full((12, 1), -1), "y: label -1 in row 0"),
    (np.zeros((12, 3)), r"y has shape \(12, 3\); the metrics of a loss that is a function need targets like the predictions"),
])  # fmt: skip
def test_targets_of_a_function_with_metrics_are_checked(y, message):
    x = np.zeros((12, 4))
    model = classifier(lambda y_true, y_pred: (0.0, np.zeros_like(y_pred)), ["accuracy"])
    before = model.get_weights()
    for call in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises(ValueError, match=message):
            call(x, y)
    with pytest.raises(ValueError, match=message):
        model.fit(x, np.zeros(12), validation_data=(x, y), verbose=0)
    assert model.optimizer.iterations == 0
    for a, b in zip(model.get_weights(), before):
        np.testing.assert_array_equal(a, b)
    model.compile("sgd", lambda y_true, y_pred: (0.0, np.zeros_like(y_pred)))  # without metrics they are its own business
    model.fit(x, y, verbose=0)


def test_metrics_without_meaning_for_the_labels_of_a_function_say_so():
    model = classifier(cross_entropy, ["mse"])
    with pytest.raises(ValueError, match="MeanSquaredError needs a target for each of the 7 outputs"):
        model.fit(*labelled(), verbose=0)


def test_a_single_output_of_a_function_has_numbers_for_targets():
    def squared(y_true, y_pred):
        error = y_pred - y_true.reshape(y_pred.shape)
        return float((error**2).mean()), 2 * error / error.size

    random = np.random.default_rng(0)
    x = random.normal(size=(50, 3))
    for y in (random.normal(size=50), random.normal(size=(50, 1))):
        model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(1)], seed=0)
        model.compile("sgd", squared, metrics=["mse", "r2"])
        loss, error, _ = model.evaluate(x, y)
        assert error == pytest.approx(loss)


# ---- the engine: every metric, every loss ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in _core.registry("metrics") if name != "sums"])  # which reads none
def test_targets_that_a_metric_does_not_take_are_refused(name):
    """By the call for arrays and by plans; of a loss with class numbers, and of one with numbers."""
    takes_both, labels = name in ("categorical_confusion", "matthews_correlation"), reference.METRICS[name].labels
    prediction = np.full((6, 7), 0.5)
    for of_labels, target in ((True, np.zeros(6)), (False, np.zeros((6, 7)))):
        sums = np.zeros(_core.metric_size(name, {}, (7,)))
        graph = Graph()
        loss = "sparse_categorical_crossentropy" if of_labels else "mean_squared_error"
        graph.output(graph.dense(graph.input((2,)), 7), loss)
        graph.metric(name)
        if takes_both or labels == of_labels:
            _core.update_metric(name, {}, target, prediction, sums)
            Model(graph, max_rows=6)
            continue
        with pytest.raises(ValueError, match=f"metric '{name}' needs .* for each prediction of 7 numbers, got"):
            _core.update_metric(name, {}, target, prediction, sums)
        assert not sums.any()
        with pytest.raises(ValueError, match=f"metric '{name}' needs"):
            Model(graph, max_rows=6)


def test_labels_of_a_single_number_that_no_loss_has_checked_are_refused():
    """A target of one number for a prediction of one number is a label for such a metric, of which only 0 would be one."""
    graph = Graph()
    graph.output(graph.dense(graph.input((2,)), 1), "binary_crossentropy")
    graph.metric("sparse_categorical_accuracy")
    with pytest.raises(ValueError, match="metric 'sparse_categorical_accuracy' needs one class label"):
        Model(graph, max_rows=6)
    with pytest.raises(ValueError, match="label 1 at position 0 is not a class number from 0 to 0"):
        _core.update_metric("sparse_categorical_accuracy", {}, [1.0], [[0.5]], np.zeros(2))


@pytest.mark.parametrize("bad", BAD_LABELS)
@pytest.mark.parametrize("name", [name for name in _core.registry("metrics")
                                  if reference.METRICS[name].labels or name == "categorical_confusion"])  # fmt: skip
def test_metrics_refuse_labels_out_of_range(name, bad, isa, dtype):
    for width, rows in ((7, 5), (100, 40)):
        bad_here = 100.0 if bad == 7 and width == 100 else bad
        target = np.zeros(rows, dtype)
        target[-2] = bad_here
        sums = np.zeros(_core.metric_size(name, {}, (width,)))
        with pytest.raises(
            ValueError, match=f"{name}: label .* at position {rows - 2} is not a class number from 0 to {width - 1}"
        ):
            _core.update_metric(name, {}, target, np.zeros((rows, width), dtype), sums)
        assert not sums.any()


def test_whole_numbers_are_labels_however_large(isa, dtype):
    """The check itself: up to the last class, beyond the digits behind the point."""
    width = 2**23 + 8 if dtype == "float32" else 1000
    target = np.array([0, 1, width // 2, width - 1], dtype)
    prediction = np.zeros((4, width), dtype)
    prediction[np.arange(4), target.astype(int)] = 1
    sums = np.zeros(2)
    _core.update_metric("sparse_categorical_accuracy", {}, target, prediction, sums)
    assert list(sums) == [4, 4]


def labels_model(loss, width, attributes, dtype, n_threads=1, steps=1):
    graph = Graph()
    x = graph.input((steps, 3) if steps > 1 else (3,))
    graph.output(graph.dense(x, width), loss, **attributes)
    for metric in ("sparse_categorical_accuracy", "sparse_top_k_categorical_accuracy", "categorical_confusion"):
        graph.metric(metric)
    return Model(graph, dtype, max_rows=8, optimizer="adam", n_threads=n_threads)


@pytest.mark.parametrize("bad", BAD_LABELS)
@pytest.mark.parametrize("loss", LABEL_LOSSES)
def test_labels_out_of_range_when_they_are_read(loss, bad, isa, dtype):
    """As if they had been written to after the check: a plan itself checks none before it begins. Narrow rows and wide ones."""
    for width, attributes in (
        (7, {"from_logits": 1}),
        (7, {}),
        (7, {"from_logits": 1, "label_smoothing": 0.1}),
        (100, {"from_logits": 1}),
        (100, {}),
    ):
        for n_threads in (1, 2):
            model = labels_model(loss, width, attributes, dtype, n_threads)
            x, y = np.full((20, 3), 0.5), np.zeros(20)
            y[[13, 18]] = 100.0 if bad == 7 and width == 100 else bad
            sums, losses = np.zeros(model.plan.metric_size), np.zeros(2)
            with pytest.raises(ValueError, match=f"label .* in row 13 is not a class number from 0 to {width - 1}"):
                model.plan.run(EVALUATE, n_rows=20, batch_size=8, inputs=[x], targets=[y], metrics=sums, loss_sum=losses)
            assert (model.plan.next_row, model.plan.steps_done, sums[1]) == (8, 1, 8)

            clean = labels_model(loss, width, attributes, dtype, n_threads)
            clean.plan.run(
                TRAIN,
                n_rows=8,
                batch_size=8,
                inputs=[x],
                targets=[np.zeros(20)],
                hyper=clean.hyper_row,
                metrics=np.zeros(model.plan.metric_size),
            )
            with pytest.raises(ValueError, match="in row 13 .* found at step 1, and the weights are those from before that step"):
                model.plan.run(
                    TRAIN,
                    n_rows=20,
                    batch_size=8,
                    inputs=[x],
                    targets=[y],
                    hyper=model.hyper_row,
                    metrics=np.zeros(model.plan.metric_size),
                )
            assert (model.plan.next_row, model.plan.steps_done) == (8, 1)
            assert model.state() == clean.state()
            y[[13, 18]] = 0  # and can go on
            model.plan.run(
                TRAIN,
                n_rows=20,
                batch_size=8,
                inputs=[x],
                targets=[y],
                hyper=model.hyper_row,
                metrics=np.zeros(model.plan.metric_size),
            )


def test_the_row_of_a_label_is_that_of_the_data():
    """With an order to visit the rows in, and several labels in each."""
    model = labels_model("sparse_categorical_crossentropy", 7, {"from_logits": 1}, "float32", steps=4)
    y = np.zeros((20, 4), np.int32)
    y[5, 3] = 9
    order = np.arange(20)[::-1].copy()
    with pytest.raises(ValueError, match="output 'output_0': label 9 in row 5 .* found at step 1"):
        model.plan.run(
            TRAIN,
            n_rows=20,
            batch_size=8,
            inputs=[np.zeros((20, 4, 3))],
            targets=[y],
            order=order,
            hyper=model.hyper_row,
            metrics=np.zeros(model.plan.metric_size),
        )


def test_the_label_is_told_apart_from_what_is_in_its_place_later():
    """No metric reads the labels of the first output, and the loss of the second has to wait for its mask."""
    graph = Graph()
    x = graph.input((4, 3))
    graph.output(graph.dense(x, 7), "sparse_categorical_crossentropy", from_logits=1)
    masked, mask = graph.node("masking", [x])
    graph.output(graph.dense(masked, 7), "sparse_categorical_crossentropy", from_logits=1)
    graph.outputs[1] += (mask,)
    model = Model(graph, "float32", max_rows=8, optimizer="sgd")
    y = np.zeros((8, 4))
    y[5, 2] = 9
    with pytest.raises(ValueError, match="output 'output_0': label 9 in row 5 is not"):
        model.plan.run(
            TRAIN, n_rows=8, batch_size=8, inputs=[np.ones((8, 4, 3))], targets=[y, np.ones((8, 4))], hyper=model.hyper_row
        )


def test_shards_stop_before_the_step_with_the_label():
    """Both threads, each with parameters of its own: what one thread gives, to the bit."""
    found = []
    for n_threads in (1, 2):
        model = Model(suitable(), "float32", max_rows=BATCH, n_threads=n_threads, optimizer="adam", seed=4)
        inputs, targets = data()
        targets[0][550] = 10
        with pytest.raises(ValueError, match="label 10 in row 550 .* found at step 17"):
            model.plan.run(
                TRAIN,
                n_rows=N_ROWS,
                batch_size=BATCH,
                inputs=inputs,
                targets=targets,
                hyper=model.hyper_row,
                metrics=np.zeros(model.plan.metric_size),
            )
        assert model.plan.steps_done == 17
        found.append(model.state())
    assert sharded_steps(model) == 17
    assert found[0] == found[1]


# ---- data that are changed while they are trained on -------------------------------------------------------------------


class Writes(fn.callbacks.Callback):
    """Writes a label when two batches are done."""

    def __init__(self, y):
        self.y, self.weights = y, None

    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            self.y[-1] = 10**6
            self.weights = [w.copy() for w in self.model.get_weights()]


@pytest.mark.filterwarnings("ignore:loss that does not fit")
@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", cross_entropy], ids=["engine", "function"])
def test_a_callback_writes_a_label(loss, tmp_path):
    x, labels = labelled(64)
    mapped = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", np.int64, (64,))
    for y in (labels.copy(), mapped):
        y[:] = labels
        writes = Writes(y)
        model = classifier(loss, ["accuracy"])
        model.compile("adam", loss, metrics=["accuracy"])
        with pytest.raises((ValueError, IndexError), match="1e\\+06|1000000"):
            model.fit(x, y, batch_size=16, shuffle=False, callbacks=[writes], verbose=0)
        assert model.optimizer.iterations == 3
        assert any((a != b).any() for a, b in zip(model.get_weights(), writes.weights))  # the third step was made
        y[:] = labels
        model.fit(x, y, verbose=0)


@pytest.mark.filterwarnings("ignore:loss that does not fit")
def test_full_batch_optimizers_go_back_to_where_they_were():
    x, labels = labelled(64)
    y = labels.copy()

    class Late(fn.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                y[3] = -5
                self.weights = [w.copy() for w in self.model.get_weights()]

    model, late = classifier("sparse_categorical_crossentropy"), Late()
    model.compile(fn.optimizers.LBFGS(), fn.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="label -5 in row 3"):
        model.fit(x, y, epochs=3, callbacks=[late], verbose=0)
    for a, b in zip(model.get_weights(), late.weights):
        np.testing.assert_array_equal(a, b)
