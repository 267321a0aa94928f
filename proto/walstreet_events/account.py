"""Owns the account facts that execution journals from the broker."""

from __future__ import annotations

import msgspec

from walstreet_events.envelope import Event


class AccountValues(Event, frozen=True, tag="account_values.v1"):
    """Account totals as the broker reported them; None where the broker gave no finite number."""

    account: str
    net_liquidation_nano: int | None
    cash_nano: int | None
    settled_cash_nano: int | None
    available_funds_nano: int | None
    gross_position_nano: int | None
    initial_margin_nano: int | None
    maintenance_margin_nano: int | None


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """One position as the broker reported it."""

    symbol: str
    con_id: int
    quantity_micro: int
    """Signed."""
    average_cost_nano: int
    """Includes commissions, as the broker counts; a check, never our ledger."""


class Positions(Event, frozen=True, tag="positions.v1"):
    """All positions of the account at one time; a symbol that is absent is flat."""

    account: str
    positions: tuple[Position, ...]


class OrderLink(Event, frozen=True, tag="order_link.v1"):
    """State of the order connection, judged apart from market data; its owner is execution."""

    connected: bool
    data_lost: bool
    """True when the broker said that it forgot what it had sent (1101) or the socket is new."""
    client_id: int
    next_order_id: int
    """Floor for new broker order ids as the broker gave it, 0 when not connected."""
    code: int
    detail: str
