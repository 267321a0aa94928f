"""Owns the numbers that judge a simulation: metrics, Sharpe tests, permutation p-values, false discovery, bootstrap.

Years have 252 days, standard deviations are of the sample, drawdowns count from the start. Sums are added in one
fixed order and powers are portable, so the same returns give the same bits on every machine; only the two normal
distribution functions, which no choice depends on, are the C library's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import msgspec
import numpy as np

from walstreet import kernels
from walstreet.domain import counter_random
from walstreet.domain.units import BoolArray, FloatArray
from walstreet.kernels import portable
from walstreet.research.swing_types import DAYS_PER_YEAR, Objective, SwingResult

MONTHS_PER_YEAR = 12
DAYS_PER_MONTH = DAYS_PER_YEAR / MONTHS_PER_YEAR
EULER_GAMMA = 0.5772156649015329
BOOTSTRAP_RUNS_MAX = 100_000
SHARPE_DAYS_MIN = 3
"""Fewer returns have no variance of their Sharpe ratio."""

_NORMAL = NormalDist()

_METRIC_NAMES = {
    "cagr": "CAGR",
    "sharpe": "Sharpe",
    "calmar": "Calmar",
    "max_drawdown": "MaxDD",
    "profit_factor": "PF",
    "turnover": "Turnover",
}


class Metrics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=_METRIC_NAMES):
    """One simulation in numbers; JSON has the documented names."""

    cagr: float
    """``equity ** (252 / days) - 1``."""
    sharpe: float
    """Annualised, against a rate of 0; 0 where returns do not vary."""
    calmar: float
    """CAGR over drawdown; 0 without a drawdown."""
    max_drawdown: float
    """Largest fall from a peak as a share of it, at least 0; the start is a peak."""
    profit_factor: float
    """Sum of gains over sum of losses; infinite without a loss, which JSON writes as null; 0 without a gain."""
    turnover: float
    """Sum of absolute changes of weight."""
    turnover_per_year: float
    rebalances: int
    """Days on which the book was changed."""
    rebalances_per_month: float
    """Per 21 days."""
    cost: float
    """Sum of the daily costs, as shares of equity."""
    equity: float
    """At the end; 1 at the start."""
    days: int


class SharpeTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How sure a Sharpe ratio is, before and after counting how many were tried."""

    probabilistic: float
    """Probability that the true ratio exceeds 0."""
    deflated: float
    """Probability that it exceeds what the best of the trials would show without any skill."""
    threshold: float
    """That ratio, annualised."""
    trials: int


