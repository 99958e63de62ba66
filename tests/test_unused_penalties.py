"""Penalties of what no output of the model needs: as in Keras, a layer between its inputs and outputs counts as a whole.

The numbers are those of Keras 3.15 on its torch backend, with the weights of `wave` and a step of SGD(1.0).
"""

import numpy as np
import pytest
from networks import same_weights

import fastnet as fn
from fastnet.regularizers import L2

Dense, Input = fn.layers.Dense, fn.Input


def wave(*shape, by=0.7):
    return np.sin(by * np.arange(1, 1 + np.prod(shape))).reshape(shape)


X, SERIES, Y = wave(4, 2), wave(4, 3, 2), wave(4, 1, by=0.3)


def states(name, used=0, **options):
    x = Input((3, 2))
    outputs = getattr(fn.layers, name)(2, return_state=True, activity_regularizer=L2(0.1), **options)(x)
    return fn.Model(x, Dense(1)(outputs[used]), dtype="float64")


def two_heads(hidden):
    return [Dense(2)(hidden), Dense(2, activity_regularizer=L2(0.1), kernel_regularizer=L2(0.2))(hidden)]


def nested():
    """Of a model in the place of a layer, one output is used."""
    x, inner = Input((2,)), Input((2,))
    part = fn.Model(inner, two_heads(Dense(3)(inner)), dtype="float64")
    return fn.Model(x, Dense(1)(part(x)[0]), dtype="float64")


class Block(fn.layers.Layer):
    """A layer that computes something for its penalty alone."""

    def __init__(self, **options):
        super().__init__(**options)
        self.p = Dense(2)
        self.q = Dense(2, activity_regularizer=L2(0.1), kernel_regularizer=L2(0.2))

    def call(self, x):
        self.q(x)
        return self.p(x)


def block():
    x = Input((2,))
    return fn.Model(x, Dense(1)(Block()(x)), dtype="float64")


def dangling():
    """What does not lead to an output is no part of the model, in Keras either."""
    x = Input((2,))
    hidden = Dense(3)(x)
    output = Dense(1)(hidden)
    Dense(2, activity_regularizer=L2(0.1))(hidden)
    return fn.Model(x, output, dtype="float64")


#: The model, x, the loss, and the first numbers of each weight after the step, in the order of the model.
KERAS = {
    "lstm": (lambda: states("LSTM"), SERIES, 0.2764529585838318, [
        [0.36964685058931623, 0.4686713831565643, 0.2078311679558046], [0.39394456058700617, 0.4930723105328755, 0.2229425339402576],
        [0.37304600589911463, 0.4541985544225202, 0.18266325212031514], [0.24460140649773982, 0.33024640543257444],
        [1.2077073460566825]]),
    "gru": (lambda: states("GRU"), SERIES, 0.2705533802509308, [
        [0.4247492035546071, 0.5186738873585497, 0.2166498462115392], [0.39475045950363885, 0.4911187105652536, 0.2133406092856456],
        [0.42320438610640454, 0.5201899003680883, 0.20877286402511053], [0.13306837563016322, 0.3555589483479187],
        [1.2688211692619151]]),
    "only the cell": (lambda: states("LSTM", 2, return_sequences=True), SERIES, 0.48081228137016296, [
        [0.33077958823449344, 0.4387808102480671, 0.1983197270424192], [0.39764582051022995, 0.5039244011551911, 0.2403855474882445],
        [0.34013568101180963, 0.39955374036176794, 0.12620938764044876], [-0.11593572016260717, 0.036235155294291665],
        [1.5657314626622025]]),
    "nested": (nested, X, 0.37929004430770874, [
        [0.19316902045705225, 0.4974450960183665, 0.40740348591617026], [0.14724214315959122, 0.49412874049843847, 0.45483731205722966],
        [0.2992538440654507, 0.3720383585790321, 0.13687391027024665], [0.23677110845767763, 0.2943585782671496],
        [0.18526562994300308, 0.2501471931516841, 0.06829438697821663], [0.28137622800905154, 0.39081931243733764],
        [0.10630660538175013, 0.2259163276652023], [-0.003809596772211099]]),
    "block": (block, X, 0.4376329481601715, [
        [0.101354830307745, 0.12600633663927763, -0.044133348323789456], [0.2691684312800398, 0.3346355480501577],
        [0.16779027452646675, 0.2536390344083026, 0.0716094892872052], [0.311868448828048, 0.38328021596269013],
        [-0.16180751438639257, 0.11936870379244535], [0.07890761514483163]]),
    "dangling": (dangling, X, 0.13993000984191895, [
        [0.21850591186978724, 0.2716508821943924, 0.11921590014508643], [0.21815416995980647, 0.2712136150697395, 0.11902400112858691],
        [0.10405381803014185, 0.18639835877215116, 0.12768039300254264], [-0.051342602248209135]]),
}  # fmt: skip


