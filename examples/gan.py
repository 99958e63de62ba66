"""A generative adversarial network: a generator learns to draw digits that another network takes for real.

    python examples/gan.py [--steps N] [--plot FILE]

The discriminator learns to tell the digits of the data set from those that the generator makes of random numbers; the
generator learns from the gradient that comes through the discriminator (Goodfellow et al. 2014). Both are updates of one
`fastnet.TrainStep`, which the engine makes for a whole epoch at once. How good the drawings are is judged by a classifier that
was trained on real digits and takes no part.
"""

import argparse

import numpy as np

import fastnet as fn

NOISE, BATCH = 16, 64


def make_networks():
    generator = fn.Sequential(
        [
            fn.Input((NOISE,)),
            fn.layers.Dense(128, activation="relu"),
            fn.layers.BatchNormalization(momentum=0.9),
            fn.layers.Dense(128, activation="relu"),
            fn.layers.BatchNormalization(momentum=0.9),
            fn.layers.Dense(64, activation="sigmoid"),
        ],
        seed=0,
    )
    discriminator = fn.Sequential(
        [
            fn.Input((64,)),
            fn.layers.Dense(128, activation=fn.layers.LeakyReLU(0.2)),
            fn.layers.Dropout(0.3),
            fn.layers.Dense(64, activation=fn.layers.LeakyReLU(0.2)),
            fn.layers.Dropout(0.3),
            fn.layers.Dense(1),
        ],
        seed=1,
    )
    return generator, discriminator


def cross_entropy(wanted, logits):
    return fn.ops.softplus(logits) - wanted * logits


def make_step(generator, discriminator):
    """What is done for a batch: two losses, and what each of them trains."""

    def function(real, noise):
        drawn = discriminator(generator(noise))
        judging = (cross_entropy(0.9, discriminator(real)) + cross_entropy(0, drawn)) / 2
        return {"discriminator": (judging, discriminator), "generator": (cross_entropy(1, drawn), generator)}

    step = fn.TrainStep(function, [(64,), (NOISE,)], seed=0)
    step.compile({name: fn.optimizers.Adam(0.001, beta_1=0.5) for name in ("discriminator", "generator")})
    return step


def judged(classifier, images):
    """How sure the classifier is on average, and how many digits make up at least 2% of the images."""
    p = classifier.predict(images)
    shares = np.bincount(p.argmax(axis=1), minlength=10) / len(images)
    return p.max(axis=1).mean(), (shares >= 0.02).sum()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--plot", metavar="FILE", help="save drawn digits as a picture")
    arguments = parser.parse_args()

    (x, y), (x_test, _) = fn.datasets.load_digits()
    x, x_test = x / 16, x_test / 16
    classifier = fn.Sequential([fn.Input((64,)), fn.layers.Dense(64, "relu"), fn.layers.Dense(10, "softmax")], seed=2)
    classifier.compile("adam", "sparse_categorical_crossentropy")
    classifier.fit(x, y, epochs=30, verbose=0)

    rng = np.random.default_rng(0)
    generator, discriminator = make_networks()
    test_noise = rng.normal(size=(500, NOISE))
    before = judged(classifier, generator.predict(test_noise))
    step = make_step(generator, discriminator)
    epochs = arguments.steps * BATCH // len(x)
    for epoch in range(epochs):
        logs = step.fit([x, rng.normal(size=(len(x), NOISE))], batch_size=BATCH, verbose=0).history
        if epoch % (epochs // 5) == 0:
            sure, digits = judged(classifier, generator.predict(test_noise))
            losses = f"losses {logs['discriminator'][0]:.3f} and {logs['generator'][0]:.3f}"
            print(f"epoch {epoch:3}: {losses}; the classifier is {sure:.1%} sure on average, {digits} digits are drawn")
    sure, digits = judged(classifier, generator.predict(test_noise))
    true, _ = judged(classifier, x_test)
    print(f"At the end {sure:.1%} sure, {digits} of 10 digits; at the start {before[0]:.1%}; of real test images {true:.1%}.")
    if arguments.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 4.2), layout="constrained")
        for axis, images, title in zip(
            figure.subplots(1, 2), (generator.predict(test_noise[:100]), x_test[:100]), ("drawn", "real")
        ):
            tiles = np.pad(images.reshape(10, 10, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)))
            axis.imshow(tiles.transpose(0, 2, 1, 3).reshape(100, 100), cmap="gray_r")
            axis.set_title(title)
            axis.axis("off")
        figure.savefig(arguments.plot, dpi=120)


if __name__ == "__main__":
    main()
