"""What operations of a layer have for parameters: weights, or tensors in their place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .._graph import SymbolicTensor, shape_attributes, tensor_of
from .._weights import Weight, WeightFormula, WeightSpec

__all__ = ["outputs_of", "parameter_of", "with_formulas", "without_formulas"]


def without_formulas(value: Any) -> Any:
    """Tensors without a batch in place of weights and formulas of weights, also in lists."""
    if isinstance(value, Weight):
        return value.tensor if isinstance(value, WeightFormula) else tensor_of(value)
    return type(value)(map(without_formulas, value)) if type(value) in (list, tuple) else value


def with_formulas(value: Any) -> Any:
    """Weights and formulas of weights in place of tensors without a batch, also in lists."""
    if isinstance(value, SymbolicTensor) and not value.has_batch:
        return WeightFormula(value) if value.weight is None else value.weight
    return type(value)(map(with_formulas, value)) if type(value) in (list, tuple) else value


def outputs_of(layer: Any, result: Any) -> list[SymbolicTensor]:
    """What the call of a layer returns as a list; TypeError where it is something else than tensors with a batch."""
    if isinstance(result, SymbolicTensor):
        return [result]
    found = list(result) if isinstance(result, (list, tuple)) else [result]
    for one in found:
        if isinstance(one, Weight):
            raise TypeError(
                f"layer {layer._label!r}: call returned {one!r}, which depends on weights alone and has no batch: "
                "fn.ops.broadcast_to(w, (fn.ops.shape(x)[0], *w.shape)) has it in each row"
            )
        if not isinstance(one, SymbolicTensor):
            raise TypeError(f"layer {layer._label!r}: call returned {result!r}, expected a symbolic tensor or a list of them")
    if not found:
        raise TypeError(f"layer {layer._label!r}: call returned no tensors")
    return found


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
