"""Layers that have another one: TimeDistributed, on each step of a sequence."""

from __future__ import annotations

from typing import Unpack

from .._formulas import ops
from .._graph import SymbolicTensor
from .._types import LayerOptions
from . import activations, regularization
from .base import Layer
from .core import Activation, ActivityRegularization, Dense, Flatten, Reshape
from .embedding import Embedding
from .normalization import BatchNormalization, LayerNormalization, RMSNormalization
from .scaling import Rescaling

__all__ = ["TimeDistributed", "Wrapper"]

#: Layers that do the same with each position, whatever axes lie before the last one.
_BY_POSITION = (
    Activation,
    ActivityRegularization,
    BatchNormalization,
    Dense,
    Embedding,
    LayerNormalization,
    RMSNormalization,
    Rescaling,
    regularization.AlphaDropout,
    regularization.Dropout,
    regularization.GaussianDropout,
    regularization.GaussianNoise,
    *(getattr(activations, name) for name in activations.__all__),
)


class Wrapper(Layer):
    """Base of layers that have another one: a subclass has `call`, which calls `self.layer`.

    Parameters
    ----------
    layer : Layer
    trainable, name
        As in `Layer`.

    Raises
    ------
    TypeError
        If it is no layer.

    Examples
    --------
    >>> import fastnet as fn
    >>> class Twice(fn.layers.Wrapper):
    ...     def call(self, x):
    ...         return self.layer(self.layer(x))
    >>> Twice(fn.layers.Dense(4))(fn.Input((4,))).shape
    (None, 4)
    """

    def __init__(self, layer: Layer, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        if not isinstance(layer, Layer):
            raise TypeError(f"{self._label}: expected a layer, got {layer!r}")
        self.layer = layer


class TimeDistributed(Wrapper):
    """Applies a layer to each step of a sequence, with the same weights.

    Most layers of fastnet that work on features do so for each position of a sequence anyway, and computing with
    ``TimeDistributed(Dense(3))`` is computing with ``Dense(3)``. Others (convolution, pooling, recurrent layers, models) are called
    for one step after another: a network of as many branches as there are steps.

    Parameters
    ----------
    layer : Layer
    trainable, name
        As in `Layer`.

    Raises
    ------
    TypeError
        If it is no layer.

    Examples
    --------
    >>> import fastnet as fn
    >>> x = fn.Input((20, 4, 3))
    >>> features = fn.layers.TimeDistributed(fn.layers.Flatten())(x)
    >>> fn.layers.TimeDistributed(fn.layers.Dense(5))(features).shape
    (None, 20, 5)
    """

    supports_masking = True

    def __init__(self, layer: Layer, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(layer, **kwargs)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        if len(x.sample_shape) < 1 + (not isinstance(self.layer, Embedding)):
            raise ValueError(f"layer {self._label!r} takes sequences, got an input of shape {x.shape}")
        if isinstance(self.layer, _BY_POSITION):
            return self.layer(x)
        if not isinstance(self.layer, (Flatten, Reshape)):
            return ops.stack([self.layer(x[:, t]) for t in range(x.sample_shape[0])], axis=1)
        shape = (-1,) if isinstance(self.layer, Flatten) else self.layer.target_shape
        return Reshape((x.sample_shape[0], *shape), name="reshape")(x)
