"""What operations of a layer have for parameters: weights, or tensors in their place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .._graph import SymbolicTensor, shape_attributes
from .._weights import Weight, WeightSpec

__all__ = ["parameter_of"]


def parameter_of(
    layer: Any, name: str, spec: WeightSpec | SymbolicTensor, shape: tuple[int, ...], inputs: Sequence[SymbolicTensor]
) -> Weight | SymbolicTensor:
    """The weight of a layer of this name, made where it is not there, or the tensor in its place, in the shape that the engine asks for.

    Raises
    ------
    ValueError
        If it is of another shape, or a tensor that has a batch.
    """
    if isinstance(spec, SymbolicTensor):
        if spec.has_batch or math.prod(spec.sample_shape) != math.prod(shape):
            raise ValueError(f"layer {layer._label!r}: {name} of shape {spec.shape} for a parameter of shape {shape}")
        return spec if spec.sample_shape == tuple(shape) else layer.emit("reshape", [spec], shape_attributes(shape))
    weight: Weight = layer._weights.setdefault(name, Weight(layer, name, shape, spec))
    if weight.engine_shape != shape:
        raise ValueError(
            f"layer {layer._label!r}: {name} has shape {weight.engine_shape} from an earlier call, these inputs of "
            f"shape {[tensor.shape for tensor in inputs]} need {shape}"
        )
    return weight
