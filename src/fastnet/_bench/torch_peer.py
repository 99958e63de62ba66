"""PyTorch, eager: the training loop of its tutorials, with the fused optimizer."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .peer import BasePeer
from .workloads import BINARY, MSE, SPARSE, Workload

__all__ = ["Peer"]


class Peer(BasePeer):
    packages = ("torch", "numpy")

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        import torch
        from torch import nn

        self.torch = torch
        torch.set_num_threads(threads)
        self.x, self.y = torch.from_numpy(self.x), torch.from_numpy(self.y)
        activation = {"relu": nn.ReLU, "tanh": nn.Tanh}[workload.activation]
        layers = []
        for n_in, n_out in pairwise(workload.sizes):
            layers += [nn.Linear(n_in, n_out), activation()]
        self.model = nn.Sequential(*layers[:-1])
        self.loss = {SPARSE: nn.CrossEntropyLoss, BINARY: nn.BCEWithLogitsLoss, MSE: nn.MSELoss}[workload.loss]()
        self.forward_loss = lambda x, y: self.loss(self.model(x), y)

    def reset(self) -> None:
        torch = self.torch
        parameters = list(self.model.parameters())
        with torch.no_grad():
            for parameter, weight in zip(parameters, self.workload.weights(), strict=True):
                parameter.copy_(torch.from_numpy(weight).T)
                parameter.grad = None
        rate = self.workload.learning_rate
        if self.workload.optimizer == "adam":
            self.optimizer = torch.optim.Adam(parameters, lr=rate, eps=1e-7, fused=True)
        else:
            self.optimizer = torch.optim.SGD(parameters, lr=rate, momentum=self.workload.momentum, fused=True)

    def train(self, epochs: int, shuffle: bool) -> float:
        torch, rows, batch = self.torch, self.workload.rows, self.workload.batch
        total = torch.zeros(())
        for _ in range(epochs):
            order = torch.randperm(rows) if shuffle else torch.arange(rows)
            total.zero_()
            for chosen in order.split(batch):
                self.optimizer.zero_grad()
                loss = self.forward_loss(self.x[chosen], self.y[chosen])
                loss.backward()
                self.optimizer.step()
                total += loss.detach()
        return total.item() / self.workload.steps

    def weights(self) -> list[np.ndarray]:
        return [np.ascontiguousarray(parameter.detach().numpy().T) for parameter in self.model.parameters()]
