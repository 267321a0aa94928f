"""Tests of bars from steps, labels, blending and the training of a small zoo that the adapter then loads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from walstreet.adapters.model_zoo import load_zoo
from walstreet.domain.model_manifest import Family, Target
from walstreet.features import FEATURE_COUNT, FeatureParameters
from walstreet.training.blending import blend_weights, correlation, simplex_projection, slope_through_origin
from walstreet.training.dataset import SEQUENCE_ROWS, World, make_world, sample
from walstreet.training.evaluation import unseen_scores
from walstreet.training.labels import barrier_first, forward_return
from walstreet.training.steps import StepTable, bars_from_steps, quote_rule_sides
from walstreet.training.zoo import Plan, train_zoo
from walstreet_events import BarFlag

MINUTE_NS = 60_000_000_000


def _table(trades: list[tuple[int, int, int, int]]) -> StepTable:
    """Return one symbol's steps of 15 s from rows (bid, ask, trade price, size)."""
    columns = np.array(trades, dtype=np.int64)
    return StepTable(
        symbols=("A",),
        open_ns=0,
        step_ns=15_000_000_000,
        bid_nano=columns[:, :1],
        ask_nano=columns[:, 1:2],
        bid_size_micro=np.full((len(columns), 1), 7),
        ask_size_micro=np.full((len(columns), 1), 9),
        trade_nano=columns[:, 2:3],
        trade_size_micro=columns[:, 3:],
    )


def test_bars_from_steps_aggregate_like_the_gateway() -> None:
    """Prices, volume, VWAP, spread, quote and signed volume of a hand-made minute."""
    table = _table([(98, 102, 100, 10), (98, 102, 102, 20), (99, 101, 98, 5), (99, 103, 0, 0)] + [(99, 103, 0, 0)] * 4)
    last = np.array([50], dtype=np.int64)
    full, empty = bars_from_steps(table, bar_ns=MINUTE_NS, last_close_nano=last, quoted=True)
    names = ("open_nano", "high_nano", "low_nano", "close_nano", "volume_micro", "trade_count", "vwap_nano")
    assert [int(getattr(full, name).array()[0]) for name in names] == [100, 102, 98, 98, 35, 3, 101]
    # The first trade has neither a quote before it nor another price; the others are above and below the mid.
    assert int(full.signed_volume_micro.array()[0]) == 20 - 5
    assert int(full.spread_mean_nano.array()[0]) == (4 + 4 + 2 + 4) // 4
    assert (int(full.bid_nano.array()[0]), int(full.ask_nano.array()[0])) == (99, 103)
    assert [int(getattr(empty, name).array()[0]) for name in names] == [98, 98, 98, 98, 0, 0, 98]
    assert int(empty.flags.array()[0]) == BarFlag.EMPTY


def test_history_bars_carry_no_quotes_and_no_flow() -> None:
    """Without quotes, what only quotes tell is zero, and the flag says so."""
    table = _table([(98, 102, 100, 10), (98, 102, 102, 20), (99, 101, 98, 5), (99, 103, 0, 0)])
    (bar,) = bars_from_steps(table, bar_ns=MINUTE_NS, last_close_nano=np.array([50]), quoted=False)
    for name in ("bid_nano", "ask_nano", "signed_volume_micro", "spread_mean_nano", "quote_count", "quote_ts_ns"):
        assert int(getattr(bar, name).array()[0]) == 0
    assert int(bar.flags.array()[0]) == BarFlag.NO_QUOTE
    with pytest.raises(ValueError, match="no multiple of step_ns"):
        list(bars_from_steps(table, bar_ns=MINUTE_NS + 1, last_close_nano=np.array([50]), quoted=False))


def test_the_quote_rule_uses_the_quote_before_the_trade() -> None:
    """At the mid the last different price decides."""
    table = _table([(98, 102, 99, 1), (98, 102, 100, 1), (98, 102, 100, 1), (96, 100, 101, 1), (96, 100, 95, 0)])
    assert quote_rule_sides(table)[:, 0].tolist() == [0, 1, 1, 1, 0]


