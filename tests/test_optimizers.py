"""Optimizers on the real kernels: 100 steps against the reference, with every combination of their switches; hyper-
parameters that change from step to step; ranges of parameters that lie together, with frozen ones between."""

import functools
import itertools

import numpy as np
import pytest
import reference
from plans import Graph, Model, assert_close

from fastnet import _core

STEPS = 100
TOLERANCE = {"float32": 1e-3, "float64": 1e-12}

#: Hyper-parameters that choose between equations: all their combinations are tested.
SWITCHES = {
    "nesterov": (0, 1),
    "momentum": (0, 0.9),
    "amsgrad": (0, 1),
    "centered": (0, 1),
    "pytorch": (0, 1),
    "rectify": (0, 1),
    "relative_step": (0, 1),
}

#: All others: a number that is not the default.
NUMBERS = {
    "learning_rate": 0.02,
    "beta_1": 0.8,
    "beta_2": 0.97,
    "beta_3": 0.95,
    "epsilon": 1e-4,
    "rho": 0.8,
    "dampening": 0.1,
    "momentum_decay": 0.004,
    "eta_minus": 0.6,
    "eta_plus": 1.3,
    "step_min": 1e-4,
    "step_max": 0.1,
    "initial_accumulator_value": 0.2,
    "learning_rate_power": -0.7,
    "l1_regularization_strength": 0.01,
    "l2_regularization_strength": 0.02,
    "l2_shrinkage_regularization_strength": 0.03,
    "beta": 0.5,
    "warmup_steps": 7,
    "r": 0.5,
    "weight_lr_power": 1.5,
    "lr_decay": 0.01,
    "eta": 0.01,
    "beta_2_decay": -0.7,
    "epsilon_1": 1e-20,
    "epsilon_2": 2e-3,
    "clip_threshold": 0.8,
    "ns_steps": 4,
    "muon_a": 3.4,
    "muon_b": -4.7,
    "muon_c": 2.0,
    "adam_beta_1": 0.8,
    "adam_beta_2": 0.97,
    "adam_lr_ratio": 0.5,
    "rms_rate": 0.3,
    "adam_weight_decay": 0.03,
}


def variants(optimizer):
    """The defaults, and every combination of the switches with all numbers changed."""
    attributes = _core.registry("optimizers")[optimizer]
    numbers = {name: NUMBERS[name] for name in attributes if name not in SWITCHES}
    names = [name for name in attributes if name in SWITCHES]
    yield dict(attributes)
    for values in itertools.product(*(SWITCHES[name] for name in names)):
        yield {**attributes, **numbers, **dict(zip(names, values))}


SHAPES = [(37,), (53, 41), (1,), (2, 3)]  # the second takes more than one block of an update
N_NUMBERS = sum(int(np.prod(shape)) for shape in SHAPES)


def divide(numbers):
    """A row of numbers as arrays of the shapes above."""
    ends = np.cumsum([int(np.prod(shape)) for shape in SHAPES])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(numbers, ends), SHAPES)]


def start_values():
    return np.random.default_rng(0).normal(size=N_NUMBERS)


@functools.cache
def gradients():
    """[STEPS][N_NUMBERS], of different sizes; some are 0 now and then, some at the start, some change their sign."""
    random = np.random.default_rng(1)
    numbers = random.normal(size=(STEPS, N_NUMBERS)) * 10.0 ** random.integers(-3, 2, (STEPS, 1)) + 0.1
    numbers[random.random(numbers.shape) < 0.1] = 0
    numbers[:20, ::5] = 0
    return numbers


@functools.cache
def reference_run(optimizer, variant, dtype):
    """Parameters and slots after STEPS steps from the gradients above, rounded to the dtype."""
    hyper = list(variants(optimizer))[variant]
    w = start_values().astype(dtype).astype(np.float64)
    slots = {
        name: np.full(w.shape, start) if start == start else w.copy()
        for name, start in reference.OPTIMIZERS[optimizer].slots(hyper).items()
    }
    entry = reference.OPTIMIZERS[optimizer]
    for step, gradient in enumerate(gradients().astype(dtype).astype(np.float64)):
        if not entry.per_parameter:
            w, slots = entry.update(w, gradient, slots, hyper, step)
            continue
        of_parameter = [dict(zip(slots, parts)) for parts in zip(*map(divide, slots.values()))]
        after = [entry.update(*parts, hyper, step) for parts in zip(divide(w), divide(gradient), of_parameter)]
        w = joined([w for w, _ in after])
        slots = {name: joined([slots[name] for _, slots in after]) for name in slots}
    return w, slots


def make_model(optimizer, hyper, dtype, trainable=(True,) * 4, start_gradient=0, **options):
    """A plan that does nothing but update parameters."""
    graph = Graph()
    graph.output(graph.input((1,)))
    for array, train in zip(divide(start_values()), trainable):
        graph.parameter(array, train)
    model = Model(graph, dtype, max_rows=1, optimizer=optimizer, hyper=hyper, **options)
    set_gradients(model, start_gradient)
    return model


def set_gradients(model, numbers):
    for view, gradient in zip(model.gradient_views, divide(np.broadcast_to(numbers, N_NUMBERS))):
        view[...] = gradient


