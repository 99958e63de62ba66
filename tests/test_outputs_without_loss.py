"""Outputs without a loss, ``loss=["mse", None]``: they have no targets, but their layers' penalties count, as in Keras.

The numbers are those of Keras 3.15 on its torch backend, with the weights of `wave` and a step of SGD(1.0).
"""

import numpy as np
import pytest
from networks import rejects, same_weights
from test_unused_penalties import X, Y, assert_weights, begin

import fastnet as fn
from fastnet.regularizers import L2


def two(activity=None, kernel=None, dtype="float64"):
    x = fn.Input((2,))
    hidden = fn.layers.Dense(3, name="h")(x)
    b = fn.layers.Dense(2, name="b", activity_regularizer=activity, kernel_regularizer=kernel)(hidden)
    return fn.Model(x, [fn.layers.Dense(1, name="a")(hidden), b], dtype=dtype)


ALONE = [[0.21850591186978724, 0.2716508821943924, 0.11921590014508643], [0.21815416995980647, 0.2712136150697395, 0.11902400112858691],
         [0.10405381803014185, 0.18639835877215116, 0.12768039300254264], [-0.051342602248209135]]  # fmt: skip
DECAYED = [[0.17933956638841309, 0.22295850065048262, 0.09784690613339495], [0.1789878244784323, 0.22252123352582975, 0.09765500711689543],
           [0.0648874725487677, 0.1377059772282414, 0.10631139899085115], [-0.09050894772958329]]  # fmt: skip
#: The penalties of b, the weight decay; the loss, and the first numbers of each weight after the step.
KERAS = {
    "activity": ({"activity": L2(0.1)}, None, 0.19596491754055023, [
        [0.20116125826337244, 0.27101898355280607, 0.13684769912770667], [0.12816312384405043, 0.2689104478234574, 0.21006161912492194],
        *ALONE[2:], [0.3419310118684998, 0.44491671932732313, 0.1537703630249826], [0.28137622800905154, 0.39081931243733764]]),
    "kernel": ({"kernel": L2(0.1)}, None, 0.22725971043109894, [
        *ALONE, [0.31333076385099334, 0.38953905235127806, 0.17095195209353192], [0.3916634548137417, 0.4869238154390976]]),
    "nothing, decay": ({}, 0.1, 0.13993000984191895, [
        *DECAYED, [0.3916634548137417, 0.4869238154390976, 0.2136899401169149], [0.3916634548137417, 0.4869238154390976]]),
    "kernel, decay": ({"kernel": L2(0.1)}, 0.1, 0.22725971043109894, [
        *DECAYED, [0.2741644183696192, 0.3408466708073683, 0.1495829580818404], [0.3916634548137417, 0.4869238154390976]]),
}  # fmt: skip


@pytest.mark.parametrize("case", KERAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_as_keras(case, dtype):
    penalties, decay, loss, weights = KERAS[case]
    model = begin(two(**penalties, dtype=dtype), fn.optimizers.SGD(1.0, weight_decay=decay), ["mse", None])
    for call in (model.evaluate, model.train_on_batch):
        logs = call(X, Y, return_dict=True)
        assert list(logs) == ["loss"]
        assert logs["loss"] == pytest.approx(loss, rel=1e-6)
    assert_weights(model, weights)


@pytest.mark.parametrize(
    "y", [Y, [Y], [Y, None], [Y, "ignored"], {"a": Y}, {"a": Y, "b": None}], ids=["array", "one", "none", "any", "name", "names"]
)
def test_the_forms_of_targets(y):
    """Those that Keras takes."""
    model = begin(two(L2(0.1)), loss=["mse", None])
    assert model.evaluate(X, y) == pytest.approx(0.19596491754055023, rel=1e-6)
    model.fit(X, y, epochs=2, verbose=0, validation_split=0.25, sample_weight=np.ones(4))
    assert model.history.history["val_loss"][-1] > 0


def test_names_of_what_is_left():
    x = fn.Input((2,))
    model = fn.Model(x, [fn.layers.Dense(1, name=name)(x) for name in "abc"])
    model.compile("sgd", {"a": "mse", "b": None, "c": "mae"}, metrics={"a": ["mae"]})
    logs = model.evaluate(X, {"a": Y, "c": Y}, return_dict=True)
    assert list(logs) == ["loss", "a_loss", "c_loss", "a_mae"]
    assert logs == model.evaluate(X, [Y, Y], return_dict=True) == model.evaluate(X, [Y, None, Y], return_dict=True)


def test_same_bits_for_any_number_of_threads():
    models = [begin(two(L2(0.1), L2(0.1)), "adam", ["mse", None], n_threads) for n_threads in (1, 2, 3)]
    for model in models:
        model.fit(X, Y, batch_size=2, epochs=3, shuffle=False, verbose=0)
        assert same_weights(model, models[0])


def test_a_function_as_the_other_loss():
    def squares(y_true, y_pred):
        error = y_pred - y_true
        return float((error**2).mean()), 2 * error / error.size

    python, engine = (begin(two(), loss=[loss, None]) for loss in (squares, "mse"))
    for model in (python, engine):
        model.fit(X, Y, batch_size=2, epochs=2, shuffle=False, verbose=0)
    for found, expected in zip(python.get_weights(), engine.get_weights()):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(python.evaluate(X, Y), engine.evaluate(X, Y), rtol=1e-12)


def test_the_learning_rate_finder():
    assert len(fn.tuning.find_learning_rate(begin(two(), loss=["mse", None]), X, Y, steps=3, batch_size=2).losses) == 3


@pytest.mark.parametrize(("loss", "metrics", "words"), [
    ([None, None], None, "output 'a' has no loss"),
    ({"a": "mse"}, None, "output 'b' has no loss"),
    (["mse", None], [None, "mae"], "metrics: output 'b' has no loss"),
])  # fmt: skip
def test_what_compile_refuses(loss, metrics, words):
    model = begin(two())
    with rejects(model, ValueError, words):
        model.compile("sgd", loss, metrics=metrics)


@pytest.mark.parametrize(("y", "words"), [
    ([None, Y], ["y['a'] is missing"]),
    ([Y, Y, Y], ["y: expected a list of 2 arrays"]),
    ({"b": Y}, ["y has the keys ['b']"]),
    (Y[:3], ["x has 4 rows"]),
    (None, ["y is missing"]),
])  # fmt: skip
def test_what_fit_refuses(y, words):
    model = begin(two(), loss=["mse", None])
    with rejects(model, (ValueError, TypeError), *words):
        model.fit(X, y, verbose=0)
