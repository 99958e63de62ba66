"""Transfer with few labels: what was learnt from the digits 0 to 4 helps with one image each of 5 to 9.

    python examples/few_labels.py [--draws N] [--plot FILE]

A convolutional network is trained on all images of 0 to 4. Its convolutions are taken as they are for a new last layer,
trained on a few images of 5 to 9, and then trained with it at a small learning rate. Beside it a new network learns from
the same images for as many epochs. Something is gained, but on so small images not much: which of them are labelled
matters more, so that all is done with several draws.
"""

import argparse

import numpy as np

import fastnet as fn

LOSS = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
IMAGES = (1, 2, 5)


def make_features(seed):
    return fn.Sequential(
        [
            fn.Input((64,)),
            fn.layers.Rescaling(1 / 16),
            fn.layers.Reshape((8, 8, 1)),
            fn.layers.Conv2D(16, 3, padding="same", activation="relu"),
            fn.layers.MaxPooling2D(),
            fn.layers.Conv2D(32, 3, activation="relu"),
            fn.layers.Flatten(),
        ],
        seed=seed,
    )


def make_classifier(features, seed):
    model = fn.Sequential([features, fn.layers.Dense(5)], seed=seed)
    model.compile(fn.optimizers.Adam(0.003), LOSS, metrics=["accuracy"])
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=10, help="of which images are labelled")
    parser.add_argument("--plot", metavar="FILE", help="save the accuracies as a picture")
    arguments = parser.parse_args()

    (x, y), (x_test, y_test) = fn.datasets.load_digits()
    test = x_test[y_test >= 5], y_test[y_test >= 5] - 5
    features = make_features(seed=0)
    make_classifier(features, seed=1).fit(x[y < 5], y[y < 5], epochs=20, verbose=0)
    learnt = features.get_weights()

    def train(model, rows, epochs):
        model.fit(x[rows], y[rows] - 5, batch_size=16, epochs=epochs, verbose=0)
        return model.evaluate(*test, return_dict=True)["accuracy"]

    scores = np.zeros((len(IMAGES), arguments.draws, 3))
    for i, count in enumerate(IMAGES):
        for draw in range(arguments.draws):
            rng = np.random.default_rng(draw)
            rows = np.concatenate([rng.permutation(np.flatnonzero(y == digit))[:count] for digit in range(5, 10)])
            features.set_weights(learnt)
            features.trainable = False
            model = make_classifier(features, seed=draw)
            scores[i, draw, 0] = train(model, rows, 100)
            features.trainable = True
            model.compile(fn.optimizers.Adam(0.0005), LOSS, metrics=["accuracy"])
            scores[i, draw, 1] = train(model, rows, 50)
            scores[i, draw, 2] = train(make_classifier(make_features(seed=50 + draw), seed=draw), rows, 150)
        frozen, tuned, new = scores[i].mean(axis=0)
        print(
            f"{count} of each digit: {frozen:.1%} with frozen convolutions, {tuned:.1%} after training them too, {new:.1%} with "
            f"a new network (mean of {arguments.draws} draws)"
        )
    if arguments.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axis = figure.subplots()
        for j, name in enumerate(("frozen convolutions", "trained too", "new network")):
            place = np.arange(len(IMAGES)) + 0.12 * (j - 1)
            axis.errorbar(place, scores[:, :, j].mean(axis=1), scores[:, :, j].std(axis=1), fmt="o", capsize=3, label=name)
        axis.set(
            xticks=range(len(IMAGES)),
            xticklabels=IMAGES,
            xlabel="labelled images of each digit",
            ylabel="accuracy on test images of 5 to 9",
        )
        axis.legend(frameon=False, loc="lower right")
        axis.grid(alpha=0.3)
        figure.savefig(arguments.plot, dpi=120)


if __name__ == "__main__":
    main()
