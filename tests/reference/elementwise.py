"""Elementwise functions with broadcasting."""

import numpy as np
from scipy import special

from reference.operations import Op


def _round_power(a, b):
    with np.errstate(all="ignore"):
        return np.where((a == 0) & (b >= 0), 0.0, a**b * np.log(a))


def _halves(first, a, b):
    return np.where(a == b, 0.5, first * 1.0)


#: By name: the value, and the derivative by each operand; None where the gradient stops.
FUNCTIONS = {
    "negative": (np.negative, lambda a: -1.0),
    "abs": (np.abs, np.sign),
    "sign": (np.sign, None),
    "square": (np.square, lambda a: 2 * a),
    "sqrt": (np.sqrt, lambda a: 0.5 / np.sqrt(a)),
    "rsqrt": (lambda a: 1 / np.sqrt(a), lambda a: -0.5 * a**-1.5),
    "reciprocal": (np.reciprocal, lambda a: -1 / a**2),
    "exp": (np.exp, np.exp),
    "expm1": (np.expm1, np.exp),
    "log": (np.log, lambda a: 1 / a),
    "log1p": (np.log1p, lambda a: 1 / (1 + a)),
    "log2": (np.log2, lambda a: 1 / (a * np.log(2))),
    "log10": (np.log10, lambda a: 1 / (a * np.log(10))),
    "sin": (np.sin, np.cos),
    "cos": (np.cos, lambda a: -np.sin(a)),
    "tan": (np.tan, lambda a: np.cos(a) ** -2),
    "arcsin": (np.arcsin, lambda a: (1 - a**2) ** -0.5),
    "arccos": (np.arccos, lambda a: -((1 - a**2) ** -0.5)),
    "arctan": (np.arctan, lambda a: 1 / (1 + a**2)),
    "sinh": (np.sinh, np.cosh),
    "cosh": (np.cosh, np.sinh),
    "tanh": (np.tanh, lambda a: np.cosh(a) ** -2),
    "arcsinh": (np.arcsinh, lambda a: (1 + a**2) ** -0.5),
    "arccosh": (np.arccosh, lambda a: (a**2 - 1) ** -0.5),
    "arctanh": (np.arctanh, lambda a: 1 / (1 - a**2)),
    "erf": (special.erf, lambda a: 2 / np.sqrt(np.pi) * np.exp(-(a**2))),
    "floor": (np.floor, None),
    "ceil": (np.ceil, None),
    "round": (np.round, None),
    "stop_gradient": (np.positive, None),
    "isfinite": (np.isfinite, None),
    "isnan": (np.isnan, None),
    "isinf": (np.isinf, None),
    "logical_not": (np.logical_not, None),
    "add": (np.add, lambda a, b: 1.0, lambda a, b: 1.0),
    "subtract": (np.subtract, lambda a, b: 1.0, lambda a, b: -1.0),
    "multiply": (np.multiply, lambda a, b: b, lambda a, b: a),
    "divide": (np.divide, lambda a, b: 1 / b, lambda a, b: -a / b**2),
    "floor_divide": (lambda a, b: np.floor(a / b), None, None),
    "power": (np.power, lambda a, b: np.where(b == 0, 0.0, b * a ** (b - 1)), _round_power),
    "arctan2": (np.arctan2, lambda a, b: b / (a**2 + b**2), lambda a, b: -a / (a**2 + b**2)),
    "mod": (np.mod, lambda a, b: 1.0, lambda a, b: -np.floor(a / b)),
    "maximum": (np.maximum, lambda a, b: _halves(a > b, a, b), lambda a, b: _halves(b > a, a, b)),
    "minimum": (np.minimum, lambda a, b: _halves(a < b, a, b), lambda a, b: _halves(b < a, a, b)),
    "logaddexp": (np.logaddexp, lambda a, b: special.expit(a - b), lambda a, b: special.expit(b - a)),
    "equal": (np.equal, None, None),
    "not_equal": (np.not_equal, None, None),
    "less": (np.less, None, None),
    "less_equal": (np.less_equal, None, None),
    "greater": (np.greater, None, None),
    "greater_equal": (np.greater_equal, None, None),
    "logical_and": (np.logical_and, None, None),
    "logical_or": (np.logical_or, None, None),
    "logical_xor": (np.logical_xor, None, None),
    "where": (np.where, None, lambda a, b, c: (a != 0) * 1.0, lambda a, b, c: (a == 0) * 1.0),
    "clip": (np.clip, lambda a, b, c: ((a >= b) & (a <= c)) * 1.0, None, None),
}  # fmt: skip


