"""Owns the tests of the benchmark's arithmetic: ratios, bounds, the stopwatch's shapes and the sample data."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from walstreet.testing.bench.catalog import KNOWN, MAKERS, UnknownGroupError, choose
from walstreet.testing.bench.events import feature_block, sample_events
from walstreet.testing.bench.features import bar_blocks
from walstreet.testing.bench.latency import run_session, session_rows
from walstreet.testing.bench.row import BenchError, Row, budget_row, make_row
from walstreet.testing.bench.timing import collector_off, interleaved_rates, interleaved_us, noise_ratio
from walstreet.testing.bench.wire_peers import json_bytes, json_fields
from walstreet_events import Decision, FeatureBlock, OrderFilled, decode, encode


def times_row(ours: list[float], peers: list[float], *, unit: str = "us", target: float = 1.0) -> Row:
    """Return the row of two lists of samples."""
    return make_row(
        name="work",
        size="1",
        unit=unit,
        samples=np.array(ours),
        peer="other",
        peer_samples=np.array(peers),
        target=target,
    )


def test_the_ratio_of_times_is_peer_over_ours() -> None:
    """Half the time is twice as good, and outliers do not move the median."""
    row = times_row([1.0, 2.0, 900.0], [4.0, 4.0, 4.0])
    assert row.median == 2.0
    assert row.ratio == 2.0
    assert row.p99 == pytest.approx(np.percentile([1.0, 2.0, 900.0], 99))


def test_the_ratio_of_rates_is_ours_over_peer() -> None:
    """Twice the rate is twice as good, and p99 is the slow end."""
    row = times_row([10.0, 20.0, 30.0], [10.0, 10.0, 10.0], unit="events/s")
    assert row.ratio == 2.0
    assert row.p99 == pytest.approx(10.2)
    assert row.p99 < row.median


@pytest.mark.parametrize(
    ("ratio", "target", "passes", "meets"),
    [
        (8.0, 8.0, True, True),
        (4.8, 8.0, True, False),
        (4.79, 8.0, False, False),
        (1.0, 1.3, True, False),
        (0.99, 1.3, False, False),
        (0.99, 1.0, False, False),
        (0.42, 0.7, True, False),
        (0.41, 0.7, False, False),
    ],
)
def test_a_row_passes_at_60_percent_and_never_below_its_peer(
    ratio: float, target: float, passes: bool, meets: bool
) -> None:
    """Only where the peer is a floor (target below 1) may ours be slower than it."""
    row = times_row([1.0], [ratio], target=target)
    assert (row.passes, row.meets_target) == (passes, meets)


@pytest.mark.parametrize(("median", "passes"), [(10.0, True), (16.6, True), (16.7, False)])
def test_a_budget_has_the_allowance_for_noise(median: float, passes: bool) -> None:
    """Nobody is overtaken in a budget row, so 60 % of it is enough on a noisy machine."""
    row = budget_row(name="hop", size="1", unit="ms", median=median, p99=median, budget=10.0)
    assert row.passes is passes
    assert row.ratio == 10.0 / median


def test_a_budget_of_a_rate_is_a_lower_bound() -> None:
    """More per second than asked for is a ratio above 1."""
    assert budget_row(name="x", size="1", unit="ticks/s", median=20.0, p99=9.0, budget=5.0).ratio == 4.0


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_number_that_no_measurement_gives_is_refused(value: float) -> None:
    """A stopped clock or an empty run must not become a ratio."""
    with pytest.raises(ValueError, match="median is"):
        Row(name="x", size="1", unit="us", median=value, p99=1.0, peer="p", peer_median=1.0, ratio=1.0, target=1.0)


def test_a_row_without_samples_is_refused() -> None:
    """No samples, no row."""
    with pytest.raises(BenchError, match="no samples"):
        times_row([], [1.0])


def test_sides_take_turns_and_warm_up_is_left_out() -> None:
    """Every side runs every run once, in blocks, and only the runs after the warm-up are returned."""
    calls: list[tuple[str, int]] = []
    times = interleaved_us(
        (lambda run: calls.append(("a", run)), lambda run: calls.append(("b", run))), runs=3, warm_up=2, block=2
    )
    assert times.shape == (2, 3)
    assert (times > 0.0).all()
    expected = [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("a", 2), ("a", 3), ("b", 2), ("b", 3), ("a", 4), ("b", 4)]
    assert calls == expected


def test_rates_count_every_call() -> None:
    """Calls, rounds and warm-up multiply."""
    calls = 0

    def work() -> None:
        nonlocal calls
        calls += 1

    rates = interleaved_rates((work,), calls=5, rounds=4, warm_up=1)
    assert rates.shape == (1, 4)
    assert calls == 25


def test_the_collector_is_off_inside_and_on_again_after_a_failure() -> None:
    """A failing measurement must not leave the process without its garbage collector."""

    def fail() -> None:
        with collector_off():
            assert not gc.isenabled()
            raise BenchError("no")

    with pytest.raises(BenchError):
        fail()
    assert gc.isenabled()


def test_noise_is_a_ratio_above_one() -> None:
    """p99 is never below the median."""
    assert noise_ratio() >= 1.0


def test_the_measured_events_are_of_the_stated_size() -> None:
    """20 symbols by 74 features and more, a fill and a decision, and all survive a round trip."""
    block, fill, decision = sample_events()
    assert isinstance(block, FeatureBlock)
    assert isinstance(fill, OrderFilled)
    assert isinstance(decision, Decision)
    assert block.values.shape[0] == len(decision.symbols) == 20
    for event in (block, fill, decision):
        assert decode(encode(event)) == event


def test_the_json_peer_carries_the_same_numbers() -> None:
    """A peer that leaves fields or array values out would be an unfair race."""
    block = feature_block(3, 4)
    found = json_fields(json_bytes(block))
    assert set(found) == set(block.__struct_fields__)
    np.testing.assert_array_equal(np.array(found["values"]), block.values.array())


def test_bench_bars_are_valid_bars() -> None:
    """High and low enclose open and close, time goes on, and ids differ."""
    blocks = bar_blocks(5, 3)
    assert len({block.id for block in blocks}) == 3
    for block in blocks:
        high, low = block.high_nano.array(), block.low_nano.array()
        for side in (block.open_nano.array(), block.close_nano.array()):
            assert (low <= side).all()
            assert (side <= high).all()


def test_groups_are_chosen_in_the_order_of_the_targets() -> None:
    """The order of the command line does not matter, and no name means every group that exists."""
    assert list(choose(["log", "features"])) == ["features", "log"]
    assert list(choose([])) == [name for name in KNOWN if name in MAKERS]
    with pytest.raises(UnknownGroupError):
        choose(["nothing"])


def test_latency_rows_take_the_sessions_own_figures() -> None:
    """Median and tail of each hop stand against their own budgets; a hop without samples has no row."""
    hop = {"p50": 4.0, "p90": 5.0, "p99": 50.0, "max": 60.0, "samples": 9}
    rows = session_rows({"latency_ms": {"bar_to_decision": hop, "bar_to_order": {"samples": 0}}}, "60 min")
    assert [(row.name, row.median, row.peer_median) for row in rows] == [
        ("bar to decision p50", 4.0, 10.0),
        ("bar to decision p99", 50.0, 25.0),
    ]
    assert [row.passes for row in rows] == [True, False]
    assert rows[0].size == "60 min, 9 samples"


def test_a_session_without_decisions_is_no_measurement() -> None:
    """Nothing decided must not look like no latency."""
    with pytest.raises(BenchError, match="decided nothing"):
        session_rows({"latency_ms": {}}, "60 min")


def test_a_session_that_fails_says_how_it_ended() -> None:
    """The exit code and the end of the output are in the message."""
    program = ("python3", "-c", "import sys; print('no such market'); sys.exit(2)")
    with pytest.raises(BenchError, match=r"(?s)ended with code 2.*no such market"):
        run_session(program, speed="max", minutes=1)


def test_latency_needs_the_command_of_a_session() -> None:
    """Without it the message says who gives it."""
    with pytest.raises(BenchError, match="walstreet bench"):
        run_session((), speed="max", minutes=1)
