"""Owns the numbers that stand beside a simulation: benchmarks, intervals, Sharpe tests, monthly returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np

from walstreet import kernels
from walstreet.domain.units import FloatArray
from walstreet.research import statistics
from walstreet.research.benchmark import equal_weight, hold_one
from walstreet.research.swing_data import PRICES, date_of, read_bars
from walstreet.research.swing_types import DAYS_PER_YEAR, DateArray, SwingBars, SwingResult
from walstreet_services.cli.bot_engine import Advance
from walstreet_services.cli.bot_inputs import Inputs

MARKET = "SPY"
EQUAL_WEIGHT = "equal weight"
BLOCK_DAYS = 21
"""A month: longer than what daily returns remember, and short enough for many blocks."""
BOOTSTRAP_RUNS = 1_000
BOOTSTRAP_LEVEL = 0.95

Plain = dict[str, object]
"""What JSON can write."""

_STATISTICS: dict[str, Callable[[FloatArray], float]] = {
    "CAGR": statistics.cagr,
    "Sharpe": statistics.sharpe,
    "Calmar": statistics.calmar,
    "MaxDD": statistics.max_drawdown,
}


def finite(value: float) -> float | None:
    """Return the number, None where JSON has none."""
    return value if math.isfinite(value) else None


def metrics_plain(result: SwingResult) -> Plain:
    """Return the metrics under their documented names."""
    built = msgspec.to_builtins(statistics.metrics(result))
    return {name: finite(value) if isinstance(value, float) else value for name, value in built.items()}


def returns_plain(net: FloatArray) -> Plain:
    """Return what can be said of daily returns alone."""
    plain: Plain = {name: measure(net) for name, measure in _STATISTICS.items()}
    plain["PF"] = finite(statistics.profit_factor(net))
    plain["equity"] = float(statistics.equity_curve(net)[-1])
    return plain


def benchmark_returns(inputs: Inputs, first: int, last: int) -> dict[str, FloatArray]:
    """Return the daily returns of what the strategy is compared with, from row ``first`` to row ``last``.

    SPY is read from the data folder where the universe lacks it; without the file there is no such row.
    """
    series: dict[str, FloatArray] = {}
    if MARKET in inputs.bars.symbols:
        series[MARKET] = hold_one(inputs.bars, MARKET, first, last)
    elif (inputs.data / f"{MARKET}.parquet").is_file():
        series[MARKET] = hold_one(_on_days(inputs.data, inputs.bars.dates), MARKET, first, last)
    series[EQUAL_WEIGHT] = equal_weight(inputs.bars, first, last)
    return series


def benchmarks_plain(net: FloatArray, series: Mapping[str, FloatArray]) -> Plain:
    """Return each benchmark's numbers and its correlation with the strategy."""
    return {name: {**returns_plain(other), "correlation": correlation(net, other)} for name, other in series.items()}


def intervals_plain(net: FloatArray, *, seed: int, advance: Advance) -> Plain:
    """Return bootstrap intervals of the headline numbers."""
    block_days = min(BLOCK_DAYS, len(net))
    plain: Plain = {"level": BOOTSTRAP_LEVEL, "block_days": block_days, "runs": BOOTSTRAP_RUNS}
    for name, measure in _STATISTICS.items():
        found = statistics.bootstrap_interval(
            net, measure, block_days=block_days, runs=BOOTSTRAP_RUNS, level=BOOTSTRAP_LEVEL, seed=seed
        )
        plain[name] = {"low": finite(found.low), "high": finite(found.high)}
        advance(1.0 / len(_STATISTICS))
    return plain


def sharpe_plain(net: FloatArray, trials: FloatArray) -> Plain:
    """Return the probabilistic and the deflated Sharpe ratio.

    Args:
        net: (D,) of what was chosen.
        trials: (N,) annualised Sharpe ratios of everything else that was tried over the same days.
    """
    daily = np.append(trials / math.sqrt(DAYS_PER_YEAR), statistics.daily_sharpe(net))
    plain: Plain = msgspec.to_builtins(statistics.sharpe_test(net, daily))
    return plain


def correlation(left: FloatArray, right: FloatArray) -> float | None:
    """Return the correlation of two return series (D,); None where one does not vary."""
    left, right = (side - kernels.ordered_sum(side) / len(side) for side in (left, right))
    scale = kernels.ordered_dot(left, left) * kernels.ordered_dot(right, right)
    return kernels.ordered_dot(left, right) / math.sqrt(scale) if scale > 0.0 else None


def monthly_returns(dates: DateArray, net: FloatArray) -> dict[str, float]:
    """Return the compounded return of every calendar month ``YYYY-MM``, the first and the last perhaps in part."""
    growth: dict[str, float] = {}
    for day, value in zip(dates.tolist(), net.tolist(), strict=True):
        month = date_of(day).isoformat()[:7]
        growth[month] = growth.get(month, 1.0) * (1.0 + value)
    return {month: value - 1.0 for month, value in growth.items()}


def _on_days(folder: Path, dates: DateArray) -> SwingBars:
    """Return the market's bars on exactly these days."""
    bars = read_bars(folder, [MARKET])
    rows, own = np.flatnonzero(np.isin(dates, bars.dates)), np.isin(bars.dates, dates)
    prices = {name: np.full((len(dates), 1), np.nan) for name in PRICES}
    for name in PRICES:
        prices[name][rows] = getattr(bars, name)[own]
    return SwingBars(symbols=bars.symbols, dates=dates, **prices)
