"""Owns the features of volume, order flow, quotes, the market and the clock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from walstreet.features.crosssection import centred_ranks, finite_median
from walstreet.features.groups import DEFINITION, Group, ratio, spec
from walstreet.features.memory import BULK_SPANS, FLOW_SPANS, FeatureMemory, Frame
from walstreet.features.portable import cosine_of_turn, log, sine_of_turn

FloatArray = NDArray[np.float64]

MARKET_BARS = (1, 5, 15, 60)
RESIDUAL_BARS = (1, 5, 15, 30, 60)
SESSION_SCALE_MINUTES = 390.0
DAY_FRACTION_SQRT_BARS = 19.748417658131498
"""sqrt(390): bars of a session."""
TOUCH_LIMIT = 3.0


def _volume(memory: FeatureMemory, frame: Frame) -> Sequence[FloatArray]:
    means, bar = frame.means, frame.bar
    pace = log(np.stack([means["volume_5"] + 1.0, means["volume_30"] + 1.0, means["volume_390"] + 1.0]))
    typical = memory.day.price_volume
    session_vwap = np.where(memory.day.volume > 0.0, typical / np.maximum(memory.day.volume, 1e-9), bar.close)
    distance, bar_distance = log(np.stack([bar.close / session_vwap, bar.close / bar.vwap]))
    root = np.sqrt(float(max(memory.day.minutes, 1)))
    balance = ratio(
        np.add.reduce(memory.signed_by_return.last(20), axis=0), np.add.reduce(memory.volumes.last(20), axis=0)
    )
    bulk = [ratio(means[f"bulk_{span}"], means[f"bulk_volume_{span}"]) for span in BULK_SPANS]
    # The first addend makes a symbol without history NaN here too.
    surprise = 0.0 * frame.unit + memory.day.volume_surprise
    return [
        surprise,
        pace[0] - pace[2],
        pace[1] - pace[2],
        distance / (frame.unit * root),
        bar_distance / frame.unit,
        balance,
        *bulk,
    ]


def _flow(_memory: FeatureMemory, frame: Frame) -> Sequence[FloatArray]:
    means, bar = frame.means, frame.bar
    newest = np.where(frame.move.alive, ratio(bar.signed_volume, bar.volume), np.nan)
    flows = {span: ratio(means[f"flow_signed_{span}"], means[f"flow_volume_{span}"]) for span in FLOW_SPANS}
    away = flows[10] - finite_median(flows[10])
    return [newest, *flows.values(), away]


def _quotes(_memory: FeatureMemory, frame: Frame) -> Sequence[FloatArray]:
    move, bar, means = frame.move, frame.bar, frame.means
    quoted = move.quoted & move.alive
    missing = np.where(move.alive, 0.0, np.nan)
    level = np.where(quoted, move.spread_log, np.nan)
    relative = np.where(quoted, level - finite_median(level), missing)
    change = np.where(quoted, level - means["spread_log_30"], missing)
    in_sigma = np.where(quoted, level - log(1e4 * frame.unit), np.nan)
    tightness = np.where(quoted, in_sigma - finite_median(in_sigma), missing)
    half = 0.5 * (bar.ask - bar.bid)
    touch = np.where(quoted & (half > 0.0), (bar.close - bar.bid - half) / np.where(half > 0.0, half, 1.0), missing)
    book_mean = np.where(np.isfinite(means["book_10"]), means["book_10"], missing)
    return [
        np.where(quoted, 1.0, missing),
        relative,
        change,
        tightness,
        missing + move.book,
        book_mean,
        np.clip(touch, -TOUCH_LIMIT, TOUCH_LIMIT),
    ]


def _market(memory: FeatureMemory, frame: Frame) -> Sequence[FloatArray]:
    market_unit = np.sqrt(frame.means["market_square"])
    shared = np.cumsum(memory.market.last(max(MARKET_BARS))[::-1, 0])
    market = [
        ratio(np.full(memory.width, shared[bars - 1]), market_unit * np.sqrt(float(bars))) for bars in MARKET_BARS
    ]
    own = np.cumsum(np.ascontiguousarray(memory.residuals.last(max(RESIDUAL_BARS))[::-1]), axis=0)
    residual = [own[bars - 1] / (frame.unit * np.sqrt(float(bars))) for bars in RESIDUAL_BARS]
    return [*market, *residual, frame.beta]


def _ranks(_memory: FeatureMemory, frame: Frame) -> Sequence[FloatArray]:
    means = frame.means
    flow = ratio(means["flow_signed_10"], means["flow_volume_10"])
    busy = ratio(means["volume_5"], means["volume_390"])
    return [
        centred_ranks(frame.cumulative[4] / frame.unit),
        centred_ranks(frame.cumulative[29] / frame.unit),
        centred_ranks(frame.cumulative[119] / frame.unit),
        centred_ranks(flow),
        centred_ranks(busy),
    ]


def _clock(memory: FeatureMemory, frame: Frame) -> Sequence[FloatArray]:
    since = (frame.bar.ts_ns - memory.clock.open_ns) / 60e9
    left = (memory.clock.close_ns - frame.bar.ts_ns) / 60e9
    turn = since / max((memory.clock.close_ns - memory.clock.open_ns) / 60e9, 1.0)
    values = (
        sine_of_turn(turn),
        cosine_of_turn(turn),
        since / SESSION_SCALE_MINUTES,
        max(left, 0.0) / SESSION_SCALE_MINUTES,
    )
    session = log(frame.bar.close / memory.day.open) / (frame.unit * np.sqrt(float(max(memory.day.minutes, 1))))
    gap = memory.day.gap / (frame.unit * DAY_FRACTION_SQRT_BARS)
    return [*(np.full(memory.width, value) for value in values), session, gap]


_BULK = "Easley, Lopez de Prado and O'Hara 2012, bulk volume classification with s/(1+|s|)"
_LEE_READY = "Lee and Ready 1991, signed volume by the quote rule"

FLOW_GROUPS: tuple[Group, ...] = (
    Group(
        (
            spec(
                "volume_surprise_day",
                "deviations",
                "(log volume - its mean) / deviation, same day's earlier bars, span 60",
            ),
            spec("volume_pace_5", "log ratio", "log(mean volume, span 5 / span 390)"),
            spec("volume_pace_30", "log ratio", "log(mean volume, span 30 / span 390)"),
            spec("vwap_distance_day", "sigma", "log(close / session VWAP) / (unit * sqrt(bars of the session))"),
            spec("vwap_distance_1", "sigma", "log(close / VWAP of the bar) / unit"),
            spec(
                "volume_balance_20",
                "-1..1",
                "sum of sign(r) volume / sum of volume, 20 bars",
                "Granville 1963, on-balance volume",
            ),
            *(
                spec(f"bulk_flow_{span}", "-1..1", f"mean bulk-signed volume / mean volume, span {span}", _BULK)
                for span in BULK_SPANS
            ),
        ),
        _volume,
    ),
    Group(
        (
            spec("flow_1", "-1..1", "signed volume / volume of the bar, 0 without trades", _LEE_READY),
            *(
                spec(f"flow_{span}", "-1..1", f"mean signed volume / mean volume, span {span}", _LEE_READY)
                for span in FLOW_SPANS
            ),
            spec("flow_10_relative", "-1..1", "flow_10 less its median over the symbols", DEFINITION),
        ),
        _flow,
    ),
    Group(
        (
            spec("quote_known", "0 or 1", "a two-sided quote stood at the bar's end"),
            spec("spread_relative", "log ratio", "log spread less its median over the symbols, 0 without a quote"),
            spec("spread_change", "log ratio", "log spread less its mean, span 30, 0 without a quote"),
            spec("spread_in_sigma_relative", "log ratio", "log(spread / unit) less its median, 0 without a quote"),
            spec(
                "book_1",
                "-1..1",
                "(bid size - ask size) / sum at the bar's end, 0 without a quote",
                "Cont, Kukanov and Stoikov 2014",
            ),
            spec("book_10", "-1..1", "mean of book_1 while quoted, span 10", "Cont, Kukanov and Stoikov 2014"),
            spec("touch", "half-spreads", "(close - mid) / half-spread, within 3, 0 without a quote"),
        ),
        _quotes,
    ),
    Group(
        (
            *(
                spec(
                    f"market_{bars}", "sigma", f"mean return of all symbols over {bars} bars / (its rms * sqrt({bars}))"
                )
                for bars in MARKET_BARS
            ),
            *(
                spec(f"residual_{bars}", "sigma", f"sum of r - beta * market over {bars} bars / (unit * sqrt({bars}))")
                for bars in RESIDUAL_BARS
            ),
            spec("beta", "1", "mean r * market / mean market^2, span 390"),
        ),
        _market,
    ),
    Group(
        (
            spec("rank_ret_5", "-0.5..0.5", "mid-rank over the symbols of the 5-bar return in units"),
            spec("rank_ret_30", "-0.5..0.5", "mid-rank of the 30-bar return in units"),
            spec("rank_ret_120", "-0.5..0.5", "mid-rank of the 120-bar return in units"),
            spec("rank_flow_10", "-0.5..0.5", "mid-rank of flow_10"),
            spec("rank_volume_5", "-0.5..0.5", "mid-rank of mean volume, span 5 / span 390"),
        ),
        _ranks,
    ),
    Group(
        (
            spec("session_sine", "1", "sin(2 pi * minutes since the open / minutes of the session)"),
            spec("session_cosine", "1", "cos of the same angle"),
            spec("since_open", "sessions", "minutes since the open / 390"),
            spec("to_close", "sessions", "minutes to the close / 390, not below 0"),
            spec(
                "ret_session", "sigma", "log(close / first price of the session) / (unit * sqrt(bars of the session))"
            ),
            spec("gap", "sigma", "log(open / close of the session before) / (unit * sqrt(390)), 0 if unknown"),
        ),
        _clock,
    ),
)
