"""Owns the tests of the recorded market: on small files made here, and on the shared real data where present."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from walstreet_services.ibsim.calendar_xnys import session_on
from walstreet_services.ibsim.market_errors import MarketDataError, MarketRequestError
from walstreet_services.ibsim.market_recorded import RecordedMarket

DAY = date(2019, 2, 13)
STEP_NS = 5 * 10**9
MINUTE_NS = 60 * 10**9
REAL_SYMBOLS = ("SPY", "QQQ", "GLD", "AAPL", "AMZN", "JPM", "TSLA", "MSFT")


def minute_frame(days: list[date], minutes: int = 390) -> pl.DataFrame:
    """Make plausible bars for the first minutes of some sessions."""
    rng = np.random.default_rng(3)
    rows = []
    for day in days:
        start = datetime.fromtimestamp(session_on(day).open_ns / 1e9, tz=UTC)
        cents = 10_000 + rng.integers(-5, 6, size=minutes).cumsum()
        for minute, close in enumerate(cents.tolist()):
            rows.append(
                (
                    start + timedelta(minutes=minute),
                    (close + 1) / 100,
                    (close + 3) / 100,
                    (close - 4) / 100,
                    close / 100,
                    int(rng.integers(10, 5_000)),
                )
            )
    return pl.DataFrame(
        rows,
        schema={
            "ts": pl.Datetime("us", "UTC"),
            **dict.fromkeys(("open", "high", "low", "close"), pl.Float64),
            "volume": pl.Int64,
        },
        orient="row",
    )


def write_minutes(folder: Path, symbol: str, frame: pl.DataFrame) -> None:
    """Write one symbol's file where the market looks for it."""
    (folder / "minute").mkdir(exist_ok=True)
    frame.write_parquet(folder / "minute" / f"{symbol}.parquet")


def write_daily(folder: Path, kind: str, symbol: str, closes: dict[date, float]) -> None:
    """Write flat daily bars of 1,000 shares."""
    (folder / kind).mkdir(exist_ok=True)
    frame = pl.DataFrame({"date": list(closes), "close": list(closes.values())})
    prices = [pl.col("close").alias(name) for name in ("open", "high", "low")]
    frame.with_columns(*prices, pl.lit(1_000, dtype=pl.Int64).alias("volume")).write_parquet(
        folder / kind / f"{symbol}.parquet"
    )


