"""Layers learnt on some digits are kept, frozen, for the others; models are saved and loaded."""

import os
import tempfile

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

keras.utils.set_random_seed(0)
x, y = load_digits(return_X_y=True)
x = (x / 16).astype("float32")
low, high = y < 5, y >= 5

base = keras.Sequential(
    [layers.Input((64,)), layers.Dense(64, activation="relu"), layers.Dense(32, activation="relu", name="features")]
)
first = keras.Sequential([base, layers.Dense(5, activation="softmax")])
first.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
first_history = first.fit(x[low], y[low], epochs=4, batch_size=32, verbose=0)

base.trainable = False
inputs = keras.Input((64,))
outputs = layers.Dense(5, activation="softmax", name="head")(base(inputs, training=False))
model = keras.Model(inputs, outputs)
model.compile(optimizer=keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
assert len(model.trainable_weights) == 2 and len(model.non_trainable_weights) == 4
before = [weight.copy() for weight in base.get_weights()]
frozen_history = model.fit(x[high], y[high] - 5, epochs=3, batch_size=32, verbose=0)
for old, new in zip(before, base.get_weights()):
    assert np.array_equal(old, new)

base.trainable = True
model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x[high], y[high] - 5, epochs=3, batch_size=32, verbose=0)

features = keras.Model(base.inputs, base.get_layer("features").output)
assert features.predict(x[:4], verbose=0).shape == (4, 32)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "model.keras")
    model.save(path)
    loaded = keras.models.load_model(path)
np.testing.assert_allclose(loaded.predict(x[:9], verbose=0), model.predict(x[:9], verbose=0), rtol=1e-5, atol=1e-6)
curve = first_history.history["loss"] + frozen_history.history["loss"] + history.history["loss"]
result = history.history["accuracy"][-1]
