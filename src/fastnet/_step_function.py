"""The function of a `TrainStep`: what it takes, and what it returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import _core
from . import optimizers as _optimizers
from ._graph import SymbolicTensor
from ._row_sums import Total, rows_of_mean
from ._weights import Weight
from .layers.base import Layer
from .layers.core import Input

__all__ = ["checked_updates", "chosen_optimizers", "dtype_of", "make_inputs"]


def make_inputs(function: Callable[..., Any], inputs: Any) -> list[SymbolicTensor]:
    """A symbolic tensor for each input."""
    if isinstance(inputs, Mapping):
        names: list[str | None] = list(inputs)
        shapes = list(inputs.values())
    else:
        if not isinstance(inputs, (list, tuple)) or not inputs:
            raise TypeError(f"inputs of a TrainStep must be a list of shapes or a dictionary by name, got {inputs!r}")
        shapes = list(inputs)
        names = [None] * len(shapes)
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # of a builtin
            parameters = []
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        if len(parameters) == len(shapes) and all(parameter.kind in kinds for parameter in parameters):
            names = [parameter.name for parameter in parameters]
    tensors = [shape if isinstance(shape, SymbolicTensor) else Input(shape, name=name) for shape, name in zip(shapes, names)]
    if any(tensor.open for tensor in tensors):
        raise ValueError(f"inputs of a TrainStep have fixed sizes, got {[tensor.shape for tensor in tensors]}")
    return tensors


def checked_updates(found: Any) -> dict[str, tuple[SymbolicTensor, list[Weight]]]:
    """What the function has returned, with weights in place of models."""
    what = "the function of a TrainStep must return a dictionary {name: (loss, what is trained), ...}"
    if not isinstance(found, Mapping) or not found:
        raise TypeError(f"{what}, got {found!r}")
    if len(found) > _core.MAX_OUTPUTS:
        raise ValueError(f"a TrainStep has at most {_core.MAX_OUTPUTS} updates, got {len(found)}")
    updates = {}
    for name, pair in found.items():
        if not isinstance(name, str) or not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"{what}, got {name!r}: {pair!r}")
        loss, trained = pair
        if isinstance(loss, Total):
            loss = rows_of_mean(loss, f"update {name!r}: its loss")
        if not isinstance(loss, SymbolicTensor):
            raise TypeError(f"update {name!r}: its loss must be a symbolic tensor, made by fn.ops of the inputs, got {loss!r}")
        if loss.sample_shape not in ((), (1,)):
            raise ValueError(
                f"update {name!r}: its loss has shape {loss.shape}, expected (None,) or (None, 1), a number for each row: "
                f"take fn.ops.mean(loss, axis={tuple(range(1, len(loss.shape)))})"
            )
        updates[name] = (loss, weights_in(name, trained))
    return updates


def chosen_optimizers(names: Sequence[str], optimizers: Any) -> list[_optimizers.Optimizer]:
    """One for each update, of what compile was told; TypeError or ValueError where that is something else."""
    if isinstance(optimizers, str):
        optimizers = dict.fromkeys(names, optimizers)
    if not isinstance(optimizers, Mapping):
        raise TypeError(f"compile takes a dictionary with an optimizer for each of {names}, got {optimizers!r}")
    if set(optimizers) != set(names):
        raise ValueError(f"compile got optimizers for {list(optimizers)}, expected one for each of {names}")
    chosen = [_optimizers.get(optimizers[name]) for name in names]
    for i, (name, optimizer) in enumerate(zip(names, chosen)):
        if any(optimizer is other for other in chosen[:i]):
            raise ValueError(f"update {name!r} has the optimizer of another one: give each its own object")
        if optimizer.full_batch:
            raise ValueError(f"update {name!r}: {type(optimizer).__name__} takes all rows at once, a step takes batches")
    return chosen


def weights_in(name: str, trained: Any) -> list[Weight]:
    """The weights of models, layers and lists of these."""
    if isinstance(trained, Weight):
        return [trained]
    if isinstance(trained, Layer):
        return trained.weights
    if isinstance(trained, (list, tuple)) and trained:
        return list(dict.fromkeys(weight for one in trained for weight in weights_in(name, one)))
    raise TypeError(f"update {name!r}: what is trained must be a model, a layer, a weight or a list of these, got {trained!r}")


def dtype_of(found: Mapping[str, tuple[SymbolicTensor, list[Weight]]]) -> str:
    """That of the weights that there are."""
    slabs = (weight.slab for _, weights in found.values() for weight in weights)
    return next((slab.dtype for slab in slabs if slab is not None), "float32")
