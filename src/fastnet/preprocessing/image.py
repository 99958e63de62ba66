"""Images in files and arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..layers import Resizing
from ..utils import array_to_img, img_to_array, load_img, save_img

__all__ = ["array_to_img", "img_to_array", "load_img", "save_img", "smart_resize"]


def smart_resize(
    x: Any, size: Sequence[int], interpolation: str = "bilinear", data_format: str | None = "channels_last", **kwargs: Any
) -> np.ndarray:
    """Images of another size whose things keep their form: the largest part in the middle that has the ratio is taken.

    Parameters
    ----------
    x : array_like, shape (height, width, channels) or (batch, height, width, channels)
    size : tuple of two int
        Height and width.
    interpolation, data_format
        As in `fastnet.layers.Resizing`.
    **kwargs
        Accepted as Keras does.

    Returns
    -------
    ndarray of float32 or float64
    """
    images = np.asarray(x)
    if images.ndim not in (3, 4):
        raise ValueError(
            f"smart_resize: expected images of shape (height, width, channels), or a batch of such, got {images.shape}"
        )
    height, width = size
    layer = Resizing(height, width, interpolation, crop_to_aspect_ratio=True, data_format=data_format)
    found = np.asarray(layer(images if images.ndim == 4 else images[np.newaxis]))
    return found if images.ndim == 4 else found[0]
