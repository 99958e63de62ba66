"""Convolutions, pooling, normalization, recurrent operators and look-ups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import layers
from ._reader import NotExpressible, Operator, Tensor, in_each_row, ops, reads, without

__all__: list[str] = []

# ---- images: channels first in ONNX, last in fastnet ----------------------------------------------


def _channels_last(value: Tensor) -> Any:
    """The tensor with its channels last."""
    if value.rank not in (3, 4):
        raise NotExpressible(f"a value with {value.rank} axes: series have 3 and images 4")
    return value.in_order([0, *range(2, value.rank), 1])


def _channels_first(tensor: Any) -> Tensor:
    rank = len(tensor.shape)
    return Tensor(tensor, (0, rank - 1, *range(1, rank - 1)))


def _around(
    node: Operator, sizes: Sequence[int], window: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[tuple[int, int]]:
    """The zeros before and after each axis."""
    n, auto = len(window), node.get("auto_pad", "NOTSET")
    if auto == "NOTSET":
        pads = node.get("pads", [0] * 2 * n)
        return list(zip(pads[:n], pads[n:]))
    if auto == "VALID":
        return [(0, 0)] * n
    found = []
    for size, w, s, d in zip(sizes, window, strides, dilations):
        total = max((-(-size // s) - 1) * s + (w - 1) * d + 1 - size, 0)
        low, high = total // 2, total - total // 2
        found.append((low, high) if auto == "SAME_UPPER" else (high, low))
    return found


def _grow(x: Any, around: Sequence[tuple[int, int]], value: float = 0.0) -> Any:
    """Padded, the axes between rows and channels."""
    return ops.pad(x, [(0, 0), *around, (0, 0)], constant_values=value) if any(map(any, around)) else x


def _crop(x: Any, starts: Sequence[int], sizes: Sequence[int]) -> Any:
    if all(start == 0 and size == whole for start, size, whole in zip(starts, sizes, x.shape[1:-1])):
        return x
    return x[(slice(None), *(slice(start, start + size) for start, size in zip(starts, sizes)))]


def _suits_same(
    sizes: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    around: Sequence[tuple[int, int]],
) -> bool:
    """Whether the padding is that of Keras's "same"."""
    for size, w, s, d, pads in zip(sizes, window, strides, dilations, around):
        total = max((-(-size // s) - 1) * s + (w - 1) * d + 1 - size, 0)
        if pads != (total // 2, total - total // 2):
            return False
    return True


@reads("Conv")
def _conv(node: Operator) -> Tensor:
    x, kernel, bias = _channels_last(node.tensor()), node.constant(1), node.constant(2)
    n = kernel.ndim - 2
    window, groups = list(kernel.shape[2:]), int(node.get("group", 1))
    strides, dilations = (list(node.get(name, [1] * n)) for name in ("strides", "dilations"))
    channels, sizes = x.shape[-1], x.shape[1:-1]
    around = _around(node, sizes, window, strides, dilations)
    same = any(map(any, around)) and _suits_same(sizes, window, strides, dilations, around)
    x = x if same else _grow(x, around)
    every = strides
    if max(strides) > 1 and max(dilations) > 1:  # layers have not both: the outputs between are left out
        x, same, strides = _grow(x, around) if same else x, False, [1] * n
    options: dict[str, Any] = {
        "kernel_size": window, "strides": strides, "dilation_rate": dilations, "use_bias": bias is not None,
        "padding": "same" if same else "valid",
    }  # fmt: skip
    if groups == channels and groups > 1 and kernel.shape[0] % groups == 0:
        multiplier = kernel.shape[0] // groups
        kernel = np.moveaxis(kernel[:, 0], 0, -1).reshape(*window, channels, multiplier)
        layer = node.layer(
            (layers.DepthwiseConv1D, layers.DepthwiseConv2D)[n - 1], kernel, bias, depth_multiplier=multiplier, **options
        )
    else:
        filters, kernel = kernel.shape[0], kernel.transpose(*range(2, n + 2), 1, 0)
        layer = node.layer((layers.Conv1D, layers.Conv2D)[n - 1], kernel, bias, filters=filters, groups=groups, **options)
    y = layer(x)
    return _channels_first(y if every == strides else y[(slice(None), *(slice(None, None, step) for step in every))])


@reads("ConvTranspose")
def _conv_transpose(node: Operator) -> Tensor:
    """All of what the windows reach, cut to what is asked for."""
    node.forbid(group=1)
    x, kernel, bias = _channels_last(node.tensor()), node.constant(1), node.constant(2)
    n = kernel.ndim - 2
    window = list(kernel.shape[2:])
    strides, dilations, more = (
        list(node.get(name, [default] * n)) for name, default in (("strides", 1), ("dilations", 1), ("output_padding", 0))
    )
    whole = [(size - 1) * s + (w - 1) * d + 1 for size, w, s, d in zip(x.shape[1:-1], window, strides, dilations)]
    auto, wanted = node.get("auto_pad", "NOTSET"), node.get("output_shape")
    if wanted is not None or auto in ("SAME_UPPER", "SAME_LOWER"):
        sizes = list(wanted) if wanted is not None else [size * s for size, s in zip(x.shape[1:-1], strides)]
        totals = [w + m - size for w, m, size in zip(whole, more, sizes)]
        if min(totals) < 0:
            raise NotExpressible(f"an output of {sizes} where windows reach {whole}: runtimes differ there")
        starts = [total // 2 if auto == "SAME_UPPER" else total - total // 2 for total in totals]
    else:
        around = _around(node, x.shape[1:-1], window, strides, dilations)
        starts = [low for low, _ in around]
        sizes = [w + m - low - high for w, m, (low, high) in zip(whole, more, around)]
    layer = node.layer(
        (layers.Conv1DTranspose, layers.Conv2DTranspose)[n - 1], kernel.transpose(*range(2, n + 2), 1, 0), filters=kernel.shape[1],
        kernel_size=window, strides=strides, dilation_rate=dilations, padding="valid", use_bias=False,
    )  # fmt: skip
    y = layer(x)
    missing = [max(start + size - reached, 0) for start, size, reached in zip(starts, sizes, y.shape[1:-1])]
    y = _crop(_grow(y, [(0, one) for one in missing]), starts, sizes)
    return _channels_first(y if bias is None else ops.add(y, bias))


@reads("MaxPool", "AveragePool")
def _pool(node: Operator) -> Any:
    value = node.tensor()
    x = _channels_last(value)
    window = list(node.get("kernel_shape"))
    n = len(window)
    strides, dilations = (list(node.get(name, [1] * n)) for name in ("strides", "dilations"))
    node.forbid(storage_order=0)
    if node.n_outputs > 1:
        raise NotExpressible("the places of the largest numbers")
    if max(dilations) > 1:
        raise NotExpressible(f"dilations={dilations}")
    sizes = x.shape[1:-1]
    around = _around(node, sizes, window, strides, dilations)
    if node.get("ceil_mode", 0):
        longer = []
        for size, w, s, (low, high) in zip(sizes, window, strides, around):
            out = -(-(size + low + high - w) // s) + 1
            out -= (out - 1) * s >= size + low  # a window that begins in the padding at the end
            longer.append((low, max(high, (out - 1) * s + w - size - low)))
        if longer != around and node.type == "AveragePool":
            raise NotExpressible("ceil_mode=1")
        around = longer
    peak = node.type == "MaxPool"
    name = f"{'Max' if peak else 'Average'}Pooling{n}D"
    same = any(map(any, around)) and _suits_same(sizes, window, strides, dilations, around)
    if same and (peak or not node.get("count_include_pad", 0)):
        return _channels_first(node.layer(getattr(layers, name), pool_size=window, strides=strides, padding="same")(x))
    if any(map(any, around)) and not peak and not node.get("count_include_pad", 0):
        raise NotExpressible(f"pads={around} that are not counted")
    x = _grow(x, around, -math.inf if peak else 0.0)
    return _channels_first(node.layer(getattr(layers, name), pool_size=window, strides=strides)(x))


@reads("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(node: Operator) -> Tensor:
    value = node.tensor()
    function = ops.mean if node.type == "GlobalAveragePool" else ops.max
    return Tensor(function(value.tensor, axis=tuple(sorted(value.axes[2:])), keepdims=True), value.groups)


@reads("Resize", "Upsample")
def _resize(node: Operator) -> Tensor:
    """By places that are constants, one axis after another."""
    value = node.tensor()
    old = node.type == "Upsample"
    mode = node.get("mode", "nearest")
    transform = "asymmetric" if old else node.get("coordinate_transformation_mode", "half_pixel")
    rounding = "floor" if old else node.get("nearest_mode", "round_prefer_floor")
    node.forbid(antialias=0, exclude_outside=0, axes=None, keep_aspect_ratio_policy="stretch")
    scales = node.parameter(1 if old else 2, "scales")
    wanted = None if old else node.constant(3)
    if mode not in ("nearest", "linear"):
        raise NotExpressible(f"mode={mode!r}")
    x = value.tensor
    for axis in range(1, value.rank):
        inner, size = value.axes[axis], value.shape[axis]
        out = int(wanted[axis]) if wanted is not None and np.size(wanted) else math.floor(size * float(scales[axis]))
        if out == size:
            continue
        scale = out / size if wanted is not None and np.size(wanted) else float(scales[axis])
        places = np.arange(out, dtype=np.float64)
        if transform in ("half_pixel", "pytorch_half_pixel"):
            places = (places + 0.5) / scale - 0.5 if transform == "half_pixel" or out > 1 else places * 0
        elif transform == "align_corners":
            places = places * (size - 1) / max(out - 1, 1)
        elif transform == "asymmetric":
            places = places / scale
        else:
            raise NotExpressible(f"coordinate_transformation_mode={transform!r}")
        if mode == "nearest":
            near = {
                "round_prefer_floor": lambda p: np.ceil(p - 0.5), "round_prefer_ceil": lambda p: np.floor(p + 0.5), "floor": np.floor,
                "ceil": np.ceil,
            }[rounding](places)  # fmt: skip
            x = ops.take(x, np.clip(near, 0, size - 1).astype(int), axis=inner)
            continue
        places = np.clip(places, 0, size - 1)
        low = np.floor(places).astype(int)
        share = (places - low).reshape(-1, *[1] * (value.rank - 1 - inner))
        first, second = (ops.take(x, np.minimum(place, size - 1), axis=inner) for place in (low, low + 1))
        x = ops.add(ops.multiply(first, 1 - share), ops.multiply(second, share))
    return Tensor(x, value.groups)


# ---- normalization --------------------------------------------------------------------------------


@reads("BatchNormalization")
def _batch_normalization(node: Operator) -> Tensor:
    node.forbid(training_mode=0, spatial=1)
    value = node.tensor()
    order = [0, *range(2, value.rank), 1]
    arrays = [node.constant(i) for i in range(1, 5)]
    layer = node.layer(
        layers.BatchNormalization, *arrays, epsilon=float(node.get("epsilon", 1e-5)), momentum=float(node.get("momentum", 0.9))
    )
    y = layer(value.in_order(order))
    return Tensor(y, tuple(int(i) for i in np.argsort(order)))


@reads("LayerNormalization")
def _layer_normalization(node: Operator) -> Any:
    value = node.value()
    if node.axis() != value.rank - 1 or node.n_outputs > 1:
        raise NotExpressible(f"axis={node.get('axis', -1)}, outputs={node.n_outputs}")
    gamma, beta = node.constant(1), node.constant(2)
    width = value.shape[-1]
    gamma, beta = (None if one is None else np.broadcast_to(np.ravel(one), (width,)) for one in (gamma, beta))
    layer = node.layer(layers.LayerNormalization, gamma, beta, epsilon=float(node.get("epsilon", 1e-5)), center=beta is not None)
    x, leading = value.with_last(1)
    y = layer(x)
    return Tensor(y, [*leading, len(y.shape) - 1])


@reads("InstanceNormalization", "GroupNormalization")
def _group_normalization(node: Operator) -> Tensor:
    value = node.tensor()
    channels = value.shape[1]
    groups = channels if node.type == "InstanceNormalization" else int(node.get("num_groups"))
    gamma, beta = node.constant(1), node.constant(2)
    layer = node.layer(layers.GroupNormalization, gamma, beta, groups=groups, epsilon=float(node.get("epsilon", 1e-5)))
    return _channels_first(layer(_channels_last(value)))


# ---- recurrent operators --------------------------------------------------------------------------

_ACTIVATIONS = {
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "relu": "relu",
    "softplus": "softplus",
    "softsign": "softsign",
    "affine": None,
}
#: By operator: the layer, the order of fastnet's gates among those of ONNX, and the activations that are the default.
_CELLS = {
    "RNN": (layers.SimpleRNN, [0], ["Tanh"]), "GRU": (layers.GRU, [0, 1, 2], ["Sigmoid", "Tanh"]),
    "LSTM": (layers.LSTM, [0, 2, 3, 1], ["Sigmoid", "Tanh", "Tanh"]),
}  # fmt: skip


def _gates(array: np.ndarray, order: Sequence[int]) -> np.ndarray:
    blocks = np.split(array, len(order), axis=0)
    return np.concatenate([blocks[i] for i in order], axis=0)


@reads("RNN", "GRU", "LSTM")
def _recurrent(node: Operator) -> list[Any]:
    make, order, defaults = _CELLS[node.type]
    node.forbid(layout=0, input_forget=0, clip=None)
    if node.given(4) is not None:
        raise NotExpressible("sequence_lens: rows of several lengths")
    if node.given(7) is not None and np.any(node.constant(7)):
        raise NotExpressible("peepholes")
    x = node.tensor().in_order([1, 0, 2])
    kernels, recurrents = node.constant(1), node.constant(2)
    biases, direction = node.constant(3), node.get("direction", "forward")
    n_directions, units = len(kernels), int(node.get("hidden_size", recurrents.shape[2]))
    functions = [str(name).lower() for name in _decoded(node.get("activations", defaults * n_directions))]
    found: list[list[Any]] = []
    for i in range(n_directions):
        names = functions[i * len(defaults) : (i + 1) * len(defaults)]
        if any(_ACTIVATIONS.get(name) is None for name in names) or len(set(names[1:])) > 1:
            raise NotExpressible(f"activations {names}")
        options: dict[str, Any] = {"units": units, "activation": _ACTIVATIONS[names[-1]], "use_bias": biases is not None}
        if len(names) > 1:
            options["recurrent_activation"] = _ACTIVATIONS[names[0]]
        after = bool(node.get("linear_before_reset", 0))
        if node.type == "GRU":
            options["reset_after"] = after
        bias = None
        if biases is not None:
            of_kernel, of_recurrent = (_gates(half, order) for half in np.split(biases[i], 2))
            bias = np.stack([of_kernel, of_recurrent]) if node.type == "GRU" and after else of_kernel + of_recurrent
        backwards = direction == "reverse" or i == 1
        layer = node.layer(
            make, _gates(kernels[i], order).T, _gates(recurrents[i], order).T, bias, return_sequences=True, return_state=True,
            go_backwards=backwards, **options,
        )  # fmt: skip
        y, *states = layer(x, **_initial_state(node, i))
        found.append([ops.flip(y, 1) if backwards else y, *states])
    stacked = [ops.stack(parts, axis=1) for parts in zip(*found)]  # [batch][directions]...
    outputs = [
        Tensor(ops.transpose(stacked[0], (0, 2, 1, 3)), (1, 2, 0, 3)),
        *(Tensor(state, (1, 0, 2)) for state in stacked[1:]),
    ]
    return outputs[: node.n_outputs]


def _decoded(names: Sequence[Any]) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else name for name in names]


def _initial_state(node: Operator, direction: int) -> dict[str, Any]:
    """Of one direction, where it is not zero."""
    given = [value for value in (node.given(5), node.given(6)) if value is not None]
    if not given or all(not isinstance(value, Tensor) and not np.any(value) for value in given):
        return {}
    states = []
    for value in given:
        if not isinstance(value, Tensor):
            raise NotExpressible("an initial state that is a constant other than zero")
        states.append(value.in_order([1, 0, 2])[:, direction])
    return {"initial_state": states if len(states) > 1 else states[0]}


# ---- look-ups -------------------------------------------------------------------------------------


@reads("Gather")
def _gather(node: Operator) -> Any:
    table, places = node.given(0), node.given(1)
    if not isinstance(table, Tensor):
        if int(node.get("axis", 0)) != 0 or np.ndim(table) != 2:
            raise NotExpressible(f"from a constant of shape {np.shape(table)} along axis {node.get('axis', 0)}")
        layer = node.layer(layers.Embedding, table, input_dim=table.shape[0], output_dim=table.shape[1])
        return layer(places.plain())
    if isinstance(places, Tensor):
        raise NotExpressible("from one computed value at places in another: GatherElements is there")
    axis, places = node.axis(default=0), np.asarray(places).astype(int)
    if places.ndim > 1:
        return ops.take(table.plain(), places, axis=axis)
    table = table.simple()
    if table.axes[axis] == 0:
        raise NotExpressible("of rows")
    y = ops.take(table.tensor, places, axis=table.axes[axis])
    return without(table, y, [axis], keepdims=places.ndim == 1)


def _table_and_places(node: Operator) -> tuple[Tensor, Any]:
    """Of which one may be a constant; a table that is one is the same in all rows."""
    table, places = node.inputs[:2]
    if isinstance(table, Tensor):
        return table, places
    if len(table) != 1:
        raise NotExpressible("from a constant with other numbers for each row")
    return Tensor.of(in_each_row(np.asarray(table, np.float64), node.value(1).plain())), places


def _of_one_row(places: np.ndarray) -> np.ndarray:
    if len(places) != 1:
        raise NotExpressible("places that are constants, others in each row")
    return places[0].astype(int)


@reads("GatherElements")
def _gather_elements(node: Operator) -> Any:
    table, places = _table_and_places(node)
    axis = node.axis(default=0, rank=table.rank)
    if isinstance(places, Tensor):
        return ops.take_along_axis(table.plain(), places.plain(), axis=axis)
    return ops.take_along_axis(table.plain(), _of_one_row(places)[np.newaxis], axis=axis)


@reads("GatherND")
def _gather_nd(node: Operator) -> Any:
    """One place of the axis behind the rows for each element."""
    table, places = _table_and_places(node)
    if node.get("batch_dims", 0) != 1 or places.shape[-1] != 1:
        raise NotExpressible(f"batch_dims={node.get('batch_dims', 0)}, places of {places.shape[-1]} numbers")
    if not isinstance(places, Tensor):
        return ops.take(table.plain(), _of_one_row(places)[..., 0], axis=1)
    x, index = table.plain(), places.plain()
    rest, shape = x.shape[2:], index.shape[1:-1]
    flat = ops.reshape(index, (-1, math.prod(shape), *[1] * len(rest)))
    found = ops.take_along_axis(x, flat, axis=1)
    return ops.reshape(found, (-1, *shape, *rest))


@reads("Trilu")
def _trilu(node: Operator) -> Tensor:
    value, k = node.tensor(), int(np.ravel(node.constant(1, 0))[0])
    kept = np.ones(value.shape[-2:])
    kept = np.triu(kept, k) if node.get("upper", 1) else np.tril(kept, k)
    return Tensor.of(ops.where(kept, value.plain(), 0.0))


@reads("ai.onnx.ml.Scaler")
def _scaler(node: Operator) -> Any:
    offset, scale = (np.asarray(node.get(name), np.float64) for name in ("offset", "scale"))
    return ops.multiply(ops.subtract(node.tensor().plain(), offset), scale)


@reads("ai.onnx.ml.LinearClassifier", "ai.onnx.ml.LinearRegressor")
def _linear(node: Operator) -> Any:
    """Scores of classes; the labels themselves are not computed."""
    value = node.tensor().plain()
    regressor = node.type.endswith("Regressor")
    weights = np.asarray(node.get("coefficients"), np.float64)
    n = int(node.get("targets", 1)) if regressor else weights.size // int(value.shape[-1])  # type: ignore[arg-type]
    bias = np.asarray(node.get("intercepts", [0.0] * n), np.float64)
    layer = node.layer(layers.Dense, weights.reshape(n, -1).T, bias, units=n)
    scores = layer(value)
    post = node.get("post_transform", "NONE")
    functions = {"NONE": lambda x: x, "SOFTMAX": ops.softmax, "LOGISTIC": ops.sigmoid}
    if post not in functions:
        raise NotExpressible(f"post_transform={post!r}")
    scores = functions[post](scores)
    return scores if regressor else [None, scores]


@reads("ai.onnx.ml.Normalizer")
def _normalizer(node: Operator) -> Any:
    x, norm = node.tensor().plain(), node.get("norm", "MAX")
    sizes = {"MAX": ops.max, "L1": ops.sum, "L2": lambda y, **more: ops.sqrt(ops.sum(ops.square(y), **more))}
    size = sizes[norm](ops.abs(x), axis=-1, keepdims=True)
    return ops.divide(x, ops.where(ops.equal(size, 0.0), 1.0, size))


@reads("ai.onnx.ml.ArrayFeatureExtractor")
def _columns(node: Operator) -> Any:
    return ops.take(node.tensor().plain(), np.asarray(node.constant(1)).ravel(), axis=-1)


@reads("ai.onnx.ml.Binarizer")
def _binarizer(node: Operator) -> Any:
    return ops.where(ops.greater(node.tensor().plain(), float(node.get("threshold", 0.0))), 1.0, 0.0)


@reads("ai.onnx.ml.Imputer")
def _imputer(node: Operator) -> Any:
    """Numbers in place of gaps, of one kind or for each column."""
    x, gap = node.tensor().plain(), float(node.get("replaced_value_float", 0.0))
    values = np.asarray(node.get("imputed_value_floats", []), np.float64)
    if not values.size:
        raise NotExpressible("no imputed_value_floats")
    there = ops.isnan(x) if np.isnan(gap) else ops.equal(x, gap)
    return ops.where(there, values, x)


@reads("ai.onnx.ml.ZipMap")
def _zip_map(node: Operator) -> Any:
    """A dictionary of the probabilities of classes for each row: here the array that it is made of."""
    return node.tensor()
