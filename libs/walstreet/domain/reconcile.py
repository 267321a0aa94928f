"""Owns the comparison of our books with one snapshot of the broker: pure functions from both to differences.

Every function allows for facts in flight: what is newer than the snapshot cannot be in it. Whether a difference
is already a break is decided by the reconciler, which remembers the snapshot before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from walstreet.domain.external import POSITION, origin_of
from walstreet.domain.reconciler_parameters import Area
from walstreet_events import (
    PRICE_SCALE,
    QUANTITY_SCALE,
    BreakKind,
    BrokerOrder,
    OrderFilled,
    OrderState,
    ReconSnapshot,
    Side,
)

TERMINAL = (OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED)
UNPROVEN = (OrderState.SUBMITTING, OrderState.UNKNOWN)
DEAD_STATUSES = ("Filled", "Cancelled", "ApiCancelled", "Inactive")
"""Statuses with which a broker may still list an order that can trade no more."""
EXECUTION_ID_PARTS = 4
"""Parts of the broker's execution ids; the last one is the revision."""
CASH = "cash"
ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One point in which our books and the broker's disagree."""

    area: Area
    kind: BreakKind
    symbol: str
    reference: str
    ours: str
    brokers: str
    gap: int = 0
    """Broker's value minus ours in wire units, where there is one."""
    settling: bool = False
    """True while facts are known to be on their way, so that it cannot be confirmed yet."""
    perm_id: int = 0
    """Of a foreign order."""

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """Return what makes two differences in consecutive snapshots the same one."""
        gap = self.gap if self.area is Area.POSITION else 0
        return (self.area.value, self.kind.value, self.symbol, self.reference, gap)


@dataclass(slots=True, kw_only=True)
class OwnOrder:
    """A child order as the log tells it."""

    client_order_id: str
    symbol: str
    quantity_micro: int
    submitted_ns: int
    good_till_ns: int
    changed_ns: int
    state: OrderState = OrderState.SUBMITTING
    filled_micro: int = 0
    """Sum of its executions."""


@dataclass(frozen=True, slots=True)
class _Deal:
    revision: int
    exec_id: str
    symbol: str
    buy: bool
    price_nano: int
    quantity_micro: int


def execution_family(exec_id: str) -> tuple[str, int]:
    """Return an execution id without its revision, and the revision (0 for ids of another form)."""
    head, _, tail = exec_id.rpartition(".")
    if exec_id.count(".") == EXECUTION_ID_PARTS - 1 and tail.isdecimal():
        return head, int(tail)
    return exec_id, 0


def decimal_text(value: int, scale: int) -> str:
    """Return ``value / scale`` as exact decimal text, such as ``-1.5``."""
    digits = len(str(scale)) - 1
    whole, part = divmod(abs(value), scale)
    text = f"{whole}.{part:0{digits}d}".rstrip("0").rstrip(".")
    return f"-{text}" if value < 0 else text


def signed_micro(fill: OrderFilled) -> int:
    """Return the change of the position by a fill."""
    return fill.quantity_micro if fill.side is Side.BUY else -fill.quantity_micro


# ------------------------------------------------------------------------------------------------ orders


def compare_orders(
    orders: Mapping[str, OwnOrder], snapshot: ReconSnapshot, *, in_flight_ns: int, absence_wait_ns: int
) -> list[Difference]:
    """Return the differences between our child orders and the broker's open and completed ones."""
    listed = {order.order_ref: order for order in snapshot.open_orders if order.order_ref}
    ended = {order.order_ref: order for order in snapshot.completed_orders if order.order_ref}
    found: list[Difference] = []
    for reference in sorted(orders):
        own = orders[reference]
        if own.submitted_ns > snapshot.ts_ns:
            continue
        settling = max(own.changed_ns, own.submitted_ns) > snapshot.ts_ns - in_flight_ns
        if own.state in TERMINAL:
            found += _dead_order(own, listed.get(reference), settling=settling)
        elif reference in listed:
            found += _live_order(own, listed[reference], settling=settling)
        else:
            found += _unlisted_order(own, ended.get(reference), snapshot, absence_wait_ns, settling=settling)
    for order in snapshot.open_orders:
        if order.order_ref not in orders and order.status not in DEAD_STATUSES:
            found.append(_foreign_order(order))
    return found


