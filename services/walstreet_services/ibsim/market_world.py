"""Owns the law of the synthetic world: how factors, volatility, the planted signal and volume make minute bars.

The world of a seed is one and the same for every day that is played, every subset of symbols and every length
of play: each session of each symbol and factor draws from its own counter-based stream, and what reaches over
sessions (volatility, price level) is a finite sum over a fixed number of earlier sessions. Formulas and limits:
``docs/SIMULATED_MARKETS.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from walstreet_services.ibsim.calendar_xnys import previous_sessions
from walstreet_services.ibsim.market_errors import MarketRequestError
from walstreet_services.ibsim.market_path import NANOSECONDS_PER_MINUTE, MinuteBars
from walstreet_services.ibsim.market_reference import MIN_TICK_NANO
from walstreet_services.ibsim.market_streams import Purpose, stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from walstreet_services.ibsim.market_symbols import SymbolSpec
    from walstreet_services.ibsim.model import Session

    FloatArray = NDArray[np.float64]

SESSION_MINUTES = 390
LEVEL_SESSIONS = 400
"""A price level is the discounted sum of the returns of so many earlier sessions."""
LEVEL_DISCOUNT = 0.995
VOLATILITY_SESSIONS = 64
VOLATILITY_DISCOUNT = 0.95
VOLATILITY_DAY_DEVIATION = 0.3
VOLATILITY_MINUTE_DEVIATION = 0.4
VOLATILITY_MINUTE_HALF_LIFE = 30.0
MARKET_VOLATILITY = 0.008
SECTOR_VOLATILITY = 0.005
GAP_FRACTION = 0.4
"""Overnight standard deviation over the session's."""
SIGNAL_HALF_LIFE_MINUTES = 20.0
SIGNAL_HORIZON_MINUTES = 30
SIGNAL_FLOW_TILT = 0.35
PLANTED_MAX = 0.5
PRICE_TICKS_FLOOR = 100
VOLUME_DAY_DEVIATION = 0.3
VOLUME_MINUTE_DEVIATION = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """Returns of one symbol or factor; arrays of shape (sessions, minutes), zero after an early close."""

    returns: FloatArray
    volatility: FloatArray
    gaps: FloatArray
    """Overnight return before each session, shape (sessions,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolWorld:
    """One symbol's detailed sessions, oldest first."""

    bars: tuple[MinuteBars, ...]
    signal: FloatArray
    """The planted state at the start of each minute, unit variance, shape (sessions, minutes)."""


def lead_in(first: Session) -> tuple[Session, ...]:
    """Return the sessions that must be generated before the first detailed one."""
    return previous_sessions(first.date, LEVEL_SESSIONS + VOLATILITY_SESSIONS)


def planted_drift(planted: float) -> float:
    """Return the drift per minute, in standard deviations per unit of signal.

    ``b = planted * sqrt(h) / sum_{j<h} phi^j``, so that the correlation of the state with the return of the next
    ``h = 30`` minutes is ``planted``.

    Raises:
        MarketRequestError: If ``planted`` is outside 0..0.5.
    """
    if not 0.0 <= planted <= PLANTED_MAX:
        raise MarketRequestError(f"planted={planted} is outside 0..{PLANTED_MAX}; it is an information coefficient")
    keep = 0.5 ** (1.0 / SIGNAL_HALF_LIFE_MINUTES)
    horizon = float(SIGNAL_HORIZON_MINUTES)
    drift: float = planted * horizon**0.5 * (1.0 - keep) / (1.0 - keep**horizon)
    return drift


def factor_moves(seed: int, name: str, daily_volatility: float, sessions: tuple[Session, ...]) -> Moves:
    """Return a factor's moves over ``sessions``, the first ``VOLATILITY_SESSIONS`` of which only warm it up."""
    moves, _ = _moves(seed, f"factor:{name}", daily_volatility, sessions)
    return moves


