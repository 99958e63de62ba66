"""Exported C files, compiled and called through ctypes."""

import ctypes
import functools
import os
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np

from fastnet import _core
from fastnet.exporting import _lowering, _writer
from fastnet.exporting._library import load_library
from fastnet.exporting.export import write_model

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
C99 = ["-std=c99", "-pedantic", *WARNINGS]
#: The compilers that are here.
COMPILERS = [name for name in ("gcc", "clang", "tcc") if shutil.which(name)]
#: The one that takes least time, where one is enough.
QUICKEST = COMPILERS[-1] if COMPILERS else "cc"


def compile_text(text, compiler=QUICKEST, flags=(), suffix=".c"):
    """A shared object of a C file, loaded; the text is in the message if it does not compile."""
    folder = tempfile.mkdtemp(prefix="fastnet_export_")
    try:
        source, target = pathlib.Path(folder, f"source{suffix}"), pathlib.Path(folder, "source.so")
        source.write_text(text, encoding="ascii")
        standard = C99 if suffix == ".c" else ["-std=c++17", *WARNINGS]
        optimize = [] if compiler == "tcc" else ["-O1"]
        command = [compiler, *standard, *optimize, *flags, "-shared", "-fPIC", str(source), "-o", str(target)]
        run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CCACHE_DISABLE": "1"})
        assert run.returncode == 0 and not run.stderr, f"{' '.join(command)}\n{run.stderr[:4000]}\n{text[:20000]}"
        return ctypes.CDLL(str(target))
    finally:
        shutil.rmtree(folder)


def pointer(array):
    return None if array is None else array.ctypes.data_as(ctypes.c_void_p)


class Compiled:
    """An exported file, whose functions take and return NumPy arrays.

    Parameters
    ----------
    text : str
    functions : list of fastnet.exporting._writer.Function
    prefix : str
    dtype : str
    memory : int
        Bytes.
    """

    def __init__(self, text, functions, prefix, dtype, memory, compiler=QUICKEST, flags=(), suffix=".c"):
        self.library = compile_text(text, compiler, flags, suffix)
        self.dtype, self.prefix = np.dtype(dtype), prefix
        self.steps = {function.name: function.step for function in functions}
        self.memory = np.full(-(-memory // 8) * 8 + 64, 0xFF, np.uint8)  # NaN: nothing is read that was not written
        if hasattr(self.library, f"{prefix}_reset"):
            getattr(self.library, f"{prefix}_reset")(pointer(self.memory))

    def _inputs(self, arrays, given):
        types = {"fnp_int": np.int32}
        return [
            None if array is None else np.ascontiguousarray(array, types.get(argument.type, self.dtype))
            for array, argument in zip(arrays, given, strict=True)
        ]

    def weight(self, number):
        """The numbers of a weight as they are in memory, which begins with them."""
        array = self.weights[number]
        if array.kind == "constant":
            return array.values.astype(self.dtype)
        return self.memory[array.offset : array.offset + array.size * self.dtype.itemsize].view(self.dtype)

    def call(self, name, *arrays):
        """Calls a function without a result; the arrays that it writes, flat."""
        step = self.steps[name]
        inputs = self._inputs(arrays, [*step.inputs, *step.targets, *step.sample_weights])
        outputs = [
            np.full(argument.size, -99, np.int8) if argument.type == "int8_t" else np.full(argument.size, np.nan, self.dtype)
            for argument in step.outputs
        ]
        function = getattr(self.library, f"{self.prefix}_{name}")
        function.restype = None
        function(*map(pointer, [*inputs, *outputs, self.memory]))
        return outputs

    def predict(self, *arrays):
        """All rows, one after another; a list with an array for each output, flat rows."""
        rows = [self.call("predict", *(array[i : i + 1] for array in arrays)) for i in range(len(arrays[0]))]
        return [np.stack(outputs) for outputs in zip(*rows)]

    def train(self, inputs, targets, weights=None, learning_rate=0.1):
        """One step; the loss."""
        step = self.steps["train"]
        given = [*inputs, *targets, *(weights or [None] * len(targets))]
        arrays = self._inputs(given, [*step.inputs, *step.targets, *step.sample_weights])
        function = getattr(self.library, f"{self.prefix}_train")
        real = ctypes.c_double if self.dtype == np.float64 else ctypes.c_float
        function.restype = real
        return function(*map(pointer, arrays), real(learning_rate), pointer(self.memory))


def compile_model(model, **options):
    """An exported model, compiled."""
    flags = options.pop("flags", ())
    compiler = {"compiler": options.pop("compiler")} if "compiler" in options else {}
    written = write_model(model, "net", **options)
    return Compiled(written.source, written.functions, "net", model.dtype, written.memory, flags=flags, **compiler)


@functools.cache
def _library(dtype):
    return load_library(64 if np.dtype(dtype) == np.float64 else 32)


def describe_graph(graph, **more):
    """A `plans.Graph` as the exporter takes it."""
    inputs = [f"x_{i}" for i in range(len(graph.inputs))]
    parameters = [
        _lowering.Parameter(f"parameter_{i}", array.shape, array, trainable)
        for i, (array, trainable) in enumerate(graph.parameters)
    ]
    outputs = [(value, loss, attributes, weight, name, None) for value, loss, attributes, weight, name in graph.outputs]
    return _lowering.Description(graph.inputs, inputs, graph.nodes, parameters, outputs, **more)


def compile_description(description, dtype, *, derivative=None, train=False, gradient=False, rows=1, **options):
    """Its `predict` and, with derivative="training" or "inference", `derivative` of so many rows; `train`; `input_gradient`."""
    library = _library(dtype)
    weights = _lowering.make_weights(description, library)
    functions = []
    step = _lowering.lower_training(description, library, weights, rows) if train else None
    if train:
        functions.append(_writer.Function("train", "A step.", step))
    if derivative:
        step, _ = _lowering.lower_derivative(description, library, weights, rows, derivative == "training")
        functions.append(_writer.Function("derivative", "Gradients.", step))
    functions.insert(
        0, _writer.Function("predict", "Outputs.", _lowering.lower_prediction(description, library, weights, train=step))
    )
    if gradient:
        step = _lowering.lower_jacobian(description, library, weights, step)
        functions.append(_writer.Function("input_gradient", "The Jacobian.", step))
    export = _writer.Export(
        "net", ["A test."], 64 if np.dtype(dtype) == np.float64 else 32, False, library, functions, 0, [], 1e-4, rows
    )
    text, _, sizes = _writer.write_files(export, None)
    compiled = Compiled(text, functions, "net", dtype, sizes["memory"], **options)
    compiled.weights = weights
    return compiled


def whole_library(dtype, libm=False):
    """The text of a C file with all of the portable library, whose functions are all used."""
    library = load_library(64 if np.dtype(dtype) == np.float64 else 32, libm)
    functions = [block.name for block in library.blocks.values() if block.parameters is not None]
    table = ",\n    ".join(f"(void (*)(void)){name}" for name in functions)
    blocks = [block.text for block in library.closure(library.blocks)]
    head = "#include <stdint.h>\n#include <string.h>\n" + ("#include <math.h>\n" if libm else "")
    return head + "\n\n".join(blocks) + f"\n\nvoid (*const functions[])(void) = {{\n    {table}\n}};\n"


OPS = list(_core.registry("ops"))
