"""Input, Dense, Activation, Flatten, Reshape."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, Unpack

from .. import _core, activations, constraints, initializers, regularizers
from .._graph import SymbolicTensor, shape_attributes
from .._types import ActivationLike, ConstraintLike, InitializerLike, LayerOptions, RegularizerLike
from .._weights import WeightSpec
from .base import Layer

__all__ = ["Activation", "ActivityRegularization", "Dense", "Flatten", "Input", "Reshape"]


def Input(
    shape: Sequence[int | None] | None = None,
    batch_size: int | None = None,
    dtype: str | None = None,
    *,
    batch_shape: Sequence[int | None] | None = None,
    name: str | None = None,
) -> SymbolicTensor:
    """An input of a model.

    Parameters
    ----------
    shape : sequence of int or None
        Shape of one sample, without the batch axis: ``(64,)``. None leaves a size open, as the number of steps or the size of an
        image: it may be another one in each call of `fit`, `predict`, `train_on_batch` and the like.
    batch_size : int, optional
        The number of rows of each batch, for recurrent layers that are stateful; others do not need it.
    dtype : str, optional
        "string": text, for layers that take it, as `StringLookup` and `TextVectorization`; "object": any values, as they are, for
        `fastnet.utils.TableEncoder`. Others are accepted as Keras does: arrays
        of any numeric dtype may be given to a model, which are converted to its own as each batch is gathered.
    batch_shape : sequence of int or None, optional
        In place of the two: the shape with the number of rows.
    name : str, optional
        Under which `fit` finds it in a dictionary of inputs.

    Returns
    -------
    SymbolicTensor

    Raises
    ------
    TypeError, ValueError
        If the shape is not a sequence of positive integers.

    Examples
    --------
    >>> Input((8, 8)).shape
    (None, 8, 8)
    """
    if batch_shape is not None:
        if shape is not None or batch_size is not None or not isinstance(batch_shape, Sequence) or not batch_shape:
            raise ValueError(
                f"Input: batch_shape, (rows, *shape), stands in place of shape and batch_size; got {batch_shape!r}, {shape!r} and "
                f"{batch_size!r}"
            )
        batch_size, shape = batch_shape[0], batch_shape[1:]
    if not isinstance(shape, Sequence) or isinstance(shape, str):
        hint = f" such as ({shape},)" if isinstance(shape, int) else ""
        raise TypeError(f"Input: shape must be a sequence of integers{hint}, got {shape!r}")
    if name is not None and not isinstance(name, str):
        raise TypeError(f"Input: name must be a string, got {name!r}")
    # Layers are called for some size where it is open, and for another one besides, to know what depends on it.
    some = (67, 67, 67, 257, 37)[min(len(shape), 4)]  # none that others are likely to be
    sizes = tuple(some if size is None else positive_integer("Input", "a size in shape", size) for size in shape)
    tensor = SymbolicTensor(sizes, None, name)
    tensor.holds_objects = dtype == "object"
    tensor.holds_strings = dtype == "string" or dtype is str or tensor.holds_objects
    if None in shape:
        tensor.open = tuple(axis for axis, size in enumerate(shape) if size is None)
        tensor.alternative = tuple(some + 64 if given is None else size for given, size in zip(shape, sizes))
    tensor.batch_size = None if batch_size is None else positive_integer("Input", "batch_size", batch_size)
    return tensor


def input_like(tensor: SymbolicTensor, shape: Sequence[int | None] | None = None, name: str | None = None) -> SymbolicTensor:
    """An input for what another tensor holds: of its shape, or of another one."""
    dtype = "object" if tensor.holds_objects else "string" if tensor.holds_strings else None
    return Input(tensor.sample_shape if shape is None else shape, tensor.batch_size, dtype, name=name)


def positive_integer(layer: str, argument: str, value: Any) -> int:
    """The value as an int; ValueError or TypeError with the argument's name if it is not a positive one."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{layer}: {argument} must be a positive integer, got {value!r}") from None
    if not 1 <= number < 2**31:
        raise ValueError(f"{layer}: {argument} must be a positive integer below 2**31, got {value!r}")
    return number


