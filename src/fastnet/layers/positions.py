"""Where things stand in a sequence: vectors for positions, and rotations."""

from __future__ import annotations

import operator
from typing import Any, ClassVar, Unpack

from .. import initializers
from .._graph import SymbolicTensor
from .._types import InitializerLike, LayerOptions
from .._weights import WeightSpec
from .base import Layer
from .core import positive_integer
from .embedding import Embedding

__all__ = ["PositionEmbedding", "RotaryEmbedding", "SinePositionEncoding", "TokenAndPositionEmbedding"]


def _positive_number(layer: str, argument: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{layer}: {argument} must be a number, got {value!r}") from None
    if not 0 < number < float("inf"):
        raise ValueError(f"{layer}: {argument} must be positive, got {value}")
    return number


def _start(layer: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"layer {layer!r}: start_index must be an integer, got {value!r}") from None


class PositionEmbedding(Layer):
    """A trained vector for each position: ``y[t] = position_embeddings[t]``, as KerasHub's layer of this name.

    The output has the shape of the input, (batch, steps, channels), and is to be added to it.

    Parameters
    ----------
    sequence_length : int
        The longest sequence there may be.
    initializer : str or Initializer
        The weight is ``position_embeddings`` of shape (sequence_length, channels).
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> x = fn.Input((5, 8))
    >>> fn.layers.Add()([x, fn.layers.PositionEmbedding(100)(x)]).shape
    (None, 5, 8)
    """

    supports_masking: ClassVar[bool] = True

    def __init__(
        self, sequence_length: int, initializer: InitializerLike = "glorot_uniform", **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.sequence_length = positive_integer(self._label, "sequence_length", sequence_length)
        self.initializer = initializers.get(initializer)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return self._emit(x, add=False)

    def _emit(self, x: SymbolicTensor, add: bool) -> SymbolicTensor:
        weights = {"position_embeddings": WeightSpec(self.initializer)}
        return self.emit("position_embedding", [x], {"length": self.sequence_length, "add": add}, weights)


class SinePositionEncoding(Layer):
    """Waves of many lengths as vectors of positions (Vaswani et al., 2017), as KerasHub's layer of this name::

        y[t][2 * i] = sin(t * w[i]),  y[t][2 * i + 1] = cos(t * w[i]),  w[i] = max_wavelength ** (-2 * i / channels)

    The output has the shape of the input, (batch, steps, channels), and is to be added to it. An argument ``start_index`` of the
    call is the number of the first position, 0 where it is not given.

    Parameters
    ----------
    max_wavelength : float
        Of the longest wave, over 2 pi.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> model = fn.Sequential([fn.Input((2, 2)), fn.layers.SinePositionEncoding()])
    >>> model.predict([[[5, 5], [5, 5]]]).round(3).tolist()
    [[[0.0, 1.0], [0.8410000205039978, 0.5400000214576721]]]
    """

    supports_masking: ClassVar[bool] = True

    def __init__(self, max_wavelength: float = 10000, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.max_wavelength = _positive_number(self._label, "max_wavelength", max_wavelength)

    def call(self, x: SymbolicTensor, start_index: int = 0) -> SymbolicTensor:
        attributes = {"max_wavelength": self.max_wavelength, "start": _start(self._label, start_index)}
        return self.emit("position_embedding", [x], attributes)


class RotaryEmbedding(Layer):
    """Turns pairs of channels by angles that grow with the position (Su et al., 2021), as KerasHub's layer of this name::

        y[t][i]     = x[t][i] * cos(t * w[i]) - x[t][i + n] * sin(t * w[i])      n = channels / 2
        y[t][i + n] = x[t][i + n] * cos(t * w[i]) + x[t][i] * sin(t * w[i])      w[i] = max_wavelength ** (-i / n) / scaling_factor

    So the product of a query and a key depends on how far apart they are. The input has the shape (batch, steps, channels)
    or (batch, steps, heads, channels). An argument ``start_index`` of the call is the number of the first position, 0 where
    it is not given.

    Parameters
    ----------
    max_wavelength : float
        Of the slowest turn, over 2 pi.
    scaling_factor : float
        Positions count as if they were so many times nearer to each other.
    sequence_axis, feature_axis : int
        Accepted as KerasHub does: the axes of steps and of channels, 1 and the last one.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> model = fn.Sequential([fn.Input((2, 2)), fn.layers.RotaryEmbedding()])
    >>> model.predict([[[1, 0], [1, 0]]]).round(3).tolist()
    [[[1.0, 0.0], [0.5400000214576721, 0.8410000205039978]]]
    """

    supports_masking: ClassVar[bool] = True

    def __init__(
        self,
        max_wavelength: float = 10000,
        scaling_factor: float = 1.0,
        sequence_axis: int = 1,
        feature_axis: int = -1,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.max_wavelength = _positive_number(self._label, "max_wavelength", max_wavelength)
        self.scaling_factor = _positive_number(self._label, "scaling_factor", scaling_factor)
        self.sequence_axis, self.feature_axis = operator.index(sequence_axis), operator.index(feature_axis)

    def call(self, x: SymbolicTensor, start_index: int = 0) -> SymbolicTensor:
        rank = len(x.shape)
        if (self.sequence_axis % rank, self.feature_axis % rank) != (1, rank - 1):
            raise ValueError(
                f"layer {self._label!r}: expected steps on axis 1 and channels on the last one, got sequence_axis="
                f"{self.sequence_axis} and feature_axis={self.feature_axis} for an input of shape {x.shape}"
            )
        attributes = {
            "max_wavelength": self.max_wavelength,
            "scaling_factor": self.scaling_factor,
            "start": _start(self._label, start_index),
        }
        return self.emit("rotary_embedding", [x], attributes)


class TokenAndPositionEmbedding(Layer):
    """The sum of a trained vector for each token and one for each position, as KerasHub's layer of this name::

        y[t] = embeddings[x[t]] + position_embeddings[t]

    Parameters
    ----------
    vocabulary_size : int
        One more than the largest token.
    sequence_length : int
        The longest sequence there may be.
    embedding_dim : int
        Length of the vectors.
    embeddings_initializer : str or Initializer
        Of both tables: (vocabulary_size, embedding_dim) and (sequence_length, embedding_dim).
    mask_zero : bool
        Token 0 is padding, as in `Embedding`.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.layers.TokenAndPositionEmbedding(1000, 20, 16)(fn.Input((20,))).shape
    (None, 20, 16)
    """

    def __init__(
        self,
        vocabulary_size: int,
        sequence_length: int,
        embedding_dim: int,
        embeddings_initializer: InitializerLike = "uniform",
        mask_zero: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = positive_integer(self._label, "vocabulary_size", vocabulary_size)
        self.sequence_length = positive_integer(self._label, "sequence_length", sequence_length)
        self.embedding_dim = positive_integer(self._label, "embedding_dim", embedding_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.mask_zero = bool(mask_zero)
        self.token_embedding = Embedding(vocabulary_size, embedding_dim, self.embeddings_initializer, mask_zero=mask_zero)
        self.position_embedding = _Added(sequence_length, self.embeddings_initializer)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return self.position_embedding(self.token_embedding(x))


class _Added(PositionEmbedding):
    """With the input added."""

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return self._emit(x, add=True)
