"""Training steps of one's own: several models, losses and optimizers in one step, which runs in the engine batch after batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from . import optimizers as _optimizers
from ._booleans import check_booleans
from ._custom_losses import rows_of
from ._distributed import check_distribution, joint
from ._evaluation import LossMeans
from ._fit_options import FitOptions
from ._graph import outside_calls
from ._model_data import (
    INFERENCE_ROWS,
    given_inputs,
    inputs_of,
    learn_columns,
    positive,
    rows_at_once,
    rows_in_steps,
    threads_of,
)  # fmt: skip
from ._progress import make_progress
from ._resuming import resume
from ._step_function import checked_updates, chosen_optimizers, dtype_of, make_inputs
from ._steppers import SLICE_STEPS, TRAIN
from ._stream_fitting import StreamFit, begin_training
from ._streams import evaluate_stream
from ._updates import CompiledStep, CompiledUpdate, MeanLoss, StepPlans, Update, hyper_rows, place_operations
from ._weights import between_steps
from .data.dataset import Dataset, unpack
from .data.sources import is_stream
from .fitting import Fit
from .history import History
from .inference import as_asked
from .model import Model

if TYPE_CHECKING:
    from .distribution import DataParallel

__all__ = ["TrainStep"]


class TrainStep(Model):
    """A training step of one's own: a function that calls models and names losses, and what each of these is to train.

    The function is called once, with symbolic tensors for the data, and returns a dictionary: for each update its name, its loss
    and what it trains. An epoch then runs in the engine without Python. For each batch the updates are made one after another, in
    the order of the dictionary, as separate calls of `train_on_batch` would: each computes its loss with the weights as those
    before it have left them. What an update does not train stays as it is, and lets gradients through. What is to be learnt from
    gradients at the same weights belongs into one update, whose loss is a sum.

    Parameters
    ----------
    function : callable
        Takes a symbolic tensor for each input and returns ``{name: (loss, trained), ...}``. The loss is a tensor with one number
        for each row, of which the mean over the batch is taken. `trained` is a model, a layer, a weight, or a list of such.
    inputs : list or dictionary
        Shapes of the rows of the data, without the batch axis, or results of `fastnet.Input`; by name in a dictionary. Names of a list are
        those of the function's arguments.
    seed : int, optional
        Of the order of the rows, of dropout and of weights that there are not yet. Random numbers are a function of it, of the batch and of the
        operation: a tensor that several updates use is the same in all of them.
    dtype : {"float32", "float64"}, optional
        Default: that of the models.
    name : str, optional

    Raises
    ------
    TypeError
        If the function returns something else.
    ValueError
        If a loss has another shape, or depends on nothing that it is to train.

    Notes
    -----
    L1 and L2 of weights count in the update that trains them; activity regularizers and what layers add to the loss count where they depend
    on weights that are trained there. Layers behave as in training in all updates, but where ``layer.trainable = False`` says
    otherwise, as for `BatchNormalization`.

    A step is itself a model, whose outputs are the losses of the rows: `predict` and `evaluate` compute these as in inference.

    Examples
    --------
    >>> import fastnet as fn, numpy as np
    >>> ops = fn.ops
    >>> generator = fn.Sequential([fn.Input((2,)), fn.layers.Dense(8, "relu"), fn.layers.Dense(1)], seed=0)
    >>> critic = fn.Sequential([fn.Input((1,)), fn.layers.Dense(8, "relu"), fn.layers.Dense(1)], seed=1)
    >>> def gan(real, noise):
    ...     fake = generator(noise)
    ...     judge = ops.softplus(critic(fake)) + ops.softplus(-critic(real))
    ...     return {"critic": (judge, critic), "generator": (ops.softplus(-critic(fake)), generator)}
    >>> step = fn.TrainStep(gan, [(1,), (2,)], seed=0)
    >>> step.compile({"critic": fn.optimizers.Adam(0.01), "generator": fn.optimizers.Adam(0.01)})
    >>> random = np.random.default_rng(0)
    >>> data = [random.normal(3, 1, (256, 1)), random.normal(size=(256, 2))]
    >>> history = step.fit(data, epochs=3, batch_size=32, verbose=0)
    >>> list(history.history)[:2]
    ['critic', 'generator']
    """

    _only_inputs = True

    def __init__(
        self,
        function: Callable[..., Mapping[str, Any]],
        inputs: Any,
        *,
        seed: int | None = None,
        dtype: str | None = None,
        name: str | None = None,
    ) -> None:
        self.updates: list[Update] = []
        self._names: list[str] = []
        if not callable(function):
            raise TypeError(f"TrainStep takes a function, got {function!r}")
        tensors = make_inputs(function, inputs)
        with outside_calls(rows=tensors[0]):
            found = checked_updates(function(*tensors))
            self._names = list(found)
            self._describe(seed, dtype or dtype_of(found), name)
            self._plans = StepPlans(self)
            self._connect(tensors, [loss for loss, _ in found.values()])
            if self._graph.staged:
                raise NotImplementedError(
                    "a TrainStep computes in the engine alone: of a model that looks text or numbers up, give it the part behind "
                    "that, fn.Model(lookup.output, model.output)"
                )
            updates = [
                Update(self, name, [MeanLoss(name=f"loss of {name}")(loss)], trained) for name, (loss, trained) in found.items()
            ]
        place_operations(updates)
        self.updates = updates

    @property
    def output_names(self) -> list[str]:
        """The names of the updates."""
        return list(self._names)

    @property
    def optimizers(self) -> dict[str, _optimizers.Optimizer]:
        """The optimizer of each update, by name."""
        return dict(zip(self.output_names, self._require_compiled().optimizer.all))

    def _require_compiled(self) -> Any:
        if self._compiled is None:
            raise RuntimeError(f"step {self.name!r} must be compiled first: step.compile({{name: optimizer, ...}})")
        return self._compiled

    # ---- compile ----------------------------------------------------------------------------------------

    def compile(  # type: ignore[override]
        self,
        optimizers: Any = "rmsprop",
        *,
        every: Mapping[str, int] | None = None,
        n_threads: int | None = None,
        precise: bool = False,
        distribution: DataParallel | None = None,
    ) -> None:
        """Says by what each update is made.

        Parameters
        ----------
        optimizers : dictionary of str to (str or Optimizer)
            One for each update, by name; a name such as "adam" stands for one for each.
        every : dictionary of str to int, optional
            How many batches an update comes once for, by name, as ``{"generator": 5}`` of a critic that learns five times as often. It is made
            in the last of them; its loss is the mean over the batches that it is made in.
        n_threads, precise, distribution
            As in `Model.compile`.

        Raises
        ------
        TypeError, ValueError
            If an update has no optimizer, two have the same object, or one takes all rows at once.

        Notes
        -----
        Where an optimizer keeps averages of the weights (`use_ema`, `swa_start`), all models that have these weights predict and are evaluated
        by the averages, until something else trains the weights or sets them, and so do copies of these models; the losses of a step are
        those of the trained weights.
        """
        names = self.output_names
        for update in self.updates:
            own = next(iter(update._plans.own_constraints), None)
            if own is not None:
                raise ValueError(
                    f"update {update.name!r}: the constraint of weight {own.path!r} is a function of arrays, of which a step knows nothing: "
                    "write it in fastnet.ops"
                )
        chosen = chosen_optimizers(names, optimizers)
        for name, count in (every or {}).items():
            if name not in names:
                raise ValueError(f"compile: every has {name!r}, expected updates among {names}")
            positive(f"every[{name!r}]", count)
        check_booleans("compile", precise=precise)
        n_threads = threads_of(n_threads)
        self._distribution, self._shared_steps = check_distribution(distribution), None
        before = [update._compiled and update._compiled.optimizer for update in self.updates]
        self._compiled = CompiledStep(names, chosen, n_threads, bool(precise))  # type: ignore[assignment]
        for update, optimizer, other in zip(self.updates, chosen, before):
            update._compiled = CompiledUpdate(optimizer, n_threads, bool(precise))
            update.every = (every or {}).get(update.name, 1)
            update._plans.clear(keep_slots=optimizer is other)
            self._slab.of_steps.pop(update._plans.slots, None)
            if optimizer.keeps_average:
                self._slab.of_steps[update._plans.slots] = None
        self._plans.clear(keep_slots=True)

    # ---- fit --------------------------------------------------------------------------------------------

    @joint
    def fit(  # type: ignore[override]
        self,
        x: Any,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        initial_epoch: int = 0,
        *,
        validation_batch_size: int | None = None,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_freq: Any = 1,
        check_finite: bool = True,
        resume_from: Any = None,
    ) -> History:
        """Makes the step for each batch of a number of epochs, in the engine.

        Parameters
        ----------
        x : array_like, or a list or dictionary of them
            Rows for each input. Or what gives batches, as in `Model.fit`; all parts of a batch are inputs, ``(x, y)`` those of a step of two.
        validation_data : optional
            As `x`; the losses of these rows are computed after an epoch, as in inference.
        batch_size, epochs, verbose, callbacks, validation_split, shuffle, initial_epoch, steps_per_epoch, validation_steps, \
