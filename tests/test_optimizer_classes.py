"""The classes of optimizers: names, configurations, arguments that are refused, and what they tell the engine."""

import json

import numpy as np
import pytest
from test_optimizer_traces import IDS, TRACES, make_optimizer

import fastnet as fn
from fastnet import _core
from fastnet._config import serialize

optimizers = fn.optimizers
KERAS = {name: getattr(optimizers, name) for name in optimizers.keras.__all__ if name != "LBFGS"}
PYTORCH = {name: getattr(optimizers.pytorch, name) for name in optimizers.pytorch.__all__}


def test_every_kernel_has_a_class():
    assert {cls.kernel for cls in KERAS.values()} == set(_core.registry("optimizers"))


@pytest.mark.parametrize("name", KERAS)
def test_defaults_of_class_and_kernel_are_the_same(name):
    assert KERAS[name]().values() == _core.registry("optimizers")[KERAS[name].kernel]


@pytest.mark.parametrize("number", range(len(TRACES)), ids=IDS)
def test_configuration_comes_back(number):
    source, case, *_ = TRACES[number]
    optimizer = make_optimizer(source, {**case, "decay": 1})
    described = json.loads(json.dumps(serialize(optimizer)))
    copy = optimizers.get(described)
    assert type(copy) is type(optimizer)
    assert copy == optimizer
    np.testing.assert_array_equal(copy.hyper_parameters(1), optimizer.hyper_parameters(1))
    assert eval(repr(optimizer), {**KERAS, "pytorch": optimizers.pytorch}) == optimizer


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_get_by_name(name):
    cls = optimizers.OPTIMIZERS[name]
    assert type(optimizers.get(name)) is type(optimizers.get(name.upper())) is type(optimizers.get(cls)) is cls


def test_names_in_other_spellings():
    assert optimizers.get("schedule_free_adamw") == optimizers.ScheduleFreeAdamW()
    assert optimizers.get("pytorch.NAdam") == optimizers.pytorch.NAdam()
    with pytest.raises(ValueError, match="unknown optimizer 'adm'; did you mean 'adam'"):
        optimizers.get("adm")


@pytest.mark.parametrize(
    ("name", "other", "same"),
    [
        ("RAdam", optimizers.RAdam(0.02, 0.8, 0.99, 1e-5), optimizers.pytorch.RAdam(0.02, (0.8, 0.99), 1e-5)),
        ("Rprop", optimizers.Rprop(0.02, (0.4, 1.3), (0.1, 2)), optimizers.pytorch.Rprop(0.02, (0.4, 1.3), (0.1, 2))),
        ("Adadelta", optimizers.Adadelta(0.5, 0.9, 1e-5), optimizers.pytorch.Adadelta(0.5, 0.9, 1e-5)),
    ],
)
def test_classes_that_differ_in_names_alone(name, other, same):
    assert other.values() == same.values()


def test_pytorch_names_are_attributes():
    adam = optimizers.pytorch.Adam(lr=0.1, betas=(0.8, 0.99), eps=1e-5)
    assert (adam.lr, adam.betas, adam.eps) == (0.1, (0.8, 0.99), 1e-5)
    assert optimizers.pytorch.RMSprop(alpha=0.7).alpha == 0.7
    adam.lr = 0.2
    assert adam.learning_rate == 0.2


def test_weight_decay_is_coupled_where_the_original_couples_it():
    coupled = {name for name, cls in PYTORCH.items() if not cls().decoupled_weight_decay}
    assert coupled == set(PYTORCH) - {"AdamW"}
    assert all(cls().decoupled_weight_decay for cls in KERAS.values())
    assert optimizers.pytorch.RAdam(decoupled_weight_decay=True).decoupled_weight_decay


@pytest.mark.parametrize("name", KERAS)
def test_names_of_slots_are_distinct(name):
    """Checkpoints know them by these."""
    optimizer = KERAS[name](use_ema=True, gradient_accumulation_steps=2, lookahead_steps=5, swa_start=0)
    slots = [slot for slot, _ in optimizer.slots()]
    assert len(slots) == len(set(slots)) >= 4


def test_evaluation_slot_exists():
    for name, cls in KERAS.items():
        slots = [slot for slot, _ in cls().slots()]
        assert cls.evaluation_slot in (slots if name.startswith("ScheduleFree") else [None])


