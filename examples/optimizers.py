"""Plain descent, momentum, Adagrad, RMSprop and Adam compared on the handwritten digits.

    python examples/optimizers.py [--epochs N] [--plot FILE]

Same network, same initial weights, same batches. Each optimizer has a learning rate that suits it: the rates cannot be
the same, since what they multiply differs.
"""

import argparse

import fastnet as fn

OPTIMIZERS = {
    "SGD": fn.optimizers.SGD(0.05),
    "momentum": fn.optimizers.SGD(0.05, momentum=0.9),
    "Adagrad": fn.optimizers.Adagrad(0.03),
    "RMSprop": fn.optimizers.RMSprop(0.003),
    "Adam": fn.optimizers.Adam(0.003),
}
GOAL = 0.95


def train(optimizer, data, epochs):
    """The history of one training."""
    (x, y), validation = data
    model = fn.Sequential(
        [
            fn.Input((64,)),
            fn.layers.Dense(32, activation="relu"),
            fn.layers.Dense(10),
        ],
        seed=0,
    )
    model.compile(optimizer, fn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model.fit(x, y, batch_size=32, epochs=epochs, validation_data=validation, verbose=0).history


def epochs_to(goal, accuracies):
    """The first epoch, from 1, after which the accuracy was reached; None if it never was."""
    return next((epoch for epoch, accuracy in enumerate(accuracies, 1) if accuracy >= goal), None)


def plot(histories, file):
    """Draws the training losses and the accuracies on the test part."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, history in histories.items():
        epochs = range(1, len(history["loss"]) + 1)
        left.semilogy(epochs, history["loss"], label=name)
        right.plot(epochs, history["val_accuracy"], label=name)
    right.axhline(GOAL, color="black", linewidth=0.8, linestyle=":")
    left.set(xlabel="epoch", ylabel="training loss")
    right.set(xlabel="epoch", ylabel="test accuracy", ylim=(0.8, 1))
    right.legend(frameon=False, loc="lower right")
    for axis in (left, right):
        axis.set_xticks(range(0, len(history["loss"]) + 1, 5))
        axis.grid(alpha=0.3)
    figure.savefig(file, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--plot", metavar="FILE", help="save the curves as a picture")
    arguments = parser.parse_args()

    (x, y), (x_test, y_test) = fn.datasets.load_digits()
    data = (x / 16, y), (x_test / 16, y_test)
    histories = {name: train(optimizer, data, arguments.epochs) for name, optimizer in OPTIMIZERS.items()}
    print("optimizer   learning rate   final loss   test accuracy   epochs to 95%")
    needed = {}
    for name, history in histories.items():
        needed[name] = epochs_to(GOAL, history["val_accuracy"]) or arguments.epochs + 1
        said = needed[name] if needed[name] <= arguments.epochs else "-"
        print(
            f"{name:12}{OPTIMIZERS[name].learning_rate:13g}{history['loss'][-1]:13.4f}"
            f"{history['val_accuracy'][-1]:16.1%}{said:16}"
        )
    slower = [name for name in needed if name != "SGD" and needed[name] >= needed["SGD"]]
    print(f"Plain SGD was the slowest to 95%: {'no, ' + ', '.join(slower) if slower else 'yes'}.")
    if arguments.plot:
        plot(histories, arguments.plot)


if __name__ == "__main__":
    main()
