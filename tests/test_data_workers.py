"""PyDataset's workers: threads that make batches at once, in the order of one."""

import threading

import numpy as np
import pytest
from networks import same_weights

import fastnet as fn

N_BATCHES = 12


class Batches(fn.data.PyDataset):
    """Whose items are asked for by several threads at once, where there is a barrier."""

    def __init__(self, barrier=None, broken=None, **options):
        super().__init__(**options)
        self.barrier, self.broken, self.asked, self.lock = barrier, broken, [], threading.Lock()

    def __len__(self):
        return N_BATCHES

    def __getitem__(self, i):
        with self.lock:
            self.asked.append(i)
        if self.barrier is not None:
            self.barrier.wait()  # a BrokenBarrierError after its timeout where fewer threads come
        if i == self.broken:
            raise KeyError("no such batch")
        x = np.random.default_rng(i).normal(size=(8, 3))
        return x, x.sum(axis=1)


def trained(data, **options):
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(4, "tanh"), fn.layers.Dense(1)], seed=3)
    model.compile("adam", "mse")
    model.fit(data, verbose=0, **options)
    return model


def test_workers_make_batches_at_once_in_the_same_order():
    one = trained(Batches(), epochs=3)
    for options in ({"workers": 3}, {"workers": 3, "max_queue_size": 4, "use_multiprocessing": True}):
        assert same_weights(one, trained(Batches(threading.Barrier(3, timeout=20), **options), epochs=3))


def test_no_more_is_asked_for_than_the_queue_holds():
    data = Batches(workers=2, max_queue_size=3)
    source = fn.data.dataset.batch_source(data)
    batches = source.batches(0, None, 0, 0)
    next(batches)
    batches.close()
    assert sorted(data.asked) == list(range(len(data.asked))) and 1 <= len(data.asked) <= 4


@pytest.mark.parametrize("steps", [None, 5])
def test_steps_and_errors_are_as_with_one(steps):
    assert same_weights(
        trained(Batches(), epochs=3, steps_per_epoch=steps), trained(Batches(workers=2), epochs=3, steps_per_epoch=steps)
    )
    with pytest.raises(KeyError, match="no such batch"):
        trained(Batches(workers=2, broken=2), steps_per_epoch=steps, shuffle=False)
