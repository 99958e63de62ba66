"""Builds the C programs of tests/c with CMake, once for each kernel table, and runs those that this machine can run."""

import pathlib
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastnet import _core

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = sorted(path.stem for path in (ROOT / "tests" / "c").glob("*.c"))
TABLES = [f"{isa}_f{bits}" for isa in _core.available_isas() for bits in (32, 64)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with the programs; skips where they cannot be built."""
    if not shutil.which("cmake") or not any(shutil.which(compiler) for compiler in ("cc", "gcc", "clang")):
        pytest.skip("no cmake or no C compiler")
    build = tmp_path_factory.mktemp("c_tests")
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    configure = ["cmake", "-S", str(ROOT), "-B", str(build), "-DFASTNET_C_TESTS=ON", *generator]
    targets = [f"{program}_{table}" for program in PROGRAMS for table in TABLES]
    for command in (configure, ["cmake", "--build", str(build), "--parallel", "2", "--target", *targets]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return build


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(folder, program):
    def run(table):
        return table, subprocess.run([str(folder / f"{program}_{table}")], capture_output=True, text=True)

    with ThreadPoolExecutor(2) as pool:
        for table, done in pool.map(run, TABLES):
            assert done.returncode == 0, f"{program} {table}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
