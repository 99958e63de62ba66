"""Files of data: where they are, and folders of texts with a class each."""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..data.dataset import Dataset

__all__ = ["cache_folder", "get_file", "indexed_folder", "text_dataset_from_directory"]

Path = str | os.PathLike[str]


def cache_folder(subfolder: str = "datasets") -> pathlib.Path:
    """Where Keras keeps what it has downloaded: ``$KERAS_HOME/datasets``, or ``~/.keras/datasets``."""
    return pathlib.Path(os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras") / subfolder


def get_file(
    fname: str | None = None, origin: str | None = None, untar: bool = False, md5_hash: str | None = None,
    file_hash: str | None = None, cache_subdir: str = "datasets", hash_algorithm: str = "auto", extract: bool = False,
    archive_format: str = "auto", cache_dir: Path | None = None, force_download: bool = False,
) -> str:  # fmt: skip
    """The path of a file that is here already: fastnet downloads nothing.

    It is looked for under `fname`, in the present folder and in that of Keras's downloads, ``~/.keras/datasets``, and where `origin`
    is a path or ``file:`` address, there.

    Parameters
    ----------
    fname : str, optional
        Default: the last part of `origin`.
    origin : str, optional
        Where it would come from: what the error says if it is not here.
    cache_dir, cache_subdir
        Another folder than ``~/.keras``, and one within it.
    file_hash, md5_hash : str, optional
        SHA-256 or MD5 of its content, in hexadecimal digits.
    hash_algorithm : {"auto", "sha256", "md5"}
    extract, untar, archive_format, force_download
        Accepted as Keras does. An archive is unpacked if it lies here unpacked: the path is that of the folder then.

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError
        If it is not here; says where to put it.
    ValueError
        If its content is another one, or neither `fname` nor `origin` is given.
    """
    if fname is None and origin is None:
        raise ValueError("get_file: fname or origin is needed")
    local = None if origin is None or "://" in origin else pathlib.Path(origin.removeprefix("file:"))
    if origin is not None and origin.startswith("file://"):
        local = pathlib.Path(origin.removeprefix("file://"))
    name = pathlib.Path(fname) if fname is not None else pathlib.Path(str(origin).rpartition("/")[2])
    cache = cache_folder(cache_subdir) if cache_dir is None else pathlib.Path(cache_dir) / cache_subdir
    places = [place for place in (local, name, cache / name) if place is not None]
    if extract or untar:
        stems = [place.with_name(place.name.split(".tar")[0].removesuffix(".zip").removesuffix(".tgz")) for place in places]
        places = [place for place in stems if place.is_dir()] or places
    found = next((place for place in places if place.exists()), None)
    if found is None:
        source = f" It comes from {origin}." if origin is not None and local is None else ""
        raise FileNotFoundError(f"get_file: there is no {name}; fastnet downloads nothing. Put it at {cache / name}.{source}")
    given = file_hash or md5_hash
    if given and found.is_file():
        algorithm = hash_algorithm if hash_algorithm != "auto" else "md5" if len(given) == 32 else "sha256"
        with open(found, "rb") as file:
            digest = hashlib.file_digest(file, algorithm).hexdigest()
        if digest != given.lower():
            raise ValueError(f"get_file: {found} has the {algorithm} {digest}, expected {given}")
    return str(found)


def indexed_folder(
    directory: Path,
    labels: Any,
    label_mode: str | None,
    class_names: Sequence[str] | None,
    endings: tuple[str, ...],
    follow_links: bool,
) -> tuple[list[pathlib.Path], np.ndarray | None, list[str]]:
    """The files of a folder in order, their class numbers and the names of the classes: those of its folders, in order.

    Raises
    ------
    NotADirectoryError
        If there is no such folder.
    ValueError
        If there are no files of these endings, or the classes are not those that are named.
    """
    root = pathlib.Path(directory)
    if not root.is_dir():
        raise NotADirectoryError(f"there is no folder {str(directory)!r}")
    if labels != "inferred":
        files = list(_files_in(root, endings, follow_links))
        if labels is not None and len(labels) != len(files):
            raise ValueError(f"labels must be one for each of the {len(files)} files in {root}, got {len(labels)}")
        numbers = None if labels is None else np.asarray(labels, np.int64)
        names = list(class_names or ([] if numbers is None else map(str, sorted(set(numbers.tolist())))))
        if not files:
            raise ValueError(f"there are no files with an ending of {', '.join(endings)} in {root}")
        return files, numbers, names
    found = sorted(one.name for one in root.iterdir() if one.is_dir() and not one.name.startswith("."))
    names = list(class_names) if class_names is not None else found
    if set(names) != set(found):
        raise ValueError(f"class_names must be those of the folders in {root}: {', '.join(found)}; got {', '.join(names)}")
    files, classes = [], []
    for number, name in enumerate(names):
        within = list(_files_in(root / name, endings, follow_links))
        files += within
        classes += [number] * len(within)
    if not files:
        raise ValueError(f"there are no files with an ending of {', '.join(endings)} in the folders of {root}")
    return files, None if label_mode is None else np.array(classes, np.int64), names


def _files_in(folder: pathlib.Path, endings: tuple[str, ...], follow_links: bool) -> Iterator[pathlib.Path]:
    for path, folders, names in os.walk(folder, followlinks=follow_links):
        folders.sort()
        yield from (pathlib.Path(path) / name for name in sorted(names) if name.lower().endswith(endings))


def labelled(label_mode: str | None, numbers: np.ndarray | None, names: list[str], where: str) -> np.ndarray | None:
    """Class numbers as `label_mode` asks for them."""
    if label_mode not in ("int", "binary", "categorical", None):
        raise ValueError(f"{where}: label_mode must be 'int', 'binary', 'categorical' or None, got {label_mode!r}")
    if label_mode is None or numbers is None:
        return None
    if label_mode == "binary":
        if len(names) != 2:
            raise ValueError(f"{where}: label_mode='binary' needs two classes, there are {len(names)}")
        return numbers.astype(np.float32).reshape(-1, 1)
    return np.eye(len(names), dtype=np.float32)[numbers] if label_mode == "categorical" else numbers.astype(np.int32)


def chosen_rows(
    n: int, shuffle: bool, seed: int | None, validation_split: float | None, subset: str | None, where: str
) -> list[np.ndarray]:
    """The numbers of the files that are wanted: all, or those for training and for validation, which `subset` names.

    Raises
    ------
    ValueError
        If one of `validation_split` and `subset` is given alone, or files are shuffled for two subsets without a seed.
    """
    if (validation_split is None) != (subset is None):
        raise ValueError(f"{where}: validation_split and subset go together")
    if subset not in (None, "training", "validation", "both"):
        raise ValueError(f"{where}: subset must be 'training', 'validation' or 'both', got {subset!r}")
    if validation_split is not None and not 0 < validation_split < 1:
        raise ValueError(f"{where}: validation_split must be between 0 and 1, got {validation_split}")
    if subset in ("training", "validation") and shuffle and seed is None:
        raise ValueError(f"{where}: give a seed, or shuffle=False, so that the two subsets have no file in common")
    order = np.random.default_rng(seed).permutation(n) if shuffle else np.arange(n)
    if validation_split is None:
        return [order]
    count = int(validation_split * n)
    parts = {"training": [order[: n - count]], "validation": [order[n - count :]]}
    return parts.get(str(subset)) or [*parts["training"], *parts["validation"]]


def text_dataset_from_directory(
    directory: Path, labels: Any = "inferred", label_mode: str | None = "int", class_names: Sequence[str] | None = None,
    batch_size: int | None = 32, max_length: int | None = None, shuffle: bool = True, seed: int | None = None,
    validation_split: float | None = None, subset: str | None = None, follow_links: bool = False,
) -> Any:  # fmt: skip
    """The texts of a folder, each in a file ``CLASS/NAME.txt``, as strings with class numbers.

    Parameters
    ----------
    directory : path
    labels : "inferred", None or list of int
        From the folders within it; none; or of the files in order.
    label_mode : {"int", "binary", "categorical", None}
        Numbers, 0 and 1 as columns, one-hot rows, none.
    class_names : list of str, optional
        The names of the folders in the order of their numbers. Default: sorted.
    batch_size : int or None
    max_length : int, optional
        Bytes of a text at most.
    shuffle, seed : bool and int
        Of the files, before they are divided, and of the rows in each loop.
    validation_split, subset : float and str, optional
        The share of the files to validate with, and which are wanted: "training", "validation", or "both", of which two are returned.

    Returns
    -------
    Dataset, or two
        x: array of str; make numbers of them before they are given to a model.
    """
    files, numbers, names = indexed_folder(directory, labels, label_mode, class_names, (".txt",), follow_links)
    y = labelled(label_mode, numbers, names, "text_dataset_from_directory")
    parts = [
        Dataset(
            np.array([files[i].read_bytes()[:max_length].decode("utf-8", "replace") for i in rows]),
            None if y is None else y[rows], batch_size=batch_size, shuffle=shuffle, seed=seed, class_names=names,
        )
        for rows in chosen_rows(len(files), shuffle, seed, validation_split, subset, "text_dataset_from_directory")
    ]  # fmt: skip
    return parts[0] if len(parts) == 1 else tuple(parts)
