"""Batch, mini-batch and stochastic gradient descent: the same network and data, only batch_size differs.

    python examples/batch_sizes.py [--epochs N] [--plot FILE]

A batch of everything makes one smooth step in each epoch. A batch of one makes as many steps as there are rows, each
in a direction of its own. Between them lies what is used in practice.
"""

import argparse

import numpy as np

import fastnet as fn

N = 512


def make_data():
    """Points of a plane, labelled by which arm of a double spiral they lie on."""
    rng = np.random.default_rng(0)
    arm = rng.integers(0, 2, N)
    turn = rng.uniform(0.5, 2.5, N)
    angle = turn * np.pi + arm * np.pi
    x = np.stack([turn * np.cos(angle), turn * np.sin(angle)], axis=1) + rng.normal(scale=0.1, size=(N, 2))
    return x, arm


def train(batch_size, rate, data, epochs):
    """Losses, seconds and the accuracy at the end."""
    model = fn.Sequential([
        fn.Input((2,)),
        fn.layers.Dense(32, activation="tanh"),
        fn.layers.Dense(32, activation="tanh"),
        fn.layers.Dense(1),
    ], seed=0)  # fmt: skip
    loss = fn.losses.BinaryCrossentropy(from_logits=True)
    model.compile(fn.optimizers.SGD(rate), loss, metrics=["accuracy"])
    history = model.fit(*data, batch_size=batch_size, epochs=epochs, verbose=0).history
    return history["loss"], sum(history["seconds"]), model.evaluate(*data, return_dict=True)["accuracy"]


def plot(runs, file):
    """Draws the loss after so many passes over the data."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axis = figure.subplots()
    for name, (losses, _, _) in runs.items():
        axis.semilogy(range(1, len(losses) + 1), losses, label=name, linewidth=1.2)
    axis.set(xlabel="epoch", ylabel="training loss", title="The same data in batches of different size")
    axis.legend(frameon=False)
    axis.grid(alpha=0.3)
    figure.savefig(file, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--plot", metavar="FILE", help="save the curves as a picture")
    arguments = parser.parse_args()

    data = make_data()
    kinds = {"batch": (N, 0.5), "mini-batch": (32, 0.2), "stochastic": (1, 0.05)}
    runs = {
        f"{name} ({size})": train(size, rate, data, arguments.epochs) for name, (size, rate) in kinds.items()
    }
    print("batch size         steps   seconds   final loss   accuracy")
    for (name, (losses, seconds, accuracy)), (size, _) in zip(runs.items(), kinds.values()):
        steps = arguments.epochs * -(-N // size)
        print(f"{name:17}{steps:7,}{seconds:10.3f}{losses[-1]:13.4f}{accuracy:11.1%}")
    batch, mini, single = (losses[-1] for losses, _, _ in runs.values())
    print(f"After the same {arguments.epochs} passes over the data, mini-batches are {batch / mini:.1f} times below "
          "the loss of full batches.")  # fmt: skip
    if arguments.plot:
        plot(runs, arguments.plot)


if __name__ == "__main__":
    main()
