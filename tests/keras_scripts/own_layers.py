"""A layer with weights of its own, a penalty, a metric and an initial distribution of one's own, in a class of models."""

import keras
import numpy as np
from keras import ops
from sklearn.datasets import load_diabetes

keras.utils.set_random_seed(0)
x, y = load_diabetes(return_X_y=True)
x, y = (x * 20).astype("float32"), ((y - y.mean()) / y.std()).astype("float32")[:, None]


class Linear(keras.layers.Layer):
    def __init__(self, units=32, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        self.w = self.add_weight(
            shape=(input_shape[-1], self.units),
            initializer="random_normal",
            trainable=True,
            regularizer=keras.regularizers.l2(1e-3),
        )
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", trainable=True)

    def call(self, inputs):
        return self.activation(ops.matmul(inputs, self.w) + self.b)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class Antirectifier(keras.layers.Layer):
    def call(self, inputs):
        inputs = inputs - ops.mean(inputs, axis=-1, keepdims=True)
        return ops.concatenate([ops.relu(inputs), ops.relu(-inputs)], axis=-1)


class Network(keras.Model):
    def __init__(self, units=16):
        super().__init__()
        self.hidden = Linear(units)
        self.both = Antirectifier()
        self.out = Linear(1, activation="linear")

    def call(self, inputs):
        return self.out(self.both(self.hidden(inputs)))


def worst_error(y_true, y_pred):
    return ops.max(ops.abs(y_true - y_pred), axis=-1)


model = Network()
model.compile(
    optimizer=keras.optimizers.Adam(0.01), loss=keras.losses.Huber(), metrics=[worst_error, keras.metrics.RootMeanSquaredError()]
)
history = model.fit(x, y, batch_size=32, epochs=8, verbose=0, validation_split=0.2)
assert len(model.trainable_variables) == 4 and model.trainable_variables[0].shape == (10, 16)
assert np.asarray(model.hidden.w).shape == model.hidden.w.numpy().shape == (10, 16)
assert model(x[:3]).shape == (3, 1)
assert set(history.history) >= {"loss", "worst_error", "root_mean_squared_error", "val_loss"}

curve = history.history["loss"]
result = history.history["val_root_mean_squared_error"][-1]
