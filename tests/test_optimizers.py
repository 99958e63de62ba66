"""Optimizers on the real kernels: 100 steps against the reference, with every combination of their switches; hyper-
parameters that change from step to step; ranges of parameters that lie together, with frozen ones between."""

import itertools

import numpy as np
import pytest
import reference
from plans import Graph, Model, assert_close

from fastnet import _core

STEPS = 100
TOLERANCE = {"float32": 1e-3, "float64": 1e-12}

#: Hyper-parameters that choose between equations: all their combinations are tested.
SWITCHES = {"nesterov": (0, 1), "momentum": (0, 0.9), "amsgrad": (0, 1), "centered": (0, 1), "pytorch": (0, 1),
            "rectify": (0, 1)}

#: All others: a number that is not the default.
NUMBERS = {
    "learning_rate": 0.02, "beta_1": 0.8, "beta_2": 0.97, "epsilon": 1e-4, "rho": 0.8, "dampening": 0.1,
    "momentum_decay": 0.004, "eta_minus": 0.6, "eta_plus": 1.3, "step_min": 1e-4, "step_max": 0.1,
    "initial_accumulator_value": 0.2, "learning_rate_power": -0.7, "l1_regularization_strength": 0.01,
    "l2_regularization_strength": 0.02, "l2_shrinkage_regularization_strength": 0.03, "beta": 0.5,
    "warmup_steps": 7, "r": 0.5, "weight_lr_power": 1.5, "lr_decay": 0.01,
}


def variants(optimizer):
    """The defaults, and every combination of the switches with all numbers changed."""
    attributes = _core.registry("optimizers")[optimizer]
    numbers = {name: NUMBERS[name] for name in attributes if name not in SWITCHES}
    names = [name for name in attributes if name in SWITCHES]
    yield dict(attributes)
    for values in itertools.product(*(SWITCHES[name] for name in names)):
        yield {**attributes, **numbers, **dict(zip(names, values))}


def graph_of_parameters(trainable=(True, True, True, True)):
    """Parameters of odd sizes, one of which takes more than one block of the update."""
    graph = Graph()
    graph.output(graph.input((1,)))
    random = np.random.default_rng(0)
    for shape, train in zip([(37,), (53, 41), (1,), (2, 3)], trainable):
        graph.parameter(random.normal(size=shape), train)
    return graph


def gradient_at(step, shape, number):
    """Gradients of different sizes; some are 0 now and then, some from the start, some change their sign."""
    random = np.random.default_rng([step, number])
    gradient = random.normal(size=shape) * 10.0 ** random.integers(-3, 2) + 0.1
    gradient[random.random(shape) < 0.1] = 0
    gradient.flat[0] *= step > 20
    return gradient


def make_steps(model, first, stop):
    """Update after update, each with its gradients."""
    for step in range(first, stop):
        for number, view in enumerate(model.gradient_views):
            view[...] = gradient_at(step, view.shape, number)
        model.plan.run(_core.UPDATE, n_rows=1, batch_size=1, step=step, hyper=model.hyper_row)


def test_every_optimizer_has_a_reference():
    assert set(_core.registry("optimizers")) == set(reference.OPTIMIZERS)


@pytest.mark.parametrize("optimizer", _core.registry("optimizers"))
def test_slots(optimizer):
    for hyper in variants(optimizer):
        slots = reference.OPTIMIZERS[optimizer].slots(hyper)
        found = dict(_core.optimizer_slots(optimizer, hyper))
        assert list(found) == list(slots)
        np.testing.assert_equal(list(found.values()), list(slots.values()))


@pytest.mark.parametrize("optimizer", _core.registry("optimizers"))
def test_against_reference(optimizer, isa, dtype):
    update = reference.OPTIMIZERS[optimizer].update
    graph = graph_of_parameters()
    for number, hyper in enumerate(variants(optimizer)):
        model = Model(graph, dtype, max_rows=1, optimizer=optimizer, hyper=hyper, n_threads=1 + number % 3)
        expected = [view.astype(np.float64) for view in model.weights]
        slots = [{name: np.full(w.shape, start) if start == start else w.copy()
                  for name, start in reference.OPTIMIZERS[optimizer].slots(hyper).items()} for w in expected]
        make_steps(model, 0, STEPS)
        for i, w in enumerate(expected):
            for step in range(STEPS):
                gradient = gradient_at(step, w.shape, i).astype(dtype).astype(np.float64)
                w, slots[i] = update(w, gradient, slots[i], hyper, step)
            what = f"{optimizer} {hyper} parameter {i}"
            assert_close(model.weights[i], w, TOLERANCE[dtype], what, floor=1)
            for j, (name, _) in enumerate(model.slot_starts):
                assert_close(model.slot_views(j)[i], slots[i][name], TOLERANCE[dtype], f"{what} {name}", floor=1e-3)


