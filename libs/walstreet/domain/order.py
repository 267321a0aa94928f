"""Owns the life cycle of one child order: its states, the literal table of transitions and the pure step function.

Rules. The broker's word on the wire decides, never a library's guess. Status messages repeat and may be
skipped; executions repeat; an execution may come before or after the status that counts it, and after
``cancelled``. Therefore executions are deduplicated by their id, the cumulative quantity only grows, and a
state that was merely inferred (``unknown``, ``rejected``, ``expired``) yields to proof that the order lives,
while ``filled`` yields to nothing and ``cancelled`` only to the execution that completes the order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from walstreet.domain.observations import ExecutionObserved, OrderErrorObserved, OrderStatusObserved
from walstreet.domain.order_codes import CodeKind, classify
from walstreet_events import OrderCorrected, OrderFilled, OrderState, OrderSubmitting, OrderUpdated, QuoteSeen, Side

OrderFact: TypeAlias = OrderStatusObserved | ExecutionObserved | OrderErrorObserved


class Trigger(StrEnum):
    """What a fact means for the state of an order."""

    LIVE = "live"
    """The broker shows the order as live, nothing filled."""
    LIVE_PARTLY = "live_partly"
    """The broker shows the order as live, partly filled."""
    PART = "part"
    """An execution that leaves a rest; by itself no proof that the rest lives."""
    FULL = "full"
    """The cumulative quantity has reached the order's."""
    HELD = "held"
    CANCEL_PENDING = "cancel_pending"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """The broker ended the order at its good-till time, or its absence was proved after that."""
    REJECTED = "rejected"
    DOUBT = "doubt"
    """A restart, a lost link, silence or a contradictory answer: the outcome must be found out."""


_S = OrderState
_T = Trigger

TRANSITIONS: dict[OrderState, dict[Trigger, OrderState]] = {
    _S.SUBMITTING: {
        _T.LIVE: _S.WORKING,
        _T.LIVE_PARTLY: _S.PARTIALLY_FILLED,
        _T.PART: _S.PARTIALLY_FILLED,
        _T.FULL: _S.FILLED,
        _T.HELD: _S.INACTIVE,
        _T.CANCEL_PENDING: _S.PENDING_CANCEL,
        _T.CANCELLED: _S.CANCELLED,
        _T.EXPIRED: _S.EXPIRED,
        _T.REJECTED: _S.REJECTED,
        _T.DOUBT: _S.UNKNOWN,
    },
    _S.UNKNOWN: {
        _T.LIVE: _S.WORKING,
        _T.LIVE_PARTLY: _S.PARTIALLY_FILLED,
        _T.FULL: _S.FILLED,
        _T.HELD: _S.INACTIVE,
        _T.CANCEL_PENDING: _S.PENDING_CANCEL,
        _T.CANCELLED: _S.CANCELLED,
        _T.EXPIRED: _S.EXPIRED,
        _T.REJECTED: _S.REJECTED,
    },
    _S.WORKING: {
        _T.LIVE_PARTLY: _S.PARTIALLY_FILLED,
        _T.PART: _S.PARTIALLY_FILLED,
        _T.FULL: _S.FILLED,
        _T.HELD: _S.INACTIVE,
        _T.CANCEL_PENDING: _S.PENDING_CANCEL,
        _T.CANCELLED: _S.CANCELLED,
        _T.EXPIRED: _S.EXPIRED,
        _T.REJECTED: _S.REJECTED,
        _T.DOUBT: _S.UNKNOWN,
    },
    _S.PARTIALLY_FILLED: {
        _T.FULL: _S.FILLED,
        _T.HELD: _S.INACTIVE,
        _T.CANCEL_PENDING: _S.PENDING_CANCEL,
        _T.CANCELLED: _S.CANCELLED,
        _T.EXPIRED: _S.EXPIRED,
        _T.REJECTED: _S.REJECTED,
        _T.DOUBT: _S.UNKNOWN,
    },
    _S.PENDING_CANCEL: {
        _T.FULL: _S.FILLED,
        _T.CANCELLED: _S.CANCELLED,
        _T.EXPIRED: _S.EXPIRED,
        _T.REJECTED: _S.REJECTED,
        _T.DOUBT: _S.UNKNOWN,
    },
    _S.INACTIVE: {
        _T.LIVE: _S.WORKING,
        _T.LIVE_PARTLY: _S.PARTIALLY_FILLED,
        _T.PART: _S.PARTIALLY_FILLED,
        _T.FULL: _S.FILLED,
        _T.CANCEL_PENDING: _S.PENDING_CANCEL,
        _T.CANCELLED: _S.CANCELLED,
        _T.EXPIRED: _S.EXPIRED,
        _T.REJECTED: _S.REJECTED,
        _T.DOUBT: _S.UNKNOWN,
    },
    _S.FILLED: {},
    _S.CANCELLED: {_T.FULL: _S.FILLED},
    _S.REJECTED: {_T.LIVE: _S.WORKING, _T.LIVE_PARTLY: _S.PARTIALLY_FILLED, _T.FULL: _S.FILLED},
    _S.EXPIRED: {_T.LIVE: _S.WORKING, _T.LIVE_PARTLY: _S.PARTIALLY_FILLED, _T.FULL: _S.FILLED},
}
"""Every legal transition; a trigger that a state does not list leaves the state as it is."""

