"""Models and weights on disk: what is read back computes the same bits; what is broken is rejected."""

import json
import os

import numpy as np
import pytest
from networks import classes, network, regression, rejects, rows, same_weights
from safetensors import safe_open
from test_configs import REQUIRED, called, classes_of, input_for, is_merge, samples_for, variants

import fastnet as fn
from fastnet import activations, layers, losses, optimizers, saving, schedules


def saved(model, path, **options):
    model.save(path)
    return fn.load_model(path, **options)


def assert_same(model, loaded, n=7, x=None):
    """The same layers, weights and predictions: of the arrays x, or of n random rows."""
    assert type(loaded) is (fn.Sequential if isinstance(model, fn.Sequential) else fn.Model)
    assert (loaded.name, loaded.seed, loaded.dtype) == (model.name, model.seed, model.dtype)
    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]
    assert [layer.get_config() for layer in loaded.layers] == [layer.get_config() for layer in model.layers]
    assert [weight.path for weight in loaded.weights] == [weight.path for weight in model.weights]
    assert loaded.input_names == model.input_names and loaded.output_names == model.output_names
    assert same_weights(model, loaded)
    if x is None:
        x = [rows(n, int(np.prod(tensor.sample_shape))).reshape(n, *tensor.sample_shape) for tensor in model.inputs]
    x = [np.abs(array).astype(int) if id(tensor) in model._labels else array for array, tensor in zip(x, model.inputs)]
    found = [one if isinstance(one, list) else [one] for one in (model.predict(x), loaded.predict(x))]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(*found, strict=True))


def shuffled(model):
    """The model with weights that no initializer gives."""
    rng = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(rng.uniform(0.1, 1.0, weight.shape))
    return model


# ---- there and back ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sequential(tmp_path, dtype):
    model = shuffled(network(8, 5, 3, last="softmax", activation="relu", dtype=dtype))
    assert_same(model, saved(model, tmp_path / "m.safetensors"))


def test_functional_with_several_inputs_and_outputs(tmp_path):
    a, b = fn.Input((4,), name="left"), fn.Input((2, 3))
    one = layers.Dense(3, "tanh", name="mine")(a)
    two = layers.Flatten()(b)
    both = layers.Concatenate()([one, two])
    outputs = [layers.Dense(2, name="x")(both), layers.Softmax()(layers.Dense(3)(both)), one]
    model = shuffled(fn.Model([a, b], outputs, seed=9, name="two"))
    assert_same(model, saved(model, tmp_path / "m"))


def test_a_layer_used_twice_remains_one(tmp_path):
    a, b = fn.Input((4,)), fn.Input((4,))
    layer = layers.Dense(4, "tanh")
    model = shuffled(fn.Model([a, b], layers.Subtract()([layer(layer(a)), layer(b)]), seed=1))
    loaded = saved(model, tmp_path / "m")
    assert_same(model, loaded)
    assert len(loaded.layers) == 2 and len(loaded._graph.calls) == 4
    loaded.compile("sgd", "mse")
    model.compile("sgd", "mse")
    for one in (model, loaded):
        one.fit([rows(9, 4), rows(9, 4, 1)], rows(9, 4, 2), epochs=2, verbose=0)
    assert same_weights(model, loaded)


def test_nested_models(tmp_path):
    inner = fn.Sequential([fn.Input((5,)), layers.Dense(4, "relu"), layers.Dense(3)], seed=2)
    x = fn.Input((5,))
    model = shuffled(fn.Model(x, layers.Dense(2)(layers.Add()([inner(x), layers.Dense(3)(x)])), seed=3))
    assert_same(model, saved(model, tmp_path / "m"))
    outer = shuffled(fn.Sequential([fn.Input((5,)), layers.Dense(5), inner, layers.Dense(1)], seed=3))
    assert_same(outer, saved(outer, tmp_path / "m"))


def test_an_input_may_be_an_output(tmp_path):
    x = fn.Input((3,))
    model = fn.Model(x, [layers.ReLU()(x), layers.Dense(1)(x)], seed=0)
    assert_same(model, saved(model, tmp_path / "m"))


def test_frozen_layers_stay_frozen(tmp_path):
    model = network(4, 3, 1)
    model.layers[0].trainable = False
    loaded = saved(model, tmp_path / "m")
    assert [layer.trainable for layer in loaded.layers] == [False, True, True]


