"""Owns changes of working orders in place: which are due, what became of each, and the folding of both.

A change is journaled before it is sent, under the same broker order id and ``orderRef``. Only an order that the broker
has shown as working is changed, never one whose outcome is unknown, one that is being cancelled, or one whose last
change has no answer yet. Until the broker has echoed a price the old one and the new one both count. An echo of the old
price while a change is under way may be older than the change and proves nothing, unless the order's outcome was being
found out: then the change is known to be lost.
"""

from __future__ import annotations

from dataclasses import replace

from walstreet.domain.execution_guards import check_short_sale, guarded_order, market_facts
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.execution_state import ExecutionState
from walstreet.domain.guard_market import check_market
from walstreet.domain.guard_reset import ResetFacts, check_reset
from walstreet.domain.guard_verdict import GuardedOrder, first_refusal
from walstreet.domain.guards import Reason, Refusal, by_guard
from walstreet.domain.micro_planner import REASONS, Schedule, Stage, Step, due_step, net_edge_bps
from walstreet.domain.observations import OrderErrorObserved, OrderStatusObserved, QuoteObserved
from walstreet.domain.order import Order
from walstreet.domain.order_codes import CodeKind, classify
from walstreet.domain.tick_rules import TickRule
from walstreet_events import (
    NANOS_PER_SECOND,
    ROOT,
    Mode,
    OrderModified,
    OrderModifying,
    OrderModifyRefused,
    OrderState,
    QuoteSeen,
    Side,
    derive_id,
    tag_of,
)

CHANGEABLE = (OrderState.WORKING, OrderState.PARTIALLY_FILLED)
"""States in which a change may be sent."""
REFUSING = (CodeKind.MODIFY_FAILED, CodeKind.REJECT, CodeKind.DOUBT, CodeKind.CANCEL_FAILED)
"""What an error says that comes while a change has no answer and that ends the waiting for one."""
ACCEPTED, REFUSED, LOST, CHANGED = "accepted", "refused", "lost", "changed"


def tick_rule(state: ExecutionState, symbol: str, parameters: ExecutionParameters) -> TickRule:
    """Return the price increments of a known instrument."""
    return TickRule(min_tick_nano=state.instruments[symbol].min_tick_nano, ladder=tuple(parameters.planner.tick_ladder))


def seen(quote: QuoteObserved) -> QuoteSeen:
    """Return a quote as it is copied into an event."""
    return QuoteSeen(
        bid_nano=quote.bid_nano,
        ask_nano=quote.ask_nano,
        bid_size_micro=quote.bid_size_micro,
        ask_size_micro=quote.ask_size_micro,
        ts_ns=quote.ts_ns,
        seq=0,
    )


# ------------------------------------------------------------------------------------------------ what is due


def modify_events(
    state: ExecutionState, now_ns: int, parameters: ExecutionParameters
) -> list[OrderModifying | OrderModifyRefused]:
    """Return the changes that the schedule asks for at ``now_ns``, the largest net edge first, and those refused."""
    if parameters.aggression != "staged" or not _may_change(state):
        return []
    due: list[tuple[float, str, OrderModifying]] = []
    refused: list[OrderModifyRefused] = []
    spent = 0
    for key in state.open_orders:
        order = state.orders[key]
        spent += order.modifications > 0 and now_ns - order.asked_ns < NANOS_PER_SECOND
        event = _due(state, order, now_ns, parameters)
        if isinstance(event, OrderModifying):
            due.append((-net_edge_bps(state.parents[order.intent].intent.alpha_bps, event.quote), key, event))
        elif event is not None:
            refused.append(event)
    left = max(0, parameters.planner.modifies_per_second_max - spent)
    return [*refused, *(event for _, _, event in sorted(due, key=lambda item: item[:2])[:left])]


def _may_change(state: ExecutionState) -> bool:
    up = state.link_seen and state.link is not None and state.link.connected
    return up and not state.panic and state.mode is not Mode.EMERGENCY


def _due(
    state: ExecutionState, order: Order, now_ns: int, parameters: ExecutionParameters
) -> OrderModifying | OrderModifyRefused | None:
    if (
        order.state not in CHANGEABLE
        or order.asked_nano
        or order.cancel_reasons
        or order.arrival is None
        or order.intent not in state.parents
        or order.symbol not in state.instruments
    ):
        return None
    observed = state.quotes.get(order.symbol)
    if observed is None or not 0 < observed.bid_nano < observed.ask_nano:
        return None
    quote, rule = seen(observed), tick_rule(state, order.symbol, parameters)
    step = due_step(_schedule(order, order.arrival), quote, now_ns, rule=rule, parameters=parameters.planner)
    if step is None:
        return None
    refusal = _refusal(state, _judged(state, order, step.limit_nano), quote, now_ns, parameters)
    if refusal is not None:
        return _refused(order, step, refusal, quote, now_ns)
    number = order.modifications + 1
    return OrderModifying(
        id=derive_id(order.client_order_id, tag_of(OrderModifying), number),
        cause=ROOT,
        ts_ns=now_ns,
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        broker_order_id=order.broker_order_id,
        number=number,
        stage=int(step.stage),
        con_id=order.con_id,
        side=order.side,
        quantity_micro=order.quantity_micro,
        good_till_ns=order.good_till_ns,
        limit_nano=step.limit_nano,
        previous_nano=order.limit_nano,
        reason=REASONS[step.stage],
        quote=quote,
    )


def _schedule(order: Order, arrival: QuoteSeen) -> Schedule:
    return Schedule(
        side=order.side,
        quantity_micro=order.quantity_micro,
        filled_micro=order.filled_micro,
        limit_nano=order.limit_nano,
        submitted_ns=order.submitted_ns,
        good_till_ns=order.good_till_ns,
        stage=Stage(order.stage),
        arrival=arrival,
    )


