"""A small GPT as a workload: its sizes, data, initial weights, and the plain equations of its loss."""

from __future__ import annotations

from dataclasses import dataclass
from math import erf

import numpy as np

__all__ = ["GptWorkload"]

EPSILON = 1e-5  # of layer normalization


@dataclass(frozen=True)
class GptWorkload:
    """A transformer that predicts the next token at each place: pre-norm blocks with causal attention and exact gelu.

    Parameters
    ----------
    name : str
    vocabulary, steps_of_row, width, blocks, heads : int
        Tokens there are, length of a sequence, channels, blocks, heads of attention. The inner dense layer of a block has
        four times the channels.
    batch : int
    learning_rate : float
        Of Adam, with beta 0.9 and 0.999.
    rows : int
        Of the data, a multiple of the batch.
    """

    name: str
    vocabulary: int
    steps_of_row: int
    width: int
    blocks: int
    heads: int
    batch: int
    learning_rate: float
    rows: int
    optimizer: str = "adam"
    is_dense: bool = False  # but for dense layers there are others

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return self.rows // self.batch

    @property
    def arrays(self) -> list[tuple[str, tuple[int, ...]]]:
        """What the weights start from, and their shapes, in the order of `weights`."""
        c, h, n = self.width, self.heads, self.width // self.heads
        norm = [("ones", (c,)), ("zeros", (c,))]
        projection = [("normal", (c, h, n)), ("zeros", (h, n))]
        block = [
            *norm,
            *3 * projection,
            ("normal", (h, n, c)),
            ("zeros", (c,)),
            *norm,
            ("normal", (c, 4 * c)),
            ("zeros", (4 * c,)),
            ("normal", (4 * c, c)),
            ("zeros", (c,)),
        ]
        return [
            ("normal", (self.vocabulary, c)),
            ("normal", (self.steps_of_row, c)),
            *self.blocks * block,
            *norm,
            ("normal", (c, self.vocabulary)),
            ("zeros", (self.vocabulary,)),
        ]

    @property
    def n_parameters(self) -> int:
        return sum(int(np.prod(shape)) for _, shape in self.arrays)

    @property
    def flops(self) -> int:
        """Floating-point operations in the matrix products of a step: three times those of the forward pass, of which
        attention needs half since it is causal."""
        c, t = self.width, self.steps_of_row
        position = self.blocks * (12 * c * c + t * c) + c * self.vocabulary
        return 2 * 3 * self.batch * t * position

    @property
    def update_bytes(self) -> int:
        """Bytes that an update reads and writes: gradient, parameters and slots, in float32."""
        return 4 * self.n_parameters * 7

    @property
    def description(self) -> str:
        return (
            f"GPT {self.vocabulary} tokens, {self.blocks}x{self.width}, {self.heads} heads, {self.steps_of_row} steps, "
            f"{self.batch}, Adam"
        )

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """x, tokens as float32 of shape (rows, steps), and y, those that follow: int64.

        Each token is most often one of two that depend on the one before.
        """
        rng = np.random.RandomState(1)
        likely = rng.randint(self.vocabulary, size=(2, self.vocabulary))
        tokens = rng.randint(self.vocabulary, size=(self.rows, self.steps_of_row + 1))
        for t in range(1, self.steps_of_row + 1):
            choice = rng.randint(5, size=self.rows)
            for k in range(2):
                chosen = (choice == k) | (choice == k + 2)
                tokens[chosen, t] = likely[k, tokens[chosen, t - 1]]
        return tokens[:, :-1].astype(np.float32), tokens[:, 1:].astype(np.int64)

    def weights(self) -> list[np.ndarray]:
        """Initial weights, float32: tables of tokens and positions; of each block gamma, beta, the kernels and biases of
        queries, keys, values and of the output of attention, gamma, beta, kernels and biases of two dense layers; gamma,
        beta, kernel, bias. Kernels have the inputs first; those of attention have an axis for the heads."""
        rng = np.random.RandomState(2)
        make = {"ones": np.ones, "zeros": np.zeros, "normal": lambda shape: 0.05 * rng.standard_normal(shape)}
        return [make[kind](shape).astype(np.float32) for kind, shape in self.arrays]

    def loss_of(self, weights: list[np.ndarray]) -> float:
        """Mean loss over all rows of the data."""
        tokens, labels = self.data()
        left = iter(weights)
        take = lambda n: [next(left) for _ in range(n)]
        table, positions = take(2)
        x = table[tokens.astype(int)] + positions
        for _ in range(self.blocks):
            y = _normalize(x, *take(2))
            q, k, v = (np.einsum("btc,chd->bhtd", y, kernel) + bias[:, None] for kernel, bias in (take(2), take(2), take(2)))
            scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
            scores = np.where(np.tri(self.steps_of_row, dtype=bool), scores, -np.inf)
            p = np.exp(scores - scores.max(-1, keepdims=True))
            kernel, bias = take(2)
            x = x + np.einsum("bhtd,hdc->btc", p / p.sum(-1, keepdims=True) @ v, kernel) + bias
            y = _normalize(x, *take(2))
            w1, b1, w2, b2 = take(4)
            x = x + _gelu(y @ w1 + b1) @ w2 + b2
        x = _normalize(x, *take(2))
        kernel, bias = take(2)
        z = (x @ kernel + bias).astype(np.float64)
        z -= z.max(-1, keepdims=True)
        chosen = np.take_along_axis(z, labels[..., None], -1)[..., 0]
        return float(np.mean(np.log(np.exp(z).sum(-1)) - chosen))


def _normalize(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    centered = x - x.mean(-1, keepdims=True)
    return centered / np.sqrt((centered**2).mean(-1, keepdims=True) + EPSILON) * gamma + beta


def _gelu(x: np.ndarray) -> np.ndarray:
    """By a table of erf: x and the nearest of its numbers differ by less than matters here."""
    grid = np.linspace(-6, 6, 120001)
    values = np.array([erf(number) for number in grid])
    return 0.5 * x * (1 + np.interp(x / np.sqrt(2), grid, values).astype(x.dtype))
