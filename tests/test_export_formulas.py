"""Exported steps of training whose losses, or what layers add to them, are written in `fastnet.ops`, beside those of the engine."""

import numpy as np
import pytest
from exports import compile_model
from plans import assert_close

import fastnet as fn
from fastnet.exporting.export import write_model

ops, Dense, Input = fn.ops, fn.layers.Dense, fn.Input
TOLERANCE = {"float32": 3e-5, "float64": 1e-11}


def squares(y_true, y_pred):
    return ops.mean((y_true - y_pred) ** 2 * np.array([1.0, 2.0, 0.5]), axis=-1)


def focal(y_true, y_pred):
    p = ops.sigmoid(y_pred)
    right = y_true * p + (1 - y_true) * (1 - p)
    return -0.25 * (1 - right) ** 2 * ops.log(right)


def labelled(y_true, y_pred):
    return -ops.sum(ops.one_hot(y_true, 3) * ops.log_softmax(y_pred), axis=-1)


class Quantile(fn.losses.Loss):
    def call(self, y_true, y_pred):
        error = y_true - y_pred
        return ops.mean(ops.maximum(0.9 * error, -0.1 * error), axis=-1)


class Penalty(fn.layers.Layer):
    """Adds to the loss, and has a weight."""

    def build(self, input_shape):
        self.gain = self.add_weight((input_shape[-1],), "ones", regularizer="l2", name="gain")

    def call(self, x):
        y = x * self.gain
        self.add_loss(0.1 * ops.sum(ops.exp(-(y**2)), axis=-1))
        return y


