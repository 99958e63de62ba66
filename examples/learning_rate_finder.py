"""Finds a learning rate by trying: a range test over seven powers of ten, then trainings below, at and above it.

    python examples/learning_rate_finder.py [--epochs N] [--plot FILE]

The test trains on a few batches while the rate grows, and looks at where the loss falls fastest and where it explodes.
Afterwards the model is what it was before, bit for bit.
"""

import argparse

import numpy as np

import fastnet as fn


def make_model(rate):
    model = fn.Sequential(
        [
            fn.Input((64,)),
            fn.layers.Rescaling(1 / 16),
            fn.layers.Dense(64, activation="relu"),
            fn.layers.Dense(10),
        ],
        seed=0,
    )
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(fn.optimizers.SGD(rate, momentum=0.9), loss, metrics=["accuracy"])
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--plot", metavar="FILE", help="save the curve of the range test as a picture")
    arguments = parser.parse_args()

    (x, y), test = fn.datasets.load_digits()
    model = make_model(0.01)
    before = model.get_weights()
    found = fn.tuning.find_learning_rate(model, x, y, min_rate=1e-6, max_rate=10)
    unchanged = all(np.array_equal(old, new) for old, new in zip(before, model.get_weights()))
    print(f"{len(found.rates)} steps, up to a rate of {found.rates[-1]:.3g}: suggested learning rate {found.suggestion:.3g}")
    print(f"Is the model what it was? {'yes' if unchanged else 'no'}, {model.optimizer.iterations} steps are counted.")

    print("learning rate   test accuracy   final loss")
    ends = {}
    for factor in (0.01, 0.1, 1, 10, 100):
        rate = found.suggestion * factor
        model = make_model(rate)
        try:
            losses = model.fit(x, y, epochs=arguments.epochs, verbose=0).history["loss"]
            ends[factor] = losses[-1]
            accuracy = model.evaluate(*test, return_dict=True)["accuracy"]
            print(f"{rate:13.3g}{accuracy:16.1%}{losses[-1]:13.4f}{'   (suggested)' if factor == 1 else ''}")
        except FloatingPointError as error:
            print(f"{rate:13.3g}   {error}")
    best = min(ends, key=ends.get)
    print(f"The best of these is {best:g} times the suggested rate.")
    if arguments.plot:
        found.plot(arguments.plot)


if __name__ == "__main__":
    main()
