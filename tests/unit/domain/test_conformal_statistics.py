"""Owns the statistical tests of the conformal gate: no skill rarely passes, skill often does, intervals cover.

Seeds are fixed, so every test gives the same numbers each time. Returns have fat tails (Student, 4 degrees of
freedom) and share a market factor (correlation .35); outcomes are sums over the horizon, so that those of neighbouring
minutes overlap; scores are persistent and correlated between symbols (.3). Scores are a tenth of a standard normal, as
a calibrated forecast with an IC of .1 is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from walstreet.domain.conformal import Coverage, coverage, gate
from walstreet.domain.conformal_learn import learn
from walstreet.domain.conformal_mean import block_plan, fit_slope, mean_intervals, plan_draws
from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.conformal_state import ConformalState

pytestmark = pytest.mark.spec("000.1")

MINUTE_NS = 60_000_000_000
COST_SIGMA = 0.1
SCORE_SIGMA = 0.1


def returns_of(rng: np.random.Generator, minutes: int, histories: int, symbols: int) -> np.ndarray:
    """Return (T, R, N) one-minute returns of unit variance with a common factor and fat tails."""
    market = rng.standard_t(4, (minutes, histories, 1)) * np.sqrt(0.35)
    own = rng.standard_t(4, (minutes, histories, symbols)) * np.sqrt(0.65)
    return (market + own) / np.sqrt(2.0)


def scores_of(rng: np.random.Generator, minutes: int, histories: int, symbols: int, persistence: float) -> np.ndarray:
    """Return (T, R, N) persistent scores of standard deviation ``SCORE_SIGMA``, correlated between symbols."""
    shared = rng.standard_normal((minutes, histories, 1)) * np.sqrt(0.3)
    shocks = shared + rng.standard_normal((minutes, histories, symbols)) * np.sqrt(0.7)
    shocks[1:] *= np.sqrt(1.0 - persistence**2)
    for minute in range(1, minutes):
        shocks[minute] += persistence * shocks[minute - 1]
    return shocks * SCORE_SIGMA


def outcomes_of(returns: np.ndarray, horizon: int, count: int) -> np.ndarray:
    """Return (count, R, N) sums over the ``horizon`` minutes after each decision, over their volatility."""
    total = np.concatenate((np.zeros_like(returns[:1]), np.cumsum(returns, axis=0)))
    return (total[horizon : horizon + count] - total[:count]) / np.sqrt(horizon)


def passing(
    rng: np.random.Generator, *, histories: int, symbols: int, horizon: int, rows: int, persistence: float, ic: float
) -> Iterator[np.ndarray]:
    """Yield per history which of the symbols pass the mean gate at ``COST_SIGMA`` right after the history."""
    parameters = ConformalParameters()
    batch = 50
    for start in range(0, histories, batch):
        scores = scores_of(rng, rows + horizon, batch, symbols, persistence)
        outcomes = outcomes_of(returns_of(rng, rows + horizon, batch, symbols), horizon, rows)
        past, now = scores[:rows], scores[-1]
        outcomes += ic * past / SCORE_SIGMA
        products, squares = (past * outcomes).sum(axis=2), (past * past).sum(axis=2)
        for history in range(batch):
            plan = block_plan(
                plan_draws(horizon, start + history, parameters),
                rows=rows,
                length=parameters.block_rows(horizon, rows),
                overlap=parameters.overlap_rows(horizon),
                replicates=parameters.bootstrap_replicates,
            )
            fit = fit_slope(
                products[:, history],
                squares[:, history],
                plan=plan,
                miss=parameters.miss_each_side,
                score_abs_max=float(np.abs(past[:, history]).max()),
            )
            assert fit is not None
            lower, upper = mean_intervals([fit], now[history][None, :])
            yield ((lower > COST_SIGMA) & (now[history] > 0)) | ((upper < -COST_SIGMA) & (now[history] < 0))


@pytest.mark.parametrize(
    ("horizon", "rows", "persistence", "symbols"),
    [(30, 600, 0.97, 20), (15, 300, 0.999, 20), (60, 2_400, 0.999, 10)],
    ids=["first moment", "first moment, slow scores", "full window, slow scores"],
)
def test_no_skill_rarely_passes(horizon: int, rows: int, persistence: float, symbols: int) -> None:
    """Of 400 histories without skill at most 5 % let any symbol pass a cost of .1 sigma.

    The first moment, twenty horizons side by side, is the weakest one; .1 sigma is what a score of one standard
    deviation would be worth if it had the skill that it claims.
    """
    rng = np.random.default_rng([1, horizon])
    flags = list(
        passing(rng, histories=400, symbols=symbols, horizon=horizon, rows=rows, persistence=persistence, ic=0.0)
    )
    assert len(flags) == 400
    assert np.mean([flag.any() for flag in flags]) <= 0.05


def test_no_skill_rarely_passes_through_the_whole_gate() -> None:
    """The same through ``learn`` and ``gate``: 400 histories of 120 decision times, 8 symbols, 5 minutes."""
    parameters = ConformalParameters(window_decision_times=120, refit_every=120, blocks_max=24)
    rng = np.random.default_rng(2)
    rows, horizon = 120, 5
    scores = scores_of(rng, rows + horizon, 400, 8, 0.9)
    outcomes = outcomes_of(returns_of(rng, rows + horizon, 400, 8), horizon, rows)
    passed = asked = 0
    for history in range(400):
        state = ConformalState()
        for minute in range(rows):
            learn(
                state,
                horizon_minutes=horizon,
                ts_ns=minute * MINUTE_NS,
                now_ns=(minute + horizon) * MINUTE_NS,
                scores=scores[minute, history],
                outcomes=outcomes[minute, history],
                parameters=parameters,
            )
        result = gate(
            state,
            horizons_minutes=np.array([horizon]),
            scores=scores[-1, history][None, :],
            cost_sigma=np.full((1, 8), COST_SIGMA),
            parameters=parameters,
        )
        assert coverage(state)[0].mean_calibrated
        asked += 1
        passed += (result.conf_long | result.conf_short).any()
    assert asked == 400
    assert passed / asked <= 0.05


@pytest.mark.parametrize(("horizon", "often", "share"), [(5, 0.8, (0.1, 0.5)), (60, 0.3, (0.03, 0.5))])
def test_skill_passes_often_but_not_always(horizon: int, often: float, share: tuple[float, float]) -> None:
    """With an IC of .1 and a cost of .1 sigma the strongest of 20 scores pass in most histories, the weak ones never.

    A score must be above one standard deviation to be worth its cost even if all were known, so at most a third of
    symbols can pass rightly; seven days hold far fewer separate hours than separate five minutes.
    """
    rng = np.random.default_rng([3, horizon])
    flags = list(passing(rng, histories=50, symbols=20, horizon=horizon, rows=2_730, persistence=0.97, ic=0.1))
    assert np.mean([flag.any() for flag in flags]) >= often
    assert share[0] <= np.mean([flag.mean() for flag in flags]) <= share[1]


def watched(
    scores: np.ndarray, outcomes: np.ndarray, parameters: ConformalParameters, horizon: int
) -> tuple[Coverage, float]:
    """Return the coverage after learning (T, N) in order, and the share of time with an infinite interval."""
    state = ConformalState()
    infinite = judged = 0
    for minute in range(len(scores)):
        learn(
            state,
            horizon_minutes=horizon,
            ts_ns=minute * MINUTE_NS,
            now_ns=(minute + horizon) * MINUTE_NS,
            scores=scores[minute],
            outcomes=outcomes[minute],
            parameters=parameters,
        )
        known = state.horizons[horizon]
        judged += known.calibrated
        infinite += known.calibrated and not np.isfinite(known.intervals[0]).all()
    return coverage(state)[0], infinite / judged


def constant(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the same volatility and no drift throughout."""
    return np.ones_like(share), np.zeros_like(share)