@pytest.mark.parametrize("cls", classes_of("layer"), ids=lambda cls: cls.__name__)
def test_every_layer_with_every_argument(tmp_path, cls):
    tried = 0
    for arguments, changed in variants(cls):
        if cls is layers.Dense and changed == "bias_initializer" and arguments["units"] != 3:
            continue
        tensors = [input_for(cls, changed) for _ in range(1 + is_merge(cls))]
        model = shuffled(
            fn.Model(tensors, cls(**arguments)(tensors) if is_merge(cls) else called(cls(**arguments), tensors[0]), seed=3)
        )
        x = [samples_for(cls, tensor.sample_shape) for tensor in model.inputs]
        assert_same(model, saved(model, tmp_path / "m"), x=x)
        tried += 1
    assert tried > len(REQUIRED.get(cls, {}))


def test_what_scaling_layers_have_learnt(tmp_path):
    scaling = [layers.Normalization(), layers.MinMaxScaling()]
    for layer in scaling:
        layer.adapt(100 * rows(50, 4) + 3)
        model = shuffled(fn.Sequential([fn.Input((4,)), layer, layers.Dense(3, "relu"), layers.Dense(1)], seed=0))
        model.compile("sgd", "mse")
        loaded = saved(model, tmp_path / "m")
        assert_same(model, loaded)
        assert trained_alike(model, loaded, rows(20, 1))


@pytest.mark.parametrize(
    "activation", [*activations.ACTIVATIONS, layers.LeakyReLU(0.07), layers.ELU(0.4), layers.GELU(True)], ids=str
)
def test_every_activation(tmp_path, activation):
    model = shuffled(network(5, 3, activation=activation, last=activation))
    assert_same(model, saved(model, tmp_path / "m"))


# ---- what compile was told ----------------------------------------------------------------------------------


def trained_alike(model, loaded, y, epochs=3):
    """Whether both train to the same bits from the same weights."""
    before = model.get_weights()
    for one in (model, loaded):
        one.set_weights(before)
        one.fit(rows(20, 4), y, batch_size=6, epochs=epochs, verbose=0)
    assert not same_weights(model, before)
    return same_weights(model, loaded) and model.history.history["loss"] == loaded.history.history["loss"]


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_every_optimizer(tmp_path, name):
    model = regression(5, 1, optimizer=name)
    loaded = saved(model, tmp_path / "m")
    assert type(loaded.optimizer) is type(model.optimizer) and loaded.optimizer == model.optimizer
    assert trained_alike(model, loaded, rows(20, 1))


SCHEDULES = [
    schedules.CosineDecay(0.1, 10),
    schedules.LinearWarmup(schedules.ExponentialDecay(0.1, 3, 0.5, staircase=True), 4),
    0.5 * schedules.Sequential([schedules.Constant(0.1), schedules.StepDecay(0.2, 2)], [3]) + 0.01,
    schedules.PiecewiseConstantDecay([2, 5], [0.1, 0.05, 0.01]),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
def test_schedules(tmp_path, schedule):
    optimizer = optimizers.SGD(schedule, momentum=0.9, weight_decay=schedules.LinearDecay(0.1, 5), nesterov=True)
    model = regression(5, 1, optimizer=optimizer)
    loaded = saved(model, tmp_path / "m")
    assert loaded.optimizer.learning_rate == schedule and loaded.optimizer == model.optimizer
    assert loaded.optimizer.weight_decay == schedules.LinearDecay(0.1, 5)
    assert trained_alike(model, loaded, rows(20, 1))


def test_a_schedule_can_be_a_configuration():
    for schedule in SCHEDULES:
        config = json.loads(json.dumps(schedules.serialize(schedule)))
        assert optimizers.SGD(config).learning_rate == schedule


def test_options_of_the_optimizer(tmp_path):
    options = {"use_ema": True, "ema_momentum": 0.7, "global_clipnorm": 0.1, "gradient_accumulation_steps": 2,
               "learning_rate_multipliers": {"dense": 0.5}, "exclude_from_weight_decay": ["bias"],
               "lookahead_steps": 3}  # fmt: skip
    model = regression(5, 1, optimizer=optimizers.AdamW(0.05, weight_decay=0.1, **options))
    loaded = saved(model, tmp_path / "m")
    assert loaded.optimizer == model.optimizer
    assert trained_alike(model, loaded, rows(20, 1))


def test_losses_metrics_and_weights(tmp_path):
    model = network(6, 3)
    metrics = ["accuracy", fn.metrics.F1Score("macro")]
    model.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True), metrics=metrics, n_threads=1)
    loaded = saved(model, tmp_path / "m")
    assert loaded.evaluate(rows(9, 4), classes(9, 3), return_dict=True) == model.evaluate(
        rows(9, 4), classes(9, 3), return_dict=True
    )
    assert loaded._compiled.n_threads == 1
    x = fn.Input((4,))
    model = fn.Model(x, [layers.Dense(1, name="a")(x), layers.Dense(1, name="b")(x)], seed=0)
    model.compile(
        "sgd", {"a": "mse", "b": losses.Huber(0.5)}, metrics={"b": ["mae"]}, loss_weights={"a": np.float32(0.25), "b": 2}
    )
    loaded = saved(model, tmp_path / "m")
    y = [rows(9, 1), rows(9, 1, 1)]
    assert loaded.evaluate(rows(9, 4), y) == model.evaluate(rows(9, 4), y)


