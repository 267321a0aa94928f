"""Owns the session's executions: what a match does to the order and the account, and when its fee is reported."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from walstreet_services.ibsim.order_record import Execution
from walstreet_services.ibsim.units import notional_nano

if TYPE_CHECKING:
    from collections.abc import Callable

    from walstreet_services.ibsim.account import Account
    from walstreet_services.ibsim.model import Match
    from walstreet_services.ibsim.order_record import Order
    from walstreet_services.ibsim.order_reports import Reports

FAR_FUTURE_NS = 1 << 62


def _nothing() -> None:
    """Nobody watches."""


class Fills:
    """Books executions; the commission of each follows at once or after a delay."""

    def __init__(self, account: Account, reports: Reports, *, prefix: str, commission_delay_ns: int) -> None:
        self._account = account
        self._reports = reports
        self._prefix = prefix
        self._commission_delay_ns = commission_delay_ns
        self._never = False
        self._on_execution: Callable[[], None] = _nothing
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
        self._announce(execution, match.ts_ns)

    def _announce(self, execution: Execution, now_ns: int, **facts: str) -> None:
        self._executions.append(execution)
        due_ns = FAR_FUTURE_NS if self._never else now_ns + self._commission_delay_ns
        self._fees_due.append((due_ns, execution))
        self._reports.execution(execution, **facts)
        self._on_execution()

    # Faults

    def watch(self, on_execution: Callable[[], None]) -> None:
        """Call back after every execution."""
        self._on_execution = on_execution

    def fee_delay(self, delay_ns: int | None) -> None:
        """Change the delay of later commissions, None for never."""
        self._never = delay_ns is None
        self._commission_delay_ns = delay_ns or 0

    def latest(self, position: int) -> Execution | None:
        """Return the newest revision of an execution of the session, None when there is no such one."""
        if not -len(self._executions) <= position < len(self._executions):
            return None
        stem = self._executions[position].execution_id.rpartition(".")[0]
        return [item for item in self._executions if item.execution_id.rpartition(".")[0] == stem][-1]

    def correct(self, old: Execution, *, price_nano: int, quantity_micro: int, now_ns: int) -> Execution | None:
        """Replace the newest revision of an execution by one with the next suffix, and the account's books with it.

        The commission stays. None means that the price or quantity cannot be.
        """
        if price_nano <= 0 or not 0 < quantity_micro <= old.quantity_micro:
            return None
        order = old.order
        sign = 1 if order.side == "BUY" else -1
        change_micro = quantity_micro - old.quantity_micro
        change_nano = notional_nano(price_nano, quantity_micro) - notional_nano(old.price_nano, old.quantity_micro)
        realized = self._account.correct(
            order.instrument_index,
            quantity_micro=sign * change_micro,
            value_nano=sign * change_nano,
            realized_nano=old.realized_nano,
        )
        order.filled_micro += change_micro
        order.notional_nano += change_nano
        order.last_price_nano = price_nano
        stem, _, revision = old.execution_id.rpartition(".")
        corrected = replace(
            old,
            execution_id=f"{stem}.{int(revision) + 1:02d}",
            price_nano=price_nano,
            quantity_micro=quantity_micro,
            cumulative_micro=old.cumulative_micro + change_micro,
            average_price_nano=order.average_price_nano,
            realized_nano=realized,
        )
        self._announce(corrected, now_ns, corrects=old.execution_id)
        return corrected

    def report_fees(self, now_ns: int) -> None:
        """Announce the commissions whose time has come."""
        due = [execution for at_ns, execution in self._fees_due if at_ns <= now_ns]
        if due:
            self._fees_due = [item for item in self._fees_due if item[0] > now_ns]
        for execution in due:
            self._reports.fee(execution, now_ns)
