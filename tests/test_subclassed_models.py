"""Classes of models with layers of their own and a `call`, and what `training` means in calls."""

import copy
import pickle

import numpy as np
import pytest
from networks import rows

import fastnet as fn
from fastnet import layers

X, Y = rows(24, 3), rows(24, 2)


def rejects(error, words, run, *arguments, **options):
    with pytest.raises(error) as caught:
        run(*arguments, **options)
    for word in words:
        assert word in str(caught.value), caught.value


class ResidualCall(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense, self.drop = layers.Dense(units, "relu"), layers.Dropout(0.2)

    def call(self, x, training=False):
        return x + self.drop(self.dense(x), training=training)


class ScaledByBuild(layers.Layer):
    """Written as for Keras, with build."""

    def build(self, input_shape):
        self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="factor")
        super().build(input_shape)
        self.built = True

    def call(self, inputs):
        return inputs * self.factor


class Network(fn.Model):
    def __init__(self, units=5, **kwargs):
        super().__init__(**kwargs)
        self.out = layers.Dense(2)  # attributes in another order than that of computation
        self.blocks = [layers.Dense(units, "tanh"), ResidualCall(units)]
        self.norm, self.scale, self.drop = layers.BatchNormalization(), ScaledByBuild(), layers.Dropout(0.3)
        self.units = units

    def call(self, inputs, training=None):
        x = inputs
        for block in self.blocks:
            x = block(x)
        x = self.norm(self.scale(x), training=training)
        if training:
            x = self.drop(x, training=training)
        return self.out(x)


def functional(units=5, **kwargs):
    """The same network by calls of layers."""
    x = inputs = fn.Input((3,))
    x = ResidualCall(units)(layers.Dense(units, "tanh")(x))
    x = layers.BatchNormalization()(ScaledByBuild()(x))
    return fn.Model(inputs, layers.Dense(2)(layers.Dropout(0.3)(x)), **kwargs)


def twins():
    """A model of the class and its twin by calls, with the same weights; compiled alike."""
    model, twin = Network(seed=1), functional(seed=1)
    model.build((None, 3))
    by_name = {(w.layer.path.split("/")[-1].rstrip("_0123456789"), w.name, w.shape): w for w in twin.weights}
    for weight in model.weights:
        weight.assign(by_name[weight.layer.path.split("/")[-1].rstrip("_0123456789"), weight.name, weight.shape].array)
    for one in (model, twin):
        one.compile("adam", "mse", metrics=["mae"])
    return model, twin


def test_it_trains_as_the_same_network_by_calls():
    model, twin = twins()
    histories = [one.fit(X, Y, batch_size=8, epochs=3, validation_split=0.25, verbose=0).history for one in (model, twin)]
    assert {**histories[0], "seconds": 0} == {**histories[1], "seconds": 0}
    assert np.array_equal(model.predict(X), twin.predict(X)) and model.evaluate(X, Y) == twin.evaluate(X, Y)


def test_layers_and_weights_are_in_the_order_of_attributes():
    model = Network(seed=0)
    assert not model.built and [type(layer).__name__ for layer in model.layers][0] == "Dense"
    model.build((None, 3))
    names = [layer.name for layer in model.layers]
    assert (
        names == ["dense", "dense_1", "residual_call", "batch_normalization", "scaled_by_build", "dropout"]
        and model.layers[0] is model.out
    )
    assert model.weights[0].path == "dense/kernel" and model.get_layer("residual_call") is model.blocks[1]
    lines = []
    model.summary(print_fn=lines.append)
    assert "ResidualCall" in lines[0] and "Network" not in lines[0].split("\n")[2]


def test_it_is_traced_once():
    calls = []

    class Counted(fn.Model):
        def __init__(self):
            super().__init__(seed=0)
            self.dense = layers.Dense(2)

        def call(self, x):
            calls.append(x.shape)
            return self.dense(x)

    model = Counted()
    model.compile("sgd", "mse")
    model.fit(X, Y, epochs=2, verbose=0)
    assert np.array_equal(model(X), model.predict(X)) and calls == [(None, 3)]
    model.dense = layers.Dense(2, "relu")  # another layer is not passed over
    assert (model.predict(X) >= 0).all() and calls == [(None, 3)] * 2


