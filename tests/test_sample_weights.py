"""Weights of the losses of rows, and of each of their positions: `sample_weight` of shape (n,) or (n, *positions)."""

import numpy as np
import pytest
import reference
from networks import rejects, same_weights
from test_losses import CASES, TOLERANCE, make_data

import fastnet as fn
from fastnet import _core

N, STEPS, UNITS = 11, 5, 3
RANDOM = np.random.default_rng(7)
X, Y = RANDOM.normal(size=(N, STEPS, 2)), RANDOM.normal(size=(N, STEPS, UNITS))
WEIGHT = RANDOM.uniform(0, 2, (N, STEPS))
WEIGHT[2, 1:] = 0


def dense(loss="mse", n_threads=None, optimizer=None, dtype="float64", features=2, seed=0):
    model = fn.Sequential([fn.Input((STEPS, features)), fn.layers.Dense(UNITS)], seed=seed, dtype=dtype)
    model.compile(optimizer or fn.optimizers.SGD(0.1), loss, n_threads=n_threads)
    return model


def weighted_mean(model, x, y, weight):
    """Of the squared errors of a model."""
    return (((model.predict(x) - y) ** 2).mean(axis=-1) * weight).mean()


# ---- Keras -------------------------------------------------------------------------------------------------


def wave(*shape, by=0.7):
    return np.sin(by * np.arange(1, 1 + np.prod(shape))).reshape(shape)


def positive(*shape):
    return 1 + wave(*shape, by=1.3)


def labels(n, *shape):
    return (np.arange(np.prod(shape)) * 7 % n).reshape(shape)


def with_zeros(x):
    x = x.copy()
    x[0, 2] = x[2, 1:] = 0
    return x


SERIES, PICTURES = wave(4, 3, 2), wave(4, 2, 3, 2)
OF_SERIES, OF_PICTURES = wave(4, 3, 2, by=0.3), wave(4, 2, 3, 2, by=0.3)
#: Layer, loss, x, y, sample_weight; and of Keras 3.15 on its torch backend (where losses are float32): the loss, and the first numbers of
#: the kernel after a step of SGD(1.0).
KERAS = {
    "steps": ({"units": 2}, "mse", SERIES, OF_SERIES, positive(4, 3),
              0.7764769196510315, [-0.12618968601725195, 0.10444343251978605, -0.2627790401954325]),
    "column": ({"units": 2}, "mse", SERIES, OF_SERIES, positive(4, 3, 1),
               0.7764769196510315, [-0.12618968601725195, 0.10444343251978605, -0.2627790401954325]),
    "rows": ({"units": 2}, "mse", SERIES, OF_SERIES, positive(4, 1),
             0.4969145357608795, [0.023191623730443978, 0.2741266356209442, -0.20889802084156595]),
    "labels": ({"units": 4, "activation": "softmax"}, "sparse_categorical_crossentropy", SERIES, labels(4, 4, 3), positive(4, 3),
               1.7578245401382446, [0.3465446795950165, 0.2454601691464111, 0.2333463635962335]),
    "decisions": ({"units": 1, "activation": "sigmoid"}, "binary_crossentropy", SERIES, labels(2, 4, 3, 1), positive(4, 3),
                  0.8878207802772522, [0.2593441087434521, 0.3356429801682159]),
    "masked": ({"units": 2, "mask": True}, "mse", with_zeros(SERIES), OF_SERIES, positive(4, 3),
               0.9672842621803284, [-0.31891570206186864, -0.05433952646458895, -0.40780912146755777]),
    "pixels": ({"units": 2}, "mae", PICTURES, OF_PICTURES, positive(4, 2, 3),
               0.6747000217437744, [0.17619840089776423, 0.32596689624582975, 0.08280621661952414]),
    "lines": ({"units": 2}, "mae", PICTURES, OF_PICTURES, positive(4, 2, 1),
              0.7553861141204834, [0.22728811983563807, 0.39317190809046476, 0.08801011934092917]),
    "columns": ({"units": 2}, "mae", PICTURES, OF_PICTURES, positive(4, 1, 3),
                0.7498257756233215, [0.21619885448911097, 0.3659673423865959, 0.0892007370214788]),
}  # fmt: skip


