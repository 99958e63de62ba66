"""Products of matrices, the last two axes of what is broadcast before them."""

import numpy as np

from reference.operations import Op


def _operands(inputs, parameters, transposed, parameter, row_axes, column_axes):
    """The arrays, with the rows first and of one rank, as they are multiplied."""
    inputs, found = iter(inputs), []
    for k in (1, 2):
        if int(parameter) == k:
            shape, last = parameters[0].shape, parameters[0].ndim - int(column_axes)
            first = last - int(row_axes)
            matrix = (int(np.prod(shape[first:last])), int(np.prod(shape[last:])))
            found.append(parameters[0].reshape(1, *shape[:first], *matrix))
        else:
            found.append(next(inputs))
    rank = max(array.ndim for array in found)
    found = [array.reshape(array.shape[:1] + (1,) * (rank - array.ndim) + array.shape[1:]) for array in found]
    return [np.swapaxes(array, -1, -2) if turned else array for array, turned in zip(found, transposed)]


def matmul(inputs, parameters, transpose_0=0, transpose_1=0, parameter=0, row_axes=1, column_axes=1, **shape):
    a, b = _operands(inputs, parameters, (transpose_0, transpose_1), parameter, row_axes, column_axes)
    return a @ b


def _sum_to(gradient, array):
    axes = tuple(i for i, (n, m) in enumerate(zip(array.shape, gradient.shape)) if n == 1 and m != 1)
    return gradient.sum(axis=axes, keepdims=True)


def matmul_backward(inputs, parameters, dy, transpose_0=0, transpose_1=0, parameter=0, row_axes=1, column_axes=1, **shape):
    a, b = _operands(inputs, parameters, (transpose_0, transpose_1), parameter, row_axes, column_axes)
    gradients = [_sum_to(dy @ np.swapaxes(b, -1, -2), a), _sum_to(np.swapaxes(a, -1, -2) @ dy, b)]
    gradients = [np.swapaxes(g, -1, -2) if turned else g for g, turned in zip(gradients, (transpose_0, transpose_1))]
    dw = [gradients.pop(int(parameter) - 1).reshape(parameters[0].shape)] if parameter else []
    return [g.reshape(x.shape) for g, x in zip(gradients, inputs)], dw


OPS = {"matmul": Op(matmul, matmul_backward)}
OP_CASES = [
    ("matmul", [(2, 3, 4), (2, 4, 5)], [], {}),
    ("matmul", [(2, 4, 3), (2, 5, 4)], [], {"transpose_0": 1, "transpose_1": 1}),
    ("matmul", [(2, 3, 1, 2, 4), (2, 2, 4, 2)], [], {}),
    ("matmul", [(2, 3, 4)], [(4, 5)], {"parameter": 2, "rank": 2, "size_0": 4, "size_1": 5}),
    ("matmul", [(2, 3, 4)], [(2, 3, 5)], {"parameter": 1, "transpose_0": 1, "rank": 3, "size_0": 2, "size_1": 3, "size_2": 5}),
    ("matmul", [(2, 3, 4)], [(4, 2, 3)], {"parameter": 2, "column_axes": 2, "rank": 3, "size_0": 4, "size_1": 2, "size_2": 3}),
    ("matmul", [(2, 3, 4)], [(3,)], {"parameter": 1, "row_axes": 0, "rank": 1, "size_0": 3}),
]
