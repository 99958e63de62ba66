"""Masks that go along with tensors, in layers of the user's that are written as for Keras."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._graph import SymbolicTensor

__all__ = ["masks_of", "with_mask"]


def _is_own(function: Callable[..., Any]) -> bool:
    """Whether a method is one of fastnet, which sees to masks by itself."""
    return str(getattr(function, "__module__", "fastnet.")).startswith("fastnet.")


def with_mask(call: Callable[..., Any], inputs: Sequence[SymbolicTensor], options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a `call` by name: with the masks of the inputs, where it has a parameter for them that nobody has given."""
    masks = [tensor.mask for tensor in inputs]
    if _is_own(call) or "mask" in options or masks == [None] * len(masks) or "mask" not in inspect.signature(call).parameters:
        return dict(options)
    return {**options, "mask": masks[0] if len(masks) == 1 else masks}


def masks_of(compute_mask: Callable[..., Any], inputs: Sequence[SymbolicTensor]) -> list[SymbolicTensor | None]:
    """The masks of a layer's outputs; `compute_mask` may be written as for Keras, of (inputs, mask)."""
    if _is_own(compute_mask):
        return compute_mask(*inputs)
    parameters = list(inspect.signature(compute_mask).parameters.values())
    if len(parameters) > 1 and parameters[1].name in ("mask", "previous_mask", "input_mask"):
        masks = [tensor.mask for tensor in inputs]
        one = len(inputs) == 1
        found = compute_mask(inputs[0] if one else list(inputs), masks[0] if one else masks)
    else:
        found = compute_mask(*inputs)
    return list(found) if isinstance(found, (list, tuple)) else [found]
