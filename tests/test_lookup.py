"""StringLookup, IntegerLookup, Hashing and HashedCrossing: on arrays. Expected values are those that the documentation of Keras 3.15 shows,
or a loop in plain Python."""

import collections
import json
import math

import numpy as np
import pandas as pd
import pytest

import fastnet as fn

layers = fn.layers
ABCD = ["a", "b", "c", "d"]
DATA = [["a", "c", "d", "d"], ["d", "z", "b", "z"]]
NUMBERS = [12, 36, 1138, 42]
RANDOM = np.random.default_rng(0)
WORDS = RANDOM.choice(["x", "yy", "ü", "zebra", "", "Yy", "long word"], (50, 3))


@pytest.mark.parametrize(("layer", "data", "expected"), [
    (layers.StringLookup(vocabulary=ABCD), [["a", "c", "d"], ["d", "z", "b"]], [[1, 3, 4], [4, 0, 2]]),
    (layers.StringLookup(vocabulary=ABCD, num_oov_indices=2), [["a", "c", "d"], ["m", "z", "b"]], [[2, 4, 5], [0, 1, 3]]),
    (layers.StringLookup(vocabulary=ABCD, output_mode="one_hot"), ["a", "b", "c", "d", "z"], np.eye(5)[[1, 2, 3, 4, 0]]),
    (layers.StringLookup(vocabulary=ABCD, output_mode="multi_hot"), DATA, [[0, 1, 0, 1, 1], [1, 0, 1, 0, 1]]),
    (layers.StringLookup(vocabulary=ABCD, output_mode="count"), DATA, [[0, 1, 0, 1, 2], [2, 0, 1, 0, 1]]),
    (layers.StringLookup(vocabulary=["[UNK]", *ABCD], idf_weights=[0.9, 0.25, 0.75, 0.6, 0.4], output_mode="tf_idf"), DATA,
     [[0, 0.25, 0, 0.6, 0.8], [1.8, 0, 0.75, 0, 0.4]]),
    (layers.StringLookup(vocabulary=ABCD, idf_weights=[0.25, 0.75, 0.6, 0.4], output_mode="tf_idf"), DATA,
     [[0, 0.25, 0, 0.6, 0.8], [1, 0, 0.75, 0, 0.4]]),
    (layers.StringLookup(vocabulary=ABCD, invert=True), [[1, 3, 4], [4, 0, 2]], [["a", "c", "d"], ["d", "[UNK]", "b"]]),
    (layers.IntegerLookup(vocabulary=NUMBERS), [[12, 1138, 42], [42, 1000, 36]], [[1, 3, 4], [4, 0, 2]]),
    (layers.IntegerLookup(vocabulary=NUMBERS, num_oov_indices=2), [[12, 1138, 42], [37, 1000, 36]], [[2, 4, 5], [1, 0, 3]]),
    (layers.IntegerLookup(vocabulary=NUMBERS, output_mode="one_hot"), [12, 36, 1138, 42, 7], np.eye(5)[[1, 2, 3, 4, 0]]),
    (layers.IntegerLookup(vocabulary=NUMBERS, output_mode="multi_hot"), [[12, 1138, 42, 42], [42, 7, 36, 7]],
     [[0, 1, 0, 1, 1], [1, 0, 1, 0, 1]]),
    (layers.IntegerLookup(vocabulary=[-1, *NUMBERS], idf_weights=[0.9, 0.25, 0.75, 0.6, 0.4], output_mode="tf_idf"),
     [[12, 1138, 42, 42], [42, 7, 36, 7]], [[0, 0.25, 0, 0.6, 0.8], [1.8, 0, 0.75, 0, 0.4]]),
    (layers.IntegerLookup(vocabulary=NUMBERS, invert=True), [[1, 3, 4], [4, 0, 2]], [[12, 1138, 42], [42, -1, 36]]),
    (layers.Hashing(3), [["A"], ["B"], ["C"], ["D"], ["E"]], [[1], [0], [1], [1], [2]]),
    (layers.Hashing(3, mask_value=""), [["A"], ["B"], [""], ["C"], ["D"]], [[1], [1], [0], [2], [2]]),
    (layers.Hashing(3, salt=[133, 137]), [["A"], ["B"], ["C"], ["D"], ["E"]], [[1], [2], [1], [0], [2]]),
    (layers.Hashing(3, salt=133), [["A"], ["B"], ["C"], ["D"], ["E"]], [[0], [0], [2], [1], [0]]),
    (layers.HashedCrossing(5), (np.array(["A", "B", "A", "B", "A"]), np.array([101, 101, 101, 102, 102])), [1, 4, 1, 1, 3]),
    (layers.HashedCrossing(5, "one_hot"), (np.array(["A", "B", "A", "B", "A"]), np.array([101, 101, 101, 102, 102])),
     np.eye(5)[[1, 4, 1, 1, 3]]),
    # by hand: the mask token has index 0, and is none of those that are counted
    (layers.StringLookup(vocabulary=ABCD, mask_token=""), [["", "a", "z", "d"]], [[0, 2, 1, 5]]),
    (layers.StringLookup(vocabulary=ABCD, mask_token="", output_mode="count"), [["", "a", "z", ""]], [[1, 1, 0, 0, 0]]),
    (layers.StringLookup(vocabulary=["a"], mask_token="d", num_oov_indices=0, invert=True), [[0, 1, 9]], [["d", "a", "[UNK]"]]),
    (layers.IntegerLookup(vocabulary=[5, 6], mask_token=0), [[0, 6, 5, 9]], [[0, 3, 2, 1]]),
    (layers.StringLookup(vocabulary=["a"], max_tokens=4, pad_to_max_tokens=True, output_mode="multi_hot"), [["a", "b"]], [[1, 1, 0, 0]]),
    (layers.StringLookup(vocabulary=["a"]), "a", 1),
    (layers.IntegerLookup(vocabulary=[5]), 5, 1),
])  # fmt: skip
def test_documented_values(layer, data, expected):
    found = layer(data)
    assert isinstance(found, np.ndarray) and found.shape == np.shape(expected)
    if found.dtype == object:
        assert found.tolist() == expected
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    again = type(layer).from_config(json.loads(json.dumps(layer.get_config())))
    np.testing.assert_array_equal(again(data), found)


