"""PyTorch, eager: the training loop of its tutorials, with the fused optimizer."""

from __future__ import annotations

import numpy as np

from .peer import BasePeer
from .workloads import BINARY, MSE, SPARSE, Layer, Workload

__all__ = ["Peer"]


def make_modules(layer: Layer, shape: tuple[int, ...]) -> list:
    """The modules of a layer whose input has this shape, with channels last."""
    from torch import nn

    class Flatten(nn.Module):
        """In the order of channels last, which costs nothing where they are so in memory."""

        def forward(self, x):
            return x.permute(0, 2, 3, 1).flatten(1)

    class Mean(nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    class Sequence(nn.Module):
        """An LSTM with one bias, as in Keras, that returns all steps."""

        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(shape[-1], layer.units, batch_first=True)
            self.lstm.bias_hh_l0.requires_grad_(False)
            nn.init.zeros_(self.lstm.bias_hh_l0)
            self.weight, self.recurrent, self.bias = self.lstm.weight_ih_l0, self.lstm.weight_hh_l0, self.lstm.bias_ih_l0

        def forward(self, x):
            return self.lstm(x)[0]

    make = {
        "embedding": lambda: nn.Embedding(layer.classes, layer.units),
        "lstm": Sequence,
        "dense": lambda: nn.Linear(shape[-1], layer.units),
        "convolution": lambda: nn.Conv2d(shape[-1], layer.units, 3, padding=1),
        "normalization": lambda: nn.BatchNorm2d(shape[-1], eps=1e-3, momentum=0.01),
        "relu": nn.ReLU,
        "pooling": lambda: nn.MaxPool2d(2),
        "flatten": Flatten,
        "mean": Mean,
    }[layer.kind]
    activation = {None: [], "relu": [nn.ReLU], "tanh": [nn.Tanh]}[layer.activation]
    return [make(), *(kind() for kind in activation)]


def _from_keras(weight: np.ndarray) -> np.ndarray:
    """Outputs and inputs first, as PyTorch has them."""
    return weight.transpose(3, 2, 0, 1) if weight.ndim == 4 else weight.T


def _to_keras(weight: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T)


class Peer(BasePeer):
    packages = ("torch", "numpy")

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        import torch
        from torch import nn

        self.torch = torch
        torch.set_num_threads(threads)
        self.x, self.y = torch.from_numpy(self.x), torch.from_numpy(self.y)
        if len(workload.shape) == 3:  # images as PyTorch has them, but channels last in memory, which is faster
            self.x = self.x.permute(0, 3, 1, 2)
        modules = [module for layer, shape in workload.layers_with_shapes() for module in make_modules(layer, shape)]
        self.model = nn.Sequential(*modules).to(memory_format=torch.channels_last)
        self.loss = {SPARSE: nn.CrossEntropyLoss, BINARY: nn.BCEWithLogitsLoss, MSE: nn.MSELoss}[workload.loss]()
        model, loss, labels = self.model, self.loss, workload.loss == SPARSE
        # Labels of all positions, as one axis.
        self.forward_loss = lambda x, y: loss(model(x).flatten(0, -2), y.flatten()) if labels else loss(model(x), y)

    def reset(self) -> None:
        torch = self.torch
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        with torch.no_grad():
            for tensor, table, weight in zip(self._tensors(), self._is_table(), self.workload.weights(), strict=True):
                tensor.copy_(torch.from_numpy(weight if table else _from_keras(weight)))
                tensor.grad = None
        rate = self.workload.learning_rate
        if self.workload.optimizer == "adam":
            self.optimizer = torch.optim.Adam(parameters, lr=rate, eps=self.workload.epsilon, fused=True)
        else:
            self.optimizer = torch.optim.SGD(parameters, lr=rate, momentum=self.workload.momentum, fused=True)

    def train(self, epochs: int, shuffle: bool) -> float:
        torch, rows, batch = self.torch, self.workload.rows, self.workload.batch
        total = torch.zeros(())
        for _ in range(epochs):
            order = torch.randperm(rows) if shuffle else torch.arange(rows)
            total.zero_()
            for chosen in order.split(batch):
                self.optimizer.zero_grad()
                loss = self.forward_loss(self.x[chosen], self.y[chosen])
                loss.backward()
                self.optimizer.step()
                total += loss.detach()
        return total.item() / self.workload.steps

    def _tensors(self) -> list:
        """Parameters and moving statistics, in the order of `Workload.weights`."""
        names = ("weight", "recurrent", "bias", "running_mean", "running_var")
        found = [getattr(module, name, None) for module in self.model for name in names]
        return [tensor for tensor in found if tensor is not None]

    def _is_table(self) -> list[bool]:
        """Which of the tensors are as they are in Keras: embeddings."""
        return [
            any(
                tensor is getattr(module, "weight", None) and isinstance(module, self.torch.nn.Embedding) for module in self.model
            )
            for tensor in self._tensors()
        ]

    def weights(self) -> list[np.ndarray]:
        return [
            tensor.detach().numpy().copy() if table else _to_keras(tensor.detach().numpy())
            for tensor, table in zip(self._tensors(), self._is_table())
        ]
