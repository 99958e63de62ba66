"""Where the time of a step goes: stage by stage, beside what the machine can do."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._html import table
from ._steppers import TRAIN
from .inference import PREDICT

if TYPE_CHECKING:
    from .custom import CustomLoop

__all__ = ["Profile", "StageProfile", "profile_model"]


_HEADER = ("Stage", "Layer", "us", "% of time", "GFLOP/s", "% of peak", "GB/s")


@dataclass(frozen=True)
class StageProfile:
    """One stage of a step.

    Attributes
    ----------
    label, layer : str
        What it does and for which layer.
    seconds : float
        The least time it took.
    flops : float
        Floating-point operations, where the operation says: of products, sums and the like; of elementwise functions 0.
    bytes : int
        Size of the arrays that it reads and writes.
    """

    label: str
    layer: str
    seconds: float
    flops: float
    bytes: int

    @property
    def flops_per_second(self) -> float:
        """0 where `flops` is."""
        return self.flops / self.seconds if self.seconds > 0 else 0.0

    @property
    def bytes_per_second(self) -> float:
        """Above the bandwidth of memory where the arrays are in a cache."""
        return self.bytes / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Profile:
    """What `Model.profile` returns; printed, it is a table.

    Attributes
    ----------
    stages : list of StageProfile
        In the order of the step.
    rows : int
        Of the batch.
    step_seconds : float
        The least time of a call that makes one step, without clocks between the stages.
    dtype, isa : str
    peak_flops : float
        Operations a second in fused multiply-adds, measured in this process: of one thread, as all of this.
    bandwidth : float
        Bytes a second from and to memory, measured likewise.
    """

    stages: list[StageProfile]
    rows: int
    step_seconds: float
    dtype: str
    isa: str
    peak_flops: float
    bandwidth: float

    @property
    def seconds(self) -> float:
        """Sum over the stages; each has a look at the clock in it, some 25 ns, and none what lies between two steps."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def flops(self) -> float:
        """Sum over the stages."""
        return sum(stage.flops for stage in self.stages)

    def to_json(self) -> dict[str, Any]:
        """All figures as dictionaries, lists and numbers."""
        return asdict(self)

    def _line(self, name: str, layer: str, seconds: float, flops: float, moved: int) -> tuple[str, ...]:
        rate = flops / seconds if flops and seconds > 0 else 0.0
        return (
            name,
            layer,
            f"{seconds * 1e6:.2f}",
            f"{100 * seconds / self.seconds:.1f}" if self.seconds else "",
            f"{rate / 1e9:.1f}" if rate else "",
            f"{100 * rate / self.peak_flops:.1f}" if rate else "",
            f"{moved / seconds / 1e9:.1f}" if seconds > 0 and moved else "",
        )

    def _lines(self) -> list[tuple[str, ...]]:
        """The stages, and all together."""
        lines = [self._line(stage.label, stage.layer, stage.seconds, stage.flops, stage.bytes) for stage in self.stages]
        return [*lines, self._line("all", "", self.seconds, self.flops, 0)]

    def _about(self) -> tuple[str, str]:
        """What stands above and below the table."""
        rate = self.flops / self.step_seconds / 1e9 if self.step_seconds > 0 else 0.0
        return (
            f"Batches of {self.rows}, {self.dtype}, {self.isa}, one thread; peak {self.peak_flops / 1e9:.1f} GFLOP/s, memory "
            f"{self.bandwidth / 1e9:.1f} GB/s",
            f"A call of one step, without clocks: {self.step_seconds * 1e6:.2f} us, {rate:.1f} GFLOP/s, "
            f"{100e9 * rate / self.peak_flops:.1f}% of the peak",
        )

    def __str__(self) -> str:
        lines = self._lines()
        widths = [max(len(line[i]) for line in [_HEADER, *lines]) for i in range(len(_HEADER))]
        text = [
            "  ".join(cell.ljust(width) if i < 2 else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths)))
            for line in [_HEADER, tuple("-" * width for width in widths), *lines]
        ]
        about, whole = self._about()
        return "\n".join([about, *(line.rstrip() for line in text), whole])

    def _repr_html_(self) -> str:
        """For notebooks: the same table."""
        about, whole = self._about()
        return table(about, _HEADER, self._lines(), 2, [whole])


def _measure(model: CustomLoop, phases: int, plan: _core.Plan, arrays: dict[str, Any], rows: int, repeats: int) -> Profile:
    """Runs phases of a step again and again.

    Parameters
    ----------
    model : CustomLoop
    phases : int
        See `_core.Plan.run`.
    plan : Plan
    arrays : dict
        What the plan needs beside that.
    rows : int
        Of the batch.
    repeats : int
    """
    known = plan.stages()
    seconds, best = np.zeros(len(known)), np.full(len(known), np.inf)
    step = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        plan.run(phases, n_rows=rows, batch_size=rows, **arrays)
        step = min(step, time.perf_counter() - start)
        seconds[:] = 0
        plan.run(phases, n_rows=rows, batch_size=rows, stage_seconds=seconds, **arrays)
        np.minimum(best, seconds, out=best)
    if phases & _core.UPDATE:
        phases |= _core.STATES
    if phases & _core.BACKWARD:
        phases |= _core.OUTPUT_GRADIENT  # done with it: outputs without a loss have a gradient of 0
    stages = [
        StageProfile(one["label"], one["layer"], float(time_of), one["flops_per_row"] * rows + one["flops_fixed"],
                     one["bytes_per_row"] * rows + one["bytes_fixed"])
        for one, time_of in zip(known, best) if one["phase"] & phases
    ]  # fmt: skip
    return Profile(
        stages, rows, float(step), model.dtype, plan.info()["isa"], _core.measure_flops(model.dtype), _core.measure_bandwidth()
    )


def profile_model(model: CustomLoop, x: Any, y: Any, batch_size: int, repeats: int) -> Profile:
    """What `Model.profile` returns."""
    if y is None:
        inputs = model._rows_for(x, False)
        arrays: dict[str, Any] = {}
    else:
        inputs, targets, weights = model._data_for(x, y, None, None, False)
        compiled = model._require_compiled()
        if compiled.custom or compiled.optimizer.full_batch:
            raise ValueError(
                "profile measures steps that are made in the engine: of losses of fastnet.losses, and of "
                "optimizers that take batches"
            )
        arrays = {
            "targets": targets,
            "weights": weights,
            "step": compiled.optimizer.batches,
            "loss_sum": np.zeros(1 + len(model.outputs)),
            "metrics": compiled.new_sums(),
        }
    rows = min(batch_size, len(inputs[0]))
    arrays["inputs"] = inputs
    model._plans.one_thread = True
    try:
        with model._slab.gate.writing():
            if y is None:
                arrays["outputs"] = [np.empty((rows, *tensor.sample_shape), model.dtype) for tensor in model.outputs]
                plan = model._plans.get("predict", rows)
                return _restoring(model, lambda: _measure(model, PREDICT, plan, arrays, rows, repeats), [])
            arrays["hyper"], plan = model._plans.hyper(1), model._plans.get("train", rows)
            slots = model._plans.slots.arrays()
            return _restoring(model, lambda: _measure(model, TRAIN, plan, arrays, rows, repeats), slots)
    finally:
        model._plans.one_thread = False


def _restoring(model: CustomLoop, function: Callable[[], Any], slots: list[np.ndarray]) -> Any:
    """What a function returns, after which the weights and these arrays are as before."""
    kept = [(array, array.copy()) for array in [model._slab.values, *slots]]
    try:
        return function()
    finally:
        for array, values in kept:
            array[...] = values
