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
#: Operations that ONNX has no equal of: numbers are drawn anew in each prediction, too; rows of sparse matrices, which no model is
#: described with.
NOT_THERE = ["random", "sparse_dense"]


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
        if op == "embedding":  # tokens that there are
            arrays = [np.clip(array, 0, case.attributes["input_dim"] - 1) for array in arrays]
        expected = Model(graph, "float32", max_rows=ROWS, training=False).predict(arrays)
        names = [[f"{letter}_{i}" for i in range(len(ends))] for letter, ends in (("x", graph.inputs), ("y", graph.outputs))]
        if op in NOT_THERE:
            with pytest.raises(NotImplementedError, match=f"layer '.*': ONNX has no operators for {op}"):
                writing.make_proto(describe_graph(graph), "float32", *names, "case")
            continue
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


def test_what_cannot_be_written_leaves_no_file(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")
    inputs = fn.Input((3, 2), batch_size=2)
    model = fn.Model(inputs, fn.layers.LSTM(2, stateful=True, name="keeps")(inputs))
    with pytest.raises(NotImplementedError, match="to_onnx: layer 'keeps': ONNX has no state"):
        fn.saving.to_onnx(model, path)
    assert path.read_bytes() == b"before"
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"must end with \.onnx, got 'model\.bin'"):
        fn.saving.to_onnx(model, tmp_path / "model.bin")


def test_outputs_that_differ_are_no_file(tmp_path, monkeypatch):
    monkeypatch.setitem(writing.WRITERS, "softmax", lambda node: str(node.graph.add("Softmax", node.x, axis=0)))
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(4, "softmax")])
    with pytest.raises(ArithmeticError, match=r"output 'dense.*' differs by .* by onnxruntime; no file was written"):
        fn.saving.to_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_parts_of_a_model(tmp_path):
    """Several inputs, one of which is an output too, outputs that are one value, scaled inputs, weights in two layouts."""
    a, b = fn.Input((4,), name="a"), fn.Input((4,), name="b")
    scaling = fn.layers.Normalization()
    scaling.adapt(np.random.default_rng(0).normal(3, 2, (50, 4)))
    hidden = fn.layers.Dense(4, "gelu")(scaling(a))
    model = fn.Model([a, b], [hidden, fn.layers.Add()([hidden, b]), hidden, b], seed=1)
    written = fn.saving.to_onnx(model, tmp_path / "model.onnx")
    proto = onnx.load(written.path)
    x = [np.random.default_rng(i).normal(size=(5, 4)).astype(np.float32) for i in range(2)]
    expected = model.predict(x)
    assert [value.name for value in proto.graph.input] == ["a", "b"]
    assert len({value.name for value in proto.graph.output}) == 4
    for outputs in outputs_of(proto, x):
        for found, one in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(found, one, atol=1e-5)


def test_axes_are_not_exchanged_twice(tmp_path):
    """Between convolutions and what is blind to the order of axes there is no transposition."""
    layers = fn.layers
    model = fn.Sequential(
        [
            fn.Input((8, 8, 2)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(3, 2, activation="gelu"),
        ]
    )
    proto = onnx.load(fn.saving.to_onnx(model, tmp_path / "model.onnx").path)
    assert [node.op_type for node in proto.graph.node].count("Transpose") <= 3


@pytest.mark.parametrize("value", [-np.inf, np.nan])
def test_masks_of_infinite_numbers(tmp_path, value):
    """As PyTorch writes causal attention: infinity, added to scores above the diagonal."""
    helper, path = onnx.helper, tmp_path / "model.onnx"
    mask = np.triu(np.full((4, 4), value, np.float32), 1)
    nodes = [helper.make_node("Add", ["x", "mask"], ["scores"]), helper.make_node("Softmax", ["scores"], ["y"], axis=-1)]
    arguments = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 4, 4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "graph", arguments[:1], arguments[1:], [onnx.numpy_helper.from_array(mask, "mask")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), path)
    model = fn.saving.from_onnx(path)
    if np.isnan(value):
        with pytest.raises(ValueError, match="values that are not finite"):
            fn.saving.to_onnx(model, tmp_path / "again.onnx")
        return
    written = fn.saving.to_onnx(model, tmp_path / "again.onnx")
    x = np.random.default_rng(0).normal(size=(3, 4, 4)).astype(np.float32)
    exponentials = np.tril(np.exp(x.astype(float)))
    for (found,) in outputs_of(onnx.load(written.path), [x]):
        np.testing.assert_allclose(found, exponentials / exponentials.sum(axis=-1, keepdims=True), atol=1e-6)
