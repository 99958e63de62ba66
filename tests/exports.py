"""Exported C files, compiled and called through ctypes."""

import contextlib
import ctypes
import functools
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
from unittest import mock

import numpy as np

from fastnet import _core
from fastnet.exporting import _lowering, _program, _writer
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


#: Bytes that lie at least between arrays.
GAP = 40


def canaries(size, item, start=0):
    """Bytes that are NaN where they are read as numbers, of `item` bytes each. They signal: results computed from them are other
    ones. Each is another number, so that a copy of one is seen at another place."""
    i = np.arange(start, start + -(-size // item), dtype=np.uint64)
    payload = i * np.uint64(2654435761) % np.uint64(0x3FFFFF) + np.uint64(1)
    words = payload + np.uint64(0x7F800000) if item == 4 else payload + np.uint64(0x7FF0000000000000)
    return words.astype(f"u{item}").view(np.uint8)[:size]


class Guarded:
    """An array of the caller, with canaries around it that nothing may write."""

    def __init__(self, values):
        flat = np.ascontiguousarray(values).reshape(-1)
        self.canaries = canaries(flat.nbytes + 128, 8 if flat.dtype.itemsize == 8 else 4, id(flat) % 4096)
        self.whole = self.canaries.copy()
        self.values = self.whole[64:-64].view(flat.dtype)
        self.values[...] = flat

    def check(self, what):
        for part in (slice(64), slice(-64, None)):
            assert np.array_equal(self.whole[part], self.canaries[part]), f"{what} wrote beyond an array of its caller"


@contextlib.contextmanager
def arrays_apart():
    """Within it, files are written in which no two arrays share memory, and gaps lie between all: a list of the gaps of each
    function's values, as of arrays of the other kinds, by kind."""
    gaps = {"value": []}

    def place(writer, kind):
        end, placed = 0, set()
        gaps[kind] = []
        ours = [array for array in writer.arrays if array.kind == kind]
        for array in sorted(ours, key=lambda array: -len(array.members)):
            if array in placed:
                continue
            members = [one for one in array.members or [array] if one not in placed]
            for one in members:
                one.offset, end = end, end + one.bytes(writer.export.bits)
                placed.add(one)
            if array.members:
                array.offset = array.members[0].offset
            if members:
                gaps[kind].append((end, end + GAP + -end % 8))
                end = gaps[kind][-1][1]
        return end

    def lay_out(calls, bits, loop=None):
        end, found = 0, []
        for array in dict.fromkeys(a for call in calls for a in call.arguments if getattr(a, "kind", "") == "value"):
            array.offset, end = end, end + array.bytes(bits)
            found.append((end, end + GAP + -end % 8))
            end = found[-1][1]
        gaps["value"].append(found)
        return end

    with mock.patch.object(_writer._Writer, "_place", place), mock.patch.object(_writer, "lay_out", lay_out):
        yield gaps


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
    gaps : dict, optional
        Of `arrays_apart`: looked at after each call.
    """

    def __init__(self, text, functions, prefix, dtype, memory, compiler=QUICKEST, flags=(), suffix=".c", gaps=None):
        self.library = compile_text(text, compiler, flags, suffix)
        self.dtype, self.prefix = np.dtype(dtype), prefix
        self.steps = {function.name: function.step for function in functions}
        self.canaries = canaries(-(-memory // 8) * 8 + 64, self.dtype.itemsize)
        self.memory = self.canaries.copy()  # NaN: nothing is read that was not written
        self.size, self.gaps, self.starts = memory, gaps, {}
        if gaps:
            start = 0
            for kind, member in _writer._MEMBERS.items():
                size = re.search(rf"^    (\w+) {member}\[(\d+)\];", text, re.MULTILINE)
                if size:
                    item = self.dtype.itemsize if size[1] == f"{prefix}_real" else _program.BYTES[size[1]]
                    self.starts[kind], start = start, start + int(size[2]) * item
        if hasattr(self.library, f"{prefix}_reset"):
            getattr(self.library, f"{prefix}_reset")(pointer(self.memory))

    def _call(self, function, name, arrays, *more):
        """Calls it with arrays that nothing is to be written around, the rest and the memory; looks at all gaps."""
        guarded = [None if array is None else Guarded(array) for array in arrays]
        end = self.size
        if self.gaps and "value" in self.starts:
            step = self.dtype.itemsize if hasattr(self.library, f"{self.prefix}_reset") else 0  # which is the last in memory
            self.memory[self.starts["value"] : end - step] = self.canaries[self.starts["value"] : end - step]
        result = function(*[None if one is None else pointer(one.values) for one in guarded], *more, pointer(self.memory))
        for one in guarded:
            if one is not None:
                one.check(name)
        assert np.array_equal(self.memory[end:], self.canaries[end:]), f"{name} wrote beyond its memory"
        for kind in self.starts:
            gaps = self.gaps["value"][list(self.steps).index(name)] if kind == "value" else self.gaps[kind]
            for begin, stop in gaps:
                gap = slice(self.starts[kind] + begin, self.starts[kind] + stop)
                kept = np.array_equal(self.memory[gap], self.canaries[gap])
                assert kept or not self.memory[gap].any(), (
                    f"{name} wrote beyond an array of {kind}s"
                )  # some are set to zero as a whole
        return result, [None if one is None else one.values for one in guarded]

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
        return self._call(function, name, [*inputs, *outputs])[1][len(inputs) :]

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
        return self._call(function, "train", arrays, real(learning_rate))[0]


def compile_model(model, **options):
    """An exported model, compiled; those of float64 with their arrays apart, unless `apart` says otherwise."""
    flags = options.pop("flags", ())
    compiler = {"compiler": options.pop("compiler")} if "compiler" in options else {}
    with arrays_apart() if options.pop("apart", model.dtype == "float64") else contextlib.nullcontext() as gaps:
        written = write_model(model, "net", **options)
    return Compiled(written.source, written.functions, "net", model.dtype, written.memory, flags=flags, gaps=gaps, **compiler)


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


def compile_description(description, dtype, *, derivative=None, train=False, gradient=False, rows=1, apart=False, **options):
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
    with arrays_apart() if apart else contextlib.nullcontext() as gaps:
        text, _, sizes = _writer.write_files(export, None)
    compiled = Compiled(text, functions, "net", dtype, sizes["memory"], gaps=gaps, **options)
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
