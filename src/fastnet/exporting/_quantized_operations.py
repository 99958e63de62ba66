"""Operations in integers: their calls, and what they compute in NumPy. See `_quantization.py` and csrc/portable/quantized.c."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ._folding import Operation, channel_affine, evaluate
from ._images import concatenation_places, convolution_window, padding_places, pooling_window
from ._operations import Node, Value
from ._program import Array

__all__ = ["QUANTIZED", "Emulation", "Quantized", "Range"]


class Range(NamedTuple):
    """What an array holds for the calibration data, 0 included."""

    lowest: float
    highest: float


class Quantized(Value):
    """A value of the graph in integers."""

    def __init__(self, shape: tuple[int, ...], array: Array, scale: float, zero: int) -> None:
        super().__init__(shape, array)
        self.scale, self.zero = scale, zero

    @classmethod
    def of_range(cls, shape: tuple[int, ...], array: Array, found: Range, at_least: float = 0.0) -> Quantized:
        """With the scale and the zero of a range; the scale is at least what is told."""
        scale = max((found.highest - found.lowest) / 255, at_least) or 1.0
        return cls(shape, array, scale, int(np.clip(np.rint(-128 - found.lowest / scale), -128, 127)))


def limits(value: Quantized, activation: str) -> dict[str, int]:
    """The integers between which a result is, of an activation that clips."""
    lowest = -128 if activation == "linear" else value.zero
    highest = int(min(127, value.zero + np.rint(6 / value.scale))) if activation == "relu6" else 127
    return {"lowest": lowest, "highest": highest}


#: By operation: a function of the node, the operation and the range of its result, which sets the output of the node, appends the
#: calls, and returns a function that computes the integers of the output, for rows of them, from those of the inputs.
Emulation = Callable[..., np.ndarray]
QUANTIZED: dict[str, Callable[[Node, Operation, Range], Emulation]] = {}


def quantizes(
    *ops: str,
) -> Callable[[Callable[[Node, Operation, Range], Emulation]], Callable[[Node, Operation, Range], Emulation]]:
    """Enters a function into the table."""

    def enter(function: Callable[[Node, Operation, Range], Emulation]) -> Callable[[Node, Operation, Range], Emulation]:
        for op in ops:
            QUANTIZED[op] = function
        return function

    return enter


def _result(node: Node, found: Range, at_least: float = 0.0) -> Quantized:
    """The output of a node in integers, for the range of its numbers."""
    y = node.outputs[0]
    made = Quantized.of_range(y.shape, Array(y.array.name, y.size, type="int8_t"), found, at_least)
    node.outputs[0] = made
    return made


def _input(node: Node, i: int = 0) -> Quantized:
    value = node.inputs[i]
    assert isinstance(value, Quantized)
    return value


# ---- products -------------------------------------------------------------------------------------------


class _Weights(NamedTuple):
    """Of a product: integers, and the scale of each column; the bias is in units of the sums, without the zero of x."""

    kernel: np.ndarray
    bias: np.ndarray
    scale: np.ndarray


def _quantize_weights(node: Node, one: Operation) -> _Weights:
    x, columns = _input(node), node.outputs[0].shape[-1]
    kernel = one.parameters[0].reshape(-1, columns)
    bias = one.parameters[1].reshape(-1) if one.attributes["use_bias"] else np.zeros(columns)
    # The largest weight becomes 127; a bias that is large beside the weights must not overflow.
    scale = np.maximum(np.abs(kernel).max(0) / 127, np.abs(bias) / (x.scale * 2**29))
    scale[scale == 0] = scale.max() or 1.0
    integers, start = np.rint(kernel / scale), np.rint(bias / (x.scale * scale))
    largest = np.abs(start - x.zero * integers.sum(0)) + 128 * np.abs(integers).sum(0)
    if largest.max() >= 2**31:
        raise NotImplementedError(f"export: layer {one.layer!r}: sums of {len(kernel)} products can exceed 32 bits")
    return _Weights(integers, start, x.scale * scale)


def _tables(node: Node, weights: _Weights, groups: int = 1) -> dict[str, Any]:
    """The weights as C has them: of each group eight columns at a time, then one by one; and what the sums begin with."""
    parts = []
    for part in np.split(weights.kernel, groups, axis=1):
        whole = part.shape[1] // 8 * 8
        parts += [part[:, j : j + 8].reshape(-1) for j in range(0, whole, 8)] + [part[:, whole:].T.reshape(-1)]
    start = weights.bias - _input(node).zero * weights.kernel.sum(0)
    return {
        "kernel": node.constant(np.concatenate(parts), "kernel", "int8_t"),
        "bias": node.constant(start, "bias", "int32_t"),
    }


def _sums(node: Node, one: Operation, weights: _Weights) -> Emulation:
    """The sums that begin with the bias, computed by the engine: whole numbers in double precision."""
    zero, x, y = _input(node).zero, node.inputs[0].shape, node.outputs[0].shape
    kernel = weights.kernel.reshape(one.parameters[0].shape)
    product = Operation(one.op, one.layer, [0], 1, [kernel, weights.bias], {**one.attributes, "use_bias": 1.0})
    return lambda q: np.rint(evaluate([product], [x, y], {0: q - zero}, [1])[0])


def _shift_of(largest: float) -> int:
    """The largest shift with which a multiplier of largest * 2^(32 + shift) fits."""
    return next(shift for shift in range(20, 0, -1) if largest * 2.0 ** (32 + shift) < 2**31 - 1)


def _requantize(
    sums: np.ndarray, multiplier: np.ndarray, y: Quantized, shift: int, lowest: int = -128, highest: int = 127
) -> Any:
    high = (sums.astype(np.int64) * multiplier.astype(np.int64)) >> 32
    return np.clip((high + ((2 * y.zero + 1) << (shift - 1))) >> shift, lowest, highest).astype(np.float64)


@quantizes("dense", "convolution", "depthwise_convolution")
def _product(node: Node, one: Operation, found: Range) -> Emulation:
    x, weights = _input(node), _quantize_weights(node, one)
    sums = _sums(node, one, weights)
    y = _result(node, found, 4.000001 * float(weights.scale.max()))
    ratio = weights.scale / y.scale
    shift = _shift_of(float(ratio.max()))
    multiplier = np.rint(ratio * 2.0 ** (32 + shift))
    bounds = limits(y, one.activation)
    names: dict[str, Any] = {"multiplier": node.constant(multiplier, "multiplier", "int32_t"), "shift": shift, **bounds}
    names.update(offset=(2 * y.zero + 1) << (shift - 1), zero=x.zero, units=y.shape[-1])
    kernel = one.parameters[0]
    # A depthwise convolution has as many groups as outputs, of one column each.
    groups = y.shape[-1] if one.op == "depthwise_convolution" else int(one.attributes.get("groups", 1))
    # A window of one pixel over all of them makes a convolution a dense layer.
    pointwise = groups == 1 and kernel.size == x.shape[-1] * y.shape[-1] and x.shape[:-1] == y.shape[:-1]
    if one.op == "dense" or (one.op == "convolution" and pointwise):
        node.run("fnp_q_dense", **names, **_tables(node, weights))
    else:
        patch = node.buffer(kernel.size // kernel.shape[-1], "patch")
        patch.type = "int8_t"
        node.run(f"fnp_q_{one.op}", patch=patch, window=convolution_window(node), **names, **_tables(node, weights, groups))
    return lambda q: _requantize(sums(q), multiplier, y, shift, **bounds)


@quantizes("dense_real")
def _dense_real(node: Node, one: Operation, found: Range) -> Emulation:
    weights = _quantize_weights(node, one)
    sums = _sums(node, one, weights)
    tables = _tables(node, weights)
    scale = node.constant(weights.scale, "scale")
    node.run("fnp_q_dense_real", scale=scale, units=node.outputs[0].shape[-1], **tables)
    real = np.float64 if node.forward.library.bits == 64 else np.float32
    highest = {"relu6": 6}.get(one.activation, np.inf)
    lowest = -np.inf if one.activation == "linear" else 0
    return lambda q: np.clip(weights.scale.astype(real) * sums(q).astype(real), lowest, highest)


# ---- factors and terms ----------------------------------------------------------------------------------


def _fixed(factors: Sequence[np.ndarray], terms: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, int]:
    """Factors and terms times 2^shift, with the half for rounding in the terms: no product exceeds 2^29, no term 2^30."""
    largest, term = max(float(np.abs(one).max()) for one in factors), float(np.abs(terms).max())
    shift = next(n for n in range(20, 0, -1) if largest * 2.0**n < 2**22 and term * 2.0**n < 2**29)
    multipliers = [np.rint(one * 2.0**shift).astype(np.int64) for one in factors]
    return multipliers, np.rint(terms * 2.0**shift).astype(np.int64) + (1 << (shift - 1)), shift


@quantizes("batch_normalization", "affine")
def _affine(node: Node, one: Operation, found: Range) -> Emulation:
    x = _input(node)
    width = x.shape[-1] if x.shape else 1
    given = channel_affine(one, width)
    if given is None:
        raise NotImplementedError(
            f"export: layer {one.layer!r} has a factor for each number, quantize='int8' one for each channel"
        )
    scale, term = given
    term = term - scale * x.scale * x.zero
    at_least = max(float(np.abs(scale).max()) * x.scale / 2**20, float(np.abs(term).max()) / 2**27)
    y = _result(node, found, at_least)
    (multiplier,), offset, shift = _fixed([scale * x.scale / y.scale], y.zero + term / y.scale)
    bounds = limits(y, one.activation)
    tables = {
        "multiplier": node.constant(multiplier, "multiplier", "int32_t"),
        "offset": node.constant(offset, "offset", "int32_t"),
    }
    node.run("fnp_q_affine", shift=shift, **tables, **bounds)
    return lambda q: np.clip((q.astype(np.int64) * multiplier + offset) >> shift, *bounds.values()).astype(np.float64)


@quantizes("add")
def _add(node: Node, one: Operation, found: Range) -> Emulation:
    a, b = _input(node), _input(node, len(node.inputs) - 1)
    y = _result(node, found, max(a.scale, b.scale) / 2**18)
    factors = [np.array([value.scale / y.scale]) for value in (a, b)]
    term = y.zero - factors[0] * a.zero - factors[1] * b.zero
    (first, second), offset, shift = _fixed(factors, term)
    bounds = limits(y, one.activation)
    node.run("fnp_q_add", n=y.size, multiplier=first[0], multiplier_1=second[0], offset=offset[0], shift=shift, **bounds)

    def emulate(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        total = p.astype(np.int64) * first + q.astype(np.int64) * second + offset
        return np.clip(total >> shift, *bounds.values()).astype(np.float64)

    return emulate


def _rescaling(x: Quantized, y: Quantized) -> dict[str, int]:
    factor = np.array([x.scale / y.scale])
    (multiplier,), offset, shift = _fixed([factor], y.zero - factor * x.zero)
    return {"multiplier": int(multiplier[0]), "offset": int(offset[0]), "shift": shift}


def _rescale(q: np.ndarray, multiplier: int, offset: int, shift: int) -> np.ndarray:
    return np.clip((q.astype(np.int64) * multiplier + offset) >> shift, -128, 127).astype(np.float64)


@quantizes("concatenate")
def _concatenate(node: Node, one: Operation, found: Range) -> Emulation:
    inputs = [_input(node, i) for i in range(len(node.inputs))]
    y = _result(node, found, max(value.scale for value in inputs) / 2**18)
    scales = [_rescaling(x, y) for x in inputs]
    for (x, places), scale in zip(concatenation_places(node), scales):
        node.run("fnp_q_copy_lines", x=x.array, **places, **scale)
    axis = int(one.attributes["axis"])
    axis = axis + 1 if axis >= 0 else axis
    return lambda *arrays: np.concatenate([_rescale(q, **scale) for q, scale in zip(arrays, scales)], axis)


# ---- what keeps scale and zero --------------------------------------------------------------------------


def _same(node: Node) -> Quantized:
    """The output, with the scale and the zero of the input."""
    x, y = _input(node), node.outputs[0]
    made = Quantized(y.shape, Array(y.array.name, y.size, type="int8_t"), x.scale, x.zero)
    node.outputs[0] = made
    return made


def _by_engine(node: Node, one: Operation, zero: float = 0.0) -> Emulation:
    shapes = [node.inputs[0].shape, node.outputs[0].shape]
    same = Operation(one.op, one.layer, [0], 1, [], one.attributes)
    return lambda q: evaluate([same], shapes, {0: q - zero}, [1])[0] + zero


@quantizes("pad")
def _pad(node: Node, one: Operation, found: Range) -> Emulation:
    y = _same(node)
    places, surrounded = padding_places(node)
    if surrounded:
        node.run("fnp_q_fill", n=y.size, value=y.zero)
    if places is not None:
        node.run("fnp_q_copy_lines", **places, **_rescaling(y, y))
    return _by_engine(node, one, y.zero)


@quantizes("max_pooling")
def _max_pooling(node: Node, one: Operation, found: Range) -> Emulation:
    _same(node)
    node.run("fnp_q_max_pooling", window=pooling_window(node))
    return _by_engine(node, one)


# ---- others ---------------------------------------------------------------------------------------------


@quantizes("average_pooling")
def _average_pooling(node: Node, one: Operation, found: Range) -> Emulation:
    x, window = _input(node), pooling_window(node)
    y = _result(node, found, x.scale / 32)
    assert window.values is not None
    height, width, _, out_height, out_width, _, *sizes = map(int, window.values)
    (window_height, window_width, stride_height, stride_width, _, _, top, left, _) = sizes
    if window_height * window_width > 2**15:
        raise NotImplementedError(
            f"export: layer {one.layer!r}: sums of a window of {window_height} by {window_width} exceed 32 bits"
        )
    ratio = x.scale / (256 * y.scale)
    shift = _shift_of(ratio)
    multiplier = round(ratio * 2.0 ** (32 + shift))
    node.run(
        "fnp_q_average_pooling",
        window=window,
        zero=x.zero,
        multiplier=multiplier,
        shift=shift,
        offset=(2 * y.zero + 1) << (shift - 1),
    )
    mean = _by_engine(node, one, x.zero)
    counts = [
        np.minimum(np.arange(out) * stride - before + size, n) - np.maximum(np.arange(out) * stride - before, 0)
        for out, stride, before, size, n in (
            (out_height, stride_height, top, window_height, height), (out_width, stride_width, left, window_width, width),
        )
    ]  # fmt: skip
    n = np.outer(*counts).astype(np.int64).reshape(*y.shape[:-1], 1)
    return lambda q: _requantize(256 * np.rint((mean(q) - x.zero) * n), multiplier // n, y, shift)


@quantizes("activation")
def _activation(node: Node, one: Operation, found: Range) -> Emulation:
    x = _input(node)
    y = _result(node, found)
    numbers = x.scale * (np.arange(-128, 128) - x.zero).reshape(-1, 1)
    results = evaluate([Operation(one.op, one.layer, [0], 1, [], one.attributes)], [(1,), (1,)], {0: numbers}, [1])[0].reshape(-1)
    table = np.clip(np.rint(results / y.scale) + y.zero, -128, 127)
    node.run("fnp_q_table", table=node.constant(table, "table", "int8_t"), n=y.size)
    return lambda q: table[q.astype(np.int64) + 128]
