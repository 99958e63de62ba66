"""`LBFGS`, which takes all rows at once: what it does nothing about is refused before anything changes."""

import inspect

import numpy as np
import pytest
from test_weight_functions import NotNegativeOfArrays, make_model, not_negative, taking

import fastnet as fn

X = np.random.default_rng(0).normal(size=(20, 4))
Y = X[:, :1] - 2.0 * X[:, 1:2]

#: What the base of the optimizers is told, set to something else than its default.
SETTINGS = {
    "weight_decay": 0.5, "exclude_from_weight_decay": ("bias",), "clipnorm": 0.1, "clipvalue": 0.1, "global_clipnorm": 0.1,
    "use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2, "gradient_accumulation_steps": 3, "lookahead_steps": 2,
    "lookahead_alpha": 0.1, "swa_start": 0, "swa_period": 2, "learning_rate_multipliers": {"dense": 0.0}, "lazy": True,
    "maximize": True,
}  # fmt: skip


def network(*layers, optimizer=None, **options):
    model = fn.Sequential(
        [fn.Input((4,)), fn.layers.Dense(3, "tanh", name="first", **options), *layers, fn.layers.Dense(1)],
        seed=0,
        dtype="float64",
    )
    model.compile(optimizer or fn.optimizers.LBFGS(), "mse")
    return model


def assert_refused(model, x, y, *parts):
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        model.fit(x, y, epochs=3, verbose=0)
    for part in parts:
        assert part in str(error.value)
    assert model.optimizer.iterations == 0
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    "constraint", [fn.constraints.NonNeg(), fn.constraints.MaxNorm(0.1), not_negative, NotNegativeOfArrays(), lambda w: np.maximum(w, 0)]
)  # fmt: skip
@pytest.mark.parametrize("what", ["kernel", "bias"])
def test_constraints_are_refused(constraint, what):
    model = network(**{f"{what}_constraint": constraint})
    assert_refused(model, X, Y, "LBFGS", f"first/{what}", repr(fn.constraints.get(constraint)))
    model.layers[0].trainable = False  # what is not trained is not constrained by any optimizer
    model.fit(X, Y, epochs=3, verbose=0)
    assert model.optimizer.iterations == 3


def test_constraints_of_all_layers_are_refused():
    for cls, argument in taking("_constraint"):
        bias = {"bias_axes": "c"} if cls is fn.layers.EinsumDense else {}
        model, x, y = make_model(cls, **{argument: fn.constraints.NonNeg()}, **bias)
        model.compile("lbfgs", "mse")
        assert_refused(model, x, y, "LBFGS", "NonNeg()")


def test_settings_of_other_optimizers_are_refused():
    """All that the base of the optimizers takes: by the constructor, and set afterwards."""
    options = inspect.signature(fn.Optimizer.__init__).parameters.values()
    assert {one.name for one in options if one.kind is one.KEYWORD_ONLY} - {"name"} == set(SETTINGS) - {"maximize"}
    for name, value in SETTINGS.items():
        with pytest.raises(TypeError, match=name):
            fn.optimizers.LBFGS(**{name: value})
        optimizer = fn.optimizers.LBFGS()
        setattr(optimizer, name, value)
        assert_refused(network(optimizer=optimizer), X, Y, "LBFGS", name, repr(value))


def test_steps_with_one_batch_are_refused():
    model = network()
    before = model.get_weights()
    with pytest.raises(ValueError, match="LBFGS takes all rows at once"):
        model.train_on_batch(X, Y)
    model.backward(model.forward(X) - Y)
    with pytest.raises(ValueError, match="LBFGS takes all rows at once"):
        model.apply_gradients()
    assert model.optimizer.iterations == 0
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_the_rate_of_a_step_is_that_of_its_schedule_and_factor():
    """Set to a schedule, or with a factor, the length that the search begins with is the number that the rate of that step is."""
    found = []
    for change in ({"learning_rate": lambda step: 0.25}, {"learning_rate_factor": 0.25}, {"learning_rate": 0.25}, {}):
        optimizer = fn.optimizers.LBFGS()
        for name, value in change.items():
            setattr(optimizer, name, value)
        found.append(network(optimizer=optimizer).fit(X, Y, epochs=3, verbose=0).history["loss"])
    assert found[0] == found[1] == found[2] != found[3]


def test_what_varies_of_layers_is_that_of_the_step():
    """A rate of dropout that is a function of the step, here one that never drops, and one that drops nearly all from step 1 on."""
    plain = network().fit(X, Y, epochs=3, verbose=0).history["loss"]
    never, later = (
        network(fn.layers.Dropout(rate)).fit(X, Y, epochs=3, verbose=0).history["loss"]
        for rate in (lambda step: 0.0, lambda step: 0.9 * (step > 0))
    )
    np.testing.assert_allclose(never, plain, rtol=1e-12)
    assert later[0] == pytest.approx(plain[0], rel=1e-12)
    assert later[1] != pytest.approx(plain[1], rel=1e-3)
