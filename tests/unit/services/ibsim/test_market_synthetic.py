"""Owns the tests of the synthetic market: one world per seed, plausible statistics, a signal with a switch."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from walstreet_services.ibsim.calendar_xnys import previous_sessions, session_on
from walstreet_services.ibsim.market_errors import MarketRequestError
from walstreet_services.ibsim.market_symbols import DEFAULT_SYMBOLS, spec_of
from walstreet_services.ibsim.market_synthetic import SyntheticMarket
from walstreet_services.ibsim.market_world import planted_drift

DAY = date(2024, 3, 6)
STEP_NS = 5 * 10**9
STEPS = 12
FIELDS = ("bid_nano", "ask_nano", "bid_size_micro", "trade_nano", "trade_size_micro", "trade_side")
HORIZON_MINUTES = 30


def market_of(
    symbols: tuple[str, ...] = ("SYN01", "SYN09"),
    *,
    seed: int = 4,
    day: date = DAY,
    minutes: int = 390,
    history_sessions: int = 2,
    planted: float = 0.22,
) -> SyntheticMarket:
    """Open a small market of 5-second steps."""
    return SyntheticMarket(
        symbols,
        seed=seed,
        day=day,
        step_ns=STEP_NS,
        minutes=minutes,
        history_sessions=history_sessions,
        planted=planted,
    )


def test_the_default_universe_has_twenty_symbols_in_five_sectors() -> None:
    """Every default symbol has a plausible contract."""
    market = SyntheticMarket(seed=1, day=DAY, step_ns=15 * 10**9)
    assert [instrument.symbol for instrument in market.instruments] == list(DEFAULT_SYMBOLS)
    assert len({instrument.sector for instrument in market.instruments}) == 5
    for instrument in market.instruments:
        spec = spec_of(instrument.symbol)
        assert 0.4 < instrument.prior_close_nano / 1e9 / spec.price_dollars < 2.5
        assert 0.6 < instrument.average_daily_volume_micro / 1e6 / spec.daily_volume_shares < 1.7


@pytest.mark.parametrize(
    "other",
    [
        {"symbols": ("SYN09",)},
        {"symbols": ("TSLA", "SYN09", "SYN02")},
        {"minutes": 45},
        {"history_sessions": 25},
        {"history_sessions": 0},
    ],
    ids=str,
)
def test_prices_do_not_depend_on_company_length_or_history(other: dict[str, object]) -> None:
    """The same seed gives the same steps for any subset, any length of play and any depth of history."""
    reference, variant = market_of(), market_of(**other)
    column = [instrument.symbol for instrument in variant.instruments].index("SYN09")
    for index in (0, 7, 45 * STEPS - 1):
        for field in FIELDS:
            assert getattr(reference.step(index), field)[1] == getattr(variant.step(index), field)[column]
    assert reference.instruments[1] == variant.instruments[column]


def test_yesterday_is_the_same_looked_back_at_as_it_was_played() -> None:
    """Playing day after day is one world: history, prior close and played steps agree."""
    yesterday = previous_sessions(DAY, 1)[0]
    played, today = market_of(day=yesterday.date), market_of()
    window = {"start_ns": yesterday.open_ns, "end_ns": yesterday.close_ns, "bar_seconds": 60}
    for what in ("TRADES", "MIDPOINT"):
        assert played.bars(0, what=what, **window) == today.bars(0, what=what, **window) != ()
    last = played.bars(0, what="TRADES", **window)[-1]
    assert today.instruments[0].prior_close_nano == last.close_nano
    assert np.array_equal(today.planted_signal(yesterday), played.planted_signal())


def test_other_seeds_are_other_worlds() -> None:
    """Prices of two seeds differ."""
    first, second = market_of(seed=1), market_of(seed=2)
    assert first.step(100).trade_nano.tolist() != second.step(100).trade_nano.tolist()


def test_a_shortened_market_ends_early_and_shows_nothing_later() -> None:
    """Bars stop where the play stops, although the exchange's session goes on."""
    market = market_of(minutes=30)
    assert market.steps_count == 30 * STEPS
    assert market.session == session_on(DAY)
    bars = market.bars(0, start_ns=market.session.open_ns, end_ns=2**62, bar_seconds=60, what="TRADES")
    assert len(bars) == 30


def test_a_half_day_has_its_own_length() -> None:
    """Minutes beyond an early close do not exist."""
    market = market_of(day=date(2024, 7, 3))
    assert market.steps_count == 210 * STEPS
    assert market.planted_signal().shape == (210, 2)
    assert (market.step(market.steps_count - 1).bid_nano > 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"minutes": 0}, "minutes=0"),
        ({"history_sessions": -1}, "history_sessions=-1"),
        ({"history_sessions": 10_000}, "history_sessions=10000"),
        ({"planted": -0.1}, "planted=-0.1"),
        ({"planted": 0.6}, "planted=0.6"),
        ({"symbols": ()}, "0 symbols"),
        ({"symbols": ("SYN01", "SYN01")}, "named twice"),
        ({"day": date(2024, 3, 9)}, "no trading day"),
        ({"seed": -3}, "seed -3"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, object], message: str) -> None:
    """The message names the argument and its value."""
    with pytest.raises(MarketRequestError, match=message):
        market_of(**arguments)


def test_a_session_that_was_not_generated_is_refused() -> None:
    """The message names what there is."""
    with pytest.raises(MarketRequestError, match="2020-01-02 was not generated"):
        market_of().planted_signal(session_on(date(2020, 1, 2)))


