"""PyTorch's StepLR: a learning rate that is divided by ten every thirty epochs, printed."""

import numpy as np

import fastnet as fn

model = fn.Sequential([fn.Input((10,)), fn.layers.Dense(2)], seed=0)
model.compile(fn.optimizers.SGD(fn.schedules.Epochs(fn.schedules.StepDecay(0.1, step_size=30, gamma=0.1))), "mse")
print_rate = fn.callbacks.LambdaCallback(
    on_epoch_end=lambda epoch, logs: epoch % 10 == 0 and print(f"epoch {epoch}: learning rate {logs['learning_rate']:.4f}")
)
model.fit(np.ones((32, 10)), np.ones((32, 2)), epochs=90, verbose=0, callbacks=[print_rate])
