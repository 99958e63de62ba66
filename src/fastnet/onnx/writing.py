"""`to_onnx`: a model as a file of ONNX."""

from __future__ import annotations

import importlib.util
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _core
from .._replace import replaced_file
from ..exporting.export import describe_model, draw_samples
from . import _arithmetic as _arithmetic  # these enter their operations into the table
from . import _images as _images
from . import _indexing as _indexing
from . import _layers as _layers
from . import _sequences as _sequences
from ._graph import WRITERS, Graph, Node, Value

if TYPE_CHECKING:
    from .._network import Network
    from ..exporting._lowering import Description

__all__ = ["TOLERANCE", "WrittenOnnx", "make_proto", "run_onnxruntime", "to_onnx"]

#: Largest difference of outputs, relative to the largest number in them, by the dtype of the model. Attributes of ONNX are float32.
TOLERANCE = {"float32": 1e-5, "float64": 1e-7}


def make_proto(description: Description, dtype: str, inputs: list[str], outputs: list[str], name: str) -> Any:
    """A description, with its inputs and outputs under other names, as the `onnx.ModelProto`."""
    graph = Graph(dtype)
    values: list[Value] = []
    given = [Value(name, tuple(shape)) for name, (shape, *_) in zip(inputs, description.inputs)]
    for value, (_, scale, shift) in zip(given, [(*one, None, None)[:3] for one in description.inputs]):
        if scale is not None:
            factor, term = (np.asarray(numbers, np.float64).reshape(value.shape) for numbers in (scale, shift))
            value = Value(graph.add("Add", graph.add("Mul", value.name, factor), term), value.shape)
        values.append(value)
    for op, layer, read, parameters, attributes in description.nodes:
        sources = [values[i] for i in read]
        shapes, parameter_shapes = _core.infer(op, layer, [value.shape for value in sources], dict(attributes))
        every = {**_core.registry("ops")[op], **{key: float(number) for key, number in attributes.items()}}
        weights = [
            (description.parameters[i].name, np.asarray(description.parameters[i].values, np.float64).reshape(shape))
            for i, shape in zip(parameters, parameter_shapes)
        ]
        graph.prefix = layer
        node = Node(op, layer, sources, weights, every, [tuple(shape) for shape in shapes], graph)
        if op not in WRITERS:
            raise NotImplementedError(f"to_onnx: layer {layer!r}: ONNX has no operators for {op}")
        try:
            made = WRITERS[op](node)
        except NotImplementedError as error:
            raise NotImplementedError(f"to_onnx: layer {layer!r}: {error}") from None
        made = [made] if isinstance(made, str) else made
        values += [Value(name, shape) for name, shape in zip(made, node.shapes, strict=True)]
    found = [values[value] for value, *_ in description.outputs]
    named: dict[str, str] = {}
    for value, name_of_output in zip(found, outputs):
        source = graph.add("Identity", value.name) if value.name in named or value.name in inputs else value.name
        named[source] = name_of_output
    graph.finish(named)
    results = [Value(name_of_output, value.shape) for name_of_output, value in zip(outputs, found)]
    return graph.proto(given, results, name, {})


class WrittenOnnx(NamedTuple):
    """What `to_onnx` wrote.

    Attributes
    ----------
    path : pathlib.Path
    opset : int
        The lowest that has all operators in use.
    verified_by : {"onnxruntime", "onnx.reference"} or None
        What computed the outputs that were compared.
    difference : float or None
        The largest one of outputs, relative to the largest number in them.
    """

    path: pathlib.Path
    opset: int
    verified_by: str | None
    difference: float | None


def to_onnx(model: Network, path: str | os.PathLike[str], *, verify: bool = True) -> WrittenOnnx:
    """Write what a model predicts as an ONNX file, for any runtime that reads such.

    Inputs and outputs have the names, shapes and dtype that they have in fastnet, the number of rows is free; images have their
    channels last. The file is written in the lowest opset, 13 or later, and IR version that hold its operators. Needs
    ``fastnet-engine[onnx]``.

    Parameters
    ----------
    model : Model
    path : str or path
        Ends in ``.onnx``.
    verify : bool
        Whether to compute outputs from the file and compare them with `model.predict`: by onnxruntime where it is installed and has
        the operators for the dtype, else by the reference evaluator of onnx. Nothing is written where they differ by more than
        1e-5 of the largest number in them, 1e-7 in float64: the parameters of ONNX's operators are float32.

    Returns
    -------
    WrittenOnnx
        path, opset, verified_by, difference.

    Raises
    ------
    ModuleNotFoundError
        If the package onnx is missing.
    NotImplementedError
        If something of the model cannot be expressed: the layer is named.
    ArithmeticError
        If the outputs of the file differ.
    """
    model._variants.require_fixed("to_onnx")
    target = pathlib.Path(path)
    if target.suffix != ".onnx":
        raise ValueError(f"to_onnx writes ONNX: the path must end with .onnx, got {target.name!r}")
    try:
        import onnx as _onnx  # noqa: F401
    except ModuleNotFoundError:
        raise ModuleNotFoundError("to_onnx needs the package onnx: pip install onnx", name="onnx") from None
    model._require_built()
    description = describe_model(model, False, infinite=True)
    outputs = [f"{name}_output" if name in model.input_names else name for name in model.output_names]
    proto = make_proto(description, model.dtype, model.input_names, outputs, model.name)
    verified_by, difference = _verify(model, proto) if verify else (None, None)
    with replaced_file(target, mode="wb") as file:
        file.write(proto.SerializeToString())
    return WrittenOnnx(target, proto.opset_import[0].version, verified_by, difference)


def _evaluate(proto: Any, inputs: Sequence[np.ndarray]) -> tuple[str, list[np.ndarray]]:
    """The outputs for inputs, in their order, and what computed them."""
    given = {value.name: array for value, array in zip(proto.graph.input, inputs)}
    if importlib.util.find_spec("onnxruntime") is not None:
        found = run_onnxruntime(proto, given)
        if found is not None:
            return "onnxruntime", found
    from onnx.reference import ReferenceEvaluator

    return "onnx.reference", [np.asarray(array) for array in ReferenceEvaluator(proto).run(None, given)]


def run_onnxruntime(proto: Any, given: dict[str, np.ndarray]) -> list[np.ndarray] | None:
    """The outputs; None where it lacks the operators for float64, of which it has few."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # it prints to the terminal what it raises
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return list(session.run(None, given))
    except Exception:  # they have no base in common
        if all(array.dtype == np.float32 for array in given.values()):
            raise
        return None


def _verify(model: Network, proto: Any) -> tuple[str | None, float | None]:
    samples = draw_samples(model)
    if not samples:  # its outputs are finite for none of those tried
        return None, None
    inputs, expected = samples[0]
    name, found = _evaluate(proto, inputs)
    largest = 0.0
    for output, a, b in zip(model.output_names, found, expected, strict=True):
        if a.shape != b.shape:
            raise ArithmeticError(f"to_onnx: output {output!r} has shape {a.shape} by {name}, of the model {b.shape}")
        size = max(float(np.abs(b).max(initial=0.0)), 1e-30)
        difference = float(np.abs(a.astype(np.float64) - b).max(initial=0.0)) / size
        if not difference <= TOLERANCE[model.dtype]:
            raise ArithmeticError(
                f"to_onnx: output {output!r} differs by {difference:.3g} of its largest number by {name}; no file was written"
            )
        largest = max(largest, difference)
    return name, largest
