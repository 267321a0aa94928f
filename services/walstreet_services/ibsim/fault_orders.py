"""Owns the faults of orders: what becomes of placements, modifications, cancels and executions."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeVar

import msgspec

from walstreet_services.ibsim import replies_order
from walstreet_services.ibsim.fault_base import OrderFault
from walstreet_services.ibsim.fault_model import (
    Borrow,
    CancelFault,
    Commission,
    Correction,
    Deactivate,
    DropPlacements,
    ForeignOrder,
    Locate,
    PartialFills,
    RefuseOrders,
    Replay,
    ShortSaleRule,
    SplitModification,
    StalePresubmitted,
    StrayExecution,
    WarnOrders,
)
from walstreet_services.ibsim.fault_texts import text_of
from walstreet_services.ibsim.faulty_desk import LOCATE, Special
from walstreet_services.ibsim.faulty_market import MatchRule
from walstreet_services.ibsim.model import Instrument, Match, Side
from walstreet_services.ibsim.order_checks import Refusal
from walstreet_services.ibsim.order_record import Execution, Order
from walstreet_services.ibsim.order_reports import EVERYBODY, LIVE_REQUEST_ID
from walstreet_services.ibsim.requests import CancelOrder, PlaceOrder
from walstreet_services.ibsim.units import MICRO_PER_SHARE, NS_PER_SECOND, micro_from_float, nano_from_float

if TYPE_CHECKING:
    from collections.abc import Callable

    from walstreet_services.ibsim.fault_base import Fault
    from walstreet_services.ibsim.fault_engine import Active, FaultEngine, Step
    from walstreet_services.ibsim.gateway import Gateway
    from walstreet_services.ibsim.model import RestingOrder
    from walstreet_services.ibsim.requests import Request

OrderFaultType = TypeVar("OrderFaultType", bound=OrderFault)
RULE_201_TEXT = "Order rejected - reason:Short sale restriction (Rule 201) is in effect for this security"
NO_SHARES_TEXT = "Order rejected - reason:The contract is not available for short sale"


class FaultOrders(MatchRule):
    """Treats orders badly; it is also a rule of the matching."""

    def __init__(self, gateway: Gateway, engine: FaultEngine, note_lost: Callable[[int, Request, str], None]) -> None:
        self._gateway = gateway
        self._engine = engine
        self._note_lost = note_lost
        self._strays = 0
        self._inactive: dict[int, list[Order]] = {}
        self.starts: dict[type[Fault], Step] = {
            Deactivate: self._deactivate,
            Commission: self._set_commission,
            Correction: self._correct,
            StrayExecution: self._stray,
            Replay: self._replay,
            ForeignOrder: self._foreign,
        }
        self.stops: dict[type[Fault], Step] = {Deactivate: self._reactivate, Commission: self._set_commission}

    # Requests

    def place(self, client_id: int, request: PlaceOrder, now_ns: int) -> bool:
        """Handle a placement if a fault strikes it, and say whether one did."""
        desk = self._gateway.faulty_desk
        existing = desk.order_of(client_id, request.order_id)
        modifies = existing is not None and not existing.ended
        for active, drop in self._first(DropPlacements, client_id, request):
            if drop.fate == "lost":
                self._engine.strike(active, now_ns, client_id=client_id, id=request.order_id)
                self._note_lost(client_id, request, "drop_placements")
                return True
        special, request, struck = self._special(client_id, request, now_ns, modifies=modifies)
        if not struck:
            return False
        desk.place_specially(client_id, request, now_ns, special)
        return True

    def _special(
        self, client_id: int, request: PlaceOrder, now_ns: int, *, modifies: bool
    ) -> tuple[Special, PlaceOrder, bool]:
        """Return how a placement is treated, the placement as it arrives, and whether any fault struck."""
        kinds: list[type[OrderFault]] = [RefuseOrders]
        kinds += [SplitModification] if modifies else [DropPlacements, StalePresubmitted]
        found: dict[type[OrderFault], OrderFault] = {}
        for kind in kinds:
            for active, fault in self._first(kind, client_id, request):
                found[kind] = fault
                self._engine.strike(active, now_ns, client_id=client_id, id=request.order_id)
        warned = False
        for active, warning in self._first(WarnOrders, client_id, request):
            warned = True
            self._engine.strike(active, now_ns, client_id=client_id, id=request.order_id)
            request = _stripped(request, warning)
            text = text_of(warning.code, warning.text)
            self._gateway.faulty_desk.error(client_id, request.order_id, warning.code, text, now_ns)
        refuse = found.get(RefuseOrders)
        refusal = None
        if isinstance(refuse, RefuseOrders):
            refusal = Refusal(code=refuse.code, text=text_of(refuse.code, refuse.text))
        refusal = refusal or self._short_refusal(client_id, request)
        held = "" if refusal or modifies else self._held(client_id, request, now_ns)
        special = Special(
            refusal=refusal,
            why_held=held,
            silent=DropPlacements in found,
            stale=StalePresubmitted in found,
            splits=SplitModification in found,
        )
        return special, request, warned or special != Special()

    def cancel(self, client_id: int, request: CancelOrder, now_ns: int) -> bool:
        """Handle a cancel if a fault strikes it, and say whether one did."""
        desk = self._gateway.faulty_desk
        order = desk.order_of(client_id, request.order_id)
        if order is None or order.ended or order.mask:
            return False
        for active, fault in self._engine.of(CancelFault):
            if not self._fits(fault, active, client_id, order.instrument_index, order.order_ref):
                continue
            self._engine.note("cancel_received", now_ns, client_id=client_id, order_id=request.order_id)
            self._engine.strike(active, now_ns, client_id=client_id, id=request.order_id, answer=fault.answer)
            if fault.answer == "pending":
                desk.mask(order, "PendingCancel", now_ns)
            elif fault.answer == "untrue":
                desk.mask(order, "Cancelled", now_ns)
            elif fault.answer == "refused":
                desk.error(client_id, request.order_id, fault.code, text_of(fault.code), now_ns)
            if fault.outcome_seconds is not None:
                outcome = functools.partial(self._outcome, fault, order)
                self._engine.after(fault.outcome_seconds, now_ns, outcome)
            return True
        return False

    def _outcome(self, fault: CancelFault, order: Order, now_ns: int) -> None:
        desk = self._gateway.faulty_desk
        if order.ended:
            return
        if fault.outcome == "cancelled":
            desk.end(order, now_ns, "Order Canceled - reason:")
            return
        image = self._gateway.live.images[order.instrument_index]
        market = image.ask_nano if order.side is Side.BUY else image.bid_nano
        price_nano = order.limit_nano or market or image.mark_nano
        if price_nano <= 0:
            self._engine.note("fault_idle", now_ns, perm_id=order.perm_id, why="no price is known to fill at")
            return
        desk.fill_now(
            Match(
                key=order.perm_id,
                price_nano=price_nano,
                quantity_micro=order.remaining_micro,
                ts_ns=now_ns,
                passive=True,
            )
        )

    # Choosing

    def _first(
        self, kind: type[OrderFaultType], client_id: int, request: PlaceOrder
    ) -> list[tuple[Active, OrderFaultType]]:
        """Return the oldest fault of a kind that fits a placement, in a list of at most one."""
        index = self._gateway.book.find(request.contract)
        found = [
            (active, fault)
            for active, fault in self._engine.of(kind)
            if self._fits(fault, active, client_id, index, request.ticket.order_ref)
        ]
        return found[:1]

    @staticmethod
    def _fits(fault: OrderFault, active: Active, client_id: int, index: int | None, order_ref: str) -> bool:
        return (
            (not fault.symbols or index in active.indices)
            and fault.client_id in {None, client_id}
            and order_ref.startswith(fault.order_ref)
        )

    def _short_shares(self, request: PlaceOrder, index: int) -> int:
        """Return how many of an order's shares would be sold short, in 1e-6 shares."""
        if request.ticket.action != "SELL" or request.ticket.quantity is None:
            return 0
        position = self._gateway.account.positions.get(index)
        held = max(position.quantity_micro, 0) if position else 0
        return max(micro_from_float(request.ticket.quantity) - held, 0)

    def _short_refusal(self, client_id: int, request: PlaceOrder) -> Refusal | None:
        del client_id
        index = self._gateway.book.find(request.contract)
        if index is None or not (short := self._short_shares(request, index)):
            return None
        for active, rule in self._engine.of(ShortSaleRule):
            if index in active.indices and rule.effect == "reject":
                return Refusal(code=201, text=RULE_201_TEXT)
        for active, borrow in self._engine.of(Borrow):
            lendable = (borrow.shares or 0) * MICRO_PER_SHARE
            if index in active.indices and borrow.short_sales == "rejected" and short > lendable:
                return Refusal(code=201, text=NO_SHARES_TEXT)
        return None

    def _held(self, client_id: int, request: PlaceOrder, now_ns: int) -> str:
        """Return why a short sale is held, and announce it; the outcome is set to come."""
        index = self._gateway.book.find(request.contract)
        if index is None or not (short := self._short_shares(request, index)):
            return ""
        for active, borrow in self._engine.of(Borrow):
            lendable = (borrow.shares or 0) * MICRO_PER_SHARE
            if index in active.indices and borrow.short_sales == "held" and short > lendable:
                self._gateway.faulty_desk.error(client_id, request.order_id, 404, text_of(404), now_ns)
                return LOCATE
        for active, locate in self._first(Locate, client_id, request):
            self._engine.strike(active, now_ns, client_id=client_id, id=request.order_id)
            self._gateway.faulty_desk.error(client_id, request.order_id, 404, text_of(404), now_ns)
            if locate.locate_seconds is not None:
                located = functools.partial(self._located, locate, client_id, request.order_id)
                self._engine.after(locate.locate_seconds, now_ns, located)
            return LOCATE
        return ""

    def _located(self, fault: Locate, client_id: int, order_id: int, now_ns: int) -> None:
        desk = self._gateway.faulty_desk
        order = desk.order_of(client_id, order_id)
        if order is None or order.ended or order.why_held != LOCATE:
            return
        if fault.outcome == "found":
            desk.resume(order, now_ns)
        else:
            desk.reject_live(order, Refusal(code=201, text=NO_SHARES_TEXT), now_ns)

    def release_located(self, index: int, now_ns: int) -> None:
        """Let the short sales of an instrument go that waited for shares."""
        for order in self._gateway.faulty_desk.live():
            if order.instrument_index == index and order.why_held == LOCATE:
                self._gateway.faulty_desk.resume(order, now_ns)

    # Matching

    def shares_micro_max(self, order: RestingOrder) -> int | None:
        """Return how much of an order one step may fill."""
        record = self._record(order)
        caps = [
            fault.shares * MICRO_PER_SHARE
            for active, fault in self._engine.of(PartialFills)
            if self._fits(fault, active, record.client_id, record.instrument_index, record.order_ref)
        ]
        return min(caps) if caps else None

    def passive_only(self, order: RestingOrder) -> bool:
        """Return whether Rule 201 forbids an order to take the bid."""
        if order.side is not Side.SELL:
            return False
        index = order.instrument_index
        position = self._gateway.account.positions.get(index)
        held = max(position.quantity_micro, 0) if position else 0
        return order.remaining_micro > held and any(
            index in active.indices and fault.effect == "passive_only"
            for active, fault in self._engine.of(ShortSaleRule)
        )

    def _record(self, order: RestingOrder) -> Order:
        return next(item for item in self._gateway.faulty_desk.live() if item.perm_id == order.key)

    # Starts and stops

    def _deactivate(self, active: Active, now_ns: int) -> None:
        fault = active.fault
        assert isinstance(fault, Deactivate)
        desk = self._gateway.faulty_desk
        struck = [
            order
            for order in desk.live()
            if order.transmit
            and not order.suspended
            and self._fits(fault, active, order.client_id, order.instrument_index, order.order_ref)
        ]
        self._inactive[active.number] = struck
        for order in struck:
            desk.suspend(order, why_held=fault.why_held, now_ns=now_ns)

    def _reactivate(self, active: Active, now_ns: int) -> None:
        for order in self._inactive.pop(active.number, []):
            self._gateway.faulty_desk.resume(order, now_ns)

    def _set_commission(self, _active: Active, _now_ns: int) -> None:
        """Let the newest fault in force decide the delay, or without one the desk's own."""
        delay_ns: int | None = self._gateway.options.desk.commission_delay_ns
        for _, fault in self._engine.of(Commission):
            delay_ns = None if fault.delay_seconds is None else round(fault.delay_seconds * NS_PER_SECOND)
        self._gateway.desk.fills.fee_delay(delay_ns)

    def _correct(self, active: Active, now_ns: int) -> None:
        fault = active.fault
        assert isinstance(fault, Correction)
        fills = self._gateway.desk.fills
        old = fills.latest(fault.execution)
        if old is None:
            self._engine.note("fault_idle", now_ns, fault=active.number, why="no such execution")
            return
        corrected = fills.correct(
            old,
            price_nano=old.price_nano + nano_from_float(fault.price_change_usd),
            quantity_micro=old.quantity_micro if fault.shares is None else fault.shares * MICRO_PER_SHARE,
            now_ns=now_ns,
        )
        if corrected is None:
            self._engine.note("fault_idle", now_ns, fault=active.number, why="price or quantity cannot be")
        else:
            self._gateway.traded(corrected.order.instrument_index)

    def _stray(self, active: Active, now_ns: int) -> None:
        fault = active.fault
        assert isinstance(fault, StrayExecution)
        self._strays += 1
        instrument = Instrument(
            con_id=fault.con_id,
            symbol=fault.symbol,
            long_name=fault.symbol,
            primary_exchange="NYSE",
            stock_type="COMMON",
            sector="",
            min_tick_nano=10_000_000,
            lot_size=100,
            prior_close_nano=0,
            average_daily_volume_micro=0,
            shares_outstanding=0,
        )
        price_nano = nano_from_float(fault.price_usd)
        order = self._stray_order(instrument, fault.shares * MICRO_PER_SHARE, price_nano, now_ns)
        execution = Execution(
            order=order,
            execution_id=f"00009999.{self._strays:08x}.01.01",
            ts_ns=now_ns,
            price_nano=price_nano,
            quantity_micro=order.total_micro,
            cumulative_micro=order.total_micro,
            average_price_nano=price_nano,
            passive=False,
            exchange="NYSE",
            commission_nano=0,
            realized_nano=None,
        )
        frame = replies_order.execution_details(LIVE_REQUEST_ID, execution)
        self._gateway.send_to(EVERYBODY, lambda _: frame)
        self._engine.note("untrue_execution", now_ns, execution_id=execution.execution_id, symbol=fault.symbol)

    def _stray_order(self, instrument: Instrument, quantity_micro: int, price_nano: int, now_ns: int) -> Order:
        return Order(
            perm_id=1_999_000_000 + self._strays,
            client_id=0,
            order_id=0,
            instrument=instrument,
            instrument_index=-1,
            exchange="NYSE",
            side=Side.BUY,
            order_type="LMT",
            limit_nano=price_nano,
            total_micro=quantity_micro,
            time_in_force="DAY",
            good_till_date="",
            good_till_ns=None,
            account=self._gateway.options.account,
            order_ref="",
            oca_group="",
            oca_type=3,
            parent_id=0,
            transmit=True,
            outside_rth=False,
            hidden=False,
            arrived_ns=now_ns,
            active_from_ns=now_ns,
            updated_ns=now_ns,
        )

    def _replay(self, active: Active, now_ns: int) -> None:
        fault = active.fault
        assert isinstance(fault, Replay)
        for session in self._gateway.sessions():
            assert session.client_id is not None
            for execution in self._gateway.desk.fills.all() if fault.executions else []:
                if execution.order.client_id == session.client_id:
                    session.send(replies_order.execution_details(LIVE_REQUEST_ID, execution))
            for order in self._gateway.desk.open_orders(session.client_id, all_clients=False) if fault.orders else []:
                session.send(replies_order.open_order(session.server_version, order))
                session.send(replies_order.order_status(order))
        self._engine.note("replayed", now_ns, fault=active.number)

    def _foreign(self, active: Active, now_ns: int) -> None:
        fault = active.fault
        assert isinstance(fault, ForeignOrder)
        index = active.indices[0]
        instrument = self._gateway.market.instruments[index]
        self._gateway.faulty_desk.add_foreign(
            client_id=fault.client_id,
            order_id=fault.order_id,
            instrument=instrument,
            instrument_index=index,
            side=Side(fault.side),
            quantity_micro=fault.shares * MICRO_PER_SHARE,
            limit_nano=None if fault.limit_usd is None else nano_from_float(fault.limit_usd),
            addressee=EVERYBODY if fault.announce else fault.client_id,
            now_ns=now_ns,
            origin="foreign_order",
        )


def _stripped(request: PlaceOrder, fault: WarnOrders) -> PlaceOrder:
    """Return a placement without the terms that the broker drops."""
    changes: dict[str, str | bool] = {}
    if "tif" in fault.strip:
        changes["time_in_force"] = "DAY"
    if "outside_rth" in fault.strip:
        changes["outside_rth"] = False
    return msgspec.structs.replace(request, ticket=msgspec.structs.replace(request.ticket, **changes))
