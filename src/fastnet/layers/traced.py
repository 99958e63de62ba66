"""Layers whose Python source is not at hand: what they did when they were called, done again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._attributes import attribute_numbers
from .._config import to_plain
from .._graph import CURRENT_CALL, LayerCall, Operation, SymbolicTensor, replace_tensors, tensor_of
from .._names import snake_case
from .._weights import Weight, WeightSpec
from ._modes import FORCED, MODE, trace_modes, traced_with
from .base import Layer

__all__ = ["TracedLayer", "in_mode_signature", "is_whole", "repeat_steps", "signature_of"]


def signature_of(inputs: Sequence[SymbolicTensor], options: Mapping[str, Any]) -> str:
    """What a call was given, as a text: the shapes of tensors and of their masks, which of these are the same, and other arguments."""
    tensors = list(inputs)

    def note(tensor: SymbolicTensor) -> dict[str, int]:
        tensors.append(tensor)
        return {"tensor": len(tensors) - 1}

    plain = to_plain(replace_tensors(options, note))
    masks = [tensor.mask for tensor in tensors if tensor.mask is not None]
    tensors += masks
    first: dict[int, int] = {}
    same = [first.setdefault(id(tensor), place) for place, tensor in enumerate(tensors)]
    masked = [tensor.mask is not None for tensor in tensors]
    return json.dumps([[tensor.sample_shape for tensor in tensors], masked, same, plain], sort_keys=True)


def in_mode_signature(signature: str, mode: tuple[bool | str | None, bool | str | None]) -> str:
    """The same of a call that is traced with a value of `training`: of `LayerCall.own_mode`."""
    told = [one for one in mode if one is not None]
    return json.dumps([*json.loads(signature), told], sort_keys=True) if told else signature


def _fits(pattern: str, signature: str) -> bool:
    """Whether a signature is one in which some sizes are told as None."""
    try:
        (shapes, *rest), (given, *own) = json.loads(pattern), json.loads(signature)
        return rest == own and all(
            len(a) == len(b) and all(one in (None, other) for one, other in zip(a, b)) for a, b in zip(shapes, given, strict=True)
        )
    except (ValueError, TypeError):  # of a damaged file
        return False


def is_whole(value: Any, end: int) -> bool:
    """Whether it is a whole number from 0 to one below the end."""
    return type(value) is int and 0 <= value < end


class TracedLayer(Layer):
    """A layer of a file whose class is not at hand: it repeats what the layer did that was saved.

    It has the weights, the names and the parts of that layer, is trained and exported like it, and is saved as it. It can be called as
    that one was: on tensors of these shapes, with these arguments.

    Parameters
    ----------
    class_name : str
    config : dict
        The class and the arguments of the layer, for whoever has the class.
    needs : list of str
        The classes that are to be at hand for that.
    weights : dict of str to (shape, engine_shape, WeightSpec)
        Its own.
    parts : dict of str to Layer
        The layers that it is put together from, by their names.
    calls : list of dict
        What it did in calls; see `repeat_steps`.
    layers : dict of str to list of Layer
        By the signature of each of these: the parts, and the other layers that it calls, which have no weights.
    unconfigured : str, optional
        Why there is no `config`.

    Attributes
    ----------
    operations : int
        At least how many operations a call of it makes.
    """

    operations = 1

    def __init__(
        self,
        class_name: str,
        config: Mapping[str, Any],
        needs: Sequence[str],
        weights: Mapping[str, tuple[tuple[int, ...], tuple[int, ...], WeightSpec]],
        parts: Mapping[str, Layer],
        calls: Sequence[Mapping[str, Any]],
        layers: Mapping[str, Sequence[Layer]],
        unconfigured: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._saved_class, self.config, self.unconfigured = class_name, dict(config), unconfigured
        self.needs, self.parts = list(needs), dict(parts)
        for name, (shape, engine_shape, spec) in weights.items():
            self._weights[name] = Weight(self, name, engine_shape, spec._replace(shape=shape))
        traces = {str(call["signature"]): (call, layers[call["signature"]]) for call in calls}
        self._of_sizes = [one for name, one in traces.items() if "null" in name].copy  # where inputs leave sizes open
        self._find_trace = traces.get  # no dictionary: that would be searched for parts

    @property
    def _class_name(self) -> str:
        return self._saved_class

    @property
    def _base_name(self) -> str:
        return snake_case(self._saved_class)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the layer that was saved, with the name and the state of this one."""
        own = {"name": self.name, "trainable": self._trainable}
        return {**self.config, **{name: value for name, value in own.items() if name in self.config}}

    def __repr__(self) -> str:
        return f"<TracedLayer {self.name!r}, saved as {self._saved_class}>"

    def _arrange(self, given: list[Any], options: dict[str, Any]) -> tuple[list[SymbolicTensor], dict[str, Any]]:
        if not all(isinstance(value, SymbolicTensor) for value in given):
            raise TypeError(
                f"layer {self._label!r}, loaded without its class {self._saved_class}, takes what is no tensor by name"
            )
        return given, options

    def call(self, *inputs: SymbolicTensor, **options: Any) -> Any:
        """As the layer that was saved, where it was called alike."""
        call = CURRENT_CALL.get()
        assert call is not None
        signature = signature_of(inputs, call.options)
        if MODE.get() is None and self._find(signature, (None, None)) is None and self._find(signature, (True, None)) is not None:
            # It was called within others, with the value of theirs.
            return trace_modes(
                lambda training: self._repeat(call, signature, inputs, options),
                call,
                call.sources,
                self._label,
                self._in_training,
            )
        return self._repeat(call, signature, inputs, options)

    def _find(self, signature: str, mode: Any) -> Any:
        """What it did in such a call; None: it was not called so."""
        signature = in_mode_signature(signature, mode)
        return self._find_trace(signature) or next(
            (one for one in self._of_sizes() if _fits(one[0]["signature"], signature)), None
        )

    def _repeat(self, call: LayerCall, signature: str, inputs: Any, options: dict[str, Any]) -> Any:
        mode = MODE.get()
        # What it did whatever `training` is, is said once.
        found = next(
            filter(None, (self._find(signature, one) for one in ((mode, FORCED.get()), (mode, None), (None, None)))), None
        )
        if found is None:
            raise ValueError(
                f"layer {self._label!r}, loaded without its class {self._saved_class}, was not called on shapes "
                f"{[tensor.shape for tensor in inputs]} with {options or 'no other arguments'} when it was saved: give its class as "
                f"custom_objects={{{self._saved_class!r}: ...}}"
            )
        trace, layers = found
        call.differentiates = bool(trace.get("differentiates"))
        values = list(inputs)
        replace_tensors(options, values.append)
        where = f"layer {self._label!r}, saved as {self._saved_class}"
        find = repeat_steps(self, trace["steps"], values, layers, where)
        outputs = [find(one, f"{where}: output {i}") for i, one in enumerate(trace["outputs"])]
        for i, (tensor, mask) in enumerate(zip(outputs, trace["masks"], strict=True)):
            if mask is not None:
                tensor.mask = find(mask, f"{where}: mask {i}")
        if trace["list"] is False and len(outputs) != 1:
            raise ValueError(f"{where}: it has {len(outputs)} outputs, expected one")
        return outputs if trace["list"] else outputs[0]

    def plan_attributes(self, operation: Operation) -> Mapping[str, float]:
        """A normalisation of batches is frozen with its layer."""
        if operation.op == "batch_normalization":
            return {**operation.attributes, "frozen": bool(operation.attributes.get("frozen")) or not self.trainable}
        return operation.attributes


