"""Regularizers, constraints, initializers and activations that are functions or classes of the user's."""

import inspect

import numpy as np
import pytest
from test_configs import REQUIRED

import fastnet as fn
from fastnet.layers._registry import LAYERS

ops = fn.ops
SHAPES = [(6,), (6, 4), (6, 6, 3), (4, 4, 4, 2), (2, 4, 4, 4, 1)]


def arguments_of(cls):
    """The names of all arguments, those of bases included."""
    return {name for base in cls.__mro__ if "__init__" in vars(base) for name in inspect.signature(base.__init__).parameters}


def taking(ending):
    """(layer, argument) for all layers that take a regularizer, a constraint, ..."""
    layers = {cls for cls in LAYERS.values() if not cls.__name__.endswith("Cell")}  # those are parts of others
    found = {(cls, name) for cls in layers for name in arguments_of(cls) if name.endswith(ending)}
    return sorted((one for one in found if one[1] != "activity_regularizer"), key=lambda one: (one[0].__name__, one[1]))


def square(w):
    return 0.05 * ops.sum(ops.square(w))


class Squares(fn.regularizers.Regularizer):
    def __init__(self, strength):
        self.strength = strength

    def __call__(self, x):
        return self.strength * ops.sum(x * x)


def not_negative(w):
    return ops.maximum(w, 0.0)


#: NaN where a weight is below 0.
ROOTS = {"operations": ops.sqrt, "arrays": lambda w: np.sqrt(np.array(w))}


class NotNegativeOfArrays(fn.constraints.Constraint):
    def __call__(self, w):
        return np.maximum(w, 0)


def make_model(cls, **options):
    """A model of one such layer on the first shape that it takes, and data."""
    random, errors = np.random.default_rng(0), []
    for shape in SHAPES:
        try:
            layer = cls(**{**REQUIRED.get(cls, {}), **options})
            x = fn.Input(shape)
            y = (
                layer([x, x, x])
                if cls.__name__ == "AdditiveAttention"
                else layer(x, x)
                if "Attention" in cls.__name__
                else layer(x)
            )
            y = fn.layers.Flatten()(y[0] if isinstance(y, list) else y) if len(y.shape) > 2 else y
            model = fn.Model(x, fn.layers.Dense(2)(y), seed=0, dtype="float64")
            data = random.integers(0, 3, (30, *shape)) if "Embedding" in cls.__name__ else random.normal(size=(30, *shape))
            return model, data, random.normal(size=(30, 2))
        except (ValueError, TypeError) as error:
            errors.append(error)
    raise AssertionError(f"{cls.__name__}: {errors}")


def trained(cls, optimizer="adam", **options):
    """Weights, history and losses after some steps."""
    model, x, y = make_model(cls, **options)
    model.compile(optimizer, "mse", metrics=["mae"])
    history = model.fit(x, y, batch_size=8, epochs=3, validation_split=0.2, verbose=0).quantities
    history.pop("seconds")
    return np.concatenate([weight.ravel() for weight in model.get_weights()]), history, model.evaluate(x, y)


