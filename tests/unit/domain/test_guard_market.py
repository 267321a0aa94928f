"""Owns the tests of the market guards: each where it blocks, where it must not, without its data, and for reduction."""

import dataclasses

import pytest

from walstreet.domain.guard_market import (
    EVENT_TIMES_MAX,
    MARKET_GUARDS,
    HaltState,
    MarketFacts,
    MarketGuardParameters,
    MarketReason,
    check_blackout,
    check_market,
    check_price_collar,
    check_quote_age,
    check_spread,
    halt_state,
    inactive_guards,
)
from walstreet.domain.guard_verdict import GuardedOrder, Outcome, first_refusal
from walstreet_events import NANOS_PER_SECOND, QuoteSeen, Side

S = NANOS_PER_SECOND
SHARE = 1_000_000
USD = 1_000_000_000
NOW = 1_800_000_000 * S
PARAMETERS = MarketGuardParameters(earnings_configured=True, news_configured=True)
BUY = GuardedOrder(symbol="A", side=Side.BUY, quantity_micro=100 * SHARE, limit_nano=100_050_000_000, position_micro=0)
EXIT = GuardedOrder(
    symbol="A", side=Side.SELL, quantity_micro=100 * SHARE, limit_nano=100_000_000_000, position_micro=100 * SHARE
)
REASONS = {row.name: row for row in MARKET_GUARDS}


def quote(bid=100_000_000_000, ask=100_100_000_000, age_s=1.0) -> QuoteSeen:
    """Return a quote 10 bps wide around 100.05 unless told otherwise."""
    return QuoteSeen(
        bid_nano=bid, ask_nano=ask, bid_size_micro=SHARE, ask_size_micro=SHARE, ts_ns=NOW - round(age_s * S), seq=1
    )


GOOD = MarketFacts(
    now_ns=NOW,
    order=BUY,
    quote=quote(),
    feed_ts_ns=NOW - S // 2,
    data_type="live",
    session_open_ns=NOW - 3_600 * S,
    session_close_ns=NOW + 3_600 * S,
    halt=HaltState.TRADING,
    average_daily_volume_micro=1_000_000 * SHARE,
    prior_close_nano=100 * USD,
    earnings_ns=(),
    news_ns=(),
    volume_micro=40_000 * SHARE,
    volume_typical_micro=10_000 * SHARE,
    sigma_5m_bps=20.0,
)

BLOCKS = [
    ("session", {"session_open_ns": NOW + 1}, MarketReason.SESSION_CLOSED),
    ("session", {"session_close_ns": NOW}, MarketReason.SESSION_CLOSED),
    ("halt", {"halt": HaltState.HALTED}, MarketReason.HALTED),
    ("halt", {"halt": HaltState.LULD_PAUSE}, MarketReason.LULD_PAUSE),
    ("blackout", {"session_open_ns": NOW - 180 * S + 1}, MarketReason.BLACKOUT_OPEN),
    ("blackout", {"session_close_ns": NOW + 120 * S}, MarketReason.BLACKOUT_CLOSE),
    ("data_type", {"data_type": "delayed"}, MarketReason.DATA_NOT_LIVE),
    ("data_type", {"data_type": "frozen"}, MarketReason.DATA_NOT_LIVE),
    ("quote_age", {"feed_ts_ns": NOW - S - 1}, MarketReason.STALE_FEED),
    ("quote_age", {"feed_ts_ns": NOW + 1}, MarketReason.STALE_FEED),
    ("quote_age", {"quote": quote(age_s=60.1)}, MarketReason.STALE_QUOTE),
    ("quote_age", {"quote": quote(age_s=-0.1)}, MarketReason.STALE_QUOTE),
    ("locked_crossed", {"quote": quote(bid=100 * USD, ask=100 * USD)}, MarketReason.LOCKED_QUOTE),
    ("locked_crossed", {"quote": quote(bid=100 * USD + 1, ask=100 * USD)}, MarketReason.CROSSED_QUOTE),
    ("spread", {"quote": quote(bid=99_939_999_999, ask=100_060_000_001)}, MarketReason.WIDE_SPREAD),
    ("spread", {"quote": quote(bid=99 * USD, ask=101 * USD)}, MarketReason.IMPLAUSIBLE_SPREAD),
    ("spread", {"quote": quote(bid=100 * USD, ask=100 * USD + 1_000)}, MarketReason.IMPLAUSIBLE_SPREAD),
    ("adv", {"average_daily_volume_micro": 99_999 * SHARE}, MarketReason.LOW_ADV),
    ("earnings", {"earnings_ns": (NOW - 4 * 900 * S, NOW + 900 * S - 1)}, MarketReason.EARNINGS_BLACKOUT),
    ("earnings", {"earnings_ns": (NOW - 900 * S + 1,)}, MarketReason.EARNINGS_BLACKOUT),
    ("news", {"news_ns": (NOW - 600 * S + 1,)}, MarketReason.NEWS_BLACKOUT),
    ("volume_spike", {"volume_micro": 50_001 * SHARE}, MarketReason.VOLUME_SPIKE),
    ("volatility", {"sigma_5m_bps": 150.1}, MarketReason.HIGH_VOLATILITY),
    ("price_collar", {"order": dataclasses.replace(BUY, limit_nano=100_550_250_001)}, MarketReason.PRICE_COLLAR),
    ("price_collar", {"order": dataclasses.replace(BUY, limit_nano=99_549_749_999)}, MarketReason.PRICE_COLLAR),
    ("price_collar", {"order": dataclasses.replace(BUY, limit_nano=0)}, MarketReason.PRICE_COLLAR),
    ("price_collar", {"order": dataclasses.replace(BUY, limit_nano=None)}, MarketReason.UNPRICED_ORDER),
]

