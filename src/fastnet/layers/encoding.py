"""Layers that make features of categories and of ranges of numbers, and Pipeline, which is several layers as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np

from .._formulas import ops
from .._graph import SymbolicTensor
from .._types import LayerOptions
from ._arguments import number_in, one_of
from .base import Layer
from .core import positive_integer

__all__ = ["CategoryEncoding", "Discretization", "Pipeline"]


def _not_sparse(layer: Layer, sparse: bool) -> bool:
    if sparse:
        raise ValueError(f"{layer._label}: sparse must be False")
    return False


def _encode(layer: Layer, x: SymbolicTensor, output_mode: str, depth: int) -> SymbolicTensor:
    """Class numbers as Keras encodes them: one-hot for each, or all of a row together."""
    if output_mode == "one_hot":
        return ops.one_hot(ops.squeeze(x, -1) if x.shape[-1] == 1 else x, depth)
    if len(x.sample_shape) != 1:
        raise ValueError(f"layer {layer._label!r}: {output_mode} takes an input of shape (batch, n), got shape {x.shape}")
    each = ops.one_hot(x, depth)
    return ops.max(each, axis=-2) if output_mode == "multi_hot" else ops.sum(each, axis=-2)


class CategoryEncoding(Layer):
    """Class numbers as features.

    Parameters
    ----------
    num_tokens : int
        How many classes there are: numbers are from 0 to one less. Others are none of the classes, and all 0.
    output_mode : {"multi_hot", "one_hot", "count"}
        Of (batch, n) numbers: (batch, num_tokens), 1 where a class is among them; (batch, n, num_tokens), or (batch, num_tokens)
        where n is 1, each for itself; (batch, num_tokens), how often each is among them.
    sparse : bool
        False.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> model = fn.Sequential([fn.Input((3,)), fn.layers.CategoryEncoding(4, "count")])
    >>> model.predict([[0, 2, 2]]).tolist()
    [[1.0, 0.0, 2.0, 0.0]]
    """

    def __init__(
        self,
        num_tokens: int | None = None,
        output_mode: str = "multi_hot",
        sparse: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        if num_tokens is None:
            raise ValueError(f"{self._label}: num_tokens must be given: how many classes there are")
        self.num_tokens = positive_integer(self._label, "num_tokens", num_tokens)
        self.output_mode = one_of(self._label, "output_mode", output_mode, ("multi_hot", "one_hot", "count"))
        self.sparse = _not_sparse(self, sparse)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        if not x.sample_shape:
            raise ValueError(f"layer {self._label!r}: expected an input of shape (batch, n), got shape {x.shape}")
        return _encode(self, x, self.output_mode, self.num_tokens)


class Discretization(Layer):
    """Numbers as the number of the range that they are in: 0 below the first boundary, 1 from there up to the second, and so on.

    Parameters
    ----------
    bin_boundaries : sequence of float
        From small to large; n of them are between n + 1 ranges.
    num_bins : optional
        None: boundaries are given. (Keras makes them of data; here ``np.quantile(data, np.arange(1, n) / n)`` does.)
    epsilon : float
        Accepted as Keras does.
    output_mode : {"int", "one_hot", "multi_hot", "count"}
        The numbers of the ranges, or these as `CategoryEncoding` has them.
    sparse : bool
        False.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> model = fn.Sequential([fn.Input((4,)), fn.layers.Discretization([0.0, 1.0, 2.0])])
    >>> model.predict([[-1.5, 1.0, 3.4, 0.5]]).tolist()
    [[0.0, 2.0, 3.0, 1.0]]
    """

    def __init__(
        self,
        bin_boundaries: Sequence[float] | None = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        sparse: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        if bin_boundaries is None or num_bins is not None:
            raise ValueError(
                f"{self._label}: bin_boundaries must be given, and not num_bins: for n ranges with as much data each, "
                "np.quantile(data, np.arange(1, n) / n)"
            )
        boundaries = np.asarray(bin_boundaries, np.float64)
        if boundaries.ndim != 1 or not len(boundaries) or not (np.diff(boundaries) > 0).all():
            raise ValueError(f"{self._label}: bin_boundaries must grow from one to the next, got {bin_boundaries!r}")
        self.bin_boundaries = boundaries.tolist()
        self.num_bins = None
        self.epsilon = number_in(self._label, "epsilon", epsilon, 0.0, 1.0)
        self.output_mode = one_of(self._label, "output_mode", output_mode, ("int", "one_hot", "multi_hot", "count"))
        self.sparse = _not_sparse(self, sparse)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        number = ops.sum(ops.expand_dims(x, -1) >= np.array(self.bin_boundaries), axis=-1)
        return number if self.output_mode == "int" else _encode(self, number, self.output_mode, len(self.bin_boundaries) + 1)


class Pipeline(Layer):
    """Layers one after another, as one.

    Parameters
    ----------
    layers : list of Layer
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> layer = fn.layers.Pipeline([fn.layers.Resizing(32, 32), fn.layers.RandomFlip("horizontal")])
    >>> layer(fn.Input((28, 28, 3))).shape
    (None, 32, 32, 3)
    """

    def __init__(self, layers: Sequence[Layer], **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        if not isinstance(layers, (list, tuple)) or not layers or not all(isinstance(layer, Layer) for layer in layers):
            raise TypeError(f"{self._label}: layers must be a list of layers, got {layers!r}")
        self.layers = list(layers)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        for layer in self.layers:
            x = layer(x)
        return x
