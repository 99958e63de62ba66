"""Losses written in `fastnet.ops`, and `add_loss`.

The traces are PyTorch's, made by tools/dump_loss_traces.py.
"""

import copy
import pathlib

import numpy as np
import pytest

import fastnet as fn

ops, Dense, Input = fn.ops, fn.layers.Dense, fn.Input
TRACES = np.load(pathlib.Path(__file__).parent / "traces" / "losses_pytorch.npz")
STEPS, ROWS = 20, 16


def dense(*widths, dtype="float64"):
    hidden = [Dense(n, "tanh") for n in widths[1:-1]]
    return fn.Sequential([Input((widths[0],)), *hidden, Dense(widths[-1])], seed=0, dtype=dtype)


# ---- against PyTorch ------------------------------------------------------------------------------------------


def focal():
    def loss(y_true, y_pred):
        p = ops.sigmoid(y_pred)
        right = y_true * p + (1 - y_true) * (1 - p)
        return -0.25 * (1 - right) ** 2 * ops.log(right)

    net = dense(4, 8, 1)
    return net, [net], loss, ["x"], "y"


class Quantiles(fn.losses.Loss):
    def __init__(self, q, **kwargs):
        super().__init__(**kwargs)
        self.q = q

    def call(self, y_true, y_pred):
        error = y_true - y_pred
        q = np.array(self.q)
        return ops.mean(ops.maximum(q * error, (q - 1) * error), axis=-1)


def quantile():
    net = dense(4, 8, 3)
    return net, [net], Quantiles([0.1, 0.5, 0.9]), ["x"], "y"


def contrastive():
    def loss(y_true, distance):
        return y_true * distance**2 + (1 - y_true) * ops.maximum(1 - distance, 0) ** 2

    net, a, b = dense(4, 8, 2), Input((4,)), Input((4,))
    distance = ops.sqrt(ops.sum((net(a) - net(b)) ** 2, axis=-1, keepdims=True) + 1e-6)
    return fn.Model([a, b], distance, seed=0, dtype="float64"), [net], loss, ["a", "b"], "y"


class Triplet(fn.layers.Layer):
    def call(self, a, b, c):
        near, far = ops.sum((a - b) ** 2, axis=-1), ops.sum((a - c) ** 2, axis=-1)
        self.add_loss(ops.mean(ops.relu(near - far + 0.5)))
        return a


def triplet():
    net, inputs = dense(4, 8, 2), [Input((4,)) for _ in range(3)]
    model = fn.Model(inputs, Triplet()(*[net(x) for x in inputs]), seed=0, dtype="float64")
    return model, [net], None, ["a", "b", "c"], None


class Reparametrization(fn.layers.Layer):
    def call(self, mean, log_var, noise):
        self.add_loss(-0.5 * ops.mean(ops.sum(1 + log_var - mean**2 - ops.exp(log_var), axis=-1)))
        return mean + ops.exp(0.5 * log_var) * noise


def vae():
    x, noise, mean, log_var, decoder = Input((6,)), Input((2,)), dense(6, 8, 2), dense(6, 8, 2), dense(2, 8, 6)
    z = Reparametrization()(mean(x), log_var(x), noise)
    model = fn.Model([x, noise], decoder(z), seed=0, dtype="float64")
    return model, [mean, log_var, decoder], lambda t, p: ops.sum((t - p) ** 2, axis=-1), ["x", "noise"], "x"


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("case", [focal, quantile, contrastive, triplet, vae])
def test_steps_are_those_of_pytorch(case, threads):
    name = case.__name__
    model, nets, loss, inputs, target = case()
    weights = [weight for net in nets for weight in net.weights]
    starts = [TRACES[f"{name}/start/{i}"] for i in range(len(weights))]
    for net in nets:
        net.set_weights([starts.pop(0) for _ in net.weights])
    model.compile(fn.optimizers.pytorch.Adam(0.01), loss, n_threads=threads)
    start = [np.array(weight) for weight in model.get_weights()]
    x = [TRACES[f"{name}/{key}"] for key in inputs]
    y = None if target is None else TRACES[f"{name}/{target}"]
    losses = []
    for row in range(0, STEPS * ROWS, ROWS):
        rows = slice(row, row + ROWS)
        losses.append(model.train_on_batch([a[rows] for a in x], None if y is None else y[rows]))
    np.testing.assert_allclose(losses, TRACES[f"{name}/losses"], rtol=1e-9)
    for i, weight in enumerate([array for net in nets for array in net.get_weights()]):
        np.testing.assert_allclose(weight, TRACES[f"{name}/end/{i}"], rtol=1e-7, atol=1e-10)
    ends = model.get_weights()
    model.set_weights(start)
    model.compile(fn.optimizers.pytorch.Adam(0.01), loss, n_threads=threads)
    history = model.fit(x, y, batch_size=ROWS, shuffle=False, verbose=0)  # an epoch in the engine
    np.testing.assert_allclose(history.history["loss"][0], np.mean(TRACES[f"{name}/losses"]), rtol=1e-9)
    for one, other in zip(model.get_weights(), ends):
        np.testing.assert_array_equal(one, other)


