"""A variational autoencoder of digits as a class with a train_step and a test_step of its own, in the way of the PyTorch backend."""

import keras
from keras import layers, ops
from sklearn.datasets import load_digits

keras.utils.set_random_seed(0)


class Sampling(layers.Layer):
    """A point of the distribution that mean and logarithm of the variance describe."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs):
        z_mean, z_log_var = inputs
        batch, width = ops.shape(z_mean)[0], ops.shape(z_mean)[1]
        epsilon = keras.random.normal(shape=(batch, width), seed=self.seed_generator)
        return z_mean + ops.exp(0.5 * z_log_var) * epsilon


class VAE(keras.Model):
    def __init__(self, encoder, decoder, **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.total_loss_tracker = keras.metrics.Mean(name="total_loss")
        self.reconstruction_loss_tracker = keras.metrics.Mean(name="reconstruction_loss")
        self.kl_loss_tracker = keras.metrics.Mean(name="kl_loss")
        self.built = True

    @property
    def metrics(self):
        return [self.total_loss_tracker, self.reconstruction_loss_tracker, self.kl_loss_tracker]

    def losses_of(self, data, training):
        z_mean, z_log_var, z = self.encoder(data, training=training)
        reconstruction = self.decoder(z, training=training)
        pixels = keras.losses.binary_crossentropy(ops.expand_dims(data, -1), ops.expand_dims(reconstruction, -1))
        reconstruction_loss = ops.mean(ops.sum(pixels, axis=1))
        kl_loss = -0.5 * (1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var))
        kl_loss = ops.mean(ops.sum(kl_loss, axis=1))
        return reconstruction_loss + kl_loss, reconstruction_loss, kl_loss

    def update(self, total_loss, reconstruction_loss, kl_loss):
        self.total_loss_tracker.update_state(total_loss)
        self.reconstruction_loss_tracker.update_state(reconstruction_loss)
        self.kl_loss_tracker.update_state(kl_loss)
        return {
            "loss": self.total_loss_tracker.result(),
            "reconstruction_loss": self.reconstruction_loss_tracker.result(),
            "kl_loss": self.kl_loss_tracker.result(),
        }

    def train_step(self, data):
        self.zero_grad()
        total_loss, reconstruction_loss, kl_loss = self.losses_of(data, True)
        total_loss.backward()
        weights = self.trainable_weights
        gradients = [v.value.grad for v in weights]
        self.optimizer.apply(gradients, weights)
        return self.update(total_loss, reconstruction_loss, kl_loss)

    def test_step(self, data):
        return self.update(*self.losses_of(data, False))


encoder_inputs = keras.Input(shape=(64,))
x = layers.Dense(48, activation="relu")(encoder_inputs)
z_mean = layers.Dense(2, name="z_mean")(x)
z_log_var = layers.Dense(2, name="z_log_var")(x)
encoder = keras.Model(encoder_inputs, [z_mean, z_log_var, Sampling()([z_mean, z_log_var])], name="encoder")
latent_inputs = keras.Input(shape=(2,))
x = layers.Dense(48, activation="relu")(latent_inputs)
decoder = keras.Model(latent_inputs, layers.Dense(64, activation="sigmoid")(x), name="decoder")

vae = VAE(encoder, decoder)
vae.compile(optimizer=keras.optimizers.Adam(0.003))
images = load_digits().data.astype("float32") / 16
history = vae.fit(images[:1500], epochs=8, batch_size=64, validation_data=(images[1500:],), verbose=0).history
assert set(history) >= {"loss", "reconstruction_loss", "kl_loss", "val_loss"}
assert abs(history["loss"][-1] - history["reconstruction_loss"][-1] - history["kl_loss"][-1]) < 1e-3

curve = history["loss"] + history["kl_loss"]
result = history["val_loss"][-1]
