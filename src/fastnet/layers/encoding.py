"""Layers that make features of categories and of ranges of numbers, and Pipeline, which is several layers as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np

from .. import _data
from .._formulas import ops
from .._graph import SymbolicTensor
from .._types import LayerOptions
from ._arguments import number_in, one_of
from .base import Layer
from .core import positive_integer
from .host import HostLayer, encode, encode_rows, not_sparse, whole_number
from .lookup import batches_of

__all__ = ["CategoryEncoding", "Discretization", "Pipeline"]


class CategoryEncoding(HostLayer):
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
        self.sparse = not_sparse(self, sparse)

    def _check_weights(self, count_weights: Any) -> None:
        if count_weights is not None and self.output_mode != "count":
            raise ValueError(f"layer {self._label!r}: count_weights need output_mode='count', got {self.output_mode!r}")

    def compute(self, inputs: Any, count_weights: Any = None) -> np.ndarray:
        self._check_weights(count_weights)
        given = np.asarray(inputs)
        whole = given.dtype.kind != "f" or given == np.trunc(given)
        numbers = self.integers_of(inputs if whole is True else np.where(whole, given, -1.0))
        weights = None if count_weights is None else _data.as_array(count_weights, f"layer {self._label!r}: count_weights")
        return encode_rows(numbers if numbers.ndim else numbers[None], self.output_mode, self.num_tokens, weights=weights)

    def call(self, x: SymbolicTensor, count_weights: SymbolicTensor | None = None) -> SymbolicTensor:
        """The features of class numbers; with "count" and weights of the shape of `x`, the sums of these."""
        if not x.sample_shape:
            raise ValueError(f"layer {self._label!r}: expected an input of shape (batch, n), got shape {x.shape}")
        self._check_weights(count_weights)
        return encode(self, x, self.output_mode, self.num_tokens, count_weights)


class Discretization(HostLayer):
    """Numbers as the number of the range that they are in: 0 below the first boundary, 1 from there up to the second, and so on.

    Parameters
    ----------
    bin_boundaries : sequence of float, optional
        From small to large; n of them are between n + 1 ranges.
    num_bins : int, optional
        How many ranges, with as much data in each: `adapt` learns the boundaries.
    epsilon : float
        How exactly: quantiles are those of ``1 / epsilon`` numbers that stand for the data.
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
        if (bin_boundaries is None) == (num_bins is None):
            raise ValueError(
                f"{self._label}: either bin_boundaries or num_bins must be given, got {bin_boundaries!r} and {num_bins!r}"
            )
        self.num_bins = None if num_bins is None else whole_number(self._label, "num_bins", num_bins, 2)
        self.bin_boundaries = None if bin_boundaries is None else self._checked(bin_boundaries)
        self.epsilon = number_in(self._label, "epsilon", epsilon, 1e-6, 1.0)
        self.output_mode = one_of(self._label, "output_mode", output_mode, ("int", "one_hot", "multi_hot", "count"))
        self.sparse = not_sparse(self, sparse)
        self.reset_state()

    def _checked(self, given: Any) -> list[float]:
        boundaries = np.asarray(given, np.float64)
        if boundaries.ndim != 1 or not len(boundaries) or not (np.diff(boundaries) > 0).all():
            raise ValueError(f"{self._label}: bin_boundaries must grow from one to the next, got {given!r}")
        return boundaries.tolist()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """The layer whose `get_config` gave `config`, with the boundaries that it has learnt."""
        found = dict(config)
        learnt = found.get("bin_boundaries") if found.get("num_bins") is not None else None
        if learnt is not None:
            found["bin_boundaries"] = None
        layer = super().from_config(found)
        if learnt is not None:
            layer.bin_boundaries = [float(boundary) for boundary in learnt]
        return layer

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learns the boundaries: about as much of the data is in each range.

        Parameters
        ----------
        data : array_like or iterable of array_like
            Numbers, or batches of them.
        steps : int, optional
            Batches to look at. Default: all.

        Raises
        ------
        ValueError
            If the boundaries were given, or data are empty or not finite.
        RuntimeError
            If the layer is a part of a model already.
        """
        self.reset_state()
        for batch, _ in batches_of(data, steps):
            self.update_state(batch)
        self.finalize_state()

    def reset_state(self) -> None:
        """Forgets the numbers that were seen."""
        self._summary = (np.empty(0, np.float32), np.empty(0, np.float32))

    def update_state(self, data: Any) -> None:
        """Adds the numbers of a batch to what stands for those seen."""
        if self.num_bins is None:
            raise ValueError(f"layer {self._label!r} was given its bin_boundaries, it cannot be adapted")
        values = np.sort(_data.as_array(data, f"layer {self._label!r}: data").astype(np.float32), axis=None)
        if not len(values) or not np.isfinite(values).all():
            raise ValueError(f"layer {self._label!r}: data must be finite numbers, at least one")
        step = max(len(values) * self.epsilon, 1.0)
        values = values[int(step - 1) :: int(step)]
        known = np.concatenate([values, self._summary[0]]), np.concatenate([np.full(len(values), step), self._summary[1]])
        order = np.argsort(known[0])
        self._summary = _compressed(known[0][order], known[1][order], self.epsilon)

    def finalize_state(self) -> None:
        """Makes the boundaries of what stands for the numbers seen."""
        if self.num_bins is None or not len(self._summary[0]):
            return
        if self._first_call is not None:
            raise RuntimeError(f"layer {self._label!r} is a part of a model already: adapt it before it is called")
        self.bin_boundaries = _compressed(*self._summary, 1.0 / self.num_bins)[0][:-1].astype(np.float64).tolist()

    def _known(self) -> np.ndarray:
        if self.bin_boundaries is None:
            raise RuntimeError(
                f"layer {self._label!r} does not know its boundaries yet: call its adapt(data), or give bin_boundaries"
            )
        return np.array(self.bin_boundaries)

    def compute(self, inputs: Any) -> np.ndarray:
        known = self._known()
        values = _data.as_array(inputs, f"layer {self._label!r}: its input") if np.ndim(inputs) else np.asarray(inputs)
        numbers = np.asarray(np.digitize(values, known))
        if self.output_mode == "int":
            return numbers
        return encode_rows(numbers if numbers.ndim else numbers[None], self.output_mode, len(known) + 1)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        known = self._known()
        number = ops.sum(ops.expand_dims(x, -1) >= known, axis=-1) if len(known) else 0 * x
        return number if self.output_mode == "int" else encode(self, number, self.output_mode, len(known) + 1)


def _compressed(values: np.ndarray, weights: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """At most ``1 / epsilon`` values that stand for sorted ones, each for as much weight."""
    if len(values) * epsilon < 1:
        return values, weights
    parts = epsilon + np.arange(0.0, 1.0, epsilon)
    sums = np.cumsum(weights)
    reached = np.interp(parts, sums / sums[-1], sums)
    return np.interp(parts, sums / sums[-1], values).astype(np.float32), np.diff(reached, prepend=0.0).astype(np.float32)


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
