"""The arguments of `fit`: which there are, and which values they may have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _data
from ._booleans import check_booleans
from ._custom_losses import rows_of
from ._model_data import INFERENCE_ROWS, inputs_of, positive, rows_at_once, targets_of, weights_of
from .data.dataset import is_table, unpack
from .data.sources import is_stream

if TYPE_CHECKING:
    from ._network import Network

__all__ = ["Arrays", "FitOptions"]

#: Inputs, targets and weights.
Arrays = tuple[list[np.ndarray], list[np.ndarray], list[Any]]


class FitOptions(NamedTuple):
    """The arguments of `Model.fit` in their order: as they were given, and after `checked` and `checked_for` as they are used.

    A tuple, since each call of `fit` makes some: a frozen dataclass takes ten times as long.
    """

    x: Any
    y: Any = None
    batch_size: int | None = None
    epochs: int = 1
    verbose: str | int = 0
    callbacks: Any = None
    validation_split: float = 0.0
    validation_data: Any = None
    shuffle: bool = True
    class_weight: Mapping[int, float] | str | None = None
    sample_weight: Any = None
    initial_epoch: int = 0
    steps_per_epoch: int | None = None
    validation_steps: int | None = None
    validation_batch_size: int | None = None
    validation_freq: Any = 1
    check_finite: bool = True
    mixup: float = 0.0
    cutmix: float = 0.0
    resume_from: Any = None

    def unpacked(self, columns: Any = None) -> FitOptions:
        """These with arrays, or what gives batches, in place of data sets, tables and files.

        Parameters
        ----------
        columns : list or dictionary of str, optional
            The inputs that the model knows by the names of columns, or may find by the names of its inputs.

        Raises
        ------
        ValueError
            Where targets or a batch size are given with what has its own.
        """
        x, y, weight, rows = unpack(self.x, self.y, self.sample_weight, self.batch_size, columns=columns)
        held, held_rows = self.validation_data, self.validation_batch_size
        pair = isinstance(held, (tuple, list)) and len(held) in (2, 3) and not is_table(held)
        given = (*held, None)[:3] if pair else (held, None, None)
        *arrays, own_rows = unpack(*given, None, held_rows or INFERENCE_ROWS, columns or getattr(x, "columns", None))
        if is_stream(arrays[0]):
            held = arrays[0]
        elif pair or own_rows is not None:
            held, held_rows = tuple(arrays), held_rows or own_rows
        return self._replace(
            x=x, y=y, sample_weight=weight, batch_size=rows, validation_data=held, validation_batch_size=held_rows
        )

    def checked(self, network: Network) -> FitOptions:
        """These with the numbers that they stand for; what depends on the data is for `checked_for`.

        Raises
        ------
        TypeError, ValueError
            Where a number is not one that it may be.
        """
        check_booleans("fit", shuffle=self.shuffle, check_finite=self.check_finite)
        batch_size = rows_at_once(network, self.batch_size, 32)
        epochs, initial = positive("epochs", self.epochs), self.initial_epoch
        if not isinstance(initial, (int, np.integer)) or not 0 <= initial <= epochs:
            raise ValueError(f"initial_epoch must be an integer between 0 and epochs={epochs}, got {initial!r}")
        frequency, validation_rows = self.validation_freq, self.validation_batch_size
        if isinstance(frequency, Collection) and not isinstance(frequency, str):
            frequency = sorted(positive("validation_freq", number) for number in frequency)
        else:
            frequency = positive("validation_freq", frequency)
        if validation_rows is not None:
            validation_rows = rows_at_once(network, validation_rows, INFERENCE_ROWS, "validation_batch_size")
        for name, steps in (("steps_per_epoch", self.steps_per_epoch), ("validation_steps", self.validation_steps)):
            if steps is not None:
                positive(name, steps)
        return self._replace(
            batch_size=batch_size,
            epochs=epochs,
            initial_epoch=int(initial),
            validation_freq=frequency,
            validation_batch_size=validation_rows,
        )

    @property
    def class_weight_in_training(self) -> Any:
        """The weights by class; those that balance the classes do so for the rows that are trained with."""
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            return _data.Balanced(self.validation_split if self.validation_data is None else 0.0)
        return self.class_weight

    def checked_for(self, network: Network, n_rows: int) -> FitOptions:
        """These for so many rows to train with, and for a network whose shapes are known; ValueError where they do not fit."""
        optimizer = network._require_compiled().optimizer
        if self.steps_per_epoch is not None and optimizer.full_batch:
            raise ValueError(f"steps_per_epoch goes with optimizers that take batches; {type(optimizer).__name__} takes all rows")
        for name in ("mixup", "cutmix"):
            _check_mixing(network, name, getattr(self, name))
        if self.cutmix and not any(len(tensor.shape) == 4 for tensor in network.inputs):
            shapes = [tensor.shape for tensor in network.inputs]
            raise ValueError(f"cutmix needs images (batch, height, width, channels), got inputs of shape {shapes}")
        return self._replace(batch_size=min(self.batch_size, n_rows), mixup=float(self.mixup), cutmix=float(self.cutmix))

    def validation(self, network: Network, arrays: Arrays) -> tuple[Arrays, Any]:
        """The rows to train with, of these, and those to validate with, which may be a `Feed`.

        Raises
        ------
        TypeError, ValueError
            Where the data for validation do not fit the network.
        """
        given = self.validation_data
        if is_stream(given):
            from ._streams import begin, converter, evaluates_pairs

            feed = self.validation_feed(network, converter(network, check_finite=self.check_finite))
            begin(network, feed, lambda: evaluates_pairs(network))
            return arrays, feed
        if given is not None:
            if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
                raise ValueError("validation_data must be (x, y) or (x, y, sample_weight)")
            inputs = inputs_of(network, given[0], self.check_finite)
            targets = targets_of(network, given[1], len(inputs[0]), self.check_finite)
            weight = given[2] if len(given) == 3 else None
            return arrays, self.first_steps((inputs, targets, weights_of(network, weight, None, targets, len(inputs[0]))))
        if not self.validation_split:
            return arrays, None
        inputs, targets, weights = arrays
        k, m = len(inputs), len(targets)
        sample_weights = weights_of(network, self.sample_weight, None, targets, len(inputs[0]))  # class_weight is for training
        kept, held = _data.split_validation([*inputs, *targets, *weights, *sample_weights], self.validation_split)
        held_out = held[:k], held[k : k + m], held[k + 2 * m :]
        return (kept[:k], kept[k : k + m], kept[k + m : k + 2 * m]), self.first_steps(held_out)

    def validation_feed(self, network: Network, convert: Any) -> Any:
        """The batches to validate with, of which none has been read yet; ValueError where there may be no end of them."""
        from ._streams import make_feed

        frequency = self.validation_freq
        if isinstance(frequency, int):
            times = self.epochs // frequency - self.initial_epoch // frequency
        else:
            times = sum(self.initial_epoch < number <= self.epochs for number in frequency)
        return make_feed(network, self.validation_data, convert, "validation_steps", self.validation_steps, times)

    def first_steps(self, held: Arrays) -> Arrays:
        """The rows to validate with of those that are held out: all, or those of `validation_steps`."""
        if self.validation_steps is None:
            return held
        rows = slice(self.validation_steps * (self.validation_batch_size or self.batch_size or 1))
        inputs, targets, weights = (rows_of(arrays, rows) for arrays in held)
        return inputs, targets, weights


def _check_mixing(network: Network, name: str, alpha: Any) -> None:
    """ValueError where this is no alpha, or there is something that cannot be mixed."""
    compiled = network._require_compiled()
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 <= alpha <= 4:
        raise ValueError(f"{name} must be a number from 0 to 4, got {alpha!r}")
    if alpha and (compiled.functions or compiled.optimizer.full_batch):
        raise ValueError(f"{name} works with the losses of fastnet.losses and optimizers that take batches")
    if alpha and network._labels:
        reader = next(iter(network._labels.values()))[0].layer
        raise ValueError(f"{name} needs inputs that can be mixed: layer {reader!r} takes whole numbers")
    if alpha and any(loss is not None and (loss.labels or loss.identities) for loss in compiled.losses):
        raise ValueError(f"{name} needs targets that can be mixed: use one-hot rows and CategoricalCrossentropy")
