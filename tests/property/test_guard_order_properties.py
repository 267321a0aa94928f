"""Owns the properties of the guards: missing data never let an order open, and an exit is never trapped."""

import dataclasses
import itertools
import random
from fractions import Fraction

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.compliance import CashFacts, ComplianceParameters, check_compliance
from walstreet.domain.day_trades import DayTrades
from walstreet.domain.guard_margin import MarginFacts, MarginParameters, WhatIf, check_margin, margin_answer
from walstreet.domain.guard_market import HaltState, MarketFacts, MarketGuardParameters, MarketReason, check_market
from walstreet.domain.guard_orders import (
    Exposure,
    OrderFacts,
    OrderGuardParameters,
    OrderReason,
    RecentOrder,
    check_orders,
)
from walstreet.domain.guard_short import Borrow, ShortFacts, ShortSaleParameters, check_short, split_sell
from walstreet.domain.guard_verdict import GuardedOrder, first_refusal
from walstreet.domain.settlement import SettlementBook, begin_session, locked_micro, note_buy, note_sale
from walstreet.domain.short_sale_rule import Rule201, SsrState, end_session, fell, note_history, note_low
from walstreet.domain.short_sale_rule import begin_session as begin_rule
from walstreet.domain.signing import SigningFacts, SigningParameters, sign, verify
from walstreet_events import (
    NANOS_PER_SECOND,
    ROOT,
    EventDecodeError,
    EventId,
    IntentBlock,
    OrderIntent,
    QuoteSeen,
    Side,
    decode,
    encode,
)

EXAMPLES = settings(max_examples=1000, deadline=None)
S = NANOS_PER_SECOND
SHARE = 1_000_000
USD = 1_000_000_000
NOW = 1_800_000_000 * S
seeds = st.integers(0, 2**63)
MARKET = MarketGuardParameters(earnings_configured=True, news_configured=True)
ORDERS = OrderGuardParameters(restricted_configured=True)
HARD = {
    MarketReason.SESSION_CLOSED,
    MarketReason.HALTED,
    MarketReason.LULD_PAUSE,
    MarketReason.PRICE_COLLAR,
    OrderReason.DUPLICATE_INTENT,
}
"""What may stop even an order that only reduces; see the guards' documentation."""


def order_of(rng: random.Random, *, reducing: bool) -> GuardedOrder:
    """Return an order that only reduces, or one that opens from flat."""
    side = rng.choice((Side.BUY, Side.SELL))
    quantity = rng.randint(1, 10_000) * SHARE
    working = rng.randint(0, 10) * SHARE if reducing else 0
    held = quantity + working + rng.randint(0, 5) * SHARE if reducing else 0
    return GuardedOrder(
        symbol="A",
        side=side,
        quantity_micro=quantity,
        limit_nano=rng.choice((None, 100 * USD, 1, 10**15)) if reducing else 100 * USD,
        position_micro=held if side is Side.SELL else -held,
        working_buy_micro=working if side is Side.BUY else rng.choice((None, 0)) if reducing else 0,
        working_sell_micro=working if side is Side.SELL else rng.choice((None, 0)) if reducing else 0,
    )


def maybe(rng: random.Random, *values):
    """Return one of ``values`` or, often, None."""
    return rng.choice((None, *values))


def quote_of(rng: random.Random) -> QuoteSeen:
    """Return any quote: one-sided, locked, crossed, wide, old or from the future."""
    return QuoteSeen(
        bid_nano=rng.choice((0, 99 * USD, 100 * USD)),
        ask_nano=rng.choice((0, 99 * USD, 100 * USD, 101 * USD)),
        bid_size_micro=0,
        ask_size_micro=0,
        ts_ns=NOW - rng.choice((-S, 0, S, 1_000 * S)),
        seq=0,
    )