def symbol_world(
    seed: int,
    spec: SymbolSpec,
    sessions: tuple[Session, ...],
    *,
    detail: int,
    market: Moves,
    sector: Moves,
    drift: float,
) -> SymbolWorld:
    """Return the last ``detail`` sessions of a symbol.

    Args:
        seed: The world's seed.
        spec: The symbol's parameters.
        sessions: ``lead_in`` and the detailed sessions.
        detail: How many of the last sessions are wanted.
        market: The market factor over the same sessions.
        sector: The sector's factor over the same sessions.
        drift: From ``planted_drift``.
    """
    own, signal = _moves(seed, f"symbol:{spec.symbol}", spec.own_volatility, sessions)
    volatility = np.sqrt((spec.beta * market.volatility) ** 2 + sector.volatility**2 + own.volatility**2)
    returns = spec.beta * market.returns + sector.returns + own.returns + drift * volatility * signal
    gaps = spec.beta * market.gaps + sector.gaps + own.gaps
    levels = _levels(returns, gaps, detail)
    bars = tuple(
        _session_bars(seed, spec, session, level, session_returns, session_volatility)
        for session, level, session_returns, session_volatility in zip(
            sessions[-detail:], levels, returns[-detail:], volatility[-detail:], strict=True
        )
    )
    return SymbolWorld(bars=bars, signal=signal[-detail:])


def session_minutes(session: Session) -> int:
    """Return the length of a session in minutes."""
    return (session.close_ns - session.open_ns) // NANOSECONDS_PER_MINUTE


def _moves(seed: int, name: str, daily_volatility: float, sessions: tuple[Session, ...]) -> tuple[Moves, FloatArray]:
    """Draw one entity's moves after the warm-up, and its signal state; stochastic volatility on two scales."""
    draws = np.stack(
        [
            stream(seed, name, session.date.toordinal(), Purpose.RETURNS).standard_normal(2 + 3 * SESSION_MINUTES)
            for session in sessions
        ]
    )
    count = len(sessions) - VOLATILITY_SESSIONS
    day_shock = np.zeros(count)
    for lag in range(VOLATILITY_SESSIONS):
        # Term by term, so that the sum has the same bits whichever window of sessions is generated.
        start = VOLATILITY_SESSIONS - lag
        day_shock = day_shock + VOLATILITY_DISCOUNT**lag * draws[start : start + count, 0]
    day_shock *= np.sqrt(1.0 - VOLATILITY_DISCOUNT**2) * VOLATILITY_DAY_DEVIATION
    draws = draws[VOLATILITY_SESSIONS:]
    shape = (count, 3, SESSION_MINUTES)
    noise, volatility_noise, signal_noise = draws[:, 2:].reshape(shape).transpose(1, 0, 2)
    minute_shock = VOLATILITY_MINUTE_DEVIATION * _autoregression(volatility_noise, VOLATILITY_MINUTE_HALF_LIFE)
    # Subtracting the variance keeps the mean square of exp(shock) at one.
    log_factor = (day_shock - VOLATILITY_DAY_DEVIATION**2)[:, None] + (minute_shock - VOLATILITY_MINUTE_DEVIATION**2)
    profiles = {length: volatility_profile(length) for length in sorted({session_minutes(s) for s in sessions})}
    profile = np.stack([profiles[session_minutes(session)] for session in sessions[VOLATILITY_SESSIONS:]])
    volatility = daily_volatility * profile * np.exp(log_factor)
    gaps = daily_volatility * GAP_FRACTION * np.exp(day_shock) * draws[:, 1]
    moves = Moves(returns=volatility * noise, volatility=volatility, gaps=gaps)
    return moves, _autoregression(signal_noise, SIGNAL_HALF_LIFE_MINUTES)


def volatility_profile(minutes: int) -> FloatArray:
    """Return the U-shape of volatility over a session, shape (390,); squares sum to the session's share of a day."""
    minute = np.arange(SESSION_MINUTES)
    shape = 1.0 + 1.5 * np.exp(-minute / 20.0) + 0.5 * np.exp(-(minutes - 1 - minute) / 15.0)
    shape = np.where(minute < minutes, shape, 0.0)
    result: FloatArray = shape * np.sqrt(minutes / SESSION_MINUTES / (shape**2).sum())
    return result


