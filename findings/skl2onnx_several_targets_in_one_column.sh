#!/usr/bin/env bash
# skl2onnx 1.20.0 writes an MLPRegressor of several targets, whose predictions have shape (rows, targets), as a graph that ends in a Reshape to one
# column: onnxruntime gives (rows * targets, 1), target after target of the first row, then the second. The numbers are the same, no warning is given.
# fastnet's from_onnx refuses a graph whose rows at the end are not those at the beginning.
source "$(dirname "$0")/run_pinned.sh"
run_pinned skl2onnx==1.20.0 scikit-learn==1.7.2 onnx==1.23.2 onnxruntime==1.26.0 numpy==2.4.6 <<'PYTHON'
import warnings

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.neural_network import MLPRegressor

warnings.simplefilter("ignore")  # that it has not converged
x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
model = MLPRegressor(hidden_layer_sizes=(4,), max_iter=50, random_state=0).fit(x, np.stack([x[:, 0], x[:, 1] + 10], axis=1))
file = to_onnx(model, x[:1])
found = onnxruntime.InferenceSession(file.SerializeToString()).run(None, {"X": x[:5]})[0]
expected = model.predict(x[:5])
print(f"predictions of scikit-learn: {expected.shape}, of its graph: {found.shape}")
print("last operation:", file.graph.node[-1].op_type)
assert expected.shape == (5, 2) and found.shape == (10, 1) and file.graph.node[-1].op_type == "Reshape"
assert np.allclose(found.ravel(), expected.ravel(), atol=1e-5)
PYTHON
