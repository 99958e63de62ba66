"""Digits with noise are made clean by a convolutional autoencoder."""

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

keras.utils.set_random_seed(0)

clean = load_digits().images[..., None].astype("float32") / 16
noisy = np.clip(clean + 0.3 * np.random.default_rng(0).normal(size=clean.shape), 0, 1).astype("float32")

image = layers.Input(shape=(8, 8, 1))
x = layers.Conv2D(16, (3, 3), activation="relu", padding="same")(image)
x = layers.MaxPooling2D((2, 2), padding="same")(x)
x = layers.Conv2D(16, (3, 3), activation="relu", padding="same")(x)
x = layers.MaxPooling2D((2, 2), padding="same")(x)
x = layers.Conv2DTranspose(16, (3, 3), strides=2, activation="relu", padding="same")(x)
x = layers.Conv2DTranspose(16, (3, 3), strides=2, activation="relu", padding="same")(x)
x = layers.Conv2D(1, (3, 3), activation="sigmoid", padding="same")(x)

autoencoder = keras.Model(image, x)
autoencoder.compile(optimizer=keras.optimizers.Adam(0.005), loss="binary_crossentropy")
autoencoder.summary()
history = autoencoder.fit(x=noisy[:1500], y=clean[:1500], epochs=8, batch_size=32, shuffle=True, verbose=0,
                          validation_data=(noisy[1500:], clean[1500:]))  # fmt: skip
restored = autoencoder.predict(noisy[1500:], verbose=0)
assert np.mean((restored - clean[1500:]) ** 2) < np.mean((noisy[1500:] - clean[1500:]) ** 2)

curve = history.history["loss"]
result = history.history["val_loss"][-1]
