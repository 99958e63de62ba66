"""Models as ONNX: every operation and function of the engine, and whole networks, in onnxruntime and in the reference evaluator."""

import numpy as np
import onnx
import operation_cases
import pytest
from exports import describe_graph
from onnx.reference import ReferenceEvaluator
from plans import Model, assert_close
from random_models import random_model
from test_every_function import FORMS, drawn, model_of

import fastnet as fn
from fastnet import _core
from fastnet.onnx import writing

ROWS = 3


def outputs_of(proto, inputs):
    """By each of the two; onnxruntime has few operators for float64."""
    given = dict(zip([value.name for value in proto.graph.input], inputs))
    found = writing.run_onnxruntime(proto, given)
    assert found is not None or inputs[0].dtype == np.float64
    return [outputs for outputs in (found, ReferenceEvaluator(proto).run(None, given)) if outputs is not None]


@pytest.mark.parametrize("op", sorted(_core.registry("ops")))
def test_operation(op):
    for case in operation_cases.OPS[op](5):
        if case.attributes.get("stateful"):
            continue
        graph = case.graph()
        if op == "batch_normalization":  # no negative variance
            graph.parameters[-1] = (np.abs(graph.parameters[-1][0]), True)
        arrays = operation_cases.arrays(case.shapes, ROWS, "float32")
        expected = Model(graph, "float32", max_rows=ROWS, training=False).predict(arrays)
        names = [[f"{letter}_{i}" for i in range(len(ends))] for letter, ends in (("x", graph.inputs), ("y", graph.outputs))]
        proto = writing.make_proto(describe_graph(graph), "float32", *names, "case")
        for outputs in outputs_of(proto, arrays):
            for found, one in zip(outputs, expected, strict=True):
                assert found.shape == one.shape, case
                assert_close(found, one, 2e-5, str(case), floor=1)


@pytest.mark.parametrize(("name", "number"), FORMS)
def test_function(name, number, tmp_path):
    case, arrays, _ = drawn(name, number, "float32")
    model = model_of(case, arrays)
    written = fn.saving.to_onnx(model, tmp_path / "model.onnx", verify=False)
    expected = model.predict(arrays)
    for (found,) in outputs_of(onnx.load(written.path), arrays):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(150))
def test_random_network(seed, tmp_path):
    dtype = "float64" if seed % 5 == 4 else "float32"
    model, x, _ = random_model(seed, dtype)
    written = fn.saving.to_onnx(model, tmp_path / "model.onnx")
    proto = onnx.load(written.path)
    assert written.opset == proto.opset_import[0].version <= 17
    assert written.difference <= writing.TOLERANCE[dtype]
    expected = model.predict(x)
    size = max(np.abs(expected).max(), 1e-3)
    for (found,) in outputs_of(proto, [np.asarray(x, dtype)]):
        np.testing.assert_allclose(found / size, expected / size, rtol=0, atol=writing.TOLERANCE[dtype])
