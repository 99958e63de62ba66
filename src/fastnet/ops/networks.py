"""Formulas of networks: normalisations, attention, cross-entropies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._graph import SymbolicTensor
from ._emission import full_shape, function, is_tensor, normalize_axis
from .elementwise import apply, square  # type: ignore[attr-defined]
from .indexing import one_hot
from .moves import repeat
from .products import einsum
from .reductions import log_softmax, reduce, softmax
from .shapes import reshape_to

__all__ = [
    "batch_normalization", "binary_crossentropy", "categorical_crossentropy", "dot_product_attention", "layer_normalization",
    "rms_normalization", "sparse_categorical_crossentropy",
]  # fmt: skip

#: Keras's default: what probabilities are kept away from 0 and 1 by, and variances from 0.
_EPSILON = 1e-7


def _along(name: str, x: SymbolicTensor, axis: int, numbers: Any) -> Any:
    """Numbers for each place along an axis, so that they are repeated along the others."""
    if is_tensor(numbers):  # of the last axis, or as they are to be repeated
        return numbers
    array = np.asarray(numbers)
    if array.ndim != 1:
        return array
    return array.reshape(-1, *[1] * (len(x.sample_shape) - normalize_axis(name, x, axis) - 1))


@function
def batch_normalization(
    x: Any, mean: Any, variance: Any, axis: int, offset: Any = None, scale: Any = None, epsilon: float = 1e-3
) -> Any:
    """``(x - mean) / sqrt(variance + epsilon) * scale + offset``, each given for the places of an axis; weights for the last one."""
    parts = [None if one is None else _along("batch_normalization", x, axis, one) for one in (mean, variance, offset, scale)]
    if any(is_tensor(one) for one in parts) and normalize_axis("batch_normalization", x, axis) != len(x.sample_shape) - 1:
        raise ValueError("fn.ops.batch_normalization: weights and tensors are for the last axis")
    variance = parts[1]
    if isinstance(variance, np.ndarray):
        found = apply("multiply", apply("subtract", x, parts[0]), 1 / np.sqrt(variance + epsilon))
    else:
        root = apply("sqrt", apply("add", apply("where", 0.0, x, variance), float(epsilon)))
        found = apply("divide", apply("subtract", x, parts[0]), root)
    if parts[3] is not None:
        found = apply("multiply", found, parts[3])
    return found if parts[2] is None else apply("add", found, parts[2])


def _axes(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, (list, tuple)) else axis


@function
def layer_normalization(x: Any, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: float | None = None) -> Any:
    """``(x - mean) / sqrt(variance + epsilon) * gamma + beta`` over axes; epsilon is 1e-7 by default."""
    far = apply("subtract", x, reduce("mean", x, _axes(axis), True))
    variance = reduce("mean", square(far), _axes(axis), True)
    found = apply("multiply", far, apply("rsqrt", apply("add", variance, _EPSILON if epsilon is None else float(epsilon))))
    found = found if gamma is None else apply("multiply", found, gamma)
    return found if beta is None else apply("add", found, beta)


@function
def rms_normalization(x: Any, scale: Any = None, axis: Any = -1, epsilon: float | None = None) -> Any:
    """``x / sqrt(mean(x^2) + epsilon) * scale`` over axes; epsilon is 1e-7 by default."""
    squares = reduce("mean", square(x), _axes(axis), True)
    found = apply("multiply", x, apply("rsqrt", apply("add", squares, _EPSILON if epsilon is None else float(epsilon))))
    return found if scale is None else apply("multiply", found, scale)


@function
def dot_product_attention(
    query: Any, key: Any, value: Any, bias: Any = None, mask: Any = None, scale: float | None = None, is_causal: bool = False,
    flash_attention: bool | None = None, attn_logits_soft_cap: float | None = None,
) -> Any:  # fmt: skip
    """``softmax(scale q k^T + bias) v`` of queries, keys and values (batch, steps, heads, size), where the mask is not 0.

    bias and mask: (batch or 1, heads or 1, queries, keys). Fewer heads of keys and values are repeated. `scale` is ``1 / sqrt(size)`` by
    default; `attn_logits_soft_cap` is c in ``c tanh(x / c)``. `flash_attention` is accepted as Keras does.
    """
    shapes = [one.sample_shape if isinstance(one, SymbolicTensor) else full_shape(one) for one in (query, key, value)]
    if not all(isinstance(one, SymbolicTensor) for one in (query, key, value)) or any(
        len(shape) not in (3, 4) for shape in shapes
    ):
        raise ValueError(f"fn.ops.dot_product_attention takes tensors (batch, steps, heads, size), got {shapes}")
    heads, size = shapes[0][-2:]
    if heads != shapes[1][-2]:
        if heads % shapes[1][-2]:
            raise ValueError(f"fn.ops.dot_product_attention: {heads} heads are no multiple of {shapes[1][-2]}")
        key, value = (repeat(one, heads // shapes[1][-2], axis=-2) for one in (key, value))
    logits = einsum("bthd,bshd->bhts", query, key)
    logits = apply("multiply", logits, 1 / math.sqrt(size) if scale is None else float(scale))
    if attn_logits_soft_cap is not None:
        cap = float(attn_logits_soft_cap)
        logits = apply("multiply", apply("tanh", apply("divide", logits, cap)), cap)
    if bias is not None:
        logits = apply("add", logits, bias)
    steps, others = shapes[0][-3], shapes[1][-3]
    if is_causal:
        logits = apply("where", np.tri(steps, others), logits, -1e30)
    if mask is not None:
        logits = apply("where", mask, logits, -1e30)
    return einsum("bhts,bshd->bthd", softmax(logits, axis=-1), value)


# ---- cross-entropies ---------------------------------------------------------------------------------------------------


@function
def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """``-t log(p) - (1 - t) log(1 - p)`` of each number, p = output or, with from_logits, its sigmoid."""
    if from_logits:
        return apply("subtract", apply("logaddexp", output, 0.0), apply("multiply", target, output))
    p = apply("clip", output, _EPSILON, 1 - _EPSILON)
    right = apply("multiply", target, apply("log", p))
    wrong = apply("multiply", apply("subtract", 1.0, target), apply("log", apply("subtract", 1.0, p)))
    return apply("negative", apply("add", right, wrong))


def _log_probabilities(output: SymbolicTensor, from_logits: bool, axis: int) -> SymbolicTensor:
    if from_logits:
        return log_softmax(output, axis=axis)
    shares = apply("divide", output, reduce("sum", output, axis, True))
    return apply("log", apply("clip", shares, _EPSILON, 1 - _EPSILON))


@function
def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """``-sum(t log(p))`` along an axis, p = output divided by its sum or, with from_logits, its softmax."""
    terms = apply("multiply", target, _log_probabilities(output, from_logits, axis))
    return apply("negative", reduce("sum", terms, axis, False))


@function
def sparse_categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """As `categorical_crossentropy`, of class numbers."""
    place = normalize_axis("sparse_categorical_crossentropy", output, axis)
    shape = output.sample_shape
    if isinstance(target, SymbolicTensor) and len(target.sample_shape) == len(shape) and target.sample_shape[-1] == 1:
        target = reshape_to(target, target.sample_shape[:-1])
    hot = one_hot(target, shape[place], axis=axis)
    return categorical_crossentropy(hot, output, from_logits, axis)