@pytest.mark.parametrize(
    ("cls", "arguments", "column"),
    [
        (optimizers.SGD, {}, "momentum"),
        (optimizers.RMSprop, {}, "momentum"),
        (optimizers.Adam, {}, "beta_1"),
        (optimizers.Lion, {}, "beta_1"),
        (optimizers.ScheduleFreeSGD, {}, "momentum"),
        (optimizers.pytorch.SGD, {}, "momentum"),
        (optimizers.pytorch.NAdam, {"betas": (lambda step: step / 10, 0.999)}, "beta_1"),
    ],
)
def test_momentum_may_be_a_schedule(cls, arguments, column):
    optimizer = cls(**(arguments or {column: lambda step: step / 10}))
    optimizer.iterations = 2
    assert optimizer.hyper_parameters(2).ndim == 2
    rows = optimizer.hyper_parameters(4)
    np.testing.assert_allclose(rows[:, _core.hyper_names(cls.kernel).index(column)], [0.2, 0.3, 0.4, 0.5])
    if column == "momentum":  # it may be 0 in the first step, and yet needs its slot
        assert "momentum" in [name for name, _ in optimizer.slots()] or cls is optimizers.ScheduleFreeSGD


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (optimizers.SGD, {"learning_rate": -1}, "SGD: learning_rate must be at least 0.0"),
        (optimizers.SGD, {"momentum": 1}, "SGD: momentum must be at least 0.0 and below 1.0, got 1"),
        (optimizers.Adam, {"beta_1": -0.1}, "Adam: beta_1"),
        (optimizers.Adam, {"beta_2": 1.0}, "Adam: beta_2"),
        (optimizers.Adam, {"epsilon": float("nan")}, "Adam: epsilon"),
        (optimizers.AdamW, {"weight_decay": None}, "AdamW: weight_decay must be a number"),
        (optimizers.AdamW, {"weight_decay": -1}, "AdamW: weight_decay"),
        (optimizers.Adagrad, {"initial_accumulator_value": -1}, "Adagrad: initial_accumulator_value"),
        (optimizers.RMSprop, {"rho": 2}, "RMSprop: rho"),
        (optimizers.Ftrl, {"learning_rate_power": 0.5}, "Ftrl: learning_rate_power must be at most 0"),
        (optimizers.Ftrl, {"l1_regularization_strength": -1}, "Ftrl: l1_regularization_strength"),
        (optimizers.Rprop, {"etas": (1.2, 0.5)}, r"Rprop: etas\[0\]"),
        (optimizers.Rprop, {"step_sizes": (1, 0.1)}, r"Rprop: step_sizes\[1\] must be at least 1"),
        (optimizers.ScheduleFreeSGD, {"warmup_steps": -1}, "ScheduleFreeSGD: warmup_steps"),
        (optimizers.ScheduleFreeAdamW, {"r": -1}, "ScheduleFreeAdamW: r "),
        (optimizers.pytorch.SGD, {"nesterov": True}, "pytorch.SGD: nesterov takes a momentum"),
        (optimizers.pytorch.SGD, {"momentum": 0.9, "dampening": 0.1, "nesterov": True}, "and no dampening"),
        (optimizers.pytorch.Adam, {"betas": (0.9, 1.0)}, r"pytorch.Adam: betas\[1\]"),
        (optimizers.pytorch.Adam, {"eps": -1}, "pytorch.Adam: eps"),
        (optimizers.pytorch.Adagrad, {"lr_decay": -1}, "pytorch.Adagrad: lr_decay"),
        (optimizers.pytorch.RMSprop, {"alpha": 1}, "pytorch.RMSprop: alpha"),
    ],
)
def test_arguments_that_make_no_sense(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(**arguments)


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (optimizers.SGD, {"learning_rate": "fast"}),
        (optimizers.Adam, {"beta_2": None}),
        (optimizers.pytorch.Adam, {"foreach": True}),
        (optimizers.Rprop, {"etas": 0.5}),
    ],
)
def test_arguments_of_the_wrong_type(cls, arguments):
    with pytest.raises(TypeError):
        cls(**arguments)


@pytest.mark.parametrize("given, error", [("dense", TypeError), (["("], ValueError), ([3], ValueError)])
def test_what_muon_leaves_out_are_expressions(given, error):
    with pytest.raises(error, match="exclude_layers"):
        fn.optimizers.Muon(exclude_layers=given)


def test_a_shape_for_the_optimizer_has_the_elements_of_the_weight():
    optimizer = fn.optimizers.Muon()
    optimizer.shape_of = lambda path, shape: (7,)
    model = fn.Sequential([fn.Input((2,)), fn.layers.Dense(3, use_bias=False)], seed=0)
    model.compile(optimizer, "mse")
    with pytest.raises(ValueError, match="parameter 0 has 6 elements, and for the optimizer 7"):
        model.fit(np.ones((4, 2)), np.ones((4, 3)), verbose=0)