# ---- against the losses that there are ----------------------------------------------------------------------------

FORMULAS = {
    "mse": lambda t, p: ops.mean((t - p) ** 2, axis=-1),
    "mae": lambda t, p: ops.mean(abs(t - p), axis=-1),
    "huber": lambda t, p: ops.mean(ops.where(abs(t - p) <= 1, 0.5 * (t - p) ** 2, abs(t - p) - 0.5), axis=-1),
    "log_cosh": lambda t, p: ops.mean(p - t + ops.softplus(-2 * (p - t)) - np.log(2.0), axis=-1),
    "hinge": lambda t, p: ops.mean(ops.maximum(1 - ops.where(ops.equal(t, 0), -1, t) * p, 0), axis=-1),
}
RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(101, 5)), RANDOM.normal(size=(101, 3))


def train(loss, model=None, x=X, y=Y, metrics=None, loss_weights=None, threads=1, **options):
    model = dense(5, 7, 3) if model is None else model
    model.compile(fn.optimizers.Adam(0.01), loss, metrics=metrics, loss_weights=loss_weights, n_threads=threads)
    history = model.fit(x, y, epochs=3, verbose=0, **options).history
    return {name: values for name, values in history.items() if name != "seconds"}, model


def assert_same(one, other, rtol=1e-9):
    (history, model), (expected, reference) = one, other
    assert list(history) == list(expected)
    for name in expected:
        np.testing.assert_allclose(history[name], expected[name], rtol=rtol, err_msg=name)
    for a, b in zip(model.get_weights(), reference.get_weights()):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_are_the_losses_of_the_engine(name):
    options = {"validation_split": 0.2, "metrics": ["mae", "mse"]}
    assert_same(train(FORMULAS[name], **options), train(name, **options))
    weights = RANDOM.uniform(0, 2, len(X))
    assert_same(train(FORMULAS[name], sample_weight=weights), train(name, sample_weight=weights))


def test_bits_do_not_depend_on_threads():
    models = [train(FORMULAS["mse"], threads=threads, batch_size=33)[1] for threads in (1, 2, 3)]
    for model in models[1:]:
        for a, b in zip(model.get_weights(), models[0].get_weights()):
            np.testing.assert_array_equal(a, b)


def cross_entropy(t, p):
    return -ops.sum(ops.one_hot(t, 4) * ops.log_softmax(p), axis=-1)


@pytest.mark.parametrize("column", [False, True])
def test_class_numbers(column):
    """Targets of another shape than the predictions, with metrics that take them for class numbers, and weights of classes."""
    labels = RANDOM.integers(0, 4, len(X))
    loss = (lambda t, p: cross_entropy(ops.squeeze(t, -1), p)) if column else cross_entropy
    given = labels[:, None] if column else labels
    options = {"metrics": ["accuracy"], "class_weight": {0: 1.0, 1: 2.0, 2: 0.5, 3: 1.0}}
    built_in = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert_same(train(loss, dense(5, 4), y=given, **options), train(built_in, dense(5, 4), y=labels, **options))


def test_shapes_of_targets_may_change():
    model = dense(5, 1)
    model.compile("sgd", FORMULAS["mse"])
    one, column = model.evaluate(X, Y[:, 0]), model.evaluate(X, Y[:, :1])
    assert one == column
    np.testing.assert_allclose(model.evaluate(X, Y), np.mean((Y - model.predict(X)) ** 2), rtol=1e-9)
    assert model.evaluate(X, Y[:, 0]) == one