class Interval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A two-sided percentile interval."""

    low: float
    high: float


def metrics(result: SwingResult) -> Metrics:
    """Return the metrics of a simulation."""
    days = len(result.net)
    turnover, rebalances = kernels.ordered_sum(result.turnover), int(result.traded.sum())
    return Metrics(
        cagr=cagr(result.net),
        sharpe=sharpe(result.net),
        calmar=calmar(result.net),
        max_drawdown=max_drawdown(result.net),
        profit_factor=profit_factor(result.net),
        turnover=turnover,
        turnover_per_year=turnover * DAYS_PER_YEAR / days,
        rebalances=rebalances,
        rebalances_per_month=rebalances * DAYS_PER_MONTH / days,
        cost=kernels.ordered_sum(result.cost),
        equity=float(result.equity[-1]),
        days=days,
    )


def equity_curve(net: FloatArray) -> FloatArray:
    """Return (D,) equity after each day, from 1."""
    curve: FloatArray = np.multiply.accumulate(1.0 + net)
    return curve


def cagr(net: FloatArray) -> float:
    """Return the yearly growth of daily net returns (D,), D at least 1; -1 after a total loss."""
    end = float(equity_curve(net)[-1])
    if end <= 0.0:
        return -1.0
    return float(portable.power(np.array([end]), DAYS_PER_YEAR / len(net))[0]) - 1.0


def max_drawdown(net: FloatArray) -> float:
    """Return the largest fall from a peak, as a share of the peak; the start is a peak."""
    curve = equity_curve(net)
    peaks = np.maximum(np.maximum.accumulate(curve), 1.0)
    return max(0.0, float((1.0 - curve / peaks).max()))


def calmar(net: FloatArray) -> float:
    """Return CAGR over the largest drawdown; 0 without a drawdown."""
    fall = max_drawdown(net)
    return cagr(net) / fall if fall > 0.0 else 0.0


def sharpe(net: FloatArray) -> float:
    """Return the annualised Sharpe ratio against a rate of 0; 0 for fewer than 2 days or without variation."""
    return daily_sharpe(net) * math.sqrt(DAYS_PER_YEAR)


def daily_sharpe(net: FloatArray) -> float:
    """Return mean over sample standard deviation of daily returns; 0 where it is not defined."""
    if len(net) < 2 or bool((net == net[0]).all()):
        return 0.0
    mean = kernels.ordered_sum(net) / len(net)
    centred = net - mean
    return mean / math.sqrt(kernels.ordered_dot(centred, centred) / (len(net) - 1))


def profit_factor(net: FloatArray) -> float:
    """Return the sum of the gains over the sum of the losses; infinite without a loss, 0 without a gain."""
    gains = kernels.ordered_sum(np.maximum(net, 0.0))
    losses = kernels.ordered_sum(np.maximum(-net, 0.0))
    if losses > 0.0:
        return gains / losses
    return math.inf if gains > 0.0 else 0.0


_OBJECTIVES: dict[Objective, Callable[[FloatArray], float]] = {"Calmar": calmar, "CAGR": cagr, "Sharpe": sharpe}


def objective_value(net: FloatArray, objective: Objective) -> float:
    """Return what a walk-forward maximises, of daily net returns (D,)."""
    return _OBJECTIVES[objective](net)


def permutation_p_value(real: float, permuted: FloatArray) -> float:
    """Return ``(1 + #(permuted >= real)) / (N + 1)``: the real one counts as one more permutation.

    Phipson and Smyth 2010, "Permutation p-values should never be zero".
    """
    return (1 + int((permuted >= real).sum())) / (len(permuted) + 1)


def adjusted_p_values(p_values: FloatArray) -> FloatArray:
    """Return (W,) Benjamini-Hochberg adjusted p-values; those at most q are discoveries at false discovery rate q.

    Benjamini and Hochberg 1995: in ascending order ``W * p / rank``, never above that of a larger p.
    """
    count = len(p_values)
    if count == 0:
        return np.zeros(0)
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * count / np.arange(1, count + 1)
    smallest = np.minimum.accumulate(scaled[::-1])[::-1]
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(smallest, 1.0)
    return adjusted


def discoveries(p_values: FloatArray, rate: float) -> BoolArray:
    """Return (W,) which hypotheses are rejected at false discovery rate ``rate``."""
    found: BoolArray = adjusted_p_values(p_values) <= rate
    return found


def simes_p_value(p_values: FloatArray) -> float:
    """Return one p-value for "nothing in any window": the smallest adjusted one (Simes 1986).

    It holds for independent and for positively dependent windows, as overlapping training years are.
    """
    return float(adjusted_p_values(p_values).min()) if len(p_values) else 1.0


def probabilistic_sharpe(net: FloatArray, threshold_daily: float = 0.0) -> float:
    """Return the probability that the true daily Sharpe ratio exceeds a threshold.

    Bailey and López de Prado 2012, "The Sharpe ratio efficient frontier": ``Phi((SR - SR*) * sqrt(n - 1) /
    sqrt(1 - skew * SR + (kurtosis - 1) / 4 * SR**2))``. .5 where the ratio is not defined.
    """
    ratio = daily_sharpe(net)
    if len(net) < SHARPE_DAYS_MIN or ratio == 0.0:
        return 0.5
    skew, kurtosis = _shape(net)
    variance = 1.0 - skew * ratio + (kurtosis - 1.0) / 4.0 * ratio * ratio
    if variance <= 0.0:
        return 0.5
    return _NORMAL.cdf((ratio - threshold_daily) * math.sqrt(len(net) - 1) / math.sqrt(variance))


def expected_best_sharpe(trials_daily: FloatArray) -> float:
    """Return the daily Sharpe ratio that the best of N trials without skill is expected to show.

    Bailey and López de Prado 2014, "The deflated Sharpe ratio": ``sd * ((1 - g) * z(1 - 1/N) + g * z(1 - 1/(N e)))``
    with g Euler's constant and sd the sample standard deviation over the trials; 0 for fewer than 2.
    """
    count = len(trials_daily)
    if count < 2:
        return 0.0
    centred = trials_daily - kernels.ordered_sum(trials_daily) / count
    deviation = math.sqrt(kernels.ordered_dot(centred, centred) / (count - 1))
    first = _NORMAL.inv_cdf(1.0 - 1.0 / count)
    second = _NORMAL.inv_cdf(1.0 - 1.0 / (count * math.e))
    return deviation * ((1.0 - EULER_GAMMA) * first + EULER_GAMMA * second)


def sharpe_test(net: FloatArray, trials_daily: FloatArray) -> SharpeTest:
    """Return the probabilistic and the deflated Sharpe ratio of the chosen returns.

    Args:
        net: (D,) of what was chosen.
        trials_daily: (N,) daily Sharpe ratios of everything that was tried, the chosen one included.
    """
    threshold = expected_best_sharpe(trials_daily)
    return SharpeTest(
        probabilistic=probabilistic_sharpe(net),
        deflated=probabilistic_sharpe(net, threshold),
        threshold=threshold * math.sqrt(DAYS_PER_YEAR),
        trials=len(trials_daily),
    )


def bootstrap_interval(
    net: FloatArray,
    statistic: Callable[[FloatArray], float],
    *,
    block_days: int,
    runs: int,
    level: float,
    seed: int,
) -> Interval:
    """Return a percentile interval of a statistic by the moving-block bootstrap (Künsch 1989).

    Blocks of neighbouring days keep the dependence from day to day. Starts come from the counter-based generator,
    keyed by seed and run, so neither the number of runs before nor any thread changes a run.

    Args:
        net: (D,) daily returns.
        statistic: Of resampled returns, in their new order.
        block_days: Length of a block, at most D.
        runs: Number of resamples.
        level: Coverage, between 0 and 1.
        seed: Of the starts.

    Raises:
        ValueError: An argument is out of range.
    """
    days = len(net)
    if not 1 <= block_days <= days:
        raise ValueError(f"bootstrap: block_days is {block_days}; allowed is 1 to the {days} days there are")
    if not 1 <= runs <= BOOTSTRAP_RUNS_MAX or not 0.0 < level < 1.0:
        raise ValueError(f"bootstrap: runs is {runs} (1 to {BOOTSTRAP_RUNS_MAX}), level is {level} (0 to 1)")
    blocks = -(-days // block_days)
    offsets = np.arange(block_days)
    values = np.zeros(runs)
    for run in range(runs):
        key = f"walstreet.swing.bootstrap/{seed}/{run}".encode()
        starts = counter_random.integers(key, blocks, days - block_days + 1)
        values[run] = statistic(net[(starts[:, None] + offsets).reshape(-1)[:days]])
    values.sort()
    # The order statistics outside of which a share of at most (1 - level) / 2 lies on each side.
    tail = math.floor((1.0 - level) / 2.0 * runs)
    return Interval(low=float(values[tail]), high=float(values[runs - 1 - tail]))


def _shape(net: FloatArray) -> tuple[float, float]:
    """Return skewness and (not excess) kurtosis from the moments of the returns, which vary."""
    count = len(net)
    centred = net - kernels.ordered_sum(net) / count
    squares = centred * centred
    variance = kernels.ordered_sum(squares) / count
    third = kernels.ordered_dot(squares, centred) / count
    fourth = kernels.ordered_dot(squares, squares) / count
    return third / (variance * math.sqrt(variance)), fourth / (variance * variance)
