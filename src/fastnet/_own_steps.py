"""Methods of a class of models that say what a step is: `train_step`, `test_step`, and what they call."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ._graph import FUNCTIONS, SymbolicTensor
from ._row_sums import Total
from ._step_context import STEP, unpack_x_y_sample_weight
from .metrics import Mean, Metric

if TYPE_CHECKING:
    from ._compiled import Compiled

__all__ = ["OwnSteps"]


#: The number of rows of a batch.
_ROWS = Total([(None, 1.0, False)])


class OwnSteps:
    """The part of a model that classes of the user's override with steps of their own."""

    # What `Model` has.
    _compiled: Compiled | None
    outputs: list[SymbolicTensor]
    output_names: list[str]
    trainable_weights: Any
    losses: list[Any]
    optimizer: Any
    sublayers: Callable[[], Sequence[Any]]
    _require_compiled: Callable[[], Compiled]
    __call__: Callable[..., Any]

    #: The loss that compile was given.
    _told_loss: Any = None

    @staticmethod
    def _load_steps() -> Any:
        """Imports the module that traces steps, which are models, when one is needed."""
        return importlib.import_module("._overridden_steps", __package__)

    def __init__(self) -> None:
        super().__init__()
        self._loss_tracker = Mean(name="loss")
        self._forget_steps()
        #: The arrays of optimizers of steps, by optimizer.
        self._step_slots: dict[Any, Any] = {}

    def _forget_steps(self) -> None:
        self._traced_steps: dict[Any, Any] = {}

    @classmethod
    def _overrides(cls, name: str) -> bool:
        """Whether a class of the user's has a method of a step of its own; one with a train_step and a loss of its own evaluates by test_step, too."""
        if name == "test_step" and cls._overrides("train_step") and cls.compute_loss is not OwnSteps.compute_loss:
            return True
        return getattr(cls, name) is not getattr(OwnSteps, name)

    def train_step(self, data: Any) -> dict[str, Any]:
        """What `fit` does with a batch, where a subclass has a method of this name.

        It is called once, with symbolic tensors. What it tells optimizers, by `fastnet.GradientTape` or as with PyTorch, and metrics, becomes the
        plans of the updates, so that epochs run in the engine. See docs/mathematics.md. By itself, as of ``super().train_step(data)``: the loss and the
        metrics of compile, and an update of all weights that are trained.

        Parameters
        ----------
        data : tuple of SymbolicTensor
            x, (x, y) or (x, y, sample_weight), as `fit` was given them.

        Returns
        -------
        dict of str to results of metrics, or means or sums over the batch
            What is logged. As in Keras, a metric is of all batches of the epoch, a mean or sum that of the last one.

        Raises
        ------
        TypeError, ValueError, NotImplementedError
            By `fit` and `train_on_batch`, where it does what is not known before the numbers are.
        """
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=True)
        loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)
        weights = list(self.trainable_weights)
        self.optimizer.apply(self._current_trace("train_step").differentiate(loss, weights, None, (-1, None)), weights)
        self._loss_tracker.update_state(loss, sample_weight=_ROWS)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """What `evaluate` does with a batch, where a subclass has a method of this name; as `train_step`, without updates."""
        self._current_trace("test_step")
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)
        self._loss_tracker.update_state(loss, sample_weight=_ROWS)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def _current_trace(self, what: str) -> Any:
        trace = STEP.get()
        if trace is None:
            raise RuntimeError(f"{what} is called by fit, train_on_batch and evaluate, which trace it: it takes no arrays")
        return trace

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The loss, where a subclass has a method of this name: it is traced once, for targets of each shape, in place of that of compile.

        It returns a number for each row, written in `fastnet.ops`; ``super().compute_loss(...)`` is what compile was told, where that is a
        function or class in `fastnet.ops`. What layers add to the loss, and weights of rows, count besides.

        Parameters
        ----------
        x, y, y_pred : SymbolicTensor
            The inputs, as `call` has them; the targets; the output.
        sample_weight : None
            The engine weights the numbers of the rows.
        training : bool
            True.

        Raises
        ------
        TypeError
            If the loss of compile is none that computes with symbolic tensors.
        """
        if STEP.get() is not None:
            return self._loss_in_step(y, y_pred, sample_weight)
        loss = self._told_loss
        run = getattr(loss, "call", loss)
        if loss is None or isinstance(loss, str) or not callable(run) or hasattr(loss, "kernel"):
            raise TypeError(
                f"{type(self).__name__}.compute_loss: super().compute_loss needs a loss written in fastnet.ops in compile, got {loss!r}: "
                "write it out, as fn.ops.mean((y - y_pred) ** 2, axis=-1)"
            )
        return run(y, y_pred)

    def zero_grad(self) -> None:
        """In `train_step`, as with PyTorch: the losses whose `backward` has been called before are in the gradients of its weights no more."""
        self._current_trace("zero_grad").zero_gradients(self.trainable_weights)

    @property
    def metrics(self) -> list[Metric]:
        """The metrics that a step updates, and that begin anew with an epoch: that of the loss, those that are attributes, those of compile.

        Metrics of compile are known once the model is built. `fit` keeps their sums in the engine, where the class has no `train_step`.
        """
        found: list[Metric] = [self._loss_tracker] if self._compiled is not None else []
        for value in vars(self).values():
            parts = value if isinstance(value, (list, tuple)) else list(value.values()) if isinstance(value, dict) else [value]
            found += [one for one in parts if isinstance(one, Metric)]
        if self._compiled is not None and self._compiled.given[1] and self.outputs:
            found += [metric for group in self._require_compiled().metrics for metric in group]
        return list(dict.fromkeys(found))

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """In a step: updates the metrics of compile, and returns the results of all metrics by name."""
        self._current_trace("compute_metrics")
        self._update_compiled(y, y_pred)
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict[str, Any]:
        """The results of all metrics by name."""
        return {metric.name: metric.result() for metric in self.metrics}

    def reset_metrics(self) -> None:
        """Begins all metrics anew."""
        for metric in self.metrics:
            metric.reset_state()

    def _update_compiled(self, y: Any, y_pred: Any) -> None:
        if self._compiled is None or not self._compiled.given[1]:
            return
        targets, outputs = (_listed(one, self.output_names) for one in (y, y_pred))
        for group, target, output in zip(self._require_compiled().metrics, targets, outputs):
            for metric in group:
                metric.update_state(target, output)

    def _loss_in_step(self, y: Any, y_pred: Any, sample_weight: Any) -> Total:
        """The loss of compile in a step that is traced, with what layers and weights add to it."""
        compiled = self._require_compiled()
        targets, outputs = (_listed(one, self.output_names) for one in (y, y_pred))
        weights = _listed(sample_weight, self.output_names)
        weights = weights * len(outputs) if len(weights) == 1 else weights
        total: Any = None
        for loss, factor, target, output, weight in zip(compiled.losses, compiled.loss_weights, targets, outputs, weights):
            if loss is None:
                continue
            value = loss(target, output) if weight is None or not hasattr(loss, "call") else loss(target, output, weight)
            if isinstance(value, SymbolicTensor):
                value = FUNCTIONS["mean"](value if weight is None or hasattr(loss, "call") else value * weight)
            value = value * factor if factor != 1 else value
            total = value if total is None else total + value
        for added in self.losses:
            total = added if total is None else total + added
        if total is None:
            raise ValueError("compute_loss: compile was told no loss, and layers add none")
        return total


def _listed(given: Any, names: Sequence[str]) -> list[Any]:
    """What there is for each output."""
    if isinstance(given, dict):
        return [given.get(name) for name in names]
    return list(given) if isinstance(given, (list, tuple)) else [given]
