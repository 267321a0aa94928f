"""Owns the tests of the arithmetic of costs: numbers worked by hand, missing marks, groups."""

from __future__ import annotations

import msgspec
import pytest

from walstreet.domain.tca import (
    Fill,
    Parent,
    Split,
    cost_of,
    markout_nano,
    micro_bps,
    notional_nano,
    rounded,
    split_fill,
)
from walstreet.domain.tca_report import rows_of, samples_of

USD = 1_000_000_000
SHARE = 1_000_000
S = 1_000_000_000
OPEN_NS = 1_795_185_000 * S
MARKS = {0: 200_040_000_000, 1: 200_044_000_000, 5: 200_050_000_000, 30: 200_020_000_000}
"""Doubled mids: 100.02 at the fill, 100.022, 100.025 and 100.01 later."""


def fill(**changes: object) -> Fill:
    """Return a buy of 100 shares at 100.03 for a fee of 50 cents."""
    values: dict[str, object] = {
        "ts_ns": OPEN_NS + 63 * S,
        "price_nano": 100_030_000_000,
        "quantity_micro": 100 * SHARE,
        "fee_nano": USD // 2,
        "marks": MARKS,
    }
    return Fill(**{**values, **changes})  # type: ignore[arg-type]


def parent(**changes: object) -> Parent:
    """Return a parent of 200 shares decided at 100.00, half of which was filled; the mid ended at 100.05."""
    values: dict[str, object] = {
        "intent": "one",
        "symbol": "AAA",
        "buy": True,
        "horizon_minutes": 15,
        "quantity_micro": 200 * SHARE,
        "arrival_mid_nano": 100 * USD,
        "decided_ns": OPEN_NS + 60 * S,
        "expires_ns": OPEN_NS + 90 * S,
        "alpha_bps": 9.0,
        "predicted_bps": 2.5,
        "sent_ns": OPEN_NS + 61 * S,
        "sent_mid": 200_010_000_000,
        "sent_spread_bps": 2.0,
        "refused": "",
        "refused_mid": None,
        "end_mid": 200_100_000_000,
        "fills": (fill(),),
    }
    return Parent(**{**values, **changes})  # type: ignore[arg-type]


def test_split_by_hand() -> None:
    """2.00 of timing, .50 of impact, .50 of spread, .50 of fees and 5.00 of opportunity are 8.50 USD, 4.25 bps."""
    cost = cost_of(parent())
    assert cost.split == Split(
        spread_nano=USD // 2,
        impact_nano=USD // 2,
        timing_nano=2 * USD,
        fees_nano=USD // 2,
        opportunity_nano=5 * USD,
    )
    assert cost.split.total_nano == 8_500_000_000
    assert cost.delay_nano == USD // 2
    assert cost.wanted_nano == 20_000 * USD
    assert cost.traded_nano == 10_000 * USD
    assert micro_bps(cost.split.parts, cost.wanted_nano) == (250_000, 250_000, 1_000_000, 0, 250_000, 2_500_000)
    assert cost.realised_bps == pytest.approx(3.5)
    assert cost.fill_ms == (2_000,)
    assert not cost.filled_in_time


def test_markouts_by_hand() -> None:
    """Bought at 100.03: .008, .005 and .02 above the later mids, on 100 shares."""
    cost = cost_of(parent())
    assert cost.markout_nano == (800_000_000, 500_000_000, 2 * USD)
    assert cost.marked_nano == (10_000 * USD,) * 3
    assert markout_nano(buy=True, fill=fill(), offset_s=0) == USD
    assert markout_nano(buy=False, fill=fill(), offset_s=0) == -USD


def test_without_a_later_mark_the_effective_spread_counts_as_spread() -> None:
    """The impact is not guessed, and the parts still add up."""
    split = split_fill(buy=True, arrival_mid_nano=100 * USD, fill=fill(marks={0: MARKS[0]}))
    assert (split.spread_nano, split.impact_nano, split.timing_nano) == (USD, 0, 2 * USD)


def test_without_any_mark_nothing_is_attributed() -> None:
    """The price cost is known whole, its parts are not."""
    cost = cost_of(parent(fills=(fill(marks={}, fee_nano=None),), end_mid=None))
    assert cost.split == Split(unattributed_nano=3 * USD)
    assert cost.delay_nano == 0
    assert cost.fees_missing == 1
    assert cost.unfilled_unmarked_nano == 10_000 * USD
    assert cost.marked_nano == (0, 0, 0)


