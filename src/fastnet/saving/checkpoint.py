"""Training checkpoints: all that `fit` needs to go on bit for bit, in the file of a model.

To the weights and the description a checkpoint adds the optimizer's arrays, and as JSON where training stands: batches,
epoch, rows done and sums so far, history, the state of the callbacks. The order of the rows and all random numbers are
functions of the seed and these counters. `load_model` reads the model from it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._fit_state import EpochState
from .description import VERSION, describe
from .entries import assign_tensors, check_tensors, metadata_json, naming, prefix_for, weights_of
from .tensors import read_tensors, write_tensors

if TYPE_CHECKING:
    from ..fitting import Fit

__all__ = ["number_or_list", "put_state", "restore", "take_state", "write_checkpoint"]

#: What must be the same in the model that goes on.
_STRUCTURE = ("class_name", "dtype", "inputs", "layers", "calls", "outputs")
#: Larger counters than any training reaches.
_MANY = 2**53


def write_checkpoint(fit: Fit, path: str | os.PathLike[str]) -> None:
    """Writes where a call of `fit` stands, between two batches."""
    model, state = fit.model, fit.state
    tensors, paths = weights_of(model), model._paths()
    prefix = prefix_for(tensors)
    for (name, _), slot in zip(fit.optimizer.slots(), model._plans.slots.arrays()):
        for weight, place in paths.items():
            tensors[f"{prefix}optimizer/{name}/{place}"] = slot[weight.offset : weight.offset + weight.size]
    callbacks = []
    for i, callback in enumerate(fit.callbacks.callbacks):
        callbacks.append({"state": put_state(callback.get_state(), f"{prefix}callback/{i}/", tensors)})
    training = {
        **_arguments(fit),
        "prefix": prefix,
        "optimizer": put_state(fit.optimizer.get_state(), f"{prefix}optimizer_state/", tensors),
        "averaged": sorted(paths[weight] for weight in model._plans.slots.followed if weight in paths),
        "epochs_begun": model._epochs_begun,
        "epoch": fit.epoch,
        "first_epoch": fit.first_epoch,
        "stopped": bool(model.stop_training),
        "history": {"epoch": fit.history.epoch, "history": fit.history.quantities},
        "callbacks": callbacks,
        "state": None,
        "place": fit.place(),
    }
    if state is not None:
        tensors[f"{prefix}epoch/totals"], tensors[f"{prefix}epoch/sums"] = state.totals, state.sums
        training["state"] = {
            "order": state.order,
            "row": state.rows,
            "batch": state.batch,
            "squares": state.squared_norm,
            "first_update": state.first_update,
            "seconds": state.seconds,
        }
    metadata = {"fastnet": json.dumps(_describe(model)), "training": json.dumps(training, default=number_or_list)}
    write_tensors(path, tensors, metadata)


def _describe(model: Any) -> dict[str, Any]:
    """The description, or of a model that cannot be described, as of a function of arrays, why: who goes on has the model."""
    try:
        return describe(model)
    except (TypeError, ValueError) as error:
        return {"fastnet": VERSION, "seed": model.seed, "undescribed": str(error)}


def put_state(state: Mapping[str, Any], prefix: str, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    """The part of a state that is not arrays; those become tensors."""
    tensors.update((f"{prefix}{name}", value) for name, value in state.items() if isinstance(value, np.ndarray))
    return {name: value for name, value in state.items() if not isinstance(value, np.ndarray)}


def take_state(state: Mapping[str, Any], prefix: str, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The whole state again."""
    return {**state, **{name.removeprefix(prefix): tensors[name] for name in tensors if name.startswith(prefix)}}


def _arguments(fit: Fit) -> dict[str, Any]:
    """What must be the same in the call of fit that goes on."""
    return {
        **fit.arguments(),
        "mixup": fit.options.mixup,
        "cutmix": fit.options.cutmix,
        "optimizer_class": fit.optimizer.class_label,
        "scheduled": fit.optimizer.has_schedule,
        "callback_classes": [type(callback).__name__ for callback in fit.callbacks.callbacks],
        "pieces": fit.stepper.pieces,
    }


