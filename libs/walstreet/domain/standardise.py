"""Owns the robust standardisation of model scores against their own recent past, per (model, symbol).

``s = clip((r - median) / (1.4826 * MAD), -3, 3)``: the median and the median absolute deviation are those of the
trailing window of decision times before the current one (Hampel 1974; 1.4826 makes the MAD of normal values their
standard deviation). A constant past (MAD = 0) gives 0, too short a past gives NaN.

Sorting every row at every decision would cost milliseconds, so each row's median and MAD are refreshed in its
turn: row i after the p-th decision iff ``(i + p) % interval == 0``, where the interval grows with the window (one
thirty-second of the decisions seen) up to ``refresh_decisions_max``. In between the score uses the values of the
last turn, which are at most two intervals old and never contain the current or a later value. Turns depend on the
number of decisions only, never on the clock, so that a replay repeats them exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from walstreet.domain.bounds import require_between, require_ordered
from walstreet.domain.units import DAY_NS, FloatArray, IntArray
from walstreet.kernels.interface import VALUE_ABS_MAX
from walstreet.kernels.matured import row_medians

MAD_TO_SIGMA = 1.4826
ROWS_MAX = 16_384
"""Largest number of (model, symbol) pairs; with the default window they take 358 MB."""
COLUMNS_MAX = 8_192
INTERVAL_SHARE = 32
"""A row waits for about this fraction of the decisions seen before it is refreshed."""


class StandardiseParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Over which past a score is judged."""

    window_days: int = 7
    """Trading days."""
    decisions_per_day: int = 390
    """390 one-minute bars; the window holds ``window_days * decisions_per_day`` decision times."""
    age_days_max: float = 15.0
    """Calendar days after which a value is forgotten however few followed it; 7 trading days span at most 13."""
    samples_min: int = 100
    """Fewer finite values than this give NaN."""
    refresh_decisions_max: int = 60
    clip: float = 3.0

    def __post_init__(self) -> None:
        """Refuse values outside their ranges, and a window too short ever to give a score."""
        require_between("standardise", "window_days", self.window_days, 1, 20)
        require_between("standardise", "decisions_per_day", self.decisions_per_day, 1, 390)
        require_between("standardise", "age_days_max", self.age_days_max, self.window_days, 60.0)
        require_between("standardise", "samples_min", self.samples_min, 3, COLUMNS_MAX)
        require_between("standardise", "refresh_decisions_max", self.refresh_decisions_max, 1, 390)
        require_between("standardise", "clip", self.clip, 0.5, 10.0)
        require_ordered("standardise", ("samples_min", self.samples_min), ("window", self.columns))

    @property
    def columns(self) -> int:
        """Return the number of decision times in the window."""
        return self.window_days * self.decisions_per_day


assert COLUMNS_MAX >= 20 * 390


@dataclass(slots=True)
class StandardiserState:
    """The window and what was last computed from it; R = M*N rows, model by model."""

    models: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    history: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    """(R, W) ring of past scores, NaN where there is none."""
    ts_ns: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """(W,) decision time per column, 0 where unused."""
    decisions: int = 0
    centre: FloatArray = field(default_factory=lambda: np.empty(0))
    """(R,) median, NaN while the past is too short."""
    scale: FloatArray = field(default_factory=lambda: np.empty(0))
    """(R,) ``1.4826 * MAD``."""

    def canonical(self) -> tuple[object, ...]:
        """Return everything as nested plain values, for a digest."""
        return (
            self.models,
            self.symbols,
            self.history.shape,
            self.history.tobytes(),
            self.ts_ns.tobytes(),
            self.decisions,
            self.centre.tobytes(),
            self.scale.tobytes(),
        )


def _usable(raw: FloatArray) -> FloatArray:
    """Return ``raw`` with everything that is no number as the one NaN, and -0 as 0."""
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(raw) <= VALUE_ABS_MAX, raw + 0.0, np.nan)


def standardised(
    state: StandardiserState,
    raw: FloatArray,
    *,
    models: Sequence[str],
    symbols: Sequence[str],
    parameters: StandardiseParameters,
) -> FloatArray:
    """Return (M, N) standardised scores within ``±clip``; changes nothing.

    NaN where the value is missing, the row is unknown, or its past is too short; 0 where the past is constant.

    Args:
        state: Holds decision times before the current one only, if ``observe_scores`` is called afterwards.
        raw: (M, N) model outputs in any unit; NaN is missing.
        models: (M,) names of the rows.
        symbols: (N,) names of the columns.
        parameters: The clip.

    Raises:
        ValueError: ``raw`` does not fit the names.
    """
    _require_shape(raw, models, symbols)
    values = _usable(raw)
    if not state.models:
        return np.full(raw.shape, np.nan)
    if (state.models, state.symbols) == (tuple(models), tuple(symbols)):
        centre, scale = state.centre.reshape(raw.shape), state.scale.reshape(raw.shape)
    else:
        taken = _rows_of(state, models, symbols)
        known = taken >= 0
        centre = np.where(known, state.centre[taken], np.nan).reshape(raw.shape)
        scale = np.where(known, state.scale[taken], np.nan).reshape(raw.shape)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        ratio = np.where(scale > 0.0, (values - centre) / scale, 0.0)
    clipped = np.minimum(np.maximum(ratio, -parameters.clip), parameters.clip)
    return np.where(np.isnan(values) | np.isnan(centre), np.nan, clipped)


