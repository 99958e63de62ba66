"""Every operation of the portable library against the references: values, and gradients of inputs and parameters."""

import numpy as np
import operation_cases
import pytest
from exports import COMPILERS, OPS, compile_description, compile_text, describe_graph, whole_library
from plans import Model, assert_close, reference_step

ROWS = 3
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_library_compiles_without_warnings(compiler, dtype):
    text = whole_library(dtype)
    compile_text(text, compiler)
    if compiler != "tcc":
        compile_text(text.replace("void (*const", "extern void (*const functions[])(void);\nvoid (*const"), compiler, suffix=".cpp",
                     flags=["-lstdc++"])  # fmt: skip
    if compiler == "gcc":
        compile_text(whole_library(dtype, libm=True), compiler, flags=["-lm"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", OPS)
def test_operation(op, dtype):
    for case in operation_cases.OPS[op](5):
        graph = case.graph()
        if op == "batch_normalization":  # no negative variance
            graph.parameters[-1] = (np.abs(graph.parameters[-1][0]), True)
        inputs = operation_cases.arrays(case.shapes, ROWS, dtype)
        seeds = operation_cases.arrays([graph.shapes[value] for value, *_ in graph.outputs], ROWS, dtype, seed=1)
        compiled = compile_description(describe_graph(graph), dtype, derivative="training", rows=ROWS, apart=dtype == "float64")
        parameters = [array for array, _ in graph.parameters]
        expected = reference_step(graph, parameters, inputs, seeds=seeds)
        predicted = Model(graph, dtype, max_rows=ROWS, training=False).predict(inputs, batch_size=1)  # as the file counts them
        for found, output in zip(compiled.predict(*inputs), predicted, strict=True):
            assert_close(found.reshape(output.shape), output, TOLERANCE[dtype], f"{case}: values", floor=1)
        wanted = {f"x_{i}_gradient_result": one for i, one in enumerate(expected.input_gradients)}
        wanted |= {f"parameter_{i}_gradient_result": one for i, one in enumerate(expected.parameter_gradients)}
        names = [array.name for array in compiled.steps["derivative"].outputs]
        found = dict(zip(names, compiled.call("derivative", *inputs, *seeds), strict=True))
        for name, gradient in wanted.items():
            if gradient is not None:  # one that is not there is zero
                one = found.pop(name, np.zeros(gradient.size)).reshape(gradient.shape)
                assert_close(one, gradient, TOLERANCE[dtype], f"{case}: {name}", floor=1)
        assert not found
