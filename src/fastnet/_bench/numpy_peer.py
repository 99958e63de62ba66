"""NumPy, as a competent user writes it: everything in place, one slab of parameters, float32."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .peer import BasePeer, Unable
from .workloads import BINARY, SPARSE, Workload

__all__ = ["NumpyNetwork", "Peer"]

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7


class _Buffers:
    """The arrays of one size of batch."""

    def __init__(self, sizes: tuple[int, ...], rows: int) -> None:
        self.activations = [np.empty((rows, n), np.float32) for n in sizes]
        self.deltas = [np.empty((rows, n), np.float32) for n in sizes]
        self.masks = [np.empty((rows, n), bool) for n in sizes]
        self.row_numbers = np.arange(rows)


class NumpyNetwork:
    """Dense layers with their backward pass and optimizer; in a step nothing of the size of a layer is allocated.

    Parameters
    ----------
    workload : Workload
        Sizes, activation, loss and optimizer; the data and batches may be others.
    """

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.slab = np.zeros(workload.n_parameters, np.float32)
        self.gradient_slab = np.zeros_like(self.slab)
        self.momentum, self.velocity, self.scratch = (np.zeros_like(self.slab) for _ in range(3))
        self.parameters = self._views(self.slab)
        self.gradients = self._views(self.gradient_slab)
        self.buffers: dict[int, _Buffers] = {}
        self.steps_done = 0

    def _views(self, slab: np.ndarray) -> list[np.ndarray]:
        views, start = [], 0
        for n_in, n_out in pairwise(self.workload.sizes):
            for shape in ((n_in, n_out), (n_out,)):
                size = int(np.prod(shape))
                views.append(slab[start : start + size].reshape(shape))
                start += size
        return views

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """Copies kernels and biases, and forgets the state of the optimizer."""
        for parameter, weight in zip(self.parameters, weights, strict=True):
            parameter[...] = weight
        self.momentum[:] = self.velocity[:] = 0
        self.steps_done = 0

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The outputs for the rows of x."""
        buffers = _Buffers(self.workload.sizes, len(x))
        buffers.activations[0][:] = x
        self._forward(buffers.activations)
        return buffers.activations[-1]

    def train_on_batch(self, x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> float:
        """One step on the rows of x and y with these numbers; returns their mean loss."""
        buffers = self.buffers.get(len(rows))
        if buffers is None:
            buffers = self.buffers[len(rows)] = _Buffers(self.workload.sizes, len(rows))
        np.take(x, rows, axis=0, out=buffers.activations[0], mode="clip")
        self._forward(buffers.activations)
        loss = self._loss(buffers, y[rows])
        self._backward(buffers)
        if self.workload.optimizer == "adam":
            self._adam()
        else:
            self._sgd()
        self.steps_done += 1
        return loss

    def _forward(self, activations: list[np.ndarray]) -> None:
        relu = self.workload.activation == "relu"
        last = len(activations) - 1
        for i in range(last):
            out = activations[i + 1]
            np.dot(activations[i], self.parameters[2 * i], out=out)
            out += self.parameters[2 * i + 1]
            if i + 1 < last:
                if relu:
                    np.maximum(out, 0, out=out)
                else:
                    np.tanh(out, out=out)

    def _loss(self, buffers: _Buffers, y: np.ndarray) -> float:
        """The mean loss; leaves its gradient in the last of the deltas. May overwrite the outputs."""
        z, delta = buffers.activations[-1], buffers.deltas[-1]
        if self.workload.loss == SPARSE:
            rows = buffers.row_numbers
            z -= z.max(axis=1, keepdims=True)
            wanted = z[rows, y]
            np.exp(z, out=delta)
            total = delta.sum(axis=1, keepdims=True)
            loss = (np.log(total).sum() - wanted.sum()) / len(z)
            delta /= total
            delta[rows, y] -= 1
            delta /= len(z)
            return float(loss)
        if self.workload.loss == BINARY:
            np.abs(z, out=delta)
            np.negative(delta, out=delta)
            np.exp(delta, out=delta)
            loss = (np.maximum(z, 0).sum() - np.vdot(z, y) + np.log1p(delta).sum()) / z.size
            np.negative(z, out=z)
            np.exp(z, out=z)
            z += 1
            np.divide(1, z, out=delta)
            delta -= y
            delta /= z.size
            return float(loss)
        np.subtract(z, y, out=delta)
        loss = np.vdot(delta, delta) / z.size
        delta *= 2 / z.size
        return float(loss)

    def _backward(self, buffers: _Buffers) -> None:
        relu = self.workload.activation == "relu"
        for i in reversed(range(len(buffers.activations) - 1)):
            a, delta = buffers.activations[i], buffers.deltas[i + 1]
            np.dot(a.T, delta, out=self.gradients[2 * i])
            np.sum(delta, axis=0, out=self.gradients[2 * i + 1])
            if i == 0:
                break
            below = buffers.deltas[i]
            np.dot(delta, self.parameters[2 * i].T, out=below)
            if relu:
                np.greater(a, 0, out=buffers.masks[i])
                below *= buffers.masks[i]
            else:
                a *= a
                np.subtract(1, a, out=a)
                below *= a

    def _adam(self) -> None:
        t = self.steps_done + 1
        alpha = self.workload.learning_rate * (1 - BETA_2**t) ** 0.5 / (1 - BETA_1**t)
        g, m, v, scratch = self.gradient_slab, self.momentum, self.velocity, self.scratch
        m *= BETA_1
        np.multiply(g, 1 - BETA_1, out=scratch)
        m += scratch
        v *= BETA_2
        g *= g
        g *= 1 - BETA_2
        v += g
        np.sqrt(v, out=scratch)
        scratch += EPSILON
        np.divide(m, scratch, out=scratch)
        scratch *= alpha
        self.slab -= scratch

    def _sgd(self) -> None:
        g = self.gradient_slab
        g *= self.workload.learning_rate
        if self.workload.momentum:
            self.momentum *= self.workload.momentum
            self.momentum -= g
            self.slab += self.momentum
        else:
            self.slab -= g


class Peer(BasePeer):
    def __init__(self, workload: Workload, threads: int) -> None:
        if not workload.is_dense:
            raise Unable("the NumPy network has no layers but dense ones")
        super().__init__(workload, threads)
        self.network = NumpyNetwork(workload)

    def reset(self) -> None:
        self.network.set_weights(self.workload.weights())

    def train(self, epochs: int, shuffle: bool) -> float:
        batch, train_on_batch = self.workload.batch, self.network.train_on_batch
        loss = 0.0
        for _ in range(epochs):
            order = self.order(shuffle)
            loss = 0.0
            for start in range(0, len(order), batch):
                loss += train_on_batch(self.x, self.y, order[start : start + batch])
        return loss / self.workload.steps

    def weights(self) -> list[np.ndarray]:
        return self.network.parameters
