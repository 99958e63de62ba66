"""Optimizers against what Keras, PyTorch and the authors' packages made of the same weights and gradients.

The traces are those that tools/dump_optimizer_traces.py writes. They pass through the Python classes, and through an
engine that does nothing but updates.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import reference
from plans import Graph, Model

import fastnet as fn
from fastnet import _core

FOLDER = Path(__file__).parent / "traces"
MODULES = {"keras": fn.optimizers, "pytorch": fn.optimizers.pytorch, "papers": fn.optimizers}
SHAPES = [(7, 5), (5,)]

#: Classes whose equations are traced under another name.
SAME_AS = {"RAdam": "pytorch.RAdam", "Rprop": "pytorch.Rprop"}

#: Hyper-parameters that no trace changes: they choose the framework, and the trace with them.
CHOSEN_BY_CLASS = {"pytorch"}


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


def class_name(cls):
    return cls.__name__


def test_every_class_is_traced():
    traced = {class_name(type(make_optimizer(source, case))) for source, case, *_ in TRACES}
    classes = {class_name(cls) for cls in fn.optimizers.OPTIMIZERS.values()}
    assert {SAME_AS.get(name, name) for name in classes} == traced


def test_every_hyper_parameter_is_traced():
    """In some trace it is not the default."""
    for kernel, defaults in _core.registry("optimizers").items():
        values = [make_optimizer(source, case).values() for source, case, *_ in TRACES
                  if getattr(MODULES[source], case["class_name"]).kernel == kernel]
        assert values, kernel
        for name, default in defaults.items():
            assert name in CHOSEN_BY_CLASS or any(value[name] != default for value in values), (kernel, name)


@pytest.mark.parametrize("number", range(len(TRACES)), ids=IDS)
def test_trace(number, isa, dtype):
    source, case, steps, expected = TRACES[number]
    optimizer = make_optimizer(source, case)
    model = make_model(optimizer, np.split(WEIGHTS, [35]), dtype)
    found = [row.copy() for row in make_steps(optimizer, model, GRADIENTS)]
    found = np.array([found[step - 1] for step in steps], np.float64)
    error = np.abs(found - expected) / np.maximum(np.abs(expected), 1e-3)
    print(f"ERR {dtype} {isa} {error.max():.2e} {np.median(error):.1e} {IDS[number]}")
