"""scikit-learn's multi-layer perceptrons, an epoch at a time by partial_fit."""

from __future__ import annotations

import numpy as np

from .peer import BasePeer, Unable
from .workloads import BINARY, MSE, Workload

__all__ = ["Peer"]


class Peer(BasePeer):
    packages = ("scikit-learn", "numpy")

    def __init__(self, workload: Workload, threads: int) -> None:
        if not workload.is_dense:
            raise Unable("scikit-learn has no layers but dense ones")
        super().__init__(workload, threads)
        if workload.loss == BINARY:
            self.y = self.y[:, 0].astype(np.int64)
        self.classes = None if workload.loss == MSE else np.arange(max(2, workload.sizes[-1]))

    def _make(self, shuffle: bool):
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        workload = self.workload
        make = MLPRegressor if workload.loss == MSE else MLPClassifier
        # Its gradient of the squared error is that of half the sum over the outputs, here and in no other peer.
        scale = 2 / workload.sizes[-1] if workload.loss == MSE else 1
        return make(
            hidden_layer_sizes=workload.sizes[1:-1],
            activation=workload.activation,
            solver=workload.optimizer,
            alpha=0,
            batch_size=workload.batch,
            learning_rate_init=workload.learning_rate * (scale if workload.momentum else 1),
            shuffle=shuffle,
            random_state=0,
            momentum=workload.momentum,
            nesterovs_momentum=False,
            epsilon=1e-7 / scale,
        )

    def reset(self) -> None:
        self.model = None

    def _start(self, shuffle: bool) -> None:
        """Initial weights, which can be set only after a first fit, whose traces are then removed."""
        self.model = self._make(shuffle)
        self._fit(self.x[: self.workload.batch], self.y[: self.workload.batch])
        del self.model._optimizer
        self.model.t_ = self.model.n_iter_ = self.model._no_improvement_count = 0
        self.model.loss_curve_, self.model.best_loss_ = [], np.inf
        arrays = self.workload.weights()
        for mine, given in zip(self.model.coefs_ + self.model.intercepts_, arrays[::2] + arrays[1::2], strict=True):
            mine[...] = given

    def _fit(self, x: np.ndarray, y: np.ndarray) -> None:
        if self.classes is None:
            self.model.partial_fit(x, y)
        else:
            self.model.partial_fit(x, y, classes=self.classes)

    def train(self, epochs: int, shuffle: bool) -> float:
        if self.model is None:
            self._start(shuffle)
        self.model.shuffle = shuffle
        for _ in range(epochs):
            self._fit(self.x, self.y)
        return float(self.model.loss_) * (2 if self.classes is None else 1)

    def weights(self) -> list[np.ndarray]:
        return [array for pair in zip(self.model.coefs_, self.model.intercepts_) for array in pair]
