"""PyTorch with torch.compile over the forward pass and the loss, and hence their backward pass."""

from __future__ import annotations

from . import torch_peer
from .workloads import Workload

__all__ = ["Peer"]


class Peer(torch_peer.Peer):
    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        self.forward_loss = self.torch.compile(self.forward_loss)
