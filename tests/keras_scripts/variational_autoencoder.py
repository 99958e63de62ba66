"""A variational autoencoder of digits: a sampling layer that adds the divergence to the loss, and a decoder of its own."""

import keras
import numpy as np
from keras import layers, ops
from sklearn.datasets import load_digits

keras.utils.set_random_seed(0)
latent_dim = 2


class Sampling(layers.Layer):
    """Draws from the distribution that mean and logarithm of the variance describe, and asks for it to be near the normal one."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, z_mean, z_log_var):
        divergence = -0.5 * (1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var))
        self.add_loss(ops.mean(ops.sum(divergence, axis=1)))
        epsilon = keras.random.normal(shape=ops.shape(z_mean), seed=self.seed_generator)
        return z_mean + ops.exp(0.5 * z_log_var) * epsilon


encoder_inputs = keras.Input(shape=(64,))
x = layers.Dense(48, activation="relu")(encoder_inputs)
z_mean = layers.Dense(latent_dim, name="z_mean")(x)
z_log_var = layers.Dense(latent_dim, name="z_log_var")(x)
z = Sampling()(z_mean, z_log_var)
encoder = keras.Model(encoder_inputs, [z_mean, z_log_var, z], name="encoder")

latent_inputs = keras.Input(shape=(latent_dim,))
x = layers.Dense(48, activation="relu")(latent_inputs)
decoder = keras.Model(latent_inputs, layers.Dense(64, activation="sigmoid")(x), name="decoder")

vae = keras.Model(encoder_inputs, decoder(encoder(encoder_inputs)[2]), name="vae")


def reconstruction(y_true, y_pred):
    return ops.sum(keras.losses.binary_crossentropy(ops.expand_dims(y_true, -1), ops.expand_dims(y_pred, -1)), axis=1)


vae.compile(optimizer=keras.optimizers.Adam(0.003), loss=reconstruction)
images = load_digits().data.astype("float32") / 16
history = vae.fit(images, images, epochs=8, batch_size=64, verbose=0)
grid = np.array([[a, b] for a in (-1.5, 0.0, 1.5) for b in (-1.5, 0.0, 1.5)], "float32")
assert decoder.predict(grid, verbose=0).shape == (9, 64)

curve = history.history["loss"]
result = curve[-1]
