"""What this machine could do at best: multiply-adds and memory bandwidth, measured."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).with_name("machine.c")


@dataclass(frozen=True)
class Limits:
    """GFLOP/s and GB/s of all threads together, and how they were found."""

    gflops: float
    gigabytes: float
    method: str


def measure(threads: int) -> Limits:
    """By a small C program, or else, where it cannot be compiled, by large operations of NumPy."""
    compiler = shlex.split(os.environ.get("CC", "")) or [shutil.which("cc") or shutil.which("gcc") or ""]
    if compiler[0]:
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "machine"
            target = "-march=haswell" if os.environ.get("FASTNET_ISA") == "avx2" else "-march=native"
            command = [*compiler, "-O3", target, "-fopenmp", str(SOURCE), "-o", str(program)]
            if subprocess.run(command, capture_output=True).returncode == 0:
                environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
                found = subprocess.run([program], capture_output=True, text=True, env=environment, check=True)
                gflops, gigabytes = map(float, found.stdout.split())
                return Limits(gflops, gigabytes, "fused multiply-adds and a triad in C")
    return Limits(_product_rate(), _add_rate(), "a matrix product of 4096x4096 and an addition in NumPy")


def _best(seconds_of, turns: int = 7) -> float:
    return min(seconds_of() for _ in range(turns))


def _product_rate(n: int = 4096) -> float:
    a = np.ones((n, n), np.float32)
    out = np.empty_like(a)

    def turn() -> float:
        start = time.perf_counter()
        np.dot(a, a, out=out)
        return time.perf_counter() - start

    return 2 * n**3 / _best(turn) / 1e9


def _add_rate(n: int = 1 << 24) -> float:
    a, b, out = (np.ones(n, np.float32) for _ in range(3))

    def turn() -> float:
        start = time.perf_counter()
        np.add(a, b, out=out)
        return time.perf_counter() - start

    return 3 * 4 * n / _best(turn) / 1e9