TERMINAL: tuple[OrderState, ...] = (_S.FILLED, _S.CANCELLED, _S.REJECTED, _S.EXPIRED)
"""States in which nothing more is expected, though a late execution is still taken."""

LOCATE = "locate"
"""Why the broker holds a short sale whatever its status says; ``child`` and ``trigger`` are no hold."""

LIVE_STATUSES = ("ApiPending", "PendingSubmit", "PreSubmitted", "Submitted")
_CANCELLED_STATUSES = ("ApiCancelled", "Cancelled")
_INFERRED_ENDS = (_S.REJECTED, _S.EXPIRED)

assert set(TRANSITIONS) == set(OrderState), "every state needs a row, even an empty one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One child order as the log knows it."""

    client_order_id: str
    intent: str
    symbol: str
    con_id: int
    side: Side
    quantity_micro: int
    limit_nano: int
    good_till_ns: int
    submitted_ns: int
    broker_order_id: int
    state: OrderState = OrderState.SUBMITTING
    broker_status: str = ""
    perm_id: int = 0
    filled_micro: int = 0
    """Cumulative by the largest word of the broker, status or execution."""
    executed_micro: int = 0
    """Sum of the distinct executions."""
    average_price_nano: int = 0
    why_held: str = ""
    code: int = 0
    executions: tuple[str, ...] = ()
    """Distinct execution ids, in order of arrival."""
    corrections: tuple[str, ...] = ()
    """Ids of corrected executions that were reported and not counted."""
    revision: int = 0
    """Number of updates so far; part of their identity."""
    cancel_reasons: tuple[str, ...] = ()
    absences: int = 0
    """Successive snapshots after the good-till time that did not show the order."""
    arrival: QuoteSeen | None = None
    """The quote when the order was placed; None for a protective order."""
    protects: str = ""
    """Client order id of the order whose position this one protects; empty for an order of an intent."""
    stage: int = 0
    """Of the schedule: the furthest that was asked for."""
    modifications: int = 0
    """Changes in place that were asked for."""
    asked_nano: int = 0
    """Limit that was asked for and has no answer yet; 0 without one."""
    asked_ns: int = 0
    """When the last change was asked for."""
    changes_refused: tuple[str, ...] = ()
    """Stage and reason of every change that a guard refused, once each."""

    @property
    def worst_nano(self) -> int:
        """Return the limit that counts: a change that has no answer may be in force already."""
        if not self.asked_nano:
            return self.limit_nano
        return max(self.limit_nano, self.asked_nano)

    @property
    def terminal(self) -> bool:
        """Return whether nothing more is expected."""
        return self.state in TERMINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """What one fact did to an order."""

    order: Order
    updated: bool
    """An ``OrderUpdated`` is due."""
    filled: bool
    """The fact was a new execution, so an ``OrderFilled`` is due."""
    detail: str


