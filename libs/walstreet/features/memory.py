"""Owns the state of the feature builder for N symbols and how one bar changes it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from walstreet.features.banks import DistanceBank, EwmaBank, Window
from walstreet.features.bars import BarArrays
from walstreet.features.crosssection import finite_mean
from walstreet.features.parameters import FeatureParameters
from walstreet.features.portable import log
from walstreet.features.session import SessionClock
from walstreet.features.volatility import FiveMinuteVolatility

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

WINDOW_BARS = 120
"""Longest rolling window; it bounds the state and the warm-up."""
VOLUME_WINDOW_BARS = 20
RANGE_VARIANCE_SCALE = 2.772588722239781
"""4 ln 2: squared range over this is a variance (Parkinson 1980)."""
DISTANCE_SPANS = (8, 12, 21, 26, 55, 120)
MACD_SIGNAL_WEIGHT = 0.2
"""Span 9."""
RSI_SPANS = (11, 27)
"""Wilder's smoothing over n bars is a span of 2n - 1: n = 6 and 14."""
FLOW_SPANS = (3, 10, 30, 60)
VOLUME_SPANS = (5, 30, 390)
BULK_SPANS = (10, 30)
DAY_VOLUME_WEIGHT = 2.0 / 61.0
DAY_VOLUME_BARS_MIN = 5
"""Bars of a session before its own volumes say what is surprising; until then the surprise is 0."""
LOG_VOLUME_DEVIATION_MIN = 0.25
BETA_SPAN = 390
BETA_COUNT_MIN = 60

_EWMA_TABLE: tuple[tuple[str, int, int], ...] = (
    ("square_10", 10, 10),
    ("square_unit", 60, 30),
    ("square_390", 390, 60),
    ("lagged_60", 60, 30),
    ("cube_120", 120, 60),
    *((f"up_{span}", span, 10) for span in RSI_SPANS),
    *((f"down_{span}", span, 10) for span in RSI_SPANS),
    ("true_range_27", 27, 14),
    ("range_square_20", 20, 10),
    ("range_square_60", 60, 30),
    *((f"volume_{span}", span, 5) for span in VOLUME_SPANS),
    *((f"flow_volume_{span}", span, 3) for span in FLOW_SPANS),
    *((f"flow_signed_{span}", span, 3) for span in FLOW_SPANS),
    *((f"bulk_{span}", span, 5) for span in BULK_SPANS),
    *((f"bulk_volume_{span}", span, 5) for span in BULK_SPANS),
    ("market_square", BETA_SPAN, BETA_COUNT_MIN),
    ("market_cross", BETA_SPAN, BETA_COUNT_MIN),
    ("spread_log_30", 30, 1),
    ("book_10", 10, 1),
)
"""Rows of the bank of exponential means: name, span, least count of values."""
EWMA_INDEX = {name: index for index, (name, _, _) in enumerate(_EWMA_TABLE)}
_QUOTE_ROWS = (EWMA_INDEX["spread_log_30"], EWMA_INDEX["book_10"])
"""Rows that hold still while there is no quote."""
assert max(span for span in DISTANCE_SPANS) <= WINDOW_BARS
assert VOLUME_WINDOW_BARS <= WINDOW_BARS


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What one bar says by itself and against the one before; arrays of shape (N,)."""

    alive: BoolArray
    """The symbol has had a price."""
    returns: FloatArray
    """Log return: close on close; close on open for the first bar of a session and after a hole."""
    high: FloatArray
    """log(high / close) of this bar."""
    low: FloatArray
    log_volume: FloatArray
    """log(1 + shares)."""
    true_range: FloatArray
    """Range of the bar and the last close, over the close (Wilder 1978)."""
    market_return: float
    residual: FloatArray
    """Return less beta times the market's, beta from earlier bars."""
    quoted: BoolArray
    book: FloatArray
    """(bid size - ask size) / (bid size + ask size), 0 without a quote."""
    spread_log: FloatArray
    """log of the spread in bps, NaN without a quote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What one bar came to, shared by every group of features; arrays of shape (N,) unless said otherwise."""

    bar: BarArrays
    move: Move
    unit: FloatArray
    """One-bar volatility, the unit of returns; NaN until enough bars."""
    beta: FloatArray
    means: dict[str, FloatArray]
    distances: dict[int, FloatArray]
    cumulative: FloatArray
    """(120, N): row k - 1 is the sum of the last k returns."""


