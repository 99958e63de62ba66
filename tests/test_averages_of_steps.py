"""Averages of weights that the optimizers of a `TrainStep` keep, and steps that go on from a file."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastnet as fn
from fastnet._steppers import SequenceStepper

ops = fn.ops
X = np.random.default_rng(0).normal(size=(32, 4))


def make(n_threads=None, seed=3, dtype="float64", **options):
    """A generator and a critic in alternation: the step and both models."""
    first = fn.Sequential(
        [fn.Input((4,)), fn.layers.Dense(5, "tanh"), fn.layers.Dropout(0.2), fn.layers.Dense(4)], seed=1, dtype=dtype
    )
    second = fn.Sequential([fn.Input((4,)), fn.layers.Dense(6, "tanh"), fn.layers.Dense(1)], seed=2, dtype=dtype)

    def function(x):
        made = first(x)
        return {
            "second": (ops.mean((second(x) - 1) ** 2 + second(made) ** 2, axis=-1), second),
            "first": (ops.mean((second(made) - 1) ** 2, axis=-1), first),
        }

    step = fn.TrainStep(function, [(4,)], seed=seed, dtype=dtype)
    rate = fn.schedules.CosineDecay(0.05, 40)
    step.compile(
        {"second": fn.optimizers.SGD(0.1, momentum=0.9, clipnorm=0.5), "first": fn.optimizers.Adam(rate, **options)},
        n_threads=n_threads,
    )
    return step, first, second


def bits(*models):
    return b"".join(weight.tobytes() for model in models for weight in model.get_weights())


@pytest.mark.parametrize(
    "options", [{"use_ema": True, "ema_momentum": 0.7}, {"swa_start": 2, "swa_period": 2}], ids=["ema", "swa"]
)
def test_models_predict_by_averages_that_follow_the_steps(options):
    """The recursion in NumPy, over the weights after each step; what has none predicts by its weights."""
    step, first, second = make(**options)
    plain, first_alone, second_alone = make()
    average = None
    for i in range(6):
        first.predict(X)  # by a plan that was made before there are averages
        step.train_on_batch(X)
        plain.train_on_batch(X)
        assert bits(first, second) == bits(first_alone, second_alone)  # averaging changes no training
        weights = first.get_weights()
        if "use_ema" in options:
            average = weights if average is None else [0.7 * a + 0.3 * w for a, w in zip(average, weights)]
        elif i >= 2 and (i - 2) % 2 == 0:
            n = (i - 2) // 2
            average = weights if n == 0 else [a + (w - a) / (n + 1) for a, w in zip(average, weights)]
        found, other = first.predict(X), fn.models.clone_model(first)
        other.set_weights(average if average is not None else weights)
        np.testing.assert_allclose(found, other.predict(X), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(second.predict(X), second_alone.predict(X))
    whole = fn.Model(first.inputs, second(first.outputs[0]), dtype="float64")  # one that is made later
    np.testing.assert_allclose(whole.predict(X), second.predict(first.predict(X)), rtol=1e-12)
    losses = step.evaluate(X, return_dict=True)
    assert losses["first"] == pytest.approx(np.mean((second.predict(first.predict(X)) - 1) ** 2), rel=1e-9)


def test_averages_end_where_something_else_trains_or_sets_the_weights():
    step, first, _ = make(use_ema=True, ema_momentum=0.9)
    plain = fn.models.clone_model(first)

    def by_weights():
        plain.set_weights(first.get_weights())
        return np.array_equal(first.predict(X), plain.predict(X))

    step.fit(X, batch_size=8, verbose=0)
    assert not by_weights()
    first.set_weights(first.get_weights())
    assert by_weights()
    step.train_on_batch(X)
    step.train_on_batch(X)
    assert not by_weights()
    first.compile("sgd", "mse")
    first.train_on_batch(X, X)
    assert by_weights()
    first.compile(fn.optimizers.SGD(0.1, use_ema=True), "mse")
    first.fit(X, X, verbose=0, epochs=2)
    assert not by_weights()
    step.compile({"second": "sgd", "first": "sgd"})
    step.train_on_batch(X)
    step.train_on_batch(X)
    assert by_weights()  # not by an average from before these steps


@pytest.mark.parametrize("n_threads", [1, 2])
def test_checkpoints_have_the_averages(n_threads, tmp_path):
    options = {"use_ema": True, "ema_momentum": 0.7}

    def train(epochs, threads, **more):
        step, first, second = make(threads, **options)
        callbacks = [fn.callbacks.TrainingCheckpoint(tmp_path / "state", every_steps=3)]
        step.fit(X, batch_size=8, epochs=epochs, verbose=0, callbacks=callbacks, **more)
        return bits(first, second), first.predict(X).tobytes()

    whole = train(4, 1)
    train(2, n_threads)
    assert train(4, n_threads, resume_from=tmp_path / "state") == whole


def test_the_best_epoch_is_that_of_the_averages():
    """EarlyStopping puts back what the best loss was computed with, and what it was trained from."""
    step, first, second = make(use_ema=True, ema_momentum=0.9)
    stopping = fn.callbacks.EarlyStopping("val_first", patience=2, restore_best_weights=True, mode="min")
    history = step.fit(X, batch_size=8, epochs=40, validation_data=X[:9], verbose=0, callbacks=[stopping]).history
    assert 2 < len(history["val_first"]) < 40 and min(history["val_first"]) < history["val_first"][-1]
    assert step.evaluate(X[:9], return_dict=True)["first"] == min(history["val_first"])
    trained = fn.models.clone_model(first)
    trained.set_weights(first.get_weights())
    assert not np.array_equal(trained.predict(X), first.predict(X))


@pytest.mark.parametrize(
    "options", [{}, {"use_ema": True}, {"gradient_accumulation_steps": 2}], ids=["plain", "ema", "accumulation"]
)
def test_a_step_goes_on_from_its_file(options, tmp_path):
    """In a step that is made anew: batches, epochs in an order of their own, dropout, schedules, averages."""
    path = tmp_path / "step.safetensors"

    def go_on(made):
        step, first, second = made
        losses = [
            step.train_on_batch(X[:8]),
            step.fit(X, batch_size=8, epochs=2, verbose=0).history["first"],
            step.train_on_batch(X),
        ]
        return losses, bits(first, second), first.predict(X).tobytes(), step.optimizers["first"].iterations

    made = make(**options)
    made[0].fit(X, batch_size=8, epochs=1, verbose=0)
    made[0].train_on_batch(X[:5])
    made[0].save_state(path)
    expected = go_on(made)
    again = make(seed=9, n_threads=2, **options)  # the seed is that of the file
    again[0].train_on_batch(X)
    again[0].load_state(path)
    assert go_on(again) == expected
    again[0].load_state(path)
    assert go_on(again) == expected


def test_files_of_other_steps_are_refused(tmp_path):
    """And leave all as it was."""
    path = tmp_path / "step.safetensors"
    step, first, second = make()
    step.train_on_batch(X)
    step.save_state(path)
    before = bits(first, second)
    for other in (make(amsgrad=True), make(dtype="float32")):
        kept = bits(*other[1:])
        with pytest.raises(ValueError, match=r"step\.safetensors"):
            other[0].load_state(path)
        assert bits(*other[1:]) == kept
    step.compile({"second": "sgd", "first": "sgd"})
    with pytest.raises(ValueError, match="written by a step with optimizers .*Adam.*, this one has .*SGD"):
        step.load_state(path)
    step.compile({"second": "sgd", "first": "adam"}, every={"first": 2})
    with pytest.raises(ValueError, match=r"with every \[1, 1\], this one has \[1, 2\]"):
        step.load_state(path)
    first.save(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="train_step"):
        step.load_state(tmp_path / "model.safetensors")
    assert bits(first, second) == before
    with pytest.raises(RuntimeError, match="compiled first"):
        fn.TrainStep(lambda x: {"a": (first(x) ** 2 @ np.ones(4), first)}, [(4,)], dtype="float64").save_state(path)


def test_sums_of_an_epoch_do_not_depend_on_the_time_it_takes(monkeypatch):
    """A call of the engine ends after some time: losses and norms are summed on from where it ended, in the same order."""
    found, run = set(), SequenceStepper.run
    for batches in (2, 3, 4, 100):
        monkeypatch.setattr(
            SequenceStepper, "run", lambda self, fit, state, order, steps, n=batches: run(self, fit, state, order, n)
        )
        step, _, _ = make()
        quantities = step.fit(X, batch_size=3, epochs=8, verbose=0).quantities
        found.add(repr({name: values for name, values in quantities.items() if name != "seconds"}))
    assert len(found) == 1


WAYS = {"pickle": lambda model: pickle.loads(pickle.dumps(model)), "deepcopy": copy.deepcopy, "copy": copy.copy}


class Whole(fn.Model):
    """A model of a class of one's own, around another one."""

    def __init__(self, inner):
        super().__init__(seed=0, dtype="float64")
        self.inner, self.last = inner, fn.layers.Dense(2)

    def call(self, x):
        return self.last(self.inner(x))


