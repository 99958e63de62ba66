"""Which lines and branches of the engine and its kernels the tests run that face C.

    python tools/measure_coverage.py [--build build/coverage] [--isas avx2] [--details FILE]

Builds with -DFASTNET_COVERAGE=ON (gcc), runs the programs of tests/c, the corpus and 20,000 random descriptions of the fuzzer and
the tests of Python named below, and prints the coverage of each file of csrc and of all. Kernels are compiled several times from
one source, for each instruction set and precision: a line counts once, as run if any of these ran it, and so does each branch.
Instruction sets that this machine lacks are left out. Needs the packages that a build and the tests need, and gcovr.
"""

import argparse
import os
import pathlib
import resource
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TESTS = [
    "plan",
    "ops",
    "data",
    "status",
    "optimizers",
    "recurrent",
    "epochs",
    "shards",
    "update",
    "overflow",
    "averages",
    "ranges",
    "convolution",
    "attention",
    "masking",
    "memory",
    "threads",
    "in_place",
    "profiling",
    "failing_allocations",
    "constraints",
    "targets",
    "metrics",
]
LIMIT = 1 << 30  # bytes of memory for the fuzzer: descriptions ask for any number of them


def run(*command, **options):
    print("+", *(os.path.relpath(part) if os.path.isabs(part) else part for part in map(str, command)), flush=True)
    return subprocess.run([str(part) for part in command], check=True, **options)


def build(folder: pathlib.Path, isas: str) -> pathlib.Path:
    """Builds all there is, forgets what was counted before, and returns a folder to import fastnet from."""
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    run(
        "cmake",
        "-S",
        ROOT,
        "-B",
        folder,
        *generator,
        "-DSKBUILD=ON",
        "-DFASTNET_COVERAGE=ON",
        "-DFASTNET_FUZZ=ON",
        "-DFASTNET_C_TESTS=ON",
        f"-DFASTNET_ISAS={isas}",
        f"-DPython_EXECUTABLE={sys.executable}",
        stdout=subprocess.DEVNULL,
    )
    run("cmake", "--build", folder, "--parallel", os.cpu_count(), stdout=subprocess.DEVNULL)
    for counts in folder.rglob("*.gcda"):
        counts.unlink()
    package = folder / "package" / "fastnet"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(ROOT / "src" / "fastnet", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(next(folder.glob("_core*.so")), package)
    return package.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "coverage", help="folder to build in")
    parser.add_argument("--isas", default="", help="instruction sets to compile, separated by semicolons; all, if not given")
    parser.add_argument("--details", type=pathlib.Path, help="write a page that shows the source, line by line")
    arguments = parser.parse_args()
    folder = arguments.build.resolve()
    package = build(folder, arguments.isas)
    environment = {**os.environ, "PYTHONPATH": str(package), "OMP_NUM_THREADS": "2", "FASTNET_QUICK": "1"}
    has_isa = subprocess.run(
        [sys.executable, "-c", "from fastnet import _core; print(*_core.available_isas())"],
        check=True,
        env=environment,
        capture_output=True,
        text=True,
    ).stdout.split()
    for program in sorted(folder.glob("test_*")):
        table = program.name.rpartition("_f")[0].rpartition("_")[2]
        if program.is_file() and (not table or table in has_isa):
            run(program, env=environment, stdout=subprocess.DEVNULL)
    fuzz = {
        "env": {**environment, "OMP_NUM_THREADS": "1"},
        "stdout": subprocess.DEVNULL,
        "preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT)),
    }
    run(folder / "fuzz_plan", *sorted((ROOT / "tests" / "fuzz" / "corpus" / "plan").iterdir()), **fuzz)
    run(folder / "fuzz_plan", "--runs", 20000, "--seed", 1, **fuzz)
    run(
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *(f"tests/test_{name}.py" for name in TESTS),
        cwd=ROOT,
        env=environment,
    )
    # Threads count without waiting for each other, and inner loops count far: what matters is whether it is 0.
    report = [
        "gcovr",
        "--root",
        ROOT,
        "--filter",
        ROOT / "csrc",
        "--merge-mode-functions",
        "separate",
        "--gcov-ignore-parse-errors",
        "negative_hits.warn",
        "--gcov-ignore-parse-errors",
        "suspicious_hits.warn",
        folder,
    ]
    details = ["--html-details", arguments.details] if arguments.details else []
    run(sys.executable, "-m", *report, "--json", folder / "coverage.json", *details)
    for metric in ("line", "branch"):
        run(
            sys.executable,
            "-m",
            "gcovr",
            "--root",
            ROOT,
            "--add-tracefile",
            folder / "coverage.json",
            "--txt-metric",
            metric,
            "--txt",
            "-",
        )
    run(
        sys.executable,
        "-m",
        "gcovr",
        "--root",
        ROOT,
        "--add-tracefile",
        folder / "coverage.json",
        "--txt",
        os.devnull,
        "--print-summary",
    )


if __name__ == "__main__":
    main()
