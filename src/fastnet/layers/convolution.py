"""Layers whose windows slide over an image or a series."""

from __future__ import annotations

from typing import Any, Unpack

from .. import activations, regularizers
from .._graph import SymbolicTensor
from .._types import ActivationLike, ConstraintLike, InitializerLike, LayerOptions, RegularizerLike
from ._arguments import check_axes
from ._windows import Sizes, Window
from .core import positive_integer

__all__ = [
    "Conv1D", "Conv2D", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D",
]  # fmt: skip


class _Convolution(Window):
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
        As in `Conv2D`. With "causal" all zeros are before the series, so that an output depends on no later step (Oord et
        al. 2016).
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


class _Depthwise(Window):
    """DepthwiseConv1D and DepthwiseConv2D."""

    op = "depthwise_convolution"

    def __init__(
        self,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        activation: ActivationLike | None = None,
        use_bias: bool = True,
        depthwise_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        depthwise_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        activity_regularizer: RegularizerLike | None = None,
        depthwise_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self._take_window(kernel_size, strides, padding, data_format, dilation_rate)
        self.depth_multiplier = positive_integer(self._label, "depth_multiplier", depth_multiplier)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self._take_weight("depthwise", depthwise_initializer, depthwise_regularizer, depthwise_constraint)
        self._take_weight("bias", bias_initializer, bias_regularizer, bias_constraint)
        self.activity_regularizer = regularizers.get(activity_regularizer)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, self.axes)
        attributes = {"depth_multiplier": self.depth_multiplier, **self._window_attributes()}
        return self._apply(self.op, x, attributes, {"kernel": self._weight("depthwise")})

    @property
    def kernel(self) -> Any:
        """The kernel, a view of shape (window..., channels, depth_multiplier)."""
        return self._weights["kernel"].value


class DepthwiseConv2D(_Depthwise):
    """Each channel of an image is convolved with windows of its own::

        y[i, j, c * depth_multiplier + m] = activation(bias[...] + sum(x[i * strides[0] + a * dilation_rate[0],
                                                                         j * strides[1] + b * dilation_rate[1], c]
                                                                       * kernel[a, b, c, m] for all a, b))

    Inputs have the shape (batch, height, width, channels), outputs (batch, new height, new width, channels *
    depth_multiplier).

    Parameters
    ----------
    kernel_size, strides, padding, data_format, dilation_rate
        As in `Conv2D`; strides may be different along the two axes.
    depth_multiplier : int
        Outputs for each channel.
    activation, use_bias
        As in `Conv2D`.
    depthwise_initializer, bias_initializer : str or Initializer
        The weights are ``kernel`` of shape (height, width, channels, depth_multiplier) and ``bias`` of shape (channels *
        depth_multiplier,).
    depthwise_regularizer, bias_regularizer, activity_regularizer : str or Regularizer, optional
    depthwise_constraint, bias_constraint : str or Constraint, optional
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> DepthwiseConv2D(3, padding="same", depth_multiplier=2)(fn.Input((28, 28, 8))).shape
    (None, 28, 28, 16)
    """

    axes = 2


class DepthwiseConv1D(_Depthwise):
    """Each channel of a series is convolved with windows of its own::

        y[i, c * depth_multiplier + m] = activation(bias[...] + sum(x[i * strides + a * dilation_rate, c] * kernel[a, c, m]
                                                                    for all a))

    Inputs have the shape (batch, steps, channels), outputs (batch, new steps, channels * depth_multiplier).

    Parameters
    ----------
    kernel_size, strides, padding, data_format, dilation_rate
        As in `Conv1D`.
    depth_multiplier, activation, use_bias, depthwise_initializer, bias_initializer
        As in `DepthwiseConv2D`; ``kernel`` has the shape (length, channels, depth_multiplier).
    depthwise_regularizer, bias_regularizer, activity_regularizer, depthwise_constraint, bias_constraint
        As in `DepthwiseConv2D`.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> DepthwiseConv1D(5, strides=2)(fn.Input((100, 3))).shape
    (None, 48, 3)
    """

    axes = 1


