"""Sums of products of operands whose axes have labels, by products of matrices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .._graph import SymbolicTensor, shape_attributes
from .._weights import Weight
from ._emission import emit, full_shape
from .elementwise import apply
from .reductions import reduce_over
from .shapes import permute_to, reshape_to

__all__ = ["Labelled", "along_diagonal", "as_tensor", "multiply_matrices", "sum_over", "sum_products"]

#: Of a sample; FN_MAX_RANK.
_MOST_AXES = 6


def sum_over(x: SymbolicTensor, axes: Iterable[int]) -> SymbolicTensor:
    """Over axes of a sample, if any."""
    axes = list(axes)
    return reduce_over("sum", x, axes, False) if axes else x


def multiply_matrices(
    operands: Sequence[Any], transposed: Sequence[bool] = (False, False), axes: tuple[int, int] = (1, 1)
) -> SymbolicTensor:
    """The engine's product of matrices of two operands, one of which may be a weight or an array.

    axes: how many axes of that are, together, the rows and the columns of its matrices.
    """
    attributes: dict[str, float] = {f"transpose_{k}": int(flag) for k, flag in enumerate(transposed)}
    place = next((k for k, one in enumerate(operands) if not isinstance(one, SymbolicTensor)), None)
    if place is None:
        return emit("matmul", operands, attributes)
    constant, shape = operands[place], full_shape(operands[place])
    if place == 1 and len(shape) == 2 and axes == (1, 1):  # what is made for large weights
        if transposed[1] and not transposed[0]:
            return emit("transposed_dense", operands[:1], {"units": shape[0]}, [constant])
        if not transposed[0]:
            return emit("dense", operands[:1], {"units": shape[1], "use_bias": 0}, [constant])
    attributes |= {"parameter": place + 1, "row_axes": axes[0], "column_axes": axes[1], **shape_attributes(shape)}
    return emit("matmul", [operands[1 - place]], attributes, [constant])


class Labelled:
    """An operand with a label for each axis; of a tensor, of each axis of a sample."""

    def __init__(self, value: Any, labels: Sequence[Any]) -> None:
        self.value, self.labels = value, list(labels)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.sample_shape if isinstance(self.value, SymbolicTensor) else tuple(full_shape(self.value))

    @property
    def sizes(self) -> dict[Any, int]:
        return dict(zip(self.labels, self.shape))


def as_tensor(weight: Any, like: SymbolicTensor) -> SymbolicTensor:
    """A weight or an array as a tensor that has it in each row."""
    one = reshape_to(sum_over(like, range(len(like.sample_shape))), [1] * max(1, len(full_shape(weight))))
    return apply("where", one, weight, weight)


def _take_diagonals(one: Labelled) -> Labelled:
    """Each label once."""
    while len(set(one.labels)) < len(one.labels):
        second = next(i for i, label in enumerate(one.labels) if label in one.labels[:i])
        first = one.labels.index(one.labels[second])
        one = Labelled(along_diagonal(one.value, first, second, 0), one.labels[:second] + one.labels[second + 1 :])
    return one


def along_diagonal(x: SymbolicTensor, first: int, second: int, offset: int) -> SymbolicTensor:
    """Summed over axis `second`, with 0 for what is not on the diagonal."""
    shape = x.sample_shape
    eye = np.eye(shape[first], shape[second], offset)
    eye = eye if first < second else eye.T
    sizes = [size if axis in (first, second) else 1 for axis, size in enumerate(shape)]
    return sum_over(apply("where", eye.reshape(sizes), x, 0.0), [second])


def _without(one: Labelled, kept: Iterable[Any]) -> Labelled:
    """Summed over the axes of other labels than these."""
    kept = set(kept)
    gone = [i for i, label in enumerate(one.labels) if label not in kept]
    value = np.sum(one.value, axis=tuple(gone)) if isinstance(one.value, np.ndarray) else sum_over(one.value, gone)
    return Labelled(value, [label for label in one.labels if label in kept])


def _arranged(one: Labelled, orders: Sequence[Sequence[Any]]) -> tuple[Any, int]:
    """With the labels in one of the orders, and which; in the first, if it is in none."""
    for k, order in enumerate(orders):
        if one.labels == list(order):
            return one.value, k
    order = [one.labels.index(label) for label in orders[0]]
    return (np.transpose(one.value, order) if isinstance(one.value, np.ndarray) else permute_to(one.value, order)), 0


def _contract(a: Labelled, b: Labelled, kept: set[Any]) -> Labelled:
    """The product of two operands, one of them a tensor, summed over the labels that are not kept."""
    sizes = {**a.sizes, **b.sizes}
    tensor = a if isinstance(a.value, SymbolicTensor) else b
    pair = []
    for one, other in ((a, b), (b, a)):
        alone = [label for label in one.labels if label not in other.labels and label not in kept]
        if alone and isinstance(one.value, Weight):
            one = Labelled(as_tensor(one.value, tensor.value), one.labels)
        pair.append(_without(one, {*other.labels, *kept}) if alone else one)
    a, b = pair
    shared = [label for label in a.labels if label in b.labels]
    batch, summed = [label for label in shared if label in kept], [label for label in shared if label not in kept]
    # In the order of the operand that costs more to be put in another.
    leads = b if isinstance(b.value, Weight) else a
    batch, summed = sorted(batch, key=leads.labels.index), sorted(summed, key=leads.labels.index)
    free = [[label for label in one.labels if label not in shared] for one in (a, b)]
    labels = [*batch, *free[0], *free[1]]
    if len(labels) > _MOST_AXES:
        raise ValueError(
            f"a product of shapes {a.shape} and {b.shape} has {len(labels)} axes, of which a tensor has at most {_MOST_AXES}"
        )
    size = lambda some: math.prod(sizes[label] for label in some)
    if not summed or not (free[0] or free[1]):  # a product element by element
        if max(len(labels), len(batch) + len(summed)) <= _MOST_AXES:
            return _elementwise(a, b, [*labels, *summed], summed)
    orders = [
        [[*batch, *free[0], *summed], [*batch, *summed, *free[0]]],
        [[*batch, *summed, *free[1]], [*batch, *free[1], *summed]],
    ]
    for k, one in enumerate((a, b)):
        if isinstance(one.value, Weight) and (one.labels not in orders[k] or len(batch) + 2 > _MOST_AXES):
            made = Labelled(as_tensor(one.value, tensor.value), one.labels)
            return _contract(*((made, b) if k == 0 else (a, made)), kept)
    values, flags, axes = [], [], (1, 1)
    constant = not (isinstance(a.value, SymbolicTensor) and isinstance(b.value, SymbolicTensor))
    before = [sizes[label] for label in batch] if constant else [size(batch)] * bool(batch)
    for k, one in enumerate((a, b)):
        value, flag = _arranged(one, orders[k])
        parts = [free[0], summed] if k == 0 else [summed, free[1]]
        parts = parts[::-1] if flag else parts
        if isinstance(value, SymbolicTensor):
            value = reshape_to(value, [*before, *map(size, parts)])
        else:
            axes = (len(parts[0]), len(parts[1]))
        values.append(value)
        flags.append(bool(flag))
    return Labelled(reshape_to(multiply_matrices(values, flags, axes), [sizes[label] for label in labels]), labels)


def _elementwise(a: Labelled, b: Labelled, order: Sequence[Any], summed: Sequence[Any]) -> Labelled:
    """Products of numbers, with an axis of 1 where an operand lacks a label, summed over the last labels."""
    values = []
    tensor = a.value if isinstance(a.value, SymbolicTensor) else b.value
    for one in (a, b):
        value, place = one.value, [label for label in order if label in one.labels]
        if isinstance(value, Weight) and one.labels != list(order)[-len(one.labels) :]:
            value = as_tensor(value, tensor)
        sizes = [one.sizes.get(label, 1) for label in order]
        axes = [one.labels.index(label) for label in place]
        if isinstance(value, SymbolicTensor):
            value = reshape_to(permute_to(value, axes), sizes)
        elif isinstance(value, np.ndarray):
            value = np.transpose(value, axes).reshape(sizes)
            value = float(value) if value.ndim == 0 else value
        values.append(value)
    product = apply("multiply", *values)
    n = len(order) - len(summed)
    return Labelled(sum_over(product, range(n, len(order))), list(order)[:n])


def sum_products(operands: Sequence[Labelled], output: Sequence[Any]) -> SymbolicTensor:
    """The sum of the products of the operands over all labels that the output does not have."""
    tensor = next(one.value for one in operands if isinstance(one.value, SymbolicTensor))
    rest: list[Labelled] = []
    for one in operands:
        if isinstance(one.value, Weight) and len(set(one.labels)) < len(one.labels):
            one = Labelled(as_tensor(one.value, tensor), one.labels)
        if isinstance(one.value, np.ndarray) and len(set(one.labels)) < len(one.labels):
            numbers = {label: i for i, label in enumerate(one.labels)}
            labels = list(dict.fromkeys(one.labels))
            value = np.einsum(one.value, [numbers[label] for label in one.labels], [numbers[label] for label in labels])
            one = Labelled(value, labels)
        rest.append(_take_diagonals(one))
    found = rest.pop(next(i for i, one in enumerate(rest) if isinstance(one.value, SymbolicTensor)))
    while rest:  # from left to right, beginning with a tensor
        found = _contract(found, rest[0], {*output, *(label for one in rest[1:] for label in one.labels)})
        rest.pop(0)
    found = _without(found, output)
    return permute_to(found.value, [found.labels.index(label) for label in output])
