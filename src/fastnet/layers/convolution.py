"""Layers whose windows slide over an image or a series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import activations, constraints, initializers, regularizers
from .._graph import SymbolicTensor, WeightSpec
from ._arguments import channels_last, check_axes, one_of, positive_sizes
from .base import Layer
from .core import positive_integer

__all__ = ["Conv1D", "Conv2D"]

Sizes = int | Sequence[int]

#: Under the numbers of the engine.
_PADDINGS = ("valid", "same", "causal")


class _Window(Layer):
    """What the layers with a sliding window have in common.

    A size is stored as an integer by layers on series, and as a pair by layers on images.
    """

    #: How many axes a window has, and the operation.
    axes: int
    op: str

    @classmethod
    def _arguments(cls) -> dict[str, Any]:
        found = super()._arguments()
        ones = {name: (1, 1) for name in ("strides", "dilation_rate")}
        return {**found, **ones} if cls.axes == 2 else found

    def _take_window(
        self, kernel_size: Sizes, strides: Sizes, padding: str, data_format: str | None, dilation_rate: Sizes
    ) -> None:
        """Checks and stores these arguments."""
        self.kernel_size = self._sizes("kernel_size", kernel_size)
        self.strides = self._sizes("strides", strides)
        self.padding = one_of(self._label, "padding", padding, _PADDINGS if self.axes == 1 else _PADDINGS[:2])
        self.data_format = channels_last(self._label, data_format)
        self.dilation_rate = self._sizes("dilation_rate", dilation_rate)

    def _sizes(self, argument: str, value: Sizes) -> Any:
        sizes = positive_sizes(self._label, argument, value, self.axes)
        return sizes if self.axes > 1 else sizes[0]

    def _window_attributes(self) -> dict[str, int]:
        """Those of the operation, for which a series is an image of height 1."""
        found: dict[str, int] = {"padding": _PADDINGS.index(self.padding)}
        for name, sizes in (("window", self.kernel_size), ("stride", self.strides), ("dilation", self.dilation_rate)):
            height, width = (1, sizes) if isinstance(sizes, int) else sizes
            found.update({f"{name}_height": height, f"{name}_width": width})
        return found

    def _weight(self, name: str) -> WeightSpec:
        """A weight by the layer's arguments of this name: initializer, penalty and constraint."""
        return WeightSpec(getattr(self, f"{name}_initializer"), getattr(self, f"{name}_regularizer"), True,
                          getattr(self, f"{name}_constraint"))  # fmt: skip

    def _take_weight(self, name: str, initializer: Any, regularizer: Any, constraint: Any) -> None:
        """Checks and stores these arguments."""
        setattr(self, f"{name}_initializer", initializers.get(initializer))
        setattr(self, f"{name}_regularizer", regularizers.get(regularizer))
        setattr(self, f"{name}_constraint", constraints.get(constraint))

    def _apply(self, op: str, x: SymbolicTensor, attributes: dict[str, Any], weights: dict[str, WeightSpec]) -> SymbolicTensor:
        """The operation, with the layer's bias and activation."""
        if self.use_bias:
            weights = {**weights, "bias": self._weight("bias")}
        attributes = {**attributes, "use_bias": self.use_bias}
        if self.activation.elementwise:
            attributes.update(self.activation.attributes())
        y = self.emit(op, [x], attributes, weights)
        if not self.activation.elementwise:
            y = self.emit(self.activation.kernel, [y])
        return self.regularize(y)

    @property
    def bias(self) -> Any:
        """The bias, a view with one number for each channel of the output, or None."""
        return self._weights["bias"].value if self.use_bias else None


class _Convolution(_Window):
    """Conv1D and Conv2D."""

    op = "convolution"

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = positive_integer(self._label, "filters", filters)
        self._take_window(kernel_size, strides, padding, data_format, dilation_rate)
        self.groups = positive_integer(self._label, "groups", groups)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self._take_weight("kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        self._take_weight("bias", bias_initializer, bias_regularizer, bias_constraint)
        self.activity_regularizer = regularizers.get(activity_regularizer)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, self.axes)
        attributes = {"filters": self.filters, "groups": self.groups, **self._window_attributes()}
        return self._apply(self.op, x, attributes, {"kernel": self._weight("kernel")})

    @property
    def kernel(self) -> Any:
        """The kernel, a view of shape (window..., channels / groups, filters)."""
        return self._weights["kernel"].value


