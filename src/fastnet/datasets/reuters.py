"""News of Reuters in 46 topics, as lists of the ranks of their words."""

from __future__ import annotations

import numpy as np

from ._published import KERAS_FILES, Path, Split, arrays_of
from ._words import choose_words, shuffled, word_index

__all__ = ["get_label_names", "get_word_index", "load_data"]

#: Of the files, in the order of their numbers.
_TOPICS = """
cocoa grain veg-oil earn acq wheat copper housing money-supply coffee sugar trade reserves ship cotton carcass
crude nat-gas cpi money-fx interest gnp meal-feed alum oilseed gold tin strategic-metal livestock retail ipi
iron-steel rubber heat jobs lei bop zinc orange pet-chem dlr gas silver wpi hog lead
"""


def load_data(
    path: Path = "reuters.npz", num_words: int | None = None, skip_top: int = 0, maxlen: int | None = None, test_split: float = 0.2,
    seed: int = 113, start_char: int | None = 1, oov_char: int | None = 2, index_from: int | None = 3,
) -> Split:  # fmt: skip
    """11228 news, from a file that is here already.

    Parameters
    ----------
    path : path
        ``reuters.npz``; where there is no such path, it is looked for where Keras keeps its downloads, ``~/.keras/datasets``. Nothing
        that the file holds is executed.
    num_words, skip_top, maxlen, seed, start_char, oov_char, index_from
        As in `imdb.load_data`.
    test_split : float
        The share of the texts to test with.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuples of ndarray
        x: lists of int; y: int, the topic.

    Raises
    ------
    FileNotFoundError
        If there is none; says which file to put where.
    ValueError
        If the file is broken, or no text is as short as `maxlen`.
    """
    texts = shuffled(*arrays_of("reuters", path, ("x", "y")), np.random.RandomState(seed))
    ((x, y),) = choose_words([texts], num_words, skip_top, maxlen, start_char, oov_char, index_from)
    first = int(len(x) * (1 - test_split))
    return (x[:first], y[:first]), (x[first:], y[first:])


def get_word_index(path: Path = "reuters_word_index.json") -> dict[str, int]:
    """The rank of each word, from a file that is here already, or where Keras keeps its downloads."""
    return word_index("reuters", path, f"{KERAS_FILES}/reuters_word_index.json")


def get_label_names() -> tuple[str, ...]:
    """The names of the topics, in the order of their numbers."""
    return tuple(_TOPICS.split())
