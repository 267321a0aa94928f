"""Properties of the live rotation on a cash account: settled cash, orders a day, dropped names, one rebalance a day."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.compliance import ComplianceParameters
from walstreet.domain.rotation_live_parameters import RotationLiveParameters
from walstreet.domain.rotation_parameters import RotationParameters
from walstreet.domain.rotation_plan import PlanStatus, PlanVerdict, plan_rotation
from walstreet.testing.rotation_world import CashAccount, daily_bars_of, dates, random_prices
from walstreet_events import PRICE_SCALE, QUANTITY_SCALE

SYMBOLS = ("A", "B", "C", "D", "E", "F", "G")
WARM, DAYS = 20, 12


@st.composite
def strategies(draw: st.DrawFn) -> RotationLiveParameters:
    """Draw a rotation with windows that fit the short history and any limit of orders."""
    return RotationLiveParameters(
        enabled=True,
        selection=RotationParameters(
            ema_fast=draw(st.integers(2, 5)),
            ema_slow=draw(st.integers(6, 10)),
            atr_window=5,
            corr_window=draw(st.integers(5, 12)),
            corr_cap=draw(st.sampled_from([0.5, 0.9, 1.0])),
            vol_window=8,
            top_n=draw(st.integers(1, 6)),
            hold_bonus=draw(st.sampled_from([0.0, 1.0])),
            band=draw(st.sampled_from([0.0, 0.05])),
            cash_buffer=draw(st.sampled_from([0.0, 0.05])),
            max_weight=draw(st.sampled_from([0.3, 1.0])),
        ),
        compliance=ComplianceParameters(orders_per_day_max=draw(st.integers(1, 6))),
    )


@settings(max_examples=20, deadline=None)
@given(
    parameters=strategies(),
    seed=st.integers(0, 10_000),
    cash=st.integers(0, 50_000),
    slip=st.sampled_from([0.0, 0.0005]),
    fill=st.sampled_from([0.5, 1.0]),
)
def test_purchases_never_exceed_settled_cash(
    parameters: RotationLiveParameters, seed: int, cash: int, slip: float, fill: float
) -> None:
    """Over twelve days of any fills in any order, the plain count of settled cash stays at or above zero.

    Slippage stays within the reserve that a purchase holds for it; day by day our count never exceeds the plain one,
    and the orders of a day never exceed the limit.
    """
    draw = np.random.default_rng(seed)
    prices = random_prices(seed, days=WARM + DAYS, symbols=len(SYMBOLS))
    account = CashAccount(SYMBOLS, parameters, cash * PRICE_SCALE)
    account.shares_micro = {"A": 10 * QUANTITY_SCALE, "B": 3 * QUANTITY_SCALE}
    for row in range(WARM, WARM + DAYS):
        bars = daily_bars_of(prices, SYMBOLS, row)
        account.begin(bars.session_date, dividend_nano=int(draw.integers(0, 5)) * PRICE_SCALE)
        plan = account.rebalance(bars, draw, slip=slip, fill=fill)
        # Fees of sales may take the last cents; purchases may not.
        bought = any(plan.order_micro[column] > 0 for column in plan.sequence)
        assert account.settled_nano >= 0 or not bought
        assert account.memory.book is not None
        assert account.memory.book.settled_nano <= account.settled_nano + len(SYMBOLS)
        assert account.memory.book.violations == ()
        assert account.orders[-1] <= parameters.compliance.orders_per_day_max
        assert all(quantity >= 0 for quantity in account.shares_micro.values())


@settings(max_examples=12, deadline=None)
@given(parameters=strategies(), seed=st.integers(0, 10_000))
def test_dropped_names_are_sold(parameters: RotationLiveParameters, seed: int) -> None:
    """In a rebalance every held name without a target is sold whole, unless the day's orders are used up."""
    prices = random_prices(seed, days=WARM + DAYS, symbols=len(SYMBOLS))
    account = CashAccount(SYMBOLS, parameters, 20_000 * PRICE_SCALE)
    account.shares_micro = dict.fromkeys(SYMBOLS, 7 * QUANTITY_SCALE)
    for row in range(WARM, WARM + DAYS):
        bars = daily_bars_of(prices, SYMBOLS, row)
        account.begin(bars.session_date)
        before = dict(account.shares_micro)
        plan = account.rebalance(bars, np.random.default_rng(row), slip=0.0, fill=1.0)
        if plan.status is not PlanStatus.REBALANCE:
            continue
        for column, symbol in enumerate(SYMBOLS):
            if before[symbol] and plan.target[column] == 0.0:
                used_up = plan.verdicts[column] == PlanVerdict.ORDERS_TODAY.value
                assert used_up or plan.order_micro[column] == -before[symbol]
        sides = [plan.order_micro[column] > 0 for column in plan.sequence]
        assert sides == sorted(sides), "sells come first"


@settings(max_examples=8, deadline=None)
@given(parameters=strategies(), seed=st.integers(0, 10_000))
def test_a_session_has_one_rebalance(parameters: RotationLiveParameters, seed: int) -> None:
    """After the day's rebalance a second one orders nothing, and the next day decides again."""
    prices = random_prices(seed, days=WARM + 2, symbols=len(SYMBOLS))
    account = CashAccount(SYMBOLS, parameters, 20_000 * PRICE_SCALE)
    for row in (WARM, WARM + 1):
        bars = daily_bars_of(prices, SYMBOLS, row)
        account.begin(bars.session_date)
        first = account.rebalance(bars, np.random.default_rng(row), slip=0.0, fill=1.0)
        assert first.status in {PlanStatus.REBALANCE, PlanStatus.IN_BAND}
        second = plan_rotation(bars, account.view(bars, rebalance="another"), parameters)
        assert second.status is PlanStatus.REBALANCE_DONE
        assert second.sequence == []


def test_the_days_are_dates() -> None:
    """The world's days are distinct ISO dates in order, which the settlement book relies on."""
    found = dates(40)
    assert list(found) == sorted(set(found))
