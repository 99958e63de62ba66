"""ONNX files read as models: those that to_onnx and five other tools have made, and operators one by one against onnxruntime."""

import pathlib

import numpy as np
import operation_cases
import pytest
from exports import describe_graph
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from plans import Model, assert_close
from random_models import random_model
from test_onnx import NOT_THERE

import fastnet as fn
from fastnet import _core
from fastnet.onnx import writing

TRACES = pathlib.Path(__file__).parent / "traces"


def difference(found, expected):
    return np.abs(np.asarray(found, float) - expected).max(initial=0) / max(np.abs(expected).max(initial=0), 1e-3)


@pytest.mark.parametrize("seed", range(150))
def test_random_network_comes_back(seed, tmp_path):
    model, x, _ = random_model(seed, "float64" if seed % 5 == 4 else "float32")
    written = fn.saving.to_onnx(model, tmp_path / "model.onnx", verify=False)
    back = fn.saving.from_onnx(written.path, dtype=model.dtype)
    assert difference(back.predict(x), model.predict(x)) < 1e-5


@pytest.mark.parametrize("name", ["scikit_learn", "pytorch_images", "pytorch_series", "pytorch_attention", "keras"])
def test_files_of_other_tools(name):
    """Made by tools/make_onnx_files.py, with what these tools compute."""
    traces = np.load(TRACES / "onnx_outputs.npz")
    outputs = ["probabilities"] if name == "scikit_learn" else None  # the other one is the class
    model = fn.saving.from_onnx(TRACES / f"onnx_{name}.onnx", outputs=outputs)
    x, expected = traces[f"{name}_x"], traces[f"{name}_y"]
    assert difference(model.predict(x), expected) < 1e-5
    if name != "scikit_learn":
        again = fn.saving.from_onnx(TRACES / f"onnx_{name}.onnx", dtype="float64")
        assert difference(again.predict(x), expected) < 1e-5
    targets = np.eye(expected.shape[1])[np.zeros(len(x), int)]
    model.compile("adam", "mse")
    before = model.evaluate(x, targets, verbose=0)
    model.fit(x, targets, epochs=20, verbose=0)
    assert model.evaluate(x, targets, verbose=0) < 0.99 * before


@pytest.mark.parametrize("op", sorted({*_core.registry("ops")} - {*NOT_THERE}))
def test_operation_comes_back(op):
    for case in operation_cases.OPS[op](5):
        if case.attributes.get("stateful"):
            continue
        graph = case.graph()
        if op == "batch_normalization":  # no negative variance
            graph.parameters[-1] = (np.abs(graph.parameters[-1][0]), True)
        arrays = operation_cases.arrays(case.shapes, 3, "float32")
        if op == "embedding":
            arrays = [np.clip(np.trunc(array), 0, case.attributes["input_dim"] - 1) for array in arrays]
        expected = Model(graph, "float32", max_rows=3, training=False).predict(arrays)
        names = [[f"{letter}_{i}" for i in range(len(ends))] for letter, ends in (("x", graph.inputs), ("y", graph.outputs))]
        proto = writing.make_proto(describe_graph(graph), "float32", *names, "case")
        made = len(graph.outputs) - len(graph.inputs)  # the other outputs are the inputs
        back = fn.saving.from_onnx(proto, outputs=names[1][:made])
        found = back.predict(arrays if len(arrays) > 1 else arrays[0])
        for one, other in zip(found if made > 1 else [found], expected):
            assert one.shape == other.shape, case
            assert_close(one, other, 2e-5, str(case), floor=1)


# ---- operators, one by one ----------------------------------------------------------------------------

IMAGE, SERIES, ROWS = (2, 3, 7, 6), (2, 4, 9), (2, 5)


def op(type, *shapes, constants=(), opset=17, domain="", outputs=1, **attributes):
    """Node, shapes of computed inputs, constants behind them (None: left out)."""
    return type, shapes, constants, opset, domain, outputs, attributes


def ints(*numbers):
    return np.array(numbers, np.int64)