@pytest.mark.parametrize("case", KERAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_as_keras(case, dtype):
    options, loss, x, y, weight, value, kernel = KERAS[case]
    layers = [fn.Input(x.shape[1:]), fn.layers.Dense(options["units"], options.get("activation"))]
    if options.get("mask"):
        layers.insert(1, fn.layers.Masking())
    model = fn.Sequential(layers, dtype=dtype)
    model.set_weights([0.5 * wave(*array.shape, by=0.9) for array in model.get_weights()])
    model.compile(fn.optimizers.SGD(1.0), loss)
    for found in (model.evaluate(x, y, sample_weight=weight), model.train_on_batch(x, y, sample_weight=weight)):
        np.testing.assert_allclose(found, value, rtol=1e-6)
    np.testing.assert_allclose(model.get_weights()[0].ravel()[: len(kernel)], kernel, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("names", [False, True])
def test_several_outputs_as_keras(names):
    """As above; one output has a weight for each step, the other for each row, and each its factor in the total."""
    x = fn.Input((3, 2))
    a, b = fn.layers.Dense(2, name="a")(x), fn.layers.Dense(1, name="b")(fn.layers.Flatten()(x))
    model = fn.Model(x, [a, b], dtype="float64")
    model.set_weights([0.5 * wave(*array.shape, by=0.9) for array in model.get_weights()])
    model.compile(fn.optimizers.SGD(1.0), ["mse", "mae"], loss_weights=[0.5, 2.0])
    y, weight = [OF_SERIES, wave(4, 1, by=0.2)], [positive(4, 3), positive(4)]
    if names:
        y, weight = dict(zip("ab", y)), dict(zip("ab", weight))
    for found in (model.evaluate(SERIES, y, sample_weight=weight), model.train_on_batch(SERIES, y, weight)):
        np.testing.assert_allclose(found, [3.2263834476470947, 0.7764769196510315, 1.4190725088119507], rtol=1e-6)
    kernels = [model.get_layer(name).get_weights()[0].ravel()[:4] for name in "ab"]
    np.testing.assert_allclose(
        kernels,
        [
            [0.13273688439824488, 0.2956836239794418, -0.024544550039258817, -0.35700710301320226],
            [-1.074104405598856, -0.9594246132870987, -0.5329987238425883, 0.08289015109618034],
        ],
        rtol=1e-6,
        atol=1e-6,
    )


# ---- the reference -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "attributes"), CASES)
def test_every_loss(name, attributes, dtype):
    """Value and gradient, by the engine in a plan and alone, against the reference in float64."""
    target, prediction = make_data(name, attributes, (6, 4, 3, 5), dtype)
    tolerance = TOLERANCE[dtype]
    for positions in ((), (4,), (4, 3)):
        weight = np.random.default_rng(1).uniform(0, 2, (6, *positions))
        value, gradient = reference.batch_loss(
            name, target.astype(np.float64), prediction.astype(np.float64), weight, **attributes
        )
        alone, slope = _core.evaluate_loss(name, attributes, target, prediction, weight.reshape(6, -1))
        np.testing.assert_allclose(alone, value, rtol=8 * tolerance)
        np.testing.assert_allclose(slope, gradient, rtol=40 * tolerance, atol=8 * tolerance)
        plan = _core.Plan(
            dtype=dtype,
            max_rows=6,
            training=True,
            inputs=[((4, 3, 5), None, None)],
            parameters=[],
            nodes=[("activation", "copy", [0], [], {"activation": _core.activation_index("linear")})],
            outputs=[(1, name, attributes, 2.0, "output")],
            input_gradients=True,
        )
        sums, dx = np.zeros(2), np.zeros((6, 4, 3, 5), dtype)
        plan.run(
            _core.FORWARD | _core.LOSS | _core.BACKWARD | _core.FETCH_GRADIENTS,
            n_rows=6,
            batch_size=6,
            inputs=[prediction],
            targets=[target],
            weights=[weight],
            input_gradients=[dx],
            loss_sum=sums,
        )
        np.testing.assert_allclose(sums / 6, [2 * value, value], rtol=8 * tolerance)
        np.testing.assert_allclose(dx, 2 * gradient, rtol=40 * tolerance, atol=8 * tolerance)


def test_a_plan_refuses_weights_that_do_not_divide_the_positions():
    plan = _core.Plan(dtype="float32", max_rows=4, training=False, inputs=[((6, 2), None, None)], nodes=[], parameters=[],
                      outputs=[(0, "mean_squared_error", {}, 1.0, "output")])  # fmt: skip
    x = np.ones((4, 6, 2), np.float32)
    for width in (4, 5, 7, 12):
        with pytest.raises(ValueError, match=f"output 0 has {width} weights for each row, which do not divide its 6 positions"):
            plan.run(_core.FORWARD | _core.LOSS, n_rows=4, batch_size=4, inputs=[x], targets=[x], weights=[np.ones((4, width))])


# ---- wherever weights are given --------------------------------------------------------------------------------


def test_the_loss_as_a_function():
    loss, prediction = fn.losses.MeanSquaredError(), Y + 0.1 * X.sum()
    each = ((prediction - Y) ** 2).mean(axis=-1)
    for weight in (WEIGHT, WEIGHT[:, :, None], WEIGHT[:, :1], WEIGHT[:, 0]):
        expected = (each * weight.reshape(N, -1)).mean()
        assert loss(Y, prediction, weight.tolist()) == pytest.approx(expected)
    for shape in ((N, STEPS - 1), (N - 1, STEPS), (N, STEPS, UNITS), (STEPS,), ()):
        with pytest.raises(ValueError, match="sample_weight has shape"):
            loss(Y, prediction, np.ones(shape))


def test_fit_is_steps_by_gradients_of_the_reference():
    """Batches of rows in order, the last one smaller; epochs of it."""
    model = dense()
    kernel, bias = model.get_weights()
    history = model.fit(X, Y, batch_size=4, epochs=3, shuffle=False, sample_weight=WEIGHT, verbose=0).history["loss"]
    expected = []
    for _ in range(3):
        total = 0.0
        for rows in (slice(0, 4), slice(4, 8), slice(8, N)):
            prediction = X[rows] @ kernel + bias
            value, gradient = reference.batch_loss("mean_squared_error", Y[rows], prediction, WEIGHT[rows])
            total += value * len(prediction) / N
            kernel = kernel - 0.1 * np.einsum("nsi,nso->io", X[rows], gradient)
            bias = bias - 0.1 * gradient.sum(axis=(0, 1))
        expected.append(total)
    np.testing.assert_allclose(history, expected, rtol=1e-12)
    for found, wanted in zip(model.get_weights(), (kernel, bias)):
        np.testing.assert_allclose(found, wanted, rtol=1e-11)


def test_validation_and_evaluation():
    model = dense(optimizer=fn.optimizers.SGD(0.0))
    held = (X[8:], Y[8:], WEIGHT[8:])
    given = model.fit(X[:8], Y[:8], sample_weight=WEIGHT[:8], validation_data=held, verbose=0).history
    split = model.fit(X, Y, sample_weight=WEIGHT, validation_split=0.2, verbose=0).history
    expected = weighted_mean(model, *held)
    for history in (given, split):
        np.testing.assert_allclose(history["val_loss"][0], expected, rtol=1e-12)
        np.testing.assert_allclose(history["loss"][0], weighted_mean(model, X[:8], Y[:8], WEIGHT[:8]), rtol=1e-12)
    for size in (1, 3, N, None):
        np.testing.assert_allclose(
            model.evaluate(X, Y, size, sample_weight=WEIGHT), weighted_mean(model, X, Y, WEIGHT), rtol=1e-12
        )
    assert model.test_on_batch(X, Y, WEIGHT) == model.evaluate(X, Y, sample_weight=WEIGHT)


def test_masked_steps_are_left_out_of_the_mean():
    x = X.copy()
    x[1, 3:] = x[4] = 0
    counted = x.any(axis=-1)
    model = fn.Sequential([fn.Input((STEPS, 2)), fn.layers.Masking(), fn.layers.Dense(UNITS)], seed=0, dtype="float64")
    model.compile("sgd", "mse")
    error = ((model.predict(x) - Y) ** 2).mean(axis=-1) * WEIGHT
    np.testing.assert_allclose(model.evaluate(x, Y, sample_weight=WEIGHT), error[counted].mean(), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_for_any_number_of_threads(dtype):
    """Also where two threads divide the network by its units, which the second model's are for."""

    def series(n_threads):
        model = fn.Sequential(
            [fn.Input((STEPS, 2)), fn.layers.LSTM(8, return_sequences=True), fn.layers.Dense(UNITS)], seed=1, dtype=dtype
        )
        model.compile("adam", "mse", n_threads=n_threads)
        model.fit(X, Y, batch_size=4, epochs=4, sample_weight=WEIGHT, verbose=0)
        return model

    def divided(n_threads):
        random = np.random.default_rng(2)
        x, y, weight = random.normal(size=(600, 41)), random.integers(0, 5, (600, 2)), random.uniform(0, 2, (600, 2))
        model = fn.Sequential(
            [
                fn.Input((41,)),
                fn.layers.Dense(64, "relu"),
                fn.layers.Dense(98, "relu"),
                fn.layers.Dense(10),
                fn.layers.Reshape((2, 5)),
            ],
            seed=1,
            dtype=dtype,
        )
        model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True), n_threads=n_threads)
        model.fit(x, y, epochs=2, sample_weight=weight, verbose=0)
        if n_threads == 2:
            assert model._latest_plan().info()["peer_steps"] > 0
        return model

    for make in (series, divided):
        one = make(1)
        for n_threads in (2, 3):
            many = make(n_threads)
            assert same_weights(one, many)
            assert one.history.history["loss"] == many.history.history["loss"]


def test_fit_many_is_fit():
    models = [dense(seed=seed) for seed in range(3)]
    weights = [WEIGHT, None, WEIGHT[:, 0]]
    fn.fit_many(models, X, Y, sample_weight=fn.PerModel(weights), epochs=2, validation_data=(X, Y, WEIGHT))
    for seed, (model, weight) in enumerate(zip(models, weights)):
        alone = dense(seed=seed)
        alone.fit(X, Y, sample_weight=weight, epochs=2, verbose=0, validation_data=(X, Y, WEIGHT))
        assert same_weights(alone, model)
        for name in ("loss", "val_loss"):
            assert alone.history.history[name] == model.history.history[name]


def test_beside_a_loss_that_is_a_function():
    """Its steps are made in Python, and the other output's loss with them; the function itself is to weight inside."""

    def squares(y_true, y_pred):
        error = y_pred - y_true
        return float((error**2).mean()), 2 * error / error.size

    def make(second):
        x = fn.Input((STEPS, 2))
        model = fn.Model(x, [fn.layers.Dense(UNITS)(x), fn.layers.Dense(UNITS)(x)], seed=0, dtype="float64")
        model.compile(fn.optimizers.SGD(0.1), ["mse", second])
        return model

    python, engine = make(squares), make("mse")
    for model in (python, engine):
        model.fit(X, [Y, Y], batch_size=4, epochs=2, sample_weight=[WEIGHT, None], verbose=0)
    for found, expected in zip(python.get_weights(), engine.get_weights()):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    for call in (python.evaluate, python.train_on_batch):
        found, expected = call(X, [Y, Y], sample_weight=[WEIGHT, None]), engine.evaluate(X, [Y, Y], sample_weight=[WEIGHT, None])
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    with rejects(python, ValueError, "do not reach a loss that is a function"):
        python.fit(X, [Y, Y], sample_weight=[None, WEIGHT], verbose=0)


def test_an_optimizer_that_takes_all_rows():
    """A least squares problem with weights, which has a solution in closed form."""
    model = dense(optimizer=fn.optimizers.LBFGS())
    model.fit(X, Y, batch_size=4, epochs=60, sample_weight=WEIGHT, verbose=0)
    design = np.concatenate([X.reshape(-1, 2), np.ones((N * STEPS, 1))], axis=1) * np.sqrt(WEIGHT.reshape(-1, 1))
    solution = np.linalg.lstsq(design, Y.reshape(-1, UNITS) * np.sqrt(WEIGHT.reshape(-1, 1)), rcond=None)[0]
    np.testing.assert_allclose(np.vstack(model.get_weights()), solution, rtol=1e-5, atol=1e-6)


def test_mixup_mixes_the_weights():
    """Weights that say nothing of rows, only of steps, are the same for all mixtures: those of one share."""
    models = [dense(), dense()]
    of_steps = np.arange(1.0, 1 + STEPS)
    for model, weight in zip(models, (np.tile(of_steps, (N, 1)), of_steps.reshape(1, -1) * np.ones((N, 1)) * 2)):
        model.fit(X, Y, mixup=0.4, epochs=2, batch_size=4, sample_weight=weight, verbose=0)
    first, second = (np.array(model.history.history["loss"][:1]) for model in models)
    assert second > first  # twice the weights from the same start
    zero = dense()
    before = zero.get_weights()
    zero.fit(X, Y, mixup=0.4, sample_weight=np.zeros((N, STEPS)), verbose=0)
    assert same_weights(before, zero)


def test_the_learning_rate_finder_takes_them():
    found = [fn.tuning.find_learning_rate(dense(), X, Y, steps=5, batch_size=4, sample_weight=weight).losses
             for weight in (WEIGHT, 2 * WEIGHT)]  # fmt: skip
    np.testing.assert_allclose(found[1][0], 2 * found[0][0], rtol=1e-12)


@pytest.mark.parametrize("kind", ["float32", "int64", "uint8", "bool", "transposed", "list"])
def test_weights_of_other_kinds(kind):
    whole = (WEIGHT > 1).astype(float)
    given = {"transposed": np.asfortranarray(whole), "list": whole.tolist()}.get(kind)
    given = whole.astype(kind) if given is None else given
    model = dense()
    assert model.evaluate(X, Y, sample_weight=given) == model.evaluate(X, Y, sample_weight=whole) > 0


@pytest.mark.parametrize(("weight", "words"), [
    (np.ones((N, STEPS + 1)), ["sample_weight has shape (11, 6), expected (11,) or (11, 5)"]),
    (np.ones((N - 1, STEPS)), ["(10, 5), expected (11,) or (11, 5)"]),
    (np.ones((1, STEPS)), ["(1, 5), expected (11,) or (11, 5)"]),
    (np.ones((N, STEPS, UNITS)), ["(11, 5, 3), expected (11,) or (11, 5)"]),
    (np.ones((N, 1, STEPS, 1)), ["(11, 1, 5, 1), expected (11,) or (11, 5)"]),
    (np.ones((N, 0)), ["(11, 0), expected (11,) or (11, 5)"]),
    (np.where(np.arange(N * STEPS).reshape(N, STEPS) == 17, np.nan, 1.0), ["sample_weight is nan in row 3", "must be finite"]),
    (np.where(np.arange(N * STEPS).reshape(N, STEPS) == 17, np.nan, 1.0), ["sample_weight is nan in row 3"]),
])  # fmt: skip
def test_weights_that_do_not_fit(weight, words):
    model = dense()
    for call in (
        lambda: model.fit(X, Y, sample_weight=weight, verbose=0),
        lambda: model.fit(X, Y, validation_data=(X, Y, weight), verbose=0),
        lambda: model.train_on_batch(X, Y, weight),
        lambda: model.evaluate(X, Y, sample_weight=weight),
    ):
        with rejects(model, ValueError, *words):
            call()


@pytest.mark.filterwarnings("ignore:loss that does not fit")
def test_class_weight_is_for_one_class_a_row():
    """Keras takes the largest of the labels of a row for its class, without a word; a weight for each step says what is meant."""
    model = dense("sparse_categorical_crossentropy")
    y = labels(UNITS, N, STEPS)
    for given in ({}, {"sample_weight": WEIGHT}):
        with rejects(model, ValueError, "class_weight needs targets that are one class for each row", "(5,) positions"):
            model.fit(X, y, class_weight={0: 2.0}, verbose=0, **given)