def begin(model, optimizer=None, loss="mse", n_threads=None):
    model.set_weights([0.5 * wave(*array.shape, by=0.9) for array in model.get_weights()])
    model.compile(optimizer or fn.optimizers.SGD(1.0), loss, n_threads=n_threads)
    return model


def assert_weights(model, expected):
    arrays = model.get_weights()
    assert len(arrays) == len(expected)
    for array, first in zip(arrays, expected):
        np.testing.assert_allclose(array.ravel()[: len(first)], first, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("case", KERAS)
def test_as_keras(case):
    make, x, loss, weights = KERAS[case]
    model = begin(make())
    for found in (model.evaluate(x, Y), model.train_on_batch(x, Y)):
        assert found == pytest.approx(loss, rel=1e-6)
    assert_weights(model, weights)


@pytest.mark.parametrize("case", KERAS)
def test_same_bits_and_the_same_prediction(case):
    """In any number of threads, after saving and loading; predictions do without what is for penalties alone."""
    make, x, _, _ = KERAS[case]
    models = [begin(make(), "adam", n_threads=n_threads) for n_threads in (1, 2, 3)]
    for model in models:
        model.fit(x, Y, batch_size=2, epochs=3, shuffle=False, verbose=0)
        assert same_weights(model, models[0])
        assert model.history.history["loss"] == models[0].history.history["loss"]
    counts = []
    for call in (lambda: model.evaluate(x, Y), lambda: model.predict(x)):
        call()
        counts.append(sum("regularization" in label for label in model._latest_plan().stage_labels()))
    assert counts[0] > counts[1] or case == "dangling"


def test_a_penalty_alone_trains_a_weight_that_nothing_uses():
    """w = (1 - 2 * 0.2 * rate) w in each step, whatever was in its gradient before: steps of their own do not add up."""
    x, inner = Input((2,)), Input((2,))
    kernel = Dense(3, kernel_regularizer=L2(0.2), use_bias=False, name="unused")
    part = fn.Model(inner, [Dense(2)(inner), kernel(inner)], dtype="float64")
    model = fn.Model(x, Dense(1)(part(x)[0]), dtype="float64")
    begin(model, fn.optimizers.SGD(0.1))
    before = kernel.weights[0].value.copy()
    kernel.weights[0].gradient[...] = 100
    model.fit(X, Y, batch_size=2, epochs=4, verbose=0)
    np.testing.assert_allclose(kernel.weights[0].value, before * (1 - 0.04) ** 8, rtol=1e-12)
    bare = model.evaluate(X, Y) - 0.2 * (kernel.weights[0].value ** 2).sum()
    np.testing.assert_allclose(bare, ((model.predict(X) - Y) ** 2).mean(), rtol=1e-12)


def test_an_orthogonal_penalty_of_an_output_that_nothing_uses():
    """The derivative by finite differences; nothing else comes back from there."""
    x, inner = Input((2,)), Input((2,))
    hidden = Dense(3)(inner)
    unused = Dense(3, kernel_regularizer=fn.regularizers.OrthogonalRegularizer(0.3), name="unused")
    part = fn.Model(inner, [Dense(2)(hidden), unused(hidden)], dtype="float64")
    model = begin(fn.Model(x, Dense(1)(part(x)[0]), dtype="float64"))
    kernel = unused.weights[0].value
    kernel[...] = wave(3, 3, by=2.1)
    start, slope = kernel.copy(), np.zeros((3, 3))
    for place in np.ndindex(3, 3):
        kernel[place] += 1e-6
        above = model.evaluate(X, Y)
        kernel[place] -= 2e-6
        slope[place] = (above - model.evaluate(X, Y)) / 2e-6
        kernel[...] = start
    assert abs(slope).max() > 0.003
    model.train_on_batch(X, Y)
    np.testing.assert_allclose(start - kernel, slope, rtol=1e-6, atol=1e-9)


def test_a_penalty_that_needs_another_input_is_none_of_the_model():
    """Keras refuses such a model; fastnet has always made it, of what its output needs."""
    a, b = Input((2,)), Input((2,))
    part_a, part_b = Input((2,)), Input((2,))
    part = fn.Model([part_a, part_b], [Dense(2)(part_a), Dense(2, activity_regularizer=L2(0.1))(part_b)])
    model = begin(fn.Model(a, part([a, b])[0]))
    y = wave(4, 2)
    assert model.evaluate(X, y) == pytest.approx(((model.predict(X) - y) ** 2).mean())
