"""Calls of a program that are better as one, and arrays that may be one: what an export needs less memory and time for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _core
from ._library import Library
from ._program import Array, Call, named_arguments

__all__ = ["simplify"]

#: Activations that never fall, for all values of alpha that are not negative: of several numbers the largest stays the largest.
_RISING = frozenset([
    "fnp_elu", "fnp_exponential", "fnp_hard_sigmoid", "fnp_leaky_relu", "fnp_relu", "fnp_relu6", "fnp_selu", "fnp_sigmoid",
    "fnp_softplus", "fnp_softsign", "fnp_squareplus", "fnp_tanh",
])  # fmt: skip
#: Functions y = x W + b whose outputs are along the last axis of W.
_PRODUCTS = frozenset(["fnp_convolution", "fnp_dense", "fnp_depthwise_convolution"])
#: Functions y = f(x, ...) of several arrays, element by element, whose y may be one of them; activations are such functions too.
_ELEMENTWISE = frozenset([
    "fnp_add", "fnp_affine", "fnp_affine_same", "fnp_batch_normalization", "fnp_elementwise_alike", "fnp_maximum", "fnp_minimum", "fnp_multiply",
    "fnp_scale", "fnp_subtract",
    *(f"fnp_{name}" for name in _core.registry("activations")),
])  # fmt: skip


def _call(library: Library, function: str, names: dict[str, Any]) -> Call:
    return Call(function, tuple(names[parameter.name] for parameter in library.signature(function)))


def _uses(calls: Sequence[Call]) -> dict[Array, list[int]]:
    """By array: the numbers of the calls that it is an argument of."""
    uses: dict[Array, list[int]] = {}
    for i, call in enumerate(calls):
        for argument in call.arguments:
            if isinstance(argument, Array) and i not in uses.setdefault(argument, []):
                uses[argument].append(i)
    return uses


def fold_normalization(calls: Sequence[Call], library: Library) -> list[Call]:
    """Batch normalization of a product's output becomes part of its weights, where nothing else needs these or that output:

    (x W + b - mean) scale + beta = x (W scale) + ((b - mean) scale + beta)
    """
    uses = _uses(calls)
    found, gone = list(calls), set()
    for i, call in enumerate(calls):
        if call.function not in _PRODUCTS:
            continue
        names = named_arguments(library, call)
        y, kernel, bias = names["y"], names["kernel"], names["bias"]
        if y.kind != "value" or len(uses[y]) != 2 or calls[uses[y][1]].function != "fnp_batch_normalization":
            continue
        normalization = named_arguments(library, calls[uses[y][1]])
        mean, scale, beta = (normalization[name] for name in ("mean", "scale", "beta"))
        filters = int(names["units"]) if "units" in names else int(names["window"].values[5])
        constants = [array for array in (kernel, bias, mean, scale, beta) if array is not None]
        if any(array.kind != "constant" for array in constants) or scale.size != filters or normalization["gamma"] is not None:
            continue
        if any(len(uses[array]) > 1 for array in (kernel, bias) if array is not None):
            continue
        factor = scale.values.astype(np.float64)
        shift = (0.0 if bias is None else bias.values) - mean.values.astype(np.float64)
        shift = shift * factor + (0.0 if beta is None else beta.values)
        product = kernel.values.reshape(-1, filters) * factor
        if max(np.abs(product).max(), np.abs(shift).max()) > np.finfo(np.float32 if library.bits == 32 else np.float64).max:
            continue
        names["kernel"] = Array(f"{kernel.name}_folded", kernel.size, "constant", product)
        names["bias"] = Array(f"{kernel.name}_folded_bias", filters, "constant", shift)
        names["y"] = normalization["y"]
        found[i] = _call(library, call.function, names)
        gone.add(uses[y][1])
    return [call for i, call in enumerate(found) if i not in gone]


def fuse_pooling(calls: Sequence[Call], library: Library) -> list[Call]:
    """Max pooling of a convolution's output works on its rows as they are made, where nothing else needs that output.

    A window of the pooling then has to keep but its own rows. An activation between them that never falls is applied after the
    pooling: to fewer numbers.
    """
    uses = _uses(calls)
    found, gone = list(calls), set()
    for i, call in enumerate(calls):
        if call.function != "fnp_convolution":
            continue
        names = named_arguments(library, call)
        image = names["y"]
        if not isinstance(image, Array) or image.kind != "value" or len(uses[image]) not in (2, 3):
            continue
        *activations, last = uses[image][1:]
        pooling = named_arguments(library, calls[last])
        if calls[last].function != "fnp_max_pooling" or pooling["x"] is not image or last != i + 1 + len(activations):
            continue
        between = [named_arguments(library, calls[k]) for k in activations]
        if any(calls[k].function not in _RISING for k in activations) or any(
            named["y"] is not image or named["x"] is not image or float(named.get("alpha", 0)) < 0 for named in between
        ):
            continue
        window, y = pooling["window"], pooling["y"]
        height, width, channels = map(int, window.values[:3])
        window_height, stride_height = int(window.values[6]), int(window.values[8])
        if window_height >= height or stride_height < window_height:
            continue
        lines = Array(f"{image.name}_lines", window_height * width * channels)
        given = {**names, "lines": lines, "y": y, "pooling": window}
        found[i] = _call(library, "fnp_convolution_max_pooling", given)
        for k, named in zip(activations, between):
            found[k] = _call(library, calls[k].function, {**named, "x": y, "y": y, "n": y.size})
        gone.add(last)
    return [call for i, call in enumerate(found) if i not in gone]


def work_in_place(calls: Sequence[Call], library: Library) -> list[Call]:
    """Elementwise functions write over an input that nothing needs after them."""
    found = list(calls)
    for i in range(len(found)):
        call = found[i]
        if call.function not in _ELEMENTWISE:
            continue
        names = named_arguments(library, call)
        y = names["y"]
        if not isinstance(y, Array) or y.kind != "value" or any(y in one.arguments for one in found[:i]):
            continue
        for name in ("x", "x_1"):
            x = names.get(name)
            if not isinstance(x, Array) or x is y or x.kind != "value" or x.size != y.size:
                continue
            if any(x in one.arguments for one in found[i + 1 :]):
                continue
            found[i:] = [Call(one.function, tuple(x if a is y else a for a in one.arguments)) for one in found[i:]]
            break
    return found


def simplify(calls: Sequence[Call], library: Library) -> list[Call]:
    """The calls of a program that predicts, whose results are the same but for rounding."""
    return fuse_pooling(work_in_place(fold_normalization(calls, library), library), library)
