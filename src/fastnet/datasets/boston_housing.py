"""Prices of houses in Boston (Harrison and Rubinfeld, 1978)."""

from __future__ import annotations

from ._published import Path, Split, arrays_of, split_rows

__all__ = ["load_data"]


def load_data(path: Path = "boston_housing.npz", test_split: float = 0.2, seed: int = 113) -> Split:
    """506 districts with 13 features, from a file that is here already.

    The data hold a column that is about race, which makes them unfit for more than old examples; see `california_housing`.

    Parameters
    ----------
    path : path
        ``boston_housing.npz``; where there is no such path, it is looked for where Keras keeps its downloads, ``~/.keras/datasets``.
    test_split : float
        The share of the rows to test with.
    seed : int
        Of the order of the rows.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuples of ndarray
        float64, of shape (n, 13) and (n,): prices in thousands of dollars.

    Raises
    ------
    FileNotFoundError
        If there is none; says which file to put where.
    ValueError
        If the file is broken.
    """
    x, y = arrays_of("boston_housing", path, ("x", "y"))
    return split_rows(x, y, test_split, seed)
