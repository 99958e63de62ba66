"""The networks that are measured: sizes, loss, batch, optimizer, data, arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .gpt import GptWorkload
from .layers import Layer, initial_weights, walk

__all__ = ["WORKLOADS", "ImageWorkload", "Layer", "TextWorkload", "Workload"]

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
    learning_rate, momentum, epsilon : float
        Adam has beta 0.9 and 0.999; momentum is for "sgd". PyTorch adds Adam's epsilon elsewhere than the others: where
        gradients are small it must be so small that this does not matter.
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
    epsilon: float = 1e-7

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return self.rows // self.batch

    @property
    def is_dense(self) -> bool:
        """Whether all layers are."""
        return all(layer.kind == "dense" for layer in self.layers)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a sample."""
        return self.sizes[:1]

    @property
    def layers(self) -> tuple[Layer, ...]:
        inner = [Layer("dense", n, self.activation) for n in self.sizes[1:-1]]
        return (*inner, Layer("dense", self.sizes[-1]))

    def layers_with_shapes(self) -> Iterator[tuple[Layer, tuple[int, ...]]]:
        """Each layer with the shape of its input; in place of residual layers those within them."""
        return walk(self.layers, self.shape)

    @property
    def n_parameters(self) -> int:
        """What is trained: not the moving statistics, the last two of a normalization."""
        return sum(
            int(np.prod(weight))
            for layer, shape in self.layers_with_shapes()
            for weight in layer.weight_shapes(shape)[: 2 if layer.kind == "normalization" else None]
        )

    @property
    def flops(self) -> int:
        """Floating-point operations in the matrix products of a step: forward, weights' and inputs' gradients, but for that of the data."""
        layers = list(self.layers_with_shapes())
        first, shape = layers[0]
        products = 3 * sum(layer.multiply_adds(shape) for layer, shape in layers)
        return 2 * self.batch * (products - first.multiply_adds(shape, of_input=True))

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
        """x, float32 of shape (rows, ...), and y: class numbers int64 (rows,), else float32 (rows, outputs).

        The targets follow from x by a random linear map, with noise: so there is something to learn, but not so much
        that gradients vanish, which would change the speed of arithmetic.
        """
        rng = np.random.RandomState(1)
        features = int(np.prod(self.shape))
        x = rng.standard_normal((self.rows, features)).astype(np.float32)
        teacher = rng.standard_normal((features, self.sizes[-1])) / np.sqrt(features)
        noisy = x @ teacher + rng.standard_normal((self.rows, self.sizes[-1]))
        x = x.reshape(-1, *self.shape)
        if self.loss == SPARSE:
            return x, noisy.argmax(1)
        if self.loss == BINARY:
            return x, (noisy > 0).astype(np.float32)
        return x, noisy.astype(np.float32)

    def weights(self) -> list[np.ndarray]:
        """Initial weights, in the order of `layers_with_shapes`; see `initial_weights`."""
        return initial_weights(self.layers, self.shape)


@dataclass(frozen=True)
class ImageWorkload(Workload):
    """A network of any layers, trained on random images or sequences.

    Parameters
    ----------
    network : tuple of Layer
    image : tuple of int
        Height, width and channels, or steps and channels.
    words : str
        The network in a few words.
    """

    network: tuple[Layer, ...] = ()
    image: tuple[int, ...] = ()
    words: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.image

    @property
    def layers(self) -> tuple[Layer, ...]:
        return self.network

    @property
    def description(self) -> str:
        return f"{'x'.join(map(str, self.image))} {self.words}, {self.batch}, Adam"


