"""A training step of your own: a loss that is written as a formula, and a loop over batches.

    python examples/custom_loop.py [--steps N] [--plot FILE]

A network learns a curve from data of which some are wildly wrong. The loss is written in the script, in `fastnet.ops`: the squared
error up to a limit, constant beyond it; the engine derives its gradient. The same network, trained with fit on the mean squared error,
is drawn aside by the wrong data.
"""

import argparse

import numpy as np

import fastnet as fn

LIMIT = 0.3


def make_data(n):
    """A sine with a little noise; every eighth value is off by 2 to 4."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, (n, 1))
    y = np.sin(x) + rng.normal(scale=0.05, size=(n, 1))
    y[::8] += rng.uniform(2, 4, (len(y[::8]), 1))
    return x, y


def make_step(model):
    """A step that minimises min(error**2, LIMIT**2)."""

    def function(x, y):
        return {"loss": (fn.ops.minimum((model(x) - y) ** 2, LIMIT**2), model)}

    step = fn.TrainStep(function, [(1,), (1,)], seed=0)
    step.compile({"loss": fn.optimizers.Adam(0.003, global_clipnorm=1.0)})
    return step


def make_model():
    return fn.Sequential(
        [
            fn.Input((1,)),
            fn.layers.Dense(32, activation="tanh"),
            fn.layers.Dense(32, activation="tanh"),
            fn.layers.Dense(1),
        ],
        seed=0,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--plot", metavar="FILE", help="save the curves as a picture")
    arguments = parser.parse_args()

    x, y = make_data(400)
    plain = make_model()
    plain.compile(fn.optimizers.Adam(0.003), "mse")
    plain.fit(x, y, batch_size=50, epochs=arguments.steps // 8, verbose=0)

    model = make_model()
    training = make_step(model)
    rng = np.random.default_rng(1)
    for step in range(arguments.steps):
        rows = rng.choice(len(x), 50, replace=False)
        loss = training.train_on_batch([x[rows], y[rows]])
        if step % (arguments.steps // 5) == 0:
            print(f"step {step:5}: loss {loss:.4f}")

    line = np.linspace(-3, 3, 200).reshape(-1, 1)
    errors = [np.abs(m.predict(line) - np.sin(line)).mean() for m in (plain, model)]
    print(f"Mean distance to the sine: {errors[0]:.3f} with fit and the squared error, {errors[1]:.3f} with the loop.")
    if arguments.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 4), layout="constrained")
        axis = figure.subplots()
        axis.plot(x, y, ".", color="0.7", markersize=4, label="data")
        axis.plot(line, np.sin(line), color="black", linewidth=0.8, linestyle=":", label="sine")
        axis.plot(line, plain.predict(line), label="fit, squared error")
        axis.plot(line, model.predict(line), label="loop, capped squares")
        axis.legend(frameon=False, loc="upper left")
        figure.savefig(arguments.plot, dpi=120)


if __name__ == "__main__":
    main()
