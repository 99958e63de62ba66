"""Sums of the gradients of the pieces of a batch, and of arrays of which each process has a part the whole."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._weights import aligned_zeros
from ._messages import Messages, find_buckets
from ._tree import Node, halves, nodes_within, part, postfix

if TYPE_CHECKING:
    from ._data_parallel import DataParallel

__all__ = ["Reduction"]

#: Up to this size all processes add up the whole: fewer messages matter more than fewer bytes.
_SMALL = 1 << 17
#: A process with at most so many pieces has memory for the gradient of each, else for few sums of these.
_APART = 4


class Reduction:
    """Adds up the gradients of the pieces of a batch, in an order fixed by their numbers.

    Parameters
    ----------
    distribution : DataParallel
    gradients : ndarray
        Where the sum is to be afterwards.
    together : bool
        Whether the pieces of a node are computed in one go, and so added up.
    apart : bool
        Whether the gradient of each piece has memory of its own, however many there are, as pieces are computed at the same time.
    offsets : sequence of int
        Where weights begin, whose gradients are complete before those of others, if `compute` tells of that.
    states : sequence of slice
        Elements that are complete at the end only.

    Attributes
    ----------
    bounds : list of list of int
        For each bucket of the gradients, where its sections begin and end, as many as there are pieces. Each process has adjacent ones.
    own : list of slice
        For each bucket the elements of the sections of this process, of which it gets the sum; all of them, where gradients are `small`.
    small : bool
    overlaps : bool
        Whether buckets are sent while others are computed. All processes are to agree to make a step before it begins.

    Notes
    -----
    Terms of the sum are nodes of the tree of pieces (`_tree`). Processes of one machine read each other's terms, in memory that they
    share. Otherwise each is sent its sections of them; small ones are sent to all. No arithmetic is left to MPI where results are to
    be reproducible, as its sums depend on the number of processes and on its algorithm.

    A process has a section of each bucket, so that all have as much to send and to receive at any time.
    """

    def __init__(
        self,
        distribution: DataParallel,
        gradients: np.ndarray,
        together: bool = False,
        apart: bool = False,
        offsets: Sequence[int] = (),
        states: Sequence[slice] = (),
    ) -> None:
        self._distribution, self.gradients = distribution, gradients
        size, rank, pieces, n = distribution.size, distribution.rank, distribution.pieces, len(gradients)
        self._root: Node = (0, pieces)
        self.small = gradients.nbytes <= _SMALL
        line = _core.ALIGNMENT // gradients.itemsize
        self._buckets = find_buckets(n, gradients.itemsize, offsets, _SMALL)
        self.bounds = [_divide(*bucket, pieces, line) for bucket in self._buckets]
        ranks = distribution.pieces_of
        self._sizes = [[bounds[end] - bounds[first] for first, end in ranks] for bounds in self.bounds]
        first, end = ranks[rank]
        self.sections = range(0) if self.small else range(first, end)
        self.own = [slice(0, n)] if self.small else [slice(bounds[first], bounds[end]) for bounds in self.bounds]
        self._together = together
        few = max(last - begin for begin, last in ranks) <= _APART
        self._apart = apart or (not self.small and not together and few)
        self._of_process = [[(i, i + 1) for i in range(*of)] if self._apart else nodes_within(self._root, *of) for of in ranks]
        self._own = self._of_process[rank]
        self._piece = gradients  # where pieces are computed that are added to others
        self._depth = [np.empty(0, gradients.dtype)] * 32  # room for sums within a node, made when first needed
        self._turn = 0
        self._fetched = False  # whether some may still read what others have put there
        self._messages: Messages | None = None
        self._gather: Any = None
        self._staged: list[list[np.ndarray]] = []  # of each process and bucket, in the memory that is shared
        self._room = distribution._memory.take(self._room_size())
        if self._room or size == 1:
            self._prepare_shared()
        elif self.small:
            self._prepare_whole()
        else:
            self._prepare_sections(states if len(self._buckets) > 1 else ())
        self.overlaps = self._messages is not None and len(self._buckets) > 1

    def is_current(self) -> bool:
        """Whether the memory that it shares with others is still there."""
        return self._distribution._memory.arrays is self._room

    def _room_size(self) -> int:
        n = len(self.gradients)
        most = max(map(len, self._of_process))
        return self.gradients.itemsize * (2 * most * n if self.small else most * n + max(map(sum, zip(*self._sizes))))

    # ---- terms ----------------------------------------------------------------------------------------

    def _prepare_shared(self) -> None:
        """All read the terms of all. Small ones have two places in turn, so that nobody waits for others to have read them."""
        n, dtype = len(self.gradients), self.gradients.dtype
        turns = 2 if self.small and self._room else 1
        nodes: list[dict[Node, np.ndarray]] = [{} for _ in range(turns)]
        for rank, own in enumerate(self._of_process):
            if self._room:
                memory = self._room[rank].view(dtype)
            else:
                memory = self.gradients if self._together else aligned_zeros(turns * len(own) * n, dtype)
            for turn in range(turns):
                for i, node in enumerate(own):
                    at = (turn * len(own) + i) * n
                    nodes[turn][node] = memory[at : at + n]
            if self._room and not self.small:
                ends = itertools.accumulate((sizes[rank] for sizes in self._sizes), initial=len(own) * n)
                self._staged.append([memory[at:end] for at, end in itertools.pairwise(ends)])
        self._targets = [[known[node] for node in self._own] for known in nodes]
        self._terms = [
            [postfix(self._root, {node: array[own] for node, array in known.items()}) for own in self.own] for known in nodes
        ]

    def _prepare_whole(self) -> None:
        """All are sent the whole of all terms."""
        n = len(self.gradients)
        sums = aligned_zeros(sum(map(len, self._of_process)) * n, self.gradients.dtype).reshape(-1, n)
        known = dict(zip([node for own in self._of_process for node in own], sums))
        self._gather = [sums, ([len(own) * n for own in self._of_process], None)]
        self._targets, self._terms = [[known[node] for node in self._own]], [[postfix(self._root, known)]]

    def _prepare_sections(self, states: Sequence[slice]) -> None:
        """Each is sent its sections of all terms."""
        terms = {node: aligned_zeros(len(self.gradients), self.gradients.dtype) for node in self._own}
        self._messages = Messages(self._distribution, self._buckets, self._sizes, self.own, terms, self.gradients, states)
        self._targets, self._terms = [list(terms.values())], [self._messages.received]

    # ---- a step ---------------------------------------------------------------------------------------

    def restart(self) -> None:
        """Where a step or another exchange has failed, which all processes know, though some have begun a step that others have not."""
        self._turn = 0

    def is_disturbed(self) -> bool:
        """Whether the memory was used for another model since: `settle` is to follow when all have left that one's last step."""
        return bool(self._room) and self._distribution._memory.user is not self

    def settle(self) -> None:
        """Clears what another model has left between the weights of this one, which is no number maybe."""
        if self.is_disturbed():
            for target in itertools.chain(*self._targets):
                target.fill(0)
            self._distribution._memory.user = self

    def begin(self) -> dict[int, np.ndarray]:
        """A step: arrays for the gradients of the pieces of this process, by the number of the first one in each, till `end`."""
        self._turn = (self._turn + 1) % len(self._targets)
        return {node[0]: target for node, target in zip(self._own, self._targets[self._turn])}

    def end(self) -> None:
        """All gradients are there: all processes come to exchange."""
        self._distribution._memory.sync()

    def compute(self, compute: Callable[[Node, np.ndarray], bool]) -> None:
        """Has the pieces of this process computed: all come to exchange then.

        compute: leaves the sum of the gradients of the pieces of a node in an array; False, and nothing is done, where it is to be asked
        for each by itself. In the array for which there are `cuts` it may `send` what is complete.
        """
        self.begin()
        if self.overlaps:
            self._messages.begin()
        try:
            for node, target in zip(self._own, self._targets[self._turn]):
                if (node[1] - node[0] > 1 and not self._together) or not compute(node, target):
                    self._add_within(node, target, compute, 0)
        finally:
            if self.overlaps:  # others wait for it, whatever has become of this step
                self._messages.end()
        self.end()

    def cuts(self, gradients: np.ndarray) -> tuple[int, ...]:
        """Where buckets begin that can be sent while the gradients of others are computed in an array: of the last piece."""
        last = self.overlaps and gradients is self._targets[self._turn][-1]
        return tuple([first for first, _ in self._buckets[:-1]]) if last else ()

    def send(self, n: int) -> None:
        """The gradients after the first n `cuts` are complete."""
        self._messages.send(n)
        self._messages.progress()

    def piece(self, target: np.ndarray) -> np.ndarray:
        """Where pieces are computed one by one whose sum is to be in an array."""
        if np.may_share_memory(target, self._piece):
            self._piece = aligned_zeros(len(target), target.dtype)
        return self._piece

    def _add_within(self, node: Node, target: np.ndarray, compute: Callable[[Node, np.ndarray], bool], depth: int) -> None:
        """The sum of a node whose pieces this process has; each is computed in the same place."""
        if node[1] - node[0] == 1:
            compute(node, self.piece(target))
            np.copyto(target, self._piece)
            return
        left, right = halves(node)
        self._add_within(left, target, compute, depth)
        if right[1] - right[0] == 1:
            compute(right, self.piece(target))
            target += self._piece
            return
        if not len(self._depth[depth]):
            self._depth[depth] = np.empty_like(self.gradients)
        self._add_within(right, self._depth[depth], compute, depth + 1)
        target += self._depth[depth]

    def add_up(self, factor: float) -> bool:
        """After an exchange: leaves its part of the sum of all pieces in `gradients`, times a factor; whether all of it is finite."""
        distribution = self._distribution
        self._fetched = False
        distribution._memory.sync()
        if self._gather is not None:
            distribution.comm.Allgatherv(distribution.MPI.IN_PLACE, self._gather)
        elif self._messages is not None and not self.overlaps:
            self._messages.begin()
            self._messages.end()
        found = [_core.sum_arrays(self.gradients[own], terms, factor) for own, terms in zip(self.own, self._terms[self._turn])]
        if self._messages is not None:
            found.append(self._messages.add_states(factor))
        finite = all(found)
        if not self.small and distribution.size > 1:
            least = np.array([finite], np.int32)
            distribution.comm.Allreduce(distribution.MPI.IN_PLACE, least, distribution.MPI.MIN)
            finite = bool(least[0])
        return finite

    def share(self, array: np.ndarray) -> None:
        """Makes an array whole of which each process has the elements `own`; all come from an exchange and have left the last one."""
        distribution = self._distribution
        if self.small or distribution.size == 1:
            return
        self.begin_staging()
        for bucket, own in enumerate(self.own):
            self.stage(array, bucket, own)
        if self._staged:
            distribution._memory.sync()
            distribution.comm.Barrier()
        self.fetch(array)

    def begin_staging(self) -> None:
        """Before `stage`: waits until all have what was put there since the last exchange."""
        if self._fetched:
            self._distribution.comm.Barrier()
            self._fetched = False

    def stage(self, array: np.ndarray, bucket: int, part: slice) -> None:
        """Puts a part of an array that lies within `own` of a bucket where the others read it, if they do."""
        if self._staged:
            start = self.own[bucket].start
            np.copyto(self._staged[self._distribution.rank][bucket][part.start - start : part.stop - start], array[part])

    def fetch(self, array: np.ndarray) -> None:
        """Makes an array whole of which each process has put its elements `own` there; all come from an exchange."""
        distribution = self._distribution
        if self.small or distribution.size == 1:
            return
        if not self._staged:
            for (first, end), sizes in zip(self._buckets, self._sizes):
                distribution.comm.Allgatherv(distribution.MPI.IN_PLACE, [array[first:end], (sizes, None)])
            return
        self._fetched = True
        distribution._memory.sync()
        for bucket, (begin, _) in enumerate(self._buckets):
            for rank, staged in enumerate(self._staged):
                if rank != distribution.rank:
                    np.copyto(array[begin : begin + len(staged[bucket])], staged[bucket])
                begin += len(staged[bucket])


def _divide(first: int, end: int, pieces: int, line: int) -> list[int]:
    """Where the sections of a bucket begin and end, which begin with a line of the cache, as the bucket does."""
    return [first + min(end - first, -(-part(end - first, pieces, i)[0] // line) * line) for i in range(pieces)] + [end]
