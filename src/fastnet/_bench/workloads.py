"""The networks that are measured: sizes, loss, batch, optimizer, data, arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .gpt import GptWorkload

__all__ = ["WORKLOADS", "ImageWorkload", "Layer", "TextWorkload", "Workload", "loss_of"]

MSE = "mean_squared_error"
BINARY = "binary_crossentropy"  # of one logit, targets 0 or 1
SPARSE = "sparse_categorical_crossentropy"  # of logits, targets class numbers


@dataclass(frozen=True)
class Layer:
    """A layer of a network.

    Parameters
    ----------
    kind : {"dense", "convolution", "normalization", "relu", "pooling", "flatten", "mean", "embedding", "lstm"}
        Convolutions are of 3 by 3 pixels with zeros around the image, pooling takes the maximum of 2 by 2 pixels, "mean"
        that of all pixels; "normalization" is over the batch, with epsilon 1e-3 and momentum 0.99.
    units : int
        Of a dense or LSTM layer, filters of a convolution, length of the vectors of an embedding.
    activation : {"relu", "tanh"}, optional
        Of a dense layer or a convolution.
    classes : int
        Tokens of an embedding.
    """

    kind: str
    units: int = 0
    activation: str | None = None
    classes: int = 0

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """That of a sample, from that of its input."""
        return {
            "dense": lambda: (*shape[:-1], self.units),
            "embedding": lambda: (*shape, self.units),
            "lstm": lambda: (*shape[:-1], self.units),
            "convolution": lambda: (*shape[:2], self.units),
            "pooling": lambda: (shape[0] // 2, shape[1] // 2, shape[2]),
            "flatten": lambda: (int(np.prod(shape)),),
            "mean": lambda: (shape[2],),
        }.get(self.kind, lambda: shape)()

    def weight_shapes(self, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Kernel and bias, or gamma, beta, mean and variance, in the order and shapes of Keras."""
        if self.kind == "dense":
            return [(shape[-1], self.units), (self.units,)]
        if self.kind == "embedding":
            return [(self.classes, self.units)]
        if self.kind == "lstm":
            return [(shape[-1], 4 * self.units), (self.units, 4 * self.units), (4 * self.units,)]
        if self.kind == "convolution":
            return [(3, 3, shape[-1], self.units), (self.units,)]
        return [(shape[-1],)] * 4 if self.kind == "normalization" else []


def make_layers(module: Any, layers: Iterator[Layer]) -> list[Any]:
    """The layers of a network from a module with the names of Keras's."""
    make = {
        "dense": lambda layer: module.Dense(layer.units, activation=layer.activation),
        "convolution": lambda layer: module.Conv2D(layer.units, 3, padding="same", activation=layer.activation),
        "normalization": lambda layer: module.BatchNormalization(),
        "relu": lambda layer: module.Activation("relu"),
        "pooling": lambda layer: module.MaxPooling2D(),
        "flatten": lambda layer: module.Flatten(),
        "mean": lambda layer: module.GlobalAveragePooling2D(),
        "embedding": lambda layer: module.Embedding(layer.classes, layer.units),
        "lstm": lambda layer: module.LSTM(layer.units, return_sequences=True),
    }
    return [make[layer.kind](layer) for layer in layers]


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
        """Each layer with the shape of its input."""
        shape = self.shape
        for layer in self.layers:
            yield layer, shape
            shape = layer.output_shape(shape)

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
        """Floating-point operations in the matrix products of a step: forward, weights' and inputs' gradients."""
        products = []
        for layer, shape in self.layers_with_shapes():
            if layer.kind in ("dense", "convolution", "lstm"):
                kernels = [weight for weight in layer.weight_shapes(shape) if len(weight) > 1]
                products.append(int(np.prod(shape[:-1])) * sum(int(np.prod(kernel)) for kernel in kernels))
        if self.layers[0].kind == "embedding":
            products.insert(0, 0)  # the first layer with products has one for the gradient of its input, too
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
        """Initial weights, one after the other, float32: kernels Glorot uniform, scales and variances 1, others 0."""
        rng = np.random.RandomState(2)
        arrays = []
        for layer, shape in self.layers_with_shapes():
            shapes = layer.weight_shapes(shape)
            if layer.kind == "normalization":
                arrays += [np.full(shape, start, np.float32) for shape, start in zip(shapes, (1, 0, 0, 1))]
            elif layer.kind == "embedding":
                arrays.append(rng.uniform(-0.05, 0.05, shapes[0]).astype(np.float32))
            elif shapes:
                window = int(np.prod(shapes[0][:-2]))
                limit = np.sqrt(6 / (window * (shapes[0][-2] + shapes[0][-1])))
                arrays.append(rng.uniform(-limit, limit, shapes[0]).astype(np.float32))
                if layer.kind == "lstm":
                    arrays.append((rng.standard_normal(shapes[1]) / np.sqrt(layer.units)).astype(np.float32))
                arrays.append(np.zeros(shapes[-1], np.float32))
        return arrays


