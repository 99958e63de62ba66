"""Frames whose columns come in another order than in training: they are taken by their names, which the model keeps."""

import copy

import numpy as np
import pandas as pd
import pytest
from networks import rows

import fastnet as fn

X, Y = rows(20, 3), rows(20, 2)
FRAME, TARGETS = pd.DataFrame(X, columns=["age", "size", "rate"]), pd.DataFrame(Y, columns=["low", "high"])
OTHER = ["rate", "age", "size"]


class Polars:
    """A frame as those of polars: a list of names, columns by a list of names, an array."""

    def __init__(self, frame):
        self.frame, self.columns, self.shape = frame, list(frame.columns), frame.shape

    def __getitem__(self, names):
        return Polars(self.frame[names])

    def to_numpy(self):
        return self.frame.to_numpy()


def network(**options):
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(4, "tanh"), fn.layers.Dense(2)], seed=0, **options)
    model.compile("adam", "mse")
    return model


@pytest.fixture(params=[lambda frame: frame, Polars], ids=["pandas", "polars"])
def kind(request):
    return request.param


def test_columns_are_taken_by_name(kind):
    model = network()
    model.fit(kind(FRAME), kind(TARGETS), validation_data=(kind(FRAME[OTHER]), kind(TARGETS[["high", "low"]])), verbose=0)
    other = network()
    history = other.fit(X, Y, validation_data=(X, Y), verbose=0)
    assert model.history.history["val_loss"] == history.history["val_loss"]
    expected = other.predict(X)
    for frame in (FRAME, FRAME[OTHER], FRAME.assign(more=1.0)[["more", *OTHER]]):
        assert np.array_equal(model.predict(kind(frame)), expected)
        assert np.array_equal(model.predict([kind(frame)]), expected) and np.array_equal(
            model.predict_on_batch(kind(frame)), expected
        )
    assert model.evaluate(kind(FRAME[OTHER]), kind(TARGETS[["high", "low"]])) == other.evaluate(X, Y)
    assert np.array_equal(model.predict(X), expected)  # an array has no names
    assert np.array_equal(model.predict(pd.DataFrame(X)), expected)  # nor those that pandas makes
    for one in (model, other):
        one.fit(kind(FRAME[OTHER]) if one is model else X, Y, verbose=0)
    assert np.array_equal(model.predict(X), other.predict(X))


def test_columns_that_are_missing_are_named(kind):
    model = network()
    model.fit(kind(FRAME), Y, verbose=0)
    for call in (model.predict, model.evaluate, model.train_on_batch, model.fit):
        wrong = FRAME.rename(columns={"size": "weight"})
        with pytest.raises(ValueError, match=r"x has no column 'size'.*it has 'weight'.*to_numpy"):
            call(kind(wrong), *([] if call == model.predict else [Y]))


def test_a_model_keeps_them(tmp_path):
    model = network()
    model.fit(FRAME, Y, verbose=0)
    model.save(tmp_path / "a.safetensors")
    loaded = fn.load_model(tmp_path / "a.safetensors")
    for again in (loaded, copy.deepcopy(model), fn.Model.from_config(model.get_config())):
        again.set_weights(model.get_weights())
        assert np.array_equal(again.predict(FRAME[OTHER]), model.predict(X))


def test_several_inputs_and_steps_of_ones_own():
    a, b = fn.Input((3,), name="a"), fn.Input((2,), name="b")
    model = fn.Model([a, b], fn.layers.Dense(2)(fn.layers.Concatenate()([a, b])), seed=0)
    model.compile("sgd", "mse")
    model.train_on_batch({"a": FRAME, "b": TARGETS}, Y)
    expected = model.predict([X, Y])
    assert np.array_equal(model.predict({"a": FRAME[OTHER], "b": TARGETS[["high", "low"]]}), expected)
    assert np.array_equal(model.predict([FRAME[OTHER], Y]), expected)
    with pytest.raises(ValueError, match=r"x\['a'\] has no column 'age'"):
        model.predict([FRAME[["size", "rate"]].assign(extra=0.0), Y])
    inner = network()
    step = fn.TrainStep(lambda x: {"size": (fn.ops.sum(inner(x) ** 2, axis=1), inner)}, [(3,)], seed=0)
    step.compile("sgd")
    step.fit(FRAME, verbose=0)
    assert step.evaluate(FRAME[OTHER]) == step.evaluate(X)


def test_a_call_that_raises_teaches_nothing():
    model = network()
    with pytest.raises(ValueError, match="rows"):
        model.fit(FRAME, Y[:5], verbose=0)
    with pytest.raises(ValueError, match="validation"):
        model.fit(FRAME, Y, validation_data=3, verbose=0)
    model.fit(FRAME[OTHER], Y, verbose=0)
    assert model._columns.known == {"x": OTHER}


def test_names_that_tell_nothing_apart():
    model = network()
    twice = pd.DataFrame(X, columns=["a", "a", "b"])
    model.fit(twice, pd.DataFrame(Y), verbose=0)
    assert model._columns.known == {}
    model.fit(FRAME, pd.Series(Y[:, 0]).to_frame("y").assign(z=1.0), verbose=0)
    assert model._columns.known == {"x": ["age", "size", "rate"], "y": ["y", "z"]}
