"""Owns the events of small sessions for what reads a TAPE again: cycles whose every number a test may choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from walstreet.domain.decision_record import COLUMN_UNITS
from walstreet.domain.units import FloatArray
from walstreet.testing.events_base import BAR_NS, CLOSE_NS, OPEN_NS, SESSION_DATE, SYMBOLS
from walstreet_events import (
    ROOT,
    BarBlock,
    Column,
    Decision,
    EventId,
    FeatureBlock,
    Mode,
    ModelColumn,
    ModelStatus,
    OutcomeBlock,
    PhaseName,
    PredictionBlock,
    SessionPhase,
    Verdict,
    derive_id,
    float_block,
    int_block,
    tag_of,
)

HORIZONS_MINUTES = (5, 15)
EQUITY_NANO = 100_000_000_000_000
MODELS = tuple(
    ModelColumn(model=f"{target}-15", family="test", horizon_minutes=15, target=target, status=ModelStatus.OK)
    for target in ("return", "peak", "valley")
)
"""Rows of every prediction block made here."""
Rows = Sequence[float] | Sequence[Sequence[float]] | FloatArray

NOTHING: Mapping[str, Rows] = {}
DEFAULTS: dict[str, Rows] = {
    "alpha_blended_bps": [[8.0, -3.0], [2.0, -10.0]],
    "cost_bps": [[5.0, 5.0], [6.0, 6.0]],
    "net_bps": [[3.0, 0.0], [0.0, -4.0]],
    "conf_pass": [[1.0, 0.0], [0.0, 1.0]],
    "conf_lower_bps": [[6.0, -5.0], [0.0, -14.0]],
    "conf_upper_bps": [[10.0, -1.0], [4.0, -7.0]],
    "outcome_lower_bps": [[-10.0, -10.0], [-20.0, -20.0]],
    "outcome_upper_bps": [[10.0, 10.0], [20.0, 20.0]],
    "chosen_horizon_minutes": [5.0, 15.0],
    "wanted": [1.0, 1.0],
    "weight_current": [0.10, -0.05],
    "weight_wanted": [0.20, -0.10],
    "weight_final": [0.12, -0.05],
    "band": [0.01, 0.01],
    "netting_wanted_usd": [2000.0, -1000.0],
    "netting_churn": [0.25, 0.0],
    "turbulent": [0.0, 1.0],
}
"""Columns of a decision that monitoring reads, for ``SYMBOLS`` and ``HORIZONS_MINUTES``."""


def end_ns(number: int) -> int:
    """Return the end of a session's bar, counted from 0."""
    return OPEN_NS + (number + 1) * BAR_NS


def cycle_id(kind: type[BarBlock | FeatureBlock | PredictionBlock | Decision | OutcomeBlock], number: int) -> EventId:
    """Return the id of a cycle's event."""
    return derive_id(f"watched:{number}", tag_of(kind), 0)


def price_bar(
    number: int, high_usd: Rows, low_usd: Rows, close_usd: Rows, *, symbols: tuple[str, ...] = SYMBOLS
) -> BarBlock:
    """Return a bar with these prices, and nothing else of interest."""
    high, low, close = (
        int_block(np.rint(np.asarray(prices, dtype=np.float64) * 1e9).astype(np.int64))
        for prices in (high_usd, low_usd, close_usd)
    )
    zeros = int_block([0] * len(symbols))
    return BarBlock(
        id=cycle_id(BarBlock, number),
        cause=ROOT,
        ts_ns=end_ns(number),
        symbols=symbols,
        bar_ns=BAR_NS,
        warmup=False,
        open_nano=close,
        high_nano=high,
        low_nano=low,
        close_nano=close,
        volume_micro=zeros,
        trade_count=zeros,
        vwap_nano=close,
        bid_nano=close,
        ask_nano=close,
        bid_size_micro=zeros,
        ask_size_micro=zeros,
        spread_mean_nano=zeros,
        signed_volume_micro=zeros,
        quote_count=zeros,
        quote_ts_ns=zeros,
        flags=zeros,
    )


