#!/usr/bin/env bash
# Keras 3.15.0: with KERAS_BACKEND=numpy, which is there to compute with NumPy alone, `import keras` ends in "No module named 'jax'", also
# where SciPy, which it needs too and does not ask for, is installed: its numpy/math.py imports fft from the JAX backend.
source "$(dirname "$0")/run_pinned.sh"
KERAS_BACKEND=numpy run_pinned keras==3.15.0 numpy==2.4.6 scipy==1.17.1 <<'PYTHON'
try:
    import keras  # noqa: F401
except ModuleNotFoundError as error:
    print(error)
    assert error.name == "jax"
else:
    raise SystemExit("it was imported")
PYTHON
