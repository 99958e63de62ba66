"""A loop over epochs as in PyTorch: SGD whose learning rate is multiplied by 0.95 after each of them."""

import numpy as np

import fastnet as fn

x = np.random.default_rng(0).normal(size=(100, 10))
y = x.sum(axis=1, keepdims=True)

model = fn.Sequential([fn.Input((10,)), fn.layers.Dense(1)], seed=0)
model.compile(fn.optimizers.SGD(0.1), "mse")

for epoch in range(50):
    loss = model.train_on_batch(x, y)
    model.optimizer.learning_rate *= 0.95
    if epoch % 10 == 0:
        print(f"epoch {epoch}: loss {loss:.4f}, learning rate {model.optimizer.learning_rate:.4f}")
print(f"last loss: {loss:.4f}")