@pytest.mark.parametrize("inputs", [{"a": X, "b": Y}, [X, Y], (X, Y)], ids=["dictionary", "list", "tuple"])
def test_several_inputs_come_as_the_data_do(inputs):
    class Joined(fn.Model):
        def __init__(self):
            super().__init__(seed=0)
            self.dense = layers.Dense(2)

        def call(self, inputs):
            a, b = (inputs["a"], inputs["b"]) if isinstance(inputs, dict) else inputs
            return self.dense(a) + b

    model = Joined()
    model.compile("sgd", "mse")
    model.fit(inputs, Y, verbose=0)
    expected = X @ model.dense.kernel + model.dense.bias + Y
    assert np.allclose(model.predict(inputs), expected, atol=1e-6)


def test_within_another_model():
    inner = Network(seed=0)
    outer = fn.Sequential([fn.Input((3,)), inner, layers.Dense(1)], seed=1)
    assert inner.built
    outer.compile("adam", "mse")
    outer.fit(X, Y[:, :1], verbose=0)
    tensor = fn.Input((3,))
    assert np.array_equal(fn.Model(tensor, inner(tensor, training=False)).predict(X), inner.predict(X))

    class Outer(fn.Model):
        def __init__(self):
            super().__init__(seed=0)
            self.inner, self.head = Network(4), layers.Dense(1)

        def call(self, x, training=None):
            return self.head(self.inner(x, training=training))

    model = Outer()
    model.compile("adam", "mse")
    model.fit(X, Y[:, :1], verbose=0)
    assert [layer.name for layer in model.layers] == ["network", "dense"] and len(model.weights) == 13


def test_saved_and_loaded_without_the_class(tmp_path):
    model, _ = twins()
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "a.safetensors")
    again = fn.load_model(tmp_path / "a.safetensors", {"ResidualCall": ResidualCall, "ScaledByBuild": ScaledByBuild})
    assert np.array_equal(again.predict(X), model.predict(X)) and type(again) is fn.Model
    other = Network(seed=7)
    other.build((None, 3))
    other.load_weights(tmp_path / "a.safetensors")
    assert np.array_equal(other.predict(X), model.predict(X))


@pytest.mark.parametrize("way", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["deepcopy", "pickle"])
def test_a_copy_is_of_the_class_and_goes_on(way):
    model, _ = twins()
    assert way(Network(seed=3)).units == 5 and not way(Network(seed=3)).built
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    again = way(model)
    assert type(again) is Network and again.units == 5 and again.blocks[1] is not model.blocks[1]
    for one in (model, again):
        one.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    assert [a.tobytes() for a in model.get_weights()] == [a.tobytes() for a in again.get_weights()]


def test_a_copy_that_would_not_share_is_refused():
    class Both(fn.Model):
        def __init__(self):
            super().__init__(seed=0)
            self.dense = layers.Dense(3)
            self.part = fn.Sequential([self.dense])

        def call(self, x):
            return self.part(self.dense(x))

    model = Both()
    model.predict(X)
    rejects(ValueError, ["would not share"], copy.deepcopy, model)


# ---- training ---------------------------------------------------------------------------------------------


def test_training_of_a_call_says_what_layers_do():
    tensor = fn.Input((3,))
    drop, norm = layers.Dropout(0.5), layers.BatchNormalization()
    off = fn.Model(tensor, norm(drop(tensor, training=False), training=False), seed=0, dtype="float64")
    norm.moving_mean[...], norm.moving_variance[...] = [1, 2, 3], [4, 1, 0.25]
    expected = (X - [1, 2, 3]) / np.sqrt(np.array([4, 1, 0.25]) + 1e-3)
    assert np.allclose(off.forward(X), expected) and np.allclose(off.predict(X), expected)
    off.compile("sgd", "mse")
    off.fit(X, X, verbose=0)
    assert norm.moving_mean.tolist() == [1, 2, 3] and (norm.gamma != 1).all()  # as in Keras: the statistics alone are left
    again = fn.Model.from_config(off.get_config())
    again.set_weights(off.get_weights())
    assert np.array_equal(again.forward(X), off.forward(X)) and np.array_equal(off.forward(X), off.predict(X))


