"""Sums of the gradients of the pieces of a batch, in all processes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .._weights import aligned_zeros
from ._tree import Node, add_up, halves, nodes_within, part

if TYPE_CHECKING:
    from ._data_parallel import DataParallel

__all__ = ["Reduction"]

#: Up to this size all processes are sent the whole of each sum: fewer messages matter more than fewer bytes.
_SMALL = 1 << 16


class Reduction:
    """Adds up the gradients of the pieces of a batch, in an order fixed by their numbers.

    Parameters
    ----------
    distribution : DataParallel
    gradients : ndarray
        Where a piece leaves its gradient, and where the sum is to be afterwards.

    Notes
    -----
    Each process adds up the nodes of the tree of pieces (`_tree`) that lie within its own. Of large gradients each process is sent its
    section of all nodes, adds these up, and sends the sum to all (a reduce-scatter and an all-gather); of small ones all are sent all.
    No arithmetic is left to MPI, whose sums depend on the number of processes and on its algorithm.
    """

    def __init__(self, distribution: DataParallel, gradients: np.ndarray) -> None:
        self._comm, self._MPI = distribution.comm, distribution.MPI
        self.gradients, self._root = gradients, (0, distribution.pieces)
        size, rank, n = distribution.size, distribution.rank, len(gradients)
        self._reproducible = distribution.reproducible
        of_process = [nodes_within(self._root, *part(distribution.pieces, size, i)) for i in range(size)]
        self._own = of_process[rank]
        self._depth = [np.empty(0, gradients.dtype)] * 32  # room for sums within a node, made when first needed
        self._requests: list[Any] = []
        self._gather: Any = None  # of small gradients: what is sent to all, where there are several processes
        if not self._reproducible:
            return
        if gradients.nbytes <= _SMALL or size == 1:
            self._prepare_whole(of_process, n)
        else:
            self._prepare_sections(of_process, rank, size, n)

    def _prepare_whole(self, of_process: list[list[Node]], n: int) -> None:
        """All processes are sent the whole of all nodes."""
        sums = aligned_zeros(sum(map(len, of_process)) * n, self.gradients.dtype).reshape(-1, n)
        nodes = [node for own in of_process for node in own]
        self._known = dict(zip(nodes, sums))
        if len(of_process) > 1:
            counts = [len(own) * n for own in of_process]
            self._gather = [sums, (counts, None)]
        self._section, self._counts = slice(0, n), None

    def _prepare_sections(self, of_process: list[list[Node]], rank: int, size: int, n: int) -> None:
        """Each process is sent its section of all nodes."""
        dtype, comm = self.gradients.dtype, self._comm
        line = 64 // dtype.itemsize  # sections begin with a line of the cache
        bounds = [min(n, -(-part(n, size, i)[0] // line) * line) for i in range(size)] + [n]
        self._section = slice(bounds[rank], bounds[rank + 1])
        self._counts = [end - first for first, end in pairwise(bounds)]
        self._known, self._sections = {}, {}
        for i, nodes in enumerate(of_process):
            for node in nodes:
                if i == rank:
                    self._known[node] = aligned_zeros(n, dtype)
                    for to in range(size):
                        if to != rank:
                            piece = self._known[node][bounds[to] : bounds[to + 1]]
                            self._requests.append(comm.Send_init(piece, to, tag=node[0]))
                else:
                    self._sections[node] = aligned_zeros(self._counts[rank], dtype)
                    self._requests.append(comm.Recv_init(self._sections[node], i, tag=node[0]))

    def compute(self, compute: Callable[[int], None]) -> None:
        """Has the pieces of this process computed: what `exchange` sends."""
        for node in self._own:
            target = self._known[node] if self._reproducible else self.gradients
            self._add_within(node, target, compute, 0)

    def _add_within(self, node: Node, target: np.ndarray, compute: Callable[[int], None], depth: int) -> None:
        """The sum of a node whose pieces this process has."""
        if node[1] - node[0] == 1:
            compute(node[0])
            if target is not self.gradients:
                np.copyto(target, self.gradients)
            return
        left, right = halves(node)
        self._add_within(left, target, compute, depth)
        if right[1] - right[0] == 1:
            compute(right[0])
            target += self.gradients
            return
        if not len(self._depth[depth]):
            self._depth[depth] = np.empty_like(self.gradients)
        self._add_within(right, self._depth[depth], compute, depth + 1)
        target += self._depth[depth]

    def exchange(self, scale: float) -> None:
        """Leaves the sum of all pieces in `gradients`, times a factor; all processes call it together."""
        MPI, comm = self._MPI, self._comm
        if not self._reproducible:
            comm.Allreduce(MPI.IN_PLACE, self.gradients)
            np.multiply(self.gradients, scale, out=self.gradients)
            return
        if self._counts is None:
            if self._gather is not None:
                comm.Allgatherv(MPI.IN_PLACE, self._gather)
            total = add_up(self._root, self._known, _add)
        else:
            MPI.Prequest.Startall(self._requests)
            MPI.Prequest.Waitall(self._requests)
            known = {**{node: array[self._section] for node, array in self._known.items()}, **self._sections}
            total = add_up(self._root, known, _add)
        np.multiply(total, scale, out=self.gradients[self._section])
        if self._counts is not None:
            comm.Allgatherv(MPI.IN_PLACE, [self.gradients, (self._counts, None)])


def _add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a += b
    return a
