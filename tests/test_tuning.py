"""The learning rate range test: what it finds, and that it leaves no trace."""

import subprocess
import sys

import numpy as np
import pytest
from networks import classes, network, regression, rejects, rows
from test_checkpoint import Drop, plain_state

import fastnet as fn
from fastnet.tuning import LearningRates, find_learning_rate


def digits(optimizer, seed=0):
    (x, y), _ = fn.datasets.load_digits()
    model = fn.Sequential([fn.Input((64,)), fn.layers.Dense(32, "relu"), fn.layers.Dense(10)], seed=seed)
    model.compile(optimizer, fn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model, x / 16, y


def trace(model):
    """All that a training would go on from, bit for bit."""
    return (
        [weight.tobytes() for weight in model.get_weights()],
        [slot.tobytes() for slot in model._plans.slots.arrays()],
        plain_state(model.optimizer),
        model.optimizer.learning_rate,
        model._epochs_begun,
        model.history,
        model.stop_training,
    )


@pytest.mark.parametrize("optimizer", ["adam", "sgd", fn.optimizers.SGD(momentum=0.9), "rmsprop", "adagrad"], ids=str)
def test_training_at_the_suggested_rate_works(optimizer):
    """The loss of the third epoch is that at the best of many rates, but for a factor of 2.5 in the mean of three."""
    shares = []
    for seed in range(3):
        model, x, y = digits(optimizer, seed)
        found = find_learning_rate(model, x, y)
        assert len(found.rates) == len(found.losses) == len(found.smoothed) <= 100
        start, losses = model.get_weights(), []
        for rate in (found.suggestion, *np.geomspace(1e-4, 1.0, 9)):
            model.compile(type(model.optimizer).from_config(model.optimizer.get_config()), model._compiled.losses[0])
            model.set_weights(start)
            model.optimizer.learning_rate = float(rate)
            history = model.fit(x, y, epochs=3, verbose=0, callbacks=[fn.callbacks.TerminateOnNaN()])
            losses.append(history.history["loss"][-1] if len(history.epoch) == 3 else 1e9)
        shares.append(losses[0] / min(losses[1:]))
        assert max(losses[1:]) > 5 * min(losses[1:]), "it matters which rate"
    assert np.exp(np.mean(np.log(shares))) < 2.5, shares


def situations():
    accumulating = fn.optimizers.Adam(0.01, gradient_accumulation_steps=3, use_ema=True, lookahead_steps=2)
    for optimizer in ("adam", fn.optimizers.SGD(fn.schedules.CosineDecay(0.1, 9), momentum=0.9), accumulating):
        model = fn.Sequential([fn.Input((4,)), fn.layers.Dense(5, "tanh"), Drop(0.3), fn.layers.Dense(1)], seed=1)
        model.compile(optimizer, "mse")
        yield model, rows(30, 4), rows(30, 1), {}
    model = regression(5, 1, loss=lambda t, p: (float(np.mean((p - t) ** 2)), 2 * (p - t) / p.size))
    yield model, rows(30, 4), rows(30, 1), {"max_rate": 1e3}
    model = network(5, 3)
    model.compile("sgd", fn.losses.SparseCategoricalCrossentropy(from_logits=True))
    weights = {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}, "sample_weight": rows(30, 1)[:, 0] ** 2}
    yield model, rows(30, 4), classes(30, 3), weights
    a, b = fn.Input((4,), name="a"), fn.Input((2,), name="b")
    both = fn.layers.Concatenate()([a, b])
    model = fn.Model([a, b], [fn.layers.Dense(1)(both), fn.layers.Dense(2)(both)], seed=0)
    model.compile("rmsprop", "mse")
    yield model, {"a": rows(30, 4), "b": rows(30, 2)}, [rows(30, 1), rows(30, 2)], {}


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("trained", [False, True])
def test_it_leaves_no_trace(number, trained):
    """What follows has the bits that it would have had without the test."""
    tested, x, y, options = list(situations())[number]
    plain = list(situations())[number][0]
    fit = {
        "batch_size": 8,
        "verbose": 0,
        **{name: options[name] for name in ("class_weight", "sample_weight") if name in options},
    }
    for model in (tested, plain):
        if trained:
            model.fit(x, y, epochs=2, **fit)
            model.optimizer.learning_rate_factor = 0.5
    before = trace(tested)
    found = find_learning_rate(tested, x, y, steps=20, batch_size=8, **options)
    assert trace(tested) == before and len(found.rates) >= 5
    for model in (tested, plain):
        model.fit(x, y, epochs=3, **fit)
    assert trace(tested)[:3] == trace(plain)[:3]
    assert tested.history.history["loss"] == plain.history.history["loss"]


