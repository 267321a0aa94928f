"""Tests of feature values against independent calculations, of sessions, gaps and unusable bars.

They cover walstreet.features.builder with its parts groups and groups_flow.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from walstreet.features import FEATURE_COUNT, FEATURE_NAMES, FEATURES, FeatureBuilder, FeatureParameters, schema_hash
from walstreet.features.table import feature_table_markdown
from walstreet_events import BarBlock, InstrumentRef, SessionRef, int_block

MINUTE_NS = 60_000_000_000
ROOT = Path(__file__).parents[3]
BarSource = Callable[..., list[BarBlock]]


def _builder(bars: list[BarBlock]) -> FeatureBuilder:
    return FeatureBuilder(bars[0].symbols, FeatureParameters(), bar_ns=MINUTE_NS)


def _column(values: np.ndarray, name: str) -> np.ndarray:
    return values[:, FEATURE_NAMES.index(name)]


def _prices(bars: list[BarBlock], name: str) -> np.ndarray:
    return np.stack([getattr(bar, name).array() for bar in bars]) / 1e9


def _unit(returns: np.ndarray) -> np.ndarray:
    mean = np.zeros(returns.shape[1])
    for count, row in enumerate(returns, start=1):
        mean += max(2 / 61, 1 / count) * (row**2 - mean)
    return np.sqrt(mean)


def test_price_features_equal_an_independent_calculation(make_bars: BarSource) -> None:
    """Returns, Bollinger, window position, RSI and efficiency agree with formulas on whole arrays."""
    bars = make_bars(minutes=200)
    row = [builder.update(bar) for builder in [_builder(bars)] for bar in bars][-1]
    close, high, low, open_ = (_prices(bars, f"{name}_nano") for name in ("close", "high", "low", "open"))
    returns = np.log(close / np.vstack([open_[:1], close[:-1]]))
    unit = _unit(returns)
    for count in (1, 5, 30, 120):
        expected = returns[-count:].sum(axis=0) / (unit * np.sqrt(count))
        np.testing.assert_allclose(_column(row.values, f"ret_{count}"), expected, rtol=1e-9)
    logs = np.log(close[-20:])
    expected = (logs[-1] - logs.mean(axis=0)) / logs.std(axis=0)
    np.testing.assert_allclose(_column(row.values, "bollinger_20"), expected, rtol=1e-7)
    top, bottom = np.log(high[-60:]).max(axis=0), np.log(low[-60:]).min(axis=0)
    expected = 2 * (np.log(close[-1]) - bottom) / (top - bottom) - 1
    np.testing.assert_allclose(_column(row.values, "position_60"), expected, rtol=1e-8)
    expected = returns[-30:].sum(axis=0) / np.abs(returns[-30:]).sum(axis=0)
    np.testing.assert_allclose(_column(row.values, "efficiency_30"), expected, rtol=1e-9)


def test_flow_and_quote_features_equal_an_independent_calculation(make_bars: BarSource) -> None:
    """Flow, session VWAP distance, book imbalance and spread agree with formulas on whole arrays."""
    bars = make_bars(minutes=150)
    builder = _builder(bars)
    row = [builder.update(bar) for bar in bars][-1]
    volume, signed = (_prices(bars, name) for name in ("volume_micro", "signed_volume_micro"))
    mean_signed, mean_volume = np.zeros(3), np.zeros(3)
    for count, (one, two) in enumerate(zip(signed, volume, strict=True), start=1):
        weight = max(2 / 11, 1 / count)
        mean_signed += weight * (one - mean_signed)
        mean_volume += weight * (two - mean_volume)
    np.testing.assert_allclose(_column(row.values, "flow_10"), mean_signed / mean_volume, rtol=1e-9)
    bid_size, ask_size = bars[-1].bid_size_micro.array(), bars[-1].ask_size_micro.array()
    np.testing.assert_allclose(_column(row.values, "book_1"), (bid_size - ask_size) / (bid_size + ask_size), rtol=1e-12)
    bid, ask = bars[-1].bid_nano.array(), bars[-1].ask_nano.array()
    expected = 1e4 * bars[-1].spread_mean_nano.array() / ((bid + ask) / 2)
    np.testing.assert_allclose(row.spread_bps, expected, rtol=1e-12)
    expected = np.log(expected) - np.median(np.log(expected))
    np.testing.assert_allclose(_column(row.values, "spread_relative"), expected, atol=1e-12)


def test_residual_returns_sum_to_the_return_less_beta_times_the_market(make_bars: BarSource) -> None:
    """The newest residual uses the beta that was known before the bar."""
    bars = make_bars(minutes=130)
    builder = _builder(bars)
    rows = [builder.update(bar) for bar in bars]
    close, open_ = _prices(bars, "close_nano"), _prices(bars, "open_nano")
    returns = np.log(close / np.vstack([open_[:1], close[:-1]]))
    before = _column(rows[-2].values, "beta")
    residual = _column(rows[-1].values, "residual_1") * _unit(returns)
    np.testing.assert_allclose(residual, returns[-1] - before * returns[-1].mean(), rtol=1e-8)


def test_rows_are_complete_after_the_longest_window(make_bars: BarSource) -> None:
    """The first complete row is the one of bar 120, quotes or not."""
    for quoted in (True, False):
        bars = make_bars(minutes=125, quoted=quoted)
        builder = _builder(bars)
        complete = [bool(builder.update(bar).complete.all()) for bar in bars]
        assert complete == [False] * 119 + [True] * 6


def test_history_without_quotes_gives_neutral_quote_features(make_bars: BarSource) -> None:
    """Warm-up bars say that no quote is known, put 0 for what only quotes tell and publish no spread."""
    bars = make_bars(minutes=125, quoted=False)
    builder = _builder(bars)
    row = [builder.update(bar) for bar in bars][-1]
    for name in (
        "quote_known",
        "spread_relative",
        "spread_change",
        "spread_in_sigma_relative",
        "book_1",
        "touch",
        "flow_10",
    ):
        np.testing.assert_array_equal(_column(row.values, name), np.zeros(3))
    assert np.isnan(row.spread_bps).all()


def test_the_night_is_a_gap_and_no_return(make_bars: BarSource) -> None:
    """A price that jumps overnight shows in ``gap`` only; volatility and returns go on as if it had not."""
    first, second = make_bars(minutes=390), make_bars(minutes=30, day=1)
    builder = _builder(first)
    before = [builder.update(bar) for bar in first][-1]
    rows = [builder.update(bar) for bar in second]
    jump = np.log(second[0].open_nano.array() / first[-1].close_nano.array())
    assert (np.abs(jump) > 0.02).all()
    assert (np.abs(_column(rows[0].values, "ret_1")) < 5.0).all()
    assert (rows[-1].sigma_5m_bps < 2.0 * before.sigma_5m_bps).all()
    gap = _column(rows[0].values, "gap")
    assert (np.sign(gap) == np.sign(jump)).all()
    assert (gap > 1.0).all()
    assert _column(rows[0].values, "since_open")[0] == pytest.approx(1 / 390)


def test_sessions_reset_what_accumulates_over_a_day(make_bars: BarSource) -> None:
    """The distance from the session's VWAP on the second day does not know the first day."""
    first, second = make_bars(minutes=390), make_bars(minutes=3, day=1)
    builder = _builder(first)
    rows = [builder.update(bar) for bar in [*first, *second]]
    volume, vwap = _prices(second, "volume_micro"), _prices(second, "vwap_nano")
    session_vwap = (volume * vwap).sum(axis=0) / volume.sum(axis=0)
    expected = np.sign(np.log(_prices(second, "close_nano")[-1] / session_vwap))
    np.testing.assert_array_equal(np.sign(_column(rows[-1].values, "vwap_distance_day")), expected)