def assert_alike(found, expected):
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-9)
    assert found[1].keys() == expected[1].keys()
    for name, values in expected[1].items():
        np.testing.assert_allclose(found[1][name], values, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize(("cls", "argument"), taking("_regularizer"))
def test_a_function_penalizes_as_the_class_that_it_computes(cls, argument):
    """In every layer: weights, losses of training, of validation and of evaluate, the norm of the gradient."""
    expected = trained(cls, **{argument: fn.regularizers.L2(0.05)})
    assert_alike(trained(cls, **{argument: square}), expected)
    if "bias" not in argument:  # which begins at 0
        assert abs(expected[2][0] - trained(cls)[2][0]) > 1e-6


@pytest.mark.parametrize(("cls", "argument"), taking("_constraint"))
def test_a_function_constrains_as_the_class_that_it_computes(cls, argument):
    expected = trained(cls, **{argument: fn.constraints.NonNeg()})
    assert_alike(trained(cls, **{argument: not_negative}), expected)
    assert_alike(trained(cls, **{argument: NotNegativeOfArrays()}), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": fn.optimizers.SGD(0.05, momentum=0.9, clipnorm=0.1)},
        {"optimizer": fn.optimizers.Adam(0.01, gradient_accumulation_steps=3)},
        {"optimizer": fn.optimizers.AdamW(0.01, use_ema=True, ema_momentum=0.8)},
        {"optimizer": fn.optimizers.SGD(fn.schedules.CosineDecay(0.05, 20))},
        {"optimizer": fn.optimizers.LBFGS()},
    ],
    ids=lambda options: type(options["optimizer"]).__name__,
)
def test_with_optimizers(options):
    """Clipping sees the penalty, steps of several batches have it once, averages are of what has been constrained."""
    make = type(options["optimizer"]).from_config
    config = options["optimizer"].get_config()
    for given, known in (
        ({"kernel_regularizer": Squares(0.05)}, {"kernel_regularizer": fn.regularizers.L2(0.05)}),
        ({"kernel_constraint": not_negative}, {"kernel_constraint": fn.constraints.NonNeg()}),
    ):
        if make.__self__.full_batch and "kernel_constraint" in given:
            continue  # which test_full_batch.py refuses
        found, expected = (trained(fn.layers.Dense, make(config), **one) for one in (given, known))
        assert_alike(found, expected)


@pytest.mark.parametrize("loss", ["mse", lambda t, p: ops.mean((t - p) ** 2, axis=-1),
                                  lambda t, p: (float(np.mean((p - t) ** 2)), 2 * (p - t) / p.size)], ids=["engine", "formula", "arrays"])  # fmt: skip
def test_with_every_kind_of_loss_and_call(loss):
    found = []
    for penalty in (square, fn.regularizers.L2(0.05)):
        model, x, y = make_model(fn.layers.Dense, kernel_regularizer=penalty, bias_constraint=not_negative, units=5)
        model.compile(fn.optimizers.Adam(0.01), loss)
        losses = [model.train_on_batch(x[:10], y[:10]) for _ in range(3)]
        losses += [model.evaluate(x, y), *model.fit(x, y, batch_size=7, verbose=0, epochs=2).history["loss"]]
        output = model.forward(x[:5])
        model.backward(output - y[:5])
        model.apply_gradients()
        found.append((losses, np.concatenate([weight.ravel() for weight in model.get_weights()])))
        assert (model.layers[0].bias >= 0).all()
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-10)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-9, atol=1e-12)


def test_a_penalty_of_its_own_against_finite_differences():
    """One that no class has: of neighbouring rows and a constant array."""
    far = np.arange(24.0).reshape(6, 4) / 10

    def penalty(w):
        return (
            ops.sum(ops.tanh(w[1:] - w[:-1]) ** 2)
            + ops.mean(ops.abs(w - far))
            + 0.1 * ops.logsumexp(ops.matmul(w, ops.transpose(w)))
        )

    def reference(w):
        products = w @ w.T
        return (np.tanh(w[1:] - w[:-1]) ** 2).sum() + np.abs(w - far).mean() + 0.1 * np.log(np.exp(products).sum())

    model, x, y = make_model(fn.layers.Dense, units=4, kernel_regularizer=penalty)
    model.compile(fn.optimizers.SGD(1.0), "mse", loss_weights=0.0)
    before = model.layers[0].kernel.copy()
    loss = model.train_on_batch(x, y)
    assert loss == pytest.approx(reference(before), rel=1e-12)
    slope = np.zeros_like(before)
    for i in np.ndindex(before.shape):
        step = np.zeros_like(before)
        step[i] = 1e-6
        slope[i] = (reference(before + step) - reference(before - step)) / 2e-6
    np.testing.assert_allclose(before - model.layers[0].kernel, slope, rtol=1e-6, atol=1e-8)


