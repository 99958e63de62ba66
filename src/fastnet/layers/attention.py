"""Attention: alone, of several heads, and with fewer heads for keys and values than for queries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Unpack

from .. import _core, constraints, initializers, regularizers
from .._graph import SymbolicTensor
from .._types import ConstraintLike, InitializerLike, LayerOptions, RegularizerLike
from .._weights import WeightSpec
from ._arguments import checked_rate, checked_seed
from .base import Layer
from .core import positive_integer, reshape_attributes

__all__ = ["Attention", "GroupQueryAttention", "MultiHeadAttention"]


def _mask_of(tensor: Any) -> SymbolicTensor | None:
    return tensor.mask if isinstance(tensor, SymbolicTensor) else None


class _Attention(Layer):
    """What attention layers have in common."""

    supports_masking: ClassVar[bool] = True

    def _check_tensors(self, masks: Sequence[Any], **tensors: Any) -> list[SymbolicTensor]:
        """ValueError or TypeError unless the tensors are sequences and the masks symbolic; the masks that there are."""
        for name, tensor in tensors.items():
            if not isinstance(tensor, SymbolicTensor) or len(tensor.sample_shape) != 2:
                raise ValueError(
                    f"layer {self._label!r}: expected {name} of shape (batch, steps, channels), "
                    f"got {getattr(tensor, 'shape', tensor)}"
                )
        given = [mask for mask in masks if mask is not None]
        for mask in given:
            if not isinstance(mask, SymbolicTensor):
                raise TypeError(f"layer {self._label!r}: a mask must be a symbolic tensor, got {type(mask).__name__}")
        return given


class _ProjectedAttention(_Attention):
    """What attention layers with projections have in common."""

    def _take_common(
        self,
        dropout: float,
        use_bias: bool,
        sliding_window: int | None,
        flash_attention: bool | None,
        use_gate: bool,
        seed: int | None,
        kernel: Sequence[Any],
        bias: Sequence[Any],
        activity_regularizer: RegularizerLike,
    ) -> None:
        """Checks and stores arguments; kernel and bias: initializer, regularizer and constraint."""
        self.dropout = checked_rate(self._label, "dropout", dropout)
        self.seed = checked_seed(self._label, seed)
        self.use_bias = use_bias
        self.sliding_window = None if sliding_window is None else positive_integer(self._label, "sliding_window", sliding_window)
        if flash_attention not in (None, True, False):
            raise TypeError(f"{self._label}: flash_attention must be None or a bool, got {flash_attention!r}")
        self.flash_attention = flash_attention
        self.use_gate = use_gate
        self.kernel_initializer, self.bias_initializer = initializers.get(kernel[0]), initializers.get(bias[0])
        self.kernel_regularizer, self.bias_regularizer = regularizers.get(kernel[1]), regularizers.get(bias[1])
        self.kernel_constraint, self.bias_constraint = constraints.get(kernel[2]), constraints.get(bias[2])
        self.activity_regularizer = regularizers.get(activity_regularizer)

    def _project(
        self, x: SymbolicTensor, name: str, inputs: Sequence[int], units: Sequence[int], activation: int | None = None
    ) -> SymbolicTensor:
        """A dense operation, whose weights are as Keras has them: (*inputs, *units) and units."""
        initializer = self.kernel_initializer
        if isinstance(initializer, initializers.VarianceScaling):
            n, rank = len(inputs), len(inputs) + len(units)
            initializer = initializer.for_axes(range(n), range(n, rank))
        weights = {
            f"{name}/kernel": WeightSpec(initializer, self.kernel_regularizer, True, self.kernel_constraint, (*inputs, *units))
        }
        if self.use_bias:
            weights[f"{name}/bias"] = WeightSpec(
                self.bias_initializer, self.bias_regularizer, True, self.bias_constraint, tuple(units)
            )
        attributes: dict[str, float] = {"units": math.prod(units), "use_bias": self.use_bias}
        if activation is not None:
            attributes["activation"] = activation
        return self.regularize(self.emit("dense", [x], attributes, weights))

    def _compute(
        self,
        query: SymbolicTensor,
        value: SymbolicTensor,
        key: SymbolicTensor | None,
        value_mask: SymbolicTensor | None,
        key_mask: SymbolicTensor | None,
        masks: Sequence[SymbolicTensor | None],
        use_causal_mask: bool,
        return_attention_scores: bool,
        heads: tuple[int, int],
        sizes: tuple[int, int],
        output_shape: Sequence[int],
    ) -> SymbolicTensor | list[SymbolicTensor]:
        """heads: of queries and of keys; sizes: of a head of keys and of one of values."""
        masks = [*masks, *(_mask_of(tensor) if mask is None else mask for tensor, mask in ((value, value_mask), (key, key_mask)))]
        key = value if key is None else key
        given = self._check_tensors(masks, query=query, value=value, key=key)
        gate = None
        q = self._project(query, "query", query.sample_shape[1:], (heads[0], sizes[0]))
        k = self._project(key, "key", key.sample_shape[1:], (heads[1], sizes[0]))
        if self.use_gate:
            sigmoid = int(_core.activation_index("sigmoid"))
            gate = self._project(query, "gate", query.sample_shape[1:], (heads[0], sizes[1]), sigmoid)
        v = self._project(value, "value", value.sample_shape[1:], (heads[1], sizes[1]))
        attributes = {
            "heads": heads[0],
            "key_heads": heads[1],
            "causal": bool(use_causal_mask),
            "window": self.sliding_window or 0,
            "rate": self.dropout,
            "scores": bool(return_attention_scores),
        }
        if self.seed is not None:
            attributes["seed"] = self.seed
        y = self.emit("attention", [q, k, v, *given], attributes)
        scores = y.operation.outputs[1:]
        if gate is not None:
            y = self.emit("multiply", [y, gate])
        y = self._project(y, "attention_output", (heads[0], sizes[1]), output_shape)
        if len(output_shape) > 1:
            y = self.emit("reshape", [y], reshape_attributes((query.sample_shape[0], *output_shape), self._label))
        return [y, *scores] if return_attention_scores else y


class Attention(_Attention):
    """Attention without projections (Luong et al., 2015)::

        weights = softmax(scale * query @ key.T)
        output = weights @ value

    Called on a list, ``layer([query, value])`` or ``layer([query, value, key])``, each of shape (batch, steps, channels); without
    a key, the values are the keys too. The scores are not divided by the root of their size: `MultiHeadAttention` does that.

    Parameters
    ----------
    use_scale : bool
        Whether scale is trained, from 1, or is 1.
    score_mode : {"dot"}
        How a score is made of a query and a key. Keras has "concat" too, which is not available.
    dropout : float
        Share of the weights that are set to 0 in training.
    seed : int, optional
        Of dropout, as in `Dropout`.
    trainable, name
        As in `Layer`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range; when called, if shapes do not fit.

    Notes
    -----
    Further arguments of the call:

    ``mask``
        A list of the masks of query and value, of shape (batch, steps), either of them None: numbers above 0.5 mean steps that
        count. The output, and the weights, are 0 in steps of the query that do not. Where it is not given, the masks are those that go with query
        and value, as those of `Masking`. The output has the mask of the query that goes with it.
    ``use_causal_mask``
        A query sees no keys after its own place.
    ``return_attention_scores``
        Whether to return a list of two: the output, and the weights, before dropout, of shape (batch, queries, keys).

    Examples
    --------
    >>> import fastnet as fn
    >>> query, value = fn.Input((4, 8)), fn.Input((6, 8))
    >>> output, weights = fn.layers.Attention()([query, value], return_attention_scores=True)
    >>> output.shape, weights.shape
    ((None, 4, 8), (None, 4, 6))
    """

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        if score_mode != "dot":
            raise ValueError(f"{self._label}: score_mode must be 'dot', got {score_mode!r}")
        self.use_scale, self.score_mode = bool(use_scale), score_mode
        self.dropout = checked_rate(self._label, "dropout", dropout)
        self.seed = checked_seed(self._label, seed)

    def call(
        self,
        query: SymbolicTensor,
        value: SymbolicTensor,
        key: SymbolicTensor | None = None,
        *,
        mask: Sequence[SymbolicTensor | None] | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> SymbolicTensor | list[SymbolicTensor]:
        if mask is not None and not (isinstance(mask, (list, tuple)) and len(mask) in (2, 3)):
            raise ValueError(f"layer {self._label!r}: mask must be a list of the masks of query and value, got {mask!r}")
        query_mask, value_mask = (_mask_of(query), _mask_of(value)) if mask is None else mask[:2]
        key = value if key is None else key
        self._check_tensors([query_mask], query=query, value=value, key=key)
        masks = self._check_tensors([value_mask])
        if query_mask is not None:  # a query that does not count sees no key
            column = reshape_attributes((query.sample_shape[0], 1), self._label)
            masks.append(self.emit("reshape", [query_mask], column))
        if self.use_scale:
            query = self.emit("scale", [query], None, {"scale": WeightSpec(initializers.get("ones"), shape=())})
        attributes = {
            "scale": 1.0,
            "causal": bool(use_causal_mask),
            "rate": self.dropout,
            "scores": bool(return_attention_scores),
        }
        if self.seed is not None:
            attributes["seed"] = self.seed
        y = self.emit("attention", [query, key, value, *masks], attributes)
        if not return_attention_scores:
            return y
        steps = reshape_attributes((query.sample_shape[0], key.sample_shape[0]), self._label)
        return [y, self.emit("reshape", y.operation.outputs[1:], steps)]


class MultiHeadAttention(_ProjectedAttention):
    """Attention of several heads (Vaswani et al., 2017).

    For each head, with projections of its own::

        q = query @ query_kernel + query_bias;  k, v likewise of key and value
        weights = softmax(q @ k.T / sqrt(key_dim))
        output = concatenation over the heads of weights @ v, projected to output_shape

    Parameters
    ----------
    num_heads : int
    key_dim : int
        Size of a head, of queries and keys.
    value_dim : int, optional
        Size of a head of values; None: key_dim.
    dropout : float
        Share of the weights that are set to 0 in training.
    use_bias : bool
        Of all projections.
    output_shape : int or sequence of int, optional
        Of one step of the output; None: the channels of the query.
    attention_axes : optional
        Accepted as Keras does: None, 1 or (1,), the axis of steps.
    sliding_window : int, optional
        Queries see keys less than this many steps away from them.
    flash_attention : bool, optional
        Accepted as Keras does: the array of all weights is never made.
    kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer, \
