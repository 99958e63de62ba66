"""Writes tests/traces/train_step_pytorch.npz: training steps of several updates, made by PyTorch in float64.

    python tools/dump_train_step_traces.py

For each case: the weights at the start (``case/start/model/number``, kernels as fastnet has them), the data, the losses of each of the
steps (``case/losses``) and the weights at the end. Needs PyTorch; traced with 2.13.
"""

import itertools
import pathlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional as f

STEPS, ROWS = 20, 16


def network(*widths, activation=nn.Tanh):
    layers = []
    for i, (n, m) in enumerate(itertools.pairwise(widths)):
        layers += [nn.Linear(n, m), activation()] if i < len(widths) - 2 else [nn.Linear(n, m)]
    return nn.Sequential(*layers).double()


def weights_of(model):
    return [p.detach().numpy().T.copy() if p.ndim == 2 else p.detach().numpy().copy() for p in model.parameters()]


def step(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def gan(random):
    models = {"generator": network(3, 8, 5), "discriminator": network(5, 8, 1)}
    generator, discriminator = models.values()
    data = {"real": random.normal(1, 0.5, (STEPS * ROWS, 5)), "noise": random.normal(size=(STEPS * ROWS, 3))}
    adams = [torch.optim.Adam(model.parameters(), 0.01, (0.5, 0.999)) for model in (discriminator, generator)]
    bce = f.binary_cross_entropy_with_logits

    def make(real, noise):
        ones, zeros = torch.ones(len(real), 1).double(), torch.zeros(len(real), 1).double()
        fake = generator(noise)
        judge = bce(discriminator(real), ones) + bce(discriminator(fake.detach()), zeros)
        first = step(adams[0], judge)
        return [first, step(adams[1], bce(discriminator(generator(noise)), ones))]

    return models, data, make


def actor_critic(random):
    models = {"body": network(4, 8), "actor": network(8, 2), "critic": network(4, 8, 1)}
    body, actor, critic = models.values()
    n = STEPS * ROWS
    data = {
        "state": random.normal(size=(n, 4)), "action": np.eye(2)[random.integers(0, 2, n)], "reward": random.normal(size=(n, 1)),
        "later": random.normal(size=(n, 4)),
    }  # fmt: skip
    policy = torch.optim.SGD([*body.parameters(), *actor.parameters()], 0.1, momentum=0.9)
    value = torch.optim.Adam(critic.parameters(), 0.02)

    def make(state, action, reward, later):
        with torch.no_grad():
            wanted = reward + 0.9 * critic(later)
        first = step(value, ((critic(state) - wanted) ** 2).mean())
        with torch.no_grad():
            advantage = reward + 0.9 * critic(later) - critic(state)
        logits = actor(torch.tanh(body(state)))
        chosen = (f.log_softmax(logits, -1) * action).sum(-1, keepdim=True)
        entropy = -(f.softmax(logits, -1) * f.log_softmax(logits, -1)).sum(-1, keepdim=True)
        return [first, step(policy, (-chosen * advantage - 0.01 * entropy).mean())]

    return models, data, make


def distillation(random):
    models = {"teacher": network(6, 12, 4), "student": network(6, 3, 4)}
    teacher, student = models.values()
    n = STEPS * ROWS
    data = {"x": random.normal(size=(n, 6)), "label": np.eye(4)[random.integers(0, 4, n)]}
    optimizer = torch.optim.RMSprop(student.parameters(), 0.01)

    def make(x, label):
        logits = student(x)
        hard = -(f.log_softmax(logits, -1) * label).sum(-1)
        with torch.no_grad():
            soft = f.softmax(teacher(x) / 3, -1)
        return [step(optimizer, (0.3 * hard + 0.7 * 9 * -(f.log_softmax(logits / 3, -1) * soft).sum(-1)).mean())]

    return models, data, make


def contrastive(random):
    models = {"encoder": network(5, 9, 3)}
    encoder = models["encoder"]
    n = STEPS * ROWS
    data = {"a": random.normal(size=(n, 5)), "b": random.normal(size=(n, 5)), "same": random.integers(0, 2, (n, 1)).astype(float)}
    optimizer = torch.optim.Adam(encoder.parameters(), 0.01)

    def make(a, b, same):
        square = ((encoder(a) - encoder(b)) ** 2).sum(-1, keepdim=True)
        apart = torch.clamp(1 - torch.sqrt(square + 1e-9), min=0) ** 2
        return [step(optimizer, (same * square + (1 - same) * apart).mean())]

    return models, data, make


def main():
    torch.set_num_threads(1)
    arrays = {}
    for case in (gan, actor_critic, distillation, contrastive):
        torch.manual_seed(0)
        models, data, make = case(np.random.default_rng(0))
        name = case.__name__
        arrays.update({f"{name}/start/{m}/{i}": w for m, model in models.items() for i, w in enumerate(weights_of(model))})
        arrays.update({f"{name}/data/{key}": value for key, value in data.items()})
        batches = [slice(i, i + ROWS) for i in range(0, STEPS * ROWS, ROWS)]
        arrays[f"{name}/losses"] = np.array(
            [make(*(torch.from_numpy(value[rows]) for value in data.values())) for rows in batches]
        )
        arrays.update({f"{name}/end/{m}/{i}": w for m, model in models.items() for i, w in enumerate(weights_of(model))})
    path = pathlib.Path(__file__).parents[1] / "tests" / "traces" / "train_step_pytorch.npz"
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    main()
