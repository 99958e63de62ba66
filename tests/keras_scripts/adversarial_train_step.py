"""A generator and a discriminator with an optimizer each, in the train_step of a class, which draws the latent vectors."""

import keras
import numpy as np
from keras import layers, ops

keras.utils.set_random_seed(0)
latent_dim = 4


class GAN(keras.Model):
    def __init__(self, discriminator, generator, latent_dim):
        super().__init__()
        self.discriminator = discriminator
        self.generator = generator
        self.latent_dim = latent_dim
        self.d_loss_tracker = keras.metrics.Mean(name="d_loss")
        self.g_loss_tracker = keras.metrics.Mean(name="g_loss")
        self.seed_generator = keras.random.SeedGenerator(1337)
        self.built = True

    @property
    def metrics(self):
        return [self.d_loss_tracker, self.g_loss_tracker]

    def compile(self, d_optimizer, g_optimizer, loss_fn):
        super().compile()
        self.d_optimizer = d_optimizer
        self.g_optimizer = g_optimizer
        self.loss_fn = loss_fn

    def train_step(self, real_images):
        if isinstance(real_images, tuple):
            real_images = real_images[0]
        # Sample random points in the latent space, and decode them.
        batch_size = ops.shape(real_images)[0]
        random_latent_vectors = keras.random.normal(shape=(batch_size, self.latent_dim), seed=self.seed_generator)
        generated_images = self.generator(random_latent_vectors)
        # Together with real ones.
        combined_images = ops.concatenate([generated_images, real_images], axis=0)
        labels = ops.concatenate([ops.ones((batch_size, 1)), ops.zeros((batch_size, 1))], axis=0)
        labels += 0.05 * keras.random.uniform(ops.shape(labels), seed=self.seed_generator)

        self.discriminator.zero_grad()
        predictions = self.discriminator(combined_images)
        d_loss = self.loss_fn(labels, predictions)
        d_loss.backward()
        weights = self.discriminator.trainable_weights
        self.d_optimizer.apply([v.value.grad for v in weights], weights)

        random_latent_vectors = keras.random.normal(shape=(batch_size, self.latent_dim), seed=self.seed_generator)
        misleading_labels = ops.zeros((batch_size, 1))
        self.generator.zero_grad()
        predictions = self.discriminator(self.generator(random_latent_vectors))
        g_loss = self.loss_fn(misleading_labels, predictions)
        g_loss.backward()
        weights = self.generator.trainable_weights
        self.g_optimizer.apply([v.value.grad for v in weights], weights)

        self.d_loss_tracker.update_state(d_loss)
        self.g_loss_tracker.update_state(g_loss)
        return {"d_loss": self.d_loss_tracker.result(), "g_loss": self.g_loss_tracker.result()}


generator = keras.Sequential(
    [keras.Input((latent_dim,)), layers.Dense(16), layers.LeakyReLU(negative_slope=0.2), layers.Dense(1)]
)
discriminator = keras.Sequential([keras.Input((1,)), layers.Dense(16), layers.LeakyReLU(negative_slope=0.2), layers.Dense(1)])
gan = GAN(discriminator, generator, latent_dim)
gan.compile(
    d_optimizer=keras.optimizers.Adam(learning_rate=0.005, beta_1=0.5),
    g_optimizer=keras.optimizers.Adam(learning_rate=0.005, beta_1=0.5),
    loss_fn=keras.losses.BinaryCrossentropy(from_logits=True),
)
data = np.random.default_rng(0).normal(3.0, 0.5, size=(1600, 1)).astype("float32")
history = gan.fit(data, batch_size=64, epochs=16, verbose=0).history

curve = history["d_loss"][3::4] + history["g_loss"][3::4]
result = abs(float(generator.predict(np.random.default_rng(1).normal(size=(500, latent_dim)), verbose=0).mean()) - 3.0)
