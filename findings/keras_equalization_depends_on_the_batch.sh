#!/usr/bin/env bash
# Keras 3.15.0 on its torch backend: layers.Equalization makes one histogram of all images of a batch. What becomes of an image depends on
# those beside it: a dark one alone is spread over the whole range, beside a bright one it stays in the lower half. Its documentation speaks
# of each channel of the input being equalized, as is usual for one image.
# fastnet's Equalization has a histogram for each image; its values are compared with Keras's of one image at a time.
source "$(dirname "$0")/run_pinned.sh"
KERAS_BACKEND=torch run_pinned keras==3.15.0 torch==2.13.0 numpy==2.4.6 <<'PYTHON'
import keras
import numpy as np

random = np.random.default_rng(0)
dark = random.integers(0, 100, (1, 8, 8, 1)).astype("float32")
bright = random.integers(150, 256, (1, 8, 8, 1)).astype("float32")
equalize = keras.layers.Equalization(value_range=(0, 255))
alone = keras.ops.convert_to_numpy(equalize(dark))
beside = keras.ops.convert_to_numpy(equalize(np.concatenate([dark, bright])))[:1]
print(f"the dark image alone: {alone.min():.0f} to {alone.max():.0f}, beside a bright one: {beside.min():.0f} to {beside.max():.0f}")
assert alone.max() == 255 and beside.max() < 130
PYTHON
