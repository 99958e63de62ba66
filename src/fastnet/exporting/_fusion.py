"""Calls of a program that are better as one, and arrays that may be one: what an export needs less memory and time for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _core
from ._library import Library
from ._program import Array, Call

__all__ = ["fuse_pooling", "work_in_place"]

#: Activations that never fall, for all values of alpha that are not negative: of several numbers the largest stays the largest.
_RISING = frozenset([
    "fnp_elu", "fnp_exponential", "fnp_hard_sigmoid", "fnp_leaky_relu", "fnp_relu", "fnp_relu6", "fnp_selu", "fnp_sigmoid",
    "fnp_softplus", "fnp_softsign", "fnp_squareplus", "fnp_tanh",
])  # fmt: skip
#: Functions y = f(x, ...) of several arrays, element by element, whose y may be one of them; activations are such functions too.
_ELEMENTWISE = frozenset([
    "fnp_add", "fnp_affine", "fnp_affine_same", "fnp_maximum", "fnp_minimum", "fnp_multiply", "fnp_scale", "fnp_subtract",
    *(f"fnp_{name}" for name in _core.registry("activations")),
])  # fmt: skip


def _named(library: Library, call: Call) -> dict[str, Any]:
    return {parameter.name: value for parameter, value in zip(library.signature(call.function), call.arguments)}


def _call(library: Library, function: str, names: dict[str, Any]) -> Call:
    return Call(function, tuple(names[parameter.name] for parameter in library.signature(function)))


def fuse_pooling(calls: Sequence[Call], library: Library) -> list[Call]:
    """Max pooling of a convolution's output works on its rows as they are made, where nothing else needs that output.

    A window of the pooling then has to keep but its own rows. An activation between them that never falls is applied after the
    pooling: to fewer numbers.
    """
    uses: dict[Array, list[int]] = {}
    for i, call in enumerate(calls):
        for argument in call.arguments:
            if isinstance(argument, Array) and i not in uses.setdefault(argument, []):
                uses[argument].append(i)
    found, gone = list(calls), set()
    for i, call in enumerate(calls):
        if call.function != "fnp_convolution":
            continue
        names = _named(library, call)
        image = names["y"]
        if not isinstance(image, Array) or image.kind != "value" or len(uses[image]) not in (2, 3):
            continue
        *activations, last = uses[image][1:]
        pooling = _named(library, calls[last])
        if calls[last].function != "fnp_max_pooling" or pooling["x"] is not image or last != i + 1 + len(activations):
            continue
        between = [_named(library, calls[k]) for k in activations]
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
        names = _named(library, call)
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
