"""Recurrent layers, attention, embeddings, positions and masks."""

from __future__ import annotations

import math

import numpy as np

from .. import activations
from ._activations import activate
from ._graph import Graph, Node, writes

__all__: list[str] = []

#: As the recurrent operators of ONNX call activations without parameters.
_ACTIVATIONS = {"tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu", "softplus": "Softplus", "softsign": "Softsign"}
#: By operation: ONNX's operator, the number of states, and the order of the gates there.
_CELLS = {"simple_rnn": ("RNN", 1, [0]), "gru": ("GRU", 1, [0, 1, 2]), "lstm": ("LSTM", 2, [0, 3, 1, 2])}


def _in_order(array: np.ndarray, order: list[int]) -> np.ndarray:
    """The blocks of gates along the last axis in another order."""
    blocks = np.split(array, len(order), axis=-1)
    return np.concatenate([blocks[i] for i in order], axis=-1)


def _kernel(order: list[int]):  # type: ignore[no-untyped-def]
    return lambda array: _in_order(array, order).T[np.newaxis]


@writes("simple_rnn", "gru", "lstm")
def _recurrent(node: Node) -> list[str]:
    if node.integer("stateful"):
        raise NotImplementedError("ONNX has no state that is kept from call to call")
    names = [activations.name_of(node.integer(which)) for which in ("activation", "recurrent_activation")]
    known = all(name in _ACTIVATIONS for name in names[: 1 if node.op == "simple_rnn" else 2])
    return _as_operator(node, names) if known and not node.integer("masked") else _step_by_step(node)


def _initial(node: Node) -> list[str]:
    return [value.name for value in node.inputs[2 if node.integer("masked") else 1 :]]


def _as_operator(node: Node, names: list[str]) -> list[str]:
    """The recurrent operator of ONNX, with the steps first."""
    g, backwards = node.graph, node.integer("go_backwards")
    type, n_states, order = _CELLS[node.op]
    function, gate = (_ACTIVATIONS.get(name, "") for name in names)
    bias = ""
    if node.integer("use_bias"):

        def both(array: np.ndarray) -> np.ndarray:
            """The biases of the kernel and of the recurrent kernel, one after the other."""
            array = array if array.ndim == 2 else np.stack([array, np.zeros_like(array)])
            return _in_order(array, order).reshape(1, -1)

        bias = node.weight(2, both)
    more = {"linear_before_reset": node.integer("reset_after")} if type == "GRU" else {}
    initial = [g.add("Unsqueeze", state, g.integers([0])) for state in _initial(node)]
    y, *last = g.add(
        type, g.transpose(node.x, [1, 0, 2]), node.weight(0, _kernel(order)), node.weight(1, _kernel(order)), bias, "", *initial,
        outputs=1 + n_states, hidden_size=node.integer("units"), direction="reverse" if backwards else "forward",
        activations={"RNN": [function], "GRU": [gate, function], "LSTM": [gate, function, function]}[type], **more,
    )  # fmt: skip
    states = [g.add("Squeeze", state, g.integers([0])) for state in last]
    if not node.integer("return_sequences"):
        return [states[0], *states] if node.integer("return_state") else [states[0]]
    y = g.transpose(g.add("Squeeze", y, g.integers([1])), [1, 0, 2])
    if backwards == 1:  # in the order of computation
        y = g.gather(y, np.arange(node.inputs[0].shape[0])[::-1], 1)
    return [y, *states] if node.integer("return_state") else [y]