def observe_scores(
    state: StandardiserState,
    raw: FloatArray,
    *,
    models: Sequence[str],
    symbols: Sequence[str],
    ts_ns: int,
    parameters: StandardiseParameters,
) -> None:
    """Take the scores of one decision time into the window and refresh the rows whose turn it is.

    Rows are kept by name: a model or symbol that is new starts without a past, one that is gone is forgotten, so
    pass the universe of the block and not the names of one cycle.

    Args:
        state: Changed in place.
        raw: (M, N) model outputs; NaN is missing and takes its place in time.
        models: (M,) distinct.
        symbols: (N,) distinct.
        ts_ns: Decision time, after the last one.
        parameters: The window; it must not change during the life of ``state``.

    Raises:
        ValueError: ``raw`` does not fit the names, there are more than ``ROWS_MAX`` rows, or time runs backwards.
    """
    _require_shape(raw, models, symbols)
    if (state.models, state.symbols) != (tuple(models), tuple(symbols)):
        _realign(state, tuple(models), tuple(symbols), parameters)
    width = state.ts_ns.size
    newest = int(state.ts_ns[(state.decisions - 1) % width])
    if ts_ns <= newest:
        raise ValueError(f"standardise: decision time {ts_ns} is not after {newest}; feed each decision once, in order")
    expired = (state.ts_ns > 0) & (state.ts_ns < ts_ns - round(parameters.age_days_max * DAY_NS))
    column = state.decisions % width
    state.history[:, column] = _usable(raw).reshape(-1)
    forgotten = bool(expired.any())
    if forgotten:
        expired[column] = False
        state.history[:, expired] = np.nan
        state.ts_ns[expired] = 0
    state.ts_ns[column] = ts_ns
    state.decisions += 1
    if forgotten:
        # After a long silence the kept medians describe values that are no longer in any window.
        _refresh(state, 0, 1, parameters)
    else:
        interval = refresh_interval(state.decisions, parameters)
        _refresh(state, -state.decisions % interval, interval, parameters)


def refresh_interval(decisions: int, parameters: StandardiseParameters) -> int:
    """Return how many decisions pass between two refreshes of a row, after ``decisions`` of them."""
    return min(max(min(decisions, parameters.columns) // INTERVAL_SHARE, 1), parameters.refresh_decisions_max)


def _refresh(state: StandardiserState, start: int, step: int, parameters: StandardiseParameters) -> None:
    """Recompute median and MAD of every ``step``-th row from ``start`` on."""
    used = min(state.decisions, state.ts_ns.size)
    found = row_medians(state.history, used=used, first_row=start, row_step=step)
    enough = found.counts >= parameters.samples_min
    state.centre[start::step] = np.where(enough, found.medians, np.nan)
    state.scale[start::step] = np.where(enough, MAD_TO_SIGMA * found.spreads, np.nan)


def _require_shape(raw: FloatArray, models: Sequence[str], symbols: Sequence[str]) -> None:
    if raw.shape != (len(models), len(symbols)):
        raise ValueError(
            f"standardise: scores have shape {raw.shape} but {len(models)} models and {len(symbols)} symbols are named"
        )


def _rows_of(state: StandardiserState, models: Sequence[str], symbols: Sequence[str]) -> IntArray:
    """Return (M*N,) the row of each pair in ``state``, -1 where it has none."""
    model_at = {name: index for index, name in enumerate(state.models)}
    symbol_at = {name: index for index, name in enumerate(state.symbols)}
    model = np.array([model_at.get(name, -1) for name in models], dtype=np.int64)[:, None]
    symbol = np.array([symbol_at.get(name, -1) for name in symbols], dtype=np.int64)[None, :]
    rows = np.where((model >= 0) & (symbol >= 0), model * len(state.symbols) + symbol, -1)
    return rows.reshape(-1)


def _realign(
    state: StandardiserState, models: tuple[str, ...], symbols: tuple[str, ...], parameters: StandardiseParameters
) -> None:
    count = len(models) * len(symbols)
    if count > ROWS_MAX:
        raise ValueError(
            f"standardise: {len(models)} models times {len(symbols)} symbols are {count} rows; at most {ROWS_MAX} "
            "are kept, so run fewer models or symbols"
        )
    for name, items in (("models", models), ("symbols", symbols)):
        if len(frozenset(items)) != len(items):
            raise ValueError(f"standardise: {name} {items} are not distinct")
    if not state.ts_ns.size:
        state.ts_ns = np.zeros(parameters.columns, dtype=np.int64)
        state.history = np.empty((0, parameters.columns))
    taken = _rows_of(state, models, symbols)
    known = taken >= 0
    history = np.full((count, state.ts_ns.size), np.nan)
    centre, scale = np.full(count, np.nan), np.full(count, np.nan)
    history[known] = state.history[taken[known]]
    centre[known], scale[known] = state.centre[taken[known]], state.scale[taken[known]]
    state.models, state.symbols = models, symbols
    state.history, state.centre, state.scale = history, centre, scale
