#!/usr/bin/env bash
# Keras 3.15.0: SimpleRNN takes activity_regularizer, names it in get_config, and does nothing with it. With LSTM and GRU the penalty is in
# model.losses and so in the loss; with SimpleRNN model.losses is empty.
# fastnet's SimpleRNN counts the penalty.
source "$(dirname "$0")/run_pinned.sh"
KERAS_BACKEND=jax run_pinned keras==3.15.0 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 <<'PYTHON'
import keras
import numpy as np

x = np.ones((2, 3, 2), "float32")
counted = {}
for name in ("SimpleRNN", "LSTM", "GRU"):
    layer = getattr(keras.layers, name)(4, activity_regularizer=keras.regularizers.L2(1.0))
    model = keras.Sequential([keras.Input((3, 2)), layer])
    model(x)
    counted[name] = (len(model.losses), "activity_regularizer" in layer.get_config())
print(counted)
assert counted["SimpleRNN"][0] == 0
assert counted["LSTM"][0] == counted["GRU"][0] == 1
PYTHON
