"""A loop over mini-batches that computes gradients and applies them, as with a tape: momentum learns y = 2x."""

import numpy as np

import fastnet as fn

x = np.arange(1.0, 11.0)[:, None] / 10
y = 2 * x
model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)], seed=0)
model.compile(fn.optimizers.SGD(0.05, momentum=0.9), "mse")

for _ in range(100):
    for i in range(0, len(x), 2):
        prediction = model.forward(x[i : i + 2], training=True)
        error = prediction - y[i : i + 2]
        model.backward(2 * error / error.size)
        model.apply_gradients()
print(f"y = {model.layers[0].kernel.item():.3f} x + {model.layers[0].bias.item():.3f}")
