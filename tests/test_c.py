"""Runs the C programs of tests/c, which are linked with what is shipped: those of kernels once for each table that this machine
can run."""

import json
import pathlib
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from library import CAN_BUILD, ROOT, configure, run, shared_build

from fastnet import _core

PROGRAMS = sorted(path.stem for path in (ROOT / "tests" / "c").glob("*.c"))
KERNEL_PROGRAMS = ["test_gemm", "test_math"]
TABLES = [f"{isa}_f{bits}" for isa in _core.available_isas() for bits in (32, 64)]
pytestmark = pytest.mark.skipif(not CAN_BUILD, reason="no cmake or no C compiler")


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Where the programs are, of the same objects as the library."""
    return shared_build(tmp_path_factory) / "build"


def run_programs(folder, names):
    def run_one(name):
        return name, subprocess.run([str(folder / name)], capture_output=True, text=True)

    with ThreadPoolExecutor(2) as pool:
        for name, done in pool.map(run_one, names):
            assert done.returncode == 0, f"{name}: exit code {done.returncode}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("program", KERNEL_PROGRAMS)
def test_kernels(programs, program):
    run_programs(programs, [f"{program}_{table}" for table in TABLES])


def test_engine(programs):
    run_programs(programs, [program for program in PROGRAMS if program not in KERNEL_PROGRAMS])


def test_kernels_of_the_documentation(tmp_path, monkeypatch):
    """The C of docs/extending.md, put where it says, is found by name and compiles without a warning, as it is shipped; its
    activation passes the tests of the others with the reference that is given there."""
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    files = {}
    for step in re.split(r"^(?=\*\*\d\. |#+ )", text, flags=re.MULTILINE):
        name, code = re.match(r"\*\*1\. `(csrc/\S+\.c)`", step), re.search(r"```c\n(.*?)```", step, re.DOTALL)
        if name and code:
            files[name.group(1)] = code.group(1)
    references = re.findall(r"```c\n( +if \(IS\(.*?)```", text, re.DOTALL)
    folders = {pathlib.Path(name).parent.name for name in files}
    assert {"optim", "activations"} <= folders and len(references) == 1
    for name in ("csrc", "tests/c", "bench/kernels"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "CMakeLists.txt", tmp_path)
    for name, code in files.items():
        assert not (tmp_path / name).exists()
        (tmp_path / name).write_text(code, encoding="utf-8")
    program = tmp_path / "tests" / "c" / "test_math.c"
    program.write_text(
        program.read_text(encoding="utf-8").replace("#undef IS\n", references[0] + "#undef IS\n", 1), encoding="utf-8"
    )

    isa = _core.available_isas()[0]
    names = [f"test_math_{isa}_f{bits}" for bits in (32, 64)]
    folder = tmp_path / "build"
    configure(tmp_path, folder, "-DFASTNET_C_TESTS=ON", f"-DFASTNET_ISAS={isa}", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON")
    run("cmake", "--build", folder, "--parallel", "2", "--target", *names)
    monkeypatch.setenv("FASTNET_QUICK", "1")  # the functions of math.h have been tested in all detail
    run_programs(folder, names)
    registry = (folder / "generated" / "registry.h").read_text(encoding="utf-8")
    for name in files:
        assert f"X({pathlib.Path(name).stem})" in registry
        commands = [entry for entry in json.loads((folder / "compile_commands.json").read_text(encoding="utf-8"))
                    if pathlib.Path(entry["file"]) == tmp_path / name and f"/kernels_{isa}_f" in entry["command"]]  # fmt: skip
        assert len(commands) == 2, "for both precisions"
        for entry in commands:
            done = subprocess.run(
                entry["command"] + " -Werror", shell=True, cwd=entry["directory"], capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
