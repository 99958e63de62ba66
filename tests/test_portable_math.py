"""Elementary functions, activations and random numbers of the portable library."""

import ctypes
import os
import pathlib
import platform
import re
import shutil
import subprocess

import numpy as np
import pytest
import reference
from exports import C99, QUICKEST, WARNINGS, compile_text, pointer, whole_library

import fastnet as fn
from fastnet import _core, layers
from fastnet.exporting._library import load_library

ROOT = pathlib.Path(__file__).resolve().parent.parent
CXX = ["-x", "c++", "-std=c++17", *WARNINGS, "-Wno-unused-function", "-O1"]
C = [*C99, "-Wno-unused-function"]
#: Undefined behaviour ends the program.
UNDEFINED = ["-O1", "-fsanitize=undefined,float-cast-overflow", "-fsanitize-undefined-trap-on-error"]
BUILDS = [
    ("gcc", *C, "-O2"),
    ("clang", *C, "-O2"),
    ("tcc", *C),
    ("g++", *CXX),
    ("clang++", *CXX),
    ("gcc", *C, *UNDEFINED),
]
if platform.machine() == "x86_64" and re.search(r"\bfma\b", pathlib.Path("/proc/cpuinfo").read_text()):
    BUILDS.append(("gcc", *C, "-O2", "-mfma", "-ffp-contract=fast"))
BUILDS = [build for build in BUILDS if shutil.which(build[0])]
ACTIVATIONS = _core.registry("activations")


def run_program(source, build, bits, folder):
    compiler, *flags = build
    command = [compiler, *flags, f"-DFNP_BITS={bits}", str(source), "-o", str(folder / "program"), "-lm"]
    compiled = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CCACHE_DISABLE": "1"})
    assert compiled.returncode == 0 and not compiled.stderr, compiled.stderr
    return subprocess.run([str(folder / "program")], capture_output=True, text=True, env={**os.environ, "FASTNET_QUICK": "1"})


class Portable:
    """Functions of the library by name, without their prefix; arrays are NumPy's."""

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)
        self.blocks = load_library(8 * self.dtype.itemsize).blocks
        names = [block.name for block in self.blocks.values() if block.parameters is not None]
        self.library = compile_text(whole_library(dtype), QUICKEST)
        self.addresses = dict(zip(names, (ctypes.c_void_p * len(names)).in_dll(self.library, "functions"), strict=True))
        real = ctypes.c_float if self.dtype == np.float32 else ctypes.c_double
        self.types = {
            "fnp_real": real,
            "fnp_int": ctypes.c_int32,
            "uint32_t": ctypes.c_uint32,
            "uint64_t": ctypes.c_uint64,
        }

    def call(self, name, *arguments, result=None):
        name = f"fnp_{name}"
        parameters = self.blocks[name].parameters
        types = [ctypes.c_void_p if one.array else self.types[one.type] for one in parameters]
        function = ctypes.CFUNCTYPE(self.types.get(result), *types)(self.addresses[name])
        return function(*(pointer(one) if isinstance(one, np.ndarray) else one for one in arguments))

    def activate(self, name, x, alpha=()):
        y = np.full_like(x, 7)
        self.call(name, x, y, len(x), *alpha)
        return y

    def differentiate(self, name, saved, dy, alpha=()):
        dx = dy.copy()
        self.call(f"{name}_backward", saved, dx, len(dx), *alpha)
        return dx

    def from_input(self, name):
        return self.blocks[f"fnp_{name}_backward"].from_input


@pytest.fixture(scope="module")
def portables():
    return {dtype: Portable(dtype) for dtype in ("float32", "float64")}


@pytest.fixture
def portable(portables, dtype):
    return portables[dtype]


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("build", BUILDS, ids=lambda build: " ".join(build[:1] + build[-1:]))
def test_elementary_functions(build, bits, tmp_path):
    """Errors in units in the last place; special values; the same for all compilers, without undefined behaviour."""
    run = run_program(ROOT / "tools" / "measure_portable_math.c", build, bits, tmp_path)
    assert run.returncode == 0, run.stdout


# ---- activations -------------------------------------------------------------------------------------------


ALPHA = 0.3


