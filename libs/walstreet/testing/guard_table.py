"""Owns what docs/GUARDS.md says of the standing checks, and which kind of test a guard cannot have, with the reason."""

from __future__ import annotations

from walstreet.domain.guards import Reason

STOPS, PASSES = "stops", "passes"

STANDING: dict[Reason, tuple[str, str]] = {
    Reason.INTENT_EXPIRED: ("The intent is past its expiry.", STOPS),
    Reason.DUPLICATE_INTENT: ("The intent was handled before.", STOPS),
    Reason.PANIC: ("An emergency is latched; execution closes the positions itself.", STOPS),
    Reason.NOT_ARMED: ("Live trading is not armed, or the account is not the one that was.", STOPS),
    Reason.MODE_EMERGENCY: ("The mode is EMERGENCY; execution closes the positions itself.", STOPS),
    Reason.MODE_OBSERVE: ("The mode is OBSERVE, by the log or by the block, or is not known.", PASSES),
    Reason.LINK_DOWN: ("The order link is down, or this life did not see it before the intent expired.", STOPS),
    Reason.NO_INSTRUMENT: ("The instrument is not known under this contract.", STOPS),
    Reason.EXTERNAL_ORDER: ("A foreign order, fill or position of the symbol has not been adopted.", STOPS),
    Reason.ORDER_UNKNOWN: ("An order of the symbol has an unknown outcome.", STOPS),
    Reason.ORDER_PENDING: ("An order of the symbol is still at work.", STOPS),
    Reason.NO_QUOTE: (
        "No two-sided quote to price an order from; without any in this life, at the intent's expiry.",
        STOPS,
    ),
    Reason.MID_DRIFT: ("The mid has moved away from the mid of the decision.", PASSES),
    Reason.BELOW_ONE_SHARE: ("The quantity is no whole share.", STOPS),
    Reason.BRACKET_UNKNOWN: (
        "Protection is asked for and its prices are not known, or a life that crashed has used up its ids.",
        PASSES,
    ),
}
"""What each refuses, and what becomes of an order that only reduces."""

FOLDED = "folded from the log: without the log there is no execution"

NOT_NEEDED: dict[tuple[str, str], str] = {
    ("seal", "reduces"): "whoever has no seal is not believed, whatever is asked for; emergencies need no intent",
    ("standing.intent_expired", "missing"): "the block tells its own time, the least that is known",
    ("standing.duplicate_intent", "missing"): FOLDED,
    ("standing.panic", "missing"): FOLDED,
    ("standing.mode_emergency", "missing"): "without a mode it is OBSERVE",
    ("standing.external_order", "missing"): FOLDED,
    ("standing.order_pending", "missing"): FOLDED,
}
"""Kinds of tests that a guard cannot have: its name and the kind, with the reason."""