@pytest.mark.parametrize("max_tokens", [None, 4])
@pytest.mark.parametrize("cls", [layers.StringLookup, layers.IntegerLookup])
def test_what_is_learnt(cls, max_tokens):
    """The most frequent first, among equals the larger; in batches the same."""
    data = WORDS if cls is layers.StringLookup else RANDOM.integers(-3, 9, (50, 3))
    layer = cls(max_tokens=max_tokens, mask_token=data[0, 0])
    layer.adapt(data)
    counts = collections.Counter(data.ravel().tolist())
    del counts[data[0, 0].item()]
    counts.pop(layer.oov_token, None)
    expected = sorted(counts, key=lambda token: (counts[token], token), reverse=True)
    expected = expected if max_tokens is None else expected[: max_tokens - 2]
    assert layer.get_vocabulary(include_special_tokens=False) == expected
    assert layer.get_vocabulary() == [data[0, 0].item(), layer.oov_token, *expected]
    assert layer.vocabulary_size() == len(expected) + 2
    whole = layer(data)
    table = {token: i for i, token in enumerate(layer.get_vocabulary())}
    assert whole.tolist() == [[table.get(token, 1) for token in row] for row in data.tolist()]
    layer.adapt(data[i : i + 7] for i in range(0, 50, 7))
    np.testing.assert_array_equal(layer(data), whole)
    layer.adapt((data[i : i + 5] for i in range(0, 50, 5)), steps=1)
    assert set(layer.get_vocabulary(include_special_tokens=False)) <= set(data[:5].ravel().tolist())


@pytest.mark.parametrize("padded", [False, True])
def test_document_frequencies(padded):
    layer = layers.StringLookup(output_mode="tf_idf", max_tokens=6 if padded else None, pad_to_max_tokens=padded)
    documents = [["a", "b", "a"], ["b", "c", "b"], ["b", "b", "b"]]
    layer.adapt(documents)
    assert layer.get_vocabulary() == ["[UNK]", "b", "a", "c"]
    weights = [math.log(1 + 3 / (1 + n)) for n in (3, 1, 1)]
    weights = [sum(weights) / 3, *weights, *([0.0, 0.0] if padded else [])]
    expected = np.array([[0, 1, 2, 0], [1, 2, 0, 0]]) * weights[:4]
    expected = np.pad(expected, [(0, 0), (0, 2 * padded)])
    np.testing.assert_allclose(layer([["a", "b", "a"], ["z", "b", "b"]]), expected, rtol=1e-6)
    again = layers.StringLookup.from_config(json.loads(json.dumps(layer.get_config())))
    np.testing.assert_allclose(again._vocabulary.idf, weights, rtol=1e-6)


def test_kinds_of_text():
    layer = layers.StringLookup(vocabulary=["é", "b"], mask_token="")
    text = ["é", "b", "é", "q"]
    for given in (
        text, tuple(text), np.array(text), np.array(text, object), np.array([one.encode() for one in text]), pd.Series(text),
        pd.Series(text, dtype="category"), pd.Series(text, dtype="string"), np.array([one.encode() for one in text], object),
    ):  # fmt: skip
        np.testing.assert_array_equal(layer(given), [2, 3, 2, 1])
    np.testing.assert_array_equal(layer(pd.Series(["b", None, np.nan, pd.NA], dtype=object)), [3, 0, 0, 0])
    np.testing.assert_array_equal(layers.StringLookup(vocabulary=["é"], encoding="latin-1")(np.array([b"\xe9"])), [1])


def test_a_vocabulary_in_a_file(tmp_path):
    (tmp_path / "words.txt").write_text("é\nb c\n\nd", encoding="utf-8")
    assert layers.StringLookup(vocabulary=str(tmp_path / "words.txt")).get_vocabulary() == ["[UNK]", "é", "b c", "", "d"]
    (tmp_path / "numbers.txt").write_text("3\n-1000\n")
    assert layers.IntegerLookup(vocabulary=tmp_path / "numbers.txt").get_vocabulary() == [-1, 3, -1000]


