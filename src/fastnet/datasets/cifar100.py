"""Small photographs in 100 classes (Krizhevsky, 2009)."""

from __future__ import annotations

from ._cifar import read_batches
from ._published import Path, Split, find

__all__ = ["load_data"]

_SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html"


def load_data(label_mode: str = "fine", *, path: Path | None = None) -> Split:
    """60000 images of 32x32 pixels in 100 classes or their 20 groups, from a folder that is here already.

    Parameters
    ----------
    label_mode : {"fine", "coarse"}
        The classes, or their groups.
    path : path, optional
        The folder ``cifar-100-python`` or ``cifar-100-binary``, or one with it. Default: here, or where Keras keeps its downloads,
        ``~/.keras/datasets``. Nothing that a file holds is executed.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuples of ndarray
        uint8, of shape (50000, 32, 32, 3) and (50000, 1), (10000, 32, 32, 3) and (10000, 1).

    Raises
    ------
    FileNotFoundError
        If there is none; says which folder to put where.
    ValueError
        If a file is broken, or `label_mode` is neither.
    """
    if label_mode not in ("fine", "coarse"):
        raise ValueError(f"cifar100: label_mode must be 'fine' or 'coarse', got {label_mode!r}")
    folder = find("cifar100", path, ["cifar-100-python", "cifar-100-binary"], _SOURCE)
    labels = ["coarse_labels", "fine_labels"]
    train, test = (read_batches(folder, [name], labels, f"{label_mode}_labels") for name in ("train", "test"))
    return train, test
