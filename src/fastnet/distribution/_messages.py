"""Gradients that are sent, as between machines: a bucket of them as soon as it is complete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._weights import aligned_zeros
from ._tree import Node, nodes_within, postfix

if TYPE_CHECKING:
    from ._data_parallel import DataParallel

__all__ = ["Messages", "find_buckets"]

#: What is sent by itself is at least so large: an exchange of less takes as long.
_LEAST = 1 << 20
#: There are at most so many.
_MOST = 8


def find_buckets(n: int, itemsize: int, offsets: Sequence[int], least: int) -> list[tuple[int, int]]:
    """Divides a slab into ranges of weights that are adjacent: in the order in which a backward pass completes their gradients.

    Parameters
    ----------
    n, itemsize : int
        Elements of the slab, and their bytes.
    offsets : sequence of int
        Where weights begin, which are in the order of the layers.
    least : int
        Bytes that the last range has at least, where there are several.

    Returns
    -------
    list of (int, int)
        Where each begins and ends.
    """
    size = max(_LEAST, -(-n * itemsize // _MOST))
    found, end = [], n
    for offset in sorted(offsets, reverse=True):
        if (end - offset) * itemsize >= size and offset * itemsize >= least:
            found.append((offset, end))
            end = offset
    return [*found, (0, end)]


class Messages:
    """Adds up the terms of a sum, of which each process is sent its sections: bucket by bucket.

    Parameters
    ----------
    distribution : DataParallel
    buckets : list of (int, int)
    sizes : list of list of int
        Of each bucket: how many elements each process has the sum of.
    own : list of slice
        Of each bucket: those of this process.
    terms : dict of Node to ndarray
        Those of this process: arrays as large as the slab.
    out : ndarray
        Where the sum is to be.
    states : sequence of slice
        What is complete at the end of a step only: the whole of it is sent to all then, and not with the buckets.

    Attributes
    ----------
    received : list of list
        Of each bucket: how to add up what is there after `end`, as `postfix` says.

    Notes
    -----
    All processes have agreed to come to `end`: a process that fails sends what it has. MPI goes on with what is under way only while
    it is called, which is what `progress` is for.
    """

    def __init__(
        self,
        distribution: DataParallel,
        buckets: Sequence[tuple[int, int]],
        sizes: Sequence[Sequence[int]],
        own: Sequence[slice],
        terms: dict[Node, np.ndarray],
        out: np.ndarray,
        states: Sequence[slice] = (),
    ) -> None:
        self._distribution, self._requests = distribution, distribution.MPI.Prequest
        self._sent = 0
        self._sums: list[list[tuple[np.ndarray, list[Any]]]] = [[] for _ in buckets]
        self._sends: list[list[Any]] = [[] for _ in buckets]
        self._receives: list[Any] = []
        self._active: list[Any] = []
        self._totals: dict[Node, np.ndarray] = {}
        self._out, self._states, self._own_terms = out, list(states), list(terms.values())
        if states:
            self._prepare_states(terms)
        self.received: list[list[Any]] = []
        self._plain: list[tuple[np.ndarray, np.ndarray, Sequence[int]]] = []
        if not distribution.reproducible:  # as MPI likes to add
            (term,) = terms.values()
            for (first, end), size, mine in zip(buckets, sizes, own):
                self._plain.append((term[first:end], out[mine], size))
                self.received.append([out[mine]])
            return
        for b, (first, _) in enumerate(buckets):
            starts = np.cumsum([first, *sizes[b]])
            self.received.append(self._prepare(b, starts, own[b], terms))

    def _prepare(self, bucket: int, starts: np.ndarray, own: slice, terms: dict[Node, np.ndarray]) -> list[Any]:
        """Makes the messages of a bucket; those of one process are added up as far as the tree allows."""
        distribution, known = self._distribution, {}
        comm, pieces = distribution.comm, distribution.pieces
        root: Node = (0, pieces)
        for process in range(distribution.size):
            for node in nodes_within(root, *distribution.pieces_of[process]):
                tag = bucket * pieces + node[0]
                if process != distribution.rank:
                    size = own.stop - own.start
                    known[node] = aligned_zeros(size, next(iter(terms.values())).dtype)[:size]
                    self._receives.append(comm.Recv_init(known[node], process, tag=tag))
                    continue
                total = self._total(node, terms)
                if node not in terms:
                    within = slice(starts[0], starts[-1])
                    self._sums[bucket].append((total[within], postfix(node, {n: term[within] for n, term in terms.items()})))
                known[node] = total[own]
                self._sends[bucket] += [
                    comm.Send_init(total[starts[to] : starts[to + 1]], to, tag=tag)
                    for to in range(distribution.size)
                    if to != process
                ]
        return postfix(root, known)

    def _prepare_states(self, terms: dict[Node, np.ndarray]) -> None:
        """Makes the message of what all send to all at the end: a row for each node that a process can add up."""
        distribution, dtype = self._distribution, self._out.dtype
        root: Node = (0, distribution.pieces)
        of_process = [nodes_within(root, *pieces) for pieces in distribution.pieces_of]
        nodes = [node for own in of_process for node in own]
        size = sum(state.stop - state.start for state in self._states)
        rows = np.zeros((len(nodes), size), dtype)
        known, packed = dict(zip(nodes, rows)), {node: np.zeros(size, dtype) for node in terms}
        self._packed, self._total_of_states = list(packed.values()), np.zeros(size, dtype)
        self._rows = [rows, ([len(own) * size for own in of_process], None)]
        self._sums_of_states = [(known[node], postfix(node, packed)) for node in of_process[distribution.rank]]
        self._order_of_states = postfix(root, known)

    def _total(self, node: Node, terms: dict[Node, np.ndarray]) -> np.ndarray:
        """An array for a node that this process sends."""
        if node in terms:
            return terms[node]
        if node not in self._totals:
            one = next(iter(terms.values()))
            self._totals[node] = aligned_zeros(len(one), one.dtype)
        return self._totals[node]

    def begin(self) -> None:
        """Before the first bucket: what others send may come from now on."""
        self._sent, self._active = 0, list(self._receives)
        for term in self._own_terms:
            for state in self._states:
                term[state] = 0
        self._requests.Startall(self._receives)

    def send(self, n: int) -> None:
        """The terms of the first n buckets are complete: those go that have not gone yet."""
        comm = self._distribution.comm
        for b in range(self._sent, n):
            if self._plain:
                self._active.append(comm.Ireduce_scatter(*self._plain[b]))
                continue
            for total, order in self._sums[b]:
                _core.sum_arrays(total, order)
            self._requests.Startall(self._sends[b])
            self._active += self._sends[b]
        self._sent = max(n, self._sent)

    def progress(self) -> None:
        """Has MPI go on."""
        self._distribution.MPI.Request.Testall(self._active)

    def end(self) -> None:
        """Sends what is left, and waits until all is there."""
        self.send(len(self.received))
        self._distribution.MPI.Request.Waitall(self._active)
        self._active = []
        if self._states:
            for term, packed in zip(self._own_terms, self._packed):
                np.concatenate([term[state] for state in self._states], out=packed)
            for total, order in self._sums_of_states:
                _core.sum_arrays(total, order)
            self._distribution.comm.Allgatherv(self._distribution.MPI.IN_PLACE, self._rows)

    def add_states(self, factor: float) -> bool:
        """After `end`: leaves the sums of `states`, times a factor, where the sum is to be; whether all are finite."""
        if not self._states:
            return True
        finite, at = _core.sum_arrays(self._total_of_states, self._order_of_states, factor), 0
        for state in self._states:
            self._out[state] = self._total_of_states[at : at + state.stop - state.start]
            at += state.stop - state.start
        return finite
