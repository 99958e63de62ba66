"""A `TrainStep` in a file: the weights of its models, what the optimizers keep, and the counters that order and random numbers depend on."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from .checkpoint import number_or_list, put_state, take_state
from .entries import assign_tensors, check_tensors, metadata_json, naming, prefix_for, weights_of
from .tensors import read_tensors, write_tensors

__all__ = ["load_step", "save_step"]

#: Larger counters than any training reaches.
_MANY = 2**53


def _told(step: Any) -> dict[str, Any]:
    """What must be the same in the step that goes on."""
    return {
        "updates": step.output_names,
        "every": [update.every for update in step.updates],
        "optimizers": step._require_compiled().optimizer.class_label,
    }


def save_step(step: Any, path: str | os.PathLike[str]) -> None:
    """Writes where a compiled `TrainStep` stands, between two batches."""
    compiled = step._require_compiled()
    tensors, paths = weights_of(step), step._paths()
    prefix = prefix_for(tensors)
    for (name, _), slot in zip(compiled.optimizer.slots(), step._plans.slots.arrays()):
        for weight, place in paths.items():
            tensors[f"{prefix}optimizer/{name}/{place}"] = slot[weight.offset : weight.offset + weight.size]
    state = {
        **_told(step),
        "prefix": prefix,
        "optimizer": put_state(compiled.optimizer.get_state(), f"{prefix}optimizer_state/", tensors),
        "averaged": [
            sorted(paths[weight] for weight in update._plans.slots.followed if weight in paths) for update in step.updates
        ],
        "epochs_begun": step._epochs_begun,
        "seed": step.seed,
    }
    write_tensors(path, tensors, {"train_step": json.dumps(state, default=number_or_list)})


def load_step(step: Any, path: str | os.PathLike[str]) -> None:
    """Puts a compiled `TrainStep` where the one stood that was written.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is broken, or of another step; nothing is changed then.
    """
    compiled = step._require_compiled()
    tensors, metadata = read_tensors(path)
    state, paths = metadata_json(path, metadata, "train_step"), step._paths()
    with naming(path):
        try:
            for name, value in _told(step).items():
                if state[name] != value:
                    raise ValueError(f"it was written by a step with {name} {state[name]!r}, this one has {value!r}")
            prefix = str(state["prefix"])
            weights = {name: tensor for name, tensor in tensors.items() if not (prefix and name.startswith(prefix))}
            own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
            check_tensors(weights, paths, step.dtype)
            slots = [
                (slot[weight.offset : weight.offset + weight.size], own[f"optimizer/{name}/{place}"])
                for (name, _), slot in zip(compiled.optimizer.slots(), step._plans.slots.arrays())
                for weight, place in paths.items()
            ]
            if any(part.shape != array.shape or part.dtype != array.dtype for part, array in slots):
                raise ValueError("arrays of an optimizer are of other shapes than the weights")
            optimizer = compiled.optimizer.check_state(take_state(state["optimizer"], "optimizer_state/", own))
            counts = [state["epochs_begun"], optimizer["batches"], *(one["batches"] for one in optimizer["updates"])]
            if not all(type(count) is int and 0 <= count < _MANY for count in counts):
                raise ValueError(f"counters cannot be {counts}")
            seed = state["seed"]
            if type(seed) is not int or not 0 <= seed < 2**64:
                raise ValueError(f"the seed cannot be {seed!r}")
            averaged = [
                [weight for weight, place in paths.items() if place in names]
                for names, _ in zip(state["averaged"], step.updates, strict=True)
            ]
        except (LookupError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"this is not the whole state of a step: {error!r}") from error
    with step._slab.gate.writing():
        assign_tensors(weights, paths)
        for part, array in slots:
            part[...] = np.asarray(array)
        compiled.optimizer.set_state(optimizer)
        step._epochs_begun, step.seed = state["epochs_begun"], seed
        step._plans.forget()  # the seed is a part of them
        for update, followed in zip(step.updates, averaged):
            update._plans.slots.followed = followed
