"""Recurrent layers, attention, embeddings, positions and masks."""

from __future__ import annotations

import math

import numpy as np

from ._noise import draw_dropout
from ._operations import Node, Value, adapts
from ._program import Array, Code, Program

__all__: list[str] = []

# ---- recurrent layers -----------------------------------------------------------------------------


class _Recurrent:
    """A recurrent layer: a cell, its sizes, and the arrays that are kept of its steps.

    Attributes
    ----------
    cell : str
        The function of a step.
    states, gates, columns, bias_rows : int
        How many states there are, numbers that are kept of a step and columns of the kernels, in units, and rows of the bias.
    """

    def __init__(self, node: Node, cell: str, states: int, gates: int, columns: int, bias_rows: int = 1) -> None:
        a, x = node.attributes, node.inputs[0]
        self.node, self.cell, self.states, self.bias_rows = node, cell, states, bias_rows
        self.units, (self.steps, self.width) = int(a["units"]), x.shape
        self.keeps, self.size, self.gate_size = node.differentiates, states * self.units, gates * self.units
        self.columns = columns * self.units
        self.mask = node.inputs[1] if a["masked"] else None
        self.initial = node.inputs[2 if a["masked"] else 1 :]
        self.kept = node.parameters[2 + bool(a["use_bias"]) :]
        for array in self.kept:
            array.kind = "state"
        blocks, names = node.forward.library.blocks, (node.activation(), node.activation("recurrent_activation"))
        self.from_input = [blocks[f"fnp_{name}_backward"].from_input for name in names]
        if cell == "simple_rnn":
            self.from_input[1] = False
        steps = self.steps if self.keeps else 1
        self.factor = self._draw_factors()
        self.gate_array = node.buffer((node.rows * steps if self.keeps else 1) * self.gate_size, "gates")
        self.sums = node.buffer(self.gate_array.size, "sums") if self.keeps and any(self.from_input) else None
        self.row = (self.steps + 1 if self.keeps else 1) * self.size
        self.state_array = node.buffer(node.rows * self.row, "states")

    def _pointer(self, which: str, derivative: bool = False) -> Code:
        if which == "recurrent_" and self.cell == "simple_rnn":
            return Code("0")
        return self.node.pointer(f"{which}activation", f"{which}alpha", derivative)

    def _draw_factors(self) -> Array | None:
        """The factors of dropout, of the inputs and of the units; of both rates, of the words of one array."""
        node = self.node
        rates = [node.attributes["dropout"], node.attributes["recurrent_dropout"]]
        if not node.training or not any(rates):
            return None
        row = self.width + self.units
        drawn = []
        for rate in rates:
            drawn.append(node.buffer(node.rows * row, "factor"))
            draw_dropout(node, "fnp_draw_dropout", drawn[-1], 1 / (1 - rate), rate)
        self._put(node.forward, drawn[1], drawn[0], self.units, self.width, row, self.width, row)
        return drawn[0]

    def _put(
        self, program: Program, x: Array | None, y: Array | None, n: int, x_first: int, x_step: int, y_first: int, y_step: int,
        function: str = "fnp_put_rows", rows: int | None = None,
    ) -> None:  # fmt: skip
        names = {"x": x, "y": y, "n": n, "x_first": x_first, "x_step": x_step, "y_first": y_first, "y_step": y_step}
        program.call(function, {**names, "rows": self.node.rows if rows is None else rows})

    def run(self) -> None:
        """Appends the forward pass."""
        node, a, units = self.node, self.node.attributes, self.units
        for i in range(self.states):
            given = self.initial[i].array if self.initial else None
            rows = node.rows
            if not self.initial and self.kept:
                given = self.kept[i]
                if rows > a["stateful"]:
                    raise NotImplementedError(
                        f"export: layer {node.layer!r} keeps the states of {a['stateful']:g} rows, not of a batch of {rows}"
                    )
            self._put(node.forward, given, self.state_array, units, 0, units, i * units, self.row, rows=rows)
        node.run(
            "fnp_recurrent", mask=self.mask and self.mask.array, kernel=node.parameters[0], recurrent_kernel=node.parameters[1],
            bias=node.parameters[2] if a["use_bias"] else None, factor=self.factor,
            seen=self.factor and node.buffer(self.width + units, "seen"), gates=self.gate_array, sums=self.sums,
            states=self.state_array, y=node.outputs[0].array if a["return_sequences"] else None, cell=Code(f"fnp_{self.cell}"),
            activation=self._pointer(""), recurrent_activation=self._pointer("recurrent_"),
            gate_step=self.gate_size if self.keeps else 0, state_step=self.size if self.keeps else 0, **self._sizes(),
        )  # fmt: skip
        last = self.row - self.size
        ends: list[tuple[Program, int, Array]] = []
        if not a["return_sequences"]:
            ends.append((node.forward, 0, node.outputs[0].array))
        ends += [(node.forward, i, value.array) for i, value in enumerate(node.outputs[1:])]
        ends += [(node.update if node.training else node.forward, i, array) for i, array in enumerate(self.kept)]
        for program, i, array in ends:
            self._put(program, self.state_array, array, units, last + i * units, self.row, 0, units)

    def _sizes(self) -> dict[str, int]:
        a = self.node.attributes
        return {
            "steps": self.steps, "columns": self.columns, "state_size": self.size, "backwards": int(a["go_backwards"]),
            "zero_masked": int(a["zero_output_for_mask"]),
        }  # fmt: skip

    def differentiate(self) -> None:
        """Appends the backward pass."""
        node, a, units = self.node, self.node.attributes, self.units
        if not self.keeps:
            return
        gradient = node.buffer(node.rows * self.size, "end")
        dy = node.outputs[0].gradient
        for i in range(self.states):
            given = node.outputs[1 + i].gradient if len(node.outputs) > 1 else None
            self._put(node.backward, given, gradient, units, 0, units, i * units, self.size)
        if not a["return_sequences"]:
            self._put(node.backward, dy, gradient, units, 0, units, 0, self.size, "fnp_add_rows")
        saved = [self.sums if from_input else self.gate_array for from_input in self.from_input]
        node.differentiate(
            "fnp_recurrent_backward", mask=self.mask and self.mask.array, kernel=node.parameters[0],
            recurrent_kernel=node.parameters[1], factor=self.factor, gates=self.gate_array, saved=saved[0],
            recurrent_saved=saved[1], states=self.state_array, dy=dy if a["return_sequences"] else None, gradient=gradient,
            dkernel=node.gradients[0], drecurrent=node.gradients[1], dbias=node.gradients[2] if a["use_bias"] else None,
            work=node.buffer(8 * units + 2 * self.width, "work"), cell=Code(f"fnp_{self.cell}_backward"),
            activation=self._pointer(""), slope=self._pointer("", True), recurrent_slope=self._pointer("recurrent_", True),
            gate_step=self.gate_size, bias_rows=self.bias_rows, **self._sizes(),
        )  # fmt: skip
        for i, value in enumerate(self.initial):
            if value.gradient is not None:
                self._put(
                    node.backward, gradient, value.gradient, units, i * units, self.size, 0, units, "fnp_add_rows"
                )  # fmt: skip


