"""The engine as a C library: built and installed as docs/c.md says, and used from outside of the repository."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from fastnet import _core

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADER = (ROOT / "csrc" / "fastnet.h").read_text(encoding="utf-8")

pytestmark = pytest.mark.skipif(
    not shutil.which("cmake") or not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no cmake or no C compiler"
)
needs_nm = pytest.mark.skipif(not shutil.which("nm"), reason="no nm")


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def configure(source, build, *options):
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    return run("cmake", "-S", source, "-B", build, *generator, *options)


def install(folder, *options):
    """Builds the library for the instruction set of these tests and installs it."""
    configure(ROOT, folder / "build", f"-DFASTNET_ISAS={_core.isa()}", "-DFASTNET_FLOAT64=OFF", *options)
    run("cmake", "--build", folder / "build", "--parallel", "2")
    run("cmake", "--install", folder / "build", "--prefix", folder / "installed")
    return folder / "installed"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Where the library is installed."""
    return install(tmp_path_factory.mktemp("library"))


def find_file(library, name):
    (found,) = library.glob(f"lib*/**/{name}")
    return found


PROGRAM = r"""
#include <fastnet.h>
#include <math.h> /* the system's, whatever folders the compiler looks in */
#include <stdio.h>

int main(void)
{
    fn_error error;
    fn_plan *plan;
    const fn_plan_spec spec = {.dtype = FN_FLOAT64, .max_rows = 1, .n_inputs = 1, .n_outputs = 1};
    printf("%s %d %d\n", fn_isa_name(fn_isa_current()), fn_registry_size(FN_OPS), isnan(fn_seconds()));
    return fn_plan_create(&spec, &plan, &error) == FN_ERROR_DTYPE ? puts(error.message) < 0 : 1;
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
    expected = f"{_core.isa()} {len(_core.registry('ops'))} 0\nthis library was built without float64\n"
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
    assert found == {"fastnet.h", "fastnet/isas.h", "fastnet/status.def"}


def test_parts_can_be_left_out(tmp_path):
    """Without threads, and with the one operation that the program counts; an unknown part is told."""
    only = "-DFASTNET_ONLY=dense;softmax;lstm;mean_squared_error;optim/sgd"
    library = install(tmp_path, "-DFASTNET_THREADS=OFF", only, "-DFASTNET_WITHOUT=lstm;ops/softmax")
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "program.c").write_text(PROGRAM)
    for program in build_programs(library, tmp_path / "user").values():
        assert run(program).startswith(f"{_core.isa()} 1 ")
    assert "pthread" not in find_file(library, "fastnet.pc").read_text()
    with pytest.raises(AssertionError, match="there is no perceptron in csrc/kernels"):
        configure(ROOT, tmp_path / "other", "-DFASTNET_WITHOUT=perceptron")