def _step_by_step(node: Node) -> list[str]:
    """The steps one after another, for masks and for activations that ONNX's operators do not know."""
    g, a = node.graph, node.attributes
    steps, units = node.inputs[0].shape[0], node.integer("units")
    kernel, recurrent = node.weight(0), node.weight(1)
    use_bias, after = bool(a["use_bias"]), node.op == "gru" and bool(a["reset_after"])
    sums = g.add("MatMul", node.x, kernel)
    if use_bias:
        sums = g.add("Add", sums, node.weight(2, lambda b: b[0]) if after else node.weight(2))
    inner_bias = node.weight(2, lambda b: b[1]) if after and use_bias else None
    zeros = g.add("Mul", g.slice(sums, 2, 0, units), 0.0)
    states = _initial(node) or [g.reduce("Max", zeros, [1], keepdims=False)] * _CELLS[node.op][1]
    shown: list[str] = [""] * steps
    order = range(steps)[::-1] if a["go_backwards"] else range(steps)
    for t in order:
        z = g.add("Gather", sums, g.integers(t), axis=1)
        made = _step(node, z, states, recurrent, inner_bias, units)
        if a["masked"]:
            keep = g.positive(g.slice(node.inputs[1].name, 1, t, t + 1))
            made = [g.add("Where", keep, new, old) for new, old in zip(made, states)]
            shown[t] = g.add("Where", keep, made[0], 0.0) if a["zero_output_for_mask"] else made[0]
        else:
            shown[t] = made[0]
        states = made
    if not a["return_sequences"]:
        return [states[0], *states] if a["return_state"] else [states[0]]
    listed = [shown[t] for t in (order if a["go_backwards"] == 1 else range(steps))]
    y = g.add("Concat", *[g.add("Unsqueeze", one, g.integers([1])) for one in listed], axis=1)
    return [y, *states] if a["return_state"] else [y]


def _gates(g: Graph, z: str, n: int, units: int) -> list[str]:
    return [g.slice(z, 1, i * units, (i + 1) * units) for i in range(n)]


def _step(node: Node, z: str, states: list[str], recurrent: str, inner_bias: str | None, units: int) -> list[str]:
    """The states after a step; z: what the inputs add to the sums of the gates."""
    g, h = node.graph, states[0]

    def gate(x: str) -> str:
        return activate(node, x, "recurrent_activation", "recurrent_alpha")

    if node.op != "gru":
        z = g.add("Add", z, g.add("MatMul", h, recurrent))
        if node.op == "simple_rnn":
            return [activate(node, z)]
        i, f, c, o = _gates(g, z, 4, units)
        cell = g.add("Add", g.add("Mul", gate(f), states[1]), g.add("Mul", gate(i), activate(node, c)))
        return [g.add("Mul", gate(o), activate(node, cell)), cell]
    x_z, x_r, x_h = _gates(g, z, 3, units)
    if node.integer("reset_after"):
        inner = g.add("MatMul", h, recurrent)
        inner = g.add("Add", inner, inner_bias) if inner_bias is not None else inner
        h_z, h_r, h_h = _gates(g, inner, 3, units)
        update, reset = gate(g.add("Add", x_z, h_z)), gate(g.add("Add", x_r, h_r))
        candidate = activate(node, g.add("Add", x_h, g.add("Mul", reset, h_h)))
    else:
        u_z, u_r, u_h = (g.slice(recurrent, 1, i * units, (i + 1) * units) for i in range(3))
        update, reset = (gate(g.add("Add", x, g.add("MatMul", h, u))) for x, u in ((x_z, u_z), (x_r, u_r)))
        candidate = activate(node, g.add("Add", x_h, g.add("MatMul", g.add("Mul", reset, h), u_h)))
    kept = g.add("Mul", update, g.add("Sub", h, candidate))
    return [g.add("Add", candidate, kept)]


#: What scores are where a query does not see a key: finite, since softmax over infinities alone is NaN.
_HIDDEN = -1e30