def test_maximize_makes_the_loss_larger():
    """A gradient of a penalty is one of the loss; the classes of Keras have no such argument."""
    model = fn.Sequential(
        [fn.Input((1,)), fn.layers.Dense(1, use_bias=False, kernel_initializer="ones", kernel_regularizer="l2")]
    )
    model.compile(fn.optimizers.pytorch.SGD(0.1, maximize=True), "mse")
    losses = [model.train_on_batch([[1.0]], [[3.0]]) for _ in range(5)]
    assert losses == sorted(losses) and losses[-1] > losses[0] + 1
    np.testing.assert_allclose(losses[0], 4 + 0.01, rtol=1e-6)
    with pytest.raises(TypeError):
        fn.optimizers.SGD(maximize=True)


def test_averages_and_schedules_count_steps_and_not_batches():
    """Weights are 1, 2, 3, 4 after the steps. Keras 3.15 averages to 3.34375, and with the schedule begins at its second rate."""
    rate = fn.schedules.PiecewiseConstantDecay([0], [1.0, 0.5])
    for given, weight, average in ((1.0, 4.0, 3.125), (rate, 2.5, 2.0625)):
        optimizer = fn.optimizers.SGD(given, gradient_accumulation_steps=2, use_ema=True, ema_momentum=0.5)
        model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
        model.compile(optimizer, "mae")
        model.fit(np.ones((8, 1)), np.full((8, 1), 100.0), batch_size=1, epochs=1, shuffle=False, verbose=0)
        assert (model.get_weights()[0].item(), model.predict(np.ones((1, 1))).item()) == (weight, average)


def test_first_steps_of_adan_by_hand():
    """A weight has no difference of gradients in the first step that it makes, be it a later one of the model."""
    first, last = (fn.layers.Dense(1, use_bias=False, kernel_initializer="ones") for _ in range(2))
    model = fn.Sequential([fn.Input((1,)), first, last], dtype="float64")
    model.compile(fn.optimizers.Adan(0.1, 0.5, 0.75, 0.5, epsilon=0.0), "mse")

    def step(g):
        model.forward(np.ones((1, 1)), training=True)
        model.backward(np.zeros((1, 1)))
        for weight in model.trainable_weights:
            weight.gradient[...] = g
        model.apply_gradients()
        return first.kernel.item(), last.kernel.item()

    last.trainable = False
    # m = 1, v = 0, n = 2; m / (1 - 0.5) = 2 and sqrt(n / (1 - 0.5)) = 2
    np.testing.assert_allclose(step(2.0), [0.9, 1], rtol=1e-12)
    last.trainable = True
    # first: d = -3; m = 0, v = -0.75, n = (2 + (-1 - 0.75 * 3)**2) / 2.  last: d = 0; m = -0.5, v = 0, n = 0.5
    of_first = 0.75 * (-0.75 / (1 - 0.75**2)) / np.sqrt((2 + 3.25**2) / 2 / 0.75)
    of_last = (-0.5 / 0.75) / np.sqrt(0.5 / 0.75)
    np.testing.assert_allclose(step(-1.0), [0.9 - 0.1 * of_first, 1 - 0.1 * of_last], rtol=1e-12)


def test_schedule_free_adamw_goes_by_the_old_z():
    """The equations, in plain Python. Keras 3.15 on PyTorch comes to 0.8368, 0.7694, 0.6992 after steps 2, 3 and 4."""
    model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1, use_bias=False, kernel_initializer="ones")], dtype="float64")
    model.compile(fn.optimizers.ScheduleFreeAdamW(0.1), "mse")
    z = x = y = 1.0
    v, found = 0.0, []
    for t in range(1, 5):
        g = 0.5 * t
        v = 0.999 * v + 0.001 * g**2
        z -= 0.1 * g / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        x = (1 - 1 / t) * x + z / t
        y = 0.9 * x + 0.1 * z
        model.forward(np.ones((1, 1)), training=True)
        model.backward(np.full((1, 1), g))
        model.apply_gradients()
        found.append(model.layers[0].kernel.item())
        np.testing.assert_allclose(found[-1], y, rtol=1e-9)
    np.testing.assert_allclose(found, [0.9, 0.83044, 0.75594, 0.67818], atol=1e-5)
