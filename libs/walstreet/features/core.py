"""Owns the decision core of the features service: bars in, one feature block per bar out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from walstreet.features.builder import FeatureBuilder, FeatureRow
from walstreet.features.parameters import FeatureParameters
from walstreet_events import (
    AnyEvent,
    BarBlock,
    FeatureBlock,
    InstrumentRef,
    Service,
    SessionRef,
    SymbolStatus,
    derive_id,
    float_block,
    int_block,
    tag_of,
)

IntArray = NDArray[np.int64]


@dataclass(slots=True)
class FeaturesState:
    """Everything the service knows; bounded by the number of symbols."""

    builder: FeatureBuilder | None = None
    """None until the first ``SessionRef`` names the symbols."""
    average_daily_volume_micro: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    halted: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    positions: dict[str, int] = field(default_factory=dict)
    last_row: FeatureRow | None = None
    """What the newest bar gave; ``decide`` only puts it into an event."""
    last_bar: str = ""
    """Id of the newest bar, so that a repeated bar can be told from a new one."""


class FeaturesCore:
    """Turns every bar, warm-up included, into one ``FeatureBlock``; satisfies ``walstreet.ports.Core``."""

    def __init__(self, parameters: FeatureParameters) -> None:
        self._parameters = parameters

    @property
    def service(self) -> Service:
        """Return the producer this core decides for."""
        return Service.FEATURES

    def initial(self) -> FeaturesState:
        """Return the state before the first event."""
        return FeaturesState()

    def evolve(self, state: FeaturesState, event: AnyEvent) -> FeaturesState:
        """Fold one fact.

        A bar that is not later than the newest one is a repetition (a gateway asked for history again) and
        changes nothing.

        Raises:
            ValueError: A bar came before any ``SessionRef``, or its symbols or its bar size are not the session's.
        """
        if isinstance(event, SessionRef):
            self._begin_session(state, event)
        elif isinstance(event, InstrumentRef):
            position = state.positions.get(event.symbol)
            if state.builder is not None and position is not None:
                state.builder.describe_instrument(event)
                state.average_daily_volume_micro[position] = max(event.average_daily_volume_micro, 0)
        elif isinstance(event, SymbolStatus):
            position = state.positions.get(event.symbol)
            if position is not None:
                state.halted[position] = event.halted
        elif isinstance(event, BarBlock):
            builder = _builder_of(state, event)
            if event.ts_ns > builder.last_ts_ns:
                state.last_row = builder.update(event)
                state.last_bar = event.id
        return state

    def decide(self, state: FeaturesState, event: AnyEvent) -> Sequence[AnyEvent]:
        """Return one feature block for a new bar, nothing for any other event."""
        row = state.last_row
        if not isinstance(event, BarBlock) or row is None or event.id != state.last_bar:
            return ()
        builder = _builder_of(state, event)
        block = FeatureBlock(
            id=derive_id(event.id, tag_of(FeatureBlock), 0),
            cause=event.id,
            ts_ns=event.ts_ns,
            symbols=event.symbols,
            warmup=event.warmup,
            schema_hash=builder.schema_hash,
            values=float_block(row.values),
            ready=int_block(row.complete & ~state.halted),
            flags=event.flags,
            bid_nano=event.bid_nano,
            ask_nano=event.ask_nano,
            close_nano=event.close_nano,
            quote_ts_ns=event.quote_ts_ns,
            spread_bps=float_block(row.spread_bps),
            sigma_5m_bps=float_block(row.sigma_5m_bps),
            sigma_day_bps=float_block(row.sigma_day_bps),
            average_daily_volume_micro=int_block(state.average_daily_volume_micro),
        )
        return (block,)

    def observe(self, state: FeaturesState, observation: object) -> Sequence[AnyEvent]:
        """Return nothing: this service has no facts from outside the log."""
        del state, observation
        return ()

    def _begin_session(self, state: FeaturesState, session: SessionRef) -> None:
        """Keep the history of the same universe; another universe or bar size starts from nothing."""
        builder = state.builder
        if builder is None or builder.symbols != session.symbols or builder.bar_ns != session.bar_ns:
            builder = FeatureBuilder(session.symbols, self._parameters, bar_ns=session.bar_ns)
            count = len(session.symbols)
            state.builder = builder
            state.positions = {symbol: position for position, symbol in enumerate(session.symbols)}
            state.average_daily_volume_micro = np.zeros(count, dtype=np.int64)
            state.halted = np.zeros(count, dtype=np.bool_)
            state.last_row = None
            state.last_bar = ""
        builder.describe_session(session)


def _builder_of(state: FeaturesState, bar: BarBlock) -> FeatureBuilder:
    if state.builder is None:
        raise ValueError(
            f"bar block {bar.id} at {bar.ts_ns} came before any SessionRef; the gateway must describe the session first"
        )
    if bar.symbols != state.builder.symbols:
        raise ValueError(
            f"bar block {bar.id} at {bar.ts_ns} has symbols {bar.symbols[:3]}... ({len(bar.symbols)}), the session "
            f"{state.builder.symbols[:3]}... ({len(state.builder.symbols)}); they change only with a new SessionRef"
        )
    return state.builder
