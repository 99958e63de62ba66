"""What a model is given: its inputs, targets and weights of rows, checked against its shapes and losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core, _data
from ._columns import names_of
from ._sparse_rows import is_packed, unpack, values_of
from ._traced_losses import arrange_targets
from .data.sources import inputs_in_parts
from .losses import Loss

if TYPE_CHECKING:
    from ._graph import SymbolicTensor
    from ._network import Network

__all__ = [
    "INFERENCE_ROWS", "given_inputs", "inputs_of", "learn_columns", "positive", "rows_at_once", "rows_in_steps", "targets_of", "threads_of", "weights_of",
]  # fmt: skip

#: Rows that predict and evaluate give to the engine at once, unless told otherwise.
INFERENCE_ROWS = 256


def given_inputs(network: Network, x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """What a network is given as inputs, of the parts that data have.

    Raises
    ------
    ValueError
        If a step that knows no targets is given another number of parts.
    """
    if not network._only_inputs:
        return x
    given, names = inputs_in_parts((x, y, sample_weight)), network.input_names
    if isinstance(given, list) and len(given) != len(names) == 1:
        raise ValueError(f"x: expected one array ({names[0]}), got {len(given)}")
    return given


def inputs_of(network: Network, x: Any, check_finite: bool) -> list[np.ndarray]:
    """The inputs of the plan, checked: those of the model, or what layers make of them that compute before it."""
    if is_packed(x):
        if check_finite and not np.isfinite(values_of(x)).all():  # the same message as of dense rows
            _data.as_rows(unpack(x, network.inputs[0].sample_shape[0]), network.inputs[0].sample_shape, "x")
        return [x]
    graph = network._graph
    if graph.staged:
        return _feeds_of(network, x, check_finite)
    if len(network.inputs) == 1 and type(x) is np.ndarray and not network._labels:
        return [_data.as_rows(x, _shape_for(network.inputs[0], x, "x"), "x", check_finite)]
    given = _data.match_names(x, network.input_names, "x")
    names = ["x"] if len(given) == 1 else [f"x[{name!r}]" for name in network.input_names]
    given = [
        network._columns.arrange(_data.unwrap(array, tensor.sample_shape), name)
        for array, tensor, name in zip(given, network.inputs, names)
    ]
    arrays = [
        _data.as_rows(array, _shape_for(tensor, array, name), name, check_finite)
        for array, tensor, name in zip(given, network.inputs, names)
    ]
    _check_rows(arrays, names)
    _check_labels(network, network.inputs, arrays, names, arrays)
    return arrays


def _matched(network: Network, x: Any) -> list[Any]:
    """The data of each input. An input of cells is a column of a frame, where it is the only one, too."""
    if (
        len(network.inputs) == 1
        and network.inputs[0].holds_objects
        and hasattr(x, "to_numpy")
        and len(getattr(x, "columns", ())) > 1
    ):
        return [_data.column_of(x, network.input_names[0], "x")]
    return _data.match_names(x, network.input_names, "x")


def _check_rows(arrays: list[np.ndarray], names: list[str]) -> None:
    for array, name in zip(arrays, names):
        if len(array) != len(arrays[0]):
            raise ValueError(f"{name} has {len(array)} rows, {names[0]} has {len(arrays[0])}")


def _check_labels(
    network: Network, tensors: list[SymbolicTensor], arrays: list[np.ndarray], names: list[str], given: list[np.ndarray]
) -> None:
    """ValueError for numbers that are none of the labels that layers take; given: the inputs of the model."""
    for array, tensor, name in zip(arrays, tensors, names):
        for labels in network._labels.get(id(tensor), ()):
            if labels.read is None:
                _data.check_tokens(array, labels, name)
            elif _core.first_bad_label(array, labels.count) is not None:  # perhaps in numbers that this layer does not read
                _data.check_tokens(network._values_of(labels.read).predict(given), labels, name)


def _feeds_of(network: Network, x: Any, check_finite: bool) -> list[np.ndarray]:
    """The inputs of the plan of a model with a stage before it, and what goes on there."""
    graph = network._graph
    matched = _matched(network, x)
    names = ["x"] if len(matched) == 1 else [f"x[{name!r}]" for name in network.input_names]
    arranged = [
        network._columns.arrange(_data.unwrap(array, tensor.sample_shape), name)
        for array, tensor, name in zip(matched, network.inputs, names)
    ]
    given = [
        _data.as_text(array, _shape_for(tensor, array, name), name, tensor.holds_objects)
        if tensor.holds_strings
        else _data.as_rows(
            array, _shape_for(tensor, array, name), name, check_finite and any(tensor is one for one in graph.feeds)
        )
        for array, tensor, name in zip(arranged, network.inputs, names)
    ]
    _check_rows(given, names)
    known = {id(tensor): array for tensor, array in zip(network.inputs, given)}

    def value(tensor: SymbolicTensor) -> np.ndarray:
        if id(tensor) not in known:  # computed by the engine
            known[id(tensor)] = network._values_of(tensor).predict(given if len(given) > 1 else given[0])
        return known[id(tensor)]

    for operation in graph.host:
        assert operation.function is not None
        known[id(operation.outputs[0])] = operation.function(*map(value, operation.inputs))
    feeds = [known[id(tensor)] for tensor in graph.feeds]
    called = {id(tensor): name for tensor, name in zip(network.inputs, names)}
    told = [
        called.get(id(tensor)) or f"the result of layer {tensor.operation.layer._label!r}"  # type: ignore[union-attr]
        for tensor in graph.feeds
    ]
    for tensor, array, name in zip(graph.feeds, feeds, told):
        if not tensor.takes(array.shape[1:]):
            raise ValueError(f"{name} has shape {array.shape}, expected {('n', *tensor.shape[1:])}")
    _check_labels(network, graph.feeds, feeds, told, given)
    return feeds


def _shape_for(tensor: SymbolicTensor, array: Any, name: str) -> tuple[int, ...]:
    """The shape that rows of an array are to have: that of the input, with the sizes of the array where it leaves some open."""
    if not tensor.open:
        return tensor.sample_shape
    shape = np.shape(array)
    if not tensor.takes(shape[1:]) or 0 in shape[1:]:
        raise ValueError(f"{name} has shape {shape}, expected {('n', *tensor.shape[1:])}, with any size where that is None")
    return tuple(shape[1:])


def targets_of(network: Network, y: Any, n: int, check_finite: bool) -> list[Any]:
    """Targets for each output; None for one without a loss, whatever is given for it."""
    compiled = network._require_compiled()
    if y is None and all(loss is None for loss in compiled.losses):
        return [None] * len(compiled.losses)
    if y is None:
        raise ValueError("y is missing")
    output_names = network.output_names if len(network.outputs) > 1 or type(y) is not np.ndarray else ["y"]
    given = _data.match_names(_with_all_targets(network, y, compiled.losses), output_names, "y")
    names = ["y"] if len(given) == 1 else [f"y[{name!r}]" for name in output_names]
    given = [
        network._columns.arrange(_data.unwrap(array, shape), name)
        for array, shape, name in zip(given, compiled.target_shapes, names)
    ]
    arrays = [
        None if loss is None else _data.as_targets(array, loss, shape, tensor.sample_shape, name, check_finite)
        for array, loss, shape, tensor, name in zip(given, compiled.losses, compiled.target_shapes, network.outputs, names)
    ]
    for array, name in zip(arrays, names):
        if array is not None and len(array) != n:
            raise ValueError(f"x has {n} rows, {name} has {len(array)}")
    if compiled.functions:
        arrays = [
            array if array is None or shape is not None else arrange_targets(array, tensor.sample_shape)
            for array, shape, tensor in zip(arrays, compiled.target_shapes, network.outputs)
        ]
    if compiled.writes_formulas:
        compiled.trace(arrays, network._graph, network.outputs, network.output_names)
        arrays = [
            array if trace is None else _data.as_rows(array, trace.shape, name, check_finite)
            for array, trace, name in zip(arrays, compiled.traced, names)
        ]
    for group, array, name in zip(compiled.fitted_to(arrays, names).metrics, arrays, names):
        for metric in group:
            metric.check_targets(array, name)
    return arrays


def learn_columns(network: Network, x: Any, y: Any = None) -> None:
    """Takes note of the names of the columns of data that have been checked, where they are frames: the model is to be trained with them."""
    if type(x) is np.ndarray and type(y) is np.ndarray:
        return
    given, names = _matched(network, x), network.input_names
    for one, name, tensor in zip(given, names, network.inputs):
        network._columns.learn(_data.unwrap(one, tensor.sample_shape), "x" if len(names) == 1 else f"x[{name!r}]")
    if y is None or isinstance(y, np.ndarray):
        return
    compiled, names = network._require_compiled(), network.output_names
    given = _data.match_names(_with_all_targets(network, y, compiled.losses), names, "y")
    for one, name in zip(given, names):
        frame = _data.unwrap(one, None)
        if len(names_of(frame) or ()) > 1:  # the name of one alone says nothing of order
            network._columns.learn(frame, "y" if len(names) == 1 else f"y[{name!r}]")


def _with_all_targets(network: Network, y: Any, losses: list[Any]) -> Any:
    """Targets, with None for the outputs without a loss where there is nothing for them."""
    if None not in losses:
        return y
    if isinstance(y, Mapping):
        return {**{name: None for name, loss in zip(network.output_names, losses) if loss is None}, **y}
    n_losses = len(losses) - losses.count(None)
    given = [y] if n_losses == 1 and not isinstance(y, (list, tuple)) else y
    if not isinstance(given, (list, tuple)) or len(given) != n_losses:
        return y
    left = iter(given)
    return [None if loss is None else next(left) for loss in losses]


def weights_of(network: Network, sample_weight: Any, class_weight: Any, targets: list[np.ndarray], n: int) -> list[Any]:
    """The weights of the rows for each output, checked; None where all are 1."""
    if class_weight is not None and len(targets) > 1:
        raise ValueError("class_weight works with one output; use sample_weight for each output")
    if sample_weight is None and class_weight is None:
        return [None] * len(targets)
    given = [sample_weight] * len(targets)
    if len(targets) > 1 and isinstance(sample_weight, (dict, list, tuple)):
        given = _data.match_names(sample_weight, network.output_names, "sample_weight")
    compiled = network._require_compiled()
    positions = [
        tensor.sample_shape[:-1] if trace is None else trace.result.sample_shape
        for tensor, trace in zip(network.outputs, compiled.traced)
    ]
    weights = [
        None if target is None else _data.as_weights(weight, class_weight, target, n, shape)
        for weight, target, shape in zip(given, targets, positions)
    ]
    for weight, loss, trace in zip(weights, compiled.losses, compiled.traced):
        if weight is not None and isinstance(loss, Loss):
            loss.check_training(weighted=True)
        if weight is not None and trace is None and not hasattr(loss, "kernel"):
            raise ValueError("sample_weight and class_weight do not reach a loss that is a function: weight inside")
    return weights


def positive(name: str, value: Any) -> int:
    """The value as an int; TypeError or ValueError with the name where it is no positive integer."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a positive integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value}")
    return int(value)


def threads_of(given: Any) -> int | None:
    """The number of threads that compile was told, None: by measurement; TypeError or ValueError where there cannot be so many."""
    threads = None if given is None else positive("n_threads", given)
    if threads is not None and threads > _core.MAX_THREADS:
        raise ValueError(f"n_threads must be at most {_core.MAX_THREADS}, got {threads}")
    return threads


def rows_at_once(network: Network, given: Any, default: int, name: str = "batch_size") -> int:
    """The batch size given, or the default; ValueError where stateful layers keep the states of another number of rows."""
    fixed = network._graph.batch_size
    rows = positive(name, (fixed or default) if given is None else given)
    if fixed and rows != fixed:
        raise ValueError(f"{name} must be {fixed}, the batch_size of the input of stateful layers, got {rows}")
    return rows


def rows_in_steps(network: Network, steps: Any, batch_size: Any) -> slice:
    """The rows of the first batches, which have 32 where nothing else is said, as in `fit`."""
    return slice(positive("steps", steps) * rows_at_once(network, batch_size, 32))