def alpha_of(name):
    return (ALPHA,) if ACTIVATIONS[name] else ()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name, portable):
    dtype, epsilon = portable.dtype, np.finfo(portable.dtype).eps
    x = (np.arange(-14 * 64, 14 * 64 + 1) / 64).astype(dtype)  # kinks are among them
    dy = np.random.default_rng(0).normal(size=x.size).astype(dtype)
    alpha = tuple(float(dtype.type(value)) for value in alpha_of(name))
    one = reference.ACTIVATIONS[name]
    y = portable.activate(name, x, alpha)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(y, one.forward(exact, *alpha or [0]), rtol=16 * epsilon, atol=4 * epsilon)
    dx = portable.differentiate(name, x if portable.from_input(name) else y, dy, alpha)
    np.testing.assert_allclose(dx / dy, one.derivative(exact, *alpha or [0]), rtol=32 * epsilon, atol=32 * epsilon)
    in_place = x.copy()
    portable.call(name, in_place, in_place, len(x), *alpha)
    np.testing.assert_array_equal(in_place, y)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_of_unusual_numbers(name, portable):
    """NaN stays NaN, and nothing overflows on the way to a finite result."""
    largest = np.finfo(portable.dtype).max
    alpha = alpha_of(name)
    nan, one = np.full(3, np.nan, portable.dtype), np.ones(3, portable.dtype)
    assert np.isnan(portable.activate(name, nan, alpha)).all()
    assert np.isnan(portable.differentiate(name, nan, one, alpha)).all()
    assert np.isnan(portable.differentiate(name, one, nan, alpha)).all()
    x = np.array([-largest, -1e30, -1000, -100, -0.0, 0.0, 100, 1000, 1e30, largest], portable.dtype)
    y = portable.activate(name, x, alpha)
    assert not np.isnan(y).any()
    assert not np.isnan(portable.differentiate(name, x if portable.from_input(name) else y, np.ones_like(x), alpha)).any()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_a_derivative_is_computed_from_is_what_the_engine_keeps(name, portables):
    source = (ROOT / "csrc" / "kernels" / "activations" / f"{name}.c").read_text(encoding="utf-8")
    for one in portables.values():
        assert one.from_input(name) == (f"ACTIVATION_FROM_INPUT({name}," in source)
        assert "/* from " in one.blocks[f"fnp_{name}_backward"].text


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_any_size(name, portable):
    """In place, and of numbers whose exponentials overflow; dx is added to."""
    x = np.array([[1000, 999, -1000, 0], [-5e4, -5e4, -5e4, -5e4], [-np.inf, 1, 2, 3]], portable.dtype)
    exact = x - x.max(axis=1, keepdims=True).astype(np.float64)
    exact -= np.log(np.exp(exact).sum(axis=1, keepdims=True))
    y = x.copy()
    portable.call(name, y, y, 3, 4)
    epsilon = np.finfo(portable.dtype).eps
    np.testing.assert_allclose(y, np.exp(exact) if name == "softmax" else exact, rtol=8 * epsilon, atol=1e-30)
    dy = np.arange(12, dtype=portable.dtype).reshape(3, 4)
    dx = np.ones_like(dy)
    portable.call(f"{name}_backward", y, dy, dx, 3, 4)
    p = np.exp(exact)
    gradient = p * (dy - (p * dy).sum(1, keepdims=True)) if name == "softmax" else dy - p * dy.sum(1, keepdims=True)
    np.testing.assert_allclose(dx, 1 + gradient, rtol=32 * epsilon, atol=32 * epsilon)


# ---- random numbers ----------------------------------------------------------------------------------------


def test_words_are_the_ones_of_the_engine(portable):
    """Those that dropout draws in a later step; known answers of the generator's authors are in test_noise.py."""
    rows, width, step, seed = 3, 43, 5, 2**40 + 12345
    model = fn.Sequential([fn.Input((width,)), layers.Dropout(0.5)], seed=seed, dtype=portable.dtype.name)
    model.compile(fn.optimizers.SGD(0.0), "mse")
    model.optimizer.iterations = step
    kept = model.forward(np.ones((rows, width)), training=True) != 0
    words = [portable.call("random_word", seed, 2 << 24, step, element, result="uint32_t") for element in range(rows * width)]
    assert np.array_equal(kept, np.reshape(words, (rows, width)) >= 2**31)


def test_words_by_blocks(portable):
    expected = reference.operations.random_words(192, seed=3, node=70000, step=2**33 + 1)
    key = 4 * 0x9E3779B97F4A7C15 % 2**64
    found = np.zeros(192, np.uint64)
    for block in range(48):
        words = np.zeros(4, np.uint32)
        portable.call("random_words", key, 2 << 24 | 70000, 2**33 + 1, block, words)
        for w in range(4):
            found[portable.call("random_element", block, w, result="fnp_int")] = words[w]
    assert np.array_equal(found, expected)
    one = portable.call("random_word", key, 2 << 24 | 70000, 2**33 + 1, 100, result="uint32_t")
    assert one == expected[100]


def test_normals_are_the_quantiles_of_their_words(portable):
    double = portable.dtype == np.float64
    words = np.concatenate([reference.operations.random_words(2000), [0, 1, 2**31 - 1, 2**31, 2**32 - 1]]).astype(np.uint64)
    found = [portable.call("normal_of_word", int(word), result="fnp_real") for word in words]
    expected = reference.operations.special.ndtri((words + 0.5) / 2**32)
    np.testing.assert_allclose(found, expected, rtol=1e-13 if double else 1e-6, atol=1e-14 if double else 1e-7)


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_undefined_behaviour(dtype, tmp_path):
    """Activations of all kinds of numbers, random words of all kinds."""
    calls = ["fnp_random_words((uint64_t)-1, 0xffffffffu, (uint64_t)-1, 0x7fffffff, word);"]
    calls += [f"(void)fnp_normal_of_word({word}u);" for word in (0, 2**31 - 1, 2**31, 2**32 - 1)]
    for name in ACTIVATIONS:
        alpha = ", FNP_R(0.3)" if ACTIVATIONS[name] else ""
        calls += [f"fnp_{name}(x, y, 12{alpha});", f"fnp_{name}_backward(x, y, 12{alpha});"]
    calls += ["fnp_softmax(x, y, 3, 4);", "fnp_log_softmax(x, y, 3, 4);"]
    numbers = "0, 1, -1, FNP_R(1e-45), FNP_MIN_NORMAL, FNP_MAX, -FNP_MAX, FNP_INFINITY, -FNP_INFINITY, FNP_NAN, 1000, -1000"
    main = (
        f"int main(void)\n{{\n fnp_real x[12] = {{{numbers}}}, y[12];\n uint32_t word[4];\n {' '.join(calls)}\n return 0;\n}}\n"
    )
    source = tmp_path / "program.c"
    source.write_text(whole_library(dtype) + main, encoding="utf-8")
    run = run_program(source, ("gcc", "-std=c99", *UNDEFINED), 32, tmp_path)
    assert run.returncode == 0, run.returncode
