"""Owns the checks of the standing of an intent: what stops it whatever its price and size.

The guards on market, orders, repetition and short sales have modules of their own (``guard_*``); ``execution_guards``
asks them all. An intent that only reduces the position passes mode OBSERVE and a moved mid.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from walstreet.domain.guard_verdict import GuardVerdict
from walstreet_events import NANOS_PER_SECOND, Mode, OrderIntent, QuoteSeen

BPS = 10_000.0


class Reason(StrEnum):
    """Stable codes of refusals; dashboards and post-mortems rely on them."""

    INTENT_EXPIRED = "intent_expired"
    DUPLICATE_INTENT = "duplicate_intent"
    PANIC = "panic"
    NOT_ARMED = "not_armed"
    MODE_EMERGENCY = "mode_emergency"
    MODE_OBSERVE = "mode_observe"
    LINK_DOWN = "link_down"
    NO_INSTRUMENT = "no_instrument"
    EXTERNAL_ORDER = "external_order"
    ORDER_UNKNOWN = "order_unknown"
    ORDER_PENDING = "order_pending"
    NO_QUOTE = "no_quote"
    """There is nothing to price an order from."""
    MID_DRIFT = "mid_drift"
    BELOW_ONE_SHARE = "below_one_share"
    BRACKET_UNKNOWN = "bracket_unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why nothing is sent."""

    reason: str
    """Stable code: one of ``Reason``, of a guard's module, or of ``signing``."""
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the standing of an intent depends on."""

    now_ns: int
    mode: Mode
    panic: bool
    unarmed: str
    """Why trading is not armed, empty if it is or needs not be."""
    link_up: bool
    instrument_known: bool
    external: bool
    """A foreign order or fill of the symbol has not been adopted."""
    seen: bool
    """The intent's id has been handled before."""
    pending: bool
    unknown: bool
    """An order of the symbol has an unknown outcome."""
    reducing: bool
    """By the position and the orders at work; the intent's own claim is not used."""


def check_standing(intent: OrderIntent, situation: Situation) -> Refusal | None:
    """Return why ``intent`` may not be sent whatever its price, or None."""
    for refused, reason, detail in (
        (situation.seen, Reason.DUPLICATE_INTENT, f"intent {intent.id} was handled before"),
        (
            situation.now_ns >= intent.expires_ns,
            Reason.INTENT_EXPIRED,
            f"expired {(situation.now_ns - intent.expires_ns) / NANOS_PER_SECOND:.3f} s ago",
        ),
        (situation.panic, Reason.PANIC, "the operator's panic is in force; resume lifts it"),
        (bool(situation.unarmed), Reason.NOT_ARMED, situation.unarmed),
        (situation.mode is Mode.EMERGENCY, Reason.MODE_EMERGENCY, "mode is emergency"),
        (
            situation.mode is Mode.OBSERVE and not situation.reducing,
            Reason.MODE_OBSERVE,
            "mode is observe and the intent does not only reduce",
        ),
        (not situation.link_up, Reason.LINK_DOWN, "the order link to the broker is down"),
        (not situation.instrument_known, Reason.NO_INSTRUMENT, "no reference facts of the instrument"),
        (
            situation.external,
            Reason.EXTERNAL_ORDER,
            "a foreign order or position of the symbol has not been adopted, or still works",
        ),
        (situation.unknown, Reason.ORDER_UNKNOWN, "an order of the symbol has an unknown outcome"),
        (situation.pending, Reason.ORDER_PENDING, "an order of the symbol is still working"),
    ):
        if refused:
            return Refusal(reason=reason.value, detail=detail)
    return None


def check_drift(intent: OrderIntent, quote: QuoteSeen, *, reducing: bool, drift_bps_max: float) -> Refusal | None:
    """Return why ``intent`` may not be sent at the present mid, or None; what only reduces goes at any mid."""
    mid_nano = (quote.bid_nano + quote.ask_nano) / 2.0
    arrival_nano = intent.arrival_mid_nano
    drift_bps = abs(mid_nano - arrival_nano) / arrival_nano * BPS if arrival_nano > 0 else float("inf")
    if reducing or drift_bps <= drift_bps_max:
        return None
    detail = f"mid moved {drift_bps:.2f} bps from the decision's, allowed {drift_bps_max}"
    return Refusal(reason=Reason.MID_DRIFT.value, detail=detail)


def by_guard(verdict: GuardVerdict) -> Refusal:
    """Return a guard's verdict as the refusal that it gives."""
    return Refusal(
        reason=verdict.code, detail=f"{verdict.guard}: {verdict.detail}" if verdict.detail else verdict.guard
    )
