"""Images in files, read and written by Pillow, which is an extra: ``images``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..data.dataset import Dataset
from .files import Path, chosen_rows, indexed_folder, labelled

__all__ = ["array_to_img", "image_dataset_from_directory", "img_to_array", "load_img", "save_img"]

_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
#: Names of Keras -> those of Pillow.
_INTERPOLATIONS = {
    "nearest": "NEAREST", "bilinear": "BILINEAR", "bicubic": "BICUBIC", "hamming": "HAMMING", "box": "BOX", "lanczos": "LANCZOS",
    "lanczos3": "LANCZOS", "area": "BOX",
}  # fmt: skip


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(
            "images in files are read by Pillow, which is not installed: it is the extra 'images' of fastnet"
        ) from None
    return Image


def _one_of(where: str, name: str, value: Any, table: Any) -> Any:
    if value not in table:
        raise ValueError(f"{where}: {name} must be one of {', '.join(map(repr, table))}, got {value!r}")
    return table[value]


def load_img(
    path: Path, color_mode: str = "rgb", target_size: tuple[int, int] | None = None, interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Any:  # fmt: skip
    """An image of a file, as Pillow's object.

    Parameters
    ----------
    path : path
    color_mode : {"rgb", "rgba", "grayscale"}
    target_size : (height, width), optional
    interpolation : {"nearest", "bilinear", "bicubic", "hamming", "box", "lanczos"}
    keep_aspect_ratio : bool
        Cut the middle out, so that it is not distorted.
    """
    Image = _pillow()
    mode = _one_of("load_img", "color_mode", color_mode, _MODES)
    way = getattr(Image.Resampling, _one_of("load_img", "interpolation", interpolation, _INTERPOLATIONS))
    with Image.open(path) as image:
        image = image.convert(mode)
    if target_size is None or image.size == (target_size[1], target_size[0]):
        return image
    box = None
    if keep_aspect_ratio:
        (width, height), (to_height, to_width) = image.size, target_size
        cut_width, cut_height = min(width, height * to_width // to_height), min(height, width * to_height // to_width)
        left, top = (width - cut_width) // 2, (height - cut_height) // 2
        box = (left, top, left + cut_width, top + cut_height)
    return image.resize((target_size[1], target_size[0]), way, box)


def img_to_array(img: Any, data_format: str | None = None, dtype: Any = None) -> np.ndarray:
    """An image as an array of shape (height, width, channels).

    Parameters
    ----------
    img : Pillow's object, or an array of two or three axes
    data_format : {"channels_last"}, optional
    dtype : data type, optional
        Default: float32.
    """
    _check_format("img_to_array", data_format)
    array = np.asarray(img, np.float32 if dtype is None else dtype)
    if array.ndim not in (2, 3):
        raise ValueError(f"img_to_array: an image has two or three axes, got shape {array.shape}")
    return array[..., None] if array.ndim == 2 else array


def array_to_img(x: Any, data_format: str | None = None, scale: bool = True, dtype: Any = None) -> Any:
    """An array of shape (height, width, channels) as Pillow's object.

    Parameters
    ----------
    x : array_like
        With 1, 3 or 4 channels.
    data_format : {"channels_last"}, optional
    scale : bool
        Make its least number 0 and its largest 255.
    dtype : data type, optional
        In which that is computed. Default: float32.
    """
    _check_format("array_to_img", data_format)
    array = np.array(x, np.float32 if dtype is None else dtype)
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ValueError(f"array_to_img: expected shape (height, width, 1, 3 or 4), got {array.shape}")
    if scale:
        array = array - array.min()
        array = array / (array.max() or 1) * 255
    pixels = array.astype(np.uint8)
    return _pillow().fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def save_img(path: Path, x: Any, data_format: str | None = None, file_format: str | None = None, scale: bool = True) -> None:
    """Writes an array as an image; the ending of the path says in which format, unless `file_format` does."""
    array_to_img(x, data_format, scale).save(path, format=file_format)


def _check_format(where: str, data_format: str | None) -> None:
    if data_format not in (None, "channels_last"):
        raise ValueError(f"{where}: data_format must be 'channels_last', got {data_format!r}")


def image_dataset_from_directory(
    directory: Path, labels: Any = "inferred", label_mode: str | None = "int", class_names: Sequence[str] | None = None,
    color_mode: str = "rgb", batch_size: int | None = 32, image_size: tuple[int, int] = (256, 256), shuffle: bool = True,
    seed: int | None = None, validation_split: float | None = None, subset: str | None = None, interpolation: str = "bilinear",
    follow_links: bool = False, crop_to_aspect_ratio: bool = False,
) -> Any:  # fmt: skip
    """The images of a folder, each in a file ``CLASS/NAME.png``, .jpg, .bmp or .gif, with class numbers.

    All are read at once: uint8, so that they take a byte for each number.

    Parameters
    ----------
    directory, labels, label_mode, class_names, batch_size, shuffle, seed, validation_split, subset, follow_links
        As in `text_dataset_from_directory`.
    color_mode : {"rgb", "rgba", "grayscale"}
    image_size : (height, width)
    interpolation : str
        As in `load_img`. Images are made smaller with the mean of what falls together; Keras's default does not.
    crop_to_aspect_ratio : bool
        Cut the middle out, so that images are not distorted.

    Returns
    -------
    Dataset, or two
        x: uint8 of shape (images, height, width, channels), from 0 to 255.
    """
    where = "image_dataset_from_directory"
    files, numbers, names = indexed_folder(directory, labels, label_mode, class_names, _ENDINGS, follow_links)
    y = labelled(label_mode, numbers, names, where)
    parts = []
    for rows in chosen_rows(len(files), shuffle, seed, validation_split, subset, where):
        images = np.empty((len(rows), *image_size, len(_one_of(where, "color_mode", color_mode, _MODES))), np.uint8)
        for image, i in zip(images, rows):
            image[...] = img_to_array(
                load_img(files[i], color_mode, image_size, interpolation, crop_to_aspect_ratio), dtype=np.uint8
            )
        parts.append(
            Dataset(images, None if y is None else y[rows], batch_size=batch_size, shuffle=shuffle, seed=seed, class_names=names)
        )
    return parts[0] if len(parts) == 1 else tuple(parts)
