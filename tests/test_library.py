"""The engine as a C library: built and installed as docs/c.md says, and used from outside of the repository."""

import os
import re
import shutil

import numpy as np
import pytest
from library import CAN_BUILD, ROOT, configure, find_file, install, run, shared_library

import fastnet as fn
from fastnet import _core

HEADER = "".join((ROOT / "csrc" / name).read_text(encoding="utf-8") for name in ("fastnet.h", "fastnet/model.h"))

pytestmark = pytest.mark.skipif(not CAN_BUILD, reason="no cmake or no C compiler")
needs_nm = pytest.mark.skipif(not shutil.which("nm"), reason="no nm")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Where the library is installed."""
    return shared_library(tmp_path_factory)


PROGRAM = r"""
#include <fastnet.h>
#include <math.h> /* the system's, whatever folders the compiler looks in */
#include <stdio.h>

int main(void)
{
    fn_error error;
    fn_plan *plan;
    const fn_plan_spec spec = {.size = sizeof spec, .dtype = FN_FLOAT64, .max_rows = 1, .n_inputs = 1, .n_outputs = 1};
    printf("%s %d %d\n", fn_isa_name(fn_isa_current()), fn_registry_size(FN_OPS), isnan(fn_seconds()));
    return fn_plan_create(&spec, &plan, &error) ? puts(error.message) < 0 : 1;
}
"""
CMAKE = """
cmake_minimum_required(VERSION 3.20)
project(user LANGUAGES C CXX)
find_package(fastnet 0.1 REQUIRED)
file(GLOB programs *.c *.cpp)
foreach(file ${programs})
  get_filename_component(name ${file} NAME)
  string(REPLACE . _ name ${name})
  foreach(kind fastnet static)
    add_executable(${name}_${kind} ${file})
    target_link_libraries(${name}_${kind} fastnet::${kind})
  endforeach()
