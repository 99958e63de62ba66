"""What a model consists of, for the modules that work on one and need not know how it is driven."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._compiled import Compiled
    from ._core import Plan
    from ._graph import Graph, SymbolicTensor
    from ._weights import Slab, Weight
    from .layers.base import Layer

__all__ = ["Network"]


class Network:
    """The structure and the numbers of a model: what plans, slots and snapshots are made of. `Model` has all of it.

    Attributes
    ----------
    inputs, outputs : list of SymbolicTensor
    input_names, output_names : list of str
    weights, trainable_weights : list of Weight
    seed : int
    dtype : {"float32", "float64"}
    name : str
    """

    inputs: list[SymbolicTensor]
    outputs: list[SymbolicTensor]
    input_names: list[str]
    output_names: list[str]
    weights: list[Weight]
    trainable_weights: list[Weight]
    seed: int
    dtype: str
    name: str
    layers: list[Layer]
    count_params: Callable[[], int]
    _graph: Graph
    _labels: dict[int, tuple[str, int]]
    _slab: Slab
    _compiled: Compiled | None
    _require_compiled: Callable[[], Compiled]
    _require_built: Callable[[], None]
    _paths: Callable[[], dict[Weight, str]]
    _latest_plan: Callable[[], Plan | None]
    #: A model of the same layers, with other outputs and, if need be, more inputs.
    _with_outputs: Callable[..., Any]
