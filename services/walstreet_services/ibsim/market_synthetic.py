"""Owns the synthetic market: a seeded world with factors, clustered volatility and a planted, known signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from walstreet_services.ibsim.calendar_xnys import previous_sessions, session_on
from walstreet_services.ibsim.market_base import PathMarket
from walstreet_services.ibsim.market_daily import DailyPast
from walstreet_services.ibsim.market_errors import MarketRequestError
from walstreet_services.ibsim.market_path import MICRO_SHARES_PER_SHARE, build_path, steps_per_minute
from walstreet_services.ibsim.market_reference import LOT_SIZE_SHARES, MIN_TICK_NANO
from walstreet_services.ibsim.market_streams import Purpose, contract_id, stream
from walstreet_services.ibsim.market_symbols import DEFAULT_SYMBOLS, spec_of
from walstreet_services.ibsim.market_world import (
    MARKET_VOLATILITY,
    SECTOR_VOLATILITY,
    SIGNAL_FLOW_TILT,
    SymbolWorld,
    factor_moves,
    lead_in,
    planted_drift,
    session_minutes,
    symbol_world,
)
from walstreet_services.ibsim.model import Bar, Instrument

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from numpy.typing import NDArray

    from walstreet_services.ibsim.market_path import SessionPath
    from walstreet_services.ibsim.market_symbols import SymbolSpec
    from walstreet_services.ibsim.model import Session

STEP_NS_DEFAULT = 1_000_000_000
PLANTED_DEFAULT = 0.22
"""Correlation of the hidden state with the next 30 minutes' return; forecasts from bars reach about 0.15."""
HISTORY_SESSIONS_MAX = 260
DAY_SECONDS = 86_400
TRADED_PRICES = ("TRADES", "ADJUSTED_LAST")
ADV_SESSIONS = 20
SHARES_OUTSTANDING_PER_DAILY_SHARE = 200


def synthetic_identity(planted: float) -> str:
    """Return which market this is, whatever its seed: what a model learned on one holds on another of the same law."""
    return f"synthetic planted={planted:g}"


