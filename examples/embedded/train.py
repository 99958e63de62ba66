"""A network that makes a pressure of what a sensor reads and how warm it is, trained where there is data, and written as C.

    python train.py            # writes sensor.c and sensor.h

main.c then uses it without Python, and goes on training it as the sensor grows old.
"""

import numpy as np

import fastnet as fn

random = np.random.default_rng(0)
pressure, temperature = random.uniform(0, 1, 4000), random.uniform(-1, 1, 4000)
# What a sensor reads: not linear, and warm ones read less. main.c has the same equation, with two numbers that change with time.
reading = pressure + 0.15 * pressure**2 - 0.12 * temperature * pressure + 0.05 * temperature + random.normal(0, 0.002, 4000)
x = np.stack([reading, temperature], axis=1)

model = fn.Sequential(
    [fn.Input((2,)), fn.layers.Dense(16, activation="tanh"), fn.layers.Dense(16, activation="tanh"), fn.layers.Dense(1)],
    seed=0,
    name="sensor",
)
model.compile(fn.optimizers.Adam(fn.schedules.CosineDecay(1e-2, 100 * 32)), "mse")
model.fit(x, pressure, batch_size=128, epochs=100, verbose=0)
print(f"when new: off by {1000 * np.sqrt(model.evaluate(x, pressure)):.1f} thousandths")

# On the device it is trained on one reference at a time, by plain SGD: the step that takes the least memory.
model.compile(fn.optimizers.SGD(), "mse")
model.export("sensor.c", header=True, training=True)
