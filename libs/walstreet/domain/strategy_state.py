"""Owns what several strategies in one account know, and how the account's facts become those of each strategy.

A strategy's core is told the life of its own orders only: its part of the account's order as its intent, its part of
every execution as its fill, and an end when the account's order has one. What it crossed with others is a fill without
an order. So a core that was written to trade alone needs no change to trade beside others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from walstreet.domain.arbiter_state import ArbiterState
from walstreet.domain.strategy_books import AccountBooks
from walstreet.domain.working_orders import FINAL_STATES
from walstreet_events import (
    AccountPlan,
    AnyEvent,
    FeeAllocated,
    FillAllocated,
    IntentBlock,
    OrderCommission,
    OrderFilled,
    OrderIntent,
    OrderRefused,
    OrderState,
    OrderSubmitting,
    OrderUpdated,
    Position,
    Positions,
    Prefilter,
    Side,
    StrategyRecord,
    derive_id,
    tag_of,
)

SENT_MAX = 100_000
"""Intents and orders of the account whose strategies are remembered; the oldest go first."""

Parts = dict[str, str]
"""The wish behind an order, by strategy."""


@dataclass(slots=True, kw_only=True)
class StrategiesState:
    """State of the strategies and of the account that they share; rebuilt from the log."""

    account: ArbiterState
    """The account's own facts: mode, links, references, working orders; nothing is decided from its learning."""
    members: dict[str, Any]
    """State of each strategy's core, by name."""
    books: AccountBooks
    wishes: dict[str, dict[str, OrderIntent]] = field(default_factory=dict)
    """By strategy, of the cycle whose plan is not folded yet."""
    sent: dict[str, Parts] = field(default_factory=dict)
    """Who is behind each intent of the account."""
    children: dict[str, str] = field(default_factory=dict)
    """Intent of each order of the account."""
    prefilters: dict[str, Prefilter] = field(default_factory=dict)

    def digest(self) -> str:
        """Return a hash of the complete state."""
        parts = (
            self.account.digest(),
            [(name, member.digest()) for name, member in self.members.items()],
            self.books.canonical(),
            self.wishes,
            self.sent,
            self.children,
            [(name, item.id) for name, item in self.prefilters.items()],
        )
        return hashlib.sha256(msgspec.msgpack.encode(parts, order="deterministic")).hexdigest()


OWN_FACTS = (
    StrategyRecord
    | AccountPlan
    | OrderSubmitting
    | OrderUpdated
    | OrderRefused
    | FillAllocated
    | FeeAllocated
    | Positions
)
"""Facts that are another one for each strategy; see ``facts_of``."""


def remember(state: StrategiesState, event: AnyEvent) -> None:
    """Fold what must be known to tell the strategies of their orders; before ``facts_of`` is asked for ``event``."""
    match event:
        case StrategyRecord(record=IntentBlock() as block):
            state.wishes[event.strategy] = {intent.id: intent for intent in block.intents}
        case StrategyRecord(record=Prefilter() as prefilter):
            state.prefilters[event.strategy] = prefilter
        case AccountPlan():
            for planned in event.symbols:
                if planned.intent:
                    parts = {share.strategy: share.intent for share in planned.shares if share.parent_micro}
                    _keep(state.sent, planned.intent, parts)
        case OrderSubmitting():
            _keep(state.children, event.client_order_id, event.intent)
        case _:
            pass


def _keep(memory: dict[str, Any], key: str, value: object) -> None:
    memory[key] = value
    while len(memory) > SENT_MAX:
        del memory[next(iter(memory))]


def facts_of(state: StrategiesState, event: AnyEvent) -> Iterator[tuple[str, AnyEvent]]:
    """Yield what an event of ``OWN_FACTS`` means for each strategy that it concerns, in the order of the names."""
    match event:
        case OrderRefused() | OrderSubmitting() | OrderUpdated():
            yield from _order_facts(state, event)
        case StrategyRecord() if not isinstance(event.record, IntentBlock):
            yield event.strategy, event.record
        case AccountPlan():
            yield from _planned(state, event)
        case FillAllocated():
            yield from _filled(state, event)
        case FeeAllocated():
            fees = zip(event.strategies, event.fee_nano, strict=True)
            yield from ((name, _commission(event, fee)) for name, fee in fees if name in state.members)
        case Positions():
            yield from ((name, _opening(state, event, name)) for name in state.members)
        case _:
            return


def _order_facts(
    state: StrategiesState, event: OrderRefused | OrderSubmitting | OrderUpdated
) -> Iterator[tuple[str, AnyEvent]]:
    if isinstance(event, OrderUpdated):
        for name in state.sent.get(state.children.get(event.client_order_id, ""), {}):
            yield name, _status(state, event)
        return
    for name, wish in state.sent.get(event.intent, {}).items():
        yield name, msgspec.structs.replace(event, intent=wish)