def test_forward_returns_are_scaled_clipped_and_stay_in_the_session() -> None:
    """A move of one sigma over the horizon is one; the last bars have no label."""
    close = 100.0 * np.exp(np.array([[0.0], [0.002], [0.004], [0.5]]))
    sigma = np.full((4, 1), 10.0)
    labels = forward_return(close, sigma, horizon_bars=2, bar_minutes=10.0)
    np.testing.assert_allclose(labels[:, 0], [40.0 / (10.0 * 2.0), 5.0, np.nan, np.nan], rtol=1e-9)


def test_barriers_know_stop_target_tie_and_their_mirror() -> None:
    """Peak is the lower barrier first, a tie is the stop, none is 0; valley is the mirror image."""
    close = np.full((2, 6), 100.0)
    sigma = np.full((2, 6), 100.0)
    # Stop 1 % and target 1.5 % away, over one 5-minute bar.
    high = np.array([np.full(6, 100.0), [100.5, 101.6, 101.6, 100.2, 101.1, 101.1]])
    low = np.array([np.full(6, 100.0), [98.9, 99.5, 98.9, 99.8, 98.4, 99.9]])
    options = {"horizon_bars": 1, "bar_minutes": 5.0}
    peak = barrier_first(high, low, close, sigma, lower=True, **options)
    valley = barrier_first(high, low, close, sigma, lower=False, **options)
    np.testing.assert_array_equal(peak[0], [1, 0, 1, 0, 1, 0])
    np.testing.assert_array_equal(valley[0], [0, 1, 1, 0, 1, 1])
    assert np.isnan(peak[1]).all()
    mirrored = barrier_first(200.0 - low, 200.0 - high, close, sigma, lower=False, **options)
    np.testing.assert_array_equal(mirrored[0], peak[0])


def test_the_first_barrier_ends_the_path() -> None:
    """A stop after the target was reached does not count."""
    high = np.array([[100.0], [101.6], [100.0]])
    low = np.array([[100.0], [99.9], [98.0]])
    labels = barrier_first(
        high, low, np.full((3, 1), 100.0), np.full((3, 1), 70.0), horizon_bars=2, bar_minutes=5.0, lower=True
    )
    assert labels[0, 0] == 0.0


def test_blend_statistics() -> None:
    """The documents' projection example, a slope without intercept, and a blend that ignores noise."""
    np.testing.assert_allclose(simplex_projection(np.array([0.9, 0.5, 0.1, -0.4])), [0.7, 0.3, 0.0, 0.0], atol=1e-12)
    assert slope_through_origin(np.array([1.0, 2.0, np.nan]), np.array([2.0, 4.0, 9.0])) == 2.0
    assert slope_through_origin(np.zeros(2), np.ones(2)) == 0.0
    assert correlation(np.ones(3), np.arange(3.0)) == 0.0
    rng = np.random.default_rng(4)
    signal, noise = rng.normal(size=5000), rng.normal(size=5000)
    weights = blend_weights(np.stack([signal, noise], axis=1), signal + rng.normal(size=5000))
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] > 0.9


def _world(seed: int) -> World:
    """Return two random sessions in which order flow leads the price by some minutes."""
    rng = np.random.default_rng(seed)
    sessions = []
    price = 100.0
    for day in range(2):
        steps, width = 390 * 4, 4
        state = np.zeros((steps, width))
        for step in range(1, steps):
            state[step] = 0.98 * state[step - 1] + 0.2 * rng.normal(size=width)
        moves = 4e-5 * np.roll(state, 1, axis=0) + 2e-4 * rng.normal(size=(steps, width))
        mid = np.rint(price * np.exp(np.cumsum(moves, axis=0)) * 100).astype(np.int64) * 10_000_000
        side = np.where(rng.normal(size=(steps, width)) + state > 0, 1, -1)
        bid, ask = mid - 10_000_000, mid + 10_000_000
        table = StepTable(
            symbols=("A", "B", "C", "D"),
            open_ns=day * 86_400_000_000_000 + MINUTE_NS,
            step_ns=15_000_000_000,
            bid_nano=bid,
            ask_nano=ask,
            bid_size_micro=np.full(bid.shape, 10**8),
            ask_size_micro=np.full(bid.shape, 10**8),
            trade_nano=np.where(side > 0, np.roll(ask, 1, axis=0), np.roll(bid, 1, axis=0)),
            trade_size_micro=rng.integers(1, 100, bid.shape) * 10**6,
        )
        table.trade_nano[0] = mid[0]
        last = np.zeros(width, dtype=np.int64)
        sessions.append(tuple(bars_from_steps(table, bar_ns=MINUTE_NS, last_close_nano=last, quoted=True)))
    return make_world(f"test {seed}", sessions, FeatureParameters(), return_horizons=(15,), barrier_horizons=(15,))


