"""Formulas of weights alone, which are computed once for each batch: against NumPy, by differences, in training, in files, exported."""

import pathlib
import types

import numpy as np
import pytest
from exports import compile_model
from plans import assert_close

import fastnet as fn

ops, Input, Dense = fn.ops, fn.Input, fn.layers.Dense


def _softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


#: NumPy under the names of fastnet.ops.
PLAIN = types.SimpleNamespace(
    **{name: getattr(np, name) for name in ("exp", "sum", "mean", "sqrt", "transpose", "reshape", "concatenate", "stack", "einsum", "square",
                                            "tanh", "where", "maximum", "sort", "cumsum", "take", "expand_dims", "tile", "abs", "outer",
                                            "matmul", "max", "log", "squeeze", "swapaxes", "triu")},
    norm=lambda x, axis=None: np.sqrt(np.sum(x * x, axis=axis)),
    softmax=_softmax,
    relu=lambda x: np.maximum(x, 0),
    softplus=lambda x: np.log1p(np.exp(x)),
    logsumexp=lambda x, axis=None: np.log(np.sum(np.exp(x), axis=axis)),
)  # fmt: skip


def orthogonal(o, v):
    """The matrix of a Householder reflection."""
    return np.eye(4) - 2 * o.outer(v, v) / o.sum(v * v)


#: Shapes of weights, and what is made of them and of x, of shape (batch, 4); `o` is fastnet.ops or NumPy.
CASES = {
    "elementwise": ([(4,)], lambda o, x, w: x * o.exp(w)),
    "two": ([(4,), (4,)], lambda o, x, a, b: x + a * b - o.tanh(a)),
    "weight norm": ([(4, 3), (3,)], lambda o, x, v, g: x @ (g * v / o.norm(v, axis=0))),
    "low rank": ([(4, 2), (2, 5)], lambda o, x, a, b: x @ (a @ b)),
    "transposed": ([(3, 4)], lambda o, x, w: x @ o.transpose(w)),
    "tied": ([(4, 6)], lambda o, x, w: o.tanh(x @ w) @ o.transpose(w)),
    "used as it is and in a formula": ([(4,)], lambda o, x, w: x * w + o.sum(w * w) * w),
    "reshaped": ([(12,)], lambda o, x, w: x @ o.reshape(w, (4, 3))),
    "joined": ([(4, 2), (4, 3)], lambda o, x, a, b: x @ o.concatenate([a, b], axis=1)),
    "stacked": ([(4,), (4,), (4,)], lambda o, x, a, b, c: x @ o.stack([a, o.exp(b), c], axis=1)),
    "orthogonal": ([(4,)], lambda o, x, v: x @ orthogonal(o, v)),
    "softmax": ([(4, 4)], lambda o, x, w: x @ o.softmax(w, axis=0)),
    "a number": ([(4, 3), (1,)], lambda o, x, w, t: o.softmax(x @ w / o.softplus(t), axis=-1)),
    "parts": ([(5, 6)], lambda o, x, w: x @ w[1:, ::2] + w[0, :3]),
    "constants": ([(4, 4)], lambda o, x, w: x @ (o.triu(w) * np.arange(16.0).reshape(4, 4) / 8 + np.eye(4))),
    "einsum": ([(4, 2), (2, 3)], lambda o, x, a, b: o.einsum("bi,io->bo", x, o.einsum("ir,ro->io", a, b))),
    "three factors": ([(4, 2), (2, 3)], lambda o, x, a, b: o.einsum("bi,ir,ro->bo", x, a, b)),
    "a row": ([(1, 4)], lambda o, x, w: x + w),
    "rows": ([(4, 4)], lambda o, x, w: x + o.mean(w, axis=0) * o.max(o.abs(w))),
    "sorted": ([(7,)], lambda o, x, w: x * o.sort(w)[2:6]),
    "hypernetwork": ([(3,), (3, 8)], lambda o, x, z, w: x @ o.reshape(o.tanh(z @ w), (4, 2))),
    "steps": ([(4, 4), (4,)], lambda o, x, w, b: o.relu(o.relu(x @ o.exp(w) + b) @ o.exp(w) + o.square(b))),
    "batches of matrices": ([(2, 4, 3), (2, 3, 4)], lambda o, x, a, b: x @ o.sum(a @ b, axis=0)),
    "places": ([(5, 4)], lambda o, x, w: x * o.take(o.cumsum(w, axis=0), np.array([3]), axis=0)),
    "condition": ([(4,)], lambda o, x, w: x * o.where(w > 0, w, 0.1 * w)),
    "left": ([(4, 4)], lambda o, x, w: o.reshape(o.square(w) @ o.reshape(x, (-1, 4, 1)), (-1, 4))),
}  # fmt: skip


