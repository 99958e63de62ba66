#!/usr/bin/env bash
# Keras 3.15.0: losses.tversky says that alpha is of false positives and beta of false negatives; it is the other way round. Where all is
# predicted to be positive, so that there are false positives and no false negatives, the loss depends on beta alone; where nothing
# is, on alpha alone. With the default of 0.5 for both the two are the same.
# fastnet's Tversky computes what Keras computes.
source "$(dirname "$0")/run_pinned.sh"
KERAS_BACKEND=jax run_pinned keras==3.15.0 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 <<'PYTHON'
import keras
import numpy as np

target = np.array([[1.0, 0.0, 0.0, 1.0]])


def loss(predicted, alpha, beta):
    return float(np.mean(np.asarray(keras.losses.tversky(target, predicted, alpha=alpha, beta=beta))))


everything, half = np.ones((1, 4)), np.array([[1.0, 0.0, 0.0, 0.0]])
false_positives = [loss(everything, 0.1, 0.9), loss(everything, 0.7, 0.9), loss(everything, 0.1, 0.3)]
false_negatives = [loss(half, 0.1, 0.9), loss(half, 0.7, 0.9), loss(half, 0.1, 0.3)]
print("false positives alone, (alpha, beta) = (0.1, 0.9), (0.7, 0.9), (0.1, 0.3):", np.round(false_positives, 4))
print("false negatives alone:", np.round(false_negatives, 4))
text = keras.losses.tversky.__doc__
assert text.index("false positives") < text.index("false negatives") and text.index("alpha:") < text.index("beta:")
assert abs(false_positives[0] - false_positives[1]) < 1e-6 and abs(false_positives[0] - false_positives[2]) > 0.1
assert abs(false_negatives[0] - false_negatives[2]) < 1e-6 and abs(false_negatives[0] - false_negatives[1]) > 0.1
PYTHON
