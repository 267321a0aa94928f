"""The reference engine by hand, and against a plain reading of the conventions written a second time with pandas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from walstreet.research.swing_engine import ReferenceEngine, _cost, _settled, masked
from walstreet.research.swing_types import DUST, SwingBars, SwingParameters, SwingResult, Window

ENGINE = ReferenceEngine()
NAN = float("nan")
SMALL: dict[str, Any] = {
    "ema_fast": 2,
    "ema_slow": 3,
    "atr_window": 2,
    "corr_window": 2,
    "vol_window": 2,
    "corr_cap": 1.0,
    "hold_bonus": 0.0,
    "band": 0.0,
}


def bars_of(*series: list[float]) -> SwingBars:
    """Return bars of symbols A, B, ... with a range of 2 around the close."""
    close = np.ascontiguousarray(np.array(series, dtype=np.float64).T)
    return SwingBars(
        symbols=tuple("ABCDEFGH"[: len(series)]),
        dates=np.arange(len(close), dtype=np.int32),
        open=close.copy(),
        high=close + 1.0,
        low=close - 1.0,
        close=close,
    )


def run(bars: SwingBars, **changes: Any) -> SwingResult:
    """Return a simulation of the literal strategy with short windows over all days."""
    return ENGINE.simulate(bars, [SwingParameters(**{**SMALL, "last_day": len(bars.dates) - 1, **changes})])


PATH = [100.0, 102.0, 104.0, 108.0, 102.0, 110.0]
"""EMA(2) 100, 101.33, 103.11, 106.37, 103.46, 107.82; EMA(3) 100, 101, 102.5, 105.25, 103.63, 106.81: in on day 2 and
3, out on day 4 (close and fast EMA below), in again on day 5."""
RATE = 0.0001
SHARE = 0.0035


def test_one_symbol_by_hand() -> None:
    """Buy .5 on day 2, restore .5 on day 3, sell the drifted weight on day 4, buy again on day 5."""
    result = run(bars_of(PATH))
    assert result.target[:, 0].tolist() == [0.0, 0.0, 0.5, 0.5, 0.0, 0.5]
    assert result.held[:, 0].tolist() == [0.0, 0.0, 0.5, 0.5, 0.0, 0.5]
    gain, loss = 0.5 * (108 / 104 - 1), 0.5 * (102 / 108 - 1)
    assert result.gross == pytest.approx([0, 0, 0, gain, loss, 0], abs=1e-15)
    grown, fallen = 0.5 * (108 / 104) / (1 + gain), 0.5 * (102 / 108) / (1 + loss)
    assert result.turnover == pytest.approx([0, 0, 0.5, grown - 0.5, fallen, 0.5], abs=1e-15)
    assert grown - 0.5 == pytest.approx(0.009433962264151, abs=1e-12)
    prices = np.array(PATH)
    assert result.cost == pytest.approx(result.turnover * (SHARE / prices + RATE), abs=1e-18)
    assert result.cost[2] == pytest.approx(6.682692307692308e-05, abs=1e-18)
    assert result.net == pytest.approx(result.gross - result.cost, abs=0)
    assert result.equity == pytest.approx(np.cumprod(1 + result.net), abs=1e-15)
    assert result.traded.tolist() == [False, False, True, True, True, True]


def test_inside_the_band_the_book_drifts() -> None:
    """The move of .0094 on day 3 is within .05: no trade, and the drifted weight is held and sold."""
    result = run(bars_of(PATH), band=0.05)
    assert result.traded.tolist() == [False, False, True, False, True, True]
    assert result.held[3, 0] == pytest.approx(0.509433962264151, abs=1e-12)
    assert result.target[3, 0] == 0.5
    assert result.gross[4] == pytest.approx(result.held[3, 0] * (102 / 108 - 1), abs=1e-15)


def test_the_first_simulated_day_starts_flat_with_warm_indicators() -> None:
    """Beginning on day 3, the name is bought there: no return yet, only its cost."""
    result = run(bars_of(PATH), first_day=3)
    assert result.first_day == 3
    assert result.gross[0] == 0.0
    assert result.held[0, 0] == 0.5
    assert result.net[0] == pytest.approx(-0.5 * (SHARE / 108 + RATE), abs=1e-18)
    assert result.equity[0] == 1.0 + result.net[0]


def test_the_least_commission_is_a_share_of_the_equity() -> None:
    """0.5 of 1,000 USD at 104 costs .017 USD of commission, so the least one of .35 USD counts."""
    result = run(bars_of(PATH), commission_minimum_usd=0.35, equity_start_usd=1_000.0)
    assert result.cost[2] == pytest.approx(0.35 / 1_000.0 + 0.5 * RATE, abs=1e-18)
    equity = 1_000.0 * result.equity[2] * (1.0 + result.gross[3])
    assert result.cost[3] == pytest.approx(0.35 / equity + result.turnover[3] * RATE, abs=1e-18)
    assert result.cost[0] == 0.0


def test_a_last_digit_is_no_order() -> None:
    """A move of a trillionth of equity costs its share of a commission, but not the least one of an order."""
    parameters = SwingParameters(first_day=0, last_day=0, commission_minimum_usd=0.35, equity_start_usd=1_000.0)
    dust, order = (_cost(size, 100.0, 1_000.0, parameters) for size in (DUST, 2 * DUST))
    assert dust == pytest.approx(DUST * (SHARE / 100.0 + parameters.slippage_bps / 1e4), rel=1e-9)
    assert order == pytest.approx(0.35 / 1_000.0, rel=1e-9)


def test_a_last_digit_of_missing_cash_cuts_nothing() -> None:
    """Under T+1 the targets are reached when sums differ by rounding alone."""
    drifted, wanted = [(0, 0.5)], [(0, 0.5), (1, 0.5 + DUST / 2)]
    moves = [(0, 0.0), (1, 0.5 + DUST / 2)]
    assert _settled(drifted, wanted, moves) == (moves, wanted, False)
    more = [(0, 0.5), (1, 0.5 + 3 * DUST)]
    assert _settled(drifted, more, [(0, 0.0), (1, 0.5 + 3 * DUST)])[2]


def test_a_held_name_without_a_bar_is_sold_at_its_last_close() -> None:
    """No bar on day 4: return 0, target 0, sold at 108; back on day 5 without any return from the gap."""
    result = run(bars_of([100.0, 102.0, 104.0, 108.0, NAN, 120.0]))
    assert result.target[4, 0] == 0.0
    assert result.gross[4] == 0.0
    assert result.turnover[4] == 0.5
    assert result.cost[4] == pytest.approx(0.5 * (SHARE / 108 + RATE), abs=1e-18)
    assert result.gross[5] == 0.0


def test_a_name_held_through_a_gap_within_the_band_earns_the_whole_move() -> None:
    """Bought above a band of .49, drifted to .485 by day 3, so nothing sells it; day 5 brings 110 / 98."""
    result = run(bars_of([100.0, 102.0, 104.0, 98.0, NAN, 110.0]), band=0.49)
    gross = 0.5 * (98 / 104 - 1)
    drifted = 0.5 * (98 / 104) / (1 + gross)
    assert result.target[:, 0].tolist()[3:5] == [0.0, 0.0]
    assert result.held[3:5, 0] == pytest.approx([drifted, drifted], abs=1e-15)
    assert result.gross[4] == 0.0
    assert result.gross[5] == pytest.approx(drifted * (110 / 98 - 1), abs=1e-15)


SWITCH = ([100.0, 102.0, 104.0, 108.0, 90.0, 80.0], [100.0, 99.0, 98.0, 97.0, 103.0, 110.0])
"""A is bought on day 2 and sold on day 4, when B is bought."""


def test_buys_wait_for_the_proceeds_of_the_same_day_under_t_plus_1() -> None:
    """Day 4 sells A and can spend only the cash there was; day 5 buys the rest whatever the band says."""
    literal = run(bars_of(*SWITCH), max_weight=0.9)
    assert literal.held[4].tolist() == [0.0, 0.9]
    settled = run(bars_of(*SWITCH), max_weight=0.9, settlement="t+1", band=0.05)
    gross = 0.9 * (90 / 108 - 1) if settled.traded[3] else settled.held[3, 0] * (90 / 108 - 1)
    drifted = settled.held[3, 0] * (90 / 108) / (1 + gross)
    assert settled.held[4] == pytest.approx([0.0, 1.0 - drifted], abs=1e-15)
    assert settled.turnover[4] == pytest.approx(drifted + 1.0 - drifted, abs=1e-15)
    assert settled.held[5] == pytest.approx([0.0, 0.9], abs=1e-15)
    assert settled.target.tobytes() == literal.target.tobytes()


def test_a_cut_buy_trades_the_next_day_even_inside_the_band() -> None:
    """With a band of .7 the remainder alone would not move the book."""
    settled = run(bars_of(*SWITCH), max_weight=0.75, settlement="t+1", band=0.7)
    assert 0.0 < settled.held[4, 1] < 0.75
    assert settled.traded[5]
    assert settled.held[5, 1] == 0.75


# ------------------------------------------------------------------------------------------ the plain reading


def plain_features(frame: dict[str, pd.DataFrame], p: SwingParameters) -> dict[str, Any]:
    """Return the indicators of section 6 of the design, by pandas."""
    close, high, low = frame["close"], frame["high"], frame["low"]
    fast = close.ewm(span=p.ema_fast, adjust=False).mean().where(close.expanding().count() >= p.ema_fast)
    slow = close.ewm(span=p.ema_slow, adjust=False).mean().where(close.expanding().count() >= p.ema_slow)
    before = close.shift(1)
    ranges = np.maximum(high - low, np.maximum((high - before).abs(), (low - before).abs()))
    ranges = ranges.where(before.notna(), high - low)
    average = pd.DataFrame(NAN, index=close.index, columns=close.columns)
    for name in close.columns:
        own = ranges[name].dropna()
        value = own.iloc[: p.atr_window].mean()
        for count in range(p.atr_window, len(own) + 1):
            if count > p.atr_window:
                value = (value * (p.atr_window - 1) + own.iloc[count - 1]) / p.atr_window
            average.loc[own.index[count - 1], name] = value
    returns = close.pct_change(fill_method=None)
    score = (close / fast - 1) / np.maximum(average / close, 1e-6)
    volatility = returns.rolling(p.vol_window).std()
    complete = returns.rolling(p.corr_window).count() >= p.corr_window
    ready = close.notna() & fast.notna() & slow.notna() & average.notna() & volatility.notna() & complete
    found = {"fast": fast, "score": score, "vol": volatility, "returns": returns, "ok": ready & (fast > slow)}
    return {name: values.to_numpy() for name, values in {**found, "close": close}.items()}


def plain_target(features: dict[str, Any], day: int, held: set[int], p: SwingParameters) -> Any:
    """Return the target weights of one day."""
    score, close, fast = (features[name][day] for name in ("score", "close", "fast"))
    ranked = []
    for name in np.flatnonzero(features["ok"][day]).tolist():
        keeps = p.hold_bonus > 0 and name in held
        if keeps and score[name] < p.hold_floor:
            continue
        if not keeps and (score[name] < p.min_score or close[name] < fast[name]):
            continue
        ranked.append((-(score[name] + (p.hold_bonus if keeps else 0.0)), name))
    window = features["returns"][day - p.corr_window + 1 : day + 1]
    chosen: list[int] = []
    for _, name in sorted(ranked):
        near = [abs(np.corrcoef(window[:, name], window[:, other])[0, 1]) for other in chosen]
        if len(chosen) < p.top_n and all(value <= p.corr_cap for value in near):
            chosen.append(name)
    target = np.zeros(len(score))
    if not chosen:
        return target
    inverse = 1 / features["vol"][day][chosen].clip(min=1e-9)
    weights = inverse / inverse.sum() * (1 - p.cash_buffer)
    if p.cap_mode == "clip":
        target[chosen] = weights.clip(max=p.max_weight)
        return target
    # Bisection on the level of the water, another way to the same place.
    low, high = 0.0, 1e6
    for _ in range(120):
        level = (low + high) / 2
        filled = (inverse / inverse.sum() * level).clip(max=p.max_weight).sum()
        low, high = (level, high) if filled < 1 - p.cash_buffer else (low, level)
    target[chosen] = (inverse / inverse.sum() * high).clip(max=p.max_weight)
    return target


def plain_simulation(bars: SwingBars, p: SwingParameters) -> dict[str, Any]:
    """Return net returns and weights by the second implementation."""
    frame = {side: pd.DataFrame(getattr(bars, side), columns=list(bars.symbols)) for side in ("high", "low", "close")}
    features = plain_features(frame, p)
    close = features["close"]
    book = np.zeros(close.shape[1])
    rows: dict[str, list[Any]] = {"net": [], "target": [], "held": [], "turnover": []}
    for day in range(p.first_day, p.last_day + 1):
        change = np.nan_to_num(features["returns"][day])
        gross = float((book * change).sum())
        drifted = book * (1 + change) / (1 + gross)
        target = plain_target(features, day, set(np.flatnonzero(drifted > 0).tolist()), p)
        move = np.abs(target - drifted)
        trades = move.max() > p.band
        cost = np.nansum(move * (p.commission_per_share / close[day] + p.slippage_bps / 1e4)) if trades else 0.0
        book = target if trades else drifted
        rows["net"].append(gross - cost)
        rows["turnover"].append(float(move.sum()) if trades else 0.0)
        rows["target"].append(target)
        rows["held"].append(book)
    return {name: np.array(values) for name, values in rows.items()}


@pytest.mark.parametrize("seed", range(6))
def test_the_engine_agrees_with_a_plain_reading(seed: int) -> None:
    """Six random markets with a late symbol, each under another strategy: weights and returns to 1e-9."""
    draw = np.random.default_rng(seed)
    days, symbols = 130, 6
    steps = 0.5 * draw.normal(0.001, 0.012, size=(days, 1)) + draw.normal(0.0, 0.01, size=(days, symbols))
    close = 50.0 * np.cumprod(1.0 + steps, axis=0)
    high, low = close * (1 + draw.uniform(0, 0.01, close.shape)), close * (1 - draw.uniform(0, 0.01, close.shape))
    late = np.zeros(close.shape, dtype=bool)
    late[:60, 2] = True
    sides = {"open": close, "high": high, "low": low, "close": close}
    bars = SwingBars(
        symbols=tuple("ABCDEF"),
        dates=np.arange(days, dtype=np.int32),
        **{name: np.where(late, NAN, side) for name, side in sides.items()},
    )
    parameters = SwingParameters(
        ema_fast=int(draw.integers(2, 12)),
        ema_slow=int(draw.integers(8, 25)),
        atr_window=int(draw.integers(2, 20)),
        corr_window=int(draw.integers(10, 40)),
        vol_window=int(draw.integers(5, 20)),
        top_n=int(draw.integers(1, 5)),
        corr_cap=float(draw.choice([0.2, 0.4, 0.7])),
        max_weight=float(draw.choice([0.3, 0.5])),
        cap_mode="clip" if seed % 2 else "water_fill",
        hold_bonus=float(seed % 3) / 2.0,
        band=0.05 if seed >= 2 else 0.0,
        first_day=seed,
        last_day=days - 1,
    )
    found, plain = ENGINE.simulate(bars, [parameters]), plain_simulation(bars, parameters)
    assert (found.target > 0).any()
    for name in ("target", "held", "turnover", "net"):
        np.testing.assert_allclose(getattr(found, name), plain[name], atol=1e-9, rtol=0, err_msg=name)


# ---------------------------------------------------------------------------------------------- the engine


def test_training_objectives_see_the_window_only() -> None:
    """Later bars do not matter, and the value is that of a simulation of the training rows from flat."""
    draw = np.random.default_rng(1)
    close = 100.0 * np.cumprod(1.0 + draw.normal(0.001, 0.01, size=(60, 3)), axis=0)
    bars = bars_of(*close.T.tolist())
    window = Window(train_first=10, train_last=39, test_first=40, test_last=59)
    grid = [SwingParameters(**{**SMALL, "top_n": n}) for n in (1, 2)]
    values = ENGINE.objectives(bars, grid, [window], "CAGR")
    assert values.shape == (1, 2)
    alone = ENGINE.simulate(bars, [SwingParameters(**{**SMALL, "top_n": 2, "first_day": 10, "last_day": 39})])
    assert values[0, 1] == pytest.approx(float(alone.equity[-1]) ** (252 / 30) - 1, abs=1e-12)
    close[40:] = close[40:] * 2.0
    np.testing.assert_array_equal(ENGINE.objectives(bars_of(*close.T.tolist()), grid, [window], "CAGR"), values)


def test_a_symbol_that_is_not_covered_does_not_exist() -> None:
    """Objectives without a column are those of bars without it."""
    draw = np.random.default_rng(2)
    close = 100.0 * np.cumprod(1.0 + draw.normal(0.001, 0.01, size=(50, 3)), axis=0)
    bars = bars_of(*close.T.tolist())
    window = Window(train_first=5, train_last=45, test_first=46, test_last=49)
    grid = [SwingParameters(**SMALL)]
    exists = np.array([[True, False, True]])
    found = ENGINE.objectives(bars, grid, [window], "Sharpe", covered=exists)
    less = ENGINE.objectives(bars_of(*close.T[[0, 2]].tolist()), grid, [window], "Sharpe")
    np.testing.assert_array_equal(found, less)
    assert np.isnan(masked(bars, exists[0]).open[:, 1]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([], "no segment"),
        ([{"last_day": 6}], "last_day is row 6"),
        ([{"last_day": 2}, {"first_day": 4, "last_day": 5}], "must follow row 2"),
        ([{"last_day": 5, "regime_column": 1}], "regime_column 1"),
    ],
)
def test_segments_that_do_not_fit_are_refused(changes: list[dict[str, Any]], message: str) -> None:
    """The message names the segment's fault."""
    with pytest.raises(ValueError, match=message):
        ENGINE.simulate(bars_of(PATH), [SwingParameters(**{**SMALL, **change}) for change in changes])


def test_bars_that_break_the_conventions_are_refused() -> None:
    """Dates out of order, half a bar, a wrong layout."""
    good = bars_of(PATH)
    sides = {side: getattr(good, side) for side in ("open", "high", "low", "close")}
    with pytest.raises(ValueError, match="strictly increasing"):
        SwingBars(symbols=("A",), dates=good.dates[::-1].copy(), **sides)
    half = good.open.copy()
    half[2] = NAN
    with pytest.raises(ValueError, match="open must be positive where a bar exists"):
        SwingBars(symbols=("A",), dates=good.dates, **{**sides, "open": half})
    with pytest.raises(ValueError, match="close must be float64"):
        SwingBars(symbols=("A",), dates=good.dates, **{**sides, "close": good.close.astype(np.float32)})