class Formula(fn.layers.Layer):
    def __init__(self, case, **kwargs):
        super().__init__(**kwargs)
        self.case = case
        self.shapes, self.run = CASES[case]

    def build(self, input_shape):
        self.own = [
            self.add_weight(shape, fn.initializers.RandomNormal(stddev=0.7), name=f"w_{i}") for i, shape in enumerate(self.shapes)
        ]

    def call(self, x):
        return self.run(ops, x, *self.own)


def make(case, dtype="float64", seed=1, **options):
    return fn.Sequential([Input((4,)), Formula(case), *options.get("more", [])], seed=seed, dtype=dtype)


def data(rows, width):
    random = np.random.default_rng(5)
    return random.normal(size=(rows, 4)), random.normal(size=(rows, width))


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(case, isa):
    """Those of NumPy, and differences of it."""
    run = CASES[case][1]
    for dtype, tolerance in (("float64", 2e-7), ("float32", 2e-4)):
        model = make(case, dtype)
        own = model.layers[0].own
        weights = [weight.numpy().astype(np.float64) for weight in own]
        for rows in (1, 17):
            x, _ = data(rows, 1)
            expected = run(PLAIN, x, *weights)
            found = model.forward(x, training=True)
            assert_close(found, expected, {"float64": 1e-12, "float32": 2e-5}[dtype], case)
            assert np.array_equal(model.predict(x), found)
            dy = np.random.default_rng(2).normal(size=expected.shape)
            dx = model.backward(dy)
            loss = lambda x, *w: np.sum(run(PLAIN, x, *w) * dy)
            for place, got in enumerate([dx, *(weight.gradient for weight in own)]):
                given = [x, *weights]
                steps = np.zeros(given[place].shape)
                for number, at in enumerate(np.ndindex(*steps.shape)):
                    if number % 5 != rows % 5 or (place == 0 and 0 < at[0] < rows - 1):
                        steps[at] = np.asarray(got)[at]
                        continue
                    sides = []
                    for step in (1e-6, -1e-6):
                        moved = given[place].copy()
                        moved[at] += step
                        sides.append(loss(*given[:place], moved, *given[place + 1 :]))
                    steps[at] = (sides[0] - sides[1]) / 2e-6
                assert_close(got, steps, tolerance, f"{case}: {place}", floor=1)


def train(model, rows=50, epochs=2, **options):
    """Whole epochs in the engine; what the weights are then."""
    width = model.output_shape[-1]
    x, y = data(rows, width)
    model.compile(fn.optimizers.Adam(0.01), "mse", **options)
    model.fit(x, y, batch_size=16, epochs=epochs, verbose=0)
    assert np.isfinite(model.evaluate(x, y, batch_size=16, verbose=0))
    return x, y


@pytest.mark.parametrize("case", CASES)
def test_training_files_and_threads(case, tmp_path):
    """The same bits for any number of threads, and of a model that was loaded without the class."""
    models = [make(case, "float32", more=[Dense(3, "tanh"), Dense(2)]) for _ in range(3)]
    for n_threads, model in enumerate(models, 1):
        x, y = train(model, n_threads=n_threads)
        for one, other in zip(model.get_weights(), models[0].get_weights(), strict=True):
            assert one.tobytes() == other.tobytes()
    model = models[0]
    path = tmp_path / "model.safetensors"
    model.save(path)
    loaded = fn.load_model(path)
    assert type(loaded.layers[0]) is not Formula
    assert loaded.predict(x).tobytes() == model.predict(x).tobytes()
    for one in (model, loaded):
        one.compile(fn.optimizers.SGD(0.1, momentum=0.5), "mse")
        one.fit(x, y, batch_size=16, epochs=2, verbose=0, shuffle=False)
    assert loaded.predict(x).tobytes() == model.predict(x).tobytes()
    assert fn.load_model(path, custom_objects={"Formula": Formula}).layers[0].case == case


