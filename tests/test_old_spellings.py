"""Spellings of older versions of Keras work, say the new one, and mean the same."""

import inspect
import os

import numpy as np
import pytest

import fastnet as fn

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 3)), RNG.normal(size=12)


def built(*layers):
    return fn.Sequential(list(layers), seed=0)


FIRST = [
    (lambda **old: fn.layers.Dense(4, **old), {"input_shape": (3,)}, (3,)),
    (lambda **old: fn.layers.Dense(4, **old), {"input_dim": 3}, (3,)),
    (lambda **old: fn.layers.Dense(4, **old), {"batch_input_shape": (None, 3)}, (3,)),
    (lambda **old: fn.layers.Flatten(**old), {"input_shape": (2, 3)}, (2, 3)),
    (lambda **old: fn.layers.Flatten(**old), {"input_shape": [2, 3]}, (2, 3)),
    (lambda **old: fn.layers.Conv2D(2, 3, **old), {"input_shape": (8, 8, 1)}, (8, 8, 1)),
    (lambda **old: fn.layers.Conv1D(2, 3, **old), {"input_shape": (8, 2)}, (8, 2)),
    (lambda **old: fn.layers.LSTM(4, **old), {"input_shape": (5, 2)}, (5, 2)),
    (lambda **old: fn.layers.LSTM(4, **old), {"input_length": 5, "input_dim": 2}, (5, 2)),
    (lambda **old: fn.layers.Bidirectional(fn.layers.GRU(2), **old), {"input_shape": (5, 2)}, (5, 2)),
    (lambda **old: fn.layers.TimeDistributed(fn.layers.Dense(2), **old), {"input_shape": (5, 2)}, (5, 2)),
    (lambda **old: fn.layers.Embedding(20, 4, **old), {"input_length": 6}, (6,)),
    (lambda **old: fn.layers.Dropout(0.5, **old), {"input_shape": (3,)}, (3,)),
    (lambda **old: fn.layers.BatchNormalization(**old), {"input_shape": (3,)}, (3,)),
    (lambda **old: fn.layers.Activation("relu", **old), {"input_shape": (3,)}, (3,)),
    (lambda **old: fn.layers.Reshape((3, 1), **old), {"input_shape": (3,)}, (3,)),
]  # fmt: skip


