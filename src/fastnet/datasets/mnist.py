"""Handwritten digits of MNIST (LeCun et al., 1998)."""

from __future__ import annotations

from ._published import KERAS_FILES, Path, Split, images_of

__all__ = ["load_data"]


def load_data(path: Path = "mnist.npz") -> Split:
    """70000 images of 28x28 pixels in 10 classes, from a file or folder that is here already.

    Parameters
    ----------
    path : path
        ``mnist.npz``, or a folder with it or with the four files in the idx format, compressed or not. Where there is no such path, it
        is looked for where Keras keeps its downloads, ``~/.keras/datasets``.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuples of ndarray
        uint8, of shape (60000, 28, 28) and (60000,), (10000, 28, 28) and (10000,).

    Raises
    ------
    FileNotFoundError
        If there is none; says which file to put where.
    ValueError
        If the file is broken.
    """
    return images_of("mnist", path, "mnist.npz", f"{KERAS_FILES}/mnist.npz")