@adapts("simple_rnn", "lstm", "gru")
def _recurrent(node: Node) -> None:
    if node.op == "simple_rnn":
        layer = _Recurrent(node, "simple_rnn", 1, 1, 1)
    elif node.op == "lstm":
        layer = _Recurrent(node, "lstm", 2, 4, 4)
    elif node.attributes["reset_after"]:
        layer = _Recurrent(node, "gru", 1, 4, 3, 2)
    else:
        layer = _Recurrent(node, "gru_reset_before", 1, 4, 3)
    layer.run()
    layer.differentiate()


# ---- attention ------------------------------------------------------------------------------------


def _layout(mask: Value, queries: int, keys: int) -> list[int]:
    """From a row, a query and a key of a mask to the next one."""
    if mask.shape[-1] != keys:
        return [queries, 1, 0]
    return [mask.size, keys if mask.size > keys else 0, 1]


@adapts("attention")
def _attention(node: Node) -> None:
    a, (query, key, value), masks = node.attributes, node.inputs[:3], node.inputs[3:]
    heads = int(a["heads"])
    key_heads = int(a["key_heads"]) or heads
    queries, keys, size = query.shape[0], key.shape[0], query.shape[1] // heads
    steps = [step for mask in masks for step in _layout(mask, queries, keys)]
    layout = Array(f"{node.layer}_layout_{node.number}", 9, "constant", np.array(steps + [0] * (9 - len(steps))), "fnp_int")
    arrays = {f"mask_{i}": masks[i].array if i < len(masks) else None for i in range(3)}
    scores = node.outputs[1] if a["scores"] else None
    factor, dropped = None, None
    if node.training and a["rate"] > 0:
        factor, dropped = node.buffer(node.rows * heads * queries * keys, "factor"), node.buffer(keys, "dropped")
        draw_dropout(
            node, "fnp_draw_attention_dropout", factor, 1 / (1 - a["rate"]), a["rate"], queries=node.rows * heads * queries,
            keys=keys,
        )  # fmt: skip
    sizes = {
        "queries": queries, "keys": keys, "key_heads": key_heads, "size": size, "value_size": value.shape[1] // key_heads,
        "scale": a["scale"] or 1 / math.sqrt(size), "score_step": keys if scores else 0, "layout": layout, "factor": factor,
    }  # fmt: skip
    weight = node.buffer(keys, "weight")
    node.run("fnp_attention", weight=scores.array if scores else weight, dropped=dropped, **sizes, **arrays)
    node.differentiate(
        "fnp_attention_backward", weight=weight, slope=node.buffer(keys, "slope"), dscores=scores.gradient if scores else None,
        **sizes, **arrays,
    )  # fmt: skip


