"""What a process says first in each exchange with the others, and the parts of a step that it makes by itself."""

from __future__ import annotations

from .. import _core

__all__ = [
    "CALL",
    "END",
    "EPOCH",
    "FAILED",
    "FETCHED",
    "FINE",
    "GRADIENT",
    "INTERRUPTED",
    "KIND",
    "KINDS",
    "LOOK",
    "PAUSE",
    "ROWS",
    "SAME",
    "SAYS",
    "STATUS",
    "STEP",
    "STOP",
    "UNEQUAL",
    "VALIDATION",
    "WATCH",
]

#: Of a piece: all but the step of the optimizer, which is that of the whole.
GRADIENT = _core.FORWARD | _core.LOSS | _core.BACKWARD | _core.STATES
#: The same, where metrics are to see the outputs.
FETCHED = GRADIENT | _core.FETCH

#: What a process says first in each exchange: how it goes, which exchange it takes it to be, what must be the same in all, whether
#: training is to stop (after a step as bits, see `PAUSE`), and in validation of how many rows a piece is.
STATUS, KIND, SAME, STOP, ROWS = range(5)
SAYS = 5
FINE, FAILED, INTERRUPTED = range(3)
STEP, EPOCH, END, VALIDATION, CALL = range(5)
UNEQUAL = {
    STEP: "the processes do not make the same step: their batches have {} and {} rows",
    EPOCH: "the processes have other weights, or other options of the next step as a learning rate, at the end of the epoch: what a "
    "callback changes of the model it must change in all of them",
}
#: Of a step: it is the last for now; somebody looks at all of the optimizer's arrays then, or may do so wherever it is the last.
PAUSE, LOOK, WATCH = 1, 2, 4
KINDS = ("a step", "the end of an epoch", "the end of fit", "the validation")
