# Included by _core.pyx: what has been done, counted by the run that does it.
#
# Python calls the handlers of signals between two of its instructions, and whatever they raise ends what comes after. A run
# therefore counts its steps before it goes back to Python: there is no moment at which a step has been made and not counted.


@cython.final
cdef class Counter:
    """Batches that an optimizer has seen.

    Attributes
    ----------
    batches : int
    turns : tuple of (int, int)
        From these on predictions are made with other weights: passing one of them is a change, see `note_change`; 0: none.
    """
    cdef int64_t seen
    cdef int64_t first_turn, second_turn

    @property
    def batches(self):
        return self.seen

    @batches.setter
    def batches(self, int64_t value):
        self.put(value)

    @property
    def turns(self):
        return self.first_turn, self.second_turn

    @turns.setter
    def turns(self, pair):
        self.first_turn, self.second_turn = pair

    cdef void put(self, int64_t value) noexcept:
        global _version
        if (self.seen < self.first_turn) != (value < self.first_turn) or (self.seen < self.second_turn) != (value < self.second_turn):
            _version += 1
        self.seen = value

    def count(self, int64_t batches, Position position=None, int64_t row=0, double squared_norm=0):
        """Counts batches of which Python has made the steps, and how far an epoch has come by them."""
        self.put(self.seen + batches)
        if position is not None:
            position.row, position.squared_norm = row, squared_norm


cdef class Position:
    """How far an epoch has come.

    Attributes
    ----------
    row : int
        Rows done.
    squared_norm : float
        Sum of the squared norms of the gradients.
    epochs : int
        Epochs that were over in the last run when it went on with another.
    totals, sums : ndarray
        Sums of the losses and accumulators of the metrics so far.
    """
    cdef public int64_t row, epochs
    cdef public double squared_norm
    cdef public object totals, sums


def append_row(list lists, list values):
    """Appends to each of some lists one of as many values: to all of them or, where there is no memory, to none."""
    cdef int done = 0
    if len(lists) != len(values):
        raise ValueError(f"got {len(values)} values for {len(lists)} lists")
    try:
        for one, value in zip(lists, values):
            (<list?>one).append(value)
            done += 1
    except BaseException:
        for one in lists[:done]:
            (<list>one).pop()
        raise
