"""Writes tests/traces/augmentations_keras.npz: what Keras makes of images with the random numbers of tests/augmentation_cases.py.

KERAS_BACKEND=torch python tools/dump_augmentation_traces.py       # needs Keras 3 and torch
"""

import json
import os
import pathlib
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import torch

TESTS = pathlib.Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

import augmentation_cases  # noqa: E402

import fastnet as fn  # noqa: E402


def transformation(given, drawn):
    """What a layer would draw."""
    _, height, width, _ = augmentation_cases.SHAPE
    if given == "points":
        start = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], float)
        p, q, r, s = drawn[:4]
        end = start * [[1, 1], [p, 1], [1, q], [r, s]]
        return {
            "apply_perspective": torch.tensor([True] * 2),
            "start_points": torch.tensor([start] * 2),
            "end_points": torch.tensor([end] * 2),
        }
    if given == "noise":
        return {
            "apply_transform": torch.tensor([True] * 2),
            "distortion_factor": torch.tensor(drawn[0], dtype=torch.float64),
            "seed": None,
        }
    if isinstance(given, dict):
        return {name: torch.tensor(value) for name, value in given.items()}
    return None if given is None else torch.tensor(given)


def main():
    keras.config.set_floatx("float64")
    found = {}
    for i, case in enumerate(augmentation_cases.CASES):
        name, arguments, _, given, drawn = case
        one = (1, *augmentation_cases.SHAPE[1:3])
        noise = [np.repeat(fn.random.normal(one, seed=seed, dtype="float64"), 2, 0) for seed in augmentation_cases.SEEDS.values()]
        torch.normal = lambda *_, left=noise[::-1], **__: torch.tensor(left.pop(0))  # columns first
        layer = getattr(keras.layers, name)(**arguments, dtype="float64")
        x = torch.tensor(augmentation_cases.images((i, case)))
        parts = x.split(1) if name == "Equalization" else [x]  # whose histogram is that of all images together
        found[str(i)] = np.concatenate([layer.transform_images(part, transformation(given, drawn)).numpy() for part in parts])
    facts = {"versions": {"keras": keras.__version__, "torch": torch.__version__.partition("+")[0]}}
    np.savez_compressed(TESTS / "traces" / "augmentations_keras.npz", facts=json.dumps(facts), **found)


if __name__ == "__main__":
    main()
