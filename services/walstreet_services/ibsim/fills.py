"""Owns the session's executions: what a match does to the order and the account, and when its fee is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from walstreet_services.ibsim.order_record import Execution
from walstreet_services.ibsim.units import notional_nano

if TYPE_CHECKING:
    from walstreet_services.ibsim.account import Account
    from walstreet_services.ibsim.model import Match
    from walstreet_services.ibsim.order_record import Order
    from walstreet_services.ibsim.order_reports import Reports


class Fills:
    """Books executions; the commission of each follows at once or after a delay."""

    def __init__(self, account: Account, reports: Reports, *, prefix: str, commission_delay_ns: int) -> None:
        self._account = account
        self._reports = reports
        self._prefix = prefix
        self._commission_delay_ns = commission_delay_ns
        self._executions: list[Execution] = []
        self._fees_due: list[tuple[int, Execution]] = []

    def all(self) -> list[Execution]:
        """Return the session's executions, oldest first."""
        return list(self._executions)

    def fee_reported(self, execution: Execution) -> bool:
        """Return whether the commission of an execution has been announced."""
        return all(waiting is not execution for _, waiting in self._fees_due)

    def book(self, order: Order, match: Match) -> None:
        """Change order and account by one match and announce the execution."""
        quantity = match.quantity_micro
        assert 0 < quantity <= order.remaining_micro, f"order {order.perm_id} matched beyond its remainder"
        order.filled_micro += quantity
        order.notional_nano += notional_nano(match.price_nano, quantity)
        order.last_price_nano = match.price_nano
        fee_total = self._account.commission.order_total(order.filled_micro, order.notional_nano)
        fee, order.commission_nano = fee_total - order.commission_nano, fee_total
        realized = self._account.apply(
            order.instrument_index,
            order.side,
            quantity_micro=quantity,
            price_nano=match.price_nano,
            commission_nano=fee,
        )
        execution = Execution(
            order=order,
            execution_id=f"{self._prefix}.{len(self._executions) + 1:08x}.01.01",
            ts_ns=match.ts_ns,
            price_nano=match.price_nano,
            quantity_micro=quantity,
            cumulative_micro=order.filled_micro,
            average_price_nano=order.average_price_nano,
            passive=match.passive,
            exchange=order.instrument.primary_exchange,
            commission_nano=fee,
            realized_nano=realized,
        )
        self._executions.append(execution)
        self._fees_due.append((match.ts_ns + self._commission_delay_ns, execution))
        self._reports.execution(execution)

    def report_fees(self, now_ns: int) -> None:
        """Announce the commissions whose time has come."""
        due = [execution for at_ns, execution in self._fees_due if at_ns <= now_ns]
        if due:
            self._fees_due = [item for item in self._fees_due if item[0] > now_ns]
        for execution in due:
            self._reports.fee(execution, now_ns)
