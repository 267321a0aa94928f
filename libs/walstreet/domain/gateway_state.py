"""Owns the gateway's state: what its own events rebuild after a crash, and what is lost with the process."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from walstreet.domain.bar_history import Repair
from walstreet.domain.bar_types import SealedBar
from walstreet.domain.bars import BarBuilder
from walstreet.domain.observations import BorrowObserved
from walstreet_events import (
    AnyEvent,
    BarBlock,
    BrokerStatus,
    ClockTick,
    DailyBars,
    FeedStatus,
    InstrumentRef,
    IntBlock,
    PhaseName,
    PriorSession,
    SessionPhase,
    SessionRef,
    SymbolStatus,
)

IntArray: TypeAlias = NDArray[np.int64]


@dataclass(slots=True)
class GatewayState:
    """Durable above, volatile below."""

    symbols: tuple[str, ...]
    last_close: IntArray
    """(N,) last known close, 0 where none is; empty bars repeat it."""
    warmup_close: IntArray
    """(N,) the same, from bars only: warm-up must not know the close that came after it."""
    session_date: str = ""
    session: SessionRef | None = None
    phase: PhaseName | None = None
    tick_ns: int = 0
    """Last clock tick of the session, 0 before the first."""
    bar_end_ns: int = 0
    """End of the session's last written bar, 0 before the first."""
    warmup_end_ns: int = 0
    feeds: dict[str, tuple[bool, str]] = field(default_factory=dict)
    halts: dict[str, bool] = field(default_factory=dict)
    refs: dict[str, InstrumentRef] = field(default_factory=dict)
    priors: dict[str, PriorSession] = field(default_factory=dict)
    link: bool | None = None
    statuses: int = 0
    """Status and reference events written so far; it makes their ids unique."""
    daily: bool = False
    """Whether the session's daily bars have been written."""

    builder: BarBuilder | None = None
    sealed: deque[SealedBar] = field(default_factory=deque)
    """Bars that ended but wait for repair; bounded by the session's number of bars."""
    repair: Repair | None = None
    borrow: dict[str, BorrowObserved] = field(default_factory=dict)
    """What was told last on the lines of the present connection."""
    now_ns: int = 0
    seeing_ns: int = 0
    """Since when the feed is complete; bars before it wait for history."""

    @classmethod
    def empty(cls, symbols: tuple[str, ...]) -> GatewayState:
        """Return the state before the first event."""
        zeros = np.zeros(len(symbols), dtype=np.int64)
        return cls(symbols=symbols, last_close=zeros, warmup_close=zeros.copy())

    def start_session(self, session_date: str) -> None:
        """Forget what belonged to an older session; connection, feeds, halts and prices outlive it."""
        self.session_date, self.session, self.phase = session_date, None, None
        self.tick_ns = self.bar_end_ns = 0
        self.refs, self.priors, self.daily = {}, {}, False
        self.builder, self.repair, self.sealed = None, None, deque()


def fold(state: GatewayState, event: AnyEvent) -> None:
    """Fold one event in place; events of other services leave no trace."""
    match event:
        case SessionRef():
            if event.session_date != state.session_date:
                state.start_session(event.session_date)
            state.session = event
        case SessionPhase():
            state.phase = event.phase
        case ClockTick():
            state.tick_ns = event.ts_ns
        case BarBlock():
            _fold_bar(state, event)
        case DailyBars():
            state.daily = True
        case InstrumentRef() | PriorSession() | FeedStatus() | BrokerStatus() | SymbolStatus():
            state.statuses += 1
            _fold_status(state, event)
        case _:
            pass


def _fold_status(
    state: GatewayState, event: InstrumentRef | PriorSession | FeedStatus | BrokerStatus | SymbolStatus
) -> None:
    match event:
        case InstrumentRef():
            state.refs[event.symbol] = event
            if event.symbol in state.symbols:
                position = state.symbols.index(event.symbol)
                if state.last_close[position] == 0:
                    state.last_close[position] = event.prior_close_nano
        case PriorSession():
            state.priors[event.symbol] = event
        case FeedStatus():
            state.feeds[event.farm] = (event.healthy, event.data_type)
        case BrokerStatus():
            state.link = event.connected
        case SymbolStatus():
            state.halts[event.symbol] = event.halted


def _fold_bar(state: GatewayState, event: BarBlock) -> None:
    close = _aligned(event.close_nano, event.symbols, state.symbols)
    known = close > 0
    state.last_close = np.where(known, close, state.last_close)
    state.warmup_close = np.where(known, close, state.warmup_close)
    if event.warmup:
        state.warmup_end_ns = event.ts_ns
    else:
        state.bar_end_ns = event.ts_ns


def _aligned(block: IntBlock, have: tuple[str, ...], wanted: tuple[str, ...]) -> IntArray:
    """Return the values of ``block`` in the order of ``wanted``, 0 where a symbol is not in it."""
    if have == wanted:
        return block.array()
    values = dict(zip(have, block.array().tolist(), strict=True))
    return np.array([values.get(symbol, 0) for symbol in wanted], dtype=np.int64)
