"""Features of different sizes, brought to one by scikit-learn's StandardScaler."""

import numpy as np
from sklearn.preprocessing import StandardScaler

import fastnet as fn

rng = np.random.default_rng(0)
features = rng.normal([170, 70], [10, 12], (500, 2))  # cm and kg
target = 10 * features[:, 1] + 6.25 * features[:, 0]

x = StandardScaler().fit_transform(features)
y = StandardScaler().fit_transform(target[:, None])
model = fn.Sequential([fn.Input(shape=(2,)), fn.layers.Dense(16, activation="relu"), fn.layers.Dense(1)], seed=0)
model.compile(optimizer="adam", loss="mse")
history = model.fit(x, y, epochs=50, batch_size=32, verbose=0)
print(f"loss: {history.history['loss'][0]:.4f} to {history.history['loss'][-1]:.4f}")
