"""Owns the intents that nothing is decided on yet: what this life cannot judge, and what a crash cut short.

A quote and the word of the socket are of one life. An intent that comes before them waits for them, because neither to
send it blind nor to refuse it for what was known a second earlier is right. So does one whose block a crash cut short:
the log holds no outcome for it, so nothing was placed. Every guard is asked when its time comes, and whatever still
waits at its expiry, or in an emergency, is refused.
"""

from __future__ import annotations

from walstreet.domain.execution_guards import begin_run
from walstreet.domain.execution_intents import Desk, withdrawals
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.execution_parents import ParentWork
from walstreet.domain.execution_state import ExecutionState
from walstreet.domain.guards import Reason, Refusal
from walstreet_events import NANOS_PER_SECOND, AnyEvent, IntentBlock, OrderRefused


def due_events(state: ExecutionState, now_ns: int, parameters: ExecutionParameters) -> list[AnyEvent]:
    """Return what follows for waiting intents that can be judged now: submissions, questions and refusals.

    Each is taken up once: one whose decision fails is not tried at every look. A refusal for want of time is left to
    ``expired_events``.
    """
    ready = [parent for parent in _waiting(state) if now_ns < parent.intent.expires_ns and _judgeable(state, parent)]
    if not ready:
        return []
    run = begin_run(state, now_ns)
    outs: list[AnyEvent] = []
    for parent in sorted(ready, key=lambda item: (not item.intent.reducing, -abs(item.intent.alpha_bps))):
        del state.undecided[parent.intent.id]
        desk = Desk(state=state, block=parent.block, mode=parent.mode, run=run, parameters=parameters)
        if parent.intent.symbol not in run.symbols:
            outs += withdrawals(state, parent.intent, parent.block, now_ns)
        outs += desk.decide(parent.intent, parent.index, None)
    return outs


def expired_events(state: ExecutionState, now_ns: int, parameters: ExecutionParameters) -> list[OrderRefused]:
    """Return the refusals of intents that waited until they expired, and of all that wait when an emergency is on.

    A resume must not find wishes from before the emergency.
    """
    stopped = state.panic or state.emergency is not None
    outs: list[OrderRefused] = []
    for parent in _waiting(state):
        late_ns = now_ns - parent.intent.expires_ns
        reason = Reason.PANIC if stopped else _missing(state, parent.intent.symbol)
        detail = f"nothing was decided before it expired {late_ns / NANOS_PER_SECOND:.3f} s ago"
        if late_ns < 0:
            detail = "it waited for the link or a quote when the emergency began"
        if stopped or late_ns >= 0:
            outs.append(_refused(state, parent, now_ns, parameters, reason=reason, detail=detail))
    return outs


def replaced_events(state: ExecutionState, block: IntentBlock, parameters: ExecutionParameters) -> list[OrderRefused]:
    """Return the refusals of waiting intents for whose symbol ``block`` brings a newer one: the newest wish counts."""
    if len(state.undecided) <= len(block.intents) and all(intent.id in state.undecided for intent in block.intents):
        # Nothing waits besides what the block has just brought, which is the rule.
        return []
    wanted = {intent.symbol for intent in block.intents}
    now_ns = state.now_ns(block.ts_ns)
    return [
        _refused(
            state,
            parent,
            now_ns,
            parameters,
            reason=_missing(state, parent.intent.symbol),
            detail="a newer intent for the symbol came before anything was decided",
        )
        for parent in _waiting(state)
        if parent.block != block.id and parent.intent.symbol in wanted
    ]


def _waiting(state: ExecutionState) -> list[ParentWork]:
    return [state.parents[name] for name in state.undecided if name in state.parents]


def _judgeable(state: ExecutionState, parent: ParentWork) -> bool:
    """Return whether this life has seen the link and a two-sided quote of the symbol."""
    quote = state.quotes.get(parent.intent.symbol)
    return state.link_seen and quote is not None and quote.bid_nano > 0 and quote.ask_nano > 0


def _missing(state: ExecutionState, symbol: str) -> Reason:
    if not state.link_seen:
        return Reason.LINK_DOWN
    return Reason.NO_QUOTE if symbol not in state.quotes else Reason.INTENT_EXPIRED


def _refused(
    state: ExecutionState,
    parent: ParentWork,
    now_ns: int,
    parameters: ExecutionParameters,
    *,
    reason: Reason,
    detail: str,
) -> OrderRefused:
    desk = Desk(state=state, block=parent.block, mode=parent.mode, run=begin_run(state, now_ns), parameters=parameters)
    return desk.refused(parent.intent, parent.index, Refusal(reason=reason.value, detail=detail), None)