def doubling(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a volatility that doubles half-way."""
    return np.where(share < 0.5, 1.0, 2.0), np.zeros_like(share)


def drifting(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a mean that rises from zero to .2 of a minute's volatility, .45 of five minutes'."""
    return np.ones_like(share), 0.2 * share


@pytest.mark.parametrize("horizon", [5, 30])
@pytest.mark.parametrize(
    ("change", "tolerance"), [(constant, 0.02), (doubling, 0.05), (drifting, 0.05)], ids=["still", "volatility", "mean"]
)
def test_intervals_cover_what_they_promise(
    horizon: int, change: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], tolerance: float
) -> None:
    """80 % within two points where nothing changes and within five where volatility doubles or the mean drifts.

    The interval must say something, too: it is finite nearly always.
    """
    rng = np.random.default_rng([4, horizon])
    rows = 4_000
    volatility, drift = change(np.linspace(0.0, 1.0, rows + horizon))
    returns = returns_of(rng, rows + horizon, 1, 10) * volatility[:, None, None] + drift[:, None, None]
    scores = scores_of(rng, rows, 1, 10, 0.97)[:, 0]
    report, infinite = watched(scores, outcomes_of(returns, horizon, rows)[:, 0], ConformalParameters(), horizon)
    assert report.judged > 35_000
    assert abs(report.covered - 0.8) <= tolerance
    assert abs(report.missed_below / report.judged - 0.1) <= tolerance
    assert abs(report.missed_above / report.judged - 0.1) <= tolerance
    assert infinite <= 0.15


