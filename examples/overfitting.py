"""Remedies against overfitting, on a small noisy set: dropout, L1, L2, batch normalization, early stopping.

    python examples/overfitting.py [--epochs N] [--plot FILE]

150 points of a plane in two classes, 10% with the wrong label, and 18 features that say nothing. A large network learns
the wrong labels by heart: its training accuracy goes up to 100%, its validation loss falls and then rises for good.
Penalties take away what says nothing; stopping early leaves no time for it; batch normalization alone does not help.
A penalty is part of the loss that is drawn.
"""

import argparse

import numpy as np

import fastnet as fn

LOSS = fn.losses.BinaryCrossentropy(from_logits=True)


def make_data(n, wrong, seed):
    """Two half circles that interlock, 18 features of noise, and a part of the labels turned round."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n)
    angle = rng.uniform(0, np.pi, n)
    side = 1 - 2 * label
    x = np.stack([np.cos(angle) * side + label, np.sin(angle) * side + 0.3 * label], axis=1)
    x = np.concatenate([x + rng.normal(scale=0.15, size=x.shape), rng.normal(scale=0.5, size=(n, 18))], axis=1)
    return x, label ^ (rng.random(n) < wrong)


def network(penalty=None, dropout=0.0, batch_norm=False):
    """Two hidden layers of 128 units with what is asked for."""
    layers = [fn.Input((20,))]
    for _ in range(2):
        layers.append(fn.layers.Dense(128, kernel_regularizer=penalty))
        layers += [fn.layers.BatchNormalization()] if batch_norm else []
        layers.append(fn.layers.Activation("relu"))
        layers += [fn.layers.Dropout(dropout)] if dropout else []
    return fn.Sequential([*layers, fn.layers.Dense(1)], seed=0)


def remedies():
    """Name -> (model, callbacks)."""
    stop = fn.callbacks.EarlyStopping("val_loss", patience=10, restore_best_weights=True)
    return {
        "none": (network(), []),
        "dropout 0.5": (network(dropout=0.5), []),
        "L1 0.01": (network(fn.regularizers.L1(0.01)), []),
        "L2 0.1": (network(fn.regularizers.L2(0.1)), []),
        "batch norm": (network(batch_norm=True), []),
        "early stopping": (network(), [stop]),
        "L1 and dropout": (network(fn.regularizers.L1(0.01), dropout=0.2), []),
    }


def plot(histories, file):
    """Draws training and validation loss, a panel for each remedy."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots(2, 4, sharex=True, sharey=True).ravel()
    for axis, (name, history) in zip(axes, histories.items()):
        epochs = range(1, len(history["loss"]) + 1)
        axis.plot(epochs, history["loss"], label="training")
        axis.plot(epochs, history["val_loss"], label="validation")
        axis.set(title=name, ylim=(0, 2))
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    axes[7].set_axis_off()
    figure.supxlabel("epoch")
    figure.supylabel("loss")
    figure.savefig(file, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--plot", metavar="FILE", help="save the curves as a picture")
    arguments = parser.parse_args()

    (x, y), validation, test = make_data(150, 0.1, 1), make_data(200, 0.1, 2), make_data(2000, 0, 3)
    print("remedy               epochs   training   test   (accuracy; the test part has no wrong labels)")
    histories, scores = {}, {}
    for name, (model, callbacks) in remedies().items():
        model.compile(fn.optimizers.Adam(0.003), LOSS, metrics=["accuracy"])
        history = model.fit(x, y, epochs=arguments.epochs, validation_data=validation, verbose=0, callbacks=callbacks)
        histories[name] = history.history
        train = model.evaluate(x, y, return_dict=True)["accuracy"]
        scores[name] = model.evaluate(*test, return_dict=True)["accuracy"]
        print(f"{name:20}{len(history.epoch):7}{train:11.1%}{scores[name]:7.1%}")
    best = max(scores, key=scores.get)
    print(f"The test part is learnt best with {best}: {scores[best]:.1%} against {scores['none']:.1%} without a remedy.")
    if arguments.plot:
        plot(histories, arguments.plot)


if __name__ == "__main__":
    main()
