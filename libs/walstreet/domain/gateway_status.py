"""Owns the gateway's status and reference events, each written on change only."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from walstreet.domain.feeds import assumed_healthy
from walstreet.domain.gateway_parameters import SessionPlan
from walstreet.domain.gateway_state import GatewayState
from walstreet.domain.observations import FeedObserved, HaltObserved, InstrumentsObserved, LinkObserved
from walstreet_events import (
    ROOT,
    AnyEvent,
    BrokerStatus,
    EventId,
    FeedStatus,
    InstrumentRef,
    PriorSession,
    SessionRef,
    SymbolStatus,
    derive_id,
    tag_of,
)


def session_event(plan: SessionPlan, *, bar_ns: int, ts_ns: int) -> SessionRef:
    """Return the fact that the session of ``plan`` is served; ``ts_ns`` is the start of its clock."""
    return SessionRef(
        id=derive_id(f"session:{plan.session_date}", tag_of(SessionRef), 0),
        cause=ROOT,
        ts_ns=ts_ns,
        session_date=plan.session_date,
        open_ns=plan.open_ns,
        close_ns=plan.close_ns,
        symbols=plan.symbols,
        bar_ns=bar_ns,
        market=plan.market,
    )


def instrument_events(
    state: GatewayState, plan: SessionPlan, observation: InstrumentsObserved
) -> Sequence[InstrumentRef | PriorSession]:
    """Return the reference facts that are new or changed, in the order of the plan's symbols."""
    facts = {item.symbol: item for item in observation.instruments}
    events: list[InstrumentRef | PriorSession] = []
    for symbol in plan.symbols:
        if symbol not in facts:
            continue
        fact, known = facts[symbol], state.refs.get(symbol)
        event = InstrumentRef(
            id=_id(state, plan, InstrumentRef, len(events)),
            cause=ROOT,
            ts_ns=observation.ts_ns,
            symbol=symbol,
            con_id=fact.con_id,
            exchange=fact.exchange,
            primary_exchange=fact.primary_exchange,
            currency=fact.currency,
            sector=fact.sector,
            min_tick_nano=fact.min_tick_nano,
            lot_micro=fact.lot_micro,
            prior_close_nano=observation.prior_close_nano.get(symbol, 0),
            average_daily_volume_micro=observation.average_daily_volume_micro.get(symbol, 0),
        )
        if known is None or msgspec.structs.replace(event, id=known.id, ts_ns=known.ts_ns) != known:
            events.append(event)
        prior = PriorSession(
            id=_id(state, plan, PriorSession, len(events)),
            cause=ROOT,
            ts_ns=observation.ts_ns,
            symbol=symbol,
            session_date=plan.session_date,
            low_nano=observation.prior_low_nano.get(symbol, 0),
            close_nano=observation.prior_close_nano.get(symbol, 0),
            close_before_nano=observation.close_before_nano.get(symbol, 0),
        )
        told = state.priors.get(symbol)
        # Where nothing is known there is nothing to tell; readers fail closed without the fact.
        if prior.low_nano and (told is None or msgspec.structs.replace(prior, id=told.id, ts_ns=told.ts_ns) != told):
            events.append(prior)
    return events


def feed_event(state: GatewayState, plan: SessionPlan, observation: FeedObserved) -> Sequence[AnyEvent]:
    """Return the state of a data farm if it differs from the last one written."""
    known = state.feeds.get(observation.farm)
    if known == (observation.healthy, observation.data_type):
        return ()
    if observation.healthy and assumed_healthy(observation.farm) and (known is None or known[0]):
        return ()
    event = FeedStatus(
        id=_id(state, plan, FeedStatus, 0),
        cause=ROOT,
        ts_ns=observation.ts_ns,
        farm=observation.farm,
        healthy=observation.healthy,
        data_type=observation.data_type,
        code=observation.code,
        detail=observation.detail,
    )
    return (event,)


def broker_event(state: GatewayState, plan: SessionPlan, observation: LinkObserved) -> Sequence[AnyEvent]:
    """Return the state of the connection if it changed, or if the broker forgot the subscriptions."""
    if state.link == observation.connected and not observation.data_lost:
        return ()
    event = BrokerStatus(
        id=_id(state, plan, BrokerStatus, 0),
        cause=ROOT,
        ts_ns=observation.ts_ns,
        connected=observation.connected,
        client_id=observation.client_id,
        code=observation.code,
        detail=observation.detail,
    )
    return (event,)


def halt_event(state: GatewayState, plan: SessionPlan, observation: HaltObserved) -> Sequence[AnyEvent]:
    """Return the halt state of a symbol if it changed; every symbol starts as not halted."""
    if state.halts.get(observation.symbol, False) == observation.halted or observation.symbol not in plan.symbols:
        return ()
    event = SymbolStatus(
        id=_id(state, plan, SymbolStatus, 0),
        cause=ROOT,
        ts_ns=observation.ts_ns,
        symbol=observation.symbol,
        halted=observation.halted,
        detail="broker halt flag (tick 49)",
    )
    return (event,)


def _id(state: GatewayState, plan: SessionPlan, kind: type[msgspec.Struct], ahead: int) -> EventId:
    """Return the id of the next status event; two changes may carry the same time, so the count is the key."""
    return derive_id(f"status:{plan.session_date}:{state.statuses + ahead}", tag_of(kind), 0)
