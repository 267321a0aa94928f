"""Owns the records of the order book: orders, executions, previews, and the table of order states."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from walstreet_services.ibsim.units import price_text
from walstreet_services.ibsim.wire import UNSET_DOUBLE_TEXT

if TYPE_CHECKING:
    from walstreet_services.ibsim.model import Instrument, Side


class Status(StrEnum):
    """Order states as the protocol spells them."""

    PRE_SUBMITTED = "PreSubmitted"
    SUBMITTED = "Submitted"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    INACTIVE = "Inactive"


ENDED = frozenset({Status.FILLED, Status.CANCELLED, Status.INACTIVE})
NEXT: dict[Status, frozenset[Status]] = {
    Status.PRE_SUBMITTED: frozenset(Status),
    Status.SUBMITTED: frozenset(Status) - {Status.INACTIVE},
    Status.FILLED: frozenset({Status.FILLED}),
    Status.CANCELLED: frozenset({Status.CANCELLED}),
    Status.INACTIVE: frozenset({Status.INACTIVE}),
}
"""Which state may follow which; an ended order never lives again."""


@dataclass(slots=True, kw_only=True)
class Order:
    """One order of record; the desk alone changes it."""

    perm_id: int
    client_id: int
    order_id: int
    instrument: Instrument
    instrument_index: int
    exchange: str
    side: Side
    order_type: str
    limit_nano: int | None
    total_micro: int
    time_in_force: str
    good_till_date: str
    good_till_ns: int | None
    account: str
    order_ref: str
    oca_group: str
    oca_type: int
    parent_id: int
    transmit: bool
    outside_rth: bool
    hidden: bool
    arrived_ns: int
    active_from_ns: int
    updated_ns: int
    status: Status = Status.PRE_SUBMITTED
    why_held: str = ""
    filled_micro: int = 0
    notional_nano: int = 0
    last_price_nano: int = 0
    commission_nano: int = 0
    cancel_at_ns: int | None = None
    completed_text: str = ""
    mask: str = ""
    """State that a fault shows instead of the true one."""
    suspended: bool = False
    """Held by a fault: live and not trading."""
    stale: bool = False
    """A fault keeps it from ever being announced as Submitted."""
    stop_nano: int | None = None
    """Trigger of a stop order."""
    triggered: bool = False
    """The stop has been reached: from then on it is a market order."""
    addressee: int | None = None
    """Who hears of the order instead of its owner."""

    @property
    def remaining_micro(self) -> int:
        """Return what is still to be done; nothing once the order was filled."""
        return self.total_micro - self.filled_micro

    @property
    def waiting(self) -> bool:
        """Return whether the order waits for its trigger."""
        return self.stop_nano is not None and not self.triggered

    @property
    def average_price_nano(self) -> int:
        """Return the average price of what was filled."""
        return round(self.notional_nano * 1_000_000 / self.filled_micro) if self.filled_micro else 0

    @property
    def shown_status(self) -> str:
        """Return the state as clients are told it."""
        return self.mask or self.status.value

    @property
    def recipient(self) -> int:
        """Return the client id that is told of the order."""
        return self.client_id if self.addressee is None else self.addressee

    @property
    def ended(self) -> bool:
        """Return whether nothing can happen to the order any more."""
        return self.status in ENDED

    def move(self, status: Status, ts_ns: int) -> None:
        """Change the state along the table."""
        assert status in NEXT[self.status], f"order {self.perm_id}: {self.status} cannot become {status}"
        self.status = status
        self.updated_ns = ts_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One execution of an order; the order's fields are read for identity only."""

    order: Order
    execution_id: str
    ts_ns: int
    price_nano: int
    quantity_micro: int
    cumulative_micro: int
    average_price_nano: int
    passive: bool
    exchange: str
    commission_nano: int
    realized_nano: int | None
    """Result of the closed part; None when the execution only opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What an order would do to the margins and cost."""

    status: str = "PreSubmitted"
    initial_before_nano: int
    initial_after_nano: int
    maintenance_before_nano: int
    maintenance_after_nano: int
    equity_before_nano: int
    equity_after_nano: int
    commission_nano: int | None
    """None when the fee depends on an unknown price."""
    warning: str = ""
    known: bool = True
    """False for the first of the two messages that a warning brings; all its amounts are unset."""

    def margin_texts(self) -> list[str | int | bool]:
        """Return the nine margin fields: before, change and after, of initial, maintenance and equity."""
        if not self.known:
            return [UNSET_DOUBLE_TEXT] * 9
        before = (self.initial_before_nano, self.maintenance_before_nano, self.equity_before_nano)
        after = (self.initial_after_nano, self.maintenance_after_nano, self.equity_after_nano)
        change = (end - start for start, end in zip(before, after, strict=True))
        return [price_text(value) for value in (*before, *change, *after)]

    def commission_texts(self) -> list[str | int | bool]:
        """Return commission, lowest and highest commission."""
        if self.commission_nano is None or not self.known:
            return [UNSET_DOUBLE_TEXT] * 3
        return [price_text(self.commission_nano)] * 3
