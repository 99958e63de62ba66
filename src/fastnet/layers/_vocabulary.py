"""Vocabularies: which index a token has, text or whole numbers, and what becomes of those that are not known."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from .._strings import as_strings, list_of_strings
from ._arguments import one_of
from ._fingerprints import fingerprint64, siphash
from .base import Layer
from .host import encode_rows, whole_number

__all__ = ["OUTPUT_MODES", "Vocabulary", "checked_salt", "hash_bins"]

OUTPUT_MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")

#: Indices that are none: of what is masked where that counts for nothing, and of what is not known.
_DROPPED, _UNKNOWN = -1, -2


class Vocabulary:
    """Tokens and their indices.

    Without one token for masks (which has index 0 where indices are what comes out) and `num_oov_indices` for unknown tokens at the
    beginning, tokens are in the order given, or learnt: the most frequent first, and among equals the larger first.

    Parameters
    ----------
    layer : Layer
        Whose it is, for messages.
    strings : bool
        Whether tokens are text.
    encoding, max_tokens, num_oov_indices, mask_token, oov_token, output_mode, pad_to_max_tokens, salt, oov_method
        As in `StringLookup` and `IntegerLookup`.

    Attributes
    ----------
    tokens : list of str, or ndarray of int64
        Those without the special ones.
    idf : ndarray or None
        For ``output_mode="tf_idf"``: the weight of each index.
    given : bool
        Whether it was given, and not learnt.
    """

    def __init__(
        self,
        layer: Layer,
        strings: bool,
        *,
        max_tokens: int | None,
        num_oov_indices: int,
        mask_token: Any,
        oov_token: Any,
        output_mode: str,
        pad_to_max_tokens: bool,
        encoding: str = "utf-8",
        salt: Any = None,
        oov_method: str = "floormod",
    ) -> None:
        label = layer._label
        self.layer, self.strings, self.encoding = layer, strings, encoding
        self.max_tokens = None if max_tokens is None else whole_number(label, "max_tokens", max_tokens, 2)
        self.num_oov_indices = whole_number(label, "num_oov_indices", num_oov_indices, 0)
        self.mask_token, self.oov_token = mask_token, oov_token
        modes = {"binary": "multi_hot", "tf-idf": "tf_idf"}
        self.output_mode = one_of(label, "output_mode", modes.get(output_mode, output_mode), OUTPUT_MODES)
        if pad_to_max_tokens and max_tokens is None:
            raise ValueError(f"{label}: pad_to_max_tokens needs max_tokens")
        self.pad_to_max_tokens = bool(pad_to_max_tokens)
        self.salt = checked_salt(label, salt)
        self.oov_method = one_of(label, "oov_method", oov_method, ("floormod", "farmhash"))
        self.tokens: Any = []
        self.idf: np.ndarray | None = None
        self.given = False
        self._frozen: int | None = None
        self._table: dict[str, int] | None = None
        self._sorted: tuple[np.ndarray, np.ndarray] | None = None
        self.reset()

    # ---- tokens -----------------------------------------------------------------------------------------------

    @property
    def special(self) -> list[Any]:
        """The tokens that come before the others."""
        masks = [self.mask_token] if self.mask_token is not None and self.output_mode == "int" else []
        return masks + [self.oov_token] * self.num_oov_indices

    def __len__(self) -> int:
        return len(self.special) + len(self.tokens)

    @property
    def depth(self) -> int:
        """Size of the last axis of what comes out, where that are no indices."""
        if self.pad_to_max_tokens and self.max_tokens is not None:
            return self.max_tokens
        self._require_tokens()
        return len(self)

    def _require_tokens(self) -> None:
        if not len(self.tokens):
            raise RuntimeError(
                f"layer {self.layer._label!r} does not know its vocabulary yet: call its adapt(data), or give vocabulary"
            )

    def listed(self, include_special_tokens: bool = True) -> list[Any]:
        """The tokens by their indices."""
        tokens = list(self.tokens) if self.strings else np.asarray(self.tokens, np.int64).tolist()
        return [*self.special, *tokens] if include_special_tokens else tokens

    @property
    def idf_listed(self) -> list[float] | None:
        """The weights of the listed tokens."""
        return None if self.idf is None else self.idf[: len(self)].tolist()

    def set(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Takes tokens, or those in the lines of a file; see `StringLookup.set_vocabulary`."""
        label = self.layer._label
        weighted = self.output_mode == "tf_idf"
        if weighted != (idf_weights is not None):
            raise ValueError(
                f"layer {label!r}: idf_weights are given with a vocabulary where output_mode is 'tf_idf', and only there"
            )
        tokens, special = self._tokens_of(vocabulary), self.special
        count = len(tokens)
        whole = count >= len(special) and tokens[: len(special)] == special
        if whole:
            tokens = tokens[len(special) :]
        twice = [token for token, number in Counter(tokens).items() if number > 1]
        if twice:
            raise ValueError(f"layer {label!r}: vocabulary has tokens twice: {', '.join(map(repr, twice[:5]))}")
        for name, token in (("mask", self.mask_token), ("oov", self.oov_token if self._inverts else None)):
            if token is not None and token in tokens:
                raise ValueError(
                    f"layer {label!r}: vocabulary holds the {name} token {token!r}; leave it out, or begin with all special tokens, {special}"
                )
        size = len(special) + len(tokens)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ValueError(
                f"layer {label!r}: with special tokens vocabulary has {size} tokens, more than max_tokens={self.max_tokens}"
            )
        idf = None
        if weighted:
            idf = np.asarray(idf_weights, np.float32)
            if idf.shape != (count,):
                raise ValueError(f"layer {label!r}: idf_weights has shape {idf.shape}, expected {(count,)}, one for each token")
            idf = self._padded(idf, 0 if whole else len(special))
        self._replace(tokens, idf)
        self.given = True

    @property
    def _inverts(self) -> bool:
        return bool(getattr(self.layer, "invert", False))

    def _tokens_of(self, vocabulary: Any) -> list[Any]:
        label = self.layer._label
        if isinstance(vocabulary, (str, os.PathLike)):
            if self.output_mode == "tf_idf":
                raise ValueError(
                    f"layer {label!r}: a vocabulary with idf_weights is a list, got the file {os.fspath(vocabulary)!r}"
                )
            with open(vocabulary, encoding=self.encoding, newline="\n") as file:
                lines = [line.rstrip("\n") for line in file]
            try:
                tokens: list[Any] = lines if self.strings else list(map(int, lines))
            except ValueError as error:
                raise ValueError(
                    f"layer {label!r}: {os.fspath(vocabulary)!r} does not hold a whole number in each line: {error}"
                ) from None
        elif self.strings:
            given = vocabulary.to_numpy() if hasattr(vocabulary, "to_numpy") else vocabulary
            if isinstance(given, (list, tuple)) and given[: len(self.special)] == self.special:  # which may be None
                rest = as_strings(list(given[len(self.special) :]), f"layer {label!r}: vocabulary", self.encoding)
                tokens = [*self.special, *list_of_strings(rest)]
            else:
                tokens = list_of_strings(as_strings(given, f"layer {label!r}: vocabulary", self.encoding))
        else:
            array = np.asarray(vocabulary)
            if array.dtype.kind not in "iu":
                raise TypeError(f"layer {label!r}: vocabulary must be whole numbers, got {vocabulary!r}")
            tokens = array.reshape(-1).tolist()
        if not tokens:
            raise ValueError(f"layer {label!r}: vocabulary is empty")
        return tokens

    def _padded(self, idf: np.ndarray, front: int) -> np.ndarray:
        """Weights with those of the special tokens before them, which are their mean, and 0 for indices that no token has."""
        whole = np.concatenate([np.full(front, idf.mean(dtype=np.float32), np.float32), idf])
        depth = self.max_tokens if self.pad_to_max_tokens and self.max_tokens is not None else len(whole)
        return np.pad(whole, (0, depth - len(whole)))

    def _replace(self, tokens: Sequence[Any], idf: np.ndarray | None) -> None:
        size = len(self.special) + len(tokens)
        if self._frozen is not None and size != self._frozen:
            raise RuntimeError(
                f"layer {self.layer._label!r} is a part of a model that has been made for {self._frozen} tokens, this vocabulary has {size}: "
                "adapt it before, or give max_tokens and pad_to_max_tokens=True"
            )
        self.tokens, self.idf = (list(tokens) if self.strings else np.array(tokens, np.int64)), idf
        self._table = self._sorted = None

    def freeze(self) -> None:
        """The number of tokens stays from now on, where what is computed has that size."""
        if self.output_mode != "int" and not self.pad_to_max_tokens:
            self._frozen = self.depth

    # ---- learning ---------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forgets what has been counted."""
        self._counts: Counter[Any] = Counter()
        self._counted: list[tuple[np.ndarray, np.ndarray]] = []  # whole numbers, and how often
        self._in_documents: Counter[Any] = Counter()
        self._documents = 0

    def count(self, tokens: Any, rows: Iterable[list[Any]], n_rows: int) -> None:
        """Counts tokens, and for tf_idf the documents that they are in, which are given one by one."""
        if self.given:
            raise ValueError(f"layer {self.layer._label!r} was given its vocabulary, it cannot be adapted")
        if self.strings:
            self._counts.update(tokens)
        else:
            self._counted.append(np.unique(tokens, return_counts=True))
        if self.output_mode == "tf_idf":
            for row in rows:
                self._in_documents.update(set(row))
            self._documents += n_rows

    def learn(self) -> None:
        """Makes the vocabulary of what has been counted."""
        if not self._counts and not self._counted:
            return
        tokens = self._ordered_strings() if self.strings else self._ordered_integers()
        if self.max_tokens is not None:
            tokens = tokens[: max(0, self.max_tokens - len(self.special))]
        idf = None
        if self.output_mode == "tf_idf":
            counts = np.array([self._in_documents[token] for token in tokens], np.float64)
            idf = self._padded(np.log(1 + self._documents / (1 + counts)).astype(np.float32), len(self.special))
        self._replace(tokens, idf)
        self.reset()

    def _ordered_strings(self) -> list[str]:
        for token in (self.mask_token, self.oov_token):
            self._counts.pop(token, None)
        return [token for token, _ in sorted(self._counts.items(), key=lambda item: (item[1], item[0]), reverse=True)]

    def _ordered_integers(self) -> list[int]:
        found, counts = (np.concatenate(parts) for parts in zip(*self._counted))
        tokens, places = np.unique(found, return_inverse=True)
        order = np.lexsort((tokens, np.bincount(places.reshape(-1), counts)))[::-1]
        special = [token for token in (self.mask_token, self.oov_token) if token is not None]
        tokens = tokens[order]
        return tokens[~np.isin(tokens, special)].tolist() if special else tokens.tolist()

    # ---- looking up -------------------------------------------------------------------------------------------

    def indices(self, tokens: np.ndarray) -> np.ndarray:
        """The indices of an array of tokens, as int64; -1: it counts for nothing."""
        self._require_tokens()
        found = self._of_strings(tokens) if self.strings else self._of_integers(tokens)
        unknown = found == _UNKNOWN
        if unknown.any():
            missing = tokens.reshape(-1)[unknown]
            if not self.num_oov_indices:
                some = ", ".join(map(repr, list(dict.fromkeys(missing.tolist()))[:5]))
                raise ValueError(f"layer {self.layer._label!r}: {some} is not in its vocabulary, and num_oov_indices is 0")
            start = len(self.special) - self.num_oov_indices
            if self.num_oov_indices == 1:
                found[unknown] = start
            elif self.strings or self.oov_method == "farmhash":
                found[unknown] = start + hash_bins(missing, self.num_oov_indices, self.salt, self.encoding)
            else:
                found[unknown] = start + np.mod(missing, self.num_oov_indices)
        return found.reshape(tokens.shape)

    @property
    def _masked(self) -> int:
        return 0 if self.output_mode == "int" else _DROPPED

    def _of_strings(self, tokens: np.ndarray) -> np.ndarray:
        if self._table is None:
            first = len(self.special)
            self._table = {token: first + i for i, token in enumerate(self.tokens)}
            if self.mask_token is not None:
                self._table[self.mask_token] = self._masked
        flat = list_of_strings(tokens)
        return np.fromiter(map(self._table.get, flat, repeat(_UNKNOWN)), np.int64, len(flat))

    def _of_integers(self, tokens: np.ndarray) -> np.ndarray:
        if self._sorted is None:
            known = np.asarray(self.tokens, np.int64)
            order = np.argsort(known)
            self._sorted = known[order], order + len(self.special)
        known, places = self._sorted
        flat = tokens.reshape(-1)
        found = np.full(len(flat), _UNKNOWN, np.int64)
        if len(known):
            at = np.minimum(np.searchsorted(known, flat), len(known) - 1)
            inside = known[at] == flat
            found[inside] = places[at[inside]]
        if self.mask_token is not None:
            found[flat == self.mask_token] = self._masked
        return found

    def tokens_at(self, indices: np.ndarray) -> np.ndarray:
        """The tokens of indices: the token for what is not known, where there is none."""
        self._require_tokens()
        listed, other = self.listed(), self.oov_token
        inside = (indices >= 0) & (indices < len(listed))
        table = np.array([*listed, other], object if self.strings else np.int64)
        return table[np.where(inside, indices, len(listed))]

    def encoded(self, indices: np.ndarray, dtype: Any = np.float32) -> np.ndarray:
        """What comes out for indices."""
        if self.output_mode == "int":
            return indices
        mode = "count" if self.output_mode == "tf_idf" else self.output_mode
        return self.weighted(encode_rows(indices if indices.ndim else indices[None], mode, self.depth, dtype))

    def weighted(self, counts: np.ndarray) -> np.ndarray:
        """Counts times the weights of the tokens, for tf_idf."""
        return counts if self.output_mode != "tf_idf" or self.idf is None else counts * self.idf


def checked_salt(label: str, salt: Any) -> list[int] | None:
    """A salt as its two numbers."""
    numbers = [salt, salt] if isinstance(salt, int) and not isinstance(salt, bool) else salt
    if numbers is None:
        return None
    if not isinstance(numbers, (list, tuple)) or len(numbers) != 2 or not all(isinstance(one, int) for one in numbers):
        raise ValueError(f"{label}: salt must be an integer or two of them, got {salt!r}")
    return list(numbers)


def hash_bins(values: np.ndarray, bins: int, salt: Sequence[int] | None, encoding: str = "utf-8") -> np.ndarray:
    """The bins, from 0 on, of text or of whole numbers, whose digits are hashed; of each different value once."""
    flat = values.reshape(-1).tolist()
    different = dict.fromkeys(flat)
    given = [str(value).encode(encoding) for value in different]
    hashed = fingerprint64(given) if salt is None else siphash(given, (salt[0], salt[1]))
    numbers = dict(zip(different, (hashed % np.uint64(bins)).tolist()))
    return np.fromiter(map(numbers.__getitem__, flat), np.int64, len(flat)).reshape(values.shape)
