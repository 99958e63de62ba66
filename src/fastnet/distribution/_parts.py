"""Steps whose pieces are computed part by part: layers look at whole batches, or gradients are sent while others are computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _core
from ._exchanges import Exchanges, is_synchronized
from ._protocol import ROWS, SAYS, STEP
from ._tree import part

__all__ = ["StepsInParts", "can_be_together"]


class StepsInParts:
    """What `SharedSteps` does for synchronized layers, and where gradients are sent."""

    model: Any
    distribution: Any
    _step: dict[str, Any]
    _reduction: Any
    _said: np.ndarray
    _exchanges: Exchanges | None
    _synchronized: bool
    _together: bool
    _capacity: int
    _first: int
    _end: int
    _n_totals: int
    exchange: Any
    _end_piece: Any

    def _share(self, n: int) -> float:
        """By what gradients of a piece of n rows are to be multiplied before they are added up."""
        return 1.0 if self._together else n * self.distribution.pieces / self._step["n"]

    def _run_to_cuts(self, plan: _core.Plan, phases: int, **arguments: Any) -> None:
        """Runs a plan of a piece, or of several; what is complete of the gradients where its steps are cut is sent, if it is final."""
        final, last = self._share(arguments["batch_size"]) == 1, plan.cuts[-1] + 1 if plan.cuts else 0
        for number in range(last + 1):
            plan.run(phases, part=number, **arguments)
            if number < last and final:
                self._reduction.send(sum([cut <= number for cut in plan.cuts]))

    def _plan(self, gradients: np.ndarray) -> _core.Plan:
        """That computes a piece, and leaves its gradient in an array."""
        pieces = self.distribution.pieces
        return self.model._plans.part(-(-self._capacity // pieces), gradients, replicas=pieces if self._synchronized else 0)

    def _arguments(self, piece: int) -> dict[str, Any]:
        """What the plan of a piece is told."""
        now, said = self._step, self._said[piece]
        first, end = part(now["n"], self.distribution.pieces, piece)
        return {
            **{name: now[name] for name in ("outputs", "inputs", "targets", "weights", "order")},
            "n_rows": now["rows"].start + end,
            "first_row": now["rows"].start + first,
            "batch_size": end - first,
            "step": now["step"] + piece,
            "hyper": self.model._plans.hyper_of_part(now["hyper"], now["n"] / (end - first)),
            "loss_sum": said[SAYS : SAYS + self._n_totals],
            "metrics": said[SAYS + self._n_totals :],
            **now["options"],
        }

    def _plans_in_parts(self, n: int) -> dict[int, tuple[_core.Plan, np.ndarray]]:
        """Before a step in parts: the plan and the gradient of each piece. All agree to make the step, which begins with other exchanges."""
        error, found = None, {}
        try:
            found = {piece: (self._plan(gradients), gradients) for piece, gradients in self._reduction.begin().items()}
            self._exchanges = Exchanges.of(self._exchanges, self.distribution, found[self._first][0].exchanges)
            self._said[self._first : self._end, ROWS] = self._exchanges.checksum
        except BaseException as raised:
            error = raised
        self.exchange(STEP, error, same=n)
        if len(set(self._said[:, ROWS])) > 1:
            self._reduction.restart()
            raise RuntimeError("the processes do not make the same step: other layers are trained in some of them")
        return found

    def _compute_parts(self, plans: Mapping[int, tuple[_core.Plan, np.ndarray]]) -> None:
        """`_compute` of all pieces of this process, among exchanges with the others."""
        assert self._exchanges is not None
        self._exchanges.run(plans, self._step["n"], self._step["phases"], self._arguments, self._end_piece)
        self._reduction.end()


def can_be_together(model: Any, compiled: Any, distribution: Any) -> bool:
    """Whether a plan of the model can make several pieces in one call."""
    if compiled.sequence or compiled.custom or distribution.pieces == 1 or is_synchronized(model):
        return False
    return model._plans.part(1, model._slab.gradients, pieces=2).pieces > 1
