"""What a peer does: train a workload, whole epochs at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from .workloads import Workload

__all__ = ["BasePeer", "Unable"]


class Unable(Exception):
    """This peer cannot train this workload."""


class BasePeer(ABC):
    """A network of a workload in one library, with its data.

    A subclass trains in the way that is fastest there and that a user would write. An epoch visits all rows in
    batches, and computes the loss, the gradients and the update of each; its time includes the shuffling.

    Parameters
    ----------
    workload : Workload
    threads : int
        How many to use; also set in the environment before the library is imported.
    """

    packages: tuple[str, ...] = ("numpy",)
    """Names of the distributions whose versions matter."""

    def __init__(self, workload: Workload, threads: int) -> None:
        self.workload = workload
        self.threads = threads
        self.x, self.y = workload.data()
        self.rng = np.random.default_rng(3)

    @abstractmethod
    def reset(self) -> None:
        """Returns to the initial weights and a new optimizer. Called before the first `train`."""

    @abstractmethod
    def train(self, epochs: int, shuffle: bool) -> float:
        """Trains and returns, when all is done, the mean loss of the last epoch as it was during training.

        Without shuffling the rows are visited as they lie.
        """

    @abstractmethod
    def weights(self) -> list[np.ndarray]:
        """Kernels (in, out) and biases, as in `Workload.weights`."""

    def order(self, shuffle: bool) -> np.ndarray:
        """The rows of an epoch, for libraries that leave this to their user."""
        rows = self.workload.rows
        return self.rng.permutation(rows) if shuffle else np.arange(rows)
