"""Transfer learning: what a network learnt from the digits 0 to 4 helps it to tell 5 to 9 apart.

    python examples/transfer_learning.py [--per-class N] [--plot FILE]

A network is trained on the many images of 0 to 4. Its hidden layers are then frozen and a new last layer is trained on
a few images of 5 to 9. A new network, trained on the same few images from the beginning, is compared.
"""

import argparse

import numpy as np

import fastnet as fn

LOSS = fn.losses.SparseCategoricalCrossentropy(from_logits=True)


def few_of_each(x, y, classes, n):
    """The first n rows of each class."""
    rows = np.concatenate([np.flatnonzero(y == digit)[:n] for digit in classes])
    return x[rows], y[rows]


def features(seed):
    """The layers that are shared."""
    return fn.Sequential([
        fn.Input((64,)),
        fn.layers.Dense(64, activation="relu"),
        fn.layers.Dense(32, activation="relu"),
    ], seed=seed)  # fmt: skip


def classifier(hidden, seed):
    """A new last layer on top of the hidden ones."""
    model = fn.Sequential([hidden, fn.layers.Dense(5)], seed=seed)
    model.compile(fn.optimizers.Adam(0.005), LOSS, metrics=["accuracy"])
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--per-class", type=int, default=6, help="images of each of 5 to 9 to learn from")
    parser.add_argument("--plot", metavar="FILE", help="save the curves as a picture")
    arguments = parser.parse_args()

    (x, y), (x_test, y_test) = fn.datasets.load_digits()
    x, x_test = x / 16, x_test / 16
    low, high = y < 5, y >= 5
    few_x, few_y = few_of_each(x[high], y[high] - 5, range(5), arguments.per_class)
    test = x_test[y_test >= 5], y_test[y_test >= 5] - 5

    hidden = features(seed=0)
    first = classifier(hidden, seed=1)
    first.fit(x[low], y[low], epochs=15, verbose=0)
    known = first.evaluate(x_test[y_test < 5], y_test[y_test < 5], return_dict=True)["accuracy"]
    print(f"0 to 4, {low.sum()} images: {known:.1%} of the test images are right")

    hidden.trainable = False
    before = hidden.get_weights()
    runs = {"frozen layers from 0-4": classifier(hidden, seed=2), "new network": classifier(features(seed=3), seed=2)}
    histories = {}
    for name, model in runs.items():
        trained = sum(weight.size for weight in model.trainable_weights)
        histories[name] = model.fit(few_x, few_y, batch_size=10, epochs=60, validation_data=test, verbose=0).history
        accuracy = histories[name]["val_accuracy"]
        print(f"5 to 9, {len(few_x)} images, {name}: {trained:,} trainable numbers, "
              f"{accuracy[9]:.1%} after 10 epochs, {accuracy[-1]:.1%} at the end")  # fmt: skip
    same = all(np.array_equal(old, new) for old, new in zip(before, hidden.get_weights()))
    print(f"The frozen weights did not change: {'yes' if same else 'no'}.")
    if arguments.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axis = figure.subplots()
        for name, history in histories.items():
            axis.plot(range(1, 61), history["val_accuracy"], label=name)
        axis.set(xlabel="epoch", ylabel="accuracy on test images of 5 to 9",
                 title=f"{arguments.per_class} images of each digit")  # fmt: skip
        axis.legend(frameon=False, loc="lower right")
        axis.grid(alpha=0.3)
        figure.savefig(arguments.plot, dpi=120)


if __name__ == "__main__":
    main()
