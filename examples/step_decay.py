"""A 32-64-10 classifier whose learning rate falls in steps, in two ways of writing it.

    python examples/step_decay.py [--epochs N] [--plot FILE]

The first counts steps, as Keras does: ExponentialDecay with staircase. The second counts epochs, as PyTorch's StepLR
does when it is called once an epoch: StepDecay, wrapped so that it sees the number of the epoch. The rate is printed
every five epochs.
"""

import argparse

import numpy as np

import fastnet as fn


def make_data(n, rng):
    """Ten clouds of points in 32 dimensions that overlap a little."""
    centers = np.random.default_rng(1).normal(size=(10, 32))
    labels = rng.integers(0, 10, n)
    return centers[labels] + rng.normal(scale=1.5, size=(n, 32)), labels


def train(schedule, data, epochs):
    """The history of the 32-64-10 network with this schedule."""
    x, y = data
    model = fn.Sequential(
        [
            fn.Input((32,)),
            fn.layers.Dense(64, activation="relu"),
            fn.layers.Dense(10),
        ],
        seed=0,
    )
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(fn.optimizers.SGD(schedule, momentum=0.9), loss, metrics=["accuracy"])
    return model.fit(x, y, batch_size=50, epochs=epochs, validation_split=0.2, verbose=0).quantities


def plot(histories, file):
    """Draws the rate and the loss of both."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5), layout="constrained")
    rates, losses = figure.subplots(2, 1, sharex=True)
    for (name, history), style in zip(histories.items(), ("-", "--")):
        epochs = range(1, len(history["loss"]) + 1)
        rates.step(epochs, history["learning_rate"], style, label=name, where="mid")
        losses.plot(epochs, history["loss"], style, label=name)
    rates.set(ylabel="learning rate", ylim=(0, None))
    losses.set(xlabel="epoch", ylabel="training loss", yscale="log")
    rates.legend(frameon=False)
    for axis in (rates, losses):
        axis.grid(alpha=0.3)
    figure.savefig(file, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--plot", metavar="FILE", help="save the curves as a picture")
    arguments = parser.parse_args()

    x, y = make_data(2000, np.random.default_rng(0))
    steps = 1600 // 50  # 80% of the rows, in batches of 50
    staircase = fn.schedules.ExponentialDecay(0.05, decay_steps=10 * steps, decay_rate=0.3, staircase=True)
    by_epoch = fn.schedules.StepDecay(0.05, step_size=10, gamma=0.3).in_epochs(steps)
    histories = {
        "ExponentialDecay, staircase": train(staircase, (x, y), arguments.epochs),
        "StepDecay in epochs": train(by_epoch, (x, y), arguments.epochs),
    }
    for name, history in histories.items():
        print(name)
        for epoch in range(0, arguments.epochs, 5):
            print(
                f"  epoch {epoch + 1:3}: learning rate {history['learning_rate'][epoch]:.4f}, "
                f"loss {history['loss'][epoch]:.4f}, validation {history['val_accuracy'][epoch]:.1%}"
            )
    first, second = histories.values()
    same = np.allclose(first["learning_rate"], second["learning_rate"]) and np.allclose(first["loss"], second["loss"])
    print(f"Both gave the same rates and the same losses: {'yes' if same else 'no'}.")
    if arguments.plot:
        plot(histories, arguments.plot)


if __name__ == "__main__":
    main()
