"""Owns the parameters of reconciliation: when to ask, how long to wait, and what each kind of break means."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from walstreet.domain.tca_parameters import TcaParameters
from walstreet_events import NANOS_PER_SECOND, BreakKind


class Policy(StrEnum):
    """What a confirmed break means."""

    STRICT = "strict"
    """The report is ``breaks`` and the reconciler asks for OBSERVE."""
    WARN = "warn"
    """Recorded and counted; the report stays clean."""
    AUTO_SYNC = "auto_sync"
    """The broker's value is taken over into all books, once, by a correction on the log."""


class Area(StrEnum):
    """What was compared; each area has its own confirmation."""

    ORDER = "order"
    EXECUTION = "execution"
    POSITION = "position"
    CASH = "cash"


SYNCED = (
    (BreakKind.QUANTITY, Area.POSITION),
    (BreakKind.CASH, Area.CASH),
    (BreakKind.MISSING_LOCAL, Area.EXECUTION),
    (BreakKind.QUANTITY, Area.EXECUTION),
    (BreakKind.PRICE, Area.EXECUTION),
)
"""Where the broker's value can replace ours. Not an order, whose life is execution's to find out; not an execution that
only we know, because what is absent from an answer proves nothing."""


class ReconcilerParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Timing, confirmation and policies of reconciliation."""

    period_s: int = 60
    recheck_s: int = 10
    """Distance of the next request after an unknown answer or an unconfirmed difference."""
    timeout_s: int = 20
    """A request without an answer for so long is reported as unknown."""
    in_flight_s: int = 5
    """Facts this close to the snapshot may be in one book and not yet in the other."""
    absence_wait_s: int = 300
    """An order without a proven outcome may be absent at the broker for so long after its good-till time."""
    fee_wait_s: int = 300
    """For so long after a fill without a fee the cash is not final, and a difference is not confirmed."""
    cash_settle_s: int = 240
    """A difference in cash must have lasted so long: brokers refresh account values every few minutes."""
    cash_tolerance_nano: int = 1_000_000_000
    confirm_orders: int = 2
    """Consecutive snapshots that must show the same difference before it is a break."""
    confirm_executions: int = 1
    confirm_positions: int = 2
    confirm_cash: int = 2
    missing_local: Policy = Policy.STRICT
    missing_broker: Policy = Policy.STRICT
    quantity: Policy = Policy.STRICT
    price: Policy = Policy.STRICT
    cash: Policy = Policy.WARN
    external_order: Policy = Policy.WARN
    """Also for positions that were there at the start. The symbol waits for `walstreet adopt`; the rest goes on."""

    tca: TcaParameters = TcaParameters()
    """Costs are reported after the close, and thresholds tuned by them."""

    def __post_init__(self) -> None:
        """Refuse values out of range or at odds with each other."""
        ranges = (
            ("period_s", self.period_s, 5, 3600),
            ("recheck_s", self.recheck_s, 1, self.period_s),
            ("timeout_s", self.timeout_s, 1, 600),
            ("in_flight_s", self.in_flight_s, 0, 60),
            ("absence_wait_s", self.absence_wait_s, 0, 86_400),
            ("fee_wait_s", self.fee_wait_s, 0, 86_400),
            ("cash_settle_s", self.cash_settle_s, 0, 86_400),
            ("cash_tolerance_nano", self.cash_tolerance_nano, 0, 10**15),
            ("confirm_orders", self.confirm_orders, 1, 10),
            ("confirm_executions", self.confirm_executions, 1, 10),
            ("confirm_positions", self.confirm_positions, 1, 10),
            ("confirm_cash", self.confirm_cash, 1, 10),
        )
        for name, value, low, high in ranges:
            if not low <= value <= high:
                raise ValueError(f"reconciler.{name}={value} is outside {low}..{high}; choose a value in that range")
        policies = (
            ("missing_broker", self.missing_broker),
            ("external_order", self.external_order),
        )
        for name, policy in policies:
            if policy is Policy.AUTO_SYNC:
                raise ValueError(
                    f"reconciler.{name}='auto_sync' has no meaning: absence proves nothing, and what is foreign is for "
                    "a person to adopt; use 'strict' or 'warn'"
                )

    def policy(self, kind: BreakKind, area: Area) -> Policy:
        """Return what a break means; where nothing can be taken over, ``auto_sync`` is strict."""
        policy = {
            BreakKind.MISSING_LOCAL: self.missing_local,
            BreakKind.MISSING_BROKER: self.missing_broker,
            BreakKind.QUANTITY: self.quantity,
            BreakKind.PRICE: self.price,
            BreakKind.CASH: self.cash,
            BreakKind.EXTERNAL_ORDER: self.external_order,
        }[kind]
        return Policy.STRICT if policy is Policy.AUTO_SYNC and (kind, area) not in SYNCED else policy

    def confirmations(self, area: Area) -> int:
        """Return how many consecutive snapshots must show a difference in ``area``."""
        return {
            Area.ORDER: self.confirm_orders,
            Area.EXECUTION: self.confirm_executions,
            Area.POSITION: self.confirm_positions,
            Area.CASH: self.confirm_cash,
        }[area]

    def settle_ns(self, area: Area) -> int:
        """Return how long a difference in ``area`` must have lasted besides."""
        return self.cash_settle_s * NANOS_PER_SECOND if area is Area.CASH else 0
