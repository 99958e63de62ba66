"""Constraints in networks that are divided among threads: the bits of one thread, and the numbers of NumPy."""

import numpy as np
import pytest
from networks import Reference, rows, same_weights
from plans import assert_close
from test_constraints import keras as constrain

import fastnet as fn
from fastnet import _core

N_ROWS, BATCH = 600, 32  # the last batch is smaller


CONSTRAINTS = [
    fn.constraints.MaxNorm(0.7), fn.constraints.MaxNorm(0.9, axis=1), fn.constraints.MaxNorm(3.0, axis=[0, 1]),
    fn.constraints.UnitNorm(), fn.constraints.UnitNorm(axis=-1), fn.constraints.NonNeg(),
    fn.constraints.MinMaxNorm(0.6, 0.8, rate=0.3), fn.constraints.MinMaxNorm(2.0, 3.0, rate=0.5, axis=[0, 1]),
]  # fmt: skip
OPTIMIZERS = {
    "sgd": (lambda **options: fn.optimizers.SGD(0.05, **options), {"momentum": 0, "nesterov": 0}),
    "adam": (
        lambda **options: fn.optimizers.Adam(0.05, **options),
        {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": 0, "pytorch": 0},
    ),
}


def constrained(n_threads, constraints, optimizer="adam", penalty=None, dtype="float32", **options):
    """A network that may be divided: constraints of the kernel and bias of one layer, and of the next; the kernels' penalty."""
    (first, bias, second, last) = constraints
    layers = [
        fn.layers.Dense(64, "tanh", kernel_constraint=first, bias_constraint=bias, kernel_regularizer=penalty),
        fn.layers.Dense(97, "relu", kernel_constraint=second, bias_constraint=last, kernel_regularizer=penalty),
        fn.layers.Dense(1, kernel_constraint=last),
    ]
    model = fn.Sequential([fn.Input((41,)), *layers], seed=3, dtype=dtype)
    model.compile(OPTIMIZERS[optimizer][0](**options), "mse", n_threads=n_threads)
    return model


def train_constrained(model, epochs=3):
    history = model.fit(rows(N_ROWS, 41), rows(N_ROWS, 1, seed=1), BATCH, epochs, shuffle=False, verbose=0).quantities
    info = model._latest_plan().info()
    return history, info["peers"], info["peer_steps"]


def divided():
    """(shards, whether they were used) of two threads, of which a model has no more than there are processors."""
    return (2, True) if _core.cpu_count() > 1 else (1, False)


def of_vectors(constraint):
    """The same for a weight with one axis."""
    if isinstance(constraint, fn.constraints.NonNeg):
        return constraint
    return type(constraint).from_config({**constraint.get_config(), "axis": 0})


def in_place(constraint, place):
    """`constraint` where `place` says."""
    bias = of_vectors(constraint)
    return {
        "columns": (constraint, None, None, None),
        "bias": (None, bias, None, None),
        "rows": (None, None, constraint, None),
        "all": (constraint, bias, constraint, bias),
    }[place]


class ConstrainedReference(Reference):
    """Adds an L1L2 penalty to the gradients of kernels, and does to each weight after the update what Keras 3 does."""

    def __init__(self, model, penalty, constraints, optimizer):
        super().__init__(model, "mean_squared_error", optimizer, learning_rate=0.05, **OPTIMIZERS[optimizer][1])
        first, bias, second, last = constraints
        self.constraints, self.penalty = [[first, bias], [second, last], [last, None]], penalty

    def gradients(self, x, y, weight=None):
        value, gradients, dy = super().gradients(x, y, weight)
        for (kernel, _), gradient in list(zip(self.weights, gradients))[: 2 if self.penalty else 0]:
            value += self.penalty.l1 * np.abs(kernel).sum() + self.penalty.l2 * np.square(kernel).sum()
            gradient[0] = gradient[0] + self.penalty.l1 * np.sign(kernel) + 2 * self.penalty.l2 * kernel
        return value, gradients, dy

    def step(self, x, y, weight=None):
        value = super().step(x, y, weight)
        for weights, constraints in zip(self.weights, self.constraints):
            weights[:] = [w if one is None else constrain(one, w) for w, one in zip(weights, constraints)]
        return value


@pytest.mark.parametrize("place", ["columns", "bias", "rows", "all"])
@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=str)
def test_constraints(constraint, place, isa, dtype):
    """Norms over lines that lie in one shard, and over lines of which each has a part: the bits of one thread."""
    constraints = in_place(constraint, place)
    models = {n_threads: constrained(n_threads, constraints, dtype=dtype) for n_threads in (1, 2, 3)}
    expected, *_ = train_constrained(models[1])
    for n_threads in (2, 3):
        history, shards, steps = train_constrained(models[n_threads])
        assert n_threads == 3 or (shards, steps > 0) == divided()
        assert same_weights(models[n_threads], models[1])
        assert history["loss"] == expected["loss"] and history["gradient_norm"] == expected["gradient_norm"]


@pytest.mark.parametrize(
    "options",
    [{}, {"clipnorm": 0.05}, {"global_clipnorm": 0.3}, {"gradient_accumulation_steps": 3}, {"use_ema": True}],
    ids=lambda options: next(iter(options), "plain"),
)
@pytest.mark.parametrize("penalty", [None, fn.regularizers.L1L2(0.001, 0.01)], ids=["no penalty", "L1L2"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_constraints_beside_the_rest(optimizer, penalty, options):
    constraints = (CONSTRAINTS[0], of_vectors(CONSTRAINTS[3]), CONSTRAINTS[6], CONSTRAINTS[5])
    models = [constrained(n_threads, constraints, optimizer, penalty, **options) for n_threads in (1, 2)]
    (expected, *_), (history, shards, steps) = (train_constrained(model) for model in models)
    assert (shards, steps > 0) == divided() and same_weights(*models) and history["loss"] == expected["loss"]


@pytest.mark.parametrize("penalty", [None, fn.regularizers.L1L2(0.001, 0.01)], ids=["no penalty", "L1L2"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=str)
def test_constraints_against_the_reference(constraint, optimizer, penalty):
    """Epochs on two threads are those of NumPy in float64, with the formulas of Keras."""
    constraints = in_place(constraint, "all")
    model = constrained(2, constraints, optimizer, penalty, "float64")
    peer = ConstrainedReference(model, penalty, constraints, optimizer)
    losses = peer.fit(rows(N_ROWS, 41), rows(N_ROWS, 1, seed=1), BATCH, epochs=2)
    history, shards, steps = train_constrained(model, epochs=2)
    assert (shards, steps > 0) == divided()
    assert_close(history["loss"], losses, 1e-8)
    peer.assert_same(model, rtol=1e-6, atol=1e-8)