@pytest.mark.parametrize("case", CASES)
def test_exported(case):
    """As C, to predict and to train, and as ONNX."""
    model = make(case, more=[Dense(3, "tanh"), Dense(2)])
    x, y = data(6, 2)
    model.compile(fn.optimizers.Adam(0.01), "mse")
    compiled = compile_model(model, training=True, batch_size=6)
    assert_close(compiled.predict(x)[0], model.predict(x), 1e-12, case)
    for _ in range(3):
        loss = float(compiled.train([x], [y], learning_rate=0.01))
        assert abs(loss - model.train_on_batch(x, y)) < 1e-11 * max(1, abs(loss))
    assert_close(compiled.predict(x)[0], model.predict(x), 1e-11, case)
    if list(CASES).index(case) % 4 == 2:
        assert_close(compile_model(model).predict(x)[0], model.predict(x), 1e-12, case)


# ---- against PyTorch ---------------------------------------------------------------------------------------------


def reflect(o, matrix, v):
    return matrix - 2 * o.outer(matrix @ v, v) / o.sum(v * v)


def trained_like(x, y, run, shapes, dtype="float64"):
    """A model of one layer of this formula."""

    class Traced(fn.layers.Layer):
        def build(self, input_shape):
            self.own = [self.add_weight(shape, name=f"w_{i}") for i, shape in enumerate(shapes)]

        def call(self, x):
            return run(x, *self.own)

    inputs = Input(x.shape[1:])
    layer = Traced()
    return fn.Model(inputs, layer(inputs), seed=0, dtype=dtype), layer


def normalized(x, v, g, out):
    return ops.tanh(x @ (g * v / ops.norm(v, axis=0))) @ out


TRACED = {
    "weight_norm": normalized,
    "low_rank": lambda x, kernel, a, b: x @ (kernel + a @ b),
    "tied": lambda x, table, kernel: ops.tanh(ops.mean(ops.take(table, x, axis=0), axis=1) @ kernel) @ ops.transpose(table),
    "orthogonal": lambda x, vs, out: ops.tanh(x @ reflect(ops, reflect(ops, np.eye(5), vs[0]), vs[1])) @ out,
    "gradient_penalty": normalized,
}


@pytest.mark.parametrize("name", TRACED)
def test_follows_pytorch(name):
    """20 steps in the engine; tools/dump_weight_traces.py."""
    with np.load(pathlib.Path(__file__).parent / "traces" / "weight_formulas_pytorch.npz") as file:
        expected = {key.partition("/")[2]: file[key] for key in file.files if key.startswith(name + "/")}
    x, y = expected["x"], expected["y"]
    first = [expected[f"first_{i}"] for i in range(sum(key.startswith("first") for key in expected))]
    model, layer = trained_like(x, y, TRACED[name], [weight.shape for weight in first])
    for weight, value in zip(layer.own, first, strict=True):
        weight.assign(value)
    loss = "mse"
    if name == "gradient_penalty":

        def loss(y_true, y_pred):
            slope = fn.gradients(y_pred, model.inputs[0])
            return ops.mean((y_true - y_pred) ** 2, axis=-1) + (ops.sum(slope**2, axis=-1) - 1) ** 2

    model.compile(fn.optimizers.pytorch.Adam(0.02), loss)
    history = model.fit(x, y, batch_size=len(x), epochs=20, shuffle=False, verbose=0)
    np.testing.assert_allclose(history.history["loss"], expected["losses"], rtol=1e-9)
    for i, weight in enumerate(layer.own):
        np.testing.assert_allclose(weight.numpy(), expected[f"last_{i}"], rtol=1e-7, atol=1e-9)


# ---- where they may be -------------------------------------------------------------------------------------------


class Own(fn.layers.Layer):
    """A layer with weights w, m, whose call is a function."""

    def __init__(self, run, **kwargs):
        super().__init__(**kwargs)
        self.run = run

    def build(self, input_shape):
        self.w, self.m = self.add_weight((4,), "ones", name="w"), self.add_weight((4, 2), name="m")

    def call(self, x):
        return self.run(self, x)


