"""TextVectorization: from texts to the indices of their words."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Unpack

import numpy as np

from .._graph import SymbolicTensor
from .._registered import get_registered_object, registered_name
from .._strings import as_strings, list_of_strings
from .._types import LayerOptions
from ._arguments import one_of
from ._vocabulary import Vocabulary
from .host import HostLayer, whole_number
from .lookup import batches_of

__all__ = ["TextVectorization"]

_PUNCTUATION = "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'"
_LOWER = {ord(upper): upper.lower() for upper in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_STRIP = dict.fromkeys(map(ord, _PUNCTUATION))
#: What becomes of characters: as in Keras, letters are those of ASCII.
_TABLES = {"lower": _LOWER, "strip_punctuation": _STRIP, "lower_and_strip_punctuation": _LOWER | _STRIP}

#: As TensorFlow splits: at whitespace of ASCII alone.
_WORDS = re.compile(r"[^ \t\n\v\f\r]+").findall


class TextVectorization(HostLayer):
    """Indices of the words of texts: texts are standardized, split into tokens, put together as n-grams, and looked up.

    Index 0 is for padding, 1 for unknown words. Called on arrays or lists the layer computes at once; in a model it stands behind
    ``fn.Input((1,), dtype="string")``.

    Parameters
    ----------
    max_tokens : int, optional
        The most indices there may be, those two included.
    standardize : {"lower_and_strip_punctuation", "lower", "strip_punctuation"}, callable or None
        As in Keras, letters and punctuation are those of ASCII. A function takes and returns an array of text; files name it, so that it
        has to be known to who loads them, by `fastnet.saving.register_keras_serializable`.
    split : {"whitespace", "character"}, callable or None
        None: texts are tokens, (batch, n) of them. A function takes an array of texts and returns a list of tokens for each.
    ngrams : int or tuple of int, optional
        Numbers of tokens that are put together, joined by spaces; an integer: all numbers up to it.
    output_mode : {"int", "multi_hot", "count", "tf_idf"}
        The indices, (batch, length); or a number for each token of the vocabulary, as `StringLookup` has them.
    output_sequence_length : int, optional
        Length of the indices: longer texts are cut, shorter ones are filled with 0. Default: that of the longest.
    pad_to_max_tokens, vocabulary, idf_weights, sparse
        As in `StringLookup`.
    ragged : bool
        False.
    encoding : str
        Of bytes.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> layer = fn.layers.TextVectorization(output_sequence_length=4)
    >>> layer.adapt(["Foo, bar", "bar! baz"])
    >>> layer.get_vocabulary()
    ['', '[UNK]', 'bar', 'foo', 'baz']
    >>> layer(["foo qux bar", "baz"])
    array([[3, 1, 2, 0],
           [4, 0, 0, 0]])
    """

    takes_strings = True

    def __init__(
        self,
        max_tokens: int | None = None,
        standardize: Any = "lower_and_strip_punctuation",
        split: Any = "whitespace",
        ngrams: Any = None,
        output_mode: str = "int",
        output_sequence_length: int | None = None,
        pad_to_max_tokens: bool = False,
        vocabulary: Any = None,
        idf_weights: Any = None,
        sparse: bool = False,
        ragged: bool = False,
        encoding: str = "utf-8",
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        label = self._label
        if sparse or ragged:
            raise ValueError(f"{label}: {'sparse' if sparse else 'ragged'} must be False")
        self.sparse, self.ragged, self.encoding = False, False, encoding
        self.standardize = _step(label, "standardize", standardize, tuple(_TABLES))
        self.split = _step(label, "split", split, ("whitespace", "character"))
        self.ngrams = _checked_ngrams(label, ngrams)
        known = Vocabulary(
            self, True, max_tokens=max_tokens, num_oov_indices=1, mask_token="", oov_token="[UNK]", output_mode=output_mode,
            pad_to_max_tokens=pad_to_max_tokens, encoding=encoding,
        )  # fmt: skip
        self.output_mode = one_of(label, "output_mode", known.output_mode, ("int", "multi_hot", "count", "tf_idf"))
        self.output_sequence_length = (
            None if output_sequence_length is None else whole_number(label, "output_sequence_length", output_sequence_length, 1)
        )
        if self.output_sequence_length is not None and self.output_mode != "int":
            raise ValueError(f"{label}: output_sequence_length needs output_mode='int', got {self.output_mode!r}")
        self.max_tokens, self.pad_to_max_tokens, self._vocabulary = known.max_tokens, known.pad_to_max_tokens, known
        if vocabulary is not None:
            known.set(vocabulary, idf_weights)

    # ---- the vocabulary ---------------------------------------------------------------------------------------

    @property
    def vocabulary(self) -> list[str] | None:
        """The tokens by their indices; None: not known yet."""
        return self._vocabulary.listed() if len(self._vocabulary.tokens) else None

    @property
    def idf_weights(self) -> list[float] | None:
        """With ``output_mode="tf_idf"``, the weights of the tokens."""
        return self._vocabulary.idf_listed

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[str]:
        """The tokens by their indices; without those for padding and unknown tokens if these are not included."""
        return self._vocabulary.listed(include_special_tokens)

    def vocabulary_size(self) -> int:
        """The number of indices, those for padding and unknown tokens included."""
        return len(self._vocabulary)

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Takes tokens, or a file with one in each line; see `StringLookup.set_vocabulary`."""
        self._vocabulary.set(vocabulary, idf_weights)
        self._touch()

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Learns the vocabulary: all tokens of texts, the most frequent first, among equals the larger first.

        Parameters
        ----------
        data : array_like or iterable of array_like
            Texts, or batches of them.
        batch_size : int, optional
            Accepted as Keras does.
        steps : int, optional
            Batches to look at. Default: all.

        Raises
        ------
        ValueError
            If the vocabulary was given.
        """
        self.reset_state()
        for batch, _ in batches_of(data, steps):
            self.update_state(batch)
        self.finalize_state()

    def update_state(self, data: Any) -> None:
        """Counts the tokens of a batch of texts."""
        rows = self._tokens(data)
        self._vocabulary.count(list(itertools.chain.from_iterable(rows)), rows, len(rows))

    def finalize_state(self) -> None:
        """Makes the vocabulary of the tokens that were counted."""
        self._vocabulary.learn()
        self._touch()

    def reset_state(self) -> None:
        """Forgets the tokens that were counted."""
        self._vocabulary.reset()

    def _touch(self) -> None:
        """Plans may depend on it."""
        self._vocabulary = self._vocabulary

    # ---- configuration ----------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as a dictionary that JSON can hold: functions as their names."""
        config = super().get_config()
        for key in ("standardize", "split"):
            if callable(config[key]):
                config[key] = {"function": registered_name(config[key])}
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """The layer whose `get_config` gave `config`; ValueError for a function that is not registered."""
        found = dict(config)
        for key in ("standardize", "split"):
            value = found.get(key)
            if isinstance(value, Mapping):
                name = str(value.get("function"))
                found[key] = get_registered_object(name)
                if found[key] is None:
                    raise ValueError(
                        f"{cls.__name__}: {key} is a function {name!r} of your own, which is not known: decorate it with "
                        "fn.saving.register_keras_serializable(), or load within fn.saving.custom_object_scope"
                    )
        return super().from_config(found)

    # ---- computing --------------------------------------------------------------------------------------------

    def _tokens(self, given: Any) -> list[list[str]]:
        """The tokens of each text, put together as n-grams."""
        texts = self.strings_of(given, self.encoding)
        texts = texts[None] if not texts.ndim else texts
        if callable(self.standardize):
            texts = self.strings_of(self.standardize(np.array(texts.tolist(), str)), self.encoding)
        if self.split is not None and texts.ndim > 1:
            if texts.shape[1:] != (1,):
                raise ValueError(f"layer {self._label!r} splits texts of shape (batch,) or (batch, 1), got shape {texts.shape}")
            texts = texts[:, 0]
        flat = list_of_strings(texts)
        if isinstance(self.standardize, str):
            table = _TABLES[self.standardize]
            flat = [text.translate(table) for text in flat]
        rows: list[list[str]]
        if self.split == "whitespace":
            rows = [text.split() if text.isascii() else _WORDS(text) for text in flat]
        elif self.split == "character":
            rows = [list(text) for text in flat]
        elif self.split is None:
            width = texts.shape[1] if texts.ndim > 1 else 1
            rows = [flat[i : i + width] for i in range(0, len(flat), width)]
        else:
            rows = [list_of_strings(as_strings(_listed(row), "what split returns")) for row in self.split(np.array(flat, str))]
        return [_put_together(row, self.ngrams) for row in rows] if self.ngrams else rows

    def compute(self, inputs: Any) -> np.ndarray:
        found = self._rows(inputs, np.float32)
        return found[0] if isinstance(inputs, (str, bytes)) else found

    def _small(self, inputs: Any) -> np.ndarray:
        return self._rows(inputs, np.uint8 if self.output_mode == "multi_hot" else np.float32)

    def _rows(self, inputs: Any, dtype: Any) -> np.ndarray:
        rows, length = self._tokens(inputs), self.output_sequence_length
        if length is not None:
            rows = [row[:length] for row in rows]
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        flat = list(itertools.chain.from_iterable(rows))
        tokens = np.empty(len(flat), object)
        tokens[:] = flat
        indices = self._vocabulary.indices(tokens)
        of_row = np.repeat(np.arange(len(rows)), lengths)
        if self.output_mode == "int":
            width = max(int(lengths.max(initial=0)), 1) if length is None else length
            found = np.zeros((len(rows), width), np.int64)
            found[of_row, np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths)] = indices
            return found
        depth = self._vocabulary.depth
        places = (of_row * depth + indices)[indices >= 0]
        if self.output_mode == "multi_hot":
            marks = np.zeros(len(rows) * depth, dtype)
            marks[places] = 1
            return marks.reshape(-1, depth)
        counts = np.bincount(places, minlength=len(rows) * depth).astype(np.float32).reshape(-1, depth)
        return self._vocabulary.weighted(counts)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self.check_strings(x, True)
        if x.shape[1:] not in ((), (1,)) and self.split is not None:
            raise ValueError(f"layer {self._label!r} splits texts of shape (batch,) or (batch, 1), got shape {x.shape}")
        if self.output_mode == "int":
            return self.stage(self._small, [x], (self.output_sequence_length,))
        depth = self._vocabulary.depth
        self._vocabulary.freeze()
        return self.stage(self._small, [x], (depth,))


def _step(label: str, argument: str, value: Any, names: tuple[str, ...]) -> str | Callable[..., Any] | None:
    if value is None or callable(value):
        return value
    found: str = one_of(label, argument, value, names)
    return found


def _checked_ngrams(label: str, ngrams: Any) -> tuple[int, ...] | None:
    if ngrams is None:
        return None
    numbers = (
        tuple(range(1, ngrams + 1)) if isinstance(ngrams, int) else tuple(ngrams) if isinstance(ngrams, (tuple, list)) else ()
    )
    if not numbers or not all(isinstance(number, int) and number > 0 for number in numbers):
        raise ValueError(f"{label}: ngrams must be a positive integer or a tuple of them, got {ngrams!r}")
    return numbers


def _put_together(tokens: list[str], ngrams: Iterable[int]) -> list[str]:
    """All runs of as many tokens as the numbers say, the smaller numbers first."""
    return [" ".join(tokens[i : i + n]) for n in ngrams for i in range(len(tokens) - n + 1)]


def _listed(row: Any) -> Any:
    return row.tolist() if isinstance(row, np.ndarray) else list(row)
