"""Owns the plan of flattening: what may be closed now, at which price, in which slices, or why it must wait.

The rule behind everything: a position is closed only by what the broker itself said of it, after a question that was
asked when no order could fill in the closing direction any more. Until then nothing is sent, because two orders for
one position turn it round. A closing order is a limit within a collar around a fresh quote; the collar widens with
every round and is capped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from walstreet.domain.flatten_parameters import FlattenParameters
from walstreet.domain.order import Order
from walstreet_events import (
    NANOS_PER_SECOND,
    PRICE_SCALE,
    QUANTITY_SCALE,
    EventId,
    FlattenState,
    Position,
    QuoteSeen,
    Side,
    derive_id,
)

COLLAR_UNITS = 1_000_000
"""A collar counts in hundredths of a basis point."""
FLAT_SO_FAR = "flat so far"
"""Detail of a question for proof that is asked although everything was flat at the last one."""
MARKET_LIMIT = 0
"""``limit_nano`` of a closing market order, which exists only where a parameter allows it."""


class Deferral(StrEnum):
    """Stable codes: why a position is not closed now."""

    MARKET_CLOSED = "market_closed"
    HALTED = "halted"
    NO_QUOTE = "no_quote"
    FOREIGN_ORDER = "foreign_order"
    """An order of somebody else could fill in the closing direction."""
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    PAUSED = "paused"
    """The next round of the slow pace has not come."""
    LINK_DOWN = "link_down"
    ORDER_OPEN = "order_open"
    """An own order has no proved outcome."""
    UNPROVEN = "unproven"
    """The broker has not said what is held, or something happened since it did."""


TRANSIENT = (Deferral.ORDER_OPEN, Deferral.UNPROVEN, Deferral.PAUSED)
"""Steps on the way; the other reasons are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What the broker said it holds, and when it was asked."""

    asked_ns: int
    positions: dict[str, Position]
    foreign: dict[str, tuple[str, ...]]
    """Symbol to the sides of open orders that are not ours."""


@dataclass(slots=True, kw_only=True)
class Emergency:
    """What is remembered of an emergency; a function of the log (or of the spool, where there is no log)."""

    id: EventId
    source: str
    operator: str
    began_ns: int
    events: int = 1
    """``FlattenState`` events so far."""
    asked: EventId | None = None
    """The question for the broker's truth under way."""
    asked_ns: int = 0
    proof: Proof | None = None
    stale: dict[str, bool] = field(default_factory=dict)
    """Symbols of which the proof is not true any more."""
    touched: dict[str, bool] = field(default_factory=dict)
    """Symbols with an own event since the question under way."""
    cancels: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Client order id to the number of cancels and the time of the last."""
    rounds: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Symbol to the number of rounds and the time of the last."""
    parents: dict[str, bool] = field(default_factory=dict)
    """Parent ids of the closing orders."""
    last_state: FlattenState | None = None
    deferred: dict[str, str] = field(default_factory=dict)
    overdue: bool = False
    flat: bool = False

    def touch(self, symbol: str) -> None:
        """Note that something happened to the symbol, so that what the broker said of it does not count any more."""
        self.touched[symbol] = True
        self.stale[symbol] = True

    def forget_proof(self) -> None:
        """Trust nothing that was said before a link was lost."""
        self.proof, self.asked = None, None
        self.asked_ns = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One position with everything its closing depends on."""

    symbol: str
    con_id: int
    position_micro: int
    """Signed, by the broker's word."""
    proven: bool
    """Nothing happened to the symbol since the broker was asked, and that is not long ago."""
    open_orders: tuple[Order, ...]
    """Own orders without a proved end."""
    cancelled_ns: dict[str, int]
    """When the newest cancel of each was sent."""
    foreign_sides: tuple[str, ...]
    halted: bool
    quote: QuoteSeen | None
    tick_nano: int
    rounds: int
    last_round_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """One closing order to send."""

    side: Side
    quantity_micro: int
    limit_nano: int
    """``MARKET_LIMIT`` for a market order."""
    good_till_ns: int
    slice_index: int


def closing_side(position_micro: int) -> Side:
    """Return the side that brings a position towards zero."""
    return Side.SELL if position_micro > 0 else Side.BUY


def whole_micro(position_micro: int) -> int:
    """Return the whole shares of |position|; the gateway takes no fractions."""
    return abs(position_micro) // QUANTITY_SCALE * QUANTITY_SCALE


def parent_id(emergency: EventId, symbol: str, number: int) -> EventId:
    """Return the parent of the ``number``-th round of a symbol."""
    return derive_id(emergency, f"flatten:{symbol}", number)


