"""Models in integers: every array of them to the bit, their accuracy, and what cannot be in integers."""

import os
import shutil
import subprocess

import numpy as np
import pytest
from exports import C99, COMPILERS, QUICKEST, Compiled, compile_text
from plans import assert_close
from quantized import FUNCTIONS, random_convolution, random_dense, randomize

import fastnet as fn
from fastnet.exporting import _writer
from fastnet.exporting._library import load_library
from fastnet.exporting._program import Array, Code
from fastnet.exporting._quantization import Quantizer
from fastnet.exporting._quantized_operations import Quantized
from fastnet.exporting.export import describe_model, write_model

layers = fn.layers


def rows_for(model, n, seed=0, scale=1.0):
    random = np.random.default_rng(seed)
    return [scale * random.normal(size=(n, *x.sample_shape)).astype(model.dtype) for x in model.inputs]


class Exposed:
    """A model in integers whose arrays are all results of `predict`."""

    def __init__(self, model, calibration, **options):
        bits = 64 if model.dtype == "float64" else 32
        library = load_library(bits)
        self.quantizer = quantizer = Quantizer(describe_model(model, False), library, calibration)
        step = quantizer.step
        arrays = {a: None for call in step.calls for a in call.arguments if isinstance(a, Array) and a.kind == "value"}
        for array in arrays:
            array.kind = "argument"
        step = step._replace(outputs=[*step.outputs, *arrays])
        functions = [_writer.Function("predict", "Outputs.", step)]
        export = _writer.Export("net", ["A test."], bits, False, library, functions, 0, [], 1e-4, 1)
        text, _, sizes = _writer.write_files(export, None)
        self.step, self.library = step, library
        self.compiled = Compiled(text, functions, "net", model.dtype, sizes["memory"], **options)

    def in_c(self, row):
        """Every array that a prediction writes."""
        return dict(zip(self.step.outputs, self.compiled.call("predict", *row)))

    def by_equations(self, row, found):
        """The same from tests/quantized.py; calls of functions that are not in integers take what C has made."""
        real = self.compiled.dtype
        arrays = {array: x.reshape(-1) for array, x in zip(self.step.inputs, row)}
        for array in self.step.outputs:
            arrays[array] = np.full(array.size, -99, np.int8) if array.type == "int8_t" else np.full(array.size, np.nan, real)
        for call in self.step.calls:
            given = []
            for parameter, argument in zip(self.library.signature(call.function), call.arguments):
                assert not isinstance(argument, Code)
                if isinstance(argument, Array) and argument.kind == "constant":
                    values = argument.values
                    argument = values.astype(real) if argument.type == "fnp_real" else values.astype(np.int64)
                elif isinstance(argument, Array):
                    argument = arrays[argument]
                given.append(real.type(argument) if parameter.type == "fnp_real" and not parameter.array else argument)
            if call.function in FUNCTIONS:
                FUNCTIONS[call.function](*given)
            else:
                for array in self.compiled_results(call):
                    arrays[array][:] = found[array]
        return arrays

    def compiled_results(self, call):
        parameters = self.library.signature(call.function)
        return [a for p, a in zip(parameters, call.arguments) if isinstance(a, Array) and not p.constant]


def assert_same_bits(model, n=3, **options):
    calibration = rows_for(model, 40)
    exposed = Exposed(model, calibration, **options)
    rows = rows_for(model, n, seed=1, scale=1.5)  # beyond the range too
    if n > 2:
        rows[0][1].reshape(-1)[0], rows[0][2].reshape(-1)[-1] = np.nan, np.inf
    in_python = exposed.quantizer.emulate(rows)
    for i in range(n):
        row = [array[i : i + 1] for array in rows]
        found = exposed.in_c(row)
        expected = exposed.by_equations(row, found)
        for array, values in found.items():
            if "patch" not in array.name and array.size:
                assert np.array_equal(values.view(np.uint8), expected[array].view(np.uint8)), f"row {i}: {array}"
        for key, value in exposed.quantizer.values.items():
            if isinstance(value, Quantized):
                assert np.array_equal(found[value.array], in_python[key][i].reshape(-1)), f"row {i}: value {key}"
        for array, values in zip(exposed.step.outputs, exposed.quantizer.predict(row)):
            assert_close(found[array], values.reshape(-1), 1e-5, f"row {i}: {array}")
    return exposed


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("make", [random_dense, random_convolution], ids=["dense", "convolution"])
def test_every_array_to_the_bit(make, seed):
    assert_same_bits(make(seed))


