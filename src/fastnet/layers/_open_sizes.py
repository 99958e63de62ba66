"""Sizes that inputs leave open: what depends on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .. import _core
from .._graph import SymbolicTensor

__all__ = ["other_shapes"]


def other_shapes(
    op: str,
    label: str,
    inputs: Sequence[SymbolicTensor],
    attributes: Mapping[str, float],
    outputs: Sequence[tuple[int, ...]],
    weights: Sequence[tuple[int, ...]],
) -> Sequence[tuple[int, ...] | None]:
    """The shapes of an operation's outputs for other sizes where they are open; None where they would be the same, or are not known.

    Raises
    ------
    ValueError
        If the shapes of its weights depend on such a size.
    """
    if all(tensor.alternative is None for tensor in inputs):
        return ()
    shapes = [tensor.alternative or tensor.sample_shape for tensor in inputs]
    try:
        found, others = _core.infer(op, label, shapes, attributes)
    except ValueError:
        return [_reshaped(inputs[0], outputs[0])] if op == "reshape" else ()
    if [tuple(shape) for shape in others] != [tuple(shape) for shape in weights]:
        open_shapes = [tensor.shape for tensor in inputs]
        raise ValueError(
            f"layer {label!r}: the shapes of its weights depend on a size that the input of the model leaves open, it is called on "
            f"{open_shapes}: give Input a size there, or pool over that axis first, as GlobalAveragePooling does"
        )
    return [tuple(other) if tuple(other) != tuple(shape) else None for other, shape in zip(found, outputs)]


def _reshaped(x: SymbolicTensor, sizes: Sequence[int]) -> tuple[int, ...] | None:
    """Other sizes for those of a new shape: an open size that stays, or one that has to make up for the rest."""
    other = x.alternative or x.sample_shape
    stays = {size: changed for size, changed in zip(x.sample_shape, other) if size != changed}
    found = [stays.get(size, size) for size in sizes]
    total = math.prod(other)
    if math.prod(found) == total:
        return tuple(found)
    for i, size in enumerate(sizes):
        rest = math.prod(found[:i] + found[i + 1 :])
        if total % rest == 0 and any(size % one == 0 for one in stays):
            return (*found[:i], total // rest, *found[i + 1 :])
    return None
