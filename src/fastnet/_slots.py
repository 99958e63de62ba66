"""The arrays that an optimizer keeps of a model's weights, averages of these among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._weights import aligned_zeros

if TYPE_CHECKING:
    from ._network import Network
    from ._weights import Slab, Weight
    from .optimizers import Optimizer

__all__ = ["CopiedAverages", "Slots"]


class Slots:
    """The optimizer's arrays of one model, each as large as the slab of the weights.

    A slot that starts from the weights (a moving average, the mean, the slow weights of Lookahead) belongs to a weight from the
    first step that trains it on, until the weight is set to something else: then it begins anew, with what was set.
    Predictions read it as long as it belongs to the weight; that the weight is frozen does not change it.
    """

    def __init__(self, model: Network) -> None:
        self._model = model
        self._slab: Slab | None = None
        self._arrays: dict[str, np.ndarray] = {}
        #: The weights whose averages go on, and how often each had been set when they began.
        self._followed: dict[Weight, int] = {}
        self._version = -1  # of what `follow` has seen
        #: Of an update: the `TrainStep`.
        self.step: Any = None

    def clear(self) -> None:
        """Forgets all: there is another optimizer."""
        self._slab, self._arrays, self._followed, self._version = None, {}, {}, -1

    def arrays(self) -> list[np.ndarray]:
        """The arrays, in the order of the optimizer's `slots`."""
        model = self._model
        slots = model._require_compiled().optimizer.slots()
        slab = model._slab
        if self._slab is slab and len(self._arrays) == len(slots):
            return list(self._arrays.values())
        arrays = {}
        for name, start in slots:
            array = arrays[name] = aligned_zeros(slab.size, slab.dtype)
            array[...] = slab.values if np.isnan(start) else start
            if self._slab is not None and name in self._arrays:  # the weights have moved to another slab
                for weight, offset in self._slab.offsets.items():
                    if weight in slab.offsets:
                        to = slab.offsets[weight]
                        array[to : to + weight.size] = self._arrays[name][offset : offset + weight.size]
        slab.averaged = slab.averaged or any(np.isnan(start) for _, start in slots)
        self._slab, self._arrays = slab, arrays
        return list(arrays.values())

    # ---- averages ---------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Before a step: begins the arrays that start from the weights anew for those that were set since the last one."""
        slab = self._model._slab
        if not slab.averaged:
            return
        slab.note_writes()
        slab.stop_watching()
        if _core.version() == self._version and self._slab is slab:
            return
        optimizer = self._model._require_compiled().optimizer
        arrays = self.arrays()
        begun = False
        for weight in self._model.trainable_weights:
            if self._followed.get(weight) != weight.changes:
                self._begin(weight, optimizer, arrays)
                begun = begun or self in slab.of_steps
        self._end_others()
        if begun:  # models that were not compiled with this optimizer predict by other numbers from now on
            _core.note_change()
        self._version = _core.version()

    def _end_others(self) -> None:
        """Ends averages of the weights that are trained now: those of the steps of a `TrainStep`, or where this is one, of models."""
        slab = self._model._slab
        others = [slots for slots in slab.of_steps if slots is not self and (self.step is None or slots.step is not self.step)]
        if self.step is not None:
            others += [model._plans.slots for model in slab.models if model is not self.step]
        for weight in self._model.trainable_weights:
            for slots in others:
                if slots._followed.pop(weight, None) is not None:
                    _core.note_change()

    def _begin(self, weight: Weight, optimizer: Optimizer, arrays: list[np.ndarray]) -> None:
        part = slice(weight.offset, weight.offset + weight.size)
        for (name, start), array in zip(optimizer.slots(), arrays):
            if np.isnan(start):
                array[part] = weight.array.reshape(-1)
            elif name in optimizer.difference_slots:
                array[part] = 0
        self._followed[weight] = weight.changes

    def averages(self) -> Mapping[Weight, np.ndarray]:
        """The weights that are evaluated with other numbers than the trained ones: with these, views of a slot.

        Among them are those of which the updates of a `TrainStep` keep averages.
        """
        found, steps = dict(self._own_averages()), self._model._slab.of_steps
        if steps:
            weights = set(self._model.weights)
            for slots in reversed(steps):  # the last one that was compiled first
                for weight, average in slots._own_averages().items():
                    if weight in weights:
                        found.setdefault(weight, average)
        return found

    def _own_averages(self) -> Mapping[Weight, np.ndarray]:
        """Those of its own optimizer."""
        model = self._model
        number = model._compiled.optimizer.averaged_slot() if model._compiled is not None else None
        if number is None:
            return {}
        self._model._slab.note_writes()
        average = self.arrays()[number]
        return {
            weight: weight.view_of(average)
            for weight, changes in self._followed.items()
            if weight.changes == changes and weight.slab is self._slab
        }

    def set_averages(self, values: Mapping[Weight, np.ndarray]) -> None:
        """Makes these the averages that predictions use, where the optimizer has any by now; the weights stay as they are."""
        optimizer = self._model._require_compiled().optimizer
        number = optimizer.averaged_slot()
        if number is None:
            return
        arrays = self.arrays()
        with self._model._slab.gate.writing():
            for weight, value in values.items():
                if weight.trainable:
                    self._begin(weight, optimizer, arrays)
                    weight.view_of(arrays[number])[...] = value

    def of_others(self) -> dict[Weight, np.ndarray]:
        """Those averages that are in none of its own arrays, but in those of the updates of a `TrainStep`."""
        own = self._own_averages()
        return {weight: average for weight, average in self.averages().items() if weight not in own}

    # ---- what checkpoints and trials put back ---------------------------------------------------------------

    @property
    def followed(self) -> list[Weight]:
        """The weights whose averages go on."""
        self._model._slab.note_writes()
        return [weight for weight, changes in self._followed.items() if weight.changes == changes]

    @followed.setter
    def followed(self, weights: Iterable[Weight]) -> None:
        self._followed = {weight: weight.changes for weight in weights}
        self._version = -1

    def keep(self) -> Callable[[], None]:
        """A function that puts the arrays back as they are now, for weights that are put back too."""
        kept, followed = [(array, array.copy()) for array in self.arrays()], self.followed

        def restore() -> None:
            with self._model._slab.gate.writing():
                for array, values in kept:
                    array[...] = values
                self.followed = followed

        return restore


class CopiedAverages:
    """Averages of the weights of a copied model, whose `TrainStep` is not there: predictions use them until the weights are set or trained.

    Parameters
    ----------
    values : mapping of Weight to numpy.ndarray
    """

    step: Any = None

    def __init__(self, values: Mapping[Weight, np.ndarray]) -> None:
        self._values: dict[Weight, np.ndarray] = {}
        for weight, value in values.items():
            array = self._values[weight] = aligned_zeros(weight.size, value.dtype)[: weight.size].reshape(weight.shape)
            array[...] = value
        self._followed = {weight: weight.changes for weight in values}

    def join(self, slab: Slab) -> None:
        """Makes them those of the models whose weights lie there."""
        slab.averaged = True
        slab.watch()
        slab.of_steps[self] = None
        _core.note_change()

    def _own_averages(self) -> Mapping[Weight, np.ndarray]:
        for slab in dict.fromkeys(weight.slab for weight in self._followed if weight.slab is not None):
            slab.note_writes()
        return {weight: self._values[weight] for weight, changes in self._followed.items() if weight.changes == changes}