class Conv2D(_Convolution):
    """Filters that slide over an image: each output is a weighted sum of the pixels under a window::

        y[i, j, f] = activation(bias[f] + sum(x[i * strides[0] + a * dilation_rate[0], j * strides[1] + b * dilation_rate[1], c]
                                              * kernel[a, b, c, f] for all a, b, c))

    Inputs have the shape (batch, height, width, channels), outputs (batch, new height, new width, filters). As in Keras
    and PyTorch the kernel is not flipped, so that this is what mathematics calls a cross-correlation. Nothing is
    computed beside the multiply-adds: no matrix of patches is made.

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel_size : int or tuple of two int
        Height and width of the window.
    strides : int or tuple of two int
        How far it is from a window to the next.
    padding : {"valid", "same"}
        With "valid" windows lie in the image, and there are ``(size - extent) // strides + 1`` of them along an axis,
        where ``extent = (kernel_size - 1) * dilation_rate + 1``. With "same" there are ``ceil(size / strides)``, and the
        image is surrounded by zeros, the odd one at the end.
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    dilation_rate : int or tuple of two int
        How far it is from a pixel of the window to the next. May be combined with strides, which Keras does not allow.
    groups : int
        Channels and filters are cut into as many parts, and a filter sees the channels of its own part alone.
    activation : str, callable or None
        Name of an activation or one of `fastnet.activations`. None: linear.
    use_bias : bool
    kernel_initializer, bias_initializer : str or Initializer
        The weights are ``kernel`` of shape (height, width, channels / groups, filters) and ``bias`` of shape (filters,).
    kernel_regularizer, bias_regularizer, activity_regularizer : str or Regularizer, optional
        Penalties on the weights and on the output, a part of the loss.
    kernel_constraint, bias_constraint : str or Constraint, optional
        What is done to the weights after each update; see `fastnet.constraints`.
    trainable, name
        As in `Layer`.

    Raises
    ------
    ValueError
        If the window does not fit into an input with padding "valid", or channels and filters cannot be cut into groups.

    Examples
    --------
    >>> import fastnet as fn
    >>> Conv2D(32, 3, activation="relu")(fn.Input((28, 28, 1))).shape
    (None, 26, 26, 32)
    >>> Conv2D(8, (5, 3), strides=2, padding="same")(fn.Input((9, 8, 4))).shape
    (None, 5, 4, 8)
    """

    axes = 2


class Conv1D(_Convolution):
    """Filters that slide over a series: each output is a weighted sum of the steps under a window::

        y[i, f] = activation(bias[f] + sum(x[i * strides + a * dilation_rate, c] * kernel[a, c, f] for all a, c))

    Inputs have the shape (batch, steps, channels), outputs (batch, new steps, filters).

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel_size : int
        Length of the window; ``kernel`` has the shape (length, channels / groups, filters).
    strides : int
    padding : {"valid", "same", "causal"}
        As in `Conv2D`. With "causal" all zeros are before the series, so that an output depends on no later step (van den
        Oord et al. 2016).
    data_format, dilation_rate, groups, activation, use_bias
        As in `Conv2D`.
    kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer
        As in `Conv2D`.
    kernel_constraint, bias_constraint, trainable, name
        As in `Conv2D`.

    Examples
    --------
    >>> import fastnet as fn
    >>> Conv1D(16, 5, strides=2)(fn.Input((100, 3))).shape
    (None, 48, 16)
    >>> Conv1D(16, 2, dilation_rate=8, padding="causal")(fn.Input((100, 3))).shape
    (None, 100, 16)
    """

    axes = 1


#: Keras's other names.
Convolution1D, Convolution2D = Conv1D, Conv2D
