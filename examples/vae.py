"""A variational autoencoder: images of digits as points of a plane, and new digits from other points.

    python examples/vae.py [--epochs N] [--latent N] [--plot FILE]

The encoder gives mean and log variance of a normal distribution for each image, the decoder an image for a point drawn
from it (Kingma and Welling 2014). What is minimised is the cross-entropy of the pixels plus the divergence of that
distribution from the standard normal one, in nats for each image. The loss is a formula in `fastnet.ops`, which
`fastnet.TrainStep` makes training steps of both networks of.
"""

import argparse

import numpy as np

import fastnet as fn
from fastnet import ops


def make_networks(latent):
    x = fn.Input((64,))
    hidden = fn.layers.Dense(64, activation="relu")(fn.layers.Dense(128, activation="relu")(x))
    encoder = fn.Model(x, [fn.layers.Dense(latent)(hidden), fn.layers.Dense(latent)(hidden)], seed=0)
    decoder = fn.Sequential(
        [
            fn.Input((latent,)),
            fn.layers.Dense(64, activation="relu"),
            fn.layers.Dense(128, activation="relu"),
            fn.layers.Dense(64),
        ],
        seed=1,
    )
    return encoder, decoder


def cross_entropy(x, logits):
    """Of each image, pixels being grey: -x log p - (1 - x) log(1 - p), p = sigmoid(logits)."""
    return ops.sum(ops.softplus(logits) - x * logits, axis=1)


def divergence(mean, log_variance):
    """Of each normal distribution from the standard one (Kullback and Leibler)."""
    return 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=1)


def make_step(encoder, decoder):
    """What is done for a batch; the functions above compute with arrays, too."""

    def function(x):
        mean, log_variance = encoder(x)
        noise = fn.random.normal(mean.shape)
        loss = cross_entropy(x, decoder(mean + ops.exp(log_variance / 2) * noise)) + divergence(mean, log_variance)
        return {"loss": (loss, [encoder, decoder])}

    step = fn.TrainStep(function, [(64,)], seed=0)
    step.compile({"loss": fn.optimizers.Adam(0.002)})
    return step


def evaluate(encoder, decoder, x, rng):
    """The two parts of the loss, the point drawn once for each image."""
    mean, log_variance = encoder.predict(x)
    logits = decoder.predict(mean + np.exp(log_variance / 2) * rng.normal(size=mean.shape))
    return cross_entropy(x, logits).mean(), divergence(mean, log_variance).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--latent", type=int, default=2, help="numbers for an image")
    parser.add_argument("--plot", metavar="FILE", help="save digits from a grid of points as a picture")
    arguments = parser.parse_args()

    (x, _), (x_test, y_test) = fn.datasets.load_digits()
    x, x_test = x / 16, x_test / 16
    rng = np.random.default_rng(0)
    encoder, decoder = make_networks(arguments.latent)
    losses = make_step(encoder, decoder).fit(x, epochs=arguments.epochs, verbose=0).history["loss"]
    for epoch in [*range(0, arguments.epochs, 10), arguments.epochs - 1]:
        print(f"epoch {epoch:3}: loss {losses[epoch]:.2f} nats")
    pixels, information = evaluate(encoder, decoder, x_test, rng)
    frequency = x.mean(axis=0).clip(1e-6, 1 - 1e-6)
    always = cross_entropy(x_test, np.log(frequency / (1 - frequency))).mean()
    least = cross_entropy(x_test, np.log(x_test.clip(1e-6, 1) / (1 - x_test).clip(1e-6, 1))).mean()
    print(
        f"Test images: {pixels + information:.2f} nats, {pixels:.2f} for the pixels and {information:.2f} for the "
        f"{arguments.latent} numbers. Always the mean image: {always:.2f}; the images themselves: {least:.2f}."
    )
    if arguments.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 4.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        points = encoder.predict(x_test)[0][:, :2]
        dots = left.scatter(*points.T, c=y_test, cmap="tab10", s=8)
        figure.colorbar(dots, ax=left, ticks=range(10))
        left.set(xlabel="first number", ylabel="second number", title="test images")
        line = np.linspace(-2, 2, 12)
        grid = np.zeros((144, arguments.latent))
        grid[:, :2] = [(a, b) for b in line[::-1] for a in line]
        images = 1 / (1 + np.exp(-decoder.predict(grid)))
        tiles = np.pad(images.reshape(12, 12, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)))
        right.imshow(tiles.transpose(0, 2, 1, 3).reshape(120, 120), cmap="gray_r", extent=(-2, 2, -2, 2))
        right.set(title="decoded points", xlabel="first number")
        figure.savefig(arguments.plot, dpi=120)


if __name__ == "__main__":
    main()
