"""Training checkpoints: all that `fit` needs to go on bit for bit, in the file of a model.

To the weights and the description a checkpoint adds the optimizer's arrays, and as JSON where training stands: batches,
epoch, rows done and sums so far, history, the state of the callbacks. The order of the rows and all random numbers are
functions of the seed and these counters. `load_model` reads the model from it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .description import describe
from .files import _weights_of, check_tensors, metadata_json, read_tensors, write_tensors

if TYPE_CHECKING:
    from ..fitting import Fit

__all__ = ["restore", "write_checkpoint"]

#: What must be the same in the model that goes on.
_STRUCTURE = ("class_name", "dtype", "inputs", "layers", "calls", "outputs")


def write_checkpoint(fit: Fit, path: str | os.PathLike[str]) -> None:
    """Writes where a call of `fit` stands, between two batches."""
    model = fit.model
    tensors = dict(_weights_of(model))
    for (name, _), slot in zip(fit.optimizer.slots(), model._plans.slots()):
        for weight in model.weights:
            tensors[f"optimizer/{name}/{weight.path}"] = slot[weight.offset : weight.offset + weight.size]
    state = fit.state
    callbacks = []
    for i, callback in enumerate(fit.hooks.callbacks):
        plain: dict[str, Any] = {}
        for key, value in callback.get_state().items():
            if isinstance(value, np.ndarray):
                tensors[f"callback/{i}/{key}"] = value
            else:
                plain[key] = value
        callbacks.append({"class_name": type(callback).__name__, "state": plain})
    training = {
        "optimizer": fit.optimizer.get_state(),
        "n_rows": fit.n_rows,
        "batch_size": fit.batch_size,
        "shuffle": bool(fit.shuffle),
        "epochs_begun": model._epochs_begun,
        "epoch": fit.epoch,
        "first_epoch": fit.first_epoch,
        "stopped": bool(model.stop_training),
        "history": {"epoch": fit.history.epoch, "history": fit.history.history},
        "callbacks": callbacks,
        "state": None,
    }
    if state is not None:
        tensors["epoch/totals"], tensors["epoch/sums"] = state.totals, state.sums
        training["state"] = {"order": state.order, "row": state.row, "batch": state.batch,
                             "squares": state.squares.hex(), "first_update": state.first_update}  # fmt: skip
    write_tensors(path, tensors, {"fastnet": json.dumps(describe(model)), "training": json.dumps(training, default=float)})


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
    try:
        _check(fit, path, tensors, description, training)
        states = _callback_states(fit, path, tensors, training)
        state = _epoch_state(fit, tensors, training["state"])
        history = training["history"]
        epochs = [int(epoch) for epoch in history["epoch"]]
        curves = {str(name): list(values) for name, values in history["history"].items()}
        counters = [int(training[name]) for name in ("epochs_begun", "epoch", "first_epoch")]
        stopped = bool(training["stopped"])
        optimizer_state = fit.optimizer.check_state(training["optimizer"])
        seed = int(description["seed"])
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"{os.fspath(path)} is not a whole training checkpoint: {error!r}") from None

    model = fit.model
    for weight in model.weights:
        weight.assign(tensors[weight.path])
    for (name, _), slot in zip(fit.optimizer.slots(), model._plans.slots()):
        for weight in model.weights:
            slot[weight.offset : weight.offset + weight.size] = tensors[f"optimizer/{name}/{weight.path}"]
    model.seed = seed
    model._plans.forget()  # the seed is part of them
    fit.optimizer.set_state(optimizer_state)
    model._epochs_begun, fit.epoch, fit.first_epoch = counters
    fit.state = state
    fit.stopped = stopped
    fit.history.epoch, fit.history.history = epochs, curves
    for callback, callback_state in zip(fit.hooks.callbacks, states):
        callback.set_state(callback_state)


def _check(fit: Fit, path: Any, tensors: Mapping[str, np.ndarray], description: Any, training: Any) -> None:
    """Raises ValueError where the checkpoint is of another model or another call of fit."""
    name, model = os.fspath(path), fit.model
    own = json.loads(json.dumps(describe(model)))
    for part in _STRUCTURE:
        if description[part] != own[part]:
            raise ValueError(f"{name} was written for another model: its {part} differ")
    check_tensors(path, tensors, model.weights, model.dtype)
    for key, value in (("n_rows", fit.n_rows), ("batch_size", fit.batch_size), ("shuffle", bool(fit.shuffle))):
        if training[key] != value:
            raise ValueError(f"{name} was written by a fit with {key}={training[key]}, this one has {value}")
    for slot, _ in fit.optimizer.slots():
        for weight in model.weights:
            tensor = tensors.get(f"optimizer/{slot}/{weight.path}")
            if tensor is None or tensor.shape != (weight.size,) or tensor.dtype != model.dtype:
                raise ValueError(f"{name} does not hold {slot!r} of optimizer {type(fit.optimizer).__name__} for "
                                 f"weight {weight.path!r}")  # fmt: skip


def _callback_states(fit: Fit, path: Any, tensors: Mapping[str, np.ndarray], training: Any) -> list[dict[str, Any]]:
    names = [type(callback).__name__ for callback in fit.hooks.callbacks]
    written = [given["class_name"] for given in training["callbacks"]]
    if names != written:
        raise ValueError(f"{os.fspath(path)} was written by a fit with the callbacks {written}, this one has {names}")
    states = []
    for i, given in enumerate(training["callbacks"]):
        prefix = f"callback/{i}/"
        arrays = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        states.append({**given["state"], **arrays})
    return states


def _epoch_state(fit: Fit, tensors: Mapping[str, np.ndarray], given: Any) -> Any:
    from ..fitting import EpochState

    if given is None:
        return None
    totals, sums = tensors["epoch/totals"], tensors["epoch/sums"]
    expected = (1 + len(fit.model.outputs),), fit.compiled.new_sums().shape
    row = int(given["row"])
    if (totals.shape, sums.shape) != expected or totals.dtype != np.float64 or sums.dtype != np.float64:
        raise ValueError("the sums of the epoch do not belong to this model and its metrics")
    if not 0 <= row < fit.n_rows:
        raise ValueError(f"the checkpoint stands at row {row} of {fit.n_rows}")
    return EpochState(order=int(given["order"]), totals=totals.copy(), sums=sums.copy(), row=row, batch=int(given["batch"]),
                      first_update=int(given["first_update"]), squares=float.fromhex(given["squares"]))  # fmt: skip