def test_volatility_and_volume_are_u_shaped_clustered_and_correlated_across_symbols() -> None:
    """Over sixty sessions: busy edges, gaps, fat tails, clustering of absolute returns, a market factor."""
    market = market_of(("SYN01", "SYN02", "SYN17"), history_sessions=60)
    returns, volumes, gaps = [], [], []
    for index in range(3):
        bars = market.bars(index, start_ns=0, end_ns=market.session.open_ns, bar_seconds=60, what="TRADES")
        close = np.log([bar.close_nano for bar in bars]).reshape(60, 390)
        opens = np.log([bar.open_nano for bar in bars]).reshape(60, 390)
        returns.append(np.diff(close, axis=1))
        volumes.append(np.array([bar.volume_micro for bar in bars]).reshape(60, 390))
        gaps.append(opens[1:, 0] - close[:-1, -1])
    first = returns[0]
    scale = first.std(axis=0)
    assert scale[:15].mean() > 1.4 * scale[150:250].mean()
    assert scale[-10:].mean() > 1.1 * scale[150:250].mean()
    profile = volumes[0].mean(axis=0)
    assert profile[:10].mean() > 1.8 * profile[150:250].mean() < profile[-10:].mean()
    calm = (first / scale).ravel()
    assert float((calm**4).mean() / (calm**2).mean() ** 2) > 3.3
    size = np.abs(first / scale)
    assert float(np.corrcoef(size[:, 1:].ravel(), size[:, :-1].ravel())[0, 1]) > 0.05
    half_hours = [values[:, : 12 * 30].reshape(60, 12, 30).sum(axis=2).ravel() for values in returns]
    same_sector, other_sector = (np.corrcoef(half_hours[0], half_hours[other])[0, 1] for other in (1, 2))
    assert same_sector > other_sector > 0.1
    daily = float(first.sum(axis=1).std())
    assert 0.008 < daily < 0.03
    assert 0.2 < float(gaps[0].std()) / daily < 0.8


def test_without_the_planted_drift_flow_and_volumes_keep_their_law() -> None:
    """Switching the signal off changes prices by the drift alone: signal, sides' mean and sizes stay."""
    on, off = market_of(planted=0.22), market_of(planted=0.0)
    assert np.array_equal(on.planted_signal(), off.planted_signal())
    assert planted_drift(0.0) == 0.0
    flows = []
    for market in (on, off):
        path = market.session_path(0, market.session)
        flows.append(path.trade_side.reshape(-1, STEPS).mean(axis=1))
        signal = market.planted_signal()[:, 0]
        assert float(np.corrcoef(flows[-1], signal)[0, 1]) > 0.4
    assert float(np.corrcoef(*flows)[0, 1]) > 0.9


def observed(market: SyntheticMarket, sessions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features, next half-hour returns and the hidden state, shapes (sessions, symbols, minutes[, 5]).

    Features use only what a client sees by the end of the minute: whether trades printed above or below the
    middle of the quote, and past closes.
    """
    features, targets, hidden = [], [], []
    for session in (*previous_sessions(DAY, sessions - 1), market.session):
        flow, close = [], []
        for index in range(len(market.instruments)):
            path = market.session_path(index, session)
            shares = path.trade_size_micro.reshape(-1, STEPS) / 1e6
            sides = np.sign(2 * path.trade_nano - path.bid_nano - path.ask_nano).reshape(-1, STEPS)
            flow.append((shares * sides).sum(axis=1) / np.maximum(shares.sum(axis=1), 1.0))
            close.append(np.log(path.trade_nano.reshape(-1, STEPS)[:, -1]))
        flows, closes = np.array(flow), np.array(close)
        minutes = flows.shape[1]
        means = [
            np.stack([np.convolve(row, np.ones(width) / width)[:minutes] for row in flows]) for width in (5, 15, 30)
        ]
        past = [
            np.concatenate([np.zeros((len(closes), width)), closes[:, width:] - closes[:, :-width]], axis=1)
            for width in (5, 30)
        ]
        inner = slice(HORIZON_MINUTES, minutes - HORIZON_MINUTES)
        features.append(np.stack([*means, *past], axis=-1)[:, inner])
        targets.append((closes[:, HORIZON_MINUTES:] - closes[:, :-HORIZON_MINUTES])[:, HORIZON_MINUTES:])
        next_minute = slice(HORIZON_MINUTES + 1, minutes - HORIZON_MINUTES + 1)
        hidden.append(market.planted_signal(session).T[:, next_minute])
    return np.array(features), np.array(targets), np.array(hidden)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return Spearman's coefficient of two arrays without ties."""
    ranks = [values.ravel().argsort().argsort() for values in (first, second)]
    return float(np.corrcoef(*ranks)[0, 1])


@pytest.mark.parametrize("seed", [1, 2])
def test_the_planted_signal_can_be_forecast_from_bars_and_is_gone_without_it(seed: int) -> None:
    """Out of sample, a linear forecast has a rank IC of about 0.15 with the planted drift, and none without."""
    sessions = 14
    coefficients = {}
    for planted in (0.22, 0.0):
        market = market_of(DEFAULT_SYMBOLS, seed=seed, history_sessions=sessions - 1, planted=planted)
        features, targets, hidden = observed(market, sessions)
        half = sessions // 2
        train = features[:half].reshape(-1, features.shape[-1])
        mean, scale = train.mean(axis=0), train.std(axis=0)
        weights = np.linalg.lstsq((train - mean) / scale, targets[:half].ravel(), rcond=None)[0]
        forecast = (features[half:] - mean) / scale @ weights
        coefficients[planted] = (
            rank_correlation(forecast, targets[half:]),
            rank_correlation(hidden, targets),
        )
    assert 0.09 < coefficients[0.22][0] < 0.25
    assert 0.15 < coefficients[0.22][1] < 0.28
    assert abs(coefficients[0.0][0]) < 0.04
    assert abs(coefficients[0.0][1]) < 0.04
