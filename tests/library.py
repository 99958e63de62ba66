"""The C library in the tests: built once, installed, and called through ctypes."""

import ctypes
import fcntl
import os
import shutil
import subprocess
from ctypes import POINTER, byref, c_bool, c_char, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from pathlib import Path

import numpy as np

from fastnet import _core

ROOT = Path(__file__).resolve().parent.parent
CAN_BUILD = bool(shutil.which("cmake") and any(map(shutil.which, ("cc", "gcc", "clang"))))


def run(*command, **options):
    """What a command prints; an AssertionError with all of it where it fails."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def configure(source, build, *options):
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    return run("cmake", "-S", source, "-B", build, *generator, *options)


def install(folder, isas, *options):
    """Builds the library for these instruction sets and installs it."""
    configure(ROOT, folder / "build", f"-DFASTNET_ISAS={';'.join(isas)}", *options)
    run("cmake", "--build", folder / "build", "--parallel", "2")
    run("cmake", "--install", folder / "build", "--prefix", folder / "installed")
    return folder / "installed"


def shared_build(tmp_path_factory):
    """Where the library, in `installed`, and the programs of tests/c, in `build`, are: as they are shipped, made once for all processes
    of a run of the tests."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with open(folder / "library.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "library" / "complete").exists():
            install(folder / "library", _core.available_isas(), "-DFASTNET_C_TESTS=ON")
            (folder / "library" / "complete").touch()
    return folder / "library"


def shared_library(tmp_path_factory):
    """Where the library is installed."""
    return shared_build(tmp_path_factory) / "installed"


def find_file(library, name):
    (found,) = library.glob(f"lib*/**/{name}")
    return found


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("message", c_char * 400)]


class Source(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("dtype", ctypes.c_int), ("stride", c_int64)]


class Shape(ctypes.Structure):
    _fields_ = [("rank", c_int32), ("size", c_int64 * 6)]


class Info(ctypes.Structure):
    _fields_ = [
        *[("length", c_size_t), ("dtype", ctypes.c_int), ("n_inputs", c_int32), ("n_outputs", c_int32)],
        *[("n_parameters", c_int32), ("trains", c_bool), ("batches", c_uint64)],
    ]


class Fit(ctypes.Structure):
    _fields_ = [
        *[("length", c_size_t), ("n_rows", c_int64), ("batch_size", c_int64), ("epochs", c_int64), ("in_order", c_bool)],
        *[("inputs", POINTER(Source)), ("targets", POINTER(Source)), ("weights", POINTER(Source)), ("losses", POINTER(c_double))],
    ]


class Stack(ctypes.Structure):
    _fields_ = [
        *[("length", c_size_t), ("dtype", ctypes.c_int), ("seed", c_uint64), ("input", Shape), ("n_layers", c_int32)],
        *[("layers", POINTER(c_char_p)), ("loss", c_char_p), ("optimizer", c_char_p)],
    ]


DTYPES = {"float32": 0, "float64": 1, "uint8": 2, "int32": 3, "int64": 4}


def sources(arrays):
    """Contiguous arrays, of float32 where they are of float64, and what C is told of them."""
    arrays = [np.ascontiguousarray(a, np.float32 if a.dtype == np.float64 else a.dtype) for a in arrays]
    table = (Source * len(arrays))(*[Source(a.ctypes.data, DTYPES[a.dtype.name], a[:1].nbytes) for a in arrays])
    return arrays, table


class Library:
    """libfastnet.so."""

    def __init__(self, path):
        self.calls = ctypes.CDLL(str(path))
        self.calls.fn_model_output.restype = POINTER(Shape)
        self.calls.fn_model_hyper.restype = POINTER(c_double)
        self.calls.fn_status_name.restype = c_char_p

    def check(self, status, error):
        if status:
            name = self.calls.fn_status_name(status).decode()
            assert status == error.status, name
            raise ValueError(f"{name}: {error.message.decode()}")

    def load(self, source):
        """A model from a file, or from bytes; ValueError with status and message."""
        model, error = c_void_p(), Error()
        if isinstance(source, bytes):
            status = self.calls.fn_model_load_bytes(source, c_size_t(len(source)), byref(model), byref(error))
        else:
            status = self.calls.fn_model_load(str(source).encode(), byref(model), byref(error))
        assert bool(status) == (not model.value)
        self.check(status, error)
        return Model(self, model)

    def create(self, layers, shape=(3,), loss="mean_squared_error", optimizer="sgd", dtype=0, seed=0):
        """A model of a stack of layers."""
        names = (c_char_p * max(1, len(layers)))(*[layer.encode() for layer in layers])
        sizes = Shape(len(shape), (c_int64 * 6)(*shape))
        stack = Stack(ctypes.sizeof(Stack), dtype, seed, sizes, len(layers), names, loss.encode(), optimizer.encode())
        model, error = c_void_p(), Error()
        status = self.calls.fn_model_create(byref(stack), byref(model), byref(error))
        assert bool(status) == (not model.value)
        self.check(status, error)
        return Model(self, model)


class Model:
    """A model of C."""

    def __init__(self, library, pointer):
        self.library, self.pointer, self.calls = library, pointer, library.calls

    def __del__(self):
        self.calls.fn_model_destroy(self.pointer)

    @property
    def info(self):
        info = Info(ctypes.sizeof(Info))
        self.calls.fn_model_describe(self.pointer, byref(info))
        return info

    def output_shape(self, number):
        shape = self.calls.fn_model_output(self.pointer, number).contents
        return tuple(shape.size[: shape.rank])

    def hyper(self, name):
        return self.calls.fn_model_hyper(self.pointer, name.encode())

    def predict(self, inputs):
        """All outputs for some inputs."""
        arrays, table = sources(inputs)
        n, error = len(arrays[0]), Error()
        outputs = [np.zeros((n, *self.output_shape(i)), np.float32) for i in range(self.info.n_outputs)]
        pointers = (c_void_p * len(outputs))(*[output.ctypes.data for output in outputs])
        self.library.check(self.calls.fn_model_predict(self.pointer, c_int64(n), table, pointers, byref(error)), error)
        return outputs

    def fit(self, inputs, targets, batch_size, epochs, in_order=False):
        """The losses of the epochs."""
        (kept, table), (others, wanted), error = sources(inputs), sources(targets), Error()
        losses = (c_double * epochs)()
        fit = Fit(ctypes.sizeof(Fit), len(inputs[0]), batch_size, epochs, in_order, table, wanted, None, losses)
        self.library.check(self.calls.fn_model_fit(self.pointer, byref(fit), byref(error)), error)
        del kept, others
        return list(losses)

    def save(self, path):
        error = Error()
        self.library.check(self.calls.fn_model_save(self.pointer, str(path).encode(), byref(error)), error)