def test_prior_close_gives_the_gap_where_history_does_not(make_bars: BarSource) -> None:
    """Without an earlier session the instrument's prior close counts; unknown is 0."""
    bars = make_bars(minutes=40)
    builder = _builder(bars)
    instrument = InstrumentRef(
        id="0" * 32,
        cause="0" * 32,
        ts_ns=0,
        symbol="S01",
        con_id=1,
        exchange="SMART",
        primary_exchange="NYSE",
        currency="USD",
        sector="",
        min_tick_nano=10_000_000,
        lot_micro=100_000_000,
        prior_close_nano=int(bars[0].open_nano.array()[1] / 1.01),
        average_daily_volume_micro=0,
    )
    builder.describe_instrument(instrument)
    gap = _column([builder.update(bar) for bar in bars][-1].values, "gap")
    assert gap[0] == 0.0
    assert gap[1] > 0.0


def test_early_close_is_taken_from_the_session(make_bars: BarSource) -> None:
    """Minutes to the close count to the described close."""
    bars = make_bars(minutes=40)
    builder = _builder(bars)
    open_ns = bars[0].ts_ns - MINUTE_NS
    builder.describe_session(
        SessionRef(
            id="0" * 32,
            cause="0" * 32,
            ts_ns=0,
            session_date="2024-03-05",
            open_ns=open_ns,
            close_ns=open_ns + 210 * MINUTE_NS,
            symbols=bars[0].symbols,
            bar_ns=MINUTE_NS,
            market="synthetic",
        )
    )
    row = [builder.update(bar) for bar in bars][-1]
    assert _column(row.values, "to_close")[0] == pytest.approx(170 / 390)