def _dead_order(own: OwnOrder, theirs: BrokerOrder | None, *, settling: bool) -> list[Difference]:
    if theirs is None or theirs.status in DEAD_STATUSES:
        return []
    # The broker works an order that our books hold for ended: exposure nobody watches.
    return [_order_difference(own, BreakKind.MISSING_LOCAL, own.state.value, theirs.status, settling=settling)]


def _live_order(own: OwnOrder, theirs: BrokerOrder, *, settling: bool) -> list[Difference]:
    found: list[Difference] = []
    if own.quantity_micro != theirs.quantity_micro:
        ours, brokers = (decimal_text(value, QUANTITY_SCALE) for value in (own.quantity_micro, theirs.quantity_micro))
        found.append(_order_difference(own, BreakKind.QUANTITY, ours, brokers, settling=settling))
    if own.filled_micro != theirs.filled_micro:
        ours, brokers = (decimal_text(value, QUANTITY_SCALE) for value in (own.filled_micro, theirs.filled_micro))
        ours, brokers = f"filled {ours}", f"filled {brokers}"
        found.append(_order_difference(own, BreakKind.QUANTITY, ours, brokers, settling=settling))
    return found


def _unlisted_order(
    own: OwnOrder, theirs: BrokerOrder | None, snapshot: ReconSnapshot, absence_wait_ns: int, *, settling: bool
) -> list[Difference]:
    if theirs is not None:
        status = theirs.status
    elif own.state in UNPROVEN and snapshot.ts_ns <= own.good_till_ns + absence_wait_ns:
        # Absence proves nothing before the broker itself has ended the order; execution holds it as unknown.
        return []
    else:
        status = ABSENT
    return [_order_difference(own, BreakKind.MISSING_BROKER, own.state.value, status, settling=settling)]


def _order_difference(own: OwnOrder, kind: BreakKind, ours: str, brokers: str, *, settling: bool) -> Difference:
    return Difference(
        area=Area.ORDER,
        kind=kind,
        symbol=own.symbol,
        reference=own.client_order_id,
        ours=ours,
        brokers=brokers,
        settling=settling,
    )


def _foreign_order(order: BrokerOrder) -> Difference:
    origin = origin_of(client_id=order.client_id, order_ref=order.order_ref)
    return Difference(
        area=Area.ORDER,
        kind=BreakKind.EXTERNAL_ORDER,
        symbol=order.symbol,
        reference=order.order_ref or f"perm:{order.perm_id}",
        ours=ABSENT,
        brokers=f"{order.side} {decimal_text(order.quantity_micro, QUANTITY_SCALE)} {order.status} ({origin.value})",
        perm_id=order.perm_id,
    )


# -------------------------------------------------------------------------------------------- executions


def foreign_executions(fills: Mapping[str, OrderFilled], snapshot: ReconSnapshot) -> list[Difference]:
    """Return the orders that are not ours, have traded, and are not listed any more.

    Their fills are in the books, so that nothing else differs: a forced liquidation would pass as clean.
    """
    listed = {order.perm_id for order in snapshot.open_orders}
    traded: dict[int, tuple[str, int]] = {}
    for fill in fills.values():
        if not fill.client_order_id and fill.perm_id not in listed and fill.ts_ns <= snapshot.ts_ns:
            traded[fill.perm_id] = (fill.symbol, traded.get(fill.perm_id, ("", 0))[1] + signed_micro(fill))
    return [
        Difference(
            area=Area.ORDER,
            kind=BreakKind.EXTERNAL_ORDER,
            symbol=symbol,
            reference=f"perm:{perm_id}",
            ours=ABSENT,
            brokers=f"traded {decimal_text(change, QUANTITY_SCALE)}",
            perm_id=perm_id,
        )
        for perm_id, (symbol, change) in sorted(traded.items())
    ]


