"""Owns the decision on an intent whose margin was asked: the answer as a fact, and what follows from it.

An intent waits for its answer in the state, and every guard is asked again when it comes, with the newest quote. What
was asked and has no answer in time is refused; an answer that comes later finds nothing that waits for it.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from walstreet.domain.execution_guards import begin_run
from walstreet.domain.execution_intents import Desk
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.execution_state import ExecutionState
from walstreet.domain.guard_margin import MarginAnswer, MarginReason, WhatIf
from walstreet.domain.guard_verdict import nanos
from walstreet.domain.guards import Refusal
from walstreet.domain.observations import MarginObserved
from walstreet.domain.reslice import next_slice
from walstreet_events import AnyEvent, MarginAnswered, MarginAsked, OrderRefused, derive_id, tag_of


def answer_events(state: ExecutionState, fact: MarginObserved, parameters: ExecutionParameters) -> list[AnyEvent]:
    """Return the journaled answer and what follows from it; nothing, if nobody waits for it any more."""
    asked = next((item for item in state.asked.values() if item.id == fact.asked), None)
    if asked is None:
        return []
    answered = _answered(asked, fact)
    now_ns = state.now_ns(fact.ts_ns)
    if fact.preview is None:
        late = now_ns - asked.ts_ns >= nanos(parameters.margin.timeout_s)
        reason = MarginReason.MARGIN_TIMEOUT if late else MarginReason.MARGIN_UNKNOWN
        return [answered, _refusal(state, asked, parameters, now_ns=now_ns, reason=reason, detail=fact.detail)]
    answer = MarginAnswer(
        ts_ns=fact.ts_ns,
        initial_margin_after_nano=fact.preview.initial_margin_after_nano,
        equity_with_loan_after_nano=fact.preview.equity_with_loan_after_nano,
        available_funds_after_nano=None,
    )
    desk = _desk(state, asked, answer, now_ns, parameters)
    return [answered, *desk.decide(asked.order, asked.index, None)]


def asked_again(state: ExecutionState, now_ns: int) -> list[MarginAsked]:
    """Return the questions of an earlier life once more, each as soon as its symbol has a quote in this one.

    Nothing was placed on them: a submission would have taken the question's place. An intent that has expired is left
    to the timer.
    """
    outs: list[MarginAsked] = []
    for name in list(state.asked_before):
        asked = state.asked.get(name)
        if asked is not None and now_ns < asked.order.expires_ns and asked.symbol not in state.quotes:
            continue
        del state.asked_before[name]
        if asked is None or now_ns >= asked.order.expires_ns:
            continue
        outs.append(
            msgspec.structs.replace(
                asked,
                # From the question before, so that a third life asks under a third name.
                id=derive_id(asked.id, tag_of(MarginAsked), 0),
                ts_ns=now_ns,
                broker_order_id=state.next_order_id + len(outs),
            )
        )
    return outs


def timeout_events(state: ExecutionState, now_ns: int, parameters: ExecutionParameters) -> list[OrderRefused]:
    """Return the refusals of intents whose question has no answer in time, or waits in vain to be asked again."""
    timeout_ns = nanos(parameters.margin.timeout_s)
    return [
        _refusal(
            state,
            asked,
            parameters,
            now_ns=now_ns,
            reason=MarginReason.MARGIN_TIMEOUT,
            detail=f"no answer to the what-if {(now_ns - asked.ts_ns) / 1e9:.3f} s after the question",
        )
        for name, asked in state.asked.items()
        if now_ns >= (asked.order.expires_ns if name in state.asked_before else asked.ts_ns + timeout_ns)
    ]


def _refusal(
    state: ExecutionState,
    asked: MarginAsked,
    parameters: ExecutionParameters,
    *,
    now_ns: int,
    reason: MarginReason,
    detail: str,
) -> OrderRefused:
    desk = _desk(state, asked, None, now_ns, parameters)
    return desk.refused(asked.order, asked.index, Refusal(reason=reason.value, detail=f"margin: {detail}"), asked.quote)


def _desk(
    state: ExecutionState,
    asked: MarginAsked,
    answer: MarginAnswer | None,
    now_ns: int,
    parameters: ExecutionParameters,
) -> Desk:
    what_if = WhatIf(
        intent=asked.order.id,
        symbol=asked.symbol,
        side=asked.order.side,
        quantity_micro=asked.quantity_micro,
        asked_ns=asked.ts_ns,
        answer=answer,
    )
    sent = [order for order in state.orders.values() if order.intent == asked.order.id and not order.protects]
    # Where earlier children have ended this is the rest of the parent, which gets a child of a new name.
    return Desk(
        state=state,
        block=asked.cause,
        mode=asked.mode,
        run=replace(begin_run(state, now_ns), resumed=asked.order.id if sent else ""),
        parameters=parameters,
        what_if=what_if,
        first_slice=next_slice(sent) if sent else 0,
    )


def _answered(asked: MarginAsked, fact: MarginObserved) -> MarginAnswered:
    preview = fact.preview
    return MarginAnswered(
        id=derive_id(asked.id, tag_of(MarginAnswered), 0),
        cause=asked.id,
        ts_ns=fact.ts_ns,
        asked=asked.id,
        intent=asked.order.id,
        symbol=asked.symbol,
        answered=preview is not None,
        initial_margin_after_nano=preview.initial_margin_after_nano if preview else None,
        maintenance_margin_after_nano=preview.maintenance_margin_after_nano if preview else None,
        equity_with_loan_after_nano=preview.equity_with_loan_after_nano if preview else None,
        commission_nano=preview.commission_nano if preview else None,
        detail=fact.detail or (preview.warning if preview else ""),
    )
