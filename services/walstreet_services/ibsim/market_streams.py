"""Owns the random streams of simulated markets: counter-based, so that no draw depends on another symbol's.

A stream is NumPy's Philox keyed by (seed, 64-bit hash of the name) whose 256-bit counter starts at
(0, 0, purpose, session ordinal). Streams of different names, sessions or purposes never overlap, because a
session draws far fewer than 2**128 blocks.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum

import numpy as np

from walstreet_services.ibsim.market_errors import MarketRequestError

SEED_MAX = 2**64 - 1
CON_ID_MAX = 2**31 - 1


class Purpose(IntEnum):
    """What a stream is for; the values are part of the model, so they never change."""

    PATH = 1
    RETURNS = 2
    BARS = 3


def stream(seed: int, name: str, session_ordinal: int, purpose: Purpose) -> np.random.Generator:
    """Return the generator of one name in one session for one purpose.

    Args:
        seed: The market's seed, 0 to 2**64 - 1.
        name: A symbol or the name of a factor.
        session_ordinal: Proleptic Gregorian ordinal of the session's date.
        purpose: Which model draws from the stream.

    Raises:
        MarketRequestError: If the seed is out of range.
    """
    if not 0 <= seed <= SEED_MAX:
        raise MarketRequestError(f"market seed {seed} is outside 0..{SEED_MAX}; choose a seed in that range")
    key = np.array([seed, _hash64(name)], dtype=np.uint64)
    counter = np.array([0, 0, purpose.value, session_ordinal], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def contract_id(symbol: str) -> int:
    """Return the stable, positive, 31-bit contract identifier of a symbol."""
    return _hash64("contract:" + symbol) % CON_ID_MAX + 1


def unit_interval(name: str) -> float:
    """Return a stable number in [0, 1) that depends on the name only."""
    return _hash64("unit:" + name) / 2.0**64


def _hash64(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