def floats(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


SCALES = [np.array([], np.float32), np.array([1, 1, 2, 1.5], np.float32)]
SIZES = [np.array([], np.float32), np.array([], np.float32), ints(2, 3, 4, 11)]

OPERATORS = [
    *(op(name, ROWS) for name in ("Abs", "Cos", "Elu", "Erf", "Exp", "Floor", "Ceil", "HardSigmoid", "LeakyRelu", "Neg", "Relu", "Round", "Selu",
                                  "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Tan", "Tanh", "ThresholdedRelu", "Atan", "Sinh", "Cosh",
                                  "Asinh", "HardSwish", "Celu")),
    op("Shrink", ROWS, bias=0.1, lambd=0.3), op("Mish", ROWS, opset=18), op("Gelu", ROWS, opset=20),
    op("Gelu", ROWS, opset=20, approximate="tanh"), op("Elu", ROWS, alpha=0.4), op("Selu", ROWS, alpha=1.1, gamma=0.9),
    op("Clip", ROWS, constants=[np.float32(-0.5), np.float32(0.6)]), op("Clip", ROWS, constants=[None, np.float32(0.6)]),
    op("Clip", ROWS, opset=10, min=-0.5, max=0.6), op("PRelu", IMAGE, constants=[floats(3, 1, 1)]),
    op("Add", ROWS, ROWS), op("Add", IMAGE, constants=[floats(3, 1, 1)]), op("Mul", IMAGE, constants=[floats(1, 3, 1, 6)]), op("Max", ROWS, ROWS, ROWS),
    op("Sum", ROWS, ROWS, ROWS), op("Mean", ROWS, ROWS), op("Mod", ROWS, ROWS, fmod=1), op("Sub", (2, 1, 5), constants=[floats(1, 4, 5)]),
    op("Softmax", IMAGE, axis=1), op("Softmax", ROWS, opset=11), op("LogSoftmax", SERIES, axis=-1),
    *(op(f"Reduce{name}", SERIES, axes=[1], keepdims=k) for name in ("Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSumExp") for k in (0, 1)),
    op("ReduceSum", SERIES, constants=[ints(-1, 1)]), op("ReduceMean", SERIES, constants=[ints(2)], opset=18, keepdims=0),
    op("ReduceSum", SERIES, noop_with_empty_axes=1), op("ArgMax", SERIES, axis=2, keepdims=0), op("ArgMin", SERIES, axis=1),
    op("CumSum", SERIES, constants=[ints(2).reshape(())]), op("CumSum", SERIES, constants=[ints(-2).reshape(())], reverse=1),
    op("TopK", SERIES, constants=[ints(3)], outputs=2), op("TopK", SERIES, constants=[ints(2)], outputs=2, largest=0, axis=1),
    op("MatMul", SERIES, constants=[floats(9, 3)]), op("MatMul", SERIES, constants=[floats(2, 9, 3)[:1]]), op("MatMul", (2, 4, 5), (2, 5, 3)),
    op("Gemm", ROWS, constants=[floats(3, 5), floats(3)], transB=1, alpha=0.5, beta=2.0), op("Gemm", ROWS, constants=[floats(5, 3), floats(1, 3)]),
    op("Einsum", (2, 4, 5), (2, 3, 5), equation="bij,bkj->bik"),
    op("Reshape", SERIES, constants=[ints(0, -1)]), op("Reshape", SERIES, constants=[ints(-1, 6, 6)]), op("Reshape", SERIES, constants=[ints(2, 2, 2, 9)]),
    op("Flatten", IMAGE), op("Transpose", IMAGE, perm=[0, 2, 3, 1]), op("Squeeze", (2, 1, 4, 1), constants=[ints(1)]), op("Squeeze", (2, 1, 4, 1), opset=11, axes=[3, 1]),
    op("Unsqueeze", ROWS, constants=[ints(1, -1)]), op("Unsqueeze", ROWS, opset=11, axes=[2]), op("Concat", SERIES, SERIES, axis=1),
    op("Concat", SERIES, constants=[floats(2, 1, 9)[:1].repeat(2, 0)], axis=1), op("Split", SERIES, axis=2, outputs=3), op("Split", SERIES, constants=[ints(1, 3)], axis=1, outputs=2),
    op("Split", SERIES, opset=18, axis=2, outputs=2, num_outputs=2), op("Slice", SERIES, constants=[ints(1), ints(9), ints(2), ints(2)]),
    op("Slice", SERIES, constants=[ints(-1, 0), ints(-9, 2), ints(2, 1), ints(-2, 1)]), op("Slice", SERIES, opset=9, axes=[1], starts=[1], ends=[-1]),
    op("Pad", IMAGE, constants=[ints(0, 0, 1, 2, 0, 0, 0, 3), np.float32(0.7)]), op("Pad", IMAGE, constants=[ints(0, 0, 1, 2, 0, 1, 2, 3)], mode="reflect"),
    op("Pad", IMAGE, constants=[ints(0, 0, 1, 2, 0, 0, 0, 3)], mode="edge"), op("Pad", IMAGE, constants=[ints(0, 0, -1, 0, 0, 0, 2, -2)]),
    op("Tile", SERIES, constants=[ints(1, 2, 3)]), op("Expand", (2, 1, 9), constants=[ints(2, 4, 1)]), op("Trilu", (2, 4, 4), constants=[ints(1).reshape(())]),
    op("Trilu", (2, 4, 4), upper=0), op("Gather", SERIES, constants=[ints(3, 0, -1)], axis=2), op("Gather", SERIES, constants=[ints(1).reshape(())], axis=1),
    op("Gather", SERIES, constants=[ints(3, 0, 1, 2).reshape(2, 2)], axis=1),
    op("Conv", IMAGE, constants=[floats(4, 3, 3, 2), floats(4)], pads=[1, 0, 2, 1]), op("Conv", IMAGE, constants=[floats(4, 3, 3, 3)], strides=[2, 1], pads=[1, 1, 1, 1]),
    *(op("Conv", IMAGE, constants=[floats(4, 3, 4, 2)], strides=[2, 3], auto_pad=auto) for auto in ("SAME_UPPER", "SAME_LOWER", "VALID")),
    op("Conv", IMAGE, constants=[floats(6, 1, 3, 3), floats(6)], group=3, pads=[1, 1, 1, 1]), op("Conv", (2, 4, 7, 6), constants=[floats(6, 2, 3, 3)], group=2),
    op("Conv", IMAGE, constants=[floats(4, 3, 2, 2)], strides=[2, 2], dilations=[3, 2]), op("Conv", SERIES, constants=[floats(5, 4, 3), floats(5)], dilations=[2], pads=[3, 1]),
    op("ConvTranspose", IMAGE, constants=[floats(3, 4, 3, 2), floats(4)], strides=[2, 3]), op("ConvTranspose", IMAGE, constants=[floats(3, 4, 3, 3)], strides=[2, 2], pads=[1, 0, 1, 2], output_padding=[1, 0]),
    op("ConvTranspose", IMAGE, constants=[floats(3, 4, 2, 2), floats(4)], strides=[3, 3], output_padding=[1, 2]), op("ConvTranspose", SERIES, constants=[floats(4, 2, 3)], dilations=[2]),
    op("ConvTranspose", IMAGE, constants=[floats(3, 4, 3, 3)], strides=[2, 2], auto_pad="SAME_UPPER"),
    op("MaxPool", IMAGE, kernel_shape=[2, 3], strides=[2, 1]), op("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), op("MaxPool", IMAGE, kernel_shape=[2, 2], strides=[2, 4], ceil_mode=1),
    op("MaxPool", IMAGE, kernel_shape=[3, 2], auto_pad="SAME_UPPER", strides=[2, 2]), op("MaxPool", SERIES, kernel_shape=[3], strides=[2]), op("AveragePool", IMAGE, kernel_shape=[2, 2]),
    op("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1), op("AveragePool", IMAGE, kernel_shape=[3, 3], auto_pad="SAME_UPPER", strides=[2, 2]),
    op("GlobalAveragePool", IMAGE), op("GlobalMaxPool", SERIES),
    op("BatchNormalization", IMAGE, constants=[floats(3), floats(3), floats(3), floats(3) ** 2]), op("BatchNormalization", ROWS, constants=[floats(5), floats(5), floats(5), floats(5) ** 2], epsilon=0.1),
    op("LayerNormalization", SERIES, constants=[floats(9), floats(9)]), op("LayerNormalization", SERIES, constants=[floats(9)], epsilon=0.1), op("InstanceNormalization", IMAGE, constants=[floats(3), floats(3)]),
    op("GroupNormalization", (2, 4, 3, 3), constants=[floats(4), floats(4)], num_groups=2, opset=21),
    *(op("Resize", IMAGE, constants=[*given], mode=mode, coordinate_transformation_mode=where) for given in (SCALES, SIZES) for mode in ("nearest", "linear") for where in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")),
    *(op("Resize", IMAGE, constants=SCALES, nearest_mode=near) for near in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")),
    *(op(name, (6, 2, 3), constants=[floats(d, g * 4, 3), floats(d, g * 4, 4, seed=1), floats(d, g * 8, seed=2)], outputs=n, hidden_size=4, direction=direction)
      for name, g, n in (("RNN", 1, 2), ("GRU", 3, 2), ("LSTM", 4, 3)) for direction, d in (("forward", 1), ("reverse", 1), ("bidirectional", 2))),
    op("GRU", (6, 2, 3), constants=[floats(1, 12, 3), floats(1, 12, 4)], outputs=2, hidden_size=4, linear_before_reset=1),
    op("LSTM", (6, 2, 3), constants=[floats(1, 16, 3), floats(1, 16, 4)], outputs=1, hidden_size=4, activations=["Sigmoid", "Softsign", "Softsign"]),
    op("Scaler", ROWS, domain="ai.onnx.ml", offset=[1.0, 2, 3, 4, 5], scale=[0.5, 1, 2, 3, 4]), op("Normalizer", ROWS, domain="ai.onnx.ml", norm="L2"),
    op("LinearRegressor", ROWS, domain="ai.onnx.ml", coefficients=[1.0, 2, 3, 4, 5], intercepts=[0.5]),
    op("ArrayFeatureExtractor", ROWS, domain="ai.onnx.ml", constants=[ints(3, 0, 3)]), op("Binarizer", ROWS, domain="ai.onnx.ml", threshold=0.2),
    *(op("DepthToSpace", (2, 8, 3, 2), blocksize=2, mode=mode) for mode in ("DCR", "CRD")), op("SpaceToDepth", (2, 3, 4, 6), blocksize=2),
]  # fmt: skip


@pytest.mark.parametrize("case", OPERATORS, ids=lambda case: case[0])
def test_operator(case):
    type, shapes, constants, opset, domain, n_outputs, attributes = case
    turned = type in ("RNN", "GRU", "LSTM")
    arrays = [np.random.default_rng([7, i]).normal(size=shape).astype(np.float32) for i, shape in enumerate(shapes)]
    names = [f"x_{i}" for i in range(len(arrays))]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape) for name, array in zip(names, arrays)]
    tensors = [numpy_helper.from_array(one, f"c_{i}") for i, one in enumerate(constants) if one is not None]
    given = [*names, *("" if one is None else f"c_{i}" for i, one in enumerate(constants))]
    ends = [f"y_{i}" for i in range(n_outputs)]
    nodes = [helper.make_node(type, given, ends, name="node", domain=domain, **attributes)]
    if type in ("ArgMax", "ArgMin", "TopK"):
        nodes += [helper.make_node("Cast", [ends[-1]], ["places"], to=TensorProto.FLOAT)]
        ends = [*ends[:-1], "places"]
    if turned:  # the rows first, as fastnet wants them
        transposed = [helper.make_node("Transpose", ["x"], ["x_0"], perm=[1, 0, 2])]
        axes = [[2, 0, 1, 3], [1, 0, 2], [1, 0, 2]]
        nodes = [
            *transposed,
            *nodes,
            *(helper.make_node("Transpose", [end], [f"z_{i}"], perm=axes[i]) for i, end in enumerate(ends)),
        ]
        arrays, ends = [arrays[0].transpose(1, 0, 2)], [f"z_{i}" for i in range(n_outputs)]
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, arrays[0].shape)]
    imports = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 3)] if domain else [])]

    def model(*shapes):
        outputs = [helper.make_tensor_value_info(end, TensorProto.FLOAT, shape) for end, shape in zip(ends, shapes)]
        return helper.make_model(
            helper.make_graph(nodes, "graph", inputs, outputs, tensors), opset_imports=imports, ir_version=10
        )

    feeds = dict(zip([value.name for value in inputs], arrays))
    unknown = model(*[None] * n_outputs)
    if type == "Mish":  # which onnxruntime has in later opsets
        expected = ReferenceEvaluator(unknown).run(None, feeds)
    else:
        expected = writing.run_onnxruntime(unknown, feeds)
    back = fn.saving.from_onnx(model(*map(np.shape, expected)))
    found = back.predict(arrays if len(arrays) > 1 else arrays[0])
    for one, other in zip([found] if n_outputs == 1 else found, expected, strict=True):
        assert one.shape == np.shape(other)
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("gap", "values"), [(np.nan, [1.0, 2, 3]), (0.0, [7.0])])
def test_numbers_in_place_of_gaps(gap, values):
    x = np.array([[gap, 1.5, gap], [0.5, gap, 2]], np.float32)
    arguments = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x", "y")]
    node = helper.make_node("Imputer", ["x"], ["y"], domain="ai.onnx.ml", replaced_value_float=gap, imputed_value_floats=values)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(
        helper.make_graph([node], "graph", arguments[:1], arguments[1:]), opset_imports=imports, ir_version=10
    )
    (expected,) = writing.run_onnxruntime(model, {"x": x})
    np.testing.assert_array_equal(fn.saving.from_onnx(model).predict(x, check_finite=False), expected)