def test_frozen_layers_shared_layers_and_checkpoints(tmp_path):
    """As other penalties: not of frozen weights, once of those that are used twice; and training goes on from a file."""
    dense, x = fn.layers.Dense(4, kernel_regularizer=square), fn.Input((4,))
    model = fn.Model(x, dense(dense(x)), seed=0, dtype="float64")
    model.compile("sgd", "mse")
    data = np.random.default_rng(0).normal(size=(20, 4))
    plain = ((model.predict(data) - data) ** 2).mean()
    assert model.evaluate(data, data) == pytest.approx(plain + 0.05 * (dense.kernel**2).sum())
    dense.trainable = False
    assert model.evaluate(data, data) == pytest.approx(plain)

    def fit(epochs, **options):
        model, x, y = make_model(fn.layers.Dense, kernel_regularizer=Squares(0.05), kernel_constraint=NotNegativeOfArrays())
        model.compile("adam", "mse")
        callbacks = [fn.callbacks.TrainingCheckpoint(tmp_path / "state", every_steps=2)]
        model.fit(x, y, batch_size=7, epochs=epochs, verbose=0, callbacks=callbacks, **options)
        return model.get_weights()

    whole = fit(4)
    fit(2)
    for a, b in zip(whole, fit(4, resume_from=tmp_path / "state")):
        np.testing.assert_array_equal(a, b)


def test_steps_do_not_depend_on_threads_or_other_models():
    found = []
    for n_threads in (1, 2, 3):
        model, x, y = make_model(fn.layers.Dense, units=40, kernel_regularizer=square, bias_constraint=not_negative)
        model.compile("adam", "mse", n_threads=n_threads)
        model.fit(x, y, batch_size=8, epochs=2, verbose=0)
        found.append(np.concatenate([weight.ravel() for weight in model.get_weights()]))
    models = [make_model(fn.layers.Dense, units=40, kernel_regularizer=square, bias_constraint=not_negative) for _ in range(3)]
    for model, _, _ in models:
        model.compile("adam", "mse")
    fn.fit_many([model for model, _, _ in models], x, y, batch_size=8, epochs=2, verbose=0)
    found += [np.concatenate([weight.ravel() for weight in model.get_weights()]) for model, _, _ in models]
    for one in found[1:]:
        np.testing.assert_array_equal(one, found[0])


# ---- initializers and activations ---------------------------------------------------------------------------------


class Halves(fn.initializers.Initializer):
    """As written for Keras: without a generator."""

    def __call__(self, shape, dtype=None):
        return np.full(shape, 0.5, dtype)


@pytest.mark.parametrize(("cls", "argument"), taking("_initializer"))
def test_functions_and_classes_initialize(cls, argument):
    expected = trained(cls, **{argument: fn.initializers.Constant(0.5)})
    assert_alike(trained(cls, **{argument: lambda shape, dtype=None: np.full(shape, 0.5, dtype)}), expected)
    assert_alike(trained(cls, **{argument: Halves()}), expected)


def silu(x):
    return x * ops.sigmoid(x)


@pytest.mark.parametrize(
    "cls", sorted({cls for cls in set(LAYERS.values()) if "activation" in arguments_of(cls)}, key=lambda cls: cls.__name__)
)
def test_functions_are_activations(cls):
    if "recurrent_activation" in arguments_of(cls) or "RNN" in cls.__name__:
        with pytest.raises(ValueError, match="activation must be one of the engine's activations"):
            cls(**{**REQUIRED[cls], "activation": silu})
        assert (
            cls(**{**REQUIRED[cls], "activation": ops.tanh}).activation
            == cls(**{**REQUIRED[cls], "activation": "tanh"}).activation
        )
        return
    assert_alike(trained(cls, activation=silu), trained(cls, activation="silu"))
    assert_alike(trained(cls, activation=ops.softmax), trained(cls, activation="softmax"))


