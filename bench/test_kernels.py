"""Every operation, forward and forward with backward, on the cases of the tests.

pytest bench/test_kernels.py -o addopts= --benchmark-only
"""

import numpy as np
import operation_cases
import pytest
from plans import Model

from fastnet import _core

WIDTH, ROWS = 256, 128
CASES = [(op, i) for op, make in operation_cases.OPS.items() for i, _ in enumerate(make(WIDTH))]


def make_call(op, index, training):
    """A function that runs the operation once on all rows, with one thread."""
    case = list(operation_cases.OPS[op](WIDTH))[index]
    graph = case.graph()
    del graph.outputs[1:]  # the test's copies of the inputs
    model = Model(graph, "float32", max_rows=ROWS, training=training, input_gradients=training)
    inputs = operation_cases.arrays(case.shapes, ROWS, "float32")
    arrays = {"inputs": inputs, "n_rows": ROWS, "batch_size": ROWS}
    parts = _core.FORWARD
    if training:
        parts |= _core.BACKWARD | _core.OUTPUT_GRADIENT
        arrays["output_gradients"] = [np.ones((ROWS, *graph.shapes[graph.outputs[0][0]]), np.float32)]
    return lambda: model.plan.run(parts, **arrays)


@pytest.mark.parametrize(("op", "index"), CASES, ids=[f"{op}-{i}" for op, i in CASES])
@pytest.mark.parametrize("training", [False, True], ids=["forward", "forward-backward"])
def test_operation(benchmark, op, index, training):
    call = make_call(op, index, training)
    call()
    benchmark.group = f"{op}-{index}"
    benchmark(call)


@pytest.mark.parametrize("optimizer", sorted(_core.registry("optimizers")))
def test_optimizer(benchmark, optimizer):
    """A step of which the update is nearly all: one row through a wide layer."""
    graph = next(iter(operation_cases.elementary.dense_cases(1024))).graph()
    width = graph.shapes[0][0]
    del graph.outputs[:]
    value = graph.dense(0, 1024)
    graph.output(value, "mean_squared_error")
    model = Model(graph, "float32", max_rows=1, optimizer=optimizer)
    x, y = np.ones((1, width), np.float32), np.ones((1, 1024), np.float32)
    model.train([x], [y], 1)
    benchmark.group = "optimizers"
    benchmark(lambda: model.train([x], [y], 1))
