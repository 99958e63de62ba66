"""Hashes of strings, the same as those by which Keras puts them into bins: many strings at once, in NumPy.

FarmHash's Fingerprint64 (Pike and Alakuijala, https://github.com/google/farmhash) and SipHash-2-4 (Aumasson and Bernstein, 2012). All
strings of one length are computed together, as columns of an array with a row for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["concatenate_fingerprints", "fingerprint64", "siphash"]

_K0, _K1, _K2 = (np.uint64(k) for k in (0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F))
_47 = np.uint64(47)


def fingerprint64(strings: Sequence[bytes]) -> np.ndarray:
    """Fingerprint64 of each string, as uint64."""
    return _by_length(strings, _fingerprint)


def siphash(strings: Sequence[bytes], key: tuple[int, int]) -> np.ndarray:
    """SipHash-2-4 of each string with a key of two numbers of 64 bits, as uint64."""
    halves = tuple(np.uint64(half & (2**64 - 1)) for half in key)
    return _by_length(strings, lambda rows: _siphash(rows, *halves))


def concatenate_fingerprints(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The fingerprint of two fingerprints one after another, as TensorFlow's crossed columns have it."""
    multiplier = np.uint64(0xC6A4A7935BD1E995)
    with np.errstate(over="ignore"):
        result = (first ^ multiplier) ^ (_shift_mix(second * multiplier) * multiplier)
        return _shift_mix(_shift_mix(result * multiplier) * multiplier)


