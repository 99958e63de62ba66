"""The networks that are measured: sizes, loss, batch, optimizer, data, arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["WORKLOADS", "Workload", "loss_of"]

MSE = "mean_squared_error"
BINARY = "binary_crossentropy"  # of one logit, targets 0 or 1
SPARSE = "sparse_categorical_crossentropy"  # of logits, targets class numbers


@dataclass(frozen=True)
class Workload:
    """Dense layers trained on random data.

    Parameters
    ----------
    name : str
    sizes : tuple of int
        Features, then the units of each layer.
    activation : {"relu", "tanh"}
        Of all layers but the last, which is linear.
    loss : str
        Mean over the batch; the cross-entropies take logits.
    batch : int
    optimizer : {"adam", "sgd"}
    learning_rate, momentum : float
        Adam has beta 0.9 and 0.999; momentum is for "sgd".
    rows : int
        Of the data, a multiple of the batch.
    """

    name: str
    sizes: tuple[int, ...]
    activation: str
    loss: str
    batch: int
    optimizer: str
    learning_rate: float
    rows: int
    momentum: float = 0.0

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return self.rows // self.batch

    @property
    def n_parameters(self) -> int:
        return sum(n_in * n_out + n_out for n_in, n_out in zip(self.sizes, self.sizes[1:]))

    @property
    def flops(self) -> int:
        """Floating-point operations in the matrix products of a step: forward, weights' and inputs' gradients."""
        products = [n_in * n_out for n_in, n_out in zip(self.sizes, self.sizes[1:])]
        return 2 * self.batch * (3 * sum(products) - products[0])

    @property
    def update_bytes(self) -> int:
        """Bytes that an update reads and writes: gradient, parameters and slots, in float32."""
        slots = 2 if self.optimizer == "adam" else 1 if self.momentum else 0
        return 4 * self.n_parameters * (3 + 2 * slots)

    @property
    def description(self) -> str:
        loss = {MSE: "mse", BINARY: "bce", SPARSE: "ce"}[self.loss]
        optimizer = "Adam" if self.optimizer == "adam" else "SGD momentum" if self.momentum else "SGD"
        inner = self.sizes[1:-1]
        repeated = len(set(inner)) == 1 and len(inner) > 2
        middle = f"{inner[0]}x{len(inner)}" if repeated else "-".join(map(str, inner))
        return f"{self.sizes[0]}-{middle}-{self.sizes[-1]} {self.activation} {loss}, {self.batch}, {optimizer}"

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """x, float32 of shape (rows, features), and y: class numbers int64 (rows,), else float32 (rows, outputs).

        The targets follow from x by a random linear map, with noise: so there is something to learn, but not so much
        that gradients vanish, which would change the speed of arithmetic.
        """
        rng = np.random.RandomState(1)
        x = rng.standard_normal((self.rows, self.sizes[0])).astype(np.float32)
        teacher = rng.standard_normal((self.sizes[0], self.sizes[-1])) / np.sqrt(self.sizes[0])
        noisy = x @ teacher + rng.standard_normal((self.rows, self.sizes[-1]))
        if self.loss == SPARSE:
            return x, noisy.argmax(1)
        if self.loss == BINARY:
            return x, (noisy > 0).astype(np.float32)
        return x, noisy.astype(np.float32)

    def weights(self) -> list[np.ndarray]:
        """Initial kernels (in, out), Glorot uniform, and biases, zeros: one after the other, float32."""
        rng = np.random.RandomState(2)
        arrays = []
        for n_in, n_out in zip(self.sizes, self.sizes[1:]):
            limit = np.sqrt(6 / (n_in + n_out))
            arrays.append(rng.uniform(-limit, limit, (n_in, n_out)).astype(np.float32))
            arrays.append(np.zeros(n_out, np.float32))
        return arrays


def loss_of(workload: Workload, weights: list[np.ndarray]) -> float:
    """Mean loss of a network over all rows of its data: the plain equations, for comparing peers."""
    x, y = workload.data()
    a = x
    for i in range(0, len(weights), 2):
        a = a @ weights[i] + weights[i + 1]
        if i + 2 < len(weights):
            a = np.maximum(a, 0) if workload.activation == "relu" else np.tanh(a)
    z = a.astype(np.float64)
    if workload.loss == SPARSE:
        peak = z.max(1)
        return float(np.mean(peak + np.log(np.exp(z - peak[:, None]).sum(1)) - z[np.arange(len(z)), y]))
    if workload.loss == BINARY:
        return float(np.mean(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))))
    return float(np.mean((z - y) ** 2))


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("tiny", (4, 24, 24, 2), "relu", MSE, 32, "adam", 1e-3, rows=4096),
        Workload("digits", (64, 128, 64, 10), "relu", SPARSE, 32, "adam", 1e-3, rows=4096),
        Workload("higgs", (28, 300, 300, 300, 300, 300, 1), "tanh", BINARY, 100, "adam", 1e-3, rows=4000),
        Workload("mnist", (784, 512, 256, 10), "relu", SPARSE, 128, "adam", 1e-3, rows=4096),
        Workload("wide", (1024, 4096, 4096, 1000), "relu", SPARSE, 512, "sgd", 1e-2, rows=2048, momentum=0.9),
    )
}
