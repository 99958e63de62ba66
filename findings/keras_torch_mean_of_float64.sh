#!/usr/bin/env bash
# Keras 3.15.0 on its torch backend: the mean of a float64 tensor is computed in float32. ops.mean says float64 and has float32's 7 digits,
# ops.var gives float32 outright, while ops.sum and ops.std of the same tensor are float64 in all digits. set_floatx("float64") changes
# neither. Layers and losses that take means (normalization, mean squared error) are held to float32 by it.
# fastnet's float64 is float64 throughout; its traces of Keras are compared to seven digits.
source "$(dirname "$0")/run_pinned.sh"
KERAS_BACKEND=torch run_pinned keras==3.15.0 torch==2.13.0 numpy==2.4.6 <<'PYTHON'
import keras
import numpy as np

keras.config.set_floatx("float64")
x = np.random.default_rng(0).normal(size=(50, 7))
errors = {}
for name in ("mean", "var", "sum", "std"):
    found = getattr(keras.ops, name)(x, axis=-1)
    errors[name] = str(found.dtype), float(np.abs(keras.ops.convert_to_numpy(found) - getattr(np, name)(x, axis=-1)).max())
    print(f"{name}: {errors[name][0]}, off by {errors[name][1]:.1e}")
assert errors["mean"][0] == "torch.float64" and 1e-9 < errors["mean"][1] < 1e-6
assert errors["var"][0] == "torch.float32" and 1e-9 < errors["var"][1] < 1e-6
assert all(errors[name][0] == "torch.float64" and errors[name][1] < 1e-13 for name in ("sum", "std"))
PYTHON
