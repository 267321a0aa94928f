"""Owns the tests of several strategies in one account: profiles, netting, limits, crossing, fills and virtual books."""

import dataclasses

import msgspec
import numpy as np
import pytest

from walstreet.domain.account_limits import (
    AccountProfile,
    ProfileReason,
    StrategyProfile,
    account_targets,
    check_profiles,
    plan_symbol,
    quantity_micro,
)
from walstreet.domain.fill_allocation import (
    ParentShares,
    allocate_fill,
    apportion,
    cross,
    parent_shares,
    scale_to,
)
from walstreet.domain.limits import Binding, LimitParameters
from walstreet.domain.virtual_books import (
    HOUSE,
    BookBreak,
    VirtualBooks,
    adopt,
    book_breaks,
    note_commission,
    note_fill,
)

USD = 1_000_000_000
ACCOUNT = AccountProfile(account="U1")
ALPHA = StrategyProfile(name="alpha", account="U1", capital_share=0.6, shorts=True)
BETA = StrategyProfile(name="beta", account="U1", capital_share=0.4)
LIMITS = LimitParameters(name_cap=0.05, sector_gross_max=1.0, net_max=0.5, gross_max=0.5)


def changed(profile, **changes) -> StrategyProfile:
    """Return a profile with ``changes``."""
    return msgspec.structs.replace(profile, **changes)


def reasons(account, *profiles) -> list[ProfileReason]:
    """Return why these profiles may not start."""
    return [refusal.reason for refusal in check_profiles(account, profiles)]


def test_profiles_that_fit_may_start():
    """Shares that sum to one, one of them short, in a margin account; and one that is alone."""
    assert reasons(ACCOUNT, ALPHA, BETA) == []
    assert reasons(AccountProfile(account="U1", cash=True), BETA) == []


@pytest.mark.parametrize(
    ("account", "profiles", "reason"),
    [
        (ACCOUNT, (), ProfileReason.NO_STRATEGY),
        (ACCOUNT, tuple(changed(BETA, name=f"s{i}", capital_share=0.01) for i in range(65)),
         ProfileReason.TOO_MANY_STRATEGIES),
        (ACCOUNT, (changed(ALPHA, name=HOUSE),), ProfileReason.STRATEGY_NAME),
        (ACCOUNT, (changed(ALPHA, name="*"),), ProfileReason.STRATEGY_NAME),
        (ACCOUNT, (changed(ALPHA, name="a\x1fb"),), ProfileReason.STRATEGY_NAME),
        (ACCOUNT, (BETA, BETA), ProfileReason.DUPLICATE_STRATEGY),
        (ACCOUNT, (changed(BETA, account="U2"),), ProfileReason.OTHER_ACCOUNT),
        (ACCOUNT, (changed(BETA, capital_share=0.0),), ProfileReason.CAPITAL_SHARE),
        (ACCOUNT, (ALPHA, changed(BETA, capital_share=0.5)), ProfileReason.CAPITAL_OVERALLOCATED),
        (AccountProfile(account="U1", cash=True), (ALPHA,), ProfileReason.CASH_ACCOUNT_SHORTS),
        (AccountProfile(account="U1", cash=True), (changed(BETA, gross_max=1.5),),
         ProfileReason.CASH_ACCOUNT_LEVERAGE),
        (AccountProfile(account="U1", cash=True), (changed(BETA, intraday=True),),
         ProfileReason.CASH_ACCOUNT_INTRADAY),
        (AccountProfile(account="U1", long_only=True), (ALPHA,), ProfileReason.LONG_ONLY_ACCOUNT),
    ],
)  # fmt: skip
def test_profiles_that_cannot_share_the_account_are_refused(account, profiles, reason):
    """Each with exactly its own reason."""
    assert reasons(account, *profiles) == [reason]


def test_a_capital_share_that_is_no_number_is_refused_twice():
    """By itself, and because a sum with it is no sum."""
    assert reasons(ACCOUNT, changed(BETA, capital_share=float("nan"))) == [
        ProfileReason.CAPITAL_SHARE,
        ProfileReason.CAPITAL_OVERALLOCATED,
    ]


# ------------------------------------------------------------------------------------------------------ weights


def targets(wanted, *, held=None, movable=None, shares=(0.6, 0.4), limits=LIMITS):
    """Return the account's targets of two strategies."""
    wanted = np.array(wanted, dtype=float)
    count = wanted.shape[1]
    return account_targets(
        capital_shares=np.array(shares),
        wanted=wanted,
        held=np.zeros_like(wanted) if held is None else np.array(held, dtype=float),
        sectors=np.arange(count),
        movable=np.ones(count, dtype=bool) if movable is None else np.array(movable),
        limits=limits,
    )


