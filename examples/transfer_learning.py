"""Transfer learning: a network that knows the digits 0 to 4 learns 5 to 9 by its last layer alone.

    python examples/transfer_learning.py [--epochs N] [--plot FILE]

A network is trained on images of 0 to 4. Its hidden layers are frozen, and a new last layer on top of them is trained
on images of 5 to 9: few numbers change, and what was learnt is kept. Then the hidden layers are unfrozen and all is
trained a little more, with a small learning rate. A new network is shown beside it; on so easy a task it does as well.
"""

import argparse

import numpy as np

import fastnet as fn

LOSS = fn.losses.SparseCategoricalCrossentropy(from_logits=True)


def make_features(seed):
    """The hidden layers."""
    return fn.Sequential(
        [
            fn.Input((64,)),
            fn.layers.Dense(128, activation="relu"),
            fn.layers.Dense(64, activation="relu"),
        ],
        seed=seed,
    )


def make_classifier(features, seed):
    """A new last layer on top of hidden ones."""
    model = fn.Sequential([fn.Input((64,)), features, fn.layers.Dense(5)], seed=seed)
    model.compile(fn.optimizers.Adam(0.005), LOSS, metrics=["accuracy"])
    return model


def trainable_numbers(model):
    return sum(weight.size for weight in model.trainable_weights)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=15, help="with frozen layers, and again without")
    parser.add_argument("--plot", metavar="FILE", help="save the curves as a picture")
    arguments = parser.parse_args()

    (x, y), (x_test, y_test) = fn.datasets.load_digits()
    x, x_test = x / 16, x_test / 16
    low, high, low_test, high_test = y < 5, y >= 5, y_test < 5, y_test >= 5
    validation = x_test[high_test], y_test[high_test] - 5

    def fit(model):
        history = model.fit(x[high], y[high] - 5, epochs=arguments.epochs, validation_data=validation, verbose=0)
        return history.history["val_accuracy"]

    features = make_features(seed=0)
    first = make_classifier(features, seed=1)
    first.fit(x[low], y[low], epochs=15, verbose=0)
    known = first.evaluate(x_test[low_test], y_test[low_test], return_dict=True)["accuracy"]
    print(f"0 to 4, trained on {low.sum()} images: {known:.1%} of the test images are right")

    features.trainable = False
    before = features.get_weights()
    second = make_classifier(features, seed=2)
    print(f"5 to 9, hidden layers frozen: {trainable_numbers(second):,} of {second.count_params():,} numbers are trained")
    curve = fit(second)
    unchanged = all(np.array_equal(old, new) for old, new in zip(before, features.get_weights()))
    print(
        f"  {curve[-1]:.1%} of the test images are right; did the frozen weights stay the same? {'yes' if unchanged else 'no'}."
    )

    features.trainable = True
    second.compile(fn.optimizers.Adam(0.0005), LOSS, metrics=["accuracy"])
    print(f"5 to 9, unfrozen, a tenth of the rate: {trainable_numbers(second):,} numbers are trained")
    curve += fit(second)
    print(f"  {curve[-1]:.1%} of the test images are right")

    new = make_classifier(make_features(seed=3), seed=2)
    other = fit(new) + fit(new)
    print(f"5 to 9, a new network, as many epochs: {other[-1]:.1%}")
    if arguments.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axis = figure.subplots()
        epochs = range(1, len(curve) + 1)
        axis.plot(epochs, curve, label="knows 0 to 4")
        axis.plot(epochs, other, label="new network")
        axis.axvline(arguments.epochs + 0.5, color="black", linewidth=0.8, linestyle=":")
        axis.annotate("hidden layers unfrozen", (arguments.epochs + 0.7, min(curve)))
        axis.set(xlabel="epoch", ylabel="accuracy on test images of 5 to 9")
        axis.legend(frameon=False, loc="center right")
        axis.grid(alpha=0.3)
        figure.savefig(arguments.plot, dpi=120)


if __name__ == "__main__":
    main()
