"""Views, normalization, and what does nothing in a prediction."""

from __future__ import annotations

import numpy as np

from ._graph import Graph, Node, writes

__all__: list[str] = []


@writes(
    "activity_regularization", "alpha_dropout", "dropout", "gaussian_dropout", "gaussian_noise", "in_training",
    "orthogonal_regularization", "random_affine", "random_brightness", "random_contrast", "random_erasing",
)  # fmt: skip
def _only_in_training(node: Node) -> str:
    return node.x


@writes("reshape")
def _reshape(node: Node) -> str:
    return node.graph.reshape(node.x, node.shapes[0])


@writes("permute")
def _permute(node: Node) -> str:
    axes = [1 + node.integer(f"axis_{axis}") for axis in range(node.integer("rank"))]
    return node.graph.transpose(node.x, [0, *axes])


@writes("concatenate")
def _concatenate(node: Node) -> str:
    axis = node.integer("axis")
    axis = axis + 1 if axis >= 0 else axis + len(node.inputs[0].shape) + 1
    return str(node.graph.add("Concat", *[value.name for value in node.inputs], axis=axis))


def _gamma_and_beta(node: Node, x: str) -> str:
    """x gamma + beta, of those that there are."""
    g, scale = node.graph, node.integer("scale")
    x = g.add("Mul", x, node.weight(0)) if scale else x
    return str(g.add("Add", x, node.weight(scale)) if node.integer("center") else x)


@writes("batch_normalization")
def _batch_normalization(node: Node) -> str:
    """One product and one sum, of the moving statistics."""
    trained = node.integer("scale") + node.integer("center")
    mean, variance = (np.asarray(node.array(i), np.float64) for i in (trained, trained + 1))
    scale = (node.array(0) if node.integer("scale") else 1.0) / np.sqrt(variance + node.attributes["epsilon"])
    shift = (node.array(trained - 1) if node.integer("center") else 0.0) - mean * scale
    names = [name for name, _ in node.parameters]
    g = node.graph
    return str(
        g.add(
            "Add",
            g.add("Mul", node.x, g.constant(scale, f"{names[trained + 1]}/scale")),
            g.constant(shift, f"{names[trained]}/shift"),
        )
    )


@writes("layer_normalization")
def _layer_normalization(node: Node) -> str:
    scale, width = node.integer("scale"), node.inputs[0].shape[-1]
    gamma = node.weight(0) if scale else node.graph.constant(np.ones(width))
    beta = [node.weight(scale)] if node.integer("center") else []
    epsilon = node.attributes["epsilon"]
    return str(node.graph.add("LayerNormalization", node.x, gamma, *beta, axis=-1, epsilon=epsilon, since=17))


def _divide_by_deviation(g: Graph, x: str, axes: list[int], epsilon: float) -> str:
    variance = g.reduce("Mean", g.add("Mul", x, x), axes)
    return str(g.add("Div", x, g.add("Sqrt", g.add("Add", variance, epsilon))))


@writes("rms_normalization")
def _rms_normalization(node: Node) -> str:
    g = node.graph
    axis = len(node.inputs[0].shape)
    return str(g.add("Mul", _divide_by_deviation(g, node.x, [axis], node.attributes["epsilon"]), node.weight(0)))


@writes("group_normalization")
def _group_normalization(node: Node) -> str:
    g, shape = node.graph, node.inputs[0].shape
    groups = node.integer("groups")
    groups = shape[-1] if groups == -1 else groups
    x = g.reshape(node.x, [node.size // shape[-1], groups, shape[-1] // groups])
    x = g.add("Sub", x, g.reduce("Mean", x, [1, 3]))
    return _gamma_and_beta(node, g.reshape(_divide_by_deviation(g, x, [1, 3], node.attributes["epsilon"]), shape))
