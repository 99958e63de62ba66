"""Every attribute of every operation, loss, metric and optimizer has a range: what is just outside of it is refused by name, its
ends are accepted, or refused by a rule that knows more than the range."""

import re

import numpy as np
import operation_cases
import pytest

import fastnet as fn
from fastnet import _core

#: What a message about a range says.
RANGE = r"must be (0 or 1|in \[0, 1\)|a finite number( of at (least|most) \S+)?|a positive number|a number from \S+ to \S+|a whole number from \S+ to \d\S*), got"


def infer(op, attributes):
    """Shape inference of the first case of an operation, with other attributes."""
    case = next(iter(operation_cases.OPS[op](4)))
    return _core.infer(op, "the layer", case.shapes, {**case.attributes, **attributes})


#: How the attributes of each kind of entry are checked.
CHECKS = {
    "ops": infer,
    "losses": lambda name, attributes: _core.infer_target(name, attributes, (3,)),
    "metrics": lambda name, attributes: _core.metric_size(name, attributes, (3,)),
    "optimizers": _core.optimizer_slots,
    "updates": lambda _, attributes: _core.optimizer_slots("sgd", attributes),
}

CASES = [
    pytest.param(kind, entry, name, *limits, id=f"{entry}-{name}")
    for kind in CHECKS
    for entry, ranges in _core.attribute_ranges(kind).items()
    for name, limits in ranges.items()
]


def beside(number, whole, direction):
    """The next number that is not allowed any more."""
    with np.errstate(over="ignore"):
        return number + np.sign(direction) * max(1, np.spacing(abs(number))) if whole else float(np.nextafter(number, direction))


@pytest.mark.parametrize(("kind", "entry", "name", "lowest", "highest", "whole", "varies"), CASES)
def test_a_range_is_checked(kind, entry, name, lowest, highest, whole, varies):
    assert -np.inf < lowest < highest < np.inf
    default = _core.registry(kind)[entry][name]
    assert lowest <= default <= highest and (not whole or default == int(default))
    wrong = [beside(lowest, whole, -np.inf), beside(highest, whole, np.inf), -np.inf, np.inf]
    wrong += [lowest + 0.5] if whole else []
    wrong += [] if varies and kind in ("optimizers", "updates") else [np.nan]  # there, NaN is one that is not known yet
    for value in wrong:
        with pytest.raises(ValueError, match=f"{name} {RANGE}"):
            CHECKS[kind](entry, {name: value})
    for value in (lowest, highest):
        try:
            CHECKS[kind](entry, {name: value})
        except ValueError as error:
            assert kind in ("ops", "losses") and not re.search(f"{name} {RANGE}", str(error)), error


def test_ranges_are_of_all_attributes():
    for kind in ("ops", "losses", "metrics", "optimizers", "updates", "activations"):
        entries = _core.registry(kind)
        assert {entry: list(ranges) for entry, ranges in _core.attribute_ranges(kind).items()} == {
            entry: list(attributes) for entry, attributes in entries.items()
        }


# ---- numbers that come with a step -----------------------------------------------------------------------


def small_model(optimizer):
    model = fn.Sequential([fn.Input((2,)), fn.layers.Dense(1, kernel_initializer="ones")], seed=0)
    model.compile(optimizer, "mse")
    return model


@pytest.mark.parametrize(("arguments", "message"), [
    ({"momentum": lambda step: 0.5 + step}, "SGD: momentum of step 1 is 1.5; it must be between 0 and 1"),
    ({"weight_decay": lambda step: -1.0}, "SGD: weight_decay of step 0 is -1"),
    ({"clipvalue": lambda step: float("nan")}, "SGD: clipvalue of step 0 is nan"),
    ({"lookahead_steps": 2, "lookahead_alpha": lambda step: 2.0}, "lookahead_alpha of step 0 is 2"),
])  # fmt: skip
def test_a_scheduled_number_out_of_its_range_is_named(arguments, message):
    model = small_model(fn.optimizers.SGD(0.1, **arguments))
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        model.fit(np.ones((8, 2)), np.ones(8), batch_size=4, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


@pytest.mark.parametrize("name", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_a_scheduled_clipping_clips(name):
    """It was ignored: what is made beforehand had asked whether NaN, for a number that varies, is above 0."""
    weights = []
    for value in (0.25, lambda step: 0.25):
        model = small_model(fn.optimizers.SGD(1.0, **{name: value}))
        model.fit(np.full((4, 2), 3.0), np.zeros(4), batch_size=4, epochs=1, verbose=0)
        weights.append(model.get_weights()[0])
    np.testing.assert_array_equal(*weights)
    assert np.abs(weights[0] - 1).max() <= 0.25 + 1e-6


def test_a_scheduled_momentum_of_an_average_keeps_one():
    model = small_model(fn.optimizers.SGD(0.1, use_ema=True, ema_momentum=lambda step: 0.5))
    model.fit(np.ones((4, 2)), np.zeros(4), batch_size=4, verbose=0)
    assert np.isfinite(model.predict(np.ones((1, 2)), verbose=0)).all()