def opened(event: OrderSubmitting) -> Order:
    """Return the order that a journaled submission begins."""
    return Order(
        client_order_id=event.client_order_id,
        intent=event.intent,
        symbol=event.symbol,
        con_id=event.con_id,
        side=event.side,
        quantity_micro=event.quantity_micro,
        limit_nano=event.limit_nano,
        good_till_ns=event.good_till_ns,
        submitted_ns=event.ts_ns,
        broker_order_id=event.broker_order_id,
        arrival=event.quote,
    )


def advance(order: Order, fact: OrderFact) -> Advance:
    """Return ``order`` after one fact from the wire or from a query, and which events are due."""
    match fact:
        case OrderStatusObserved():
            return _on_status(order, fact)
        case ExecutionObserved():
            return _on_execution(order, fact)
        case OrderErrorObserved():
            return _on_error(order, fact)


def doubted(order: Order, detail: str) -> Advance:
    """Return ``order`` after its outcome became unknown; a terminal order stays as it is."""
    return _settle(order, order, Trigger.DOUBT, detail)


def expired(order: Order, detail: str) -> Advance:
    """Return ``order`` after its absence was proved past its good-till time."""
    return _settle(order, order, Trigger.EXPIRED, detail)


def with_update(order: Order, event: OrderUpdated) -> Order:
    """Return ``order`` after a journaled update; the fold that replay uses."""
    return replace(
        order,
        state=event.state,
        broker_status=event.broker_status,
        perm_id=event.perm_id,
        filled_micro=max(order.filled_micro, event.filled_micro),
        average_price_nano=event.average_price_nano,
        why_held=event.why_held,
        code=event.code,
        corrections=_corrections_after(order, event.detail),
        revision=order.revision + 1,
        absences=0,
    )


def with_fill(order: Order, event: OrderFilled) -> Order:
    """Return ``order`` after a journaled execution; one that is known already changes nothing."""
    return _counted(
        order, exec_id=event.exec_id, quantity_micro=event.quantity_micro, cumulative_micro=event.cumulative_micro
    )


def with_correction(order: Order, event: OrderCorrected) -> Order:
    """Return ``order`` after a journaled correction: the new execution counts instead of the old one.

    The cumulative quantity by the broker's largest word stays: it never falls, and what was corrected away is no
    quantity that may be asked for again.
    """
    if event.exec_id in order.executions:
        return order
    kept = tuple(known for known in order.executions if known != event.corrects)
    return replace(
        order,
        executions=(*kept, event.exec_id),
        corrections=(*order.corrections, event.corrects),
        executed_micro=max(0, order.executed_micro + event.quantity_micro - event.previous_quantity_micro),
    )


def execution_root(exec_id: str) -> str:
    """Return an execution id without its last part, which numbers the corrections of one execution."""
    root, _, _ = exec_id.rpartition(".")
    return root or exec_id


def mermaid() -> str:
    """Return the table as a Mermaid state diagram for the documentation."""
    lines = ["stateDiagram-v2", f"    [*] --> {OrderState.SUBMITTING.value}: journaled, then placed"]
    for state, row in TRANSITIONS.items():
        lines += [f"    {state.value} --> {target.value}: {trigger.value}" for trigger, target in row.items()]
    lines += [f"    {state.value} --> [*]" for state in TERMINAL]
    return "\n".join(lines) + "\n"


_CORRECTION = "execution_corrected:"


def _corrections_after(order: Order, detail: str) -> tuple[str, ...]:
    if not detail.startswith(_CORRECTION):
        return order.corrections
    return (*order.corrections, detail.removeprefix(_CORRECTION).strip())


def _counted(order: Order, *, exec_id: str, quantity_micro: int, cumulative_micro: int) -> Order:
    if exec_id in order.executions:
        return order
    executed = order.executed_micro + quantity_micro
    return replace(
        order,
        executions=(*order.executions, exec_id),
        executed_micro=executed,
        filled_micro=max(order.filled_micro, executed, cumulative_micro),
    )


