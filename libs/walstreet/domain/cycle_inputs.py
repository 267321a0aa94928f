"""Owns the step from state and blocks to the arrays of one decision cycle, the missing ones marked as missing.

The symbols of a cycle are those of the block, then every other held symbol in alphabetical order: such a position
takes room under the limits although nothing is known that could trade it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from walstreet.domain import book_memory, cost_learning, freshness
from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.arbiter_state import ArbiterState, Signal
from walstreet.domain.barrier_exits import BarrierMemory
from walstreet.domain.blend import BlendedAlpha
from walstreet.domain.calibrate import BarrierModel
from walstreet.domain.conformal_state import ConformalState
from walstreet.domain.horizon_learning import HorizonLearning
from walstreet.domain.learning import last_return_bps
from walstreet.domain.netting import NettingMemory
from walstreet.domain.rebalance import sweep_due
from walstreet.domain.session_rules import SessionWindow, session_window
from walstreet.domain.units import (
    BoolArray,
    FloatArray,
    IntArray,
    horizon_ns,
    is_overnight,
    mid_nano,
    price_usd,
    shares,
)
from walstreet_events import (
    PRICE_SCALE,
    BarFlag,
    Decision,
    FeatureBlock,
    FloatBlock,
    InstrumentRef,
    IntBlock,
    Mode,
    PredictionBlock,
    derive_id,
    tag_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BookFacts:
    """What earlier cycles and fills say about the book, (N,) unless noted."""

    correlation: FloatArray
    """(N, N) of 5-minute returns, shrunk; NaN where a pair is not known."""
    regime_switch: BoolArray
    """Whether the volatility regime changed with this bar."""
    turbulent: BoolArray
    """Whether a symbol is in the turbulent regime."""
    netting: NettingMemory
    """Orders of the last half minute and directions of the last openings; read only."""
    sweep: bool
    """This cycle is the session's safety sweep."""
    cost_correction_bps: FloatArray
    """What fills have taught about the cost of a round trip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleInputs:
    """Everything that one decision depends on; N symbols, H horizons, NaN is *missing*."""

    symbols: tuple[str, ...]
    horizons_minutes: IntArray
    ts_ns: int
    now_ns: int
    mode: Mode
    reconciled: bool
    equity_usd: float
    window: SessionWindow | None
    bar_fresh: bool
    prediction_fresh: BoolArray
    """(H,)."""
    reference_known: BoolArray
    at_work: BoolArray
    quote_fresh: BoolArray
    mid_nano: IntArray
    mark_usd: FloatArray
    """Mid, else close, else the ledger's last price; values a position."""
    spread_bps: FloatArray
    sigma_5m_bps: FloatArray
    sigma_day_bps: FloatArray
    daily_volume_shares: FloatArray
    shares_outstanding: FloatArray
    position_micro: IntArray
    prospective_micro: IntArray
    """Position once everything at work is filled."""
    sectors: IntArray
    sigma_horizon_bps: FloatArray
    """(H, N)."""
    alpha: BlendedAlpha
    hold_until_ns: IntArray
    """Until when the position's last signal covers it; 0 without a signal in its direction."""
    signal_horizon_minutes: IntArray
    """Horizon of that signal, 0 without one."""
    signal_overnight: BoolArray
    predictions: PredictionBlock | None
    """Where barrier probabilities stand; None if its features are not known."""
    barrier_models: tuple[BarrierModel, ...]
    exits: Mapping[str, BarrierMemory]
    last_return_bps: FloatArray
    """(N,) of the last finished bar."""
    imbalance: FloatArray
    """(N,) order-flow imbalance of that bar in [-1, 1]; NaN where it is not known."""
    session_fraction: float
    """Share of the session that has passed; NaN without one."""
    decision_id: str
    """Key of every random number of this cycle."""
    choices: HorizonLearning
    """What the learning choices of a horizon know; read only."""
    conformal: ConformalState
    """What the conformal gate has learned; read only."""
    book: BookFacts


