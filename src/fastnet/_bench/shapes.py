"""Networks of many shapes, beside those of workloads.py: to find out where another library is faster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from .layers import Layer
from .workloads import SPARSE, ImageWorkload, TextWorkload, Workload

__all__ = ["KINDS", "SHAPES"]

EPOCH_FLOPS = 2e9
"""Arithmetic of an epoch, about: it has at least 2 steps and at most 64."""

CLASSES = 10


def _dense() -> Iterator[Workload]:
    for width, batch in product((64, 300, 1000, 1024, 2048, 4096), (1, 8, 32, 64, 128, 256)):
        yield Workload(
            f"dense {width}, {batch}", (width, width, width, CLASSES), "relu", SPARSE, batch, "adam", 1e-3 / width, rows=batch
        )


def _convolution() -> Iterator[Workload]:
    images = ((8, 8, 16), (28, 28, 1), (32, 32, 3), (32, 32, 32), (64, 64, 16), (14, 14, 128))
    for image, filters, batch in product(images, (16, 32, 64), (8, 64)):
        convolution = Layer("convolution", filters, "relu")
        text = f"{'x'.join(map(str, image))}, {filters} filters"
        yield ImageWorkload(
            f"convolution {text}, {batch}",
            (image[0] * image[1] * image[2], CLASSES),
            "relu",
            SPARSE,
            batch,
            "adam",
            1e-4,
            rows=batch,
            image=image,
            words=text,
            network=(convolution, convolution, Layer("pooling"), Layer("flatten"), Layer("dense", CLASSES)),
        )


def _lstm() -> Iterator[Workload]:
    for units, tokens, batch in product((32, 128, 256, 512), (10, 64), (1, 8, 32, 128)):
        yield TextWorkload(
            f"lstm {units}, {tokens} steps, {batch}",
            (65, 64, units, 65),
            "linear",
            SPARSE,
            batch,
            "adam",
            1e-4,
            rows=batch,
            epsilon=1e-12,
            tokens=tokens,
        )


def _with_rows(workload: Workload) -> Workload:
    steps = int(min(64, max(2, EPOCH_FLOPS // workload.flops)))
    return replace(workload, rows=steps * workload.batch)


KINDS = {
    kind: {workload.name: workload for workload in map(_with_rows, make())}
    for kind, make in (("dense", _dense), ("convolution", _convolution), ("lstm", _lstm))
}
"""Workloads by kind and name. The last number of a name is the batch."""

SHAPES = {name: workload for workloads in KINDS.values() for name, workload in workloads.items()}
