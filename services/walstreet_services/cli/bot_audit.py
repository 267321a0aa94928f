"""Owns the audit of a simulation: for every rebalance what was seen, what was chosen and why, and what was traded.

Each line is decided again by the function that live trading calls, on the same bars; if its targets were not the
engine's to the bit, research and live would be two strategies, and the run ends with that message.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from walstreet.domain.rotation import IndicatorTable, RotationDecision, decide_rotation
from walstreet.domain.units import FloatArray
from walstreet.research.swing_engine import PriceTable, price_table
from walstreet.research.swing_types import SwingBars, SwingParameters, SwingResult
from walstreet_services.cli.bot_inputs import Inputs
from walstreet_services.cli.bot_judge import Plain, finite

SYMBOLS_LISTED_MAX = 50
"""In a larger universe only the chosen and the held names are listed; the reasons of the others are counted."""


class ParityError(Exception):
    """The engine's targets are not those of the live decision; the fault is ours."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SingleDayIndicators(IndicatorTable):
    """The same indicators, but a correlation is computed for the asked day only.

    An audit asks for many pairs of a large universe, each on a few days; the table's own way computes every day.
    """

    def correlation(self, left: int, right: int, window: int, day: int) -> float:
        """Return the same bits as ``rotation_indicators.rolling_correlation`` on that day."""
        if day + 1 < window:
            return math.nan
        rows = self.returns()[day + 1 - window : day + 1]
        return window_correlation(rows[:, left].copy(), rows[:, right].copy())


def window_correlation(left: FloatArray, right: FloatArray) -> float:
    """Return the correlation of two returns (n,), two passes, added from the oldest on; NaN where it is unknown."""
    left, right = (side - _sum(side) / len(side) for side in (left, right))
    scale = _sum(left * left) * _sum(right * right)
    return _sum(left * right) / math.sqrt(scale) if scale > 0.0 else math.nan


def audit_table(bars: SwingBars) -> PriceTable:
    """Return what decisions on single days are made from."""
    indicators = SingleDayIndicators(high=bars.high, low=bars.low, close=bars.close)
    return replace(price_table(bars), indicators=indicators)


def audit_lines(
    inputs: Inputs, verb: str, segments: Sequence[SwingParameters], result: SwingResult
) -> Iterator[Mapping[str, object]]:
    """Yield the run's own line, then one for each rebalance.

    Raises:
        ParityError: A day's targets differ from the live decision's.
    """
    config = msgspec.to_builtins(inputs.config)
    yield {
        "timestamp": inputs.day(result.first_day),
        "event": "run",
        "verb": verb,
        "inputs": inputs.identity(),
        "config": {name: section for name, section in config.items() if name not in ("ibkr", "execution")},
    }
    table = audit_table(inputs.bars)
    for segment in segments:
        first = segment.first_day - result.first_day
        for day in range(first, segment.last_day - result.first_day + 1):
            if result.traded[day]:
                yield _rebalance(inputs, table, segment, result, day)


def drifted_weights(table: PriceTable, result: SwingResult, day: int) -> FloatArray:
    """Return (S,) the weights that were held into the close of a simulated day, before its trade."""
    if day == 0:
        return np.zeros(result.held.shape[1])
    drifted: FloatArray = (
        result.held[day - 1] * (1.0 + table.returns[result.first_day + day]) / (1.0 + result.gross[day])
    )
    return drifted


def symbols_plain(symbols: Sequence[str], table: PriceTable, row: int, decision: RotationDecision) -> Plain:
    """Return what was seen of every symbol on a day, and the reason why it was chosen or not."""
    return {
        symbol: {
            "close": finite(float(table.price[row, column])),
            "score": finite(float(decision.score[column])),
            "volatility": finite(float(decision.volatility[column])),
            "reason": decision.reasons[column].value,
        }
        for column, symbol in enumerate(symbols)
    }


def correlation_plain(symbols: Sequence[str], decision: RotationDecision) -> Plain:
    """Return the correlation of every pair of chosen names, in the order of their rank."""
    chosen = [symbols[column] for column in decision.chosen]
    return {
        f"{left}/{chosen[second]}": finite(float(decision.correlation[first, second]))
        for first, left in enumerate(chosen)
        for second in range(first + 1, len(chosen))
    }


def named_weights(symbols: Sequence[str], weights: FloatArray) -> Plain:
    """Return the weights above 0 by symbol, in universe order."""
    return {symbols[column]: float(weights[column]) for column in np.flatnonzero(weights).tolist()}


def _rebalance(
    inputs: Inputs, table: PriceTable, parameters: SwingParameters, result: SwingResult, day: int
) -> Mapping[str, object]:
    symbols, row = inputs.bars.symbols, result.first_day + day
    drifted = drifted_weights(table, result, day)
    decision = decide_rotation(table.signals(parameters), row, np.flatnonzero(drifted).tolist())
    if not np.array_equal(decision.target, result.target[day]):
        raise ParityError(
            f"{inputs.day(row)}: the engine ({inputs.engine.name}) wants {named_weights(symbols, result.target[day])}, "
            f"the live decision {named_weights(symbols, decision.target)}; this is a fault of walstreet"
        )
    before = 1.0 if day == 0 else float(result.equity[day - 1])
    equity_usd = parameters.equity_start_usd * before * (1.0 + float(result.gross[day]))
    return {
        "timestamp": inputs.day(row),
        "event": "rebalance",
        "equity_usd": equity_usd,
        "inputs": _listed(symbols_plain(symbols, table, row, decision), decision, drifted),
        "selected": [symbols[column] for column in decision.chosen],
        "correlation": correlation_plain(symbols, decision),
        "exposure": decision.exposure,
        "weights_before": named_weights(symbols, drifted),
        "weights": named_weights(symbols, decision.target),
        "turnover": float(result.turnover[day]),
        "cost": float(result.cost[day]),
        "orders": _orders(symbols, result.held[day] - drifted, table.price[row], equity_usd),
    }


def _orders(symbols: Sequence[str], moves: FloatArray, prices: FloatArray, equity_usd: float) -> list[Plain]:
    """Return what was traded at the close, sales first, in fractional shares."""
    columns = sorted(np.flatnonzero(moves).tolist(), key=lambda column: (moves[column] > 0.0, column))
    return [
        {
            "symbol": symbols[column],
            "side": "BUY" if moves[column] > 0.0 else "SELL",
            "weight": abs(float(moves[column])),
            "price": float(prices[column]),
            "quantity": abs(float(moves[column])) * equity_usd / float(prices[column]),
        }
        for column in columns
    ]


def _listed(seen: Plain, decision: RotationDecision, drifted: FloatArray) -> Plain:
    if len(seen) <= SYMBOLS_LISTED_MAX:
        return seen
    shown = [symbol for column, symbol in enumerate(seen) if column in decision.chosen or drifted[column] > 0.0]
    reasons = [reason.value for reason in decision.reasons]
    return {
        **{symbol: seen[symbol] for symbol in shown},
        "reasons": {reason: reasons.count(reason) for reason in sorted(set(reasons))},
    }


def _sum(values: FloatArray) -> float:
    """Return the sum, added one by one: the kernels' order would give other bits than the strategy's."""
    return float(np.add.accumulate(values)[-1])