def test_wishes_are_added_and_limited_once_at_the_account():
    """.6*.1 + .4*.1 = .1 is cut to .05, each part by one half; opposite wishes cancel before anything is limited."""
    result = targets([[0.1, 0.1, 0.02], [0.1, -0.15, 0.01]])
    np.testing.assert_allclose(result.wanted, [0.1, 0.0, 0.016], atol=1e-15)
    np.testing.assert_allclose(result.weights, [0.05, 0.0, 0.016], atol=1e-15)
    np.testing.assert_allclose(result.parts, [[0.03, 0.06, 0.012], [0.02, -0.06, 0.004]], atol=1e-15)
    assert result.binding.tolist() == [Binding.NAME, Binding.NONE, Binding.NONE]


def test_the_sum_of_two_strategies_stays_at_the_accounts_limit():
    """Each alone would be within 5 %, together they are not."""
    result = targets([[0.08], [0.12]])
    assert result.wanted[0] == pytest.approx(0.096)
    assert result.weights[0] == pytest.approx(0.05)
    assert result.parts.sum() == pytest.approx(0.05)


def test_without_a_target_a_book_keeps_what_it_holds():
    """NaN stands for no target, and a symbol that cannot be traded stays for all."""
    result = targets([[np.nan, 0.05], [0.05, 0.05]], held=[[0.01, 0.03], [0.0, -0.01]], movable=[True, False])
    np.testing.assert_allclose(result.parts, [[0.01, 0.03], [0.02, -0.01]])
    np.testing.assert_allclose(result.weights, [0.03, 0.02])


def test_quantities_are_cut_towards_zero():
    """5 % of 100,000 at 300 are 16.666666 shares, long and short alike."""
    assert quantity_micro(0.05, 100_000 * USD, 300 * USD) == 16_666_666
    assert quantity_micro(-0.05, 100_000 * USD, 300 * USD) == -16_666_666
    for weight, price in ((float("nan"), USD), (0.1, 0)):
        with pytest.raises(ValueError, match="gives no quantity"):
            quantity_micro(weight, USD, price)


# --------------------------------------------------------------------------------------------------- allocation


def test_apportioning_by_hand():
    """10 by 1:1:1 is 4, 3, 3; 3 by 4:1 is 2.4 and .6, so 2 and 1; 7 by 3:0:4 is exact; nothing among nobody."""
    assert apportion(10, (1, 1, 1)) == (4, 3, 3)
    assert apportion(3, (4, 1)) == (2, 1)
    assert apportion(7, (3, 0, 4)) == (3, 0, 4)
    assert apportion(0, (0, 0)) == (0, 0)
    for total, sizes in ((1, (0, 0)), (-1, (1,)), (1, (-1, 2))):
        with pytest.raises(ValueError, match="apportion"):
            apportion(total, sizes)


def test_scaling_by_hand():
    """+100 and -60 scaled from 40 to 20 are +50 and -30; mirrored; wishes that cancel out stay."""
    assert scale_to(20, (100, -60)) == (50, -30)
    assert scale_to(-20, (-100, 60)) == (-50, 30)
    assert scale_to(0, (100, -60)) == (0, 0)
    assert scale_to(0, (5, -5)) == (5, -5)
    for target, parts in ((41, (100, -60)), (-1, (100, -60)), (1, (5, -5))):
        with pytest.raises(ValueError, match="only scale down"):
            scale_to(target, parts)


def test_two_strategies_with_opposite_wishes_cross_inside_the_account():
    """+100, +50 and -60: 60 cross pro rata, 90 are bought, all for those who want to buy."""
    crossing = cross((100, 50, -60))
    assert (crossing.crossed_micro, crossing.parents_micro, crossing.order_micro) == ((40, 20, -60), (60, 30, 0), 90)
    assert cross((30, -30)).order_micro == 0


def test_a_plan_is_scaled_to_what_is_really_sent():
    """Books 0 and 50 that should be 100 and 0 change by +100 and -50; 20 instead of 50 sent is two fifths of each."""
    whole = plan_symbol(books_micro=(0, 50), parts_micro=(100, 0))
    assert (whole.crossing.order_micro, whole.crossing.crossed_micro, whole.target_micro) == (50, (50, -50), (100, 0))
    less = plan_symbol(books_micro=(0, 50), parts_micro=(100, 0), order_micro=20)
    assert (less.crossing.order_micro, less.crossing.crossed_micro, less.target_micro) == (20, (20, -20), (40, 30))


