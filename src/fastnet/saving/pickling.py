"""Models in pickles: for `copy.deepcopy`, processes of multiprocessing and joblib, and estimators that hold a model.

A pickle holds what a file of the model holds, the objects that compile was given, and how far training has come, so that a copy goes
on with the same bits. Plans and views are left behind: they are made again when they are needed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from .._config import Configurable
from .._registered import registered_name
from .._slots import CopiedAverages
from .._weights import INITIALISES, assign_all, between_steps
from ..layers.base import Layer
from .building import rebuild
from .description import describe
from .weight_functions import function_of

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["progress_of", "restore_model", "state_of", "take_progress"]


def state_of(model: Model) -> dict[str, Any]:
    """Everything of a model that a pickle holds; see `restore_model`. Where another thread trains it: as it is after a step.

    Raises
    ------
    ValueError
        If the model cannot be made again from its layers, as `Model.save`.
    """
    return between_steps(model._slab.gate, lambda: _state_between_steps(model)) if model.built else _state_between_steps(model)


def _state_between_steps(model: Model) -> dict[str, Any]:
    compiled = model._compiled
    state: dict[str, Any] = {
        "compiled": (compiled.optimizer, model._told_loss, *compiled.given[1:], compiled.n_threads, compiled.precise)
        if compiled is not None
        else None,
        "distribution": _OfThisProcess(model._distribution),
        "batches": compiled.optimizer.batches if compiled is not None else 0,  # the optimizer itself may go on
        "epochs_begun": model._epochs_begun,
        "history": model.history,
    }
    if model._subclassed:
        state["subclass"] = type(model), model._own_attributes(), model.seed, model.dtype, model.name
        state["constructed"] = model._constructed
        state["columns"] = dict(model._columns.known)
        state["inputs"], state["n_weights"] = model._input_shapes, len(model.weights)
        if model.built:
            _take_slots(model, state)
            _take_averages(model, state)
        return state
    if not model.built:
        state["unbuilt"] = (list(model._stack), model.seed, model.dtype, model.name)  # a Sequential of unknown input
        return state
    description = describe(model)
    description["compiled"] = None
    state["description"] = description
    state["classes"] = _own_classes(model, description)
    state["functions"] = Functions(_own_functions(model))
    state["weights"] = [weight.array.copy() for weight in model.weights]
    _take_slots(model, state)
    _take_averages(model, state)
    return state


def _take_averages(model: Model, state: dict[str, Any]) -> None:
    """Averages that are in no slots of the model: those that the updates of a `TrainStep` keep."""
    found = model._plans.slots.of_others()
    if found:
        state["averages"] = {i: found[weight].copy() for i, weight in enumerate(model.weights) if weight in found}


def _take_slots(model: Model, state: dict[str, Any]) -> None:
    compiled, slots = model._compiled, model._plans.slots
    if compiled is not None and compiled.optimizer.kernel and compiled.optimizer.batches:
        numbers = {weight: i for i, weight in enumerate(model.weights)}
        state["slots"] = [[weight.view_of(array).copy() for weight in model.weights] for array in slots.arrays()]
        state["averaged"] = [numbers[weight] for weight in slots.followed if weight in numbers]


def progress_of(model: Model) -> dict[str, Any]:
    """What training has changed of a model; see `take_progress`."""
    state: dict[str, Any] = {
        "weights": model.get_weights(),
        "optimizer": model.optimizer.get_state(),
        "epochs_begun": model._epochs_begun,
        "history": model.history,
        "stop_training": model.stop_training,
        "columns": dict(model._columns.known),
    }
    _take_slots(model, state)
    return state


def take_progress(model: Model, state: dict[str, Any]) -> None:
    """Makes a model what a copy of it has become by training: with the same weights, arrays of the optimizer and counters."""
    trained = set(model.trainable_weights)
    changed = [  # of others averages of a `TrainStep` go on
        (weight, array)
        for weight, array in zip(model.weights, state["weights"], strict=True)
        if weight in trained or weight.array.tobytes() != array.tobytes()
    ]
    assign_all([weight for weight, _ in changed], [array for _, array in changed], f"model {model.name!r}")
    model.optimizer.set_state(state["optimizer"])
    if "slots" in state:
        model.optimizer.claim(model)
        _put_slots(model, state["slots"], state["averaged"])
    model._epochs_begun, model.history, model.stop_training = (
        state["epochs_begun"],
        state["history"],
        state["stop_training"],
    )
    model._columns.known.update(state["columns"])


def restore_model(state: dict[str, Any]) -> Model:
    """The model whose state it is: on its own, with the same weights, optimizer and counters."""
    model: Model
    if "subclass" in state:
        model = _restore_subclass(state)
    elif "unbuilt" in state:
        from ..model import Sequential

        stack, seed, dtype, name = state["unbuilt"]
        model = Sequential(stack, seed=seed, dtype=dtype, name=name)
    else:
        initialises = INITIALISES.set(False)  # the weights follow
        try:
            model = rebuild(
                state["description"], {registered_name(cls): cls for cls in state["classes"]} | state["functions"].table
            )
        finally:
            INITIALISES.reset(initialises)
        model.set_weights(state["weights"])
    if state["compiled"] is not None:
        optimizer, loss, metrics, loss_weights, n_threads, precise = state["compiled"]
        optimizer.batches = state["batches"]
        told = state["distribution"].value if "distribution" in state else None
        model.compile(optimizer, loss, loss_weights, metrics, n_threads=n_threads, distribution=told, precise=precise)
    if "slots" in state:
        _put_slots(model, state["slots"], state["averaged"])
    if "averages" in state:
        weights = model.weights
        CopiedAverages({weights[i]: average for i, average in state["averages"].items()}).join(model._slab)
    model._epochs_begun, model.history = state["epochs_begun"], state["history"]
    return model


def _restore_subclass(state: dict[str, Any]) -> Model:
    """A model of a class of the user's, whose layers come with their weights as its attributes."""
    from ..model import Model

    cls, attributes, seed, dtype, name = state["subclass"]
    model = cls.__new__(cls)
    Model.__init__(model, seed=seed, dtype=dtype, name=name)
    vars(model).update(attributes)
    model._constructed = state["constructed"]
    model._columns.known.update(state["columns"])
    if state["inputs"] is not None:
        model.build(state["inputs"])
        if len(model.weights) != state["n_weights"]:
            raise ValueError(
                f"model {name!r} has a layer as its attribute that is also a part of a model that is one: a copy would not share its weights"
            )
    return model


