"""Recurrent layers, one step after another."""

from types import SimpleNamespace

import numpy as np

from reference.activations import LINEAR, activation_of, number_of
from reference.operations import Op, random_words

DEFAULTS = {
    "units": 1, "use_bias": 1, "activation": LINEAR, "alpha": 0.0, "recurrent_activation": LINEAR, "recurrent_alpha": 0.0,
    "return_sequences": 0, "return_state": 0, "go_backwards": 0, "masked": 0, "stateful": 0, "dropout": 0.0,
    "recurrent_dropout": 0.0, "seed": -1, "reset_after": 1,
    "zero_output_for_mask": 0,
}  # fmt: skip


class Function:
    """An activation with its own attribute filled in."""

    def __init__(self, number, alpha):
        self.activation, self.alpha = activation_of(number), alpha

    def __call__(self, z):
        return self.activation.forward(z, self.alpha)

    def slope(self, z):
        return self.activation.derivative(z, self.alpha)


def simple_rnn_step(x, states, given):
    """(states after the step, what `simple_rnn_back` needs)"""
    z = x @ given.w + given.seen(states[0]) @ given.u + given.b
    return [given.f(z)], (x, states, z)


def simple_rnn_back(tape, gradients, given):
    """(gradient of x, those of the states before the step); adds to those of the parameters."""
    x, states, z = tape
    dz = gradients[0] * given.f.slope(z)
    given.dw += x.T @ dz
    given.du += given.seen(states[0]).T @ dz
    given.db += dz.sum(axis=0)
    return dz @ given.w.T, [given.seen(dz @ given.u.T)]


def lstm_step(x, states, given):
    z = x @ given.w + given.seen(states[0]) @ given.u + given.b
    i, f, g, o = np.split(z, 4, axis=1)
    c = given.s(f) * states[1] + given.s(i) * given.f(g)
    return [given.s(o) * given.f(c), c], (x, states, (i, f, g, o), c)


def lstm_back(tape, gradients, given):
    x, states, (i, f, g, o), c = tape
    dh = gradients[0]
    dc = gradients[1] + dh * given.s(o) * given.f.slope(c)
    dz = np.hstack([dc * given.f(g) * given.s.slope(i), dc * states[1] * given.s.slope(f),
                    dc * given.s(i) * given.f.slope(g), dh * given.f(c) * given.s.slope(o)])  # fmt: skip
    given.dw += x.T @ dz
    given.du += given.seen(states[0]).T @ dz
    given.db += dz.sum(axis=0)
    return dz @ given.w.T, [given.seen(dz @ given.u.T), dc * given.s(f)]


def gru_step(x, states, given):
    h = states[0]
    b, br = given.b if given.reset_after else (given.b, 0 * given.b)
    uz, ur, uh = np.split(given.u, 3, axis=1)
    bz, brr, bh = np.split(br, 3)
    xz, xr, xh = np.split(x @ given.w + b, 3, axis=1)
    z, r = xz + given.seen(h) @ uz + bz, xr + given.seen(h) @ ur + brr
    if given.reset_after:
        inner = given.seen(h) @ uh + bh
        g = xh + given.s(r) * inner
    else:
        inner = given.s(r) * given.seen(h)
        g = xh + inner @ uh
    return [given.s(z) * h + (1 - given.s(z)) * given.f(g)], (x, h, z, r, g, inner)


def gru_back(tape, gradients, given):
    x, h, z, r, g, inner = tape
    uz, ur, uh = np.split(given.u, 3, axis=1)
    dh = gradients[0]
    dg = dh * (1 - given.s(z)) * given.f.slope(g)
    dz = dh * (h - given.f(g)) * given.s.slope(z)
    if given.reset_after:
        dr = dg * inner * given.s.slope(r)
        dinner = dg * given.s(r)
        du = given.seen(h).T @ np.hstack([dz, dr, dinner])
        before = given.seen(dinner @ uh.T)
        given.db += np.array([np.hstack([dz, dr, dg]).sum(axis=0), np.hstack([dz, dr, dinner]).sum(axis=0)])
    else:
        dinner = dg @ uh.T
        dr = dinner * given.seen(h) * given.s.slope(r)
        du = np.hstack([given.seen(h).T @ np.hstack([dz, dr]), inner.T @ dg])
        before = given.seen(dinner * given.s(r))
        given.db += np.hstack([dz, dr, dg]).sum(axis=0)
    before = before + given.seen(dz @ uz.T + dr @ ur.T) + dh * given.s(z)
    given.dw += x.T @ np.hstack([dz, dr, dg])
    given.du += du
    return np.hstack([dz, dr, dg]) @ given.w.T, [before]


#: Steps, and the number of states.
CELLS = {"simple_rnn": (simple_rnn_step, simple_rnn_back, 1), "lstm": (lstm_step, lstm_back, 2), "gru": (gru_step, gru_back, 1)}


