"""A model in integers: weights int8 with a scale for each column, all other arrays int8 with a scale and a zero, sums int32.

An integer q of an array stands for scale (q - zero). Scale and zero are such that the range of what the array holds for the
calibration data, 0 included, becomes -128 to 127. What comes after the last product is computed in real numbers, from its int32
sums where it is a dense layer. See csrc/portable/quantized.c for the arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._folding import PRODUCTS, Operation, evaluate, fold
from ._library import Library
from ._lowering import Description, Step, write_outputs
from ._names import identifier
from ._operations import Node, Value, lower_node
from ._program import Array, Program
from ._quantized_operations import QUANTIZED, Emulation, Quantized, Range

__all__ = ["Quantizer"]

#: Rows of the calibration data that are computed at once.
_ROWS = 128


class Quantizer:
    """A description in integers.

    Parameters
    ----------
    description : Description
    library : Library
    calibration : list of ndarray
        Rows of each input.

    Attributes
    ----------
    step : Step
        The program that predicts a row.
    values : dict
        The values of the program, by their numbers in the folded model; (number, "real"): a value in integers as real numbers.

    Raises
    ------
    NotImplementedError
        If something before the last product has no form in integers, or there is no product.
    """

    def __init__(self, description: Description, library: Library, calibration: Sequence[np.ndarray]) -> None:
        self.library, self.real = library, np.float64 if library.bits == 64 else np.float32
        self.model = fold(description)
        self.before_product = self._find_what_leads_to_products()
        self.ranges = self._find_ranges(calibration)
        self.program = Program(library)
        self.values: dict[Any, Value] = {}
        self._emulations: list[tuple[Any, list[Any], Emulation]] = []
        inputs = [
            Array(name, math.prod(shape), "argument") for (shape, *_), name in zip(description.inputs, description.input_names)
        ]
        for i, (array, folded) in enumerate(zip(inputs, self.model.inputs)):
            self._quantize_input(i, array, *folded)
        for number, one in enumerate(self.model.operations):
            self._lower(number, one)
        self._outputs = [self._as_real(value) for value in self.model.outputs]
        found = [self.values[key] for key in self._outputs]
        names = [name for *_, name, _ in description.outputs]
        calls, outputs = write_outputs(found, names, list(self.values.values()), self.program.calls)
        self.step = Step(calls, inputs, outputs, [], [])

    # ---- what is known before -------------------------------------------------------------------------------

    def _find_what_leads_to_products(self) -> set[int]:
        found: set[int] = set()
        for one in reversed(self.model.operations):
            if one.op in PRODUCTS or one.output in found:
                found.update(one.inputs)
        if not found:
            raise NotImplementedError("export: quantize='int8' is for models with dense or convolutional layers; there is none")
        return found

    def _find_ranges(self, calibration: Sequence[np.ndarray]) -> list[Range]:
        model = self.model
        lowest, highest = np.zeros(len(model.shapes)), np.zeros(len(model.shapes))
        wanted = [one.output for one in model.operations]
        for first in range(0, len(calibration[0]), _ROWS):
            given = {}
            for array, (value, scale, shift) in zip(calibration, model.inputs):
                rows = np.asarray(array[first : first + _ROWS], np.float64)
                given[value] = rows * scale.reshape(rows.shape[1:]) + shift.reshape(rows.shape[1:])
            found = evaluate(model.operations, model.shapes, given, wanted)
            for value, array in [*given.items(), *zip(wanted, found)]:
                lowest[value] = np.minimum(lowest[value], array.min())  # NaN stays
                highest[value] = np.maximum(highest[value], array.max())
        if not (np.isfinite(lowest).all() and np.isfinite(highest).all()):
            raise ValueError("export: the model's values for the calibration data are not all finite")
        return [Range(*both) for both in zip(lowest.tolist(), highest.tolist())]

    # ---- lowering -------------------------------------------------------------------------------------------

    def _quantize_input(self, number: int, x: Array, value: int, scale: np.ndarray, shift: np.ndarray) -> None:
        """The input in integers; its scaling is part of this."""
        shape, real = self.model.shapes[value], self.real
        made = Quantized.of_range(shape, Array(f"value_{value}", x.size, type="int8_t"), self.ranges[value])
        tables = np.array([scale / made.scale, shift / made.scale + made.zero + 128.5]).astype(real)
        widths = (1, shape[-1] if shape else 1, x.size)
        width = next(n for n in widths if np.array_equal(tables, np.tile(tables[:, :n], x.size // n)))
        factor, term = tables[:, :width]
        names: dict[str, Any] = {"x": x, "y": made.array, "positions": x.size // width, "width": width}
        names["scale"] = Array(f"{x.name}_scale", width, "constant", factor)
        names["shift"] = Array(f"{x.name}_shift", width, "constant", term)
        self.program.call("fnp_q_quantize", names)
        self.values[value] = made

        def emulate(given: np.ndarray) -> np.ndarray:
            with np.errstate(all="ignore"):
                q = given.astype(real).reshape(len(given), -1, width) * factor + term
            q = np.where(q > 0, np.minimum(np.trunc(q), 255), 0)  # what is not a number becomes the lowest
            return (q - 128).astype(np.float64).reshape(len(given), *shape)

        self._emulations.append((value, [(number, "input")], emulate))

    def _lower(self, number: int, one: Operation) -> None:
        inputs = [self.values[i] for i in one.inputs]
        shape = self.model.shapes[one.output]
        parameters = [Array(identifier(f"{one.layer}_{i}_{number}"), a.size, "constant", a) for i, a in enumerate(one.parameters)]
        node = Node(
            one.op, identifier(one.layer), number, 1, False, inputs, [Value(shape, Array(f"value_{one.output}", math.prod(shape)))],
            parameters, [None] * len(parameters), one.attributes, Program(self.library), Program(self.library),
        )  # fmt: skip
        form = "dense_real" if one.op == "dense" and one.output not in self.before_product else one.op
        reads: list[Any] = list(one.inputs)
        if not all(isinstance(value, Quantized) for value in inputs):
            emulate = None
        elif form in QUANTIZED:
            emulate = QUANTIZED[form](node, one, self.ranges[one.output])
        else:
            emulate = _view(node)
        if emulate is None:
            if one.output in self.before_product:
                raise NotImplementedError(
                    f"export: layer {one.layer!r} ({one.op}) has no form in integers, and quantize='int8' needs one before the "
                    "last dense or convolutional layer"
                )
            reads = [self._as_real(i) for i in one.inputs]
            node.inputs = [self.values[key] for key in reads]
            lower_node(node)
            emulate = self._evaluation(one)
        self.program.calls += node.forward.calls
        self.values[one.output] = made = node.outputs[0]
        self._emulations.append((one.output, reads, emulate))
        if one.activation != "linear" and not isinstance(made, Quantized):
            self.program.call(f"fnp_{one.activation}", {"x": made.array, "y": made.array, "n": made.size})

    def _as_real(self, value: int) -> Any:
        """The key of a value in real numbers."""
        x, key = self.values[value], (value, "real")
        if not isinstance(x, Quantized):
            return value
        if key not in self.values:
            y = Array(f"value_{value}_real", x.size)
            scale, zero = self.real(x.scale), x.zero
            self.program.call("fnp_q_dequantize", {"x": x.array, "y": y, "n": x.size, "scale": float(scale), "zero": zero})
            self.values[key] = Value(x.shape, y)
            self._emulations.append((key, [value], lambda q: scale * (q - zero).astype(self.real)))
        return key

    def _evaluation(self, one: Operation) -> Emulation:
        """By the engine, in real numbers."""

        def emulate(*arrays: np.ndarray) -> np.ndarray:
            given = dict(zip(one.inputs, arrays))
            return evaluate([one], self.model.shapes, given, [one.output], np.dtype(self.real).name)[0]

        return emulate

    # ---- what it computes -----------------------------------------------------------------------------------

    def emulate(self, inputs: Sequence[np.ndarray]) -> dict[Any, np.ndarray]:
        """All values for rows of the inputs, as the C file computes them: integers to the bit."""
        found: dict[Any, np.ndarray] = {(i, "input"): array for i, array in enumerate(inputs)}
        for key, reads, emulate in self._emulations:
            found[key] = emulate(*(found[i] for i in reads))
        return found

    def predict(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs for rows of the inputs."""
        parts = []
        for first in range(0, len(inputs[0]), _ROWS):
            found = self.emulate([array[first : first + _ROWS] for array in inputs])
            parts.append([found[key] for key in self._outputs])
        return [np.concatenate(one) for one in zip(*parts)]


def _view(node: Node) -> Emulation | None:
    """Of an operation that only renames in predictions: the output is the input."""
    x = node.inputs[0]
    assert isinstance(x, Quantized)
    try:
        lower_node(node)
    except NotImplementedError:
        pass
    y = node.outputs[0]
    if node.forward.calls or y.array is not x.array:
        node.forward.calls.clear()
        return None
    node.outputs[0] = Quantized(y.shape, x.array, x.scale, x.zero)
    return lambda q: q.reshape(len(q), *y.shape)
