"""Where the time of a training step goes, for each of the measured networks: stages beside the peak and the memory.

    python -m bench.roofline [workload ...]
"""

from __future__ import annotations

import sys

from fastnet._bench.fastnet_peer import build_model, compile_model
from fastnet._bench.workloads import WORKLOADS

#: Operations of a step that are worth a measurement of 100 steps; longer steps are repeated less.
SHORT = 1e9


def main(*names: str) -> None:
    """Prints a table for each workload, all of them unless some are named."""
    for name in names or WORKLOADS:
        workload = WORKLOADS[name]
        x, y = workload.data()
        model = build_model(workload)
        compile_model(model, workload, n_threads=1)
        print(f"{name}: {workload.description}")
        print(model.profile(x, y, workload.batch, repeats=100 if workload.flops < SHORT else 5), end="\n\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