class Dense(Layer):
    """Every output from every input: ``y = activation(x @ kernel + bias)``, over the last axis.

    Parameters
    ----------
    units : int
        Size of the last axis of the output.
    activation : str, callable or None
        Name of an activation or one of `fastnet.activations`. None: linear.
    use_bias : bool
    kernel_initializer, bias_initializer : str or Initializer
        The weights are ``kernel`` of shape (inputs, units) and ``bias`` of shape (units,).
    kernel_regularizer, bias_regularizer, activity_regularizer : str or Regularizer, optional
        Penalties on the weights and on the output, a part of the loss.
    kernel_constraint, bias_constraint : str or Constraint, optional
        What is done to the weights after each update; see `fastnet.constraints`.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> Dense(10, activation="relu")(Input((4,))).shape
    (None, 10)
    """

    supports_masking = True

    def __init__(
        self,
        units: int,
        activation: ActivationLike | None = None,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        activity_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.units = positive_integer(self._label, "units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        weights = {"kernel": WeightSpec(self.kernel_initializer, self.kernel_regularizer, True, self.kernel_constraint)}
        if self.use_bias:
            weights["bias"] = WeightSpec(self.bias_initializer, self.bias_regularizer, True, self.bias_constraint)
        attributes = {"units": self.units, "use_bias": self.use_bias}
        if self.activation.elementwise:
            attributes.update(self.activation.attributes())
        y = self.emit("dense", [x], attributes, weights)
        if not self.activation.elementwise:
            y = self.activation.apply(self, y)
        return self.regularize(y)

    @property
    def kernel(self) -> Any:
        """The kernel, a view of shape (inputs, units)."""
        return self._weights["kernel"].value

    @property
    def bias(self) -> Any:
        """The bias, a view of shape (units,), or None."""
        return self._weights["bias"].value if self.use_bias else None


class ActivityRegularization(Layer):
    """Passes its input on, and adds ``l1 * sum(abs(x)) + l2 * sum(x**2)``, the mean over the rows, to the loss.

    Parameters
    ----------
    l1, l2 : float
    """

    supports_masking = True

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.l1, self.l2 = float(l1), float(l2)
        self.activity_regularizer = regularizers.L1L2(l1, l2)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return self.regularize(x)


class Activation(Layer):
    """An activation as a layer.

    Parameters
    ----------
    activation : str or callable
        Name of an activation or one of `fastnet.activations`.
    """

    supports_masking = True

    def __init__(self, activation: ActivationLike, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return self.activation.apply(self, x)


def reshape_attributes(shape: Sequence[int], layer: str) -> dict[str, int]:
    """A shape as attributes of the operation "reshape"; ValueError where it has too many axes."""
    if len(shape) > _core.MAX_RANK:
        raise ValueError(f"layer {layer!r}: a shape has at most {_core.MAX_RANK} axes, got {tuple(shape)}")
    return shape_attributes(shape)


class Flatten(Layer):
    """All axes of a sample as one. Costs nothing: the numbers stay where they are."""

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return self.emit("reshape", [x], reshape_attributes([math.prod(x.sample_shape)], self._label))


class Reshape(Layer):
    """The numbers of a sample under another shape. Costs nothing: they stay where they are.

    Parameters
    ----------
    target_shape : sequence of int
        Without the batch axis; one size may be -1.
    """

    def __init__(self, target_shape: Sequence[int], **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        try:
            self.target_shape = tuple(operator.index(size) for size in target_shape)
        except TypeError:
            raise TypeError(f"{self._label}: target_shape must be a sequence of integers, got {target_shape!r}") from None

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return self.emit("reshape", [x], reshape_attributes(self.target_shape, self._label))
