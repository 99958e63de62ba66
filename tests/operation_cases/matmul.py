"""Products of matrices of two inputs, or of an input and a parameter."""

from operation_cases.base import OpCase


def parameter(which, shape, **attributes):
    """Attributes of a product with a parameter of a shape as operand number `which`, from 1."""
    return {"parameter": which, "rank": len(shape), **{f"size_{axis}": size for axis, size in enumerate(shape)}, **attributes}


def cases(width):
    yield OpCase("matmul", ((3, width), (width, 2)))
    yield OpCase("matmul", ((width, 3), (3, width)))
    yield OpCase("matmul", ((2, 1), (1, width)))
    yield OpCase("matmul", ((1, width), (1, width)), {"transpose_1": 1})
    yield OpCase("matmul", ((width, 3), (2, width)), {"transpose_0": 1, "transpose_1": 1})
    yield OpCase("matmul", ((2, 3, width), (2, width, 3)))
    yield OpCase("matmul", ((2, 2, width), (width, 3)))  # one matrix for all
    yield OpCase("matmul", ((2, width), (3, width, 2)))
    yield OpCase("matmul", ((2, 1, width, 2), (3, width, 2)), {"transpose_0": 1})
    yield OpCase("matmul", ((2, 1, 2, 2, 3), (1, 3, 1, width, 3)), {"transpose_1": 1})
    yield OpCase("matmul", ((3, width),), parameter(2, (width, 2)))
    yield OpCase("matmul", ((width, 2),), parameter(1, (3, width)))
    yield OpCase("matmul", ((2, width, 3),), parameter(1, (2, width, 2), transpose_0=1))
    yield OpCase("matmul", ((width, 3),), parameter(2, (2, width, 3), transpose_1=1))
    yield OpCase("matmul", ((2, 3, width),), parameter(2, (1, 2, width), transpose_1=1))
    yield OpCase("matmul", ((2, width),), parameter(2, (width, 3, 2), column_axes=2))
    yield OpCase("matmul", ((2, 6),), parameter(2, (width, 2, 3), column_axes=2, transpose_1=1))
    yield OpCase("matmul", ((6, 2),), parameter(1, (width, 2, 3), column_axes=2))
    yield OpCase("matmul", ((2, width),), parameter(2, (width,), column_axes=0))


OPS = {"matmul": cases}
