"""The derivative of each operation of the engine by its inputs, written in operations: one table.

A rule takes an operation and the gradients of its outputs (None: nothing flows into that output), within the call of a layer, and
returns the gradients of its inputs (None: the gradient stops). As they are operations themselves, they have derivatives, by their
inputs and by the weights in them. Axes are those of a sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import _core, activations
from .._graph import Operation, SymbolicTensor
from ._emission import emit, parameters_of
from ._slopes import FUNCTION_DERIVATIVES, OF_THREE, PLAIN, SLOPES_OF_OPERAND, SLOPES_OF_VALUE, STEPS, spread, where
from .elementwise import apply
from .reductions import reduce_over
from .shapes import permute_to, reshape_to

__all__ = ["DERIVATIVES", "add_up", "refuse"]

Gradients = Sequence[Any]
Rule = Callable[[Operation, Gradients], Gradients]

#: By operation of the engine.
DERIVATIVES: dict[str, Rule] = {}


def _derivative_of(*ops: str) -> Callable[[Rule], Rule]:
    def enter(rule: Rule) -> Rule:
        DERIVATIVES.update(dict.fromkeys(ops, rule))
        return rule

    return enter


def refuse(operation: Operation, why: str = "") -> NotImplementedError:
    """The error for an operation whose derivative is no operation."""
    return NotImplementedError(
        f"layer {operation.layer._label!r}: its operation {operation.op!r}{why} has no derivative in operations, so that no gradient "
        "by the inputs can be a part of a model; docs/mathematics.md lists the layers that have one"
    )


# ---- shapes --------------------------------------------------------------------------------------------------


def _last(name: str, x: SymbolicTensor) -> SymbolicTensor:
    return reduce_over(name, x, [len(x.sample_shape) - 1])


def _gather(gradient: SymbolicTensor, shape: tuple[int, ...]) -> SymbolicTensor:
    """Sums over the axes along which an operand of this shape was repeated."""
    given = gradient.sample_shape
    more = len(given) - len(shape)
    axes = [i for i, size in enumerate(given) if i < more or shape[i - more] != size]
    return reshape_to(reduce_over("sum", gradient, axes) if axes else gradient, shape)


def add_up(gradients: Sequence[SymbolicTensor]) -> SymbolicTensor:
    """The sum of the gradients that reach one tensor."""
    total = gradients[0]
    for one in gradients[1:]:
        total = apply("add", total, one)
    return total


def _crop(x: SymbolicTensor, before: Sequence[int], sizes: Sequence[int]) -> SymbolicTensor:
    """Rows and columns of an image from `before` on, and so many; zeros where there are none."""
    edges = {}
    names = (("top", "bottom"), ("left", "right"))[2 - len(before) :]
    for (start, end), first, size, given in zip(names, before, sizes, x.sample_shape):
        edges |= {start: -first, end: size - (given - first)}
    return emit("pad", [x], edges) if any(edges.values()) else x


_FUNCTIONS = list(_core.registry("functions"))


@_derivative_of("elementwise")
def _elementwise(operation: Operation, gradients: Gradients) -> Gradients:
    attributes, (dy,), y = operation.attributes, gradients, operation.outputs[0]
    name = _FUNCTIONS[int(attributes["function"])]
    found: list[list[SymbolicTensor]] = [[] for _ in operation.inputs]
    if name not in STEPS:
        operands: list[Any] = []
        places: list[int | None] = []
        for k in range(3):
            kind = int(attributes.get(f"operand_{k}", 0 if k == 0 else -2))
            if kind == -2:
                continue
            places.append(kind if 0 <= kind < 3 else None)
            if kind == -1:
                operands.append(attributes.get(f"scalar_{k}", 0.0))
            elif kind < 3:
                operands.append(operation.inputs[kind])
            else:
                weight = parameters_of(operation)[kind - 3]
                operands.append(weight if name in PLAIN else spread(weight, y))
        if name not in FUNCTION_DERIVATIVES:
            raise refuse(operation, f" of the function {name!r}")
        rules: Any = FUNCTION_DERIVATIVES[name]
        more = [] if name in OF_THREE else [y]
        for place, rule in zip(places, rules if isinstance(rules, tuple) else (rules,)):
            gradient = rule(*operands, *more, dy) if place is not None and rule is not None else None
            if gradient is not None:
                found[place].append(_gather(gradient, operation.inputs[place].sample_shape))
    return [add_up(one) if one else None for one in found]


# ---- activations ---------------------------------------------------------------------------------------------


def _before_activation(operation: Operation, dy: SymbolicTensor, x: SymbolicTensor | None = None) -> SymbolicTensor:
    """The gradient of what an operation applies its activation to: of x, or of what is computed again where that is needed."""
    attributes = operation.attributes
    name = activations.name_of(attributes.get("activation", _core.activation_index("linear")))
    alpha = float(attributes.get("alpha", 0.0))
    if name == "linear":
        return dy
    if name in SLOPES_OF_VALUE:
        return dy * SLOPES_OF_VALUE[name](operation.outputs[0], alpha)
    if name not in SLOPES_OF_OPERAND:
        raise refuse(operation, f" with the activation {name!r}")
    if x is None:
        plain = {**attributes, "activation": _core.activation_index("linear")}
        x = emit(operation.op, operation.inputs[: operation.n_inputs], plain, parameters_of(operation))
    return dy * SLOPES_OF_OPERAND[name](x, alpha)


@_derivative_of("activation")
def _activation(operation: Operation, gradients: Gradients) -> Gradients:
    return [_before_activation(operation, gradients[0], operation.inputs[0])]


@_derivative_of("softmax")
def _softmax(operation: Operation, gradients: Gradients) -> Gradients:
    (dy,), y = gradients, operation.outputs[0]
    return [y * (dy - _last("sum", dy * y))]


@_derivative_of("log_softmax")
def _log_softmax(operation: Operation, gradients: Gradients) -> Gradients:
    (dy,), y = gradients, operation.outputs[0]
    return [dy - apply("exp", y) * _last("sum", dy)]


# ---- products ------------------------------------------------------------------------------------------------


@_derivative_of("dense")
def _dense(operation: Operation, gradients: Gradients) -> Gradients:
    dz = _before_activation(operation, gradients[0])
    return [emit("transposed_dense", [dz], {"units": operation.inputs[0].sample_shape[-1]}, parameters_of(operation)[:1])]


@_derivative_of("transposed_dense")
def _transposed_dense(operation: Operation, gradients: Gradients) -> Gradients:
    units = operation.inputs[0].sample_shape[-1]
    return [emit("dense", gradients, {"units": units, "use_bias": 0}, parameters_of(operation))]


@_derivative_of("matmul")
def _multiplied(operation: Operation, gradients: Gradients) -> Gradients:
    """``da' = dy b'^T`` and ``db' = a'^T dy``, or their transposes where a or b is multiplied as its own."""
    given, (dy,) = operation.attributes, gradients
    parameter, flags = int(given.get("parameter", 0)), [int(given.get(f"transpose_{k}", 0)) for k in range(2)]
    operands: list[Any] = list(operation.inputs[: operation.n_inputs])
    if parameter:
        operands.insert(parameter - 1, None)
    found = []
    for k, operand in enumerate(operands):
        if operand is None:
            continue
        pair = [(dy, 0), (operands[1 - k], 1 - flags[1 - k])]  # of a: dy b'^T
        if k == 1:
            pair = [(operands[0], 1 - flags[0]), (dy, 0)]
        if flags[k]:
            pair = [(one, 1 - flag) for one, flag in reversed(pair)]
        attributes = {**given, "transpose_0": pair[0][1], "transpose_1": pair[1][1]}
        attributes["parameter"] = next((i + 1 for i, (one, _) in enumerate(pair) if one is None), 0)
        product = emit("matmul", [one for one, _ in pair if one is not None], attributes, parameters_of(operation))
        found.append(_gather(product, operand.sample_shape))
    return found


def _window(operation: Operation, axis: str) -> tuple[int, int]:
    """What a window reaches over along an axis, and its step."""
    given = operation.attributes
    extent = int((given.get(f"window_{axis}", 1) - 1) * given.get(f"dilation_{axis}", 1)) + 1
    return extent, int(given.get(f"stride_{axis}", 1))


def _of_window(operation: Operation, filters: int) -> dict[str, float]:
    """The attributes of the transposed operation, without padding."""
    names = ["window_height", "window_width", "stride_height", "stride_width", "dilation_height", "dilation_width"]
    kept = {name: operation.attributes[name] for name in names if name in operation.attributes}
    return {**kept, "filters": filters, "padding": 0, "use_bias": 0}


def _axes_of_image(operation: Operation, image: Sequence[int], windows: Sequence[int]) -> list[tuple[int, int, int]]:
    """Of height and width, or of width alone: the size, what windows of `padding` begin before it, and what all of them reach."""
    padding = ("valid", "same", "causal")[int(operation.attributes.get("padding", 0))]
    found = []
    for axis, size, count in zip(("height", "width")[3 - len(image) :], image, windows):
        extent, stride = _window(operation, axis)
        reach = (count - 1) * stride + extent
        before = {"valid": 0, "same": max(reach - size, 0) // 2, "causal": extent - 1}[padding]
        found.append((size, before, reach))
    return found


@_derivative_of("convolution")
def _convolution(operation: Operation, gradients: Gradients) -> Gradients:
    if operation.attributes.get("groups", 1) != 1:
        raise refuse(operation, " with groups")
    image, windows = operation.inputs[0].sample_shape, operation.outputs[0].sample_shape
    dz = _before_activation(operation, gradients[0])
    whole = emit("transposed_convolution", [dz], _of_window(operation, image[-1]), parameters_of(operation)[:1])
    axes = _axes_of_image(operation, image, windows[:-1])
    return [_crop(whole, [before for _, before, _ in axes], [size for size, _, _ in axes])]


@_derivative_of("transposed_convolution")
def _transposed_convolution(operation: Operation, gradients: Gradients) -> Gradients:
    windows, image = operation.inputs[0].sample_shape, operation.outputs[0].sample_shape
    axes = _axes_of_image(operation, image, windows[:-1])
    dz = _crop(_before_activation(operation, gradients[0]), [-before for _, before, _ in axes], [reach for _, _, reach in axes])
    return [emit("convolution", [dz], _of_window(operation, windows[-1]), parameters_of(operation)[:1])]


# ---- sums, merges, maps ----------------------------------------------------------------------------------------


def _product_of_others(x: SymbolicTensor, axes: Sequence[int]) -> SymbolicTensor:
    """For each number the product of the others over axes, without a division, so that zeros have derivatives as well."""
    shape, rank = x.sample_shape, len(x.sample_shape)
    order = [axis for axis in range(rank) if axis not in axes] + list(axes)
    moved = permute_to(x, order)
    n = math.prod(shape[axis] for axis in axes)
    table = where(np.eye(n), 1.0, reshape_to(moved, (math.prod(shape) // n, 1, n)))
    found = reshape_to(_last("prod", table), moved.sample_shape)
    return permute_to(found, [order.index(axis) for axis in range(rank)])


@_derivative_of("reduce")
def _reduced(operation: Operation, gradients: Gradients) -> Gradients:
    x, y, attributes = operation.inputs[0], operation.outputs[0], operation.attributes
    name = _core.attribute_choices("reduce", "function")[int(attributes.get("function", 0))]
    axes = [i for i in range(len(x.sample_shape)) if int(attributes.get("axes", 1)) >> i & 1]
    kept = [1 if i in axes else size for i, size in enumerate(x.sample_shape)]
    dy = reshape_to(gradients[0], kept)
    if name == "sum":
        return [spread(dy, x)]
    if name == "mean":
        return [spread(dy / math.prod(x.sample_shape[axis] for axis in axes), x)]
    if name == "prod":
        return [dy * _product_of_others(x, axes)]
    reached = apply("equal", x, reshape_to(y, kept))
    return [dy * (reached / reduce_over("sum", reached, axes))]


@_derivative_of("add")
def _add(operation: Operation, gradients: Gradients) -> Gradients:
    return [gradients[0]] * len(operation.inputs)


@_derivative_of("average")
def _average(operation: Operation, gradients: Gradients) -> Gradients:
    return [gradients[0] / len(operation.inputs)] * len(operation.inputs)


@_derivative_of("subtract")
def _subtract(operation: Operation, gradients: Gradients) -> Gradients:
    return [gradients[0], -gradients[0]]


@_derivative_of("multiply")
def _multiply(operation: Operation, gradients: Gradients) -> Gradients:
    found = []
    for i in range(len(operation.inputs)):
        product = gradients[0]
        for other in operation.inputs[:i] + operation.inputs[i + 1 :]:
            product = product * other
        found.append(product)
    return found


@_derivative_of("maximum", "minimum")
def _extremum(operation: Operation, gradients: Gradients) -> Gradients:
    """The first of equal ones has all of it."""
    (left,), y, found = gradients, operation.outputs[0], []
    for x in operation.inputs:
        reached = apply("equal", x, y)
        found.append(where(reached, left, 0.0))
        left = where(reached, 0.0, left)
    return found


@_derivative_of("affine")
def _affine(operation: Operation, gradients: Gradients) -> Gradients:
    return [gradients[0] * (parameters_of(operation)[0] if parameters_of(operation) else operation.attributes.get("scale", 1.0))]


@_derivative_of("scale")
def _scale(operation: Operation, gradients: Gradients) -> Gradients:
    return [emit("scale", gradients, {}, parameters_of(operation))]


def _normalized(operation: Operation, gradients: Gradients, shape: Sequence[int], axes: Sequence[int], center: bool) -> Gradients:
    """Of a normalisation over axes of x as this shape, with a weight for each channel first where it has one."""
    x = reshape_to(operation.inputs[0], shape)
    has_gamma = operation.op == "rms_normalization" or operation.attributes.get("scale", 1)
    g = reshape_to(gradients[0] * parameters_of(operation)[0] if has_gamma else gradients[0], shape)
    if center:
        x = x - reduce_over("mean", x, axes)
    default = 1e-3 if center else 1e-6
    r = apply("rsqrt", reduce_over("mean", apply("square", x), axes) + operation.attributes.get("epsilon", default))
    h = x * r
    inner = g - h * reduce_over("mean", g * h, axes)
    found = r * (inner - reduce_over("mean", g, axes) if center else inner)
    return [reshape_to(found, operation.inputs[0].sample_shape)]


@_derivative_of("layer_normalization", "rms_normalization")
def _layer_normalization(operation: Operation, gradients: Gradients) -> Gradients:
    shape = operation.inputs[0].sample_shape
    return _normalized(operation, gradients, shape, [len(shape) - 1], operation.op == "layer_normalization")


@_derivative_of("group_normalization")
def _group_normalization(operation: Operation, gradients: Gradients) -> Gradients:
    shape, groups = operation.inputs[0].sample_shape, int(operation.attributes.get("groups", 32))
    groups = shape[-1] if groups == -1 else groups
    return _normalized(operation, gradients, (math.prod(shape[:-1]), groups, shape[-1] // groups), [0, 2], True)


# ---- numbers that move -----------------------------------------------------------------------------------------


@_derivative_of("reshape")
def _reshaped(operation: Operation, gradients: Gradients) -> Gradients:
    return [reshape_to(gradients[0], operation.inputs[0].sample_shape)]


@_derivative_of("permute")
def _permuted(operation: Operation, gradients: Gradients) -> Gradients:
    order = [int(operation.attributes.get(f"axis_{i}", i)) for i in range(len(operation.inputs[0].sample_shape))]
    return [permute_to(gradients[0], [order.index(axis) for axis in range(len(order))])]


@_derivative_of("concatenate")
def _concatenated(operation: Operation, gradients: Gradients) -> Gradients:
    shape = operation.outputs[0].sample_shape
    axis = int(operation.attributes.get("axis", -1)) % len(shape)
    # As images whose columns are what is along the axis.
    dy = reshape_to(gradients[0], (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])))
    found, first = [], 0
    for x in operation.inputs:
        size = x.sample_shape[axis]
        found.append(reshape_to(_crop(dy, [0, first], [dy.sample_shape[0], size]), x.sample_shape))
        first += size
    return found


@_derivative_of("pad")
def _padded(operation: Operation, gradients: Gradients) -> Gradients:
    edges = {name: -value for name, value in operation.attributes.items()}
    return [emit("pad", gradients, edges)]


@_derivative_of("strided_copy")
def _strided(operation: Operation, gradients: Gradients) -> Gradients:
    """Each of its two ways is the derivative of the other."""
    x, length = operation.inputs[0].sample_shape, math.prod(operation.inputs[0].sample_shape)
    attributes = {**operation.attributes, "length": 0.0 if operation.attributes.get("length") else float(length)}
    return [reshape_to(emit("strided_copy", gradients, attributes), x)]


def _windows(operation: Operation) -> list[tuple[int, int]]:
    """Of height and width, or of width alone: how many windows of a pooling there are, and their size; they lie side by side."""
    x, y, given = operation.inputs[0].sample_shape, operation.outputs[0].sample_shape, operation.attributes
    found = []
    for name, of_x, of_y in zip(("height", "width")[3 - len(x) :], x, y):
        pool = int(given.get(f"pool_{name}", 2))
        if pool * of_y != of_x or (of_y > 1 and int(given.get(f"stride_{name}", 2)) != pool):
            raise refuse(operation, ", of windows that overlap or leave something out,")
        found.append((of_y, pool))
    return found


@_derivative_of("average_pooling")
def _average_pooling(operation: Operation, gradients: Gradients) -> Gradients:
    windows = _windows(operation)
    sizes = dict(zip(("height", "width")[2 - len(windows) :], operation.inputs[0].sample_shape))
    return [emit("resize", gradients, sizes) / math.prod(pool for _, pool in windows)]


@_derivative_of("max_pooling")
def _max_pooling(operation: Operation, gradients: Gradients) -> Gradients:
    """Put at the place of the first of the largest in each window."""
    x, windows = operation.inputs[0], _windows(operation)
    counts, pools = zip(*windows)
    n, size, channels = len(windows), math.prod(pools), x.sample_shape[-1]
    parts = (*[one for window in windows for one in window], channels)
    order = [*range(0, 2 * n, 2), *range(1, 2 * n, 2), 2 * n]
    flat = reshape_to(permute_to(reshape_to(x, parts), order), (*counts, size, channels))
    place = emit("argsort", [flat], {"axis": n, "k": 1, "descending": 1})
    dy = reshape_to(gradients[0], (*counts, 1, channels))
    put = emit("scatter", [dy, place], {"function": 0, "axis": n, "along": 1, "n": size})
    apart = permute_to(reshape_to(put, (*counts, *pools, channels)), [order.index(axis) for axis in range(2 * n + 1)])
    return [reshape_to(apart, x.sample_shape)]


@_derivative_of("masked_mean")
def _masked_mean(operation: Operation, gradients: Gradients) -> Gradients:
    x, mask = operation.inputs
    counts = reshape_to(mask, (*mask.sample_shape, 1)) > 0.0
    n = apply("maximum", reduce_over("sum", counts, [0]), 1.0)
    return [spread(gradients[0], x) * (counts / n), None]


@_derivative_of("resize")
def _resized(operation: Operation, gradients: Gradients) -> Gradients:
    x, y = operation.inputs[0].sample_shape, operation.outputs[0].sample_shape
    factors = [b // a for a, b in zip(x[:-1], y[:-1])]
    if operation.attributes.get("bilinear", 0) or any(a * f != b for a, b, f in zip(x[:-1], y[:-1], factors)):
        raise refuse(operation, ", other than of whole pixels,")
    shape = [size for a, f in zip(x[:-1], factors) for size in (a, f)]
    parts = reshape_to(gradients[0], (*shape, x[-1]))
    return [reshape_to(reduce_over("sum", parts, range(1, len(shape), 2)), x)]


# ---- masks, noise, what stops -----------------------------------------------------------------------------------


@_derivative_of("masking")
def _masking(operation: Operation, gradients: Gradients) -> Gradients:
    if gradients[0] is None:
        return [None]
    mask = operation.outputs[1]
    return [gradients[0] * reshape_to(mask, (*mask.sample_shape, 1))]


@_derivative_of("select")
def _select(operation: Operation, gradients: Gradients) -> Gradients:
    mask, a = operation.inputs[:2]
    more = len(a.sample_shape) - len(mask.sample_shape)
    taken = reshape_to(mask, (*mask.sample_shape, *[1] * more)) > 0.0
    found = [None, where(taken, gradients[0], 0.0), where(taken, 0.0, gradients[0])]
    return found[: len(operation.inputs)]


@_derivative_of("in_training")
def _in_training(operation: Operation, gradients: Gradients) -> Gradients:
    dy, nothing = gradients[0], gradients[0] * 0.0
    ways = [[dy, nothing], [nothing, dy]] if len(operation.inputs) > 1 else [[dy]]
    return [operation.layer.emit("in_training", way) for way in ways]


@_derivative_of("activity_regularization", "gaussian_noise", "orthogonal_regularization")
def _same(operation: Operation, gradients: Gradients) -> Gradients:
    """Of what is x as far as the output goes, or x and noise."""
    return gradients[:1]


@_derivative_of("dropout", "gaussian_dropout")
def _dropout(operation: Operation, gradients: Gradients) -> Gradients:
    """The same factors, of the same random numbers."""
    found = operation.layer.emit(operation.op, gradients, operation.attributes)
    found.operation.like = operation.like or operation
    return [found]


@_derivative_of("position_embedding")
def _position_embedding(operation: Operation, gradients: Gradients) -> Gradients:
    return gradients[:1] if operation.attributes.get("add", 0) else [None]


@_derivative_of("embedding")
def _embedding(operation: Operation, gradients: Gradients) -> Gradients:
    """Labels have no derivative."""
    return [None]
