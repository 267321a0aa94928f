"""Owns the decision on a block of intents: who goes first, what each guard says, and the submissions that follow."""

from __future__ import annotations

from dataclasses import dataclass, replace

from walstreet.domain.arming import unarmed
from walstreet.domain.execution_brackets import KINDS, bracket_of, to_withdraw
from walstreet.domain.execution_cancel import CANCEL_WITHDRAWN, cancelling
from walstreet.domain.execution_guards import Run, ask_guards, begin_run, check_short_sale, guarded_order
from walstreet.domain.execution_modify import seen, tick_rule
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.execution_protection import protection_refusal
from walstreet.domain.execution_seal import refuse_block
from walstreet.domain.execution_state import ExecutionState
from walstreet.domain.guard_margin import MarginFacts, WhatIf, check_margin, needs_what_if
from walstreet.domain.guard_verdict import GuardedOrder, GuardVerdict, first_refusal, notional_nano
from walstreet.domain.guards import Reason, Refusal, Situation, by_guard, check_drift, check_standing
from walstreet.domain.micro_planner import largest_child_micro, net_edge_bps
from walstreet.domain.plan import Child, limit_price, plan_children
from walstreet.domain.tick_rules import TickRule, orderable_micro
from walstreet_events import (
    AnyEvent,
    EventId,
    IntentBlock,
    MarginAsked,
    OrderBracketed,
    OrderIntent,
    OrderRefused,
    OrderState,
    OrderSubmitting,
    QuoteSeen,
    Side,
    derive_id,
    tag_of,
)


def decide_block(state: ExecutionState, block: IntentBlock, parameters: ExecutionParameters) -> list[AnyEvent]:
    """Return what follows from ``block``, which ``state`` contains: submissions and refusals."""
    verdict = state.verdict
    assert verdict is not None, "a block is judged when it is folded"
    if not verdict.accepted:
        return [*refuse_block(state, block, verdict, state.now_ns())]
    # A repetition within the block keeps the order that stands first in it, whatever the ranking.
    refused = {item.index: Refusal(reason=item.reason.value, detail=item.detail) for item in verdict.refused}
    run = begin_run(state, state.now_ns(block.ts_ns))
    # When the budget is short it goes to what reduces, then to the largest net edges.
    ranked = sorted(
        enumerate(block.intents),
        key=lambda item: (not item[1].reducing, -_edge_bps(state, item[1]), item[1].symbol, item[0]),
    )
    desk = Desk(state=state, block=block.id, mode=block.mode, run=run, parameters=parameters)
    outs: list[AnyEvent] = []
    for index, intent in ranked:
        # An intent for a symbol ends the protection of its position; what it wants itself goes out a cycle later.
        if index not in refused and intent.symbol not in run.symbols and not desk.waits(intent):
            outs += withdrawals(state, intent, block.id, run.now_ns)
        outs += desk.decide(intent, index, refused.get(index))
    return outs


def withdrawals(state: ExecutionState, intent: OrderIntent, block: EventId, now_ns: int) -> list[AnyEvent]:
    """Return the cancels of the protection that stands in the way of ``intent``."""
    return [
        cancelling(state.orders[key], cause=block, ts_ns=now_ns, reason=CANCEL_WITHDRAWN)
        for key in to_withdraw(state, intent.symbol)
    ]


