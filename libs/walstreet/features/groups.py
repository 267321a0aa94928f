"""Owns the features of price and volatility: what each column is called and how it is computed.

A group is a tuple of specifications and one function that returns their values in the same order, so a name
can never drift away from its number. Returns are in *sigma units*: a sum of k one-bar returns over the
one-bar volatility times sqrt(k).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from walstreet.features.memory import RSI_SPANS, FeatureMemory, Frame
from walstreet.features.portable import log
from walstreet.features.schema import FeatureSpec

FloatArray = NDArray[np.float64]

RETURN_BARS = (1, 2, 3, 5, 10, 15, 30, 60, 120)
EMA_SPANS = (8, 21, 55, 120)
BAND_BARS = (20, 60)
POSITION_BARS = (15, 60, 120)
EFFICIENCY_BARS = 30
TINY = 1e-300
DEFINITION = "definition"


@dataclass(frozen=True, slots=True)
class Group:
    """Some columns and the one function that fills them."""

    specs: tuple[FeatureSpec, ...]
    compute: Callable[[FeatureMemory, Frame], Sequence[FloatArray]]
    """Returns one array of shape (N,) per specification, NaN with too little history."""


def spec(name: str, unit: str, formula: str, source: str = DEFINITION) -> FeatureSpec:
    """Return one specification; a shorthand for the tables of groups."""
    return FeatureSpec(name=name, unit=unit, formula=formula, source=source)


def ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Return the quotient; 0 where the denominator is 0, NaN where either is NaN. Shape (N,)."""
    zero = denominator == 0.0
    return np.where(zero, 0.0 * numerator, numerator / np.where(zero, 1.0, denominator))


def _returns(_memory: FeatureMemory, frame: Frame) -> Sequence[FloatArray]:
    return [frame.cumulative[bars - 1] / (frame.unit * np.sqrt(float(bars))) for bars in RETURN_BARS]


def _volatility(_memory: FeatureMemory, frame: Frame) -> Sequence[FloatArray]:
    means = frame.means
    unit_square = frame.unit * frame.unit
    logs = log(
        np.stack(
            [
                means["square_10"] / unit_square + TINY,
                unit_square / np.maximum(means["square_390"], unit_square * 1e-6),
                means["range_square_20"] / unit_square + TINY,
                means["range_square_60"] / unit_square + TINY,
                means["true_range_27"] / frame.unit + TINY,
            ]
        )
    )
    spread = (frame.move.high - frame.move.low) / frame.unit
    cube = ratio(means["cube_120"], unit_square * frame.unit)
    return [0.5 * logs[0], 0.5 * logs[1], 0.5 * logs[2], 0.5 * logs[3], logs[4], spread, cube]


def _oscillators(memory: FeatureMemory, frame: Frame) -> Sequence[FloatArray]:
    means, unit, distances = frame.means, frame.unit, frame.distances
    strength = [
        ratio(means[f"up_{span}"] - means[f"down_{span}"], means[f"up_{span}"] + means[f"down_{span}"])
        for span in RSI_SPANS
    ]
    away = [distances[span] / (unit * np.sqrt(float(span))) for span in EMA_SPANS]
    macd = (distances[26] - distances[12]) / (unit * np.sqrt(26.0))
    signal = memory.macd_signal / (unit * np.sqrt(26.0))
    return [*strength, *away, macd, macd - signal]


def _shape(memory: FeatureMemory, frame: Frame) -> Sequence[FloatArray]:
    bands = [_band(frame, bars) for bars in BAND_BARS]
    positions = _positions(memory, frame)
    moved = np.add.reduce(np.abs(memory.returns.last(EFFICIENCY_BARS)), axis=0)
    efficiency = ratio(frame.cumulative[EFFICIENCY_BARS - 1], moved)
    lagged = ratio(frame.means["lagged_60"], frame.unit * frame.unit)
    move = frame.move
    place = ratio(-move.low - move.high, move.high - move.low)
    return [*bands, *positions, efficiency, lagged, place]


