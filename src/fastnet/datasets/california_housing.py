"""Prices of houses in California (Pace and Barry, 1997)."""

from __future__ import annotations

from ._published import Path, Split, arrays_of, split_rows

__all__ = ["load_data"]


def load_data(version: str = "large", path: Path = "california_housing.npz", test_split: float = 0.2, seed: int = 113) -> Split:
    """20640 districts with 8 features, or 600 of them, from a file that is here already.

    Parameters
    ----------
    version : {"large", "small"}
    path : path
        ``california_housing.npz``; where there is no such path, it is looked for where Keras keeps its downloads,
        ``~/.keras/datasets``.
    test_split : float
        The share of the rows to test with.
    seed : int
        Of the order of the rows.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuples of ndarray
        float32, of shape (n, 8) and (n,): prices in dollars.

    Raises
    ------
    FileNotFoundError
        If there is none; says which file to put where.
    ValueError
        If the file is broken, or `version` is neither.
    """
    if version not in ("large", "small"):
        raise ValueError(f"california_housing: version must be 'large' or 'small', got {version!r}")
    x, y = arrays_of("california_housing", path, ("x", "y"))
    if version == "small":
        x, y = x[:600], y[:600]
    return split_rows(x, y, test_split, seed)
