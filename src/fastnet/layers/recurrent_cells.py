"""One step of recurrent layers, RNN, which makes a layer of a step, and layers of several steps one upon another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

from .._formulas import ops
from .._graph import CURRENT_CALL, LayerCall, SymbolicTensor
from .._types import ActivationLike, ConstraintLike, InitializerLike, LayerOptions, RegularizerLike
from ._recurrence import Recurrence
from .base import Layer

__all__ = ["RNN", "GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"]


class _Cell(Recurrence):
    """What the cells of the package have in common: `RNN` runs them by the kernels of the recurrent layers."""

    @property
    def state_size(self) -> int | list[int]:
        """The lengths of the states."""
        return self.units if len(self.states) == 1 else [self.units] * len(self.states)

    @property
    def output_size(self) -> int:
        """The length of the output."""
        return self.units

    def call(self, x: SymbolicTensor, states: Any) -> list[SymbolicTensor]:
        if len(x.sample_shape) != 1:
            raise ValueError(f"layer {self._label!r}: expected one step, of shape (batch, features), got shape {x.shape}")
        return self.run_sequence(ops.expand_dims(x, 1), states, {"return_sequences": False}, True)

    def __call__(self, inputs: Any, *more: Any, **options: Any) -> Any:
        output, *states = super().__call__(inputs, *more, **options)
        return output, states


class LSTMCell(_Cell):
    """One step of `LSTM`.

    Called as ``output, states = cell(x, [h, c])``, with a step of shape (batch, features). `RNN` makes a layer of it.

    Parameters
    ----------
    units, activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer
        As in `LSTM`.
    unit_forget_bias, kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint
        As in `LSTM`.
    bias_constraint, dropout, recurrent_dropout, seed
        As in `LSTM`.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> output, (h, c) = fn.layers.LSTMCell(16)(fn.Input((8,)), [fn.Input((16,)), fn.Input((16,))])
    >>> output.shape
    (None, 16)
    """

    kernel, states = "lstm", ("h", "c")

    def __init__(
        self,
        units: int,
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
        kernel_constraint: ConstraintLike | None = None,
        recurrent_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self._take(locals(), return_state=True)
        self.unit_forget_bias = bool(unit_forget_bias)


class GRUCell(_Cell):
    """One step of `GRU`.

    Called as ``output, states = cell(x, [h])``, with a step of shape (batch, features). `RNN` makes a layer of it.

    Parameters
    ----------
    units, activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer
        As in `GRU`.
    kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint, bias_constraint
        As in `GRU`.
    dropout, recurrent_dropout, reset_after, seed
        As in `GRU`.
    trainable, name
        As in `Layer`.
    """

    kernel, states = "gru", ("h",)

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        recurrent_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        recurrent_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self._take(locals(), return_state=True)
        self.reset_after = bool(reset_after)


class SimpleRNNCell(_Cell):
    """One step of `SimpleRNN`.

    Called as ``output, states = cell(x, [h])``, with a step of shape (batch, features). `RNN` makes a layer of it.

    Parameters
    ----------
    units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer
        As in `SimpleRNN`.
    kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint, bias_constraint
        As in `SimpleRNN`.
    dropout, recurrent_dropout, seed
        As in `SimpleRNN`.
    trainable, name
        As in `Layer`.
    """

    kernel, states = "simple_rnn", ("h",)

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "tanh",
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        recurrent_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        recurrent_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self._take(locals(), return_state=True)


def _sizes_of(cell: Any) -> list[int]:
    size = cell.state_size
    return (
        [size] if isinstance(size, int) else [item for one in size for item in (one if isinstance(one, (list, tuple)) else [one])]
    )


def _check_cell(layer: str, cell: Any) -> None:
    if not isinstance(cell, Layer) or not hasattr(cell, "state_size"):
        raise TypeError(
            f"{layer}: a cell must be a layer with a state_size, whose call takes a step and the list of its states and returns the "
            f"output and the new states, got {cell!r}"
        )


class StackedRNNCells(Layer):
    """Cells one upon another, each of which takes the output of the one below it.

    Parameters
    ----------
    cells : list of Layer
        `LSTMCell`, `GRUCell`, `SimpleRNNCell` or cells of one's own: see `RNN`.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> cells = fn.layers.StackedRNNCells([fn.layers.LSTMCell(16), fn.layers.GRUCell(8)])
    >>> fn.layers.RNN(cells, return_sequences=True)(fn.Input((20, 4))).shape
    (None, 20, 8)
    """

    def __init__(self, cells: Sequence[Layer], **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        if not isinstance(cells, (list, tuple)) or not cells:
            raise TypeError(f"{self._label}: cells must be a list of cells, got {cells!r}")
        for cell in cells:
            _check_cell(self._label, cell)
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        """Those of the cells."""
        return [cell.state_size for cell in self.cells]  # type: ignore[attr-defined]

    def call(self, x: SymbolicTensor, states: Any) -> list[SymbolicTensor]:
        given = [state for one in states for state in (one if isinstance(one, (list, tuple)) else [one])]
        found: list[SymbolicTensor] = []
        for cell in self.cells:
            count = len(_sizes_of(cell))
            x, *new = call_cell(cell, x, given[:count])
            given = given[count:]
            found.extend(new)
        return [x, *found]

    def __call__(self, inputs: Any, *more: Any, **options: Any) -> Any:
        output, *states = super().__call__(inputs, *more, **options)
        return output, states


def call_cell(cell: Any, x: SymbolicTensor, states: Sequence[SymbolicTensor]) -> list[SymbolicTensor]:
    """The output of a cell and its new states, one after another."""
    call = LayerCall(cell, [x, *states], {}, CURRENT_CALL.get())
    token = CURRENT_CALL.set(call)
    try:
        if not cell._has_built:
            cell.build(x.shape)
            cell._has_built = True
        output = cell.call(x, list(states))
        new: Any = output[1:] if isinstance(output, list) else output[1]
        output = output[0]
    finally:
        CURRENT_CALL.reset(token)
    call.outputs = [output, *(new if isinstance(new, (list, tuple)) else [new])]
    call.returns_list = True
    if not all(isinstance(one, SymbolicTensor) for one in call.outputs) or len(call.outputs) != 1 + len(states):
        raise TypeError(f"layer {cell._label!r}: call must return the output and {len(states)} new states, got {call.outputs!r}")
    cell._adopt([child.layer for child in call.children])
    return call.outputs


class RNN(Layer):
    """A recurrent layer of a cell, which says what one step does.

    Parameters
    ----------
    cell : Layer, or list of Layer
        `LSTMCell`, `GRUCell`, `SimpleRNNCell`, `StackedRNNCells`, or a layer of one's own with an attribute ``state_size``, an
        integer or a list of them, and ``call(x, states)``, which returns the output of a step of shape (batch, features) and the
        list of the new states. A list stands for `StackedRNNCells`.
    return_sequences, return_state, go_backwards
        As in `LSTM`; the states of all cells follow the output.
    stateful : bool
        False: for layers that keep their states there are `LSTM` and the others.
    unroll : bool
        Accepted as Keras does: cells of the package run in one operation, others are repeated for each step.
    zero_output_for_mask : bool
        Whether the outputs of masked steps are 0, in place of the last one before them.
    trainable, name
        As in `Layer`.

    Notes
    -----
    Called on sequences of shape (batch, steps, features), and with the list of the states to begin with as ``initial_state``,
    by default zeros.

    Examples
    --------
    >>> import fastnet as fn
    >>> class MinimalCell(fn.layers.Layer):
    ...     def __init__(self, units, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.state_size = units
    ...         self.inner, self.outer = fn.layers.Dense(units), fn.layers.Dense(units, use_bias=False)
    ...
    ...     def call(self, x, states):
    ...         y = fn.ops.tanh(self.inner(x) + self.outer(states[0]))
    ...         return y, [y]
    >>> fn.layers.RNN(MinimalCell(16))(fn.Input((20, 4))).shape
    (None, 16)
    """

    supports_masking = True

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell)
        _check_cell(self._label, cell)
        if stateful:
            raise ValueError(f"{self._label}: stateful must be False: LSTM, GRU and SimpleRNN keep their states")
        self.cell = cell
        self.return_sequences, self.return_state = bool(return_sequences), bool(return_state)
        self.go_backwards, self.stateful, self.unroll = bool(go_backwards), False, bool(unroll)
        self.zero_output_for_mask = bool(zero_output_for_mask)

    def call(self, x: SymbolicTensor, initial_state: Any = None) -> Any:
        if len(x.sample_shape) < 2:
            raise ValueError(f"layer {self._label!r}: expected sequences, of shape (batch, steps, features), got shape {x.shape}")
        if not isinstance(self.cell, StackedRNNCells):
            return self._run([self.cell], x, initial_state)
        call = LayerCall(self.cell, [x], {}, CURRENT_CALL.get())
        token = CURRENT_CALL.set(call)
        try:
            result = self._run(self.cell.cells, x, initial_state)
        finally:
            CURRENT_CALL.reset(token)
        call.outputs = result if isinstance(result, list) else [result]
        self.cell._adopt([child.layer for child in call.children])
        return result

    def _run(self, cells: Sequence[Any], x: SymbolicTensor, initial_state: Any) -> Any:
        given = [initial_state] if isinstance(initial_state, SymbolicTensor) else list(initial_state or [])
        given = [state for one in given for state in (one if isinstance(one, (list, tuple)) else [one])]
        counts = [len(_sizes_of(cell)) for cell in cells]
        if given and len(given) != sum(counts):
            raise ValueError(f"layer {self._label!r}: initial_state must be {sum(counts)} tensors, got {len(given)}")
        mask, backwards = x.mask, self.go_backwards
        y, states = x, []
        for i, (cell, count) in enumerate(zip(cells, counts)):
            last = i == len(cells) - 1
            sequences = self.return_sequences or not last
            own, given = given[:count], given[count:]
            if isinstance(cell, _Cell):
                options: dict[str, Any] = {"return_sequences": sequences, "go_backwards": int(backwards)}
                if self.zero_output_for_mask and last:
                    options["zero_output_for_mask"] = True
                y, *new = cell.run_sequence(y, own or None, options, True)
            else:
                y, *new = self._repeat(cell, y, own, sequences, backwards, last)
            states.extend(new)
            if not last:  # in the order of computation from here on
                y.mask = mask if mask is None or not backwards else ops.flip(mask, axis=1)
                backwards = False
        return [y, *states] if self.return_state else y

    def _repeat(
        self, cell: Layer, x: SymbolicTensor, states: list[SymbolicTensor], sequences: bool, backwards: bool, last: bool
    ) -> list[SymbolicTensor]:
        """The output and the states of a cell of one's own, step by step."""
        if not states:
            nothing = ops.zeros_like(ops.reshape(x[:, 0], (-1, math.prod(x.sample_shape[1:])))[:, :1])
            states = [ops.repeat(nothing, size, axis=1) for size in _sizes_of(cell)]
        outputs: list[SymbolicTensor] = []
        output = None
        for t in range(x.sample_shape[0])[:: -1 if backwards else 1]:
            new, *following = call_cell(cell, x[:, t], states)
            if x.mask is None:
                output, states = new, following
            else:
                counts = ops.expand_dims(x.mask[:, t], -1) > 0.5
                kept = ops.zeros_like(new) if output is None else output
                output = ops.where(counts, new, kept)
                states = [ops.where(counts, one, old) for one, old in zip(following, states)]
                if self.zero_output_for_mask and last and sequences:
                    outputs.append(ops.where(counts, new, 0.0))
                    continue
            outputs.append(output)
        assert output is not None
        return [ops.stack(outputs, axis=1) if sequences else output, *states]

    def compute_mask(self, *inputs: SymbolicTensor) -> list[SymbolicTensor | None]:
        """That of the input for sequences, none for the last output and the states."""
        return [inputs[0].mask] if self.return_sequences else []