def market_of(rng: random.Random, order: GuardedOrder) -> MarketFacts:
    """Return facts of any market, known or not."""
    return MarketFacts(
        now_ns=NOW,
        order=order,
        quote=maybe(rng, quote_of(rng)),
        feed_ts_ns=maybe(rng, NOW, NOW - 10 * S),
        data_type=maybe(rng, "live", "delayed"),
        session_open_ns=maybe(rng, NOW - 60 * S, NOW - 3_600 * S, NOW + S),
        session_close_ns=maybe(rng, NOW + 60 * S, NOW + 3_600 * S, NOW),
        halt=maybe(rng, *HaltState),
        average_daily_volume_micro=maybe(rng, 0, SHARE, 10**13),
        prior_close_nano=maybe(rng, 0, 100 * USD),
        earnings_ns=maybe(rng, (), (NOW,)),
        news_ns=maybe(rng, (), (NOW,)),
        volume_micro=maybe(rng, 0, 10**12),
        volume_typical_micro=maybe(rng, 0, 10**9),
        sigma_5m_bps=maybe(rng, float("nan"), 0.0, 10.0, 1e9),
    )


def exposure_of(rng: random.Random) -> Exposure:
    """Return any exposure."""
    return Exposure(
        positions_nano=maybe(rng, 0, 10**20), working_nano=maybe(rng, 0, 10**20), sent_nano=maybe(rng, 0, 10**20)
    )


def orders_of(rng: random.Random, order: GuardedOrder) -> OrderFacts:
    """Return facts of any past."""
    twin = RecentOrder(
        ts_ns=NOW, symbol="A", side=order.side, quantity_micro=order.quantity_micro, limit_nano=order.limit_nano,
        notional_nano=10**20,
    )  # fmt: skip
    return OrderFacts(
        now_ns=NOW,
        intent="i",
        order=order,
        reference_nano=maybe(rng, 100 * USD),
        intents_handled=maybe(rng, frozenset(), frozenset({"i"})),
        recent=maybe(rng, (), (twin,) * 20),
        restricted=maybe(rng, frozenset(), frozenset({"A"})),
        equity_nano=maybe(rng, 0, 10**14),
        session_start_equity_nano=maybe(rng, 0, 10**14),
        high_water_nano=maybe(rng, 0, 10**14),
        account=exposure_of(rng),
        total=exposure_of(rng),
    )


@EXAMPLES
@given(seeds)
def test_an_order_that_only_reduces_is_never_trapped(seed):
    """Whatever the market, the past, the margin or the rules say or do not say, only the named few stop an exit."""
    rng = random.Random(seed)
    order = order_of(rng, reducing=True)
    assert order.reducing
    verdicts = [*check_market(market_of(rng, order), MARKET), *check_orders(orders_of(rng, order), ORDERS)]
    what_if = WhatIf(intent="i", symbol="A", side=order.side, quantity_micro=1, asked_ns=NOW, answer=None)
    margin = MarginFacts(now_ns=NOW, intent="i", order=order, what_if=maybe(rng, what_if))
    verdicts.append(check_margin(margin, MarginParameters()))
    cash = CashFacts(
        order=order,
        reference_nano=None,
        settled_cash_nano=maybe(rng, 0),
        committed_nano=maybe(rng, 0),
        book=maybe(rng, SettlementBook(session="2026-11-16", settled_nano=0)),
        year_ago="2025-11-16",
        orders_today=maybe(rng, 5),
        rebalance=rng.choice(("", "r")),
        rebalance_today=maybe(rng, "other"),
        day_trades=maybe(rng, DayTrades(session="2026-11-16", counts=(("2026-11-16", 9),))),
        equity_nano=maybe(rng, 0),
    )
    verdicts += check_compliance(cash, ComplianceParameters())
    short = ShortFacts(now_ns=NOW, order=order, borrow=None, rule=maybe(rng, Rule201()), session="x", quote=None)
    assert check_short(short, ShortSaleParameters(shorts_permitted=False)).allowed_micro == order.quantity_micro
    assert {verdict.reason for verdict in verdicts if not verdict.allowed} <= HARD


