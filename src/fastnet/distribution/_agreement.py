"""What processes that train a model together must have in common: looked at, and taken over from process 0."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._config import Configurable
from .._updates import hyper_rows
from ._exchanges import is_synchronized
from ._meetings import message_of, weights_in

if TYPE_CHECKING:
    from .._compiled import Compiled
    from .._fit_state import FitState
    from ._data_parallel import DataParallel

__all__ = ["agree", "arguments_of", "check_pieces", "checksum"]


def arguments_of(fit: FitState) -> dict[str, Any]:
    """What must be the same of a call of `fit` in all processes."""
    held, options = fit.validation, fit.options
    arrays = isinstance(held, tuple)
    return {
        **{name: getattr(options, name) for name in _COMMON},
        **fit.arguments(),
        "class_weight": _described(options.class_weight),
        "sample_weight": weights_in(fit.data[2]) if options.class_weight is None or options.sample_weight is not None else None,
        "resume_from": None if options.resume_from is None else "a file",
        "epoch": fit.epoch,
        "steps": fit.steps,
        "validation_data": None if held is None else f"{_rows_in(held[0])} rows" if arrays else "batches",
        "weights of validation_data": weights_in(held[2]) if arrays else None,
    }


#: Arguments of `fit` that must be the same in all processes.
_COMMON = (
    "epochs",
    "initial_epoch",
    "steps_per_epoch",
    "mixup",
    "cutmix",
    "validation_split",
    "validation_steps",
    "validation_freq",
    "validation_batch_size",
)


def _rows_in(inputs: Any) -> int:
    """Rows of arrays, or of the data of a `test_step`."""
    return len(getattr(inputs, "arrays", inputs)[0])


def agree(
    model: Any,
    compiled: Compiled,
    distribution: DataParallel,
    what: str,
    arguments: Mapping[str, Any],
    check: Callable[[Any, Compiled], None],
) -> None:
    """Makes the model of each process that of process 0.

    Parameters
    ----------
    arguments : dict
        Of the call `what`, that must be the same in all processes.
    check : callable
        Raises where a model cannot be trained together.

    Raises
    ------
    ValueError
        In all processes, where models, what compile was told or arguments of the call differ.
    Exception
        What `check` has raised; RuntimeError where it has in another process.
    """
    comm, optimizer, slots, paths = distribution.comm, compiled.optimizer, model._plans.slots, model._paths()
    error: BaseException | None = None
    mine: dict[str, Any] = {}
    try:
        check(model, compiled)
        mine = {**arguments, **_parts(model, compiled, paths)}
    except BaseException as raised:
        error = raised
    everything, known = comm.allgather((mine, message_of(error))), distribution._meetings.known
    if error is not None:
        raise known(error)
    for rank, (_, message) in enumerate(everything):
        if message is not None:
            raise known(RuntimeError(f"process {rank} has failed: {message}"))
    parts = [theirs for theirs, _ in everything]
    for rank, theirs in enumerate(parts):
        for name, value in theirs.items():
            first = parts[0].get(name)
            if value != first:
                message = f"{what}: process {rank} has {name}={_shown(value, first)}, process 0 has {_shown(first, value)}"
                raise known(ValueError(message))
    told = comm.bcast(
        {
            "seed": model.seed,
            "epochs_begun": model._epochs_begun,
            "optimizer": optimizer.get_state(),
            "averaged": [paths[weight] for weight in slots.followed if weight in paths],
        }
        if distribution.rank == 0
        else None
    )
    with model._slab.gate.writing():
        for array in [model._slab.values, *slots.arrays()]:
            comm.Bcast(array)
        if distribution.rank:
            optimizer.set_state(told["optimizer"])
            slots.followed = [weight for weight, path in paths.items() if path in told["averaged"]]
            model._epochs_begun = told["epochs_begun"]
            for one in (model, model._shown):  # a train_step and the model that it is of
                if one.seed != told["seed"]:
                    one.seed = told["seed"]
                    one._plans.forget()


def check_pieces(model: Any, compiled: Compiled) -> None:
    """ValueError for what cannot be trained in pieces of batches."""
    reasons = [
        (compiled.optimizer.full_batch, f"the optimizer {type(compiled.optimizer).__name__}, which looks at all rows at once,"),
        (bool(model._plans.own_constraints), "a constraint that is a function of arrays (write it in fastnet.ops)"),
        (is_synchronized(model) and compiled.custom, "a synchronized layer with a loss that is a function of arrays"),
        (
            is_synchronized(model) and compiled.sequence and any(update.group is not None for update in model.updates),
            "a synchronized layer in a train_step that takes the gradients of several updates before it makes the first of them",
        ),
        (model._graph.batch_size is not None, "a stateful layer, which keeps a state for each row of a batch,"),
    ]
    for found, what in reasons:
        if found:
            raise ValueError(f"model {model.name!r}: {what} cannot be trained with DataParallel")


def checksum(model: Any) -> int:
    """Of the weights and of what the next step is made with, of 32 bits."""
    found = zlib.crc32(model._slab.values)
    for hyper in hyper_rows(model.updates, 1) if model._compiled.sequence else [model._plans.hyper(1)]:
        found = zlib.crc32(hyper.tobytes(), found)
    return found


def _parts(model: Any, compiled: Compiled, paths: Mapping[Any, str]) -> dict[str, Any]:
    """What a model is made of, and what compile was told, but for numbers that process 0 decides on."""
    found = {
        "dtype": str(model.dtype),
        "layers": [(one.op, _described(one.attributes)) for one in model._graph.operations],
        "weights": [(path, weight.shape, weight.trainable) for weight, path in paths.items()],
    }
    if compiled.sequence:
        for update in model.updates:
            trained = [paths[weight] for weight in update.trainable_weights]
            found[f"update {update.name!r}"] = _optimizer(update.optimizer), update.every, trained
        return {**found, "metrics": compiled.described()}
    return {
        **found,
        "optimizer": _optimizer(compiled.optimizer),
        "loss": _described(compiled.losses),
        "loss_weights": list(compiled.loss_weights),
        "metrics": _described(compiled.metrics),
    }


def _optimizer(optimizer: Any) -> Any:
    """An optimizer as `_described`, but for its rate where that is a number."""
    name, config = _described(optimizer)
    if isinstance(config.get("learning_rate"), (int, float)):
        config["learning_rate"] = "a number"
    return name, config


def _described(value: Any) -> Any:
    """A value as plain things that are equal in all processes where they mean the same: functions by their names."""
    if isinstance(value, Configurable):
        try:
            config = value.get_config()
        except Exception:  # of a class of the user's, or with a function, which cannot be written to a file, and need not be
            config = {name: getattr(value, name) for name in value._arguments() if hasattr(value, name)}
        return type(value).__qualname__, {name: _described(one) for name, one in config.items()}
    if isinstance(value, Mapping):
        return {name: _described(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_described(one) for one in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(value).tolist()
    return getattr(value, "__qualname__", type(value).__qualname__)


def _shown(value: Any, other: Any) -> str:
    """A value as a message says it: of long ones the part that is not as in the other."""
    if isinstance(value, (list, tuple)) and isinstance(other, (list, tuple)) and len(value) == len(other):
        differing = [(a, b) for a, b in zip(value, other) if a != b]
        if differing and len(value) > 1:
            return _shown(*differing[0])
    if isinstance(value, dict) and isinstance(other, dict) and value.keys() == other.keys():
        name = next((name for name in value if value[name] != other[name]), None)
        if name is not None:
            return f"{name}={_shown(value[name], other[name])}"
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
