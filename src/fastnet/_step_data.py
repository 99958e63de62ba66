"""The data of a `train_step` or `test_step`, and such a step traced for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import _data
from ._graph import SymbolicTensor
from ._model_data import inputs_of, rows_at_once
from ._step_trace import StepTrace
from .data.feed import Chunk
from .data.sources import Batch

__all__ = ["StepData", "TracedBatches", "trace_step", "weights_of_rows"]


class StepData:
    """What `fit` or `evaluate` was given, as Keras hands it to a step: x, (x, y) or (x, y, sample_weight).

    Attributes
    ----------
    arrays : list of ndarray
    key : hashable
        Structure and shapes.
    """

    def __init__(self, x: Any, y: Any = None, sample_weight: Any = None) -> None:
        self.arrays: list[np.ndarray] = []
        self._structure = self._place(x, "x")
        if y is not None or sample_weight is not None:
            parts = [self._structure, None if y is None else self._place(y, "y")]
            if sample_weight is not None:
                parts.append(self._place(sample_weight, "sample_weight"))
            self._structure = tuple(parts)
        elif isinstance(x, (list, tuple)):
            self._structure = (self._structure,)
        self.key = repr(self._structure), tuple(array.shape[1:] for array in self.arrays)
        n = len(self.arrays[0])
        for array in self.arrays:
            if len(array) != n:
                raise ValueError(f"x, y and sample_weight must have as many rows, got {[len(one) for one in self.arrays]}")

    def _place(self, given: Any, name: str) -> Any:
        if isinstance(given, Mapping) and not hasattr(given, "columns"):
            return {key: self._place(value, f"{name}[{key!r}]") for key, value in given.items()}
        if isinstance(given, (list, tuple)) and given and all(hasattr(one, "shape") and one.shape for one in given):
            return [self._place(value, f"{name}[{i}]") for i, value in enumerate(given)]
        array = _data.as_array(given, name)
        if array.ndim == 0 or not len(array):
            raise ValueError(f"{name} has no rows")
        self.arrays.append(array)
        return len(self.arrays) - 1

    def filled(self, values: Sequence[Any]) -> Any:
        """The same structure of others."""

        def fill(one: Any) -> Any:
            if isinstance(one, dict):
                return {key: fill(value) for key, value in one.items()}
            if isinstance(one, (list, tuple)):
                return type(one)(fill(value) for value in one)
            return None if one is None else values[one]

        return fill(self._structure)

    def parts(self, arrays: Sequence[np.ndarray]) -> tuple[Any, Any, Any]:
        """x, y and weights of some of the rows."""
        found = self.filled(arrays)
        return (*found, None, None)[:3] if isinstance(found, tuple) else (found, None, None)


def weights_of_rows(model: Any, y: Any, sample_weight: Any, class_weight: Any) -> Any:
    """Weights of rows, those of classes multiplied into them."""
    if class_weight is None:
        return sample_weight
    if y is None or isinstance(y, (list, tuple, Mapping)):
        raise ValueError("class_weight needs targets of one output")
    targets = _data.as_array(y, "y")
    return _data.as_weights(sample_weight, class_weight, targets, len(targets), ())


class TracedBatches:
    """Makes what the engine reads of batches, all of which have the structure and shapes of the first, for which a step is traced.

    Parameters
    ----------
    model : Model
    trace : callable
        Makes the step, of the model and a `StepData`.
    class_weight : dict, optional
    check_finite : bool

    Attributes
    ----------
    step : Model or None
        None before the first batch.
    """

    def __init__(
        self, model: Any, trace: Callable[[Any, StepData], Any], class_weight: Any = None, check_finite: bool = True
    ) -> None:
        self._model, self._trace, self._class_weight, self._check_finite = model, trace, class_weight, check_finite
        self.step: Any = None
        self._key: Any = None

    def __call__(self, batch: Batch) -> Chunk:
        weights = weights_of_rows(self._model, batch.y, batch.sample_weight, self._class_weight)
        data = StepData(batch.x, batch.y, weights)
        if self.step is None:
            self.step, self._key = self._trace(self._model, data), data.key
        if data.key != self._key:
            shapes = [[("n", *shape) for shape in key[1]] for key in (data.key, self._key)]
            raise ValueError(
                f"a batch holds arrays of shape {shapes[0]}, the step was traced for {shapes[1]}, as in the first batch"
            )
        inputs = inputs_of(self.step, data.arrays, self._check_finite)
        size = batch.batch_size or len(inputs[0])
        if self.step._graph.batch_size:
            rows_at_once(self.step, size, size, "a batch")
        return Chunk((inputs, [], []), size, batch.order)


def trace_step(model: Any, data: StepData, training: bool) -> tuple[list[SymbolicTensor], StepTrace]:
    tensors = [SymbolicTensor(shape, None, f"data_{i}") for i, shape in enumerate(data.key[1])]
    method = model.train_step if training else model.test_step
    return tensors, StepTrace(model, method, data.filled(tensors), tensors, training)
