"""Owns the detection of a volatility regime switch per symbol or for the market, from the history of sigma_5m.

Two exponentially weighted means of the variance, a fast and a slow one, give the ratio ``sqrt(fast / slow)``. A calm
regime turns turbulent when the ratio exceeds ``enter_ratio`` and calm again when it falls below ``leave_ratio``; the
gap between the two is the hysteresis that keeps noise around one level from switching back and forth. Every bar in
which the regime changes, in either direction, is a switch. Before ``bars_min`` bars the regime is calm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec
import numpy as np

from walstreet import kernels
from walstreet.domain.bounds import require_between, require_ordered
from walstreet.domain.units import BoolArray, FloatArray

SYMBOLS_MAX = 5_000
DECAYS_CACHED_MAX = 16
MARKET = "*market*"
"""Key under which the market's own series may be kept beside the symbols'."""


class RegimeParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Speed and levels of the detector, for bars of one minute.

    The feature builder's sigma_5m is itself smooth (a span of 78 five-minute returns), so the slow mean must reach back
    a session to differ from it. On minute bars of five ETFs and MSFT (2019-2022) the defaults give .2 to .5 switches a
    session and a turbulent regime 6 to 15 % of the time; with 120 bars and levels 1.5 and 1.2 almost nothing switches.
    """

    fast_half_life_bars: float = 10.0
    slow_half_life_bars: float = 390.0
    enter_ratio: float = 1.3
    leave_ratio: float = 1.1
    bars_min: int = 390
    """Bars before the first switch."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges and levels that contradict each other."""
        require_between("regime", "fast_half_life_bars", self.fast_half_life_bars, 1.0, 10_000.0)
        require_between("regime", "slow_half_life_bars", self.slow_half_life_bars, 1.0, 10_000.0)
        require_ordered(
            "regime",
            ("fast_half_life_bars", self.fast_half_life_bars),
            ("slow_half_life_bars", self.slow_half_life_bars),
        )
        require_between("regime", "enter_ratio", self.enter_ratio, 1.0, 100.0)
        require_between("regime", "leave_ratio", self.leave_ratio, 0.1, 100.0)
        require_ordered("regime", ("leave_ratio", self.leave_ratio), ("enter_ratio", self.enter_ratio))
        require_between("regime", "bars_min", self.bars_min, 1, 100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeRecord:
    """What the detector remembers about one series."""

    fast_variance: float
    """In bps squared."""
    slow_variance: float
    bars: int
    turbulent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeMemory:
    """Records per symbol; a value, replaced as a whole. A symbol that is not observed keeps its record."""

    records: dict[str, RegimeRecord] = field(default_factory=dict)

    def canonical(self) -> tuple[tuple[str, float, float, int, bool], ...]:
        """Return the content for a digest, sorted by symbol."""
        return tuple(
            (symbol, record.fast_variance, record.slow_variance, record.bars, record.turbulent)
            for symbol, record in sorted(self.records.items())
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Regimes:
    """Regimes after one bar, (N,) each, and the memory that goes with them."""

    memory: RegimeMemory
    ratio: FloatArray
    """``sqrt(fast / slow)``; NaN for a symbol without any bar."""
    turbulent: BoolArray
    switched: BoolArray
    """The regime changed in this bar; never where the bar's volatility is missing."""


def observe(
    memory: RegimeMemory, *, symbols: Sequence[str], sigma_5m_bps: FloatArray, parameters: RegimeParameters
) -> Regimes:
    """Return the regimes after one bar; ``ratio = sqrt(ewma_fast(sigma^2) / ewma_slow(sigma^2))``, unitless.

    Source: exponentially weighted variance as in J.P. Morgan, RiskMetrics Technical Document, 1996, section 5.2; both
    averages start at the first value.

    Args:
        memory: After the bar before.
        symbols: (N,) distinct.
        sigma_5m_bps: (N,) of the bar's feature block; a value that is not positive and finite changes nothing.
        parameters: Speed and levels.
    """
    fast_decay, slow_decay = _decay(parameters.fast_half_life_bars), _decay(parameters.slow_half_life_bars)
    records = dict(memory.records)
    ratio = np.full(len(symbols), np.nan)
    turbulent, switched = np.zeros(len(symbols), dtype=np.bool_), np.zeros(len(symbols), dtype=np.bool_)
    with np.errstate(invalid="ignore", over="ignore"):
        squares = sigma_5m_bps * sigma_5m_bps
        known = (np.isfinite(squares) & (sigma_5m_bps > 0.0)).tolist()
    variances = squares.tolist()
    for index, symbol in enumerate(symbols):
        record = records.get(symbol)
        if known[index]:
            previous, record = record, _next(record, variances[index], fast_decay, slow_decay, parameters)
            records[symbol] = record
            switched[index] = record.turbulent != (previous is not None and previous.turbulent)
        if record is not None:
            ratio[index] = _ratio(record.fast_variance, record.slow_variance)
            turbulent[index] = record.turbulent
    assert len(records) <= SYMBOLS_MAX, f"{len(records)} series are remembered, at most {SYMBOLS_MAX} are possible"
    return Regimes(memory=RegimeMemory(records=records), ratio=ratio, turbulent=turbulent, switched=switched)


@lru_cache(maxsize=DECAYS_CACHED_MAX)
def _decay(half_life_bars: float) -> float:
    """Return the decay per bar; its decimal arithmetic is too slow to be repeated in every cycle."""
    return kernels.alpha_from_half_life_bars(half_life_bars)


def _ratio(fast_variance: float, slow_variance: float) -> float:
    return float(np.sqrt(fast_variance / slow_variance)) if slow_variance > 0.0 else float("nan")


def _next(
    record: RegimeRecord | None, variance: float, fast_decay: float, slow_decay: float, parameters: RegimeParameters
) -> RegimeRecord:
    if record is None:
        return RegimeRecord(fast_variance=variance, slow_variance=variance, bars=1, turbulent=False)
    fast = record.fast_variance + fast_decay * (variance - record.fast_variance)
    slow = record.slow_variance + slow_decay * (variance - record.slow_variance)
    bars = min(record.bars + 1, parameters.bars_min)
    ratio = _ratio(fast, slow)
    turbulent = record.turbulent
    if bars >= parameters.bars_min:
        turbulent = ratio >= parameters.leave_ratio if turbulent else ratio > parameters.enter_ratio
    return RegimeRecord(fast_variance=fast, slow_variance=slow, bars=bars, turbulent=turbulent)


def market_sigma_bps(sigma_5m_bps: FloatArray, *, symbols_min: int) -> float:
    """Return the median volatility of the symbols that have one; NaN for fewer than ``symbols_min``.

    The median is one series that stands for the market: give it to ``observe`` under ``MARKET``.
    """
    with np.errstate(invalid="ignore"):
        known = sigma_5m_bps[np.isfinite(sigma_5m_bps) & (sigma_5m_bps > 0.0)]
    return float(np.median(known)) if len(known) >= max(1, symbols_min) else float("nan")
