"""TextVectorization on arrays: values of the documentation of Keras 3.15, and a loop in plain Python."""

import collections
import json
import re

import numpy as np
import pytest

import fastnet as fn

TextVectorization = fn.layers.TextVectorization
PUNCTUATION = re.compile(r"[!\"#$%&()\*\+,-\./:;<=>?@\[\\\]^_`{|}~\']")  # the expression of Keras
TEXTS = [
    "The quick  brown fox.", "the lazy dog, the DOG!", "", "don't stop -- NOW", "Ärger über\u00a0Öl, the\tfox", "dog", "a_b (c) [d] {e} ~f",
]  # fmt: skip


def lower(text):  # as tensorflow.strings.lower
    return "".join(one.lower() if one.isascii() else one for one in text)


def standardized(text, how):
    text = lower(text) if how and "lower" in how else text
    return PUNCTUATION.sub("", text) if how and "strip" in how else text


def tokens_of(text, split, ngrams):
    words = list(text) if split == "character" else re.findall(r"[^ \t\n\v\f\r]+", text)
    if ngrams is None:
        return words
    widths = range(1, ngrams + 1) if isinstance(ngrams, int) else ngrams
    return [" ".join(words[i : i + n]) for n in widths for i in range(len(words)) if i + n <= len(words)]


def test_documented_values():
    layer = TextVectorization(max_tokens=5000, output_mode="int", output_sequence_length=4)
    layer.adapt(["foo bar", "bar baz", "baz bada boom"])
    assert layer([["foo qux bar"], ["qux baz"]]).tolist() == [[4, 1, 3, 0], [1, 2, 0, 0]]
    given = TextVectorization(max_tokens=5000, output_sequence_length=4, vocabulary=["earth", "wind", "and", "fire"])
    assert given.get_vocabulary() == ["", "[UNK]", "earth", "wind", "and", "fire"]


@pytest.mark.parametrize("how", ["lower_and_strip_punctuation", "lower", "strip_punctuation", None])
@pytest.mark.parametrize(
    ("split", "ngrams"), [("whitespace", None), ("whitespace", 2), ("whitespace", (1, 3)), ("character", None)]
)
def test_tokens(how, split, ngrams):
    layer = TextVectorization(standardize=how, split=split, ngrams=ngrams)
    layer.adapt(TEXTS)
    tokens = [tokens_of(standardized(text, how), split, ngrams) for text in TEXTS]
    counts = collections.Counter(token for row in tokens for token in row)
    vocabulary = ["", "[UNK]", *sorted(counts, key=lambda token: (counts[token], token), reverse=True)]
    assert layer.get_vocabulary() == vocabulary
    longest = max(map(len, tokens))
    expected = [[vocabulary.index(token) for token in row] + [0] * (longest - len(row)) for row in tokens]
    assert layer(TEXTS).tolist() == layer(np.array(TEXTS)[:, None]).tolist() == expected
    in_batches = TextVectorization(standardize=how, split=split, ngrams=ngrams)
    in_batches.adapt(TEXTS[i : i + 3] for i in range(0, len(TEXTS), 3))
    assert in_batches.get_vocabulary() == vocabulary
    again = TextVectorization.from_config(json.loads(json.dumps(layer.get_config())))
    assert again(TEXTS).tolist() == expected


@pytest.mark.parametrize("mode", ["multi_hot", "count", "tf_idf"])
def test_numbers_for_each_token(mode):
    layer = TextVectorization(max_tokens=8, output_mode=mode)
    layer.adapt(TEXTS)
    tokens = [tokens_of(standardized(text, "lower_strip"), None, None) for text in TEXTS]
    counts = collections.Counter(token for row in tokens for token in row)
    words = sorted(counts, key=lambda token: (counts[token], token), reverse=True)[:7]
    assert layer.get_vocabulary() == ["[UNK]", *words]
    table = {word: i + 1 for i, word in enumerate(words)}
    expected = np.zeros((len(TEXTS), 8))
    for row, found in zip(expected, tokens):
        np.add.at(row, [table.get(token, 0) for token in found], 1)
    if mode == "multi_hot":
        expected = np.minimum(expected, 1)
    if mode == "tf_idf":
        weights = [np.log(1 + len(TEXTS) / (1 + sum(word in row for row in tokens))) for word in words]
        expected *= [np.mean(weights), *weights]
    np.testing.assert_allclose(layer(TEXTS), expected, rtol=1e-6)


def test_functions_of_ones_own():
    @fn.saving.register_keras_serializable("test_text")
    def without_tags(texts):
        return np.array([re.sub("<[^>]*>", " ", text) for text in np.char.lower(texts).ravel()]).reshape(texts.shape)

    layer = TextVectorization(standardize=without_tags, split=lambda texts: [text.split("/") for text in texts])
    layer.adapt(["A/<br>b", "b/c"])
    assert layer.get_vocabulary() == ["", "[UNK]", "c", "b", "a", " b"]
    layer = TextVectorization(standardize=without_tags, vocabulary=["b", "a"])
    again = TextVectorization.from_config(json.loads(json.dumps(layer.get_config())))
    assert again.standardize is without_tags and again([["<b>A</b> B"]]).tolist() == [[3, 2]]
    config = TextVectorization(standardize=len).get_config()
    with pytest.raises(ValueError, match="standardize is a function 'len' of your own, which is not known"):
        TextVectorization.from_config(config)


def test_tokens_that_are_there_already():
    layer = TextVectorization(split=None, standardize=None, vocabulary=["a", "b c"])
    assert layer([["a", "b c", "q"], ["b c", "", "a"]]).tolist() == [[2, 3, 1], [3, 0, 2]]


@pytest.mark.parametrize(("make", "message"), [
    (lambda: TextVectorization(standardize="upper"), "standardize must be one of"),
    (lambda: TextVectorization(split="words"), "split must be one of"),
    (lambda: TextVectorization(ngrams=0), "ngrams must be a positive integer"),
    (lambda: TextVectorization(ngrams=(1, "a")), "ngrams must be"),
    (lambda: TextVectorization(output_mode="one_hot"), "output_mode must be one of"),
    (lambda: TextVectorization(output_mode="count", output_sequence_length=3), "needs output_mode='int'"),
    (lambda: TextVectorization(output_sequence_length=0), "must be at least 1"),
    (lambda: TextVectorization(ragged=True), "ragged must be False"),
    (lambda: TextVectorization()(["a"]), "does not know its vocabulary"),
    (lambda: TextVectorization(vocabulary=["a"])([["a", "b"]]), r"splits texts of shape \(batch,\)"),
])  # fmt: skip
def test_what_is_refused(make, message):
    with pytest.raises((TypeError, ValueError, RuntimeError), match=message):
        make()