# ---- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"kernel_regularizer": lambda w: np.sum(w**2)}, TypeError, "regularizer of weight 'dense/kernel' cannot be traced"),
        ({"kernel_regularizer": lambda w: 3.0}, TypeError, "regularizer of weight 'dense/kernel' returns 3.0"),
        ({"kernel_regularizer": ops.square}, ValueError, r"returns an array of shape \(6, 3\), expected \(\)"),
        ({"kernel_constraint": lambda w: ops.sum(w)}, ValueError, r"returns an array of shape \(\), expected \(6, 3\)"),
        ({"bias_constraint": lambda w: np.zeros(2)}, ValueError, r"returns shape \(2,\), expected \(3,\)"),
        ({"kernel_regularizer": lambda w: ops.log(-ops.sum(w**2))}, FloatingPointError, "the loss became nan at step 0"),
        ({"kernel_initializer": lambda shape, dtype=None: np.zeros(3)}, ValueError, r"array of shape \(3,\), expected \(6, 3\)"),
        ({"activation": lambda x: 3}, TypeError, "activation <lambda> returned 3"),
    ],
)
def test_errors_leave_the_weights_as_they_were(options, error, message):
    with pytest.raises(error, match=message):
        layer = fn.layers.Dense(3, name="dense", **options)
        model = fn.Sequential([fn.Input((6,)), layer], seed=0)
        model.compile("sgd", "mse")
        before = model.get_weights()
        try:
            model.fit(np.ones((4, 6)), np.ones((4, 3)), verbose=0)
        finally:
            assert model.optimizer.iterations == 0
            for old, new in zip(before, model.get_weights()):
                np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda w: None, r"returns None, expected an array of numbers of shape \(3,\)"),
        (lambda w: 1.0, r"returns shape \(\), expected \(3,\)"),
        (lambda w: np.zeros((3, 1)), r"returns shape \(3, 1\), expected \(3,\)"),
        (lambda w: ["a", "b", "c"], r"returns \['a', 'b', 'c'\], expected an array of numbers"),
        (lambda w: [[1.0], [2.0, 3.0], []], "expected an array of numbers"),
        (lambda w: np.ones(3) * 1j, "expected an array of numbers"),
        (lambda w: np.ones(3) @ np.ones(4), "matmul"),
    ],
)
@pytest.mark.parametrize("call", ["fit", "train_on_batch", "apply_gradients", "own loss"])
def test_what_a_constraint_of_arrays_returns_is_known_before_a_step(returned, message, call):
    layer = fn.layers.Dense(3, name="dense", bias_constraint=returned)
    model = fn.Sequential([fn.Input((6,)), layer, fn.layers.Dense(3)], seed=0)
    model.compile("adam", "mse" if call != "own loss" else lambda t, p: (float(np.mean((p - t) ** 2)), 2 * (p - t) / p.size))
    before, x, y = model.get_weights(), np.ones((4, 6)), np.ones((4, 3))
    with pytest.raises(ValueError, match=message):
        if call == "apply_gradients":
            model.backward(model.forward(x) - y)
            model.apply_gradients()
        else:
            (model.train_on_batch if call == "train_on_batch" else model.fit)(x, y)
    assert model.optimizer.iterations == 0
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(new, old)


def test_where_a_constraint_of_arrays_fails_later_none_is_applied():
    """The step has been made and counted then; no weight is what one constraint made of it while another is not."""
    calls = []

    def fails(w):
        calls.append(np.array(w))  # which cannot be traced
        return w if len(calls) < 3 else None  # called once before the first step, and after each

    def zero(w):
        return np.zeros(w.shape)

    model = fn.Sequential([fn.Input((6,)), fn.layers.Dense(3, kernel_constraint=zero, bias_constraint=fails)], seed=0)
    model.compile(fn.optimizers.SGD(0.5), "mse")
    model.train_on_batch(np.ones((4, 6)), np.ones((4, 3)))
    assert not model.get_weights()[0].any()
    with pytest.raises(ValueError, match="returns None"):
        model.train_on_batch(np.ones((4, 6)), np.ones((4, 3)))
    assert model.optimizer.iterations == 2 and model.get_weights()[0].all()


def test_what_does_not_go_together_says_so(tmp_path):
    constrained, _, _ = make_model(fn.layers.Dense, kernel_constraint=NotNegativeOfArrays())
    step = fn.TrainStep(lambda x: {"loss": (ops.sum(constrained(x) ** 2, axis=-1), constrained)}, [(6,)])
    with pytest.raises(ValueError, match="the constraint of weight 'dense.*/kernel' is a function"):
        step.compile({"loss": "sgd"})
    constrained.compile("sgd", "mse")
    with pytest.raises(NotImplementedError, match="function"):
        constrained.export(tmp_path / "model.c", training=True)
    constrained.export(tmp_path / "model.c")


# ---- as a part of the plan ----------------------------------------------------------------------------------