def _refusal(
    state: ExecutionState, judged: GuardedOrder, quote: QuoteSeen, now_ns: int, parameters: ExecutionParameters
) -> Refusal | None:
    """Return why an order may not have its new price now, or None."""
    if judged.symbol in state.external:
        return Refusal(reason=Reason.EXTERNAL_ORDER.value, detail="a foreign order or position has not been adopted")
    if state.mode is Mode.OBSERVE and not judged.reducing:
        return Refusal(reason=Reason.MODE_OBSERVE.value, detail="mode is observe and the order does not only reduce")
    verdicts = [
        check_reset(ResetFacts(now_ns=now_ns, order=judged), parameters.resets),
        *check_market(market_facts(state, judged, quote, now_ns), parameters.market),
    ]
    if judged.side is Side.SELL:
        verdicts.append(check_short_sale(state, judged, quote, now_ns, parameters).verdict)
    stopped = first_refusal(verdicts)
    return None if stopped is None else by_guard(stopped)


def _refused(order: Order, step: Step, refusal: Refusal, quote: QuoteSeen, now_ns: int) -> OrderModifyRefused | None:
    """Return the refusal to journal, None when this order has had it at this stage: looks come many times a second."""
    key = _refused_key(int(step.stage), refusal.reason)
    if key in order.changes_refused:
        return None
    return OrderModifyRefused(
        id=derive_id(order.client_order_id, f"{tag_of(OrderModifyRefused)}:{key}", 0),
        cause=ROOT,
        ts_ns=now_ns,
        client_order_id=order.client_order_id,
        intent=order.intent,
        symbol=order.symbol,
        stage=int(step.stage),
        limit_nano=step.limit_nano,
        reason=refusal.reason,
        detail=refusal.detail,
        quote=quote,
    )


def _refused_key(stage: int, reason: str) -> str:
    return f"{stage}:{reason}"


def _judged(state: ExecutionState, order: Order, limit_nano: int) -> GuardedOrder:
    """Return the rest of the order as one under judgement; it does not work against itself."""
    left_micro = order.quantity_micro - order.filled_micro
    intent = state.parents[order.intent].intent
    judged = guarded_order(state, intent, quantity_micro=left_micro, limit_nano=limit_nano)
    buys, sells = judged.working_buy_micro or 0, judged.working_sell_micro or 0
    if order.side is Side.BUY:
        return replace(judged, working_buy_micro=max(0, buys - left_micro))
    return replace(judged, working_sell_micro=max(0, sells - left_micro))


# ------------------------------------------------------------------------------------------------ what became of it


def echo_event(before: Order, fact: OrderStatusObserved) -> OrderModified | None:
    """Return what the broker's openOrder says of the order's terms, None when nothing new.

    ``before`` is the order without this fact.
    """
    limit_nano = fact.limit_nano if fact.limit_nano is not None and before.limit_nano else before.limit_nano
    total_micro = fact.total_micro or before.quantity_micro
    outcome = ""
    if before.asked_nano and fact.limit_nano is not None:
        if limit_nano == before.asked_nano:
            outcome = ACCEPTED
        elif limit_nano != before.limit_nano:
            outcome = CHANGED
        elif before.state is OrderState.UNKNOWN:
            outcome = LOST
    elif limit_nano != before.limit_nano:
        outcome = CHANGED
    if not outcome and total_micro != before.quantity_micro:
        outcome = CHANGED
    if not outcome:
        return None
    return _modified(before, fact.ts_ns, outcome, limit_nano=limit_nano, quantity_micro=total_micro)


def refusal_event(before: Order, fact: OrderErrorObserved) -> OrderModified | None:
    """Return the refusal of the change that has no answer yet, None when the error says nothing of it."""
    if not before.asked_nano or before.terminal or classify(fact.code) not in REFUSING:
        return None
    return _modified(
        before,
        fact.ts_ns,
        REFUSED,
        limit_nano=before.limit_nano,
        quantity_micro=before.quantity_micro,
        code=fact.code,
        detail=fact.message,
    )


def _modified(
    order: Order, ts_ns: int, outcome: str, *, limit_nano: int, quantity_micro: int, code: int = 0, detail: str = ""
) -> OrderModified:
    natural = f"{order.client_order_id}:{order.modifications}:{order.revision}:{outcome}:{limit_nano}:{quantity_micro}"
    return OrderModified(
        id=derive_id(natural, tag_of(OrderModified), 0),
        cause=ROOT,
        ts_ns=ts_ns,
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        broker_order_id=order.broker_order_id,
        number=order.modifications,
        outcome=outcome,
        limit_nano=limit_nano,
        quantity_micro=quantity_micro,
        code=code,
        detail=detail,
    )


def with_change(order: Order, event: OrderModifying | OrderModifyRefused | OrderModified) -> Order:
    """Return ``order`` after a journaled change, its refusal or its outcome; the fold that replay uses."""
    if isinstance(event, OrderModifyRefused):
        return replace(order, changes_refused=(*order.changes_refused, _refused_key(event.stage, event.reason)))
    if isinstance(event, OrderModifying):
        return replace(
            order,
            asked_nano=event.limit_nano,
            asked_ns=event.ts_ns,
            modifications=event.number,
            stage=max(order.stage, event.stage),
        )
    return replace(
        order,
        limit_nano=event.limit_nano,
        quantity_micro=event.quantity_micro,
        asked_nano=0,
        revision=order.revision + 1,
    )
