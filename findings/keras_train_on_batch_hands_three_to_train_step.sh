#!/usr/bin/env bash
# Keras 3.15.0 on its torch backend: a train_step that begins with `x, y = data`, as in Keras's guide to customizing fit, works in fit, and
# fails in train_on_batch(x, y) of the same model, which hands it (x, y, None): "too many values to unpack". keras.utils.unpack_x_y_sample_weight
# takes both.
# fastnet's train_on_batch gives a train_step what fit gives it.
source "$(dirname "$0")/run_pinned.sh"
KERAS_BACKEND=torch run_pinned keras==3.15.0 torch==2.13.0 numpy==2.4.6 <<'PYTHON'
import keras
import numpy as np


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x, training=None):
        return self.dense(x)

    def train_step(self, data):
        seen.append(len(data))
        x, y = data
        self.zero_grad()
        loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        loss.backward()
        weights = list(self.trainable_weights)
        self.optimizer.apply([weight.value.grad for weight in weights], weights)
        return {"loss": loss.item()}


seen = []
model = Own()
model.compile("sgd", "mse")
x, y = np.ones((4, 2), "float32"), np.ones((4, 1), "float32")
model.fit(x, y, verbose=0)
try:
    model.train_on_batch(x, y)
except ValueError as error:
    print("fit: trains; train_on_batch:", error)
else:
    raise AssertionError("train_on_batch trains, too")
print("parts that train_step is given:", seen)
assert seen == [2, 3]
PYTHON
