"""Reviews of films and whether they are good (Maas et al., 2011), as lists of the ranks of their words."""

from __future__ import annotations

import numpy as np

from ._published import KERAS_FILES, Path, Split, arrays_of
from ._words import choose_words, shuffled, word_index

__all__ = ["get_word_index", "load_data"]


def load_data(
    path: Path = "imdb.npz", num_words: int | None = None, skip_top: int = 0, maxlen: int | None = None, seed: int = 113,
    start_char: int | None = 1, oov_char: int | None = 2, index_from: int | None = 3,
) -> Split:  # fmt: skip
    """50000 reviews, from a file that is here already.

    Parameters
    ----------
    path : path
        ``imdb.npz``; where there is no such path, it is looked for where Keras keeps its downloads, ``~/.keras/datasets``. Nothing
        that the file holds is executed.
    num_words, skip_top : int
        Words are known whose number is below `num_words` and at least `skip_top`; others become `oov_char`, or, with None, are left out.
    maxlen : int, optional
        Leave out texts that are not shorter.
    seed : int
        Of the order of the texts.
    start_char, oov_char, index_from : int
        What a text begins with, what stands for unknown words, and what the rank of a word is raised by.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuples of ndarray
        x: lists of int; y: int, 1 for a good one.

    Raises
    ------
    FileNotFoundError
        If there is none; says which file to put where.
    ValueError
        If the file is broken, or no text is as short as `maxlen`.
    """
    x_train, y_train, x_test, y_test = arrays_of("imdb", path, ("x_train", "y_train", "x_test", "y_test"))
    rng = np.random.RandomState(seed)
    parts = [shuffled(x_train, y_train, rng), shuffled(x_test, y_test, rng)]
    train, test = choose_words(parts, num_words, skip_top, maxlen, start_char, oov_char, index_from)
    return train, test


def get_word_index(path: Path = "imdb_word_index.json") -> dict[str, int]:
    """The rank of each word, from a file that is here already, or where Keras keeps its downloads."""
    return word_index("imdb", path, f"{KERAS_FILES}/imdb_word_index.json")
