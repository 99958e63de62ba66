"""`test_step` of classes of the user's: traced once, then a model that is predicted with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._graph import FUNCTIONS, Graph, Operation, outside_calls
from ._hooks import Hooks, begin_hooks
from ._model_data import inputs_of
from ._order import PENALTIES
from ._row_sums import Total
from ._step_data import StepData, trace_step
from ._step_trace import Penalties
from ._step_values import Batches, States, tensors_in
from ._weight_functions import penalty_of
from .model import Model

__all__ = ["TestedStep"]


class TestedStep(Model):
    """What `test_step` of a model computes, for data of one structure and shape."""

    def __init__(self, model: Any, data: StepData) -> None:
        self.owner = model
        tensors, trace = trace_step(model, data, False)
        if trace.updates:
            raise ValueError(f"{type(model).__name__}.test_step updates weights, which train_step does")
        found = tensors_in([[one.args, one.options] for one in trace.used]) + tensors_in(trace.logs)
        with outside_calls(rows=tensors[0]):
            self._describe(model.seed, model.dtype, model.name)
            operations = Graph(tensors, [one for one in found if one.operation is not None]).operations
            self._added = _added_losses([one for one in operations if one.op in PENALTIES])
            found = list({id(tensor): tensor for tensor in [*found, *tensors_in(self._added)]}.values())
            self._computed = [tensor for tensor in found if tensor.operation is not None]
            self._tensors = tensors
            slabs = [weight.slab for operation in operations for weight in operation.weights if weight.slab is not None]
            if slabs:
                self.dtype = slabs[0].dtype
            self._connect(tensors, self._computed)
        reset = [metric for metric in model.metrics if metric in {one.metric for one in trace.used}]
        self._states = States(trace.used, trace.logs, reset)

    @property
    def _shown(self) -> Any:
        return self.owner

    def evaluate_data(self, data: StepData, batch_size: int | None, training_step: int | None, callbacks: Any) -> dict[str, Any]:
        inputs = inputs_of(self, data.arrays, True)
        hooks, rows = begin_hooks("test", callbacks, self.owner, len(inputs[0]), batch_size, (32, 32))
        found = self._evaluate_chunk((inputs, [], []), rows, None, training_step, hooks)
        return hooks.close(found.logs())

    def _new_evaluation(self, targets: Any, hooks: Hooks) -> StepEvaluation:
        return StepEvaluation(self, hooks)

    def _batches(self, values: dict[int, np.ndarray], rows: slice, size: int) -> Batches:
        """Batches of so many rows each, by the arrays of tensors."""

        def whole(total: Total) -> np.ndarray:
            found = batches.total(
                Total([term for term in total.terms if not isinstance(term[0], Penalties)] or [(None, 0.0, True)])
            )
            for _ in range(sum(isinstance(tensor, Penalties) for tensor, _, _ in total.terms)):
                weights = [weight for weight in self.owner.trainable_weights if weight.penalized]
                found = found + sum(penalty_of(weight, weight.array) for weight in weights)
                found = found if self._added is None else found + batches.total(self._added)
            return found

        count = (rows.stop - rows.start) // size
        batches = Batches(count, size, lambda tensor: values[id(tensor)][rows], whole)
        return batches


class StepEvaluation:
    """What a `test_step` logs of batches so far; see `Evaluation`."""

    def __init__(self, step: TestedStep, hooks: Hooks) -> None:
        self._step, self._hooks, self._numbers = step, hooks, step._states.start()
        self.rows, self.batches, self.stopped = 0, 0, False

    def logs(self) -> dict[str, Any]:
        """What is logged."""
        return self._step._states.results(self._numbers)

    def add(self, inputs: list[np.ndarray], _: Any, __: Any, batch_size: int, snapshot: Any, first: int) -> None:
        """Looks at more rows."""
        step, added = self._step, 0

        def logs(outputs: list[np.ndarray], first: int, end: int) -> dict[str, Any]:
            """Adds the rows that have been computed and not yet been added."""
            nonlocal added
            values = dict(zip(map(id, [*step._tensors, *step._computed]), [*inputs, *outputs]))
            whole = added + (end - added) // batch_size * batch_size
            for stop, size in ((whole, batch_size), (end, end - whole)):  # whole batches, and a smaller one
                if stop > added:
                    step._states.add(self._numbers, step._batches(values, slice(added, stop), size))
                    added = stop
            return self.logs()

        outputs, _ = step._predict_rows(inputs, batch_size, snapshot, first=first, hooks=self._hooks, logs=logs)
        logs(outputs, 0, len(outputs[0]))
        self.rows, self.batches = self.rows + len(outputs[0]), self.batches + -(-len(inputs[0]) // batch_size)
        self.stopped = self._hooks.stopped


def _added_losses(operations: Sequence[Operation]) -> Total | None:
    """What operations add to the loss, as means and sums."""
    terms: list[Any] = []
    for operation in operations:
        if operation.op != "activity_regularization":
            raise NotImplementedError(
                f"layer {operation.layer._label!r}: test_step does not know what {operation.op} adds to the loss"
            )
        x = operation.inputs[0]
        sums: Any = 0.0
        for name, value in (("linear", x), ("l1", abs(x)), ("l2", x * x)):
            factor = float(operation.attributes.get(name, 0.0))
            if factor:
                sums = sums + factor * value
        if isinstance(sums, float):
            continue
        axes = tuple(range(1, len(sums.shape)))
        terms.append((FUNCTIONS["sum"](sums, axis=axes) if axes else sums, 1.0, not operation.attributes.get("summed")))
    return Total(terms) if terms else None