class _Separable(Window):
    """SeparableConv1D and SeparableConv2D."""

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        depth_multiplier: int = 1,
        activation: ActivationLike | None = None,
        use_bias: bool = True,
        depthwise_initializer: InitializerLike = "glorot_uniform",
        pointwise_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        depthwise_regularizer: RegularizerLike | None = None,
        pointwise_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        activity_regularizer: RegularizerLike | None = None,
        depthwise_constraint: ConstraintLike | None = None,
        pointwise_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.filters = positive_integer(self._label, "filters", filters)
        self._take_window(kernel_size, strides, padding, data_format, dilation_rate)
        self.depth_multiplier = positive_integer(self._label, "depth_multiplier", depth_multiplier)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self._take_weight("depthwise", depthwise_initializer, depthwise_regularizer, depthwise_constraint)
        self._take_weight("pointwise", pointwise_initializer, pointwise_regularizer, pointwise_constraint)
        self._take_weight("bias", bias_initializer, bias_regularizer, bias_constraint)
        self.activity_regularizer = regularizers.get(activity_regularizer)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, self.axes)
        attributes = {"depth_multiplier": self.depth_multiplier, "use_bias": 0, **self._window_attributes()}
        y = self.emit("depthwise_convolution", [x], attributes, {"depthwise_kernel": self._weight("depthwise")})
        return self._apply("convolution", y, {"filters": self.filters}, {"pointwise_kernel": self._weight("pointwise")})

    @property
    def depthwise_kernel(self) -> Any:
        """The kernel of the first step, a view of shape (window..., channels, depth_multiplier)."""
        return self._weights["depthwise_kernel"].value

    @property
    def pointwise_kernel(self) -> Any:
        """The kernel of the second step, a view of shape (ones..., channels * depth_multiplier, filters)."""
        return self._weights["pointwise_kernel"].value


class SeparableConv2D(_Separable):
    """A depthwise convolution of an image, and a mixture of the channels of each pixel: the two steps of a convolution with
    far fewer weights (Chollet 2017).

    The first is `DepthwiseConv2D` without bias and activation, the second `Conv2D` with windows of one pixel.

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel_size, strides, padding, data_format, dilation_rate
        As in `Conv2D`.
    depth_multiplier : int
        Channels between the two steps, for each channel of the input.
    activation, use_bias
        As in `Conv2D`.
    depthwise_initializer, pointwise_initializer, bias_initializer : str or Initializer
        The weights are ``depthwise_kernel`` of shape (height, width, channels, depth_multiplier), ``pointwise_kernel`` of
        shape (1, 1, channels * depth_multiplier, filters) and ``bias`` of shape (filters,).
    depthwise_regularizer, pointwise_regularizer, bias_regularizer, activity_regularizer : str or Regularizer, optional
    depthwise_constraint, pointwise_constraint, bias_constraint : str or Constraint, optional
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> layer = SeparableConv2D(64, 3, padding="same")
    >>> layer(fn.Input((28, 28, 32))).shape
    (None, 28, 28, 64)
    >>> sum(weight.size for weight in layer.weights)  # a Conv2D has 18,496
    2400
    """

    axes = 2


class SeparableConv1D(_Separable):
    """A depthwise convolution of a series, and a mixture of the channels of each step.

    The first is `DepthwiseConv1D` without bias and activation, the second `Conv1D` with windows of one step.

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel_size, strides, padding, data_format, dilation_rate
        As in `Conv1D`.
    depth_multiplier, activation, use_bias, depthwise_initializer, pointwise_initializer, bias_initializer
        As in `SeparableConv2D`; the weights are ``depthwise_kernel`` of shape (length, channels, depth_multiplier),
        ``pointwise_kernel`` of shape (1, channels * depth_multiplier, filters) and ``bias`` of shape (filters,).
    depthwise_regularizer, pointwise_regularizer, bias_regularizer, activity_regularizer
        As in `SeparableConv2D`.
    depthwise_constraint, pointwise_constraint, bias_constraint, trainable, name
        As in `SeparableConv2D`.

    Examples
    --------
    >>> import fastnet as fn
    >>> SeparableConv1D(8, 5)(fn.Input((100, 3))).shape
    (None, 96, 8)
    """

    axes = 1


#: Keras's other names.
Convolution1D, Convolution2D = Conv1D, Conv2D
SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D
