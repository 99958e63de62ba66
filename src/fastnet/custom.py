"""Steps that pass through Python: the custom loop (forward, backward, apply_gradients) and custom losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core, _data
from ._booleans import check_booleans
from ._custom_losses import add_losses, judge_rows, rows_of, update_metrics
from ._open_shapes import in_turn
from ._weight_functions import constrain, own, penalty_and_gradient
from .inference import Inference

if TYPE_CHECKING:
    from ._compiled import Compiled
    from ._fit_options import Arrays

__all__ = ["CustomLoop"]

_FETCH = _core.FORWARD | _core.FETCH
_GRADIENT = _core.FORWARD | _core.LOSS | _core.BACKWARD
_BACKWARD = _core.OUTPUT_GRADIENT | _core.BACKWARD | _core.FETCH_GRADIENTS


class CustomLoop(Inference):
    """The part of a model that is driven step by step from Python."""

    def __init__(self) -> None:
        super().__init__()
        self._forward: tuple[_core.Plan, int] | None = None
        self._backward_done = False

    @in_turn
    def forward(self, x: Any, training: bool = True) -> Any:
        """Computes the outputs of one batch, and remembers what `backward` needs.

        Parameters
        ----------
        x : array_like, or a list or dictionary of them
        training : bool
            False: as `predict`; `backward` cannot follow.

        Returns
        -------
        ndarray or list of ndarray
        """
        check_booleans("forward", training=training)
        if not training:
            return self.predict(x)
        inputs = self._rows_for(x, False)
        outputs = self._run_forward(inputs, len(inputs[0]))
        return self._arranged(outputs if len(outputs) > 1 else outputs[0])

    @in_turn
    def _draw(self, x: Any) -> list[np.ndarray]:
        """The outputs as in training, with other random numbers in each call, also where there are no steps between."""
        inputs = self._rows_for(x, False)
        return self._run_forward(inputs, len(inputs[0]), step=self._count_batches(1))

    def _run_forward(
        self, inputs: list[np.ndarray], capacity: int, totals: np.ndarray | None = None, step: int | None = None
    ) -> list[np.ndarray]:
        """The outputs; adds what layers add to the loss to the first of `totals`, times the rows.

        step: of which random numbers are a function; default: the number of the optimizer's next one.
        """
        n = len(inputs[0])
        plan = self._plans.get("custom", capacity, exact=False)
        outputs = self._new_outputs(n)
        if step is None:
            step = self._compiled.optimizer.batches if self._compiled else 0
        self._forward, self._backward_done = None, False
        hyper = self._plans.hyper(1) if self._plans.scheduled else None
        with self._reading() as live:
            if not live:
                raise RuntimeError(f"model {self.name!r} is being trained by another thread: no step can be made beside its own")
            if totals is not None and plan.has_loss:
                plan.run(
                    _FETCH | _core.LOSS,
                    n_rows=n,
                    batch_size=n,
                    inputs=inputs,
                    outputs=outputs,
                    step=step,
                    hyper=hyper,
                    targets=[None] * len(outputs),
                    loss_sum=totals,
                )
            else:
                plan.run(_FETCH, n_rows=n, batch_size=n, inputs=inputs, outputs=outputs, step=step, hyper=hyper)
        self._forward = (plan, n)
        return outputs

    def backward(self, dy: Any) -> Any:
        """Computes the gradients from those of the outputs that `forward` returned.

        Those of the weights are then in `gradients`, until the next backward pass.

        Parameters
        ----------
        dy : array_like, or a list or dictionary of them
            Derivative of the loss by each output; None for an output that the loss does not depend on.

        Returns
        -------
        ndarray or list of ndarray
            Derivative of the loss by each input.

        Raises
        ------
        RuntimeError
            If no `forward` with training=True came before, or another `backward` since.
        ValueError
            If a shape differs from that of the output.
        """
        if self._forward is None or self._backward_done:
            raise RuntimeError("backward must follow forward(x, training=True), once: it uses up what forward kept")
        plan, n = self._forward
        seeds: list[np.ndarray | None] = [dy]
        outputs = self.outputs
        # One array that is as it is to be needs no look at names.
        if not (
            len(outputs) == 1
            and type(dy) is np.ndarray
            and dy.dtype == plan.dtype
            and dy.shape == (n, *outputs[0].sample_shape)
            and dy.flags.c_contiguous
            and dy.flags.aligned
        ):
            seeds = self._gradients_for(dy, n)
        inputs = [np.zeros((n, *tensor.sample_shape), plan.dtype) for tensor in self._graph.feeds]
        plan.run(_BACKWARD, n_rows=n, batch_size=n, output_gradients=seeds, input_gradients=inputs)
        self._backward_done = True
        return inputs if len(inputs) > 1 else inputs[0]

    def _gradients_for(self, dy: Any, n: int) -> list[np.ndarray | None]:
        """What `backward` is given as one array for each output, checked."""
        seeds: list[np.ndarray | None] = []
        for given, tensor, name in zip(_data.match_names(dy, self.output_names, "dy"), self.outputs, self.output_names):
            array = None
            if given is not None:
                array = _data.as_array(_data.unwrap(given, tensor.sample_shape), f"dy for output {name!r}")
                array = np.require(array, self.dtype, ["C", "A"])
            if array is not None and array.shape != (n, *tensor.sample_shape):
                raise ValueError(f"dy for output {name!r} has shape {array.shape}, expected {(n, *tensor.sample_shape)}")
            seeds.append(array)
        return seeds

    def apply_gradients(self) -> None:
        """One step of the optimizer with the `gradients` there are; they may have been changed in between.

        Raises
        ------
        RuntimeError
            Before compile, or before the first `backward`.
        ValueError
            Where the optimizer takes all rows at once (`LBFGS`).
        FloatingPointError
            Where a gradient is infinite or NaN: neither the weights nor anything of the optimizer has changed.
        """
        self._require_compiled()
        if self._forward is None or not self._backward_done:
            raise RuntimeError("apply_gradients must follow forward(x, training=True) and backward(dy)")
        self._claim_for_batch()
        with self._slab.gate.writing():
            plan = self._plans.get("custom", self._forward[0].max_rows)  # another one if it was compiled since
            self._make_steps(plan, _core.UPDATE, n_rows=1, batch_size=1, hyper=self._plans.hyper(1), penalizes=True)

    def _claim_for_batch(self) -> None:
        """Before a step with one batch: ValueError where the optimizer makes none, or is of another model."""
        optimizer = self._require_compiled().optimizer
        optimizer.claim(self)
        if optimizer.full_batch:
            raise ValueError(
                f"{type(optimizer).__name__} takes all rows at once, and looks at several points for a step: use fit"
            )

    def _make_steps(self, plan: _core.Plan, phases: int, **arguments: Any) -> None:
        """Runs what changes the weights, while this thread alone may; the optimizer counts the batches.

        An interrupt meanwhile is raised when the steps have been made and counted. penalizes: penalties that are functions are no part of
        the plan, and to be added to the gradients, and times the rows to the first of `totals`.
        """
        counter = self._compiled.optimizer.counter
        run: Callable[..., Any] = plan.run
        penalizes, totals = arguments.pop("penalizes", False), arguments.pop("totals", None)
        if self._plans.own_constraints or (penalizes and self._plans.own_weights):
            run = self._penalize(plan, penalizes, totals, arguments["n_rows"])
        self._change_weights(run, phases, step=counter.batches, counter=counter, **arguments)

    def _penalize(self, plan: _core.Plan, penalizes: bool, totals: np.ndarray | None, rows: int) -> Callable[..., Any]:
        """An update by penalties that are functions of the user's, and constraints that are of arrays, besides all else.

        Adds the derivatives of the penalties to the gradients that are there, and the penalties, times the rows, to the first of `totals`.

        Raises
        ------
        FloatingPointError
            If they are not finite.
        """
        optimizer = self._compiled.optimizer
        if penalizes:
            for weight in filter(lambda one: own(one, "regularizer"), self._plans.own_weights):
                penalty, gradient = penalty_and_gradient(weight)
                if not np.isfinite(penalty):
                    raise FloatingPointError(
                        f"the penalty of {weight.path!r} became {penalty} at step {optimizer.iterations}; the weights are those from "
                        "before that step"
                    )
                weight.gradient[...] += gradient
                if totals is not None:
                    totals[0] += rows * penalty

        def run(*args: Any, **options: Any) -> None:
            before = optimizer.batches, optimizer.iterations
            try:
                plan.run(*args, **options)
            finally:
                if (optimizer.batches, optimizer.iterations) != before:  # by each batch, also where gradients are accumulated
                    constrain(self._plans.own_constraints, before[1])

        return run

    def _change_weights(self, run: Callable[..., Any], *args: Any, **options: Any) -> None:
        """Calls what changes the weights; averages of them are followed before and watched after it."""
        slab = self._slab
        if slab.averaged:
            self._plans.slots.follow()
        try:
            run(*args, **options)
        finally:
            if slab.averaged:
                slab.watch()

    # ---- custom losses ----------------------------------------------------------------------------------

    def _custom_step(
        self,
        compiled: Compiled,
        arrays: Arrays,
        rows: Any,
        batch_size: int,
        position: _core.Position,
    ) -> None:
        """One step on some of the rows, of plans for `batch_size`; the position has its sums and its end when it has been made."""
        inputs, targets, weights = arrays
        totals, sums = position.totals.copy(), position.sums.copy()
        outputs = self._run_forward([array[rows] for array in inputs], batch_size, totals)
        n = len(outputs[0])
        batch = rows_of(targets, rows)
        gradients = add_losses(compiled, batch, outputs, rows_of(weights, rows), totals)
        if not np.isfinite(totals[0]):
            raise FloatingPointError(
                f"the loss became {(totals[0] - position.totals[0]) / n} at step {self.optimizer.iterations}; "
                "the weights are those from before that step"
            )
        update_metrics(compiled, batch, outputs, sums)
        self.backward(gradients if len(gradients) > 1 else gradients[0])
        with self._slab.gate.writing():
            plan = self._plans.get("custom", batch_size, exact=False)
            # The penalty of the weights is counted by the rows, and added to the totals.
            self._make_steps(
                plan,
                _core.UPDATE,
                n_rows=n,
                batch_size=n,
                hyper=self._plans.hyper(1),
                penalizes=True,
                **self._staged(position, n, totals, sums),
            )

    def _staged(self, position: _core.Position, n: int, totals: np.ndarray, sums: np.ndarray) -> dict[str, Any]:
        """Arguments of `_make_steps` for an update whose losses and metrics have been computed before."""
        found = {"loss_sum": totals, "gradient_squares": position.squared_norm, "position": position}
        return {**found, "totals": totals, "staged": (position.row + n, totals, sums)}

    def _split_step(
        self,
        compiled: Compiled,
        arrays: Arrays,
        rows: range,
        position: _core.Position,
        order: np.ndarray | None = None,
        capacity: int | None = None,
        **options: Any,
    ) -> None:
        """One step on the rows of a range in two calls of the engine, between which functions of the user's add to the gradient."""
        inputs, targets, weights = arrays
        totals, sums = position.totals.copy(), position.sums.copy()
        outputs = self._new_outputs(rows.stop) if compiled.takes_outputs else None
        n, hyper = len(rows), self._plans.hyper(1)
        with self._slab.gate.writing():
            plan = self._plans.get("train", capacity or n, exact=capacity is not None)
            plan.run(
                _GRADIENT if outputs is None else _GRADIENT | _core.FETCH,
                n_rows=rows.stop,
                first_row=rows.start,
                batch_size=n,
                inputs=inputs,
                outputs=outputs,
                targets=targets,
                weights=weights,
                order=order,
                step=compiled.optimizer.batches,
                hyper=hyper,
                loss_sum=totals,
                metrics=sums,
                **options,
            )
            if not np.isfinite(totals[0]):
                raise FloatingPointError(
                    f"the loss became {(totals[0] - position.totals[0]) / n} at step {self.optimizer.iterations}; "
                    "the weights are those from before that step"
                )
            if outputs is not None:
                judge_rows(compiled, targets, outputs, sums, range(rows.start, rows.stop, n), order)
            self._make_steps(plan, _core.UPDATE, n_rows=n, batch_size=n, hyper=hyper, **self._staged(position, n, totals, sums))