def test_a_parent_that_was_never_sent_has_opportunity_only() -> None:
    """A sell that was refused while the price fell by .05 has missed 10 USD on 200 shares."""
    refused = parent(buy=False, fills=(), sent_ns=None, sent_mid=None, refused="volume_spike", end_mid=199_900_000_000)
    cost = cost_of(refused)
    assert cost.split == Split(opportunity_nano=10 * USD)
    assert cost.traded_nano == 0
    assert cost.realised_bps != cost.realised_bps


def test_a_fill_after_the_end_is_not_in_time() -> None:
    """All shares were filled, some of them late."""
    late = fill(ts_ns=OPEN_NS + 91 * S)
    assert not cost_of(parent(fills=(fill(), late))).filled_in_time
    assert cost_of(parent(fills=(fill(), fill()))).filled_in_time


def test_rounding_adds_up_and_is_odd() -> None:
    """Thirds of a nano-dollar: the parts of 1/3 + 1/3 + 1/3 are 0 + 1 + 0, and of their negation 0 - 1 + 0."""
    assert rounded((1, 1, 1), 3) == (0, 1, 0)
    assert rounded((-1, -1, -1), 3) == (0, -1, 0)
    assert rounded((1,), 2) == (1,)
    assert notional_nano(3, SHARE // 2) == 2


def test_groups_and_sums() -> None:
    """Two parents of two horizons: each group has its own, ``all`` has the sums; the hour counts from the open."""
    other = parent(intent="two", horizon_minutes=60, buy=False, decided_ns=OPEN_NS + 3_660 * S)
    costs = (cost_of(parent()), cost_of(other))
    rows = rows_of(costs, OPEN_NS)
    assert [(row.by, row.key) for row in rows] == [
        ("all", ""), ("horizon", "0015"), ("horizon", "0060"), ("symbol", "AAA"),
        ("side", "buy"), ("side", "sell"), ("hour", "00"), ("hour", "01"),
    ]  # fmt: skip
    whole, first, second = rows[0], rows[1], rows[2]
    for name in whole.__struct_fields__[2:]:
        parts, total = (getattr(first, name), getattr(second, name)), getattr(whole, name)
        if isinstance(total, tuple):
            assert total == tuple(a + b for a, b in zip(*parts, strict=True)), name
        else:
            assert total == sum(parts), name
    assert first.predicted_nano == 2_500_000_000
    assert first.predicted_cost_nano == 3_500_000_000
    assert msgspec.structs.replace(whole, key="x") != whole


def test_samples_by_hand() -> None:
    """Cost 3.5 against 2.5 predicted; a drift of .5 bps; a wide spread earns 9 - 2 * 3.5 = 2."""
    reserve, drift, spread = samples_of((cost_of(parent()),), error_bps_max=500.0, spread_bps_max=3.0)
    assert (reserve.count, reserve.mean, reserve.deviation) == (1, pytest.approx(1.0), 0.0)
    assert (drift.count, drift.high) == (1, pytest.approx(0.5))
    assert (spread.count, spread.mean) == (1, pytest.approx(2.0))
    narrow = samples_of((cost_of(parent()),), error_bps_max=0.25, spread_bps_max=4.0)
    assert (narrow[0].mean, narrow[2].count) == (0.25, 0)


def test_samples_without_a_fee_or_a_prediction_say_nothing_about_cost() -> None:
    """A fee that has not arrived would make trading look cheap; the drift is known all the same."""
    unpaid = cost_of(parent(fills=(fill(fee_nano=None),)))
    blind = cost_of(parent(predicted_bps=float("nan")))
    reserve, drift, _ = samples_of((unpaid, blind), error_bps_max=500.0, spread_bps_max=3.0)
    assert (reserve.count, drift.count) == (0, 2)


def test_a_refusal_for_drift_counts_as_drift() -> None:
    """Else the guard's own refusals would make it tighter and tighter."""
    refused = parent(sent_ns=None, sent_mid=None, refused="mid_drift", refused_mid=202_000_000_000, fills=())
    other = parent(sent_ns=None, sent_mid=None, refused="halted", refused_mid=202_000_000_000, fills=())
    _, drift, _ = samples_of((cost_of(refused), cost_of(other)), error_bps_max=500.0, spread_bps_max=3.0)
    assert (drift.count, drift.high) == (1, pytest.approx(100.0))
