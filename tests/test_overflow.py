"""Gradients that are not finite though the loss is: the step changes nothing, and says so. Steps that are too large. Norms whose
squares overflow."""

import numpy as np
import pytest

import fastnet as fn

pytestmark = pytest.mark.filterwarnings("ignore:targets too large")

L = fn.layers
GRADIENT = "the gradient became infinite or nan at step {}, though the loss did not; the weights are those from before that step"


def rows(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("f")


def everything(model):
    """Weights, the optimizer's arrays and counters, as bytes."""
    return [array.tobytes() for array in (*model.get_weights(), *model._plans.slots.arrays())], model.optimizer.batches


def line(optimizer, n_threads=1, loss="mse"):
    """One layer whose gradient is x times the derivative of the loss."""
    model = fn.Sequential([fn.Input((2,)), L.Dense(1, kernel_initializer="zeros")], seed=0)
    model.compile(optimizer, loss, n_threads=n_threads)
    return model


#: The loss of the first is 1e36; 1e22 times 1e18 is the gradient. Inputs that no number can be multiplied with but 0.
BAD = np.full((8, 2), 1e22, "f"), np.full((8, 1), 1e18, "f")
GOOD = rows(8, 2), rows(8, 1, seed=1)

OPTIMIZERS = {
    name: getattr(fn.optimizers, name)
    for name in fn.optimizers.__all__
    if isinstance(getattr(fn.optimizers, name), type) and getattr(fn.optimizers, name) is not fn.optimizers.Optimizer
}
AROUND = {
    "clipnorm": {"clipnorm": 1.0}, "clipvalue": {"clipvalue": 1.0}, "global_clipnorm": {"global_clipnorm": 1.0},
    "ema": {"use_ema": True}, "swa": {"swa_start": 0}, "lookahead": {"lookahead_steps": 1}, "decay": {"weight_decay": 0.1},
    "accumulation": {"gradient_accumulation_steps": 3},
}  # fmt: skip


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("make", [*OPTIMIZERS.values(), *(lambda given=given: fn.optimizers.SGD(0.01, momentum=0.9, **given)
                                                         for given in AROUND.values())],
                         ids=[*OPTIMIZERS, *AROUND])  # fmt: skip
def test_nothing_changes(make, n_threads):
    """Weights, slots and counters are, bit by bit, those from before the step: in fit, its last step, and train_on_batch."""
    model = line(make(), n_threads)
    model.fit(*GOOD, epochs=2, verbose=0)
    model.set_weights([np.zeros((2, 1)), np.zeros(1)])
    model._plans.slots.follow()  # averages of weights that were set begin anew: not what is asked here
    before, step = everything(model), model.optimizer.batches
    for call in (lambda: model.fit(*BAD, epochs=3, verbose=0), lambda: model.fit(*BAD, verbose=0)):
        with pytest.raises(FloatingPointError, match="gradient (became|is) infinite or nan"):
            call()
        assert everything(model) == before
        model._epochs_begun = 0
    if not model.optimizer.full_batch:
        with pytest.raises(FloatingPointError, match=GRADIENT.format(step)):
            model.train_on_batch(*BAD)
        assert everything(model) == before
    model.fit(*GOOD, verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


LAYERS = {
    "dense": lambda: [fn.Input((5,)), L.Dense(7)],
    "dense at once": lambda: [fn.Input((40,)), L.Dense(128)],
    "dense in blocks": lambda: [fn.Input((100,)), L.Dense(300)],
    "dense bias": lambda: [fn.Input((100,)), L.Dense(300, kernel_initializer="zeros")],
    "convolution": lambda: [fn.Input((6, 6, 2)), L.Conv2D(3, 3), L.Flatten()],
    "depthwise": lambda: [fn.Input((6, 6, 2)), L.DepthwiseConv2D(3), L.Flatten()],
    "embedding": lambda: [fn.Input((4,)), L.Embedding(9, 3), L.Flatten()],
    "large embedding": lambda: [fn.Input((4,)), L.Embedding(5000, 3), L.Flatten()],
    "lazy embedding": lambda: [fn.Input((4,)), L.Embedding(11, 3), L.Flatten()],
    "large lazy embedding": lambda: [fn.Input((4,)), L.Embedding(5001, 3), L.Flatten()],
    "lstm": lambda: [fn.Input((4, 3)), L.LSTM(5)],
    "gru": lambda: [fn.Input((4, 3)), L.GRU(5)],
    "rnn": lambda: [fn.Input((4, 3)), L.SimpleRNN(5)],
    "batch normalization": lambda: [fn.Input((6,)), L.BatchNormalization()],
    "layer normalization": lambda: [fn.Input((6,)), L.LayerNormalization()],
    "group normalization": lambda: [fn.Input((6,)), L.GroupNormalization(2)],
    "transposed convolution": lambda: [fn.Input((6, 6, 2)), L.Conv2DTranspose(3, 3), L.Flatten()],
    "position embedding": lambda: [fn.Input((6, 3)), L.PositionEmbedding(6), L.Flatten()],
}


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_every_layer(layers, n_threads):
    """The target is near the prediction, and the weight of the loss so large that the loss is 1e37: the gradient is larger."""
    parts = layers()
    lazy = getattr(parts[1], "input_dim", 0) in (11, 5001)
    model = fn.Sequential([*parts, L.Dense(1, name="last")], seed=0)
    x = np.abs(rows(20, *model.input.sample_shape)) + 0.1
    if isinstance(parts[1], L.Embedding):
        x = np.random.default_rng(0).integers(0, parts[1].input_dim, x.shape)
    model.get_layer("last").trainable = False
    target = model.forward(x) + 1e-3
    model.compile(fn.optimizers.Adam(lazy=lazy), "mse", loss_weights=1e37 / 1e-6, n_threads=n_threads)
    before = everything(model)
    with pytest.raises(FloatingPointError, match=GRADIENT.format(0)):
        model.train_on_batch(x, target)
    assert everything(model) == before
    model.compile(fn.optimizers.Adam(lazy=lazy), "mse", n_threads=n_threads)
    model.train_on_batch(x, target)
    assert everything(model) != before and all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize("n_threads", [1, 2, 3, None])
@pytest.mark.parametrize("column", [0, 63])
def test_shards(column, n_threads):
    """It overflows in the columns of one shard alone, in step 20 of a long call: all threads stop before that step."""

    def make(n_threads):
        model = fn.Sequential([fn.Input((64,)), L.Dense(64, "relu"), L.Dense(96, "relu"), L.Dense(10)], seed=3)
        loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(fn.optimizers.Adam(1e-3), loss, metrics=["accuracy"], loss_weights=1e6, n_threads=n_threads)
        model.layers[0].kernel[0] = 0  # what meets the inputs that are too large
        second = model.layers[1].kernel
        second[np.arange(64) != column] *= 1e-9  # so that one unit has a gradient
        return model

    x, y = rows(32 * 40, 64), np.random.default_rng(1).integers(0, 10, 32 * 40)
    x[:, 0] = 0
    x[32 * 20 : 32 * 21, 0] = 1e36
    model, shorter = make(n_threads), make(1)
    with pytest.raises(FloatingPointError, match=GRADIENT.format(20)):
        model.fit(x, y, batch_size=32, shuffle=False, verbose=0)
    shorter.fit(x[: 32 * 20], y[: 32 * 20], batch_size=32, shuffle=False, verbose=0)
    assert everything(model) == everything(shorter) and model.optimizer.batches == 20
    if n_threads == 2:
        assert model._latest_plan().info()["peer_steps"] >= 20


def test_custom_loop():
    """Gradients that the caller has written to."""
    model = line(fn.optimizers.Adam(0.1))
    for bad in (np.inf, -np.inf, np.nan):
        model.forward(GOOD[0])
        model.backward(np.ones((8, 1)))
        before = everything(model)
        model.gradients[1][0] = bad
        with pytest.raises(FloatingPointError, match=GRADIENT.format(0)):
            model.apply_gradients()
        assert everything(model) == before


def test_custom_losses_and_many():
    """A loss of one's own, and one of several models trained at once."""
    model = line("adam", loss=lambda y, p: (1.0, np.full_like(p, 1e20)))
    before = everything(model)
    with pytest.raises(FloatingPointError, match=GRADIENT.format(0)):
        model.fit(np.full((8, 2), 1e22), np.zeros(8), verbose=0)
    assert everything(model) == before
    models = [line("adam") for _ in range(2)]
    before = everything(models[0])
    with pytest.raises(fn.FitManyError, match=GRADIENT.format(0)) as caught:
        fn.fit_many(models, fn.PerModel([BAD[0], GOOD[0]]), fn.PerModel([BAD[1], GOOD[1]]))
    assert list(caught.value.errors) == [0] and everything(models[0]) == before


# ---- norms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
@pytest.mark.parametrize("dtype, scale", [("float32", 1e23), ("float32", 1e38), ("float64", 1e23), ("float64", 1e150)])
@pytest.mark.parametrize("n", [3, 40, 5000])
def test_clipping_by_a_norm_whose_squares_overflow(clip, dtype, scale, n):
    """g / |g| in NumPy's float64."""
    model = fn.Sequential([fn.Input((n,)), L.Dense(1, use_bias=False)], seed=0, dtype=dtype)
    model.compile(fn.optimizers.SGD(1.0, **{clip: 1.0}), "mse")
    model.forward(np.ones((1, n)))
    model.backward(np.ones((1, 1)))
    weights = model.get_weights()[0].copy()
    gradient = np.random.default_rng(0).uniform(-1, 1, (n, 1)).astype(dtype)
    model.gradients[0][...] = gradient * dtype_scale(dtype, scale)
    model.apply_gradients()
    expected = gradient.astype(np.float64) / np.linalg.norm(gradient.astype(np.float64))
    np.testing.assert_allclose(weights - model.get_weights()[0], expected, rtol=0, atol=1e-6 if dtype == "float32" else 1e-14)


def dtype_scale(dtype, scale):
    return np.dtype(dtype).type(scale)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop", "lamb"])
def test_the_norm_in_the_history(optimizer):
    """8 rows of (3e10, 4e10) and an error of -1e12: the gradient of their mean square is 2e12 (3e10, 4e10, 1)."""
    model = line(optimizer)
    history = model.fit(np.full((8, 2), (3e10, 4e10)), np.full(8, 1e12), verbose=0).quantities
    assert history["gradient_norm"][0] == pytest.approx(1e23, rel=1e-6)


# ---- steps that are too large ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("make", [fn.optimizers.SGD, lambda rate: fn.optimizers.SGD(rate, momentum=0.9), fn.optimizers.Adam,
                                  fn.optimizers.RMSprop, fn.optimizers.Lion],
                         ids=["sgd", "momentum", "adam", "rmsprop", "lion"])  # fmt: skip
@pytest.mark.parametrize("last", [0, 7])
def test_an_infinite_step_is_reported(make, last, n_threads):
    """Also where it is the last one of the call, after which no loss is computed. The optimizer has made it."""
    model = line(make(lambda step: 1e39 if step == last else 1e-3), n_threads)
    x, y = rows(8 * (last + 1), 2) + 3, rows(8 * (last + 1), 1) - 1e3
    message = f"weights became infinite or nan at step {last}, though loss and gradient did not"
    with pytest.raises(FloatingPointError, match=message):
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    assert model.optimizer.iterations == last + 1 and not all(np.isfinite(weight).all() for weight in model.get_weights())


def test_what_lies_between_weights_does_not_count():
    """With epsilon 0, Adam divides 0 by 0 in the numbers that fill up a line."""
    model = line(fn.optimizers.Adam(0.01, epsilon=0.0))
    model.fit(*GOOD, epochs=3, verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
