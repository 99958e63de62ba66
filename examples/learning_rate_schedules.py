"""Five ways to choose the learning rate, on the handwritten digits: fixed, step, exponential, cosine, adaptive.

    python examples/learning_rate_schedules.py [--epochs N] [--plot FILE]

All begin with the same rate and the same weights. The fixed one is too large to settle: its loss keeps jumping. Those
that fall end with a smaller and calmer loss. The adaptive one falls only when the validation loss stops improving.
"""

import argparse

import numpy as np

import fastnet as fn

RATE, BATCH = 0.12, 8


def schedules(epochs, steps):
    """Name -> (learning rate, callbacks)."""
    plateau = fn.callbacks.ReduceLROnPlateau("val_loss", factor=0.3, patience=2)
    return {
        "fixed": (RATE, []),
        "step": (fn.schedules.StepDecay(RATE, step_size=epochs // 4 * steps, gamma=0.3), []),
        "exponential": (fn.schedules.ExponentialDecay(RATE, decay_steps=epochs * steps, decay_rate=0.02), []),
        "cosine": (fn.schedules.CosineDecay(RATE, decay_steps=epochs * steps), []),
        "adaptive": (RATE, [plateau]),
    }


def train(learning_rate, callbacks, data, epochs):
    """The history, with the accuracy on the test part."""
    (x, y), (x_test, y_test) = data
    model = fn.Sequential(
        [
            fn.Input((64,)),
            fn.layers.Dense(32, activation="tanh"),
            fn.layers.Dense(10),
        ],
        seed=3,
    )
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(fn.optimizers.SGD(learning_rate, momentum=0.9), loss, metrics=["accuracy"])
    history = model.fit(x, y, batch_size=BATCH, epochs=epochs, validation_data=(x_test, y_test), verbose=0, callbacks=callbacks)
    return history.quantities


def plot(histories, file):
    """Draws the rates above the losses."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    rates, losses = figure.subplots(2, 1, sharex=True)
    for name, history in histories.items():
        epochs = range(1, len(history["loss"]) + 1)
        rates.plot(epochs, history["learning_rate"], label=name)
        losses.semilogy(epochs, history["loss"], label=name)
    rates.set(ylabel="learning rate", title="Learning rate schedules on the handwritten digits", ylim=(0, None))
    losses.set(xlabel="epoch", ylabel="training loss", xlim=(1, len(history["loss"])))
    rates.legend(frameon=False)
    for axis in (rates, losses):
        axis.grid(alpha=0.3)
    figure.savefig(file, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--plot", metavar="FILE", help="save the curves as a picture")
    arguments = parser.parse_args()

    (x, y), (x_test, y_test) = fn.datasets.load_digits()
    data = (x / 16, y), (x_test / 16, y_test)
    steps = -(-len(x) // BATCH)
    histories = {
        name: train(rate, callbacks, data, arguments.epochs)
        for name, (rate, callbacks) in schedules(arguments.epochs, steps).items()
    }
    print("schedule      last rate   mean loss of the last 5 epochs   validation accuracy")
    ends = {}
    for name, history in histories.items():
        ends[name] = np.mean(history["loss"][-5:])
        print(f"{name:12}{history['learning_rate'][-1]:11.5f}{ends[name]:33.5f}{history['val_accuracy'][-1]:22.1%}")
    best = min(ends, key=ends.get)
    print(f"The {best} schedule ended with the lowest loss: {ends['fixed'] / ends[best]:.1f} times below the fixed rate.")
    if arguments.plot:
        plot(histories, arguments.plot)


if __name__ == "__main__":
    main()
