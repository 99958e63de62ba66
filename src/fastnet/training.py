"""compile, fit, evaluate, predict: what a model does with data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core, _data
from . import optimizers as _optimizers
from ._compiled import Compiled
from ._plan_cache import PlanCache
from ._progress import Progress, make_progress
from .custom import CustomLoop
from .fitting import SLICE_SECONDS, TRAIN, Fit
from .history import History

if TYPE_CHECKING:
    from ._graph import Weight
    from ._snapshots import Snapshot
    from .profiling import Profile

__all__ = ["Trainer"]

_EVALUATE = _core.FORWARD | _core.LOSS
_PREDICT = _core.FORWARD | _core.FETCH

#: Rows that predict and evaluate give to the engine at once, unless told otherwise.
_INFERENCE_ROWS = 256


class Trainer(CustomLoop):
    """The part of a model that trains, evaluates and predicts."""

    def __init__(self) -> None:
        super().__init__()
        self.history: History | None = None
        self.stop_training = False
        self._compiled: Compiled | None = None
        self._plans = PlanCache(self)
        self._epochs_begun = 0

    # ---- compile --------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        *,
        n_threads: int | None = None,
    ) -> None:
        """Says how the model is to be trained.

        Parameters
        ----------
        optimizer : str or Optimizer
        loss : str, Loss, callable, or a list or dictionary of them
            One for each output, in order or by name; None for an output that has none. A callable takes ``(y_true, y_pred)``, arrays
            of the rows of a batch, and returns ``(value, gradient)``: the loss and its derivative by ``y_pred``.
        loss_weights : list or dictionary of float, optional
            Weight of each output's loss in the total.
        metrics : list, or a list or dictionary of lists, optional
            Names or objects of `fastnet.metrics`. "accuracy" is the accuracy that fits the loss. Where there are several outputs,
            a list has one entry for each of them, in order: a metric, a list of metrics, or None.
        n_threads : int, optional
            Default: whichever of one thread and all of them the first steps show to be faster. More than the
            processors that the process may use count as that many. Results do not depend on it.

        Raises
        ------
        ValueError
            For unknown names, with the nearest known one.
        """
        if n_threads is not None:
            n_threads = _positive("n_threads", n_threads)
            if n_threads > 1024:
                raise ValueError(f"n_threads must be at most 1024, got {n_threads}")
        if loss is None:
            raise ValueError("compile needs a loss: a name such as 'mse', an object of fastnet.losses, or a function")
        compiled = Compiled(_optimizers.get(optimizer), loss, metrics, loss_weights, n_threads)
        if self.outputs:
            compiled.resolve(self.output_names, [tensor.sample_shape for tensor in self.outputs])
        else:
            compiled.check_names()
        same_optimizer = self._compiled is not None and self._compiled.optimizer is compiled.optimizer
        self._compiled = compiled
        self._plans.clear(keep_slots=same_optimizer)

    @property
    def optimizer(self) -> _optimizers.Optimizer:
        """The optimizer given to compile."""
        return self._require_compiled().optimizer

    def _require_compiled(self) -> Compiled:
        if self._compiled is None:
            raise RuntimeError(f"model {self.name!r} must be compiled first: model.compile(optimizer=..., loss=...)")
        if self.outputs and not self._compiled.resolved:
            self._compiled.resolve(self.output_names, [tensor.sample_shape for tensor in self.outputs])
        return self._compiled

    def _restructured(self) -> None:
        """Forgets what depends on the layers: they are others now."""
        self._plans.clear(keep_slots=True)
        self._forward = None
        if self._compiled is not None:
            self._compiled.resolved = False

    def _build_for(self, x: Any) -> Callable[[], None]:
        """Overridden by models that learn the shape of their input from data; returns what undoes it."""
        return lambda: None

    # ---- data --------------------------------------------------------------------------------------------

    def _inputs_of(self, x: Any, check_finite: bool) -> list[np.ndarray]:
        if len(self.inputs) == 1 and type(x) is np.ndarray and not self._labels:
            return [_data.as_rows(x, self.inputs[0].sample_shape, "x", check_finite)]
        given = _data.match_names(x, self.input_names, "x")
        names = ["x"] if len(given) == 1 else [f"x[{name!r}]" for name in self.input_names]
        arrays = [
            _data.as_rows(array, tensor.sample_shape, name, check_finite)
            for array, tensor, name in zip(given, self.inputs, names)
        ]
        for array, name in zip(arrays, names):
            if len(array) != len(arrays[0]):
                raise ValueError(f"{name} has {len(array)} rows, {names[0]} has {len(arrays[0])}")
        for array, tensor, name in zip(arrays, self.inputs, names):
            if id(tensor) in self._labels:
                _data.check_tokens(array, *self._labels[id(tensor)], name)
        return arrays

    def _targets_of(self, y: Any, n: int, check_finite: bool) -> list[Any]:
        """Targets for each output; None for one without a loss, whatever is given for it."""
        compiled = self._require_compiled()
        if y is None:
            raise ValueError("y is missing")
        output_names = self.output_names if len(self.outputs) > 1 or type(y) is not np.ndarray else ["y"]
        given = _data.match_names(self._with_all_targets(y, compiled.losses), output_names, "y")
        names = ["y"] if len(given) == 1 else [f"y[{name!r}]" for name in output_names]
        arrays = [
            None if loss is None else _data.as_targets(array, loss, shape, tensor.sample_shape, name, check_finite)
            for array, loss, shape, tensor, name in zip(given, compiled.losses, compiled.target_shapes, self.outputs, names)
        ]
        for array, name in zip(arrays, names):
            if array is not None and len(array) != n:
                raise ValueError(f"x has {n} rows, {name} has {len(array)}")
        for group, array, name in zip(compiled.fitted_to(arrays, names).metrics, arrays, names):
            for metric in group:
                metric.check_targets(array, name)
        return arrays

    def _with_all_targets(self, y: Any, losses: list[Any]) -> Any:
        """Targets, with None for the outputs without a loss where there is nothing for them."""
        if None not in losses:
            return y
        if isinstance(y, Mapping):
            return {**{name: None for name, loss in zip(self.output_names, losses) if loss is None}, **y}
        n_losses = len(losses) - losses.count(None)
        given = [y] if n_losses == 1 and not isinstance(y, (list, tuple)) else y
        if not isinstance(given, (list, tuple)) or len(given) != n_losses:
            return y
        left = iter(given)
        return [None if loss is None else next(left) for loss in losses]

    def _weights_of(self, sample_weight: Any, class_weight: Any, targets: list[np.ndarray], n: int) -> list[Any]:
        if class_weight is not None and len(targets) > 1:
            raise ValueError("class_weight works with one output; use sample_weight for each output")
        if sample_weight is None and class_weight is None:
            return [None] * len(targets)
        given = [sample_weight] * len(targets)
        if len(targets) > 1 and isinstance(sample_weight, (dict, list, tuple)):
            given = _data.match_names(sample_weight, self.output_names, "sample_weight")
        weights = [
            None if target is None else _data.as_weights(weight, class_weight, target, n, tensor.sample_shape[:-1])
            for weight, target, tensor in zip(given, targets, self.outputs)
        ]
        for weight, loss in zip(weights, self._require_compiled().losses):
            if weight is not None and not hasattr(loss, "kernel"):
                raise ValueError("sample_weight and class_weight do not reach a loss that is a function: weight inside")
        return weights

    def _rows_for(self, x: Any, check_finite: bool) -> list[np.ndarray]:
        """The inputs, checked; a model that does not know its shapes is built for them."""
        undo = self._build_for(x)
        try:
            return self._inputs_of(x, check_finite)
        except BaseException:
            undo()
            raise

    def _data_for(
        self, x: Any, y: Any, sample_weight: Any, class_weight: Any, check_finite: bool
    ) -> tuple[list[np.ndarray], list[np.ndarray], list[Any]]:
        """Inputs, targets and weights, checked; a model that does not know its shapes is built for them."""
        if self._compiled is None:
            self._require_compiled()
        undo = self._build_for(x)
        try:
            inputs = self._inputs_of(x, check_finite)
            n = len(inputs[0])
            targets = self._targets_of(y, n, check_finite)
            return inputs, targets, self._weights_of(sample_weight, class_weight, targets, n)
        except BaseException:
            undo()
            raise

    # ---- fit -----------------------------------------------------------------------------------------------

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        *,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
        check_finite: bool = True,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        resume_from: Any = None,
    ) -> History:
        """Trains the model for a number of epochs.

        Parameters
        ----------
        x, y : array_like, or a list or dictionary of them
            Rows of samples and of targets. Whatever NumPy can view; kept as they are and converted batch by batch.
        batch_size : int
            Default 32. The last batch of an epoch may be smaller. 1 is stochastic, len(x) full-batch descent.
        epochs : int
            Number of the last epoch; as many are made unless `initial_epoch` says otherwise.
        verbose : {"auto", 0, 1, 2}
            Nothing, a progress bar, a line for each epoch; "auto": a bar on a terminal, lines elsewhere.
        callbacks : list of Callback, optional
        validation_split : float
            Part of the rows, taken from the end before any shuffling, to validate with.
        validation_data : tuple, optional
            ``(x, y)`` or ``(x, y, sample_weight)``; used instead of `validation_split`.
        shuffle : bool
            Visit the rows in another order each epoch, a function of the model's seed and the epoch.
        class_weight : dict of int to float, optional
            By class number; 1 for classes that it does not hold. For training alone: the validation loss is without it.
        sample_weight : array_like, optional
            Both multiply the loss of a row; given together, the product does. That of rows that `validation_split` takes
            multiplies their validation loss. Of shape (n,), or (n, *positions) for an output of shape (n, *positions, units), such
            as (n, steps): then each position has its own. The loss is ``sum(sample_weight * loss) / number of positions``: weights
            are no divisor, and masked positions are left out of both, as in Keras.
        initial_epoch : int
            Where to go on counting.
        validation_batch_size, validation_freq : int, optional
            Rows at once, and every how many epochs.
        check_finite : bool
            Look for NaN and infinity in x and y first.
        mixup : float
            alpha of mixup (Zhang et al., 2018): each row of a batch and its targets are mixed with another,
            ``share * a + (1 - share) * b``, with a share from Beta(alpha, alpha) for each step. 0: no mixing. Needs targets
            that can be mixed: one-hot rows instead of class numbers.
        cutmix : float
            alpha of CutMix (Yun et al., 2019): each image of a batch has a rectangle of another in it, whose part of the
            area is 1 less a share from Beta(alpha, alpha), and its targets are mixed by that share as those of mixup. The
            rectangle has the form of the image and is the same for the batch. Inputs of other shapes are mixed as by
            `mixup`. With both, either has half of the steps.
        resume_from : path, optional
            A file that `fastnet.callbacks.TrainingCheckpoint` wrote in a call of `fit` with the same model, data and
            arguments: training goes on from there, and ends with the same bits as if it had not been interrupted.

        Returns
        -------
        History

        Raises
        ------
        RuntimeError
            Before compile.
        TypeError, ValueError
            For data, or a file to resume from, that do not fit; before anything is changed.
        FloatingPointError
            When the loss or its gradient becomes NaN or infinite: the weights, and all that the optimizer keeps, are those from
            before that step. When a step is so large that weights become infinite; the message names that step.
        ValueError
            When a class number is out of range in the step that reads it, though it was not when the data were checked: what
            is trained on may be changed meanwhile, by a callback or in a memory map. The weights are those from before.
        """
        return self._make_fit(
            make_progress(verbose),
            x,
            y,
            batch_size,
            epochs,
            verbose,
            callbacks,
            validation_split,
            validation_data,
            shuffle,
            class_weight,
            sample_weight,
            initial_epoch,
            validation_batch_size,
            validation_freq,
            check_finite,
            mixup,
            cutmix,
            resume_from,
        ).run()

    def _make_fit(
        self,
        progress: Progress,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = 0,
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
        check_finite: bool = True,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        resume_from: Any = None,
    ) -> Fit:
        """The training that a call of `fit` with these arguments would do, everything checked."""
        from .callbacks import CallbackList  # not at the start: importing the package is to cost little

        batch_size = self._rows_at_once(batch_size, 32)
        epochs = _positive("epochs", epochs)
        if not isinstance(initial_epoch, (int, np.integer)) or not 0 <= initial_epoch <= epochs:
            raise ValueError(f"initial_epoch must be an integer between 0 and epochs={epochs}, got {initial_epoch!r}")
        validation_freq = _positive("validation_freq", validation_freq)
        if validation_batch_size is not None:
            validation_batch_size = self._rows_at_once(validation_batch_size, _INFERENCE_ROWS, "validation_batch_size")
        inputs, targets, weights = self._data_for(x, y, sample_weight, class_weight, check_finite)
        validation: tuple[Any, Any, Any] | None = None
        if validation_data is not None:
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
                raise ValueError("validation_data must be (x, y) or (x, y, sample_weight)")
            held_x = self._inputs_of(validation_data[0], check_finite)
            held_y = self._targets_of(validation_data[1], len(held_x[0]), check_finite)
            held_weight = validation_data[2] if len(validation_data) == 3 else None
            validation = (held_x, held_y, self._weights_of(held_weight, None, held_y, len(held_x[0])))
        elif validation_split:
            k, m = len(inputs), len(targets)
            sample_weights = self._weights_of(sample_weight, None, targets, len(inputs[0]))  # class_weight is for training
            kept, held = _data.split_validation([*inputs, *targets, *weights, *sample_weights], validation_split)
            inputs, targets, weights = kept[:k], kept[k : k + m], kept[k + m : k + 2 * m]
            validation = (held[:k], held[k : k + m], held[k + 2 * m :])

        self._require_compiled().optimizer.claim(self)
        batch_size = min(batch_size, len(inputs[0]))
        steps = math.ceil(len(inputs[0]) / batch_size)
        callbacks = CallbackList(callbacks, self, {"epochs": epochs, "steps": steps, "verbose": verbose})
        fit = Fit(
            self,
            (inputs, targets, weights),
            validation,
            callbacks,
            progress,
            batch_size=batch_size,
            epochs=epochs,
            first_epoch=int(initial_epoch),
            shuffle=shuffle,
            mixup=self._checked_mixup(mixup),
            cutmix=self._checked_cutmix(cutmix),
            validation_batch_size=validation_batch_size,
            validation_freq=validation_freq,
        )
        if resume_from is not None:
            from .saving.checkpoint import restore

            restore(fit, resume_from)
        return fit

    def _rows_at_once(self, given: Any, default: int, name: str = "batch_size") -> int:
        """The batch size given, or the default; ValueError where stateful layers keep the states of another number of rows."""
        fixed = self._graph.batch_size
        rows = _positive(name, (fixed or default) if given is None else given)
        if fixed and rows != fixed:
            raise ValueError(f"{name} must be {fixed}, the batch_size of the input of stateful layers, got {rows}")
        return rows

    def _checked_mixup(self, mixup: Any) -> float:
        compiled = self._require_compiled()
        self._check_mixing("mixup", mixup, compiled)
        return float(mixup)

    def _checked_cutmix(self, cutmix: Any) -> float:
        self._check_mixing("cutmix", cutmix, self._require_compiled())
        shapes = [tensor.shape for tensor in self.inputs]
        if cutmix and not any(len(shape) == 4 for shape in shapes):
            raise ValueError(f"cutmix needs images (batch, height, width, channels), got inputs of shape {shapes}")
        return float(cutmix)

    def _check_mixing(self, name: str, alpha: Any, compiled: Any) -> None:
        if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 <= alpha <= 4:
            raise ValueError(f"{name} must be a number from 0 to 4, got {alpha!r}")
        if alpha and (compiled.custom or compiled.optimizer.full_batch):
            raise ValueError(f"{name} works with the losses of fastnet.losses and optimizers that take batches")
        if alpha and self._labels:
            reader = next(iter(self._labels.values()))[0]
            raise ValueError(f"{name} needs inputs that can be mixed: layer {reader!r} takes whole numbers")
        if alpha and any(loss is not None and loss.labels for loss in compiled.losses):
            raise ValueError(f"{name} needs targets that can be mixed: use one-hot rows and CategoricalCrossentropy")

    def _reading(self) -> Any:
        """A manager within which the weights do not change, or, where it gives False, a snapshot is to be used instead.

        A model that keeps states from batch to batch changes them when it predicts: it does so for one thread after another.
        """
        gate = self._slab.gate
        return gate.reading() if self._graph.batch_size is None else gate.writing(wait=True)

    def _evaluation_values(self, snapshot: Snapshot | None = None) -> dict[Weight, np.ndarray]:
        """What `evaluate` and `predict` compute with: averages, where the optimizer keeps them, else the weights; views."""
        if snapshot is not None:
            return {weight: snapshot.used_value(weight) for weight in self.weights}
        averages = self._plans.slots.averages()
        return {weight: averages.get(weight, weight.array) for weight in self.weights}

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
        *,
        check_finite: bool = True,
    ) -> Any:
        """One step on the rows given, as one batch.

        Returns
        -------
        float, list of float or dict of str to float
            The loss and metrics from before the step, as `evaluate` gives them.
        """
        inputs, targets, weights = self._data_for(x, y, sample_weight, class_weight, check_finite)
        n = len(inputs[0])
        if n > (self._graph.batch_size or n):
            self._rows_at_once(n, n)
        compiled = self._require_compiled()
        compiled.optimizer.claim(self)
        compiled = compiled.fitted_to(targets, self.output_names)
        position = self._new_position(compiled)
        if compiled.custom:
            self._custom_step(compiled, inputs, targets, weights, slice(None), n, position)
        else:
            with self._slab.gate.writing():
                plan = self._plans.get("train", n, exact=False)
                self._make_steps(
                    plan,
                    TRAIN,
                    n_rows=n,
                    batch_size=n,
                    inputs=inputs,
                    targets=targets,
                    weights=weights,
                    hyper=self._plans.hyper(1),
                    loss_sum=position.totals,
                    metrics=position.sums,
                )
        return _as_asked(compiled.logs(position.totals, position.sums, n), return_dict)

    def _new_position(self, compiled: Compiled) -> _core.Position:
        position = _core.Position()
        position.totals, position.sums = np.zeros(1 + len(self.outputs)), compiled.new_sums()
        return position

    # ---- evaluate and predict ---------------------------------------------------------------------------

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = 0,
        sample_weight: Any = None,
        *,
        return_dict: bool = False,
        check_finite: bool = True,
    ) -> Any:
        """The loss and the metrics of data.

        Parameters
        ----------
        x, y
            As in `fit`.
        batch_size : int, optional
            Rows at once. The result does not depend on it but for rounding, unless an output has a mask: the loss of a batch is then
            the mean over its positions that count, and batches count by their rows, in training too, as in Keras.
        verbose : {"auto", 0, 1, 2}
            Other than 0: print the result.
        sample_weight
            As in `fit`.
        return_dict : bool

        Returns
        -------
        float, list of float or dict of str to float
            The loss; with metrics, a list that begins with the loss; with `return_dict`, by name.
        """
        inputs, targets, weights = self._data_for(x, y, sample_weight, None, check_finite)
        logs = self._evaluate(inputs, targets, weights, batch_size)
        if verbose:
            print(" - ".join(f"{name}: {value:.4g}" for name, value in logs.items()))
        return _as_asked(logs, return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """`evaluate` for the rows of one batch."""
        return self.evaluate(x, y, sample_weight=sample_weight, return_dict=return_dict)

    def _evaluate(
        self, inputs: list[np.ndarray], targets: list[np.ndarray], weights: list[Any], batch_size: int | None
    ) -> dict[str, Any]:
        compiled = self._require_compiled().fitted_to(targets, self.output_names)
        n = len(inputs[0])
        rows = min(n, self._rows_at_once(batch_size, _INFERENCE_ROWS))
        totals, sums = np.zeros(1 + len(self.outputs)), compiled.new_sums()
        with self._reading() as live:
            snapshot = None if live else self._plans.snapshot()
            if compiled.custom:
                self._custom_evaluate(compiled, inputs, targets, weights, rows, totals, sums, snapshot)
                return compiled.logs(totals, sums, n)
            with self._plans.take("evaluate", rows, snapshot) as plan:
                self._plans.bind(plan, snapshot)
                row = 0
                while row < n:
                    row, _ = plan.run(
                        _EVALUATE,
                        n_rows=n,
                        first_row=row,
                        batch_size=rows,
                        inputs=inputs,
                        targets=targets,
                        weights=weights,
                        seconds=SLICE_SECONDS,
                        loss_sum=totals,
                        metrics=sums,
                    )
        return compiled.logs(totals, sums, n)

    def predict(self, x: Any, batch_size: int | None = None, verbose: str | int = 0, *, check_finite: bool = False) -> Any:
        """What the model computes for data, as in inference.

        Parameters
        ----------
        x : array_like, or a list or dictionary of them
        batch_size : int, optional
            Rows at once.
        verbose : ignored
            Accepted as Keras does.
        check_finite : bool
            Look for NaN and infinity in x first.

        Returns
        -------
        ndarray or list of ndarray, shape (n, ...)
            One for each output, of the model's dtype.
        """
        if batch_size is None and not check_finite:
            ready = self._plans.predictor.predict(x)
            if ready is not None:
                return ready
        inputs = self._rows_for(x, check_finite)
        n = len(inputs[0])
        rows = min(n, self._rows_at_once(batch_size, _INFERENCE_ROWS))
        with self._reading() as live:
            outputs, plan = self._predict_rows(inputs, rows, None if live else self._plans.snapshot())
            # Labels are not for the short way, as their range is to be checked each time.
            if live and rows == n and batch_size is None and not self._labels:
                self._plans.keep_ready(plan)
        return outputs if len(outputs) > 1 else outputs[0]

    def _predict_rows(
        self, inputs: list[np.ndarray], rows: int, snapshot: Snapshot | None, totals: np.ndarray | None = None
    ) -> tuple[list[np.ndarray], _core.Plan]:
        """The outputs, computed so many rows at once with the weights of the snapshot or of the model; and the plan for it.

        Adds what layers add to the loss to the first of `totals`, times the rows.
        """
        n = len(inputs[0])
        outputs = [np.empty((n, *tensor.sample_shape), self.dtype) for tensor in self.outputs]
        with self._plans.take("predict" if totals is None else "penalize", rows, snapshot) as plan:
            self._plans.bind(plan, snapshot)
            parts, targets = (
                (_PREDICT | _core.LOSS, [None] * len(outputs)) if totals is not None and plan.has_loss else (_PREDICT, None)
            )
            row = 0
            while row < n:
                row, _ = plan.run(
                    parts,
                    n_rows=n,
                    first_row=row,
                    batch_size=rows,
                    inputs=inputs,
                    outputs=outputs,
                    targets=targets,
                    loss_sum=totals,
                    seconds=SLICE_SECONDS,
                )
        return outputs, plan

    def predict_on_batch(self, x: Any) -> Any:
        """`predict` for the rows of one batch."""
        ready = self._plans.predictor.predict(x)
        return self.predict(x) if ready is None else ready

    def profile(self, x: Any, y: Any = None, batch_size: int = 32, repeats: int = 100) -> Profile:
        """Measures where the time of a step goes: of a training step, or, without `y`, of a prediction.

        Steps are made with the first rows of the data, by one thread; weights, optimizer and everything else are as before
        afterwards.

        Parameters
        ----------
        x, y
            As in `fit`.
        batch_size : int
        repeats : int
            Steps; the least times count.

        Returns
        -------
        fastnet.profiling.Profile
            Its text is a table: time, GFLOP/s and their share of the measured peak, GB/s.

        Raises
        ------
        RuntimeError
            If a training step is asked for before compile.
        ValueError
            For losses that are Python functions and for optimizers that take all rows at once: their steps are made in Python.

        Examples
        --------
        >>> import fastnet as fn
        >>> (x, y), _ = fn.datasets.load_digits()
        >>> model = fn.Sequential([fn.Input((64,)), fn.layers.Dense(10)], seed=0)
        >>> model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> profile = model.profile(x, y, repeats=3)
        >>> [stage.label for stage in profile.stages][:2]
        ['gather', 'dense forward']
        >>> round(profile.stages[1].flops) == 2 * 32 * 64 * 10
        True
        """
        from .profiling import profile_model

        batch_size, repeats = _positive("batch_size", batch_size), _positive("repeats", repeats)
        if y is None:
            inputs = self._rows_for(x, False)
            arrays: dict[str, Any] = {}
        else:
            inputs, targets, weights = self._data_for(x, y, None, None, False)
            compiled = self._require_compiled()
            if compiled.custom or compiled.optimizer.full_batch:
                raise ValueError(
                    "profile measures steps that are made in the engine: of losses of fastnet.losses, and of "
                    "optimizers that take batches"
                )
            arrays = {
                "targets": targets,
                "weights": weights,
                "step": compiled.optimizer.batches,
                "loss_sum": np.zeros(1 + len(self.outputs)),
                "metrics": compiled.new_sums(),
            }
        rows = min(batch_size, len(inputs[0]))
        arrays["inputs"] = inputs
        self._plans.one_thread = True
        try:
            with self._slab.gate.writing():
                if y is None:
                    arrays["outputs"] = [np.empty((rows, *tensor.sample_shape), self.dtype) for tensor in self.outputs]
                    plan = self._plans.get("predict", rows)
                    return self._restoring(lambda: profile_model(self, _PREDICT, plan, arrays, rows, repeats), [])
                arrays["hyper"], plan = self._plans.hyper(1), self._plans.get("train", rows)
                slots = self._plans.slots.arrays()
                return self._restoring(lambda: profile_model(self, TRAIN, plan, arrays, rows, repeats), slots)
        finally:
            self._plans.one_thread = False

    def _restoring(self, function: Callable[[], Any], slots: list[np.ndarray]) -> Any:
        """What a function returns, after which the weights and these arrays are as before."""
        kept = [(array, array.copy()) for array in [self._slab.values, *slots]]
        try:
            return function()
        finally:
            for array, values in kept:
                array[...] = values

    def _latest_plan(self) -> _core.Plan | None:
        return self._plans.latest()


def _positive(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a positive integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value}")
    return int(value)


def _as_asked(logs: Mapping[str, Any], return_dict: bool) -> Any:
    if return_dict:
        return dict(logs)
    values = list(logs.values())
    return values if len(values) > 1 else values[0]
