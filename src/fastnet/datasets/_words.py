"""Texts as lists of the ranks of their words, as Keras has IMDB's and Reuters'."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np

from ._published import Path, find

__all__ = ["choose_words", "shuffled", "word_index"]


def shuffled(x: np.ndarray, y: np.ndarray, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """The rows in another order."""
    order = np.arange(len(x))
    rng.shuffle(order)
    return x[order], y[order]


def choose_words(
    parts: Iterable[tuple[np.ndarray, np.ndarray]], num_words: int | None, skip_top: int, maxlen: int | None, start_char: int | None,
    oov_char: int | None, index_from: int | None,
) -> list[tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    """The texts and labels of each part, with numbers from `index_from` up, without texts that are too long, and with rare and frequent
    words as `oov_char`, or without them.

    Raises
    ------
    ValueError
        If no text of a part is that short.
    """
    begin = [] if start_char is None else [start_char]
    chosen = []
    for texts, labels in parts:
        rows = [[*begin, *(int(word) + (index_from or 0) for word in text)] for text in texts]
        kept = [i for i, row in enumerate(rows) if not maxlen or len(row) < maxlen]
        if not kept:
            raise ValueError(f"no text has fewer than maxlen={maxlen} words: give a larger one")
        chosen.append(([rows[i] for i in kept], labels[kept]))
    limit = num_words or max(max(map(max, rows)) for rows, _ in chosen)  # as in Keras: of all words the last one is not known

    def known(row: list[int]) -> list[int]:
        if oov_char is None:
            return [word for word in row if skip_top <= word < limit]
        return [word if skip_top <= word < limit else oov_char for word in row]

    return [(as_rows([known(row) for row in rows]), labels) for rows, labels in chosen]


def word_index(dataset: str, path: Path, source: str) -> dict[str, int]:
    """The ranks of the words."""
    place = find(dataset, path, [f"{dataset}_word_index.json"], source)
    with place.open(encoding="utf-8") as file:
        return dict(json.load(file))


def as_rows(rows: list[list[int]]) -> np.ndarray:
    """An array of lists."""
    array = np.empty(len(rows), object)
    array[:] = rows
    return array
