"""Owns the margin gate: a journaled answer of the broker to a what-if decides whether a parent order may be sent.

``initial margin after <= .85 * equity with loan after`` and ``available funds after >= 1,000 USD``. The broker's
protocol says *unset* as the largest double, as text or as a number, and gateways that speak protobuf say 0.0; all of
these, NaN, infinities, empty and damaged fields mean *unknown*, and unknown is refused. Where the broker does not name
the available funds they are equity with loan minus initial margin, its own definition; where it does, the smaller of
the two counts. No answer within five seconds is a refusal, and so is one that comes later.

Orders that only reduce |position| bypass the gate: they free margin, and need no what-if.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum

import msgspec

from walstreet.domain.bounds import require_between, require_ordered
from walstreet.domain.guard_verdict import (
    Finding,
    GuardedOrder,
    GuardVerdict,
    Measure,
    guard,
    nano_of_usd,
    nanos,
    seconds,
    share_of,
    usd,
)
from walstreet_events import PRICE_SCALE, Side

AMOUNT_ABS_MAX_USD = Decimal(10) ** 15
"""A larger amount is a sentinel or damage; the protocol's is 1.7976931348623157e308."""


class MarginReason(StrEnum):
    """Stable codes of the margin gate."""

    MARGIN_NOT_ASKED = "margin_not_asked"
    MARGIN_PENDING = "margin_pending"
    """No answer yet, and still time for one: wait, send nothing."""
    MARGIN_TIMEOUT = "margin_timeout"
    MARGIN_MISMATCH = "margin_mismatch"
    """The answer is for another order."""
    MARGIN_STALE = "margin_stale"
    MARGIN_UNKNOWN = "margin_unknown"
    INITIAL_MARGIN = "initial_margin"
    AVAILABLE_FUNDS = "available_funds"


class MarginParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of the account an order may use."""

    enabled: bool = True
    """Ask the broker before every parent that does not only reduce; without it no margin is judged."""
    initial_margin_share_max: float = 0.85
    """Of equity with loan."""
    available_funds_usd_min: float = 1_000.0
    timeout_s: float = 5.0
    answer_age_s_max: float = 15.0
    """An answer is good for one decision, not for a later one: the account moves."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges and contradictions."""
        require_between("margin", "initial_margin_share_max", self.initial_margin_share_max, 0.01, 1.0)
        require_between("margin", "available_funds_usd_min", self.available_funds_usd_min, 0.0, 1e9)
        require_between("margin", "timeout_s", self.timeout_s, 0.1, 60.0)
        require_between("margin", "answer_age_s_max", self.answer_age_s_max, 0.1, 300.0)
        require_ordered("margin", ("timeout_s", self.timeout_s), ("answer_age_s_max", self.answer_age_s_max))


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginAnswer:
    """The broker's answer in 1e-9 USD; None where it gave no number that means anything."""

    ts_ns: int
    """When it arrived."""
    initial_margin_after_nano: int | None
    equity_with_loan_after_nano: int | None
    available_funds_after_nano: int | None
    """None also where the broker does not name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """One what-if: what was asked about, when, and the answer so far."""

    intent: str
    symbol: str
    side: Side
    quantity_micro: int
    asked_ns: int
    answer: MarginAnswer | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginFacts:
    """What the gate looks at."""

    now_ns: int
    intent: str
    order: GuardedOrder
    what_if: WhatIf | None


def amount_nano(raw: str | float | None) -> int | None:
    """Return an amount of a what-if in 1e-9 USD, rounded half to even, or None where it is unset.

    Zero is unset: gateways that speak protobuf send 0.0 for what they do not know, and an order that opens anything
    leaves neither its margin nor the account's equity at exactly nothing.
    """
    if raw is None:
        return None
    try:
        # Through text, so that a float gives the decimal that was meant.
        value = Decimal(str(raw).strip())
    except InvalidOperation:
        return None
    if not value.is_finite() or value == 0 or abs(value) > AMOUNT_ABS_MAX_USD:
        return None
    return int((value * PRICE_SCALE).to_integral_value())


def margin_answer(
    *,
    ts_ns: int,
    initial_margin_after: str | float | None,
    equity_with_loan_after: str | float | None,
    available_funds_after: str | float | None = None,
) -> MarginAnswer:
    """Return the answer from the values as they came over the wire, in USD."""
    return MarginAnswer(
        ts_ns=ts_ns,
        initial_margin_after_nano=amount_nano(initial_margin_after),
        equity_with_loan_after_nano=amount_nano(equity_with_loan_after),
        available_funds_after_nano=amount_nano(available_funds_after),
    )


@guard("margin", bypass=True)
def check_margin_guard(facts: MarginFacts, parameters: MarginParameters) -> Finding:
    """Refuse what the broker's what-if does not clearly allow."""
    what_if = facts.what_if
    if what_if is None:
        return Finding(reason=MarginReason.MARGIN_NOT_ASKED)
    order = facts.order
    asked_about = (what_if.intent, what_if.symbol, what_if.side, what_if.quantity_micro)
    if asked_about != (facts.intent, order.symbol, order.side, order.quantity_micro):
        return Finding(
            reason=MarginReason.MARGIN_MISMATCH,
            note=f"asked about {what_if.side.value} {what_if.quantity_micro} {what_if.symbol} of {what_if.intent}",
        )
    answer = what_if.answer
    reason = _timing(facts.now_ns, what_if, parameters)
    if reason is not None or answer is None:
        waited_ns = (facts.now_ns if answer is None else answer.ts_ns) - what_if.asked_ns
        return Finding(
            reason=reason, measures=(Measure(name="latency_s", value=seconds(waited_ns), limit=parameters.timeout_s),)
        )
    return _judge(answer, parameters)


