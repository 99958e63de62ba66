"""Writes tests/traces/weight_formulas_pytorch.npz: losses of trainings with layers whose kernels are computed of other weights.

    python tools/dump_weight_traces.py

Needs PyTorch; written with 2.13, in float64 on one thread. 20 steps of Adam each: weight normalisation (Salimans and Kingma 2016, as
torch.nn.utils.parametrizations.weight_norm), a product of two small matrices beside a kernel (Hu et al. 2022), an embedding that is its own output
layer (Press and Wolf 2017), an orthogonal matrix by Householder reflections, and a penalty on the gradient by the inputs of a network with weight
normalisation, whose derivative is a second one. The file holds data, first weights, losses, and the weights at the end.
"""

import pathlib

import numpy as np
import torch

FILE = pathlib.Path(__file__).parents[1] / "tests" / "traces" / "weight_formulas_pytorch.npz"


def weight_norm(x, v, g, out):
    return torch.tanh(x @ (g * v / v.norm(dim=0))) @ out


def low_rank(x, kernel, a, b):
    return x @ (kernel + a @ b)


def tied(x, table, kernel):
    return torch.tanh(table[x.long()].mean(dim=1) @ kernel) @ table.T


def orthogonal(x, vs, out):
    matrix = torch.eye(5, dtype=torch.float64)
    for v in vs:
        matrix = matrix - 2 * torch.outer(matrix @ v, v) / (v @ v)
    return torch.tanh(x @ matrix) @ out


#: What is computed of x and weights, the shapes of these, and the shape of the output.
FORMULAS = {
    "weight_norm": (weight_norm, [(5, 6), (6,), (6, 2)], 2),
    "low_rank": (low_rank, [(5, 4), (5, 2), (2, 4)], 4),
    "tied": (tied, [(7, 4), (4, 4)], 7),
    "orthogonal": (orthogonal, [(2, 5), (5, 3)], 3),
    "gradient_penalty": (weight_norm, [(5, 6), (6,), (6, 1)], 1),
}


def main():
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    arrays = {}
    for name, (run, shapes, width) in FORMULAS.items():
        random = np.random.default_rng(11)
        x = random.integers(0, 7, (24, 3)).astype(float) if name == "tied" else random.normal(size=(24, 5))
        y = random.normal(size=(24, width))
        weights = [torch.tensor(random.normal(size=shape) * 0.5, requires_grad=True) for shape in shapes]
        arrays |= {f"{name}/x": x, f"{name}/y": y}
        arrays |= {f"{name}/first_{i}": weight.detach().numpy().copy() for i, weight in enumerate(weights)}
        optimizer = torch.optim.Adam(weights, lr=0.02)
        inputs, target, losses = torch.tensor(x, requires_grad=True), torch.tensor(y), []
        for _ in range(20):
            optimizer.zero_grad()
            found = run(inputs, *weights)
            loss = ((found - target) ** 2).mean()
            if name == "gradient_penalty":
                (slope,) = torch.autograd.grad(found.sum(), inputs, create_graph=True)
                loss = loss + ((slope**2).sum(dim=1) - 1).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        arrays[f"{name}/losses"] = np.array(losses)
        arrays |= {f"{name}/last_{i}": weight.detach().numpy() for i, weight in enumerate(weights)}
    np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    main()
