#!/usr/bin/env bash
# Keras 3.15.0 on its torch backend: metrics=["accuracy"] beside loss="hinge", whose targets are -1 and 1, is BinaryAccuracy with a threshold
# of 0.5, which makes 0 and 1 of the predictions and compares these with the targets: a target of -1 is never right. A classifier without
# a single error, and without any loss, is told to have the accuracy of the share of its positive rows.
# fastnet's "accuracy" beside losses of margins has the threshold 0, and takes -1 and 0 for the same class.
source "$(dirname "$0")/run_pinned.sh"
KERAS_BACKEND=torch run_pinned keras==3.15.0 torch==2.13.0 numpy==2.4.6 <<'PYTHON'
import keras
import numpy as np

model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
model.compile("sgd", "hinge", metrics=["accuracy"])
x = np.array([[-3.0], [-2.0], [-1.0], [1.0]])
found = model.evaluate(x, np.sign(x), verbose=0, return_dict=True)
print("every row is right, the loss is", found["loss"], "and the accuracy", found["accuracy"])
assert found["loss"] == 0 and found["accuracy"] == 0.25
PYTHON