def test_empty_bars_let_volume_features_decay(make_bars: BarSource) -> None:
    """Minutes without a trade are zero volume, not missing volume."""
    busy = make_bars(minutes=150)
    silent = [
        msgspec.structs.replace(bar, ts_ns=busy[-1].ts_ns + (index + 1) * MINUTE_NS)
        for index, bar in enumerate(make_bars(minutes=20, activity=0.0))
    ]
    builder = _builder(busy)
    rows = [builder.update(bar) for bar in [*busy, *silent]]
    pace = [_column(row.values, "volume_pace_5")[0] for row in rows[-21:]]
    assert all(later < earlier for earlier, later in itertools.pairwise(pace))
    assert rows[-1].complete.all()


def test_an_unusable_bar_is_not_ready_and_does_no_lasting_harm(make_bars: BarSource) -> None:
    """A contradictory bar of one symbol fails that symbol for that bar only."""
    bars = make_bars(minutes=140)
    broken = bars[130].high_nano.array().copy()
    broken[1] = 1
    bars[130] = msgspec.structs.replace(bars[130], high_nano=int_block(broken))
    builder = _builder(bars)
    rows = [builder.update(bar) for bar in bars]
    assert rows[130].complete.tolist() == [True, False, True]
    assert all(row.complete.all() for row in rows[131:])


def test_a_symbol_without_any_price_never_becomes_ready(make_bars: BarSource) -> None:
    """Zero prices are missing prices; the other symbols go on."""
    bars = make_bars(minutes=125)
    zeroed = []
    for bar in bars:
        fields = {}
        for name in ("open_nano", "high_nano", "low_nano", "close_nano"):
            values = getattr(bar, name).array().copy()
            values[0] = 0
            fields[name] = int_block(values)
        zeroed.append(msgspec.structs.replace(bar, **fields))
    builder = _builder(zeroed)
    row = [builder.update(bar) for bar in zeroed][-1]
    assert row.complete.tolist() == [False, True, True]
    assert np.isnan(row.sigma_5m_bps[0])


def test_wrong_bars_are_refused_with_a_reason(make_bars: BarSource) -> None:
    """Other symbols, another bar size, an older bar and a wrong shape are malformed events."""
    bars = make_bars(minutes=3)
    builder = _builder(bars)
    builder.update(bars[1])
    with pytest.raises(ValueError, match="not after the newest bar"):
        builder.update(bars[0])
    with pytest.raises(ValueError, match="symbols change only with a new SessionRef"):
        builder.update(msgspec.structs.replace(bars[2], symbols=("A", "B", "C")))
    with pytest.raises(ValueError, match="use one size"):
        builder.update(msgspec.structs.replace(bars[2], bar_ns=2 * MINUTE_NS))
    with pytest.raises(ValueError, match="close_nano has shape"):
        builder.update(msgspec.structs.replace(bars[2], close_nano=int_block([1, 2])))
    with pytest.raises(ValueError, match="stands twice"):
        FeatureBuilder(("A", "A"), FeatureParameters(), bar_ns=MINUTE_NS)


def test_schema_hash_follows_names_order_parameters_and_bar_size() -> None:
    """Whatever changes the meaning of a column changes the hash."""
    base = schema_hash(FEATURES, FeatureParameters(), bar_ns=MINUTE_NS)
    others = [
        schema_hash(FEATURES[::-1], FeatureParameters(), bar_ns=MINUTE_NS),
        schema_hash(FEATURES, FeatureParameters(value_limit=9.0), bar_ns=MINUTE_NS),
        schema_hash(FEATURES, FeatureParameters(), bar_ns=5 * MINUTE_NS),
    ]
    assert len({base, *others}) == 4
    assert base == schema_hash(FEATURES, FeatureParameters(), bar_ns=MINUTE_NS)
    assert FEATURE_COUNT >= 50


def test_the_documented_table_is_the_registry() -> None:
    """docs/FEATURES.md holds exactly the table that the registry generates."""
    assert feature_table_markdown() in (ROOT / "docs" / "FEATURES.md").read_text()
