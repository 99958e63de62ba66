"""Optimizers against what Keras, PyTorch and the authors' packages made of the same weights and gradients.

The traces are those that tools/dump_optimizer_traces.py writes. They pass through the Python classes, and through an
engine that does nothing but updates.
"""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import reference
from plans import Graph, Model, assert_close

import fastnet as fn
from fastnet import _core

FOLDER = Path(__file__).parent / "traces"
MODULES = {"keras": fn.optimizers, "pytorch": fn.optimizers.pytorch, "papers": fn.optimizers, "timm": fn.optimizers}
KERNEL = (7, 5)  # shape of the first weights; the others are a bias
TOLERANCE = {"float32": 2e-4, "float64": 1e-12}

#: Classes whose equations are traced under another name.
SAME_AS = {"RAdam": "pytorch.RAdam", "Rprop": "pytorch.Rprop"}

#: Classes that no library has of which there are traces.
UNTRACED = {"LARS", "Yogi"}


def read_traces():
    """(source, case, steps, weights after them) of all files."""
    traces = []
    for source in MODULES:
        with np.load(FOLDER / f"optimizers_{source}.npz") as file:
            cases = json.loads(str(file["cases"]))
            traces += [(source, case, file["steps"].tolist(), trace) for case, trace in zip(cases, file["weights"])]
    return traces


with np.load(FOLDER / "optimizers_inputs.npz") as inputs:
    WEIGHTS, GRADIENTS = inputs["weights"].astype(float), inputs["gradients"].astype(float)
TRACES = read_traces()
with np.load(FOLDER / "optimizers_layers.npz") as layers:
    LAYER_CASES = json.loads(str(layers["cases"]))
IDS = [f"{source} {case['class_name']} {case['arguments']}" for source, case, *_ in TRACES]


def make_optimizer(source, case):
    optimizer = getattr(MODULES[source], case["class_name"])(**case["arguments"])
    rate, decay = optimizer.learning_rate, case["decay"]
    if decay != 1:
        optimizer.learning_rate = lambda step: rate * decay**step
    return optimizer


def make_model(optimizer, parameters, dtype, n_threads=1):
    """A model of parameters alone."""
    graph = Graph()
    graph.output(graph.input((1,)))
    for parameter in parameters:
        graph.parameter(parameter)
    hyper = optimizer._fixed()
    return Model(graph, dtype, max_rows=1, optimizer=optimizer.kernel, hyper=hyper, n_threads=n_threads)


def make_steps(optimizer, model, gradients):
    """An update with each of the gradients, a row for all parameters; yields the parameters as a row."""
    ends = np.cumsum([view.size for view in model.gradient_views])[:-1]
    for batch, row in enumerate(gradients):
        for view, part in zip(model.gradient_views, np.split(row, ends)):
            view[...] = part.reshape(view.shape)
        optimizer.batches = batch
        model.plan.run(_core.UPDATE, n_rows=1, batch_size=1, step=batch, hyper=optimizer.hyper_parameters(1))
        yield np.concatenate([view.ravel() for view in model.weights])


def test_every_class_is_traced():
    traced = {type(make_optimizer(source, case)).__name__ for source, case, *_ in TRACES}
    names = {cls.__name__ for cls in fn.optimizers.OPTIMIZERS.values() if cls.kernel}
    assert {SAME_AS.get(name, name) for name in names - UNTRACED} == traced


def test_every_hyper_parameter_is_traced():
    """In some trace it is not the default."""
    for kernel, defaults in _core.registry("optimizers").items():
        optimizers = [make_optimizer(source, case) for source, case, *_ in TRACES]
        optimizers += [make_optimizer("keras", case) for case in LAYER_CASES]
        values = [optimizer.values() for optimizer in optimizers if optimizer.kernel == kernel]
        for name, default in defaults.items() if values else ():
            assert any(value[name] != default for value in values), (kernel, name)


@pytest.mark.parametrize("number", range(len(TRACES)), ids=IDS)
def test_trace(number, isa, dtype):
    source, case, steps, expected = TRACES[number]
    optimizer = make_optimizer(source, case)
    model = make_model(optimizer, [WEIGHTS[:35].reshape(KERNEL), WEIGHTS[35:]], dtype)
    found = list(make_steps(optimizer, model, GRADIENTS))
    for step, row in zip(steps, expected):
        allowed = TOLERANCE[dtype] * np.maximum(np.abs(row), 1e-3)
        error = np.abs(found[step - 1].astype(np.float64) - row)
        assert np.all(error <= allowed), f"step {step}: {np.max(error / allowed):.1f} times the tolerance"


#: One trace, the last, for each loop of the engine: loops differ in their slots.
LOOPS = {
    (optimizer.kernel, *(name for name, _ in optimizer.slots())): number
    for number, (source, case, *_) in enumerate(TRACES)
    for optimizer in [make_optimizer(source, case)]
}