# ---- embeddings and positions -----------------------------------------------------------------------


@adapts("embedding")
def _embedding(node: Node) -> None:
    node.run("fnp_embedding")
    if node.gradients[0] is not None:
        node.differentiate("fnp_embedding_backward")


def _angles(node: Node, n: int, exponent_step: float, scale: float) -> np.ndarray:
    """[steps][n]: position times frequency."""
    frequencies = scale * node.attributes["max_wavelength"] ** -(exponent_step * np.arange(n))
    return np.outer(node.attributes["start"] + np.arange(node.inputs[0].shape[0]), frequencies)


@adapts("position_embedding")
def _position_embedding(node: Node) -> None:
    x = node.inputs[0]
    if node.attributes["length"]:
        table = node.parameters[0]
    else:
        channels = x.shape[1]
        angles = _angles(node, (channels + 1) // 2, 2 / channels, 1)
        waves = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(len(angles), -1)[:, :channels]
        table = node.constant(waves, "positions")
    node.run("fnp_position_embedding", x=x.array if node.attributes["add"] else None, table=table)
    if node.attributes["add"] and x.gradient is not None:
        node.differentiate("fnp_add_to", x=node.outputs[0].gradient, y=x.gradient)
    if node.parameters and node.gradients[0] is not None:
        node.differentiate("fnp_position_embedding_backward", dtable=node.gradients[0])


@adapts("rotary_embedding")
def _rotary_embedding(node: Node) -> None:
    x = node.inputs[0]
    half = (int(node.attributes["size"]) or x.shape[-1]) // 2
    angles = _angles(node, half, 1 / half, 1 / node.attributes["scaling_factor"])
    names = {"cosine": node.constant(np.cos(angles), "cosine"), "sine": node.constant(np.sin(angles), "sine")}
    sizes = {"steps": x.shape[0], "heads": x.size // (x.shape[0] * 2 * half), "half": half}
    node.run("fnp_rotate", direction=1.0, add=0, **names, **sizes)
    node.differentiate(
        "fnp_rotate", x=node.outputs[0].gradient, y=x.gradient, direction=-1.0, add=1, **names, **sizes
    )  # fmt: skip


# ---- masks ------------------------------------------------------------------------------------------


@adapts("masked_mean")
def _masked_mean(node: Node) -> None:
    steps = node.inputs[0].shape[0]
    node.run("fnp_masked_mean", steps=steps)
    if node.inputs[0].gradient is not None:
        node.differentiate("fnp_masked_mean_backward", steps=steps)
