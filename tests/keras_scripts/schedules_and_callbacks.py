"""Schedules of the learning rate, and callbacks: the library's and one's own."""

import os
import tempfile

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

keras.utils.set_random_seed(0)
x, y = load_digits(return_X_y=True)
x = StandardScaler().fit_transform(x).astype("float32")


class RateLogger(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.rates, self.losses = [], []

    def on_epoch_end(self, epoch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))
        self.losses.append(logs.get("loss"))

    def on_train_batch_end(self, batch, logs=None):
        self.last_batch = batch


def build():
    return keras.models.Sequential(
        [
            keras.layers.Dense(48, activation="tanh", kernel_regularizer=keras.regularizers.L1L2(l1=1e-6, l2=1e-4)),
            keras.layers.Dense(10),
        ]
    )


def step_decay(epoch, lr):
    return lr * 0.5 if epoch and epoch % 3 == 0 else lr


model = build()
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.SGD(learning_rate=0.1, momentum=0.9, nesterov=True), loss, metrics=["accuracy"])
logger = RateLogger()
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "log.csv")
    callbacks = [
        logger,
        keras.callbacks.LearningRateScheduler(step_decay),
        keras.callbacks.CSVLogger(path),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
    ]
    history = model.fit(x, y, batch_size=64, epochs=8, verbose=0, callbacks=callbacks)
    with open(path) as file:
        assert len(file.readlines()) == 9
assert np.allclose(logger.rates, [0.1] * 3 + [0.05] * 3 + [0.025] * 2)
assert logger.last_batch == -(-len(x) // 64) - 1

schedule = keras.optimizers.schedules.ExponentialDecay(0.01, decay_steps=100, decay_rate=0.9)
assert abs(float(schedule(100)) - 0.009) < 1e-6
second = build()
second.compile(keras.optimizers.Adam(schedule), loss)
history_2 = second.fit(x, y, batch_size=64, epochs=3, verbose=0)
curve = history.history["loss"] + history_2.history["loss"]
result = history.history["accuracy"][-1]