class SyntheticMarket(PathMarket):
    """One session of the world of a seed, with its past.

    The same seed gives the same prices for any subset of symbols, any ``minutes`` and any ``history_sessions``;
    a session has the same prices whether it is played or looked back at from a later day.
    """

    def __init__(
        self,
        symbols: Sequence[str] = DEFAULT_SYMBOLS,
        *,
        seed: int,
        day: date,
        step_ns: int = STEP_NS_DEFAULT,
        minutes: int = 390,
        history_sessions: int = 6,
        daily_years: int = 0,
        planted: float = PLANTED_DEFAULT,
    ) -> None:
        """Generate the world around a session.

        Args:
            symbols: Any names; ``SYN01`` to ``SYN20`` have hand-made parameters, others get them by hash.
            seed: 0 to 2**64 - 1.
            day: A trading day of XNYS.
            step_ns: Length of a step; it divides a minute into at least four.
            minutes: How many minutes are played; the session of the exchange stays whole.
            history_sessions: How many earlier sessions can be asked for.
            daily_years: How many calendar years of daily bars can be asked for besides.
            planted: Information coefficient of the hidden state, 0 for none.

        Raises:
            MarketRequestError: Naming the argument that is out of range.
        """
        if len(set(symbols)) != len(symbols):
            raise MarketRequestError(f"symbols are named twice in {list(symbols)}; name each once")
        if not 0 <= history_sessions <= HISTORY_SESSIONS_MAX:
            raise MarketRequestError(f"history_sessions={history_sessions} is outside 0..{HISTORY_SESSIONS_MAX}")
        session = session_on(day)
        self._seed = seed
        self._steps_per_minute = steps_per_minute(step_ns)
        before = previous_sessions(day, max(ADV_SESSIONS, history_sessions))
        self._history = before[len(before) - history_sessions :]
        self._detailed = (*before, session)
        self._positions = {known.date: index for index, known in enumerate(self._detailed)}
        self._specs = [spec_of(symbol) for symbol in symbols]
        drift = planted_drift(planted)
        self._worlds = _generate(seed, self._specs, self._detailed, drift)
        oldest = self._history[0] if self._history else session
        self._daily_past = DailyPast(seed, self._specs, before=oldest, years=daily_years, drift=drift)
        instruments = [_instrument(spec, world) for spec, world in zip(self._specs, self._worlds, strict=True)]
        super().__init__(instruments, session, step_ns=step_ns, minutes=minutes)

    def planted_signal(self, session: Session | None = None) -> NDArray[np.float64]:
        """Return the ground truth: the hidden state at the start of each minute, shape (minutes, instruments).

        It has unit variance. It tilts the side of the trades in the minute, and, unless ``planted`` is 0, shifts
        the return of the minute by ``planted_drift(planted)`` standard deviations per unit.

        Args:
            session: One of the generated sessions; None means the one that is played.
        """
        wanted = session or self._session
        position = self._position(wanted)
        return np.stack([world.signal[position] for world in self._worlds], axis=1)[: session_minutes(wanted)]

    def _build_path(self, instrument_index: int, session: Session) -> SessionPath:
        position = self._position(session)
        spec, world = self._specs[instrument_index], self._worlds[instrument_index]
        return build_path(
            world.bars[position],
            steps=self._steps_per_minute,
            tick_nano=MIN_TICK_NANO,
            lot_size=LOT_SIZE_SHARES,
            generator=stream(self._seed, f"symbol:{spec.symbol}", session.date.toordinal(), Purpose.PATH),
            buy_tilt=SIGNAL_FLOW_TILT * world.signal[position][: session_minutes(session)],
        )

    def _daily_bar(self, instrument_index: int, session: Session, what: str) -> Bar | None:
        """Return a past day from its minutes: the steps inside them add nothing to a day, and take long to make."""
        if session.date >= self._session.date or what not in TRADED_PRICES:
            return None
        if session.date not in self._positions:
            return self._daily_past.bar(instrument_index, session)
        bars = self._worlds[instrument_index].bars[self._position(session)]
        rows = np.flatnonzero(bars.present)
        if not len(rows):
            return None
        high, low, close = (
            int(bars.high_nano[rows].max()),
            int(bars.low_nano[rows].min()),
            int(bars.close_nano[rows[-1]]),
        )
        return Bar(
            start_ns=session.open_ns,
            open_nano=int(bars.open_nano[rows[0]]),
            high_nano=high,
            low_nano=low,
            close_nano=close,
            volume_micro=int(bars.volume_shares[rows].sum()) * MICRO_SHARES_PER_SHARE,
            wap_nano=(high + low + close) // 3,
            count=len(rows),
        )

    def _past_sessions(self, instrument_index: int, bar_seconds: int, what: str) -> Sequence[Session]:
        # Synthetic companies pay nothing and never split, so their adjusted prices are their prices.
        del instrument_index
        daily = bar_seconds == DAY_SECONDS and what in TRADED_PRICES
        return (*self._daily_past.sessions, *self._history) if daily else self._history

    def _position(self, session: Session) -> int:
        position = self._positions.get(session.date)
        if position is None:
            raise MarketRequestError(
                f"the session of {session.date} was not generated; this market has "
                f"{self._detailed[0].date} to {self._detailed[-1].date}"
            )
        return position


def _generate(seed: int, specs: Sequence[SymbolSpec], detailed: tuple[Session, ...], drift: float) -> list[SymbolWorld]:
    sessions = (*lead_in(detailed[0]), *detailed)
    market = factor_moves(seed, "market", MARKET_VOLATILITY, sessions)
    sectors = {
        sector: factor_moves(seed, f"sector:{sector}", SECTOR_VOLATILITY, sessions)
        for sector in sorted({spec.sector for spec in specs})
    }
    return [
        symbol_world(
            seed,
            spec,
            sessions,
            detail=len(detailed),
            market=market,
            sector=sectors[spec.sector],
            drift=drift,
        )
        for spec in specs
    ]


def _instrument(spec: SymbolSpec, world: SymbolWorld) -> Instrument:
    """Describe a symbol by what was known before the session opened."""
    recent = world.bars[-1 - ADV_SESSIONS : -1]
    average_shares = sum(int(bars.volume_shares.sum()) for bars in recent) // len(recent)
    last = recent[-1]
    return Instrument(
        con_id=contract_id(spec.symbol),
        symbol=spec.symbol,
        long_name=spec.long_name,
        primary_exchange=spec.primary_exchange,
        stock_type=spec.stock_type,
        sector=spec.sector,
        min_tick_nano=MIN_TICK_NANO,
        lot_size=LOT_SIZE_SHARES,
        prior_close_nano=int(last.close_nano[np.flatnonzero(last.present)[-1]]),
        average_daily_volume_micro=average_shares * MICRO_SHARES_PER_SHARE,
        shares_outstanding=spec.daily_volume_shares * SHARES_OUTSTANDING_PER_DAILY_SHARE,
    )
