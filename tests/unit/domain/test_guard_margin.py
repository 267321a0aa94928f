"""Owns the tests of the margin gate: limits, sentinels, time-outs, answers for other orders, and reduction."""

import dataclasses

import pytest

from walstreet.domain.guard_margin import (
    MarginFacts,
    MarginParameters,
    MarginReason,
    WhatIf,
    amount_nano,
    check_margin,
    margin_answer,
    needs_what_if,
)
from walstreet.domain.guard_verdict import GuardedOrder, Outcome
from walstreet_events import NANOS_PER_SECOND, Side

S = NANOS_PER_SECOND
SHARE = 1_000_000
USD = 1_000_000_000
NOW = 1_800_000_000 * S
DEFAULTS = MarginParameters()
ORDER = GuardedOrder(symbol="A", side=Side.BUY, quantity_micro=100 * SHARE, limit_nano=100 * USD, position_micro=0)
EXIT = dataclasses.replace(ORDER, side=Side.SELL, position_micro=100 * SHARE)
ASKED = WhatIf(intent="i1", symbol="A", side=Side.BUY, quantity_micro=100 * SHARE, asked_ns=NOW - 2 * S, answer=None)
UNSET = "1.7976931348623157e308"


def answered(initial="50000", equity="100000", available=None, *, latency_s=1.0, asked_s=2.0) -> MarginFacts:
    """Return facts with an answer that came ``latency_s`` after the question, asked ``asked_s`` ago."""
    asked_ns = NOW - round(asked_s * S)
    answer = margin_answer(
        ts_ns=asked_ns + round(latency_s * S),
        initial_margin_after=initial,
        equity_with_loan_after=equity,
        available_funds_after=available,
    )
    what_if = dataclasses.replace(ASKED, asked_ns=asked_ns, answer=answer)
    return MarginFacts(now_ns=NOW, intent="i1", order=ORDER, what_if=what_if)


@pytest.mark.guard("blocks", "margin")
@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (answered(initial="85000.000000001"), MarginReason.INITIAL_MARGIN),
        (answered(initial="5000", equity="5999.99"), MarginReason.AVAILABLE_FUNDS),
        (answered(initial="5000", equity="5999.99", available="50000"), MarginReason.AVAILABLE_FUNDS),
        (answered(available="999.99"), MarginReason.AVAILABLE_FUNDS),
        (answered(equity="-1000"), MarginReason.INITIAL_MARGIN),
    ],
)
def test_the_gate_blocks(facts, reason):
    """Too much initial margin, or too little left: by the broker's number or by equity minus margin, the smaller."""
    verdict = check_margin(facts, DEFAULTS)
    assert (verdict.outcome, verdict.reason) == (Outcome.REFUSED, reason)
    assert [item.name for item in verdict.measures] == [
        "initial_margin_after_usd",
        "equity_with_loan_after_usd",
        "available_funds_after_usd",
    ]


@pytest.mark.guard("passes", "margin")
@pytest.mark.parametrize(
    "facts",
    [
        answered(initial="85000"),
        answered(initial="5000", equity="6000"),
        answered(available="1000"),
        answered(latency_s=5.0, asked_s=20.0),
        answered(initial=50_000.0, equity=100_000.0, available=50_000.0),
    ],
)
def test_the_gate_does_not_block_at_its_limits(facts):
    """85 % of equity, exactly 1,000 left, an answer after exactly 5 s and 15 s old; floats as well as text."""
    assert check_margin(facts, DEFAULTS).outcome is Outcome.PASSED


@pytest.mark.guard("missing", "margin")
@pytest.mark.parametrize(
    "raw",
    [None, "", UNSET, float(UNSET), "0.0", 0.0, 0, "-0.0", "nan", float("nan"), "inf", float("-inf"), "n/a", "1e16"],
)
def test_unset_values_are_unknown_and_refused(raw):
    """The largest double as text or number, zero from protobuf gateways, NaN, damage: unknown in every field."""
    assert amount_nano(raw) is None
    for facts in (answered(initial=raw), answered(equity=raw)):
        verdict = check_margin(facts, DEFAULTS)
        assert (verdict.outcome, verdict.reason) == (Outcome.REFUSED, MarginReason.MARGIN_UNKNOWN)
    assert check_margin(answered(available=raw), DEFAULTS).allowed, "available funds then follow from the other two"