def collar_bps(rounds: int, parameters: FlattenParameters) -> float:
    """Return how far beyond the touch a limit may lie after so many rounds."""
    return min(parameters.collar_bps_max, parameters.collar_bps_first + rounds * parameters.collar_bps_step)


def closing_limit(side: Side, quote: QuoteSeen, *, tick_nano: int, collar_bps: float) -> int:
    """Return a marketable limit no further than the collar from the touch, in 1e-9 USD, a multiple of the tick.

    Rounding goes towards the touch, so that the collar is never exceeded.

    Raises:
        ValueError: The tick is not positive.
    """
    if tick_nano <= 0:
        raise ValueError(f"tick_nano is {tick_nano}; a closing order cannot be priced")
    units = round(collar_bps * 100)
    if side is Side.SELL:
        touch = quote.bid_nano // tick_nano * tick_nano
        floor_nano = -(-quote.bid_nano * (COLLAR_UNITS - units) // COLLAR_UNITS)
        return max(tick_nano, min(touch, -(-floor_nano // tick_nano) * tick_nano))
    touch = -(-quote.ask_nano // tick_nano) * tick_nano
    ceiling_nano = quote.ask_nano * (COLLAR_UNITS + units) // COLLAR_UNITS
    return max(touch, ceiling_nano // tick_nano * tick_nano)


def deferral(
    holding: Holding, *, now_ns: int, link_up: bool, market_open: bool, parameters: FlattenParameters
) -> Deferral | None:
    """Return why the holding may not be closed now, None if it may."""
    side = closing_side(holding.position_micro)
    for stops, reason in (
        (not link_up, Deferral.LINK_DOWN),
        (not market_open, Deferral.MARKET_CLOSED),
        (holding.halted, Deferral.HALTED),
        (side.value in holding.foreign_sides, Deferral.FOREIGN_ORDER),
        (holding.rounds >= parameters.attempts_max, Deferral.ATTEMPTS_EXHAUSTED),
        (_blocked(holding, side, now_ns, parameters), Deferral.ORDER_OPEN),
        (not holding.proven, Deferral.UNPROVEN),
        (
            holding.rounds >= parameters.attempts_fast
            and now_ns - holding.last_round_ns < parameters.slow_retry_s * NANOS_PER_SECOND,
            Deferral.PAUSED,
        ),
        (not _priced(holding, side, now_ns, parameters) and not _market(holding, parameters), Deferral.NO_QUOTE),
    ):
        if stops:
            return reason
    return None


def closes(holding: Holding, *, now_ns: int, parameters: FlattenParameters) -> tuple[Close, ...]:
    """Return the closing orders of a holding that no deferral stops; together never more than is held."""
    side = closing_side(holding.position_micro)
    left = whole_micro(holding.position_micro)
    good_till_ns = (now_ns + parameters.order_s * NANOS_PER_SECOND) // NANOS_PER_SECOND * NANOS_PER_SECOND
    priced = _priced(holding, side, now_ns, parameters)
    limit, slice_micro = MARKET_LIMIT, left
    if priced and holding.quote is not None:
        touch = holding.quote.bid_nano if side is Side.SELL else holding.quote.ask_nano
        shares = max(1, round(parameters.slice_usd_max * PRICE_SCALE) // touch)
        slice_micro = shares * QUANTITY_SCALE
        if not _market(holding, parameters):
            limit = closing_limit(
                side,
                holding.quote,
                tick_nano=holding.tick_nano,
                collar_bps=collar_bps(holding.rounds, parameters),
            )
    found: list[Close] = []
    while left > 0 and len(found) < parameters.slices_max:
        quantity = min(left, slice_micro)
        found.append(
            Close(
                side=side,
                quantity_micro=quantity,
                limit_nano=limit,
                good_till_ns=good_till_ns,
                slice_index=len(found),
            )
        )
        left -= quantity
    return tuple(found)


def _blocked(holding: Holding, side: Side, now_ns: int, parameters: FlattenParameters) -> bool:
    """Return whether an own order stands in the way: for ever in the closing direction, for a while in the other."""
    wait_ns = parameters.cancel_wait_s * NANOS_PER_SECOND
    for order in holding.open_orders:
        cancelled_ns = holding.cancelled_ns.get(order.client_order_id)
        if order.side is side or cancelled_ns is None or now_ns - cancelled_ns < wait_ns:
            return True
    return False


def _priced(holding: Holding, side: Side, now_ns: int, parameters: FlattenParameters) -> bool:
    quote = holding.quote
    if quote is None:
        return False
    touch = quote.bid_nano if side is Side.SELL else quote.ask_nano
    return touch > 0 and now_ns - quote.ts_ns <= parameters.quote_age_s_max * NANOS_PER_SECOND


def _market(holding: Holding, parameters: FlattenParameters) -> bool:
    return 0 < parameters.market_after <= holding.rounds
