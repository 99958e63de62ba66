"""Writes tests/traces/derivatives_pytorch.npz: losses of trainings that are written by hand with PyTorch's differentiation.

    python tools/dump_derivative_traces.py

Needs PyTorch; written with 2.13, in float64 on one thread. The heat equation u_t = a u_xx by a physics-informed network (Raissi et al.
2019), 50 steps of Adam; the critic of a Wasserstein GAN with a penalty on its gradient (Gulrajani et al. 2017), 20 steps; a layer of
causal attention that is written out, between dense ones, 20 steps. The file holds data, first weights (kernels as [in][out]), losses, and the weights at the end.
"""

import pathlib

import numpy as np
import torch
from torch import nn

FILE = pathlib.Path(__file__).parents[1] / "tests" / "traces" / "derivatives_pytorch.npz"
A, EDGE_WEIGHT, PENALTY = 0.1, 10.0, 10.0


def weights_of(network):
    return [p.detach().numpy().T.copy() for p in network.parameters()]


def slope(y, x):
    return torch.autograd.grad(y.sum(), x, create_graph=True)[0]


def heat(random):
    network = nn.Sequential(nn.Linear(2, 12), nn.Tanh(), nn.Linear(12, 10), nn.GELU(), nn.Linear(10, 1))
    t, x = (torch.tensor(values, requires_grad=True) for values in random.uniform(size=(2, 40, 1)))
    edge = torch.tensor(random.uniform(size=(40, 2)) * [0, 1])
    target = torch.sin(torch.pi * edge[:, 1:])

    def loss():
        u = network(torch.cat([t, x], dim=1))
        residual = slope(u, t) - A * slope(slope(u, x), x)
        return (residual**2).mean() + EDGE_WEIGHT * ((network(edge) - target) ** 2).mean()

    return network, loss, torch.optim.Adam(network.parameters(), lr=5e-3), 50, {"t": t, "x": x, "edge": edge, "target": target}


def critic(random):
    network = nn.Sequential(nn.Linear(3, 16), nn.LeakyReLU(0.2), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1))
    real, fake = (torch.tensor(values) for values in (random.normal(size=(24, 3)) + 1, random.normal(size=(24, 3)) * 0.5))
    share = torch.tensor(random.uniform(size=(24, 1)))
    between = (share * real + (1 - share) * fake).requires_grad_()

    def loss():
        length = slope(network(between), between).norm(dim=1)
        return network(fake).mean() - network(real).mean() + PENALTY * ((length - 1) ** 2).mean()

    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3, betas=(0.0, 0.9))
    return network, loss, optimizer, 20, {"real": real, "fake": fake, "between": between}


class Attention(nn.Module):
    """softmax(q k^T / sqrt(size) over the keys before) v + x, of one head."""

    def __init__(self, size):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(size, size, bias=False) for _ in range(3))

    def forward(self, x):
        scores = self.query(x) @ self.key(x).transpose(1, 2) / x.shape[-1] ** 0.5
        hidden = torch.triu(torch.ones(x.shape[1], x.shape[1]), 1) > 0
        return torch.softmax(scores.masked_fill(hidden, -1e9), dim=-1) @ self.value(x) + x


def attention(random):
    network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), Attention(8), nn.Linear(8, 2))
    x, target = (torch.tensor(random.normal(size=(12, 5, n))) for n in (3, 2))

    def loss():
        return ((network(x) - target) ** 2).mean()

    return network, loss, torch.optim.Adam(network.parameters(), lr=5e-3), 20, {"x": x, "target": target}


def main():
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    arrays = {}
    for name, make in (("heat", heat), ("critic", critic), ("attention", attention)):
        torch.manual_seed(0)
        network, loss_of, optimizer, steps, data = make(np.random.default_rng(0))
        arrays |= {f"{name}/{key}": value.detach().numpy() for key, value in data.items()}
        arrays |= {f"{name}/first_{i}": w for i, w in enumerate(weights_of(network))}
        losses = []
        for _ in range(steps):
            loss = loss_of()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        arrays |= {f"{name}/last_{i}": w for i, w in enumerate(weights_of(network))}
        arrays[f"{name}/losses"] = np.array(losses)
    np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    main()
