"""Layers that are formulas of `fastnet.ops`, with weights or without."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from .. import activations, constraints, initializers, regularizers
from .._formulas import ops
from .._graph import SymbolicTensor
from .._types import ActivationLike, ConstraintLike, InitializerLike, LayerOptions, RegularizerLike
from ._arguments import checked_rate, checked_seed, number_in
from .attention import _Attention, _mask_of
from .base import Layer
from .embedding import Embedding

__all__ = ["AdditiveAttention", "EinsumDense", "Identity", "PReLU", "ReversibleEmbedding", "UnitNormalization"]


class Identity(Layer):
    """``x``: a place in a network that does nothing.

    Parameters
    ----------
    trainable, name
        As in `Layer`.
    """

    supports_masking = True

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return self._view(x)


class UnitNormalization(Layer):
    """Vectors of length 1: ``x / sqrt(sum(x**2, axis))``. A vector of zeros stays what it is.

    Parameters
    ----------
    axis : int or sequence of int
        The axes of a vector, as Keras counts them: axis 0 is the batch.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.Sequential([fn.Input((2,)), fn.layers.UnitNormalization()]).predict([[3.0, 4.0]]).round(3).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """

    supports_masking = True

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        try:
            self.axis = [operator.index(one) for one in axis] if isinstance(axis, (list, tuple)) else operator.index(axis)
        except TypeError:
            raise TypeError(f"{self._label}: axis must be an integer or a list of integers, got {axis!r}") from None

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return x * ops.rsqrt(ops.maximum(ops.sum(x**2, axis=self.axis, keepdims=True), 1e-24))


class PReLU(Layer):
    """``x`` where positive, else ``alpha * x``, with an alpha that is trained for each feature (He et al., 2015).

    Parameters
    ----------
    alpha_initializer : str or Initializer
        The weight is ``alpha`` of the shape of a sample.
    alpha_regularizer : str or Regularizer, optional
    alpha_constraint : str or Constraint, optional
    shared_axes : int or sequence of int, optional
        The axes along which alpha is the same, from 1 on: (1, 2) for one alpha for each channel of an image.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> layer = fn.layers.PReLU(shared_axes=[1, 2])
    >>> layer(fn.Input((28, 28, 16))).shape, layer.alpha.shape
    ((None, 28, 28, 16), (1, 1, 16))
    """

    supports_masking = True

    def __init__(
        self,
        alpha_initializer: InitializerLike = "Zeros",
        alpha_regularizer: RegularizerLike | None = None,
        alpha_constraint: ConstraintLike | None = None,
        shared_axes: int | Sequence[int] | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        axes = [] if shared_axes is None else shared_axes if isinstance(shared_axes, (list, tuple)) else [shared_axes]
        self.shared_axes = None if shared_axes is None else [operator.index(axis) for axis in axes]

    def build(self, input_shape: Any) -> None:
        shape = list(input_shape[1:])
        for axis in self.shared_axes or ():
            if not 1 <= axis <= len(shape):
                raise ValueError(f"layer {self._label!r}: shared_axes {self.shared_axes} of an input of shape {input_shape}")
            shape[axis - 1] = 1
        self.alpha = self.add_weight(
            shape, self.alpha_initializer, regularizer=self.alpha_regularizer, constraint=self.alpha_constraint, name="alpha"
        )

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return ops.maximum(x, 0.0) + ops.minimum(x, 0.0) * self.alpha


class AdditiveAttention(_Attention):
    """Attention whose scores are sums (Bahdanau et al., 2015)::

        scores[i, j] = sum(scale * tanh(query[i] + key[j]))
        output = softmax(scores) @ value

    Called as `Attention` is, on a list, ``layer([query, value])`` or ``layer([query, value, key])``; the arguments of its call are
    the same.

    Parameters
    ----------
    use_scale : bool
        Whether scale, of one number for each channel, is trained, or is 1.
    dropout : float
        Share of the weights that are set to 0 in training.
    seed : int, optional
        Of dropout, as in `Dropout`.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> query, value = fn.Input((4, 8)), fn.Input((6, 8))
    >>> fn.layers.AdditiveAttention()([query, value]).shape
    (None, 4, 8)
    """

    def __init__(
        self, use_scale: bool = True, dropout: float = 0.0, *, seed: int | None = None, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.use_scale = bool(use_scale)
        self.dropout = checked_rate(self._label, "dropout", dropout)
        self.seed = checked_seed(self._label, seed)

    def build(self, input_shape: Any) -> None:
        if self.use_scale:
            self.scale = self.add_weight((input_shape[0][-1],), "glorot_uniform", name="scale")

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
        self._check_tensors([query_mask, value_mask], query=query, value=value, key=key)
        scores = ops.tanh(ops.expand_dims(query, 2) + ops.expand_dims(key, 1))
        scores = ops.sum(scores * self.scale if self.use_scale else scores, axis=-1)
        if value_mask is not None:
            scores = scores - 1e9 * ops.expand_dims(value_mask <= 0.5, 1)
        if use_causal_mask:
            later = np.triu(np.ones((query.sample_shape[0], key.sample_shape[0])), 1)
            scores = (
                ops.where(later, -1e9, scores) if value_mask is None else ops.minimum(scores, -1e9 * later + 1e8 * (1 - later))
            )
        weights = dropped = ops.softmax(scores)
        if self.dropout:
            attributes = {"rate": self.dropout} if self.seed is None else {"rate": self.dropout, "seed": self.seed}
            dropped = self.emit("dropout", [weights], attributes)
        y = dropped @ value
        if query_mask is not None:
            y = y * ops.expand_dims(query_mask > 0.5, -1)
        return [y, weights] if return_attention_scores else y


_EQUATIONS = (
    r"([a-zA-Z]+),([a-zA-Z]+)->([a-zA-Z]+)",
    r"0([a-zA-Z]+),([a-zA-Z]+)->0([a-zA-Z]+)",
    r"([a-zA-Z]{2,})0,([a-zA-Z]+)->([a-zA-Z]+)0",
)


class EinsumDense(Layer):
    """`Dense` over any axes, by Einstein's convention: ``y = activation(einsum(equation, x, kernel) + bias)``.

    Parameters
    ----------
    equation : str
        Of inputs with their batch, and the kernel, as ``"abc,cd->abd"``; ``...`` may stand at the beginning of both inputs and
        output, or at the end of both.
    output_shape : int or sequence of int
        Of a sample of the output, without the axes for which ``...`` stands; None for a size that is that of the input.
    activation : str, callable or None
        Name of an activation or one of `fastnet.activations`. None: linear.
    bias_axes : str, optional
        The axes of the output that a bias has. None: there is no bias.
    kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint
        As in `Dense`.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> layer = fn.layers.EinsumDense("abc,cde->abde", output_shape=(None, 4, 8), bias_axes="de")
    >>> layer(fn.Input((10, 16))).shape, [weight.shape for weight in layer.weights]
    ((None, 10, 4, 8), [(16, 4, 8), (4, 8)])
    """

    def __init__(
        self,
        equation: str,
        output_shape: int | Sequence[int | None],
        activation: ActivationLike | None = None,
        bias_axes: str | None = None,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.equation = equation
        self.output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self.activation = activations.get(activation)
        self.bias_axes = bias_axes
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self._labels()

    def _labels(self) -> tuple[str, str, str, int]:
        """Of input, kernel and output, and where ``...`` stands: -1 before, 1 after, 0 nowhere."""
        plain = str(self.equation).replace(" ", "").replace("...", "0")
        for pattern, place in zip(_EQUATIONS, (0, -1, 1)):
            match = re.fullmatch(pattern, plain)
            if match:
                return (*match.groups(), place)  # type: ignore[return-value]
        raise ValueError(
            f"{self._label}: equation must be as 'ab,bc->ac', '...ab,bc->...ac' or 'ab...,bc->ac...', got {self.equation!r}"
        )

    def build(self, input_shape: Any) -> None:
        inputs, kernel, outputs, place = self._labels()
        elided = len(input_shape) - len(inputs)
        if elided < 0 or (elided and not place):
            raise ValueError(f"layer {self._label!r}: equation {self.equation!r} does not fit an input of shape {input_shape}")
        sizes = dict(zip(inputs, input_shape[elided:] if place < 0 else input_shape))
        # With "..." before all, the batch is the first of what it stands for.
        for label, size in zip(
            outputs if place < 0 else outputs[1:], self.output_shape[-len(outputs) :] if place < 0 else self.output_shape
        ):
            known = sizes.get(label)
            if size is not None and known not in (None, size):
                raise ValueError(
                    f"layer {self._label!r}: output_shape {self.output_shape} has {size} for {label!r} of {self.equation!r}, the input "
                    f"of shape {input_shape} {known}"
                )
            if known is None and size is not None:
                sizes[label] = size
        unknown = [label for label in kernel + (self.bias_axes or "") if label in inputs + outputs and sizes.get(label) is None]
        if unknown:
            raise ValueError(
                f"layer {self._label!r}: the size of {unknown[0]!r} in {self.equation!r} follows neither from the input of shape "
                f"{input_shape} nor from output_shape {self.output_shape}"
            )
        initializer = self.kernel_initializer
        if isinstance(initializer, initializers.VarianceScaling):
            axes = [[i for i, label in enumerate(kernel) if (label in outputs) == is_output] for is_output in (False, True)]
            initializer = initializer.for_axes(*axes)
        self.kernel = self.add_weight(
            [sizes[label] for label in kernel],
            initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        self.bias = None
        if self.bias_axes is not None:
            unknown = [label for label in self.bias_axes if label not in outputs]
            if unknown:
                raise ValueError(
                    f"layer {self._label!r}: bias_axes has {unknown[0]!r}, which the output of {self.equation!r} has not"
                )
            labels = outputs[min(map(outputs.find, self.bias_axes)) :]
            shape = [sizes[label] if label in self.bias_axes else 1 for label in labels] + [1] * (elided if place > 0 else 0)
            self.bias = self.add_weight(
                shape, self.bias_initializer, regularizer=self.bias_regularizer, constraint=self.bias_constraint, name="bias"
            )

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        y = ops.einsum(self.equation, x, self.kernel)
        if self.bias is not None:
            y = y + self.bias
        y = self.activation.apply(self, y)
        return self.regularize(y)


class ReversibleEmbedding(Embedding):
    """`Embedding` that also computes the scores of all tokens from vectors: ``layer(x, reverse=True)``.

    Parameters
    ----------
    input_dim, output_dim
        As in `Embedding`.
    tie_weights : bool
        Whether the scores are products with the vectors of the tokens, or with a table of their own, ``reverse_embeddings`` of shape
        (output_dim, input_dim).
    embeddings_initializer, embeddings_regularizer, embeddings_constraint, mask_zero
        As in `Embedding`.
    reverse_dtype : optional
        Accepted as Keras does.
    logit_soft_cap : float, optional
        Scores are ``logit_soft_cap * tanh(scores / logit_soft_cap)``.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> layer, tokens = fn.layers.ReversibleEmbedding(100, 16), fn.Input((5,))
    >>> layer(layer(tokens), reverse=True).shape
    (None, 5, 100)
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: InitializerLike = "uniform",
        embeddings_regularizer: RegularizerLike | None = None,
        embeddings_constraint: ConstraintLike | None = None,
        mask_zero: bool = False,
        reverse_dtype: Any = None,
        logit_soft_cap: float | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            input_dim, output_dim, embeddings_initializer, embeddings_regularizer, embeddings_constraint, mask_zero, **kwargs
        )
        self.tie_weights = bool(tie_weights)
        self.reverse_dtype = reverse_dtype
        if logit_soft_cap is not None:
            logit_soft_cap = number_in(self._label, "logit_soft_cap", logit_soft_cap, 1e-12, math.inf)
        self.logit_soft_cap = logit_soft_cap

    def build(self, input_shape: Any) -> None:
        given = {"regularizer": self.embeddings_regularizer, "constraint": self.embeddings_constraint}
        self.add_weight((self.input_dim, self.output_dim), self.embeddings_initializer, name="embeddings", **given)
        if not self.tie_weights:
            self.add_weight((self.output_dim, self.input_dim), self.embeddings_initializer, name="reverse_embeddings")

    def call(self, x: SymbolicTensor, reverse: bool = False) -> SymbolicTensor:
        if not reverse:
            y = super().call(x)
            (y.mask,) = super().compute_mask(x) or [None]
            return y
        if self.tie_weights:
            y = ops.einsum("...d,vd->...v", x, self._weights["embeddings"])
        else:
            y = ops.einsum("...d,dv->...v", x, self._weights["reverse_embeddings"])
        return y if self.logit_soft_cap is None else ops.tanh(y / self.logit_soft_cap) * self.logit_soft_cap

    def compute_mask(self, *inputs: SymbolicTensor) -> list[SymbolicTensor | None]:
        """None: `call` says."""
        return []
