"""`from_onnx`: a file of ONNX as a model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..layers import Input
from ..model import Model as _Model
from . import _read_functions as _read_functions  # these enter their operators into the table
from . import _read_layers as _read_layers
from . import _read_shapes as _read_shapes
from ._reader import NotExpressible, Reader, Tensor, in_each_row

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["from_onnx"]


def from_onnx(source: str | os.PathLike[str] | Any, *, outputs: Sequence[str] | None = None, dtype: str = "float32") -> Model:
    """A graph of ONNX as a model: from PyTorch, Keras, scikit-learn (by skl2onnx) and others, or from `to_onnx`.

    The first axis of inputs is the batch. Inputs and outputs are shaped as in the file, so images have their channels first where it
    has them so. Kernels, biases, tables and the like become weights of layers, which can be trained on; other constants stay as they
    are. Needs ``fastnet-engine[onnx]``.

    Parameters
    ----------
    source : path or onnx.ModelProto
    outputs : sequence of str, optional
        Which outputs of the graph, or values within it, are those of the model. Default: the outputs of the graph. What these do not
        need is not read.
    dtype : {"float32", "float64"}
        In which the model computes.

    Returns
    -------
    Model
        Not compiled.

    Raises
    ------
    ModuleNotFoundError
        If the package onnx is missing.
    NotImplementedError
        If fastnet has not what the graph asks for: the node is named.
    ValueError
        If the file is none of ONNX or damaged, an output is not in it, or an input has a size that is not known.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ModuleNotFoundError:
        raise ModuleNotFoundError("from_onnx needs the package onnx: pip install onnx", name="onnx") from None
    proto = _load(onnx, source)
    opsets = {one.domain or "ai.onnx": one.version for one in proto.opset_import}
    graph = proto.graph
    ends = [value.name for value in graph.output] if outputs is None else list(outputs)
    reader = Reader(ends)
    for tensor in graph.initializer:
        reader.values[tensor.name] = numpy_helper.to_array(tensor)
    inputs = []
    for value in graph.input:
        if value.name not in reader.values:
            reader.rows, shape = _shape(value)
            tensor = Input(shape, name=reader.unique(value.name))
            inputs.append(tensor)
            reader.values[value.name] = Tensor.of(tensor)
    nodes = _needed(graph.node, ends)
    known = {*reader.values, *(name for node in nodes for name in node.output)}
    for name in ends:
        if name not in known:
            raise ValueError(f"from_onnx: there is no value {name!r}; the outputs are {[value.name for value in graph.output]}")
    for node in nodes:
        for name in node.input:
            reader.uses.setdefault(name, []).append(node)
    for node in nodes:
        reader.read(node, opsets.get("ai.onnx", 1), opsets.get("ai.onnx.ml", 1))
    found = []
    for name in ends:
        value = reader.values[name]
        if isinstance(value, np.ndarray) and value.ndim and len(value) == 1:
            value = Tensor.of(in_each_row(value, inputs[0]))
        if not isinstance(value, Tensor):
            what = "is not computed" if value is None else f"is a constant of shape {np.shape(value)}"
            raise NotImplementedError(f"from_onnx: output {name!r} {what}")
        try:
            found.append(value.plain())
        except NotExpressible as error:
            raise NotImplementedError(f"from_onnx: output {name!r}: {error}") from None
    model = _Model(inputs if len(inputs) > 1 else inputs[0], found if len(found) > 1 else found[0], dtype=dtype)
    for layer, arrays in reader.weights:
        if arrays:
            layer.set_weights(arrays)
    return model


def _load(onnx: Any, source: Any) -> Any:
    """The checked model."""
    if isinstance(source, onnx.ModelProto):
        proto = source
    else:
        try:
            proto = onnx.load(os.fspath(source))
        except FileNotFoundError:
            raise
        except Exception as error:  # of protobuf, which has no class of its own for all
            raise ValueError(f"from_onnx: {os.fspath(source)!r} is no file of ONNX: {error}") from None
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        raise ValueError(f"from_onnx: not a valid model of ONNX: {error}") from None
    return proto


def _shape(value: Any) -> tuple[int | None, tuple[int, ...]]:
    """The number of rows, None where it is free, and the shape of a sample."""
    sizes = [one.dim_value if one.HasField("dim_value") else one.dim_param for one in value.type.tensor_type.shape.dim]
    if not sizes or any(not isinstance(size, int) or size < 1 for size in sizes[1:]):
        raise ValueError(f"from_onnx: input {value.name!r} has shape {sizes}: all sizes but the first must be known")
    return sizes[0] if isinstance(sizes[0], int) else None, tuple(sizes[1:])


def _needed(nodes: Sequence[Any], ends: Sequence[str]) -> list[Any]:
    """The nodes that values depend on, in their order."""
    needed, kept = set(ends), []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    return kept[::-1]
