"""Elementwise functions with broadcasting; tests/test_elementwise.py has each of them."""

from fastnet import _core
from operation_cases.base import OpCase


def attributes_of(name, operands, numbers=(), parameters=()):
    """Attributes of the operation: what each operand is, the numbers among them, the shapes of parameters."""
    found = {"function": list(_core.registry("functions")).index(name)}
    found |= {f"operand_{k}": kind for k, kind in enumerate(operands)}
    found |= {f"scalar_{k}": number for k, number in enumerate(numbers)}
    for p, shape in enumerate(parameters):
        found |= {f"rank_{p}": len(shape), **{f"size_{p}_{axis}": size for axis, size in enumerate(shape)}}
    return found


def cases(width):
    yield OpCase("elementwise", ((width,),), attributes_of("sin", [0]))
    yield OpCase("elementwise", ((1,), (1,)), attributes_of("multiply", [0, 1]))
    yield OpCase("elementwise", ((2, 1),), attributes_of("exp", [0]))
    yield OpCase("elementwise", ((width,), (width,)), attributes_of("multiply", [0, 1]))
    yield OpCase("elementwise", ((width,),), attributes_of("multiply", [0, 0]))
    yield OpCase("elementwise", ((width,),), attributes_of("subtract", [-1, 0], [1.5]))
    yield OpCase("elementwise", ((2, 3, width), (1, 3, 1)), attributes_of("divide", [0, 1]))
    yield OpCase("elementwise", ((3, 1), (1, width)), attributes_of("arctan2", [0, 1]))
    yield OpCase("elementwise", ((4, width),), attributes_of("multiply", [0, 3], parameters=[(width,)]))
    yield OpCase("elementwise", ((4, width),), attributes_of("maximum", [3, 0], parameters=[(4, 1)]))
    yield OpCase("elementwise", ((2, width), (2, width)), attributes_of("where", [0, 1, 3], parameters=[(1, width)]))
    yield OpCase("elementwise", ((width,),), attributes_of("multiply", [3, 4], parameters=[(5, 1), (width,)]))
    yield OpCase("elementwise", ((1,), (width,)), attributes_of("where", [0, 1, -1], [0, 0, 0.5]))
    yield OpCase("elementwise", ((2, 300),), attributes_of("clip", [0, -1, -1], [0, -1.2501234, 2.2512345]))


OPS = {"elementwise": cases}