class Aside(fn.layers.Layer):
    """What it adds depends on what nothing else reads."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = Dense(2, "tanh")

    def call(self, x):
        self.add_loss(ops.sum(self.dense(x) ** 2, axis=-1))
        return x


def stack(*layers, dtype, outputs=3):
    return fn.Sequential(
        [Input((4,)), fn.layers.Rescaling(0.5, 0.1), Dense(5, "tanh"), *layers, Dense(outputs)], seed=0, dtype=dtype
    )


def reaching(dtype):
    """A loss that reads what is in the model."""
    model = stack(dtype=dtype)
    hidden = model.layers[1].output
    return model, lambda t, p: ops.sum((t - p) ** 2, axis=-1) + 0.1 * ops.sum(hidden**2, axis=-1)


def gradient_penalty(dtype):
    model = fn.Sequential([Input((4,)), Dense(5, "tanh"), Dense(3)], seed=0, dtype=dtype)
    (x,) = model.inputs
    return model, lambda t, p: ops.sum((t - p) ** 2, axis=-1) + ops.sum(fn.gradients(ops.sum(p, axis=-1), x) ** 2, axis=-1)


def masked(dtype):
    x = Input((6, 4))
    y = Dense(3)(fn.layers.SimpleRNN(4, return_sequences=True)(fn.layers.Masking()(x)))
    return fn.Model(x, y, seed=0, dtype=dtype), squares


def two_outputs(dtype):
    x = Input((4,))
    hidden = Penalty()(Dense(6, "tanh")(x))
    outputs = [Dense(3, name="a")(hidden), Dense(3, name="b")(hidden), Dense(2, name="c")(hidden)]
    return fn.Model(x, outputs, seed=0, dtype=dtype), {"a": squares, "b": "mae", "c": None}


#: By name: model and loss, and what targets are.
CASES = {
    "function": (lambda dtype: (stack(dtype=dtype), squares), "numbers"),
    "binary": (lambda dtype: (stack(dtype=dtype), focal), "binary"),
    "class": (lambda dtype: (stack(dtype=dtype), Quantile()), "numbers"),
    "class numbers": (lambda dtype: (stack(dtype=dtype), labelled), "labels"),
    "add_loss": (lambda dtype: (stack(Penalty(), dtype=dtype), "mse"), "numbers"),
    "both": (lambda dtype: (stack(Penalty(), Aside(), dtype=dtype), squares), "numbers"),
    "add_loss alone": (lambda dtype: (stack(Penalty(), Aside(), dtype=dtype), None), None),
    "inner values": (reaching, "numbers"),
    "derivative": (gradient_penalty, "numbers"),
    "mask": (masked, "numbers"),
    "outputs": (two_outputs, "several"),
    "library": (lambda dtype: (stack(dtype=dtype), fn.losses.CategoricalFocalCrossentropy(from_logits=True)), "one-hot"),
}


def data_for(model, kind, rows, random):
    x = random.normal(size=(rows, *model.inputs[0].sample_shape))
    if x.ndim == 3:
        x[::2, 4:] = 0
    shape = (rows, *model.outputs[0].sample_shape)
    if kind == "labels":
        return x, random.integers(0, shape[-1], shape[:-1])
    if kind == "one-hot":
        return x, np.eye(shape[-1])[random.integers(0, shape[-1], shape[:-1])]
    if kind == "several":
        return x, [random.normal(size=shape), random.normal(size=shape)]
    return x, random.integers(0, 2, shape) if kind == "binary" else random.normal(size=shape) if kind else None


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("trained", [False, True], ids=["new", "trained"])
@pytest.mark.parametrize("name", CASES)
def test_exported_steps_are_those_of_the_engine(name, trained, dtype):
    make, kind = CASES[name]
    model, loss = make(dtype)
    random = np.random.default_rng(0)
    metrics = {"a": ["mae"], "b": ["mae"]} if kind == "several" else None if kind is None else [lambda t, p: ops.mean(p, axis=-1)]
    model.compile(fn.optimizers.Adam(0.01), loss, metrics=metrics)
    rows = 4
    if trained:
        x, y = data_for(model, kind, 8, random)
        model.fit(x, y if kind != "several" else [*y, None], batch_size=rows, verbose=0)
    compiled = compile_model(model, training=True, batch_size=rows)
    weighted = kind in ("numbers", "labels") and loss is not None
    for step in range(6):
        x, y = data_for(model, kind, rows, random)
        targets = [] if y is None else y if kind == "several" else [y]
        weights = [random.uniform(0, 2, rows) for _ in targets] if weighted and step % 2 else None
        if weights is not None and x.ndim == 3:
            weights = [np.repeat(weights[0], x.shape[1]).reshape(rows, -1)]
        given = {} if weights is None else {"sample_weight": weights[0]}
        expected = model.train_on_batch(x, y if kind != "several" else [*y, None], return_dict=True, **given)["loss"]
        found = compiled.train([x], targets, weights, learning_rate=0.01)
        assert_close(found, expected, TOLERANCE[dtype], f"{name}, step {step}", floor=1)
    x, _ = data_for(model, kind, 3, random)
    predicted = model.predict(x)
    for a, b in zip(compiled.predict(x), predicted if isinstance(predicted, list) else [predicted], strict=True):
        assert_close(a.reshape(b.shape), b, 100 * TOLERANCE[dtype], name, floor=1)


def test_what_is_not_finite_changes_nothing():
    model = stack(Penalty(), dtype="float64")
    model.compile("sgd", squares)
    compiled = compile_model(model, training=True, batch_size=2)
    x, y = data_for(model, "numbers", 2, np.random.default_rng(0))
    kept = compiled.predict(x)[0]
    assert not np.isfinite(compiled.train([x], [np.where(y == y[0, 1], np.nan, y)]))
    assert np.array_equal(compiled.predict(x)[0], kept)


def test_predictions_do_without_what_adds_to_the_loss():
    model = stack(Aside(), dtype="float32")
    model.compile("sgd", squares)
    text = write_model(model, "net", training=True, batch_size=2).source
    predict = text[text.rindex("void net_predict(") : text.rindex("net_real net_train(")]
    assert predict.count("net_dense(") == 2 and "net_reduce(" not in predict and "net_elementwise" not in predict


def test_functions_of_arrays_are_refused():
    model = stack(dtype="float64")
    model.compile("sgd", lambda t, p: (float(np.mean((t - p) ** 2)), 2 * (p - t) / p.size))
    with pytest.raises(NotImplementedError, match=r"written in fastnet\.ops.*output 'dense_1' fails"):
        compile_model(model, training=True)