def joined(views):
    return np.concatenate([view.ravel() for view in views])


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
    for number, hyper in enumerate(variants(optimizer)):
        model = make_model(optimizer, hyper, dtype)
        for step, gradient in enumerate(gradients()):
            set_gradients(model, gradient)
            model.plan.run(_core.UPDATE, n_rows=1, batch_size=1, step=step, hyper=model.hyper_row)
        w, slots = reference_run(optimizer, number, dtype)
        assert_close(joined(model.weights), w, TOLERANCE[dtype], f"{optimizer} {hyper}", floor=1)
        for i, (name, _) in enumerate(model.slot_starts):
            assert_close(joined(model.slot_views(i)), slots[name], TOLERANCE[dtype], f"{optimizer} {hyper} {name}", floor=1e-3)


@pytest.mark.parametrize("optimizer", _core.registry("optimizers"))
def test_hyper_parameters_of_each_step(optimizer, dtype):
    """A table with a row for each step of a call gives the bits of a call for each step; so does one row for all."""
    for hyper in variants(optimizer):
        fresh = functools.partial(make_model, optimizer, hyper, dtype, start_gradient=gradients()[3])
        constant = np.tile(fresh().hyper_row, (12, 1))
        changing = constant.copy()
        changing[:, 0] = np.geomspace(0.1, 0.001, 12)
        for rows in (changing, constant):
            single = fresh()
            for step, row in enumerate(rows):
                single.plan.run(_core.UPDATE, n_rows=1, batch_size=1, step=1000 + step, hyper=row)
            for n_threads in (1, 2, 3):
                model = fresh(n_threads=n_threads)
                model.plan.run(_core.UPDATE, n_rows=12, batch_size=1, step=1000, hyper=rows)
                assert model.state() == single.state(), (hyper, n_threads)
        model = fresh(n_threads=2)
        model.plan.run(_core.UPDATE, n_rows=12, batch_size=1, step=1000, hyper=constant[0])
        assert model.state() == single.state()


@pytest.mark.parametrize("optimizer", _core.registry("optimizers"))
def test_frozen_parameters_and_paddings(optimizer, dtype):
    """Only what is trained changes, and its slots; what lies between the arrays stays 0."""
    for hyper in variants(optimizer):
        for frozen, gap in itertools.product([(), (0,), (1,), (3,), (0, 2)], (0, 1)):
            model = make_model(optimizer, hyper, dtype, [i not in frozen for i in range(4)], n_threads=2, gap=gap)
            covered = np.zeros(model.parameter_slab.size, bool)
            for i, offset in enumerate(model.offsets):
                covered[offset : offset + model.weights[i].size] = True
            for slab in (model.parameter_slab, *model.slots):
                slab[~covered] = 0
            before = [view.copy() for view in model.weights]
            slots = [[view.copy() for view in model.slot_views(j)] for j in range(len(model.slots))]
            set_gradients(model, 0.5)
            model.plan.run(_core.UPDATE, n_rows=2, batch_size=1, hyper=model.hyper_row)
            for i, view in enumerate(model.weights):
                assert np.array_equal(view, before[i]) == (i in frozen)
                if i in frozen:
                    for j, start in enumerate(slots):
                        assert np.array_equal(model.slot_views(j)[i], start[i])
            assert not model.parameter_slab[~covered].any()


@pytest.mark.parametrize("optimizer", _core.registry("optimizers"))
def test_a_gradient_of_nan_changes_nothing(optimizer, isa, dtype):
    for hyper in variants(optimizer):
        model = make_model(optimizer, hyper, dtype)
        set_gradients(model, 0.5)
        model.gradient_views[1][7, 9] = np.nan
        before = model.state()
        with pytest.raises(FloatingPointError, match="gradient became infinite or nan at step 0"):
            model.plan.run(_core.UPDATE, n_rows=1, batch_size=1, hyper=model.hyper_row)
        assert model.state() == before, hyper


@pytest.mark.parametrize("optimizer, lost", [("adam", True), ("rmsprop", False)])
def test_a_second_moment_that_overflows(optimizer, lost, isa, dtype):
    """Divided by infinity a step is nothing. Where it then is infinity less infinity, NaN must not be lost on the way."""
    model = make_model(optimizer, {}, dtype)
    weight = model.weights[1]
    before = weight.copy()
    set_gradients(model, np.sqrt(np.finfo(dtype).max) * 1e3)
    model.plan.run(_core.UPDATE, n_rows=1, batch_size=1, hyper=model.hyper_row)
    np.testing.assert_allclose(weight, before, rtol=1e-6, atol=1e-6)
    if lost:
        with pytest.raises(FloatingPointError, match="weights became infinite or nan at step 1"):
            model.plan.run(_core.UPDATE, n_rows=1, batch_size=1, step=1, hyper=model.hyper_row)
        assert np.isnan(weight).all()
    else:
        model.plan.run(_core.UPDATE, n_rows=1, batch_size=1, step=1, hyper=model.hyper_row)
        np.testing.assert_allclose(weight, before, rtol=1e-6, atol=1e-6)


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
