"""Peers that train a `GptWorkload`: fastnet, PyTorch, Keras and JAX."""

from __future__ import annotations

import numpy as np

from . import keras_peer
from .gpt import EPSILON, GptWorkload
from .peer import BasePeer

__all__ = ["PEERS"]


class FastnetPeer(BasePeer):
    """model.fit, with the layers for transformers."""

    def __init__(self, workload: GptWorkload, threads: int) -> None:
        super().__init__(workload, threads)
        import fastnet as fn

        self.fn = fn
        w = workload
        x = inputs = fn.Input((w.steps_of_row,))
        x = fn.layers.TokenAndPositionEmbedding(w.vocabulary, w.steps_of_row, w.width)(x)
        for _ in range(w.blocks):
            x = fn.layers.TransformerBlock(4 * w.width, w.heads, layer_norm_epsilon=EPSILON, use_causal_mask=True)(x)
        x = fn.layers.LayerNormalization(epsilon=EPSILON)(x)
        self.model = fn.Model(inputs, fn.layers.Dense(w.vocabulary)(x), seed=4)

    def reset(self) -> None:
        self.model.set_weights(self.workload.weights())
        loss = self.fn.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(self.fn.optimizers.Adam(self.workload.learning_rate), loss)

    def train(self, epochs: int, shuffle: bool) -> float:
        history = self.model.fit(self.x, self.y, batch_size=self.workload.batch, epochs=epochs, shuffle=shuffle, verbose=0)
        return history.history["loss"][-1]

    def weights(self) -> list[np.ndarray]:
        return self.model.get_weights()


class TorchPeer(BasePeer):
    """Eager, with one product for queries, keys and values, and PyTorch's fused attention and optimizer."""

    def __init__(self, workload: GptWorkload, threads: int) -> None:
        super().__init__(workload, threads)
        import torch

        self.torch = torch
        torch.set_num_threads(threads)
        self.x, self.y = torch.from_numpy(self.x.astype(np.int64)), torch.from_numpy(self.y)
        self.parameters = [torch.from_numpy(array).requires_grad_() for array in self._joined(workload.weights())]

    def _joined(self, weights: list[np.ndarray]) -> list[np.ndarray]:
        """With the kernels of queries, keys and values side by side, as matrices with the outputs first."""
        c, found = self.workload.width, list(weights[:2])
        for start in range(2, len(weights) - 4, 16):
            block = weights[start : start + 16]
            found += block[:2]
            found.append(np.concatenate([block[i].reshape(c, c).T for i in (2, 4, 6)]))
            found.append(np.concatenate([block[i].ravel() for i in (3, 5, 7)]))
            found += [block[8].reshape(c, c).T, block[9], *block[10:12], block[12].T, block[13], block[14].T, block[15]]
        gamma, beta, kernel, bias = weights[-4:]
        return [np.ascontiguousarray(array) for array in [*found, gamma, beta, kernel.T, bias]]

    def weights(self) -> list[np.ndarray]:
        arrays = [parameter.detach().numpy() for parameter in self.parameters]
        c, heads, found = self.workload.width, self.workload.heads, arrays[:2]
        for start in range(2, len(arrays) - 4, 12):
            block = arrays[start : start + 12]
            found += block[:2]
            for kernel, bias in zip(np.split(block[2], 3), np.split(block[3], 3)):
                found += [kernel.T.reshape(c, heads, -1), bias.reshape(heads, -1)]
            found += [block[4].T.reshape(heads, -1, c), block[5], *block[6:8], block[8].T, block[9], block[10].T, block[11]]
        gamma, beta, kernel, bias = arrays[-4:]
        return [*found, gamma, beta, kernel.T, bias]

    def reset(self) -> None:
        torch = self.torch
        with torch.no_grad():
            for parameter, weight in zip(self.parameters, self._joined(self.workload.weights()), strict=True):
                parameter.copy_(torch.from_numpy(weight))
                parameter.grad = None
        self.optimizer = torch.optim.Adam(self.parameters, lr=self.workload.learning_rate, eps=1e-7, fused=True)

    def _loss(self, tokens, labels):
        functional, w = self.torch.nn.functional, self.workload
        left = iter(self.parameters)
        take = lambda n: [next(left) for _ in range(n)]
        norm = lambda x: functional.layer_norm(x, (w.width,), *take(2), eps=EPSILON)
        table, positions = take(2)
        x = functional.embedding(tokens, table) + positions
        for _ in range(w.blocks):
            qkv = functional.linear(norm(x), *take(2)).view(*x.shape[:2], 3, w.heads, -1)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + functional.linear(y.transpose(1, 2).reshape(x.shape), *take(2))
            y = functional.gelu(functional.linear(norm(x), *take(2)))
            x = x + functional.linear(y, *take(2))
        logits = functional.linear(norm(x), *take(2))
        return functional.cross_entropy(logits.flatten(0, 1), labels.flatten())

    def train(self, epochs: int, shuffle: bool) -> float:
        torch, rows, batch = self.torch, self.workload.rows, self.workload.batch
        total = torch.zeros(())
        for _ in range(epochs):
            order = torch.randperm(rows) if shuffle else torch.arange(rows)
            total.zero_()
            for chosen in order.split(batch):
                self.optimizer.zero_grad()
                loss = self._loss(self.x[chosen], self.y[chosen])
                loss.backward()
                self.optimizer.step()
                total += loss.detach()
        return total.item() / self.workload.steps


