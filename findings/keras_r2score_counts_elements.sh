#!/usr/bin/env bash
# Keras 3.15.0: R2Score(num_regressors=p) adjusts by the number of elements of the targets where the formula,
# 1 - (1 - r2) (n - 1) / (n - p - 1), has the number of samples. With one output they are the same; with two outputs and 4 rows it
# computes with n = 8 and gives 0.850 for 0.808.
# fastnet's R2Score takes rows.
source "$(dirname "$0")/run_pinned.sh"
KERAS_BACKEND=jax run_pinned keras==3.15.0 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 <<'PYTHON'
import keras
import numpy as np

y = np.array([[1.0, 2.0], [3.0, 1.0], [2.0, 5.0], [4.0, 3.0]])
predicted = y + np.array([[0.5, -0.5], [0.2, 1.0], [-0.3, 0.1], [0.4, -0.2]])
plain, adjusted = keras.metrics.R2Score(), keras.metrics.R2Score(num_regressors=1)
plain.update_state(y, predicted)
adjusted.update_state(y, predicted)
r2, found = float(plain.result()), float(adjusted.result())
expected = {"rows": 1 - (1 - r2) * (4 - 1) / (4 - 1 - 1), "elements": 1 - (1 - r2) * (8 - 1) / (8 - 1 - 1)}
print(f"r2 {r2:.6f}, adjusted {found:.6f}, by formula {expected}")
assert abs(found - expected["elements"]) < 1e-5 and abs(found - expected["rows"]) > 0.01
PYTHON
