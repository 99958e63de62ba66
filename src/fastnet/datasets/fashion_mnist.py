"""Pictures of clothes in the form of MNIST (Xiao, Rasul and Vollgraf, 2017)."""

from __future__ import annotations

from ._published import Path, Split, images_of

__all__ = ["load_data"]


def load_data(*, path: Path | None = None) -> Split:
    """70000 images of 28x28 pixels in 10 classes, from a folder that is here already.

    Parameters
    ----------
    path : path, optional
        ``fashion_mnist.npz``, or a folder with the four files in the idx format, compressed or not. Default: the folder
        ``fashion-mnist`` here, or where Keras keeps its downloads, ``~/.keras/datasets``.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuples of ndarray
        uint8, of shape (60000, 28, 28) and (60000,), (10000, 28, 28) and (10000,).

    Raises
    ------
    FileNotFoundError
        If there is none; says which file to put where.
    ValueError
        If a file is broken.
    """
    return images_of("fashion_mnist", "fashion-mnist" if path is None else path, "fashion_mnist.npz",
                     "https://github.com/zalandoresearch/fashion-mnist")  # fmt: skip