def steps_model():
    x = Input((6, 5))
    return fn.Model(x, Dense(3)(fn.layers.LSTM(4, return_sequences=True)(fn.layers.Masking()(x))), seed=0, dtype="float64")


def test_steps_with_a_mask_and_weights_of_positions():
    x, y = RANDOM.normal(size=(50, 6, 5)), RANDOM.normal(size=(50, 6, 3))
    x[::3, 4:] = 0
    assert_same(train(FORMULAS["mse"], steps_model(), x, y), train("mse", steps_model(), x, y))
    weights = RANDOM.uniform(size=(50, 6))
    assert_same(
        train(FORMULAS["mse"], steps_model(), x, y, sample_weight=weights),
        train("mse", steps_model(), x, y, sample_weight=weights),
    )


def two_outputs():
    x = Input((5,))
    hidden = Dense(6, "tanh")(x)
    return fn.Model(x, [Dense(3, name="a")(hidden), Dense(1, name="b")(hidden)], seed=0, dtype="float64")


def test_outputs_with_and_without_a_formula():
    y = {"a": Y, "b": Y[:, 0]}
    options = {"loss_weights": {"a": 1.0, "b": 0.3}, "metrics": {"b": ["mae"]}, "validation_split": 0.2}
    expected = train({"a": "mse", "b": "mae"}, two_outputs(), y=y, **options)
    assert_same(train({"a": FORMULAS["mse"], "b": "mae"}, two_outputs(), y=y, **options), expected)
    assert_same(train({"a": FORMULAS["mse"], "b": FORMULAS["mae"]}, two_outputs(), y=y, **options), expected)


def test_a_loss_may_use_other_tensors_of_the_model():
    def make(*more):
        layers = [fn.layers.Rescaling(2.0), Dense(7, "tanh", name="hidden"), *more, Dense(3, name="head")]
        return fn.Sequential([Input((5,)), *layers], seed=0, dtype="float64")

    model = make()
    (x,), hidden = model.inputs, model.get_layer("hidden").output

    def loss(y_true, y_pred):
        return ops.mean((y_true - y_pred) ** 2, axis=-1) + 0.1 * ops.sum(hidden**2, axis=-1) + 0 * ops.sum(x, axis=-1)

    assert_same(train(loss, model), train("mse", make(fn.layers.ActivityRegularization(l2=0.1))))


def test_a_loss_is_a_function_of_arrays_too():
    loss = Quantiles([0.5])
    expected = np.mean(np.abs(Y[:, :1] - X[:, :1]) / 2)
    assert loss(Y[:, :1], X[:, :1]) == pytest.approx(expected)
    assert loss.name == "quantiles"
    model = dense(5, 1)
    model.compile("sgd", loss)
    assert model.evaluate(X, Y[:, :1]) == pytest.approx(loss(Y[:, :1], model.predict(X)))


def test_copies_and_many_models():
    _, model = train(FORMULAS["mse"])
    other = copy.deepcopy(model)
    for one in (model, other):
        one.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], other.get_weights()[0])


# ---- add_loss ------------------------------------------------------------------------------------------------------


class Penalty(fn.layers.Layer):
    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        self.add_loss(self.factor * ops.mean(ops.sum(x**2, axis=-1)))
        return x


def penalized(layer, dtype="float64"):
    return fn.Sequential([Input((5,)), Dense(7, "tanh"), layer, Dense(3)], seed=0, dtype=dtype)


def test_add_loss_is_a_penalty_on_activities():
    expected = train("mse", penalized(fn.layers.ActivityRegularization(l2=0.2)), validation_split=0.2)
    assert_same(train("mse", penalized(Penalty(0.2)), validation_split=0.2), expected)
    assert_same(train(FORMULAS["mse"], penalized(Penalty(0.2)), validation_split=0.2), expected)


def test_a_model_without_another_loss():
    model = penalized(Penalty(1.0))
    model.compile(fn.optimizers.Adam(0.05))
    hidden = fn.Model(model.inputs[0], model.layers[0].output, dtype="float64")
    assert model.evaluate(X) == pytest.approx(np.mean(np.sum(hidden.predict(X) ** 2, axis=1)))
    first, *_, last = model.fit(X, epochs=20, verbose=0).history["loss"]
    assert last < 0.8 * first


