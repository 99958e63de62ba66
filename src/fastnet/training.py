"""compile, fit, train_on_batch: how a model is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from . import optimizers as _optimizers
from ._booleans import check_booleans
from ._callback_list import CallbackList
from ._compiled import Compiled
from ._custom_losses import judge_rows
from ._distributed import check_distribution, joint
from ._distributed import distribution as current_distribution
from ._faults import faults_of_targets, warn_of
from ._fit_options import FitOptions
from ._model_data import learn_columns, positive, rows_at_once, threads_of
from ._open_shapes import in_turn
from ._own_steps import OwnSteps
from ._progress import Progress, make_progress
from ._resuming import resume
from ._steppers import TRAIN
from ._summary import summarize_as_html
from ._types import LossLike, OptimizerLike
from .custom import CustomLoop
from .data.sources import is_stream
from .fitting import Fit
from .history import History
from .inference import as_asked

if TYPE_CHECKING:
    from .distribution import DataParallel
    from .profiling import Profile

__all__ = ["Trainer"]


class Trainer(OwnSteps, CustomLoop):
    """The part of a model that is compiled and trained."""

    def __init_subclass__(cls, **options: Any) -> None:
        """TypeError for methods that Keras would call for each batch, and that would do nothing here."""
        super().__init_subclass__(**options)
        for name in ("predict_step", "make_train_function", "make_test_function", "make_predict_function"):
            if hasattr(cls, name):
                raise TypeError(
                    f"{cls.__name__}.{name} would never be called, as batches are gone through in the engine: train_step and test_step are "
                    "traced, and what predict computes is the call of the model"
                )

    _callback_list = CallbackList
    #: What compile was told of the processes that train together, and the steps that are made with them.
    _distribution: Any = None
    _shared_steps: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.history: History | None = None
        self.stop_training = False
        self._epochs_begun = 0

    # ---- compile --------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: OptimizerLike = "rmsprop",
        loss: LossLike | None = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: str | bool | None = "auto",
        auto_scale_loss: bool = True,
        *,
        n_threads: int | None = None,
        precise: bool = False,
        distribution: DataParallel | None = None,
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
        weighted_metrics : None
            Metrics are means without the weights of rows: others are refused.
        run_eagerly, steps_per_execution, jit_compile, auto_scale_loss
            Accepted as Keras does: the engine makes as many steps as nobody is to be called between, in full precision.
        n_threads : int, optional
            Default: whichever of one thread and all of them the first steps show to be faster. More than the
            processors that the process may use count as that many. Results do not depend on it.
        precise : bool, default False
            Whether convolutions are computed as the sums that they are defined as. Otherwise those of 3x3, and those of 1x3 and 1x5 as in
            `Conv1D`, may be computed with fewer multiplications (Winograd's minimal filtering), which rounds otherwise: in float32 by less
            than 1e-5 of the largest output; a number that is not finite is seen by up to three outputs around those whose windows it
            is in. It is saved with the model.
        distribution : fastnet.distribution.DataParallel, optional
            The processes that train the model together. Default: what `fastnet.distribution.set_distribution` was told. Copies have it, pickles
            and files do not.

        Raises
        ------
        ValueError
            For unknown names, with the nearest known one.

        Warns
        -----
        UserWarning
            For what cannot learn: a softmax over one unit; a loss that expects probabilities after a layer that gives none, or one
            with ``from_logits=True`` after a softmax or sigmoid. `fit` warns of targets far larger than what new weights give.
        """
        check_distribution(distribution)
        check_booleans("compile", run_eagerly=run_eagerly, auto_scale_loss=auto_scale_loss, precise=precise)
        if weighted_metrics:
            raise ValueError(
                f"weighted_metrics: metrics are computed without the weights of rows, got {weighted_metrics!r}; give them as metrics, or "
                "weight the rows by the loss alone"
            )
        positive("steps_per_execution", steps_per_execution)
        self._told_loss = loss
        if type(self).compute_loss is not Trainer.compute_loss and not self._overrides("train_step"):
            loss = _own_loss(self)
        compiled = Compiled(_optimizers.get(optimizer), loss, metrics, loss_weights, threads_of(n_threads), bool(precise))
        if self.outputs and (loss is not None or self._graph.penalized):  # who only predicts needs none: `fit` asks for it
            self._resolve(compiled)
        else:
            compiled.check_names()
        self._variants.clear()
        self._forget_steps()
        same_optimizer = self._compiled is not None and self._compiled.optimizer is compiled.optimizer
        self._compiled, self._distribution, self._shared_steps = compiled, distribution, None
        self._plans.clear(keep_slots=same_optimizer)

    @property
    def distribution(self) -> DataParallel | None:
        """The processes that train the model together; None: this one alone."""
        return self._distribution or current_distribution()

    @property
    def optimizer(self) -> _optimizers.Optimizer:
        """The optimizer given to compile."""
        return (self._compiled or self._require_compiled()).optimizer

    @property
    def loss(self) -> Any:
        """What compile was told of losses; None before."""
        return self._told_loss

    @property
    def compiled(self) -> bool:
        """Whether it has been compiled."""
        return self._compiled is not None

    @property
    def metrics_names(self) -> list[str]:
        """The names of the numbers that `evaluate` returns, in their order: of loss, losses of outputs and metrics.

        (Those of Keras 3.15 have ``compile_metrics`` in the place of the metrics.)

        Raises
        ------
        RuntimeError
            Before compile, and while the shape of the input is not known.
        """
        self._require_built()
        compiled = self._require_compiled()
        with np.errstate(all="ignore"):
            return list(compiled.logs(np.zeros(1 + len(self.outputs)), compiled.new_sums(), 0))

    def _restructured(self) -> None:
        """Forgets what depends on the layers: they are others now."""
        self._plans.clear(keep_slots=True)
        self._forward = None
        if self._compiled is not None:
            self._compiled.resolved = False

    # ---- fit -----------------------------------------------------------------------------------------------

    @joint
    @in_turn
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
        class_weight: Mapping[int, float] | str | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
        *,
        check_finite: bool = True,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        resume_from: Any = None,
    ) -> History:
        """Trains the model for a number of epochs.

        Parameters
        ----------
        x, y : array_like, or a list or dictionary of them
            Rows of samples and of targets. Whatever NumPy can view; kept as they are and converted batch by batch. Or x alone: a
            `fastnet.data.Dataset`; or what gives batches ``(x, y)``, ``(x, y, sample_weight)`` or x, as they are to be used: a generator, a
            `fastnet.data.PyDataset` or what is like one, a ``torch.utils.data.DataLoader``, a ``tf.data.Dataset``, or another object that
            is iterated over in each epoch. Batches are read in a thread that is ahead of the engine.
        batch_size : int
            Default 32; not for what gives its own batches. The last batch of an epoch may be smaller. 1 is stochastic, len(x) full-batch descent.
        epochs : int
            Number of the last epoch; as many are made unless `initial_epoch` says otherwise.
        verbose : {"auto", 0, 1, 2}
            Nothing, a progress bar, a line for each epoch. "auto" is 1. A bar needs a terminal or a notebook; elsewhere, as in a
            file, a line in some seconds takes its place.
        callbacks : list of Callback, optional
        validation_split : float
            Part of the rows, taken from the end before any shuffling, to validate with. Of arrays, and of what has rows that are counted:
            sparse matrices, memory maps, tables, Parquet files.
        validation_data : tuple, optional
            ``(x, y)`` or ``(x, y, sample_weight)``, or x alone if it has its own targets; used instead of `validation_split`.
        shuffle : bool
            Visit the rows in another order each epoch, a function of the model's seed and the epoch; the batches, where they are
            numbered as those of a `PyDataset`. What is iterated over has its own order.
        class_weight : dict of int to float, or "balanced", optional
            By class number; 1 for classes that it does not hold. "balanced": rows / (classes * rows of the class), of the rows
            to train with; data that come batch by batch are read once for it. For training alone: the validation loss is without it.
        sample_weight : array_like, optional
            Both multiply the loss of a row; given together, the product does. That of rows that `validation_split` takes
            multiplies their validation loss. Of shape (n,), or (n, *positions) for an output of shape (n, *positions, units), such
            as (n, steps): then each position has its own. The loss is ``sum(sample_weight * loss) / number of positions``: weights
            are no divisor, and masked positions are left out of both, as in Keras.
        initial_epoch : int
            Where to go on counting.
        steps_per_epoch : int, optional
            Batches of an epoch, which takes up where the one before has ended; one that comes to the end of the rows is shorter.
            Default: all. A generator, and what else may have no end, needs it.
        validation_steps : int, optional
            Batches to validate with. Default: all. Of a generator the next, each time.
        validation_batch_size : int, optional
            Rows at once.
        validation_freq : int or collection of int
            Every how many epochs, or after which, counted from 1.
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

        Warns
        -----
        UserWarning
            When a generator has no more batches before the last epoch: training ends.

        Raises
        ------
        RuntimeError
            Before compile.
        Exception
            What a generator or the like has raised, as it is.
        TypeError, ValueError
            For data, or a file to resume from, that do not fit, and for weights and settings that the optimizer would do nothing
            about (`LBFGS`); before anything is changed.
        FloatingPointError
            When the loss or its gradient becomes NaN or infinite: the weights, and all that the optimizer keeps, are those from
            before that step. When a step is so large that weights become infinite, or a function that constrains them makes them that
            or NaN; the message names that step, which has been made.
        ValueError
            When a class number is out of range in the step that reads it, though it was not when the data were checked: what
            is trained on may be changed meanwhile, by a callback or in a memory map. The weights are those from before.
        """
        given = FitOptions(*list(locals().values())[1:])  # all arguments in their order, but for self
        return self._make_fit(make_progress(verbose), given).run()

    def _make_fit(self, progress: Progress, given: FitOptions) -> Fit:
        """The training that a call of `fit` with these arguments would do, everything checked."""
        if self._overrides("train_step"):
            return self._load_steps().make_fit(self, progress, given)
        options, known = given.unpacked(self._known_columns()).checked(self), dict(self._columns.known)
        feed = arrays = None
        if is_stream(options.x):
            from ._stream_fitting import StreamFit, begin_training

            feed, arrays, options = begin_training(self, options)
        else:
            arrays = self._data_for(
                options.x, options.y, options.sample_weight, options.class_weight_in_training, options.check_finite
            )
            learn_columns(self, options.x, options.y)
        try:
            arrays, validation = options.validation(self, arrays)
            optimizer = self._require_compiled().optimizer
            optimizer.check_training(self.trainable_weights)
            optimizer.claim(self)
            fit: Fit
            if feed is None:
                fit = Fit(self, arrays, validation, options.checked_for(self, len(arrays[0][0])), progress)
            else:
                fit = StreamFit(self, feed, validation, options, progress)
            if optimizer.iterations == 0 and not optimizer.full_batch:
                faults = list(faults_of_targets(self.outputs, self.output_names, fit.compiled.losses, arrays[1]))
                fit.history.faults = faults
                warn_of(faults)
            resume(fit)
        except BaseException:
            self._columns.known = known
            if feed is not None:
                feed.close(failed=True)
            raise
        return fit

    @joint
    @in_turn
    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | str | None = None,
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
        check_booleans("train_on_batch", return_dict=return_dict, check_finite=check_finite)
        if self._overrides("train_step"):
            steps = self._load_steps()
            return steps.train_on_batch(self, x, y, sample_weight, class_weight, return_dict, check_finite)
        inputs, targets, weights = self._data_for(x, y, sample_weight, class_weight, check_finite)
        n = len(inputs[0])
        if n > (self._graph.batch_size or n):
            rows_at_once(self, n, n)
        compiled = self._require_compiled()
        self._claim_for_batch()
        learn_columns(self, x, y)
        compiled = compiled.fitted_to(targets, self.output_names)
        position = self._new_position(compiled)
        if compiled.custom and self.distribution is None:
            self._custom_step(compiled, (inputs, targets, weights), slice(None), n, position)
        elif self.distribution is not None:
            from .distribution._stepper import shared_steps

            shared = shared_steps(self, compiled, self.distribution, "train_on_batch")
            shared.make_alone((inputs, targets, weights), n, position)
        elif self._plans.own_constraints:
            self._split_step(compiled, (inputs, targets, weights), range(n), position)
        else:
            with self._slab.gate.writing():
                plan = self._plans.get("train", n, exact=False)
                outputs = self._new_outputs(n) if compiled.takes_outputs else None
                self._make_steps(
                    plan,
                    TRAIN if outputs is None else TRAIN | _core.FETCH,
                    n_rows=n,
                    batch_size=n,
                    inputs=inputs,
                    outputs=outputs,
                    targets=targets,
                    weights=weights,
                    hyper=self._plans.hyper(1),
                    loss_sum=position.totals,
                    metrics=position.sums,
                )
            if outputs is not None:
                judge_rows(compiled, targets, outputs, position.sums, range(0, n, n))
        return as_asked(compiled.logs(position.totals, position.sums, n), return_dict)

    def _new_position(self, compiled: Compiled) -> _core.Position:
        position = _core.Position()
        position.totals, position.sums = np.zeros(1 + len(self.outputs)), compiled.new_sums()
        return position

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

        return profile_model(self, x, y, positive("batch_size", batch_size), positive("repeats", repeats))

    def _repr_html_(self) -> str:
        """For notebooks: what `summary` prints, as a table."""
        return summarize_as_html(self)

    def _latest_plan(self) -> _core.Plan | None:
        return self._plans.latest()


def _own_loss(model: Any) -> Any:
    """The `compute_loss` of a class as a loss of compile: a function of targets and predictions."""

    def compute_loss(y_true: Any, y_pred: Any) -> Any:
        try:
            return model.compute_loss(x=model.input if model._given is None else model._given, y=y_true, y_pred=y_pred)
        except (TypeError, AttributeError, IndexError) as error:
            raise ValueError(
                f"{type(model).__name__}.compute_loss must be written in fastnet.ops, and return a number for each row: {error}"
            ) from error

    return compute_loss
