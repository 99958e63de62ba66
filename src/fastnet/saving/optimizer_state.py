"""The optimizer's arrays and counters in the file of a model, which the C library reads and writes, too."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .tensors import TensorFile

if TYPE_CHECKING:
    from .._network import Network

__all__ = ["optimizer_state", "restore_optimizer"]

#: Larger counters than any training reaches.
_MANY = 2**53


def optimizer_state(model: Network, prefix: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays by the names they have in a file, and the counters.

    Raises
    ------
    RuntimeError
        If the model has not been compiled.
    ValueError
        If the optimizer's steps are made in Python.
    """
    optimizer = model._require_compiled().optimizer
    if optimizer.kernel is None:
        raise ValueError(f"{type(optimizer).__name__} cannot be saved with a model: use fastnet.callbacks.TrainingCheckpoint")
    slots, paths = model._plans.slots, model._paths()
    tensors = {
        f"{prefix}optimizer/{name}/{path}": slot[weight.offset : weight.offset + weight.size]
        for (name, _), slot in zip(optimizer.slots(), slots.arrays())
        for weight, path in paths.items()
    }
    return tensors, {
        "batches": optimizer.batches,
        "epochs_begun": model._epochs_begun,
        "prefix": prefix,
        "learning_rate_factor": float(optimizer.learning_rate_factor).hex(),
        "averaged": sorted(paths[weight] for weight in slots.followed if weight in paths),
    }


def restore_optimizer(model: Network, file: TensorFile, state: Any) -> None:
    """Puts the optimizer of a compiled model where it was when the file was written.

    Raises
    ------
    ValueError
        If the file does not hold all of it.
    """
    optimizer, paths = model._require_compiled().optimizer, model._paths()
    try:
        batches, epochs_begun = (_count(state, name) for name in ("batches", "epochs_begun"))
        prefix, averaged = state.get("prefix", ""), state["averaged"]
        factor = float.fromhex(state.get("learning_rate_factor", "0x1p+0"))
        if not isinstance(prefix, str) or not isinstance(averaged, list) or not (factor >= 0 and math.isfinite(factor)):
            raise ValueError("its fields are not of the right kind")
    except (LookupError, TypeError, AttributeError, OverflowError, ValueError) as error:
        raise ValueError(f"the state of the optimizer is broken: {error}") from error
    arrays = []
    used = set(model._graph.weights())
    for (name, _), slot in zip(optimizer.slots(), model._plans.slots.arrays()):
        for weight, path in paths.items():
            entry = file.entries.get(tensor := f"{prefix}optimizer/{name}/{path}")
            if entry is None and weight not in used:  # C trains what there are operations for
                continue
            if entry is None or entry.shape != (weight.size,) or entry.dtype != slot.dtype:
                raise ValueError(f"it does not hold {name!r} of optimizer {type(optimizer).__name__} for weight {path!r}")
            arrays.append((slot[weight.offset : weight.offset + weight.size], tensor))
    for part, tensor in arrays:
        part[...] = file.read(tensor)
    model._plans.slots.followed = [weight for weight, path in paths.items() if weight.trainable and path in averaged]
    optimizer.batches, optimizer.learning_rate_factor = batches, factor
    model._epochs_begun = epochs_begun


def _count(state: Any, name: str) -> int:
    value = state[name]
    if type(value) is not int or not 0 <= value < _MANY:
        raise ValueError(f"{name} cannot be {value!r}")
    return value
