"""Normalisations."""

from __future__ import annotations

import math

import numpy as np

from ._operations import Node, adapts
from ._program import Array

__all__: list[str] = []


def _gamma_and_beta(node: Node) -> tuple[dict[str, Array | None], dict[str, Array | None]]:
    """The parameters, and their gradients; None where there are none."""
    there = [
        name for name, attribute in (("gamma", "scale"), ("beta", "center")) if node.attributes.get(attribute, name == "gamma")
    ]
    values: dict[str, Array | None] = {"gamma": None, "beta": None, **dict(zip(there, node.parameters))}
    gradients: dict[str, Array | None] = {"dgamma": None, "dbeta": None}
    gradients.update((f"d{name}", gradient) for name, gradient in zip(there, node.gradients))
    return values, gradients


@adapts("batch_normalization")
def _batch_normalization(node: Node) -> None:
    values, gradients = _gamma_and_beta(node)
    width = node.inputs[0].shape[-1]
    moving = node.parameters[-2:]
    constant = not node.training or bool(node.attributes["frozen"])
    if constant and not node.differentiates and _fold(node, values, moving):
        return
    mean, variance = moving if constant else [node.buffer(width, name) for name in ("mean", "variance")]
    scale = node.buffer(width, "scale")
    if not constant:
        node.run("fnp_batch_statistics", mean=mean, variance=variance)
    node.run("fnp_inverse_deviation", variance=variance, scale=scale)
    node.run("fnp_batch_normalization", **{**values, "scale": scale}, mean=mean)
    node.differentiate(
        "fnp_batch_normalization_backward", **{**values, **gradients, "scale": scale}, mean=mean, constant=int(constant)
    )
    if not constant:
        momentum = node.attributes["momentum"]
        for statistics, array in ((mean, moving[0]), (variance, moving[1])):
            names = {"statistics": statistics, "moving": array, "width": width, "momentum": momentum, "rest": 1 - momentum}
            node.update.call("fnp_move_statistics", names)


def _fold(node: Node, values: dict[str, Array | None], moving: list[Array]) -> bool:
    """With constants alone, what x - mean is multiplied by is a constant, too."""
    known = [array for array in (*values.values(), *moving) if array is not None]
    if any(array.kind != "constant" for array in known):
        return False
    mean, variance = (np.asarray(array.values, np.float64) for array in moving)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = 1 / np.sqrt(variance + node.attributes["epsilon"])
    if values["gamma"] is not None:
        scale = scale * values["gamma"].values
    if not np.all(np.isfinite(scale)):
        return False
    node.run(
        "fnp_batch_normalization", mean=moving[0], scale=node.constant(scale, "scale"), gamma=None, beta=values["beta"]
    )  # fmt: skip
    return True


@adapts("layer_normalization", "rms_normalization", "group_normalization")
def _group_normalization(node: Node) -> None:
    x = node.inputs[0]
    values, gradients = _gamma_and_beta(node)
    if node.op == "group_normalization":
        groups = int(node.attributes["groups"])
        rows, inner, group = node.rows, math.prod(x.shape[:-1]), 1 if groups < 0 else x.shape[-1] // groups
    else:
        rows, inner, group = node.rows * math.prod(x.shape[:-1]), 1, x.shape[-1]
    statistics = node.buffer(2 * rows * (x.shape[-1] // group), "statistics") if node.differentiates else None
    more = {"rows": rows, "inner": inner, "group": group, "statistics": statistics, "centered": node.op != "rms_normalization"}
    node.run("fnp_group_normalization", **{**more, **values})
    node.differentiate("fnp_group_normalization_backward", **{**more, **values, **gradients})
