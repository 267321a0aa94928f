"""Owns the translation of facts from the broker into events of execution, with deduplication across facts.

A ``Batch`` collects the events of one observation. It works on an overlay of the orders, so that several facts
in one observation see each other, while the state itself changes only when the loop folds the events.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from walstreet.domain.corrections import CountedFill, counted_of, family_of
from walstreet.domain.execution_account import account_events, snapshot_event
from walstreet.domain.execution_fold import absent_orders
from walstreet.domain.execution_modify import echo_event, refusal_event, with_change
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.execution_state import EARLY_COMMISSIONS_MAX, ExecutionState
from walstreet.domain.external import FOREIGN_EXECUTION, GONE
from walstreet.domain.observations import (
    AccountObserved,
    BrokerOrderFacts,
    CommissionObserved,
    ExecutionObserved,
    LinkObserved,
    OrderErrorObserved,
    OrderStatusObserved,
    SnapshotObserved,
)
from walstreet.domain.order import Advance, Order, advance, doubted, expired, with_correction
from walstreet_events import (
    ROOT,
    AnyEvent,
    ExternalOrder,
    OrderCommission,
    OrderCorrected,
    OrderFilled,
    OrderLink,
    OrderModified,
    OrderUpdated,
    Side,
    derive_id,
    tag_of,
)


class Batch:
    """The events of one observation, in order."""

    __slots__ = ("_commissions", "_executions", "_external", "_fills", "_orders", "events", "state")

    def __init__(self, state: ExecutionState) -> None:
        """Begin with ``state`` as it is and no event."""
        self.state = state
        self.events: list[AnyEvent] = []
        self._orders: dict[str, Order] = {}
        self._executions: dict[str, str] = {}
        self._fills: dict[str, CountedFill] = {}
        self._external: dict[tuple[int, str], bool] = {}
        self._commissions: dict[str, bool] = {}

    # ------------------------------------------------------------------------------------------- orders

    def status(self, fact: OrderStatusObserved) -> None:
        """Take an orderStatus."""
        order = self._find(fact.client_order_id, fact.perm_id, fact.client_id, fact.broker_order_id)
        if order is None:
            self._foreign(
                fact.ts_ns,
                symbol=fact.symbol,
                perm_id=fact.perm_id,
                client_id=fact.client_id,
                order_ref=fact.client_order_id,
                status=fact.status,
                quantity_micro=fact.filled_micro + fact.remaining_micro,
            )
            return
        self._advanced(order, advance(order, fact), fact.ts_ns)
        self._changed(echo_event(order, fact))

    def execution(self, fact: ExecutionObserved) -> None:
        """Take an execution, live or from a query."""
        if fact.exec_id in self.state.symbol_of_execution or fact.exec_id in self._executions:
            return
        order = self._find(fact.client_order_id, fact.perm_id, fact.client_id, 0)
        counted = self._fills.get(family_of(fact.exec_id)[0]) or self.state.fills.get(family_of(fact.exec_id)[0])
        if counted is not None:
            self._corrected(fact, counted, order)
            return
        if order is None:
            self._foreign(
                fact.ts_ns,
                symbol=fact.symbol,
                perm_id=fact.perm_id,
                client_id=fact.client_id,
                order_ref=fact.client_order_id,
                status=FOREIGN_EXECUTION,
                quantity_micro=fact.quantity_micro,
            )
            self._filled(fact, None)
            return
        step = advance(order, fact)
        if step.filled:
            self._filled(fact, order)
        self._advanced(order, step, fact.ts_ns)

    def error(self, fact: OrderErrorObserved) -> None:
        """Take an error message that names an order; one that names none of ours is only counted."""
        client_order_id = self.state.by_broker_id.get(fact.broker_order_id)
        if client_order_id is None:
            self.state.unmatched_errors += 1
            return
        order = self._order(client_order_id)
        self._advanced(order, advance(order, fact), fact.ts_ns)
        self._changed(refusal_event(order, fact))

    def doubt(self, client_order_id: str, ts_ns: int, detail: str) -> None:
        """Make the outcome of an open order unknown."""
        order = self._order(client_order_id)
        self._advanced(order, doubted(order, detail), ts_ns)

    def commission(self, fact: CommissionObserved) -> None:
        """Take a fee; one whose execution is not known yet waits for it."""
        symbol = self.state.symbol_of_execution.get(fact.exec_id) or self._executions.get(fact.exec_id)
        if symbol is None:
            waiting = self.state.early_commissions
            waiting[fact.exec_id] = fact
            if len(waiting) > EARLY_COMMISSIONS_MAX:
                del waiting[next(iter(waiting))]
            return
        told = (fact.commission_nano, fact.realized_pnl_nano)
        if self.state.commissions.get(fact.exec_id) == told or fact.exec_id in self._commissions:
            return
        self._commissions[fact.exec_id] = True
        natural = f"commission:{fact.exec_id}:{fact.commission_nano}:{fact.realized_pnl_nano}"
        self.events.append(
            OrderCommission(
                id=derive_id(natural, tag_of(OrderCommission), 0),
                cause=ROOT,
                ts_ns=fact.ts_ns,
                exec_id=fact.exec_id,
                symbol=symbol,
                commission_nano=fact.commission_nano,
                realized_pnl_nano=fact.realized_pnl_nano,
            )
        )

    # ----------------------------------------------------------------------------------- link, account

    def link(self, fact: LinkObserved) -> None:
        """Take a change of the link; after a start or a reconnection every open outcome is unknown."""
        state = self.state
        previous = state.link
        same = previous is not None and (
            previous.connected == fact.connected
            and previous.client_id == fact.client_id
            and previous.next_order_id == fact.next_order_id
            and previous.code == fact.code
        )
        if same and not fact.data_lost and state.link_seen:
            return
        self.events.append(
            OrderLink(
                id=derive_id(f"link:{state.link_revision}:{fact.ts_ns}", tag_of(OrderLink), 0),
                cause=ROOT,
                ts_ns=fact.ts_ns,
                connected=fact.connected,
                data_lost=fact.data_lost,
                client_id=fact.client_id,
                next_order_id=fact.next_order_id,
                code=fact.code,
                detail=fact.detail,
            )
        )
        if not fact.connected:
            return
        reason = "reconnected" if state.link_seen else "restarted"
        if not state.link_seen:
            state.asked_before = dict.fromkeys(state.asked)
        state.link_seen = True
        for client_order_id in state.open_orders:
            self.doubt(client_order_id, fact.ts_ns, f"{reason}: the outcome is being found out")

    def account(self, fact: AccountObserved) -> None:
        """Take a reading of the account; what has not changed causes nothing."""
        self.events.extend(account_events(self.state, fact))

    # ----------------------------------------------------------------------------------------- snapshot

    def snapshot(self, fact: SnapshotObserved, parameters: ExecutionParameters) -> None:
        """Take the broker's truth: executions first, then states, then absences, then the snapshot itself.

        The snapshot comes last so that whoever compares it with the books finds the facts in it already there.
        """
        event = snapshot_event(fact)
        if fact.ok:
            for execution in fact.executions:
                self.execution(execution)
            for listed in (fact.open_orders, fact.completed_orders):
                for facts in listed:
                    self._listed(facts, fact.ts_ns, foreign=listed is fact.open_orders)
            for client_order_id in absent_orders(self.state, event, parameters):
                order = self._order(client_order_id)
                if order.terminal or order.absences + 1 < parameters.absences_needed:
                    continue
                detail = f"absent from {order.absences + 1} snapshots after the good-till time"
                self._advanced(order, expired(order, detail), fact.ts_ns)
            self._gone(fact)
        self.events.append(event)

    def _gone(self, fact: SnapshotObserved) -> None:
        """Note the foreign orders that have ended: only their absence from an answered query tells of it."""
        listed = tuple(order.perm_id for order in fact.open_orders)
        for perm_id, order in self.state.external.gone(listed, fact.ts_ns):
            self._foreign(
                fact.ts_ns,
                symbol=order.symbol,
                perm_id=perm_id,
                client_id=0,
                order_ref="",
                status=GONE,
                quantity_micro=0,
            )

    def _listed(self, listed: BrokerOrderFacts, ts_ns: int, *, foreign: bool) -> None:
        fact = OrderStatusObserved(
            ts_ns=ts_ns,
            broker_order_id=listed.broker_order_id,
            client_id=listed.client_id,
            perm_id=listed.perm_id,
            client_order_id=listed.client_order_id,
            symbol=listed.symbol,
            status=listed.status,
            filled_micro=listed.filled_micro,
            remaining_micro=max(0, listed.quantity_micro - listed.filled_micro),
            average_price_nano=0,
            why_held="",
            limit_nano=listed.limit_nano,
        )
        order = self._find(listed.client_order_id, listed.perm_id, listed.client_id, 0)
        # A foreign order that has ended holds nothing; what it did shows in executions and positions.
        if order is not None and not order.terminal:
            self.status(_as_known(fact, order))
        elif order is None and foreign:
            self.status(fact)

    # ------------------------------------------------------------------------------------------ helpers

    def _order(self, client_order_id: str) -> Order:
        return self._orders.get(client_order_id) or self.state.orders[client_order_id]

    def _find(self, client_order_id: str, perm_id: int, client_id: int, broker_order_id: int) -> Order | None:
        state = self.state
        if client_order_id in state.orders:
            return self._order(client_order_id)
        if client_order_id:
            return None
        # Without an orderRef the permanent id decides; the order id only for an order whose permanent id is
        # not known yet, because the broker may issue order ids anew in another session.
        known = state.by_perm_id.get(perm_id) if perm_id else None
        if known is not None:
            return self._order(known)
        known = state.by_broker_id.get(broker_order_id)
        if known is None or state.link is None or client_id != state.link.client_id:
            return None
        order = self._order(known)
        return None if order.perm_id and perm_id and order.perm_id != perm_id else order

    def _advanced(self, before: Order, step: Advance, ts_ns: int) -> None:
        after = step.order
        if not step.updated:
            self._orders[after.client_order_id] = after
            return
        natural = (
            f"order:{after.client_order_id}:{before.revision}:{after.state.value}:{after.broker_status}"
            f":{after.filled_micro}:{after.perm_id}:{after.code}"
        )
        event = OrderUpdated(
            id=derive_id(natural, tag_of(OrderUpdated), 0),
            cause=ROOT,
            ts_ns=ts_ns,
            client_order_id=after.client_order_id,
            symbol=after.symbol,
            state=after.state,
            broker_status=after.broker_status,
            perm_id=after.perm_id,
            filled_micro=after.filled_micro,
            remaining_micro=max(0, after.quantity_micro - after.filled_micro),
            average_price_nano=after.average_price_nano,
            why_held=after.why_held,
            code=after.code,
            detail=step.detail,
        )
        self.events.append(event)
        self._orders[after.client_order_id] = with_revision(after)

    def _changed(self, event: OrderModified | None) -> None:
        """Take what became of a change in place."""
        if event is None:
            return
        self.events.append(event)
        self._orders[event.client_order_id] = with_change(self._order(event.client_order_id), event)

    def _corrected(self, fact: ExecutionObserved, counted: CountedFill, order: Order | None) -> None:
        """Take the correction of an execution; an older revision than the one that counts changes nothing."""
        if family_of(fact.exec_id)[1] <= family_of(counted.exec_id)[1]:
            return
        self._executions[fact.exec_id] = fact.symbol
        event = OrderCorrected(
            id=derive_id(f"fill:{fact.exec_id}", tag_of(OrderCorrected), 0),
            cause=ROOT,
            ts_ns=fact.ts_ns,
            client_order_id=order.client_order_id if order else "",
            intent=order.intent if order and not order.protects else "",
            exec_id=fact.exec_id,
            corrects=counted.exec_id,
            perm_id=fact.perm_id,
            symbol=fact.symbol,
            con_id=fact.con_id,
            side=Side.BUY if fact.buy else Side.SELL,
            price_nano=fact.price_nano,
            quantity_micro=fact.quantity_micro,
            previous_price_nano=counted.price_nano,
            previous_quantity_micro=counted.quantity_micro,
            executed_ns=counted.ts_ns,
        )
        self.events.append(event)
        self._fills[family_of(fact.exec_id)[0]] = counted_of(event)
        if order is not None:
            self._orders[order.client_order_id] = with_correction(order, event)

    def _filled(self, fact: ExecutionObserved, order: Order | None) -> None:
        self._executions[fact.exec_id] = fact.symbol
        self._fills[family_of(fact.exec_id)[0]] = CountedFill(
            exec_id=fact.exec_id, ts_ns=fact.ts_ns, price_nano=fact.price_nano, quantity_micro=fact.quantity_micro
        )
        self.events.append(
            OrderFilled(
                id=derive_id(f"fill:{fact.exec_id}", tag_of(OrderFilled), 0),
                cause=ROOT,
                ts_ns=fact.ts_ns,
                client_order_id=order.client_order_id if order else "",
                # What a protective order does is not the parent's execution.
                intent=order.intent if order and not order.protects else "",
                exec_id=fact.exec_id,
                perm_id=fact.perm_id,
                symbol=fact.symbol,
                con_id=fact.con_id,
                side=Side.BUY if fact.buy else Side.SELL,
                price_nano=fact.price_nano,
                quantity_micro=fact.quantity_micro,
                cumulative_micro=fact.cumulative_micro,
            )
        )
        waiting = self.state.early_commissions.pop(fact.exec_id, None)
        if waiting is not None:
            self.commission(waiting)

    def _foreign(
        self,
        ts_ns: int,
        *,
        symbol: str,
        perm_id: int,
        client_id: int,
        order_ref: str,
        status: str,
        quantity_micro: int,
    ) -> None:
        key = (perm_id, status)
        if key in self.state.external_seen or key in self._external:
            return
        self._external[key] = True
        self.events.append(
            ExternalOrder(
                id=derive_id(f"external:{perm_id}:{status}", tag_of(ExternalOrder), 0),
                cause=ROOT,
                ts_ns=ts_ns,
                symbol=symbol,
                perm_id=perm_id,
                client_id=client_id,
                order_ref=order_ref,
                status=status,
                quantity_micro=quantity_micro,
            )
        )


def with_revision(order: Order) -> Order:
    """Return ``order`` with the revision that folding one update gives it."""
    return replace(order, revision=order.revision + 1, absences=0)


def _as_known(fact: OrderStatusObserved, order: Order) -> OrderStatusObserved:
    """Return ``fact`` with what a query does not tell taken from the order itself."""
    return msgspec.structs.replace(
        fact,
        client_order_id=order.client_order_id,
        why_held=order.why_held,
        average_price_nano=order.average_price_nano,
    )