def test_the_full_step_per_overlapping_outcome_says_nothing_most_of_the_time() -> None:
    """By the formula's letter 30-minute intervals cover 80 % by being infinite more than half of the time."""
    rng = np.random.default_rng(5)
    rows, horizon = 1_500, 30
    outcomes = outcomes_of(returns_of(rng, rows + horizon, 1, 20), horizon, rows)[:, 0]
    scores = scores_of(rng, rows, 1, 20, 0.97)[:, 0]
    _, literal = watched(scores, outcomes, ConformalParameters(adaptation="outcome"), horizon)
    _, overlap = watched(scores, outcomes, ConformalParameters(), horizon)
    assert literal > 0.5
    assert overlap < 0.1


@pytest.mark.data
@pytest.mark.parametrize("horizon", [5, 30])
def test_intervals_cover_real_minutes(market_data: Path, horizon: int) -> None:
    """SPY, five weeks around new year 2020, momentum of the last five minutes as score: 80 % within five points."""
    bars = (
        pl.read_parquet(market_data / "minute" / "SPY.parquet")
        .filter(pl.col("ts").dt.year() * 100 + pl.col("ts").dt.month() >= 2019_12)
        .with_columns(pl.col("ts").dt.convert_time_zone("America/New_York").dt.date().alias("session"))
    )
    times = bars["ts"].dt.timestamp("ms").to_numpy() * 1_000_000
    close, session = bars["close"].to_numpy(), bars["session"].to_physical().to_numpy()
    count = len(close)
    assert count > 8_000
    change = np.full(count, np.nan)
    change[5:] = np.where(session[5:] == session[:-5], close[5:] / close[:-5] - 1.0, np.nan)
    ahead = np.full(count, np.nan)
    ahead[:-horizon] = np.where(
        session[horizon:] == session[:-horizon], close[horizon:] / close[:-horizon] - 1.0, np.nan
    )
    sigma = np.full(count, np.nan)
    for bar in range(390, count):
        sigma[bar] = np.sqrt(np.nanmean(change[bar - 390 : bar] ** 2))
    scores = SCORE_SIGMA * change / sigma
    outcomes = ahead / (sigma * np.sqrt(horizon / 5.0))
    state = ConformalState()
    for bar in range(count - horizon):
        learn(
            state,
            horizon_minutes=horizon,
            ts_ns=int(times[bar]),
            now_ns=int(times[bar + horizon]),
            scores=scores[bar : bar + 1],
            outcomes=outcomes[bar : bar + 1],
            parameters=ConformalParameters(),
        )
    report = coverage(state)[0]
    assert report.judged > 6_000
    assert abs(report.covered - 0.8) <= 0.05
    assert np.isfinite([report.lower_sigma, report.upper_sigma]).all()
    assert 0.5 < report.upper_sigma - report.lower_sigma < 6.0
