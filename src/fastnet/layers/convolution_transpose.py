"""The transposed of convolutions, whose outputs are larger than their inputs."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Unpack

from .. import activations, regularizers
from .._graph import SymbolicTensor
from .._types import ActivationLike, ConstraintLike, InitializerLike, LayerOptions, RegularizerLike
from ._arguments import check_axes, one_of
from ._windows import Sizes, Window, paddings
from .core import positive_integer

__all__ = ["Conv1DTranspose", "Conv2DTranspose"]


class _Transpose(Window):
    """Conv1DTranspose and Conv2DTranspose."""

    op = "transposed_convolution"

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        output_padding: Sizes | None = None,
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
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
        self._take_window(kernel_size, strides, one_of(self._label, "padding", padding, paddings(2)), data_format, dilation_rate)
        self.output_padding = None if output_padding is None else self._output_padding(output_padding)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self._take_weight("kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        self._take_weight("bias", bias_initializer, bias_regularizer, bias_constraint)
        self.activity_regularizer = regularizers.get(activity_regularizer)

    def _output_padding(self, value: Sizes) -> Any:
        """Checked: a number below the stride for each axis."""
        wanted = f"{self._label}: output_padding must be a whole number from 0 to the stride less 1"
        items = value if isinstance(value, Sequence) and not isinstance(value, str) else [value] * self.axes
        strides = [self.strides] if isinstance(self.strides, int) else self.strides
        try:
            sizes = tuple(operator.index(item) for item in items)
        except TypeError:
            raise TypeError(f"{wanted}, got {value!r}") from None
        if len(sizes) != self.axes or not all(0 <= size < stride for size, stride in zip(sizes, strides)):
            raise ValueError(f"{wanted}, for strides={self.strides}, got {value!r}")
        return sizes if self.axes > 1 else sizes[0]

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, self.axes)
        attributes = {"filters": self.filters, **self._window_attributes()}
        if self.output_padding is not None:
            height, width = (0, self.output_padding) if isinstance(self.output_padding, int) else self.output_padding
            attributes.update(output_padding_height=height, output_padding_width=width)
        return self._apply(self.op, x, attributes, {"kernel": self._weight("kernel")})

    @property
    def kernel(self) -> Any:
        """The kernel, a view of shape (window..., filters, channels)."""
        return self._weights["kernel"].value


class Conv2DTranspose(_Transpose):
    """The transposed of a convolution: makes an image of the size of its input from one of the size of its output::

        y[i * strides[0] + a * dilation_rate[0] - p, j * strides[1] + b * dilation_rate[1] - q, f]
            = activation(bias[f] + sum of  x[i, j, c] * kernel[a, b, f, c]  for all i, j, a, b that lead there, and c)

    With strides it makes images larger (Dumoulin and Visin 2016). Inputs have the shape (batch, height, width,
    channels), outputs (batch, new height, new width, filters). With ``extent = (kernel_size - 1) * dilation_rate + 1`` the
    new sizes are

    * ``size * strides + max(extent - strides, 0)`` with padding "valid",
    * ``size * strides`` with padding "same",
    * ``(size - 1) * strides + extent - 2 * cut + output_padding`` with an `output_padding`, where cut is 0 or, with padding
      "same", ``extent // 2``.

    p and q are 0 with padding "valid", else half of what is cut off, rounded down.

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel_size, strides, data_format, dilation_rate, activation, use_bias
        As in `Conv2D`.
    padding : {"valid", "same"}
    output_padding : int or tuple of two int, optional
        Chooses among the sizes that a convolution with these strides would make one of; less than the strides.
    kernel_initializer, bias_initializer : str or Initializer
        The weights are ``kernel`` of shape (height, width, filters, channels) and ``bias`` of shape (filters,).
    kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint
        As in `Conv2D`.
    trainable, name
        As in `Layer`.

    Raises
    ------
    ValueError
        If an output padding is not less than the stride.

    Examples
    --------
    >>> import fastnet as fn
    >>> Conv2DTranspose(16, 3, strides=2, padding="same")(fn.Input((7, 7, 32))).shape
    (None, 14, 14, 16)
    """

    axes = 2


class Conv1DTranspose(_Transpose):
    """The transposed of a convolution of a series::

        y[i * strides + a * dilation_rate - p, f] = activation(bias[f] + sum of  x[i, c] * kernel[a, f, c]
                                                               for all i, a that lead there, and c)

    Inputs have the shape (batch, steps, channels), outputs (batch, new steps, filters).

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel_size, strides, padding, output_padding, data_format, dilation_rate
        As in `Conv2DTranspose`, each an int.
    activation, use_bias, kernel_initializer, bias_initializer
        As in `Conv2DTranspose`; ``kernel`` has the shape (length, filters, channels).
    kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint, trainable, name
        As in `Conv2D`.

    Examples
    --------
    >>> import fastnet as fn
    >>> Conv1DTranspose(4, 3, strides=2)(fn.Input((10, 8))).shape
    (None, 21, 4)
    """

    axes = 1


#: Keras's other names.
Convolution1DTranspose, Convolution2DTranspose = Conv1DTranspose, Conv2DTranspose
