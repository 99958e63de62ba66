"""Formulas of weights alone, which are computed once for each batch: against NumPy, by differences, in training, in files, exported."""

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
def test_training_files_and_threads(case, isa, tmp_path):
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
    assert_close(compile_model(model).predict(x)[0], model.predict(x), 1e-12, case)
