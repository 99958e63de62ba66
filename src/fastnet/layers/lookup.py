"""Layers that make indices of text and of whole numbers by a vocabulary, and the way back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, ClassVar, Unpack

import numpy as np

from .._graph import SymbolicTensor
from .._types import LayerOptions
from ._vocabulary import Vocabulary
from .host import HostLayer, encode, not_sparse

__all__ = ["IntegerLookup", "StringLookup", "batches_of"]


def batches_of(data: Any, steps: int | None) -> Iterator[tuple[Any, bool]]:
    """Data as the batches that they come in; and whether they are one array, whose rows are documents even if it has one axis."""
    if isinstance(data, (list, tuple, np.ndarray, str)) or hasattr(data, "to_numpy") or hasattr(data, "__array__"):
        yield data, True
    else:
        for batch in itertools.islice(iter(data), steps):
            yield batch[0] if isinstance(batch, tuple) else batch, False


class _Lookup(HostLayer):
    """Base: layers with one vocabulary."""

    _strings: ClassVar[bool]

    def _begin(self, vocabulary: Any, idf_weights: Any, invert: bool, sparse: bool, options: dict[str, Any]) -> None:
        """What both constructors do with their arguments."""
        self.invert = bool(invert)
        self.sparse = not_sparse(self, sparse)
        known = Vocabulary(self, self._strings, **options)
        if self.invert and known.output_mode != "int":
            raise ValueError(f"{self._label}: output_mode must be 'int' with invert=True, got {known.output_mode!r}")
        if idf_weights is not None and known.output_mode != "tf_idf":
            raise ValueError(f"{self._label}: idf_weights need output_mode='tf_idf', got {known.output_mode!r}")
        self._vocabulary = known
        self.max_tokens, self.num_oov_indices, self.salt = known.max_tokens, known.num_oov_indices, known.salt
        self.mask_token, self.oov_token, self.output_mode = known.mask_token, known.oov_token, known.output_mode
        self.pad_to_max_tokens = known.pad_to_max_tokens
        if vocabulary is not None:
            known.set(vocabulary, idf_weights)

    # ---- the vocabulary ---------------------------------------------------------------------------------------

    @property
    def vocabulary(self) -> list[Any] | None:
        """The tokens by their indices, the special ones included; None: not known yet."""
        return self._vocabulary.listed() if len(self._vocabulary.tokens) else None

    @property
    def idf_weights(self) -> list[float] | None:
        """With ``output_mode="tf_idf"``, the weights of the tokens."""
        return self._vocabulary.idf_listed

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The tokens by their indices.

        Parameters
        ----------
        include_special_tokens : bool
            False: without those for masks and for unknown tokens, which come first.
        """
        return self._vocabulary.listed(include_special_tokens)

    def vocabulary_size(self) -> int:
        """The number of indices, those for masks and for unknown tokens included."""
        return len(self._vocabulary)

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Takes tokens.

        Parameters
        ----------
        vocabulary : array_like or path
            Tokens in the order of their indices, or a file with one in each line. They may begin with the special tokens as
            `get_vocabulary` has them, or be without these.
        idf_weights : array_like, optional
            With ``output_mode="tf_idf"``: the weight of each token. Special tokens that are not given have the mean.

        Raises
        ------
        ValueError
            If tokens are there twice, are too many, or are special ones at another place.
        """
        self._vocabulary.set(vocabulary, idf_weights)
        self._touch()

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learns the vocabulary: all tokens of the data, the most frequent first, among equals the larger first.

        Parameters
        ----------
        data : array_like or iterable of array_like
            Tokens, or batches of them.
        steps : int, optional
            Batches to look at. Default: all.

        Raises
        ------
        ValueError
            If the vocabulary was given.
        """
        self.reset_state()
        for batch, whole in batches_of(data, steps):
            self._count(batch, whole)
        self.finalize_state()

    def update_state(self, data: Any) -> None:
        """Counts the tokens of a batch; one without a second axis is one document."""
        self._count(data, False)

    def finalize_state(self) -> None:
        """Makes the vocabulary of the tokens that were counted."""
        self._vocabulary.learn()
        self._touch()

    def reset_state(self) -> None:
        """Forgets the tokens that were counted."""
        self._vocabulary.reset()

    def _count(self, data: Any, whole: bool) -> None:
        array = self._array(data)
        array = array.reshape((-1, 1) if whole and array.ndim < 2 else (1, -1) if array.ndim < 2 else array.shape)
        flat = array.reshape(-1)
        self._vocabulary.count(flat.tolist() if self._strings else flat, (row.reshape(-1).tolist() for row in array), len(array))

    def _touch(self) -> None:
        """Plans may depend on it."""
        self._vocabulary = self._vocabulary

    # ---- computing --------------------------------------------------------------------------------------------

    def _array(self, given: Any) -> np.ndarray:
        """Data as what is looked up."""
        return self.strings_of(given, self._vocabulary.encoding) if self._strings else self.integers_of(given)

    def compute(self, inputs: Any) -> np.ndarray:
        if self.invert:
            return self._vocabulary.tokens_at(self.integers_of(inputs))
        return self._vocabulary.encoded(self._indices(inputs))

    def _indices(self, inputs: Any) -> np.ndarray:
        return self._vocabulary.indices(self._array(inputs))

    def _small(self, inputs: Any) -> np.ndarray:
        """As `compute`, in bytes where the numbers are 0 and 1."""
        return self._vocabulary.encoded(self._indices(inputs), np.uint8 if self.output_mode == "multi_hot" else np.float32)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self.check_strings(x, self._strings and not self.invert)
        if self.invert:
            return self.stage(self.compute, [x], x.shape[1:], strings=self._strings)
        if self.output_mode == "int":
            return self.stage(self._indices, [x], x.shape[1:])
        depth = self._vocabulary.depth
        self._vocabulary.freeze()
        if self.output_mode == "one_hot":
            return encode(self, self.stage(self._indices, [x], x.shape[1:]), "one_hot", depth)
        if not x.sample_shape:
            raise ValueError(f"layer {self._label!r}: {self.output_mode} takes an input of shape (batch, n), got shape {x.shape}")
        return self.stage(self._small, [x], (*x.shape[1:-1], depth))


