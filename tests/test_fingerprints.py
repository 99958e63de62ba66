"""The hashes by which text and numbers get their bins."""

import numpy as np
import pytest

from fastnet.layers._fingerprints import concatenate_fingerprints, fingerprint64, siphash

TEXTS = [
    b"", b"a", b"ab", b"abc", b"abcd", b"hello!!", b"exactly8", b"sixteen bytes ok", b"seventeen bytes !", b"x" * 32, b"x" * 33, bytes(range(64)),
    bytes(range(65)), bytes(i % 251 for i in range(128)), bytes(i * 7 % 256 for i in range(129)), bytes(i * 11 % 256 for i in range(500)),
]  # fmt: skip
#: farmhash.fingerprint64 of pyfarmhash 0.5.1, Google's own code.
FINGERPRINTS = [
    0x9AE16A3B2F90404F, 0xB3454265B6DF75E3, 0xAA8D6E5242ADA51E, 0x24A5B3A074E7F369, 0x1A5502DE4A1F8101, 0xE5F3DFC0F0AAC314, 0x7630CBB9CC20E8FD, 0x25A88DB6363AC32F, 0x271C95799DA069C8, 0xB30B9BACCC74DC05, 0xAA49185443E61637, 0xF58504BB53DECC4B, 0xC6A3282C3E793DBE, 0x1C484C95F0EA5DD3, 0xECB25D796437D25B, 0xE3505F6B7EB13FA7,
]  # fmt: skip
#: The first of the vectors of the authors of SipHash-2-4 (siphash/vectors.h), read as little-endian numbers: of 0, 1, 2, ... bytes 0, 1, 2, ...
SIPHASHES = [0x726FDB47DD0E0E31, 0x74F839C593DC67FD, 0x0D6C8009D9A94F5A, 0x85676696D7FB7E2D]


def test_fingerprints():
    assert fingerprint64(TEXTS).tolist() == FINGERPRINTS
    assert fingerprint64(TEXTS[::-1]).tolist() == FINGERPRINTS[::-1]


def test_siphash():
    key = 0x0706050403020100, 0x0F0E0D0C0B0A0908
    assert siphash([bytes(range(n)) for n in range(4)], key).tolist() == SIPHASHES
    assert siphash([bytes(range(15))], key).tolist() == [0xA129CA6149BE45E5]  # the example of the paper


@pytest.mark.parametrize("n", [0, 1, 7])
def test_as_many_as_were_given(n):
    assert fingerprint64([b"ab"] * n).shape == siphash([b"ab"] * n, (1, 2)).shape == (n,)


def test_two_fingerprints_together():
    """As TensorFlow's FingerprintCat64: one of its own tests, FingerprintCat64(1, 2) != FingerprintCat64(2, 1), and by whole numbers of Python."""

    def shift_mix(value):
        return value ^ (value >> 47)

    def concatenate(a, b, k=0xC6A4A7935BD1E995, m=2**64 - 1):
        result = a ^ k
        result ^= shift_mix(b * k & m) * k & m
        result = result * k & m
        return shift_mix(shift_mix(result) * k & m)

    numbers = np.random.default_rng(0).integers(0, 2**64, (2, 20), np.uint64)
    expected = [concatenate(int(a), int(b)) for a, b in numbers.T]
    assert concatenate_fingerprints(*numbers).tolist() == expected
    assert concatenate_fingerprints(*numbers[::-1]).tolist() != expected
