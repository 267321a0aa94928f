"""Owns the history that the conformal gate may start from: matured forecasts of earlier sessions of the same market.

A first run has no outcomes of its own, and a broker's history has neither quotes nor order flow to make forecasts
from. What the same models forecast on earlier sessions, none of which they were trained on, and what became of it, is
written beside the models and read at the start. It counts for the market and the models that it names, for no others.

Scores and outcomes are kept in thousandths of sigma: far finer than what an interval of their mean can tell.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from functools import lru_cache

import msgspec
import numpy as np

from walstreet.domain.conformal_learn import seed
from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.conformal_state import ConformalState
from walstreet.domain.units import HORIZONS_MINUTES, FloatArray

VERSION = 1
THOUSANDTHS = 1_000.0
MISSING = -32_768
"""Of a symbol without a forecast or an outcome."""
LARGEST = 32_767
ROWS_MAX = 25_000
SYMBOLS_MAX = 4_096
BYTES_MAX = 64 << 20
"""Of the file once unpacked."""


DIGESTS_CACHED_MAX = 4
"""Hashing a history takes longer than a cycle, and every decision names it."""


class HistoryRows(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One horizon's matured cross-sections, oldest first."""

    horizon_minutes: int
    rows: int
    """T."""
    symbols: int
    """N."""
    scores: bytes
    """(T, N) int16, little-endian, thousandths of sigma."""
    outcomes: bytes


class ConformalHistory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything of one file."""

    version: int
    market: str
    """Which market, such as ``synthetic planted=0.22``."""
    models: str
    """``models_digest`` of the models that made the forecasts."""
    made_from: str
    """Which sessions, in words."""
    horizons: tuple[HistoryRows, ...]


class HistoryError(ValueError):
    """The file's fault: the text says what is wrong and what to do."""


def models_digest(files: Iterable[tuple[str, str]]) -> str:
    """Return SHA-256 (hex) over the names and hashes of the models' files."""
    text = "\n".join(f"{name} {sha256}" for name, sha256 in sorted(files))
    return hashlib.sha256(text.encode()).hexdigest()


def history_rows(horizon_minutes: int, scores: FloatArray, outcomes: FloatArray) -> HistoryRows:
    """Return one horizon's rows from (T, N) scores and outcomes in sigma; NaN is missing, too large is the largest."""
    assert scores.shape == outcomes.shape, (scores.shape, outcomes.shape)
    return HistoryRows(
        horizon_minutes=horizon_minutes,
        rows=scores.shape[0],
        symbols=scores.shape[1],
        scores=_packed(scores),
        outcomes=_packed(outcomes),
    )


def _packed(values: FloatArray) -> bytes:
    known = np.isfinite(values)
    scaled = np.rint(np.clip(np.where(known, values, 0.0) * THOUSANDTHS, -LARGEST, LARGEST))
    return np.where(known, scaled, MISSING).astype("<i2").tobytes()


def unpacked(data: bytes, rows: HistoryRows) -> FloatArray:
    """Return (T, N) values in sigma, NaN where missing."""
    whole = np.frombuffer(data, dtype="<i2").reshape(rows.rows, rows.symbols).astype(np.float64)
    return np.where(whole == MISSING, np.nan, whole / THOUSANDTHS)


def encode_history(history: ConformalHistory) -> bytes:
    """Return the bytes of the file; the same history always gives the same."""
    return zlib.compress(msgspec.msgpack.Encoder(order="deterministic").encode(history), level=9)


@lru_cache(maxsize=DIGESTS_CACHED_MAX)
def history_digest(history: ConformalHistory) -> str:
    """Return SHA-256 (hex) of the history's bytes."""
    return hashlib.sha256(encode_history(history)).hexdigest()


def decode_history(data: bytes) -> ConformalHistory:
    """Return the history that a file holds.

    Raises:
        HistoryError: It is no such file, of another version, or inconsistent.
    """
    try:
        inflate = zlib.decompressobj()
        text = inflate.decompress(data, BYTES_MAX)
        if inflate.unconsumed_tail or not inflate.eof:
            raise HistoryError(f"it holds more than {BYTES_MAX} bytes, or is cut off; make it again")
        history = msgspec.msgpack.decode(text, type=ConformalHistory)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise HistoryError(f"it is no conformal history ({error}); make it again with `walstreet calibrate`") from error
    if history.version != VERSION:
        raise HistoryError(f"its version is {history.version}, this release reads {VERSION}; make it again")
    for item in history.horizons:
        _check(item)
    return history


def _check(item: HistoryRows) -> None:
    size = 2 * item.rows * item.symbols
    if item.horizon_minutes not in HORIZONS_MINUTES:
        raise HistoryError(f"it has a horizon of {item.horizon_minutes} minutes; allowed are {HORIZONS_MINUTES}")
    if not (0 < item.rows <= ROWS_MAX and 0 < item.symbols <= SYMBOLS_MAX):
        raise HistoryError(
            f"horizon {item.horizon_minutes}: {item.rows} rows of {item.symbols} symbols are outside 1..{ROWS_MAX} and "
            f"1..{SYMBOLS_MAX}"
        )
    if len(item.scores) != size or len(item.outcomes) != size:
        raise HistoryError(
            f"horizon {item.horizon_minutes}: {len(item.scores)} and {len(item.outcomes)} bytes where {size} belong"
        )


def seed_from(state: ConformalState, history: ConformalHistory, parameters: ConformalParameters) -> None:
    """Start the gate's memory from ``history``."""
    for item in history.horizons:
        seed(
            state,
            horizon_minutes=item.horizon_minutes,
            scores=unpacked(item.scores, item),
            outcomes=unpacked(item.outcomes, item),
            parameters=parameters,
        )