MISSING = [
    ("session", {"session_open_ns": None}, MarketReason.SESSION_UNKNOWN),
    ("halt", {"halt": None}, MarketReason.HALT_UNKNOWN),
    ("blackout", {"session_close_ns": None}, MarketReason.SESSION_UNKNOWN),
    ("data_type", {"data_type": None}, MarketReason.DATA_TYPE_UNKNOWN),
    ("data_type", {"data_type": "unknown"}, MarketReason.DATA_TYPE_UNKNOWN),
    ("quote_age", {"quote": None}, MarketReason.NO_QUOTE),
    ("quote_age", {"quote": quote(bid=0)}, MarketReason.NO_QUOTE),
    ("quote_age", {"feed_ts_ns": None}, MarketReason.FEED_UNKNOWN),
    ("locked_crossed", {"quote": None}, MarketReason.NO_QUOTE),
    ("spread", {"quote": quote(ask=0)}, MarketReason.SPREAD_UNKNOWN),
    ("adv", {"average_daily_volume_micro": None}, MarketReason.ADV_UNKNOWN),
    ("adv", {"average_daily_volume_micro": 0}, MarketReason.ADV_UNKNOWN),
    ("adv", {"prior_close_nano": None}, MarketReason.ADV_UNKNOWN),
    ("earnings", {"earnings_ns": None}, MarketReason.EARNINGS_UNKNOWN),
    ("news", {"news_ns": None}, MarketReason.NEWS_UNKNOWN),
    ("volume_spike", {"volume_micro": None}, MarketReason.VOLUME_UNKNOWN),
    ("volume_spike", {"volume_typical_micro": 0}, MarketReason.VOLUME_UNKNOWN),
    ("volatility", {"sigma_5m_bps": None}, MarketReason.VOLATILITY_UNKNOWN),
    ("volatility", {"sigma_5m_bps": float("nan")}, MarketReason.VOLATILITY_UNKNOWN),
    ("volatility", {"sigma_5m_bps": 0.0}, MarketReason.VOLATILITY_UNKNOWN),
    ("price_collar", {"quote": None}, MarketReason.PRICE_COLLAR_UNKNOWN),
    ("price_collar", {"quote": quote(age_s=61.0)}, MarketReason.PRICE_COLLAR_UNKNOWN),
    ("price_collar", {"quote": quote(bid=101 * USD)}, MarketReason.PRICE_COLLAR_UNKNOWN),
]

