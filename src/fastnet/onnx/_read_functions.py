"""Elementwise operators, reductions and products."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import layers
from ._reader import NotExpressible, Operator, Tensor, describe, ops, reads, without

__all__: list[str] = []

# ---- elementwise ----------------------------------------------------------------------------------


def _truncate(x: Any) -> Any:
    return ops.multiply(ops.sign(x), ops.floor(ops.abs(x)))


def _celu(x: Any, alpha: float = 1.0) -> Any:
    return ops.add(ops.maximum(x, 0.0), ops.minimum(ops.multiply(ops.expm1(ops.divide(x, alpha)), alpha), 0.0))


def _selu(x: Any, alpha: float = 1.6732632423543772, gamma: float = 1.0507009873554805) -> Any:
    return ops.multiply(ops.elu(x, alpha), gamma)


#: By operator: the function of the first input, and of attributes by their names.
_UNARY: dict[str, Callable[..., Any]] = {
    "Abs": ops.abs, "Acos": ops.arccos, "Acosh": ops.arccosh, "Asin": ops.arcsin, "Asinh": ops.arcsinh, "Atan": ops.arctan,
    "Atanh": ops.arctanh, "Ceil": ops.ceil, "Celu": _celu, "Cos": ops.cos, "Cosh": ops.cosh,
    "Elu": lambda x, alpha=1.0: ops.elu(x, alpha), "Erf": ops.erf, "Exp": ops.exp, "Floor": ops.floor,
    "Gelu": lambda x, approximate="none": ops.gelu(x, approximate=approximate == "tanh"),
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: ops.clip(ops.add(ops.multiply(x, alpha), beta), 0.0, 1.0),
    "HardSwish": lambda x: ops.multiply(x, ops.clip(ops.add(ops.multiply(x, 1 / 6), 0.5), 0.0, 1.0)),
    "IsInf": lambda x: ops.isinf(x), "IsNaN": ops.isnan, "LeakyRelu": lambda x, alpha=0.01: ops.leaky_relu(x, alpha),
    "Log": ops.log, "Mish": lambda x: ops.multiply(x, ops.tanh(ops.softplus(x))), "Neg": ops.negative, "Not": ops.logical_not,
    "Reciprocal": ops.reciprocal, "Relu": ops.relu, "Round": ops.round, "Selu": _selu,
    "Shrink": lambda x, bias=0.0, lambd=0.5: ops.where(ops.less(x, -lambd), ops.add(x, bias), ops.where(ops.greater(x, lambd), ops.subtract(x, bias), 0.0)),
    "Sigmoid": ops.sigmoid, "Sign": ops.sign, "Sin": ops.sin, "Sinh": ops.sinh, "Softplus": ops.softplus, "Softsign": ops.softsign,
    "Sqrt": ops.sqrt, "Tan": ops.tan, "Tanh": ops.tanh,
    "ThresholdedRelu": lambda x, alpha=1.0: ops.where(ops.greater(x, alpha), x, 0.0),
}  # fmt: skip


def _enter_unary(name: str, function: Callable[..., Any]) -> None:
    @reads(name)
    def read(node: Operator) -> Tensor:
        return node.value().apply(function, **node.attributes)


for _name, _function in _UNARY.items():
    _enter_unary(_name, _function)

#: By operator: the function of two inputs, or of more, one after another.
_BINARY: dict[str, Callable[..., Any]] = {
    "Add": ops.add, "And": ops.logical_and, "Div": ops.divide, "Equal": ops.equal, "Greater": ops.greater,
    "GreaterOrEqual": ops.greater_equal, "Less": ops.less, "LessOrEqual": ops.less_equal, "Max": ops.maximum, "Min": ops.minimum,
    "Mul": ops.multiply, "Or": ops.logical_or, "PRelu": lambda x, slope: ops.where(ops.less(x, 0.0), ops.multiply(x, slope), x),
    "Pow": ops.power, "Sub": ops.subtract, "Sum": ops.add, "Xor": ops.logical_xor,
}  # fmt: skip


def aligned(values: Sequence[Any]) -> tuple[list[Any], tuple[tuple[int, ...], ...]]:
    """Operands as functions of fn.ops take them, which broadcast, and the groups of the result.

    Where all computed ones have the same, these are kept, and constants are put into their order.
    """
    computed = [value for value in values if isinstance(value, Tensor)]
    rank = max(value.rank if isinstance(value, Tensor) else np.ndim(value) for value in values)
    for value in computed:
        if value.rank < rank:  # its rows would meet another axis
            raise NotExpressible(f"a value of shape {describe(value.shape)} with one of {rank} axes")
    broadcasts = any(() in value.groups for value in computed) and any(
        np.size(value) > 1 for value in values if not isinstance(value, Tensor)
    )
    joined = any(len(group) > 1 for value in computed for group in value.groups)
    alike = len({(value.groups, tuple(value.sizes) if joined else None) for value in computed}) == 1
    if broadcasts or not alike:
        computed = [value.simple() for value in computed]
    keeps = len({value.groups for value in computed}) == 1
    like = computed[0] if keeps else Tensor.of(computed[0].plain())
    known = iter(computed)
    found: list[Any] = []
    for value in values:
        if isinstance(value, Tensor):
            one = next(known)
            found.append(one.tensor if keeps else one.plain())
        else:
            found.append(_in_groups(value, like))
    return found, like.groups


def _in_groups(value: Any, like: Tensor) -> Any:
    """A constant that broadcasts with a value, for the tensor of that; the axis of rows is left out."""
    array = np.asarray(value)
    array = array.astype(np.float64) if array.dtype.kind in "biu" else array
    if array.size == 1:
        number = float(array.reshape(()))
        return array.reshape(1) if math.isnan(number) else number
    array = array.reshape((1,) * (like.rank - array.ndim) + array.shape)
    sizes: list[int] = []
    order: list[int] = []
    for size, group in zip(array.shape, like.groups):
        order += group
        if size > 1 and 0 in group:
            raise NotExpressible(f"a constant of shape {np.shape(value)}, with other numbers for each row")
        sizes += [size if len(group) == 1 or size == 1 else like.sizes[axis] for axis in group]
    missing = [axis for axis in range(len(like.sizes)) if axis not in order]  # of size 1
    array = array.reshape([*sizes, *[1] * len(missing)]).transpose(np.argsort([*order, *missing]))
    return array[0]


def _enter_binary(name: str, function: Callable[..., Any]) -> None:
    @reads(name)
    def read(node: Operator) -> Tensor:
        node.forbid(broadcast=0)
        values, axes = aligned(node.inputs)
        result = values[0]
        for value in values[1:]:
            result = function(result, value)
        return Tensor(result, axes)


for _name, _function in _BINARY.items():
    _enter_binary(_name, _function)


@reads("Mean")
def _mean(node: Operator) -> Tensor:
    values, axes = aligned(node.inputs)
    total = values[0]
    for value in values[1:]:
        total = ops.add(total, value)
    return Tensor(ops.divide(total, float(len(values))), axes)


@reads("Where")
def _where(node: Operator) -> Tensor:
    values, axes = aligned(node.inputs)
    return Tensor(ops.where(*values), axes)


@reads("Mod")
def _mod(node: Operator) -> Tensor:
    (a, b), axes = aligned(node.inputs)
    if node.get("fmod", 0):
        return Tensor(ops.subtract(a, ops.multiply(_truncate(ops.divide(a, b)), b)), axes)
    return Tensor(ops.mod(a, b), axes)


@reads("Clip")
def _clip(node: Operator) -> Tensor:
    value = node.value()
    low, high = (node.parameter(i, name) for i, name in ((1, "min"), (2, "max")))
    x = value.tensor
    x = ops.maximum(x, float(low)) if low is not None else x
    return Tensor(ops.minimum(x, float(high)) if high is not None else x, value.groups)


@reads("Cast", "CastLike")
def _cast(node: Operator) -> Tensor:
    """To integers: without what is behind the point, unless they lead to rows of a table, which drops it itself."""
    from onnx import TensorProto

    value = node.value()
    to = node.get("to", TensorProto.FLOAT)
    if to == TensorProto.BOOL:
        return value.apply(lambda x: ops.not_equal(x, 0.0))
    if to in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16):
        return value
    if all(use.op_type == "Gather" for use in node.reader.uses.get(node.outputs[0], [])):
        return value
    return value.apply(_truncate)


@reads("Identity", "Dropout", "Constant")
def _identity(node: Operator) -> Any:
    if node.type == "Constant":
        return _constant(node)
    return [node.given(0), None][: node.n_outputs]


def _constant(node: Operator) -> np.ndarray:
    from onnx import numpy_helper

    ((name, value),) = node.attributes.items()
    if name == "value":
        return numpy_helper.to_array(value)
    dtype = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}.get(name)
    if dtype is None:
        raise NotExpressible(name)
    return np.asarray(value, dtype)


@reads("Softmax", "LogSoftmax")
def _softmax(node: Operator) -> Tensor:
    value, old = node.value(), node.opset < 13
    axis = node.axis(default=1 if old else -1)
    if old and axis != value.rank - 1:
        raise NotExpressible(f"axis={axis} of opset {node.opset}, which joins the axes from there on")
    value = value if len(value.groups[axis]) == 1 else value.simple()
    return value.apply(ops.softmax if node.type == "Softmax" else ops.log_softmax, axis=value.groups[axis][0])


# ---- reductions -----------------------------------------------------------------------------------

#: By the end of the name of the operator.
_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "Sum": ops.sum, "Mean": ops.mean, "Prod": ops.prod, "Max": ops.max, "Min": ops.min, "LogSumExp": ops.logsumexp,
    "L1": lambda x, **more: ops.sum(ops.abs(x), **more), "L2": lambda x, **more: ops.sqrt(ops.sum(ops.square(x), **more)),
    "SumSquare": lambda x, **more: ops.sum(ops.square(x), **more), "LogSum": lambda x, **more: ops.log(ops.sum(x, **more)),
}  # fmt: skip


def _enter_reduction(name: str, function: Callable[..., Any]) -> None:
    @reads(f"Reduce{name}")
    def read(node: Operator) -> Tensor:
        value = node.tensor()
        given = node.parameter(1, "axes")
        if given is None and node.get("noop_with_empty_axes", 0):
            return value
        axes = range(value.rank) if given is None else [int(axis) % value.rank for axis in np.ravel(given)]
        keepdims = bool(node.get("keepdims", 1))
        inner = [value.axes[axis] for axis in axes]
        if 0 in inner:
            raise NotExpressible("over the rows")
        return without(value, function(value.tensor, axis=tuple(sorted(inner)), keepdims=keepdims), axes, keepdims)


for _name, _function in _REDUCTIONS.items():
    _enter_reduction(_name, _function)


@reads("ArgMax", "ArgMin")
def _argmax(node: Operator) -> Tensor:
    value = node.tensor()
    node.forbid(select_last_index=0)
    axis, keepdims = node.axis(default=0), bool(node.get("keepdims", 1))
    if value.axes[axis] == 0:
        raise NotExpressible("over the rows")
    function = ops.argmax if node.type == "ArgMax" else ops.argmin
    return without(value, function(value.tensor, axis=value.axes[axis], keepdims=keepdims), [axis], keepdims)


@reads("CumSum")
def _cumsum(node: Operator) -> Tensor:
    value = node.tensor()
    node.forbid(exclusive=0)
    axis = value.axes[int(node.constant(1)) % value.rank]
    turned = ops.flip(value.tensor, axis) if node.get("reverse", 0) else value.tensor
    summed = ops.cumsum(turned, axis=axis)
    return Tensor(ops.flip(summed, axis) if node.get("reverse", 0) else summed, value.groups)


@reads("TopK")
def _top_k(node: Operator) -> list[Tensor]:
    value, axis = node.tensor(), node.axis()
    k = int(np.ravel(node.parameter(1, "k"))[0])
    if value.axes[axis] == 0:
        raise NotExpressible("over the rows")
    along = value.axes[axis]
    order = ops.argsort(value.tensor if not node.get("largest", 1) else ops.negative(value.tensor), axis=along)
    places = order[tuple([slice(None)] * along + [slice(0, k)])]
    numbers = ops.take_along_axis(value.tensor, places, axis=along)
    return [Tensor(numbers, value.groups), Tensor(places, value.groups)]


# ---- products -------------------------------------------------------------------------------------


def _dense(node: Operator, value: Tensor, kernel: np.ndarray, bias: np.ndarray | None) -> Tensor:
    """A layer Dense on the last axis."""
    layer = node.layer(layers.Dense, kernel, bias, units=kernel.shape[1], use_bias=bias is not None)
    x, leading = value.with_last(1)
    y = layer(x)
    return Tensor(y, [*leading, len(y.shape) - 1])


@reads("MatMul")
def _matmul(node: Operator) -> Any:
    a, b = node.inputs[:2]
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return _product(a, b)
    if isinstance(a, Tensor) and np.ndim(b) == 2:
        return _dense(node, a, b, _bias_behind(node, b.shape[1]))
    if isinstance(a, Tensor):
        return ops.matmul(a.plain(), b[0] if np.ndim(b) == a.rank and len(b) == 1 else b)
    return ops.matmul(a[0] if np.ndim(a) == b.rank and len(a) == 1 else a, b.plain())


def _bias_behind(node: Operator, units: int) -> np.ndarray | None:
    """The constant that is added to the product and to nothing else, which becomes the bias of the layer."""
    reader, product = node.reader, node.outputs[0]
    uses = reader.uses.get(product, [])
    if len(uses) != 1 or uses[0].op_type != "Add" or product in reader.ends:
        return None
    name = next((one for one in uses[0].input if one != product), "")
    bias = reader.values.get(name)
    if not isinstance(bias, np.ndarray) or bias.shape not in ((units,), (1, units)):
        return None
    reader.absorbed[uses[0].output[0]] = product
    return bias.ravel()


def _product(a: Tensor, b: Tensor) -> Any:
    """Of two computed values; rows may be joined with other axes that both have."""
    if a.shape[:-2] != b.shape[:-2]:
        return ops.matmul(a.plain(), b.plain())
    (x, leading), (y, other) = a.with_last(2), b.with_last(2)
    if leading != other or x.shape[:-2] != y.shape[:-2]:
        return ops.matmul(a.plain(), b.plain())
    product = ops.matmul(x, y)
    n = len(product.shape)
    return Tensor(product, [*leading, n - 2, n - 1])


@reads("Gemm")
def _gemm(node: Operator) -> Tensor:
    node.forbid(transA=0)
    value, kernel = node.value(), node.constant(1)
    kernel = (kernel.T if node.get("transB", 0) else kernel) * node.get("alpha", 1.0)
    bias = node.constant(2)
    if bias is not None:
        if bias.ndim == 2 and len(bias) != 1:
            raise NotExpressible("C with other numbers for each row")
        bias = np.broadcast_to(np.ravel(bias), kernel.shape[1:]) * node.get("beta", 1.0)
    return _dense(node, value, kernel, bias)


@reads("Einsum")
def _einsum(node: Operator) -> Any:
    values = [value.plain() if isinstance(value, Tensor) else value for value in node.inputs]
    return ops.einsum(node.get("equation"), *values)