class DayTotals:
    """Sums since the session's open; arrays of shape (N,)."""

    __slots__ = (
        "gap",
        "minutes",
        "open",
        "price_volume",
        "volume",
        "volume_mean",
        "volume_surprise",
        "volume_variance",
    )

    def __init__(self, open_price: FloatArray, close_before: FloatArray) -> None:
        gap = log(open_price / close_before)
        self.gap = np.where(np.isfinite(gap), gap, 0.0)
        """log(first open / last close of the session before), 0 where that close is unknown."""
        self.open = open_price
        zeros = np.zeros(len(open_price))
        self.price_volume = zeros
        self.volume = zeros
        self.volume_mean = zeros
        self.volume_variance = zeros
        self.volume_surprise = zeros
        """log volume of the bar against the same day's earlier bars, in their standard deviations."""
        self.minutes = 0

    def fold(self, bar: BarArrays, move: Move) -> None:
        """Add one bar; a symbol that had no price at the open takes its first one."""
        self.minutes += 1
        self.open = np.where(np.isfinite(self.open), self.open, bar.open)
        self.price_volume = self.price_volume + np.where(bar.volume > 0.0, bar.vwap * bar.volume, 0.0)
        self.volume = self.volume + bar.volume
        difference = move.log_volume - self.volume_mean
        if self.minutes > DAY_VOLUME_BARS_MIN:
            deviation = np.maximum(np.sqrt(self.volume_variance), LOG_VOLUME_DEVIATION_MIN)
            self.volume_surprise = difference / deviation
        weight = max(DAY_VOLUME_WEIGHT, 1.0 / self.minutes)
        self.volume_variance = (1.0 - weight) * (self.volume_variance + weight * difference * difference)
        self.volume_mean = self.volume_mean + weight * difference


