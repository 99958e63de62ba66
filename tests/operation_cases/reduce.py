"""Sums and the like over axes of a sample."""

from operation_cases.base import OpCase


def cases(width):
    for function in range(5):
        yield OpCase("reduce", ((width,),), {"function": function})
        yield OpCase("reduce", ((3, width),), {"function": function, "axes": 2, "keepdims": 1})
        yield OpCase("reduce", ((3, width),), {"function": function, "axes": 1})
        yield OpCase("reduce", ((2, 3, 2, 2),), {"function": function, "axes": 5})
    yield OpCase("reduce", ((3, width),), {"axes": 3})
    yield OpCase("reduce", ((3, width),), {"axes": 0})


OPS = {"reduce": cases}
