"""Owns the tests of the path model's single cases; its laws are under tests/property."""

from __future__ import annotations

import numpy as np
import pytest

from walstreet_services.ibsim.market_errors import MarketDataError, MarketRequestError
from walstreet_services.ibsim.market_path import MinuteBars, SessionPath, build_path, steps_per_minute
from walstreet_services.ibsim.market_spread import spread_ticks
from walstreet_services.ibsim.market_streams import Purpose, contract_id, stream

TICK_NANO = 10_000_000


def bars_of(rows: list[tuple[int, int, int, int, int]]) -> MinuteBars:
    """Build bars of (open, high, low, close) in ticks and volume in shares."""
    table = np.array(rows, dtype=np.int64).T
    return MinuteBars(
        present=np.ones(len(rows), dtype=np.bool_),
        open_nano=table[0] * TICK_NANO,
        high_nano=table[1] * TICK_NANO,
        low_nano=table[2] * TICK_NANO,
        close_nano=table[3] * TICK_NANO,
        volume_shares=table[4],
    )


def path_of(bars: MinuteBars, *, steps: int = 12, seed: int = 1, tilt: float = 0.0) -> SessionPath:
    """Build a path with one tilt for all minutes."""
    return build_path(
        bars,
        steps=steps,
        tick_nano=TICK_NANO,
        lot_size=100,
        generator=stream(seed, "UNIT", 738_000, Purpose.PATH),
        buy_tilt=np.full(len(bars.present), tilt),
    )


@pytest.mark.parametrize(("step_ns", "steps"), [(10**9, 60), (5 * 10**9, 12), (15 * 10**9, 4)])
def test_steps_of_a_minute(step_ns: int, steps: int) -> None:
    """Steps of 1, 5 and 15 seconds divide a minute."""
    assert steps_per_minute(step_ns) == steps


@pytest.mark.parametrize("step_ns", [0, -1, 7 * 10**9, 20 * 10**9, 60 * 10**9])
def test_other_steps_are_refused(step_ns: int) -> None:
    """A step that does not divide a minute into at least four is named."""
    with pytest.raises(MarketRequestError, match=f"step_ns={step_ns} is refused"):
        steps_per_minute(step_ns)


@pytest.mark.parametrize(
    ("row", "sizes"),
    [((500, 500, 500, 500, 0), 1), ((500, 502, 500, 502, 0), 2), ((500, 505, 495, 501, 0), 4)],
)
def test_a_bar_without_volume_gets_one_share_per_price(row: tuple[int, int, int, int, int], sizes: int) -> None:
    """The vendor's zero volumes become the smallest volume that shows the bar's prices."""
    path = path_of(bars_of([row]))
    printed = path.trade_nano[path.trade_size_micro > 0] // TICK_NANO
    assert path.trade_size_micro.sum() == sizes * 1_000_000
    assert (printed[0], printed.max(), printed.min(), printed[-1]) == row[:4]


