"""Objects by name: one way of looking them up, one kind of message when there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

__all__ = ["lookup", "snake_case"]


def snake_case(name: str) -> str:
    """The name of a class as Keras spells it in strings.

    >>> snake_case("MeanSquaredError"), snake_case("AUC"), snake_case("F1Score"), snake_case("L1L2")
    ('mean_squared_error', 'auc', 'f1_score', 'l1_l2')
    >>> snake_case("Conv2D"), snake_case("Conv2DTranspose"), snake_case("MaxPooling1D")
    ('conv2d', 'conv2d_transpose', 'max_pooling1d')
    """
    words = []
    for i, letter in enumerate(name):
        if letter.isupper() and i > 0:
            after_word = name[i - 1].islower()
            after = name[i + 1 : i + 2]
            before_word = after.islower() or (name[i - 1].isdigit() and after.isdigit())
            if after_word or before_word:
                words.append("_")
        words.append(letter.lower())
    return "".join(words)


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def lookup(kind: str, name: str, table: Mapping[str, T]) -> T:
    """The entry of `table` called `name`; upper and lower case and underscores do not matter.

    Parameters
    ----------
    kind : str
        What the table holds, for the message: "loss", "optimizer".
    name : str
        The name looked for.
    table : mapping of str to anything
        Keys are the names to show to users.

    Raises
    ------
    ValueError
        If there is no such name; says which is nearest and which are known.

    Examples
    --------
    >>> lookup("colour", "DarkBlue", {"dark_blue": 1, "red": 2})
    1
    >>> lookup("colour", "rad", {"dark_blue": 1, "red": 2})
    Traceback (most recent call last):
    ValueError: unknown colour 'rad'; did you mean 'red'? Known: dark_blue, red
    """
    if name in table:
        return table[name]
    known = {_plain(key): key for key in table}
    wanted = _plain(name)
    if wanted in known:
        return table[known[wanted]]

    import difflib  # only when something is wrong: it costs a millisecond to import

    beginnings = sorted((key for key in known if wanted.startswith(key)), key=len, reverse=True)
    near = beginnings or difflib.get_close_matches(wanted, known, n=1)
    hint = f"; did you mean {known[near[0]]!r}?" if near else "."
    raise ValueError(f"unknown {kind} {name!r}{hint} Known: {', '.join(sorted(table))}")
