"""Blocks of a transformer, put together from other layers."""

from __future__ import annotations

from typing import Any, Unpack

from .. import activations, initializers
from .._graph import SymbolicTensor
from .._types import ActivationLike, InitializerLike, LayerOptions
from ._arguments import checked_rate
from .attention import MultiHeadAttention
from .base import Layer
from .core import Dense, positive_integer
from .merging import Add
from .normalization import LayerNormalization
from .regularization import Dropout

__all__ = ["TransformerBlock"]


class TransformerBlock(Layer):
    """Attention and two dense layers, each with dropout, a sum with what it was given, and layer normalization.

    With `normalize_first` (Xiong et al., 2020), which trains without a warmup of the learning rate::

        x = x + dropout(attention(norm(x)))
        x = x + dropout(dense(activation(dense(norm(x)))))

    and without it as in the first transformer (Vaswani et al., 2017)::

        x = norm(x + dropout(attention(x)))
        x = norm(x + dropout(dense(activation(dense(x)))))

    Parameters
    ----------
    intermediate_dim : int
        Units of the first dense layer, most often four times the channels.
    num_heads : int
        Must divide the channels.
    dropout : float
        Also of the weights of attention.
    activation : str or callable
        Of the first dense layer.
    layer_norm_epsilon : float
    kernel_initializer, bias_initializer : str or Initializer
        Of the dense layers and of attention's projections.
    normalize_first : bool
    use_causal_mask : bool
        Positions see none after their own, as where the next one is to be predicted.
    trainable, name
        As in `Layer`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range; when called, if num_heads does not divide the channels.

    Notes
    -----
    Input and output have the shape (batch, steps, channels). Arguments of the call are ``padding_mask``, of shape (batch,
    steps), with numbers above 0.5 for what is not padding, and ``attention_mask``, as in `MultiHeadAttention`. Without them a
    mask that goes with the input, as that of `Masking`, is obeyed and passed on.

    Examples
    --------
    >>> import fastnet as fn
    >>> block = fn.layers.TransformerBlock(intermediate_dim=64, num_heads=2, use_causal_mask=True)
    >>> block(fn.Input((10, 16))).shape
    (None, 10, 16)
    >>> block.count_params()
    3280
    """

    def __init__(
        self,
        intermediate_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        activation: ActivationLike = "gelu",
        layer_norm_epsilon: float = 1e-5,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        normalize_first: bool = True,
        use_causal_mask: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.intermediate_dim = positive_integer(self._label, "intermediate_dim", intermediate_dim)
        self.num_heads = positive_integer(self._label, "num_heads", num_heads)
        self.dropout = checked_rate(self._label, "dropout", dropout)
        self.activation = activations.get(activation)
        self.layer_norm_epsilon = float(layer_norm_epsilon)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.normalize_first = bool(normalize_first)
        self.use_causal_mask = bool(use_causal_mask)
        self._channels: int | None = None

    def _make_parts(self, channels: int) -> None:
        """The layers, once the number of channels is known."""
        if channels % self.num_heads:
            raise ValueError(f"layer {self._label!r}: {self.num_heads} heads do not divide {channels} channels")
        shared = {"kernel_initializer": self.kernel_initializer, "bias_initializer": self.bias_initializer}
        self.attention_norm = LayerNormalization(epsilon=self.layer_norm_epsilon)
        self.attention = MultiHeadAttention(self.num_heads, channels // self.num_heads, dropout=self.dropout, **shared)
        self.feedforward_norm = LayerNormalization(epsilon=self.layer_norm_epsilon)
        self.intermediate = Dense(self.intermediate_dim, self.activation, **shared)
        self.output_dense = Dense(channels, **shared)
        self.noise = [Dropout(self.dropout) for _ in range(2)] if self.dropout else []
        self._channels = channels

    def _join(self, x: SymbolicTensor, branch: SymbolicTensor, number: int) -> SymbolicTensor:
        return Add()([x, self.noise[number](branch) if self.dropout else branch])

    def call(
        self,
        x: SymbolicTensor,
        *,
        padding_mask: SymbolicTensor | None = None,
        attention_mask: SymbolicTensor | None = None,
    ) -> SymbolicTensor:
        if len(x.sample_shape) != 2:
            raise ValueError(f"layer {self._label!r}: expected an input of shape (batch, steps, channels), got {x.shape}")
        if self._channels is None:
            self._make_parts(x.sample_shape[-1])
        options: dict[str, Any] = {"use_causal_mask": self.use_causal_mask}
        if padding_mask is not None:
            options["value_mask"] = padding_mask
        if attention_mask is not None:
            options["attention_mask"] = attention_mask
        first = self.normalize_first
        y = self.attention_norm(x) if first else x
        x = self._join(x, self.attention(y, y, **options), 0)
        x = x if first else self.attention_norm(x)
        y = self.output_dense(self.intermediate(self.feedforward_norm(x) if first else x))
        x = self._join(x, y, 1)
        return x if first else self.feedforward_norm(x)
