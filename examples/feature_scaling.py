"""Feature scaling: the same network with heights in cm and weights in kg as they are, and brought to one scale.

    python examples/feature_scaling.py [--epochs N] [--plot FILE]

The energy that a body needs at rest is learnt from height, weight and age. Without scaling, the sums of so large numbers
put every tanh unit where it is flat, and the network does not get beyond predicting the mean, at whatever learning rate.
A Normalization layer learns mean and variance from the data and is saved with the model. The target is scaled the same
way for both, so that only the features differ.
"""

import argparse

import numpy as np

import fastnet as fn

RATES = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6]
SPREAD = 250.0  # kcal: the target is given to the network as (kcal - 1500) / SPREAD


def make_data(n):
    """Height in cm, weight in kg, age in years; kcal a day by the equation of Mifflin and St Jeor (1990), with noise."""
    rng = np.random.default_rng(0)
    height = rng.normal(172, 9, n)
    weight = 22 * (height / 100) ** 2 + rng.normal(6, 9, n)
    age = rng.uniform(20, 70, n)
    kcal = 10 * weight + 6.25 * height - 5 * age - 60 + rng.normal(scale=20, size=n)
    return np.stack([height, weight, age], axis=1), kcal


def train(layers, rate, x, y, epochs):
    """Mean absolute error in kcal after each epoch; None if training diverged."""
    model = fn.Sequential([fn.Input((3,)), *layers, fn.layers.Dense(16, "tanh"), fn.layers.Dense(1)], seed=0)
    model.compile(fn.optimizers.SGD(rate), "mse", metrics=["mae"])
    try:
        history = model.fit(x, (y - 1500) / SPREAD, epochs=epochs, verbose=0)
    except FloatingPointError:
        return None
    return [error * SPREAD for error in history.history["mae"]]


def best(make_layers, x, y, epochs):
    """The learning rate that ends with the smallest error, and its curve."""
    curves = {rate: train(make_layers(), rate, x, y, epochs) for rate in RATES}
    return min(((rate, curve) for rate, curve in curves.items() if curve), key=lambda item: item[1][-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--plot", metavar="FILE", help="save the curves as a picture")
    arguments = parser.parse_args()

    x, y = make_data(1000)

    def normalization():
        layer = fn.layers.Normalization()
        layer.adapt(x)
        return [layer]

    runs = {
        "as they are": best(lambda: [], x, y, arguments.epochs),
        "normalized": best(normalization, x, y, arguments.epochs),
    }
    print(f"always the mean of the target: off by {np.abs(y - y.mean()).mean():.0f} kcal")
    print("features       best learning rate   off by, after 1 epoch   at the end")
    for name, (rate, curve) in runs.items():
        print(f"{name:15}{rate:18g}{curve[0]:19.0f} kcal{curve[-1]:8.0f} kcal")
    (_, without), (_, scaled) = runs.values()
    print(
        f"After {arguments.epochs} epochs the prediction is off by {without[-1]:.0f} kcal without scaling, "
        f"{scaled[-1]:.0f} with it."
    )
    if arguments.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axis = figure.subplots()
        for name, (rate, curve) in runs.items():
            axis.plot(range(1, len(curve) + 1), curve, label=f"{name}, learning rate {rate:g}")
        axis.set(xlabel="epoch", ylabel="mean absolute error (kcal)", ylim=(0, None))
        axis.legend(frameon=False)
        axis.grid(alpha=0.3)
        figure.savefig(arguments.plot, dpi=120)


if __name__ == "__main__":
    main()