def test_it_leaves_no_trace_when_it_fails():
    class Failure(Exception):
        pass

    calls = []

    def loss(t, p):
        calls.append(1)
        if len(calls) == 7:
            raise Failure
        return float(np.mean((p - t) ** 2)), 2 * (p - t) / p.size

    model = regression(5, 1, optimizer="adam", loss=loss)
    before = trace(model)
    with pytest.raises(Failure):
        find_learning_rate(model, rows(30, 4), rows(30, 1))
    assert trace(model) == before


def test_the_rates_grow_evenly_and_the_losses_are_those_of_the_steps():
    """The same steps, one by one."""
    model, twin = regression(5, 1), regression(5, 1)
    x, y = rows(20, 4), rows(20, 1)
    found = find_learning_rate(model, x, y, 1e-3, 1e-1, steps=9, batch_size=20)
    np.testing.assert_allclose(found.rates, np.geomspace(1e-3, 1e-1, 9), rtol=1e-12)
    for rate, loss in zip(found.rates, found.losses):
        twin.optimizer.learning_rate = float(rate)
        assert twin.train_on_batch(x, y) == pytest.approx(loss, rel=1e-12)


def test_without_a_fall_there_is_no_suggestion():
    model = regression(5, 1)
    found = find_learning_rate(model, rows(20, 4), rows(20, 1), 1e-12, 1e-10, steps=20, batch_size=7)
    assert found.suggestion is None and not found.diverged and len(found.rates) == 20
    rising = LearningRates(np.geomspace(1e-3, 1, 10), np.arange(10.0), True)
    assert rising.suggestion is None and "suggestion none" in repr(rising)
    assert repr(LearningRates(np.array([]), np.array([]), True)) == "<LearningRates: no rates, suggestion none>"


def test_divergence_at_once():
    model = regression(5, 1)
    found = find_learning_rate(model, rows(20, 4), rows(20, 1), 1e250, 1e300, batch_size=5)
    assert found.diverged and found.suggestion is None


def test_the_picture(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    model, x, y = digits("adam")
    found = find_learning_rate(model, x, y)
    figure = found.plot(tmp_path / "rates.png")
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")
    (axis,) = figure.axes
    raw, smooth, suggestion = axis.get_lines()
    assert np.array_equal(raw.get_xdata(), found.rates) and np.array_equal(raw.get_ydata(), found.losses)
    assert np.array_equal(smooth.get_ydata(), found.smoothed) and axis.get_xscale() == "log"
    assert list(suggestion.get_xdata()) == [found.suggestion] * 2
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install fastnet-engine\[plot\]"):
        found.plot()


@pytest.mark.parametrize("options", [{"min_rate": 0}, {"min_rate": 1.0, "max_rate": 0.5}, {"max_rate": np.inf},
                                     {"steps": 1}, {"steps": 2.5}, {"batch_size": 0},
                                     {"batch_size": True}])  # fmt: skip
def test_arguments_that_make_no_sense(options):
    model = regression()
    with rejects(model, ValueError, next(iter(options))):
        find_learning_rate(model, rows(9, 4), rows(9, 1), **options)


def test_a_model_that_is_not_compiled():
    with pytest.raises(RuntimeError, match="must be compiled first"):
        find_learning_rate(network(3, 1), rows(9, 4), rows(9, 1))


def test_an_optimizer_that_needs_no_rate():
    with pytest.raises(ValueError, match="LBFGS searches for the length of each step itself"):
        find_learning_rate(regression(optimizer="lbfgs"), rows(9, 4), rows(9, 1))


def test_importing_it_imports_nothing_more():
    code = "import fastnet.tuning, sys; assert 'matplotlib' not in sys.modules and 'fastnet.diagnosis' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