class FeatureMemory:
    """Bounded memory of N symbols: windows, exponential means and session sums."""

    __slots__ = (
        "clock",
        "day",
        "distances",
        "ewma",
        "five",
        "highs",
        "last_close",
        "last_return",
        "last_ts_ns",
        "lows",
        "macd_signal",
        "market",
        "parameters",
        "prior_close",
        "residuals",
        "returns",
        "signed_by_return",
        "volumes",
        "width",
    )

    def __init__(self, width: int, parameters: FeatureParameters, *, bar_ns: int) -> None:
        self.width = width
        self.parameters = parameters
        self.clock = SessionClock(parameters)
        self.five = FiveMinuteVolatility(width, parameters, bar_ns=bar_ns)
        changed = {"square_unit": (parameters.normaliser_span, parameters.normaliser_bars_min)}
        rows = [changed.get(name, (span, least)) for name, span, least in _EWMA_TABLE]
        self.ewma = EwmaBank([span for span, _ in rows], [least for _, least in rows], width)
        self.distances = DistanceBank(DISTANCE_SPANS, width)
        self.macd_signal = np.zeros(width)
        self.returns = Window(WINDOW_BARS, width)
        self.residuals = Window(WINDOW_BARS, width)
        self.highs = Window(WINDOW_BARS, width)
        self.lows = Window(WINDOW_BARS, width)
        self.volumes = Window(VOLUME_WINDOW_BARS, width)
        self.signed_by_return = Window(VOLUME_WINDOW_BARS, width)
        self.market = Window(WINDOW_BARS, 1)
        self.day = DayTotals(np.full(width, np.nan), np.full(width, np.nan))
        self.last_close = np.full(width, np.nan)
        self.last_return = np.zeros(width)
        self.prior_close = np.full(width, np.nan)
        self.last_ts_ns = 0

    def update(self, raw: BarArrays) -> Frame:
        """Fold one bar, later than every bar before, and return what it came to."""
        assert raw.ts_ns > self.last_ts_ns
        is_first = self.clock.advance(raw.ts_ns, raw.bar_ns)
        is_continuous = not is_first and raw.ts_ns - self.last_ts_ns == raw.bar_ns
        bar = _usable(raw, self.last_close)
        if is_first:
            known = np.isfinite(self.last_close)
            self.day = DayTotals(bar.open, np.where(known, self.last_close, self.prior_close))
        if not is_continuous:
            self.last_return = np.zeros(self.width)
        move = self._move(bar, is_continuous=is_continuous)
        means = self._fold_means(bar, move)
        moved = np.where(move.alive, move.returns, 0.0)
        distances = dict(zip(DISTANCE_SPANS, self.distances.update(moved), strict=True))
        macd = distances[26] - distances[12]
        self.macd_signal = self.macd_signal + MACD_SIGNAL_WEIGHT * (macd - self.macd_signal)
        self._push(bar, move)
        self.day.fold(bar, move)
        self.five.update(move.returns, is_continuous=is_continuous)
        self.last_close = np.where(move.alive, bar.close, self.last_close)
        self.last_return = moved
        self.last_ts_ns = bar.ts_ns
        return Frame(
            bar=bar,
            move=move,
            unit=self._unit(),
            beta=self._beta(),
            means=means,
            distances=distances,
            cumulative=np.cumsum(np.ascontiguousarray(self.returns.last(WINDOW_BARS)[::-1]), axis=0),
        )

    def _move(self, bar: BarArrays, *, is_continuous: bool) -> Move:
        before = np.where(np.isfinite(self.last_close), self.last_close, bar.open) if is_continuous else bar.open
        ratios = [bar.close / before, bar.high / bar.close, bar.low / bar.close, bar.spread_bps, bar.volume + 1.0]
        returns, high, low, spread_log, log_volume = log(np.stack(ratios))
        market_return = finite_mean(returns)
        quoted = np.isfinite(bar.bid) & np.isfinite(spread_log)
        shown = bar.bid_size + bar.ask_size
        is_two_sided = quoted & (shown > 0.0)
        return Move(
            alive=np.isfinite(returns),
            returns=returns,
            high=high,
            low=low,
            log_volume=log_volume,
            true_range=(np.maximum(bar.high, before) - np.minimum(bar.low, before)) / bar.close,
            market_return=market_return,
            residual=returns - self._beta() * market_return,
            quoted=quoted,
            book=np.where(is_two_sided, (bar.bid_size - bar.ask_size) / np.where(is_two_sided, shown, 1.0), 0.0),
            spread_log=spread_log,
        )

    def _fold_means(self, bar: BarArrays, move: Move) -> dict[str, FloatArray]:
        returns, unit = move.returns, self._unit()
        square = returns * returns
        range_square = (move.high - move.low) ** 2 / RANGE_VARIANCE_SCALE
        # A return of s units moves s / (1 + |s|) of the volume to the buyers' side: bulk classification with a
        # rational function in the place of the normal one (Easley, Lopez de Prado and O'Hara 2012).
        scaled = np.where(np.isfinite(unit), returns / unit, 0.0)
        bulk = bar.volume * scaled / (1.0 + np.abs(scaled))
        rows: dict[str, FloatArray] = {
            "square_10": square,
            "square_unit": square,
            "square_390": square,
            "lagged_60": returns * self.last_return,
            "cube_120": square * returns,
            "true_range_27": move.true_range,
            "range_square_20": range_square,
            "range_square_60": range_square,
            "market_square": np.full(self.width, move.market_return * move.market_return),
            "market_cross": returns * move.market_return,
            "spread_log_30": move.spread_log,
            "book_10": move.book,
        }
        rows |= {f"up_{span}": np.maximum(returns, 0.0) for span in RSI_SPANS}
        rows |= {f"down_{span}": np.maximum(-returns, 0.0) for span in RSI_SPANS}
        rows |= {f"volume_{span}": bar.volume for span in VOLUME_SPANS}
        rows |= {f"flow_volume_{span}": bar.volume for span in FLOW_SPANS}
        rows |= {f"flow_signed_{span}": bar.signed_volume for span in FLOW_SPANS}
        rows |= {f"bulk_{span}": bulk for span in BULK_SPANS}
        rows |= {f"bulk_volume_{span}": bar.volume for span in BULK_SPANS}
        values = np.stack([rows[name] for name in EWMA_INDEX])
        usable = np.repeat(move.alive[None, :], len(values), axis=0)
        for index in _QUOTE_ROWS:
            usable[index] &= move.quoted
        means = self.ewma.update(np.where(usable, values, 0.0), usable)
        return dict(zip(EWMA_INDEX, means, strict=True))

    def _push(self, bar: BarArrays, move: Move) -> None:
        self.returns.push(move.returns)
        self.residuals.push(move.residual)
        self.highs.push(move.high)
        self.lows.push(move.low)
        self.volumes.push(np.where(move.alive, bar.volume, np.nan))
        self.signed_by_return.push(np.where(move.alive, bar.volume * np.sign(move.returns), np.nan))
        self.market.push(move.market_return)

    def _unit(self) -> FloatArray:
        floor = self.parameters.sigma_floor_bps * 1e-4
        unit: FloatArray = np.maximum(np.sqrt(self.ewma.mean(EWMA_INDEX["square_unit"])), floor)
        return unit

    def _beta(self) -> FloatArray:
        square = self.ewma.mean(EWMA_INDEX["market_square"])
        cross = self.ewma.mean(EWMA_INDEX["market_cross"])
        beta: FloatArray = np.where(square > 0.0, cross / np.where(square > 0.0, square, 1.0), square)
        return beta


def _usable(bar: BarArrays, last_close: FloatArray) -> BarArrays:
    """Turn unusable bars into empty ones at the last close; without a last close they become NaN."""
    valid = bar.valid
    if bool(valid.all()):
        return bar
    return replace(
        bar,
        open=np.where(valid, bar.open, last_close),
        high=np.where(valid, bar.high, last_close),
        low=np.where(valid, bar.low, last_close),
        close=np.where(valid, bar.close, last_close),
        vwap=np.where(valid, bar.vwap, last_close),
        volume=np.where(valid, bar.volume, 0.0),
        signed_volume=np.where(valid, bar.signed_volume, 0.0),
    )
