"""Owns the rotation's decision of one day: from indicators and the held book to target weights with reasons.

Research and live call the same functions on the same bars, which is what makes their targets equal. A target at the
close of day t is held from that close and earns the return of day t + 1, so nothing here may see a later row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from walstreet.domain import rotation_indicators as indicators
from walstreet.domain.rotation_parameters import NO_COLUMN, RotationParameters
from walstreet.domain.rotation_select import Correlation, RotationReason, choose, rank
from walstreet.domain.rotation_weights import target_weights
from walstreet.domain.units import BoolArray, FloatArray

ATR_SHARE_MIN = 1e-6
"""Smallest divisor of a score, so that a price without range does not divide by 0."""

Position = tuple[int, float]
"""A column and its weight."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IndicatorTable:
    """Indicators of one set of bars, each computed once however many parameters ask for it."""

    high: FloatArray
    """(T, S) USD, NaN where a symbol has no bar; like the other two."""
    low: FloatArray
    close: FloatArray
    _kept: dict[tuple[str, int], FloatArray] = field(default_factory=dict)
    _pairs: dict[tuple[int, int, int], list[float]] = field(default_factory=dict)

    def ema(self, window: int) -> FloatArray:
        """Return (T, S) ``rotation_indicators.ema`` of the closes."""
        key = ("ema", window)
        if key not in self._kept:
            self._kept[key] = indicators.ema(self.close, window)
        return self._kept[key]

    def atr(self, window: int) -> FloatArray:
        """Return (T, S) ``rotation_indicators.atr``."""
        key = ("atr", window)
        if key not in self._kept:
            self._kept[key] = indicators.atr(self.high, self.low, self.close, window)
        return self._kept[key]

    def returns(self) -> FloatArray:
        """Return (T, S) returns between neighbouring rows."""
        key = ("returns", 1)
        if key not in self._kept:
            self._kept[key] = indicators.row_returns(self.close)
        return self._kept[key]

    def volatility(self, window: int) -> FloatArray:
        """Return (T, S) sample standard deviations of returns."""
        key = ("volatility", window)
        if key not in self._kept:
            self._kept[key] = indicators.rolling_deviation(self.returns(), window)
        return self._kept[key]

    def correlation(self, left: int, right: int, window: int, day: int) -> float:
        """Return the correlation of two columns over the ``window`` rows up to ``day``; NaN where unknown."""
        key = (left, right, window)
        if key not in self._pairs:
            returns = self.returns()
            series = indicators.rolling_correlation(returns[:, left], returns[:, right], window)
            self._pairs[key] = series.tolist()
        return self._pairs[key][day]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RotationSignals:
    """What the strategy sees of every day, without the book."""

    table: IndicatorTable
    parameters: RotationParameters
    score: FloatArray
    """(T, S) distance of the close from the fast EMA in average true ranges."""
    ready: BoolArray
    """(T, S) whether a bar and every indicator exist."""
    above_gate: BoolArray
    """(T, S) fast EMA above the slow one."""
    above_macd: BoolArray
    """(T, S) MACD above 0; everywhere if it is not asked for."""
    below_ema: BoolArray
    """(T, S) close below the fast EMA."""
    may_enter: BoolArray
    """(T, S) what a name needs that is not held."""
    may_stay: BoolArray
    """(T, S) what a held name needs."""
    exposure: FloatArray
    """(T,) factor of the regime overlay."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RotationDecision:
    """One day's targets and why."""

    target: FloatArray
    """(S,) weights of equity, at least 0."""
    score: FloatArray
    """(S,), NaN where it is unknown."""
    volatility: FloatArray
    """(S,) of daily returns."""
    reasons: tuple[RotationReason, ...]
    """(S,)."""
    chosen: tuple[int, ...]
    """Columns, best first."""
    correlation: FloatArray
    """(n, n) among the chosen, in their order."""
    exposure: float
    """Factor of the regime overlay."""


def rotation_signals(table: IndicatorTable, parameters: RotationParameters) -> RotationSignals:
    """Return the signals of every day of ``table``."""
    close, fast = table.close, table.ema(parameters.ema_fast)
    slow, average_range = table.ema(parameters.ema_slow), table.atr(parameters.atr_window)
    with np.errstate(invalid="ignore"):
        score = (close / fast - 1.0) / np.maximum(average_range / close, ATR_SHARE_MIN)
        above_gate = fast > slow
        below_ema = close < fast
    ready = ~np.isnan(score) & ~np.isnan(slow) & ~np.isnan(table.volatility(parameters.vol_window))
    ready &= indicators.rolling_complete(table.returns(), parameters.corr_window)
    above_macd = np.ones_like(ready)
    if parameters.macd_enabled:
        line = table.ema(parameters.macd_fast) - table.ema(parameters.macd_slow)
        ready &= ~np.isnan(line)
        above_macd = line > 0.0
    passing = ready & above_gate & above_macd
    may_enter = passing & ~below_ema & (score >= parameters.min_score)
    may_stay = passing & (score >= parameters.hold_floor) if parameters.keeps_held else may_enter
    return RotationSignals(
        table=table,
        parameters=parameters,
        score=score,
        ready=ready,
        above_gate=above_gate,
        above_macd=above_macd,
        below_ema=below_ema,
        may_enter=may_enter,
        may_stay=may_stay,
        exposure=_exposure(close, parameters),
    )


