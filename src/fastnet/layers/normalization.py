"""Layers that normalise activations: batch, layer, RMS and group normalisation."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Mapping
from typing import Any, Unpack

from .. import constraints, initializers, regularizers
from .._graph import Operation, SymbolicTensor
from .._types import ConstraintLike, InitializerLike, LayerOptions, RegularizerLike
from .._weights import WeightSpec
from .base import Layer

__all__ = ["BatchNormalization", "GroupNormalization", "LayerNormalization", "RMSNormalization"]


def number_in(layer: Layer, name: str, value: Any, low: float, high: float) -> float:
    """The value as a float; TypeError or ValueError with the argument's name unless low <= value <= high."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{layer._label}: {name} must be a number, got {value!r}") from None
    if not (low <= number <= high and math.isfinite(number)):
        expected = f"at least {low:g}" if math.isinf(high) else f"between {low:g} and {high:g}"
        raise ValueError(f"{layer._label}: {name} must be {expected}, got {value}")
    return number


class _Normalization(Layer):
    """The arguments that all have in common, and the check that it is the last axis that is meant."""

    supports_masking = True

    def __init__(self, axis: Any, epsilon: float, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        given = list(axis) if isinstance(axis, (list, tuple)) and len(axis) == 1 else [axis]
        try:
            self.axis = operator.index(given[0])
        except TypeError:
            raise TypeError(f"{self._label}: axis must be an integer, got {axis!r}") from None
        self.epsilon = number_in(self, "epsilon", epsilon, 0.0, math.inf)

    def _check_axis(self, x: SymbolicTensor) -> None:
        if self.axis not in (-1, len(x.sample_shape)):
            raise ValueError(
                f"layer {self._label!r}: axis {self.axis} of an input of shape {x.shape}: channels are on the last axis, -1"
            )


class _CenteredNormalization(_Normalization):
    """Those with gamma and beta."""

    def __init__(
        self,
        axis: int,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: InitializerLike,
        gamma_initializer: InitializerLike,
        beta_regularizer: RegularizerLike,
        gamma_regularizer: RegularizerLike,
        beta_constraint: ConstraintLike,
        gamma_constraint: ConstraintLike,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(axis, epsilon, **kwargs)
        self.center, self.scale = bool(center), bool(scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)

    def _weights_and_attributes(self) -> tuple[dict[str, WeightSpec], dict[str, Any]]:
        weights = {}
        if self.scale:
            weights["gamma"] = WeightSpec(self.gamma_initializer, self.gamma_regularizer, True, self.gamma_constraint)
        if self.center:
            weights["beta"] = WeightSpec(self.beta_initializer, self.beta_regularizer, True, self.beta_constraint)
        return weights, {"epsilon": self.epsilon, "center": self.center, "scale": self.scale}

    @property
    def gamma(self) -> Any:
        """The scale, a view of shape (channels,), or None."""
        return self._weights["gamma"].value if self.scale else None

    @property
    def beta(self) -> Any:
        """The shift, a view of shape (channels,), or None."""
        return self._weights["beta"].value if self.center else None


class BatchNormalization(_CenteredNormalization):
    r"""Normalises each channel over the batch and all positions (Ioffe and Szegedy, 2015).

    In training ``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta`` with the mean and variance of the batch,
    and with each update of the weights ``moving = momentum * moving + (1 - momentum) * batch``. In inference, and while
    `trainable` is False, with the moving ones.

    The variance is that divided by the number of positions N. Keras 3 moves the same towards it; PyTorch moves
    ``N / (N - 1)`` times that, so its moving variance is larger. A batch of one position gives ``y = beta``.

    Parameters
    ----------
    axis : int
        That of the channels: the last.
    momentum : float
        Keras's 0.99 is 0.01 in PyTorch's terms.
    epsilon : float
    center, scale : bool
        Whether there is a beta, a gamma.
    beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer : str or Initializer
        The weights are ``gamma``, ``beta``, ``moving_mean`` and ``moving_variance``, each of shape (channels,).
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
    beta_constraint, gamma_constraint : str or Constraint, optional
    synchronized : bool
        Whether mean and variance are those of the whole batch where several processes train the model, see
        `fn.distribution.DataParallel`, and not those of each piece of it. One process has the whole batch.
    trainable, name
        As in `Layer`.

    Notes
    -----
    The moving statistics are a part of the update: they do not move in a step whose loss is not finite, and in a loop
    of your own they move in `Model.apply_gradients`, not in `Model.forward`. When gradients are accumulated they move
    with each batch.

    A mask of the input, see `Masking`, goes on to the output, and changes nothing here: the steps that it leaves out count for mean and
    variance, other than in Keras, of which a UserWarning tells when a layer that is trained is called.

    Examples
    --------
    >>> import fastnet as fn
    >>> layer = fn.layers.BatchNormalization()
    >>> model = fn.Sequential([fn.Input((4,)), layer])
    >>> [weight.name for weight in layer.weights], len(layer.trainable_weights)
    (['gamma', 'beta', 'moving_mean', 'moving_variance'], 2)
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        moving_mean_initializer: InitializerLike = "zeros",
        moving_variance_initializer: InitializerLike = "ones",
        beta_regularizer: RegularizerLike | None = None,
        gamma_regularizer: RegularizerLike | None = None,
        beta_constraint: ConstraintLike | None = None,
        gamma_constraint: ConstraintLike | None = None,
        *,
        synchronized: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            axis,
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
            **kwargs,
        )
        self.momentum = number_in(self, "momentum", momentum, 0.0, 1.0)
        self.synchronized = bool(synchronized)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self._check_axis(x)
        if x.mask is not None and self.trainable:
            warnings.warn(
                f"layer {self._label!r}: its input has a mask, and the steps that it leaves out count for mean and variance in training; "
                "Keras leaves them out. Normalise before the mask is made, or use LayerNormalization, to which steps do not matter",
                UserWarning,
                stacklevel=4,
            )
        weights, attributes = self._weights_and_attributes()
        weights["moving_mean"] = WeightSpec(self.moving_mean_initializer, trainable=False)
        weights["moving_variance"] = WeightSpec(self.moving_variance_initializer, trainable=False)
        attributes["momentum"] = self.momentum
        if self.synchronized:
            attributes["synchronized"] = True
        return self.emit("batch_normalization", [x], attributes, weights)

    def plan_attributes(self, operation: Operation) -> Mapping[str, float]:
        if operation.op != "batch_normalization":  # its derivative
            return operation.attributes
        return {**operation.attributes, "frozen": not self.trainable or bool(operation.attributes.get("frozen"))}

    @property
    def moving_mean(self) -> Any:
        """The mean for inference, a view of shape (channels,)."""
        return self._weights["moving_mean"].value

    @property
    def moving_variance(self) -> Any:
        """The variance for inference, a view of shape (channels,)."""
        return self._weights["moving_variance"].value


class LayerNormalization(_CenteredNormalization):
    """Normalises each position over its channels (Ba, Kiros and Hinton, 2016).

    ``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta``, mean and variance over the last axis.

    Parameters
    ----------
    axis : int
        The last.
    epsilon : float
        PyTorch's default is 1e-5.
    center, scale : bool
        Whether there is a beta, a gamma.
    beta_initializer, gamma_initializer : str or Initializer
        The weights are ``gamma`` and ``beta``, of shape (channels,).
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
    beta_constraint, gamma_constraint : str or Constraint, optional
    trainable, name
        As in `Layer`.
    """

    def __init__(
        self,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        beta_regularizer: RegularizerLike | None = None,
        gamma_regularizer: RegularizerLike | None = None,
        beta_constraint: ConstraintLike | None = None,
        gamma_constraint: ConstraintLike | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            axis,
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
            **kwargs,
        )

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self._check_axis(x)
        weights, attributes = self._weights_and_attributes()
        return self.emit("layer_normalization", [x], attributes, weights)


class RMSNormalization(_Normalization):
    """Divides each position by the root of the mean square of its channels (Zhang and Sennrich, 2019).

    ``y = scale * x / sqrt(mean(x**2) + epsilon)``, the mean over the last axis.

    Parameters
    ----------
    axis : int
        The last.
    epsilon : float
    trainable, name
        As in `Layer`. The weight is ``scale``, of shape (channels,), ones at first.
    """

    def __init__(self, axis: int = -1, epsilon: float = 1e-6, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(axis, epsilon, **kwargs)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self._check_axis(x)
        weights = {"scale": WeightSpec(initializers.Ones())}
        return self.emit("rms_normalization", [x], {"epsilon": self.epsilon}, weights)

    @property
    def scale(self) -> Any:
        """The scale, a view of shape (channels,)."""
        return self._weights["scale"].value


class GroupNormalization(_CenteredNormalization):
    """Normalises each row over its positions and groups of channels (Wu and He, 2018).

    ``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta``, mean and variance over all positions of a row and the
    ``channels / groups`` channels of a group. One group is layer normalisation over positions, too; ``groups=-1``, as
    many as channels, instance normalisation (Ulyanov et al., 2016).

    Parameters
    ----------
    groups : int
        A divisor of the number of channels, or -1.
    axis : int
        That of the channels: the last.
    epsilon : float
    center, scale : bool
        Whether there is a beta, a gamma.
    beta_initializer, gamma_initializer : str or Initializer
        The weights are ``gamma`` and ``beta``, of shape (channels,).
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
    beta_constraint, gamma_constraint : str or Constraint, optional
    trainable, name
        As in `Layer`.
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        beta_regularizer: RegularizerLike | None = None,
        gamma_regularizer: RegularizerLike | None = None,
        beta_constraint: ConstraintLike | None = None,
        gamma_constraint: ConstraintLike | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            axis,
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
            **kwargs,
        )
        try:
            self.groups = operator.index(groups)
        except TypeError:
            raise TypeError(f"{self._label}: groups must be an integer, got {groups!r}") from None
        if self.groups < 1 and self.groups != -1:
            raise ValueError(f"{self._label}: groups must be positive, or -1 for one of each channel, got {groups}")

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self._check_axis(x)
        weights, attributes = self._weights_and_attributes()
        return self.emit("group_normalization", [x], {**attributes, "groups": self.groups}, weights)
