"""Sums and the like over axes of a sample."""

import numpy as np

from reference.operations import Op

NAMES = ("sum", "mean", "prod", "max", "min")


def _axes(mask, x):
    return tuple(1 + i for i in range(x.ndim - 1) if int(mask) >> i & 1)


def reduce(inputs, parameters, function=0, axes=1, keepdims=0):
    (x,) = inputs
    return getattr(np, NAMES[int(function)])(x, axis=_axes(axes, x), keepdims=bool(keepdims))


def reduce_backward(inputs, parameters, dy, function=0, axes=1, keepdims=0):
    (x,) = inputs
    along, name = _axes(axes, x), NAMES[int(function)]
    y = reduce(inputs, parameters, function, axes, 1)
    dy = dy.reshape(y.shape)
    if name in ("sum", "mean"):
        slope = np.ones_like(x) * (y.size / x.size if name == "mean" else 1)
    elif name == "prod":  # without division: the product of all but one
        slope = np.empty_like(x)
        for index in np.ndindex(x.shape):
            others = x.copy()
            others[index] = 1
            place = tuple(0 if axis in along else i for axis, i in enumerate(index))
            slope[index] = np.prod(others, axis=along, keepdims=True)[place]
    else:
        reached = (x == y) * 1.0
        slope = reached / reached.sum(axis=along, keepdims=True)
    return [dy * slope], []


OPS = {"reduce": Op(reduce, reduce_backward)}
OP_CASES = [
    ("reduce", [(2, 3, 4)], [], {"function": function, "axes": axes, "keepdims": keepdims})
    for function in range(5)
    for axes, keepdims in ((1, 0), (2, 1), (3, 0))
]
