"""What a model consists of, for the modules that work on one and need not know how it is driven."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._columns import Columns
    from ._compiled import Compiled
    from ._core import Plan
    from ._graph import Graph, Operation, SymbolicTensor
    from ._labels import Labels
    from ._weights import Slab, Weight
    from .layers.base import Layer

__all__ = ["Network"]


class Network:
    """The structure and the numbers of a model: what plans, slots and snapshots are made of. `Model` has all of it.

    Attributes
    ----------
    input_names, output_names : list of str
    weights, trainable_weights : list of Weight
    seed : int
    dtype : {"float32", "float64"}
    name : str
    """

    input_names: list[str]
    output_names: list[str]
    weights: list[Weight]
    trainable_weights: list[Weight]
    seed: int
    dtype: str
    name: str
    layers: list[Layer]
    count_params: Callable[[], int]
    _columns: Columns
    _variants: Any  # OpenShapes
    #: The same computation for inputs of other sizes, where these are open.
    _graph_for: Callable[[Any], Graph]
    _graph: Graph
    _labels: dict[int, list[Labels]]
    _slab: Slab
    _compiled: Compiled | None
    _require_compiled: Callable[[], Compiled]
    _require_built: Callable[[], None]
    #: The outputs in a dictionary, where the model was given one.
    _input_keys: tuple[str, ...] | None = None
    _output_keys: tuple[str, ...] | None = None
    _arranged: Callable[[Any], Any] = staticmethod(lambda outputs: outputs)
    _paths: Callable[[], dict[Weight, str]]
    _callback_list: Callable[..., Any]
    _latest_plan: Callable[[], Plan | None]
    #: A model of the same layers, with other outputs and, if need be, more inputs.
    _with_outputs: Callable[..., Any]
    #: The weights that its optimizer may change; None: all that are trainable.
    _trained: frozenset[Weight] | None = None
    #: Whether penalties of weights count.
    _penalized: bool = True
    #: Least numbers of operations' nodes, as random numbers are functions of them: what several networks compute has the same in all.
    #: Empty: nodes are counted through.
    _places: Mapping[Operation, int] = MappingProxyType({})
    #: How many batches were predicted and evaluated: random numbers that these draw are a function of it.
    _batches_predicted: int = 0
    #: Whether it knows no targets: all that data hold are inputs.
    _only_inputs: bool = False
    #: Operations that hand on their input and do not add to the loss here.
    _silent: frozenset[Operation] = frozenset()

    #: Whether its class has a step of its own, by name; see `OwnSteps`.
    _overrides: Callable[[str], bool]
    _load_steps: Callable[[], Any]

    @property
    def _shown(self) -> Any:
        """What callbacks are told that is trained."""
        return self

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """What `fastnet.Input` returned."""
        return self._graph.inputs

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """What is computed."""
        return self._graph.outputs

    def _values_of(self, tensor: Any) -> Any:
        """A model that computes a value within this one."""
        models = self._graph.models
        if id(tensor) not in models:
            models[id(tensor)] = self._with_outputs([tensor])
        return models[id(tensor)]