@pytest.mark.parametrize(("make", "old", "shape"), FIRST)
def test_a_first_layer_says_the_shape_of_the_input(make, old, shape):
    with pytest.warns(DeprecationWarning, match=r"is an old spelling: begin the model with keras.Input\(\(.*\)\)") as found:
        layer = make(**old)
    assert len(found) == 1 and found[0].filename == __file__
    assert str(tuple(shape)) in str(found[0].message)
    old_model, new_model = built(layer), built(fn.Input(shape), make())
    assert old_model.built and old_model.inputs[0].shape == (None, *shape)
    for one, other in zip(old_model.get_weights(), new_model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert fn.Sequential.from_config(old_model.get_config()).inputs[0].shape == (None, *shape)
    assert set(old).isdisjoint(layer.get_config())


VALUES = {
    "layer": fn.layers.LSTM(2), "rate": 0.5, "factor": 0.1, "height_factor": 0.1, "width_factor": 0.1, "activation": "relu", "dims": (1,),
    "target_shape": (3,), "function": lambda x: x, "min_value": 0.0,
}  # fmt: skip


def arguments_of(cls):
    return {name: VALUES.get(name, 3) for name, default in cls._arguments().items() if default is ...}


def can_be_made(cls):
    try:
        return bool(cls(**arguments_of(cls)))
    except (TypeError, ValueError):
        return False


LAYERS = {name: cls for name in fn.layers.__all__ if inspect.isclass(cls := getattr(fn.layers, name)) and can_be_made(cls)}


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_takes_it(name):
    """Its constructor hands on what it does not know."""
    with pytest.warns(DeprecationWarning, match=r"input_shape=\(3,\)"):
        assert LAYERS[name](**arguments_of(LAYERS[name]), input_shape=(3,))._given_input == ((3,), None)


def test_there_are_layers_to_look_at():
    assert len(LAYERS) > 80


def test_batches_of_a_fixed_size():
    with pytest.warns(DeprecationWarning):
        layer = fn.layers.LSTM(2, stateful=True, batch_input_shape=(4, 5, 1))
    model = built(layer)
    assert model.inputs[0].batch_size == 4
    assert model.predict(np.ones((4, 5, 1))).shape == (4, 2)


def test_later_layers_and_shapes_that_vary():
    with pytest.warns(DeprecationWarning):
        later, varying = fn.layers.Dense(2, input_shape=(9,)), fn.layers.Dense(2, input_shape=(None, 3))
    assert built(fn.Input((3,)), later).output.shape == (None, 2)
    assert not built(varying).built


def test_shapes_that_are_none():
    for wrong in ({"input_shape": 3}, {"batch_input_shape": 3}):
        with pytest.raises(TypeError, match="Dense: expected a sequence of integers"):
            fn.layers.Dense(2, **wrong)
    with pytest.warns(DeprecationWarning):
        layer = fn.layers.Dense(2, input_shape=("a",))
    with pytest.raises(TypeError, match="positive integer"):
        built(layer)


def test_arguments_that_are_none():
    for make, name in (
        (
            lambda: fn.layers.Dense(2, activaton="relu"),
            "Dense got an unexpected keyword argument 'activaton'; did you mean 'activation'",
        ),
        (lambda: fn.optimizers.Adam(epsilonn=1), "Adam got an unexpected keyword argument 'epsilonn'; did you mean 'epsilon'"),
        (lambda: fn.optimizers.SGD(foo=1), "SGD got an unexpected keyword argument 'foo'$"),
        (lambda: fn.optimizers.pytorch.SGD(decay=0.1), "unexpected keyword argument 'decay'"),
        (lambda: fn.layers.Layer(foo=1), "Layer got an unexpected keyword argument 'foo'"),
    ):
        with pytest.raises(TypeError, match=name):
            make()


def test_the_dtype_of_a_layer():
    assert (
        fn.layers.Dense(2, dtype="float32").units == 2 and fn.layers.Dense(2, dtype=np.float32) and fn.layers.Dense(2, dtype=None)
    )
    with pytest.raises(ValueError, match="in the dtype of its model"):
        fn.layers.Dense(2, dtype="float16")


# ---- optimizers ------------------------------------------------------------------------------------------


def trained(optimizer, epochs=3, callbacks=None):
    model = built(fn.Input((3,)), fn.layers.Dense(1))
    model.compile(optimizer, "mse")
    history = model.fit(X, Y, batch_size=4, epochs=epochs, verbose=0, callbacks=callbacks)
    return model.get_weights(), history.quantities["learning_rate"]


@pytest.mark.parametrize("name", sorted(
    name for name in fn.optimizers.__all__
    if inspect.isclass(cls := getattr(fn.optimizers, name)) and "learning_rate" in cls._arguments() and name != "LBFGS"
))  # fmt: skip
def test_lr_is_the_learning_rate(name):
    cls = getattr(fn.optimizers, name)
    with pytest.warns(DeprecationWarning, match=rf"{name}\(lr=\) is an old spelling: {name}\(learning_rate=0.01\)") as found:
        old = cls(lr=0.01)
    assert found[0].filename == __file__ and old == cls(learning_rate=0.01)
    with pytest.warns(DeprecationWarning, match="use learning_rate"):
        assert old.lr == 0.01
    with pytest.warns(DeprecationWarning, match="use learning_rate"):
        old.lr = 0.5
    assert old.learning_rate == 0.5 and type(old.get_config()["learning_rate"]) is not dict


def test_decay_is_a_schedule():
    with pytest.warns(DeprecationWarning, match="InverseTimeDecay"):
        old = fn.optimizers.SGD(0.1, decay=0.5, momentum=0.9)
    new = fn.optimizers.SGD(fn.schedules.InverseTimeDecay(0.1, 1, 0.5), momentum=0.9)
    assert [float(old.learning_rate(step)) for step in range(3)] == pytest.approx([0.1, 0.1 / 1.5, 0.1 / 2])
    for one, other in zip(trained(old)[0], trained(new)[0], strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.warns(DeprecationWarning):
        assert fn.optimizers.SGD(lr=0.1, decay=0.0) == fn.optimizers.SGD(0.1)


@pytest.mark.parametrize("how", ["lr", "learning_rate", "assign"])
def test_a_rate_that_a_callback_sets_acts(how):
    class Halve(fn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            optimizer = self.model.optimizer
            if how == "assign":
                optimizer.learning_rate.assign(optimizer.learning_rate * 0.5)
            elif how == "learning_rate":
                optimizer.learning_rate = float(optimizer.learning_rate) * 0.5
            else:
                with pytest.warns(DeprecationWarning):
                    optimizer.lr = optimizer.lr / 2

    weights, rates = trained(fn.optimizers.SGD(0.2), callbacks=[Halve()])
    assert rates == pytest.approx([0.2, 0.1, 0.05])
    expected, _ = trained(fn.optimizers.SGD(lambda step: 0.2 * 0.5 ** (step // 3)))
    for one, other in zip(weights, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_the_rate_as_a_number():
    optimizer = fn.optimizers.Adam(0.01)
    rate = optimizer.learning_rate
    assert (float(rate), rate.numpy(), np.asarray(rate), f"{rate:.3f}", repr(rate)) == (0.01, 0.01, 0.01, "0.010", "0.01")
    rate.assign(0.5)
    assert optimizer.learning_rate == 0.5 and rate == 0.01
    with pytest.raises(ValueError, match="learning_rate"):
        rate.assign(-1.0)
    assert optimizer.learning_rate == 0.5
    schedule = fn.schedules.CosineDecay(0.1, 10)
    assert fn.optimizers.Adam(schedule).learning_rate is schedule


def test_the_warning_names_the_line_of_the_program(tmp_path):
    """Not one of the package, so that it is shown."""
    script = tmp_path / "script.py"
    script.write_text("import fastnet as fn\n\nlayer = fn.layers.Dense(3, input_dim=2)\noptimizer = fn.optimizers.SGD(lr=0.1)\n")
    with pytest.warns(DeprecationWarning) as found:
        exec(compile(script.read_text(), str(script), "exec"), {})
    assert [(os.path.basename(one.filename), one.lineno) for one in found] == [("script.py", 3), ("script.py", 4)]