def number_or_list(value: Any) -> Any:
    """What JSON can hold for a number or an array of NumPy; TypeError for anything else."""
    if isinstance(value, np.ndarray):
        return {"array": value.tolist()}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a training checkpoint cannot hold {value!r}")


def restore(fit: Fit, path: str | os.PathLike[str]) -> None:
    """Puts a call of `fit` where the one stood that wrote the checkpoint.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is broken, or was written for another model or with other arguments; nothing is changed then.
    """
    tensors, metadata = read_tensors(path)
    description = metadata_json(path, metadata, "fastnet")
    training = metadata_json(path, metadata, "training")
    with naming(path):
        try:
            apply = _read(fit, tensors, description, training)
        except (LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"this is not a whole training checkpoint: {error!r}") from error
    apply()


def _read(fit: Fit, tensors: Mapping[str, np.ndarray], description: Any, training: Any) -> Callable[[], None]:
    """A function that puts `fit` where the checkpoint stands, after all that can be wrong with it was looked at."""
    weights, tensors = tensors, _without_prefix(tensors, training)
    _check(fit, weights, tensors, description, training)
    states = _callback_states(fit, tensors, training)
    state = _epoch_state(fit, tensors, training, fit.optimizer.iterations_after(_count(training["optimizer"], "batches")))
    epochs, curves = _history(training["history"])
    place = None if fit.place() is None else {name: _count(training["place"], name) for name in fit.place() or ()}
    epochs_begun, epoch, first_epoch = (_count(training, name) for name in ("epochs_begun", "epoch", "first_epoch"))
    stopped, seed = _of_type(training, "stopped", bool), _count(description, "seed", 2**64)
    model = fit.model
    optimizer_state = fit.optimizer.check_state(take_state(training["optimizer"], "optimizer_state/", tensors))
    size = sum(weight.size for weight in model.trainable_weights)
    if any(isinstance(value, np.ndarray) and value.shape != (size,) for value in optimizer_state.values()):
        raise ValueError(f"the optimizer's arrays must be of {size} numbers")
    for one in [optimizer_state, *optimizer_state.get("updates", [])]:
        _count(one, "batches")
        for name in ("learning_rate", "learning_rate_factor"):
            value = one[name]
            if value is not None and not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"the optimizer's {name} cannot be {value}")
    slots, paths = model._plans.slots.arrays(), model._paths()
    trained = [path for weight, path in paths.items() if weight.trainable and weight.layer.trainable]
    names = training.get("averaged", trained)  # files of older versions do not tell
    averaged = [weight for weight, path in paths.items() if weight.trainable and path in names]

    def apply() -> None:
        with model._slab.gate.writing():
            put_back()

    def put_back() -> None:
        assign_tensors(weights, paths)
        for (name, _), slot in zip(fit.optimizer.slots(), slots):
            for weight, path in paths.items():
                slot[weight.offset : weight.offset + weight.size] = tensors[f"optimizer/{name}/{path}"]
        model._plans.slots.followed = averaged
        model.seed = seed
        model._plans.forget()  # the seed is part of them
        fit.optimizer.set_state(optimizer_state)
        model._epochs_begun, fit.epoch, fit.first_epoch = epochs_begun, epoch, first_epoch
        fit.state, fit.stopped, fit.callback_states = state, stopped, states
        fit.history.epoch, fit.history.quantities = epochs, curves
        if place is not None:
            fit.go_to(place)

    return apply


def _without_prefix(tensors: Mapping[str, np.ndarray], training: Any) -> dict[str, np.ndarray]:
    """The tensors that are no weights, by their own names; files written before there were prefixes have none."""
    prefix = _of_type({"prefix": "", **training}, "prefix", str)
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _check(
    fit: Fit,
    weights: Mapping[str, np.ndarray],
    tensors: Mapping[str, np.ndarray],
    description: Any,
    training: Any,
) -> None:
    """Raises ValueError where the checkpoint is of another model or another call of fit."""
    model = fit.model
    own = json.loads(json.dumps(_describe(model)))
    if ("undescribed" in own) != ("undescribed" in description):
        raise ValueError("it was written for another model")
    for part in _STRUCTURE if "undescribed" not in own else ():
        if _comparable({"fastnet": 0, part: description[part]}) != _comparable({"fastnet": 0, part: own[part]}):
            raise ValueError(f"it was written for another model: its {part} differ")
    for key, value in _arguments(fit).items():
        if training.get(key) != value:
            raise ValueError(f"it was written by a fit with {key}={training.get(key)!r}, this one has {value!r}")
    paths = model._paths()
    check_tensors(weights, paths, model.dtype)
    for slot, _ in fit.optimizer.slots():
        for weight, path in paths.items():
            tensor = tensors.get(f"optimizer/{slot}/{path}")
            if tensor is None or tensor.shape != (weight.size,) or tensor.dtype != model.dtype:
                raise ValueError(f"it does not hold {slot!r} of optimizer {fit.optimizer.class_label} for weight {path!r}")