def _on_status(order: Order, fact: OrderStatusObserved) -> Advance:
    filled = max(order.filled_micro, fact.filled_micro)
    told = replace(
        order,
        broker_status=fact.status,
        perm_id=fact.perm_id or order.perm_id,
        filled_micro=filled,
        average_price_nano=fact.average_price_nano if fact.filled_micro == filled else order.average_price_nano,
        why_held=fact.why_held,
    )
    return _settle(order, told, _trigger_of_status(told, fact), "")


def _trigger_of_status(order: Order, fact: OrderStatusObserved) -> Trigger | None:
    if order.filled_micro >= order.quantity_micro:
        return Trigger.FULL
    if fact.status in LIVE_STATUSES:
        return _trigger_of_life(order, fact)
    if fact.status in _CANCELLED_STATUSES:
        return Trigger.EXPIRED if fact.ts_ns >= order.good_till_ns else Trigger.CANCELLED
    if fact.status == "PendingCancel":
        return Trigger.CANCEL_PENDING
    if fact.status == "Inactive":
        return Trigger.HELD
    # "Filled" with a smaller quantity, or a status that this version does not know, proves nothing.
    return Trigger.PART if order.filled_micro else None


def _trigger_of_life(order: Order, fact: OrderStatusObserved) -> Trigger:
    # An end that was only inferred is disproved first; what the living order waits for is the next fact's matter.
    if LOCATE in fact.why_held and order.state not in _INFERRED_ENDS:
        return Trigger.HELD
    return Trigger.LIVE_PARTLY if order.filled_micro else Trigger.LIVE


def _on_execution(order: Order, fact: ExecutionObserved) -> Advance:
    if fact.exec_id in order.executions or fact.exec_id in order.corrections:
        return Advance(order=order, updated=False, filled=False, detail="")
    root = execution_root(fact.exec_id)
    if any(execution_root(known) == root for known in order.executions):
        # A corrected execution replaces one that was counted. Counting it again would double the position, and
        # rewriting the past is a person's decision: it is made visible, and reconciliation finds the difference.
        told = replace(order, corrections=(*order.corrections, fact.exec_id))
        return Advance(order=told, updated=True, filled=False, detail=f"{_CORRECTION} {fact.exec_id}")
    counted = _counted(
        replace(order, perm_id=fact.perm_id or order.perm_id),
        exec_id=fact.exec_id,
        quantity_micro=fact.quantity_micro,
        cumulative_micro=fact.cumulative_micro,
    )
    trigger = Trigger.FULL if counted.filled_micro >= counted.quantity_micro else Trigger.PART
    return replace(_settle(order, counted, trigger, ""), filled=True)


_TRIGGER_OF_KIND: dict[CodeKind, Trigger] = {
    CodeKind.REJECT: Trigger.REJECTED,
    CodeKind.DOUBT: Trigger.DOUBT,
    CodeKind.CANCEL_FAILED: Trigger.DOUBT,
    CodeKind.HELD: Trigger.HELD,
}


def _on_error(order: Order, fact: OrderErrorObserved) -> Advance:
    kind = classify(fact.code)
    trigger = _TRIGGER_OF_KIND.get(kind)
    if kind is CodeKind.REJECT and order.asked_nano:
        # It may be the change that was refused, and the order lives on; a status or a query tells.
        trigger = Trigger.DOUBT
    if kind is CodeKind.CANCELLED:
        trigger = Trigger.EXPIRED if fact.ts_ns >= order.good_till_ns else Trigger.CANCELLED
    told = replace(order, code=fact.code)
    return _settle(order, told, trigger, f"{kind.value}: {fact.message}")


def _settle(before: Order, told: Order, trigger: Trigger | None, detail: str) -> Advance:
    """Return ``told`` in the state that ``trigger`` leads to, and whether anything worth a record changed."""
    state = before.state
    if trigger is not None:
        state = TRANSITIONS[state].get(trigger, state)
    after = replace(told, state=state)
    updated = (
        after.state is not before.state
        or after.broker_status != before.broker_status
        or after.perm_id != before.perm_id
        or after.filled_micro != before.filled_micro
        or after.why_held != before.why_held
        or after.code != before.code
    )
    return Advance(order=after, updated=updated, filled=False, detail=detail)
