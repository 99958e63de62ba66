"""Writes tests/traces/losses_pytorch.npz: training steps with losses of one's own, made by PyTorch in float64.

    python tools/dump_loss_traces.py

For each case: the weights at the start (``case/start/number``, kernels as fastnet has them), the data, the losses of the steps
(``case/losses``) and the weights at the end (``case/end/number``). Needs PyTorch; traced with 2.13.
"""

import itertools
import pathlib

import numpy as np
import torch
from torch import nn

STEPS, ROWS = 20, 16


def dense(*widths):
    layers = [nn.Linear(widths[0], widths[1])]
    for n, m in itertools.pairwise(widths[1:]):
        layers += [nn.Tanh(), nn.Linear(n, m)]
    return nn.Sequential(*layers).double()


def focal(random, n):
    net = dense(4, 8, 1)
    data = {"x": random.normal(size=(n, 4)), "y": random.integers(0, 2, (n, 1)).astype(float)}

    def loss(x, y):
        p = torch.sigmoid(net(x))
        right = y * p + (1 - y) * (1 - p)
        return (-0.25 * (1 - right) ** 2 * torch.log(right)).mean()

    return [net], data, loss


def quantile(random, n):
    net, q = dense(4, 8, 3), torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    data = {"x": random.normal(size=(n, 4)), "y": random.normal(size=(n, 1))}

    def loss(x, y):
        error = y - net(x)
        return torch.maximum(q * error, (q - 1) * error).mean()

    return [net], data, loss


def contrastive(random, n):
    net = dense(4, 8, 2)
    data = {"a": random.normal(size=(n, 4)), "b": random.normal(size=(n, 4)), "y": random.integers(0, 2, (n, 1)).astype(float)}

    def loss(a, b, y):
        distance = torch.sqrt(((net(a) - net(b)) ** 2).sum(1, keepdim=True) + 1e-6)
        return (y * distance**2 + (1 - y) * torch.clamp(1 - distance, min=0) ** 2).mean()

    return [net], data, loss


def triplet(random, n):
    net = dense(4, 8, 2)
    data = {name: random.normal(size=(n, 4)) for name in ("a", "b", "c")}

    def loss(a, b, c):
        near, far = ((net(a) - net(b)) ** 2).sum(1), ((net(a) - net(c)) ** 2).sum(1)
        return torch.relu(near - far + 0.5).mean()

    return [net], data, loss


def vae(random, n):
    mean, log_var, decoder = dense(6, 8, 2), dense(6, 8, 2), dense(2, 8, 6)
    data = {"x": random.normal(size=(n, 6)), "noise": random.normal(size=(n, 2))}

    def loss(x, noise):
        m, v = mean(x), log_var(x)
        kl = -0.5 * (1 + v - m**2 - torch.exp(v)).sum(1)
        return (((decoder(m + torch.exp(0.5 * v) * noise) - x) ** 2).sum(1) + kl).mean()

    return [mean, log_var, decoder], data, loss


def weights_of(nets):
    return [p.detach().numpy().T.copy() if p.ndim == 2 else p.detach().numpy().copy() for net in nets for p in net.parameters()]


arrays = {}
for case in (focal, quantile, contrastive, triplet, vae):
    torch.manual_seed(0)
    name = case.__name__
    nets, data, loss = case(np.random.default_rng(0), STEPS * ROWS)
    arrays |= {f"{name}/start/{i}": weight for i, weight in enumerate(weights_of(nets))}
    arrays |= {f"{name}/{key}": array for key, array in data.items()}
    adam, losses = torch.optim.Adam([p for net in nets for p in net.parameters()], 0.01), []
    for row in range(0, STEPS * ROWS, ROWS):
        adam.zero_grad()
        value = loss(*(torch.from_numpy(array[row : row + ROWS]) for array in data.values()))
        value.backward()
        adam.step()
        losses.append(value.item())
    arrays |= {f"{name}/end/{i}": weight for i, weight in enumerate(weights_of(nets))} | {f"{name}/losses": np.array(losses)}
path = pathlib.Path(__file__).parents[1] / "tests" / "traces" / "losses_pytorch.npz"
np.savez_compressed(path, **arrays)
print(
    path.name,
    path.stat().st_size,
    {name: arrays[f"{name}/losses"][[0, -1]] for name in ("focal", "quantile", "contrastive", "triplet", "vae")},
)