@dataclass(frozen=True)
class ImageWorkload(Workload):
    """A convolutional network of other layers too, trained on random images.

    Parameters
    ----------
    network : tuple of Layer
    image : tuple of int
        Height, width, channels.
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


def _lstm(x: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> np.ndarray:
    h = c = np.zeros((len(x), len(recurrent)), x.dtype)
    every = []
    for step in range(x.shape[1]):
        i, f, g, o = np.split(x[:, step] @ kernel + h @ recurrent + bias, 4, axis=1)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        every.append(h)
    return np.stack(every, axis=1)


def _convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = (padded[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3))
    return sum(taps, start=bias)


def _forward(workload: Workload, weights: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """The plain equations, with the statistics of this batch in normalizations."""
    left = iter(weights)
    for layer in workload.layers:
        if layer.kind == "dense":
            x = x @ next(left) + next(left)
        elif layer.kind == "embedding":
            x = next(left)[x]
        elif layer.kind == "lstm":
            x = _lstm(x, next(left), next(left), next(left))
        elif layer.kind == "convolution":
            x = _convolve(x, next(left), next(left))
        elif layer.kind == "normalization":
            gamma, beta, _, _ = (next(left) for _ in range(4))
            x = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-3) * gamma + beta
        elif layer.kind == "pooling":
            n, height, width, channels = x.shape
            x = x.reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))
        elif layer.kind == "flatten":
            x = x.reshape(len(x), -1)
        elif layer.kind == "mean":
            x = x.mean((1, 2))
        activation = "relu" if layer.kind == "relu" else layer.activation
        if activation:
            x = np.maximum(x, 0) if activation == "relu" else np.tanh(x)
    return x


def loss_of(workload: Workload, weights: list[np.ndarray]) -> float:
    """Mean loss of a network over all rows of its data, batch by batch, for comparing peers."""
    x, y = workload.data()
    starts = range(0, len(x), workload.batch)
    z = np.concatenate([_forward(workload, weights, x[i : i + workload.batch]) for i in starts]).astype(np.float64)
    if workload.loss == SPARSE:
        peak = z.max(-1, keepdims=True)
        chosen = np.take_along_axis(z - peak, y[..., None], -1)[..., 0]
        return float(np.mean(np.log(np.exp(z - peak).sum(-1)) - chosen))
    if workload.loss == BINARY:
        return float(np.mean(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))))
    return float(np.mean((z - y) ** 2))


_POOL, _FLATTEN, _MEAN = Layer("pooling"), Layer("flatten"), Layer("mean")


def _conv(filters: int) -> Layer:
    return Layer("convolution", filters, "relu")


def _block(filters: int, times: int) -> tuple[Layer, ...]:
    """Convolutions, each normalized before its activation."""
    return (Layer("convolution", filters), Layer("normalization"), Layer("relu")) * times


def _images(name: str, image: tuple[int, int, int], words: str, network: tuple[Layer, ...], batch: int, rows: int):
    sizes = (int(np.prod(image)), 10)
    return ImageWorkload(name, sizes, "relu", SPARSE, batch, "adam", 1e-3, rows=rows, network=network, image=image, words=words)


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("tiny", (4, 24, 24, 2), "relu", MSE, 32, "adam", 1e-3, rows=4096),
        Workload("digits", (64, 128, 64, 10), "relu", SPARSE, 32, "adam", 1e-3, rows=4096),
        Workload("higgs", (28, 300, 300, 300, 300, 300, 1), "tanh", BINARY, 100, "adam", 1e-3, rows=4000),
        Workload("mnist", (784, 512, 256, 10), "relu", SPARSE, 128, "adam", 1e-3, rows=4096),
        Workload("wide", (1024, 4096, 4096, 1000), "relu", SPARSE, 512, "sgd", 1e-2, rows=2048, momentum=0.9),
        _images("cnn-digits", (8, 8, 1), "conv16 pool conv32 dense10", batch=32, rows=2048,
                network=(_conv(16), _POOL, _conv(32), _FLATTEN, Layer("dense", 10))),
        _images("cnn-mnist", (28, 28, 1), "conv32 pool conv64 pool dense128-10", batch=64, rows=512,
                network=(_conv(32), _POOL, _conv(64), _POOL, _FLATTEN, Layer("dense", 128, "relu"), Layer("dense", 10))),
        _images("cnn-cifar", (32, 32, 3), "(conv32 bn)x2 pool (conv64 bn)x2 pool conv128 bn mean dense10", batch=64,
                rows=256, network=(*_block(32, 2), _POOL, *_block(64, 2), _POOL, *_block(128, 1), _MEAN,
                                   Layer("dense", 10))),
        TextWorkload("lstm", (65, 64, 128, 65), "linear", SPARSE, 32, "adam", 1e-3, rows=512, epsilon=1e-12, tokens=64),
        GptWorkload("gpt", 65, 64, 128, 4, 4, 16, 1e-3, rows=256),
    )
}  # fmt: skip