endforeach()
"""


def build_programs(library, folder):
    """What is in a folder, linked with both libraries as a user of CMake does; the programs by name."""
    (folder / "CMakeLists.txt").write_text(CMAKE)
    configure(folder, folder / "build", f"-DCMAKE_PREFIX_PATH={library}", "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror")
    run("cmake", "--build", folder / "build")
    return {path.name: path for path in (folder / "build").glob("*_[fs]*") if path.is_file()}


def test_programs_find_the_library(library, tmp_path):
    (tmp_path / "program.c").write_text(PROGRAM)
    expected = f"{_core.isa()} {len(_core.registry('ops'))} 0\nthe table of 1 inputs is missing\n"
    programs = build_programs(library, tmp_path)
    assert sorted(programs) == ["program_c_fastnet", "program_c_static"]
    for program in programs.values():
        assert run(program) == expected


@pytest.mark.skipif(not shutil.which("pkg-config"), reason="no pkg-config")
@pytest.mark.parametrize("static", [False, True])
def test_pkg_config_finds_the_library(library, tmp_path, static):
    (tmp_path / "program.c").write_text(PROGRAM)
    folder = find_file(library, "fastnet.pc").parent
    options = run(
        *("pkg-config", "--cflags", "--libs", *(["--static"] if static else []), "fastnet"),
        env={**os.environ, "PKG_CONFIG_PATH": str(folder)},
    ).split()
    if static:
        options = [str(find_file(library, "libfastnet.a")) if option == "-lfastnet" else option for option in options]
    compiler = next(filter(shutil.which, ("cc", "gcc", "clang")))
    run(compiler, tmp_path / "program.c", *options, "-lm", "-o", tmp_path / "program")
    paths = {} if static else {"LD_LIBRARY_PATH": str(folder.parent)}
    assert run(tmp_path / "program", env={**os.environ, **paths}).startswith(_core.isa())


@needs_nm
def test_library_exports_what_the_header_declares(library):
    symbols = {line.split()[-1] for line in run("nm", "-D", "--defined-only", find_file(library, "libfastnet.so")).splitlines()}
    code = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.S)
    declared = set(re.findall(r"^FN_API [^;]*?\b(fn_\w+)\(", code, flags=re.M))
    assert declared == set(re.findall(r"\b(fn_\w+)\([^;{}]*\);", code))
    assert symbols == declared


@needs_nm
def test_python_module_exports_nothing_of_the_engine():
    assert not re.findall(r" T (fn_\w+)", run("nm", "-D", "--defined-only", _core.__file__))


def test_library_has_its_soname(library):
    shared = find_file(library, "libfastnet.so")
    assert shared.resolve().name.startswith("libfastnet.so.1.")
    assert b"libfastnet.so.1\0" in shared.read_bytes()


def test_version_is_that_of_the_package():
    (version,) = re.findall(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), flags=re.M)
    assert f"project(fastnet VERSION {version} " in (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")


def test_folder_of_headers_hides_none_of_the_system(library):
    """As csrc/kernels would, which has a math.h."""
    found = {str(path.relative_to(library / "include")) for path in (library / "include").rglob("*") if path.is_file()}
    assert found == {"fastnet.h", "fastnet/isas.h", "fastnet/model.h", "fastnet/status.def"}


def test_parts_can_be_left_out(tmp_path):
    """Without float64, threads and the best instruction sets, and with the one operation that the program counts; an unknown part is
    told."""
    isas = _core.available_isas()[:2]
    options = ["-DFASTNET_ONLY=dense;softmax;lstm;mean_squared_error;optim/sgd", "-DFASTNET_WITHOUT=lstm;ops/softmax"]
    library = install(tmp_path, isas, "-DFASTNET_THREADS=OFF", "-DFASTNET_FLOAT64=OFF", *options)
    environment = {name: value for name, value in os.environ.items() if name != "FASTNET_ISA"}
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "program.c").write_text(PROGRAM)
    for program in build_programs(library, tmp_path / "user").values():
        assert run(program, env=environment) == f"{isas[-1]} 1 0\nthis library was built without float64\n"
    assert "pthread" not in find_file(library, "fastnet.pc").read_text()
    with pytest.raises(AssertionError, match="there is no perceptron in csrc/kernels"):
        configure(ROOT, tmp_path / "other", "-DFASTNET_WITHOUT=perceptron")


# ---- the examples ----------------------------------------------------------------------------------------------------


def sign_model():
    """What examples/c is about."""
    model = fn.Sequential([fn.Input((2,)), fn.layers.Dense(16, "tanh"), fn.layers.Dense(1)], seed=1)
    model.compile(fn.optimizers.Adam(0.02), "mse")
    return model


def sign_data():
    numbers = np.arange(512)
    x = (np.stack([numbers * 50065 % 65536, numbers * 40503 % 65536], 1) - 32768) / 32768
    return x.astype("float32"), (x[:, :1] * x[:, 1:] > 0).astype("float32")


def epochs_of(history):
    return "".join(f"epoch {i + 1}: loss {loss:.9g}\n" for i, loss in enumerate(history.history["loss"]))


def test_examples_do_what_python_does(library, tmp_path):
    shutil.copytree(ROOT / "examples" / "c", tmp_path / "user")
    programs = build_programs(library, tmp_path / "user")
    model, (x, y) = sign_model(), sign_data()
    expected = epochs_of(model.fit(x, y, batch_size=32, epochs=40, verbose=0))
    for kind in ("fastnet", "static"):
        assert run(programs[f"plan_c_{kind}"]) == run(programs[f"stack_c_{kind}"]) == expected
    path, trained = tmp_path / "model.safetensors", tmp_path / "trained.safetensors"
    model.save(path, include_optimizer=True)
    expected = epochs_of(model.fit(x, y, batch_size=32, epochs=20, verbose=0))
    assert run(programs["train_c_fastnet"], path, trained) == expected
    again = fn.load_model(trained)
    assert (again.predict(x) == model.predict(x)).all()
    rows = "\n".join(" ".join(f"{number:.9g}" for number in row) for row in x[:20])
    expected = "".join(f"{model.predict(row[None])[0, 0]:.9g}\n" for row in x[:20])
    assert run(programs["predict_c_static"], trained, input=rows) == expected
    expected = f"{model.predict(np.zeros((1, 2), 'float32'))[0, 0]:.9g}\n"
    assert run(programs["predict_cpp_fastnet"], trained) == expected


def test_initial_numbers_are_those_of_python(library):
    """Of every initializer that C has, in both precisions, for kernels and biases of odd shapes."""
    import ctypes

    from library import Error, Shape

    calls = ctypes.CDLL(str(find_file(library, "libfastnet.so")))
    for number, name in enumerate(("zeros", "ones", "glorot_uniform", "he_uniform", "lecun_uniform", "random_uniform")):
        for seed in (0, 1, 2**31, 2**32 + 5, 2**64 - 1):
            for shape in ((7,), (1, 1), (5, 3), (3, 2, 4, 9)):
                for code, dtype in enumerate((np.float32, np.float64)):
                    values, error = np.empty(shape, dtype), Error()
                    sizes = Shape(len(shape), (ctypes.c_int64 * 6)(*shape))
                    pointer = ctypes.c_void_p(values.ctypes.data)
                    status = calls.fn_initialize(
                        name.encode(),
                        code,
                        ctypes.byref(sizes),
                        ctypes.c_uint64(seed),
                        ctypes.c_uint64(number),
                        pointer,
                        ctypes.byref(error),
                    )
                    random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, number])))
                    assert status == 0
                    expected = fn.initializers.get(name)(shape, dtype, rng=random)
                    assert values.tobytes() == expected.tobytes(), (name, seed, shape, dtype)
