"""Owns random numbers that are a pure function of a key: no state, no seed, the same bits on every machine.

Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"). The key, any
bytes, is hashed with BLAKE2b to 128 bits: 64 become the cipher's key and 64 the upper half of its 128-bit counter;
the lower half counts blocks of two words. A shorter request is therefore always a prefix of a longer one, and two
different keys give unrelated streams. The arithmetic is on unsigned integers only, so nothing is ever rounded
before the last step of ``uniforms``, which is exact.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from walstreet.domain.units import FloatArray, IntArray

WORDS_MAX = 1 << 26
"""More words than this in one request come from a broken argument."""
BOUND_MAX = (1 << 63) - 1
"""Results are int64."""
REJECTION_ROUNDS_MAX = 256
"""A word is rejected with a probability below one half, so this many rounds do not fail within the age of the world."""

_ROUNDS = 10
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_MASK = 0xFFFF_FFFF
_LOW = np.uint64(_MASK)
_HALF = np.uint64(32)
_WORDS_A_BLOCK = 2
_WORD_VALUES = 1 << 64
_MANTISSA_BITS = 53
_DIGEST_BYTES = 16

WordArray = NDArray[np.uint64]


def philox(counters: WordArray, key: tuple[int, int]) -> WordArray:
    """Return (4, B) 32-bit words, in uint64, of the blocks with counters (4, B) under a key of two 32-bit words."""
    zero, one, two, three = counters
    first, second = key
    for _ in range(_ROUNDS):
        product, other = _MULTIPLIERS[0] * zero, _MULTIPLIERS[1] * two
        zero, one, two, three = (
            (other >> _HALF) ^ one ^ np.uint64(first),
            other & _LOW,
            (product >> _HALF) ^ three ^ np.uint64(second),
            product & _LOW,
        )
        first, second = (first + _WEYL[0]) & _MASK, (second + _WEYL[1]) & _MASK
    return np.stack((zero, one, two, three))


def uniform_words(key: bytes, count: int) -> WordArray:
    """Return (count,) uniform 64-bit words of the stream named ``key``.

    Raises:
        ValueError: ``count`` is not between 0 and ``WORDS_MAX``.
    """
    _require_count(count)
    return _words(key, 0, count)


def uniforms(key: bytes, count: int) -> FloatArray:
    """Return (count,) floats uniform in [0, 1): multiples of 2**-53, from the upper bits of ``uniform_words``.

    Raises:
        ValueError: ``count`` is not between 0 and ``WORDS_MAX``.
    """
    upper = uniform_words(key, count) >> np.uint64(64 - _MANTISSA_BITS)
    result: FloatArray = np.ldexp(upper.astype(np.float64), -_MANTISSA_BITS)
    return result


def integers(key: bytes, count: int, bound: int) -> IntArray:
    """Return (count,) integers uniform in [0, bound), without modulo bias.

    A word is rejected where it lies in the last, incomplete run of ``bound`` values below 2**64, and the stream goes
    on (Knuth, The Art of Computer Programming 2, section 3.4.1), so that a shorter request stays a prefix.

    Raises:
        ValueError: ``count`` or ``bound`` is out of range.
    """
    _require_count(count)
    if not 1 <= bound <= BOUND_MAX:
        raise ValueError(f"counter_random: bound is {bound}; allowed is 1 to {BOUND_MAX}")
    last = np.uint64(_WORD_VALUES - _WORD_VALUES % bound - 1)
    accepted, position = np.zeros(0, dtype=np.uint64), 0
    for _ in range(REJECTION_ROUNDS_MAX):
        missing = count - len(accepted)
        if missing == 0:
            break
        words = _words(key, position, missing)
        position += missing
        accepted = np.concatenate((accepted, words[words <= last]))
    assert len(accepted) == count, (count, bound)
    return (accepted % np.uint64(bound)).astype(np.int64)


def _words(key: bytes, start: int, count: int) -> WordArray:
    digest = hashlib.blake2b(key, digest_size=_DIGEST_BYTES).digest()
    parts = [int.from_bytes(digest[at : at + 4], "little") for at in range(0, _DIGEST_BYTES, 4)]
    skipped = start % _WORDS_A_BLOCK
    blocks = np.arange(start // _WORDS_A_BLOCK, (start + count + _WORDS_A_BLOCK - 1) // _WORDS_A_BLOCK, dtype=np.uint64)
    counters = np.stack(
        (blocks & _LOW, blocks >> _HALF, np.full_like(blocks, parts[2]), np.full_like(blocks, parts[3]))
    )
    zero, one, two, three = philox(counters, (parts[0], parts[1]))
    words = np.stack((zero | one << _HALF, two | three << _HALF), axis=1).reshape(-1)
    return np.ascontiguousarray(words[skipped : skipped + count])


def _require_count(count: int) -> None:
    if not 0 <= count <= WORDS_MAX:
        raise ValueError(f"counter_random: count is {count}; allowed is 0 to {WORDS_MAX}")
