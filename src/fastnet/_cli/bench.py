"""``python -m fastnet bench``."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentError, Namespace
from importlib.util import find_spec

from .. import _core
from .._bench import PACKAGES, PEERS
from .._bench.driver import Measurement, measure, median_ratio
from .._bench.workloads import WORKLOADS, Workload
from .machine import facts

__all__ = ["run"]

# Slower than another way of using the same library.
_ON_REQUEST = ("jax-step", "torch-compile")


def _is_installed(peer: str) -> bool:
    return all(find_spec(name) is not None for name in PACKAGES[peer])


def _choose(given: list[str], known: dict, what: str) -> list[str]:
    for name in given:
        if name not in known:
            raise ArgumentError(None, f"unknown {what} {name!r}; known: {', '.join(known)}")
    return list(dict.fromkeys(given))


def _choose_peers(text: str | None) -> list[str]:
    """The libraries to time: fastnet, NumPy, and the others asked for, or else those installed."""
    if text is None:
        others = [name for name in PEERS if name not in _ON_REQUEST and _is_installed(name)]
    else:
        others = _choose([name for name in text.split(",") if name], PEERS, "peer")
        for name in others:
            if not _is_installed(name):
                raise RuntimeError(f"{name} cannot be imported by this interpreter ({', '.join(PACKAGES[name])})")
    return list(dict.fromkeys(["fastnet", "numpy", *others]))


def _name(workload: Workload) -> str:
    return f"{workload.name:11}{workload.description}"


def _row(measurement: Measurement, peers: list[str], width: int) -> str:
    workload = WORKLOADS[measurement.workload]
    cells = [f"{_name(workload):{width}}"]
    for peer in peers:
        if peer not in measurement.seconds:
            cells.append(f"{'-':>10}" + " " * 7 * (peer != "fastnet"))
            continue
        cells.append(f"{1e6 * measurement.median(peer):10.1f}")
        if peer != "fastnet" and "fastnet" in measurement.seconds:
            cells.append(f" {median_ratio(measurement, peer, 'fastnet'):5.1f}x")
    if "fastnet" in measurement.seconds:
        cells.append(f"{workload.flops / measurement.median('fastnet') / 1e9:9.1f}")
    return "".join(cells)


def run(options: Namespace) -> int:
    """Prints the table, a row when it is measured."""
    names = _choose(options.names or list(WORKLOADS), WORKLOADS, "network")
    peers = _choose_peers(options.peers)
    threads = options.threads or _core.default_threads()
    machine = facts()
    output = open(options.json, "w", encoding="utf-8") if options.json else None  # before the work, not after it
    print(
        f"fastnet {machine['fastnet']} on {machine['CPU']}, {machine['instruction set']}, {threads} threads. "
        "Microseconds for a training step in whole epochs with shuffling, float32, medians;"
    )
    print("beside the others how many times as long as fastnet they take; GFLOP/s of fastnet.\n")
    width = max(len(_name(WORKLOADS[name])) for name in names)
    print(f"{'network':{width}}" + "".join(f"{peer:>10}" + " " * 7 * (peer != "fastnet") for peer in peers) + "  GFLOP/s")

    def report(message: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{message}", end="", file=sys.stderr, flush=True)

    measurements = []
    for name in names:
        measurement = measure(
            WORKLOADS[name], peers, threads=threads, seconds=options.seconds, repetitions=options.repetitions, report=report
        )
        report("")
        measurements.append(measurement)
        print(_row(measurement, peers, width), flush=True)
    if output:
        with output:
            content = {"machine": machine, "measurements": [found.to_dict() for found in measurements]}
            output.write(json.dumps(content, indent=1) + "\n")
    failures = [f"{found.workload}: {text}" for found in measurements for text in found.failed.values()]
    for text in failures:
        print(f"fastnet: error: {text}", file=sys.stderr)
    return 1 if failures else 0
