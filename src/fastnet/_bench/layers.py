"""The layers that the networks are made of: shapes, weights, arithmetic, and how they are made with Keras's names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Layer", "connect", "initial_weights", "walk"]

_GATES = {"lstm": 4, "gru": 3}


@dataclass(frozen=True)
class Layer:
    """A layer of a network.

    Parameters
    ----------
    kind : str
        "dense", "convolution" and "depthwise" (of images, or of steps where a sample has no height; zeros around), "normalization"
        (over the batch, epsilon 1e-3, momentum 0.99), "relu", "pooling" (the maximum of 2 by 2 pixels), "flatten", "mean" (of all
        pixels or steps), "embedding", "lstm", "gru" (with a bias of the recurrent product, as is Keras's default) or "residual",
        the sum of what `inner` and `shortcut` make of the input.
    units : int
        Of a dense or recurrent layer, filters of a convolution, length of the vectors of an embedding.
    activation : {"relu", "tanh"}, optional
        Of a dense layer or a convolution.
    classes : int
        Tokens of an embedding.
    size : int
        Pixels or steps of a filter, in each direction.
    both_ways : bool
        A recurrent layer, and one of the same kind from the last step to the first, side by side.
    last_step : bool
        A recurrent layer hands on its last step alone.
    inner, shortcut : tuple of Layer
        Of a residual layer; no shortcut is the input itself.
    """

    kind: str
    units: int = 0
    activation: str | None = None
    classes: int = 0
    size: int = 3
    both_ways: bool = False
    last_step: bool = False
    inner: tuple[Layer, ...] = ()
    shortcut: tuple[Layer, ...] = ()

    @property
    def is_recurrent(self) -> bool:
        return self.kind in _GATES

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """That of a sample, from that of its input."""
        if self.is_recurrent:
            units = self.units * (1 + self.both_ways)
            return (units,) if self.last_step else (*shape[:-1], units)
        if self.kind == "residual":
            return shape_after(self.inner, shape)
        return {
            "dense": lambda: (*shape[:-1], self.units),
            "embedding": lambda: (*shape, self.units),
            "convolution": lambda: (*shape[:-1], self.units),
            "pooling": lambda: (shape[0] // 2, shape[1] // 2, shape[2]),
            "flatten": lambda: (int(np.prod(shape)),),
            "mean": lambda: shape[-1:],
        }.get(self.kind, lambda: shape)()

    def weight_shapes(self, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Kernel and bias, or gamma, beta, mean and variance, in the order and shapes of Keras."""
        window = (self.size,) * (len(shape) - 1)
        if self.is_recurrent:
            width = _GATES[self.kind] * self.units
            bias = (width,) if self.kind == "lstm" else (2, width)
            return [(shape[-1], width), (self.units, width), bias] * (1 + self.both_ways)
        return {
            "dense": [(shape[-1], self.units), (self.units,)],
            "embedding": [(self.classes, self.units)],
            "convolution": [(*window, shape[-1], self.units), (self.units,)],
            "depthwise": [(*window, shape[-1], 1), (shape[-1],)],
            "normalization": [(shape[-1],)] * 4,
        }.get(self.kind, [])

    def multiply_adds(self, shape: tuple[int, ...], of_input: bool = False) -> int:
        """Of the forward pass of one sample, in matrix products and convolutions; `of_input`: in those with the input alone, not with a state."""
        if self.kind not in ("dense", "convolution", "depthwise", *_GATES):
            return 0
        shapes = self.weight_shapes(shape)
        kernels = shapes[:1]
        if self.is_recurrent:
            kernels = [*shapes[0::3], *([] if of_input else shapes[1::3])]
        return int(np.prod(shape[:-1])) * sum(int(np.prod(kernel)) for kernel in kernels)


def shape_after(layers: Iterable[Layer], shape: tuple[int, ...]) -> tuple[int, ...]:
    """That of a sample after some layers."""
    for layer in layers:
        shape = layer.output_shape(shape)
    return shape


def walk(layers: Iterable[Layer], shape: tuple[int, ...]) -> Iterator[tuple[Layer, tuple[int, ...]]]:
    """Each layer with the shape of its input; in place of a residual layer those within it, `inner` first."""
    for layer in layers:
        if layer.kind == "residual":
            yield from walk(layer.inner, shape)
            yield from walk(layer.shortcut, shape)
        else:
            yield layer, shape
        shape = layer.output_shape(shape)


def _make(module: Any, layer: Layer, shape: tuple[int, ...]) -> Any:
    """A layer from a module with the names of Keras's."""
    if layer.is_recurrent:
        kind = {"lstm": module.LSTM, "gru": module.GRU}[layer.kind]
        made = kind(layer.units, return_sequences=not layer.last_step)
        return module.Bidirectional(made) if layer.both_ways else made
    convolution, depthwise, mean = (
        (module.Conv2D, module.DepthwiseConv2D, module.GlobalAveragePooling2D)
        if len(shape) == 3
        else (module.Conv1D, module.DepthwiseConv1D, module.GlobalAveragePooling1D)
    )
    return {
        "dense": lambda: module.Dense(layer.units, activation=layer.activation),
        "convolution": lambda: convolution(layer.units, layer.size, padding="same", activation=layer.activation),
        "depthwise": lambda: depthwise(layer.size, padding="same", activation=layer.activation),
        "normalization": lambda: module.BatchNormalization(),
        "relu": lambda: module.Activation("relu"),
        "pooling": lambda: module.MaxPooling2D(),
        "flatten": lambda: module.Flatten(),
        "mean": lambda: mean(),
        "embedding": lambda: module.Embedding(layer.classes, layer.units),
    }[layer.kind]()


def connect(module: Any, layers: Iterable[Layer], x: Any, shape: tuple[int, ...]) -> tuple[Any, list[Any]]:
    """Calls new layers from a module with the names of Keras's on a symbolic tensor.

    Returns
    -------
    x : tensor
        What comes out.
    made : list of layer
        Those that have weights, in the order of `walk`.
    """
    made: list[Any] = []
    for layer in layers:
        if layer.kind == "residual":
            inner, first = connect(module, layer.inner, x, shape)
            shortcut, second = connect(module, layer.shortcut, x, shape)
            x = module.Add()([inner, shortcut])
            made += first + second
        else:
            one = _make(module, layer, shape)
            x = one(x)
            made += [one] if layer.weight_shapes(shape) else []
        shape = layer.output_shape(shape)
    return x, made


def initial_weights(layers: Iterable[Layer], shape: tuple[int, ...]) -> list[np.ndarray]:
    """One after the other, float32: kernels Glorot uniform, scales and variances 1, biases 0."""
    rng = np.random.RandomState(2)
    arrays: list[np.ndarray] = []
    for layer, of_input in walk(layers, shape):
        shapes = layer.weight_shapes(of_input)
        if layer.kind == "normalization":
            arrays += [np.full(shape, start, np.float32) for shape, start in zip(shapes, (1, 0, 0, 1))]
        elif layer.kind == "embedding":
            arrays.append(rng.uniform(-0.05, 0.05, shapes[0]).astype(np.float32))
        else:
            width = 3 if layer.is_recurrent else 2
            for kernel, *between, bias in zip(*(shapes[i::width] for i in range(width))):
                window = int(np.prod(kernel[:-2]))
                limit = np.sqrt(6 / (window * (kernel[-2] + kernel[-1])))
                arrays.append(rng.uniform(-limit, limit, kernel).astype(np.float32))
                arrays += [(rng.standard_normal(of) / np.sqrt(layer.units)).astype(np.float32) for of in between]
                arrays.append(np.zeros(bias, np.float32))
    return arrays
