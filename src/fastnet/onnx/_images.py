"""Convolutions, pooling, padding and resizing: the engine has channels last, ONNX has them first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._activations import activate
from ._graph import Node, inverse, writes

__all__: list[str] = []

_VALID, _SAME, _CAUSAL = range(3)


def _axes(node: Node) -> tuple[str, ...]:
    """The axes that a window goes over, as the attributes name them: a series has one."""
    return ("height", "width") if len(node.inputs[0].shape) == 3 else ("width",)


def _channels_first(rank: int) -> list[int]:
    return [0, rank - 1, *range(1, rank - 1)]


def _to_first(node: Node) -> str:
    """The input with channels first."""
    return node.graph.transpose(node.x, _channels_first(len(node.inputs[0].shape) + 1))


def _to_last(node: Node, x: str) -> str:
    return node.graph.transpose(x, inverse(_channels_first(len(node.inputs[0].shape) + 1)))


def _around(size: int, extent: int, stride: int, padding: int) -> tuple[int, int]:
    """The zeros before and after an axis."""
    if padding == _VALID:
        return 0, 0
    if padding == _CAUSAL:
        return extent - 1, 0
    total = max((-(-size // stride) - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2


def _given(node: Node, name: str) -> list[int]:
    return [node.integer(f"{name}_{axis}") for axis in _axes(node)]


def _pads(around: Sequence[tuple[int, int]]) -> list[int]:
    """As ONNX lists them: all before, then all after."""
    return [before for before, _ in around] + [after for _, after in around]


def _kernel_first(array: np.ndarray) -> np.ndarray:
    """[window...][channels][filters] as [filters][channels][window...]."""
    window = array.ndim - 2
    return array.transpose(window + 1, window, *range(window))


def _convolve(node: Node, kernel: str, groups: int) -> str:
    strides, dilations, window = _given(node, "stride"), _given(node, "dilation"), _given(node, "window")
    around = [
        _around(size, (w - 1) * d + 1, s, node.integer("padding"))
        for size, w, d, s in zip(node.inputs[0].shape, window, dilations, strides)
    ]
    bias = [node.weight(1)] if node.integer("use_bias") else []
    y = node.graph.add(
        "Conv", _to_first(node), kernel, *bias, group=groups, kernel_shape=window, strides=strides, dilations=dilations, pads=_pads(around)
    )  # fmt: skip
    return _to_last(node, activate(node, y))


@writes("convolution")
def _convolution(node: Node) -> str:
    return _convolve(node, node.weight(0, _kernel_first), node.integer("groups"))


@writes("depthwise_convolution")
def _depthwise_convolution(node: Node) -> str:
    channels = node.inputs[0].shape[-1]

    def by_channels(array: np.ndarray) -> np.ndarray:
        window = array.shape[:-2]
        return np.moveaxis(array.reshape(*window, -1), -1, 0)[:, np.newaxis]

    return _convolve(node, node.weight(0, by_channels), channels)


@writes("transposed_convolution")
def _transposed_convolution(node: Node) -> str:
    g, x, y = node.graph, node.inputs[0].shape, node.shapes[0]
    strides, dilations, window = _given(node, "stride"), _given(node, "dilation"), _given(node, "window")
    around, more, rest = [], [], []
    for size, out, w, d, s in zip(x, y, window, dilations, strides):
        extent = (w - 1) * d + 1
        before, _ = _around(out, extent, s, node.integer("padding"))
        whole = (size - 1) * s + extent  # what the windows of all pixels cover
        after = whole - before - out
        longer = max(-after, 0)
        inside = min(longer, max(s, d) - 1)
        around.append((before, max(after, 0)))
        more.append(inside)
        rest.append(longer - inside)
    result = g.add(
        "ConvTranspose", _to_first(node), node.weight(0, _kernel_first), kernel_shape=window, strides=strides,
        dilations=dilations, pads=_pads(around), output_padding=more,
    )  # fmt: skip
    if any(rest):
        result = g.add("Pad", result, g.integers([0] * (2 + len(rest)) + [0, 0, *rest]))
    result = _to_last(node, result)
    return activate(node, g.add("Add", result, node.weight(1)) if node.integer("use_bias") else result)


@writes("max_pooling", "average_pooling")
def _pooling(node: Node) -> str:
    window, strides = _given(node, "pool"), _given(node, "stride")
    padding = _SAME if node.integer("same") else _VALID
    around = [_around(size, w, s, padding) for size, w, s in zip(node.inputs[0].shape, window, strides)]
    kind, more = ("MaxPool", {}) if node.op == "max_pooling" else ("AveragePool", {"count_include_pad": 0})
    y = node.graph.add(kind, _to_first(node), kernel_shape=window, strides=strides, pads=_pads(around), **more)
    return _to_last(node, y)


@writes("pad")
def _pad(node: Node) -> str:
    g, x = node.graph, node.x
    edges = [("top", "bottom"), ("left", "right")] if len(node.inputs[0].shape) == 3 else [("left", "right")]
    around = [(node.integer(before), node.integer(after)) for before, after in edges]
    grown = [(max(before, 0), max(after, 0)) for before, after in around]
    if any(map(any, grown)):
        x = g.add("Pad", x, g.integers(_pads([(0, 0), *grown, (0, 0)])))
    for axis, (size, (before, after)) in enumerate(zip(node.inputs[0].shape, around)):
        if min(before, after) < 0:
            first = max(-before, 0)
            x = g.slice(x, axis + 1, first, first + size + before + after)
    return x


@writes("resize")
def _resize(node: Node) -> str:
    """By places that are constants, since resizing has several conventions in ONNX.

    Pixel i of n lies at (i + 1/2) size / n - 1/2 of the input: the nearest one, halves upwards, or the two around it by their
    distances.
    """
    g, x = node.graph, node.x
    for axis, (size, out) in enumerate(zip(node.inputs[0].shape, node.shapes[0][:-1])):
        if size == out:
            continue
        places = (np.arange(out) + 0.5) * size / out - 0.5
        if not node.integer("bilinear"):
            x = g.gather(x, np.floor(places + 0.5), axis + 1)
            continue
        low = np.floor(places)
        share = (places - low).reshape(-1, *[1] * (len(node.shapes[0]) - 1 - axis))
        first, second = (g.gather(x, np.clip(place, 0, size - 1), axis + 1) for place in (low, low + 1))
        x = g.add("Add", g.add("Mul", first, 1 - share), g.add("Mul", second, share))
    return x
