"""Losses and metrics in `fastnet.ops` in files: a model that is loaded without their source is trained on with the same bits."""

import json

import numpy as np
import pytest

import fastnet as fn

ops, Dense, Input = fn.ops, fn.layers.Dense, fn.Input
RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(24, 5)), RANDOM.normal(size=(24, 3))
LABELS = RANDOM.integers(0, 3, 24)


def squares(y_true, y_pred):
    return ops.mean((y_true - y_pred) ** 2 * np.array([1.0, 2.0, 0.5]), axis=-1)


def labelled(y_true, y_pred):
    return -ops.sum(ops.one_hot(y_true, 3) * ops.log_softmax(y_pred), axis=-1)


def noisy(y_true, y_pred):
    return ops.sum((y_true - y_pred + fn.random.normal(ops.shape(y_pred), 0.0, 0.1)) ** 2, axis=-1)


def with_layers(y_true, y_pred):
    return ops.sum(fn.layers.Softmax()(y_true) * ops.square(fn.layers.Dropout(0.2)(y_pred)), axis=-1)


class Quantile(fn.losses.Loss):
    def __init__(self, q=0.5, **kwargs):
        super().__init__(**kwargs)
        self.q = q

    def call(self, y_true, y_pred):
        error = y_true - y_pred
        return ops.mean(ops.maximum(self.q * error, (self.q - 1) * error), axis=-1)


def worst(y_true, y_pred):
    return ops.max(abs(y_true - y_pred), axis=-1)


def scaled(y_true, y_pred, factor=1.0):
    return factor * ops.mean(y_true - y_pred, axis=-1)


def plain(dtype="float32"):
    return fn.Sequential([Input((5,)), Dense(7, "tanh", name="hidden"), Dense(3, name="head")], seed=0, dtype=dtype)


def reaching():
    """A loss that reads what is in the model, also its input."""
    model = plain()
    (x,), hidden = model.inputs, model.get_layer("hidden").output
    return model, lambda t, p: ops.mean((t - p) ** 2, axis=-1) + 0.1 * ops.sum(hidden**2, axis=-1) + ops.mean(x, axis=-1) ** 2


def gradient_penalty():
    model = plain()
    (x,) = model.inputs
    return model, lambda t, p: ops.sum((t - p) ** 2, axis=-1) + ops.sum(fn.gradients(ops.sum(p, axis=-1), x) ** 2, axis=-1)


def masked():
    x = Input((6, 5))
    return fn.Model(x, Dense(3)(fn.layers.LSTM(4, return_sequences=True)(fn.layers.Masking()(x))), seed=0)


def two_outputs():
    x = Input((5,))
    hidden = Dense(6, "tanh")(x)
    return fn.Model(x, [Dense(3, name="a")(hidden), Dense(1, name="b")(hidden)], seed=0)


SEQUENCES = RANDOM.normal(size=(24, 6, 5))
SEQUENCES[::3, 4:] = 0
STEPS = RANDOM.normal(size=(24, 6, 3))

#: Model, loss, metrics, rows and targets.
CASES = {
    "function": lambda: (plain(), squares, ["mae", worst], X, Y),
    "float64": lambda: (plain("float64"), squares, None, X, Y),
    "class": lambda: (plain(), Quantile(0.3), [fn.metrics.MeanMetricWrapper(scaled, "difference", factor=3.0)], X, Y),
    "class numbers": lambda: (plain(), labelled, ["accuracy"], X, LABELS),
    "random": lambda: (plain(), noisy, None, X, Y),
    "layers": lambda: (plain(), with_layers, None, X, Y),
    "inner values": lambda: (*reaching(), None, X, Y),
    "derivative": lambda: (*gradient_penalty(), None, X, Y),
    "mask": lambda: (masked(), squares, [worst], SEQUENCES, STEPS),
    "outputs": lambda: (two_outputs(), {"a": squares, "b": "mae"}, {"a": [worst], "b": ["mse"]}, X, {"a": Y, "b": Y[:, :1]}),
    "metric alone": lambda: (plain(), "mse", [worst, worst], X, Y),
}  # fmt: skip
CUSTOM = {"squares": squares, "labelled": labelled, "noisy": noisy, "with_layers": with_layers, "Quantile": Quantile, "worst": worst,
          "scaled": scaled}  # fmt: skip


def steps(model, x, y):
    history = model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0).history
    return {name: values for name, values in history.items() if name != "seconds"}