class _Market:
    """The block's arrays, padded for held symbols that are not in it."""

    def __init__(self, block: FeatureBlock | None, count: int) -> None:
        self._block, self._count = block, count

    def integers(self, name: str) -> IntArray:
        """Return (N,) integers of the block's array ``name``, 0 where there is none."""
        out = np.zeros(self._count, dtype=np.int64)
        if self._block is not None:
            block: IntBlock = getattr(self._block, name)
            out[: len(self._block.symbols)] = block.array()
        return out

    def floats(self, name: str) -> FloatArray:
        """Return (N,) floats of the block's array ``name``, NaN where there is none."""
        out = np.full(self._count, np.nan)
        if self._block is not None:
            block: FloatBlock = getattr(self._block, name)
            out[: len(self._block.symbols)] = block.array()
        return out


def cycle_symbols(block_symbols: Sequence[str], held: Sequence[str]) -> tuple[str, ...]:
    """Return the symbols of the block and then the held ones that it lacks, sorted."""
    inside = dict.fromkeys(block_symbols)
    return (*block_symbols, *sorted(symbol for symbol in held if symbol not in inside))


def require_sound(block: FeatureBlock) -> None:
    """Refuse a feature block whose per-symbol arrays do not fit its symbols.

    Raises:
        ValueError: Names the array and both lengths.
    """
    for name in (
        "flags",
        "bid_nano",
        "ask_nano",
        "close_nano",
        "quote_ts_ns",
        "spread_bps",
        "sigma_5m_bps",
        "sigma_day_bps",
        "average_daily_volume_micro",
    ):
        values: FloatBlock | IntBlock = getattr(block, name)
        if values.shape != (len(block.symbols),):
            raise ValueError(
                f"feature block {block.id}: {name} has shape {values.shape} for {len(block.symbols)} symbols; "
                "the feature service wrote a malformed block"
            )


def _sector_codes(state: ArbiterState, symbols: Sequence[str]) -> IntArray:
    """Return one code per sector; 0 is shared by all symbols whose sector is unknown."""
    codes: dict[str, int] = {"": 0}
    out = np.zeros(len(symbols), dtype=np.int64)
    for index, symbol in enumerate(symbols):
        reference = state.instruments.get(symbol)
        sector = reference.sector if reference else ""
        out[index] = codes.setdefault(sector, len(codes))
    return out


def _signals(
    state: ArbiterState, symbols: Sequence[str], position_micro: IntArray
) -> tuple[IntArray, IntArray, BoolArray]:
    """Return until when, for which horizon and whether overnight each position is covered by its signal."""
    until, horizon = np.zeros(len(symbols), dtype=np.int64), np.zeros(len(symbols), dtype=np.int64)
    overnight = np.zeros(len(symbols), dtype=np.bool_)
    for index, position in enumerate(position_micro.tolist()):
        signal: Signal | None = state.signals.get(symbols[index]) if position else None
        if signal is not None and signal.direction * position > 0:
            until[index] = signal.ts_ns + horizon_ns(signal.horizon_minutes)
            horizon[index] = signal.horizon_minutes
            overnight[index] = is_overnight(signal.horizon_minutes)
    return until, horizon, overnight


def _window(state: ArbiterState, now_ns: int, parameters: ArbiterParameters) -> SessionWindow | None:
    if state.session is None:
        return None
    return session_window(
        now_ns=now_ns,
        open_ns=state.session.open_ns,
        close_ns=state.session.close_ns,
        parameters=parameters.session,
    )


def _daily_volume(market: _Market, known: Sequence[InstrumentRef | None]) -> IntArray:
    """Return average daily volume in micro shares: the block's, else the reference's, else 0."""
    volume = market.integers("average_daily_volume_micro")
    reference = np.array([item.average_daily_volume_micro if item else 0 for item in known], dtype=np.int64)
    return np.where(volume > 0, volume, reference)