def test_large_numbers_keep_all_their_digits():
    numbers = [2**53 + 1, 2**53, 2**24 + 1, -(2**62)]
    assert layers.IntegerLookup(vocabulary=numbers)(np.array(numbers)).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("salt", [None, (3, 4)])
def test_numbers_are_hashed_by_their_digits(salt):
    numbers = RANDOM.integers(-1000, 1000, (40, 2))
    text = np.array([str(number) for number in numbers.ravel()]).reshape(40, 2)
    for masks in ((None, None), (7, "7")):
        of_numbers, of_text = (layers.Hashing(11, salt=salt, mask_value=mask) for mask in masks)
        np.testing.assert_array_equal(of_numbers(numbers), of_text(text))
    np.testing.assert_array_equal(
        layers.Hashing(11, salt=salt)(numbers + 0.25 * np.sign(numbers)), layers.Hashing(11, salt=salt)(numbers)
    )
    unknown = layers.IntegerLookup(vocabulary=[10**6], num_oov_indices=5, oov_method="farmhash", salt=salt)
    np.testing.assert_array_equal(unknown(numbers), layers.Hashing(5, salt=salt)(numbers))


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
def test_encoded_bins(mode):
    bins = layers.Hashing(6)(WORDS)
    each = np.eye(6)[bins]
    expected = {"one_hot": each, "multi_hot": each.max(axis=1), "count": each.sum(axis=1)}[mode]
    np.testing.assert_array_equal(layers.Hashing(6, output_mode=mode)(WORDS), expected)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: layers.StringLookup(vocabulary=["a", "a"]), "tokens twice: 'a'"),
    (lambda: layers.StringLookup(vocabulary=["a", ""], mask_token=""), "holds the mask token ''"),
    (lambda: layers.StringLookup(vocabulary=[]), "vocabulary is empty"),
    (lambda: layers.StringLookup(vocabulary=["a", "b"], max_tokens=2), "has 3 tokens, more than max_tokens=2"),
    (lambda: layers.StringLookup(max_tokens=1), "max_tokens must be at least 2"),
    (lambda: layers.StringLookup(pad_to_max_tokens=True), "needs max_tokens"),
    (lambda: layers.StringLookup(num_oov_indices=-1), "num_oov_indices must be at least 0"),
    (lambda: layers.StringLookup(output_mode="one"), "output_mode must be one of"),
    (lambda: layers.StringLookup(output_mode="count", invert=True), "output_mode must be 'int' with invert=True"),
    (lambda: layers.StringLookup(idf_weights=[1.0]), "idf_weights need output_mode='tf_idf'"),
    (lambda: layers.StringLookup(vocabulary=["a"], output_mode="tf_idf"), "idf_weights are given"),
    (lambda: layers.StringLookup(vocabulary=["a"], idf_weights=[1.0, 2.0], output_mode="tf_idf"), r"shape \(2,\), expected \(1,\)"),
    (lambda: layers.StringLookup(sparse=True), "sparse must be False"),
    (lambda: layers.StringLookup(vocabulary=["a"], num_oov_indices=0)(["a", "q"]), "'q' is not in its vocabulary"),
    (lambda: layers.StringLookup(output_mode="count")(["a"]), "does not know its vocabulary yet"),
    (lambda: layers.StringLookup(vocabulary=["a"]).adapt(["b"]), "was given its vocabulary"),
    (lambda: layers.StringLookup(vocabulary=["a"])([1, 2]), "holds 1, of type int; expected text"),
    (lambda: layers.StringLookup(vocabulary=["a"])(np.ones(3)), "dtype float64; expected text"),
    (lambda: layers.StringLookup(vocabulary=["a"])([["a"], ["b", "c"]]), "its input"),
    (lambda: layers.StringLookup(vocabulary=["a"])([b"\xff"]), "bytes that are not utf-8"),
    (lambda: layers.StringLookup(salt="x"), "salt must be an integer or two of them"),
    (lambda: layers.IntegerLookup(vocabulary=[1])([0.5, 1]), "holds 0.5 in row 0; expected whole numbers"),
    (lambda: layers.IntegerLookup(vocabulary=[1])(["a"]), "expected numbers"),
    (lambda: layers.IntegerLookup(vocabulary=["a"]), "vocabulary must be whole numbers"),
    (lambda: layers.IntegerLookup(salt=1), "salt needs oov_method='farmhash'"),
    (lambda: layers.IntegerLookup(vocabulary_dtype="int32"), "vocabulary_dtype must be 'int64'"),
    (lambda: layers.Hashing(0), "num_bins must be a positive integer"),
    (lambda: layers.HashedCrossing(3)([np.array(["a"])]), "at least two inputs"),
    (lambda: layers.HashedCrossing(3)([["a"], [1, 2]]), "1 and 2 values"),
    (lambda: layers.HashedCrossing(3)([fn.Input((2,)), fn.Input((2,))]), r"takes inputs of shape \(batch, 1\)"),
])  # fmt: skip
def test_what_is_refused(make, message):
    with pytest.raises((TypeError, ValueError, RuntimeError), match=message):
        make()