@EXAMPLES
@given(seeds)
def test_reducing_holds_whatever_else_fills(seed):
    """An order called reducing brings |position| down or leaves it, for every fill of it and of what is at work."""
    rng = random.Random(seed)
    order = GuardedOrder(
        symbol="A",
        side=rng.choice((Side.BUY, Side.SELL)),
        quantity_micro=rng.randint(1, 20),
        limit_nano=None,
        position_micro=rng.randint(-30, 30),
        working_buy_micro=rng.randint(0, 10),
        working_sell_micro=rng.randint(0, 10),
    )
    sign = 1 if order.side is Side.BUY else -1
    same_side = order.working_buy_micro if sign > 0 else order.working_sell_micro
    worst = order.position_micro + sign * (same_side + order.quantity_micro)
    lowers = all(
        abs(order.position_micro + sign * (other + own)) < abs(order.position_micro + sign * other)
        for other in range(same_side + 1)
        for own in range(1, order.quantity_micro + 1)
    )
    crosses = worst * order.position_micro < 0
    assert order.reducing == (lowers and not crosses)


@EXAMPLES
@given(seeds)
def test_missing_data_never_let_an_order_open(seed):
    """With everything good an order opens; with any one fact unknown it does not."""
    rng = random.Random(seed)
    order = order_of(rng, reducing=False)
    good = MarketFacts(
        now_ns=NOW, order=order, feed_ts_ns=NOW, data_type="live", halt=HaltState.TRADING,
        quote=QuoteSeen(bid_nano=99_990_000_000, ask_nano=100_010_000_000, bid_size_micro=0, ask_size_micro=0,
                        ts_ns=NOW, seq=0),
        session_open_ns=NOW - 3_600 * S, session_close_ns=NOW + 3_600 * S, average_daily_volume_micro=10**13,
        prior_close_nano=100 * USD, earnings_ns=(), news_ns=(), volume_micro=1, volume_typical_micro=1,
        sigma_5m_bps=10.0,
    )  # fmt: skip
    assert first_refusal(check_market(good, MARKET)) is None
    names = [field.name for field in dataclasses.fields(MarketFacts) if field.name not in {"now_ns", "order"}]
    name = rng.choice(names)
    assert first_refusal(check_market(dataclasses.replace(good, **{name: None}), MARKET)) is not None, name
    idle = Exposure(positions_nano=0, working_nano=0, sent_nano=0)
    limits = OrderGuardParameters(
        restricted_configured=True, order_notional_usd_max=1e6, window_notional_usd_max=1e6, position_usd_max=1e6
    )
    past = OrderFacts(
        now_ns=NOW, intent="i", order=order, reference_nano=None, intents_handled=frozenset(), recent=(),
        restricted=frozenset(), equity_nano=10**14, session_start_equity_nano=10**14, high_water_nano=10**14,
        account=idle, total=idle,
    )  # fmt: skip
    assert first_refusal(check_orders(past, limits)) is None
    given_names = {"now_ns", "intent", "order", "reference_nano", "account", "total"}
    name = rng.choice([field.name for field in dataclasses.fields(OrderFacts) if field.name not in given_names])
    assert first_refusal(check_orders(dataclasses.replace(past, **{name: None}), limits)) is not None, name
    which, part = rng.choice(("account", "total")), rng.choice(("positions_nano", "working_nano", "sent_nano"))
    blind = dataclasses.replace(past, **{which: dataclasses.replace(idle, **{part: None})})
    assert first_refusal(check_orders(blind, limits)) is not None


amounts = st.integers(-(10**15), 10**15)


@EXAMPLES
@given(amounts, amounts, st.none() | amounts)
def test_the_margin_gate_allows_only_what_the_rule_allows(initial, equity, available):
    """In exact fractions: a positive margin within .85 of equity, and at least 1,000 left by either reckoning."""
    texts = [None if value is None else str(Fraction(value, 10**6).limit_denominator(1)) for value in
             (initial, equity, available)]  # fmt: skip
    usd_initial, usd_equity = int(texts[0] or 0), int(texts[1] or 0)
    usd_available = None if texts[2] in {None, "0"} else int(texts[2] or 0)
    order = GuardedOrder(symbol="A", side=Side.BUY, quantity_micro=1, limit_nano=1, position_micro=0)
    answer = margin_answer(
        ts_ns=NOW, initial_margin_after=texts[0], equity_with_loan_after=texts[1], available_funds_after=texts[2]
    )
    what_if = WhatIf(intent="i", symbol="A", side=Side.BUY, quantity_micro=1, asked_ns=NOW, answer=answer)
    verdict = check_margin(MarginFacts(now_ns=NOW, intent="i", order=order, what_if=what_if), MarginParameters())
    left = usd_equity - usd_initial
    left = left if usd_available is None else min(left, usd_available)
    allowed = usd_initial > 0 and usd_equity != 0 and usd_initial * 100 <= 85 * usd_equity and left >= 1_000
    assert verdict.allowed is allowed


