"""Owns the tests of the regime detector."""

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from walstreet.domain.regime import MARKET, RegimeMemory, RegimeParameters, market_sigma_bps, observe
from walstreet.features.parameters import FeatureParameters
from walstreet.features.volatility import FiveMinuteVolatility

QUICK = RegimeParameters(fast_half_life_bars=1.0, slow_half_life_bars=2.0, enter_ratio=1.2, leave_ratio=1.1, bars_min=2)
"""Decays 1 - 2**-1 = .5 and 1 - 2**-.5 = .292893."""


def run(values: list[float], parameters: RegimeParameters, memory: RegimeMemory | None = None):
    """Return the outcome of each bar of one symbol."""
    outcomes, current = [], memory or RegimeMemory()
    for value in values:
        outcome = observe(current, symbols=("A",), sigma_5m_bps=np.array([value]), parameters=parameters)
        outcomes.append(outcome)
        current = outcome.memory
    return outcomes


def test_the_ratio_by_hand():
    """10 then 30 bps: fast 100+.5*800 = 500, slow 100+.292893*800 = 334.31, ratio sqrt(1.49560) = 1.22295."""
    last = run([10.0, 30.0], QUICK)[-1]
    slow = 100.0 + (1.0 - 2.0**-0.5) * 800.0
    assert last.ratio[0] == pytest.approx(math.sqrt(500.0 / slow))
    assert last.ratio[0] == pytest.approx(1.22295, abs=1e-5)
    assert last.turbulent.tolist() == [True]
    assert last.switched.tolist() == [True]


def test_a_regime_ends_below_the_lower_level_only():
    """Between the two levels the regime stays what it was."""
    outcomes = run([10.0, 30.0, 27.0, 27.0, 27.0, 20.0, 10.0], QUICK)
    ratios = [outcome.ratio[0] for outcome in outcomes]
    turbulent = [bool(outcome.turbulent[0]) for outcome in outcomes]
    switched = [bool(outcome.switched[0]) for outcome in outcomes]
    assert 1.1 < ratios[2] < 1.2
    assert turbulent[:3] == [False, True, True]
    assert turbulent[-1] is False
    assert sum(switched) == 2


def test_nothing_switches_before_enough_bars():
    """With bars_min = 3 a jump in the second bar waits for the third."""
    patient = RegimeParameters(
        fast_half_life_bars=1.0, slow_half_life_bars=100.0, enter_ratio=1.2, leave_ratio=1.1, bars_min=3
    )
    assert [bool(item.switched[0]) for item in run([10.0, 40.0, 40.0], patient)] == [False, False, True]


@pytest.mark.parametrize("missing", [math.nan, 0.0, -5.0, math.inf, 1e200])
def test_a_missing_volatility_changes_nothing(missing: float):
    """The record, the regime and the ratio stay, and no switch is reported."""
    before = run([10.0, 30.0], QUICK)[-1]
    after = run([missing], QUICK, before.memory)[-1]
    assert after.memory == before.memory
    assert after.turbulent.tolist() == [True]
    assert after.switched.tolist() == [False]
    assert np.isnan(run([missing], QUICK)[0].ratio[0])


def test_symbols_are_independent_and_absent_ones_are_kept():
    """A symbol that one bar lacks keeps its record; the digest is sorted."""
    first = observe(RegimeMemory(), symbols=("B", "A"), sigma_5m_bps=np.array([10.0, 20.0]), parameters=QUICK)
    second = observe(first.memory, symbols=("A",), sigma_5m_bps=np.array([20.0]), parameters=QUICK)
    assert second.memory.records["B"] == first.memory.records["B"]
    assert [row[0] for row in second.memory.canonical()] == ["A", "B"]


def test_the_market_is_the_median_of_what_is_known():
    """Of 10, 30, 20 and missing ones it is 20; too few are unknown."""
    sigma = np.array([10.0, math.nan, 30.0, 20.0, -1.0])
    assert market_sigma_bps(sigma, symbols_min=3) == 20.0
    assert math.isnan(market_sigma_bps(sigma, symbols_min=4))
    assert math.isnan(market_sigma_bps(np.array([math.nan]), symbols_min=0))
    outcome = observe(RegimeMemory(), symbols=(MARKET,), sigma_5m_bps=np.array([20.0]), parameters=QUICK)
    assert outcome.ratio.tolist() == [1.0]


def test_levels_that_contradict_each_other_are_refused():
    """A regime may not end above where it begins, nor the fast mean be the slower one."""
    with pytest.raises(ValueError, match=r"regime\.leave_ratio is 1.6"):
        RegimeParameters(leave_ratio=1.6)
    with pytest.raises(ValueError, match=r"regime\.fast_half_life_bars is 400"):
        RegimeParameters(fast_half_life_bars=400.0)


def volatilities(folder: Path, symbol: str, year: int) -> np.ndarray:
    """Return the feature builder's sigma_5m in bps after each minute bar of a year."""
    bars = pl.read_parquet(folder / "minute" / f"{symbol}.parquet").filter(pl.col("ts").dt.year() == year)
    times, closes = bars["ts"].dt.timestamp("us").to_numpy(), bars["close"].to_numpy()
    volatility = FiveMinuteVolatility(1, FeatureParameters(), bar_ns=60 * 10**9)
    out = np.full(len(closes), math.nan)
    for index in range(1, len(closes)):
        continuous = bool(times[index] - times[index - 1] == 60_000_000)
        change = math.log(closes[index] / closes[index - 1]) if continuous else math.nan
        volatility.update(np.array([change]), is_continuous=continuous)
        out[index] = volatility.sigma_bps()[0]
    return out


@pytest.mark.data
@pytest.mark.parametrize(("symbol", "year", "sessions"), [("MSFT", 2022, 20), ("SPY", 2019, 11)])
def test_the_defaults_neither_sleep_nor_flutter_on_real_bars(market_data: Path, symbol: str, year: int, sessions: int):
    """On real minute bars the regime switches, but less than once a session, and is mostly calm."""
    memory, switches, turbulent, bars = RegimeMemory(), 0, 0, 0
    for sigma in volatilities(market_data, symbol, year).tolist():
        outcome = observe(memory, symbols=(symbol,), sigma_5m_bps=np.array([sigma]), parameters=RegimeParameters())
        memory, bars = outcome.memory, bars + 1
        switches, turbulent = switches + int(outcome.switched[0]), turbulent + int(outcome.turbulent[0])
    assert 0 < switches < sessions
    assert 0.0 < turbulent / bars < 0.3
