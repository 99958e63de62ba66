"""The handwritten digits that come with the package."""

from __future__ import annotations

import numpy as np

__all__ = ["load_digits"]


def load_digits() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Handwritten digits: 1797 images of 8x8 pixels in 10 classes, split once and for all.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuples of ndarray
        x is float32 of shape (1437, 64) and (360, 64), an image row by row, with pixels from 0 (paper) to 16 (ink);
        y is int64, the digit. The arrays are new in each call.

    Notes
    -----
    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
    1998, https://doi.org/10.24432/C50P49, licence CC BY 4.0. These are the images of its test set, as in
    ``sklearn.datasets.load_digits``, in another order.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = load_digits()
    >>> x_train.shape, x_train.dtype, x_test.shape, y_test.dtype
    ((1437, 64), dtype('float32'), (360, 64), dtype('int64'))
    """
    from importlib.resources import files

    with (files(__package__) / "digits.npz").open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return (
            (arrays["x_train"].astype(np.float32), arrays["y_train"].astype(np.int64)),
            (arrays["x_test"].astype(np.float32), arrays["y_test"].astype(np.int64)),
        )
