"""PyTorch, eager: the training loop of its tutorials, with the fused optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np

from .layers import Layer
from .peer import BasePeer, Unable
from .workloads import BINARY, MSE, SPARSE, Workload

__all__ = ["Peer"]


def _swap(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.T)


class _Place:
    """A tensor of PyTorch that holds a weight as Keras has it, and the way from one to the other and back."""

    def __init__(self, tensor, to_torch=lambda array: array, to_keras=lambda array: array):
        self.tensor, self.to_torch, self.to_keras = tensor, to_torch, to_keras

    def load(self, array: np.ndarray) -> None:
        self.tensor.copy_(self.tensor.new_tensor(np.ascontiguousarray(self.to_torch(array))))

    def read(self) -> np.ndarray:
        return np.ascontiguousarray(self.to_keras(self.tensor.detach().numpy())).copy()


class _Biases:
    """The two of a GRU, which Keras has in one array."""

    def __init__(self, *tensors):
        self.places = [_gates(tensor) for tensor in tensors]

    def load(self, array: np.ndarray) -> None:
        for place, row in zip(self.places, array):
            place.load(row)

    def read(self) -> np.ndarray:
        return np.stack([place.read() for place in self.places])


def _kernel(tensor, of_steps: bool) -> _Place:
    """Of a convolution: outputs, inputs, height and width, where Keras has the outputs last; steps are pixels of one row."""
    if of_steps:
        return _Place(tensor, lambda w: w.transpose(2, 1, 0)[:, :, None], lambda w: w[:, :, 0].transpose(2, 1, 0))
    return _Place(tensor, lambda w: w.transpose(3, 2, 0, 1), lambda w: w.transpose(2, 3, 1, 0))


def _gates(tensor) -> _Place:
    """Of a GRU: Keras has the gate of the update first, PyTorch that of the reset. The exchange is its own inverse."""

    def exchange(array: np.ndarray) -> np.ndarray:
        z, r, h = np.split(array, 3)
        return np.concatenate([r, z, h])

    if tensor.ndim == 1:
        return _Place(tensor, exchange, exchange)
    return _Place(tensor, lambda w: exchange(w.T), lambda w: exchange(w).T)


class Builder:
    """Makes the modules of layers, and collects where the weights of these are, in the order of `walk`."""

    def __init__(self) -> None:
        self.places: list[_Place | _Biases] = []

    def make(self, layers: Iterable[Layer], shape: tuple[int, ...]):
        """One module for all the layers; images and what convolutions read are channels last in memory."""
        from torch import nn

        modules = []
        for layer in layers:
            modules.append(self._make(layer, shape))
            modules += {None: [], "relu": [nn.ReLU(inplace=True)], "tanh": [nn.Tanh()]}[layer.activation]
            shape = layer.output_shape(shape)
        return nn.Sequential(*modules)

    def _make(self, layer: Layer, shape: tuple[int, ...]):
        from torch import nn

        def plain(module, make_kernel):
            self.places.extend([make_kernel(module.weight), _Place(module.bias)])
            return module

        def convolution(n_out: int, groups: int):
            window = (layer.size, layer.size) if len(shape) == 3 else (1, layer.size)
            padding = tuple(n // 2 for n in window)
            kernel = partial(_kernel, of_steps=len(shape) == 2)
            return plain(nn.Conv2d(shape[-1], n_out, window, padding=padding, groups=groups), kernel)

        if layer.is_recurrent:
            return self._recurrent(layer, shape)
        if layer.kind == "residual":
            return self._residual(layer, shape)
        if layer.kind == "dense":
            return plain(nn.Linear(shape[-1], layer.units), lambda tensor: _Place(tensor, _swap, _swap))
        if layer.kind == "convolution":
            return convolution(layer.units, 1)
        if layer.kind == "depthwise":
            module = convolution(shape[-1], shape[-1])
            turn = lambda w: w.transpose(2, 3, 0, 1)
            self.places[-2] = _Place(module.weight, turn, turn)
            return module
        if layer.kind == "embedding":
            module = nn.Embedding(layer.classes, layer.units)
            self.places.append(_Place(module.weight))
            return module
        if layer.kind == "normalization":
            module = nn.BatchNorm2d(shape[-1], eps=1e-3, momentum=0.01)
            self.places += [_Place(getattr(module, name)) for name in ("weight", "bias", "running_mean", "running_var")]
            return module

        class Flatten(nn.Module):
            """In the order of channels last, which costs nothing where they are so in memory."""

            def forward(self, x):
                return x.permute(0, 2, 3, 1).flatten(1)

        class Mean(nn.Module):
            def forward(self, x):
                return x.mean((2, 3))

        return {"relu": lambda: nn.ReLU(inplace=True), "pooling": lambda: nn.MaxPool2d(2), "flatten": Flatten, "mean": Mean}[
            layer.kind
        ]()

    def _recurrent(self, layer: Layer, shape: tuple[int, ...]):
        from torch import nn

        if layer.both_ways and layer.last_step:
            raise Unable("of both ways, PyTorch has the last step of the second first")

        class Sequence(nn.Module):
            def __init__(self, kind):
                super().__init__()
                self.inner = kind(shape[-1], layer.units, batch_first=True, bidirectional=layer.both_ways)

            def forward(self, x):
                every = self.inner(x)[0]
                return every[:, -1] if layer.last_step else every

        module = Sequence({"lstm": nn.LSTM, "gru": nn.GRU}[layer.kind])
        for way in ("", "_reverse") if layer.both_ways else ("",):
            kernel, recurrent, bias, second = (
                getattr(module.inner, f"{name}_l0{way}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            if layer.kind == "lstm":  # with one bias, as in Keras
                second.requires_grad_(False)
                nn.init.zeros_(second)
                self.places += [_Place(kernel, _swap, _swap), _Place(recurrent, _swap, _swap), _Place(bias)]
            else:
                self.places += [_gates(kernel), _gates(recurrent), _Biases(bias, second)]
        return module

    def _residual(self, layer: Layer, shape: tuple[int, ...]):
        from torch import nn

        inner, shortcut = self.make(layer.inner, shape), self.make(layer.shortcut, shape)

        class Residual(nn.Module):
            def __init__(self):
                super().__init__()
                self.inner, self.shortcut = inner, shortcut

            def forward(self, x):
                return self.inner(x) + self.shortcut(x)

        return Residual()


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
        elif workload.layers[0].kind == "convolution":  # steps are the pixels of one row, for which its kernels are fastest
            self.x = self.x.permute(0, 2, 1)[:, :, None]
        builder = Builder()
        self.model = builder.make(workload.layers, workload.shape).to(memory_format=torch.channels_last)
        self.places = builder.places
        self.loss = {SPARSE: nn.CrossEntropyLoss, BINARY: nn.BCEWithLogitsLoss, MSE: nn.MSELoss}[workload.loss]()
        model, loss, labels = self.model, self.loss, workload.loss == SPARSE
        # Labels of all positions, as one axis.
        self.forward_loss = lambda x, y: loss(model(x).flatten(0, -2), y.flatten()) if labels else loss(model(x), y)

    def reset(self) -> None:
        torch = self.torch
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        with torch.no_grad():
            for place, weight in zip(self.places, self.workload.weights(), strict=True):
                place.load(weight)
        for parameter in parameters:
            parameter.grad = None
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

    def weights(self) -> list[np.ndarray]:
        return [place.read() for place in self.places]
