"""JAX: one compiled function for the step, called for each batch."""

from __future__ import annotations

import numpy as np

from .peer import BasePeer, Unable
from .workloads import BINARY, SPARSE, Workload

__all__ = ["Peer", "make_step"]

BETA_1, BETA_2 = 0.9, 0.999


def make_step(workload: Workload):
    """The step as a pure function: (state, x, y) -> (state, loss)."""
    import jax
    import jax.numpy as jnp

    activations = {"relu": jax.nn.relu, "tanh": jnp.tanh, None: lambda x: x}

    def lstm(x, kernel, recurrent, bias):
        """The input's product of all steps at once, then a scan over the steps."""

        def step(state, z):
            h, c = state
            i, f, g, o = jnp.split(z + h @ recurrent, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        start = jnp.zeros((x.shape[0], recurrent.shape[0]), x.dtype)
        _, every = jax.lax.scan(step, (start, start), (x @ kernel + bias).swapaxes(0, 1))
        return every.swapaxes(0, 1)

    def gru(x, kernel, recurrent, biases):
        def step(h, of_input):
            of_state = jnp.split(h @ recurrent + biases[1], 3, axis=1)
            of_input = jnp.split(of_input, 3, axis=1)
            z, r = (jax.nn.sigmoid(a + b) for a, b in zip(of_input[:2], of_state[:2]))
            h = z * h + (1 - z) * jnp.tanh(of_input[2] + r * of_state[2])
            return h, h

        start = jnp.zeros((x.shape[0], recurrent.shape[0]), x.dtype)
        return jax.lax.scan(step, start, (x @ kernel + biases[0]).swapaxes(0, 1))[1].swapaxes(0, 1)

    def recurrent(layer, x, weights):
        run = {"lstm": lstm, "gru": gru}[layer.kind]
        ways = [run(x, *weights[:3])]
        if layer.both_ways:
            ways.append(run(x[:, ::-1], *weights[3:]))
            ways[1] = ways[1] if layer.last_step else ways[1][:, ::-1]
        return jnp.concatenate([way[:, -1] if layer.last_step else way for way in ways], axis=-1)

    def convolution(x, kernel, bias):
        if x.ndim == 3:  # as an image of one row: XLA has no fast code for steps
            return convolution(x[:, None], kernel[None], bias)[:, 0]
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + bias

    def forward(parameters, moving, x):
        """(output, moving statistics)"""
        left, statistics = iter(parameters), []

        def run(layers, x):
            for layer in layers:
                axes = tuple(range(x.ndim - 1))
                if layer.kind == "dense":
                    kernel, bias = next(left)
                    x = x @ kernel + bias
                elif layer.kind == "embedding":
                    (table,) = next(left)
                    x = table[x]
                elif layer.is_recurrent:
                    x = recurrent(layer, x, next(left))
                elif layer.kind == "convolution":
                    x = convolution(x, *next(left))
                elif layer.kind == "normalization":
                    gamma, beta = next(left)
                    mean, variance = x.mean(axes), x.var(axes)
                    x = (x - mean) * (jax.lax.rsqrt(variance + 1e-3) * gamma) + beta
                    old = moving[len(statistics)]
                    statistics.append(tuple(0.99 * a + 0.01 * b for a, b in zip(old, (mean, variance))))
                elif layer.kind == "pooling":
                    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
                elif layer.kind == "flatten":
                    x = x.reshape(len(x), -1)
                elif layer.kind == "mean":
                    x = x.mean(axes[1:])
                elif layer.kind == "residual":
                    inner = run(layer.inner, x)
                    x = inner + run(layer.shortcut, x)
                x = activations["relu" if layer.kind == "relu" else layer.activation](x)
            return x

        return run(workload.layers, x), statistics

    def loss_of(parameters, moving, x, y):
        z, statistics = forward(parameters, moving, x)
        if workload.loss == SPARSE:
            loss = -jnp.take_along_axis(jax.nn.log_softmax(z), y[..., None], axis=-1).mean()
        elif workload.loss == BINARY:
            loss = (jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z)))).mean()
        else:
            loss = ((z - y) ** 2).mean()
        return loss, statistics

    def adam(parameters, slots, gradients, t):
        alpha = workload.learning_rate * jnp.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        m = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, slots[0], gradients)
        v = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, slots[1], gradients)
        parameters = jax.tree.map(lambda w, m, v: w - alpha * m / (jnp.sqrt(v) + workload.epsilon), parameters, m, v)
        return parameters, (m, v)

    def sgd(parameters, slots, gradients, t):
        v = jax.tree.map(lambda v, g: workload.momentum * v - workload.learning_rate * g, slots[0], gradients)
        return jax.tree.map(lambda w, v: w + v, parameters, v), (v,)

    update = adam if workload.optimizer == "adam" else sgd

    def step(state, x, y):
        parameters, moving, slots, t = state
        (loss, moving), gradients = jax.value_and_grad(loss_of, has_aux=True)(parameters, moving, x, y)
        parameters, slots = update(parameters, slots, gradients, t + 1)
        return (parameters, moving, slots, t + 1), loss

    return step


class Peer(BasePeer):
    packages = ("jax", "jaxlib", "numpy")

    def __init__(self, workload: Workload, threads: int) -> None:
        if any(layer.kind == "depthwise" for layer, _ in workload.layers_with_shapes()):
            raise Unable("XLA needs minutes for a step with depthwise convolutions on a CPU")
        super().__init__(workload, threads)
        import jax
        import jax.numpy as jnp

        self.jax = jax
        self.x, self.y = jnp.asarray(self.x), jnp.asarray(self.y.astype(np.int32) if self.y.dtype == np.int64 else self.y)
        # Weights come in groups, those of a layer together: how many, and which are moving statistics.
        self.groups = []
        for layer, shape in workload.layers_with_shapes():
            count = len(layer.weight_shapes(shape))
            self.groups += [(2, False), (2, True)] if layer.kind == "normalization" else [(count, False)] if count else []
        step = make_step(workload)
        self.step = jax.jit(lambda state, x, y, chosen: step(state, x[chosen], y[chosen]), donate_argnums=0)

    def reset(self) -> None:
        jnp = self.jax.numpy
        arrays = [jnp.array(array) for array in self.workload.weights()]
        left = iter(arrays)
        taken = [(tuple(next(left) for _ in range(count)), moving) for count, moving in self.groups]
        parameters = [group for group, moving in taken if not moving]
        statistics = [group for group, moving in taken if moving]
        n_slots = 2 if self.workload.optimizer == "adam" else 1
        slots = tuple(self.jax.tree.map(jnp.zeros_like, parameters) for _ in range(n_slots))
        self.state = (parameters, statistics, slots, jnp.zeros((), jnp.float32))

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
        parameters, statistics = iter(self.state[0]), iter(self.state[1])
        groups = [next(statistics if moving else parameters) for _, moving in self.groups]
        return [np.asarray(array) for group in groups for array in group]