@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_compiler(compiler):
    for model in (random_dense(31), random_convolution(31)):
        assert_same_bits(model, 2, compiler=compiler)
        if compiler != "tcc":
            written = write_model(model, "net", calibration=rows_for(model, 10))
            compile_text(written.source, compiler, suffix=".cpp", flags=["-lstdc++"])


@pytest.mark.parametrize("make", [random_dense, random_convolution], ids=["dense", "convolution"])
def test_double_precision(make):
    model = make(4)
    twice = fn.Model.from_config({**model.get_config(), "dtype": "float64"})
    twice.set_weights(model.get_weights())
    assert_same_bits(twice)


def test_the_models_have_every_function():
    """What random models are for: no function of the library is left out."""
    library = load_library(32)
    used = set()
    for seed in range(12):
        for model in (random_dense(seed), random_convolution(seed)):
            step = Quantizer(describe_model(model, False), library, rows_for(model, 10)).step
            used |= {call.function for call in step.calls}
    assert used >= FUNCTIONS.keys()
    inner = {name for block in library.closure(FUNCTIONS) for name in (block.name,)}
    assert {name for name in library.blocks if name.startswith("fnp_q_")} <= inner


MAIN = """
#include <stdio.h>
int main(void)
{
    static net_memory memory;
    printf("%d", net_selftest(&memory));
    return 0;
}
"""


@pytest.mark.parametrize("compiler", [name for name in ("gcc", "clang") if shutil.which(name)])
def test_no_undefined_behaviour(tmp_path, compiler):
    """Numbers far beyond the calibration, under the sanitizers."""
    for seed in (3, 8, 21):
        for make in (random_dense, random_convolution):
            model = make(seed)
            tests = [([array[:1] for array in rows_for(model, 1, i, scale)], []) for i, scale in enumerate((0.0, 1.0, 1e3, 1e30))]
            written = write_model(model, "net", tests=lambda given=tests: given, calibration=rows_for(model, 30))
            (tmp_path / "net.c").write_text(written.source + MAIN)
            sanitizers = ["-fsanitize=undefined,address", "-fno-sanitize-recover=all", "-DNET_SELFTEST", "-g", "-O1"]
            command = [compiler, *C99, *sanitizers, "net.c", "-o", "net"]
            subprocess.run(command, check=True, cwd=tmp_path, env={**os.environ, "CCACHE_DISABLE": "1"})
            run = subprocess.run(["./net"], cwd=tmp_path, capture_output=True, text=True)
            assert (run.returncode, run.stdout) == (0, "0"), run.stderr[:3000]


# ---- what it is worth ----------------------------------------------------------------------------------------


def digits_models():
    dense = [layers.Dense(128, activation="relu"), layers.Dense(64, activation="relu")]
    convolution = [
        layers.Reshape((8, 8, 1)), layers.Conv2D(8, 3, padding="same", use_bias=False), layers.BatchNormalization(),
        layers.ReLU(), layers.MaxPooling2D(2), layers.DepthwiseConv2D(3, padding="same", activation="relu6"),
        layers.Conv2D(16, 1, activation="relu"), layers.AveragePooling2D(2), layers.Flatten(),
    ]  # fmt: skip
    for hidden, epochs in ((dense, 8), (convolution, 12)):
        end = layers.Dense(10, activation="softmax")
        yield fn.Sequential([fn.Input((64,)), layers.Rescaling(1 / 16), *hidden, end], seed=0), epochs


@pytest.mark.parametrize("number", [0, 1], ids=["dense", "convolution"])
def test_accuracy_on_digits(tmp_path, capsys, number):
    (x, y), (x_test, y_test) = fn.datasets.load_digits()
    model, epochs = list(digits_models())[number]
    model.compile("adam" if number == 0 else fn.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=epochs, verbose=0)
    exported = model.export(tmp_path / "digits.c", quantize="int8", calibration=(x, y))
    own = np.mean(model.predict(x).argmax(1) == y)
    assert exported.loss.own_accuracy == pytest.approx(own) and own > 0.93
    assert abs(exported.loss.accuracy - own) <= 0.005
    assert f"accuracy {exported.loss.accuracy:.4f}, in float {own:.4f}" in capsys.readouterr().out
    written = write_model(model, "digits", calibration=[x])
    compiled = Compiled(written.source, written.functions, "digits", model.dtype, written.memory)
    rows, labels = np.concatenate([x, x_test]).astype(np.float32), np.concatenate([y, y_test])
    accuracies = [np.mean(p.argmax(1) == labels) for p in (compiled.predict(rows)[0], model.predict(rows))]
    assert abs(accuracies[0] - accuracies[1]) <= 0.005
    if number == 0:
        assert exported.memory == 64 + 128 and exported.operations == 17024
        assert exported.weights == 17024 + 4 * (128 + 64) * 2 + 10 * 8 + 8


