"""Owns the running of a zoo on plain per-symbol features, for one step outside the services.

The rules are those of the inference service: a symbol without complete inputs gets no answer, a model that raises, is
late, or returns a wrong shape or something that is not finite is left out of the step and named, and nothing aborts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from walstreet.domain.barrier import BarrierForecast
from walstreet.domain.inference import DETAIL_CHARACTERS_MAX, Models
from walstreet.domain.model_manifest import InputKind, ModelEntry, Target
from walstreet.domain.units import FloatArray
from walstreet_events import ROOT, ModelColumn, ModelStatus, PredictionBlock, float_block

SYMBOLS_MAX = 5_000
ROWS_MAX = 10_000
"""Feature rows of one symbol; sequence models read the newest of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePredictions:
    """What the zoo answered in one step."""

    block: PredictionBlock
    skipped: dict[str, str]
    """Models that gave no answer to anybody, with the reason."""


def predict_all(models: Models, symbols: Sequence[str], features: Mapping[str, FloatArray]) -> LivePredictions:
    """Return every model's answers.

    Args:
        models: The zoo.
        symbols: Order of the columns; at most ``SYMBOLS_MAX``.
        features: Per symbol (F,) or (T, F), oldest row first; a symbol may be absent.

    Raises:
        ValueError: Features of a wrong width, or beyond the bounds; a mistake of the caller, not of the data.
    """
    if len(symbols) > SYMBOLS_MAX:
        raise ValueError(f"market_data names {len(symbols)} symbols, at most {SYMBOLS_MAX} are taken; split them")
    rows = {symbol: _rows(symbol, features, models.feature_count) for symbol in symbols if symbol in features}
    values = np.full((len(models.entries), len(symbols)), np.nan)
    columns: list[ModelColumn] = []
    skipped: dict[str, str] = {}
    for index, entry in enumerate(models.entries):
        problem = _answer(models, index, rows, symbols, values[index])
        if problem:
            skipped[entry.name] = problem[:DETAIL_CHARACTERS_MAX]
        columns.append(
            ModelColumn(
                model=entry.name,
                family=entry.family.value,
                horizon_minutes=entry.horizon_minutes,
                target=entry.target.value,
                status=ModelStatus.FAILED if problem else ModelStatus.OK,
            )
        )
    block = PredictionBlock(
        id=ROOT,
        cause=ROOT,
        ts_ns=0,
        symbols=tuple(symbols),
        warmup=False,
        features="",
        models=tuple(columns),
        values=float_block(values),
    )
    return LivePredictions(block=block, skipped=skipped)


def _rows(symbol: str, features: Mapping[str, FloatArray], width: int) -> FloatArray:
    rows = np.atleast_2d(np.asarray(features[symbol], dtype=np.float64))
    if rows.ndim != 2 or rows.shape[1] != width or len(rows) > ROWS_MAX:
        raise ValueError(
            f"features of {symbol} have shape {np.shape(features[symbol])}; the models take ({width},) or (T, {width}) "
            f"with T up to {ROWS_MAX}"
        )
    return rows


def _window(rows: FloatArray | None, entry: ModelEntry) -> FloatArray | None:
    """Return one symbol's input, None where it is not complete."""
    length = entry.sequence_length if entry.input_kind is InputKind.SEQUENCE else 1
    if rows is None or len(rows) < length:
        return None
    window = rows[-length:]
    return window if bool(np.isfinite(window).all()) else None


def _answer(models: Models, index: int, rows: Mapping[str, FloatArray], symbols: Sequence[str], out: FloatArray) -> str:
    """Write one model's answers into ``out``; return why it has none, empty if it has."""
    entry = models.entries[index]
    windows = [(column, _window(rows.get(symbol), entry)) for column, symbol in enumerate(symbols)]
    ready = [(column, window) for column, window in windows if window is not None]
    if not ready:
        return "no symbol has complete inputs"
    matrix = np.ascontiguousarray(np.stack([window for _, window in ready]))
    try:
        output = models.predict(index, matrix if entry.input_kind is InputKind.SEQUENCE else matrix[:, 0, :])
    except Exception as error:  # noqa: BLE001 - the one boundary where a model's own fault must not end the step
        return f"{type(error).__name__}: {error}"
    if output.shape != (len(ready),) or not bool(np.isfinite(output).all()):
        return f"output of shape {output.shape} for {len(ready)} symbols, or not finite"
    if entry.target is not Target.RETURN and not bool(((output >= 0.0) & (output <= 1.0)).all()):
        return f"probabilities reach from {float(output.min())} to {float(output.max())}"
    out[[column for column, _ in ready]] = output
    return ""


def barrier_forecast(block: PredictionBlock, models: Models, horizons_minutes: FloatArray) -> BarrierForecast:
    """Return per symbol what the barrier models nearest to its horizon say; ties go to the shorter one.

    Args:
        block: From ``predict_all`` of the same models.
        models: The zoo; those with the targets ``peak`` and ``valley`` count, as labels of the long side.
        horizons_minutes: (N,) chosen horizons.
    """
    values, count = block.values.array(), len(horizons_minutes)
    found: list[FloatArray] = []
    for target in (Target.PEAK, Target.VALLEY):
        probability, base, distance = np.full(count, np.nan), np.full(count, np.nan), np.full(count, np.inf)
        rows = [
            (entry.horizon_minutes, index, entry.base_rate)
            for index, entry in enumerate(models.entries)
            if entry.target is target
        ]
        for horizon, index, rate in sorted(rows):
            away = np.abs(horizons_minutes - horizon)
            nearer = np.isfinite(values[index]) & (away < distance)
            probability = np.where(nearer, values[index], probability)
            base = np.where(nearer, rate, base)
            distance = np.where(nearer, away, distance)
        found += [probability, base]
    return BarrierForecast(
        p_peak_long=found[0], base_peak_long=found[1], p_valley_long=found[2], base_valley_long=found[3]
    )
