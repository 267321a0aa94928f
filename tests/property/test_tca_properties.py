"""Owns the properties of costs and of tuning: sums are exact, mirrors are equal, bounds hold whatever the samples."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.autotune import PATHS, Reason, note_change, propose, tune_memory, tuning_of
from walstreet.domain.tca import Fill, Parent, ParentCost, cost_of, micro_bps, rounded
from walstreet.domain.tca_parameters import TcaParameters
from walstreet_events import ROOT, ParameterTuned, TcaSamples, derive_id

PRICES = st.integers(1_000_000_000, 2_000_000_000_000)
MOVES = st.integers(-900_000_000, 900_000_000)
QUANTITIES = st.integers(1, 10_000_000_000)


@st.composite
def fills(draw: st.DrawFn, arrival: int) -> Fill:
    """Return a fill near the arrival; each mark may be missing."""
    return Fill(
        ts_ns=draw(st.integers(0, 100)),
        price_nano=arrival + draw(MOVES),
        quantity_micro=draw(QUANTITIES),
        fee_nano=draw(st.none() | st.integers(0, 10**12)),
        marks={offset: 2 * arrival + draw(MOVES) for offset in (0, 1, 5, 30) if draw(st.booleans())},
    )


@st.composite
def parents(draw: st.DrawFn) -> Parent:
    """Return any parent."""
    arrival = draw(PRICES)
    return Parent(
        intent="one",
        symbol="AAA",
        buy=draw(st.booleans()),
        horizon_minutes=5,
        quantity_micro=draw(QUANTITIES),
        arrival_mid_nano=arrival,
        decided_ns=0,
        expires_ns=50,
        alpha_bps=draw(st.floats(-50, 50)),
        predicted_bps=draw(st.floats(-50, 50)),
        sent_ns=0,
        sent_mid=draw(st.none() | MOVES.map(lambda move: 2 * arrival + move)),
        sent_spread_bps=1.0,
        refused="",
        refused_mid=None,
        end_mid=draw(st.none() | MOVES.map(lambda move: 2 * arrival + move)),
        fills=tuple(draw(st.lists(fills(arrival), max_size=4))),
    )


def mirrored(parent: Parent) -> Parent:
    """Return the same order on the other side of a market mirrored at the arrival mid."""
    twice = 2 * parent.arrival_mid_nano

    def mid(value: int | None) -> int | None:
        return None if value is None else 2 * twice - value

    return replace(
        parent,
        buy=not parent.buy,
        sent_mid=mid(parent.sent_mid),
        end_mid=mid(parent.end_mid),
        fills=tuple(
            replace(
                fill,
                price_nano=twice - fill.price_nano,
                marks={offset: 2 * twice - value for offset, value in fill.marks.items()},
            )
            for fill in parent.fills
        ),
    )


def numbers(cost: ParentCost) -> tuple[object, ...]:
    """Return everything of a cost that is a number."""
    return cost.split, cost.delay_nano, cost.markout_nano, cost.marked_nano, cost.unfilled_unmarked_nano


@settings(deadline=None)
@given(parents())
def test_the_parts_add_up_to_the_shortfall(parent: Parent) -> None:
    """The price parts are paid minus arrival value, half a nano-dollar a fill off at most; all parts add up exactly."""
    cost = cost_of(parent)
    sign = 1 if parent.buy else -1
    exact = sum(sign * (fill.price_nano - parent.arrival_mid_nano) * fill.quantity_micro for fill in parent.fills)
    split = cost.split
    price = split.spread_nano + split.impact_nano + split.timing_nano + split.unattributed_nano
    assert abs(2 * (price * 1_000_000 - exact)) <= 1_000_000 * len(parent.fills)
    assert sum(split.parts) == split.total_nano
    assert split.fees_nano == sum(fill.fee_nano or 0 for fill in parent.fills)
    for fill in parent.fills:
        one = cost_of(replace(parent, fills=(fill,), end_mid=None)).split
        whole = rounded([sign * (fill.price_nano - parent.arrival_mid_nano) * fill.quantity_micro], 1_000_000)[0]
        assert one.total_nano - one.fees_nano == whole
    bps = micro_bps(split.parts, cost.wanted_nano) if cost.wanted_nano else ()
    assert not bps or sum(bps) == micro_bps((split.total_nano,), cost.wanted_nano)[0]


@settings(deadline=None)
@given(parents())
def test_a_mirrored_market_costs_the_same(parent: Parent) -> None:
    """A sell in a mirrored market is a buy: every number is equal to the last nano-dollar."""
    assert numbers(cost_of(mirrored(parent))) == numbers(cost_of(parent))


@settings(deadline=None)
@given(parents(), st.integers(0, 10**12))
def test_a_fee_shifts_only_fees(parent: Parent, fee_nano: int) -> None:
    """No other part, markout or notional depends on fees."""
    dearer = replace(
        parent, fills=tuple(replace(fill, fee_nano=(fill.fee_nano or 0) + fee_nano) for fill in parent.fills)
    )
    before, after = cost_of(parent), cost_of(dearer)
    assert after.split.fees_nano == before.split.fees_nano + fee_nano * len(parent.fills)
    assert replace(after.split, fees_nano=before.split.fees_nano) == before.split
    assert (after.markout_nano, after.delay_nano) == (before.markout_nano, before.delay_nano)


SAMPLES = st.builds(
    TcaSamples,
    path=st.sampled_from(PATHS),
    count=st.integers(0, 1_000),
    mean=st.floats(-500, 500),
    deviation=st.floats(0, 500),
    high=st.floats(0, 5_000),
)
DAYS = st.lists(st.lists(SAMPLES, max_size=5).map(tuple), min_size=1, max_size=12)
BASE = {PATHS[0]: 2.0, PATHS[1]: 50.0, PATHS[2]: 12.0}


@settings(deadline=None)
@given(DAYS)
def test_tuning_never_leaves_its_bounds_and_never_hurries(days: list[tuple[TcaSamples, ...]]) -> None:
    """Day by day over any samples: inside low and high, at most a step, and the same day again changes nothing."""
    parameters = TcaParameters(days_min=1, samples_min=2)
    memory = tune_memory(BASE)
    for number in range(1, len(days) + 1):
        date = f"2026-01-{number:02d}"
        for item in propose(memory, days[:number], date, parameters):
            tuning = tuning_of(item.path, parameters)
            assert tuning.low <= item.proposed <= tuning.high
            assert abs(item.proposed - item.current) <= tuning.step + 1e-9
            if item.reason != Reason.MOVED.value:
                assert item.proposed == item.current
                continue
            assert abs(item.proposed - item.current) > 0.0
            note_change(memory, tuned(item.path, item.current, item.proposed, date))
            again = {found.path: found for found in propose(memory, days[:number], date, parameters)}
            assert again[item.path].reason == Reason.TUNED_TODAY.value
            assert again[item.path].proposed == item.proposed


@settings(deadline=None)
@given(DAYS)
def test_too_few_samples_propose_nothing(days: list[tuple[TcaSamples, ...]]) -> None:
    """Five days of any samples are silent when more are asked for than there are."""
    parameters = TcaParameters(days_min=1, samples_min=30_000)
    for item in propose(tune_memory(BASE), days, "2026-01-01", parameters):
        assert (item.proposed, item.target, item.reason) == (item.current, item.current, Reason.NO_SAMPLES.value)


def tuned(path: str, previous: float, value: float, date: str) -> ParameterTuned:
    """Return a tuned change."""
    return ParameterTuned(
        id=derive_id(date, path, 0),
        cause=ROOT,
        ts_ns=0,
        path=path,
        value=str(value),
        previous=str(previous),
        operator="autotune",
        session_date=date,
        samples=1,
        days=1,
    )