@EXAMPLES
@given(st.integers(1, 10**9), st.integers(-(10**9), 10**9), st.integers(0, 10**9))
def test_a_split_sell_is_whole_and_closes_no_more_than_is_held(quantity, position, working):
    """Both parts sum to the order; with everything at work filled too, the closing part never crosses zero."""
    order = GuardedOrder(
        symbol="A", side=Side.SELL, quantity_micro=quantity, limit_nano=None, position_micro=position,
        working_sell_micro=working,
    )  # fmt: skip
    split = split_sell(order)
    assert split is not None
    assert split.closing_micro + split.short_micro == quantity
    assert min(split.closing_micro, split.short_micro) >= 0
    if split.closing_micro:
        assert position - working - split.closing_micro >= 0
    if split.short_micro:
        assert position - working - quantity < 0


@EXAMPLES
@given(seeds)
def test_no_short_goes_without_a_locate_and_a_legal_price(seed):
    """An allowed short part has fresh shares at a bearable fee and, under Rule 201, a limit above the bid."""
    rng = random.Random(seed)
    order = dataclasses.replace(
        order_of(rng, reducing=False), side=Side.SELL, limit_nano=maybe(rng, 99 * USD, 100 * USD)
    )
    borrow = Borrow(
        ts_ns=NOW - rng.choice((0, 61 * S)), level=maybe(rng, 3.0, 1.0), shortable_micro=maybe(rng, 10**13, SHARE),
        fee_ts_ns=NOW, fee_percent=maybe(rng, 1.0, 50.0),
    )  # fmt: skip
    rule = Rule201(
        session="d", state=rng.choice(tuple(SsrState)), prior_close_nano=maybe(rng, 100 * USD),
        observed_ns=maybe(rng, NOW, NOW - 31 * S),
    )  # fmt: skip
    facts = ShortFacts(
        now_ns=NOW, order=order, borrow=maybe(rng, borrow, borrow), rule=maybe(rng, rule, rule),
        session=rng.choice(("d", "d", "e")), quote=maybe(rng, quote_of(rng), quote_of(rng)),
    )  # fmt: skip
    outcome = check_short(facts, ShortSaleParameters(borrow_configured=True))
    if not outcome.verdict.allowed:
        assert outcome.allowed_micro == 0
        return
    assert facts.borrow is not None
    assert facts.borrow.ts_ns == NOW
    assert facts.borrow.level == 3.0
    assert facts.borrow.shortable_micro is not None
    assert facts.borrow.shortable_micro >= max(order.quantity_micro, 100 * SHARE)
    assert facts.borrow.fee_percent == 1.0
    assert facts.rule is not None
    assert facts.rule.session == facts.session
    assert facts.rule.state is not SsrState.UNKNOWN
    if facts.rule.state.restricted:
        assert facts.quote is not None
        assert order.limit_nano is not None
        assert order.limit_nano > facts.quote.bid_nano > 0


@EXAMPLES
@given(seeds)
def test_rule_201_agrees_with_its_definition_through_nights_and_gaps(seed):
    """Restricted exactly when today or the session before fell by 10 %; unknown only after what was not watched."""
    rng = random.Random(seed)
    days = [f"2026-11-{day:02d}" for day in range(1, 15)]
    lows = {day: rng.choice((80, 90, 91, 99)) * USD for day in days}
    fallen = {day: fell(lows[day], 100 * USD, 1_000.0) for day in days}
    rule, watched = Rule201(), False
    for before, today in itertools.pairwise(days):
        if rng.random() < 0.2:
            watched = False
            continue
        rule = begin_rule(rule, session=today, previous_session=before, prior_close_nano=100 * USD, fall_bps=1_000.0)
        known = watched or rng.random() < 0.5
        if known and not watched:
            rule = note_history(rule, previous_low_nano=lows[before], close_before_nano=100 * USD, fall_bps=1_000.0)
        rule = note_low(rule, low_nano=100 * USD, ts_ns=1, fall_bps=1_000.0)
        if not known:
            # A trigger that was seen before we went down may still be carried, and then it is right.
            assert rule.state is SsrState.UNKNOWN or (rule.state is SsrState.CARRIED and fallen[before])
        else:
            assert rule.state.restricted is fallen[before]
        rule = note_low(rule, low_nano=lows[today], ts_ns=2, fall_bps=1_000.0)
        if known:
            assert rule.state.restricted is (fallen[today] or fallen[before])
        assert not fallen[today] or rule.state is SsrState.TRIGGERED
        watched = rng.random() < 0.8
        if watched:
            rule = end_session(rule, low_nano=lows[today], ts_ns=3, fall_bps=1_000.0)