def _edge_bps(state: ExecutionState, intent: OrderIntent) -> float:
    """Return what the intent is worth after half the spread; without a quote it goes last."""
    quote = state.quotes.get(intent.symbol)
    if quote is None or quote.bid_nano <= 0 or quote.ask_nano <= 0:
        return float("-inf")
    return net_edge_bps(intent.alpha_bps, seen(quote))


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """What one intent sends."""

    order: GuardedOrder
    children: tuple[Child, ...]
    quote: QuoteSeen
    brackets: tuple[OrderBracketed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Decides the intents of one block, one after the other, or one intent whose margin was asked."""

    state: ExecutionState
    block: EventId
    mode: str
    """Mode in which the block was decided."""
    run: Run
    parameters: ExecutionParameters
    what_if: WhatIf | None = None
    """The answer on which the intent is decided now."""
    first_slice: int = 0
    """Above 0 when the rest of a parent is sent."""

    def decide(self, intent: OrderIntent, index: int, refusal: Refusal | None) -> list[AnyEvent]:
        """Return the submissions of one intent, or the question for its margin, and the refusal of what is not sent.

        Nothing, where this life cannot judge it yet: it stays in ``state.undecided``.
        """
        if refusal is None and self.waits(intent):
            return []
        quote = self._quote(intent)
        whole_micro = self._whole(intent, intent.quantity_micro)
        sent: list[AnyEvent] = []
        if refusal is None:
            sent, refusal = self._attempt(intent, index, whole_micro, quote)
        if refusal is None:
            return sent
        order = guarded_order(self.state, intent, quantity_micro=whole_micro, limit_nano=None)
        closing_micro = self._whole(intent, order.closable_micro or 0)
        if 0 < closing_micro < whole_micro:
            # What closes the position is not held back by what is said of the rest.
            sent, _ = self._attempt(intent, index, closing_micro, quote)
        return [*sent, self.refused(intent, index, refusal, quote)]

    def waits(self, intent: OrderIntent) -> bool:
        """Return whether nothing but the word of the socket or a first quote of this life is missing."""
        if self.what_if is not None or (self.state.link_seen and intent.symbol in self.state.quotes):
            return False
        order = guarded_order(self.state, intent, quantity_micro=intent.quantity_micro, limit_nano=None)
        situation = self._situation(intent, reducing=order.reducing)
        # Before this life has heard of the link, its state on the log is that of a process that is gone.
        link_up = situation.link_up or not self.state.link_seen
        return check_standing(intent, replace(situation, link_up=link_up)) is None

    def again(self, intent: OrderIntent, index: int) -> list[AnyEvent]:
        """Return the submissions for the rest of a parent, none where a guard refuses; ``intent`` asks for the rest."""
        outs, _ = self._attempt(intent, index, self._whole(intent, intent.quantity_micro), self._quote(intent))
        return outs

    def _quote(self, intent: OrderIntent) -> QuoteSeen | None:
        quote = self.state.quotes.get(intent.symbol)
        return None if quote is None else seen(quote)

    def _whole(self, intent: OrderIntent, quantity_micro: int) -> int:
        """Return what the gateway takes of a quantity."""
        instrument = self.state.instruments.get(intent.symbol)
        lot_micro = instrument.lot_micro if instrument else 0
        return orderable_micro(quantity_micro, lot_micro=lot_micro, fractional=self.parameters.fractional)

    def _sized(self, intent: OrderIntent, quantity_micro: int, *, reducing: bool) -> int:
        """Return the quantity of a child: what takes a position back whole, else a share of a minute's volume."""
        if reducing or self.parameters.aggression != "staged":
            return quantity_micro
        volume_micro = self.state.instruments[intent.symbol].average_daily_volume_micro
        largest = largest_child_micro(volume_micro, self.parameters.planner)
        # Without a volume the guard on it decides; nothing is capped to nothing here.
        return self._whole(intent, min(quantity_micro, largest)) if volume_micro > 0 else quantity_micro

    def _attempt(
        self, intent: OrderIntent, index: int, quantity_micro: int, quote: QuoteSeen | None
    ) -> tuple[list[AnyEvent], Refusal | None]:
        """Return what sending ``quantity_micro`` of the intent gives, or why it may not be sent."""
        order = guarded_order(self.state, intent, quantity_micro=quantity_micro, limit_nano=None)
        refusal = check_standing(intent, self._situation(intent, reducing=order.reducing))
        if refusal is None and (quote is None or quote.bid_nano <= 0 or quote.ask_nano <= 0):
            refusal = Refusal(reason=Reason.NO_QUOTE.value, detail="no two-sided quote has been seen")
        if refusal is not None or quote is None:
            return [], refusal
        quantity_micro = self._sized(intent, quantity_micro, reducing=order.reducing)
        if quantity_micro <= 0:
            detail = f"{intent.quantity_micro} micro-shares is no whole share, or a minute's volume allows none"
            return [], Refusal(reason=Reason.BELOW_ONE_SHARE.value, detail=detail)
        rule = tick_rule(self.state, intent.symbol, self.parameters)
        limit_nano = limit_price(intent.side, quote, rule=rule, parameters=self.parameters)
        order = replace(order, limit_nano=limit_nano, quantity_micro=quantity_micro)
        parts, refusal = self._judged(intent, order, quote)
        if refusal is not None:
            return [], refusal
        children = plan_children(
            intent,
            quote,
            parts_micro=parts,
            rule=rule,
            lot_micro=self.state.instruments[intent.symbol].lot_micro,
            now_ns=self.run.now_ns,
            parameters=self.parameters,
            first_slice=self.first_slice,
        )
        if any(child.good_till_ns <= self.run.now_ns for child in children):
            detail = f"nothing is left of the {intent.tif_s} s in force after rounding to the broker's seconds"
            return [], Refusal(reason=Reason.INTENT_EXPIRED.value, detail=detail)
        brackets = self._brackets(intent, order, children, rule, quote)
        if isinstance(brackets, Refusal):
            return [], brackets
        going = Going(order=order, children=children, quote=quote, brackets=brackets)
        return self._going(intent, index, going), None

    def _brackets(
        self, intent: OrderIntent, order: GuardedOrder, children: tuple[Child, ...], rule: TickRule, quote: QuoteSeen
    ) -> tuple[OrderBracketed, ...] | Refusal:
        """Return the protection of an order that only opens, nothing for another one, or why there can be none."""
        if self.parameters.brackets.mode == "off" or order.closable_micro != 0 or len(children) != 1:
            return ()
        pair = bracket_of(
            self.state,
            intent,
            children[0],
            rule=rule,
            block=self.block,
            now_ns=self.run.now_ns,
            broker_order_id=self.run.next_order_id,
            parameters=self.parameters,
        )
        if children[0].client_order_id in self.state.brackets:
            # The name of the order is taken, and so are the prices and ids of its protection, which nobody can use.
            detail = "an earlier life journaled the protection and not the order"
            return Refusal(reason=Reason.BRACKET_UNKNOWN.value, detail=detail)
        if pair is None:
            detail = f"brackets are {self.parameters.brackets.mode} and the symbol's volatility is not known"
            return Refusal(reason=Reason.BRACKET_UNKNOWN.value, detail=detail)
        refused = protection_refusal(
            self.state, intent, pair, quote, now_ns=self.run.now_ns, parameters=self.parameters
        )
        return refused or (pair,)

    def _judged(
        self, intent: OrderIntent, order: GuardedOrder, quote: QuoteSeen
    ) -> tuple[tuple[int, ...], Refusal | None]:
        """Return the parts of an order, a sell's closing and short part apart, and what a guard has against it."""
        parts: tuple[int, ...] = (order.quantity_micro,)
        verdicts: list[GuardVerdict] = []
        if order.side is Side.SELL:
            short = check_short_sale(self.state, order, quote, self.run.now_ns, self.parameters)
            verdicts.append(short.verdict)
            if short.split is not None:
                parts = (short.split.closing_micro, short.split.short_micro)
        refusal = check_drift(intent, quote, reducing=order.reducing, drift_bps_max=self.parameters.drift_bps_max)
        verdicts.extend(ask_guards(self.state, intent, order, quote, run=self.run, parameters=self.parameters))
        if self.what_if is not None:
            facts = MarginFacts(now_ns=self.run.now_ns, intent=intent.id, order=order, what_if=self.what_if)
            verdicts.append(check_margin(facts, self.parameters.margin))
        stopped = first_refusal(verdicts)
        return parts, refusal or (by_guard(stopped) if stopped is not None else None)

    def _going(self, intent: OrderIntent, index: int, going: Going) -> list[AnyEvent]:
        """Return the submissions, or the question for their margin where one must be asked first; they count now."""
        order, children, quote, brackets = going.order, going.children, going.quote, going.brackets
        run = self.run
        outs: list[AnyEvent] = []
        if self.what_if is None and self.parameters.margin.enabled and needs_what_if(order):
            outs.append(self._asked(intent, index, order, children[0], quote))
            run.next_order_id += 1
        else:
            outs += brackets
            for child in children:
                outs.append(self._submitting(intent, child, quote))
                run.next_order_id += 1 + len(KINDS) * len(brackets)
        price = max(quote.ask_nano, quote.bid_nano, order.limit_nano or 0)
        run.note(order, notional_nano(order.quantity_micro, price), self.parameters)
        return outs

    def _situation(self, intent: OrderIntent, *, reducing: bool) -> Situation:
        state = self.state
        of_symbol = [order for key in state.open_orders if (order := state.orders[key]).symbol == intent.symbol]
        instrument = state.instruments.get(intent.symbol)
        resumed = self.what_if is not None and self.what_if.intent == intent.id
        asked = any(item.symbol == intent.symbol for name, item in state.asked.items() if name != intent.id)
        return Situation(
            now_ns=self.run.now_ns,
            mode=state.effective_mode(self.mode),
            panic=state.panic,
            unarmed=unarmed(state.arming, state.account.account if state.account else "", self.parameters.arming),
            link_up=state.link_seen and state.link is not None and state.link.connected,
            instrument_known=instrument is not None
            and instrument.con_id == intent.con_id
            and instrument.min_tick_nano > 0,
            external=intent.symbol in state.external,
            seen=(intent.id in state.intents and intent.id != self.run.resumed)
            or (intent.id in state.asked and not resumed),
            pending=bool(of_symbol) or intent.symbol in self.run.symbols or asked or intent.symbol in state.ended,
            unknown=any(order.state is OrderState.UNKNOWN for order in of_symbol),
            reducing=reducing,
        )

    def refused(
        self, intent: OrderIntent, index: int, refusal: Refusal | None, quote: QuoteSeen | None
    ) -> OrderRefused:
        """Return the refusal of an intent."""
        assert refusal is not None, "a missing quote is always refused"
        return OrderRefused(
            id=derive_id(self.block, tag_of(OrderRefused), index),
            cause=self.block,
            ts_ns=self.run.now_ns,
            intent=intent.id,
            symbol=intent.symbol,
            reason=refusal.reason,
            detail=refusal.detail,
            quote=quote,
        )

    def _asked(
        self, intent: OrderIntent, index: int, order: GuardedOrder, child: Child, quote: QuoteSeen
    ) -> MarginAsked:
        # The rest of a parent is a question of its own; its order id tells it from all others.
        number = self.run.next_order_id if self.first_slice else 0
        return MarginAsked(
            id=derive_id(intent.id, tag_of(MarginAsked), number),
            cause=self.block,
            ts_ns=self.run.now_ns,
            order=intent,
            symbol=intent.symbol,
            mode=self.mode,
            index=index,
            broker_order_id=self.run.next_order_id,
            quantity_micro=order.quantity_micro,
            limit_nano=child.limit_nano,
            good_till_ns=child.good_till_ns,
            quote=quote,
        )

    def _submitting(self, intent: OrderIntent, child: Child, quote: QuoteSeen) -> OrderSubmitting:
        return OrderSubmitting(
            id=derive_id(child.client_order_id, tag_of(OrderSubmitting), 0),
            cause=self.block,
            ts_ns=self.run.now_ns,
            intent=intent.id,
            client_order_id=child.client_order_id,
            slice_index=child.slice_index,
            broker_order_id=self.run.next_order_id,
            symbol=intent.symbol,
            con_id=intent.con_id,
            side=intent.side,
            quantity_micro=child.quantity_micro,
            limit_nano=child.limit_nano,
            good_till_ns=child.good_till_ns,
            quote=quote,
        )
