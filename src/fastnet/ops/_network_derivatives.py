"""Derivatives of the operations that are layers of their own, attention and batch normalisation, as operations; see `_derivatives`."""

from __future__ import annotations

import math

import numpy as np

from .._graph import Operation, SymbolicTensor
from ._derivatives import Gradients, _derivative_of, _last, refuse
from ._emission import emit, parameters_of
from ._slopes import where
from .elementwise import apply
from .products import einsum
from .shapes import reshape_to

__all__: list[str] = []


@_derivative_of("batch_normalization")
def _batch_normalization(operation: Operation, gradients: Gradients) -> Gradients:
    """``dx = gamma dy / sqrt(variance + epsilon)`` with the moving variance, as where nothing is trained or the layer is frozen.

    With the statistics of a batch, a row has a part in the results of all others: plans that train refuse it.
    """
    dy, given = gradients[0], operation.attributes
    spread = where(0.0, dy, parameters_of(operation)[-1])
    found = dy * apply("rsqrt", spread + float(given.get("epsilon", 1e-3)))
    if given.get("scale", 1):
        found = found * parameters_of(operation)[0]
    found.operation.frozen_with = operation  # type: ignore[union-attr]
    return [found]


def _sees(queries: int, keys: int, causal: bool, window: int) -> np.ndarray:
    """[queries][keys]: 1 where a query sees a key, but for masks."""
    i, j = np.arange(queries)[:, None], np.arange(keys)
    found = j <= i if causal else np.ones((queries, keys), bool)
    return np.where((np.abs(i - j) < window) if window else True, found, False).astype(float)


@_derivative_of("attention")
def _attention(operation: Operation, gradients: Gradients) -> Gradients:
    """By the weights p, which are computed again; the axes of heads are those of keys and of the queries that share them."""
    dy, given = gradients[0], operation.attributes
    if given.get("rate", 0) or (len(gradients) > 1 and gradients[1] is not None):
        raise refuse(operation, ", with dropout or whose scores are used,")
    if dy is None:
        return [None] * len(operation.inputs)
    shapes = [tensor.sample_shape for tensor in operation.inputs]
    heads = int(given.get("heads", 1))
    groups = int(given.get("key_heads", 0)) or heads
    n_queries, n_keys, size = shapes[0][0], shapes[1][0], shapes[0][1] // heads
    q = reshape_to(operation.inputs[0], (n_queries, groups, heads // groups, size))
    k, v = (reshape_to(one, (n_keys, groups, one.sample_shape[1] // groups)) for one in operation.inputs[1:3])
    dy = reshape_to(dy, (n_queries, groups, heads // groups, dy.sample_shape[1] // heads))
    scale = float(given.get("scale", 0)) or 1 / math.sqrt(size)
    seen = _sees(n_queries, n_keys, bool(given.get("causal", 0)), int(given.get("window", 0)))
    scores = where(seen, einsum("qgrs,kgs->grqk", q, k) * scale, -1e30)
    masks = [
        reshape_to(one, (1, 1, *one.sample_shape) if len(one.sample_shape) == 2 else (1, 1, 1, *one.sample_shape)) > 0.5
        for one in operation.inputs[3:]
    ]
    for mask in masks:
        scores = where(mask, scores, -1e30)
    p: SymbolicTensor = where(seen, emit("softmax", [scores], {}), 0.0)
    for mask in masks:  # a query that sees nothing has weights of 0
        p = where(mask, p, 0.0)
    dp = einsum("qgrv,kgv->grqk", dy, v)
    ds = p * (dp - _last("sum", dp * p)) * scale
    found = [
        einsum("grqk,kgs->qgrs", ds, k),
        einsum("grqk,qgrs->kgs", ds, q),
        einsum("grqk,qgrv->kgv", p, dy),
    ]
    return [reshape_to(one, shape) for one, shape in zip(found, shapes)] + [None] * len(masks)
