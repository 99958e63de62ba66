"""This fastnet beside another build of it, in turns in one run: to see what a change has done to speed.

    python -m bench.versions FOLDER [NAME ...] [--threads N] [--cpu-time]

FOLDER holds the other one, as `pip install --target FOLDER .` makes it in a checkout of another commit. Both have the instruction set
that FASTNET_ISA says. Networks are those of bench.peers and bench.sweep; all by default.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import sys

import fastnet
from fastnet._bench.driver import measure, median_ratio
from fastnet._bench.shapes import SHAPES
from fastnet._bench.workloads import WORKLOADS
from fastnet._core import default_threads

NETWORKS = WORKLOADS | SHAPES


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.versions", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of networks, or how such names begin; default: all")
    parser.add_argument("--threads", type=int, default=default_threads(), metavar="N", help="default: %(default)s")
    parser.add_argument("--cpu-time", action="store_true", help="processor time, for one thread on a machine that is busy")
    parser.add_argument("--seconds", type=float, default=0.1, metavar="S", help="of a repetition; default: %(default)s")
    parser.add_argument("--repetitions", type=int, default=5, metavar="N", help="default: %(default)s")
    options = parser.parse_args()
    if not (options.folder / "fastnet").is_dir():
        parser.error(f"there is no fastnet in {options.folder}")
    return options


def main() -> int:
    """Prints the microseconds of a step of both, and how many times as long the other one takes."""
    options = parse()
    other = f"fastnet@{options.folder.resolve()}"
    chosen = [name for name in NETWORKS if not options.names or name.startswith(tuple(options.names))]
    ours_at = pathlib.Path(fastnet.__file__).parents[1]
    own, ratios = f"fastnet@{ours_at}", {}
    for name in chosen:
        found = measure(
            NETWORKS[name], [own, other], threads=options.threads, seconds=options.seconds,
            repetitions=options.repetitions, clock="cpu" if options.cpu_time else "elapsed",
        )  # fmt: skip
        if found.failed:
            print(f"{name}: {'; '.join(found.failed.values())}", file=sys.stderr, flush=True)
            continue
        ratios[name] = median_ratio(found, other, own)
        ours, theirs = (1e6 * found.median(peer) for peer in (own, other))
        print(f"{name:45s} {ours:10.1f} us, the other {theirs:10.1f} us: {ratios[name]:6.3f} times as long", flush=True)
    if ratios:
        worst = min(ratios, key=ratios.__getitem__)
        mean = statistics.geometric_mean(ratios.values())
        print(f"{len(ratios)} networks: geometric mean {mean:.3f}, least {ratios[worst]:.3f} ({worst})")
    return 0 if len(ratios) == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
