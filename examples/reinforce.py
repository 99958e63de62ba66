"""REINFORCE: a policy learns to balance a pole on a cart from nothing but how long it stayed up.

    python examples/reinforce.py [--episodes N] [--plot FILE]

The cart-pole of Barto, Sutton and Anderson (1983), with the numbers of Gym's CartPole-v1, is written in NumPy; 32 of them
are played side by side. The policy gives the logits of pushing left and right. The loss, whose gradient is that of the expected
return, is the logarithm of the probability of the chosen action times the advantage: the return from there on, less what is usual,
over its deviation. An episode ends when the pole falls or after 500 steps.
"""

import argparse

import numpy as np

import fastnet as fn

STEPS, POLES = 500, 32


def push(state, right):
    """The states 0.02 s later: position, velocity, angle and angular velocity, [POLES][4]."""
    x, v, angle, spin = state.T
    force = np.where(right, 10.0, -10.0)
    pulled = (force + 0.05 * spin**2 * np.sin(angle)) / 1.1
    turned = (9.8 * np.sin(angle) - np.cos(angle) * pulled) / (0.5 * (4 / 3 - 0.1 * np.cos(angle) ** 2 / 1.1))
    moved = pulled - 0.05 * turned * np.cos(angle) / 1.1
    return np.stack([x + 0.02 * v, v + 0.02 * moved, angle + 0.02 * spin, spin + 0.02 * turned], axis=1)


def play(policy, rng, greedy=False):
    """States and actions of an episode of each pole [steps][POLES], and where it was still up when they were."""
    state, up = rng.uniform(-0.05, 0.05, (POLES, 4)), np.ones(POLES, bool)
    states, actions, alive = [], [], []
    while up.any() and len(states) < STEPS:
        logits = policy.predict(state)
        difference = logits[:, 1] - logits[:, 0]
        right = difference > (0 if greedy else rng.logistic(size=POLES))
        states.append(state)
        actions.append(right)
        alive.append(up)
        state = np.where(up[:, None], push(state, right), state)
        up = up & (np.abs(state[:, 0]) < 2.4) & (np.abs(state[:, 2]) < np.radians(12))
    return np.stack(states), np.stack(actions), np.stack(alive)


def advantages(alive, discount=0.99):
    """The discounted number of steps still to come, less its mean at that step over the poles, over the deviation."""
    returns = np.zeros(alive.shape)
    to_come = np.zeros(POLES)
    for t in reversed(range(len(alive))):
        to_come = alive[t] * (1 + discount * to_come)
        returns[t] = to_come
    returns -= returns.sum(axis=1, keepdims=True) / POLES
    return returns[alive] / (returns[alive].std() + 1e-8)


def make_step(policy):
    """A step along the gradient of all poles and steps."""

    def function(state, action, advantage):
        chosen = fn.ops.sum(fn.ops.log_softmax(policy(state)) * action, axis=-1, keepdims=True)
        return {"policy": (-chosen * advantage, policy)}

    step = fn.TrainStep(function, [(4,), (2,), (1,)])
    step.compile({"policy": fn.optimizers.Adam(0.02)})
    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=60, help=f"rounds of {POLES} episodes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", metavar="FILE", help="save the curve as a picture")
    arguments = parser.parse_args()

    rng = np.random.default_rng(arguments.seed)
    policy = fn.Sequential([fn.Input((4,)), fn.layers.Dense(32, activation="tanh"), fn.layers.Dense(2)], seed=arguments.seed)
    step = make_step(policy)
    curve = []
    for episode in range(arguments.episodes):
        states, actions, alive = play(policy, rng)
        curve.append(alive.sum(axis=0).mean())
        if episode % 10 == 0:
            print(f"round {episode:3}: the poles stay up {curve[-1]:5.1f} steps on average")
        step.train_on_batch([states[alive], np.eye(2)[actions[alive].astype(int)], advantages(alive)])
    test = play(policy, np.random.default_rng(99), greedy=True)[2].sum(axis=0)
    print(
        f"At first {curve[0]:.1f} steps. After {arguments.episodes} rounds, {POLES} new episodes with the likelier action: "
        f"mean {test.mean():.1f}, shortest {test.min()} of {STEPS}."
    )
    if arguments.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axis = figure.subplots()
        axis.plot(curve)
        axis.axhline(STEPS, color="black", linewidth=0.8, linestyle=":")
        axis.set(xlabel=f"round of {POLES} episodes", ylabel="steps until the pole falls, mean")
        axis.grid(alpha=0.3)
        figure.savefig(arguments.plot, dpi=120)


if __name__ == "__main__":
    main()