@pytest.mark.parametrize("number", LOOPS.values(), ids=map(" ".join, LOOPS))
def test_bits_do_not_depend_on_place_and_threads(number, isa, dtype):
    """Many copies of the weights side by side: they stay copies, whatever thread and part of a vector they are in."""
    source, case, *_ = TRACES[number]
    copies = 141
    states = []
    for n_threads in (1, 2, 3):
        optimizer = make_optimizer(source, case)
        model = make_model(optimizer, [np.tile(WEIGHTS, copies)], dtype, n_threads)
        for row in make_steps(optimizer, model, np.tile(GRADIENTS[:4], copies)):
            assert np.all(row.reshape(copies, -1) == row[: len(WEIGHTS)])
        states.append(model.state())
    assert states[0] == states[1] == states[2]


# ---- functions of the step, far from the first ---------------------------------------------------------


def one_update(kernel, hyper, step, w, g, **slots):
    """One element after an update: (w, slots)."""
    graph = Graph()
    graph.output(graph.input((1,)))
    graph.parameter([w])
    model = Model(graph, "float64", max_rows=1, optimizer=kernel, hyper=hyper)
    for number, (name, _) in enumerate(model.slot_starts):
        model.slot_views(number)[0][:] = slots[name]
    model.gradient_views[0][:] = g
    model.plan.run(_core.UPDATE, n_rows=1, batch_size=1, step=step, hyper=model.hyper_row)
    return model.weights[0][0], {name: model.slot_views(i)[0][0] for i, (name, _) in enumerate(model.slot_starts)}


@pytest.mark.parametrize("step", [0, 1, 8, 18, 19, 20, 500, 12_345, 1_000_000])
def test_weights_of_the_schedule_free_average(step):
    k = np.arange(1, step + 2, dtype=float)
    for warmup_steps, r, power in itertools.product([0, 1, 30, 5000], [0, 0.5, 2], [0, 1.5, 2]):
        weights = k**r * np.minimum(1, k / max(warmup_steps, 1)) ** power
        hyper = {"warmup_steps": warmup_steps, "r": r, "weight_lr_power": power}
        _, slots = one_update("schedule_free_sgd", hyper, step, w=0, g=0, x=0, z_minus_y=1)
        np.testing.assert_allclose(slots["x"], weights[-1] / weights.sum(), rtol=1e-12, err_msg=str(hyper))


@pytest.mark.parametrize("step", [0, 1, 10, 100, 1000, 50_000])
def test_momenta_of_nadam(step):
    defaults = _core.registry("optimizers")["nadam"]
    for beta_1, momentum_decay in itertools.product([0, 0.5, 0.9, 0.999, 0.99999], [0, 1e-6, 0.004, 1, 10]):
        hyper = {**defaults, "learning_rate": 1.0, "beta_1": beta_1, "momentum_decay": momentum_decay}
        w, _ = one_update("nadam", hyper, step, w=0, g=0.3, momentum=-0.5, velocity=0.25)
        slots = {"momentum": np.array([-0.5]), "velocity": np.array([0.25])}
        expected, _ = reference.optimizers.nadam(np.zeros(1), np.array([0.3]), slots, hyper, step)
        assert_close([w], expected, 1e-11, f"{hyper}")


# ---- the weights of layers ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(LAYER_CASES)), ids=[f"{c['class_name']} {c['arguments']}" for c in LAYER_CASES])
def test_weights_of_layers(number, dtype):
    """What goes by the shape or the name of a weight takes those of Keras: kernels of attention have an axis of heads."""
    with np.load(FOLDER / "optimizers_layers.npz") as file:
        case, steps, expected = LAYER_CASES[number], file["steps"].tolist(), file["weights"][number]
        start, gradients, paths = file["start"], file["gradients"], json.loads(str(file["paths"]))
    tokens = fn.Input((6,))
    x = fn.layers.Embedding(9, 4, name="table_Embedding")(tokens)
    x = fn.layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    x = fn.layers.GRU(3, name="gru")(fn.layers.Conv1D(5, 2, name="conv1")(x))
    model = fn.Model(tokens, fn.layers.Dense(2, name="head")(fn.layers.Dense(4, name="dense")(x)), seed=0, dtype=dtype)
    weights = model.trainable_weights
    assert [[weight.path, list(weight.shape)] for weight in weights] == [[p.replace("gru_cell/", ""), s] for p, s in paths]
    optimizer = make_optimizer("keras", case)
    model.compile(optimizer, "mse")
    ends = np.cumsum([weight.size for weight in weights])[:-1]

    for weight, value in zip(weights, np.split(start, ends)):
        weight.assign(value.reshape(weight.shape))
    for step, row in enumerate(gradients, 1):
        model.forward(np.zeros((1, 6)), training=True)
        model.backward(np.zeros((1, 2), dtype))
        for weight, value in zip(weights, np.split(row, ends)):
            weight.gradient[...] = value.reshape(weight.shape)
        model.apply_gradients()
        if step in steps:
            found = np.concatenate([weight.value.ravel() for weight in weights])
            row = expected[steps.index(step)]
            # Keras rounds some of the numbers of a step to float32 on this backend.
            assert_close(found, row, {"float32": 2e-4, "float64": 2e-7}[dtype], f"step {step}", floor=1e-2)
