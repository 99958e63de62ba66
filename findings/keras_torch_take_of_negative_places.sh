#!/usr/bin/env bash
# Keras 3.15.0 on its torch backend: ops.take(x, indices) without an axis means the flattened array, as in numpy.take. A negative index
# is moved by the length of the first axis and not by the number of elements: of an array of shape (3, 4, 5), place -1 gives element 2
# where NumPy and the jax backend give element 59. With an axis, and on arrays of one axis, the result is NumPy's.
# fastnet.ops.take counts from the end of the flattened array.
source "$(dirname "$0")/run_pinned.sh"
KERAS_BACKEND=torch run_pinned keras==3.15.0 torch==2.13.0 numpy==2.4.6 <<'PYTHON'
import keras
import numpy as np

x = np.arange(60).reshape(3, 4, 5)
places = np.array([-1, -2, 7])
found = keras.ops.convert_to_numpy(keras.ops.take(x, places))
print(f"keras.ops.take {found}, numpy.take {np.take(x, places)}")
assert found.tolist() == [2, 1, 7] and np.take(x, places).tolist() == [59, 58, 7]
along = keras.ops.convert_to_numpy(keras.ops.take(x, places[:2], axis=2))
assert along.tolist() == np.take(x, places[:2], axis=2).tolist()
PYTHON