def test_training_is_handed_on_where_it_is_not_said():
    class Inner(layers.Layer):
        seen = []

        def call(self, x, training=None):
            self.seen.append(training)
            return x + 1

    class Outer(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def call(self, x, training=None):
            return self.inner(x)

    fn.Model(tensor := fn.Input((3,)), Outer()(tensor))
    assert Inner.seen == [True, False]


def different(x, training=None):
    return x[:, :1] if training else x


BAD = {
    "a call that differs": (lambda: made(different).predict(X), NotImplementedError, ["training=True", "training=False"]),
    "noise in predictions": (
        lambda: layers.Dropout(0.5)(fn.Input((3,)), training=True),
        NotImplementedError,
        ["training=True", "forward"],
    ),
    "no truth": (lambda: layers.Dropout(0.5)(fn.Input((3,)), training="yes"), TypeError, ["training", "'yes'"]),
    "no tensor": (lambda: made(lambda x, _: 3).predict(X), TypeError, ["what the call of model", "3"]),
    "a layer made in the call": (lambda: made(lambda x, _: layers.Dense(2)(x)).predict(X), ValueError, ["attribute"]),
    "nothing at all": (lambda: fn.Model(), TypeError, ["inputs and outputs", "call"]),
    "both": (lambda: made(different, fn.Input((3,)), fn.Input((3,))), TypeError, ["either"]),
    "no constructor": (lambda: Forgetful().predict(X), RuntimeError, ["Forgetful", "super().__init__()"]),
    "another shape": (lambda: made(lambda x, _: x + 1).build(7), ValueError, ["input_shape", "7"]),
}


class Forgetful(fn.Model):
    def __init__(self):
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(x)


def made(function, *arguments):
    return type("Made", (fn.Model,), {"call": lambda self, x, training=None: function(x, training)})(*arguments)


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said(case):
    run, error, words = BAD[case]
    rejects(error, words, run)


def test_data_that_do_not_fit_leave_a_model_unbuilt():
    model = Network(seed=0)
    model.compile("sgd", "mse")
    rejects(ValueError, ["y has"], model.fit, X, rows(5, 2), verbose=0)
    assert not model.built and not model.weights
    model.fit(rows(24, 4), Y, verbose=0)
    assert model.inputs[0].shape == (None, 4)


def test_compiled_without_a_loss():
    """What is predicted with, or adds to the loss itself, needs none; training without any says so."""
    model = fn.Sequential([fn.Input((3,)), layers.Dense(2)], seed=0)
    model.compile("adam")
    assert model.predict(X).shape == (24, 2) and model.optimizer.iterations == 0
    rejects(ValueError, ["compile needs a loss"], model.fit, X, Y, verbose=0)
    rejects(ValueError, ["compile needs a loss"], model.evaluate, X, Y)


# ---- losses of one's own, and masks ---------------------------------------------------------------------------------


class OwnLoss(fn.Model):
    def __init__(self):
        super().__init__(seed=0)
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        size = fn.ops.sum(x**2 * fn.ops.mean(y_pred, axis=-1, keepdims=True), axis=-1)
        return fn.ops.mean((y - y_pred) ** 2, axis=-1) + 0.1 * size


def test_compute_loss_is_what_is_trained_with(tmp_path):
    """Against NumPy: the loss of all rows, and a step of descent by finite differences."""
    model = OwnLoss()
    model.compile(fn.optimizers.SGD(0.1))

    def loss(kernel, bias):
        y = X.astype(np.float64) @ kernel + bias
        return np.mean(((Y - y) ** 2).mean(axis=1) + 0.1 * (X**2).sum(axis=1) * y.mean(axis=1))

    model.build((None, 3))
    kernel, bias = (weight.astype(np.float64) for weight in model.get_weights())
    assert model.evaluate(X, Y) == pytest.approx(loss(kernel, bias), rel=1e-5)
    model.train_on_batch(X, Y)
    slope = np.zeros_like(kernel)
    for at in np.ndindex(kernel.shape):
        step = np.zeros_like(kernel)
        step[at] = 1e-5
        slope[at] = (loss(kernel + step, bias) - loss(kernel - step, bias)) / 2e-5
    assert np.allclose(model.get_weights()[0], kernel - 0.1 * slope, atol=1e-5)
    again = copy.deepcopy(model)
    for one in (model, again):
        one.fit(X, Y, batch_size=8, verbose=0)
    assert np.array_equal(model.predict(X), again.predict(X))
    assert pickle.loads(pickle.dumps(model)).evaluate(X, Y) == model.evaluate(X, Y)


def test_compute_loss_may_add_to_that_of_compile():
    class Twice(OwnLoss):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return 2 * super(OwnLoss, self).compute_loss(x, y, y_pred, sample_weight)

    model = Twice()
    model.compile("sgd", lambda y, y_pred: fn.ops.mean(fn.ops.abs(y - y_pred), axis=-1))
    assert model.evaluate(X, Y) == pytest.approx(2 * np.abs(model.predict(X) - Y).mean(), rel=1e-5)
    model.compile("sgd", "mse")
    rejects(ValueError, ["Twice.compute_loss", "fastnet.ops", "'mse'"], model.fit, X, Y, verbose=0)

    class Numbers(OwnLoss):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return np.mean((y - y_pred) ** 2)

    model = Numbers()
    model.compile("sgd")
    rejects(ValueError, ["Numbers.compute_loss", "fastnet.ops", "number for each row"], model.fit, X, Y, verbose=0)


@pytest.mark.parametrize("method", ["predict_step", "make_train_function", "make_test_function", "make_predict_function"])
def test_steps_that_would_never_be_made_are_refused(method):
    with pytest.raises(TypeError, match=rf"{method} would never be called.*train_step and test_step"):
        type("Own", (fn.Model,), {method: lambda self, data: {}})
    with pytest.raises(TypeError, match="one after another: derive from fn.Model"):
        type("Own", (fn.Sequential,), {"call": lambda self, x: x})


class MeanOfSteps(layers.Layer):
    def call(self, x, mask=None):
        if mask is None:
            return fn.ops.mean(x, axis=1)
        mask = fn.ops.expand_dims(mask, -1)
        return fn.ops.sum(x * mask, axis=1) / fn.ops.sum(mask, axis=1)


class DoubledSteps(layers.Layer):
    def call(self, x):
        return x * 2

    def compute_mask(self, inputs, mask=None):
        return mask


class ChosenSteps(layers.Layer):
    def call(self, a, b, mask=None):
        return a * fn.ops.expand_dims(mask[0], -1) + b


def test_masks_are_given_to_calls_that_ask_for_them():
    tokens, x = np.array([[1, 2, 0, 0, 0], [3, 4, 5, 6, 1]]), fn.Input((5,))
    embedding = layers.Embedding(7, 3, mask_zero=True)
    h = embedding(x)
    model = fn.Model(
        x, [MeanOfSteps()(DoubledSteps()(h)), h, MeanOfSteps()(layers.Rescaling(3.0)(h)), ChosenSteps()(h, h)], seed=0
    )
    table = np.asarray(embedding.embeddings)
    found = model.predict(tokens)
    masked = np.stack([table[[1, 2]].mean(axis=0), table[[3, 4, 5, 6, 1]].mean(axis=0)])
    assert np.allclose(found[0], 2 * masked, atol=1e-6) and np.allclose(found[2], 3 * masked, atol=1e-6)
    assert np.allclose(found[3], table[tokens] * (1 + (tokens != 0)[..., None]), atol=1e-6)
    plain = fn.Model(y := fn.Input((5, 3)), MeanOfSteps()(y))
    assert np.allclose(plain.predict(table[tokens]), table[tokens].mean(axis=1), atol=1e-6)
