"""Embedding, from tokens to vectors; Masking, which steps of a sequence count."""

from __future__ import annotations

import math
from typing import Any, Unpack

import numpy as np

from .. import constraints, initializers, regularizers
from .._graph import SymbolicTensor, shape_attributes
from .._labels import TABLE_IS_PARAMETER, label_sources
from .._types import ConstraintLike, EmbeddingOptions, InitializerLike, LayerOptions, RegularizerLike
from .._weights import WeightSpec
from .base import Layer
from .core import positive_integer
from .normalization import number_in

__all__ = ["Embedding", "Masking"]


class Embedding(Layer):
    """A vector for each token: ``y[..., :] = embeddings[x[...]]``, a trained table of ``input_dim`` vectors.

    Tokens are whole numbers from 0 to ``input_dim - 1``, in an array of any numeric dtype. Where they come from an input of the model as
    they are, or through layers that leave the numbers what they are, such as `Reshape`, they are checked with the rest of the data, before
    anything is changed. Of tokens that are computed those out of range take NaN, by which training stops, and those below 0 count from
    the end.

    Only the rows whose tokens are in the batch have a gradient that is not zero. The optimizer nevertheless updates the
    whole table, as Keras does: momenta go on moving the rows of tokens that have not been seen for some time.

    Parameters
    ----------
    input_dim : int
        Size of the vocabulary: one more than the largest token. At most 2**24, up to which whole numbers are exact in
        float32.
    output_dim : int
        Length of the vectors.
    embeddings_initializer : str or Initializer
        The weight is ``embeddings`` of shape (input_dim, output_dim).
    embeddings_regularizer : str or Regularizer, optional
    embeddings_constraint : str or Constraint, optional
    mask_zero : bool
        Token 0 is padding: the output has a mask, see `Masking`.
    weights : list of one array_like, optional
        The vectors to begin with, in place of those of the initializer.
    trainable, name
        As in `Layer`.

    Raises
    ------
    ValueError
        In `fit`, `evaluate` and `predict`, for a token out of range.

    Examples
    --------
    >>> import fastnet as fn
    >>> layer = fn.layers.Embedding(1000, 16)
    >>> layer(fn.Input((20,))).shape
    (None, 20, 16)
    >>> model = fn.Sequential([fn.Input((2,)), fn.layers.Embedding(5, 3, name="words")])
    >>> model.predict([[0, 5]])
    Traceback (most recent call last):
    ValueError: layer 'words': x holds 5 in row 0, expected whole numbers from 0 to 4
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: InitializerLike = "uniform",
        embeddings_regularizer: RegularizerLike | None = None,
        embeddings_constraint: ConstraintLike | None = None,
        mask_zero: bool = False,
        **kwargs: Unpack[EmbeddingOptions],
    ) -> None:
        table = kwargs.pop("weights", None)
        super().__init__(**kwargs)  # type: ignore[misc]
        self.input_dim = positive_integer(self._label, "input_dim", input_dim)
        self.output_dim = positive_integer(self._label, "output_dim", output_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = bool(mask_zero)
        self._table: Any = None
        if table is not None:
            given = [np.asarray(one) for one in table] if isinstance(table, (list, tuple)) else [np.asarray(table)]
            shapes = [one.shape for one in given]
            if shapes != [(self.input_dim, self.output_dim)]:
                raise ValueError(
                    f"{self._label}: weights must be one array of shape {(self.input_dim, self.output_dim)}, got shapes {shapes}"
                )
            self._table = initializers.Constant(given[0])

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        spec = WeightSpec(
            self._table or self.embeddings_initializer, self.embeddings_regularizer, True, self.embeddings_constraint
        )
        op, attributes = "embedding", {"input_dim": self.input_dim, "output_dim": self.output_dim}
        try:
            label_sources(x, self._label)
        except ValueError:  # computed: the operation whose numbers that are out of range take NaN
            op = "take"
            attributes = {"axis": 0, "parameter": TABLE_IS_PARAMETER, **shape_attributes((self.input_dim, self.output_dim))}
        y = self.emit(op, [x], attributes, {"embeddings": spec})
        return self.regularize(y)

    def compute_mask(self, *inputs: SymbolicTensor) -> list[SymbolicTensor | None]:
        """Which tokens are not 0, with `mask_zero`."""
        if not self.mask_zero:
            return []
        column = self.emit("reshape", [inputs[0]], shape_attributes((*inputs[0].sample_shape, 1)))
        return [self.emit("masking", [column]).operation.outputs[1]]

    @property
    def embeddings(self) -> Any:
        """The table, a view of shape (input_dim, output_dim)."""
        return self._weights["embeddings"].value


class Masking(Layer):
    """Marks the steps of a sequence whose features are all `mask_value` as ones that do not count.

    The output is the input, with 0 in the masked steps, and has a mask. Layers that keep steps apart pass it on: `Dense`,
    activations, dropout, normalisation, layers that merge, `TimeDistributed`, and recurrent layers that return sequences.
    Recurrent layers leave their states as they are in masked steps, attention does not look at them, and
    `GlobalAveragePooling1D` takes the mean of the others. Where the output of the model has a mask, loss and
    metrics leave out the masked steps; the loss of a batch is the mean over the others. Losses that are Python functions
    see all steps. Statistics of `BatchNormalization` and penalties on activities include masked steps.

    Parameters
    ----------
    mask_value : float
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> import numpy as np
    >>> model = fn.Sequential([fn.Input((4, 1)), fn.layers.Masking(), fn.layers.LSTM(3)], seed=0)
    >>> padded = np.array([[[1.0], [2.0], [0.0], [0.0]]])
    >>> longer = np.array([[[1.0], [0.0], [2.0], [0.0]]])
    >>> bool((model.predict(padded) == model.predict(longer)).all())
    True
    """

    def __init__(self, mask_value: float = 0.0, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.mask_value = number_in(self, "mask_value", mask_value, -math.inf, math.inf)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        y = self.emit("masking", [x], {"value": self.mask_value})
        y.mask = y.operation.outputs[1]
        return y
