"""Owns the properties of dividing quantities among strategies: nothing is lost to rounding, limits hold once."""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.account_limits import account_targets, plan_symbol
from walstreet.domain.fill_allocation import allocate_fill, apportion, cross, parent_shares, scale_to
from walstreet.domain.limits import LimitParameters, apply_limits
from walstreet.domain.virtual_books import VirtualBooks, book_breaks, note_commission, note_fill

EXAMPLES = settings(max_examples=1000, deadline=None)
seeds = st.integers(0, 2**63)
sizes = st.lists(st.integers(0, 10**15), min_size=1, max_size=8)
signed = st.lists(st.integers(-(10**15), 10**15), min_size=1, max_size=8)


@EXAMPLES
@given(sizes, st.integers(0, 10**15))
def test_apportioning_is_exact_and_fair(parts, total):
    """The shares sum to the total, each is within one unit of its exact share, and none exceeds what it may."""
    whole = sum(parts)
    total = total if whole else 0
    shares = apportion(total, parts)
    assert sum(shares) == total
    for share, part in zip(shares, parts, strict=True):
        if whole:
            assert total * part // whole <= share <= -(-total * part // whole)
        if total <= whole:
            assert 0 <= share <= part


@EXAMPLES
@given(signed, st.integers(0, 10**6))
def test_scaling_down_is_exact(parts, millionths):
    """Scaled parts sum to the target, keep their side, and never grow."""
    whole = sum(parts)
    target = abs(whole) * millionths // 10**6 * (1 if whole >= 0 else -1)
    scaled = scale_to(target, parts)
    assert sum(scaled) == target
    for after, before in zip(scaled, parts, strict=True):
        assert after * before >= 0
        assert abs(after) <= abs(before)


@EXAMPLES
@given(seeds)
def test_fills_lose_nothing_and_are_never_taken_back(seed):
    """In whatever pieces an order fills: each piece is divided whole, in the end everybody has what was wanted."""
    rng = random.Random(seed)
    scale = rng.choice((5, 1_000, 10**12))
    wanted = [rng.randint(1, scale) for _ in range(rng.randint(1, 6))]
    shares = parent_shares([f"s{index}" for index in range(len(wanted))], wanted)
    left, pieces = sum(wanted), 0
    while left:
        fill = min(left, rng.randint(1, max(1, sum(wanted) // rng.randint(1, 6))))
        left -= fill
        pieces += 1
        shares, got = allocate_fill(shares, fill)
        assert sum(got) == fill
        assert min(got) >= 0
        filled = sum(shares.filled_micro)
        for have, want in zip(shares.filled_micro, wanted, strict=True):
            assert have <= want
            # Each piece rounds by less than one unit, so the exact share is never further than the pieces.
            assert abs(have * sum(wanted) - filled * want) <= 2 * pieces * sum(wanted)
    assert list(shares.filled_micro) == wanted


@EXAMPLES
@given(signed)
def test_crossing_conserves_and_leaves_one_side(wanted):
    """What crosses sums to nothing, what is left is all of one sign and sums to the account's order."""
    crossing = cross(wanted)
    assert sum(crossing.crossed_micro) == 0
    assert crossing.order_micro == sum(wanted)
    assert min(crossing.parents_micro) >= 0 or max(crossing.parents_micro) <= 0
    for crossed, parent, want in zip(crossing.crossed_micro, crossing.parents_micro, wanted, strict=True):
        assert crossed + parent == want
        assert crossed * want >= 0
        assert parent * want >= 0


@EXAMPLES
@given(seeds)
def test_the_books_sum_to_the_broker_and_their_cash_to_the_accounts(seed):
    """Through crossings, partial fills and fees the books together are the account, to the last unit."""
    rng = random.Random(seed)
    names = [f"s{index}" for index in range(rng.randint(1, 4))]
    books, broker, cash, fees = VirtualBooks(), {"A": 0, "B": 0}, 0, 0
    for _ in range(6):
        symbol = rng.choice(("A", "B"))
        held = [books.of(name, symbol).position_micro for name in names]
        parts = [rng.randint(-(10**9), 10**9) for _ in names]
        whole = sum(parts) - sum(held)
        order = None if rng.random() < 0.5 else int(whole * rng.random())
        if order is not None and whole == 0:
            order = None
        plan = plan_symbol(books_micro=held, parts_micro=parts, order_micro=order)
        books = note_fill(
            books,
            symbol=symbol,
            strategies=names,
            signed_micro=plan.crossing.crossed_micro,
            price_nano=rng.randint(1, 10**12),
        )
        left = abs(plan.crossing.order_micro)
        if left == 0:
            continue
        side = 1 if plan.crossing.order_micro > 0 else -1
        shares = parent_shares(names, plan.crossing.parents_micro)
        for fill in (left // 3, left - left // 3):
            if fill == 0:
                continue
            shares, got = allocate_fill(shares, fill)
            price, fee = rng.randint(1, 10**12), rng.randint(-5, 10**9)
            books = note_fill(
                books,
                symbol=symbol,
                strategies=shares.strategies,
                signed_micro=[side * part for part in got],
                price_nano=price,
            )
            books = note_commission(
                books, symbol=symbol, strategies=shares.strategies, filled_micro=got, commission_nano=fee
            )
            broker[symbol] += side * fill
            cash -= side * fill * price
            fees += fee
        assert [books.of(name, symbol).position_micro for name in names] == list(plan.target_micro)
    assert book_breaks(books, broker) == ()
    assert sum(book.cash_exact for book in books.books.values()) == cash
    assert sum(book.commission_nano for book in books.books.values()) == fees
    for book in books.books.values():
        # Profit, cost of what is held, and cash are one identity per book.
        assert book.realized_exact == book.cash_exact + book.basis_exact


@EXAMPLES
@given(seeds)
def test_strategies_together_stay_within_the_accounts_limits(seed):
    """The account's weights are the limited sum, applied once, and every strategy's parts add up to them."""
    rng = np.random.default_rng(seed)
    strategies, symbols = int(rng.integers(1, 5)), int(rng.integers(1, 8))
    wanted = rng.uniform(-0.3, 0.3, (strategies, symbols))
    wanted[rng.random(wanted.shape) < 0.2] = np.nan
    held = np.where(rng.random(wanted.shape) < 0.5, rng.uniform(-0.02, 0.02, wanted.shape), 0.0)
    movable = rng.random(symbols) < 0.9
    sectors = rng.integers(0, 3, symbols)
    shares = rng.dirichlet(np.ones(strategies))
    limits = LimitParameters(name_cap=0.05, sector_gross_max=0.15, net_max=0.25, gross_max=0.5)
    result = account_targets(
        capital_shares=shares, wanted=wanted, held=held, sectors=sectors, movable=movable, limits=limits
    )
    expected, _ = apply_limits(result.wanted, sectors, movable, limits)
    assert np.array_equal(result.weights, expected)
    np.testing.assert_allclose(result.parts.sum(axis=0), result.weights, rtol=0.0, atol=1e-12)
    assert np.all(np.abs(result.weights[movable]) <= limits.name_cap + 1e-12)
    assert np.array_equal(result.parts[:, ~movable], held[:, ~movable])