validation_batch_size, validation_freq, check_finite, resume_from
            As in `Model.fit`.

        Returns
        -------
        History
            For each update its mean loss under its name, and ``{name}_learning_rate`` and ``{name}_gradient_norm``.

        Raises
        ------
        RuntimeError
            Before compile.
        TypeError, ValueError
            For data, or a file to resume from, that do not fit; before anything is changed.
        FloatingPointError
            When a loss or its gradient becomes NaN or infinite. The message names the update, whose weights are those from before that batch; the
            updates before it in the step have been made.
        """
        self._require_compiled()
        x, batch_size = self._given(x, batch_size, 32)
        if validation_data is not None:
            validation_data, validation_batch_size = self._given(
                validation_data, validation_batch_size, validation_batch_size or INFERENCE_ROWS, own=False
            )
        options = FitOptions(
            x, None, batch_size, epochs, verbose, callbacks, validation_split, validation_data, shuffle, None, None,
            initial_epoch, steps_per_epoch, validation_steps, validation_batch_size, validation_freq, check_finite, resume_from=resume_from,
        )  # fmt: skip
        return self._begin(options.checked(self), make_progress(verbose)).run()

    def _given(self, data: Any, batch_size: int | None, default: int, own: bool = True) -> tuple[Any, int | None]:
        """Arrays for each input, or what gives batches, of what the user has given; and the rows of a batch.

        own: ValueError where a batch size is given with what has its own.
        """
        x, y, weight, rows = unpack(data, None, None, batch_size if own else None, default, self._known_columns())
        if isinstance(data, Dataset) and not is_stream(x):
            x = given_inputs(self, x, y, weight)
        return x, rows if own else batch_size or rows

    def _begin(self, options: FitOptions, progress: Any) -> Fit:
        """The training that a call of `fit` would do, everything checked."""
        known, feed, fit = dict(self._columns.known), None, None
        if is_stream(options.x):
            feed, arrays, options = begin_training(self, options)
        else:
            arrays = inputs_of(self, options.x, options.check_finite), [], []
        try:
            held = options.validation_data
            if held is None or is_stream(held):
                arrays, held = options.validation(self, arrays)
            else:
                held = options.first_steps((inputs_of(self, held, options.check_finite), [], []))
            self._require_compiled().optimizer.claim(self)
            if feed is None:
                learn_columns(self, options.x)
                fit = Fit(self, arrays, held, options.checked_for(self, len(arrays[0][0])), progress)
            else:
                fit = StreamFit(self, feed, held, options, progress)
            resume(fit)
        except BaseException:
            self._columns.known = known
            if feed is not None:
                feed.close(failed=True)
            raise
        return fit

    @joint
    def train_on_batch(self, x: Any, return_dict: bool = False, *, check_finite: bool = True) -> Any:  # type: ignore[override]
        """The step on the rows given, as one batch.

        Returns
        -------
        float, list of float or dict of str to float
            The loss of each update, from before it.
        """
        check_booleans("train_on_batch", return_dict=return_dict, check_finite=check_finite)
        inputs = inputs_of(self, x, check_finite)
        compiled, n = self._require_compiled(), len(inputs[0])
        rows_at_once(self, n, n)
        compiled.optimizer.claim(self)
        learn_columns(self, x)
        sums = self._make_step(inputs, np.zeros(1 + len(self.updates)), compiled.new_sums())
        return as_asked(compiled.logs(*sums, n), return_dict)

    def _make_step(self, inputs: list[np.ndarray], totals: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The step on rows as one batch; returns the sums of the losses, and all else that is added up."""
        if self.distribution is not None:
            from .distribution._sequences import train_together

            return train_together(self, inputs, totals, sums)
        n = len(inputs[0])
        with self._slab.gate.writing():
            self._run_updates(inputs, 1, batch_size=n, n_rows=n, first_row=0, exact=False, totals=totals, squares=sums)
        return totals, sums

    def _new_arrays(self, rows: int) -> list[list[np.ndarray | None]]:
        """An array for each value of each update that is asked for: nothing asks for any."""
        return []

    def _run_updates(
        self,
        inputs: Sequence[np.ndarray],
        steps: int,
        *,
        batch_size: int,
        n_rows: int,
        first_row: int,
        totals: np.ndarray,
        squares: np.ndarray,
        capacity: int | None = None,
        exact: bool = True,
        outputs: list[list[Any]] | None = None,
        **options: Any,
    ) -> None:
        """At most so many steps, while no other thread writes; an interrupt meanwhile is raised when they have been made and counted."""
        hyper = hyper_rows(self.updates, min(steps, SLICE_STEPS))
        if any(rows.ndim == 2 for rows in hyper):
            steps = min(steps, SLICE_STEPS)
        self._change_weights(
            _core.run_sequence,
            [update._plans.get("train", capacity or batch_size, exact) for update in self.updates],
            TRAIN if outputs is None else TRAIN | _core.FETCH,
            inputs=[[inputs[i] for i in update.reads] for update in self.updates],
            hyper=hyper,
            counters=[update.optimizer.counter for update in self.updates],
            names=[f"update {update.name!r}" for update in self.updates],
            n_rows=min(n_rows, first_row + steps * batch_size),
            batch_size=batch_size,
            first_row=first_row,
            losses=totals[1:],
            squares=squares[: len(self.updates)],
            rows_done=squares[len(self.updates) :],
            outputs=outputs,
            batches=self._require_compiled().optimizer.counter,
            every=[update.every for update in self.updates],
            groups=[-1 - i if update.group is None else update.group for i, update in enumerate(self.updates)],
            **options,
        )

    # ---- evaluate ---------------------------------------------------------------------------------------

    def evaluate(  # type: ignore[override]
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = 0,
        *,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        check_finite: bool = True,
    ) -> Any:
        """The mean of each loss over rows of data, as in inference and without penalties; of so many batches, or of all."""
        check_booleans("evaluate", return_dict=return_dict, check_finite=check_finite)
        x, rows = self._given(x, batch_size, INFERENCE_ROWS if steps is None else 32)
        if is_stream(x):
            logs = evaluate_stream(self, x, steps, check_finite, callbacks)
        else:
            inputs = inputs_of(self, x, check_finite)
            if steps is not None:
                inputs = rows_of(inputs, rows_in_steps(self, steps, rows))
            logs = self._evaluate(inputs, [], [], rows, callbacks=callbacks)
        return as_asked(logs, return_dict, verbose)

    def test_on_batch(self, x: Any, return_dict: bool = False) -> Any:  # type: ignore[override]
        """`evaluate` for the rows of one batch."""
        return self.evaluate(x, return_dict=return_dict)

    def _new_evaluation(self, targets: Any, hooks: Any) -> LossMeans:
        return LossMeans(self, hooks)

    # ---- files ------------------------------------------------------------------------------------------

    def save_state(self, filepath: Any) -> None:
        """Writes weights, optimizers and counters, from which a step that is made of the same function goes on by `load_state`, bit for bit.

        A model of the step is saved by its own `save`; within `fit`, `callbacks.TrainingCheckpoint` writes files to resume from.

        Parameters
        ----------
        filepath : path

        Raises
        ------
        RuntimeError
            Before compile.
        OSError
            If the file cannot be written.
        """
        from .saving.step_state import save_step

        between_steps(self._slab.gate, lambda: save_step(self, filepath))

    def load_state(self, filepath: Any) -> None:
        """Puts the models and optimizers of the step where those stood that `save_state` wrote.

        Parameters
        ----------
        filepath : path

        Raises
        ------
        RuntimeError
            Before compile.
        OSError
            If the file cannot be read.
        ValueError
            If it is none of such a step, or of one with other updates or optimizers; nothing is changed then.

        Examples
        --------
        >>> import os, tempfile, numpy as np, fastnet as fn
        >>> def make():
        ...     model = fn.Sequential([fn.Input((2,)), fn.layers.Dense(1)], seed=0)
        ...     step = fn.TrainStep(lambda x: {"size": (fn.ops.square(model(x)), model)}, [(2,)], seed=0)
        ...     step.compile("adam")
        ...     return step
        >>> step, other, x = make(), make(), np.ones((4, 2))
        >>> loss = step.train_on_batch(x)
        >>> path = os.path.join(tempfile.mkdtemp(), "step.safetensors")
        >>> step.save_state(path)
        >>> other.load_state(path)
        >>> other.train_on_batch(x) == step.train_on_batch(x)
        True
        """
        from .saving.step_state import load_step

        load_step(self, filepath)

    # ---- what a step has not ----------------------------------------------------------------------------

    def backward(self, dy: Any = None) -> Any:
        """A step knows its losses: RuntimeError."""
        raise RuntimeError(f"step {self.name!r} computes gradients of its own losses: use train_on_batch or fit")

    def apply_gradients(self) -> None:
        """As `backward`."""
        self.backward()

    def _make_fit(self, progress: Any, given: FitOptions) -> Fit:
        raise TypeError(f"step {self.name!r} is no model for fit_many: call its fit")

    def profile(self, *args: Any, **options: Any) -> Any:
        """RuntimeError: models are profiled one by one."""
        raise RuntimeError(f"step {self.name!r} consists of several plans: profile its models")

    def __reduce__(self) -> Any:
        raise TypeError(f"step {self.name!r} is made of a function and cannot be copied or pickled: its models can be")
