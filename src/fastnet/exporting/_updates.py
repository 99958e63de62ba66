"""The update: ``fnp_update_NAME`` is the step of an optimizer over an array of parameters.

Parameters by name: parameter, gradient, the optimizer's slots as NAME_slot, n, learning_rate, step (that of the first batch is 0), its
hyper-parameters h, and of each one_minus_h = 1 - h and log_h = log(h), computed in double precision. Of an optimizer that looks at
whole parameters also matrices, rows and columns of one, decay (that of the weights, which it applies itself) and scratch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _core
from ._library import Library
from ._program import Array, Call, Code, Program, join

__all__ = ["evaluated_slot", "is_plain_descent", "lower_constraints", "lower_updates", "return_if_it_overflows", "scale_rate"]

#: Parameters of functions by which those of optimizers that look at whole parameters are known.
_OF_WHOLE = {"decay", "matrices"}
#: Slots of what surrounds every optimizer.
_AROUND = ("accumulator", "average", "slow", "mean")


def is_plain_descent(description: Any) -> bool:
    """Whether a step is w - learning_rate g and nothing else, so that no gradient need be kept."""
    if description.optimizer != "sgd":
        return False
    hyper = _all_hyper(description)
    around = (
        "momentum",
        "weight_decay",
        "clipvalue",
        "clipnorm",
        "global_clipnorm",
        "maximize",
        "lookahead_steps",
        "ema_momentum",
    )
    return not any(hyper[name] for name in around) and hyper["accumulation_steps"] <= 1


def evaluated_slot(description: Any) -> str | None:
    """The slot that predictions are computed with, in place of the trained weights."""
    if description.optimizer is None:
        return None
    hyper = _all_hyper(description)
    return "average" if hyper["ema_momentum"] else "x" if description.optimizer.startswith("schedule_free") else None


def _all_hyper(description: Any) -> dict[str, float]:
    optimizer = description.optimizer
    return {**_core.registry("optimizers")[optimizer], **_core.registry("updates")["update"], **description.hyper}


def _check_hyper(description: Any, hyper: dict[str, float]) -> None:
    varying = [name for name, value in hyper.items() if math.isnan(value)]
    if varying:
        raise NotImplementedError(f"export: {varying[0]} varies from step to step; an exported step has one value")
    if hyper["mean_start"] >= 0:
        raise NotImplementedError("export: stochastic weight averaging is not part of an exported step")
    if hyper["lazy"] and any(op == "embedding" for op, *_ in description.nodes):
        raise NotImplementedError("export: lazy updates of embeddings are not part of an exported step")


class _Group:
    """Parameters that are updated alike and lie side by side, as one array; their gradients and slots as well."""

    def __init__(self, trained: Sequence[tuple[Any, Array, Array]], slots: dict[str, dict[int, Array]]) -> None:
        self.parameter = trained[0][0]
        names = "_".join(array.name for _, array, _ in trained[:: max(len(trained) - 1, 1)])
        self.array = join(f"{names}_group", [array for _, array, _ in trained])
        self.gradient = join(f"{names}_gradients", [gradient for *_, gradient in trained])
        self.slots = {
            f"{name}_slot": join(f"{names}_{name}s", [arrays[id(array)] for _, array, _ in trained])
            for name, arrays in slots.items()
        }


def lower_updates(
    description: Any, library: Library, trained: Sequence[tuple[Any, Array, Array]], weights: Sequence[Array]
) -> tuple[list[Call], dict[str, dict[int, Array]]]:
    """The calls of an update.

    Parameters
    ----------
    trained : sequence of (Parameter, Array, Array)
        What is trained, in the order of the description, with its gradients.
    weights : sequence of Array
        Of all parameters.

    Returns
    -------
    calls : list of Call
    slots : dict of str to dict of int to Array
        By the name of a slot and the id of the array of a parameter.
    """
    program = Program(library)
    optimizer = description.optimizer
    hyper = _all_hyper(description)
    _check_hyper(description, hyper)
    starts = _core.optimizer_slots(optimizer, {k: v for k, v in hyper.items() if k != "learning_rate"})
    own = [name for name, _ in starts if name not in _AROUND]
    slots = _make_slots(description, starts, trained, weights)
    if not trained:
        return program.calls, slots
    function = f"fnp_update_{optimizer}"
    if not own and f"{function}_plain" in library:  # where it keeps nothing
        function = f"{function}_plain"
    if function not in library:
        raise NotImplementedError(f"export: optimizer {optimizer!r} has no step in the portable library")
    parameters = {p.name for p in library.signature(function)}
    apart = bool(parameters & _OF_WHOLE) or (hyper["clipnorm"] > 0 and not hyper["global_clipnorm"])
    groups = _make_groups(trained, slots, apart)
    everything = join("gradients", [gradient for *_, gradient in trained])
    period = int(hyper["accumulation_steps"])
    names = _hyper_names(hyper)
    names["step"] = Code("memory->step" if period <= 1 else f"memory->step / {period}u")

    def step(name: str, group: _Group, **more: Any) -> None:
        absent = {p.name: None for p in library.signature(name) if p.name.endswith("_slot")}
        one = group.parameter
        given: dict[str, Any] = {
            **names, **absent, **group.slots, "parameter": group.array, "gradient": group.gradient, "n": group.array.size,
            "learning_rate": scale_rate(one.rate), "l1": one.l1, "l2": one.l2, "total": Code("&loss"),
            "decay": hyper["weight_decay"] if one.decays else 0.0,
            "adam_decay": hyper.get("adam_weight_decay", 0.0) if one.decays else 0.0, **more,
        }  # fmt: skip
        program.call(name, given)

    def of_all(name: str, **more: Any) -> None:
        program.call(name, {"gradient": everything, "n": everything.size, **names, **more})

    for group in groups:
        if group.parameter.l1 or group.parameter.l2:
            step("fnp_penalize", group)
    if period > 1:
        for group in groups:
            step("fnp_accumulate", group, period=Code(f"{period}u"), step=Code("memory->step"))
        text = f"if (memory->step % {period}u != {period - 1}u) {{\n        memory->step++;\n        return loss;\n    }}"
        program.calls.append(Call("", (Code(text),)))
    if hyper["global_clipnorm"]:
        of_all("fnp_clip_norm", bound=hyper["global_clipnorm"])
    elif hyper["clipnorm"]:
        for group in groups:
            step("fnp_clip_norm", group, bound=hyper["clipnorm"])
    if hyper["maximize"]:
        of_all("fnp_negate")
    if hyper["clipvalue"]:
        of_all("fnp_clip_values")
    for group in groups:
        if hyper["weight_decay"] and group.parameter.decays and "decay" not in parameters:
            step("fnp_decay_coupled" if hyper["decay_coupled"] else "fnp_decay", group)
        step(function, group, **_shape(group, parameters))
        if hyper["ema_momentum"]:
            step("fnp_follow_average", group)
        if hyper["lookahead_steps"]:
            step("fnp_look_ahead", group)
    return program.calls, slots


def _make_slots(
    description: Any, starts: Sequence[tuple[str, float]], trained: Sequence[tuple[Any, Array, Array]], weights: Sequence[Array]
) -> dict[str, dict[int, Array]]:
    numbers = {id(array): i for i, array in enumerate(weights)}
    slots: dict[str, dict[int, Array]] = {}
    for name, start in starts:
        saved = description.slots.get(name)
        slots[name] = {}
        for parameter, array, _ in trained:
            if saved is not None:
                values = saved[numbers[id(array)]]
            elif math.isnan(start):
                values = parameter.values
            else:
                values = np.full(array.size, start)
            slots[name][id(array)] = Array(f"{array.name}_{name}", array.size, "slot", np.asarray(values))
    return slots


def _make_groups(trained: Sequence[tuple[Any, Array, Array]], slots: dict[str, dict[int, Array]], apart: bool) -> list[_Group]:
    def treatment(numbered: tuple[int, tuple[Any, Array, Array]]) -> Any:
        number, (one, *_) = numbered
        return (one.decays, one.rate, one.l1, one.l2, number if apart else 0)

    groups = itertools.groupby(enumerate(trained), key=treatment)
    return [_Group([one for _, one in group], slots) for _, group in groups]


def _shape(group: _Group, parameters: set[str]) -> dict[str, Any]:
    """What an optimizer that looks at whole parameters wants to know of the shape."""
    if "matrices" not in parameters:
        return {}
    shape = group.parameter.update_shape or group.parameter.shape
    if len(shape) < 2:
        return {"matrices": 0, "rows": 1, "columns": group.array.size, "scratch": None}
    rows, columns = shape[-2:]
    size = columns if "ns_steps" not in parameters else rows * columns + 2 * min(rows, columns) ** 2
    scratch = Array(f"{group.array.name}_scratch", size)
    return {"matrices": math.prod(shape[:-2]), "rows": rows, "columns": columns, "scratch": scratch}


def return_if_it_overflows(array: Array) -> Call:
    """What ends a step, before it has changed anything, where an array is not finite."""
    return Call("", (Code("if (fnp_overflows("), array, Code(f", {array.size}))\n        return FNP_NAN;")))


def scale_rate(factor: float) -> Code:
    """The learning rate of a parameter."""
    return Code("learning_rate") if factor == 1 else Code(f"FNP_R({factor!r}) * learning_rate")


def _hyper_names(hyper: dict[str, float]) -> dict[str, Any]:
    names: dict[str, Any] = dict(hyper)
    for name, value in hyper.items():
        names[f"one_minus_{name}"] = 1 - value
        names[f"log_{name}"] = math.log(value) if value > 0 else -math.inf
    return names


def lower_constraints(library: Library, parameters: Sequence[tuple[Any, Array]]) -> list[Call]:
    """The calls that keep parameters to their constraints."""
    program = Program(library)
    for parameter, array in parameters:
        if parameter.constraint is None:
            continue
        non_negative, lowest, highest, rate, reduced, inner = parameter.constraint
        names = {"parameter": array, "n": array.size, "lowest": lowest, "highest": highest, "rate": rate}
        names.update(reduced=reduced, inner=inner, outer=array.size // (reduced * inner))
        program.call("fnp_constrain_sign" if non_negative else "fnp_constrain_norms", names)
    return program.calls
