#!/usr/bin/env bash
# Keras 3.15.0: ops.sparsemax (and the activation) of a row of which more than one number is in the support is no distribution: of
# (1.0, 0.9, -2.0) it gives (0.05, 0, 0), where the projection on the simplex (Martins and Astudillo 2016) is (0.55, 0.45, 0). The
# threshold adds up the cumulative sums of the whole support where the last one is meant. Rows with one number in it are right.
# fastnet's ops.sparsemax sums to one.
source "$(dirname "$0")/run_pinned.sh"
KERAS_BACKEND=jax run_pinned keras==3.15.0 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 <<'PYTHON'
import keras
import numpy as np


def projected(x):
    ordered = np.sort(x)[::-1]
    sums, places = np.cumsum(ordered), np.arange(1, len(x) + 1)
    size = np.flatnonzero(1 + places * ordered > sums)[-1] + 1
    return np.maximum(x - (sums[size - 1] - 1) / size, 0)


for row, wrong in (([1.0, 0.9, -2.0], True), ([0.1, 0.1, 0.1], True), ([3.0, 0.0, 0.0], False)):
    found = np.asarray(keras.ops.sparsemax(np.array([row], np.float32)))[0]
    print(f"{row}: {np.round(found, 4)}, of sum {found.sum():.4f}; projection {np.round(projected(np.array(row)), 4)}")
    assert (abs(found.sum() - 1) > 0.1) == wrong and np.allclose(found, projected(np.array(row)), atol=1e-6) != wrong
PYTHON
