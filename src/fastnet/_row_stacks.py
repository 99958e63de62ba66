"""Tensors below each other in a `train_step`, as real images and generated ones: what is done to them is done to each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ._graph import FUNCTIONS, SymbolicTensor
from ._row_sums import Total
from ._step_context import MOMENTS, STEP
from ._symbols import Arithmetic

__all__ = ["RowStack", "StackSize", "map_stacks", "of_stacks", "stacks_in"]


class StackSize:
    """The number of rows of a `RowStack`: some batches, whose size is not known."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __repr__(self) -> str:
        return f"<{self.count} times the rows of the batch>"


class RowStack(Arithmetic):
    """Several tensors with the rows of the batch each, as one of all these rows.

    Attributes
    ----------
    parts : list of SymbolicTensor
    """

    _kind = "a stack of tensors"
    mask = None

    def __init__(self, parts: list[SymbolicTensor]) -> None:
        self.parts = parts
        self.sample_shape = parts[0].sample_shape

    @property
    def shape(self) -> tuple[Any, ...]:
        """With the number of all rows."""
        return (StackSize(len(self.parts)), *self.sample_shape)

    def __getitem__(self, key: Any) -> Any:
        return FUNCTIONS["get_item"](self, key if isinstance(key, tuple) else (key,))

    def __repr__(self) -> str:
        return f"<{len(self.parts)} tensors below each other, shape={self.shape}>"


def stacks_in(value: Any) -> Iterator[RowStack]:
    """All stacks in a value, at any depth."""
    if isinstance(value, RowStack):
        yield value
    elif isinstance(value, Mapping):
        yield from stacks_in(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from stacks_in(one)


def _part(value: Any, number: int) -> Any:
    if isinstance(value, RowStack):
        return value.parts[number]
    if isinstance(value, SymbolicTensor):
        raise ValueError(
            f"a tensor with the rows of the batch meets one with rows below each other: {value!r}; concatenate both with axis=0"
        )
    if isinstance(value, Mapping):
        return {key: _part(one, number) for key, one in value.items()}
    return type(value)(_part(one, number) for one in value) if type(value) in (list, tuple) else value


def map_stacks(run: Callable[..., Any], args: Any, options: Mapping[str, Any]) -> Any:
    """What a function makes of each part of stacks, as stacks; of what is no tensor, that of the first part.

    Raises
    ------
    ValueError
        Where a part has a share in the results of others, as in a normalisation by the statistics of the batch.
    """
    stacks = list(stacks_in([args, options]))
    counts = {len(one.parts) for one in stacks}
    if len(counts) != 1:
        raise ValueError(f"tensors with rows below each other differ in how many times the batch they have: {sorted(counts)}")
    before = next(MOMENTS)
    results = [run(*_part(list(args), i), **_part(dict(options), i)) for i in range(counts.pop())]
    for result in results:
        for tensor in result if isinstance(result, (list, tuple)) else [result]:
            if isinstance(tensor, SymbolicTensor):
                _check_apart(tensor, before)
    if isinstance(results[0], (list, tuple)):
        return [RowStack(list(parts)) for parts in zip(*results)]
    return RowStack(results) if isinstance(results[0], SymbolicTensor) else results[0]


def _check_apart(tensor: SymbolicTensor, before: int) -> None:
    left, seen = [tensor], set()
    while left:
        operation = left.pop().operation
        if operation is None or operation in seen or operation.call.moment < before:
            continue
        seen.add(operation)
        left += operation.inputs
        if operation.op == "batch_normalization" and not operation.attributes.get("frozen"):
            raise ValueError(
                f"layer {operation.layer._label!r} normalises by the statistics of a batch, which would be those of each part of what was "
                "concatenated along axis 0: call it on the parts, if that is meant"
            )


def of_stacks(name: str, args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    """A function of `fastnet.ops` in a step that is traced, where it makes a stack or takes one; NotImplemented for all others."""
    if STEP.get() is None:
        return NotImplemented
    if name == "concatenate" and args and isinstance(args[0], (list, tuple)):
        axis = args[1] if len(args) > 1 else options.get("axis", -1)
        rank = 1 + len(getattr(args[0][0], "sample_shape", ()))
        tensors = all(isinstance(one, (SymbolicTensor, RowStack)) for one in args[0])
        if axis in (0, -rank) and tensors:
            parts = [part for one in args[0] for part in (one.parts if isinstance(one, RowStack) else [one])]
            if len({part.sample_shape for part in parts}) > 1:
                raise ValueError(f"fn.ops.concatenate with axis=0 of different shapes, {[part.shape for part in parts]}")
            return RowStack(parts)
    if not any(stacks_in([args, options])):
        return NotImplemented
    if name == "shape":
        return args[0].shape
    if name in ("sum", "mean", "count_nonzero"):
        found = [FUNCTIONS[name](*_part(list(args), i), **_part(dict(options), i)) for i in range(len(args[0].parts))]
        if isinstance(found[0], Total):
            total = sum(found[1:], start=found[0])
            return total / len(found) if name == "mean" else total
        return RowStack(found)
    return map_stacks(FUNCTIONS[name], args, options)
