"""A generator learns to draw numbers like those of a distribution, against a discriminator; batch by batch."""

import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
latent, batch = 4, 64


def real_samples(n):
    return rng.normal(3.0, 0.5, size=(n, 1)).astype("float32")


def fake_inputs(n):
    return rng.normal(size=(n, latent)).astype("float32")


generator = keras.Sequential([keras.Input((latent,)), layers.Dense(16), layers.LeakyReLU(negative_slope=0.2), layers.Dense(1)])
discriminator = keras.Sequential(
    [keras.Input((1,)), layers.Dense(16), layers.LeakyReLU(negative_slope=0.2), layers.Dense(1, activation="sigmoid")]
)
discriminator.compile(optimizer=keras.optimizers.Adam(0.005, beta_1=0.5), loss="binary_crossentropy")

noise = keras.Input((latent,))
combined = keras.Model(noise, discriminator(generator(noise)))
discriminator.trainable = False
combined.compile(optimizer=keras.optimizers.Adam(0.005, beta_1=0.5), loss="binary_crossentropy")

curve = []
for step in range(400):
    both = np.vstack([real_samples(batch), generator.predict_on_batch(fake_inputs(batch))])
    labels = np.vstack([np.ones((batch, 1)), np.zeros((batch, 1))])
    discriminator.trainable = True
    discriminator_loss = discriminator.train_on_batch(both, labels)
    discriminator.trainable = False
    generator_loss = combined.train_on_batch(fake_inputs(batch), np.ones((batch, 1)))
    if step % 80 == 79:
        mean = float(generator.predict(fake_inputs(500), verbose=0).mean())
        print(f"step {step + 1}: losses {float(discriminator_loss):.3f}, {float(generator_loss):.3f}, mean {mean:.2f}")
        curve.append(abs(mean - 3.0))
result = curve[-1]