def test_fills_go_pro_rata_to_the_parents_behind_them():
    """2:1 of 9: a fill of 4 gives 3 and 1, the next of 5 gives the rest, 3 and 2."""
    shares = parent_shares(("a", "none", "b"), (6, 0, 3))
    assert shares.strategies == ("a", "b")
    shares, first = allocate_fill(shares, 4)
    assert first == (3, 1)
    shares, second = allocate_fill(shares, 5)
    assert (second, shares.filled_micro, shares.remaining_micro) == ((3, 2), (6, 3), (0, 0))


def test_more_than_was_sent_is_allocated_too():
    """The broker's word counts; the excess goes by what was wanted."""
    shares, got = allocate_fill(parent_shares(("a", "b"), (-6, -3)), 12)
    assert (got, shares.filled_micro, shares.remaining_micro) == ((8, 4), (8, 4), (0, 0))
    with pytest.raises(ValueError, match="must be positive"):
        allocate_fill(shares, 0)


def test_shares_that_make_no_sense_are_refused():
    """Both signs, nothing wanted, or numbers that do not belong together."""
    with pytest.raises(ValueError, match="both signs"):
        parent_shares(("a", "b"), (1, -1))
    with pytest.raises(ValueError, match="something wanted"):
        parent_shares(("a",), (0,))
    with pytest.raises(ValueError, match="one number each"):
        ParentShares(strategies=("a",), wanted_micro=(1, 2), filled_micro=(0,))


# -------------------------------------------------------------------------------------------------------- books


def test_books_by_hand():
    """Alpha buys 10 at 5 and sells 4 at 6 to beta: realised 4, beta's book costs 24, cash -26 and -24."""
    books = note_fill(VirtualBooks(), symbol="A", strategies=("alpha",), signed_micro=(10,), price_nano=5)
    books = note_fill(books, symbol="A", strategies=("alpha", "beta"), signed_micro=(-4, 4), price_nano=6)
    alpha, beta = books.of("alpha", "A"), books.of("beta", "A")
    assert (alpha.position_micro, alpha.basis_exact, alpha.realized_exact, alpha.cash_exact) == (6, 30, 4, -26)
    assert (beta.position_micro, beta.basis_exact, beta.realized_exact, beta.cash_exact) == (4, 24, 0, -24)
    assert books.position_micro("A") == 10


def test_a_trade_through_zero_closes_then_opens():
    """Long 4 at 5, sold 10 at 7: realised 8, short 6 at 7."""
    books = note_fill(VirtualBooks(), symbol="A", strategies=("a",), signed_micro=(4,), price_nano=5)
    book = note_fill(books, symbol="A", strategies=("a",), signed_micro=(-10,), price_nano=7).of("a", "A")
    assert (book.position_micro, book.basis_exact, book.realized_exact) == (-6, -42, 8)


def test_fees_are_divided_by_what_was_filled():
    """10 by 2:1 is 7 and 3; a rebate goes back the same way."""
    books = note_commission(VirtualBooks(), symbol="A", strategies=("a", "b"), filled_micro=(2, -1), commission_nano=10)
    assert (books.of("a", "A").commission_nano, books.of("b", "A").commission_nano) == (7, 3)
    back = note_commission(books, symbol="A", strategies=("a", "b"), filled_micro=(2, 1), commission_nano=-10)
    assert (back.of("a", "A").commission_nano, back.of("b", "A").commission_nano) == (0, 0)


def test_breaks_between_books_and_broker_are_found_and_adopted():
    """Books of 10 against the broker's 12, and a symbol that no book knows; the house takes the differences."""
    books = note_fill(VirtualBooks(), symbol="A", strategies=("a", "b"), signed_micro=(7, 3), price_nano=5)
    found = book_breaks(books, {"A": 12, "Z": -1})
    assert found == (
        BookBreak(symbol="A", books_micro=10, broker_micro=12),
        BookBreak(symbol="Z", books_micro=0, broker_micro=-1),
    )
    for item in found:
        books = adopt(books, item, 6)
    assert book_breaks(books, {"A": 12, "Z": -1}) == ()
    assert books.of(HOUSE, "A").position_micro == 2
    assert book_breaks(books, {}) != ()
    assert [row[:2] for row in books.canonical()] == [("a", "A"), ("b", "A"), (HOUSE, "A"), (HOUSE, "Z")]


def test_a_profile_is_immutable():
    """A running account's profiles cannot be changed behind the check."""
    with pytest.raises(AttributeError):
        ALPHA.capital_share = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        VirtualBooks().books = {}
