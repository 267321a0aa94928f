"""Owns the events of several strategies in one account, all written by the arbiter; a session with one has none."""

from __future__ import annotations

import msgspec

from walstreet_events.decision import Decision, DriftChange, OutcomeBlock, Prefilter
from walstreet_events.envelope import Event, EventId
from walstreet_events.order import IntentBlock


class StrategyRecord(Event, frozen=True, tag="strategy_record.v1"):
    """What one strategy decided or learned for itself; an ``IntentBlock`` in it is a wish, nothing is sent by it.

    Ids in the record derive from the strategy's own view of its cause, so that two strategies never share one.
    """

    strategy: str
    record: Decision | IntentBlock | OutcomeBlock | DriftChange | Prefilter


class StrategyShare(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy's part in the account's trade of one symbol; signed, buys are positive."""

    strategy: str
    intent: str
    """Id of its wish."""
    wanted_micro: int
    crossed_micro: int
    """Traded with the other strategies inside the account."""
    parent_micro: int
    """Its part of the account's order; of one sign over all shares."""


class PlannedSymbol(msgspec.Struct, frozen=True, kw_only=True):
    """What the wishes for one symbol came to."""

    symbol: str
    intent: str
    """Id of the account's intent; empty where no order follows."""
    price_nano: int
    """Mid of the quote; the price of the crossing."""
    reason: str
    """Stable code of what kept something from the order; empty where nothing did."""
    shares: tuple[StrategyShare, ...]


class AccountPlan(Event, frozen=True, tag="account_plan.v1"):
    """How the strategies' wishes of one cycle were crossed inside the account, limited at their sum, and sent as one.

    The crossing is done with this event: shares and cash move between the virtual books, nothing reaches the broker.
    """

    decision: EventId
    symbols: tuple[PlannedSymbol, ...]


class FillAllocated(Event, frozen=True, tag="fill_allocated.v1"):
    """One execution of the broker, divided among the virtual books."""

    exec_id: str
    client_order_id: str
    intent: str
    """The account's intent; empty for an order that is not ours."""
    symbol: str
    price_nano: int
    strategies: tuple[str, ...]
    """``house`` for what no strategy stands behind."""
    signed_micro: tuple[int, ...]
    """What each bought (positive) or sold; sums to the execution."""
    replaces: str
    """Execution id of the version that this one corrects, whose division is taken back; else empty."""


class FeeAllocated(Event, frozen=True, tag="fee_allocated.v1"):
    """The fee of one execution, divided like the execution; a later report replaces an earlier one."""

    exec_id: str
    symbol: str
    strategies: tuple[str, ...]
    fee_nano: tuple[int, ...]
    """Sums to the fee; a rebate is negative."""
