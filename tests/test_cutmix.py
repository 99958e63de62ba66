"""CutMix: images of a batch with a rectangle of another, targets by the area of it, the same for all threads."""

import numpy as np
import pytest

import fastnet as fn
from fastnet import _core

RANDOM = np.random.default_rng(0)
HEIGHT, WIDTH = 8, 12


def mixed_batches(*, mixup=0.0, cutmix=1.0, rows=20, batch_size=5, n_threads=1, seed=7, order=None, height=HEIGHT, width=WIDTH):
    """What a plan that computes nothing hands back of images, each of one number, and of numbers beside them."""
    images = np.ones((rows, height, width, 2)) * np.arange(rows).reshape(-1, 1, 1, 1)
    numbers = np.arange(rows, dtype=float).reshape(rows, 1)
    plan = _core.Plan(
        dtype="float64",
        max_rows=batch_size,
        training=True,
        inputs=[((height, width, 2), None, None), ((1,), None, None)],
        nodes=[
            ("reshape", "a", [0], [], {"rank": 3, "size_0": height, "size_1": width, "size_2": 2}),
            ("reshape", "b", [1], [], {"rank": 1}),
        ],
        parameters=[],
        outputs=[(2, None, None, 1.0, "a"), (3, None, None, 1.0, "b")],
        seed=seed,
        n_threads=n_threads,
    )
    outputs = [np.empty_like(images), np.empty_like(numbers)]
    plan.run(
        _core.FORWARD | _core.FETCH,
        n_rows=rows,
        batch_size=batch_size,
        inputs=[images, numbers],
        outputs=outputs,
        mixup=mixup,
        cutmix=cutmix,
        order=order,
    )
    return (np.arange(rows) if order is None else order), *outputs


@pytest.mark.parametrize("order", [None, RANDOM.permutation(20)])
def test_each_image_has_a_rectangle_of_another(order):
    own, images, numbers = mixed_batches(order=order)
    sides = []
    for first in range(0, 20, 5):
        mine, batch = own[first : first + 5], images[first : first + 5]
        foreign = batch != mine.reshape(-1, 1, 1, 1)
        assert (foreign == foreign[0]).all() and (foreign[..., 0] == foreign[..., 1]).all()  # the same for all
        rows, columns = foreign[0, :, :, 0].any(axis=1), foreign[0, :, :, 0].any(axis=0)
        assert foreign[0, :, :, 0].sum() == rows.sum() * columns.sum()
        assert all((np.flatnonzero(np.diff(axis.astype(int))).size <= 2) for axis in (rows, columns))
        partners = {tuple(mine).index(batch[i][foreign[i]][0]) - i for i in range(5) if foreign.any()}
        assert len({partner % 5 for partner in partners}) <= 1 and 0 not in partners
        sides.append((rows.sum(), columns.sum()))
        share = (numbers[first, 0] - mine[list(partners)[0] % 5]) / (mine[0] - mine[list(partners)[0] % 5])
        assert abs(np.sqrt(1 - share) * HEIGHT - rows.sum()) < 1 and abs(np.sqrt(1 - share) * WIDTH - columns.sum()) < 1
    assert len(set(sides)) > 1


def test_the_area_is_that_of_the_targets():
    """On average over many batches; sides are rounded to pixels at random."""
    _, images, numbers = mixed_batches(rows=4000, batch_size=2, height=5, width=4)
    own = np.arange(4000)
    area = (images != own.reshape(-1, 1, 1, 1)).mean(axis=(1, 2, 3))[::2]
    part = np.abs(numbers[:, 0] - own)[::2]
    assert np.mean(area - part) == pytest.approx(0, abs=0.01) and np.corrcoef(area, part)[0, 1] > 0.9
    assert part.mean() == pytest.approx(0.5, abs=0.02)


def test_bits_do_not_depend_on_threads():
    for options in ({}, {"mixup": 0.5}):
        _, *expected = mixed_batches(**options)
        for n_threads in (2, 3):
            _, *found = mixed_batches(n_threads=n_threads, **options)
            assert all(np.array_equal(a, b) for a, b in zip(found, expected))
        assert not np.array_equal(mixed_batches(seed=8, **options)[1], expected[0])


def test_with_mixup_either_has_half_of_the_batches():
    own, images, _ = mixed_batches(mixup=1.0, rows=400, batch_size=2)
    whole = (images == np.round(images)).all(axis=(1, 2, 3))[::2]
    assert 0.35 < whole.mean() < 0.65


def test_a_batch_of_one_image_stays_as_it_is():
    own, images, numbers = mixed_batches(batch_size=1)
    assert (images == own.reshape(-1, 1, 1, 1)).all()
    np.testing.assert_allclose(numbers[:, 0], own, rtol=1e-15)


def classifier(loss="categorical", shape=(6, 5, 1), **options):
    model = fn.Sequential([fn.Input(shape), fn.layers.Flatten(), fn.layers.Dense(8, "relu"), fn.layers.Dense(2)], seed=3)
    loss = {"categorical": fn.losses.CategoricalCrossentropy, "sparse": fn.losses.SparseCategoricalCrossentropy}[loss]
    model.compile("adam", loss(from_logits=True), **options)
    return model


def test_training():
    """Better than without any, never with the bits of another number of threads; mean of the pixels stays a target."""
    x, y = RANDOM.normal(size=(60, 6, 5, 1)), np.eye(2)[RANDOM.integers(0, 2, 60)]
    results = []
    for n_threads in (1, 2, 3):
        model = classifier(n_threads=n_threads)
        model.fit(x, y, batch_size=16, epochs=3, cutmix=1.0, mixup=0.2, sample_weight=RANDOM.random(60) * 0 + 0.5, verbose=0)
        results.append(np.concatenate([weight.ravel() for weight in model.get_weights()]))
    assert np.array_equal(results[0], results[1]) and np.array_equal(results[0], results[2])
    plain = classifier()
    plain.fit(x, y, batch_size=16, epochs=3, verbose=0)
    assert not np.array_equal(results[0], np.concatenate([weight.ravel() for weight in plain.get_weights()]))


def test_targets_follow_the_images():
    """The mean of an image that is all one number is mixed as its target: a model that knows it keeps its loss small."""
    x = np.ones((200, 16, 16, 1)) * RANDOM.normal(size=(200, 1, 1, 1))
    y = x[:, 0, 0]
    model = fn.Sequential([fn.Input((16, 16, 1)), fn.layers.GlobalAveragePooling2D()], seed=0, dtype="float64")
    model.compile(fn.optimizers.SGD(0.0), "mse")
    loss = model.fit(x, y, batch_size=10, epochs=5, cutmix=1.0, verbose=0).history["loss"]
    assert max(loss) < 0.01 and min(loss) > 0


def test_bad_arguments():
    x, labels = RANDOM.normal(size=(8, 6, 5, 1)), RANDOM.integers(0, 2, 8)
    with pytest.raises(ValueError, match="cutmix needs targets that can be mixed"):
        classifier("sparse").fit(x, labels, cutmix=0.2, verbose=0)
    for bad in (-0.1, 5, "much", True):
        with pytest.raises(ValueError, match="cutmix must be a number from 0 to 4"):
            classifier().fit(x, np.eye(2)[labels], cutmix=bad, verbose=0)
    with pytest.raises(ValueError, match=r"cutmix needs images .*\(None, 30\)"):
        classifier(shape=(30,)).fit(x.reshape(8, 30), np.eye(2)[labels], cutmix=1.0, verbose=0)
