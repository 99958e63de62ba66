#!/usr/bin/env bash
# Keras 3.15.0: a model of two Sequential models that share a layer is saved without a word, and cannot be loaded: "expected 2 variables,
# but received 0". Its weights are written once, at the first place; the loader makes two layers, as nothing in the configuration says
# that they are one.
# fastnet's from_keras finds by the missing weights that the two are one.
source "$(dirname "$0")/run_pinned.sh"
KERAS_BACKEND=jax run_pinned keras==3.15.0 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 <<'PYTHON'
import keras

shared = keras.layers.Dense(2)
first, second = (keras.Sequential([keras.Input((2,)), shared]) for _ in range(2))
x = keras.Input((2,))
model = keras.Model(x, second(first(x)))
model.save("model.keras")
try:
    keras.models.load_model("model.keras")
except ValueError as error:
    print(str(error).splitlines()[2])
    assert "received 0 variables" in str(error)
else:
    raise SystemExit("it was loaded")
PYTHON
