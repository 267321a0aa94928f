"""Owns the exhibit of two promises of research: no day knows a later bar, and both engines give the same numbers."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from walstreet.research.swing_engine import ReferenceEngine
from walstreet.research.swing_native import choose_engine
from walstreet.research.swing_types import SwingBars, SwingEngine, SwingParameters, SwingResult
from walstreet.testing.exhibits.row import Exhibit, Row

NAME: Final = "look_ahead"
DAYS: Final = 320
SYMBOLS: Final = 9
DATES: Final = 200
SETS: Final = 60
SEED: Final = 77
TOLERANCE: Final = 1e-12
SERIES: Final = ("target", "held", "gross", "turnover", "cost", "net", "equity")


def exhibit() -> Exhibit:
    """Change what comes after each of many days, and run many parameter sets through both engines."""
    base = SwingParameters(corr_window=40, ema_slow=40, first_day=0, last_day=DAYS - 1)
    native = choose_engine([base], threads=1)
    changed = changed_days(native.engine, base, dates=DATES, seed=SEED)
    rows = [
        Row(
            exhibit="no look-ahead",
            case="days whose earlier weights changed",
            value=changed,
            low=0.0,
            high=0.0,
            note=f"{DATES} days; every bar after the day replaced by another world's, {native.name} engine",
        )
    ]
    if native.name == "native":
        rows.append(
            Row(
                exhibit="native against reference",
                case="largest difference of weights and returns",
                value=largest_difference(native.engine, sets=SETS, seed=SEED),
                high=TOLERANCE,
                note=f"{SETS} random parameter sets over {DAYS} days and {SYMBOLS} symbols",
            )
        )
    return Exhibit(name=NAME, title="Later bars and other engines", rows=tuple(rows))


def changed_days(engine: SwingEngine, parameters: SwingParameters, *, dates: int, seed: int) -> int:
    """Return after how many of ``dates`` random days another future changes anything of the past."""
    generator = np.random.default_rng(seed)
    bars, other = walk(generator), walk(generator)
    real = engine.simulate(bars, [parameters])
    changed = 0
    for day in generator.integers(1, DAYS, size=dates).tolist():
        moved = engine.simulate(_joined(bars, other, day), [parameters])
        changed += not all(getattr(moved, n)[:day].tobytes() == getattr(real, n)[:day].tobytes() for n in SERIES)
    return changed


def largest_difference(engine: SwingEngine, *, sets: int, seed: int) -> float:
    """Return the largest difference between an engine and the reference over random parameter sets."""
    generator = np.random.default_rng(seed)
    bars = walk(generator)
    worst = 0.0
    for _ in range(sets):
        point = random_point(generator)
        ours, theirs = engine.simulate(bars, [point]), ReferenceEngine().simulate(bars, [point])
        worst = max(worst, *(_difference(ours, theirs, name) for name in SERIES))
    return worst


def random_point(generator: np.random.Generator) -> SwingParameters:
    """Return parameters that the native engine knows, whatever else they are."""
    fast = int(generator.integers(2, 30))
    base = SwingParameters(first_day=0, last_day=DAYS - 1)
    return msgspec.structs.replace(
        base,
        ema_fast=fast,
        ema_slow=fast + int(generator.integers(1, 60)),
        atr_window=int(generator.integers(2, 40)),
        top_n=int(generator.integers(1, 5)),
        corr_window=int(generator.integers(5, 90)),
        corr_cap=float(generator.uniform(0.1, 1.0)),
        vol_window=int(generator.integers(2, 60)),
        hold_bonus=float(generator.choice([0.0, 0.5, 1.0])),
        band=float(generator.choice([0.0, 0.02, 0.1])),
        max_weight=float(generator.uniform(0.2, 1.0)),
        cap_mode="clip" if generator.random() < 0.5 else "water_fill",
        settlement="t+1" if generator.random() < 0.5 else "t+0",
    )


def walk(generator: np.random.Generator) -> SwingBars:
    """Return bars of a random walk with a common part."""
    moves = generator.normal(0.0004, 0.01, (DAYS, SYMBOLS)) + generator.normal(0.0, 0.006, (DAYS, 1))
    close = 100.0 * np.exp(np.add.accumulate(moves, axis=0))
    opened = np.concatenate((close[:1], close[:-1])) * np.exp(generator.normal(0.0, 0.003, (DAYS, SYMBOLS)))
    room = np.abs(generator.normal(0.0, 0.004, (2, DAYS, SYMBOLS)))
    return SwingBars(
        symbols=tuple(f"S{index}" for index in range(SYMBOLS)),
        dates=np.arange(DAYS, dtype=np.int32),
        open=opened,
        high=np.maximum(opened, close) * np.exp(room[0]),
        low=np.minimum(opened, close) * np.exp(-room[1]),
        close=close,
    )


def _joined(bars: SwingBars, other: SwingBars, day: int) -> SwingBars:
    """Return the bars up to ``day``, excluded, and another world's from it on."""
    sides = {
        name: np.concatenate([getattr(bars, name)[:day], getattr(other, name)[day:]])
        for name in ("open", "high", "low", "close")
    }
    return SwingBars(symbols=bars.symbols, dates=bars.dates, **sides)


def _difference(ours: SwingResult, theirs: SwingResult, name: str) -> float:
    return float(np.abs(getattr(ours, name) - getattr(theirs, name)).max())