PASSES = [
    ("session", {"session_open_ns": NOW}),
    ("session", {"session_close_ns": NOW + 1}),
    ("halt", {}),
    ("blackout", {"session_open_ns": NOW - 180 * S}),
    ("blackout", {"session_close_ns": NOW + 120 * S + 1}),
    ("data_type", {}),
    ("quote_age", {"feed_ts_ns": NOW - S, "quote": quote(age_s=60.0)}),
    ("locked_crossed", {"quote": quote(bid=100 * USD - 1, ask=100 * USD)}),
    ("spread", {"quote": quote(bid=99_940_000_000, ask=100_060_000_000)}),
    ("spread", {"quote": quote(bid=999_995_000_000, ask=1_000_005_000_000)}),
    ("adv", {"average_daily_volume_micro": 100_000 * SHARE}),
    ("earnings", {"earnings_ns": (NOW - 900 * S, NOW + 900 * S)}),
    ("news", {"news_ns": (NOW - 600 * S, NOW + 600 * S)}),
    ("volume_spike", {"volume_micro": 50_000 * SHARE}),
    ("volume_spike", {"volume_micro": 0}),
    ("volatility", {"sigma_5m_bps": 150.0}),
    ("price_collar", {"order": dataclasses.replace(BUY, limit_nano=100_550_250_000)}),
    ("price_collar", {"order": dataclasses.replace(BUY, limit_nano=99_549_750_000)}),
]


@pytest.mark.guard("blocks")
@pytest.mark.parametrize(("name", "changes", "reason"), BLOCKS)
def test_a_guard_blocks(name, changes, reason):
    """Each guard refuses an opening order just beyond its limit, with its reason and the numbers behind it."""
    verdict = REASONS[name](dataclasses.replace(GOOD, **changes), PARAMETERS)
    assert (verdict.outcome, verdict.reason, verdict.guard) == (Outcome.REFUSED, reason, name)
    assert verdict.measures or verdict.note


@pytest.mark.guard("passes")
@pytest.mark.parametrize(("name", "changes"), PASSES)
def test_a_guard_does_not_block_at_its_limit(name, changes):
    """Each guard lets an opening order pass exactly at its limit."""
    verdict = REASONS[name](dataclasses.replace(GOOD, **changes), PARAMETERS)
    assert (verdict.outcome, verdict.reason) == (Outcome.PASSED, None)


@pytest.mark.guard("missing")
@pytest.mark.parametrize(("name", "changes", "reason"), MISSING)
def test_missing_data_refuse_with_their_own_reason(name, changes, reason):
    """What a guard does not know it refuses, and says that it did not know."""
    verdict = REASONS[name](dataclasses.replace(GOOD, **changes), PARAMETERS)
    assert (verdict.outcome, verdict.reason) == (Outcome.REFUSED, reason)


@pytest.mark.guard("reduces")
@pytest.mark.parametrize(("name", "changes", "reason"), [*BLOCKS, *MISSING])
def test_an_order_that_only_reduces_is_not_trapped(name, changes, reason):
    """It passes every guard but a known halt, a known closed session, and a wild price against a fresh quote."""
    changed = changes.get("order")
    order = EXIT if changed is None else dataclasses.replace(EXIT, limit_nano=changed.limit_nano)
    verdict = REASONS[name](dataclasses.replace(GOOD, **{**changes, "order": order}), PARAMETERS)
    hard = reason in {
        MarketReason.SESSION_CLOSED,
        MarketReason.HALTED,
        MarketReason.LULD_PAUSE,
        MarketReason.PRICE_COLLAR,
    }
    assert (verdict.outcome, verdict.reason) == (Outcome.REFUSED if hard else Outcome.BYPASSED, reason)


def test_every_guard_is_tried_here():
    """No guard is without a case that blocks, passes and lacks data."""
    names = {row.name for row in MARKET_GUARDS}
    assert {case[0] for case in BLOCKS} == {case[0] for case in PASSES} == {case[0] for case in MISSING} == names