def of_class(first, second):
    model = Whole(first)
    model.build((None, 4))
    return model


def compiled(first, second):
    """By an optimizer with averages of its own, of another layer."""
    first.layers[0].trainable = False
    first.compile(fn.optimizers.SGD(0.1, use_ema=True), "mse")
    first.fit(X, X, verbose=0, epochs=2)
    first.layers[0].trainable = True
    return first


COPIED = {
    "the model": lambda first, second: first,
    "another one without averages": lambda first, second: second,
    "one that it is within": lambda first, second: fn.Model(first.inputs, second(first.outputs[0]), dtype="float64"),
    "one of a class": of_class,
    "one that was trained besides": compiled,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", COPIED)
def test_copies_predict_by_the_averages(name, way):
    """And have the trained weights, as those of a model whose own optimizer averages; the averages end as there."""
    step, first, second = make(use_ema=True, ema_momentum=0.9)
    step.fit(X, batch_size=8, epochs=2, verbose=0)
    model = COPIED[name](first, second)
    plain = copy.deepcopy(model)
    plain.set_weights(model.get_weights())
    assert np.array_equal(plain.predict(X), model.predict(X)) == (model is second)

    def around(one):
        """The predictions of another model that has the weights."""
        x = fn.Input((4,))
        return fn.Model(x, one(x), dtype="float64").predict(X)

    expected, within, weights = model.predict(X), around(model), bits(model)
    made = WAYS[way](model)
    again = WAYS[way](made)
    for one in (made, again):
        assert np.array_equal(one.predict(X), expected) and bits(one) == weights
        assert np.array_equal(around(one), within)
    made.set_weights(made.get_weights())
    assert np.array_equal(made.predict(X), plain.predict(X))
    again.compile("sgd", "mse")
    plain.compile("sgd", "mse")
    target = X[:, : expected.shape[1]]
    for one in (again, plain):
        one.fit(X, target, verbose=0, shuffle=False)
    assert bits(again) == bits(plain) and np.array_equal(again.predict(X), plain.predict(X))
    step.train_on_batch(X)
    assert model is second or not np.array_equal(model.predict(X), expected)
    assert np.array_equal(WAYS[way](model).predict(X), model.predict(X))


def test_what_is_written_to_a_copy_ends_its_averages():
    """By way of a view as well; and it begins averages of its own from the trained weights."""
    step, first, _ = make(use_ema=True, ema_momentum=0.9)
    step.fit(X, batch_size=8, epochs=2, verbose=0)
    made = copy.deepcopy(first)
    weights = made.get_weights()
    for layer in made.layers:
        for weight in layer.weights:
            weight.value[...] += 1
    plain = fn.models.clone_model(first)
    plain.set_weights([array + 1 for array in weights])
    assert np.array_equal(made.predict(X), plain.predict(X))
    made = copy.deepcopy(first)
    plain.set_weights(weights)
    found = []
    for one in (made, plain):
        step = fn.TrainStep(lambda x, one=one: {"l": (ops.mean(one(x) ** 2, axis=-1), one)}, [(4,)], seed=5, dtype="float64")
        step.compile({"l": fn.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)})
        step.fit(X, batch_size=8, epochs=2, verbose=0)
        found.append((bits(one), one.predict(X).tobytes()))
    assert found[0] == found[1]


@pytest.mark.parametrize("pool", [False, True])
def test_averages_of_frozen_weights_outlast_training_by_a_pool(pool):
    """Of weights that fit_many does not train, wherever that is done."""

    def predictions(pool):
        step, first, _ = make(use_ema=True, ema_momentum=0.9)
        step.fit(X, batch_size=8, epochs=2, verbose=0)
        first.layers[0].trainable = False
        first.compile("sgd", "mse")
        if pool:
            with ThreadPoolExecutor(1) as executor:
                fn.fit_many([first], X, X, epochs=2, executor=executor)
        else:
            first.fit(X, X, epochs=2, verbose=0)
        plain = fn.models.clone_model(first)
        plain.set_weights(first.get_weights())
        assert not np.array_equal(plain.predict(X), first.predict(X))
        return first.predict(X), bits(first)

    (found, weights), (expected, others) = predictions(pool), predictions(False)
    assert np.array_equal(found, expected) and weights == others
