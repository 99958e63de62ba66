"""What `call(x, training=...)` means: one graph serves training and inference, in which operations know themselves which it is."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from .._graph import CURRENT_CALL, LayerCall, Operation, SymbolicTensor, symbols_in
from .._order import sort_operations, without_training

__all__ = [
    "AUGMENTING", "FORCED", "MODE", "asked_mode", "default_mode", "in_mode", "outside_modes", "takes_training", "trace_modes",
    "traced_with",
]  # fmt: skip

#: The value of `training` with which calls are being traced; None: nobody has asked for it.
MODE: ContextVar[bool | None] = ContextVar("MODE", default=None)
#: What a call within has been told that is not that; None: nothing.
FORCED: ContextVar[bool | str | None] = ContextVar("FORCED", default=None)
#: A value of that: no training, but of the layers that change images at random.
AUGMENTING = "augmenting"

#: Operations that hand on their input but in training.
_NOISE = {
    "alpha_dropout", "dropout", "gaussian_dropout", "gaussian_noise", "in_training", "random_affine", "random_brightness",
    "random_contrast", "random_erasing",
}  # fmt: skip
#: Others that differ in training, by the attribute that says so, with its value for inference.
_INFERENCE = {"batch_normalization": ("frozen", 1.0), "attention": ("rate", 0.0)}


def takes_training(function: Callable[..., Any]) -> bool:
    """Whether it has a parameter `training`."""
    return "training" in inspect.signature(function).parameters


@contextlib.contextmanager
def outside_modes() -> Iterator[None]:
    """Within it, nobody has asked for a value of `training`: a model makes its own graph."""
    tokens = MODE.set(None), FORCED.set(None)
    try:
        yield
    finally:
        MODE.reset(tokens[0])
        FORCED.reset(tokens[1])


@contextlib.contextmanager
def traced_with(mode: Any) -> Iterator[None]:
    """Within it, calls are traced with that value of `training`, where there is one; ValueError for what is none."""
    if not (mode is None or isinstance(mode, bool)):
        raise ValueError(f"training is {str(mode)[:100]!r}, expected true or false")
    token = MODE.set(MODE.get() if mode is None else mode)
    try:
        yield
    finally:
        MODE.reset(token)


def default_mode(function: Callable[..., Any]) -> bool:
    """The value of `training` of a call in `train_step` that does not say it: as in Keras what the signature says, or else False."""
    parameter = inspect.signature(function).parameters.get("training")
    return parameter is not None and parameter.default is True


def asked_mode(value: Any, label: str) -> bool | None:
    """The value of `training` of a call, where it is not what is being traced."""
    if value is None:
        return None
    if not isinstance(value, (bool, int)) or value not in (0, 1):
        raise TypeError(f"layer {label!r}: training must be True, False or None, got {value!r}")
    return bool(value) if bool(value) != MODE.get() else None


def in_mode(op: str, layer: Any, inputs: Sequence[SymbolicTensor], attributes: Mapping[str, float]) -> Any:
    """The attributes of an operation of a layer within a call that was told `training`, or the tensor that it hands on.

    Raises
    ------
    NotImplementedError
        Where it was told to behave in inference as in training.
    """
    forced = FORCED.get()
    if forced is None or (op not in _NOISE and op not in _INFERENCE) or (forced == AUGMENTING and layer._augments):
        return attributes
    if forced is True:
        raise NotImplementedError(
            f"layer {layer._label!r} was called with training=True: fastnet's layers behave as in training while they are trained, and never "
            "in predictions. model.forward(x, training=True) computes as in training"
        )
    if op in _NOISE:
        return inputs[0]
    name, value = _INFERENCE[op]
    return {**attributes, name: value} if op == "batch_normalization" or name in attributes else attributes


def trace_modes(
    run: Callable[..., Any],
    call: LayerCall | None,
    inputs: Iterable[SymbolicTensor],
    label: str,
    choose: Callable[[SymbolicTensor, SymbolicTensor], SymbolicTensor],
) -> Any:
    """What a `call` with a parameter `training` returns, of which one graph is to serve training and inference.

    It is traced with True and with False, where it is not within a call that is. Where results differ by more than what operations do by
    themselves, both are parts of the graph, of which plans have the one that they need.

    Parameters
    ----------
    run : callable
        Takes ``training=`` and returns tensors.
    call : LayerCall or None
        In progress; what the second trace appends is not a part of it.
    inputs : iterable of SymbolicTensor
        What `run` computes with.
    label : str
    choose : callable
        Appends what is the first of two tensors in inference and the second in training.

    Raises
    ------
    NotImplementedError
        Where both return different kinds of results, or add different things to the loss, or something and return others.
    """
    mode = MODE.get()
    if mode is not None:
        return run(training=mode)
    inputs = list(inputs)

    def trace(mode: bool, scratch: LayerCall | None) -> Any:
        tokens = MODE.set(mode), CURRENT_CALL.set(scratch)
        try:
            return run(training=mode)
        finally:
            MODE.reset(tokens[0])
            CURRENT_CALL.reset(tokens[1])

    def added_to(one: LayerCall | None) -> list[SymbolicTensor]:
        return [tensor for operation in (one.penalties if one is not None else []) for tensor in operation.outputs]

    trained = trace(True, call)
    scratch = call if call is None else LayerCall(call.layer, call.inputs, call.options)
    found = trace(False, scratch)
    ends, others = symbols_in(trained), symbols_in(found)
    if _meaning(inputs, [*ends, *added_to(call)]) == _meaning(inputs, [*others, *added_to(scratch)]):
        return trained
    if added_to(call) or added_to(scratch):
        raise NotImplementedError(
            f"the call of {label!r} computes something else for training=True than for training=False, and adds to the loss: a graph is one "
            "for both, in which it would be added twice. Add it in a layer of its own"
        )
    if [tensor.sample_shape for tensor in ends] != [tensor.sample_shape for tensor in others] or len(ends) == 0:
        raise NotImplementedError(
            f"the call of {label!r} returns {[tensor.shape for tensor in ends]} for training=True and {[tensor.shape for tensor in others]} for "
            "training=False: a graph is one for both, so that shapes must be the same"
        )
    if call is not None:
        others = symbols_in(trace(False, call))
    chosen: dict[int, SymbolicTensor] = {}
    for tensor, other in zip(ends, others):
        if id(tensor) not in chosen and _meaning(inputs, [tensor]) != _meaning(inputs, [other]):
            chosen[id(tensor)] = choose(other, tensor)
            chosen[id(tensor)].mask = tensor.mask
    return _replaced(trained, chosen)


def _replaced(value: Any, chosen: Mapping[int, SymbolicTensor]) -> Any:
    """A result of a call with other tensors in it."""
    if isinstance(value, SymbolicTensor):
        return chosen.get(id(value), value)
    if isinstance(value, Mapping):
        return {key: _replaced(one, chosen) for key, one in value.items()}
    return type(value)([_replaced(one, chosen) for one in value]) if type(value) in (list, tuple) else value


def _meaning(inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor]) -> list[Any]:
    """What is computed in inference, without what distinguishes one trace of it from another."""
    numbers: dict[int, Any] = {id(tensor): ("input", i) for i, tensor in enumerate(inputs)}
    found: list[Any] = []
    for operation in without_training(sort_operations(list(inputs), list(outputs)), outputs):
        read = tuple(numbers.get(id(tensor), tensor) for tensor in operation.inputs)  # weights are themselves
        if operation.op in _NOISE:
            numbers[id(operation.outputs[0])] = read[0]
            continue
        found.append((operation.op, _attributes(operation), read, tuple(map(id, operation.weights))))
        numbers.update((id(tensor), (len(found), i)) for i, tensor in enumerate(operation.outputs))
    return [*found, [numbers[id(tensor)] for tensor in outputs]]


def _attributes(operation: Operation) -> tuple[Any, ...]:
    changed = _INFERENCE.get(operation.op, ("", 0))[0]
    return tuple(sorted((name, value) for name, value in operation.attributes.items() if name != changed))
