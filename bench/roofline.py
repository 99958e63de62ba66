"""Where the time of a training step goes, for each of the measured networks: stages beside the peak and the memory.

python -m bench.roofline [NAME ...]
"""

from __future__ import annotations

import argparse

from fastnet._bench import fastnet_peer, gpt_peers
from fastnet._bench.gpt import GptWorkload
from fastnet._bench.workloads import WORKLOADS

#: Operations of a step that are worth a measurement of 100 steps; longer steps are repeated less.
SHORT = 1e9


def main() -> None:
    """Prints a table for each workload, all of them unless some are named."""
    parser = argparse.ArgumentParser(prog="python -m bench.roofline", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(WORKLOADS)}; default: all")
    names = parser.parse_args().names or list(WORKLOADS)
    for name in names:
        if name not in WORKLOADS:
            parser.error(f"unknown network {name!r}; known: {', '.join(WORKLOADS)}")
    for workload in map(WORKLOADS.get, names):
        make = gpt_peers.PEERS["fastnet"] if isinstance(workload, GptWorkload) else fastnet_peer.Peer
        peer = make(workload, 1)
        peer.reset()
        print(f"{workload.name}: {workload.description}")
        print(peer.model.profile(peer.x, peer.y, workload.batch, repeats=100 if workload.flops < SHORT else 5), end="\n\n")


if __name__ == "__main__":
    main()
