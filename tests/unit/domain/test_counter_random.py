"""Owns the tests of the counter-based generator against published vectors and by hand."""

import hashlib

import numpy as np
import pytest

from walstreet.domain.counter_random import WORDS_MAX, integers, philox, uniform_words, uniforms


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF, 0xFFFFFFFF),
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_philox_reproduces_the_authors_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    """The three known-answer vectors of the Random123 distribution for philox4x32-10 come out to the bit."""
    block = np.array(counter, dtype=np.uint64)[:, None]
    assert philox(block, key)[:, 0].tolist() == list(expected)


def test_words_are_the_cipher_of_a_counter_under_the_hashed_key() -> None:
    """Word 5 of a stream is the second word of block 2: outputs 2 and 3, low half first."""
    digest = hashlib.blake2b(b"horizon 5", digest_size=16).digest()
    parts = np.frombuffer(digest, dtype="<u4").astype(np.uint64)
    block = np.array([[2], [0], [parts[2]], [parts[3]]], dtype=np.uint64)
    out = philox(block, (int(parts[0]), int(parts[1])))[:, 0].tolist()
    words = uniform_words(b"horizon 5", 6)
    assert words[4] == out[0] | out[1] << 32
    assert words[5] == out[2] | out[3] << 32


def test_a_long_stream_is_uniform_and_uncorrelated() -> None:
    """2**16 uniforms have mean 1/2 within 4 standard errors (.2887/256) and fill 64 cells evenly (chi-square < 120)."""
    values = uniforms(b"moments", 1 << 16)
    assert abs(values.mean() - 0.5) < 4 * 0.2887 / 256
    counts = np.bincount((values * 64).astype(np.int64), minlength=64)
    assert ((counts - 1024.0) ** 2 / 1024.0).sum() < 120.0
    lagged = np.corrcoef(values[:-1], values[1:])[0, 1]
    assert abs(lagged) < 4 / 256


def test_uniforms_are_the_upper_53_bits() -> None:
    """A uniform is its word shifted right by 11, over 2**53, and so is never 1."""
    words = uniform_words(b"k", 100)
    assert uniforms(b"k", 100).tolist() == [int(word >> np.uint64(11)) / 2**53 for word in words]


def test_integers_reject_the_incomplete_run() -> None:
    """With bound 3*2**61 a quarter of the words, those from 6*2**61 on, is skipped and the rest is taken modulo."""
    bound = 3 << 61
    words = [int(word) for word in uniform_words(b"reject", 200)]
    kept = [word % bound for word in words if word < 2 * bound]
    assert 100 < len(kept) < 200
    assert integers(b"reject", 100, bound).tolist() == kept[:100]


def test_integers_are_even_for_a_bound_that_does_not_divide() -> None:
    """60,000 draws below 6 fall 10,000 to a face within 4 standard deviations (91 each)."""
    counts = np.bincount(integers(b"die", 60_000, 6), minlength=6)
    assert len(counts) == 6
    assert (np.abs(counts - 10_000) < 4 * 92).all()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 64])
def test_a_shorter_request_is_a_prefix_of_a_longer_one(count: int) -> None:
    """The stream does not depend on how much of it is asked for."""
    assert uniform_words(b"p", count).tolist() == uniform_words(b"p", 65)[:count].tolist()
    assert integers(b"p", count, 5 << 60).tolist() == integers(b"p", 65, 5 << 60)[:count].tolist()
    assert uniforms(b"p", count).shape == (count,)


def test_keys_that_differ_in_one_bit_give_unrelated_words() -> None:
    """About half of all bits differ between the streams of two neighbouring keys."""
    difference = uniform_words(b"\x00", 1_000) ^ uniform_words(b"\x01", 1_000)
    bits = np.unpackbits(difference.view(np.uint8)).mean()
    assert abs(bits - 0.5) < 4 * 0.5 / np.sqrt(64_000)


def test_arguments_out_of_range_are_refused_by_name() -> None:
    """A negative or huge count and a bound below 1 name themselves."""
    with pytest.raises(ValueError, match="count is -1"):
        uniform_words(b"", -1)
    with pytest.raises(ValueError, match="count is"):
        uniforms(b"", WORDS_MAX + 1)
    with pytest.raises(ValueError, match="bound is 0"):
        integers(b"", 1, 0)
