"""Bidirectional: a recurrent layer forwards, and another backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from .._graph import SymbolicTensor
from .._types import LayerOptions
from .base import Layer
from .recurrent import Recurrent

__all__ = ["Bidirectional"]

#: How `Bidirectional` joins outputs: the operation.
_MERGES = {"concat": "concatenate", "sum": "add", "mul": "multiply", "ave": "average"}


class Bidirectional(Layer):
    """A recurrent layer on a sequence and, with weights of its own, another one on the sequence read backwards
    (Schuster and Paliwal, 1997).

    Parameters
    ----------
    layer : LSTM, GRU or SimpleRNN
        That of the forward direction.
    merge_mode : {"concat", "sum", "mul", "ave", None}
        How the two outputs are joined: one after the other along the last axis, their sum, product or mean; None: a list
        of both. The outputs of sequences are both in the order of the input.
    backward_layer : LSTM, GRU or SimpleRNN, optional
        That of the other direction, with ``go_backwards=True``. Default: one with the same arguments as `layer`.
    trainable, name
        As in `Layer`.

    Notes
    -----
    Where the layers return states, these follow the output: first those of the forward layer. `initial_state` is given in
    that order.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.layers.Bidirectional(fn.layers.LSTM(16, return_sequences=True))(fn.Input((20, 8))).shape
    (None, 20, 32)
    """

    def __init__(
        self,
        layer: Layer,
        merge_mode: str | None = "concat",
        *,
        backward_layer: Layer | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        if merge_mode is not None and merge_mode not in _MERGES:
            raise ValueError(f"{self._label}: merge_mode must be one of {[*_MERGES, None]}, got {merge_mode!r}")
        for name, given in (("layer", layer), ("backward_layer", backward_layer)):
            if not isinstance(given, Recurrent) and not (name == "backward_layer" and given is None):
                raise TypeError(f"{self._label}: {name} must be a recurrent layer, got {given!r}")
        self.merge_mode = merge_mode
        self.layer = layer
        self.backward_layer = backward_layer
        other = backward_layer
        if other is None:
            other = type(layer).from_config({**layer.get_config(), "go_backwards": not layer.go_backwards, "name": None})
        if (
            other.go_backwards == layer.go_backwards
            or other.return_sequences != layer.return_sequences
            or other.return_state != layer.return_state
        ):
            raise ValueError(
                f"{self._label}: the two layers must differ in go_backwards, and agree in return_sequences and return_state"
            )
        self.backward = other
        for one in (layer, other):
            one._input_order = True
            one._zero_output_for_mask = True

    def call(self, x: SymbolicTensor, initial_state: Any = None) -> Any:
        halves: list[Any] = [None, None]
        if initial_state is not None:
            count = len(self.layer.states)
            if not isinstance(initial_state, Sequence) or len(initial_state) != count + len(self.backward.states):
                raise ValueError(f"layer {self._label!r}: initial_state must be those of the one layer and then of the other")
            halves = [list(initial_state[:count]), list(initial_state[count:])]
        results = [
            one(x) if half is None else one(x, initial_state=half) for one, half in zip((self.layer, self.backward), halves)
        ]
        outputs, states = results, []
        if self.layer.return_state:
            outputs = [result[0] for result in results]
            states = [state for result in results for state in result[1:]]
        if self.merge_mode is None:
            return [*outputs, *states]
        y = self.emit(_MERGES[self.merge_mode], outputs)
        y.mask = outputs[0].mask
        return [y, *states] if states else y