def _band(frame: Frame, bars: int) -> FloatArray:
    """Return the close's distance from the mean of the last closes in their standard deviations."""
    # Closes relative to the newest one: 0, -r_t, -(r_t + r_{t-1}), ...
    relative = np.vstack([np.zeros(len(frame.unit)), -frame.cumulative[: bars - 1]])
    mean = np.add.reduce(relative, axis=0) / bars
    variance = np.add.reduce((relative - mean) ** 2, axis=0) / bars
    return ratio(-mean, np.sqrt(variance))


def _positions(memory: FeatureMemory, frame: Frame) -> list[FloatArray]:
    """Return the close's place between low (-1) and high (+1) of windows, overnight gaps taken out."""
    # Bar j closed at -(sum of the returns after it) relative to the newest close.
    longest = POSITION_BARS[-1]
    closes = np.vstack([np.zeros(len(frame.unit)), -frame.cumulative[: longest - 1]])
    highs = closes + memory.highs.last(longest)[::-1]
    lows = closes + memory.lows.last(longest)[::-1]
    top, bottom = highs[0], lows[0]
    places, begin = [], 1
    for bars in POSITION_BARS:
        top = np.maximum(top, np.maximum.reduce(highs[begin:bars], axis=0))
        bottom = np.minimum(bottom, np.minimum.reduce(lows[begin:bars], axis=0))
        places.append(ratio(-bottom - top, top - bottom))
        begin = bars
    return places


_WILDER = "Wilder 1978, New Concepts in Technical Trading Systems"

PRICE_GROUPS: tuple[Group, ...] = (
    Group(
        tuple(
            spec(f"ret_{bars}", "sigma", f"sum of last {bars} returns / (unit * sqrt({bars}))") for bars in RETURN_BARS
        ),
        _returns,
    ),
    Group(
        (
            spec("vol_fast_log", "log ratio", "log(rms return, span 10 / unit)"),
            spec("vol_slow_log", "log ratio", "log(unit / rms return, span 390)"),
            spec(
                "parkinson_20_log",
                "log ratio",
                "log(range volatility, span 20 / unit)",
                "Parkinson 1980, J. Business 53",
            ),
            spec(
                "parkinson_60_log",
                "log ratio",
                "log(range volatility, span 60 / unit)",
                "Parkinson 1980, J. Business 53",
            ),
            spec("atr_14_log", "log ratio", "log(mean true range over close, span 27 / unit)", _WILDER),
            spec("range_1", "sigma", "log(high / low) / unit"),
            spec("skew_120", "1", "mean cubed return, span 120 / unit^3"),
        ),
        _volatility,
    ),
    Group(
        (
            spec("rsi_6", "-1..1", "(U - D) / (U + D), means of rises and falls, span 11", _WILDER),
            spec("rsi_14", "-1..1", "(U - D) / (U + D), means of rises and falls, span 27", _WILDER),
            *(
                spec(
                    f"ema_distance_{span}",
                    "sigma",
                    f"(x - EMA{span}(x)) / (unit * sqrt({span})), x = cumulative return",
                )
                for span in EMA_SPANS
            ),
            spec("macd_12_26", "sigma", "(EMA12(x) - EMA26(x)) / (unit * sqrt(26))", "Appel 1979, MACD"),
            spec("macd_histogram", "sigma", "MACD less its span-9 mean / (unit * sqrt(26))", "Appel 1979, MACD"),
        ),
        _oscillators,
    ),
    Group(
        (
            *(
                spec(
                    f"bollinger_{bars}", "deviations", f"(x - mean) / deviation of the last {bars} x", "Bollinger 2001"
                )
                for bars in BAND_BARS
            ),
            *(
                spec(
                    f"position_{bars}",
                    "-1..1",
                    f"2 (x - low) / (high - low) - 1 over {bars} bars",
                    "Lane 1984, stochastics",
                )
                for bars in POSITION_BARS
            ),
            spec("efficiency_30", "-1..1", "sum of returns / sum of their magnitudes, 30 bars", "Kaufman 1995"),
            spec("autocorrelation_60", "1", "mean of r_t r_(t-1), span 60 / unit^2"),
            spec("close_position_1", "-1..1", "2 (close - low) / (high - low) - 1 of the bar"),
        ),
        _shape,
    ),
)