def rotation_targets(signals: RotationSignals, day: int, held: Sequence[int]) -> list[Position]:
    """Return the targets above 0 at the close of row ``day``, in universe order.

    Args:
        signals: Of bars that contain the row.
        day: Row.
        held: Columns held before the day's trade, ascending.
    """
    enter: list[bool] = signals.may_enter[day].tolist()
    kept = _kept(signals, held)
    stay: list[bool] = signals.may_stay[day].tolist()
    candidates = [column for column, may in enumerate(enter) if (stay[column] if kept[column] else may)]
    if not candidates:
        return []
    scores: list[float] = signals.score[day].tolist()
    ranked = rank(candidates, scores, kept, signals.parameters.hold_bonus)
    return _weighted(signals, day, choose(ranked, _pair_lookup(signals, day), signals.parameters))


def decide_rotation(signals: RotationSignals, day: int, held: Sequence[int]) -> RotationDecision:
    """Return ``rotation_targets`` of row ``day`` with a reason for every symbol, for live trading and the audit log."""
    kept = _kept(signals, held)
    reasons = {column: _unfit(signals, day, column, keeps=kept[column]) for column in range(len(kept))}
    candidates = [column for column, reason in reasons.items() if reason is None]
    ranked = rank(candidates, signals.score[day].tolist(), kept, signals.parameters.hold_bonus)
    lookup = _pair_lookup(signals, day)
    found: dict[int, RotationReason] = {}
    chosen = choose(ranked, lookup, signals.parameters, found)
    target = np.zeros(len(kept))
    for column, weight in _weighted(signals, day, chosen):
        target[column] = weight
    return RotationDecision(
        target=target,
        score=signals.score[day].copy(),
        volatility=signals.table.volatility(signals.parameters.vol_window)[day].copy(),
        reasons=tuple(reason if reason is not None else found[column] for column, reason in reasons.items()),
        chosen=tuple(chosen),
        correlation=_among(signals, day, chosen),
        exposure=float(signals.exposure[day]),
    )


def must_trade(target: Sequence[float], drifted: Sequence[float], band: float) -> bool:
    """Return whether some weight is further than ``band`` from its target; then all trade to their targets."""
    return any(abs(want - have) > band for want, have in zip(target, drifted, strict=True))


def _kept(signals: RotationSignals, held: Sequence[int]) -> list[bool]:
    kept = [False] * signals.score.shape[1]
    if signals.parameters.keeps_held:
        for column in held:
            kept[column] = True
    return kept


def _unfit(signals: RotationSignals, day: int, column: int, *, keeps: bool) -> RotationReason | None:
    """Return the first rule that the symbol fails by itself, None if it may be ranked."""
    place = day, column
    rules = [
        (bool(np.isnan(signals.table.close[place])), RotationReason.NO_BAR),
        (not signals.ready[place], RotationReason.WARMING_UP),
        (not signals.above_gate[place], RotationReason.TREND_GATE),
        (not signals.above_macd[place], RotationReason.MACD_GATE),
    ]
    if keeps:
        rules.append((not signals.may_stay[place], RotationReason.BELOW_FLOOR))
    else:
        rules.append((bool(signals.below_ema[place]), RotationReason.BELOW_EMA))
        rules.append((not signals.may_enter[place], RotationReason.BELOW_SCORE))
    return next((reason for fails, reason in rules if fails), None)


def _pair_lookup(signals: RotationSignals, day: int) -> Correlation:
    table, window = signals.table, signals.parameters.corr_window
    return lambda left, right: table.correlation(left, right, window, day)


def _among(signals: RotationSignals, day: int, columns: Sequence[int]) -> FloatArray:
    """Return (n, n) correlations of the columns in the order given."""
    lookup = _pair_lookup(signals, day)
    matrix = np.eye(len(columns))
    for first, left in enumerate(columns):
        for second in range(first + 1, len(columns)):
            right = columns[second]
            matrix[first, second] = matrix[second, first] = lookup(min(left, right), max(left, right))
    return matrix


def _weighted(signals: RotationSignals, day: int, chosen: Sequence[int]) -> list[Position]:
    if not chosen:
        return []
    parameters = signals.parameters
    columns = sorted(chosen)
    row = signals.table.volatility(parameters.vol_window)[day]
    correlation = None if parameters.weight_method == "inv_vol" else _among(signals, day, columns)
    weights = target_weights([float(row[column]) for column in columns], correlation, parameters)
    exposure = float(signals.exposure[day])
    return [(column, weight * exposure) for column, weight in zip(columns, weights, strict=True)]


def _exposure(close: FloatArray, parameters: RotationParameters) -> FloatArray:
    """Return (T,) the regime's factor; a day without the symbol's bar keeps the state of the day before."""
    exposure = np.ones(len(close))
    if parameters.regime_column == NO_COLUMN:
        return exposure
    series = close[:, parameters.regime_column]
    average = indicators.simple_average(series, parameters.regime_window)
    below = False
    for day, (price, mean) in enumerate(zip(series.tolist(), average.tolist(), strict=True)):
        # Before the average exists the comparison is with NaN, which is False: no dampening.
        below = price < mean if not math.isnan(price) else below
        exposure[day] = parameters.regime_factor if below else 1.0
    return exposure