class KerasPeer(keras_peer.Peer):
    """model.fit on TensorFlow, with the layers of Keras, which has none for positions."""

    def make_model(self):
        keras, w = self.keras, self.workload
        layers = keras.layers

        class Positions(layers.Layer):
            def build(self, shape):
                self.table = self.add_weight(shape=shape[1:])

            def call(self, x):
                return x + self.table

        def norm(x):
            return layers.LayerNormalization(epsilon=EPSILON)(x)

        tokens = keras.Input((w.steps_of_row,))
        x = Positions()(layers.Embedding(w.vocabulary, w.width)(tokens))
        for _ in range(w.blocks):
            y = norm(x)
            x = layers.Add()([x, layers.MultiHeadAttention(w.heads, w.width // w.heads)(y, y, use_causal_mask=True)])
            y = layers.Dense(4 * w.width, activation="gelu")(norm(x))
            x = layers.Add()([x, layers.Dense(w.width)(y)])
        return keras.Model(tokens, layers.Dense(w.vocabulary)(norm(x)))

    def make_optimizer(self):
        return self.Adam(self.workload.learning_rate, epsilon=1e-7)

    def make_loss(self):
        return self.keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class JaxPeer(BasePeer):
    """The whole epoch in one compiled function, as a lax.scan over the batches."""

    def __init__(self, workload: GptWorkload, threads: int) -> None:
        super().__init__(workload, threads)
        import jax
        import jax.numpy as jnp

        self.jax = jax
        self.x, self.y = jnp.asarray(self.x.astype(np.int32)), jnp.asarray(self.y.astype(np.int32))
        w = workload

        def norm(x, gamma, beta):
            centered = x - x.mean(-1, keepdims=True)
            return centered * jax.lax.rsqrt((centered**2).mean(-1, keepdims=True) + EPSILON) * gamma + beta

        def loss_of(parameters, tokens, labels):
            left = iter(parameters)
            take = lambda n: [next(left) for _ in range(n)]
            table, positions = take(2)
            x = table[tokens] + positions
            for _ in range(w.blocks):
                y = norm(x, *take(2))
                q, k, v = (jnp.einsum("btc,chd->bthd", y, kernel) + bias for kernel, bias in (take(2), take(2), take(2)))
                kernel, bias = take(2)
                x = x + jnp.einsum("bthd,hdc->btc", jax.nn.dot_product_attention(q, k, v, is_causal=True), kernel) + bias
                y = norm(x, *take(2))
                w1, b1, w2, b2 = take(4)
                x = x + jax.nn.gelu(y @ w1 + b1, approximate=False) @ w2 + b2
            x = norm(x, *take(2))
            kernel, bias = take(2)
            return -jnp.take_along_axis(jax.nn.log_softmax(x @ kernel + bias), labels[..., None], axis=-1).mean()

        def step(state, tokens, labels):
            parameters, m, v, t = state
            t = t + 1
            loss, gradients = jax.value_and_grad(loss_of)(parameters, tokens, labels)
            alpha = w.learning_rate * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradients)
            parameters = jax.tree.map(lambda w, m, v: w - alpha * m / (jnp.sqrt(v) + 1e-7), parameters, m, v)
            return (parameters, m, v, t), loss

        def epoch(state, x, y, order):
            batches = order.reshape(w.steps, w.batch)
            state, losses = jax.lax.scan(lambda state, chosen: step(state, x[chosen], y[chosen]), state, batches)
            return state, losses.mean()

        self.epoch = jax.jit(epoch, donate_argnums=0)

    def reset(self) -> None:
        jnp = self.jax.numpy
        parameters = [jnp.array(array) for array in self.workload.weights()]
        m, v = ([jnp.zeros_like(array) for array in parameters] for _ in range(2))
        self.state = (parameters, m, v, jnp.zeros((), jnp.float32))

    def train(self, epochs: int, shuffle: bool) -> float:
        loss = 0.0
        for _ in range(epochs):
            self.state, loss = self.epoch(self.state, self.x, self.y, self.order(shuffle).astype("int32"))
        self.jax.block_until_ready(self.state)
        return float(loss)

    def weights(self) -> list[np.ndarray]:
        return [np.asarray(array) for array in self.state[0]]


PEERS = {"fastnet": FastnetPeer, "torch": TorchPeer, "keras": KerasPeer, "jax-scan": JaxPeer}