def _name(function):
    from fastnet import _core

    return list(_core.registry("functions"))[int(function)]


def _operands(inputs, parameters, attributes):
    """(what it is, array broadcast to the rank of the result with the rows first) of each operand."""
    kinds = [int(attributes.get(f"operand_{k}", 0 if k == 0 else -2)) for k in range(3)]
    rank = max([x.ndim - 1 for x in inputs] + [p.ndim for p in parameters])
    found = []
    for k, kind in enumerate(kinds):
        if kind == -2:
            continue
        if kind == -1:
            number = attributes.get(f"scalar_{k}", 0.0)
            number = np.copysign(np.inf, number) if abs(number) >= np.finfo(float).max else number
            array = np.full((1,) * (rank + 1), number)
        elif kind < 3:
            x = inputs[kind]
            array = x.reshape(x.shape[0], *(1,) * (rank + 1 - x.ndim), *x.shape[1:])
        else:
            p = parameters[kind - 3]
            array = p.reshape((1,) * (rank + 1 - p.ndim) + p.shape)
        found.append((kind, array))
    return found


def _sum_to(gradient, array, shape):
    """The sum over the axes along which an array was repeated."""
    axes = tuple(i for i, (n, m) in enumerate(zip(array.shape, gradient.shape)) if n == 1 and m != 1)
    return gradient.sum(axis=axes, keepdims=True).reshape(shape)


def elementwise(inputs, parameters, function=0, **attributes):
    operands = [array for _, array in _operands(inputs, parameters, attributes)]
    rows = inputs[0].shape[0]
    y = np.asarray(FUNCTIONS[_name(function)][0](*operands), np.float64)
    return np.broadcast_to(y, (rows, *y.shape[1:])).copy()


def elementwise_backward(inputs, parameters, dy, function=0, **attributes):
    operands = _operands(inputs, parameters, attributes)
    arrays = [array for _, array in operands]
    dx, dw = [np.zeros_like(x) for x in inputs], [np.zeros_like(p) for p in parameters]
    for (kind, array), slope in zip(operands, FUNCTIONS[_name(function)][1:]):
        if kind < 0 or slope is None:
            continue
        gradient = np.broadcast_to(dy * slope(*arrays), dy.shape)
        if kind < 3:
            dx[kind] += _sum_to(gradient, array, dx[kind].shape)
        else:
            dw[kind - 3] += _sum_to(gradient, array, dw[kind - 3].shape)
    return dx, dw


def _cases():
    """One for each form; the functions are in tests/test_elementwise.py."""
    from fastnet import _core

    number = list(_core.registry("functions")).index
    forms = [
        ("sin", [(2, 3)], [], {}),
        ("multiply", [(2, 3, 4), (2, 1, 4)], [], {"operand_1": 1}),
        ("divide", [(2, 3)], [], {"operand_0": -1, "scalar_0": 2.0, "operand_1": 0}),
        ("multiply", [(2, 3, 4)], [(4,)], {"operand_1": 3, "rank_0": 1, "size_0_0": 4}),
        ("arctan2", [(2, 3)], [(2, 1)], {"operand_1": 3, "rank_0": 2, "size_0_0": 2, "size_0_1": 1}),
    ]
    return [("elementwise", inputs, parameters, {"function": number(name), **more}) for name, inputs, parameters, more in forms]


OP_CASES = _cases()
OPS = {"elementwise": Op(elementwise, elementwise_backward)}