class StringLookup(_Lookup):
    """Indices of text by a vocabulary.

    Text that is missing (None, NaN) is the empty string, which may be the `mask_token`. Called on arrays, lists or columns the layer
    computes at once; in a model it stands behind ``fn.Input(shape, dtype="string")``.

    Parameters
    ----------
    max_tokens : int, optional
        The most indices there may be, special ones included. Default: as many as there are tokens.
    num_oov_indices : int
        How many indices unknown tokens have: of several, a hash says which. 0: unknown tokens are an error.
    mask_token : str, optional
        A token that counts for nothing: it has index 0, and where no indices come out it is left out.
    oov_token : str
        What unknown tokens are with ``invert=True``.
    vocabulary : array_like or path, optional
        The tokens, see `set_vocabulary`; else `adapt` learns them.
    idf_weights : array_like, optional
        With ``output_mode="tf_idf"``: the weight of each token.
    invert : bool
        From indices to tokens.
    output_mode : {"int", "one_hot", "multi_hot", "count", "tf_idf"}
        Indices; or, as `CategoryEncoding` has them, each for itself or all of a row together; counts times the weights.
    pad_to_max_tokens : bool
        Where no indices come out: the last axis has max_tokens numbers, however many tokens there are.
    sparse : bool
        False.
    encoding : str
        Of bytes.
    salt : int or tuple of int, optional
        The hash of unknown tokens is SipHash with this key, in place of FarmHash.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> layer = fn.layers.StringLookup(vocabulary=["a", "b", "c", "d"])
    >>> layer([["a", "c", "d"], ["d", "z", "b"]])
    array([[1, 3, 4],
           [4, 0, 2]])
    >>> fn.layers.StringLookup(vocabulary=["a", "b"], output_mode="count")([["a", "a", "z"]])
    array([[1., 2., 0.]], dtype=float32)
    """

    _strings = True
    takes_strings = True

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str | None = "[UNK]",
        vocabulary: Any = None,
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        sparse: bool = False,
        encoding: str = "utf-8",
        *,
        salt: Any = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.encoding = encoding
        options = {
            "max_tokens": max_tokens, "num_oov_indices": num_oov_indices, "mask_token": mask_token, "oov_token": oov_token,
            "output_mode": output_mode, "pad_to_max_tokens": pad_to_max_tokens, "encoding": encoding, "salt": salt,
        }  # fmt: skip
        self._begin(vocabulary, idf_weights, invert, sparse, options)


class IntegerLookup(_Lookup):
    """Indices of whole numbers by a vocabulary.

    Parameters
    ----------
    max_tokens, num_oov_indices, vocabulary, idf_weights, invert, output_mode, pad_to_max_tokens, sparse
        As in `StringLookup`.
    mask_token : int, optional
    oov_token : int
        As in `StringLookup`.
    vocabulary_dtype : str
        "int64".
    oov_method : {"floormod", "farmhash"}
        Which of several indices an unknown number has: its remainder, or a hash of its digits.
    salt : int or tuple of int, optional
        With "farmhash": the hash is SipHash with this key.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> layer = fn.layers.IntegerLookup()
    >>> layer.adapt([12, 1138, 42, 42, 1138, 42])
    >>> layer.get_vocabulary()
    [-1, 42, 1138, 12]
    >>> layer([[12, 42, 7]])
    array([[3, 1, 0]])
    """

    _strings = False

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int | None = -1,
        vocabulary: Any = None,
        vocabulary_dtype: str = "int64",
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        oov_method: str = "floormod",
        salt: Any = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        if vocabulary_dtype != "int64":
            raise ValueError(f"{self._label}: vocabulary_dtype must be 'int64', got {vocabulary_dtype!r}")
        if salt is not None and oov_method != "farmhash":
            raise ValueError(f"{self._label}: salt needs oov_method='farmhash', got {oov_method!r}")
        self.vocabulary_dtype, self.oov_method = vocabulary_dtype, oov_method
        options = {
            "max_tokens": max_tokens, "num_oov_indices": num_oov_indices, "mask_token": mask_token, "oov_token": oov_token,
            "output_mode": output_mode, "pad_to_max_tokens": pad_to_max_tokens, "oov_method": oov_method, "salt": salt,
        }  # fmt: skip
        self._begin(vocabulary, idf_weights, invert, sparse, options)
