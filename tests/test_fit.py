"""fit and the calls for one batch, against the same training in NumPy."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from networks import Reference, classes, network, regression, rows, same_weights, state

import fastnet as fn
from fastnet import _core

SGD, Adam = fn.optimizers.SGD, fn.optimizers.Adam

#: (our optimizer, its name in tests/reference.py, hyper-parameters)
OPTIMIZERS = {
    "sgd": (SGD(0.1), "sgd", {"learning_rate": 0.1, "momentum": 0.0, "nesterov": False}),
    "momentum": (SGD(0.05, momentum=0.9), "sgd", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": False}),
    "nesterov": (SGD(0.05, 0.8, nesterov=True), "sgd", {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True}),
    "adam": (Adam(0.01), "adam", {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}),
    "adam with other betas": (
        Adam(0.02, 0.5, 0.9, 1e-3), "adam", {"learning_rate": 0.02, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}
    ),
}  # fmt: skip


@pytest.fixture(params=OPTIMIZERS)
def optimizer(request):
    ours, name, hyper = OPTIMIZERS[request.param]
    return type(ours).from_config(ours.get_config()), name, hyper


# ---- the same training in NumPy --------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 5, 7, 23, 100])
def test_fit_is_the_training_of_the_reference(optimizer, batch_size):
    ours, name, hyper = optimizer
    x, y = rows(23, 4), rows(23, 2, seed=1)
    model = regression(7, 5, 2, optimizer=ours, seed=11)
    peer = Reference(model, "mean_squared_error", name, **hyper)
    history = model.fit(x, y, batch_size=batch_size, epochs=3, verbose=0)
    losses = peer.fit(x, y, batch_size, 3, seed=11)
    peer.assert_same(model, rtol=1e-9)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-11)
    np.testing.assert_allclose(model.predict(x), peer.predict(x), rtol=1e-8, atol=1e-10)
    assert model.optimizer.iterations == peer.steps == 3 * -(-23 // batch_size)


@pytest.mark.parametrize("last, attributes", [(None, {"from_logits": True}), ("softmax", {}),
                                              (None, {"from_logits": True, "label_smoothing": 0.1})])  # fmt: skip
def test_fit_classifies_like_the_reference(last, attributes):
    x, y = rows(31, 4), classes(31, 3)
    model = network(6, 3, activation="relu", last=last, seed=5)
    model.compile(SGD(0.2), fn.losses.SparseCategoricalCrossentropy(**attributes), metrics=["accuracy"])
    peer = Reference(model, "sparse_categorical_crossentropy", "sgd", attributes, learning_rate=0.2, momentum=0.0, nesterov=False)
    history = model.fit(x, y, batch_size=8, epochs=4, verbose=0)
    np.testing.assert_allclose(history.history["loss"], peer.fit(x, y, 8, 4, seed=5), rtol=1e-9)
    peer.assert_same(model, rtol=1e-8, atol=1e-10)
    assert model.evaluate(x, y)[1] == np.mean(peer.predict(x).argmax(axis=1) == y)


def test_fit_in_float32_is_close_to_the_reference():
    x, y = rows(40, 4), rows(40, 1)
    model = regression(8, 1, optimizer=Adam(0.01), seed=2, dtype="float32")
    peer = Reference(model, "mean_squared_error", "adam", **OPTIMIZERS["adam"][2])
    model.fit(x, y, batch_size=9, epochs=2, verbose=0)
    peer.fit(x.astype(np.float32), y.astype(np.float32), 9, 2, seed=2)
    peer.assert_same(model, rtol=1e-3, atol=1e-5)
    assert model.get_weights()[0].dtype == model.predict(x).dtype == np.float32


def test_a_second_fit_goes_on_with_other_orders():
    x, y = rows(13, 4), rows(13, 1)
    once, twice = regression(seed=4, optimizer=Adam()), regression(seed=4, optimizer=Adam())
    once.fit(x, y, batch_size=4, epochs=5, verbose=0)
    twice.fit(x, y, batch_size=4, epochs=2, verbose=0)
    history = twice.fit(x, y, batch_size=4, epochs=5, initial_epoch=2, verbose=0)
    assert same_weights(once, twice)
    assert history.epoch == [2, 3, 4]


def test_without_shuffle_the_rows_come_in_order():
    x, y = rows(13, 4), rows(13, 1)
    model = regression()
    peer = Reference(model, "mean_squared_error", "sgd", learning_rate=0.01, momentum=0.0, nesterov=False)
    model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    peer.fit(x, y, 4, 2)
    peer.assert_same(model)


def test_sample_weight_and_class_weight():
    x, y = rows(21, 4), classes(21, 3)
    sample, by_class = np.linspace(0, 2, 21), {0: 0.5, 1: 2.0, 2: 1.5}
    of_class = np.array([by_class[label] for label in y])
    for given, weight in [
        ({"sample_weight": sample}, sample),
        ({"class_weight": by_class}, of_class),
        ({"class_weight": {1: 2.0, 7: 3.0}}, np.where(y == 1, 2.0, 1.0)),
        ({"sample_weight": list(sample), "class_weight": by_class}, sample * of_class),
        ({"sample_weight": sample.reshape(-1, 1)}, sample),
        ({}, None),
    ]:
        model = network(5, 3, seed=1)
        model.compile(SGD(0.1), fn.losses.SparseCategoricalCrossentropy(from_logits=True))
        peer = Reference(
            model,
            "sparse_categorical_crossentropy",
            "sgd",
            {"from_logits": True},
            learning_rate=0.1,
            momentum=0.0,
            nesterov=False,
        )
        history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, **given)
        np.testing.assert_allclose(history.history["loss"], peer.fit(x, y, 8, 2, seed=1, weight=weight), rtol=1e-10)
        peer.assert_same(model, rtol=1e-9, atol=1e-12)


def test_class_weight_of_one_hot_and_of_binary_targets():
    x, labels = rows(12, 4), classes(12, 3)
    by_class = {0: 0.5, 1: 2.0, 2: 0.0}
    one_hot, sparse = network(3, seed=1), network(3, seed=1)
    one_hot.compile("sgd", fn.losses.CategoricalCrossentropy(from_logits=True))
    sparse.compile("sgd", fn.losses.SparseCategoricalCrossentropy(from_logits=True))
    one_hot.fit(x, np.eye(3)[labels], verbose=0, class_weight=by_class)
    sparse.fit(x, labels, verbose=0, class_weight=by_class)
    np.testing.assert_allclose(one_hot.get_weights()[0], sparse.get_weights()[0], rtol=1e-13)

    y = (labels > 0) * 1.0
    by_class, by_sample = regression(loss="bce", last="sigmoid"), regression(loss="bce", last="sigmoid")
    by_class.fit(x, y, verbose=0, class_weight={0: 3.0, 1: 0.25})
    by_sample.fit(x, y, verbose=0, sample_weight=np.where(y > 0, 0.25, 3.0))
    assert same_weights(by_class, by_sample)


# ---- validation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n, fraction, held", [(10, 0.1, 1), (10, 0.25, 3), (7, 0.5, 4), (1797, 0.1, 180), (9, 0.9, 9)])
def test_validation_split_takes_the_last_rows(n, fraction, held):
    """As many as Keras does: n - floor(n * (1 - fraction))."""
    x, y = rows(n, 4), rows(n, 1)
    split, given = regression(optimizer="adam"), regression(optimizer="adam")
    if held == n:
        with pytest.raises(ValueError, match="validation_split"):
            split.fit(x, y, validation_split=fraction, verbose=0)
        return
    options = {"epochs": 2, "batch_size": 4, "verbose": 0}
    a = split.fit(x, y, validation_split=fraction, **options).history
    b = given.fit(x[:-held], y[:-held], validation_data=(x[-held:], y[-held:]), **options).history
    assert same_weights(split, given)
    assert a["loss"] == b["loss"] and a["val_loss"] == b["val_loss"]


def test_validation_split_divides_the_weights_too():
    x, y, weight = rows(20, 4), rows(20, 1), np.linspace(0, 1, 20)
    split, given = regression(), regression()
    a = split.fit(x, y, validation_split=0.25, sample_weight=weight, verbose=0).history
    b = given.fit(x[:15], y[:15], sample_weight=weight[:15], validation_data=(x[15:], y[15:], weight[15:]), verbose=0)
    assert same_weights(split, given)
    assert a["val_loss"] == b.history["val_loss"]


def test_validation_data_is_evaluated_after_each_epoch():
    x, y = rows(20, 4), rows(20, 1)
    held_x, held_y, weight = rows(9, 4, seed=5), rows(9, 1, seed=6), np.arange(9) / 4
    model = regression(metrics=["mae"])
    history = model.fit(x, y, epochs=3, validation_data=(held_x, held_y, weight), validation_freq=2, verbose=0).history
    error = model.predict(held_x) - held_y  # of the third epoch, which was not validated
    model_at_second = regression(metrics=["mae"])
    model_at_second.fit(x, y, epochs=2, verbose=0)
    error = model_at_second.predict(held_x) - held_y
    assert len(history["val_loss"]) == 1
    np.testing.assert_allclose(history["val_loss"][0], np.mean(weight * error[:, 0] ** 2), rtol=1e-12)
    np.testing.assert_allclose(history["val_mae"][0], np.mean(np.abs(error)), rtol=1e-12)


@pytest.mark.parametrize(
    "freq, first, expected", [(2, 0, [1, 3]), (2, 1, [1, 3]), (3, 1, [2]), ([2, 5, 9], 0, [1, 4]), ({3}, 3, [])]
)
def test_validation_freq_counts_epochs_from_the_first_of_all(freq, first, expected):
    """As in Keras 3.15: epochs counted from 1 that are multiples, or in a collection, whatever `initial_epoch` is."""
    x, y = rows(6, 4), rows(6, 1)
    for callbacks in ([], [fn.callbacks.LambdaCallback()]):
        model = regression()
        history = model.fit(
            x, y, epochs=5, initial_epoch=first, validation_data=(x, y), validation_freq=freq, callbacks=callbacks, verbose=0
        )
        values = history.quantities.get("val_loss", [None] * len(history.epoch))
        assert [epoch for epoch, value in zip(history.epoch, values) if value is not None] == expected


def test_targets_of_decisions_are_probabilities():
    """The torch backend of Keras 3.15: all elements of target should be between 0 and 1."""
    x, y = rows(6, 4), np.array([[0.0], [1.0], [0.5], [1.0], [0.0], [1.0]])
    for loss in (fn.losses.BinaryCrossentropy(from_logits=True), fn.losses.BinaryFocalCrossentropy(from_logits=True)):
        model = regression(loss=loss)
        model.fit(x, y, verbose=0)
        weights = model.get_weights()
        for wrong in (2.0, -1.0):
            bad = np.where(np.arange(6)[:, None] == 3, wrong, y)
            for run in (model.fit, model.evaluate, model.train_on_batch):
                with pytest.raises(ValueError, match=f"y holds {wrong} in row 3, expected 0 for no, 1 for yes"):
                    run(x, bad)
            with pytest.raises(ValueError, match="y_true holds"):
                loss(bad, y)
        assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights()))


def test_several_outputs_are_in_the_order_of_keras():
    """As traced in Keras 3.15: the loss, those of the outputs in order, and the metrics by their names."""
    x, y = rows(6, 4), rows(6, 1)
    given = fn.Input((4,))
    model = fn.Model(given, [fn.layers.Dense(1, name="b")(given), fn.layers.Dense(1, name="a")(given)])
    model.compile("sgd", {"b": "mse", "a": "mae"}, metrics={"b": ["mse", "mae"], "a": ["mse", "cosine_similarity"]})
    names = ["loss", "b_loss", "a_loss", "a_cosine_similarity", "a_mse", "b_mae", "b_mse"]
    assert list(model.evaluate(x, [y, y], return_dict=True)) == names
    assert model.evaluate(x, [y, y]) == list(model.evaluate(x, [y, y], return_dict=True).values())
    assert model.metrics_names == names


@pytest.mark.parametrize("validation_batch_size", [1, 4, 100])
def test_validation_does_not_disturb_training(validation_batch_size):
    x, y = rows(20, 4), rows(20, 1)
    with_validation, without = regression(optimizer="adam"), regression(optimizer="adam")
    with_validation.fit(x, y, epochs=3, validation_data=(x, y), validation_batch_size=validation_batch_size, verbose=0)
    without.fit(x, y, epochs=3, verbose=0)
    assert same_weights(with_validation, without)


# ---- evaluate, and what is logged -------------------------------------------------------------------


def test_evaluate_does_not_depend_on_the_batch_size():
    x, y = rows(37, 4), (rows(37, 1) > 0) * 1
    weight = np.linspace(0.1, 2, 37)
    metrics = ["accuracy", "auc", "precision", "recall", fn.metrics.F1Score("macro"), "mse"]
    model = regression(5, 1, last="sigmoid", loss="bce", metrics=metrics)
    p = model.predict(x)
    expected = np.mean(weight * -np.log(np.where(y > 0, p, 1 - p))[:, 0])
    results = [model.evaluate(x, y, batch_size=size, sample_weight=weight) for size in (1, 2, 7, 36, 37, 400, None)]
    for result in results:
        np.testing.assert_allclose(result, results[0], rtol=1e-12)
        np.testing.assert_allclose(result[0], expected, rtol=1e-12)
    assert results[0][1] == np.mean((p > 0.5) == y)


def test_evaluate_changes_nothing_and_returns_as_asked(capsys):
    x, y = rows(5, 4), rows(5, 1)
    model = regression()
    before = state(model)
    value = model.evaluate(x, y)
    assert isinstance(value, float)
    assert model.evaluate(x, y, return_dict=True) == {"loss": value}
    assert state(model) == before and capsys.readouterr().out == ""
    model.compile("sgd", "mse", metrics=["mae", "rmse"])
    assert model.evaluate(x, y)[0] == value
    assert list(model.evaluate(x, y, return_dict=True)) == ["loss", "mae", "rmse"]
    model.evaluate(x, y, verbose=2)
    assert "mae: " in capsys.readouterr().out


def test_a_loss_that_is_not_finite_is_a_result_of_evaluate():
    model = regression(1)
    model.set_weights([np.full((4, 1), 1e200), np.zeros(1)])
    assert model.evaluate(np.ones((3, 4)), np.zeros(3)) == np.inf


def test_history_has_a_number_for_each_epoch():
    x, y = rows(11, 4), rows(11, 1)
    model = regression(metrics=["mae", fn.metrics.R2Score(name="fit")])
    history = model.fit(x, y, epochs=3, batch_size=4, validation_split=0.2, verbose=0)
    assert history is model.history
    assert history.epoch == [0, 1, 2]
    assert set(history.history) == {"loss", "mae", "fit", "val_loss", "val_mae", "val_fit"}
    assert all(len(values) == 3 and all(isinstance(v, float) for v in values) for values in history.history.values())
    assert history.quantities["learning_rate"] == [0.01] * 3


def test_logged_loss_and_metrics_are_means_over_the_rows_of_the_epoch():
    """Of each batch before its step, weighted with its rows: the last batch is smaller."""
    x, y = rows(11, 4), rows(11, 1)
    model, other = regression(metrics=["mae"]), regression(metrics=["mae"])
    history = model.fit(x, y, batch_size=4, shuffle=False, verbose=0).history
    parts = [other.train_on_batch(x[i : i + 4], y[i : i + 4]) for i in (0, 4, 8)]
    np.testing.assert_allclose(history["loss"][0], np.average([p[0] for p in parts], weights=[4, 4, 3]), rtol=1e-14)
    np.testing.assert_allclose(history["mae"][0], np.average([p[1] for p in parts], weights=[4, 4, 3]), rtol=1e-14)
    assert same_weights(model, other)


# ---- the calls for one batch --------------------------------------------------------------------------


def test_train_on_batch_is_a_step_of_fit(optimizer):
    ours, name, hyper = optimizer
    x, y, weight = rows(10, 4), rows(10, 1), np.linspace(1, 2, 10)
    model = regression(optimizer=ours)
    peer = Reference(model, "mean_squared_error", name, **hyper)
    for i in (0, 3, 6):  # batches of 3, 3 and 4 rows
        stop = 10 if i == 6 else i + 3
        value = model.train_on_batch(x[i:stop], y[i:stop], weight[i:stop])
        np.testing.assert_allclose(value, peer.step(x[i:stop], y[i:stop], weight[i:stop]), rtol=1e-12)
    peer.assert_same(model, rtol=1e-10)
    assert model.optimizer.iterations == 3


def test_train_on_batch_takes_class_weight_and_returns_a_dictionary():
    x, y = rows(10, 4), classes(10, 2)
    model, other = (network(3, 2) for _ in range(2))
    for one in (model, other):
        one.compile("sgd", fn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    result = model.train_on_batch(x, y, class_weight={0: 1, 1: 3}, return_dict=True)
    other.fit(x, y, batch_size=10, shuffle=False, sample_weight=np.where(y > 0, 3, 1), verbose=0)
    assert same_weights(model, other)
    assert result == {"loss": other.history.history["loss"][0], "accuracy": other.history.history["accuracy"][0]}


def test_test_on_batch_and_predict_on_batch():
    x, y, weight = rows(6, 4), rows(6, 1), np.arange(6.0)
    model = regression(metrics=["mse"])
    assert model.test_on_batch(x, y, weight) == model.evaluate(x, y, sample_weight=weight)
    assert model.test_on_batch(x, y, return_dict=True) == model.evaluate(x, y, return_dict=True)
    assert np.array_equal(model.predict_on_batch(x), model.predict(x))


def test_predict_does_not_depend_on_the_batch_size():
    x = rows(37, 4)
    for dtype in ("float32", "float64"):
        model = network(9, 3, dtype=dtype)
        whole = model.predict(x)
        assert whole.shape == (37, 3) and whole.dtype == dtype
        for size in (1, 2, 8, 36, 37, 1000):
            assert np.array_equal(model.predict(x, batch_size=size), whole), size
        assert np.array_equal(model(x), whole)
        assert np.array_equal(model.predict(x[5:6]), whole[5:6])


# ---- learning rates --------------------------------------------------------------------------------------


def test_a_learning_rate_may_be_a_function_of_the_step(optimizer):
    ours, name, hyper = optimizer
    x, y = rows(17, 4), rows(17, 1)
    rate = lambda step: 0.02 / (1 + step)
    ours = type(ours).from_config({**ours.get_config(), "learning_rate": rate})
    model = regression(optimizer=ours, seed=8)
    peer = Reference(model, "mean_squared_error", name, **{**hyper, "learning_rate": rate})
    history = model.fit(x, y, batch_size=4, epochs=3, verbose=0)
    peer.fit(x, y, 4, 3, seed=8)
    peer.assert_same(model, rtol=1e-10)
    np.testing.assert_allclose(history.quantities["learning_rate"], [rate(4), rate(9), rate(14)], rtol=1e-15)
    value = model.train_on_batch(x, y)
    np.testing.assert_allclose(value, peer.step(x, y), rtol=1e-10)
    peer.assert_same(model, rtol=1e-10)


def test_a_learning_rate_is_asked_for_steps_from_0():
    asked = []
    model = regression(optimizer=SGD(lambda step: asked.append(step) or 0.01))
    model.fit(rows(12, 4), rows(12, 1), batch_size=3, epochs=2, verbose=0)
    assert sorted(set(asked)) == list(range(8))
    assert all(isinstance(step, int) for step in asked)


def test_a_learning_rate_may_be_changed_between_fits():
    x, y = rows(12, 4), rows(12, 1)
    model = regression(optimizer=SGD(0.1))
    peer = Reference(model, "mean_squared_error", "sgd", learning_rate=0.1, momentum=0.0, nesterov=False)
    model.fit(x, y, batch_size=5, shuffle=False, verbose=0)
    peer.fit(x, y, 5, 1)
    model.optimizer.learning_rate = peer.hyper["learning_rate"] = 0.003
    model.fit(x, y, batch_size=5, shuffle=False, verbose=0)
    peer.fit(x, y, 5, 1)
    peer.assert_same(model)


def test_more_steps_than_learning_rates_are_computed_at_once():
    """A callable is asked in slices; the slices must join."""
    x, y = rows(1500, 4), rows(1500, 1)
    model, fixed = regression(1, optimizer=SGD(lambda step: 0.01)), regression(1, optimizer=SGD(0.01))
    model.fit(x, y, batch_size=1, verbose=0)
    fixed.fit(x, y, batch_size=1, verbose=0)
    assert model.optimizer.iterations == 1500
    assert same_weights(model, fixed)


# ---- determinism ---------------------------------------------------------------------------------------------


def trained(seed=0, n_threads=None, dtype="float32", sizes=(64, 32, 10), n=700, batch_size=128, **options):
    model = network(*sizes, features=50, seed=seed, dtype=dtype, activation="relu")
    model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"], n_threads=n_threads)
    model.fit(rows(n, 50), classes(n, 10), batch_size=batch_size, epochs=3, verbose=0, **options)
    return model


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_number_of_threads_does_not_change_a_bit(dtype):
    models = [trained(seed=1, n_threads=n, dtype=dtype, validation_split=0.1) for n in (1, 2, 3, None)]
    for other in models[1:]:
        assert same_weights(models[0], other)
        for name, values in models[0].history.history.items():
            assert name == "seconds" or values == other.history.history[name], name
    x = rows(50, 50, seed=9)
    assert len({model.predict(x).tobytes() for model in models}) == 1


def test_another_seed_gives_other_weights_and_another_order():
    a, b = trained(seed=1), trained(seed=2)
    assert not any(np.array_equal(x, y) for x, y in zip(a.get_weights(), b.get_weights()))
    a, b = network(3, seed=1), network(3, seed=2)
    b.set_weights(a.get_weights())
    for model in (a, b):
        model.compile("sgd", "mse")
        model.fit(rows(10, 4), rows(10, 3), batch_size=3, verbose=0)
    assert not same_weights(a, b)


def test_without_a_seed_each_model_is_another():
    a, b = (network(3, seed=None) for _ in range(2))
    assert not same_weights(a, b)


def test_the_orders_of_epochs_are_permutations_and_differ():
    orders = [_core.shuffle(1, epoch, 100) for epoch in range(3)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert len({order.tobytes() for order in orders}) == 3


def test_the_global_random_states_are_left_alone():
    import random

    np.random.seed(7)
    random.seed(7)
    before = str(np.random.get_state()), random.getstate()
    model = regression(seed=None, optimizer="adam")
    model.fit(rows(20, 4), rows(20, 1), epochs=2, verbose=0, validation_split=0.2)
    model.predict(rows(3, 4))
    assert (str(np.random.get_state()), random.getstate()) == before


def test_models_may_be_trained_at_the_same_time():
    """By threads of Python, each with its own model."""

    def train(seed):
        return trained(seed=seed, n_threads=1 + seed % 2)

    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(train, range(8)))
    assert all(same_weights(model, train(seed)) for seed, model in enumerate(together))


# ---- compile ----------------------------------------------------------------------------------------------------


def test_compiling_again_begins_a_new_optimizer_but_keeps_the_weights():
    x, y = rows(10, 4), rows(10, 1)
    model, fresh = regression(optimizer="adam"), regression(optimizer="adam")
    model.fit(x, y, verbose=0)
    fresh.set_weights(model.get_weights())
    model.compile("adam", "mse")
    assert model.optimizer.iterations == 0
    model.fit(x, y, shuffle=False, verbose=0)
    fresh.fit(x, y, shuffle=False, verbose=0)
    assert same_weights(model, fresh)


def test_compiling_again_with_the_same_optimizer_goes_on_with_its_moments():
    x, y = rows(10, 4), rows(10, 1)
    model, through = regression(optimizer="adam"), regression(optimizer="adam")
    for _ in range(3):
        through.fit(x, y, shuffle=False, verbose=0)
        model.fit(x, y, shuffle=False, verbose=0)
        model.compile(model.optimizer, "mse", metrics=["mae"])
    assert model.optimizer.iterations == 3
    assert same_weights(model, through)


@pytest.mark.parametrize("loss", ["mse", "mean_squared_error", "MeanSquaredError", fn.losses.MeanSquaredError,
                                  fn.losses.MeanSquaredError(), ["mse"], {"dense_1": "mse"}])  # fmt: skip
def test_a_loss_may_be_given_in_several_forms(loss):
    x, y = rows(10, 4), rows(10, 1)
    model = regression(loss=loss)
    assert model.evaluate(x, y) == regression().evaluate(x, y)


def test_training_more_epochs_allocates_nothing():
    x, y = rows(40, 4), rows(40, 1)
    model = regression(optimizer="adam", metrics=["mae"])
    model.fit(x, y, batch_size=16, epochs=2, validation_split=0.2, verbose=0)
    before = _core.allocation_count()
    model.fit(x, y, batch_size=16, epochs=1000, validation_split=0.2, verbose=0)
    assert _core.allocation_count() == before