def _put_slots(model: Model, slots: list[list[np.ndarray]], averaged: list[int]) -> None:
    model._plans.slots.follow()
    for array, values in zip(model._plans.slots.arrays(), slots):
        for weight, value in zip(model.weights, values):
            weight.view_of(array)[...] = value
    model._plans.slots.followed = [model.weights[i] for i in averaged]


def _all_layers(layer: Layer) -> list[Layer]:
    """The layers of a model at any depth."""
    return [one for part in layer.sublayers() for one in (part, *_all_layers(part))]


class Functions:
    """Functions by name. A copy has the same; in a pickle are those that whoever reads it can import.

    Parameters
    ----------
    table : dict of str to callable
    """

    def __init__(self, table: dict[str, Any]) -> None:
        self.table = table

    def __deepcopy__(self, memo: Any) -> Functions:
        return self

    def __reduce__(self) -> Any:
        return Functions, ({name: function for name, function in self.table.items() if _is_importable(function)},)


class _OfThisProcess:
    """What a process cannot give to others. A copy has the same; a pickle has None."""

    def __init__(self, value: Any = None) -> None:
        self.value = value

    def __deepcopy__(self, memo: Any) -> _OfThisProcess:
        return self

    def __reduce__(self) -> Any:
        return _OfThisProcess, ()


def _is_importable(function: Any) -> bool:
    found: Any = sys.modules.get(str(getattr(function, "__module__", None)))
    for name in str(getattr(function, "__qualname__", None)).split("."):
        found = getattr(found, name, None)
    return found is function


def _own_functions(model: Model) -> dict[str, Any]:
    """The regularizers and constraints that are functions, but for different ones of one name."""
    things = [thing for weight in model.weights for thing in (weight.regularizer, weight.constraint)]
    things += [getattr(layer, "activity_regularizer", None) for layer in _all_layers(model)]
    found: dict[str, list[Any]] = {}
    for thing in things:
        function = function_of(thing)
        if function is not thing and not hasattr(function, "described"):
            several = found.setdefault(registered_name(function), [])
            several += [function] if function not in several else []
    return {name: several[0] for name, several in found.items() if len(several) == 1}


def _own_classes(model: Model, description: Any) -> list[type]:
    """The classes outside of fastnet that the description names: of layers, initializers and the like."""
    named: set[str] = set()
    left: list[Any] = [description]
    while left:
        value = left.pop()
        if isinstance(value, str):
            named.add(value)
        elif isinstance(value, (list, dict)):
            left += value.values() if isinstance(value, dict) else value
    classes = [Configurable]
    for cls in classes:
        classes += cls.__subclasses__()
    # Of layers the classes are known: others of the same names are not theirs.
    own = dict.fromkeys([*(cls for cls in classes if not issubclass(cls, Layer)), *map(type, _all_layers(model))])
    return [
        cls
        for cls in own
        if (issubclass(cls, Layer) or registered_name(cls) in named) and not cls.__module__.startswith("fastnet.")
    ]
