"""Fails where fastnet has become slower, in comparison with NumPy in the same run.

    python bench/regression.py [NAME ...] [--baseline FILE] [--update]

The baseline holds, for each workload, how many times as long as fastnet NumPy took: for the same step of a network of dense layers; for
convolutions, recurrent and attention layers, which NumPy is not made to train here, for a step of YARDSTICK. It belongs to a kind of machine: make another
with --update where the processor or NumPy's BLAS is another.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

from fastnet._bench.driver import PeerError, PeerProcess, measure, median_ratio
from fastnet._bench.workloads import WORKLOADS
from fastnet._cli.machine import facts

ALLOWED_LOSS = 0.2
YARDSTICK = "mnist"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(WORKLOADS)}; default: all")
    parser.add_argument("--baseline", type=Path, default=Path(__file__).with_name("baseline.json"), metavar="FILE")
    parser.add_argument("--update", action="store_true", help="write the baseline instead of comparing with it")
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    parser.add_argument(
        "--elapsed", action="store_true", help="elapsed time, not processor time: for several threads, on an idle machine"
    )
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--repetitions", type=int, default=9)
    options = parser.parse_args()
    options.names = options.names or list(WORKLOADS)
    for name in options.names:
        if name not in WORKLOADS:
            parser.error(f"unknown network {name!r}; known: {', '.join(WORKLOADS)}")
    return options


def compare(name: str, options: argparse.Namespace, clock: str) -> float:
    """How many times as long as a step of fastnet NumPy's takes: the median over turns of both."""
    if WORKLOADS[name].is_dense:
        found = measure(
            WORKLOADS[name],
            ["fastnet", "numpy"],
            threads=options.threads,
            clock=clock,
            seconds=options.seconds,
            repetitions=options.repetitions,
        )
        if found.failed:
            raise PeerError("; ".join(found.failed.values()))
        return median_ratio(found, "numpy", "fastnet")
    with PeerProcess("fastnet", options.threads) as ours, PeerProcess("numpy", options.threads) as numpy:
        ours.ask("open", workload=name, threads=options.threads)
        numpy.ask("open", workload=YARDSTICK, threads=options.threads)
        turns = [
            [peer.ask("time", seconds=options.seconds, clock=clock)["seconds_per_step"] for peer in (numpy, ours)]
            for _ in range(options.repetitions)
        ]
    return statistics.median(theirs / mine for theirs, mine in turns)


def main() -> int:
    options = parse()
    clock = "elapsed" if options.elapsed else "cpu"
    settings = {"threads": options.threads, "clock": clock}
    baseline = {}
    if options.baseline.exists():
        baseline = json.loads(options.baseline.read_text(encoding="utf-8"))
    if not options.update:
        if not baseline:
            print(f"{options.baseline} does not exist: make it with --update", file=sys.stderr)
            return 1
        if baseline["settings"] != settings:
            print(f"the baseline was measured with {baseline['settings']}, not {settings}", file=sys.stderr)
            return 1
    machine = {name: facts()[name] for name in ("CPU", "instruction set", "NumPy", "BLAS")}
    if not options.update and baseline["machine"] != machine:
        print(f"note: the baseline is of another machine: {baseline['machine']}", file=sys.stderr)

    ratios, failed = {}, False
    for name in options.names:
        try:
            ratios[name] = round(compare(name, options, clock), 3)
        except PeerError as error:
            print(error, file=sys.stderr)
            failed = True
            continue
        before = None if options.update else baseline["ratios"].get(name)
        slower = before is not None and ratios[name] < (1 - ALLOWED_LOSS) * before
        failed |= slower
        was = "" if before is None else f", baseline {before:.2f}{'  SLOWER' if slower else ''}"
        what = "as long" if WORKLOADS[name].is_dense else f"that for {YARDSTICK}"
        print(f"{name:10} NumPy takes {ratios[name]:7.3f} times {what}{was}", flush=True)
    if options.update and not failed:
        kept = baseline.get("ratios", {}) if baseline.get("machine") == machine else {}
        content = {"machine": machine, "settings": settings, "ratios": kept | ratios}
        options.baseline.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
