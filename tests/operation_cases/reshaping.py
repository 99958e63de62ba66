"""Padding, resizing, permuting."""

from operation_cases.base import OpCase


def pad_cases(width):
    yield OpCase("pad", ((3, 2, width),), {"top": 1, "bottom": 2, "left": 3, "right": 1})
    yield OpCase("pad", ((4, 5, width),), {"top": -1, "bottom": -1, "left": -3, "right": -1})
    yield OpCase("pad", ((4, 5, width),), {"top": -2, "bottom": 3, "left": 2, "right": -1})
    yield OpCase("pad", ((2, 3, width),), {"top": 4, "bottom": -3, "left": 5, "right": -4})  # nothing of x is left
    yield OpCase("pad", ((width, 1),), {"left": 1, "right": 2})
    yield OpCase("pad", ((1, 1, width),))


def resize_cases(width):
    for bilinear in (0, 1):
        yield OpCase("resize", ((3, 2, width),), {"height": 6, "width": 6, "bilinear": bilinear})
        yield OpCase("resize", ((3, 5, width),), {"height": 4, "width": 2, "bilinear": bilinear})
        yield OpCase("resize", ((2, width, 1),), {"width": 2 * width + 1, "bilinear": bilinear})
        yield OpCase("resize", ((1, width),), {"width": 5, "bilinear": bilinear})
        yield OpCase("resize", ((4, width),), {"width": 8, "bilinear": bilinear})


def permute_cases(width):
    def case(shape, *axes):
        return OpCase("permute", (shape,), {"rank": len(axes), **{f"axis_{i}": axis for i, axis in enumerate(axes)}})

    yield case((width,), 0)
    yield case((3, width), 1, 0)
    yield case((17, 2 * width), 1, 0)
    yield case((1, width), 1, 0)
    yield case((3, 4, width), 1, 0, 2)
    yield case((3, width, 2), 2, 0, 1)
    yield case((3, width, 2), 2, 1, 0)
    yield case((3, width, 1, 2), 1, 2, 3, 0)
    yield case((2, 3, width, 4, 2), 3, 1, 4, 0, 2)


def strided_copy_cases(width):
    def case(shape, sizes, strides, offset=0, length=0):
        attributes = {"rank": len(sizes), "offset": offset, "length": length}
        attributes |= {f"size_{axis}": size for axis, size in enumerate(sizes)}
        return OpCase("strided_copy", (shape,), attributes | {f"stride_{axis}": step for axis, step in enumerate(strides)})

    yield case((4, width), (2, width), (width, 1), width)  # rows from the second on
    yield case((4, width), (4, width), (width, -1), width - 1)  # reversed
    yield case((width, 3), (width,), (3,), 2)  # a column
    yield case((width,), (3, width, 2), (0, 1, 0))  # repeated
    yield case((width, width), (width,), (width + 1,))  # the diagonal
    yield case((width,), (), (), width - 1)  # one number
    yield case((5, width), (2, 2, width), (width, 2 * width, 1))  # windows that overlap
    yield case((2, width), (2, width), (width, 1), 3, 2 * width + 4)
    yield case((3, width), (3, width), (1, 1), 0, width + 2)  # sums


OPS = {"strided_copy": strided_copy_cases, "pad": pad_cases, "permute": permute_cases, "resize": resize_cases}