def _comparable(plain: Any) -> Any:
    """A description, with those of models within it that do not tell their seeds: only that of the whole counts.

    And without what layers did and with which `training` models call them, which files of older versions do not tell.
    """
    if isinstance(plain, list):
        return [_comparable(value) for value in plain]
    if isinstance(plain, dict):
        left_out = ("seed",) if "fastnet" in plain else ("needs", "traced", "kind") if "class_name" in plain else ()
        found = {key: _comparable(value) for key, value in plain.items() if key not in left_out}
        if "fastnet" in plain and "calls" in plain:
            found["calls"] = [[*call[:2], *filter(None, call[2:3])] for call in found["calls"]]
        return found
    return plain


def _of_type(given: Mapping[str, Any], name: str, kind: Any) -> Any:
    value = given[name]
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise ValueError(f"{name} cannot be {value!r}")
    return value


def _count(given: Mapping[str, Any], name: str, end: int = _MANY) -> int:
    value = _of_type(given, name, int)
    if not 0 <= value < end:
        raise ValueError(f"{name} cannot be {value}")
    return value


def _history(given: Mapping[str, Any]) -> tuple[list[int], dict[str, list[Any]]]:
    epochs = [_count({"epoch": epoch}, "epoch") for epoch in given["epoch"]]
    curves = {}
    for name, values in given["history"].items():
        if len(values) != len(epochs):
            raise ValueError(f"the history of {name!r} has {len(values)} numbers for {len(epochs)} epochs")
        curves[name] = [np.array(value["array"]) if isinstance(value, dict) else value for value in values]
    return epochs, curves


def _callback_states(fit: Fit, tensors: Mapping[str, np.ndarray], training: Any) -> list[dict[str, Any]]:
    states = []
    for i, (given, callback) in enumerate(zip(training["callbacks"], fit.callbacks.callbacks, strict=True)):
        state = take_state(given["state"], f"callback/{i}/", tensors)
        callback.check_state(state)
        states.append(state)
    return states


def _epoch_state(fit: Fit, tensors: Mapping[str, np.ndarray], training: Any, iterations: int) -> EpochState | None:
    given = training["state"]
    if given is None:
        return None
    totals, sums = tensors["epoch/totals"], tensors["epoch/sums"]
    expected = (1 + len(fit.model.outputs),), fit.compiled.new_sums().shape
    if (totals.shape, sums.shape) != expected or totals.dtype != np.float64 or sums.dtype != np.float64:
        raise ValueError("the sums of the epoch do not belong to this model and its metrics")
    streamed = fit.place() is not None
    end = _MANY if streamed else fit.n_rows
    row, batch = _count(given, "row", end), _count(given, "batch", end)
    if not streamed and row != batch * fit.options.batch_size:
        raise ValueError(f"batch {batch} does not begin at row {row}")
    numbers = {name: float(_of_type(given, name, (int, float))) for name in ("squares", "seconds")}
    if any(value < 0 for value in numbers.values()):
        raise ValueError(f"sums of squares and seconds cannot be negative, got {numbers}")
    state = EpochState(
        order=_count(given, "order"),
        totals=totals.copy(),
        sums=sums.copy(),
        row=0 if streamed else row,
        batch_size=fit.options.batch_size,
        first_update=_count(given, "first_update", iterations + 1),
        squared_norm=numbers["squares"],
        seconds=numbers["seconds"],
    )
    if streamed:
        state.rows_before, state.batches_before = row, batch
    return state