def test_zero_in_a_ready_made_answer_is_unknown_too():
    """A journaled answer that carries 0 is treated like the wire's 0.0; a negative margin is damage."""
    facts = answered()
    for field, value in (
        ("initial_margin_after_nano", 0),
        ("equity_with_loan_after_nano", 0),
        ("initial_margin_after_nano", -1),
    ):
        assert facts.what_if is not None
        assert facts.what_if.answer is not None
        answer = dataclasses.replace(facts.what_if.answer, **{field: value})
        changed = dataclasses.replace(facts, what_if=dataclasses.replace(facts.what_if, answer=answer))
        assert check_margin(changed, DEFAULTS).reason is MarginReason.MARGIN_UNKNOWN


def test_amounts_are_exact():
    """Text and float give the decimal that was meant."""
    assert amount_nano("123.456789012") == 123_456_789_012
    assert amount_nano(0.1) == 100_000_000
    assert amount_nano(" 1e3 ") == 1_000 * USD
    assert amount_nano("-5") == -5 * USD


@pytest.mark.parametrize(
    ("waited_s", "reason"),
    [(0.0, MarginReason.MARGIN_PENDING), (4.999, MarginReason.MARGIN_PENDING), (5.0, MarginReason.MARGIN_TIMEOUT)],
)
def test_silence_is_pending_and_then_a_timeout(waited_s, reason):
    """Nothing is sent while the broker is silent; after 5 s it is final."""
    what_if = dataclasses.replace(ASKED, asked_ns=NOW - round(waited_s * S))
    verdict = check_margin(MarginFacts(now_ns=NOW, intent="i1", order=ORDER, what_if=what_if), DEFAULTS)
    assert (verdict.outcome, verdict.reason) == (Outcome.REFUSED, reason)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (answered(latency_s=5.001, asked_s=6.0), MarginReason.MARGIN_TIMEOUT),
        (answered(latency_s=-0.1), MarginReason.MARGIN_TIMEOUT),
        (answered(latency_s=1.0, asked_s=16.1), MarginReason.MARGIN_STALE),
        (answered(latency_s=3.0, asked_s=2.0), MarginReason.MARGIN_STALE),
    ],
)
def test_late_and_old_answers_are_refused(facts, reason):
    """An answer after the time-out, before the question, from the future or of another moment decides nothing."""
    assert check_margin(facts, DEFAULTS).reason is reason


@pytest.mark.parametrize(
    "changes", [{"intent": "i2"}, {"symbol": "B"}, {"side": Side.SELL}, {"quantity_micro": 99 * SHARE}]
)
def test_the_answer_must_be_for_this_order(changes):
    """An answer about anything else is a mismatch."""
    facts = answered()
    assert facts.what_if is not None
    changed = dataclasses.replace(facts, what_if=dataclasses.replace(facts.what_if, **changes))
    assert check_margin(changed, DEFAULTS).reason is MarginReason.MARGIN_MISMATCH


def test_without_a_what_if_nothing_opens():
    """A parent order that was not asked about is refused."""
    facts = MarginFacts(now_ns=NOW, intent="i1", order=ORDER, what_if=None)
    assert check_margin(facts, DEFAULTS).reason is MarginReason.MARGIN_NOT_ASKED
    assert needs_what_if(ORDER)


@pytest.mark.guard("reduces", "margin")
def test_an_order_that_only_reduces_is_not_trapped():
    """It needs no what-if, and passes a hopeless one."""
    assert not needs_what_if(EXIT)
    for what_if in (None, ASKED, answered(initial="999999").what_if):
        facts = MarginFacts(now_ns=NOW, intent="i1", order=EXIT, what_if=what_if)
        assert check_margin(facts, DEFAULTS).outcome is Outcome.BYPASSED


@pytest.mark.parametrize("changes", [{"initial_margin_share_max": 1.1}, {"timeout_s": 0.0}, {"answer_age_s_max": 1.0}])
def test_parameters_out_of_range_are_refused(changes):
    """An answer must stay good for at least the time in which it may come."""
    with pytest.raises(ValueError, match=r"margin\."):
        MarginParameters(**changes)