def open_market(folder: Path, symbols: tuple[str, ...] = ("AAA",), day: date = DAY) -> RecordedMarket:
    """Open a market of 5-second steps."""
    return RecordedMarket(folder, day, symbols, seed=11, step_ns=STEP_NS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a data folder with one symbol of two sessions."""
    write_minutes(tmp_path, "AAA", minute_frame([date(2019, 2, 12), DAY]))
    return tmp_path


def test_the_steps_repeat_and_their_volume_accumulates(folder: Path) -> None:
    """A step is a function of its index, stamps are step ends, and the volume is the sum of prints."""
    market = open_market(folder)
    assert market.steps_count == 390 * 12
    steps = [market.step(index) for index in range(market.steps_count)]
    assert steps[0].ts_ns == market.session.open_ns + STEP_NS
    assert steps[-1].ts_ns == market.session.close_ns
    assert np.array_equal(market.step(17).bid_nano, steps[17].bid_nano)
    assert steps[-1].volume_micro[0] == sum(int(step.trade_size_micro[0]) for step in steps)
    with pytest.raises(IndexError, match="step 4680 does not exist"):
        market.step(market.steps_count)
    with pytest.raises(ValueError, match="read-only"):
        steps[0].bid_nano[0] = 1


def test_minute_bars_of_the_day_and_of_the_past_are_the_vendors(folder: Path) -> None:
    """Every row of the file comes back, prices and volumes exact, with a weighted price inside the range."""
    market = open_market(folder)
    bars = market.bars(0, start_ns=0, end_ns=market.session.close_ns, bar_seconds=60, what="TRADES")
    rows = pl.read_parquet(folder / "minute" / "AAA.parquet").to_dicts()
    assert len(bars) == len(rows) == 780
    for bar, row in zip(bars, rows, strict=True):
        assert bar.start_ns == round(row["ts"].timestamp()) * 10**9
        assert (bar.open_nano, bar.high_nano, bar.low_nano, bar.close_nano, bar.volume_micro) == (
            *(round(row[name] * 1e9) for name in ("open", "high", "low", "close")),
            row["volume"] * 1_000_000,
        )
        assert bar.low_nano <= bar.wap_nano <= bar.high_nano
        assert 1 <= bar.count <= 12


@pytest.mark.parametrize(("bar_seconds", "count"), [(300, 78), (900, 26), (1800, 13), (3600, 7), (86_400, 1)])
def test_larger_bars_are_aligned_to_the_open(folder: Path, bar_seconds: int, count: int) -> None:
    """Bars start at the open plus whole bars; the last one of an hour is cut by the close."""
    market = open_market(folder)
    session = market.session
    bars = market.bars(0, start_ns=session.open_ns, end_ns=session.close_ns, bar_seconds=bar_seconds, what="TRADES")
    assert [bar.start_ns for bar in bars] == [session.open_ns + index * bar_seconds * 10**9 for index in range(count)]
    minutes = market.bars(0, start_ns=session.open_ns, end_ns=session.close_ns, bar_seconds=60, what="TRADES")
    assert sum(bar.volume_micro for bar in bars) == sum(bar.volume_micro for bar in minutes)
    assert max(bar.high_nano for bar in bars) == max(bar.high_nano for bar in minutes)
    assert bars[-1].close_nano == minutes[-1].close_nano


@pytest.mark.parametrize("what", ["TRADES", "MIDPOINT", "BID", "ASK"])
def test_nothing_after_the_end_is_seen(folder: Path, what: str) -> None:
    """Whatever the instant, bars are complete, and equal to the first ones of the whole answer."""
    market = open_market(folder)
    session = market.session
    everything = market.bars(0, start_ns=0, end_ns=session.close_ns, bar_seconds=300, what=what)
    for offset_ns in (0, 1, 299 * 10**9, 300 * 10**9, 301 * 10**9, 4_000 * 10**9):
        end_ns = session.open_ns + offset_ns
        seen = market.bars(0, start_ns=0, end_ns=end_ns, bar_seconds=300, what=what)
        assert len(seen) == 78 + offset_ns // (300 * 10**9)
        assert seen == everything[: len(seen)]
        assert all(bar.start_ns + 300 * 10**9 <= end_ns for bar in seen)


def test_quote_bars_and_five_second_bars_agree_with_the_steps(folder: Path) -> None:
    """Five-second bars are the steps, and bid, ask and midpoint stay in order."""
    market = open_market(folder)
    session = market.session
    window = {"start_ns": session.open_ns, "end_ns": session.open_ns + MINUTE_NS, "bar_seconds": 5}
    bid, mid, ask = (market.bars(0, what=what, **window) for what in ("BID", "MIDPOINT", "ASK"))
    for index in range(12):
        step = market.step(index)
        assert bid[index].close_nano == step.bid_nano[0]
        assert ask[index].close_nano == step.ask_nano[0]
        assert bid[index].close_nano < mid[index].close_nano < ask[index].close_nano
        assert (bid[index].volume_micro, bid[index].wap_nano, bid[index].count) == (0, 0, 0)
    trades = market.bars(0, what="TRADES", **window)
    assert sum(bar.volume_micro for bar in trades) == int(market.step(11).volume_micro[0])


def test_a_path_does_not_depend_on_its_company(folder: Path) -> None:
    """A symbol has the same steps alone and among others, whatever the order."""
    write_minutes(folder, "BBB", minute_frame([DAY]).with_columns(pl.col("volume") * 3))
    alone = open_market(folder)
    pair = open_market(folder, ("BBB", "AAA"))
    for index in (0, 100, 4_000):
        for name in ("bid_nano", "ask_nano", "trade_nano", "trade_size_micro", "bid_size_micro"):
            assert getattr(alone.step(index), name)[0] == getattr(pair.step(index), name)[1]


def test_the_instrument_knows_only_the_past(folder: Path) -> None:
    """Prior close and average volume come from before the day, from daily files first."""
    first = open_market(folder, day=date(2019, 2, 12)).instruments[0]
    assert (first.prior_close_nano, first.average_daily_volume_micro) == (0, 0)
    second = open_market(folder).instruments[0]
    past = pl.read_parquet(folder / "minute" / "AAA.parquet")[:390]
    assert second.prior_close_nano == round(past["close"][-1] * 1e9)
    assert second.average_daily_volume_micro == past["volume"].sum() * 1_000_000
    write_daily(folder, "daily_raw", "AAA", {date(2019, 2, 11): 99.5, date(2019, 2, 12): 98.5, DAY: 1.0})
    third = open_market(folder).instruments[0]
    assert third.prior_close_nano == 98_500_000_000
    assert third.average_daily_volume_micro == 1_000 * 1_000_000


def test_daily_bars_come_from_the_daily_files_and_end_with_the_played_day(folder: Path) -> None:
    """Past days are the file's; the played day is made of its minutes, and only once it is complete."""
    write_daily(folder, "daily_raw", "AAA", {date(2019, 2, 11): 99.5, date(2019, 2, 12): 98.5, DAY: 1.0})
    market = open_market(folder)
    close_ns = market.session.close_ns
    before = market.bars(0, start_ns=0, end_ns=close_ns - 1, bar_seconds=86_400, what="TRADES")
    assert [bar.close_nano for bar in before] == [99_500_000_000, 98_500_000_000]
    after = market.bars(0, start_ns=0, end_ns=close_ns, bar_seconds=86_400, what="TRADES")
    assert after[:-1] == before
    assert after[-1].close_nano == market.step(market.steps_count - 1).trade_nano[0]


def test_adjusted_bars_are_scaled_to_what_was_known_before_the_day(folder: Path) -> None:
    """The last adjusted close before the day equals the raw one, so that later dividends do not show."""
    earlier = {date(2019, 2, 11): 100.0, date(2019, 2, 12): 98.0}
    write_daily(folder, "daily_raw", "AAA", earlier)
    write_daily(folder, "daily", "AAA", {day: close * 0.9 for day, close in earlier.items()})
    market = open_market(folder)
    bars = market.bars(0, start_ns=0, end_ns=market.session.open_ns, bar_seconds=86_400, what="ADJUSTED_LAST")
    assert [bar.close_nano for bar in bars] == [100_000_000_000, 98_000_000_000]
    with pytest.raises(MarketRequestError, match="ADJUSTED_LAST of AAA in bars of 60 s"):
        market.bars(0, start_ns=0, end_ns=market.session.open_ns, bar_seconds=60, what="ADJUSTED_LAST")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"what": "OPTION"}, "what='OPTION'"),
        ({"bar_seconds": 7}, "bar_seconds=7"),
        ({"instrument_index": 3}, "index 3"),
    ],
)
def test_impossible_requests_are_refused(folder: Path, changes: dict[str, object], message: str) -> None:
    """The message names the value."""
    request = {"instrument_index": 0, "start_ns": 0, "end_ns": 1, "bar_seconds": 60, "what": "TRADES", **changes}
    market = open_market(folder)
    with pytest.raises(MarketRequestError, match=message):
        market.bars(request.pop("instrument_index"), **request)


