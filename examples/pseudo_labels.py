"""Pseudo-labels: a classifier with 20 labelled digits also learns from 1417 without labels.

    python examples/pseudo_labels.py [--labels N] [--draws N] [--rounds N] [--plot FILE]

A network is trained on the labelled images. It then labels the others itself, and a new network is trained on the
labelled images and on those of the others that it is surest of; and so on, each round with more of them (Lee 2013). The
labels that are left out are used only to say how many of the pseudo-labels are right. Which images are labelled matters
much, so all is done with several draws of them.
"""

import argparse

import numpy as np

import fastnet as fn

STEPS = 800


def train(x, y, seed):
    """A new network, trained on these images."""
    model = fn.Sequential(
        [
            fn.Input((64,)),
            fn.layers.Rescaling(1 / 16),
            fn.layers.GaussianNoise(0.25),
            fn.layers.Dense(256, activation="relu"),
            fn.layers.Dropout(0.5),
            fn.layers.Dense(10),
        ],
        seed=seed,
    )
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(fn.optimizers.Adam(0.003), loss, metrics=["accuracy"])
    model.fit(x, y, batch_size=32, epochs=max(1, STEPS * 32 // len(x)), verbose=0)
    return model


def surest(logits, share):
    """For each digit the surest share of the images that are taken for it; and what they are taken for."""
    labels = logits.argmax(axis=1)
    second, first = np.sort(logits, axis=1)[:, -2:].T
    chosen = []
    for digit in range(10):
        rows = np.flatnonzero(labels == digit)
        chosen.append(rows[np.argsort((second - first)[rows])][: int(np.ceil(share * len(rows)))])
    chosen = np.concatenate(chosen)
    return chosen, labels[chosen]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=int, default=20, help="labelled images, as many of each digit")
    parser.add_argument("--draws", type=int, default=5, help="of which images these are")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plot", metavar="FILE", help="save the accuracies as a picture")
    arguments = parser.parse_args()

    (x, y), (x_test, y_test) = fn.datasets.load_digits()
    scores = np.zeros((arguments.draws, arguments.rounds + 1))
    right = np.ones_like(scores)
    for draw in range(arguments.draws):
        rng = np.random.default_rng(draw)
        digits = [rng.permutation(np.flatnonzero(y == digit)) for digit in range(10)]
        labelled = np.concatenate([rows[: arguments.labels // 10] for rows in digits])
        others = np.setdiff1d(np.arange(len(x)), labelled)
        images, labels = x[labelled], y[labelled]
        model = None
        for number in range(arguments.rounds + 1):
            if model:
                chosen, guessed = surest(model.predict(x[others]), number / arguments.rounds)
                images = np.concatenate([x[labelled], x[others][chosen]])
                labels = np.concatenate([y[labelled], guessed])
                right[draw, number] = (guessed == y[others][chosen]).mean()
            model = train(images, labels, seed=draw)
            scores[draw, number] = model.evaluate(x_test, y_test, return_dict=True)["accuracy"]
    print(f"Test images that are right, mean of {arguments.draws} draws of {len(labelled)} labelled images:")
    for number, (score, share) in enumerate(zip(scores.mean(axis=0), right.mean(axis=0))):
        used = f"{number * len(others) // arguments.rounds} pseudo-labels, {share:.1%} of them right"
        print(f"  {score:.1%} with {used if number else 'the labelled images alone'}")
    all_labels = train(x, y, seed=0).evaluate(x_test, y_test, return_dict=True)["accuracy"]
    better = (scores[:, -1] > scores[:, 0]).sum()
    print(
        f"From {scores[:, 0].mean():.1%} to {scores[:, -1].mean():.1%}, better in {better} of {arguments.draws} draws; with "
        f"all {len(x)} labels {all_labels:.1%}."
    )
    if arguments.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axis = figure.subplots()
        axis.plot(scores.T, color="0.7", linewidth=1)
        axis.plot(scores.mean(axis=0), marker="o", label=f"mean of {arguments.draws} draws")
        axis.axhline(all_labels, color="black", linewidth=0.8, linestyle=":", label="all labels")
        axis.set(xlabel="round", ylabel="accuracy on test images", title=f"{len(labelled)} labels")
        axis.legend(frameon=False, loc="lower right")
        axis.grid(alpha=0.3)
        figure.savefig(arguments.plot, dpi=120)


if __name__ == "__main__":
    main()