def test_the_error_of_a_layer_is_that_of_its_rounding():
    """|y - x W - b| <= scale_x / 2 sum |W| + scale_W / 2 sum |x_q|, and a little for the bias."""
    random = np.random.default_rng(5)
    model = randomize(fn.Sequential([fn.Input((30,)), layers.Dense(11)], seed=0), random)
    kernel, bias = (array.astype(np.float64) for array in model.get_weights())
    x = random.uniform(-1, 3, (200, 30)).astype(np.float32)
    quantizer = Quantizer(describe_model(model, False), load_library(32), [x])
    scale_x, scale_w = max(x.max(), 0) / 255 - min(x.min(), 0) / 255, np.abs(kernel).max(0) / 127
    bound = scale_x / 2 * np.abs(kernel).sum(0) + scale_w / 2 * (np.abs(x).sum(1) + 30 * scale_x)[:, None] + scale_x * scale_w
    error = np.abs(quantizer.predict([x])[0] - (x @ kernel + bias))
    assert np.all(error <= bound * 1.001)


@pytest.mark.parametrize("case", ["zero kernel", "zero kernel and bias", "large bias", "dead", "small output"])
def test_extreme_weights(case):
    model = randomize(fn.Sequential([fn.Input((5,)), layers.Dense(9, activation="relu"), layers.Dense(9), layers.Dense(3)]),
                      np.random.default_rng(1))  # fmt: skip
    weights = model.get_weights()
    if "zero kernel" in case:
        weights[2][:, ::2] = 0
        weights[3][::2] = 0 if "bias" in case else weights[3][::2]
    if case == "large bias":
        weights[2] *= 1e-7
        weights[3] *= 1e4
    if case == "dead":
        weights[1] -= 1000
    if case == "small output":  # large sums that cancel: the scale of the result would be less than the sums' own
        weights[2][:], weights[3][:] = 1, 0
        weights[0][:, 1:] = -weights[0][:, :1]
        weights[1][:] = 0
    model.set_weights(weights)
    exposed = assert_same_bits(model)
    x = rows_for(model, 40)
    own = model.predict(x[0])
    assert np.abs(exposed.quantizer.predict(x)[0] - own).max() <= 0.03 * max(np.abs(own).max(), 1)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kind", "size", "strides"), [("Conv1D", 7, 1), ("Conv2D", (3, 5), 1), ("Conv2D", (3, 5), 2)])
def test_a_convolution_of_single_pixels_is_a_dense_layer(kind, size, strides, padding):
    shape = (*size, 3) if isinstance(size, tuple) else (size, 3)
    convolution = getattr(layers, kind)(11, 1, strides=strides, padding=padding, activation="relu")
    exposed = assert_same_bits(randomize(fn.Sequential([fn.Input(shape), convolution, layers.Flatten(), layers.Dense(2)]),
                                         np.random.default_rng(2)))  # fmt: skip
    functions = [call.function for call in exposed.step.calls]
    assert ("fnp_q_convolution" in functions) == (strides > 1) and ("fnp_q_dense" in functions) == (strides == 1)


@pytest.mark.parametrize("outputs", ["labels", "one-hot", "one", "none"])
def test_the_loss_that_is_told(tmp_path, capsys, outputs):
    random = np.random.default_rng(0)
    classes = 1 if outputs == "one" else 4
    end = layers.Dense(classes, activation="sigmoid" if outputs == "one" else "softmax")
    model = randomize(fn.Sequential([fn.Input((6,)), layers.Dense(9, activation="tanh"), end]), random)
    x = random.normal(size=(50, 6)).astype(np.float32)
    labels = random.integers(0, max(classes, 2), 50)
    given = {"labels": (x, labels), "one-hot": (x, np.eye(4)[labels % 4]), "one": (x, labels), "none": x}[outputs]
    loss = model.export(tmp_path / "net.c", quantize="int8", calibration=given).loss
    written = write_model(model, "net", calibration=[x])
    own, found = model.predict(x), Compiled(written.source, written.functions, "net", "float32", written.memory).predict(x)[0]
    assert_close([loss.largest, loss.mean], [np.abs(own - found).max(), np.abs(own - found).mean()], 1e-4)
    told = capsys.readouterr().out
    assert f"{loss.largest:.3g}" in told and ("accuracy" in told) == (outputs != "none")
    if outputs != "none":
        hits = [np.mean((p[:, 0] > 0.5) == labels if outputs == "one" else p.argmax(1) == labels) for p in (found, own)]
        assert (loss.accuracy, loss.own_accuracy) == tuple(map(pytest.approx, hits))