def test_a_missing_file_names_the_path_and_what_exists(folder: Path) -> None:
    """The reader learns which symbols there are."""
    with pytest.raises(MarketDataError, match=r"minute/ZZZ\.parquet does not exist; .*AAA"):
        open_market(folder, ("ZZZ",))


def test_a_missing_day_names_the_segments(folder: Path) -> None:
    """The reader learns which periods there are."""
    with pytest.raises(MarketDataError, match="no bar of AAA on 2019-02-14; it covers 2019-02-12 to 2019-02-13"):
        open_market(folder, day=date(2019, 2, 14))


def test_a_symbol_named_twice_is_refused(folder: Path) -> None:
    """Two columns of the same symbol are a mistake."""
    with pytest.raises(MarketRequestError, match="named twice"):
        open_market(folder, ("AAA", "AAA"))


FAULTS = {
    "volume is missing": lambda frame: frame.drop("volume"),
    "open is Int64, expected Float64": lambda frame: frame.with_columns(pl.col("open").cast(pl.Int64)),
    r"row 5 .* does not come after row 4": lambda frame: pl.concat([frame[:5], frame[4:]]),
    "row 7 .*high is no price": lambda frame: frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 7).then(float("inf")).otherwise("high").alias("high")
    ),
    "row 8 .*low is no price": lambda frame: frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 8).then(0.0).otherwise("low").alias("low")
    ),
    "row 9 .*high is below low": lambda frame: frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 9).then(50.0).otherwise("high").alias("high")
    ),
    "row 3 .*low is above open or close": lambda frame: frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 3).then(pl.col("high")).otherwise("low").alias("low")
    ),
    "row 2 .*volume is negative = -5": lambda frame: frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 2).then(-5).otherwise("volume").cast(pl.Int64).alias("volume")
    ),
    "close is empty in row 4": lambda frame: frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 4).then(None).otherwise("close").alias("close")
    ),
    "no whole minute": lambda frame: frame.with_columns(pl.col("ts") + timedelta(seconds=1)),
    "must be Datetime in UTC": lambda frame: frame.with_columns(pl.col("ts").dt.replace_time_zone(None)),
    "0 rows": lambda frame: frame[:0],
}


@pytest.mark.parametrize("message", list(FAULTS))
def test_broken_files_are_refused_at_the_exact_place(tmp_path: Path, message: str) -> None:
    """Every fault names the file and the column or row."""
    write_minutes(tmp_path, "AAA", FAULTS[message](minute_frame([DAY], minutes=20)))
    with pytest.raises(MarketDataError, match=rf"AAA\.parquet.*{message}"):
        open_market(tmp_path)