kernel_constraint, bias_constraint
        Of each projection, as in `Dense`. The kernels have the shapes (channels, num_heads, key_dim), or value_dim, and
        (num_heads, value_dim, *output_shape).
    use_gate : bool
        The output of each head is multiplied by ``sigmoid(query @ gate_kernel + gate_bias)`` (Qiu et al., 2025).
    seed : int, optional
        Of dropout, as in `Dropout`.
    trainable, name
        As in `Layer`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range; when called, if shapes do not fit.

    Notes
    -----
    Called as ``layer(query, value)`` or ``layer(query, value, key)``, each of shape (batch, steps, channels); without a key,
    the values are the keys too. Further arguments of the call:

    ``attention_mask``
        Of shape (batch, queries, keys), (batch, 1, keys) or (batch, keys): numbers above 0.5 mean keys that count.
    ``key_mask``, ``value_mask``
        Of shape (batch, keys): which keys are more than padding. Where they are not given, they are the masks that go with
        key and value, as those of `Masking`. The output has the mask of the query.
    ``use_causal_mask``
        A query sees no keys after its own place.
    ``return_attention_scores``
        Whether to return a list of two: the output, and the weights, before dropout, of shape (batch, heads, queries, keys).

    A key counts if no mask is against it. A query that sees no key gives what a sum of no values gives: the output's bias.

    Weights are made for a block of queries and keys at a time and, for the gradients, made again (Dao et al., 2022); the array
    of all of them is only made where it is to be returned.

    Examples
    --------
    >>> import fastnet as fn
    >>> x = fn.Input((10, 16))
    >>> layer = fn.layers.MultiHeadAttention(num_heads=2, key_dim=8)
    >>> layer(x, x, use_causal_mask=True).shape
    (None, 10, 16)
    >>> [weight.shape for weight in layer.weights[:2]]
    [(16, 2, 8), (2, 8)]
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | Sequence[int] | None = None,
        attention_axes: Any = None,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        activity_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = positive_integer(self._label, "num_heads", num_heads)
        self.key_dim = positive_integer(self._label, "key_dim", key_dim)
        self.value_dim = None if value_dim is None else positive_integer(self._label, "value_dim", value_dim)
        if isinstance(output_shape, Sequence) and not isinstance(output_shape, str):
            self.output_shape: Any = tuple(positive_integer(self._label, "output_shape", size) for size in output_shape)
        else:
            self.output_shape = None if output_shape is None else positive_integer(self._label, "output_shape", output_shape)
        if attention_axes not in (None, 1, (1,), [1]):
            raise ValueError(f"{self._label}: attention_axes must be None or 1, the axis of steps, got {attention_axes!r}")
        self.attention_axes = attention_axes
        self._take_common(
            dropout,
            use_bias,
            sliding_window,
            flash_attention,
            use_gate,
            seed,
            (kernel_initializer, kernel_regularizer, kernel_constraint),
            (bias_initializer, bias_regularizer, bias_constraint),
            activity_regularizer,
        )

    def call(
        self,
        query: SymbolicTensor,
        value: SymbolicTensor,
        key: SymbolicTensor | None = None,
        *,
        value_mask: SymbolicTensor | None = None,
        key_mask: SymbolicTensor | None = None,
        attention_mask: SymbolicTensor | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> SymbolicTensor | list[SymbolicTensor]:
        output_shape = query.sample_shape[1:] if self.output_shape is None else self.output_shape
        return self._compute(
            query,
            value,
            key,
            value_mask,
            key_mask,
            [attention_mask],
            use_causal_mask,
            return_attention_scores,
            (self.num_heads, self.num_heads),
            (self.key_dim, self.value_dim or self.key_dim),
            (output_shape,) if isinstance(output_shape, int) else output_shape,
        )


class GroupQueryAttention(_ProjectedAttention):
    """Attention in which groups of query heads share the keys and values of one head (Ainslie et al., 2023).

    Parameters
    ----------
    head_dim : int
        Size of a head.
    num_query_heads : int
    num_key_value_heads : int
        As many keys and values are computed; 1: multi-query attention. Divides num_query_heads.
    dropout, use_bias, sliding_window, flash_attention
        As in `MultiHeadAttention`.
    kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer, \
kernel_constraint, bias_constraint
        Of each projection, as in `Dense`.
    use_gate, seed
        As in `MultiHeadAttention`.
    trainable, name
        As in `Layer`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range; when called, if shapes do not fit.

    Notes
    -----
    Called as `MultiHeadAttention`; the output has as many channels as the query.

    Examples
    --------
    >>> import fastnet as fn
    >>> x = fn.Input((10, 16))
    >>> layer = fn.layers.GroupQueryAttention(head_dim=4, num_query_heads=4, num_key_value_heads=2)
    >>> layer(x, x).shape, layer.weights[2].shape
    ((None, 10, 16), (16, 2, 4))
    """

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        activity_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.head_dim = positive_integer(self._label, "head_dim", head_dim)
        self.num_query_heads = positive_integer(self._label, "num_query_heads", num_query_heads)
        self.num_key_value_heads = positive_integer(self._label, "num_key_value_heads", num_key_value_heads)
        if self.num_query_heads % self.num_key_value_heads:
            raise ValueError(
                f"{self._label}: num_query_heads must be a multiple of num_key_value_heads, "
                f"got {num_query_heads} and {num_key_value_heads}"
            )
        self._take_common(
            dropout,
            use_bias,
            sliding_window,
            flash_attention,
            use_gate,
            seed,
            (kernel_initializer, kernel_regularizer, kernel_constraint),
            (bias_initializer, bias_regularizer, bias_constraint),
            activity_regularizer,
        )

    def call(
        self,
        query: SymbolicTensor,
        value: SymbolicTensor,
        key: SymbolicTensor | None = None,
        *,
        value_mask: SymbolicTensor | None = None,
        key_mask: SymbolicTensor | None = None,
        attention_mask: SymbolicTensor | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> SymbolicTensor | list[SymbolicTensor]:
        return self._compute(
            query,
            value,
            key,
            value_mask,
            key_mask,
            [attention_mask],
            use_causal_mask,
            return_attention_scores,
            (self.num_query_heads, self.num_key_value_heads),
            (self.head_dim, self.head_dim),
            query.sample_shape[1:],
        )
