"""A series that is unlike the others is one that an autoencoder of windows cannot restore."""

import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(0)
TIME_STEPS = 24

rng = np.random.default_rng(0)
t = np.arange(1000)
normal = (np.sin(t * 2 * np.pi / 24) + rng.normal(0, 0.1, 1000)).astype("float32")
strange = (np.sin(t * 2 * np.pi / 24) + rng.normal(0, 0.1, 1000)).astype("float32")
strange[500:520] += 3.0


def create_sequences(values, time_steps=TIME_STEPS):
    return np.stack([values[i : i + time_steps] for i in range(len(values) - time_steps + 1)])[..., None]


x_train = create_sequences((normal - normal.mean()) / normal.std())
model = keras.Sequential(
    [
        layers.Input(shape=(x_train.shape[1], x_train.shape[2])),
        layers.Conv1D(filters=16, kernel_size=7, padding="same", strides=2, activation="relu"),
        layers.Dropout(rate=0.2),
        layers.Conv1D(filters=8, kernel_size=7, padding="same", strides=2, activation="relu"),
        layers.Conv1DTranspose(filters=8, kernel_size=7, padding="same", strides=2, activation="relu"),
        layers.Dropout(rate=0.2),
        layers.Conv1DTranspose(filters=16, kernel_size=7, padding="same", strides=2, activation="relu"),
        layers.Conv1DTranspose(filters=1, kernel_size=7, padding="same"),
    ]
)
model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.003), loss="mse")
history = model.fit(x_train, x_train, epochs=8, batch_size=64, validation_split=0.1, verbose=0,
                    callbacks=[keras.callbacks.EarlyStopping(monitor="val_loss", patience=5, mode="min")])  # fmt: skip
threshold = np.max(np.mean(np.abs(model.predict(x_train, verbose=0) - x_train), axis=1))
x_test = create_sequences((strange - normal.mean()) / normal.std())
errors = np.mean(np.abs(model.predict(x_test, verbose=0) - x_test), axis=1)[:, 0]
assert errors.max() > threshold and 476 <= errors.argmax() < 520
curve = history.history["loss"]
result = float(threshold)