def test_a_file_that_is_no_parquet_is_refused(folder: Path) -> None:
    """The library's error becomes one that says what to do."""
    (folder / "minute" / "BAD.parquet").write_text("not parquet")
    with pytest.raises(MarketDataError, match=r"BAD\.parquet cannot be read as Parquet .*download it again"):
        open_market(folder, ("BAD",))


def test_late_first_bar_and_gaps(tmp_path: Path) -> None:
    """Before the first bar there is no quote; in a gap the quote lives and nothing trades."""
    frame = minute_frame([DAY], minutes=30)
    write_minutes(tmp_path, "AAA", pl.concat([frame[5:10], frame[20:]]))
    market = open_market(tmp_path)
    assert market.step(5 * 12 - 1).bid_nano[0] == 0
    assert market.step(5 * 12).bid_nano[0] > 0
    last = market.step(10 * 12 - 1)
    gap = market.step(15 * 12)
    assert abs(int(gap.bid_nano[0] - last.bid_nano[0])) <= 10_000_000
    assert gap.trade_size_micro[0] == 0
    bars = market.bars(0, start_ns=0, end_ns=market.session.close_ns, bar_seconds=60, what="TRADES")
    assert len(bars) == 15


@pytest.mark.data
@pytest.mark.parametrize("step_ns", [10**9, 15 * 10**9])
def test_real_minutes_are_reproduced_exactly(market_data: Path, step_ns: int) -> None:
    """Re-aggregated steps equal the vendor's rows of 2019-02-13 in every minute of every symbol."""
    market = RecordedMarket(market_data, DAY, REAL_SYMBOLS, seed=5, step_ns=step_ns)
    session, steps = market.session, 60 * 10**9 // step_ns
    table = [market.step(index) for index in range(market.steps_count)]
    price = np.stack([step.trade_nano for step in table]).reshape(390, steps, -1)
    size = np.stack([step.trade_size_micro for step in table]).reshape(390, steps, -1)
    for index, symbol in enumerate(REAL_SYMBOLS):
        frame = pl.read_parquet(market_data / "minute" / f"{symbol}.parquet")
        start_ns = frame["ts"].dt.epoch("ns").to_numpy()
        rows = frame.filter((start_ns >= session.open_ns) & (start_ns < session.close_ns)).to_dicts()
        expected = {(round(row["ts"].timestamp()) * 10**9 - session.open_ns) // MINUTE_NS: row for row in rows}
        traded = set(np.flatnonzero(size[:, :, index].any(axis=1)).tolist())
        assert traded == set(expected)
        for minute, row in expected.items():
            printed = price[minute, :, index][size[minute, :, index] > 0]
            assert (printed[0], printed.max(), printed.min(), printed[-1]) == tuple(
                round(row[name] * 1e9) for name in ("open", "high", "low", "close")
            ), (symbol, minute)
            assert row["volume"] in {0, size[minute, :, index].sum() // 1_000_000}


@pytest.mark.data
def test_real_spreads_and_history_are_plausible(market_data: Path) -> None:
    """SPY is a cent wide, AMZN much wider, and daily history reaches back for years without the future."""
    market = RecordedMarket(market_data, DAY, REAL_SYMBOLS, seed=5, step_ns=STEP_NS)
    width = np.mean([(step.ask_nano - step.bid_nano) / 1e7 for step in map(market.step, range(2_000, 4_000))], axis=0)
    assert width[REAL_SYMBOLS.index("SPY")] < 1.1
    assert 5.0 < width[REAL_SYMBOLS.index("AMZN")] < 80.0
    spy = market.bars(0, start_ns=0, end_ns=market.session.open_ns, bar_seconds=86_400, what="TRADES")
    adjusted = market.bars(0, start_ns=0, end_ns=market.session.open_ns, bar_seconds=86_400, what="ADJUSTED_LAST")
    assert len(spy) == len(adjusted) > 3_900
    assert spy[-1].close_nano == adjusted[-1].close_nano == market.instruments[0].prior_close_nano
    assert adjusted[0].close_nano < spy[0].close_nano
    assert market.instruments[0].sector == "Broad Market"


@pytest.mark.data
def test_real_half_day_is_played(market_data: Path) -> None:
    """Christmas Eve of 2019 has 210 minutes."""
    market = RecordedMarket(market_data, date(2019, 12, 24), ("SPY", "TLT"), seed=5, step_ns=STEP_NS)
    assert market.steps_count == 210 * 12
    assert market.step(market.steps_count - 1).ts_ns == market.session.close_ns
