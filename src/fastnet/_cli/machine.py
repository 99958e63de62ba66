"""Facts about this machine and process, for `info` and for what `bench` writes."""

from __future__ import annotations

import os
import platform
import sys

import numpy as np

from .. import __version__, _core

__all__ = ["cpu_model", "facts"]


def cpu_model() -> str:
    """Name of the processor, as far as the system tells."""
    if sys.platform == "linux":
        try:
            with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
                for line in file:
                    key, _, value = line.partition(":")
                    if key.strip() in ("model name", "Model") and value.strip():
                        return value.strip()
        except OSError:
            pass
    elif sys.platform == "darwin":
        import subprocess

        try:
            answer = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=True)
            return answer.stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            pass
    return platform.processor() or platform.machine()


def _openmp_runtimes() -> list[str]:
    """File names of the OpenMP libraries that this process has loaded."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            paths = {line.split(maxsplit=5)[5].strip() for line in file if len(line.split(maxsplit=5)) == 6}
    except OSError:
        return []
    names = {os.path.basename(path) for path in paths}
    return sorted(name for name in names if name.startswith(("libgomp", "libomp", "libiomp")))


def _numpy_blas() -> str:
    try:
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"{blas['name']} {blas['version']}"
    except (KeyError, TypeError):
        return "unknown"


def facts() -> dict[str, object]:
    """What a report of a problem or of a speed should name."""
    quota = _core.cpu_quota()
    variables = ("FASTNET_ISA", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OMP_PROC_BIND")
    return {
        "fastnet": __version__,
        "instruction set": _core.isa(),
        "instruction sets available": _core.available_isas(),
        "threads": _core.default_threads(),
        "CPU": cpu_model(),
        "CPUs": _core.cpu_count(),
        "CPU quota": quota or None,
        "OpenMP": _openmp_runtimes(),
        "NumPy": np.__version__,
        "BLAS": _numpy_blas(),
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "environment": {name: os.environ[name] for name in variables if name in os.environ},
    }
