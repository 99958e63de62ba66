"""Recurrent layers: SimpleRNN, LSTM and GRU."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from .._graph import SymbolicTensor
from .._types import ActivationLike, ConstraintLike, InitializerLike, RecurrentOptions, RegularizerLike
from ._recurrence import Recurrence

__all__ = ["GRU", "LSTM", "SimpleRNN"]


class Recurrent(Recurrence):
    """What the recurrent layers have in common."""

    #: Whether outputs are in the order of the input, where that is read backwards.
    _input_order = False
    #: Whether the outputs of masked steps are 0, in place of the last one before them.
    _zero_output_for_mask = False

    _ignored = ("unroll", "use_cudnn")

    def call(self, x: SymbolicTensor, initial_state: Any = None) -> Any:
        options: dict[str, Any] = {"return_sequences": self.return_sequences}
        if self.go_backwards:
            options["go_backwards"] = 2 if self._input_order else 1
        if self._zero_output_for_mask:
            options["zero_output_for_mask"] = True
        return self.run_sequence(x, initial_state, options, self.return_state)

    def compute_mask(self, *inputs: SymbolicTensor) -> list[SymbolicTensor | None]:
        """That of the input for sequences, none for the last output and the states."""
        return [inputs[0].mask if self.return_sequences else None, *[None] * len(self.states)]

    def reset_state(self) -> None:
        """Sets the states of a stateful layer to 0; ValueError if it is not stateful."""
        self.reset_states()

    def reset_states(self, states: Any = None) -> None:
        """Sets the states of a stateful layer, to 0 or to what is given.

        Parameters
        ----------
        states : array_like or list of array_like, optional
            Of shape (batch size, units) each.

        Raises
        ------
        ValueError
            If the layer is not stateful, or a shape differs.
        """
        if not self.stateful:
            raise ValueError(f"layer {self._label!r} is not stateful")
        weights = [self._weights[f"state_{name}"] for name in self.states]
        if states is not None and len(weights) == 1 and np.ndim(states) == 2:
            states = [states]
        values = [np.zeros(weight.shape) for weight in weights] if states is None else list(states)
        if len(values) != len(weights):
            raise ValueError(f"layer {self._label!r} has {len(weights)} states, got {len(values)}")
        for weight, value in zip(weights, values):
            weight.assign(value)


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997), with a forget gate (Gers, Schmidhuber and Cummins, 2000)::

        i, f, g, o = split(x @ kernel + h @ recurrent_kernel + bias)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)

    from step to step of a sequence, from ``h = c = 0`` or given states on. Sequences have shape (steps, features).

    Where the input has a mask (see `Masking`, and `mask_zero` of `Embedding`), masked steps leave the states as they are.

    Parameters
    ----------
    units : int
    activation : str or callable
        In place of tanh: any that works element by element.
    recurrent_activation : str or callable
        In place of sigmoid.
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
        The weights are ``kernel`` of shape (features, 4 * units), ``recurrent_kernel`` of shape (units, 4 * units) and
        ``bias`` of shape (4 * units,), in Keras's order of the gates: i, f, g, o.
    unit_forget_bias : bool
        The bias of the forget gate begins with 1.
    kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer : str or Regularizer, optional
    kernel_constraint, recurrent_constraint, bias_constraint : str or Constraint, optional
    dropout, recurrent_dropout : float
        Of the input, and of h on its way into the product with `recurrent_kernel`. What is dropped of a row is so in all
        steps of a batch.
    seed : int, optional
        Of dropout, in place of the model's.
    return_sequences : bool
        h of all steps, (steps, units), in the order of computation; else of the last one, (units,).
    return_state : bool
        Return the list [output, h, c], the states after the last step.
    go_backwards : bool
        From the last step of the sequence to the first.
    stateful : bool
        Each row of a batch goes on with the states that the same row of the batch before it ended with, until
        `reset_states`. The input needs a `batch_size`; the states are weights that are not trained, and saved as such. In
        training they move with the update, in `evaluate` and `predict` with each batch. Use ``shuffle=False``.
    unroll, use_cudnn
        Accepted as Keras does: the engine goes over the steps by itself.
    trainable, name
        As in `Layer`.

    Notes
    -----
    A mask of the input counts, with an `initial_state` too; Keras 3.15 forgets the mask where it is given a tensor as initial
    state.

    Examples
    --------
    >>> import fastnet as fn
    >>> x = fn.Input((20, 8))
    >>> fn.layers.LSTM(16)(x).shape
    (None, 16)
    >>> sequence, h, c = fn.layers.LSTM(16, return_sequences=True, return_state=True)(x)
    >>> sequence.shape, fn.layers.LSTM(16)(sequence, initial_state=[h, c]).shape
    ((None, 20, 16), (None, 16))
    """

    kernel = "lstm"
    states = ("h", "c")

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
        **kwargs: Unpack[RecurrentOptions],
    ) -> None:
        super().__init__(**kwargs)
        self._take(locals())
        self.unit_forget_bias = bool(unit_forget_bias)


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al., 2014)::

        z = sigmoid(x @ Wz + h @ Uz + bz)
        r = sigmoid(x @ Wr + h @ Ur + br)
        g = tanh(x @ Wg + bg + r * (h @ Ug + cg))      # reset_after, as in cuDNN and PyTorch
        g = tanh(x @ Wg + bg + (r * h) @ Ug)           # else, as in the paper
        h = z * h + (1 - z) * g

    from step to step of a sequence of shape (steps, features), from ``h = 0`` or a given state on.

    Parameters
    ----------
    units : int
    activation, recurrent_activation : str or callable
        In place of tanh and sigmoid: any that work element by element.
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
        The weights are ``kernel`` of shape (features, 3 * units) and ``recurrent_kernel`` of shape (units, 3 * units), in
        the order z, r, g, and ``bias`` of shape (3 * units,) or, with `reset_after`, (2, 3 * units), where the second row
        is added to the products with h.
    kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer : str or Regularizer, optional
    kernel_constraint, recurrent_constraint, bias_constraint : str or Constraint, optional
    dropout, recurrent_dropout, seed, return_sequences, return_state, go_backwards, stateful
        As in `LSTM`; there is one state, h.
    reset_after : bool
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.layers.GRU(16, return_sequences=True)(fn.Input((20, 8))).shape
    (None, 20, 16)
    """

    kernel = "gru"
    states = ("h",)

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
        *,
        reset_after: bool = True,
        **kwargs: Unpack[RecurrentOptions],
    ) -> None:
        super().__init__(**kwargs)
        self._take(locals())
        self.reset_after = bool(reset_after)


class SimpleRNN(Recurrent):
    """The simple recurrent layer (Elman, 1990): ``h = tanh(x @ kernel + h @ recurrent_kernel + bias)``.

    Keras 3.15 leaves out this layer's `activity_regularizer`, and counts that of its other recurrent layers; here it counts.

    Parameters
    ----------
    units : int
    activation : str or callable
        In place of tanh: any that works element by element.
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
        The weights are ``kernel`` of shape (features, units), ``recurrent_kernel`` of shape (units, units) and ``bias`` of
        shape (units,).
    kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer : str or Regularizer, optional
    kernel_constraint, recurrent_constraint, bias_constraint : str or Constraint, optional
    dropout, recurrent_dropout, return_sequences, return_state, go_backwards, stateful, seed
        As in `LSTM`; there is one state, h.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.layers.SimpleRNN(16)(fn.Input((20, 8))).shape
    (None, 16)
    """

    kernel = "simple_rnn"
    states = ("h",)

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
        activity_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        recurrent_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        *,
        seed: int | None = None,
        **kwargs: Unpack[RecurrentOptions],
    ) -> None:
        super().__init__(**kwargs)
        self._take(locals())