def _by_length(strings: Sequence[bytes], function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The results of a function of rows of bytes, one for each string."""
    found = np.empty(len(strings), np.uint64)
    lengths = np.fromiter(map(len, strings), np.int64, len(strings))
    order = np.argsort(lengths, kind="stable")
    ends = np.flatnonzero(np.diff(lengths[order], append=-1)) + 1
    begin = 0
    with np.errstate(over="ignore"):
        for end in ends.tolist():
            places = order[begin:end]
            joined = b"".join([strings[place] for place in places.tolist()])
            found[places] = function(np.frombuffer(joined, np.uint8).reshape(len(places), -1))
            begin = end
    return found


def _word(rows: np.ndarray, place: int) -> np.ndarray:
    """Eight bytes from a place on, as numbers of 64 bits."""
    return np.ascontiguousarray(rows[:, place : place + 8]).view("<u8")[:, 0].astype(np.uint64)


def _half(rows: np.ndarray, place: int) -> np.ndarray:
    return np.ascontiguousarray(rows[:, place : place + 4]).view("<u4")[:, 0].astype(np.uint64)


def _right(value: np.ndarray, bits: int) -> np.ndarray:
    return (value >> np.uint64(bits)) | (value << np.uint64(64 - bits))


def _shift_mix(value: np.ndarray) -> np.ndarray:
    return value ^ (value >> _47)


def _mix(u: np.ndarray, v: np.ndarray, factor: np.ndarray | np.uint64) -> np.ndarray:
    a = _shift_mix((u ^ v) * factor)
    return _shift_mix((v ^ a) * factor) * factor


def _fingerprint(rows: np.ndarray) -> np.ndarray:
    length = rows.shape[1]
    n = np.uint64(length)
    factor = _K2 + n * np.uint64(2)
    if length == 0:
        return np.full(len(rows), _K2)
    if length < 4:
        first, middle, last = (rows[:, place].astype(np.uint64) for place in (0, length >> 1, length - 1))
        y, z = first + (middle << np.uint64(8)), n + (last << np.uint64(2))
        return _shift_mix((y * _K2) ^ (z * _K0)) * _K2
    if length < 8:
        return _mix(n + (_half(rows, 0) << np.uint64(3)), _half(rows, length - 4), factor)
    if length <= 16:
        a, b = _word(rows, 0) + _K2, _word(rows, length - 8)
        return _mix(_right(b, 37) * factor + a, (_right(a, 25) + b) * factor, factor)
    if length > 64:
        return _fingerprint_of_long(rows)
    a = _word(rows, 0) * (_K1 if length <= 32 else _K2)
    b, c, d = _word(rows, 8), _word(rows, length - 8) * factor, _word(rows, length - 16) * _K2
    y = _right(a + b, 43) + _right(c, 30) + d
    z = _mix(y, a + _right(b + _K2, 18) + c, factor)
    if length <= 32:
        return z
    e, f = _word(rows, 16) * factor, _word(rows, 24)
    g, h = (y + _word(rows, length - 32)) * factor, (z + _word(rows, length - 24)) * factor
    return _mix(_right(e + f, 43) + _right(g, 30) + h, e + _right(f + a, 18) + g, factor)


def _weak(rows: np.ndarray, place: int, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    w, x, y, z = (_word(rows, place + i) for i in (0, 8, 16, 24))
    a = a + w
    b = _right(b + a + z, 21)
    c = a
    a = a + x + y
    return a + z, b + _right(a, 44) + c


def _fingerprint_of_long(rows: np.ndarray) -> np.ndarray:
    length = rows.shape[1]
    seed, zero = np.uint64(81), np.zeros(len(rows), np.uint64)
    y = zero + seed * _K1 + np.uint64(113)
    z = _shift_mix(y * _K2 + np.uint64(113)) * _K2
    v, w = (zero, zero), (zero, zero)
    x = seed * _K2 + _word(rows, 0)

    def step(place: int, factor: np.ndarray | np.uint64, last: bool) -> None:
        nonlocal x, y, z, v, w
        nine = np.uint64(9 if last else 1)
        x = _right(x + y + v[0] + _word(rows, place + 8), 37) * factor
        y = _right(y + v[1] + _word(rows, place + 48), 42) * factor
        x = x ^ (w[1] * nine)
        y = y + v[0] * nine + _word(rows, place + 40)
        z = _right(z + w[0], 33) * factor
        v = _weak(rows, place, v[1] * factor, x + w[0])
        w = _weak(rows, place + 32, z + w[1], y + _word(rows, place + 16))
        z, x = x, z

    end = (length - 1) // 64 * 64
    for place in range(0, end, 64):
        step(place, _K1, False)
    factor = _K1 + ((z & np.uint64(0xFF)) << np.uint64(1))
    w = (w[0] + np.uint64((length - 1) & 63), w[1])
    v = (v[0] + w[0], v[1])
    w = (w[0] + v[0], w[1])
    step(length - 64, factor, True)
    return _mix(_mix(v[0], w[0], factor) + _shift_mix(y) * _K0 + z, _mix(v[1], w[1], factor) + x, factor)


def _left(value: np.ndarray, bits: int) -> np.ndarray:
    return _right(value, 64 - bits)


def _siphash(rows: np.ndarray, k0: np.uint64, k1: np.uint64) -> np.ndarray:
    count, length = rows.shape
    padded = np.zeros((count, length // 8 * 8 + 8), np.uint8)
    padded[:, :length] = rows
    padded[:, -1] = length % 256
    start = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
    v = [np.full(count, np.uint64(word) ^ key) for word, key in zip(start, (k0, k1, k0, k1))]

    def rounds(n: int) -> None:
        for _ in range(n):
            v[0], v[2] = v[0] + v[1], v[2] + v[3]
            v[1], v[3] = _left(v[1], 13) ^ v[0], _left(v[3], 16) ^ v[2]
            v[0] = _left(v[0], 32)
            v[2], v[0] = v[2] + v[1], v[0] + v[3]
            v[1], v[3] = _left(v[1], 17) ^ v[2], _left(v[3], 21) ^ v[0]
            v[2] = _left(v[2], 32)

    for place in range(0, padded.shape[1], 8):
        word = _word(padded, place)
        v[3] = v[3] ^ word
        rounds(2)
        v[0] = v[0] ^ word
    v[2] = v[2] ^ np.uint64(0xFF)
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]
