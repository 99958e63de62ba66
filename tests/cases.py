"""Inputs that tests and benchmarks share: shapes for every operation, random networks and random graphs.

Everything is a function of its arguments: the same seed gives the same case. With FASTNET_QUICK=1 in the environment
there are fewer of them, for runs under sanitizers and other slow things.
"""

import os
import pathlib
import re
from dataclasses import dataclass

import numpy as np
from plans import Graph

from fastnet import _core

QUICK = os.environ.get("FASTNET_QUICK", "0") not in ("", "0")


def how_many(number):
    """This many cases, or a sixth of them."""
    return -(-number // 6) if QUICK else number


#: Of every instruction set there is, as its header says.
VECTOR_BYTES = {
    path.stem: int(re.search(r"FN_VECTOR_BYTES (\d+)", path.read_text(encoding="utf-8"))[1])
    for path in (pathlib.Path(__file__).parents[1] / "csrc" / "kernels" / "isa").glob("*.h")
}


def lanes_of(isa, dtype):
    """Numbers in a vector register."""
    return VECTOR_BYTES[isa] // np.dtype(dtype).itemsize


def widths_around(lanes):
    """Sizes at which loops over vectors change their ways: one, around a vector, beyond the unrolled part, a prime."""
    return [lanes + 1] if QUICK else sorted({1, lanes - 1, lanes, lanes + 1, 4 * lanes + 3, 37} - {0})


# ---- targets -----------------------------------------------------------------------------------------

#: For every loss: (last layer's activation, or "softmax"; attributes) that suit it.
HEADS = {
    "mean_squared_error": [("linear", {}), ("tanh", {})],
    "mean_absolute_error": [("linear", {})],
    "huber": [("linear", {}), ("linear", {"delta": 0.4})],
    "log_cosh": [("linear", {})],
    "hinge": [("linear", {}), ("tanh", {})],
    "poisson": [("softplus", {}), ("exponential", {})],
    "binary_crossentropy": [
        ("sigmoid", {}),
        ("linear", {"from_logits": 1}),
        ("linear", {"from_logits": 1, "label_smoothing": 0.2}),
    ],
    "categorical_crossentropy": [
        ("softmax", {}),
        ("linear", {"from_logits": 1}),
        ("linear", {"from_logits": 1, "label_smoothing": 0.1}),
    ],
    "sparse_categorical_crossentropy": [("softmax", {}), ("linear", {"from_logits": 1})],
    "kl_divergence": [("softmax", {})],
    "dice": [("sigmoid", {}), ("softmax", {"axes": 1})],
    "tversky": [("sigmoid", {}), ("softmax", {"axes": 1, "alpha": 0.3, "beta": 0.8})],
    "circle": [("softmax", {"gamma": 2, "margin": 0.3})],
}


def target_for(loss, shape, n_rows, random):
    """Random targets for predictions of this shape."""
    shape = (n_rows, *shape)
    if loss == "sparse_categorical_crossentropy":
        return random.integers(0, shape[-1], shape[:-1])
    if loss == "circle":
        return random.integers(40, 44, shape[:-1])
    if loss == "categorical_crossentropy":
        return np.eye(shape[-1])[random.integers(0, shape[-1], shape[:-1])]
    if loss == "kl_divergence":
        return random.dirichlet(np.ones(shape[-1]), shape[:-1])
    if loss in ("binary_crossentropy", "hinge", "dice", "tversky"):
        return random.integers(0, 2, shape)
    if loss == "poisson":
        return random.poisson(2, shape)
    return random.normal(size=shape)


# ---- random networks ---------------------------------------------------------------------------------


@dataclass
class Network:
    """A model with data for it."""

    graph: Graph
    inputs: list
    targets: list
    weights: list
    batch_size: int
    text: str


def random_network(seed):
    """Dense layers one after another: depth 1 to 5, any widths, activations and loss; a last batch that is smaller."""
    random = np.random.default_rng(seed)
    activations = list(_core.registry("activations"))
    losses = list(_core.registry("losses"))
    loss = losses[seed % len(losses)]
    head, attributes = HEADS[loss][random.integers(len(HEADS[loss]))]
    depth, n_rows = 1 + seed % 5, int(random.integers(7, 60))
    graph = Graph()
    value = graph.input((int(random.integers(1, 40)),))
    names = []
    for layer in range(depth - 1):
        names.append(activations[random.integers(len(activations))])
        value = graph.dense(value, int(random.integers(1, 48)), names[-1], seed=seed, use_bias=random.random() < 0.8)
    units = int(random.integers(2, 40)) if "categorical" in loss else int(random.integers(1, 12))
    if head == "softmax":
        value = graph.node("softmax", [graph.dense(value, units, seed=seed)])
    else:
        value = graph.dense(value, units, head, seed=seed)
    graph.output(value, loss, float(random.uniform(0.5, 2)), **attributes)
    inputs = [random.normal(size=(n_rows, *graph.shapes[0]))]
    targets = [target_for(loss, graph.shapes[value], n_rows, random)]
    weighted = random.random() < 0.5 or loss == "mean_absolute_error"  # without, signs may cancel to nothing but rounding
    weights = [random.uniform(0, 2, n_rows) if weighted else None]
    batch_size = next(size for size in random.permutation(np.arange(2, n_rows)) if n_rows % size)
    return Network(graph, inputs, targets, weights, int(batch_size), f"network {seed}: {names} {head} {loss}")


# ---- random graphs -----------------------------------------------------------------------------------

SMOOTH = ["linear", "tanh", "sigmoid", "gelu", "softplus", "silu"]


def random_graph(seed, n_nodes=None):
    """A graph of any operations: values used once, often or never, shared and frozen parameters, aliases, several
    inputs and outputs with and without a loss, outputs that others consume, inputs that are outputs."""
    random = np.random.default_rng(seed)
    graph = Graph()
    shapes = [(4,), (6,), (2, 3), (3, 2, 2)]
    for _ in range(random.integers(1, 4)):
        graph.input(shapes[random.integers(len(shapes))])
    denses = []  # (width, units, parameters)
    for _ in range(n_nodes or random.integers(3, 15)):
        add_random_node(graph, random, denses)

    taken = set()  # arrays that have a loss
    roots = roots_of(graph)
    for i in range(random.integers(1, 5)):
        value = len(graph.shapes) - 1 if i == 0 else int(random.integers(len(graph.shapes)))
        loss = ["mean_squared_error", "huber", "log_cosh", None][random.integers(4)]
        if roots[value] in taken:
            loss = None
        if loss:
            taken.add(roots[value])
        graph.output(value, loss, float(random.uniform(0.5, 2)))
    n_rows = int(random.integers(1, 9))
    inputs = [random.normal(size=(n_rows, *shape)) for shape, _, _ in graph.inputs]
    targets = [
        None if loss is None else target_for(loss, graph.shapes[value], n_rows, random) for value, loss, *_ in graph.outputs
    ]
    return Network(graph, inputs, targets, [None] * len(targets), n_rows, f"graph {seed}")


def seeds_for(network, seed=0):
    """Gradients for the outputs that have no loss; for some of them none."""
    random = np.random.default_rng(seed)
    return [
        None if loss or random.random() < 0.2 else random.normal(size=(len(network.inputs[0]), *network.graph.shapes[value]))
        for value, loss, *_ in network.graph.outputs
    ]


def roots_of(graph):
    """For each value the one whose memory it is: itself, unless it was reshaped from another."""
    roots = list(range(len(graph.inputs)))
    for op, _, read, _, _ in graph.nodes:
        roots.append(roots[read[0]] if op == "reshape" else len(roots))
    return roots


def add_random_node(graph, random, denses):
    kind = random.integers(10)
    value = int(random.integers(max(0, len(graph.shapes) - 6), len(graph.shapes)))
    shape = graph.shapes[value]
    if kind < 3:
        units, use_bias = int(random.integers(1, 8)), bool(random.random() < 0.7)
        shared = [known for known in denses if known[0] == shape[-1]]
        activation = SMOOTH[random.integers(len(SMOOTH))]
        if shared and random.random() < 0.4:
            _, units, parameters = shared[random.integers(len(shared))]
            graph.dense(value, units, activation, parameters=parameters, use_bias=len(parameters) == 2)
        else:
            graph.dense(
                value, units, activation, seed=int(random.integers(1000)), use_bias=use_bias, trainable=random.random() < 0.8
            )
            denses.append((shape[-1], units, graph.nodes[-1][3]))
    elif kind < 6:
        alike = [other for other, known in enumerate(graph.shapes) if known == shape]
        op = ["add", "subtract", "multiply", "average", "maximum", "minimum"][random.integers(6)]
        count = 2 if op == "subtract" else int(random.integers(1, 4))
        graph.node(op, [value, *(int(alike[random.integers(len(alike))]) for _ in range(count - 1))])
    elif kind == 6:
        axis = int(random.integers(len(shape)))
        alike = [
            other
            for other, known in enumerate(graph.shapes)
            if len(known) == len(shape) and known[:axis] + known[axis + 1 :] == shape[:axis] + shape[axis + 1 :]
        ]
        more = [int(alike[random.integers(len(alike))]) for _ in range(random.integers(0, 3))]
        if sum(graph.shapes[other][axis] for other in more) < 40:
            graph.node("concatenate", [value, *more], axis=axis - int(random.integers(2)) * len(shape))
    elif kind == 7:
        size = int(np.prod(shape))
        first = int(random.choice([d for d in range(1, size + 1) if size % d == 0]))
        graph.reshape(value, [(size,), (first, size // first), (-1, first)][random.integers(3)])
    elif kind == 8:
        graph.node(["softmax", "log_softmax"][random.integers(2)], [value])
    else:
        graph.activation(value, SMOOTH[random.integers(len(SMOOTH))])