def _quote_usable(
    market: _Market, state: ArbiterState, mid: IntArray, now_ns: int, parameters: freshness.FreshnessParameters
) -> BoolArray:
    """Return which symbols have a two-sided quote that is fresh."""
    fresh = freshness.quote_fresh(
        market.integers("quote_ts_ns"),
        now_ns=now_ns,
        farms_healthy=state.farms_healthy,
        farms_broken=state.farms_broken,
        parameters=parameters,
    )
    usable: BoolArray = fresh & (mid > 0) & ((market.integers("flags") & BarFlag.NO_QUOTE) == 0)
    return usable


def _deaf(state: ArbiterState, symbols: tuple[str, ...]) -> BoolArray:
    """Return whose line brings nothing: the last quote looks young for a while, and moves no more."""
    return np.array([symbol in state.lines_broken for symbol in symbols], dtype=np.bool_)


def _padded(values: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Return (H, N) with the block's columns first, NaN for held symbols that it lacks."""
    out = np.full(shape, np.nan)
    out[:, : values.shape[1]] = values
    return out


def _book_facts(state: ArbiterState, symbols: tuple[str, ...], now_ns: int, parameters: ArbiterParameters) -> BookFacts:
    return BookFacts(
        correlation=book_memory.correlation_of(state.book, symbols),
        regime_switch=book_memory.switched_of(state.book, symbols),
        turbulent=book_memory.turbulent_of(state.book, symbols),
        netting=state.book.netting,
        sweep=_sweep(state, now_ns, parameters),
        cost_correction_bps=cost_learning.correction_bps(state.book.slippage, symbols, parameters.learning.slippage),
    )


def _bar_fresh(state: ArbiterState, now_ns: int, parameters: ArbiterParameters) -> bool:
    block = state.joined
    return block is not None and freshness.bar_fresh(
        bar_end_ns=block.ts_ns, bar_ns=state.bar_ns, now_ns=now_ns, parameters=parameters.freshness
    )


def _shares_outstanding(symbols: Sequence[str], parameters: ArbiterParameters) -> FloatArray:
    return np.array([float(parameters.shares_outstanding.get(symbol, 0)) or np.nan for symbol in symbols])


def _imbalance(block: FeatureBlock | None, count: int) -> FloatArray:
    """Return the one feature that is kept of a block, see ``ArbiterCore``; NaN for symbols beyond it."""
    out = np.full(count, np.nan)
    if block is not None and block.values.shape[1:] == (1,):
        out[: len(block.symbols)] = block.values.array()[:, 0]
    return out


def _session_fraction(state: ArbiterState, now_ns: int) -> float:
    if state.session is None:
        return float("nan")
    length = state.session.close_ns - state.session.open_ns
    return min(max((now_ns - state.session.open_ns) / length, 0.0), 1.0)


def _sweep(state: ArbiterState, now_ns: int, parameters: ArbiterParameters) -> bool:
    window = _window(state, now_ns, parameters)
    return (
        window is not None
        and state.session is not None
        and sweep_due(
            now_ns=now_ns,
            close_ns=state.session.close_ns,
            swept_close_ns=state.book.swept_close_ns,
            window=window,
            parameters=parameters.rebalance,
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Learned:
    """What the signals of the cycle say, NaN everywhere if the block is not known."""

    sigma_horizon_bps: FloatArray
    alpha: BlendedAlpha
    last_return_bps: FloatArray


def _learned(state: ArbiterState, predictions: PredictionBlock, shape: tuple[int, int]) -> _Learned:
    """Return the cycle's signals as (H, N), padded for held symbols that the block lacks."""
    past = state.learning.past.get(predictions.id) if state.joined is not None else None
    if past is None:
        nothing = np.full(shape, np.nan)
        alpha = BlendedAlpha(raw_bps=nothing, blended_bps=nothing, weight_present=np.zeros(shape))
        return _Learned(sigma_horizon_bps=nothing, alpha=alpha, last_return_bps=nothing[0])
    blended = past.signals.blended
    last = last_return_bps(state.learning, past)[None, :]
    return _Learned(
        sigma_horizon_bps=_padded(past.signals.sigma_horizon_bps, shape),
        alpha=BlendedAlpha(
            raw_bps=_padded(blended.raw_bps, shape),
            blended_bps=_padded(blended.blended_bps, shape),
            weight_present=np.nan_to_num(_padded(blended.weight_present, shape)),
        ),
        last_return_bps=_padded(last, (1, shape[1]))[0],
    )


def build_inputs(
    state: ArbiterState,
    predictions: PredictionBlock,
    *,
    mode: Mode,
    horizons_minutes: tuple[int, ...],
    parameters: ArbiterParameters,
    barrier_models: Sequence[BarrierModel] = (),
) -> CycleInputs:
    """Return the arrays of the cycle that ``predictions`` completes; its feature block is ``state.joined``."""
    block = state.joined
    symbols = cycle_symbols(block.symbols if block else predictions.symbols, state.ledger.held())
    count, horizons = len(symbols), np.array(horizons_minutes, dtype=np.int64)
    market = _Market(block, count)
    bid, ask = market.integers("bid_nano"), market.integers("ask_nano")
    ts_ns = block.ts_ns if block else predictions.ts_ns
    now_ns = max(ts_ns, state.clock_ns)
    mid = mid_nano(bid, ask)
    halted = np.array([state.halted.get(symbol, False) for symbol in symbols], dtype=np.bool_)
    known = [state.instruments.get(symbol) for symbol in symbols]
    volume = _daily_volume(market, known)
    close = market.integers("close_nano")
    last = np.array([state.ledger.mark_nano(symbol) for symbol in symbols], dtype=np.int64)
    position = np.array([state.ledger.position_micro(symbol) for symbol in symbols], dtype=np.int64)
    rest = state.working.remaining_micro()
    learned = _learned(state, predictions, (len(horizons), count))
    until, signal_horizon, overnight = _signals(state, symbols, position)
    return CycleInputs(
        symbols=symbols,
        horizons_minutes=horizons,
        ts_ns=ts_ns,
        now_ns=now_ns,
        mode=mode,
        reconciled=state.reconciled and state.ledger.opened,
        equity_usd=state.equity_nano / PRICE_SCALE if state.equity_nano else float("nan"),
        window=_window(state, now_ns, parameters),
        bar_fresh=_bar_fresh(state, now_ns, parameters),
        prediction_fresh=freshness.prediction_fresh(
            horizons, prediction_ts_ns=predictions.ts_ns, now_ns=now_ns, parameters=parameters.freshness
        ),
        reference_known=np.array([item is not None and item.con_id > 0 for item in known], dtype=np.bool_),
        at_work=np.array([symbol in rest or symbol in state.external for symbol in symbols], dtype=np.bool_),
        quote_fresh=_quote_usable(market, state, mid, now_ns, parameters.freshness) & ~(halted | _deaf(state, symbols)),
        mid_nano=mid,
        mark_usd=price_usd(np.where(mid > 0, mid, np.where(close > 0, close, last))),
        spread_bps=market.floats("spread_bps"),
        sigma_5m_bps=market.floats("sigma_5m_bps"),
        sigma_day_bps=market.floats("sigma_day_bps"),
        daily_volume_shares=np.where(volume > 0, shares(volume), np.nan),
        shares_outstanding=_shares_outstanding(symbols, parameters),
        position_micro=position,
        prospective_micro=position + np.array([rest.get(symbol, 0) for symbol in symbols], dtype=np.int64),
        sectors=_sector_codes(state, symbols),
        sigma_horizon_bps=learned.sigma_horizon_bps,
        alpha=learned.alpha,
        predictions=predictions if block is not None else None,
        barrier_models=tuple(barrier_models),
        exits=state.exits,
        last_return_bps=learned.last_return_bps,
        imbalance=_imbalance(block, count),
        session_fraction=_session_fraction(state, now_ns),
        decision_id=derive_id(predictions.id, tag_of(Decision), 0),
        choices=state.choices,
        conformal=state.learning.conformal,
        book=_book_facts(state, symbols, now_ns, parameters),
        hold_until_ns=until,
        signal_horizon_minutes=signal_horizon,
        signal_overnight=overnight,
    )
