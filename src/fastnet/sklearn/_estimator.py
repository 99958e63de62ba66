"""What classifier and regressor have in common: parameters, and how they are fitted."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.inspection import permutation_importance
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_consistent_length, check_random_state, resample
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from .. import optimizers
from .._scaling import SCALINGS, Scaling, as_counts, issparse
from ..layers import Input, Layer
from ..many import FitManyError, PerModel, fit_many
from ._callbacks import CallbackSupportMixin, FitTask, copies_of
from ._networks import Penalty, build_network, first_weights, hidden_sizes, make_optimizer, set_decay
from ._tables import Table, is_table
from ._threads import allowed_threads
from ._watch import Record, Watch

__all__ = ["BaseMLP"]

_Rows = tuple[Any, np.ndarray, np.ndarray | None]
#: Scalings by which zeros stay zeros, where there is no mean: a sparse matrix stays one.
_KEEPS_ZEROS = (None, "standard", "max_abs")
_IMPORTANCE_ROWS = 1000
#: What a network is made by.
_STRUCTURE = ("hidden_layer_sizes", "activation", "layers", "dropout", "scaling", "max_one_hot", "dtype", "target_scaling")
#: alpha="auto": scikit-learn's; and where each feature is many inputs, this by the number of rows, at most that.
_ALPHA, _ALPHA_ROWS, _MOST_ALPHA = 1e-4, 3000.0, 3.0
#: Features up to which scaling="auto" gives an array's more inputs: the products of the first layer cost so many times as much.
_FEW_FEATURES = 50
#: Rows beyond which early_stopping="auto" stops early, as in HistGradientBoostingClassifier.
_AUTO_ROWS = 10_000


class BaseMLP(CallbackSupportMixin, BaseEstimator):
    """Base of the estimators."""

    _parameter_constraints: dict[str, list[Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [str, Layer, callable],
        "solver": [str, optimizers.Optimizer],
        "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"}), callable],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "layers": [list, tuple, Layer, callable, None],
        "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "scaling": [StrOptions({"auto", "max_abs", *SCALINGS}), None],
        "max_one_hot": [Interval(Integral, 0, None, closed="left")],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "dtype": [StrOptions({"auto", "float32", "float64"})],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "importances": ["boolean"],
    }

    # ---- what the estimators say of themselves ---------------------------------------------------------

    def _loss(self) -> tuple[Any, float]:
        """The loss of the networks, and its factor."""
        raise NotImplementedError

    def _learn_targets(self, y: Any, weights: np.ndarray | None, first: bool, incremental: bool) -> None:
        """Learns what there is to know of targets, or checks that they fit what is known; sets `n_outputs_`."""
        raise NotImplementedError

    def _encode(self, y: Any) -> np.ndarray:
        """Targets as the networks take them."""
        raise NotImplementedError

    def _check_targets(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        """Inputs and targets, validated."""
        raise NotImplementedError

    def _score_outputs(self, y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None) -> float:
        """The score of what a network gives, for encoded targets."""
        raise NotImplementedError

    def _class_weights(self, y: Any) -> np.ndarray | None:
        """Weights of the rows by their classes."""
        return None

    # ---- fit -------------------------------------------------------------------------------------------

    def _validate_inputs(self, X: Any, reset: bool, y: Any = "no_validation", **options: Any) -> Any:
        """The data as arrays, or sparse matrices in CSR format, of the kind that the networks compute with; TypeError for a dictionary of
        columns."""
        if isinstance(X, Mapping):
            raise TypeError(
                f"{type(self).__name__} takes an array, a sparse matrix, a frame or a table of Arrow, got a {type(X).__name__} with "
                f"{list(X)!r:.200}; of columns by name pandas.DataFrame(X) makes a frame"
            )
        if reset:
            self._table = Table(X, self.max_one_hot) if is_table(X) else None
        if getattr(self, "_table", None) is not None:
            return self._encode_table(X, reset, y)
        kinds = {"float32": np.float32, "float64": np.float64}.get(self.dtype, (np.float64, np.float32))
        found = validate_data(self, X, y, accept_sparse="csr", dtype=kinds, reset=reset, **options)
        if isinstance(found, tuple):
            return _canonical(found[0]), found[1]
        return _canonical(found)

    def _encode_table(self, X: Any, reset: bool, y: Any) -> Any:
        """The numbers of a frame with text, dates or gaps."""
        validate_data(self, X, skip_check_array=True, reset=reset)
        numbers = self._table.encode(X, np.float64 if self.dtype == "float64" else np.float32)
        if isinstance(y, str):
            return numbers
        y = check_array(y, ensure_2d=False, dtype="numeric" if is_regressor(self) else None, input_name="y", estimator=self)
        check_consistent_length(numbers, y)
        return numbers, y

    def _row_weights(self, sample_weight: Any, X: np.ndarray, y: Any) -> np.ndarray | None:
        by_class = self._class_weights(y)
        if sample_weight is None:
            return by_class
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
        if (weights < 0).any():
            raise ValueError(f"Negative values in data passed to `sample_weight`: {weights.min()}")
        if not weights.any():
            raise ValueError("sample_weight: all weights are 0")
        return weights if by_class is None else weights * by_class

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        validation_data: Any = None,
        callbacks: Any = None,
        incremental: bool = False,
    ) -> Any:
        known = dict(vars(self))
        try:
            return self._fit_rows(X, y, sample_weight, validation_data, callbacks, incremental)
        except (
            BaseException
        ):  # what it has learnt of other data would be the names of the outputs of networks that there were before
            vars(self).clear()
            vars(self).update(known)
            raise

    def _fit_rows(self, X: Any, y: Any, sample_weight: Any, validation_data: Any, callbacks: Any, incremental: bool) -> Any:
        self._validate_params()
        if incremental and self.early_stopping is True:
            raise ValueError("partial_fit does not support early_stopping=True")
        first = not hasattr(self, "models_") or (not self.warm_start and not incremental)
        if not first and len(self.models_) != self.n_members:
            raise ValueError(
                f"n_members={self.n_members}, and there are {len(self.models_)} networks to go on with: set n_members to that, or fit with "
                "warm_start=False"
            )
        if not first:
            self._check_unchanged()
        given = X, y
        reset = not (incremental and hasattr(self, "n_features_in_")) if incremental else first
        X, y = self._check_targets(X, y, reset)
        X = self._rows_to_train_with(X)
        weights = self._row_weights(sample_weight, X, y)
        self._learn_targets(y, weights, first, incremental)
        targets = self._encode(y)
        if weights is not None and not weights.all():
            used = weights != 0
            X, targets, weights = X[used], targets[used], weights[used]
        held = None if validation_data is None else self._held_out(validation_data)
        metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
        self._stops_early = (
            X.shape[0] > _AUTO_ROWS and not incremental if self.early_stopping == "auto" else bool(self.early_stopping)
        )
        epochs = 1 if incremental else self.max_iter
        task = FitTask(self, epochs if self.n_members == 1 else 0, *given, metadata)
        self._train((X, targets, weights), held, first, incremental, epochs, list(callbacks or []), task)
        if self.importances and not incremental:
            rows = given if validation_data is None else validation_data[:2]
            self.feature_importances_ = self._importances(*rows)
        task.end()
        return self

    def _structure(self) -> dict[str, Any]:
        """The arguments that say what the networks are, by name: training that goes on cannot change them."""
        found = {name: getattr(self, name) for name in _STRUCTURE if hasattr(self, name)}
        found = {
            name: list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else value
            for name, value in found.items()
        }
        found["hidden_layer_sizes"] = hidden_sizes(self)
        if not is_classifier(self):
            found["loss"] = "poisson" if self.loss == "poisson" else "another than 'poisson'"
        return found

    def _check_unchanged(self) -> None:
        """ValueError where arguments have been set that say what the networks are, and there are networks to go on with."""
        for name, value in self._structure().items():
            there = getattr(self, "_built_with", {}).get(name, value)
            if there is not value and there != value:
                raise ValueError(
                    f"{name}={getattr(self, name)!r}, and the networks to go on with were made with {there!r}: set it to that, or fit with "
                    "warm_start=False"
                )

    def _held_out(self, validation_data: Any) -> _Rows:
        """The rows that the user gives to validate with, encoded."""
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
            raise ValueError("validation_data must be (X, y) or (X, y, sample_weight)")
        X, y = self._check_targets(*validation_data[:2], False)
        weights = _check_sample_weight(validation_data[2], X) if len(validation_data) == 3 else None
        return X, self._encode(y), weights

    def _train(
        self, rows: _Rows, held: _Rows | None, first: bool, incremental: bool, epochs: int, callbacks: list[Any], task: FitTask
    ) -> None:
        """Trains the members, each from where it is or from new weights."""
        X, y, weights = rows
        random_state = check_random_state(self.random_state)
        if first:
            cardinalities = [] if self._table is None else self._table.cardinalities
            scaling = Scaling(*self._scaling_of(X), X, weights, cardinalities)
            self._records = [Record() for _ in range(self.n_members)]
            models, self._dense, self._plain = [], [], self.layers is None
        else:
            models = self.models_
        new_optimizers = first or not incremental
        fits, watches, batch_sizes = [], [], []
        for number in range(self.n_members):
            start = None
            if first and self.layers is None:
                width = scaling.apply(Input((X.shape[1],))).shape[-1]
                start = first_weights(self, [width, *hidden_sizes(self), self.n_outputs_], random_state)
            train, own_held = (rows, held) if held is not None or not self._stops_early else self._split(rows, random_state)
            n = len(train[1])
            batch_size = min(200, n) if self.batch_size == "auto" else self.batch_size
            if batch_size > n:
                if not incremental:
                    warnings.warn(f"batch_size={batch_size} is larger than the {n} rows there are: it is clipped", stacklevel=4)
                batch_size = n
            penalty = self._penalty(n, batch_size, weights, X.shape[1], incremental)
            if first:
                seed = int(random_state.randint(np.iinfo(np.int32).max))
                model, dense = build_network(self, scaling, X.shape[1], self.n_outputs_, seed, np.dtype(X.dtype).name)
                for layer, values in zip(dense, start or ()):
                    layer.set_weights(values)
                models.append(model)
                self._dense.append([model.layers.index(layer) for layer in dense])
            model = models[number]
            dense = [model.layers[i] for i in self._dense[number]]
            if penalty.put_on(dense) or new_optimizers:
                loss, factor = self._loss()
                optimizer = make_optimizer(self) if new_optimizers else model.optimizer
                model.compile(optimizer, loss, loss_weights=[factor], n_threads=allowed_threads(self.n_threads))
            set_decay(model.optimizer, self, penalty)
            hook = None if task.context is None or self.n_members > 1 else self._hook(models, task)
            watches.append(Watch(self._records[number], self, n, self._scorer(own_held), self._missing(dense, penalty), hook))
            fits.append(train)
            batch_sizes.append(batch_size)
        try:
            self._run(models, fits, batch_sizes, watches, epochs, callbacks)
        finally:
            for model in models:
                set_decay(model.optimizer, self, None)
        self.models_ = models
        if first:
            self._built_with = self._structure()
        for model, watch in zip(models, watches):
            watch.finish(model)
        self._describe(watches, incremental)

    def _scaling_of(self, X: Any) -> tuple[str | None, np.ndarray]:
        """How to scale, and which of the inputs."""
        table, kind = self._table, self._kind_of_scaling(X.shape[1])
        # A column that is seldom other than 0 has a small deviation, by which its numbers would become large ones.
        kind = "common" if issparse(X) and self.scaling == "auto" else kind
        return kind, np.ones(X.shape[1], bool) if table is None else table.scaled

    def _rows_to_train_with(self, X: Any) -> Any:
        """A sparse matrix stays one, unless the network has more inputs than columns, or the optimizer takes all rows at once."""
        if not issparse(X):
            return X
        dense = self._kind_of_scaling(X.shape[1]) not in _KEEPS_ZEROS or make_optimizer(self).full_batch
        return X.toarray(order="C") if dense else X

    def _kind_of_scaling(self, n_features: int) -> str | None:
        if self.scaling != "auto":
            return self.scaling
        few = self.layers is None and n_features <= _FEW_FEATURES  # layers of the user's are made for so many inputs as there are
        return "piecewise" if self._table is not None or few else "standard"

    def _penalty(self, n: int, batch_size: int, weights: np.ndarray | None, n_features: int, incremental: bool) -> Penalty:
        """The penalty for n rows. That which goes by their number counts a row of weight 2 as two, and does not depend on the unit of weights."""
        if self.alpha != "auto" or incremental or self._kind_of_scaling(n_features) not in ("piecewise", "periodic"):
            mean = 1.0 if weights is None else float(weights.mean())
            return Penalty(_ALPHA if self.alpha == "auto" else self.alpha, n, batch_size, mean)
        mean = 1.0 if weights is None else float(as_counts(weights).mean())
        return Penalty(min(_MOST_ALPHA, _ALPHA_ROWS / (n * mean)), n, batch_size, mean)

    def _split(self, rows: _Rows, random_state: np.random.RandomState) -> tuple[_Rows, _Rows]:
        """Rows to train with, and rows to validate with."""
        X, y, weights = rows
        parts = [X, y] if weights is None else [X, y, weights]
        parts = train_test_split(*parts, random_state=random_state, test_size=self.validation_fraction, stratify=self._strata(y))
        if parts[1].shape[0] < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
        train, held = parts[0::2], parts[1::2]
        return tuple([*train, None][:3]), tuple([*held, None][:3])

    def _strata(self, y: np.ndarray) -> np.ndarray | None:
        """The classes to keep in proportion where rows are held out."""
        return None

    def _scorer(self, held: _Rows | None) -> Callable[[Any], float] | None:
        if held is None:
            return None
        X, y, weights = held
        return lambda model: self._score_outputs(y, model.predict(X, verbose=0), weights)

    def _missing(self, dense: list[Any], penalty: Penalty) -> Callable[[], float] | None:
        kernels = [layer.weights[0] for layer in dense]
        return None if not penalty.more else lambda: penalty.missing([weight.array for weight in kernels])

    def _hook(self, models: list[Any], task: FitTask) -> Callable[[Watch], bool]:
        task.begin_epoch()

        def hook(watch: Watch) -> bool:
            stops = task.end_epoch(lambda: {"models_": copies_of(models)})
            if not stops and not models[0].stop_training and watch.record.epochs < self.max_iter:
                task.begin_epoch()
            return stops

        return hook

    def _run(
        self, models: list[Any], fits: list[_Rows], sizes: list[int], watches: list[Watch], epochs: int, callbacks: list[Any]
    ) -> None:
        common = dict(epochs=epochs, shuffle=self.shuffle, check_finite=False, verbose=0)
        weights = [None if one[2] is None else one[2] / one[2].mean() for one in fits]
        try:
            if len(models) == 1:
                X, y, _ = fits[0]
                models[0].fit(X, y, sizes[0], sample_weight=weights[0], callbacks=[*watches, *callbacks], **common)
                return
            if callbacks:
                raise ValueError("callbacks are for n_members=1: they have a state, and each network would need its own")
            X, y, _ = zip(*fits)
            fit_many(
                models,
                PerModel(X),
                PerModel(y),
                batch_size=PerModel(sizes),
                sample_weight=PerModel(weights),
                callbacks=PerModel([[watch] for watch in watches]),
                n_threads=allowed_threads(self.n_threads),
                **common,
            )
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=5)
        except (FloatingPointError, FitManyError) as error:
            errors = error.errors.values() if isinstance(error, FitManyError) else [error]
            if not all(isinstance(one, FloatingPointError) for one in errors):
                raise
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
                f"preprocessed. {error}"
            ) from error

    def _describe(self, watches: list[Watch], incremental: bool) -> None:
        """Sets the attributes that tell of the training: those of the first member."""
        record = self._records[0]
        self.n_iter_ = max(one.epochs for one in self._records)
        self.t_ = record.samples
        self.loss_curve_, self.loss_ = list(record.losses), record.losses[-1] if record.losses else math.nan
        if self._stops_early:
            self.best_loss_ = None
            self.validation_scores_, self.best_validation_score_ = list(record.scores), record.best_score
        else:
            self.best_loss_ = record.best_loss
            self.validation_scores_ = list(record.scores) or None
            self.best_validation_score_ = record.best_score if record.scores else None
        stopped = all(watch.converged or model.stop_training for watch, model in zip(watches, self.models_))
        if not incremental and not stopped and self.n_iter_ == self.max_iter:
            warnings.warn(
                f"Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _importances(self, X: Any, y: Any) -> np.ndarray:
        """How much the score falls where a feature is permuted, on at most 1000 rows."""
        random_state = check_random_state(0)
        n = X.shape[0] if hasattr(X, "shape") else len(X)
        samples = 1.0 if n <= _IMPORTANCE_ROWS else _IMPORTANCE_ROWS
        if issparse(X):  # no more rows of it are made dense than are used
            X, y = resample(X.tocsr(), y, replace=False, n_samples=min(n, _IMPORTANCE_ROWS), random_state=0)
            X, samples = X.toarray(), 1.0
        found = permutation_importance(self, X, y, random_state=random_state, max_samples=samples)
        return found.importances_mean

    # ---- prediction ------------------------------------------------------------------------------------

    def _outputs(self, X: Any) -> np.ndarray:
        """What the networks give, (n, n_outputs): the mean of the members."""
        check_is_fitted(self)
        X = self._validate_inputs(X, reset=False)
        X = X.astype(self.models_[0].dtype, copy=False)
        outputs = [model.predict(X, verbose=0) for model in self.models_]
        return outputs[0] if len(outputs) == 1 else np.mean(outputs, axis=0)

    def _layers_of_first(self) -> list[Any]:
        check_is_fitted(self)
        if not self._plain:
            raise AttributeError(f"{type(self).__name__} with layers of one's own: their weights are models_[0].get_weights()")
        return [self.models_[0].layers[i] for i in self._dense[0]]

    @property
    def coefs_(self) -> list[np.ndarray]:
        """The kernels of the dense layers, in the first network; they see scaled inputs, where `scaling` is not None."""
        return [layer.get_weights()[0] for layer in self._layers_of_first()]

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """Their biases."""
        return [layer.get_weights()[1] for layer in self._layers_of_first()]

    @property
    def n_layers_(self) -> int:
        """Layers with the first, the inputs."""
        return len(self._layers_of_first()) + 1

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _canonical(X: Any) -> Any:
    """Of a sparse matrix one with a number for each place, at most."""
    if issparse(X) and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X