def with_loss(add):
    def run(layer, x):
        layer.add_loss(add(layer, x))
        return x * layer.w

    return run


ADDED = {
    "a number": (lambda s, x: 0.1 * ops.sum(s.w**2), lambda w, x: 0.1 * np.sum(w**2)),
    "all numbers of it": (lambda s, x: s.w**2, lambda w, x: np.sum(w**2)),
    "with a mean": (lambda s, x: ops.mean(x**2) + ops.norm(s.w), lambda w, x: np.mean(x**2) + np.sqrt(np.sum(w**2))),
    "less a mean": (lambda s, x: s.w[0] - 0.5 * ops.mean(x), lambda w, x: w[0] - 0.5 * np.mean(x)),
    "times a mean": (lambda s, x: ops.mean(x**2) * ops.exp(-s.w[1]) + s.w[1], lambda w, x: np.mean(x**2) * np.exp(-w[1]) + w[1]),
    "a mean by it": (lambda s, x: ops.mean(x**2) / ops.sum(s.w), lambda w, x: np.mean(x**2) / np.sum(w)),
}  # fmt: skip


@pytest.mark.parametrize("name", ADDED)
def test_added_losses(name):
    add, expected = ADDED[name]
    model = fn.Sequential([Input((4,)), Own(with_loss(add))], seed=0, dtype="float64")
    model.compile(fn.optimizers.SGD(0.1), None)
    x, _ = data(8, 1)
    w = np.ones(4)
    for _ in range(3):
        steps = [(expected(w + e, x) - expected(w - e, x)) / 2e-6 for e in np.eye(4) * 1e-6]
        assert abs(model.train_on_batch(x) - expected(w, x)) < 1e-8
        w = w - 0.1 * np.array(steps)
        np.testing.assert_allclose(model.layers[0].w.numpy(), w, rtol=1e-7)