def _planned(state: StrategiesState, plan: AccountPlan) -> Iterator[tuple[str, AnyEvent]]:
    """Yield each strategy's intents as far as they became part of an order, and then what it crossed, as fills."""
    for name in state.members:
        wishes = state.wishes.pop(name, {})
        mine = [
            (planned, share, wishes[share.intent])
            for planned in plan.symbols
            for share in planned.shares
            if share.strategy == name and share.intent in wishes
        ]
        intents = tuple(
            msgspec.structs.replace(wish, quantity_micro=abs(share.parent_micro))
            for _, share, wish in mine
            if share.parent_micro
        )
        if intents:
            yield (
                name,
                IntentBlock(
                    id=derive_id(plan.id, f"{tag_of(IntentBlock)}:{name}", 0),
                    cause=plan.id,
                    ts_ns=plan.ts_ns,
                    decision=plan.decision,
                    mode=state.account.mode.mode.value,
                    intents=intents,
                    epoch=0,
                ),
            )
        for planned, share, wish in mine:
            if share.crossed_micro:
                yield (
                    name,
                    _fill(
                        cause=plan,
                        exec_id=f"crossed:{plan.id}:{planned.symbol}",
                        symbol=planned.symbol,
                        con_id=wish.con_id,
                        signed_micro=share.crossed_micro,
                        price_nano=planned.price_nano,
                    ),
                )


def _filled(state: StrategiesState, event: FillAllocated) -> Iterator[tuple[str, AnyEvent]]:
    """Yield each strategy's part of an execution, and the order's end where it has one."""
    parts = state.sent.get(event.intent, {})
    for name, signed in zip(event.strategies, event.signed_micro, strict=True):
        # A correction to nothing is told as well: it takes the earlier part back.
        if name in state.members and (signed or event.replaces):
            yield (
                name,
                _fill(
                    cause=event,
                    exec_id=event.exec_id,
                    symbol=event.symbol,
                    con_id=0,
                    signed_micro=signed,
                    price_nano=event.price_nano,
                    order=event.client_order_id if name in parts else "",
                    intent=parts.get(name, ""),
                ),
            )
    end = _end(state, event)
    for name in parts if end is not None else ():
        assert end is not None
        yield name, end


def _fill(
    *,
    cause: AccountPlan | FillAllocated,
    exec_id: str,
    symbol: str,
    con_id: int,
    signed_micro: int,
    price_nano: int,
    order: str = "",
    intent: str = "",
) -> OrderFilled:
    return OrderFilled(
        id=derive_id(cause.id, f"{tag_of(OrderFilled)}:{symbol}", 0),
        cause=cause.id,
        ts_ns=cause.ts_ns,
        client_order_id=order,
        intent=intent,
        exec_id=exec_id,
        perm_id=0,
        symbol=symbol,
        con_id=con_id,
        side=Side.SELL if signed_micro < 0 else Side.BUY,
        price_nano=price_nano,
        quantity_micro=abs(signed_micro),
        cumulative_micro=abs(signed_micro),
    )


def _status(state: StrategiesState, event: OrderUpdated) -> OrderUpdated:
    """Return a status as a strategy sees it: an end only once everything that it counts has been divided."""
    final = event.state in FINAL_STATES and _settled(state, event.client_order_id)
    shown = event.state if final or event.state not in FINAL_STATES else OrderState.WORKING
    return msgspec.structs.replace(event, state=shown, filled_micro=0)


def _settled(state: StrategiesState, client_order_id: str) -> bool:
    working = state.account.working
    child = working.children.get(client_order_id) or working.closed.get(client_order_id)
    return child is None or child.settled


def _end(state: StrategiesState, event: FillAllocated) -> OrderUpdated | None:
    """Return the end of an order whose last execution came behind its final status."""
    working = state.account.working
    child = working.children.get(event.client_order_id) or working.closed.get(event.client_order_id)
    if child is None or not child.settled:
        return None
    return OrderUpdated(
        id=derive_id(event.id, tag_of(OrderUpdated), 0),
        cause=event.id,
        ts_ns=event.ts_ns,
        client_order_id=event.client_order_id,
        symbol=event.symbol,
        state=OrderState.FILLED if child.executed_micro >= abs(child.signed_micro) else OrderState.CANCELLED,
        broker_status="",
        perm_id=0,
        filled_micro=0,
        remaining_micro=0,
        average_price_nano=0,
        why_held="",
        code=0,
        detail="",
    )


def _commission(event: FeeAllocated, fee_nano: int) -> OrderCommission:
    return OrderCommission(
        id=event.id,
        cause=event.cause,
        ts_ns=event.ts_ns,
        exec_id=event.exec_id,
        symbol=event.symbol,
        commission_nano=fee_nano,
        realized_pnl_nano=None,
    )


def _opening(state: StrategiesState, event: Positions, name: str) -> Positions:
    """Return the positions of one book; a core's ledger opens with the first and takes no other."""
    return msgspec.structs.replace(
        event,
        positions=tuple(
            Position(
                symbol=symbol,
                con_id=0,
                quantity_micro=book.position_micro,
                average_cost_nano=book.basis_exact // book.position_micro,
            )
            for (strategy, symbol), book in sorted(state.books.books.books.items())
            if strategy == name and book.position_micro
        ),
    )
