"""Networks of many shapes in fastnet and in PyTorch, to find those where fastnet is not the faster.

    python -m bench.sweep --torch PYTHON [dense] [convolution] [lstm]

PYTHON is an interpreter that has PyTorch. Both train the same from the same weights and are measured in turns, as by bench.peers.
"""

from __future__ import annotations

import argparse
import statistics
import sys

from fastnet import _core
from fastnet._bench.driver import measure, median_ratio
from fastnet._bench.shapes import KINDS


def main() -> int:
    """Prints all networks, those first where PyTorch does best, and the mean."""
    parser = argparse.ArgumentParser(prog="python -m bench.sweep", description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; default: all")
    parser.add_argument("--torch", required=True, metavar="PYTHON", help="an interpreter that has PyTorch")
    parser.add_argument("--threads", type=int, default=_core.default_threads(), metavar="N", help="default: %(default)s")
    options = parser.parse_args()
    for kind in options.kinds:
        if kind not in KINDS:
            parser.error(f"unknown kind {kind!r}; known: {', '.join(KINDS)}")
    found, failed = [], []
    for workload in (workload for kind in options.kinds or KINDS for workload in KINDS[kind].values()):
        measured = measure(workload, ["fastnet", "torch"], threads=options.threads, seconds=0.1, repetitions=3,
                           pythons={"torch": options.torch})  # fmt: skip
        if measured.failed:
            failed += measured.failed.values()
            print(f"{workload.name}: {'; '.join(measured.failed.values())}", file=sys.stderr, flush=True)
            continue
        found.append((median_ratio(measured, "torch", "fastnet"), measured))
    found.sort(key=lambda one: one[0])
    for ratio, measured in found:
        ours, theirs = (1e6 * measured.median(peer) for peer in ("fastnet", "torch"))
        print(f"{measured.workload:45s} fastnet {ours:9.0f} us, PyTorch {theirs:9.0f} us: {ratio:6.2f} times as long")
    if found:
        ratios = [ratio for ratio, _ in found]
        print(
            f"{len(ratios)} networks, {sum(ratio < 1 for ratio in ratios)} of them faster in PyTorch; geometric mean "
            f"{statistics.geometric_mean(ratios):.2f}"
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
