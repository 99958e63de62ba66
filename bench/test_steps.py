"""Whole epochs of the workloads, in fastnet and in NumPy.

pytest bench/test_steps.py -o addopts= --benchmark-only
"""

import pytest

from fastnet._bench import fastnet_peer, numpy_peer
from fastnet._bench.peer import Unable
from fastnet._bench.workloads import WORKLOADS

PEERS = {"fastnet": fastnet_peer.Peer, "numpy": numpy_peer.Peer}


@pytest.mark.parametrize("name", [name for name in WORKLOADS if name not in ("gpt", "transformer", "wide")])
@pytest.mark.parametrize("peer", PEERS)
def test_epoch(benchmark, peer, name):
    try:
        trainer = PEERS[peer](WORKLOADS[name], threads=0)
    except Unable as reason:
        pytest.skip(str(reason))
    trainer.reset()
    trainer.train(3, shuffle=True)
    benchmark.group = name
    benchmark.extra_info["steps"] = WORKLOADS[name].steps
    benchmark.pedantic(trainer.train, args=(1, True), rounds=10, warmup_rounds=1)