# ---- what cannot be ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hidden", "words"),
    [
        ([layers.LSTM(3), layers.Dense(2)], ("'lstm'", "no form in integers")),
        ([layers.LayerNormalization(), layers.Dense(2)], ("'layer_normalization'", "no form in integers")),
        ([layers.Dense(3, activation="softmax"), layers.Dense(2)], ("'dense'", "softmax", "no form in integers")),
        ([layers.Flatten(), layers.Softmax()], ("dense or convolutional", "there is none")),
        ([layers.Flatten(), layers.Dense(1, kernel_initializer="ones")], ("'dense'", "140000 products can exceed 32 bits")),
        ([layers.Conv1D(2, 3), layers.UpSampling1D(2), layers.Conv1D(2, 3)], ("'up_sampling1d'", "no form in integers")),
    ],
)
def test_what_has_no_form_in_integers(tmp_path, hidden, words):
    model = fn.Sequential([fn.Input((35000 if "140000" in words[-1] else 5, 4)), *hidden], seed=0)
    with pytest.raises(NotImplementedError) as caught:
        model.export(tmp_path / "net.c", quantize="int8", calibration=rows_for(model, 3)[0])
    assert all(word in str(caught.value) for word in words), caught.value
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quantize": "int4", "calibration": np.zeros((2, 4))}, ("'int8'", "'int4'")),
        ({"quantize": "int8"}, ("calibration",)),
        ({"calibration": np.zeros((2, 4))}, ("quantize",)),
        ({"quantize": "int8", "calibration": np.zeros((2, 4)), "training": True}, ("training=True",)),
        ({"quantize": "int8", "calibration": np.zeros((2, 4)), "gradient": True}, ("gradient=True",)),
        ({"quantize": "int8", "calibration": np.zeros((0, 4))}, ("at least one row",)),
        ({"quantize": "int8", "calibration": np.full((2, 4), np.nan)}, ("not all finite",)),
        ({"quantize": "int8", "calibration": np.full((2, 4), np.inf)}, ("not all finite",)),
        ({"quantize": "int8", "calibration": np.zeros((2, 5))}, ("(2, 5)", "(n, 4)")),
        ({"quantize": "int8", "calibration": (np.zeros((2, 4)), np.zeros(3))}, ("2 rows", "3")),
        ({"quantize": "int8", "calibration": (np.zeros((2, 4)), np.zeros((2, 3)))}, ("(2, 3)", "(2, 2)")),
        ({"quantize": "int8", "calibration": (np.zeros((2, 4)),)}, ("(x, y)", "tuple of 1")),
    ],
)
def test_what_is_no_calibration(tmp_path, options, words):
    model = fn.Sequential([fn.Input((4,)), layers.Dense(3), layers.Dense(2)], seed=0)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError) as caught:
        model.export(tmp_path / "net.c", **options)
    assert all(word in str(caught.value) for word in words), caught.value
    assert list(tmp_path.iterdir()) == []


def test_the_file_says_what_it_is_and_tests_itself(tmp_path):
    model = random_convolution(2)
    exported = model.export(tmp_path / "net.c", quantize="int8", calibration=rows_for(model, 20)[0], header=True)
    text = exported.paths[0].read_text()
    assert "quantize='int8'" in text
    (tmp_path / "main.c").write_text('#include "net.h"\nint main(void) { static net_memory m; return net_selftest(&m); }\n')
    command = [QUICKEST, *C99, "-DNET_SELFTEST", "net.c", "main.c", "-o", "net"]
    subprocess.run(command, check=True, cwd=tmp_path, env={**os.environ, "CCACHE_DISABLE": "1"})
    assert subprocess.run(["./net"], cwd=tmp_path).returncode == 0