def function(y_true, y_pred):
    return float(np.mean((y_pred - y_true) ** 2)), 2 * (y_pred - y_true) / y_pred.size


@pytest.mark.parametrize("arguments", [
    ("sgd", function), (optimizers.SGD(lambda step: 0.1), "mse"),
    (optimizers.SGD(schedules.Lambda(lambda step: 0.1)), "mse"),
    (optimizers.SGD(0.1 * schedules.Lambda(lambda step: 0.1)), "mse"),
])  # fmt: skip
def test_python_functions_are_left_out(tmp_path, arguments):
    model = network(4, 1)
    model.compile(*arguments)
    model.fit(rows(9, 4), rows(9, 1), verbose=0)
    loaded = saved(model, tmp_path / "m")
    assert_same(model, loaded)
    with rejects(loaded, RuntimeError, "must be compiled first"):
        loaded.fit(rows(9, 4), rows(9, 1))


def test_compile_may_be_left_out(tmp_path):
    model = regression(4, 1)
    assert saved(model, tmp_path / "m")._compiled is not None
    assert fn.load_model(tmp_path / "m", compile=False)._compiled is None
    model = network(4, 1)
    assert saved(model, tmp_path / "m")._compiled is None


def test_averaged_weights_are_those_saved(tmp_path):
    model = regression(4, 1, optimizer=optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    model.fit(rows(20, 4), rows(20, 1), epochs=5, verbose=0)
    x = rows(5, 4)
    loaded = saved(model, tmp_path / "m")
    assert np.array_equal(loaded.predict(x), model.predict(x))
    assert not same_weights(loaded, model)
    model.save_weights(tmp_path / "w")
    other = network(4, 1)
    other.load_weights(tmp_path / "w")
    assert np.array_equal(other.predict(x), model.predict(x))


# ---- classes of one's own -----------------------------------------------------------------------------------


class Scaled(layers.Layer):
    """A layer of two layers' operations with an argument."""

    def __init__(self, units, factor=2, **kwargs):
        super().__init__(**kwargs)
        self.units, self.factor = units, factor

    def call(self, x):
        dense = layers.Dense(self.units, "relu")
        weights = {
            "kernel": layers.base.WeightSpec(dense.kernel_initializer),
            "bias": layers.base.WeightSpec(dense.bias_initializer),
        }
        attributes = {"units": self.units, "use_bias": True, **dense.activation.attributes()}
        for _ in range(self.factor):
            x = self.emit("add", [x, x])
        return self.emit("dense", [x], attributes, weights)


class Halves(fn.initializers.Initializer):
    def __call__(self, shape, dtype=None, *, rng=None):
        return np.full(shape, 0.5, dtype)


class Harmonic(schedules.LearningRateSchedule):
    def __init__(self, first):
        self.first = first

    def evaluate(self, steps):
        return self.first / (steps + 1)


def test_custom_objects(tmp_path):
    model = fn.Sequential([fn.Input((4,)), Scaled(3), layers.Dense(1, kernel_initializer=Halves())], seed=0)
    model.compile(optimizers.Adam(0.5 * Harmonic(0.1)), "mse")
    own = {"Scaled": Scaled, "Halves": Halves, "Harmonic": Harmonic}
    loaded = saved(shuffled(model), tmp_path / "m", custom_objects=own)
    assert_same(model, loaded)
    assert loaded.optimizer == model.optimizer and loaded.layers[1].kernel_initializer == Halves()
    for name in ("Scaled", "Halves"):  # such layers are loaded as what they did
        some = fn.load_model(tmp_path / "m", custom_objects={key: value for key, value in own.items() if key != name})
        assert same_weights(model, some) and np.array_equal(some.predict(rows(5, 4)), model.predict(rows(5, 4)))
        assert some.optimizer == model.optimizer
        assert [type(one) is type(other) for one, other in zip(some.layers, model.layers)] == [name != "Scaled", name != "Halves"]
    with pytest.raises(ValueError, match="unknown .* 'Harmonic'") as caught:
        fn.load_model(tmp_path / "m", custom_objects={"Scaled": Scaled, "Halves": Halves})
    assert str(tmp_path / "m") in str(caught.value)


class Holds(Scaled):
    """A layer whose configuration JSON cannot hold."""

    def get_config(self):
        return {**super().get_config(), "function": print}


def test_a_layer_that_cannot_be_written_down_is_saved_as_what_it_did(tmp_path):
    model = fn.Sequential([fn.Input((4,)), Holds(3)], seed=0)
    loaded = saved(shuffled(model), tmp_path / "m")
    assert same_weights(model, loaded) and np.array_equal(loaded.predict(rows(5, 4)), model.predict(rows(5, 4)))
    with pytest.raises(ValueError, match="get_config holds more than JSON can.*do not give class Holds"):
        fn.load_model(tmp_path / "m", custom_objects={"Holds": Holds})


class Scheduled(layers.Dropout):
    """Neither can be written down: its configuration and what it does, which is another thing with every step."""

    def get_config(self):
        return {"function": print}


def test_a_layer_that_cannot_be_written_down(tmp_path):
    model = fn.Sequential([fn.Input((4,)), Scheduled(lambda step: 0.1)], seed=0)
    with rejects(model, TypeError, "layer 'scheduled' cannot be saved", "JSON", "function of the step"):
        model.save(tmp_path / "m")
    assert os.listdir(tmp_path) == []


def test_a_model_that_is_not_built(tmp_path):
    model = fn.Sequential([layers.Dense(3)])
    for function in (model.save, model.save_weights, model.load_weights):
        with pytest.raises(RuntimeError, match="shape of its input"):
            function(tmp_path / "m")


# ---- weights alone ------------------------------------------------------------------------------------------


def test_weights_there_and_back(tmp_path):
    model, other = shuffled(network(5, 2)), network(5, 2, seed=8)
    model.save_weights(tmp_path / "w")
    other.load_weights(tmp_path / "w")
    assert same_weights(model, other)
    model.save(tmp_path / "m")
    third = network(5, 2, seed=9, dtype="float32")
    third.load_weights(tmp_path / "m")
    np.testing.assert_allclose(third.get_weights()[0], model.get_weights()[0], rtol=1e-6)


def test_weights_are_found_by_their_paths(tmp_path):
    shuffled(network(5, 2)).save_weights(tmp_path / "w")
    with safe_open(tmp_path / "w", framework="numpy") as file:
        assert sorted(file.keys()) == ["dense/bias", "dense/kernel", "dense_1/bias", "dense_1/kernel"]
    for other, words in (
        (network(5, 2, 2), ["no weight 'dense_2/kernel'"]),
        (network(6, 2), ["dense/kernel", "(4, 5)"]),
    ):
        with rejects(other, ValueError, str(tmp_path / "w"), *words):
            other.load_weights(tmp_path / "w")
    other = fn.Sequential([fn.Input((4,)), layers.Dense(5), layers.Dense(2, name="head")], seed=0)
    with rejects(other, ValueError, "no weight 'head/kernel'"):
        other.load_weights(tmp_path / "w")


def test_weights_of_another_kind(tmp_path):
    model = network(2, 1)
    tensors = {weight.path: weight.value for weight in model.weights}
    saving.write_tensors(tmp_path / "w", {**tensors, "dense/bias": np.zeros(2, np.int64)}, {})
    with rejects(model, ValueError, "dense/bias", "int64"):
        model.load_weights(tmp_path / "w")