def volatility(number: int, sigma_5m_bps: Rows, *, symbols: tuple[str, ...] = SYMBOLS) -> FeatureBlock:
    """Return a feature block with this volatility and no features."""
    zeros = int_block([0] * len(symbols))
    return FeatureBlock(
        id=cycle_id(FeatureBlock, number),
        cause=cycle_id(BarBlock, number),
        ts_ns=end_ns(number),
        symbols=symbols,
        warmup=False,
        schema_hash="ab" * 32,
        values=float_block(np.zeros((len(symbols), 0))),
        ready=zeros,
        flags=zeros,
        bid_nano=zeros,
        ask_nano=zeros,
        close_nano=zeros,
        quote_ts_ns=zeros,
        spread_bps=float_block(np.ones(len(symbols))),
        sigma_5m_bps=float_block(sigma_5m_bps),
        sigma_day_bps=float_block(np.ones(len(symbols))),
        average_daily_volume_micro=zeros,
    )


def answers(
    number: int,
    values: Rows,
    *,
    models: tuple[ModelColumn, ...] = MODELS,
    symbols: tuple[str, ...] = SYMBOLS,
    warmup: bool = False,
) -> PredictionBlock:
    """Return a prediction block with (M, N) values of ``models``."""
    return PredictionBlock(
        id=cycle_id(PredictionBlock, number),
        cause=cycle_id(FeatureBlock, number),
        ts_ns=end_ns(number),
        symbols=symbols,
        warmup=warmup,
        features=cycle_id(FeatureBlock, number),
        models=models,
        values=float_block(values),
    )


def decision(
    number: int,
    verdicts: Sequence[Verdict] = (Verdict.ACCEPTED, Verdict.NO_ALPHA),
    *,
    changed: Mapping[str, Rows] = NOTHING,
    without: Sequence[str] = (),
    symbols: tuple[str, ...] = SYMBOLS,
    horizons_minutes: tuple[int, ...] = HORIZONS_MINUTES,
) -> Decision:
    """Return a decision with the columns ``DEFAULTS``, some of them changed and others left out."""
    columns = {name: rows for name, rows in (DEFAULTS | dict(changed)).items() if name not in without}
    return Decision(
        id=cycle_id(Decision, number),
        cause=cycle_id(PredictionBlock, number),
        ts_ns=end_ns(number),
        symbols=symbols,
        horizons_minutes=horizons_minutes,
        features=cycle_id(FeatureBlock, number),
        predictions=cycle_id(PredictionBlock, number),
        mode=Mode.LIVE,
        equity_nano=EQUITY_NANO,
        verdicts=tuple(verdicts),
        columns=tuple(
            Column(name=name, unit=COLUMN_UNITS[name], values=float_block(rows)) for name, rows in columns.items()
        ),
        config_hash="cd" * 32,
    )


def outcome(
    number: int, rows: Mapping[int, tuple[int, Sequence[float]]], *, symbols: tuple[str, ...] = SYMBOLS
) -> OutcomeBlock:
    """Return what matured with a cycle: for each horizon the earlier cycle and its (N,) returns in bps."""
    return OutcomeBlock(
        id=cycle_id(OutcomeBlock, number),
        cause=cycle_id(PredictionBlock, number),
        ts_ns=end_ns(number),
        symbols=symbols,
        horizons_minutes=tuple(rows),
        predictions=tuple(cycle_id(PredictionBlock, past) for past, _ in rows.values()),
        return_bps=float_block([list(returns) for _, returns in rows.values()]),
        sigma_bps=float_block(np.ones((len(rows), len(symbols)))),
    )


def closed() -> SessionPhase:
    """Return the end of the session."""
    return SessionPhase(
        id=derive_id("watched:closed", tag_of(SessionPhase), 0),
        cause=ROOT,
        ts_ns=CLOSE_NS,
        session_date=SESSION_DATE,
        phase=PhaseName.CLOSED,
        open_ns=OPEN_NS,
        close_ns=CLOSE_NS,
    )