def test_losses_metrics_and_steps(tmp_path):
    """With the weights of layers of the model, as a loss and a `TrainStep` read them: `layer.kernel`, too, is no constant there."""
    x, y = data(8, 2)
    model = fn.Sequential([Input((4,)), Dense(3, "tanh"), Dense(2)], seed=0, dtype="float64")
    first = model.layers[0]
    start = model.get_weights()

    def loss(y_true, y_pred):
        return ops.mean((y_true - y_pred) ** 2, axis=-1) + 0.1 * ops.sum(ops.square(first.kernel))

    model.compile(fn.optimizers.SGD(0.1), loss, metrics=[lambda t, p: ops.mean(abs(t - p), axis=-1) * ops.norm(first.kernel)])
    model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    regular = fn.Sequential(
        [Input((4,)), Dense(3, "tanh", kernel_regularizer=fn.regularizers.L2(0.1)), Dense(2)], seed=0, dtype="float64"
    )
    regular.set_weights(start)
    regular.compile(fn.optimizers.SGD(0.1), "mse")
    regular.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    for one, other in zip(model.get_weights(), regular.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    found = model.evaluate(x, y, verbose=0)
    norm = np.sqrt(np.sum(np.square(model.get_weights()[0])))
    np.testing.assert_allclose(found[1], norm * np.mean(np.abs(model.predict(x) - y)), rtol=1e-12)
    model.save(tmp_path / "model.safetensors")
    np.testing.assert_allclose(fn.load_model(tmp_path / "model.safetensors").evaluate(x, y, verbose=0), found, rtol=1e-12)


def test_train_step():
    x, y = data(8, 2)
    models = [fn.Sequential([Input((4,)), Dense(2)], seed=0, dtype="float64") for _ in range(2)]
    one, other = models

    def run(x, y):
        return {"loss": (ops.mean((one(x) - y) ** 2, axis=-1) + 0.1 * ops.sum(one.layers[0].kernel ** 2), one)}

    step = fn.TrainStep(run, {"x": (4,), "y": (2,)}, seed=0)
    step.compile({"loss": fn.optimizers.SGD(0.1)})
    step.fit({"x": x, "y": y}, batch_size=8, epochs=3, shuffle=False, verbose=0)
    kernel, bias = other.get_weights()
    for _ in range(3):
        error = 2 * (x @ kernel + bias - y) / y.size
        kernel, bias = kernel - 0.1 * (x.T @ error + 0.2 * kernel), bias - 0.1 * error.sum(axis=0)
    for found, expected in zip(one.get_weights(), (kernel, bias), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10)


class Tied(fn.layers.Layer):
    """The output layer is the embedding's table, a weight of another layer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.embedding, self.dense = fn.layers.Embedding(7, 4), Dense(4, "tanh")

    def call(self, x):
        return self.dense(ops.mean(self.embedding(x), axis=1)) @ ops.transpose(self.embedding.embeddings)


def test_weights_of_other_layers(tmp_path):
    model = fn.Sequential([Input((3,)), Tied()], seed=0, dtype="float64")
    x = np.random.default_rng(0).integers(0, 7, (20, 3))
    model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(x, x[:, 0], epochs=20, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    table, kernel, bias = model.get_weights()
    np.testing.assert_allclose(model.predict(x), np.tanh(table[x].mean(axis=1) @ kernel + bias) @ table.T, rtol=1e-12)
    model.save(tmp_path / "model.safetensors")
    assert np.array_equal(fn.load_model(tmp_path / "model.safetensors").predict(x), model.predict(x))
    assert np.array_equal(fn.models.clone_model(model).predict(x).shape, (20, 7))


def test_onnx(tmp_path):
    pytest.importorskip("onnx")
    for case in ("weight norm", "low rank", "orthogonal", "a number"):
        model = make(case, "float32", more=[Dense(2, "tanh")])
        assert fn.saving.to_onnx(model, tmp_path / "model.onnx").difference < 1e-5


WRONG = {
    "result": (lambda s, x: s.w * 2, r"call returned <formula of weights \(4,\)>, which depends on weights alone"),
    "weight": (lambda s, x: s.w, "call returned <Weight .*broadcast_to"),
    "nothing": (lambda s, x: None, "call returned None, expected a symbolic tensor"),
    "number": (lambda s, x: 3.0, "call returned 3.0, expected a symbolic tensor"),
    "condition": (lambda s, x: x if s.w[0] > 0 else -x, "the truth of a formula of weights.*use fn.ops.where"),
    "float": (lambda s, x: x * float(s.w[0]), "a number of a formula of weights"),
    "NumPy": (lambda s, x: x * np.exp(s.w * 2), r"np.exp of a formula of weights.*use fn.ops.exp"),
    "method": (lambda s, x: x * s.w.mean(), "a weight has no attribute 'mean': use fn.ops.mean"),
    "transpose": (lambda s, x: x @ (s.m * 2).T, "a formula of weights has no attribute 'T': use fn.ops.transpose"),
    "mixed": (lambda s, x: ops.concatenate([x, s.m], axis=-1), "a weight of shape .* has no batch"),
    "layer": (lambda s, x: Dense(2)(s.m * 2), "a formula of weights of shape .* has no batch"),
    "shapes": (lambda s, x: x * (s.w @ s.w[:3]), r"shapes \(4,\) and \(3,\) do not fit"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_said(name):
    run, message = WRONG[name]
    with pytest.raises((TypeError, ValueError, AttributeError), match=message):
        fn.Sequential([Input((4,)), Own(run)], seed=0)


class TiedModel(fn.Model):
    """A class of models whose call reads the weights of its layers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.encoder = Dense(3, "tanh")

    def call(self, x):
        return self.encoder(x) @ ops.transpose(self.encoder.kernel) + ops.mean(self.encoder.kernel, axis=1)


def test_classes_of_models(tmp_path):
    model = TiedModel(seed=0, dtype="float64")
    x, _ = data(20, 1)
    model.compile("adam", "mse")
    model.fit(x, x, epochs=3, verbose=0)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(model.predict(x), np.tanh(x @ kernel + bias) @ kernel.T + kernel.mean(axis=1), rtol=1e-12)
    model.save(tmp_path / "model.safetensors")
    assert np.array_equal(fn.load_model(tmp_path / "model.safetensors").predict(x), model.predict(x))
