"""The step of an optimizer of which each process makes a part."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core

if TYPE_CHECKING:
    from .._compiled import Compiled
    from .._weights import Weight
    from ._data_parallel import DataParallel
    from ._reduction import Reduction

__all__ = ["DividedUpdate", "can_be_divided"]

#: What each section tells of its update.
_SQUARES, _PENALTY, _LOST = range(3)


def can_be_divided(model: Any, compiled: Compiled) -> bool:
    """Whether the optimizer, and what is around it, works element by element, and on all of them."""
    optimizer = compiled.optimizer
    if not optimizer.lazy_form or optimizer.lazy or optimizer.clipnorm or optimizer.global_clipnorm:
        return False
    return not any(weight.constraint is not None for weight in model.trainable_weights)


class DividedUpdate:
    """Each process updates the weights of its sections of the slab, and has the others' from them (Rajbhandari et al. 2020, stage 1).

    Sums over the weights, as of squares of gradients, are made of each section and these added up in order, so that they have the same
    bits for any number of processes.

    Parameters
    ----------
    model : Model
    compiled : Compiled
    distribution : DataParallel
    reduction : Reduction
        That has left the sum of the gradients of the sections.
    states : sequence of Weight
        Whose gradients are to be added to them.
    """

    def __init__(
        self, model: Any, compiled: Compiled, distribution: DataParallel, reduction: Reduction, states: Sequence[Weight]
    ) -> None:
        self._model, self._compiled, self._distribution, self._reduction = model, compiled, distribution, reduction
        self._states = [
            slice(max(own.start, weight.offset), min(own.stop, weight.offset + weight.size))
            for weight in states
            for own in reduction.own
            if max(own.start, weight.offset) < min(own.stop, weight.offset + weight.size)
        ]
        self._said = np.zeros((distribution.pieces, 3))
        self._counts = [3 * (end - first) for first, end in distribution.pieces_of]
        self._penalty = np.zeros(2)
        self._n_plans = len(reduction.sections) * len(reduction.bounds)
        self._columns = len(_core.hyper_names(compiled.optimizer.kernel))

    def make(
        self,
        hyper: np.ndarray,
        n: int,
        capacity: int,
        *,
        position: _core.Position,
        staged: tuple[int, np.ndarray, np.ndarray],
        **_: Any,
    ) -> None:
        """The step of a batch of n rows; all processes make it together.

        Raises
        ------
        FloatingPointError
            Where weights became infinite or NaN; the step has been made then.
        """
        model, reduction, distribution, counter = (
            self._model,
            self._reduction,
            self._distribution,
            self._compiled.optimizer.counter,
        )
        step, said = counter.batches, self._said
        values, gradients = model._slab.values, reduction.gradients
        for states in self._states:
            values[states] += gradients[states]
        row = np.ascontiguousarray(hyper[..., : self._columns])
        reduction.begin_staging()
        said[reduction.sections] = 0
        for i, (bucket, bounds) in itertools.product(reduction.sections, enumerate(reduction.bounds)):
            self._penalty[:] = 0
            plan = model._plans.part(capacity, section=(bounds[i], bounds[i + 1]), kept=self._n_plans)
            try:
                plan.run(_core.UPDATE, n_rows=n, batch_size=n, step=step, hyper=row, loss_sum=self._penalty, checked=True)
            except FloatingPointError:
                said[i, _LOST] = 1
            said[i, :_LOST] += plan.gradient_squares, self._penalty[0]
            reduction.stage(values, bucket, slice(bounds[i], bounds[i + 1]))  # while it is in cache
        if distribution.size > 1:
            distribution._memory.sync()
            distribution.comm.Allgatherv(distribution.MPI.IN_PLACE, [said, (self._counts, None)])
        reduction.fetch(values)
        if model._slab.averaged:
            for (_, start), array in zip(self._compiled.optimizer.slots(), model._plans.slots.arrays()):
                if np.isnan(start):
                    reduction.share(array)
        at, totals, sums = staged
        squares = position.squared_norm
        for of_section in said:
            squares += of_section[_SQUARES]
            totals[0] += of_section[_PENALTY]
        position.totals, position.sums = totals, sums
        counter.count(1, position, at, squares)
        if said[:, _LOST].any():
            raise FloatingPointError(
                f"weights became infinite or nan at step {step}, though loss and gradient did not: the step is too large, or a constraint "
                "made them that; the weights are those from after that step"
            )
