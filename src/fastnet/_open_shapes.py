"""Models whose inputs leave sizes open, as ``Input((None,))`` does: one graph for each size that comes, all with the same weights.

A graph, its plans and what compile was told for its outputs are one variant of the model. Whoever comes with data of other sizes switches
to another variant, of which the latest are kept. The optimizer and its arrays are those of all variants.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ._compiled import Compiled
from ._graph import Graph, SymbolicTensor
from ._plan_cache import PlanCache
from .data.reader import is_reading

if TYPE_CHECKING:
    from ._network import Network

__all__ = ["OpenShapes", "in_turn"]

#: Variants that are kept.
_KEPT = 8

_Function = TypeVar("_Function", bound=Callable[..., Any])


def in_turn(function: _Function) -> _Function:
    """A method during which no other thread switches a model with open sizes to another variant."""
    import functools

    @functools.wraps(function)
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        if not self._variants.open:
            return function(self, *arguments, **options)
        if is_reading():  # for a call that waits for what this thread reads
            if not self._variants.lock.acquire(blocking=False):
                raise RuntimeError(
                    f"{function.__name__} of model {self.name!r} was called where its data are read, while it is used: a model with open "
                    "sizes is used by one thread at a time"
                )
            self._variants.lock.release()
        with self._variants.lock:
            return function(self, *arguments, **options)

    return call  # type: ignore[return-value]


class OpenShapes:
    """The variants of a model.

    Attributes
    ----------
    open : bool
        Whether its inputs leave a size open.
    lock : RLock
        Who computes with a variant has it.
    """

    def __init__(self) -> None:
        self.open = False
        self.lock = threading.RLock()
        self._known: dict[Any, tuple[Graph, PlanCache, Compiled | None]] = {}

    def begin(self, inputs: Sequence[SymbolicTensor]) -> None:
        """The model has another graph, whose plan has these inputs."""
        self.open = any(tensor.open for tensor in inputs)
        self._known.clear()

    def clear(self) -> None:
        """Forgets all but the present one: compile was told something else."""
        self._known.clear()

    def require_fixed(self, what: str) -> None:
        """ValueError for a model that leaves sizes open, where that cannot be."""
        if self.open:
            raise ValueError(
                f"{what} needs inputs of fixed sizes, and a size is None: make the model again with fn.Input of that size"
            )

    def switch(self, network: Network, arrays: Sequence[np.ndarray]) -> None:
        """Makes the variant for arrays of these sizes that of the model."""
        if not self.open:
            return
        shapes, known = tuple(array.shape[1:] for array in arrays), tuple(tensor.sample_shape for tensor in network._graph.feeds)
        if shapes == known:
            return
        self._known[known] = (network._graph, network._plans, network._compiled)
        graph, plans, compiled = self._known.pop(shapes, (None, None, None))
        if graph is None or plans is None:
            graph, plans = network._graph_for(shapes), PlanCache(network)
            plans.slots = network._plans.slots
        now = network._compiled
        if now is not None and (compiled is None or compiled.optimizer is not now.optimizer or compiled.given is not now.given):
            compiled = now.renewed()
        network._graph, network._plans, network._compiled, network._forward = graph, plans, compiled, None
        for key in list(self._known)[:-_KEPT]:
            del self._known[key]