@pytest.fixture(name="worlds", scope="module")
def fixture_worlds() -> tuple[World, ...]:
    """Return four small worlds: three to train on, one unseen."""
    return tuple(_world(seed) for seed in (1, 2, 3, 4))


def test_samples_hold_whole_windows_of_the_same_rows(worlds: tuple[World, ...]) -> None:
    """The last row of a window is the row itself, the warm-up session is never sampled."""
    rows = sample(worlds[:2], every_bars=7)
    assert rows.bar.min() >= 390
    numbers = np.array([0, len(rows) // 2, len(rows) - 1])
    windows = rows.windows(numbers)
    assert windows.shape == (3, SEQUENCE_ROWS, FEATURE_COUNT)
    np.testing.assert_array_equal(windows[:, -1], rows.matrix()[numbers])
    assert np.isfinite(windows).all()
    assert len(np.unique(rows.time_key())) == len(rows) // 4


def _train(folder: Path, worlds: tuple[World, ...]) -> tuple[object, ...]:
    plans = (
        Plan(family=Family.LIGHTGBM, target=Target.RETURN, horizon_minutes=15),
        Plan(family=Family.MLP, target=Target.RETURN, horizon_minutes=15),
        Plan(family=Family.CNN1D, target=Target.RETURN, horizon_minutes=15, length=SEQUENCE_ROWS),
        Plan(family=Family.LIGHTGBM, target=Target.PEAK, horizon_minutes=15),
    )
    _, reports = train_zoo(
        folder,
        worlds,
        seed=5,
        trained_on="a test",
        training_first="2024-01-01",
        training_last="2024-01-03",
        code_version="test",
        plans=plans,
    )
    return reports


def test_a_trained_zoo_is_loaded_by_the_adapter_and_gives_the_trainers_numbers(
    tmp_path: Path, worlds: tuple[World, ...]
) -> None:
    """What the trainer computed in NumPy and the runtime computes from the file agree on unseen rows."""
    reports = _train(tmp_path, worlds[:3])
    zoo = load_zoo(tmp_path, schema_hash=worlds[0].schema_hash, feature_count=FEATURE_COUNT)
    unseen = sample(worlds[3:], every_bars=11)
    numbers = np.arange(len(unseen))
    by_name = {report.plan.name: report for report in reports}
    assert "lightgbm_return_15" in [entry.name for entry in zoo.entries]
    for index, entry in enumerate(zoo.entries):
        matrix = unseen.windows(numbers) if entry.sequence_length else unseen.matrix()
        expected = by_name[entry.name].slope * by_name[entry.name].model.scores(unseen, numbers)
        np.testing.assert_allclose(zoo.predict(index, matrix.astype(np.float64)), expected, atol=1e-5)
    weights = [entry.weight_oof for entry in zoo.entries if entry.target is Target.RETURN]
    assert sum(weights) == pytest.approx(1.0)
    scores = {score.name: score for score in unseen_scores(reports, worlds[3:])}
    assert scores["lightgbm_return_15"].ic > 2.0 * scores["lightgbm_return_15"].standard_error


def test_boosted_models_are_reproducible_to_the_byte(tmp_path: Path, worlds: tuple[World, ...]) -> None:
    """Training twice with one seed writes the same files."""
    for name in ("one", "two"):
        _train(tmp_path / name, worlds[:3])
    files = sorted(path.name for path in (tmp_path / "one").glob("lightgbm*.txt"))
    assert files
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_training_refuses_too_few_worlds(tmp_path: Path, worlds: tuple[World, ...]) -> None:
    """Folds are whole worlds, so there must be one for each."""
    with pytest.raises(ValueError, match="2 worlds are fewer than the 3 folds"):
        _train(tmp_path, worlds[:2])
    with pytest.raises(ValueError, match="has no session"):
        make_world("none", (), FeatureParameters(), return_horizons=(), barrier_horizons=())