@writes("attention")
def _attention(node: Node) -> list[str]:
    g, a = node.graph, node.attributes
    heads = node.integer("heads")
    key_heads = node.integer("key_heads") or heads
    (queries, width), (keys, _), (_, value_width) = (value.shape for value in node.inputs[:3])
    size = width // heads

    def split(index: int, count: int, axes: list[int]) -> str:
        """[rows][steps][count size] -> [rows][count][group][steps][size], or with the last two exchanged."""
        steps, columns = node.inputs[index].shape
        inner = [key_heads, count // key_heads, columns // count]
        return g.transpose(g.reshape(node.inputs[index].name, [steps, *inner]), axes)

    q = split(0, heads, [0, 2, 3, 1, 4])
    k, v = split(1, key_heads, [0, 2, 3, 4, 1]), split(2, key_heads, [0, 2, 3, 1, 4])
    scores = g.add("Mul", g.add("MatMul", q, k), a["scale"] or size**-0.5)
    visible = _visible(node, queries, keys)
    if visible is not None:
        scores = g.add("Where", visible, scores, _HIDDEN)
    weights = g.add("Softmax", scores, axis=-1)
    if visible is not None:  # a query that sees no key has no weights
        weights = g.add("Where", visible, weights, 0.0)
    y = g.transpose(g.add("MatMul", weights, v), [0, 3, 1, 2, 4])
    y = g.reshape(y, [queries, value_width // key_heads * heads])
    return [y, g.reshape(weights, [heads, queries, keys])] if a["scores"] else [y]


def _visible(node: Node, queries: int, keys: int) -> str | None:
    """Which keys a query may see, as [rows][1][1][queries][keys]."""
    g, window = node.graph, node.integer("window")
    i, j = np.arange(queries)[:, None], np.arange(keys)
    seen = np.ones((queries, keys), bool)
    if node.integer("causal"):
        seen &= j <= i
    if window:
        seen &= abs(i - j) < window
    found = [] if seen.all() else [g.positive(g.constant(seen[None, None, None]))]
    for mask in node.inputs[3:]:
        shape = [queries, 1] if mask.shape == (queries, 1) else [math.prod(mask.shape) // keys, keys]
        found.append(g.add("Greater", g.reshape(mask.name, [1, 1, *shape]), 0.5))
    return g.chain("And", found) if found else None


@writes("embedding")
def _embedding(node: Node) -> str:
    g = node.graph
    return str(g.add("Gather", node.weight(0), g.add("Cast", node.x, to="int64"), axis=0))


@writes("masking")
def _masking(node: Node) -> list[str]:
    g, shape = node.graph, node.inputs[0].shape
    differs = g.number(g.add("Not", g.add("Equal", node.x, node.attributes["value"])))
    mask = g.reduce("Max", differs, [len(shape)])
    return [g.add("Mul", node.x, mask), g.reshape(mask, shape[:-1])]


@writes("masked_mean")
def _masked_mean(node: Node) -> str:
    g, steps = node.graph, node.inputs[0].shape[0]
    mask = g.reshape(g.number(g.positive(node.inputs[1].name)), [steps, 1])
    count = g.add("Max", g.reduce("Sum", mask, [1], keepdims=False), 1.0)
    kept = g.add("Where", g.positive(mask), node.x, 0.0)
    return str(g.add("Div", g.reduce("Sum", kept, [1], keepdims=False), count))


@writes("select")
def _select(node: Node) -> str:
    g, mask = node.graph, node.inputs[0]
    a = node.inputs[1]
    taken = g.positive(g.reshape(mask.name, [*mask.shape, *[1] * (len(a.shape) - len(mask.shape))]))
    return str(g.add("Where", taken, a.name, node.inputs[2].name if len(node.inputs) > 2 else node.attributes["value"]))


def _frequencies(n: int, exponent_step: float, max_wavelength: float) -> np.ndarray:
    return np.asarray(max_wavelength ** -(exponent_step * np.arange(n)))


@writes("position_embedding")
def _position_embedding(node: Node) -> str:
    g, a = node.graph, node.attributes
    steps, channels = node.inputs[0].shape
    if a["length"]:
        positions = node.weight(0, lambda array: array[:steps])
    else:
        angles = np.outer(a["start"] + np.arange(steps), _frequencies(-(-channels // 2), 2 / channels, a["max_wavelength"]))
        waves = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(steps, -1)[:, :channels]
        positions = g.constant(waves)
    return str(g.add("Add", positions, node.x) if a["add"] else g.add("Expand", positions, g.add("Shape", node.x)))


@writes("rotary_embedding")
def _rotary_embedding(node: Node) -> str:
    """Pairs of numbers (u, v), from the first and the second half of a vector, turned by an angle."""
    g, a, shape = node.graph, node.attributes, node.inputs[0].shape
    size = node.integer("size") or shape[-1]
    n, steps = size // 2, shape[0]
    frequencies = _frequencies(n, 1 / n, a["max_wavelength"]) / a["scaling_factor"]
    angles = np.outer(a["start"] + np.arange(steps), frequencies)[:, None]
    cosine, sine = np.cos(angles), np.sin(angles)
    x = g.reshape(node.x, [steps, node.size // steps // size, size])
    u, v = g.slice(x, 3, 0, n), g.slice(x, 3, n, size)
    first = g.add("Sub", g.add("Mul", u, cosine), g.add("Mul", v, sine))
    second = g.add("Add", g.add("Mul", u, sine), g.add("Mul", v, cosine))
    return g.reshape(g.add("Concat", first, second, axis=3), shape)
