"""ExponentialDecay, given to an optimizer, with compile and fit."""

import fastnet as fn

(x, y), test = fn.datasets.load_digits()
schedule = fn.optimizers.schedules.ExponentialDecay(initial_learning_rate=0.1, decay_steps=100, decay_rate=0.96, staircase=True)

model = fn.Sequential(
    [fn.Input((64,)), fn.layers.Rescaling(1 / 16), fn.layers.Dense(64, "relu"), fn.layers.Dense(10, "softmax")], seed=0
)
model.compile(fn.optimizers.SGD(learning_rate=schedule), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, epochs=20, batch_size=32, verbose=0, validation_data=test)
print(f"learning rate: {history.quantities['learning_rate'][0]:.4f} to {history.quantities['learning_rate'][-1]:.4f}")
print(f"validation accuracy: {history.history['val_accuracy'][-1]:.3f}")
