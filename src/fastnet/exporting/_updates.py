"""The update: ``fnp_update_NAME`` is the step of an optimizer over an array of parameters.

Parameters by name: parameter, gradient, the optimizer's slots as NAME_slot, n, learning_rate, step (that of the first batch is 0), its
hyper-parameters h, and of each one_minus_h = 1 - h and log_h = log(h), computed in double precision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _core
from ._library import Library
from ._program import Array, Call, Code, Program

__all__ = ["lower_updates"]

#: Of what surrounds every optimizer, what a step of an export has; all else must be off.
_AROUND = ("weight_decay", "decay_coupled", "clipvalue", "clipnorm", "global_clipnorm", "maximize", "lazy")


def _check_hyper(hyper: dict[str, float]) -> None:
    for name, value in _core.registry("updates")["update"].items():
        given = hyper.get(name, value)
        off = {
            "accumulation_steps": given <= 1,
            "ema_momentum": given == 0,
            "lookahead_steps": given == 0,
            "mean_start": given < 0,
        }
        if math.isnan(given):
            raise NotImplementedError(f"export: {name} varies from step to step; an exported step has one value")
        if not off.get(name, True):
            raise NotImplementedError(f"export: {name}={given:g} is not part of an exported step")


def lower_updates(
    description: Any, library: Library, trained: Sequence[tuple[Any, Array, Array]], weights: Sequence[Array]
) -> list[Call]:
    """The calls of an update."""
    program = Program(library)
    optimizer = description.optimizer
    hyper = {**_core.registry("optimizers")[optimizer], **_core.registry("updates")["update"], **description.hyper}
    _check_hyper(hyper)
    starts = _core.optimizer_slots(optimizer, {k: v for k, v in hyper.items() if k != "learning_rate"})
    numbers = {id(array): i for i, array in enumerate(weights)}

    def slot_of(name: str, start: float, parameter: Any, array: Array) -> Array:
        saved = description.slots.get(name)
        values = saved[numbers[id(array)]] if saved is not None else parameter.values if math.isnan(start) else None
        if values is None:
            values = np.full(array.size, start)
        return Array(f"{array.name}_{name}", array.size, "slot", np.asarray(values))

    names = _hyper_names(hyper)
    by_array = {
        id(array): {f"{name}_slot": slot_of(name, start, parameter, array) for name, start in starts}
        for parameter, array, _ in trained
    }

    def step(name: str, group: Sequence[tuple[Any, Array, Array]], **more: Any) -> None:
        """A call for each of a group of parameters."""
        if not group:
            return
        if name not in library:
            raise NotImplementedError(f"export: there is no {name} in the portable library")
        absent = {p.name: None for p in library.signature(name) if p.name.endswith("_slot")}
        for parameter, array, gradient in group:
            program.call(
                name,
                {
                    **names, **absent, **by_array[id(array)], "parameter": array, "gradient": gradient, "n": array.size,
                    "learning_rate": _scaled("learning_rate", parameter.rate), "l1": parameter.l1, "l2": parameter.l2,
                    "step": Code("memory->step"), "total": Code("&loss"), **more,
                },
            )  # fmt: skip

    penalized = [one for one in trained if one[0].l1 or one[0].l2]
    step("fnp_penalize", penalized)
    if hyper["maximize"]:
        step("fnp_negate", trained)
    if hyper["clipvalue"]:
        step("fnp_clip_values", trained)
    if hyper["clipnorm"]:
        step("fnp_clip_norm", trained)
    if hyper["global_clipnorm"]:
        squares = Code("&squares")
        program.calls.append(Call("fnp_begin_norm", (squares,)))
        step("fnp_add_squares", trained, squares=squares)
        step("fnp_clip_global_norm", trained, squares=squares)
    if hyper["weight_decay"]:
        decaying = [one for one in trained if one[0].decays]
        step("fnp_decay_coupled" if hyper["decay_coupled"] else "fnp_decay", decaying)
    function = f"fnp_update_{optimizer}"
    if not starts and f"{function}_plain" in library:  # where it keeps nothing
        function = f"{function}_plain"
    if function not in library:
        raise NotImplementedError(f"export: optimizer {optimizer!r} has no step in the portable library")
    step(function, trained)
    for parameter, array, _ in trained:
        if parameter.constraint is not None:
            _constrain(program, parameter, array)
    return program.calls


def _scaled(name: str, factor: float) -> Code:
    return Code(name) if factor == 1 else Code(f"FNP_R({factor!r}) * {name}")


def _hyper_names(hyper: dict[str, float]) -> dict[str, Any]:
    names: dict[str, Any] = dict(hyper)
    for name, value in hyper.items():
        names[f"one_minus_{name}"] = 1 - value
        names[f"log_{name}"] = math.log(value) if value > 0 else -math.inf
    return names


def _constrain(program: Program, parameter: Any, array: Array) -> None:
    non_negative, lowest, highest, rate, reduced, inner = parameter.constraint
    names = {"parameter": array, "n": array.size, "lowest": lowest, "highest": highest, "rate": rate}
    names.update(reduced=reduced, inner=inner, outer=array.size // (reduced * inner))
    program.call("fnp_constrain_sign" if non_negative else "fnp_constrain_norms", names)
