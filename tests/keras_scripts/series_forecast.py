"""The next value of a series from a window of the past, by an LSTM."""

import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(0)

steps = np.arange(900)
noise = np.random.default_rng(0).normal(0, 0.05, 900)
series = (np.sin(steps * 2 * np.pi / 25) + 0.3 * np.sin(steps * 2 * np.pi / 7) + noise).astype("float32")
mean, std = series[:600].mean(), series[:600].std()
series = ((series - mean) / std)[:, None]
window = 20


def windows(part):
    """Each with the value that comes after it."""
    x = np.stack([part[i : i + window] for i in range(len(part) - window)])
    return x, part[window:]


(x_train, y_train), test = windows(series[:600]), windows(series[600:])
assert x_train.shape[1:] == (window, 1) and y_train.shape[1:] == (1,)

inputs = keras.Input(shape=(window, 1))
hidden = layers.LSTM(24)(inputs)
outputs = layers.Dense(1)(hidden)
model = keras.Model(inputs=inputs, outputs=outputs)
model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.01), loss="mse", metrics=["mae"])
reduce = keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=3, min_lr=1e-4)
history = model.fit(x_train, y_train, batch_size=32, epochs=6, validation_data=test, callbacks=[reduce], verbose=0)
forecast = model.predict(test[0], verbose=0)
print("forecasts:", forecast.shape, "loss:", model.evaluate(*test, verbose=0))

curve = history.history["loss"]
result = history.history["val_loss"][-1]
