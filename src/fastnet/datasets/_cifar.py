"""The batches of CIFAR-10 and CIFAR-100, as pickles of Python or in the binary form."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np

from ._published import load_pickle

__all__ = ["read_batches"]

_PIXELS = 3 * 32 * 32


def read_batches(folder: pathlib.Path, names: Sequence[str], labels: Sequence[str], label: str) -> tuple[np.ndarray, np.ndarray]:
    """The images and class numbers of some batches.

    Parameters
    ----------
    folder : path
    names : sequence of str
        Of the batches; those in the binary form end with ".bin".
    labels : sequence of str
        Which class numbers a row of the binary form begins with.
    label : str
        The wanted ones.

    Returns
    -------
    x, y : ndarray of uint8, shapes (n, 32, 32, 3) and (n, 1)
    """
    images, classes = [], []
    for name in names:
        path = folder / name
        if path.exists():
            with path.open("rb") as file:
                batch = load_pickle(file, path)
            try:
                pixels, numbers = batch[b"data"], batch[label.encode()]
            except (KeyError, TypeError):
                raise ValueError(f"{path}: not a batch of CIFAR") from None
        elif (folder / f"{name}.bin").exists():
            path = folder / f"{name}.bin"
            rows = np.fromfile(path, np.uint8)
            if rows.size % (_PIXELS + len(labels)):
                raise ValueError(f"{path}: {rows.size} bytes are no whole number of rows of {_PIXELS + len(labels)}")
            rows = rows.reshape(-1, _PIXELS + len(labels))
            pixels, numbers = rows[:, len(labels) :], rows[:, labels.index(label)]
        else:
            raise FileNotFoundError(f"there is neither {name} nor {name}.bin in {folder}")
        images.append(np.asarray(pixels, np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        classes.append(np.asarray(numbers, np.uint8).reshape(-1, 1))
    return np.ascontiguousarray(np.concatenate(images)), np.concatenate(classes)
