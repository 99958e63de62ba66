"""LSTM whose products are convolutions."""

from __future__ import annotations

from typing import Any, Unpack

from .. import activations, regularizers
from .._formulas import ops
from .._graph import SymbolicTensor
from .._types import ActivationLike, ConstraintLike, InitializerLike, LayerOptions, RegularizerLike
from ._arguments import checked_rate, checked_seed, one_of
from ._recurrence import ForgetBias
from ._windows import Sizes, Window, paddings
from .core import positive_integer
from .volumes import convolve_volume

__all__ = ["ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"]

_SHAPES = {
    1: "(batch, time, steps, channels)",
    2: "(batch, time, height, width, channels)",
    3: "(batch, time, depth, height, width, channels)",
}


class _ConvLSTM(Window):
    """ConvLSTM1D, ConvLSTM2D and ConvLSTM3D."""

    use_bias: bool
    supports_masking = True

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: RegularizerLike | None = None,
        recurrent_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        activity_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        recurrent_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.filters = positive_integer(self._label, "filters", filters)
        self._take_window(kernel_size, strides, one_of(self._label, "padding", padding, paddings(2)), data_format, dilation_rate)
        self.activation, self.recurrent_activation = activations.get(activation), activations.get(recurrent_activation)
        for name in ("activation", "recurrent_activation"):
            if not getattr(self, name).elementwise:
                raise ValueError(
                    f"{self._label}: {name} must be one of the engine's activations that work element by element, got {getattr(self, name)!r}"
                )
        self.use_bias = bool(use_bias)
        self._take_weight("kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        self._take_weight("recurrent", recurrent_initializer, recurrent_regularizer, recurrent_constraint)
        self._take_weight("bias", bias_initializer, bias_regularizer, bias_constraint)
        self.unit_forget_bias = bool(unit_forget_bias)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.dropout = checked_rate(self._label, "dropout", dropout)
        self.recurrent_dropout = checked_rate(self._label, "recurrent_dropout", recurrent_dropout)
        self.seed = checked_seed(self._label, seed)
        if stateful:
            raise ValueError(f"{self._label}: stateful must be False")
        self.return_sequences, self.return_state = bool(return_sequences), bool(return_state)
        self.go_backwards, self.stateful = bool(go_backwards), False

    def _convolve(self, x: SymbolicTensor, name: str, first: bool) -> SymbolicTensor:
        """With the kernel of the input, whose windows are those of the arguments, or of the state."""
        spec = self._weight("kernel" if first else "recurrent")
        attributes: dict[str, Any] = {"filters": 4 * self.filters, "use_bias": False}
        if self.axes == 3:
            return convolve_volume(
                self,
                x,
                {name: spec},
                attributes,
                self.kernel_size,
                self.strides if first else (1, 1, 1),
                self.padding if first else "same",
                self.dilation_rate if first else (1, 1, 1),
            )
        attributes.update(self._window_attributes())
        if not first:
            attributes.update(
                padding=paddings(1).index("same"), stride_height=1, stride_width=1, dilation_height=1, dilation_width=1
            )
        return self.emit("convolution", [x], attributes, {name: spec})

    def _dropout_of(self, like: SymbolicTensor, rate: float) -> SymbolicTensor:
        """1 / (1 - rate) or 0 for each number, in training: the same in all steps."""
        attributes = {"rate": rate} if self.seed is None else {"rate": rate, "seed": self.seed}
        return self.emit("dropout", [ops.ones_like(like)], attributes)

    def _activate(self, function: Any, x: SymbolicTensor) -> SymbolicTensor:
        return self.emit("activation", [x], function.attributes())

    def call(self, x: SymbolicTensor, initial_state: Any = None) -> Any:
        if len(x.sample_shape) != self.axes + 2:
            raise ValueError(f"layer {self._label!r}: expected an input of shape {_SHAPES[self.axes]}, got shape {x.shape}")
        states = list(initial_state or [])
        if len(states) not in (0, 2):
            raise ValueError(f"layer {self._label!r}: initial_state must be 2 tensors, got {len(states)}")
        outputs: list[SymbolicTensor] = []
        drops: list[SymbolicTensor | None] = [None, None]
        f = self.filters
        for t in range(x.sample_shape[0])[:: -1 if self.go_backwards else 1]:
            step = x[:, t]
            if self.dropout:
                drops[0] = self._dropout_of(step, self.dropout) if drops[0] is None else drops[0]
                step = step * drops[0]
            gates = self._convolve(step, "kernel", True)
            h, c = states or [ops.zeros_like(gates[..., :f])] * 2
            given = h
            if self.recurrent_dropout:
                drops[1] = self._dropout_of(h, self.recurrent_dropout) if drops[1] is None else drops[1]
                given = h * drops[1]
            gates = gates + self._convolve(given, "recurrent_kernel", False)
            if self.use_bias:
                gates = gates + self._bias()
            i, forget, g, o = (gates[..., k * f : (k + 1) * f] for k in range(4))
            i, forget, o = (self._activate(self.recurrent_activation, one) for one in (i, forget, o))
            new_c = forget * c + i * self._activate(self.activation, g)
            new_h = o * self._activate(self.activation, new_c)
            if x.mask is not None:
                counts = ops.reshape(x.mask[:, t], (-1, *[1] * (self.axes + 1))) > 0.5
                new_h, new_c = ops.where(counts, new_h, h), ops.where(counts, new_c, c)
            states = [new_h, new_c]
            if self.return_sequences:
                outputs.append(new_h)
        y = self.regularize(ops.stack(outputs, axis=1) if self.return_sequences else states[0])
        return [y, *states] if self.return_state else y

    def _bias(self) -> Any:
        if "bias" not in self._weights:
            initializer = ForgetBias(self.bias_initializer) if self.unit_forget_bias else self.bias_initializer
            shape, given = (4 * self.filters,), {"regularizer": self.bias_regularizer, "constraint": self.bias_constraint}
            self.add_weight(shape, initializer, name="bias", **given)
        return self._weights["bias"]

    def compute_mask(self, *inputs: SymbolicTensor) -> list[SymbolicTensor | None]:
        """That of the input for sequences."""
        return [inputs[0].mask] if self.return_sequences else []


class ConvLSTM2D(_ConvLSTM):
    """`LSTM` of images, whose products are convolutions (Shi et al., 2015).

    Inputs have the shape (batch, time, height, width, channels), states (batch, new height, new width, filters). The steps are
    parts of the network: it grows with their number.

    Parameters
    ----------
    filters : int
        Channels of the states.
    kernel_size, strides, padding, data_format, dilation_rate
        Of the convolutions of the inputs, as in `Conv2D`; those of the state have padding "same" and no strides.
    activation, recurrent_activation, use_bias, unit_forget_bias
        As in `LSTM`.
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
        The weights are ``kernel`` of shape (height, width, channels, 4 * filters), ``recurrent_kernel`` of shape (height, width,
        filters, 4 * filters) and ``bias`` of shape (4 * filters,).
    kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer : str or Regularizer, optional
    kernel_constraint, recurrent_constraint, bias_constraint : str or Constraint, optional
    dropout, recurrent_dropout, seed, return_sequences, return_state, go_backwards
        As in `LSTM`.
    stateful : bool
        False.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.layers.ConvLSTM2D(8, 3, padding="same", return_sequences=True)(fn.Input((5, 16, 16, 1))).shape
    (None, 5, 16, 16, 8)
    """

    axes = 2


class ConvLSTM1D(_ConvLSTM):
    """`ConvLSTM2D` with one axis less: inputs have the shape (batch, time, steps, channels).

    Parameters
    ----------
    filters, kernel_size, strides, padding, data_format, dilation_rate, activation, recurrent_activation, use_bias
        As in `ConvLSTM2D`.
    kernel_initializer, recurrent_initializer, bias_initializer, unit_forget_bias
        As in `ConvLSTM2D`.
    kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer, kernel_constraint, recurrent_constraint
        As in `ConvLSTM2D`.
    bias_constraint, dropout, recurrent_dropout, seed, return_sequences, return_state, go_backwards, stateful
        As in `ConvLSTM2D`.
    trainable, name
        As in `Layer`.
    """

    axes = 1


class ConvLSTM3D(_ConvLSTM):
    """`ConvLSTM2D` with one axis more: inputs have the shape (batch, time, depth, height, width, channels).

    Parameters
    ----------
    filters, kernel_size, strides, padding, data_format, dilation_rate, activation, recurrent_activation, use_bias
        As in `ConvLSTM2D`.
    kernel_initializer, recurrent_initializer, bias_initializer, unit_forget_bias
        As in `ConvLSTM2D`.
    kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer, kernel_constraint, recurrent_constraint
        As in `ConvLSTM2D`.
    bias_constraint, dropout, recurrent_dropout, seed, return_sequences, return_state, go_backwards, stateful
        As in `ConvLSTM2D`.
    trainable, name
        As in `Layer`.
    """

    axes = 3
