"""Owns what became of barrier probabilities: which barrier the following bars of a recorded session touched first.

The barriers are those of the labels that the models learned from (López de Prado 2018, triple barrier). With ``c`` the
close of the forecast's bar and ``s = sigma_5m * sqrt(15/5)`` from its feature block, *peak* happened if within 15
minutes a low reached ``c (1 - s)`` before a high reached ``c (1 + 1.5 s)``, and *valley* is the mirror in price. A bar
that reaches both counts as happened, a path that reaches neither as not. A path with a missing bar is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from walstreet.domain.monitor import BARRIER_EVENTS
from walstreet.domain.units import MINUTE_NS, SIGMA_BASE_MINUTES, FloatArray
from walstreet.replay.recorded_arrays import aligned, floats, integers, keep_newest
from walstreet_events import PRICE_SCALE, BarBlock, FeatureBlock, ModelStatus, PredictionBlock

BARRIER_MINUTES = 15
"""Horizon of the models whose probabilities are judged."""
STOP_MULTIPLE = 1.0
"""Distance of the barrier that the event names, in sigmas of the horizon; the training's number."""
TARGET_MULTIPLE = 1.5
"""Distance of the other barrier; the training's number."""
KEPT_MAX = 4 * BARRIER_MINUTES
"""Bars, volatilities and paths that wait at most."""

assert KEPT_MAX > BARRIER_MINUTES


@dataclass(frozen=True, slots=True, kw_only=True)
class BarrierOutcome:
    """What became of one cycle's probabilities, (N,) each; NaN is unknown."""

    event: str
    """Of ``BARRIER_EVENTS``."""
    probability: FloatArray
    happened: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    symbols: tuple[str, ...]
    high_usd: FloatArray
    low_usd: FloatArray
    close_usd: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class _Forecast:
    symbols: tuple[str, ...]
    sigma_5m_bps: FloatArray
    probability: dict[str, FloatArray]


@dataclass(slots=True)
class BarrierPaths:
    """Probabilities that wait for the bars after them."""

    forecasts: int = 0
    """Cycles with a probability of a barrier at ``BARRIER_MINUTES``."""
    broken: int = 0
    """Of them, those whose path had a missing bar."""
    _bars: dict[int, _Bar] = field(default_factory=dict)
    _sigmas: dict[str, tuple[tuple[str, ...], FloatArray]] = field(default_factory=dict)
    _waiting: dict[int, _Forecast] = field(default_factory=dict)

    def take_features(self, block: FeatureBlock) -> None:
        """Keep the volatility until the predictions made from this block come."""
        sigma = floats(block.sigma_5m_bps, (len(block.symbols),))
        if not block.warmup and sigma is not None:
            keep_newest(self._sigmas, block.id, (block.symbols, sigma), KEPT_MAX)

    def take_predictions(self, block: PredictionBlock) -> None:
        """Begin the path of a cycle whose models gave probabilities."""
        known = self._sigmas.pop(block.features, None)
        values = floats(block.values, (len(block.models), len(block.symbols)))
        if block.warmup or known is None or values is None:
            return
        probability = {event: _mean_of(event, block, values) for event in BARRIER_EVENTS}
        if not any(np.isfinite(answers).any() for answers in probability.values()):
            return
        self.forecasts += 1
        sigma = aligned(known[1], block.symbols, known[0])
        forecast = _Forecast(symbols=block.symbols, sigma_5m_bps=sigma, probability=probability)
        keep_newest(self._waiting, block.ts_ns, forecast, KEPT_MAX)

    def take_bar(self, block: BarBlock) -> list[BarrierOutcome]:
        """Take a bar and return what it decided, ``BARRIER_MINUTES`` after its forecast."""
        shape = (len(block.symbols),)
        found = [integers(values, shape) for values in (block.high_nano, block.low_nano, block.close_nano)]
        high, low, close = (None if nano is None else _usd(nano / PRICE_SCALE) for nano in found)
        if block.warmup or block.bar_ns <= 0 or high is None or low is None or close is None:
            return []
        bar = _Bar(symbols=block.symbols, high_usd=high, low_usd=low, close_usd=close)
        keep_newest(self._bars, block.ts_ns, bar, KEPT_MAX)
        start_ns = block.ts_ns - BARRIER_MINUTES * MINUTE_NS
        forecast = self._waiting.pop(start_ns, None)
        if forecast is None:
            return []
        path = [self._bars.get(ts_ns) for ts_ns in range(start_ns, block.ts_ns + 1, block.bar_ns)]
        whole = [bar for bar in path if bar is not None]
        if len(whole) != len(path) or BARRIER_MINUTES * MINUTE_NS % block.bar_ns:
            self.broken += 1
            return []
        return _outcomes(forecast, whole)


def first_touch(
    high_usd: FloatArray, low_usd: FloatArray, close_usd: FloatArray, sigma_5m_bps: FloatArray, *, event: str
) -> FloatArray:
    """Return (N,) 1 where the barrier of ``event`` was touched first, 0 where not, NaN where a number is missing.

    Args:
        high_usd: (B, N) of the bars after the forecast, the whole horizon.
        low_usd: (B, N).
        close_usd: (N,) of the forecast's bar.
        sigma_5m_bps: (N,) of the forecast's bar.
        event: ``peak`` or ``valley``.
    """
    sign = 1.0 if event == "peak" else -1.0
    scale = 1e-4 * sigma_5m_bps * np.sqrt(BARRIER_MINUTES / float(SIGMA_BASE_MINUTES))
    stop = close_usd * (1.0 - sign * STOP_MULTIPLE * scale)
    target = close_usd * (1.0 + sign * TARGET_MULTIPLE * scale)
    open_paths = np.isfinite(stop) & np.isfinite(high_usd).all(axis=0) & np.isfinite(low_usd).all(axis=0)
    happened = np.where(open_paths, 0.0, np.nan)
    for top, bottom in zip(high_usd, low_usd, strict=True):
        stopped = bottom <= stop if event == "peak" else top >= stop
        reached = top >= target if event == "peak" else bottom <= target
        happened[open_paths & stopped] = 1.0
        open_paths = open_paths & ~stopped & ~reached
    return happened


def _outcomes(forecast: _Forecast, path: list[_Bar]) -> list[BarrierOutcome]:
    symbols = forecast.symbols
    high = np.stack([aligned(bar.high_usd, symbols, bar.symbols) for bar in path[1:]])
    low = np.stack([aligned(bar.low_usd, symbols, bar.symbols) for bar in path[1:]])
    close = aligned(path[0].close_usd, symbols, path[0].symbols)
    return [
        BarrierOutcome(
            event=event,
            probability=probability,
            happened=first_touch(high, low, close, forecast.sigma_5m_bps, event=event),
        )
        for event, probability in forecast.probability.items()
    ]


def _usd(values: FloatArray) -> FloatArray:
    """Return prices, NaN where there is none."""
    return np.where(values > 0.0, values, np.nan)


def _mean_of(event: str, block: PredictionBlock, values: FloatArray) -> FloatArray:
    """Return (N,) mean probability of the models that answered, as the barrier gate is asked; NaN without one."""
    total, answered = np.zeros(len(block.symbols)), np.zeros(len(block.symbols))
    for row, column in zip(values, block.models, strict=True):
        if (column.target, column.horizon_minutes, column.status) != (event, BARRIER_MINUTES, ModelStatus.OK):
            continue
        known = np.isfinite(row)
        total += np.where(known, row, 0.0)
        answered += known
    return np.where(answered > 0.0, total / np.maximum(answered, 1.0), np.nan)
