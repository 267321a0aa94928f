"""Owns what all faults share: when one happens, for how long, how often, and which messages or orders it chooses.

Durations are seconds of session time. ``seconds`` None lasts until somebody ends the fault; ``count`` None
means every time.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Positive = Annotated[float, msgspec.Meta(gt=0, le=86_400 * 7)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=86_400 * 7)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Code = Annotated[int, msgspec.Meta(ge=1, le=99_999)]
Shares = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
Usd = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
Text = Annotated[str, msgspec.Meta(max_length=500)]
Symbols = Annotated[tuple[str, ...], msgspec.Meta(max_length=1000)]
ClientId = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
OrderId = Annotated[int, msgspec.Meta(ge=-1, le=2**31 - 1)]
Bps = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Ppm = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]

MESSAGE_IDS = {
    "tick_price": 1,
    "tick_size": 2,
    "order_status": 3,
    "error": 4,
    "open_order": 5,
    "account_value": 6,
    "portfolio": 7,
    "account_time": 8,
    "next_valid_id": 9,
    "contract_details": 10,
    "execution": 11,
    "managed_accounts": 15,
    "historical_bars": 17,
    "tick_generic": 45,
    "tick_string": 46,
    "current_time": 49,
    "real_time_bar": 50,
    "contract_details_end": 52,
    "open_orders_end": 53,
    "account_end": 54,
    "executions_end": 55,
    "snapshot_end": 57,
    "market_data_type": 58,
    "commission": 59,
    "position": 61,
    "position_end": 62,
    "account_summary": 63,
    "account_summary_end": 64,
    "profit_and_loss": 94,
    "profit_and_loss_single": 95,
    "historical_update": 90,
    "tick_by_tick": 99,
    "completed_order": 101,
    "completed_orders_end": 102,
}
"""Server messages that a script can name; the tests compare the keys with ``Message``."""
ORDER_MESSAGES = ("open_order", "order_status", "execution", "error")
"""Messages that carry an order's id."""
Message = Literal[
    "tick_price",
    "tick_size",
    "order_status",
    "error",
    "open_order",
    "account_value",
    "portfolio",
    "account_time",
    "next_valid_id",
    "contract_details",
    "execution",
    "managed_accounts",
    "historical_bars",
    "tick_generic",
    "tick_string",
    "current_time",
    "real_time_bar",
    "contract_details_end",
    "open_orders_end",
    "account_end",
    "executions_end",
    "snapshot_end",
    "market_data_type",
    "commission",
    "position",
    "position_end",
    "account_summary",
    "account_summary_end",
    "profit_and_loss",
    "profit_and_loss_single",
    "historical_update",
    "tick_by_tick",
    "completed_order",
    "completed_orders_end",
]
Messages = Annotated[tuple[Message, ...], msgspec.Meta(min_length=1, max_length=40)]
RequestName = Literal[
    "what_if",
    "market_data",
    "historical",
    "head_timestamp",
    "real_time_bars",
    "tick_by_tick",
    "contract_details",
    "matching_symbols",
    "open_orders",
    "completed_orders",
    "executions",
    "ids",
    "accounts",
    "current_time",
    "account_updates",
    "account_summary",
    "positions",
    "profit_and_loss",
]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag=False):
    """When a fault happens: at once, at a time, or after the n-th order, message or fill."""

    at: str | int | None = None
    """``HH:MM:SS`` at the exchange, ``open+SECONDS``, ``open-SECONDS``, ``close+SECONDS`` or ``close-SECONDS``.

    A number is seconds after midnight: YAML reads an unquoted ``10:45:00`` as such.
    """
    after_orders: Count | None = None
    """Happens when this many placements (what-ifs not counted) have been handled."""
    after_messages: Count | None = None
    """Happens when this many requests of started clients have been handled."""
    after_fills: Count | None = None
    """Happens when this many executions have been booked."""

    def __post_init__(self) -> None:
        """Refuse two triggers in one entry."""
        triggers = {
            "at": self.at,
            "after_orders": self.after_orders,
            "after_messages": self.after_messages,
            "after_fills": self.after_fills,
        }
        named = [name for name, value in triggers.items() if value is not None]
        if len(named) > 1:
            raise ValueError(f"has two triggers, {named[0]} and {named[1]}; keep one, or write two entries")


class Lasting(Fault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag=False):
    """A fault that is in force for a while."""

    seconds: Positive | None = None


class Counted(Lasting, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag=False):
    """A lasting fault that strikes a number of times."""

    count: Count | None = None


class WireFault(Counted, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag=False):
    """Chooses messages on their way to a client."""

    messages: Messages
    client_id: ClientId | None = None
    order_id: OrderId | None = None
    status: Text | None = None
    """Only orderStatus messages with this state."""
    probability_ppm: Ppm = 1_000_000
    """Drawn from the script's seed for every message that fits."""


class OrderFault(Counted, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag=False):
    """Chooses orders; empty fields choose all."""

    symbols: Symbols = ()
    client_id: ClientId | None = None
    order_ref: Text = ""
    """Beginning of the order's reference."""
