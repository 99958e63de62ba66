"""Losses: ``fnp_NAME`` writes the loss of each position and adds its derivative to the gradient of the prediction.

Parameters by name: prediction, target, scale (what the loss of a position counts in the total), losses, gradient, positions, width,
and the attributes of the loss.
"""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from ._operations import Value
from ._program import Array, Code, Program

__all__ = ["lower_formula", "lower_loss"]


def lower_loss(
    program: Program,
    loss: str,
    attributes: dict[str, float],
    weight: float,
    prediction: Value,
    rows: int,
    name: str,
    mask: Array | None,
) -> tuple[Array, Array]:
    """Appends the calls of an output's loss: the total is in the variable ``loss``, the derivative in the gradient of the prediction.

    Returns
    -------
    target, sample_weight : Array
        Arguments of the program; the second, a number for each position, may be NULL there.
    """
    function = f"fnp_{loss}"
    if function not in program.library:
        raise NotImplementedError(f"export: there is no loss {loss!r} in the portable library")
    width = prediction.shape[-1] if prediction.shape else 1
    inner = math.prod(prediction.shape[:-1])
    positions = rows * inner
    shape = _core.infer_target(loss, attributes, prediction.shape)
    types = {parameter.name: parameter.type for parameter in program.library.signature(function)}
    target = Array(f"{name}_target", rows * math.prod(shape), "argument", type=types["target"])
    sample_weight = Array(f"{name}_weight", positions, "argument")
    scale, losses = Array(f"{name}_scale", positions), Array(f"{name}_losses", positions)
    axes = int(attributes.get("axes", 0))  # of the losses that are of groups of positions
    names: dict[str, Any] = {
        **_core.registry("losses")[loss],
        **attributes,
        "prediction": prediction.array,
        "target": target,
        "scale": scale,
        "losses": losses,
        "gradient": prediction.gradient,
        "positions": positions,
        "width": width,
        "group": math.prod(prediction.shape[len(prediction.shape) - axes : -1]) if axes else positions,
        "factor": weight / positions,
        "weight": sample_weight,
        "mask": mask,
        "total": Code("&loss"),
    }
    program.call("fnp_scale_of_loss", names)
    if mask is not None:
        program.call("fnp_mask_scale", names)
    program.call(function, names)
    program.call("fnp_add_loss", names)
    return target, sample_weight


def lower_formula(program: Program, weight: float, result: Value, rows: int, name: str, mask: Array | None) -> Array:
    """Appends the calls of a loss that nodes compute, which only takes its mean: see `lower_loss`.

    Returns
    -------
    sample_weight : Array
    """
    positions = rows * result.size
    sample_weight, scale = Array(f"{name}_weight", positions, "argument"), Array(f"{name}_scale", positions)
    names: dict[str, Any] = {
        "scale": scale, "losses": result.array, "positions": positions, "factor": weight / positions, "weight": sample_weight,
        "mask": mask, "total": Code("&loss"), "x": scale, "y": result.gradient, "n": positions,
    }  # fmt: skip
    program.call("fnp_scale_of_loss", names)
    if mask is not None:
        program.call("fnp_mask_scale", names)
    program.call("fnp_add_loss", names)
    program.call("fnp_add_to", names)
    return sample_weight
