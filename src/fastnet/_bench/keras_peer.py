"""Keras 3 on TensorFlow: model.fit, with many steps in each call of the compiled function."""

from __future__ import annotations

import os

import numpy as np

from .layers import connect
from .peer import BasePeer
from .workloads import BINARY, MSE, SPARSE, Workload

__all__ = ["Peer"]


class Peer(BasePeer):
    packages = ("keras", "tensorflow", "numpy")

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras
        import tensorflow as tf

        class Adam(keras.optimizers.Adam):
            """With the sparse gradients of embeddings made dense: of those, only the rows used would be updated."""

            def apply(self, grads, trainable_variables=None):
                dense = [tf.convert_to_tensor(g) if isinstance(g, tf.IndexedSlices) else g for g in grads]
                return super().apply(dense, trainable_variables)

        self.keras, self.Adam, self.layers = keras, Adam, []
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self.model = self.make_model()

    def make_model(self):
        keras, workload = self.keras, self.workload
        x = keras.Input(workload.shape)
        output, self.layers = connect(keras.layers, workload.layers, x, workload.shape)
        return keras.Model(x, output)

    def make_optimizer(self):
        workload = self.workload
        if workload.optimizer == "adam":
            return self.Adam(workload.learning_rate, epsilon=workload.epsilon)
        return self.keras.optimizers.SGD(workload.learning_rate, momentum=workload.momentum)

    def make_loss(self):
        losses = self.keras.losses
        return {
            SPARSE: losses.SparseCategoricalCrossentropy(from_logits=True),
            BINARY: losses.BinaryCrossentropy(from_logits=True),
            MSE: losses.MeanSquaredError(),
        }[self.workload.loss]

    def reset(self) -> None:
        for variable, weight in zip(self.variables(), self.workload.weights(), strict=True):
            variable.assign(weight)
        if not self.model.compiled:
            self.model.compile(self.make_optimizer(), self.make_loss(), steps_per_execution=self.workload.steps)
        for variable in self.model.optimizer.variables:
            if variable.path.rpartition("/")[2] != "learning_rate":
                variable.assign(np.zeros(variable.shape, variable.dtype))

    def train(self, epochs: int, shuffle: bool) -> float:
        history = self.model.fit(self.x, self.y, batch_size=self.workload.batch, epochs=epochs, shuffle=shuffle, verbose=0)
        return history.history["loss"][-1]

    def variables(self) -> list:
        """Those of the layers, in the order of the workload's weights."""
        return [variable for layer in self.layers or self.model.layers for variable in layer.weights]

    def weights(self) -> list[np.ndarray]:
        return [variable.numpy() for variable in self.variables()]