def _timing(now_ns: int, what_if: WhatIf, parameters: MarginParameters) -> MarginReason | None:
    """Return what is wrong with the time of the answer, or None."""
    timeout_ns = nanos(parameters.timeout_s)
    if what_if.answer is None:
        waiting = 0 <= now_ns - what_if.asked_ns < timeout_ns
        return MarginReason.MARGIN_PENDING if waiting else MarginReason.MARGIN_TIMEOUT
    if not 0 <= what_if.answer.ts_ns - what_if.asked_ns <= timeout_ns:
        return MarginReason.MARGIN_TIMEOUT
    if not 0 <= now_ns - what_if.answer.ts_ns <= nanos(parameters.answer_age_s_max):
        return MarginReason.MARGIN_STALE
    return None


def _known(amount: int | None) -> int | None:
    """Return an amount, None for the zero that an answer built elsewhere may still carry."""
    return amount or None


def _judge(answer: MarginAnswer, parameters: MarginParameters) -> Finding:
    initial = _known(answer.initial_margin_after_nano)
    equity = _known(answer.equity_with_loan_after_nano)
    if initial is None or equity is None or initial < 0:
        return Finding(
            reason=MarginReason.MARGIN_UNKNOWN,
            measures=(
                Measure(name="initial_margin_after_usd", value=None if initial is None else usd(initial)),
                Measure(name="equity_with_loan_after_usd", value=None if equity is None else usd(equity)),
            ),
        )
    named = _known(answer.available_funds_after_nano)
    available = equity - initial if named is None else min(named, equity - initial)
    limit, least = (
        share_of(equity, parameters.initial_margin_share_max),
        nano_of_usd(parameters.available_funds_usd_min),
    )
    reason = None
    if initial > limit:
        reason = MarginReason.INITIAL_MARGIN
    elif available < least:
        reason = MarginReason.AVAILABLE_FUNDS
    return Finding(
        reason=reason,
        measures=(
            Measure(name="initial_margin_after_usd", value=usd(initial), limit=usd(limit)),
            Measure(name="equity_with_loan_after_usd", value=usd(equity)),
            Measure(name="available_funds_after_usd", value=usd(available), limit=usd(least)),
        ),
    )


def needs_what_if(order: GuardedOrder) -> bool:
    """Return whether the broker must be asked before ``order`` may be sent."""
    return not order.reducing


def inactive_guards(parameters: MarginParameters) -> tuple[str, ...]:
    """Return the gate's name where it is switched off, for the start and the dashboard."""
    return () if parameters.enabled else ("margin",)


def check_margin(facts: MarginFacts, parameters: MarginParameters) -> GuardVerdict:
    """Return the gate's verdict."""
    return check_margin_guard(facts, parameters)
