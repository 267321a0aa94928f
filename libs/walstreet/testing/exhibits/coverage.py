"""Owns the exhibit of conformal coverage: how often 80 % intervals hold where nothing changes, in drift, and really."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from walstreet.domain.conformal import coverage
from walstreet.domain.conformal_learn import learn
from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.conformal_state import MONITORED, ConformalState
from walstreet.domain.units import MINUTE_NS
from walstreet.testing.exhibits.row import Exhibit, Line, Panel, Row
from walstreet.testing.exhibits.worlds import SCORE_SIGMA, FloatArray, history

NAME = "coverage"
WANTED = 0.8
STILL_TOLERANCE = 0.02
DRIFT_TOLERANCE = 0.05
HORIZONS = (5, 30)
SEEDS = (101, 102, 103, 104, 105)
ROWS = 4_000
SYMBOLS = 10
PERSISTENCE = 0.97
WINDOW = 500
"""Minutes of the moving coverage that is drawn."""
DRAWN_EVERY = 10
"""Minutes from point to point of a drawn curve."""
MOMENTUM_MINUTES = 5
SIGMA_MINUTES = 390


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What became of the intervals of one history."""

    covered: float
    judged: int
    infinite: float
    """Share of calibrated minutes in which an end was infinite and said nothing."""
    minutes: FloatArray
    moving: FloatArray
    """Coverage over the trailing ``WINDOW`` minutes."""
    since_start: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class RealSet:
    """Real minute bars whose symbols overlap in time."""

    name: str
    symbols: tuple[str, ...]
    first: datetime
    last: datetime


REAL_SETS = (
    RealSet(
        name="SPY, new year 2020",
        symbols=("SPY",),
        first=datetime(2019, 12, 13, tzinfo=UTC),
        last=datetime(2020, 1, 17, tzinfo=UTC),
    ),
    RealSet(
        name="8 funds, new year 2020",
        symbols=("SPY", "TLT", "IEF", "BND", "AGG", "LQD", "EWZ", "XBI"),
        first=datetime(2019, 12, 16, tzinfo=UTC),
        last=datetime(2020, 1, 14, tzinfo=UTC),
    ),
    RealSet(
        name="8 stocks and funds, February 2019",
        symbols=("SPY", "QQQ", "GLD", "AAPL", "AMZN", "JPM", "TSLA", "MSFT"),
        first=datetime(2019, 2, 11, tzinfo=UTC),
        last=datetime(2019, 2, 16, tzinfo=UTC),
    ),
)


