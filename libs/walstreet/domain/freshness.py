"""Owns the staleness guard: which quotes, bars and predictions are young enough to decide on.

A broker sends *changes* only, so a quiet symbol is not a stale one: a quote is judged by the liveness of the
feed and by the symbol's last confirmation. While one farm of several is broken, the feed's liveness proves
nothing for a single symbol, so the literal limit of one second per symbol holds. An age that is negative or not
finite comes from a fault and is never fresh. Time is an argument: for a cycle it is the later of the block's
event time and the last clock tick.
"""

from __future__ import annotations

import msgspec
import numpy as np

from walstreet.domain.bounds import require_between, require_ordered
from walstreet.domain.units import SECONDS_PER_MINUTE, BoolArray, FloatArray, IntArray
from walstreet_events import NANOS_PER_SECOND


class FreshnessParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Largest ages at which facts still steer a decision."""

    quote_confirmed_s_max: float = 60.0
    """Since the symbol's quote was last confirmed, on a healthy feed."""
    quote_confirmed_s_max_broken_farm: float = 1.0
    """The same while some farm is broken; set both to 1 for the literal rule."""
    bar_age_bars_max: float = 1.5
    """From the bar's end, in bars."""
    prediction_age_horizons_max: float = 2.0
    """From the bar's end, in horizons."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("freshness", "quote_confirmed_s_max", self.quote_confirmed_s_max, 0.1, 3_600.0)
        require_between(
            "freshness", "quote_confirmed_s_max_broken_farm", self.quote_confirmed_s_max_broken_farm, 0.1, 3_600.0
        )
        require_ordered(
            "freshness",
            ("quote_confirmed_s_max_broken_farm", self.quote_confirmed_s_max_broken_farm),
            ("quote_confirmed_s_max", self.quote_confirmed_s_max),
        )
        require_between("freshness", "bar_age_bars_max", self.bar_age_bars_max, 0.1, 10.0)
        require_between("freshness", "prediction_age_horizons_max", self.prediction_age_horizons_max, 0.1, 10.0)


def within_age(age_s: FloatArray, age_s_max: FloatArray | float) -> BoolArray:
    """Return where an age in seconds is finite, not negative and at most the limit."""
    with np.errstate(invalid="ignore"):
        fresh: BoolArray = np.isfinite(age_s) & (age_s >= 0.0) & (age_s <= age_s_max)
    return fresh


def quote_fresh(
    quote_ts_ns: IntArray, *, now_ns: int, farms_healthy: int, farms_broken: int, parameters: FreshnessParameters
) -> BoolArray:
    """Return (N,) where the last confirmation of a quote is young enough; a time of 0 means never confirmed."""
    if farms_healthy == 0:
        return np.zeros(quote_ts_ns.shape, dtype=np.bool_)
    limit_s = parameters.quote_confirmed_s_max_broken_farm if farms_broken else parameters.quote_confirmed_s_max
    age_s = (now_ns - quote_ts_ns) / NANOS_PER_SECOND
    return (quote_ts_ns > 0) & within_age(age_s, limit_s)


def bar_fresh(*, bar_end_ns: int, bar_ns: int, now_ns: int, parameters: FreshnessParameters) -> bool:
    """Return whether the bar ended at most ``bar_age_bars_max`` bars ago."""
    age_ns = now_ns - bar_end_ns
    return bar_ns > 0 and 0 <= age_ns <= parameters.bar_age_bars_max * bar_ns


def prediction_fresh(
    horizons_minutes: IntArray, *, prediction_ts_ns: int, now_ns: int, parameters: FreshnessParameters
) -> BoolArray:
    """Return (H,) where a prediction made at ``prediction_ts_ns`` is at most two of its own horizons old.

    Horizons from one day on are counted in trading minutes, which is stricter overnight than calendar time.
    """
    age_s = np.full(horizons_minutes.shape, (now_ns - prediction_ts_ns) / NANOS_PER_SECOND)
    limit_s = horizons_minutes.astype(np.float64) * (parameters.prediction_age_horizons_max * SECONDS_PER_MINUTE)
    return within_age(age_s, limit_s)
