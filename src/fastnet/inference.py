"""evaluate and predict: what a model does with data when it is not trained, perhaps while another thread trains it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._booleans import check_booleans
from ._columns import CellsOf, Columns
from ._custom_losses import rows_of
from ._evaluation import Evaluation
from ._faults import faults_of_outputs, warn_of
from ._hooks import NO_HOOKS, Hooks, begin_hooks
from ._model_data import INFERENCE_ROWS, given_inputs, inputs_of, rows_in_steps, targets_of, weights_of
from ._network import Network
from ._open_shapes import OpenShapes, in_turn
from ._plan_cache import PlanCache
from ._sparse_rows import as_numbers, packed_sizes
from .data.dataset import unpack
from .data.sources import is_stream

if TYPE_CHECKING:
    from ._compiled import Compiled
    from ._fit_options import Arrays
    from ._snapshots import Snapshot
    from ._weights import Weight
    from .exporting import Exported

__all__ = ["Inference"]

PREDICT = _core.FORWARD | _core.FETCH

#: Of the numbers of the batches that validate.
_VALIDATION = 1 << 63

#: Python gets control back this often while the engine works: for Ctrl-C.
_SLICE_SECONDS = 0.05


def _predicted(outputs: list[np.ndarray], first: int, end: int) -> dict[str, Any]:
    """What is said of a batch that was predicted."""
    arrays = [array[first:end] for array in outputs]
    return {"outputs": arrays if len(arrays) > 1 else arrays[0]}


class Inference(Network):
    """The part of a model that evaluates and predicts."""

    def __init__(self) -> None:
        self._compiled: Compiled | None = None
        self._plans = PlanCache(self)
        self._columns = Columns()
        self._variants = OpenShapes()

    def _require_compiled(self) -> Compiled:
        if self._compiled is None:
            raise RuntimeError(f"model {self.name!r} must be compiled first: model.compile(optimizer=..., loss=...)")
        if self.outputs and not self._compiled.resolved:
            self._resolve(self._compiled)
        return self._compiled

    def _resolve(self, compiled: Compiled) -> None:
        """Makes what compile was told definite, and warns where the outputs cannot be what the losses expect."""
        compiled.resolve(self.outputs, self.output_names, self._graph.penalized)
        warn_of(list(faults_of_outputs(self.outputs, self.output_names, compiled.losses)))

    def _build_for(self, x: Any) -> Callable[[], None]:
        """Overridden by models that learn the shape of their input from data; returns what undoes it."""
        return lambda: None

    # ---- data --------------------------------------------------------------------------------------------

    def _known_columns(self) -> Any:
        """Which columns of a table are the inputs: those of the training, or where there are several inputs those of their names."""
        named: dict[str, str] | None = None
        if len(self.inputs) > 1 or any(one.holds_objects for one in self.inputs):
            named = {one: CellsOf(one) if tensor.holds_objects else one for one, tensor in zip(self.input_names, self.inputs)}
        return self._columns.known.get("x", named)

    def _rows_for(self, x: Any, check_finite: bool) -> list[np.ndarray]:
        """The inputs, checked; a model that does not know its shapes is built for them."""
        undo = self._build_for(x)
        try:
            inputs = inputs_of(self, x, check_finite)
            self._variants.switch(self, inputs)
            return inputs
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
            inputs = inputs_of(self, x, check_finite)
            self._variants.switch(self, inputs)
            n = len(inputs[0])
            targets = targets_of(self, y, n, check_finite)
            return inputs, targets, weights_of(self, sample_weight, class_weight, targets, n)
        except BaseException:
            undo()
            raise

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

    # ---- evaluate and predict ---------------------------------------------------------------------------

    @in_turn
    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = 0,
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        *,
        check_finite: bool = True,
    ) -> Any:
        """The loss and the metrics of data.

        Parameters
        ----------
        x, y
            As in `fit`.
        batch_size : int, optional
            Rows at once. The result does not depend on it but for rounding, unless an output has a mask or its loss is one of whole
            batches, as `Dice` may be: the loss of a batch is then the mean over its positions that count, or that one, and batches
            count by their rows, in training too, as in Keras.
        verbose : {"auto", 0, 1, 2}
            Other than 0: print the result.
        sample_weight
            As in `fit`.
        steps : int, optional
            Batches to look at. Default: all.
        callbacks : list of Callback, optional
            Their hooks of tests are called.
        return_dict : bool

        Returns
        -------
        float, list of float or dict of str to float
            The loss; with metrics, a list that begins with the loss; with `return_dict`, by name.
        """
        check_booleans("evaluate", return_dict=return_dict, check_finite=check_finite)
        default = INFERENCE_ROWS if steps is None else 32
        x, y, sample_weight, batch_size = unpack(x, y, sample_weight, batch_size, default, self._known_columns())
        if self._overrides("test_step"):
            logs = self._load_steps().evaluate(self, x, y, batch_size, sample_weight, steps, callbacks)
        elif is_stream(x):
            from ._streams import evaluate_stream

            logs = evaluate_stream(self, x, steps, check_finite, callbacks)
        else:
            inputs, targets, weights = self._data_for(x, y, sample_weight, None, check_finite)
            if steps is not None:
                rows = rows_in_steps(self, steps, batch_size)
                inputs, targets, weights = (rows_of(arrays, rows) for arrays in (inputs, targets, weights))
            logs = self._evaluate(inputs, targets, weights, batch_size, callbacks=callbacks)
        return as_asked(logs, return_dict, verbose)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """`evaluate` for the rows of one batch."""
        return self.evaluate(x, y, sample_weight=sample_weight, return_dict=return_dict)

    def _count_batches(self, n: int, training_step: int | None = None) -> int:
        """Counts batches that are to be predicted or evaluated; returns the number of the first, of which its random numbers are a
        function, or where that is given of the step of training that validation comes after, so that a training that goes on has the same ones."""
        if training_step is not None:
            return _VALIDATION | training_step << 20
        first, self._batches_predicted = self._batches_predicted, self._batches_predicted + n
        return first

    def _evaluate(
        self,
        inputs: list[np.ndarray],
        targets: list[np.ndarray],
        weights: list[Any],
        batch_size: int | None,
        training_step: int | None = None,
        callbacks: Any = None,
    ) -> dict[str, Any]:
        hooks, rows = begin_hooks("test", callbacks, self, len(inputs[0]), batch_size, (INFERENCE_ROWS, 32))
        found = self._evaluate_chunk((inputs, targets, weights), rows, None, training_step, hooks)
        return hooks.close(found.logs())

    def _evaluate_chunk(
        self, arrays: Arrays, rows: int, found: Evaluation | None, training_step: int | None, hooks: Hooks
    ) -> Evaluation:
        """Adds the losses and metrics of some data, so many rows at once, to those of others before."""
        inputs, targets, weights = arrays
        self._variants.switch(self, inputs)
        if found is None:
            found = self._new_evaluation(targets, hooks)
        first = self._count_batches(-(-len(inputs[0]) // rows), training_step) + (0 if training_step is None else found.batches)
        with self._reading() as live:
            found.add(inputs, targets, weights, rows, None if live else self._plans.snapshot(), first)
        return found

    def _new_evaluation(self, targets: list[Any], hooks: Hooks) -> Any:
        """What sums up losses and metrics."""
        return Evaluation(self, self._require_compiled().fitted_to(targets, self.output_names), hooks)

    def _new_outputs(self, n: int) -> list[np.ndarray]:
        """Arrays for the outputs of so many rows."""
        return [np.empty((n, *tensor.sample_shape), self.dtype) for tensor in self.outputs]

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = 0,
        steps: int | None = None,
        callbacks: Any = None,
        *,
        check_finite: bool = False,
    ) -> Any:
        """What the model computes for data, as in inference.

        Parameters
        ----------
        x : array_like, or a list or dictionary of them
        batch_size : int, optional
            Rows at once.
        verbose : ignored
            Accepted as Keras does.
        steps : int, optional
            Batches to predict, of 32 rows where `batch_size` is not given. Default: all.
        callbacks : list of Callback, optional
            Their hooks of predictions are called.
        check_finite : bool
            Look for NaN and infinity in x first.

        Returns
        -------
        ndarray or list of ndarray, shape (n, ...)
            One for each output, of the model's dtype.
        """
        if batch_size is None and steps is None and not check_finite and callbacks is None:
            ready = self._plans.predictor.predict(x)
            if ready is not None:
                return ready if self._output_keys is None else self._arranged(ready)
        return self._arranged(self._predict(x, batch_size, steps, callbacks, check_finite))

    @in_turn
    def _predict(self, x: Any, batch_size: int | None, steps: int | None, callbacks: Any, check_finite: bool) -> Any:
        """As `predict`, the long way."""
        check_booleans("predict", check_finite=check_finite)
        default = INFERENCE_ROWS if steps is None else 32
        x, y, weight, batch_size = unpack(x, None, None, batch_size, default, self._known_columns())
        if is_stream(x):
            from ._streams import predict_stream

            return predict_stream(self, x, steps, check_finite, callbacks)
        x = x if y is None else given_inputs(self, x, y, weight)
        inputs = self._rows_for(x, check_finite)
        if steps is not None:
            inputs = rows_of(inputs, rows_in_steps(self, steps, batch_size))
        n = len(inputs[0])
        hooks, rows = begin_hooks("predict", callbacks, self, n, batch_size, (INFERENCE_ROWS, 32))
        with self._reading() as live:
            outputs, plan = self._predict_rows(inputs, rows, None if live else self._plans.snapshot(), hooks=hooks)
            # Labels are not for the short way, as their range is to be checked each time; nor is what counts the batches.
            if live and rows == n and batch_size is None and not (self._labels or self._graph.draws or self._graph.staged):
                self._plans.keep_ready(plan)
        hooks.close({})
        return outputs if len(outputs) > 1 else outputs[0]

    def _predict_rows(
        self,
        inputs: list[np.ndarray],
        rows: int,
        snapshot: Snapshot | None,
        totals: np.ndarray | None = None,
        first: int | None = None,
        hooks: Hooks = NO_HOOKS,
        logs: Callable[[list[np.ndarray], int, int], dict[str, Any]] = _predicted,
    ) -> tuple[list[np.ndarray], _core.Plan]:
        """The outputs, computed so many rows at once with the weights of the snapshot or of the model; and the plan for it.

        first: the number of the first batch, where it has been counted. logs: what the hooks are told of rows. Adds what layers add to the loss to the first of `totals`, times the rows.
        """
        n = len(inputs[0])
        outputs = self._new_outputs(n)
        first = self._count_batches(-(-n // rows)) if first is None else first
        kind = "predict" if totals is None else "penalize"
        with self._plans.take(kind, rows, snapshot, packed_sizes(inputs)) as plan:
            self._plans.bind(plan, snapshot)
            given = as_numbers(inputs)
            phases, targets = (
                (PREDICT | _core.LOSS, [None] * len(outputs)) if totals is not None and plan.has_loss else (PREDICT, None)
            )
            row = 0
            while row < n:
                before = row
                row, _ = plan.run(
                    phases,
                    n_rows=hooks.limit(row, rows, n),
                    first_row=row,
                    batch_size=rows,
                    inputs=given,
                    outputs=outputs,
                    targets=targets,
                    step=first + row // rows,
                    loss_sum=totals,
                    seconds=_SLICE_SECONDS,
                )
                if hooks.stops(functools.partial(logs, outputs, before, row)):
                    outputs = [array[:row] for array in outputs]
                    break
        return outputs, plan

    def predict_on_batch(self, x: Any) -> Any:
        """`predict` for the rows of one batch."""
        ready = self._plans.predictor.predict(x)
        return self.predict(x) if ready is None else self._arranged(ready)

    # ---- derivatives ------------------------------------------------------------------------------------

    def input_gradient(self, x: Any, output: int | None = None) -> Any:
        """The derivative of the output by the inputs, as in inference: how much each number of a row matters for the result.

        Parameters
        ----------
        x : array_like, or a list of them
        output : int, optional
            Which number of a row of the output, as a class. Not needed where there is only one.

        Returns
        -------
        ndarray or list of ndarray, shapes of x
            Where there are several inputs, one for each.

        Raises
        ------
        ValueError
            If the model has several outputs, or there is no such number.
        NotImplementedError
            If a layer has no derivative in operations, see `fastnet.gradients`.
        """
        from ._derived import input_gradient

        return input_gradient(self, x, output)

    def input_jacobian(self, x: Any) -> np.ndarray:
        """The derivatives of all numbers of the output by those of the input, for each row.

        Parameters
        ----------
        x : array_like

        Returns
        -------
        ndarray, shape (n, *shape of the output, *shape of the input)

        Raises
        ------
        ValueError
            If the model has several inputs or outputs.
        NotImplementedError
            If a layer has no derivative in operations.
        """
        from ._derived import input_jacobian

        return input_jacobian(self, x)

    # ---- export -----------------------------------------------------------------------------------------

    def export(
        self,
        filepath: Any,
        *,
        name: str | None = None,
        header: bool = False,
        training: bool = False,
        gradient: bool = False,
        batch_size: int = 1,
        libm: bool = False,
        quantize: str | None = None,
        calibration: Any = None,
    ) -> Exported:
        """Writes the model as one file in C99 that predicts and, if asked, trains, without Python or any library.

        The file has ``NAME_predict``, for one row; with `training`, ``NAME_train``, one step on a batch with the loss, the optimizer
        and all that surrounds it in `compile`, and ``NAME_reset``, which sets the memory to the state at export: weights, slots and
        step of a model that has been trained already, whose training goes on. A step whose loss or gradient is not finite changes
        nothing and returns what is not finite; of plain SGD on one row only the loss is looked at. With `gradient`,
        ``NAME_input_gradient`` writes the derivatives of the outputs by the inputs of one row. All memory is the caller's:
        an object of ``NAME_memory``, whose size is known when it is compiled. With the macro ``NAME_SELFTEST`` it has a function
        ``NAME_selftest``, which predicts stored inputs and returns how many results are wrong.

        Parameters
        ----------
        filepath : path
            Ends with ".c".
        name : str, optional
            What all names begin with; default: that of the file.
        header : bool
            Write a header beside it.
        training : bool
        gradient : bool
            Write ``NAME_input_gradient(x, jacobian, memory)``: jacobian [outputs][inputs], all outputs one after another, an array
            for each input.
        batch_size : int
            Rows of a step of training.
        libm : bool
            Call the elementary functions of <math.h> rather than holding its own.
        quantize : {None, "int8"}
            "int8": predict in integers, for dense and convolutional networks. Weights have a scale for each column, all other
            arrays a scale and a zero, which are such that the range of what they hold for the calibration data, 0 included,
            becomes -128 to 127. What comes after the last product is in real numbers, such as softmax. Inputs and outputs are
            the same as without.
        calibration : array_like, list of array_like, or tuple (x, y)
            For quantize: some hundreds of rows of data such as the model will see. With labels y, whole numbers or one-hot,
            the accuracy with and without is printed, else how much the outputs differ.

        Returns
        -------
        Exported
            The paths, and the sizes in bytes of weights and memory, which are printed too; `loss`, of a quantised model: how
            much its outputs differ from the model's, and the accuracy of both.

        Raises
        ------
        NotImplementedError
            If the model has something that has no portable form, or with quantize no form in integers; the message names it.
        ValueError
            If the path or the name is not fit for C, weights are not finite, a batch is too large for indices of 32 bits, or the
            calibration data are not for the model.
        OSError
            If a file cannot be written. In any case there are both files that were asked for, or those from before.
        """
        from .exporting import export

        return export(
            self, filepath, name=name, header=header, training=training, gradient=gradient, batch_size=batch_size, libm=libm,
            quantize=quantize, calibration=calibration,
        )  # fmt: skip


def as_asked(logs: Mapping[str, Any], return_dict: bool, verbose: Any = 0) -> Any:
    """Loss and metrics as `evaluate` returns them; verbose: printed, too."""
    if verbose:
        print(" - ".join(f"{name}: {value:.4g}" for name, value in logs.items()))
    if return_dict:
        return dict(logs)
    values = list(logs.values())
    return values if len(values) > 1 else values[0]
