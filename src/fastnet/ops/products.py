"""Products of matrices and sums of products: matmul, einsum, and what is one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._graph import SymbolicTensor
from .._weights import Weight
from ..layers.functional import HAS_BATCH
from ._contraction import Labelled, along_diagonal, as_tensor, multiply_matrices, sum_over, sum_products
from ._emission import full_shape, function, is_tensor, normalize_axis
from .elementwise import apply
from .shapes import reshape_to

__all__ = ["dot", "einsum", "inner", "matmul", "outer", "tensordot", "trace", "vdot"]


def _operand(name: str, x: Any) -> Any:
    """A tensor, a weight, or an array of numbers."""
    if is_tensor(x):
        return x
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"fn.ops.{name}: expected numbers, got {x!r}")
    return array


def _check_tensor(name: str, operands: Sequence[Any]) -> None:
    if not any(isinstance(one, SymbolicTensor) for one in operands):
        raise ValueError(f"fn.ops.{name} of weights alone: one operand must depend on an input of the layer")


def _shapes(operands: Sequence[Any]) -> str:
    return " and ".join(str(full_shape(one)) for one in operands)


@function
def matmul(x1: Any, x2: Any) -> Any:
    """The product of the matrices that are the last two axes, also ``x1 @ x2``.

    The axes before them are repeated as NumPy does it. An operand with one axis is a vector, whose axis the result does not have.
    Of two symbolic tensors the matrices of one row of the batch are multiplied: both have the batch first and two axes or more after
    it. The other operand of a symbolic tensor may be a weight or an array, which has no axis of the batch.

    Raises
    ------
    ValueError
        If the shapes do not fit, or the product would be one over the batch.

    Examples
    --------
    >>> import fastnet as fn
    >>> q, k = fn.Input((5, 8)), fn.Input((7, 8))
    >>> fn.ops.matmul(q, fn.ops.swapaxes(k, 1, 2)).shape
    (None, 5, 7)
    """
    given = [_operand("matmul", x1), _operand("matmul", x2)]
    _check_tensor("matmul", given)
    batch, ranks = HAS_BATCH.get(), [len(full_shape(one)) for one in given]
    for k, one in enumerate(given):
        other = given[1 - k]
        if ranks[k] == 0:
            raise ValueError(f"fn.ops.matmul of shapes {_shapes(given)}: a number is no matrix; use multiply")
        if not batch or not isinstance(one, SymbolicTensor):
            continue
        if isinstance(other, SymbolicTensor):
            if min(ranks) < 3 or ranks[0] != ranks[1]:
                raise ValueError(
                    f"fn.ops.matmul of shapes {_shapes(given)} is not one of the matrices of each row of the batch, which needs two axes "
                    "after the batch, and as many in both; insert axes by expand_dims, or use dot or einsum"
                )
        elif ranks[k] < (3 if k == 1 else 2) or (ranks[1 - k] > 2 and ranks[1 - k] >= ranks[k]):
            raise ValueError(f"fn.ops.matmul of shapes {_shapes(given)} mixes rows of the batch, which is the first axis")
    shapes = [(one.sample_shape if isinstance(one, SymbolicTensor) else full_shape(one)) for one in given]
    # Of a tensor with the batch and one axis, the axis of each row is a row of the matrix.
    plain = [len(shape) == 1 for shape in shapes]
    matrices = [
        shape if not flat else (1, *shape) if k == 0 else (*shape, 1) for k, (shape, flat) in enumerate(zip(shapes, plain))
    ]
    fits = matrices[0][-1] == matrices[1][-2]
    try:
        np.broadcast_shapes(matrices[0][:-2], matrices[1][:-2])
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"fn.ops.matmul: shapes {_shapes(given)} do not fit")
    axes, operands = (1, 1), []
    for k, one in enumerate(given):
        if plain[k] and isinstance(one, SymbolicTensor):
            is_row = k == 0 and not isinstance(given[1], SymbolicTensor) and len(shapes[1]) == 2  # as it is, for a dense layer
            operands.append(one if is_row else reshape_to(one, matrices[k]))
        else:
            axes = ((0, 1) if k == 0 else (1, 0)) if plain[k] else axes
            operands.append(one)
    product = multiply_matrices(operands, axes=axes)
    if operands[0] is given[0] and plain[0] and isinstance(given[0], SymbolicTensor):
        return product
    before = product.sample_shape[:-2]
    return reshape_to(
        product, (*before, *(product.sample_shape[-2:-1] * (not plain[0])), *(product.sample_shape[-1:] * (not plain[1])))
    )


# ---- sums of products ------------------------------------------------------------------------------------------


def _parse(subscripts: str, shapes: Sequence[tuple[int | None, ...]]) -> tuple[list[list[Any]], list[Any]]:
    """The labels of each operand and of the output: letters, and numbers for the axes of an ellipsis, counted from its end."""

    def fail(why: str) -> ValueError:
        return ValueError(f"fn.ops.einsum of {subscripts!r} and shapes {', '.join(map(str, shapes))}: {why}")

    left, arrow, right = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise fail(f"subscripts of {len(terms)} operands, got {len(shapes)}")
    for term in [*terms, right]:
        letters = term.replace("...", "", 1)
        if letters and not (letters.isascii() and letters.isalpha()):
            raise fail(f"{term!r} is not letters and at most one '...'")
    labels: list[list[Any]] = []
    for term, shape in zip(terms, shapes):
        before, dots, after = term.partition("...")
        more = len(shape) - len(before) - len(after)
        if more < 0 or (more > 0 and not dots):
            raise fail(f"{term!r} does not name the axes of shape {shape}")
        labels.append([*before, *range(-more, 0), *after])
    every = [label for one in labels for label in one]
    dotted = sorted({label for label in every if isinstance(label, int)})
    if not arrow:
        once = sorted(label for label in set(every) - set(dotted) if every.count(label) == 1)
        return labels, [*dotted, *once]
    before, dots, after = right.partition("...")
    if dotted and not dots:
        raise fail("the output has no '...', whose axes would be summed over")
    output = [*before, *(dotted if dots else []), *after]
    if len(set(output)) < len(output) or not set(output) <= set(every):
        raise fail("each label of the output must be there once, and be one of an operand")
    return labels, output


@function
def einsum(subscripts: str, *operands: Any, **kwargs: Any) -> Any:
    """Sums of products by Einstein's convention, as ``einsum("bqd,bkd->bqk", q, k)``.

    The first label of a symbolic tensor is that of the batch: the same in all of them, first in the output, and in no weight or array.
    Products are made from left to right.

    Parameters
    ----------
    subscripts : str
        A letter for each axis, with ``...`` for those that are repeated as NumPy does it; a letter that comes twice in an operand is
        its diagonal. Without ``->`` the output has the letters that come once, in the order of the alphabet.
    **kwargs
        ``optimize`` is accepted, and has no meaning.

    Raises
    ------
    ValueError
        If subscripts and shapes do not fit, or the sum would be over the batch.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnet as fn
    >>> fn.ops.einsum("ij,j->i", np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 10.0])).tolist()
    [21.0, 43.0]
    """
    if set(kwargs) - {"optimize"}:
        raise TypeError(f"fn.ops.einsum: unknown arguments {sorted(set(kwargs) - {'optimize'})}")
    given = [_operand("einsum", one) for one in operands]
    _check_tensor("einsum", given)
    shapes = [full_shape(one) for one in given]
    labels, output = _parse(subscripts, shapes)

    def fail(why: str) -> ValueError:
        return ValueError(f"fn.ops.einsum of {subscripts!r} and shapes {', '.join(map(str, shapes))}: {why}")

    sizes: dict[Any, int | None] = {}
    for one, shape in zip(labels, shapes):
        for label, size in zip(one, shape):
            known = sizes.setdefault(label, size)
            if known == 1:
                sizes[label] = size
            elif size not in (1, known):
                raise fail(f"label {label!r} is of sizes {known} and {size}")
    if HAS_BATCH.get():
        firsts = {tuple(one[:1]) for one, value in zip(labels, given) if isinstance(value, SymbolicTensor)}
        batch = next(iter(firsts))
        uses = [one.count(batch[0]) for one in labels]
        expected = [int(isinstance(value, SymbolicTensor)) for value in given]
        if len(firsts) > 1 or uses != expected or output[:1] != list(batch):
            raise fail(
                "the first axis of a tensor is the batch, over which nothing is summed: its label must be the first of each tensor and "
                "of the output, and in no weight or array"
            )
        labels = [[label for label in one if label != batch[0]] for one in labels]
        output = output[1:]
    found = []
    tensor = next(one for one in given if isinstance(one, SymbolicTensor))
    for value, one in zip(given, labels):
        shape = value.sample_shape if isinstance(value, SymbolicTensor) else full_shape(value)
        kept = [i for i, label in enumerate(one) if shape[i] == sizes[label]]
        if len(kept) < len(one):  # an axis of 1 that is repeated: without it
            value = as_tensor(value, tensor) if isinstance(value, Weight) else value
            smaller = [shape[i] for i in kept]
            value = reshape_to(value, smaller) if isinstance(value, SymbolicTensor) else value.reshape(smaller)
        found.append(Labelled(value, [one[i] for i in kept]))
    return sum_products(found, output)


# ---- what is a sum of products ---------------------------------------------------------------------------------


def _pair(name: str, x1: Any, x2: Any) -> tuple[list[Any], list[tuple[int, ...]]]:
    """Two operands, and their shapes, of tensors those of a row."""
    given = [_operand(name, x1), _operand(name, x2)]
    _check_tensor(name, given)
    return given, [Labelled(one, ()).shape for one in given]


def _contracted(
    name: str, given: Sequence[Any], shapes: Sequence[tuple[int, ...]], axes: Sequence[Sequence[int]]
) -> SymbolicTensor:
    """Summed over axes of the first with as many of the second."""
    first: list[Any] = list(range(len(shapes[0])))
    second: list[Any] = list(range(len(first), len(first) + len(shapes[1])))
    for i, j in zip(*axes):
        if shapes[0][i] != shapes[1][j]:
            raise ValueError(
                f"fn.ops.{name}: shapes {_shapes(given)} do not fit: {shapes[0][i]} and {shapes[1][j]} numbers to be summed"
            )
        second[j] = first[i]
    output = [label for label in [*first, *second] if (label in first) != (label in second)]
    return sum_products([Labelled(given[0], first), Labelled(given[1], second)], output)


@function
def dot(x1: Any, x2: Any) -> Any:
    """The sum of products over the last axis of x1 and the last but one of x2, or its only one; with a number the product.

    Of two symbolic tensors that of the two rows.
    """
    given, shapes = _pair("dot", x1, x2)
    if not shapes[0] or not shapes[1]:
        return apply("multiply", *given)
    return _contracted("dot", given, shapes, [[len(shapes[0]) - 1], [max(0, len(shapes[1]) - 2)]])


@function
def inner(x1: Any, x2: Any) -> Any:
    """The sum of products over the last axes; of two symbolic tensors that of the two rows."""
    given, shapes = _pair("inner", x1, x2)
    if not shapes[0] or not shapes[1]:
        return apply("multiply", *given)
    return _contracted("inner", given, shapes, [[len(shapes[0]) - 1], [len(shapes[1]) - 1]])


def tensordot(x1: Any, x2: Any, axes: Any = 2) -> Any:
    """The sum of products over the last `axes` axes of x1 and the first of x2, or over two lists of axes.

    Of two symbolic tensors that of the two rows; axes are counted with the batch, which cannot be among them.
    """
    return _tensordot(x1, x2, axes=axes)  # by name, as a list by position is an array


def _run_tensordot(x1: Any, x2: Any, axes: Any) -> SymbolicTensor:
    given, shapes = _pair("tensordot", x1, x2)
    if isinstance(axes, (int, np.integer)):
        if not 0 <= axes <= min(map(len, shapes)):
            raise ValueError(f"fn.ops.tensordot: {axes} axes of shapes {_shapes(given)}")
        return _contracted("tensordot", given, shapes, [range(len(shapes[0]) - axes, len(shapes[0])), range(axes)])
    lists = [list(one) if isinstance(one, (list, tuple)) else [one] for one in axes]
    if len(lists) != 2 or len(lists[0]) != len(lists[1]):
        raise ValueError(f"fn.ops.tensordot: axes must be a number or two lists of as many axes, got {axes!r}")
    for k, (one, shape) in enumerate(zip(given, shapes)):
        if isinstance(one, SymbolicTensor):
            lists[k] = [normalize_axis("tensordot", one, axis) for axis in lists[k]]
        elif any(not -len(shape) <= axis < len(shape) for axis in lists[k]):
            raise ValueError(f"fn.ops.tensordot: axes {lists[k]} of shape {shape}")
        else:
            lists[k] = [axis % len(shape) for axis in lists[k]]
        if len(set(lists[k])) < len(lists[k]):
            raise ValueError(f"fn.ops.tensordot: an axis is given twice in {axes!r}")
    return _contracted("tensordot", given, shapes, lists)


_run_tensordot.__name__ = "tensordot"
_tensordot = function(_run_tensordot)


@function
def outer(x1: Any, x2: Any) -> Any:
    """All products of a number of x1 and one of x2, each as one vector: shape (numbers of x1, numbers of x2); of symbolic tensors for
    each row.
    """
    given, shapes = _pair("outer", x1, x2)
    sizes = list(map(math.prod, shapes))
    for k, one in enumerate(given):
        if not isinstance(one, Weight):
            shapes[k] = (sizes[k],)
            given[k] = reshape_to(one, shapes[k]) if isinstance(one, SymbolicTensor) else one.reshape(-1)
    return reshape_to(_contracted("outer", given, shapes, [[], []]), sizes)


@function
def vdot(x1: Any, x2: Any) -> Any:
    """The sum of products of x1 and x2, each as one vector; of symbolic tensors for each row."""
    given, shapes = _pair("vdot", x1, x2)
    if math.prod(shapes[0]) != math.prod(shapes[1]):
        raise ValueError(f"fn.ops.vdot: shapes {_shapes(given)} do not fit")
    k = 0 if isinstance(given[0], SymbolicTensor) else 1
    given[k] = reshape_to(given[k], shapes[1 - k])
    axes = list(range(len(shapes[1 - k])))
    return _contracted("vdot", given, [shapes[1 - k]] * 2, [axes, axes])


@function
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum along a diagonal of two axes, of which the batch is none; the result has the others.

    Raises
    ------
    ValueError
        If an axis is not there, is the batch, or is given twice.
    """
    _check_tensor("trace", [x])
    first, second = normalize_axis("trace", x, axis1), normalize_axis("trace", x, axis2)
    if first == second:
        raise ValueError(f"fn.ops.trace: an axis is given twice, {axis1} and {axis2}")
    found = along_diagonal(x, first, second, int(offset))
    return sum_over(found, [first - (second < first)])
