"""Owns the checks that stand between an intent and an order; each refusal is a value with a stable reason code.

A guard that lacks what it needs refuses. Intents that only reduce the position pass the guards that would
trap them in it: mode OBSERVE, spread, drift of the mid, size limits and the orders-a-minute budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet_events import NANOS_PER_SECOND, PRICE_SCALE, QUANTITY_SCALE, Mode, OrderIntent, QuoteSeen

BPS = 10_000.0


class Reason(StrEnum):
    """Stable codes of refusals; dashboards and post-mortems rely on them."""

    INTENT_EXPIRED = "intent_expired"
    DUPLICATE_INTENT = "duplicate_intent"
    PANIC = "panic"
    MODE_EMERGENCY = "mode_emergency"
    MODE_OBSERVE = "mode_observe"
    LINK_DOWN = "link_down"
    SESSION_CLOSED = "session_closed"
    NO_INSTRUMENT = "no_instrument"
    HALTED = "halted"
    EXTERNAL_ORDER = "external_order"
    ORDER_UNKNOWN = "order_unknown"
    ORDER_PENDING = "order_pending"
    NO_QUOTE = "no_quote"
    STALE_QUOTE = "stale_quote"
    STALE_FEED = "stale_feed"
    CROSSED_QUOTE = "crossed_quote"
    WIDE_SPREAD = "wide_spread"
    MID_DRIFT = "mid_drift"
    PRICE_COLLAR = "price_collar"
    BELOW_ONE_SHARE = "below_one_share"
    MAX_SHARES = "max_shares"
    MAX_NOTIONAL = "max_notional"
    ORDER_BUDGET = "order_budget"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why nothing is sent."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the guards look at besides the intent and its quote."""

    now_ns: int
    mode: Mode
    panic: bool
    link_up: bool
    session_open_ns: int
    """0 before the session is known."""
    session_close_ns: int
    instrument_known: bool
    halted: bool
    external: bool
    """A foreign order or fill of the symbol has not been adopted."""
    seen: bool
    """The intent's id has been handled before."""
    pending: bool
    unknown: bool
    """An order of the symbol has an unknown outcome."""
    reducing: bool
    """The intent says that it only reduces, and the known position does not contradict."""
    feed_ts_ns: int
    """Time of the latest quote of any symbol, 0 before the first."""
    orders_last_minute: int


def check_standing(intent: OrderIntent, situation: Situation, parameters: ExecutionParameters) -> Refusal | None:
    """Return why ``intent`` may not be sent whatever its price, or None."""
    for refused, reason, detail in (
        (situation.seen, Reason.DUPLICATE_INTENT, f"intent {intent.id} was handled before"),
        (
            situation.now_ns >= intent.expires_ns,
            Reason.INTENT_EXPIRED,
            f"expired {(situation.now_ns - intent.expires_ns) / NANOS_PER_SECOND:.3f} s ago",
        ),
        (situation.panic, Reason.PANIC, "the operator's panic is in force; resume lifts it"),
        (situation.mode is Mode.EMERGENCY, Reason.MODE_EMERGENCY, "mode is emergency"),
        (
            situation.mode is Mode.OBSERVE and not situation.reducing,
            Reason.MODE_OBSERVE,
            "mode is observe and the intent does not only reduce",
        ),
        (not situation.link_up, Reason.LINK_DOWN, "the order link to the broker is down"),
        (
            not situation.session_open_ns <= situation.now_ns < situation.session_close_ns,
            Reason.SESSION_CLOSED,
            f"session is {situation.session_open_ns} to {situation.session_close_ns}, now {situation.now_ns}",
        ),
        (not situation.instrument_known, Reason.NO_INSTRUMENT, "no reference facts of the instrument"),
        (situation.halted, Reason.HALTED, "trading in the symbol is halted"),
        (situation.external, Reason.EXTERNAL_ORDER, "a foreign order of the symbol has not been adopted"),
        (situation.unknown, Reason.ORDER_UNKNOWN, "an order of the symbol has an unknown outcome"),
        (situation.pending, Reason.ORDER_PENDING, "an order of the symbol is still working"),
        (
            situation.orders_last_minute >= parameters.orders_per_minute_max and not situation.reducing,
            Reason.ORDER_BUDGET,
            f"{situation.orders_last_minute} orders in the last minute, allowed {parameters.orders_per_minute_max}",
        ),
    ):
        if refused:
            return Refusal(reason=reason, detail=detail)
    return None