def prepare(kind, inputs, parameters, attributes):
    """What the steps share."""
    a = SimpleNamespace(**{**DEFAULTS, **attributes})
    a.step, a.back, a.n_states = CELLS[kind]
    a.x = inputs[0]
    rows, a.steps, features = a.x.shape
    units = int(a.units)
    a.mask = inputs[1] > 0 if a.masked else np.ones((rows, a.steps), bool)
    first = 2 if a.masked else 1
    a.begin = list(inputs[first:]) or [np.zeros((rows, units))] * a.n_states
    if a.stateful:
        a.begin = [state[:rows] for state in parameters[-a.n_states :]]
    a.w, a.u = parameters[:2]
    a.b = parameters[2] if a.use_bias else np.zeros((2, 3 * units) if kind == "gru" and a.reset_after else a.w.shape[1])
    a.f, a.s = Function(a.activation, a.alpha), Function(a.recurrent_activation, a.recurrent_alpha)
    a.x_factor, h_factor = 1.0, 1.0
    if a.dropout or a.recurrent_dropout:
        words = random_words(rows * (features + units), seed=a.seed).reshape(rows, -1)
        a.x_factor = (words[:, :features] >= int(a.dropout * 2**32)) / (1 - a.dropout)
        h_factor = (words[:, features:] >= int(a.recurrent_dropout * 2**32)) / (1 - a.recurrent_dropout)
    a.seen = lambda h: h * h_factor  # as products see it; and back
    a.order = range(a.steps)[::-1] if a.go_backwards else range(a.steps)
    return a


def run(a):
    """(states after each step, tapes)"""
    states, every, tapes = a.begin, [], []
    for t in a.order:
        after, tape = a.step(a.x[:, t] * a.x_factor, states, a)
        keep = a.mask[:, t, np.newaxis]
        states = [np.where(keep, new, old) for new, old in zip(after, states)]
        every.append(states)
        tapes.append(tape)
    return every, tapes


def shown(a):
    """Which steps, in the order of computation, have an output."""
    mask = a.mask[:, list(a.order), np.newaxis]
    return mask if a.zero_output_for_mask else np.ones_like(mask)


def forward(kind):
    def compute(inputs, parameters, **attributes):
        a = prepare(kind, inputs, parameters, attributes)
        every, _ = run(a)
        y = np.stack([states[0] for states in every], axis=1) * shown(a) if a.return_sequences else every[-1][0]
        y = y[:, ::-1] if a.return_sequences and a.go_backwards == 2 else y
        return [y, *every[-1]] if a.return_state else y

    return compute


def backward(kind):
    def compute(inputs, parameters, dy, **attributes):
        a = prepare(kind, inputs, parameters, attributes)
        _, tapes = run(a)
        a.dw, a.du, a.db = np.zeros_like(a.w), np.zeros_like(a.u), np.zeros_like(a.b)
        outer = dy[0] if a.return_state else dy
        outer = outer[:, ::-1] if a.return_sequences and a.go_backwards == 2 else outer
        outer = outer * shown(a) if a.return_sequences else outer
        gradients = list(dy[1:]) if a.return_state else [np.zeros_like(state) for state in a.begin]
        if not a.return_sequences:
            gradients[0] = gradients[0] + outer
        dx = np.zeros_like(a.x)
        for number in reversed(range(a.steps)):
            t = a.order[number]
            if a.return_sequences:
                gradients[0] = gradients[0] + outer[:, number]
            keep = a.mask[:, t, np.newaxis]
            step_x, before = a.back(tapes[number], [np.where(keep, g, 0.0) for g in gradients], a)
            gradients = [np.where(keep, new, old) for new, old in zip(before, gradients)]
            dx[:, t] = step_x * a.x_factor
        found = [dx, *([np.zeros_like(inputs[1])] if a.masked else [])]
        found += gradients if len(inputs) > len(found) else []
        trained = [a.dw, a.du, *([a.db] if a.use_bias else [])]
        return found, trained + [None] * (len(parameters) - len(trained))

    return compute


OPS = {kind: Op(forward(kind), backward(kind)) for kind in CELLS}

TANH, SIGMOID, GELU = number_of("tanh"), number_of("sigmoid"), number_of("gelu")


def cases(kind, gates, n_states, bias):
    """Name, shapes of inputs and parameters, attributes; 3 features, 2 units."""
    weights = [(3, 2 * gates), (2, 2 * gates)]
    standard = {"units": 2, "activation": TANH, "recurrent_activation": SIGMOID}
    states = [(3, 2)] * n_states
    yield kind, [(3, 4, 3)], [*weights, bias], {**standard, "return_sequences": 1}
    yield kind, [(3, 4, 3), (3, 4), *states], [*weights, bias], {**standard, "masked": 1}
    yield kind, [(3, 4, 3), (3, 4)], [*weights, bias], {**standard, "masked": 1, "zero_output_for_mask": 1, "return_sequences": 1}
    yield kind, [(3, 2, 3), *states], weights, {**standard, "use_bias": 0, "go_backwards": 1, "return_sequences": 1}
    yield kind, [(3, 4, 3)], [*weights, bias], {**standard, "activation": GELU, "dropout": 0.3, "recurrent_dropout": 0.4}


OP_CASES = [*cases("simple_rnn", 1, 1, (2,)), *cases("lstm", 4, 2, (8,)), *cases("gru", 3, 1, (2, 6)),
            ("gru", [(3, 4, 3)], [(3, 6), (2, 6), (6,)],
             {"units": 2, "activation": TANH, "recurrent_activation": SIGMOID, "reset_after": 0, "recurrent_dropout": 0.4})]  # fmt: skip