@EXAMPLES
@given(seeds)
def test_settlement_conserves_cash_and_settled_buyers_never_violate(seed):
    """Settled plus unsettled is cash, always; who buys with settled cash only has no locked lots and no violations."""
    rng = random.Random(seed)
    careful = rng.random() < 0.5
    book = SettlementBook(session="2026-11-01", settled_nano=1_000)
    cash, held = 1_000, 0
    for day in range(1, 12):
        book = begin_session(book, f"2026-11-{day:02d}")
        for _ in range(rng.randint(0, 3)):
            amount = rng.randint(0, 400)
            if rng.random() < 0.5:
                if careful and amount > book.settled_nano:
                    continue
                book = note_buy(book, symbol="A", quantity_micro=10, amount_nano=amount)
                cash, held = cash - amount, held + 10
            elif held:
                sold = rng.randint(1, held)
                book = note_sale(
                    book, symbol="A", quantity_micro=sold, amount_nano=amount,
                    settles=f"2026-11-{day + rng.randint(0, 1):02d}", free_micro=held - locked_micro(book, "A"),
                )  # fmt: skip
                cash, held = cash + amount, held - sold
            assert book.settled_nano + book.unsettled_nano == cash
            assert 0 <= locked_micro(book, "A") <= held
    if careful:
        assert (book.lots, book.violations) == ((), ())
        assert book.settled_nano >= 0


KEY = bytes(range(32))
BLOCK = sign(
    IntentBlock(
        id=EventId("b" * 32), cause=ROOT, ts_ns=NOW, decision="d", mode="live", epoch=7,
        intents=(
            OrderIntent(
                id="i", symbol="A", con_id=1, side=Side.BUY, quantity_micro=SHARE, reducing=False, horizon_minutes=5,
                arrival_mid_nano=100 * USD, tif_s=15, expires_ns=NOW + S, alpha_bps=1.0, target_weight=0.01,
            ),
        ),
    ),
    KEY,
)  # fmt: skip
WIRE = encode(BLOCK)
TRUSTED = SigningFacts(now_ns=NOW, epoch=7, blocks_handled=frozenset(), intents_handled=frozenset())


@EXAMPLES
@given(st.integers(0, len(WIRE) * 8 - 1))
def test_a_flipped_bit_is_never_believed(bit):
    """Any one bit of the wire's bytes changed: no event at all, another event, or a signature that does not fit."""
    damaged = bytearray(WIRE)
    damaged[bit // 8] ^= 1 << (bit % 8)
    try:
        block = decode(bytes(damaged))
    except EventDecodeError:
        return
    assert (
        not isinstance(block, IntentBlock)
        or not verify(block, keys=(KEY,), facts=TRUSTED, parameters=SigningParameters()).accepted
    )


@EXAMPLES
@given(st.binary(min_size=32, max_size=64), st.binary(min_size=32, max_size=64), st.integers(0, 2**40))
def test_only_the_signing_key_verifies(key, other, epoch):
    """A block verifies under its own key and under no different one."""
    block = sign(msgspec.structs.replace(BLOCK, epoch=epoch), key)
    facts = dataclasses.replace(TRUSTED, epoch=epoch)
    assert verify(block, keys=(key,), facts=facts, parameters=SigningParameters()).accepted
    # HMAC pads keys up to a block with zeros, so keys that differ in trailing zeros only are the same key.
    if other.rstrip(b"\0") != key.rstrip(b"\0"):
        assert not verify(block, keys=(other,), facts=facts, parameters=SigningParameters()).accepted