def check_quote(
    intent: OrderIntent, quote: QuoteSeen | None, situation: Situation, parameters: ExecutionParameters
) -> Refusal | None:
    """Return why no order may be priced from ``quote``, or None."""
    if quote is None or quote.bid_nano <= 0 or quote.ask_nano <= 0:
        return Refusal(reason=Reason.NO_QUOTE, detail="no two-sided quote has been seen")
    stale = _check_age(quote, situation, parameters)
    if stale is not None:
        return stale
    if quote.bid_nano >= quote.ask_nano:
        return Refusal(reason=Reason.CROSSED_QUOTE, detail=f"bid {quote.bid_nano} is not below ask {quote.ask_nano}")
    if situation.reducing:
        return None
    return _check_market(intent, quote, parameters)


def _check_age(quote: QuoteSeen, situation: Situation, parameters: ExecutionParameters) -> Refusal | None:
    feed_age_s = (situation.now_ns - situation.feed_ts_ns) / NANOS_PER_SECOND
    if not 0.0 <= feed_age_s <= parameters.feed_age_s_max:
        return Refusal(
            reason=Reason.STALE_FEED,
            detail=f"last quote of any symbol is {feed_age_s:.3f} s old, allowed {parameters.feed_age_s_max}",
        )
    age_s = (situation.now_ns - quote.ts_ns) / NANOS_PER_SECOND
    if not 0.0 <= age_s <= parameters.quote_age_s_max:
        return Refusal(
            reason=Reason.STALE_QUOTE, detail=f"quote is {age_s:.3f} s old, allowed {parameters.quote_age_s_max}"
        )
    return None


def _check_market(intent: OrderIntent, quote: QuoteSeen, parameters: ExecutionParameters) -> Refusal | None:
    mid_nano = (quote.bid_nano + quote.ask_nano) / 2.0
    spread_bps = (quote.ask_nano - quote.bid_nano) / mid_nano * BPS
    if spread_bps > parameters.spread_bps_max:
        return Refusal(
            reason=Reason.WIDE_SPREAD,
            detail=f"spread {spread_bps:.2f} bps, allowed {parameters.spread_bps_max}",
        )
    drift_bps = _distance_bps(mid_nano, intent.arrival_mid_nano)
    if intent.arrival_mid_nano <= 0 or drift_bps > parameters.collar_bps:
        return Refusal(
            reason=Reason.MID_DRIFT,
            detail=f"mid moved {drift_bps:.2f} bps from the decision's, allowed {parameters.collar_bps}",
        )
    return None


def check_child(
    *, quantity_micro: int, limit_nano: int, quote: QuoteSeen, reducing: bool, parameters: ExecutionParameters
) -> Refusal | None:
    """Return why a planned child may not be sent, or None; the collar has no exception."""
    if quantity_micro < QUANTITY_SCALE:
        return Refusal(reason=Reason.BELOW_ONE_SHARE, detail=f"{quantity_micro} micro-shares is no whole share")
    mid_nano = (quote.bid_nano + quote.ask_nano) / 2.0
    distance_bps = _distance_bps(limit_nano, mid_nano)
    # An order that only reduces may meet a wide spread, whose far touch is then the farthest sane price.
    half_spread_bps = (quote.ask_nano - quote.bid_nano) / 2.0 / mid_nano * BPS
    allowed_bps = max(parameters.collar_bps, half_spread_bps) if reducing else parameters.collar_bps
    if limit_nano <= 0 or distance_bps > allowed_bps * (1.0 + 1e-9):
        return Refusal(
            reason=Reason.PRICE_COLLAR,
            detail=f"limit {limit_nano} is {distance_bps:.2f} bps from the mid, allowed {allowed_bps:.2f}",
        )
    if reducing:
        return None
    shares = quantity_micro // QUANTITY_SCALE
    if shares > parameters.order_shares_max:
        return Refusal(reason=Reason.MAX_SHARES, detail=f"{shares} shares, allowed {parameters.order_shares_max}")
    notional_usd = shares * (limit_nano / PRICE_SCALE)
    if notional_usd > parameters.order_notional_usd_max:
        return Refusal(
            reason=Reason.MAX_NOTIONAL,
            detail=f"{notional_usd:.2f} USD, allowed {parameters.order_notional_usd_max}",
        )
    return None


def _distance_bps(price_nano: float, reference_nano: float) -> float:
    if reference_nano <= 0:
        return float("inf")
    return abs(price_nano - reference_nano) / reference_nano * BPS