def test_a_good_market_refuses_nothing_and_a_bad_one_names_the_first_guard():
    """All verdicts are given, and the first refusal follows the order of the table."""
    assert first_refusal(check_market(GOOD, PARAMETERS)) is None
    bad = dataclasses.replace(GOOD, quote=None, halt=HaltState.HALTED, sigma_5m_bps=None)
    verdicts = check_market(bad, PARAMETERS)
    assert [verdict.guard for verdict in verdicts] == [row.name for row in MARKET_GUARDS]
    refusal = first_refusal(verdicts)
    assert refusal is not None
    assert refusal.reason is MarketReason.HALTED


def test_a_market_order_and_a_far_touch_may_leave_a_position():
    """Reducing, a market order passes, and a limit passes up to the far touch of a wide but fresh quote."""
    wide = quote(bid=99 * USD, ask=101 * USD)
    market = dataclasses.replace(GOOD, order=dataclasses.replace(EXIT, limit_nano=None))
    assert check_price_collar(market, PARAMETERS).outcome is Outcome.BYPASSED
    touch = dataclasses.replace(GOOD, quote=wide, order=dataclasses.replace(EXIT, limit_nano=99 * USD))
    assert check_price_collar(touch, PARAMETERS).outcome is Outcome.PASSED
    beyond = dataclasses.replace(touch, order=dataclasses.replace(EXIT, limit_nano=99 * USD - 1))
    assert check_price_collar(beyond, PARAMETERS).reason is MarketReason.PRICE_COLLAR
    opening = dataclasses.replace(touch, order=dataclasses.replace(BUY, limit_nano=101 * USD))
    assert check_price_collar(opening, PARAMETERS).reason is MarketReason.PRICE_COLLAR


def test_a_source_that_is_not_configured_is_inactive_and_said():
    """Without a source the guard neither passes silently nor blocks everything."""
    parameters = MarketGuardParameters()
    assert inactive_guards(parameters) == ("earnings", "news")
    assert inactive_guards(PARAMETERS) == ()
    facts = dataclasses.replace(GOOD, earnings_ns=None, news_ns=None)
    for name in ("earnings", "news"):
        verdict = REASONS[name](facts, parameters)
        assert (verdict.outcome, verdict.allowed) == (Outcome.INACTIVE, True)
        assert "configured" in verdict.note


def test_the_numbers_compared_stand_in_the_verdict():
    """10 bps of spread against 12, a second and a half second of age, 3600 s since the open."""
    spread = check_spread(GOOD, PARAMETERS).measures[0]
    assert (spread.name, spread.value, spread.limit) == ("spread_bps", pytest.approx(9.995002), 12.0)
    ages = {item.name: item.value for item in check_quote_age(GOOD, PARAMETERS).measures}
    assert ages == {"feed_age_s": 0.5, "quote_age_s": 1.0}
    assert check_blackout(GOOD, PARAMETERS).measures[0].value == 3_600.0


@pytest.mark.parametrize(
    ("tick", "state"),
    [
        (0.0, HaltState.TRADING),
        (1, HaltState.HALTED),
        (2.0, HaltState.LULD_PAUSE),
        (-1.0, None),
        (None, None),
        (float("nan"), None),
        (3.0, None),
    ],
)
def test_tick_49(tick, state):
    """Known codes have their meaning, everything else is unknown."""
    assert halt_state(tick) is state


@pytest.mark.parametrize(
    "changes",
    [
        {"spread_bps_max": 60.0},
        {"spread_bps_max": float("nan")},
        {"blackout_open_s": -1.0},
        {"spread_plausible_bps_max": 5.0},
        {"spread_plausible_bps_min": 1.0, "spread_bps_max": 0.5},
    ],
)
def test_parameters_out_of_range_are_refused(changes):
    """The message names the section."""
    with pytest.raises(ValueError, match="market_guard"):
        MarketGuardParameters(**changes)


def test_too_many_event_times_are_a_fault_of_the_source():
    """The bound is asked for where the facts are made."""
    with pytest.raises(ValueError, match="earnings_ns"):
        dataclasses.replace(GOOD, earnings_ns=tuple(range(EVENT_TIMES_MAX + 1)))