def still(share: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the same volatility and no mean throughout."""
    return np.ones_like(share), np.zeros_like(share)


def doubling(share: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return a volatility that doubles half-way."""
    return np.where(share < 0.5, 1.0, 2.0), np.zeros_like(share)


def drifting(share: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return a mean that rises from 0 to .2 of a minute's volatility."""
    return np.ones_like(share), 0.2 * share


CHANGES: tuple[tuple[str, Callable[[FloatArray], tuple[FloatArray, FloatArray]], float], ...] = (
    ("stationary", still, STILL_TOLERANCE),
    ("volatility doubles half-way", doubling, DRIFT_TOLERANCE),
    ("the mean drifts", drifting, DRIFT_TOLERANCE),
)


def exhibit(data: Path | None) -> Exhibit:
    """Measure the coverage; real minutes only where their folder is given."""
    rows: list[Row] = []
    panels: list[Panel] = []
    for horizon in HORIZONS:
        shown: dict[str, Watched] = {}
        for name, change, tolerance in CHANGES:
            runs = [_synthetic(seed, horizon, change) for seed in SEEDS]
            worst = max(runs, key=lambda run: abs(run.covered - WANTED))
            rows.append(_row(f"{name}, {horizon} minutes", worst, tolerance, f"worst of {len(runs)} worlds; "))
            shown[name] = worst
        for item in REAL_SETS if data is not None else ():
            assert data is not None
            run = watch(*real_history(data, item, horizon), horizon)
            rows.append(_row(f"real: {item.name}, {horizon} minutes", run, DRIFT_TOLERANCE, "score: momentum; "))
            shown[f"real: {item.name}"] = run
        panels += _panels(horizon, shown)
    return Exhibit(name=NAME, title="Coverage of 80 % conformal intervals", rows=tuple(rows), panels=tuple(panels))


def _panels(horizon: int, shown: Mapping[str, Watched]) -> list[Panel]:
    """Return the coverage since the start, which is what is promised, and that of the last minutes, which wanders."""
    return [
        Panel(
            title=f"horizon {horizon} minutes: {title}",
            x_label="minutes of outcomes",
            y_label="share inside",
            lines=tuple(
                Line(
                    name=name,
                    x=run.minutes[::DRAWN_EVERY].tolist(),
                    y=values(run)[::DRAWN_EVERY].tolist(),
                    style="dashed" if name.startswith("real") else "line",
                )
                for name, run in shown.items()
            ),
            allowed=allowed,
        )
        for title, values, allowed in (
            ("since the start", _since_start, (WANTED - DRIFT_TOLERANCE, WANTED + DRIFT_TOLERANCE)),
            (f"over the trailing {WINDOW} minutes", _moving, None),
        )
    ]


def _since_start(run: Watched) -> FloatArray:
    return run.since_start


def _moving(run: Watched) -> FloatArray:
    return run.moving


def _row(case: str, run: Watched, tolerance: float, note: str) -> Row:
    return Row(
        exhibit="conformal coverage",
        case=case,
        value=run.covered,
        low=WANTED - tolerance,
        high=WANTED + tolerance,
        note=f"{note}{run.judged:,} outcomes, infinite {run.infinite:.1%} of the time",
    )


def _synthetic(seed: int, horizon: int, change: Callable[[FloatArray], tuple[FloatArray, FloatArray]]) -> Watched:
    volatility, mean = change(np.linspace(0.0, 1.0, ROWS + horizon))
    made = history(
        np.random.default_rng([seed, horizon]),
        rows=ROWS,
        symbols=SYMBOLS,
        horizon=horizon,
        persistence=PERSISTENCE,
        volatility=volatility,
        mean=mean,
    )
    return watch(made.scores[:-1], made.outcomes, horizon)


def watch(scores: FloatArray, outcomes: FloatArray, horizon: int) -> Watched:
    """Return how the intervals held while (T, N) scores and outcomes matured minute by minute, in order."""
    state, parameters = ConformalState(), ConformalParameters()
    judged, missed = np.zeros(len(scores)), np.zeros(len(scores))
    infinite = calibrated = 0
    for row in range(len(scores)):
        learn(
            state,
            horizon_minutes=horizon,
            ts_ns=row * MINUTE_NS,
            now_ns=(row + horizon) * MINUTE_NS,
            scores=scores[row],
            outcomes=outcomes[row],
            parameters=parameters,
        )
        known = state.horizons[horizon]
        judged[row], missed[row] = known.judged, sum(known.missed[MONITORED])
        calibrated += known.calibrated
        infinite += known.calibrated and not np.isfinite(known.intervals[MONITORED]).all()
    report = coverage(state)[0]
    new, out = judged[WINDOW:] - judged[:-WINDOW], missed[WINDOW:] - missed[:-WINDOW]
    moving = 1.0 - np.divide(out, new, out=np.full_like(new, np.nan), where=new > 0.0)
    return Watched(
        covered=report.covered,
        judged=report.judged,
        infinite=infinite / max(1, calibrated),
        minutes=np.arange(WINDOW, len(scores), dtype=np.float64),
        moving=moving,
        since_start=1.0
        - np.divide(missed[WINDOW:], judged[WINDOW:], out=np.full_like(new, np.nan), where=judged[WINDOW:] > 0.0),
    )


def real_history(data: Path, item: RealSet, horizon: int) -> tuple[FloatArray, FloatArray]:
    """Return (T, N) scores and outcomes in sigma of real minutes; NaN where a bar, its past or its future is missing.

    The score is the momentum of five minutes: of no use, and yet related to what the intervals are conditioned on.
    Sigma is the root mean square of five-minute returns over the last 390 bars, the current one excluded.
    """
    tables = [
        pl.read_parquet(data / "minute" / f"{symbol}.parquet", columns=["ts", "close"])
        .filter(pl.col("ts").is_between(item.first, item.last))
        .rename({"close": symbol})
        for symbol in item.symbols
    ]
    table = tables[0]
    for other in tables[1:]:
        table = table.join(other, on="ts", how="full", coalesce=True)
    table = table.sort("ts")
    session = table["ts"].dt.convert_time_zone("America/New_York").dt.date().to_physical().to_numpy()
    close = table.select(item.symbols).to_numpy().astype(np.float64)
    change = _moves(close, session, MOMENTUM_MINUTES)
    squares = np.nan_to_num(change * change)
    known = np.isfinite(change).astype(np.float64)
    sums, counts = np.cumsum(squares, axis=0), np.cumsum(known, axis=0)
    sigma = np.full_like(close, np.nan)
    rows = slice(SIGMA_MINUTES, len(close) - 1)
    trailing = sums[SIGMA_MINUTES : len(close) - 1] - sums[: len(close) - 1 - SIGMA_MINUTES]
    count = counts[SIGMA_MINUTES : len(close) - 1] - counts[: len(close) - 1 - SIGMA_MINUTES]
    with np.errstate(invalid="ignore", divide="ignore"):
        # Shifted by one bar, so that no return is measured by itself.
        sigma[SIGMA_MINUTES + 1 :] = np.sqrt(np.where(count > SIGMA_MINUTES / 2, trailing / count, np.nan))
        assert sigma[rows].shape == trailing.shape
        ahead = np.full_like(close, np.nan)
        ahead[:-horizon] = _moves(close, session, horizon)[horizon:]
        return SCORE_SIGMA * change / sigma, ahead / (sigma * np.sqrt(horizon / MOMENTUM_MINUTES))


def _moves(close: FloatArray, session: FloatArray, minutes: int) -> FloatArray:
    """Return (T, N) returns over the last ``minutes`` bars of the same session, NaN elsewhere."""
    found = np.full_like(close, np.nan)
    same = (session[minutes:] == session[:-minutes])[:, None]
    found[minutes:] = np.where(same, close[minutes:] / close[:-minutes] - 1.0, np.nan)
    return found
