#!/usr/bin/env bash
# Keras 3.15.0 on its torch backend: ops.average(x, axis=0, weights=w) with one weight for each row multiplies the weights along the last
# axis of x, whatever the axis says. Where the sizes differ it is a RuntimeError on input that its documentation allows; for a square x the
# result is silently another: the mean of weighted columns divided by the sum of the weights. axis=-1 is right, and so is NumPy's average.
# fastnet's ops.average puts one-dimensional weights along the axis given; its test compares with NumPy there, not with Keras.
source "$(dirname "$0")/run_pinned.sh"
KERAS_BACKEND=torch run_pinned keras==3.15.0 torch==2.13.0 numpy==2.4.6 <<'PYTHON'
import keras
import numpy as np

weights = np.array([1.0, 3.0, 2.0])
square = np.arange(9.0).reshape(3, 3)
for axis in (0, 1):
    found = keras.ops.convert_to_numpy(keras.ops.average(square, axis=axis, weights=weights))
    expected = np.average(square, axis=axis, weights=weights)
    print(f"axis {axis}: Keras {found}, NumPy {expected}")
    assert np.allclose(found, expected, rtol=1e-6) == (axis == 1)
    if axis == 0:
        assert np.allclose(found, (square * weights).sum(axis=0) / weights.sum())
try:
    keras.ops.average(np.ones((3, 4)), axis=0, weights=weights)
except RuntimeError as error:
    print("3 x 4:", error)
else:
    raise AssertionError("3 weights for 3 rows of 4 were taken")
PYTHON
