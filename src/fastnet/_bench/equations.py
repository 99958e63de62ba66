"""The plain equations of the networks in NumPy: what the peers are compared by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from .layers import Layer

if TYPE_CHECKING:
    from .workloads import Workload

__all__ = ["forward", "loss_of"]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _lstm(x: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> np.ndarray:
    h = c = np.zeros((len(x), len(recurrent)), x.dtype)
    every = []
    for step in range(x.shape[1]):
        i, f, g, o = np.split(x[:, step] @ kernel + h @ recurrent + bias, 4, axis=1)
        c = c * _sigmoid(f) + np.tanh(g) * _sigmoid(i)
        h = np.tanh(c) * _sigmoid(o)
        every.append(h)
    return np.stack(every, axis=1)


def _gru(x: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, biases: np.ndarray) -> np.ndarray:
    h = np.zeros((len(x), len(recurrent)), x.dtype)
    every = []
    for step in range(x.shape[1]):
        of_input = np.split(x[:, step] @ kernel + biases[0], 3, axis=1)
        of_state = np.split(h @ recurrent + biases[1], 3, axis=1)
        z, r = (_sigmoid(a + b) for a, b in zip(of_input[:2], of_state[:2]))
        h = z * h + (1 - z) * np.tanh(of_input[2] + r * of_state[2])
        every.append(h)
    return np.stack(every, axis=1)


def _recurrent(layer: Layer, x: np.ndarray, left: Iterator[np.ndarray]) -> np.ndarray:
    run = {"lstm": _lstm, "gru": _gru}[layer.kind]
    ways = [run(x, next(left), next(left), next(left))]
    if layer.both_ways:
        ways.append(run(x[:, ::-1], next(left), next(left), next(left)))
        ways[1] = ways[1] if layer.last_step else ways[1][:, ::-1]
    return np.concatenate([way[:, -1] if layer.last_step else way for way in ways], axis=-1)


def _convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Of images or steps, each filter of all channels; or, with a kernel of one output, of its own channel (depthwise)."""
    extent, window = x.shape[1:-1], kernel.shape[:-2]
    padded = np.pad(x, ((0, 0), *((n // 2, n // 2) for n in window), (0, 0)))
    total: np.ndarray | None = None
    for tap in product(*map(range, window)):
        piece = padded[(slice(None), *(slice(i, i + n) for i, n in zip(tap, extent)))]
        term = piece * kernel[tap][:, 0] if kernel.shape[-1] == 1 and len(bias) > 1 else piece @ kernel[tap]
        total = term if total is None else total + term
    return total + bias


def _pass(layers: Iterable[Layer], left: Iterator[np.ndarray], x: np.ndarray) -> np.ndarray:
    for layer in layers:
        axes = tuple(range(x.ndim - 1))
        if layer.kind == "dense":
            x = x @ next(left) + next(left)
        elif layer.kind == "embedding":
            x = next(left)[x]
        elif layer.is_recurrent:
            x = _recurrent(layer, x, left)
        elif layer.kind in ("convolution", "depthwise"):
            x = _convolve(x, next(left), next(left))
        elif layer.kind == "normalization":
            gamma, beta, _, _ = (next(left) for _ in range(4))
            x = (x - x.mean(axes)) / np.sqrt(x.var(axes) + 1e-3) * gamma + beta
        elif layer.kind == "pooling":
            n, height, width, channels = x.shape
            x = x.reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))
        elif layer.kind == "flatten":
            x = x.reshape(len(x), -1)
        elif layer.kind == "mean":
            x = x.mean(axes[1:])
        elif layer.kind == "residual":
            inner = _pass(layer.inner, left, x)
            x = inner + _pass(layer.shortcut, left, x)
        activation = "relu" if layer.kind == "relu" else layer.activation
        if activation:
            x = np.maximum(x, 0) if activation == "relu" else np.tanh(x)
    return x


def forward(workload: Workload, weights: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """What a network computes, with the statistics of this batch in normalizations."""
    return _pass(workload.layers, iter(weights), x)


def loss_of(workload: Workload, weights: list[np.ndarray]) -> float:
    """Mean loss of a network over all rows of its data, batch by batch, for comparing peers."""
    x, y = workload.data()
    starts = range(0, len(x), workload.batch)
    z = np.concatenate([forward(workload, weights, x[i : i + workload.batch]) for i in starts]).astype(np.float64)
    if workload.loss == "sparse_categorical_crossentropy":
        peak = z.max(-1, keepdims=True)
        chosen = np.take_along_axis(z - peak, y[..., None], -1)[..., 0]
        return float(np.mean(np.log(np.exp(z - peak).sum(-1)) - chosen))
    if workload.loss == "binary_crossentropy":
        return float(np.mean(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))))
    return float(np.mean((z - y) ** 2))