def repeat_steps(
    layer: Layer, steps: Sequence[Any], values: list[SymbolicTensor], layers: Sequence[Layer], where: str
) -> Callable[[Any, str], SymbolicTensor]:
    """Does again what a layer did in a call, and appends its results to the values.

    Parameters
    ----------
    layer : Layer
        That is called.
    steps : list of dict
        Calls of other layers, ``{"call": number of the layer, "inputs": ..., "options": ..., "mode": ...}``, of which the last is the
        value of `training` that they are traced with where that is another one than of the call around them, and operations,
        ``{"op": ..., "attributes": ..., "inputs": ..., "weights": ..., "owner": path of the layer, "like": path of the operation}``.
    values : list of SymbolicTensor
        What the layer was given. A value is known by its number, a mask as ``{"mask": number}``, another result of a step or one of
        what that consists of as ``{"step": path, "output": number}``, a weight in place of a tensor as
        ``{"weight": name, "owner": path of the layer}``. None among the weights of an operation: the next of its last inputs.
    layers : list of Layer
    where : str
        For messages.

    Returns
    -------
    callable
        That finds a tensor: of what the file says, and where that is.

    Raises
    ------
    ValueError
        If a step is none.
    """
    done: list[LayerCall | Operation] = []

    def find(given: Any, place: str) -> SymbolicTensor:
        if is_whole(given, len(values)):
            return values[given]
        if isinstance(given, Mapping) and is_whole(given.get("mask"), len(values)):
            mask = values[given["mask"]].mask
            if mask is not None:
                return mask
        elif isinstance(given, Mapping) and "weight" in given:
            owner, name = owner_of(given.get("owner"), place), given["weight"]
            if isinstance(name, str) and name in owner._weights:
                return tensor_of(owner._weights[name])
        elif isinstance(given, Mapping) and "step" in given:
            outputs = reach(given["step"], place).outputs
            if is_whole(given.get("output"), len(outputs)):
                return outputs[given["output"]]
        raise ValueError(f"{place} is of {str(given)[:100]}, which is not there")

    def reach(path: Any, place: str) -> LayerCall | Operation:
        """A step, or one of the steps of what it calls."""
        found: Any = None
        inner: Sequence[Any] = done
        for number in path if isinstance(path, list) else [None]:
            if not is_whole(number, len(inner)):
                raise ValueError(f"{place} refers to step {str(path)[:100]}, which is not there")
            found = inner[number]
            inner = found.steps if isinstance(found, LayerCall) else ()
        if found is None:
            raise ValueError(f"{place} refers to no step")
        return found

    def owner_of(path: Any, place: str) -> Layer:
        found, inner = layer, list(layers)
        for number in path or []:
            if not is_whole(number, len(inner)):
                raise ValueError(f"{place} is of layer {str(path)[:100]}, which is not there")
            found = inner[number]
            inner = found.sublayers()
        return found

    for number, step in enumerate(steps):
        place = f"{where}: step {number}"
        if not isinstance(step, Mapping) or not isinstance(step.get("inputs"), list):
            raise ValueError(f"{place} is none, but {str(step)[:100]}")
        inputs = [find(one, f"{place}: input {i}") for i, one in enumerate(step["inputs"])]
        if "call" in step:
            if not is_whole(step["call"], len(layers)):
                raise ValueError(f"{place} calls layer {str(step['call'])[:100]} of {len(layers)}")
            options = _with_tensors(step.get("options", {}), lambda given, place=place: find(given, place))
            with traced_with(step.get("mode")):
                made = layers[step["call"]]._make_call(inputs, **options)
            done.append(made)
            values += made.outputs
            continue
        owner = owner_of(step.get("owner"), place)
        specs: dict[str, Any] = {}
        names = step.get("weights", [])
        count = len(inputs) - sum(name is None for name in names)
        if count < 0:
            raise ValueError(f"{place}: {len(inputs)} inputs, of which {len(inputs) - count} stand for parameters")
        operands = iter(inputs[count:])
        for k, name in enumerate(names):
            if name is None:
                specs[f"operand {k}"] = next(operands)
                continue
            if not isinstance(name, str) or name not in owner._weights:
                raise ValueError(f"{place}: layer {owner._label!r} has no weight {str(name)[:100]!r}")
            specs[name] = owner._weights[name].spec
        try:
            output = owner.emit(
                step.get("op"), inputs[:count], attribute_numbers(step.get("op"), step.get("attributes", {})), specs
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{place}: {error}") from error
        operation = output.operation
        done.append(operation)
        values.append(output)
        if "like" in step:
            like = reach(step["like"], place)
            if not isinstance(like, Operation) or like.op != operation.op:
                raise ValueError(f"{place} is to have the random numbers of step {step['like']}, which draws none such")
            operation.like = like
        if "mask" in step:
            output.mask = find(step["mask"], f"{place}: mask")
    return find


def _with_tensors(plain: Any, find: Any) -> Any:
    """Arguments of a call, with tensors in place of what a file says of them."""
    if isinstance(plain, list):
        return [_with_tensors(value, find) for value in plain]
    if isinstance(plain, dict):
        return find(plain["tensor"]) if list(plain) == ["tensor"] else {key: _with_tensors(v, find) for key, v in plain.items()}
    return plain
