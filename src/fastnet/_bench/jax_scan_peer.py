"""JAX with the whole epoch in one compiled function, as a lax.scan over the batches."""

from __future__ import annotations

from . import jax_step_peer
from .workloads import Workload

__all__ = ["Peer"]

UNROLL = 2  # fastest, of 1, 2 and 8


class Peer(jax_step_peer.Peer):
    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        jax = self.jax
        step = jax_step_peer.make_step(workload)

        def epoch(state, x, y, order):
            batches = order.reshape(workload.steps, workload.batch)
            state, losses = jax.lax.scan(lambda state, chosen: step(state, x[chosen], y[chosen]), state, batches, unroll=UNROLL)
            return state, losses.mean()

        self.epoch = jax.jit(epoch, donate_argnums=0)

    def train(self, epochs: int, shuffle: bool) -> float:
        loss = 0.0
        for _ in range(epochs):
            order = self.order(shuffle).astype("int32")
            self.state, loss = self.epoch(self.state, self.x, self.y, order)
        self.jax.block_until_ready(self.state)
        return float(loss)