@pytest.mark.parametrize("optimizer", _core.registry("optimizers"))
def test_hyper_parameters_of_each_step(optimizer, isa, dtype):
    """A table with a row for each step of a call gives the bits of a call for each step; so does one row for all."""
    graph = graph_of_parameters()
    for hyper in variants(optimizer):
        def model_with_gradients(n_threads):
            model = Model(graph, dtype, max_rows=1, optimizer=optimizer, hyper=hyper, n_threads=n_threads)
            for number, view in enumerate(model.gradient_views):
                view[...] = gradient_at(3, view.shape, number)
            return model

        table = np.tile(model_with_gradients(1).hyper_row, (12, 1))
        constant = table.copy()
        table[:, 0] = np.geomspace(0.1, 0.001, 12)
        for rows in (table, constant):
            single = model_with_gradients(1)
            for step, row in enumerate(rows):
                single.plan.run(_core.UPDATE, n_rows=1, batch_size=1, step=1000 + step, hyper=row)
            for n_threads in (1, 2, 3):
                model = model_with_gradients(n_threads)
                model.plan.run(_core.UPDATE, n_rows=12, batch_size=1, step=1000, hyper=rows)
                assert model.state() == single.state(), (hyper, n_threads)
        model = model_with_gradients(2)
        model.plan.run(_core.UPDATE, n_rows=12, batch_size=1, step=1000, hyper=constant[0])
        assert model.state() == single.state()


@pytest.mark.parametrize("optimizer", _core.registry("optimizers"))
def test_frozen_parameters_and_paddings(optimizer, dtype):
    """Only what is trained changes; what lies between the arrays stays 0, also between slots."""
    for hyper in variants(optimizer):
        for frozen, gap in itertools.product([(), (0,), (1,), (3,), (0, 2)], (0, 1)):
            graph = graph_of_parameters([i not in frozen for i in range(4)])
            model = Model(graph, dtype, max_rows=1, optimizer=optimizer, hyper=hyper, n_threads=2, gap=gap)
            covered = np.zeros(model.parameter_slab.size, bool)
            for i, offset in enumerate(model.offsets):
                covered[offset : offset + model.weights[i].size] = True
            for slab in (model.parameter_slab, *model.slots):
                slab[~covered] = 0
            before = [view.copy() for view in model.weights]
            slots = [[view.copy() for view in model.slot_views(j)] for j in range(len(model.slots))]
            for view in model.gradient_views:
                view[...] = 0.5
            model.plan.run(_core.UPDATE, n_rows=2, batch_size=1, hyper=model.hyper_row)
            for i, view in enumerate(model.weights):
                assert np.array_equal(view, before[i]) == (i in frozen)
                if i in frozen:
                    for j, start in enumerate(slots):
                        assert np.array_equal(model.slot_views(j)[i], start[i], equal_nan=True)
            assert not model.parameter_slab[~covered].any()


@pytest.mark.parametrize("optimizer", _core.registry("optimizers"))
def test_a_gradient_of_nan_reaches_its_parameter_alone(optimizer, dtype):
    graph = graph_of_parameters()
    for hyper in variants(optimizer):
        model = Model(graph, dtype, max_rows=1, optimizer=optimizer, hyper=hyper)
        for view in model.gradient_views:
            view[...] = 0.5
        model.gradient_views[1][7, 9] = np.nan
        model.plan.run(_core.UPDATE, n_rows=1, batch_size=1, hyper=model.hyper_row)
        assert np.isnan(model.weights[1][7, 9]), hyper
        assert sum(np.isnan(view).sum() for view in model.weights) == 1


def test_training_descends(isa, dtype):
    """A plan that trains fits a line, and the losses of its calls say so."""
    random = np.random.default_rng(0)
    x = random.normal(size=(64, 3)).astype(dtype)
    y = (x @ [[1.0], [-2.0], [0.5]] + 0.25).astype(dtype)
    for optimizer in ("sgd", "adam"):
        graph = Graph()
        graph.output(graph.dense(graph.input((3,)), 1), "mean_squared_error")
        model = Model(graph, dtype, max_rows=16, optimizer=optimizer, hyper={"learning_rate": 0.05})
        losses = [model.train([x], [y], 16, step=4 * epoch)[2][0] / 64 for epoch in range(150)]
        assert losses[0] > 1 > 1e-3 > losses[-1]
        assert_close(model.weights[0].ravel(), [1, -2, 0.5], 0.02)
