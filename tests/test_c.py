"""Builds the C programs of tests/c with CMake and runs them: those of kernels once for each table that this machine can
run, as they are shipped; those of the engine without optimization, which takes less time."""

import pathlib
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastnet import _core

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = sorted(path.stem for path in (ROOT / "tests" / "c").glob("*.c"))
KERNEL_PROGRAMS = ["test_gemm", "test_math"]
TABLES = [f"{isa}_f{bits}" for isa in _core.available_isas() for bits in (32, 64)]


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Builds programs and returns their folder; skips where that cannot be done."""
    if not shutil.which("cmake") or not any(shutil.which(compiler) for compiler in ("cc", "gcc", "clang")):
        pytest.skip("no cmake or no C compiler")

    def build_programs(names, build_type):
        folder = tmp_path_factory.mktemp("c_tests")
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        for command in (
            ["cmake", "-S", str(ROOT), "-B", str(folder), "-DFASTNET_C_TESTS=ON", f"-DCMAKE_BUILD_TYPE={build_type}", *generator],
            ["cmake", "--build", str(folder), "--parallel", "2", "--target", *names],
        ):
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return folder

    return build_programs


def run_programs(folder, names):
    def run(name):
        return name, subprocess.run([str(folder / name)], capture_output=True, text=True)

    with ThreadPoolExecutor(2) as pool:
        for name, done in pool.map(run, names):
            assert done.returncode == 0, f"{name}: exit code {done.returncode}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("program", KERNEL_PROGRAMS)
def test_kernels(build, program):
    names = [f"{program}_{table}" for table in TABLES]
    run_programs(build(names, "Release"), names)


def test_engine(build):
    names = [program for program in PROGRAMS if program not in KERNEL_PROGRAMS]
    run_programs(build(names, "Debug"), names)
