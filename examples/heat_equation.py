"""A physics-informed network: the heat equation, learnt without a single value of its solution inside.

    python examples/heat_equation.py [--epochs N] [--plot FILE]

u_t = 0.1 u_xx for 0 < x < 1 and 0 < t < 1, with u(0, x) = sin(pi x) and u(t, 0) = u(t, 1) = 0. The network is trained to make the
difference of both sides zero at random points (Raissi et al. 2019). Its derivatives by t and x are appended to the graph by fn.gradients,
and its weights are trained through them. Of the solution exp(-0.1 pi^2 t) sin(pi x) it ends less than 0.2% off.
"""

import argparse

import numpy as np

import fastnet as fn


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=400)
    parser.add_argument("--plot", metavar="FILE", help="save the solution as a picture")
    arguments = parser.parse_args()

    layers = [fn.layers.Dense(24, "tanh"), fn.layers.Dense(24, "tanh"), fn.layers.Dense(1)]
    network = fn.Sequential([fn.Input((2,)), *layers], seed=0)
    t, x, edge = fn.Input((1,)), fn.Input((1,)), fn.Input((2,))
    u = network(fn.layers.Concatenate()([t, x]))
    u_t, u_x = fn.gradients(u, [t, x])
    u_xx = fn.gradients(u_x, x)
    model = fn.Model([t, x, edge], [u_t - 0.1 * u_xx, network(edge)], seed=0)

    n, random = 1024, np.random.default_rng(0)
    inside, s, side = random.uniform(size=(2, n, 1)), random.uniform(size=n), np.arange(n) % 3
    edges = np.stack([np.where(side == 0, 0, s), np.choose(side, [s, 0, 1])], axis=1)
    values = np.where(side == 0, np.sin(np.pi * s), 0)
    schedule = fn.schedules.CosineDecay(0.01, arguments.epochs * n // 32)
    model.compile(fn.optimizers.Adam(schedule), loss=["mse", "mse"], loss_weights=[1, 10])
    history = model.fit([*inside, edges], [np.zeros(n), values], batch_size=32, epochs=arguments.epochs, verbose=0)

    t, x = np.meshgrid(np.linspace(0, 1, 51), np.linspace(0, 1, 51))
    exact = np.exp(-0.1 * np.pi**2 * t) * np.sin(np.pi * x)
    found = network.predict(np.stack([t.ravel(), x.ravel()], axis=1)).reshape(t.shape)
    error = np.linalg.norm(found - exact) / np.linalg.norm(exact)
    print(f"The loss fell from {history.history['loss'][0]:.4f} to {history.history['loss'][-1]:.7f}.")
    print(f"The solution is off by {100 * error:.3f}%, at most by {np.abs(found - exact).max():.4f}.")
    if arguments.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 4), layout="constrained")
        axis = figure.subplots()
        axis.plot(x[:, 0], found[:, ::10], label=[f"t = {time:.1f}" for time in t[0, ::10]])
        axis.legend(frameon=False)
        figure.savefig(arguments.plot, dpi=120)


if __name__ == "__main__":
    main()
