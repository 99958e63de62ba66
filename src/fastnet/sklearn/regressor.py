"""The regressor."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d

from .. import ops
from .._scaling import mean_and_deviation
from ..losses import Loss
from ._callbacks import with_callbacks
from ._estimator import BaseMLP

__all__ = ["MLPRegressor"]

#: Losses by scikit-learn's names, which are a half of the square; those with a factor of the mean over several outputs.
_LOSSES = {"squared_error": ("mean_squared_error", 0.5), "absolute_error": ("mean_absolute_error", 1.0)}


class HalfPoissonDeviance(Loss):
    """``exp(z) - y z + y log(y) - y`` of a score z, the logarithm of the mean."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        constant = y_true * ops.log(ops.maximum(y_true, 1e-30)) - y_true
        return ops.sum(ops.exp(y_pred) - y_true * y_pred + constant, axis=-1)


class MLPRegressor(RegressorMixin, BaseMLP):
    """A network as a regressor of scikit-learn.

    Arguments and attributes are named as those of `sklearn.neural_network.MLPRegressor`, and mean the same. With ``scaling=None`` and
    ``target_scaling=False`` the arithmetic is the same, too: from the same first weights and in the same order of rows come the same
    weights, up to rounding. Of several targets the loss is the sum of theirs, whose gradient scikit-learn follows while it reports the mean.

    Parameters
    ----------
    hidden_layer_sizes : int or array_like of int
        Units of the hidden layers; () for none.
    activation : str, Layer or callable
        Of the hidden layers: "identity", "logistic", "tanh", "relu", or any that `layers.Dense` takes.
    loss : {"squared_error", "absolute_error", "poisson"}, another name, object or function for `Model.compile`
        The first is half of the square. "poisson" is half of the deviance, for targets that are not negative: the network gives the
        logarithm of the mean.
    solver : {"adam", "sgd", "lbfgs"}, another name or object of `fastnet.optimizers`
        The first two make the steps that scikit-learn's make, from the arguments below. `LBFGS` makes one step for all rows, `max_iter` of
        them, until no element of the gradient is larger than `tol`. Of an object each network has a copy, with its own learning rate.
    alpha : float or "auto"
        Adds ``alpha / (2 n) * sum(w**2)`` to the loss of a batch of n rows, w being the kernels that the estimator makes. "auto" is
        ``min(3, 3000 / rows)`` with piecewise and periodic `scaling`, else, and in partial_fit, scikit-learn's 0.0001.
    batch_size : int or "auto"
        "auto" is 200, or all rows where there are fewer.
    learning_rate : {"constant", "invscaling", "adaptive"} or schedule
        The first three are for "sgd": "invscaling" divides by ``(t + 1)**power_t`` after each epoch, t being the rows seen so far;
        "adaptive" divides by 5, where others stop, until 1e-6. A schedule of `fastnet.schedules`, or any function of the step, is for all
        solvers that have a name.
    learning_rate_init, power_t, momentum, nesterovs_momentum, beta_1, beta_2, epsilon : float, float, float, bool, float, float, float
    max_iter : int
        Epochs at most.
    shuffle : bool
        Visit the rows in another order in each epoch.
    random_state : int, RandomState or None
        For the first weights, which are those of scikit-learn's networks, for rows held out, and for the order.
    tol : float
    n_iter_no_change : int
        Training ends after more epochs than this in which the loss, or with `early_stopping` the score, has not become better by `tol`.
    verbose : bool
        Prints a line for each epoch.
    warm_start : bool
        Whether fit goes on from the weights that there are. What says how the network is built (its layers, `activation`, `dropout`,
        `scaling`, `dtype`) cannot change then: an error says so.
    early_stopping : bool or "auto"
        Stop by the score of rows held out, and go back to the weights of its best epoch. The rows are those of `validation_data`, or else
        `validation_fraction` of those given. "auto": where there are more than 10,000 rows, as in scikit-learn's gradient boosting.
    validation_fraction : float
    layers : list of Layer, or callable, optional
        In place of `hidden_layer_sizes`, `activation` and `dropout`: layers of which each network has copies, or a function that takes
        the symbolic tensor of the (scaled) inputs and returns that from which the estimator's last layer is to predict.
    dropout : float or array_like of float
        Part of the units of each hidden layer that `layers.Dropout` leaves out in a step.
    scaling : {"auto", "standard", "max_abs", "robust", "piecewise", "periodic", None}
        How numbers are scaled, as a part of the network; learnt in the first call of `fit`, in `partial_fit` from the rows of the first call.
        "standard": to mean 0 and deviation 1; of a sparse matrix by the deviation alone, so that zeros stay zeros. "max_abs": by the
        largest absolute value of a column, which keeps zeros too. "robust": by median and quartiles, where tails are long. "piecewise": as "standard", and
        beside it a piecewise linear encoding by up to 32 quantiles; "periodic": as "standard", and beside it sines and cosines of
        frequencies that are learnt, behind a dense layer for each feature (Gorishniy et al., 2022). Both cost time, and are worth much on
        tables. "auto": "piecewise" for frames that are not numbers alone and, without `layers`, for up to 50 features, else "standard".
        Of a sparse matrix of more features it is one factor for all columns, by the median of the root mean squares of their non-zeros, but
        for columns whose numbers are ten times larger or smaller, which have their own. None: not at all, as in scikit-learn.
    target_scaling : bool
        Train with targets of mean 0 and deviation 1, so that neither the learning rate nor `tol` depends on their unit. Not for "poisson".
    max_one_hot : int
        Categories of a column of a frame that have an input each; a column of more has an `Embedding`, as in `fastnet.utils.TableEncoder`.
    n_members : int
        Networks that are trained at once (`fastnet.fit_many`), each from its own first weights and in its own order, with
        `early_stopping` on its own rows; their outputs are averaged.
    dtype : {"auto", "float32", "float64"}
        In which all is computed. "auto": in that of `X`, or float64.
    n_threads : int, optional
        Default: as many as `OMP_NUM_THREADS`, threadpoolctl and joblib leave to this process; one in a thread of joblib.
    importances : bool
        Whether fit computes `feature_importances_`: how much the score of at most 1000 rows (of `validation_data`, or else of those
        trained on) falls when the values of a column are permuted.

    Attributes
    ----------
    models_ : list of Model
        The networks, whose outputs are scaled as the targets are; for all that fastnet does with models: `save`, `summary`, `fastnet.saving.to_onnx`.
    n_iter_ : int
        Epochs of the last call of fit.
    t_ : int
        Rows trained on, over all epochs.
    loss_, best_loss_ : float
        The last and the least loss of an epoch; the second is None with `early_stopping`.
    loss_curve_ : list of float
    validation_scores_ : list of float or None
        R2 of the rows held out after each epoch.
    best_validation_score_ : float or None
    coefs_, intercepts_ : list of ndarray
        Weights of the first network, where `layers` is None.
    n_features_in_, n_layers_, n_outputs_, out_activation_
    feature_names_in_ : ndarray of str
        Where `X` is a frame.
    feature_importances_ : ndarray, shape (n_features,)
        Where `importances` is True.

    Examples
    --------
    >>> import fastnet as fn
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> regressor = fn.sklearn.MLPRegressor((16,), early_stopping=True, learning_rate_init=0.01, random_state=0).fit(X, y)
    >>> bool(regressor.score(X, y) > 0.4)
    True
    """

    _parameter_constraints = {**BaseMLP._parameter_constraints, "loss": [str, Loss, callable], "target_scaling": ["boolean"]}

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        loss: Any = "squared_error",
        solver: Any = "adam",
        alpha: float | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        layers: Any = None,
        dropout: Any = 0.0,
        scaling: str | None = "auto",
        target_scaling: bool = True,
        max_one_hot: int = 255,
        n_members: int = 1,
        dtype: str = "auto",
        n_threads: int | None = None,
        importances: bool = False,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.layers = layers
        self.dropout = dropout
        self.scaling = scaling
        self.target_scaling = target_scaling
        self.max_one_hot = max_one_hot
        self.n_members = n_members
        self.dtype = dtype
        self.n_threads = n_threads
        self.importances = importances

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, validation_data: Any = None, callbacks: Any = None) -> Any:
        """Trains the regressor anew, or with `warm_start` from where it is.

        Parameters
        ----------
        X : {array_like, sparse matrix, frame}, shape (n, n_features)
            A sparse matrix is not made dense, but for up to 50 features, by the scalings that move its zeros ("robust", "piecewise",
            "periodic"), and for `LBFGS`.
            A frame may hold text, categories, dates, booleans and gaps.
        y : array_like, shape (n,) or (n, n_outputs)
        sample_weight : array_like, shape (n,), optional
            Rows of weight 0 are left out; one of weight 2 counts as two.
        validation_data : tuple, optional
            ``(X, y)`` or ``(X, y, sample_weight)``: rows whose score is taken after each epoch, and which `early_stopping` goes by.
        callbacks : list of fastnet.callbacks.Callback, optional
            Used as they are, with one network.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For arguments and data that do not fit, and where weights become infinite.

        Warns
        -----
        ConvergenceWarning
            Where `max_iter` ends training.
        """
        return self._fit(X, y, sample_weight, validation_data, callbacks)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Trains for one epoch more on these rows.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, incremental=True)

    # ---- targets ---------------------------------------------------------------------------------------

    def _check_targets(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        X, y = self._validate_inputs(X, reset, y, multi_output=True, y_numeric=True)
        if y.dtype.kind not in "biuf":  # such as numbers that are text
            y = y.astype(np.float64)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if self.loss == "poisson" and (y < 0).any():
            raise ValueError(f"loss='poisson' needs targets that are not negative, got {y.min()}")
        return X, y

    def _learn_targets(self, y: Any, weights: np.ndarray | None, first: bool, incremental: bool) -> None:
        if not first:
            return
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]
        self.out_activation_ = "exp" if self.loss == "poisson" else "identity"
        self._target_map = None
        if self.target_scaling and self.loss != "poisson":
            self._target_map = mean_and_deviation(y.reshape(len(y), -1).astype(np.float64), weights)

    def _encode(self, y: Any) -> np.ndarray:
        y = y.reshape(len(y), -1)
        if y.shape[1] != self.n_outputs_:
            raise ValueError(f"y has {y.shape[1]} columns, {self.n_outputs_} were seen before")
        if self._target_map is None:
            return y
        mean, deviation = self._target_map
        return (y - mean) / deviation

    def _loss(self) -> tuple[Any, float]:
        if self.loss == "poisson":
            return HalfPoissonDeviance(), 1.0
        name, factor = _LOSSES.get(self.loss, (self.loss, 1.0)) if isinstance(self.loss, str) else (self.loss, 1.0)
        return name, factor * self.n_outputs_ if isinstance(self.loss, str) else factor

    def _score_outputs(self, y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None) -> float:
        if not np.isfinite(outputs).all():
            return float("nan")
        return float(r2_score(y, np.exp(outputs) if self.loss == "poisson" else outputs, sample_weight=weights))

    # ---- prediction ------------------------------------------------------------------------------------

    def predict(self, X: Any) -> np.ndarray:
        """The prediction for each row.

        Parameters
        ----------
        X : {array_like, sparse matrix}, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n,) or (n, n_outputs)
        """
        outputs = self._outputs(X)
        if self.loss == "poisson":
            outputs = np.exp(outputs)
        elif self._target_map is not None:
            mean, deviation = self._target_map
            outputs = (outputs * deviation + mean).astype(outputs.dtype)
        return outputs[:, 0] if self.n_outputs_ == 1 else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