@pytest.mark.parametrize(("volume", "printed"), [(1, [501]), (2, [500, 501]), (3, [500, 505, 501])])
def test_a_volume_of_few_shares_serves_close_then_open_then_high(volume: int, printed: list[int]) -> None:
    """A share prints once, so that three shares cannot show four prices."""
    path = path_of(bars_of([(500, 505, 495, 501, volume)]))
    assert (path.trade_nano[path.trade_size_micro > 0] // TICK_NANO).tolist() == printed


def test_the_order_of_high_and_low_is_a_fair_choice() -> None:
    """Over many minutes the high comes first in about half of them."""
    path = path_of(bars_of([(500, 540, 460, 500, 5_000)] * 390), steps=60)
    printed = path.trade_size_micro.reshape(390, 60) > 0
    price = path.trade_nano.reshape(390, 60)
    lows = np.where(printed, price, np.iinfo(np.int64).max).argmin(axis=1)
    share = float((price.argmax(axis=1) < lows).mean())
    assert 0.4 < share < 0.6


def test_the_tilt_moves_the_order_flow_and_nothing_of_the_bar() -> None:
    """A positive tilt makes most trades buys; volumes stay what they were."""
    bars = bars_of([(500, 510, 490, 503, 50_000)] * 60)
    balanced, tilted = path_of(bars), path_of(bars, tilt=1.0)
    assert abs(float(balanced.trade_side.mean())) < 0.1
    assert float(tilted.trade_side.mean()) > 0.4
    assert np.array_equal(balanced.trade_size_micro, tilted.trade_size_micro)


def test_side_and_price_move_together() -> None:
    """Buys come with rising prices, as in real order flow."""
    path = path_of(bars_of([(5_000, 5_100, 4_900, 5_003, 500_000)] * 200))
    moves = np.diff(path.trade_nano.astype(np.float64))
    assert float(np.corrcoef(moves, path.trade_side[1:])[0, 1]) > 0.2


def test_the_spread_is_wide_at_the_open_and_usual_after_a_quarter_of_an_hour() -> None:
    """The first minute is three times as wide as usual, the sixteenth within a tenth or so."""
    bars = bars_of([(50_000, 50_200, 49_800, 50_000, 100_000)] * 390)
    spread = spread_ticks(bars, tick_nano=TICK_NANO, generator=stream(1, "A", 1, Purpose.PATH))
    usual = float(spread[60:].mean())
    assert 2.7 < spread[0] / usual < 3.3
    assert spread[15:20].mean() < 1.2 * usual


def test_the_spread_follows_the_volatility_of_earlier_minutes_only() -> None:
    """After a wild minute the spread is wider; in the wild minute itself it is not."""
    calm = [(50_000, 50_100, 49_900, 50_000, 100_000)] * 390
    wild = calm.copy()
    wild[200] = (50_000, 52_000, 48_000, 50_000, 100_000)
    before, after = (
        spread_ticks(bars_of(rows), tick_nano=TICK_NANO, generator=stream(1, "A", 1, Purpose.PATH))
        for rows in (calm, wild)
    )
    assert after[201] > 1.2 * before[201]
    assert after[200] <= 1.2 * before[200]


def test_a_path_depends_on_seed_name_and_session() -> None:
    """The same key gives the same path, and every part of the key matters."""
    bars = bars_of([(500, 520, 480, 505, 9_000)] * 5)

    def trades(seed: int, name: str, ordinal: int) -> list[int]:
        generator = stream(seed, name, ordinal, Purpose.PATH)
        path = build_path(bars, steps=12, tick_nano=TICK_NANO, lot_size=100, generator=generator)
        return path.trade_nano.tolist()

    reference = trades(1, "A", 10)
    assert trades(1, "A", 10) == reference
    assert all(other != reference for other in (trades(2, "A", 10), trades(1, "B", 10), trades(1, "A", 11)))


def test_a_price_below_two_ticks_is_refused() -> None:
    """There is no room for a bid under it."""
    with pytest.raises(MarketDataError, match="below 2 ticks"):
        path_of(bars_of([(1, 1, 1, 1, 100)]))


def test_a_session_without_any_bar_is_silent() -> None:
    """No bar means no quote and no trade."""
    bars = bars_of([(500, 500, 500, 500, 100)] * 3)
    bars.present[:] = False
    path = path_of(bars)
    assert not path.bid_nano.any()
    assert not path.trade_size_micro.any()


def test_a_seed_out_of_range_is_refused() -> None:
    """The range is 64 bits."""
    with pytest.raises(MarketRequestError, match="seed -1"):
        stream(-1, "A", 1, Purpose.PATH)


def test_contract_ids_are_stable_positive_and_distinct() -> None:
    """The identifier is a function of the symbol alone."""
    ids = [contract_id(symbol) for symbol in ("SPY", "QQQ", "AAPL", "SYN01", "SYN02")]
    assert ids == [contract_id(symbol) for symbol in ("SPY", "QQQ", "AAPL", "SYN01", "SYN02")]
    assert len(set(ids)) == len(ids)
    assert all(0 < identifier < 2**31 for identifier in ids)