@pytest.mark.parametrize("custom", [{}, CUSTOM], ids=["without", "with"])
@pytest.mark.parametrize("name", CASES)
def test_training_goes_on_with_the_same_bits(name, custom, tmp_path):
    model, loss, metrics, x, y = CASES[name]()
    model.compile(fn.optimizers.Adam(0.01), loss, metrics=metrics)
    model.fit(x, y, batch_size=8, verbose=0)
    model.save(tmp_path / "m", include_optimizer=True)
    loaded = fn.load_model(tmp_path / "m", custom)
    loaded.save(tmp_path / "again", include_optimizer=True)
    again = fn.load_model(tmp_path / "again", {} if custom else CUSTOM)
    if not custom:  # else nothing is known yet of the targets that there will be
        assert json.loads(json.dumps(loaded.get_config()["compiled"])) == json.loads(json.dumps(model.get_config()["compiled"]))
    given = loss if callable(loss) else next(iter(loss.values())) if isinstance(loss, dict) else None
    if custom and getattr(given, "__name__", "") in CUSTOM:
        assert given in (loaded._compiled.given[0], *(loaded._compiled.given[0].values() if isinstance(loss, dict) else ()))
    if custom and isinstance(loss, fn.losses.Loss):
        assert type(loaded._compiled.given[0]) is type(loss) and loaded._compiled.given[0].q == loss.q
    expected = steps(model, x, y)
    for other in (loaded, again):
        assert steps(other, x, y) == expected
        for a, b in zip(other.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_model_that_was_not_trained(tmp_path):
    """Targets like predictions, or a class number for each, are what it is tried with."""
    for loss, y in ((squares, Y), (labelled, LABELS)):
        model = plain()
        model.compile("sgd", loss)
        model.save(tmp_path / "m")
        loaded = fn.load_model(tmp_path / "m")
        assert loaded.train_on_batch(X, y) == model.train_on_batch(X, y)


def test_other_targets_need_the_source(tmp_path):
    model = fn.Sequential([Input((5,)), Dense(1)], seed=0)
    model.compile("sgd", lambda t, p: ops.mean((t - p) ** 2, axis=-1))
    model.fit(X, Y[:, 0], verbose=0)
    model.save(tmp_path / "m")
    loaded = fn.load_model(tmp_path / "m")
    with pytest.raises(ValueError, match=r"<lambda>, loaded without its source, .* targets of shape \(None, 3\)"):
        loaded.fit(X, Y, verbose=0)
    loaded.compile("sgd", fn.losses.mean_squared_error)  # is a class of the library
    loaded.save(tmp_path / "m")
    assert fn.load_model(tmp_path / "m")._compiled.given[0] == fn.losses.MeanSquaredError()


def test_a_loss_of_a_file_takes_tensors(tmp_path):
    model = plain()
    model.compile("sgd", squares)
    model.save(tmp_path / "m")
    loss = fn.load_model(tmp_path / "m")._compiled.given[0]
    with pytest.raises(TypeError, match="squares was loaded without its source.*custom_objects"):
        loss(Y, Y)


def test_functions_of_arrays_are_left_out(tmp_path):
    model = plain()
    model.compile("sgd", lambda t, p: (float(np.mean((t - p) ** 2)), 2 * (p - t) / p.size))
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m")
    assert fn.load_model(tmp_path / "m")._compiled is None
    model.compile("sgd", "mse", metrics=[lambda t, p: np.abs(t - p).max(axis=-1)])
    model.save(tmp_path / "m")
    assert fn.load_model(tmp_path / "m")._compiled is None


def damage(change):
    def run(description):
        change(description["compiled"]["loss"]["traced"][0])

    return run


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: one["call"]["steps"][0].update(inputs=[9]), "step 0: input 0 is of 9"),
        (lambda one: one["call"]["steps"][0].update(op="nothing"), "no operation 'nothing'"),
        (lambda one: one.update(case="x"), "was not computed for targets"),
        (lambda one: one.update(ancestors=[{"place": -1}]), "refers to number -1"),
        (lambda one: one.update(ancestors=[{"place": 0, "op": "none", "shape": []}]), "a value of another model"),
        (lambda one: one.pop("call"), "'call' is missing"),
        (lambda one: one["weights"].clear(), "has no weight 'constant'"),
    ],
)
def test_damaged_files_are_told(change, words, tmp_path):
    """At the latest when the loss is used."""
    model = plain()
    model.compile("sgd", squares)
    model.save(tmp_path / "m")
    tensors, metadata = fn.saving.read_tensors(tmp_path / "m")
    description = json.loads(metadata["fastnet"])
    damage(change)(description)
    fn.saving.write_tensors(tmp_path / "m", tensors, {**metadata, "fastnet": json.dumps(description)})
    with pytest.raises(ValueError, match=words):
        fn.load_model(tmp_path / "m").evaluate(X, Y)
