#!/usr/bin/env bash
# Keras 3.15.0 on its torch backend: average pooling with padding="same" repeats the number at the edge, and counts it, where the window needs more
# padding on one side than on the other, as windows of an even size with a stride of 1. Where both sides need as much it does not, and a window at the
# edge is the mean of the numbers within the array, as it always is on the JAX backend. So the backends agree for windows of 3 and not for windows of 4.
# fastnet does what JAX and TensorFlow do.
source "$(dirname "$0")/run_pinned.sh"
run_pinned keras==3.15.0 torch==2.13.0 jax==0.10.2 numpy==2.4.6 <<'PYTHON'
import json
import os
import subprocess
import sys

if len(sys.argv) > 1:
    import keras

    x = keras.ops.reshape(keras.ops.convert_to_tensor([0.0, 1.0, 2.0, 3.0, 4.0]), (1, 5, 1))
    for size in (3, 4):
        y = keras.layers.AveragePooling1D(size, strides=1, padding="same")(x)
        print(json.dumps(keras.ops.convert_to_numpy(y).ravel().round(3).tolist()))
    sys.exit()
found = {}
for backend in ("torch", "jax"):
    run = [sys.executable, __file__, "pool"]
    lines = subprocess.check_output(run, env={**os.environ, "KERAS_BACKEND": backend}, text=True).splitlines()[-2:]
    found[backend] = [json.loads(line) for line in lines]
    for size, means in zip((3, 4), found[backend]):
        print(f"{backend}: means by windows of {size} of 0, 1, 2, 3, 4 are {means}")
assert found["torch"][0] == found["jax"][0] == [0.5, 1.0, 2.0, 3.0, 3.5]
assert found["jax"][1] == [1.0, 1.5, 2.5, 3.0, 3.5]  # the first is (0 + 1 + 2) / 3
assert found["torch"][1] == [0.75, 1.5, 2.5, 3.25, 3.75]  # (0 + 0 + 1 + 2) / 4
PYTHON