@dataclass(frozen=True)
class TextWorkload(Workload):
    """Each token of a sequence predicted from those before it, by an LSTM.

    Parameters
    ----------
    tokens : int
        Of a sequence.
    """

    tokens: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.tokens,)

    @property
    def layers(self) -> tuple[Layer, ...]:
        vocabulary, embedded, units, _ = self.sizes
        return (Layer("embedding", embedded, classes=vocabulary), Layer("lstm", units), Layer("dense", vocabulary))

    @property
    def description(self) -> str:
        vocabulary, embedded, units, _ = self.sizes
        return f"{self.tokens} of {vocabulary} tokens, embed {embedded}, LSTM {units}, dense {vocabulary}, {self.batch}, Adam"

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Tokens, int64 of shape (rows, tokens), and those that follow: each is one of four that may follow the one before."""
        rng = np.random.RandomState(1)
        following = rng.randint(0, self.sizes[0], (self.sizes[0], 4))
        text = np.empty((self.rows, self.tokens + 1), np.int64)
        text[:, 0] = rng.randint(0, self.sizes[0], self.rows)
        for step in range(self.tokens):
            text[:, step + 1] = following[text[:, step], rng.randint(0, 4, self.rows)]
        return text[:, :-1].copy(), text[:, 1:].copy()


_POOL, _FLATTEN, _MEAN = Layer("pooling"), Layer("flatten"), Layer("mean")
_NORM, _RELU = Layer("normalization"), Layer("relu")


def _conv(filters: int, size: int = 3) -> Layer:
    return Layer("convolution", filters, "relu", size=size)


def _block(filters: int, times: int = 1, size: int = 3) -> tuple[Layer, ...]:
    """Convolutions, each normalized before its activation."""
    return (Layer("convolution", filters, size=size), _NORM, _RELU) * times


def _residual(filters: int, widens: bool = True) -> tuple[Layer, ...]:
    """Two convolutions around which the input goes, by a convolution of one pixel where the filters become more."""
    inner = (*_block(filters), Layer("convolution", filters), _NORM)
    shortcut = (Layer("convolution", filters, size=1), _NORM) if widens else ()
    return (Layer("residual", inner=inner, shortcut=shortcut), _RELU)


def _separable(filters: int) -> tuple[Layer, ...]:
    """A convolution of each channel, then one of one pixel."""
    return (Layer("depthwise"), _NORM, _RELU, *_block(filters, size=1))


def _network(name: str, image: tuple[int, ...], words: str, network: tuple[Layer, ...], batch: int, rows: int):
    sizes = (int(np.prod(image)), 10)
    network = (*network, Layer("dense", 10))
    return ImageWorkload(name, sizes, "relu", SPARSE, batch, "adam", 1e-3, rows=rows, network=network, image=image, words=words)


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("tiny", (4, 24, 24, 2), "relu", MSE, 32, "adam", 1e-3, rows=4096),
        Workload("digits", (64, 128, 64, 10), "relu", SPARSE, 32, "adam", 1e-3, rows=4096),
        Workload("higgs", (28, 300, 300, 300, 300, 300, 1), "tanh", BINARY, 100, "adam", 1e-3, rows=4000),
        Workload("mnist", (784, 512, 256, 10), "relu", SPARSE, 128, "adam", 1e-3, rows=4096),
        Workload("wide", (1024, 4096, 4096, 1000), "relu", SPARSE, 512, "sgd", 1e-2, rows=2048, momentum=0.9),
        Workload("autoencoder", (784, 256, 32, 256, 784), "relu", MSE, 64, "adam", 1e-3, rows=2048),
        Workload("softmax", (300, 512, 20000), "relu", SPARSE, 64, "adam", 1e-4, rows=512, epsilon=1e-12),
        _network("cnn-digits", (8, 8, 1), "conv16 pool conv32 dense10", (_conv(16), _POOL, _conv(32), _FLATTEN),
                 batch=32, rows=2048),
        _network("cnn-mnist", (28, 28, 1), "conv32 pool conv64 pool dense128-10",
                 (_conv(32), _POOL, _conv(64), _POOL, _FLATTEN, Layer("dense", 128, "relu")), batch=64, rows=512),
        _network("cnn-cifar", (32, 32, 3), "(conv32 bn)x2 pool (conv64 bn)x2 pool conv128 bn mean dense10",
                 (*_block(32, 2), _POOL, *_block(64, 2), _POOL, *_block(128), _MEAN), batch=64, rows=256),
        _network("residual", (32, 32, 3), "conv64 bn res64 pool res128 pool res256 mean dense10",
                 (*_block(64), *_residual(64, widens=False), _POOL, *_residual(128), _POOL, *_residual(256), _MEAN),
                 batch=32, rows=64),
        _network("separable", (32, 32, 3), "conv32 bn sep64 pool sep128-128 pool sep256-256 mean dense10",
                 (*_block(32), *_separable(64), _POOL, *_separable(128), *_separable(128), _POOL, *_separable(256),
                  *_separable(256), _MEAN), batch=32, rows=256),
        _network("conv1d", (128, 16), "conv64 conv128 of 5 steps, mean dense10", (_conv(64, 5), _conv(128, 5), _MEAN),
                 batch=64, rows=512),
        _network("gru", (48, 32), "bidirectional GRU 64, GRU 64, dense10",
                 (Layer("gru", 64, both_ways=True), Layer("gru", 64, last_step=True)), batch=64, rows=512),
        TextWorkload("lstm", (65, 64, 128, 65), "linear", SPARSE, 32, "adam", 1e-3, rows=512, epsilon=1e-12, tokens=64),
        GptWorkload("gpt", 65, 64, 128, 4, 4, 16, 1e-3, rows=256),
        GptWorkload("transformer", 65, 128, 256, 2, 8, 8, 1e-3, rows=64),
    )
}  # fmt: skip