def volume_profile(minutes: int) -> FloatArray:
    """Return the U-shape of volume over a session, shape (390,), with mean one over the session's minutes."""
    minute = np.arange(SESSION_MINUTES)
    shape = 1.0 + 3.0 * np.exp(-minute / 15.0) + 2.5 * np.exp(-(minutes - 1 - minute) / 20.0)
    shape = np.where(minute < minutes, shape, 0.0)
    result: FloatArray = shape * minutes / shape.sum()
    return result


def _autoregression(noise: FloatArray, half_life_minutes: float) -> FloatArray:
    """Return AR(1) paths of unit variance along the last axis, each started from its stationary law."""
    keep = 0.5 ** (1.0 / half_life_minutes)
    scale = np.sqrt(1.0 - keep**2)
    path = np.empty_like(noise)
    path[:, 0] = noise[:, 0]
    for minute in range(1, noise.shape[1]):
        path[:, minute] = keep * path[:, minute - 1] + scale * noise[:, minute]
    return path


def _levels(returns: FloatArray, gaps: FloatArray, detail: int) -> FloatArray:
    """Return the log price at each detailed open over the base price, shape (detail,)."""
    intraday = returns.cumsum(axis=1)[:, -1]
    overnight_and_day = intraday[:-1] + gaps[1:]
    levels = np.zeros(detail)
    last = len(overnight_and_day)
    for lag in range(LEVEL_SESSIONS):
        stop = last - lag
        levels = levels + LEVEL_DISCOUNT**lag * overnight_and_day[stop - detail : stop]
    return levels


def _session_bars(
    seed: int,
    spec: SymbolSpec,
    session: Session,
    level: float,
    returns: FloatArray,
    volatility: FloatArray,
) -> MinuteBars:
    """Turn one session's returns into bars on the tick grid.

    High and low are drawn from the law of a Brownian bridge's extreme between the minute's ends,
    ``max = (a + b + sqrt((a - b)^2 - 2 s^2 ln U)) / 2``, each on its own.
    """
    minutes = session_minutes(session)
    generator = stream(seed, f"symbol:{spec.symbol}", session.date.toordinal(), Purpose.BARS)
    normals = generator.standard_normal(1 + 2 * SESSION_MINUTES)
    uniforms = 1.0 - generator.random((2, SESSION_MINUTES))[:, :minutes]
    open_noise, volume_noise = normals[1:].reshape(2, SESSION_MINUTES)[:, :minutes]
    returns, volatility = returns[:minutes], volatility[:minutes]
    close_log = level + returns.cumsum()
    open_log = np.concatenate([[level], close_log[:-1] + 0.1 * volatility[1:] * open_noise[1:]])
    middle = 0.5 * (open_log + close_log)
    reach = 0.5 * np.sqrt((open_log - close_log) ** 2 - 2.0 * volatility**2 * np.log(uniforms))
    open_, high, low, close = (
        _ticks(spec, values) for values in (open_log, middle + reach[0], middle - reach[1], close_log)
    )
    high = np.maximum(high, np.maximum(open_, close))
    low = np.minimum(low, np.minimum(open_, close))
    busy = 0.6 + 0.5 * np.abs(returns) / volatility
    day = np.exp(VOLUME_DAY_DEVIATION * normals[0] - 0.5 * VOLUME_DAY_DEVIATION**2)
    minute = np.exp(VOLUME_MINUTE_DEVIATION * volume_noise - 0.5 * VOLUME_MINUTE_DEVIATION**2)
    mean = spec.daily_volume_shares / SESSION_MINUTES
    volume = np.floor(mean * volume_profile(minutes)[:minutes] * busy * day * minute).astype(np.int64)
    return MinuteBars(
        present=volume > 0,
        open_nano=open_ * MIN_TICK_NANO,
        high_nano=high * MIN_TICK_NANO,
        low_nano=low * MIN_TICK_NANO,
        close_nano=close * MIN_TICK_NANO,
        volume_shares=volume,
    )


def _ticks(spec: SymbolSpec, log_prices: FloatArray) -> NDArray[np.int64]:
    ticks = np.rint(spec.price_dollars * np.exp(log_prices) * 1e9 / MIN_TICK_NANO).astype(np.int64)
    return np.maximum(ticks, PRICE_TICKS_FLOOR)