def test_dictionaries_of_probabilities_are_an_array():
    """As scikit-learn's classifiers are written by skl2onnx, unless it is told otherwise."""
    x = np.array([[0.25, 0.75], [1, 0]], np.float32)
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    pairs = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    output = helper.make_value_info("y", helper.make_sequence_type_proto(pairs))
    node = helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(helper.make_graph([node], "graph", [given], [output]), opset_imports=imports, ir_version=10)
    (expected,) = writing.run_onnxruntime(model, {"x": x})
    found = fn.saving.from_onnx(model).predict(x)
    assert [dict(enumerate(row)) for row in found.tolist()] == expected


# ---- what is wrong ------------------------------------------------------------------------------------


def save(tmp_path, *nodes, shape=("n", 4), constants=()):
    tensors = [numpy_helper.from_array(array, name) for name, array in constants]
    graph = helper.make_graph(
        nodes, "graph", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "m"])], tensors,
    )  # fmt: skip
    path = tmp_path / "model.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    return path


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (helper.make_node("Det", ["x"], ["y"], name="d"), "node 'd', Det: fastnet has no such operator"),
        (helper.make_node("ReduceMax", ["x"], ["y"], axes=[0]), "the node of 'y', ReduceMax: over the rows"),
        (helper.make_node("Transpose", ["x"], ["y"]), "output 'y'.*rows are not the first axis"),
        (helper.make_node("Reshape", ["x", "three"], ["y"]), "Reshape: .*batch.*3"),
        (helper.make_node("Gather", ["x", "three"], ["y"], axis=0), "of rows"),
        (helper.make_node("LeakyRelu", ["x"], ["y"], beta=2.0), "not a valid model of ONNX.*beta"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said(node, words, tmp_path):
    path = save(tmp_path, node, constants=[("three", ints(3, -1))])
    with pytest.raises((NotImplementedError, ValueError), match=f"(?s)from_onnx: .*{words}"):
        fn.saving.from_onnx(path)


def test_bad_files_and_names(tmp_path):
    good = save(tmp_path, helper.make_node("Relu", ["x"], ["y"]))
    with pytest.raises(ValueError, match=r"there is no value 'z'; the outputs are \['y'\]"):
        fn.saving.from_onnx(good, outputs=["z"])
    with pytest.raises(ValueError, match="input 'x' has shape"):
        fn.saving.from_onnx(save(tmp_path, helper.make_node("Relu", ["x"], ["y"]), shape=("n", "m")))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(good.read_bytes()[:-7] + b"\xff" * 3)
    with pytest.raises(ValueError, match=r"broken\.onnx"):
        fn.saving.from_onnx(broken)
    with pytest.raises(FileNotFoundError):
        fn.saving.from_onnx(tmp_path / "none.onnx")
