"""Convolutions, pooling, and what moves the pixels of images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ._operations import Node, Value, adapts, shape_of
from ._program import Array

__all__ = ["concatenation_places", "convolution_window", "padding_places", "pooling_window"]

_VALID, _SAME, _CAUSAL = range(3)


class _Axis(NamedTuple):
    """An axis that a window goes over; `before`: pixels that are absent before the image."""

    size: int
    out: int
    window: int
    stride: int
    dilation: int = 1
    before: int = 0


def _image(shape: Sequence[int]) -> tuple[int, int, int]:
    """Height, width, channels; a series has height 1."""
    height, width, channels = (1, *shape) if len(shape) == 2 else shape
    return height, width, channels


def _window(node: Node, axes: Sequence[_Axis], channels: int, filters: int, groups: int = 1) -> Array:
    """A fnp_window."""
    y, x = axes
    values = [
        y.size, x.size, channels, y.out, x.out, filters, y.window, x.window, y.stride, x.stride, y.dilation, x.dilation,
        y.before, x.before, groups,
    ]  # fmt: skip
    return node.constant(np.array(values), "window", "fnp_window")


# ---- convolutions ---------------------------------------------------------------------------------------


def _attributes_of(node: Node, axis: int) -> tuple[int, int, int]:
    name = ("height", "width")[axis]
    return tuple(int(node.attributes[f"{kind}_{name}"]) for kind in ("window", "stride", "dilation"))  # type: ignore[return-value]


def _convolution_axis(node: Node, axis: int) -> _Axis:
    size, out = _image(node.inputs[0].shape)[axis], _image(node.outputs[0].shape)[axis]
    window, stride, dilation = _attributes_of(node, axis)
    extent = (window - 1) * dilation + 1
    padding, before = int(node.attributes["padding"]), 0
    if padding == _SAME:
        before = max((out - 1) * stride + extent - size, 0) // 2
    elif padding == _CAUSAL:
        before = extent - 1
    return _Axis(size, out, window, stride, dilation, before)


def _transposed_axis(node: Node, axis: int) -> _Axis:
    """Of the convolution that this one is the gradient of: its image is the output."""
    size, out = _image(node.outputs[0].shape)[axis], _image(node.inputs[0].shape)[axis]
    window, stride, dilation = _attributes_of(node, axis)
    over = (out - 1) * stride + (window - 1) * dilation + 1 - size
    before = max(over, 0) // 2 if int(node.attributes["padding"]) == _SAME else 0
    return _Axis(size, out, window, stride, dilation, before)


def convolution_window(node: Node) -> Array:
    """The fnp_window of a convolution."""
    channels, filters = node.inputs[0].shape[-1], node.outputs[0].shape[-1]
    if node.op == "transposed_convolution":
        return _window(node, [_transposed_axis(node, axis) for axis in (0, 1)], filters, channels)
    groups = int(node.attributes["groups"]) if node.op == "convolution" else filters // channels
    return _window(node, [_convolution_axis(node, axis) for axis in (0, 1)], channels, filters, groups)


@adapts("convolution", "depthwise_convolution", "transposed_convolution")
def _convolution(node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    filters, window = y.shape[-1], convolution_window(node)
    n = node.rows * y.size
    before, saved = node.activated(y.array, n)
    biased = bool(node.attributes["use_bias"])
    node.run(f"fnp_{node.op}", kernel=node.parameters[0], bias=node.parameters[1] if biased else None, y=before, window=window)
    node.activate(before, y.array, n)
    node.differentiate_activation(saved, y.gradient, n)
    if x.gradient is not None or node.gradients[0] is not None:
        node.differentiate(f"fnp_{node.op}_backward", kernel=node.parameters[0], dkernel=node.gradients[0], window=window)
    if biased and node.gradients[1] is not None:
        node.differentiate("fnp_bias_backward", dbias=node.gradients[1], positions=n // filters, width=filters)


# ---- pooling --------------------------------------------------------------------------------------------


def _pooling_axis(node: Node, axis: int) -> _Axis:
    name = ("height", "width")[axis]
    size, out = _image(node.inputs[0].shape)[axis], _image(node.outputs[0].shape)[axis]
    window, stride = (int(node.attributes[f"{kind}_{name}"]) for kind in ("pool", "stride"))
    if not node.attributes["same"]:
        return _Axis(size, out, window, stride)
    window = min(window, 2 * size)
    return _Axis(size, out, window, stride, 1, max((out - 1) * stride + window - size, 0) // 2)


def pooling_window(node: Node) -> Array:
    """The fnp_window of pooling."""
    channels = node.inputs[0].shape[-1]
    return _window(node, [_pooling_axis(node, axis) for axis in (0, 1)], channels, channels)


@adapts("max_pooling", "average_pooling")
def _pooling(node: Node) -> None:
    window = pooling_window(node)
    node.run(f"fnp_{node.op}", window=window)
    node.differentiate(f"fnp_{node.op}_backward", window=window)


# ---- places ---------------------------------------------------------------------------------------------


def concatenation_places(node: Node) -> Iterator[tuple[Value, dict[str, int]]]:
    """Each input, and where it is copied to."""
    y = node.outputs[0]
    axis, start = int(node.attributes["axis"]) % len(y.shape), 0
    whole = math.prod(y.shape[axis:])
    for value in node.inputs:
        piece = math.prod(value.shape[axis:])
        places = {
            "blocks": node.rows * (y.size // whole), "x_step": piece, "y_step": whole, "x_start": 0, "y_start": start,
            "lines": 1, "x_line": 0, "y_line": 0, "run": piece,
        }  # fmt: skip
        yield value, places
        start += piece


@adapts("concatenate")
def _concatenate(node: Node) -> None:
    y = node.outputs[0]
    for value, places in concatenation_places(node):
        node.run("fnp_copy_lines", x=value.array, **places)
        if value.gradient is not None:
            node.differentiate("fnp_add_lines", x=value.gradient, y=y.gradient, **places)


def padding_places(node: Node) -> tuple[dict[str, int] | None, bool]:
    """Where what is inside is copied to, None where nothing is; and whether there is anything else."""
    x, y = node.inputs[0], node.outputs[0]
    height, width, channels = _image(x.shape)
    out_height, out_width, _ = _image(y.shape)
    top, left = int(node.attributes["top"]), int(node.attributes["left"])
    first_row, end_row = max(0, -top), min(height, out_height - top)
    first_column, end_column = max(0, -left), min(width, out_width - left)
    lines, columns = end_row - first_row, end_column - first_column
    inside = lines > 0 and columns > 0
    places = {
        "blocks": node.rows, "x_step": x.size, "y_step": y.size,
        "x_start": (first_row * width + first_column) * channels,
        "y_start": ((first_row + top) * out_width + first_column + left) * channels,
        "lines": lines, "x_line": width * channels, "y_line": out_width * channels, "run": columns * channels,
    }  # fmt: skip
    return places if inside else None, not inside or lines * columns < out_height * out_width


@adapts("pad")
def _pad(node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    places, surrounded = padding_places(node)
    if surrounded:
        node.run("fnp_zero", x=y.array, n=node.rows * y.size)
    if places is None:
        return
    node.run("fnp_copy_lines", **places)
    node.differentiate("fnp_add_lines", x=x.gradient, y=y.gradient, **places)


def _merged(sizes: Sequence[int], steps: Sequence[int]) -> list[tuple[int, int]]:
    """(size, step) of the axes, without those of size 1, what stays beside its neighbour taken together with it."""
    axes: list[tuple[int, int]] = []
    for size, step in zip(sizes, steps):
        if size == 1:
            continue
        if axes and axes[-1][1] == step * size:
            size *= axes.pop()[0]
        axes.append((size, step))
    return axes


def _strided(node: Node, axes: Sequence[tuple[int, int]], spread: int, dense: int, offset: int, adds: bool = False) -> None:
    """Numbers of samples of `spread` numbers, at regular distances, as samples of `dense`; with `adds` the other way."""
    table = node.constant(np.array([size for size, _ in axes] + [step for _, step in axes]), "axes", "fnp_int")
    places = {"axes": table, "rank": len(axes), "spread": spread, "dense": dense, "offset": offset}
    x, y = node.inputs[0], node.outputs[0]
    if adds:
        node.run("fnp_zero", x=y.array, n=node.rows * y.size)
        node.run("fnp_add_strided", x=y.array, y=x.array, **places)
        if node.differentiates:
            buffer = node.buffer(node.rows * dense)
            node.differentiate("fnp_take_strided", x=y.gradient, y=buffer, **places)
            node.differentiate("fnp_add_to", x=buffer, y=x.gradient, n=node.rows * dense)
    else:
        node.run("fnp_take_strided", **places)
        node.differentiate("fnp_add_strided", x=x.gradient, y=y.gradient, **places)


@adapts("permute")
def _permute(node: Node) -> None:
    shape = node.inputs[0].shape
    strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    order = [int(node.attributes[f"axis_{i}"]) for i in range(len(shape))]
    axes = _merged([shape[axis] for axis in order], [strides[axis] for axis in order])
    if len(axes) < 2:
        node.view()
        return
    _strided(node, axes, node.inputs[0].size, node.inputs[0].size, 0)


@adapts("strided_copy")
def _strided_copy(node: Node) -> None:
    rank, adds = int(node.attributes["rank"]), node.attributes["length"] > 0
    sizes, steps = shape_of(node.attributes), [int(node.attributes[f"stride_{i}"]) for i in range(rank)]
    dense, spread = node.outputs[0].size, node.inputs[0].size
    if adds:
        dense, spread = spread, dense
    _strided(node, _merged(sizes, steps) or [(1, 1)], spread, dense, int(node.attributes["offset"]), adds)


def _taps(size: int, out: int, bilinear: bool) -> tuple[np.ndarray, np.ndarray]:
    """The pixels, one or two for each output, that it is made of, and the share of the second."""
    # Twice n times the place of the output's middle, less half a pixel where bilinear: whole numbers.
    places = (2 * np.arange(out) + 1) * size - (out if bilinear else 0)
    low = places // (2 * out)
    pixels = np.stack([low, low + 1], axis=1) if bilinear else low
    return np.clip(pixels, 0, size - 1), (places - low * 2 * out) / (2 * out)


@adapts("resize")
def _resize(node: Node) -> None:
    height, width, channels = _image(node.inputs[0].shape)
    out_height, out_width, _ = _image(node.outputs[0].shape)
    bilinear = bool(node.attributes["bilinear"])
    lines, line_shares = _taps(height, out_height, bilinear)
    columns, column_shares = _taps(width, out_width, bilinear)
    names = {
        "lines": node.constant(lines * (width * channels), "lines", "fnp_int"),
        "columns": node.constant(columns * channels, "columns", "fnp_int"),
        "out_height": out_height,
        "out_width": out_width,
    }
    if bilinear:
        names["line_shares"] = node.constant(line_shares, "line_shares")
        names["column_shares"] = node.constant(column_shares, "column_shares")
    kind = "bilinear" if bilinear else "nearest"
    node.run(f"fnp_resize_{kind}", **names)
    node.differentiate(f"fnp_resize_{kind}_backward", **names)
