"""Owns the sending of the rest of a parent once its children are proved to be over, with every guard asked again."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from walstreet.domain.execution_guards import begin_run
from walstreet.domain.execution_intents import Desk
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.execution_state import ExecutionState
from walstreet.domain.order import Order
from walstreet.domain.reslice import next_slice, rest_micro
from walstreet_events import AnyEvent


def reslice_events(state: ExecutionState, now_ns: int, parameters: ExecutionParameters) -> list[AnyEvent]:
    """Return the new children that the newest snapshot allows; a snapshot is looked at once.

    What a guard refuses is not journaled again: the parent waits for the next snapshot or its expiry.
    """
    snapshot = state.snapshot
    if snapshot is None or snapshot.id == state.resliced:
        return []
    state.resliced = snapshot.id
    outs: list[AnyEvent] = []
    run = begin_run(state, now_ns)
    waiting = [parent for parent in state.parents.values() if now_ns < parent.intent.expires_ns]
    if not waiting:
        return []
    children: dict[str, list[Order]] = {}
    for order in state.orders.values():
        if not order.protects:
            children.setdefault(order.intent, []).append(order)
    for parent in sorted(waiting, key=lambda item: (-abs(item.intent.alpha_bps), item.intent.id)):
        sent = children.get(parent.intent.id, [])
        left_micro = rest_micro(parent.intent, sent, snapshot, now_ns, parameters.reslice)
        if left_micro <= 0:
            continue
        desk = Desk(
            state=state,
            block=parent.block,
            mode=parent.mode,
            run=replace(run, resumed=parent.intent.id),
            parameters=parameters,
            first_slice=next_slice(sent),
        )
        outs += desk.again(msgspec.structs.replace(parent.intent, quantity_micro=left_micro), parent.index)
        run = desk.run
    return outs