def compare_executions(
    fills: Mapping[str, OrderFilled], snapshot: ReconSnapshot, *, since_ns: int, in_flight_ns: int
) -> list[Difference]:
    """Return the differences between our executions and the broker's since ``since_ns``, newest revisions only."""
    ours = _newest(
        _Deal(0, fill.exec_id, fill.symbol, fill.side is Side.BUY, fill.price_nano, fill.quantity_micro)
        for fill in fills.values()
    )
    theirs = _newest(
        _Deal(0, deal.exec_id, deal.symbol, deal.side == Side.BUY.value, deal.price_nano, deal.quantity_micro)
        for deal in snapshot.executions
        if deal.ts_ns >= since_ns
    )
    found: list[Difference] = []
    for family in sorted({**ours, **theirs}):
        own, other = ours.get(family), theirs.get(family)
        if own is None and other is not None:
            found.append(_execution_difference(BreakKind.MISSING_LOCAL, other, ABSENT, _deal_text(other)))
        elif own is not None and other is None:
            executed_ns = fills[own.exec_id].ts_ns
            if since_ns <= executed_ns <= snapshot.ts_ns - in_flight_ns:
                found.append(_execution_difference(BreakKind.MISSING_BROKER, own, _deal_text(own), ABSENT))
        elif own is not None and other is not None:
            if (own.symbol, own.buy, own.quantity_micro) != (other.symbol, other.buy, other.quantity_micro):
                found.append(_execution_difference(BreakKind.QUANTITY, other, _deal_text(own), _deal_text(other)))
            if own.price_nano != other.price_nano:
                found.append(_execution_difference(BreakKind.PRICE, other, _deal_text(own), _deal_text(other)))
    return found


def _newest(deals: Iterable[_Deal]) -> dict[str, _Deal]:
    newest: dict[str, _Deal] = {}
    for deal in deals:
        family, revision = execution_family(deal.exec_id)
        if family not in newest or revision > newest[family].revision:
            newest[family] = replace(deal, revision=revision)
    return newest


def _deal_text(deal: _Deal) -> str:
    side = Side.BUY.value if deal.buy else Side.SELL.value
    quantity, price = decimal_text(deal.quantity_micro, QUANTITY_SCALE), decimal_text(deal.price_nano, PRICE_SCALE)
    return f"{side} {quantity} {deal.symbol} at {price}"


def _execution_difference(kind: BreakKind, deal: _Deal, ours: str, brokers: str) -> Difference:
    return Difference(
        area=Area.EXECUTION, kind=kind, symbol=deal.symbol, reference=deal.exec_id, ours=ours, brokers=brokers
    )


# ------------------------------------------------------------------------------------- positions and cash


def compare_positions(
    positions_micro: Mapping[str, int], newer_fills: Sequence[OrderFilled], snapshot: ReconSnapshot
) -> list[Difference]:
    """Return the differences in positions; ``newer_fills`` (oldest first) may be in the snapshot or not."""
    brokers: dict[str, int] = {}
    for position in snapshot.positions:
        brokers[position.symbol] = brokers.get(position.symbol, 0) + position.quantity_micro
    found: list[Difference] = []
    for symbol in sorted({**positions_micro, **brokers}):
        own, theirs = positions_micro.get(symbol, 0), brokers.get(symbol, 0)
        changes = [signed_micro(fill) for fill in newer_fills if fill.symbol == symbol]
        if theirs in _without_newest(own, changes):
            continue
        difference = Difference(
            area=Area.POSITION,
            kind=BreakKind.QUANTITY,
            symbol=symbol,
            reference=POSITION,
            ours=decimal_text(own, QUANTITY_SCALE),
            brokers=decimal_text(theirs, QUANTITY_SCALE),
            gap=theirs - own,
        )
        found.append(difference)
    return found


def compare_cash(
    cash_nano: int | None,
    newer_fills: Sequence[OrderFilled],
    snapshot: ReconSnapshot,
    *,
    tolerance_nano: int,
    fees_pending: bool,
) -> list[Difference]:
    """Return the difference in cash; an amount that is unknown on either side cannot be compared."""
    if cash_nano is None or snapshot.cash_nano is None:
        return []
    changes = [-signed_micro(fill) * fill.price_nano // QUANTITY_SCALE for fill in newer_fills]
    theirs = snapshot.cash_nano
    if any(abs(theirs - own) <= tolerance_nano for own in _without_newest(cash_nano, changes)):
        return []
    difference = Difference(
        area=Area.CASH,
        kind=BreakKind.CASH,
        symbol="",
        reference=CASH,
        ours=decimal_text(cash_nano, PRICE_SCALE),
        brokers=decimal_text(theirs, PRICE_SCALE),
        gap=theirs - cash_nano,
        settling=fees_pending,
    )
    return [difference]


def _without_newest(value: int, changes: Sequence[int]) -> list[int]:
    """Return ``value`` and what it was before the last change, before the last two, and so on."""
    values = [value]
    for change in reversed(changes):
        values.append(values[-1] - change)
    return values