def test_epochs_with_a_penalty_are_made_without_python(monkeypatch):
    """Only a constraint has its turn between the steps; a penalty is called when a plan is made, and with a Normalization in front."""
    calls = []

    def counted(w):
        calls.append(w)
        return square(w)

    x, y = np.random.default_rng(0).normal(2, 3, (60, 4)), np.ones((60, 1))
    losses = []
    for regularizer in (counted, fn.regularizers.L2(0.05)):
        scaling = fn.layers.Normalization()
        scaling.adapt(x)
        layers = [scaling, fn.layers.Dense(5, "tanh", kernel_regularizer=regularizer), fn.layers.Dense(1)]
        model = fn.Sequential([fn.Input((4,)), *layers], seed=0, dtype="float64")
        model.compile("adam", "mse")
        monkeypatch.setattr(model, "_split_step", None)
        losses.append(model.fit(x, y, batch_size=8, epochs=5, verbose=0).history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-9)
    assert 1 <= len(calls) <= 2


def test_in_steps_of_several_updates():
    """Of a `TrainStep` and of a `train_step`: in the update that trains the weight, as L2 is."""
    x = np.random.default_rng(0).normal(size=(30, 4))

    class Own(fn.Model):
        def train_step(self, data):
            with fn.GradientTape() as tape:
                loss = ops.mean(self(data) ** 2) + sum(self.losses)
            self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
            return {"loss": loss}

    found = []
    for regularizer in (square, fn.regularizers.L2(0.05)):
        inputs = fn.Input((4,))
        first, second = (fn.layers.Dense(3, kernel_regularizer=regularizer) for _ in range(2))
        model = Own(inputs, second(first(inputs)), seed=0, dtype="float64")
        step = fn.TrainStep(
            lambda x, model=model, first=first, second=second: {
                "a": (ops.sum(model(x) ** 2, axis=-1), first), "b": (ops.sum(model(x), axis=-1), second)
            },
            [(4,)], seed=0,
        )  # fmt: skip
        step.compile({"a": "sgd", "b": "adam"})
        history = step.fit([x], batch_size=7, epochs=2, verbose=0).history
        model.compile("adam")
        own = model.fit(x, batch_size=7, epochs=2, verbose=0).history
        found.append([*history["a"], *history["b"], *own["loss"], *np.concatenate([w.ravel() for w in model.get_weights()])])
    np.testing.assert_allclose(*found, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(
    ("kind", "call"),
    [(kind, call) for kind in ROOTS for call in ("fit", "own loss", "train_on_batch", "apply_gradients", "several threads")]
    + [("operations", "TrainStep")],  # which refuses the other
)
def test_a_constraint_that_makes_what_is_not_finite_is_noticed_in_its_step(kind, call):
    """In the step after which a number of the weight is infinite or NaN; of a function of arrays, the weight stays as it was updated."""
    layer = fn.layers.Dense(40, name="dense", kernel_constraint=ROOTS[kind], bias_initializer="ones")
    model = fn.Sequential([fn.Input((6,)), layer, fn.layers.Dense(3)], seed=0)
    loss = "mse" if call != "own loss" else lambda t, p: (float(np.mean((p - t) ** 2)), 2 * (p - t) / p.size)
    model.compile("sgd", loss, n_threads=3 if call == "several threads" else 1)
    x, y = np.ones((20, 6), np.float32), np.ones((20, 3), np.float32)
    if call == "TrainStep":
        step = fn.TrainStep(lambda x: {"loss": (ops.sum(model(x) ** 2, axis=-1), model)}, [(6,)])
        step.compile({"loss": "sgd"})
    with pytest.raises(FloatingPointError, match=r"infinite or nan at step 0.*constraint|constraint.*infinite or nan at step 0"):
        if call == "apply_gradients":
            model.backward(model.forward(x) - y)
            model.apply_gradients()
        elif call == "train_on_batch":
            model.train_on_batch(x, y)
        elif call == "TrainStep":
            step.fit([x], batch_size=5, epochs=1, verbose=0)
        else:
            model.fit(x, y, batch_size=5, verbose=0)
    assert np.isnan(layer.kernel).any() == (kind == "operations")
    if call != "TrainStep":
        assert model.optimizer.iterations == 1