@pytest.mark.parametrize("loss", [None, "mse", FORMULAS["mse"], lambda t, p: (0.5 * np.mean((t - p) ** 2), (p - t) / p.size)])
def test_penalties_of_weights_count_beside_add_loss(loss):
    layers = [Input((5,)), Dense(3, kernel_regularizer=fn.regularizers.L1L2(0.01, 0.02)), Penalty(0.5)]
    model = fn.Sequential(layers, seed=0, dtype="float64")
    model.compile(fn.optimizers.SGD(0.0), loss)
    y, kernel = model.predict(X), model.get_weights()[0]
    expected = 0.5 * np.mean(np.sum(y**2, axis=1)) + np.sum(0.01 * abs(kernel) + 0.02 * kernel**2)
    if loss is not None:
        expected += np.mean((Y - y) ** 2) * (0.5 if loss not in ("mse", FORMULAS["mse"]) else 1)
    given = (X,) if loss is None else (X, Y)
    assert model.evaluate(*given) == pytest.approx(expected, rel=1e-9)
    assert model.train_on_batch(*given) == pytest.approx(expected, rel=1e-9)


def test_a_model_with_add_loss_is_loaded_with_its_class(tmp_path):
    _, model = train("mse", penalized(Penalty(0.2)))
    model.save(tmp_path / "model.safetensors")
    other = fn.load_model(tmp_path / "model.safetensors", custom_objects={"Penalty": Penalty})
    assert other.evaluate(X, Y) == model.evaluate(X, Y)


# ---- wrong input ------------------------------------------------------------------------------------------------


def condition(t, p):
    return t if ops.sum(t, axis=-1) > 0 else p


class OfArrays(fn.losses.Loss):
    def call(self, y_true, y_pred):
        return np.mean(y_true - y_pred)


@pytest.mark.parametrize(
    ("loss", "error", "words"),
    [
        (OfArrays(), TypeError, ["OfArrays.call", "np.mean", "use fn.ops.mean"]),
        (condition, (TypeError, ValueError), ["fn.ops.where"]),
        (lambda t, p: np.mean((t - p) ** 2), TypeError, ["(value, gradient)", "np.mean", "use fn.ops.mean"]),
        (lambda t, p: ops.sum((t - p) ** 2), ValueError, ["batch", "axis=(1,)"]),
        (lambda t, p: 3.0, TypeError, ["a number for each row", "3.0"]),
        (lambda t, p: Dense(1)(p), ValueError, ["weight of its own", "kernel"]),
        (lambda t, p: t + Input((3,)), ValueError, ["not among the inputs"]),
    ],
)
def test_wrong_losses(loss, error, words):
    model = dense(5, 3)
    model.compile("sgd", loss)
    before = model.get_weights()
    for call in (model.fit, model.train_on_batch, model.evaluate):
        with pytest.raises(error) as raised:
            call(X, Y)
        assert all(word in str(raised.value) for word in words), str(raised.value)
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_more_wrong_input():
    model = dense(5, 3)
    model.compile("sgd")
    with pytest.raises(ValueError, match="compile needs a loss"):
        model.fit(np.ones((2, 5)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="reduction"):
        Quantiles([0.5], reduction="total")
    with pytest.raises(RuntimeError, match="while the layer is called"):
        Penalty(1.0).add_loss(Input((3,)))
    with pytest.raises(TypeError, match="symbolic tensor"):
        Penalty(1.0).add_loss(3.0)
    model.compile("sgd", FORMULAS["mse"])
    with pytest.raises(ValueError, match="NaN|nan"):
        model.fit(X, np.full_like(Y, np.nan), verbose=0)
    with pytest.raises(ValueError, match="mixup"):
        model.fit(X, Y, mixup=0.2, verbose=0)
    with pytest.raises(ValueError, match="broadcast|shapes"):
        model.fit(X, RANDOM.normal(size=(len(X), 4)), verbose=0)
    both = two_outputs()
    both.compile("sgd", {"a": FORMULAS["mse"], "b": lambda t, p: (0.0, np.zeros_like(p))})
    with pytest.raises(ValueError, match="write both in fastnet.ops"):
        both.fit(X, {"a": Y, "b": Y[:, 0]}, verbose=0)
    steps = steps_model()
    steps.compile("sgd", lambda t, p: ops.mean((t - p) ** 2, axis=(1, 2)))
    with pytest.raises(ValueError, match="a number for each step"):
        steps.fit(RANDOM.normal(size=(4, 6, 5)), RANDOM.normal(size=(4, 6, 3)), verbose=0)
