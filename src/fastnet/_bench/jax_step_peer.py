"""JAX: one compiled function for the step, called for each batch."""

from __future__ import annotations

import numpy as np

from .peer import BasePeer
from .workloads import BINARY, SPARSE, Workload

__all__ = ["Peer", "make_step"]

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7


def make_step(workload: Workload):
    """The step as a pure function: (state, x, y) -> (state, loss)."""
    import jax
    import jax.numpy as jnp

    activation = {"relu": jax.nn.relu, "tanh": jnp.tanh}[workload.activation]

    def loss_of(parameters, x, y):
        for kernel, bias in parameters[:-1]:
            x = activation(x @ kernel + bias)
        kernel, bias = parameters[-1]
        z = x @ kernel + bias
        if workload.loss == SPARSE:
            return -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1).mean()
        if workload.loss == BINARY:
            return (jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z)))).mean()
        return ((z - y) ** 2).mean()

    def adam(parameters, slots, gradients, t):
        alpha = workload.learning_rate * jnp.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        m = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, slots[0], gradients)
        v = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, slots[1], gradients)
        parameters = jax.tree.map(lambda w, m, v: w - alpha * m / (jnp.sqrt(v) + EPSILON), parameters, m, v)
        return parameters, (m, v)

    def sgd(parameters, slots, gradients, t):
        v = jax.tree.map(lambda v, g: workload.momentum * v - workload.learning_rate * g, slots[0], gradients)
        return jax.tree.map(lambda w, v: w + v, parameters, v), (v,)

    update = adam if workload.optimizer == "adam" else sgd

    def step(state, x, y):
        parameters, slots, t = state
        loss, gradients = jax.value_and_grad(loss_of)(parameters, x, y)
        parameters, slots = update(parameters, slots, gradients, t + 1)
        return (parameters, slots, t + 1), loss

    return step


class Peer(BasePeer):
    packages = ("jax", "jaxlib", "numpy")

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        import jax
        import jax.numpy as jnp

        self.jax = jax
        self.x, self.y = jnp.asarray(self.x), jnp.asarray(self.y.astype(np.int32) if self.y.ndim == 1 else self.y)
        step = make_step(workload)
        self.step = jax.jit(lambda state, x, y, chosen: step(state, x[chosen], y[chosen]), donate_argnums=0)

    def reset(self) -> None:
        jnp = self.jax.numpy
        arrays = [jnp.array(array) for array in self.workload.weights()]
        parameters = list(zip(arrays[::2], arrays[1::2]))
        n_slots = 2 if self.workload.optimizer == "adam" else 1
        slots = tuple(self.jax.tree.map(jnp.zeros_like, parameters) for _ in range(n_slots))
        self.state = (parameters, slots, jnp.zeros((), jnp.float32))

    def train(self, epochs: int, shuffle: bool) -> float:
        batch = self.workload.batch
        losses = []
        for _ in range(epochs):
            order = self.order(shuffle).astype(np.int32)
            losses = []
            for start in range(0, len(order), batch):
                self.state, loss = self.step(self.state, self.x, self.y, order[start : start + batch])
                losses.append(loss)
        self.jax.block_until_ready(self.state)
        return float(np.mean(losses))

    def weights(self) -> list[np.ndarray]:
        return [np.asarray(array) for pair in self.state[0] for array in pair]
