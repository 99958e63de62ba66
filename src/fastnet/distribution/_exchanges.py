"""What layers ask of all pieces of a batch within a step, as the statistics of a synchronized batch normalization."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._tree import part

if TYPE_CHECKING:
    from .. import _core
    from ._data_parallel import DataParallel

__all__ = ["Exchanges", "is_synchronized"]


def is_synchronized(model: Any) -> bool:
    """Whether a layer of the model wants to look at whole batches."""
    return any(operation.attributes.get("synchronized") for operation in model._graph.operations)


class Exchanges:
    """Runs the plans of the pieces of this process part by part, and has all processes exchange numbers after each.

    Parameters
    ----------
    distribution : DataParallel
    widths : sequence of int
        How many numbers a piece says in each exchange of a step: `exchanges` of the plans, which are the same in all processes.

    Attributes
    ----------
    checksum : int
        Of the widths, of 32 bits.

    Notes
    -----
    Each process is sent what all pieces say, and layers combine it in the order of the pieces' numbers: no arithmetic is left to MPI.
    """

    def __init__(self, distribution: DataParallel, widths: Sequence[int]) -> None:
        self._distribution, self.widths = distribution, list(widths)
        self.checksum = zlib.crc32(np.array(self.widths, np.int64))
        pieces, ranks = distribution.pieces, distribution.pieces_of
        self._numbers = np.zeros(pieces * sum(self.widths))
        self._messages = []
        at = 0
        for width in self.widths:
            counts = [width * (end - first) for first, end in ranks]
            self._messages.append([self._numbers[at : at + pieces * width], (counts, None)])
            at += pieces * width

    @classmethod
    def of(cls, known: Exchanges | None, distribution: DataParallel, widths: Sequence[int]) -> Exchanges:
        """Those that are known, if they are of these widths."""
        return known if known is not None and known.widths == list(widths) else cls(distribution, widths)

    def run(
        self,
        plans: Mapping[int, tuple[_core.Plan, np.ndarray]],
        n: int,
        phases: int,
        arguments: Callable[[int], Mapping[str, Any]],
        finish: Callable[[np.ndarray, int], None],
    ) -> None:
        """Makes a step of the pieces of this process; all processes come to this together.

        Parameters
        ----------
        plans : dict of int to (Plan, ndarray)
            By the number of each piece; with the array in which the plan leaves the gradients, which is zeroed where it has no rows.
        n : int
            Rows of the batch.
        phases : int
        arguments : callable
            What `Plan.run` is to be told of a piece.
        finish : callable
            Called with the gradients of each piece and its rows, when its plan has been run to its end.

        Raises
        ------
        Exception
            What went wrong in this process, when the others have had all exchanges: they are to be told, and what they have computed is
            of no use.
        """
        distribution, failed = self._distribution, None
        rows = {piece: len(range(*part(n, distribution.pieces, piece))) for piece in plans}
        self._numbers.fill(0)
        for number in range(len(self.widths) + 1):
            try:
                for piece, (plan, gradients) in plans.items() if failed is None else ():
                    if rows[piece]:
                        plan.run(phases, part=number, replica=piece, exchange=self._numbers, **arguments(piece))
                    else:
                        gradients.fill(0)
                    if rows[piece] and number == len(self.widths):
                        finish(gradients, rows[piece])
            except BaseException as error:
                failed = error
            if number < len(self.widths) and distribution.size > 1:
                distribution.comm.Allgatherv(distribution.MPI.IN_PLACE, self._messages[number])
        if failed is not None:
            raise failed
