"""fastnet: model.fit."""

from __future__ import annotations

import numpy as np

import fastnet as fn

from .layers import connect
from .peer import BasePeer
from .workloads import BINARY, MSE, SPARSE, Workload

__all__ = ["Peer", "build_model", "compile_model"]


def build_model(workload: Workload) -> fn.Model:
    """The network of a workload, with other initial weights, in the order of the workload's."""
    x = fn.Input(workload.shape)
    return fn.Model(x, connect(fn.layers, workload.layers, x, workload.shape)[0], seed=4)


def compile_model(model: fn.Model, workload: Workload, n_threads: int | None = None) -> None:
    """Its loss and a new optimizer."""
    if workload.optimizer == "adam":
        optimizer = fn.optimizers.Adam(workload.learning_rate, epsilon=workload.epsilon)
    else:
        optimizer = fn.optimizers.SGD(workload.learning_rate, momentum=workload.momentum)
    loss = {
        SPARSE: fn.losses.SparseCategoricalCrossentropy(from_logits=True),
        BINARY: fn.losses.BinaryCrossentropy(from_logits=True),
        MSE: fn.losses.MeanSquaredError(),
    }[workload.loss]
    model.compile(optimizer, loss, n_threads=n_threads)


class Peer(BasePeer):
    packages = ("fastnet", "numpy")

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        self.model = build_model(workload)

    def reset(self) -> None:
        self.model.set_weights(self.workload.weights())
        compile_model(self.model, self.workload)

    def train(self, epochs: int, shuffle: bool) -> float:
        history = self.model.fit(self.x, self.y, batch_size=self.workload.batch, epochs=epochs, shuffle=shuffle, verbose=0)
        return history.history["loss"][-1]

    def weights(self) -> list[np.ndarray]:
        return self.model.get_weights()
