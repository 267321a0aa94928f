"""Owns the recorded market: one real session of minute bars, played in steps, with the real past behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from walstreet_services.ibsim.calendar_xnys import session_on, sessions_between
from walstreet_services.ibsim.market_base import PathMarket
from walstreet_services.ibsim.market_errors import MarketDataError, MarketRequestError
from walstreet_services.ibsim.market_files import describe_segments, read_daily_file, read_minute_file
from walstreet_services.ibsim.market_path import MICRO_SHARES_PER_SHARE, build_path, steps_per_minute
from walstreet_services.ibsim.market_reference import LOT_SIZE_SHARES, MIN_TICK_NANO, reference_of
from walstreet_services.ibsim.market_streams import Purpose, contract_id, stream
from walstreet_services.ibsim.model import Bar, Instrument

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

    from walstreet_services.ibsim.market_files import DailyFile, MinuteFile
    from walstreet_services.ibsim.market_path import SessionPath
    from walstreet_services.ibsim.model import Session

ADV_SESSIONS_MAX = 20


def recorded_identity(day: date) -> str:
    """Return the name of the market of a recorded day, under which its conformal history is found."""
    return f"recorded {day.isoformat()}"


class RecordedMarket(PathMarket):
    """A real session; minute prices and volumes are the vendor's, what happens inside a minute is a model.

    Facts that the files do not tell are zero, which means unknown: prior close and average daily volume where
    nothing earlier is on file, and shares outstanding always.
    """

    def __init__(self, data_dir: Path, day: date, symbols: Sequence[str], seed: int, step_ns: int) -> None:
        """Read the files of the symbols and build the session.

        Args:
            data_dir: Folder with ``minute/`` and, optionally, ``daily_raw/`` and ``daily/``.
            day: The session to play.
            symbols: In the order that the instruments shall have.
            seed: Of the path model inside the minutes.
            step_ns: Length of a step; it divides a minute into at least four.

        Raises:
            MarketRequestError: If the day is no session, or a symbol is named twice.
            MarketDataError: If a file is missing or broken, or has no bar on the day.
        """
        if len(set(symbols)) != len(symbols):
            raise MarketRequestError(f"symbols are named twice in {list(symbols)}; name each once")
        session = session_on(day)
        self._seed = seed
        self._steps_per_minute = steps_per_minute(step_ns)
        self._files = [read_minute_file(data_dir, symbol) for symbol in symbols]
        for file in self._files:
            if session not in file.sessions:
                raise MarketDataError(
                    f"{data_dir / 'minute' / (file.symbol + '.parquet')} has no bar of {file.symbol} on {day}; "
                    f"it covers {describe_segments(file.segments)}"
                )
        self._raw = [read_daily_file(data_dir, "daily_raw", symbol) for symbol in symbols]
        self._adjusted = [read_daily_file(data_dir, "daily", symbol) for symbol in symbols]
        self._adjusted_scales: dict[int, float] = {}
        instruments = [_instrument(file, raw, session) for file, raw in zip(self._files, self._raw, strict=True)]
        super().__init__(instruments, session, step_ns=step_ns)

    @property
    def earlier_sessions(self) -> tuple[Session, ...]:
        """Return the sessions before the played one that every symbol has minutes of, oldest first."""
        day = self._session.date
        shared = set(self._files[0].sessions).intersection(*(file.sessions for file in self._files[1:]))
        return tuple(sorted((found for found in shared if found.date < day), key=lambda found: found.date))

    def _build_path(self, instrument_index: int, session: Session) -> SessionPath:
        file = self._files[instrument_index]
        return build_path(
            file.session_bars(session),
            steps=self._steps_per_minute,
            tick_nano=MIN_TICK_NANO,
            lot_size=LOT_SIZE_SHARES,
            generator=stream(self._seed, file.symbol, session.date.toordinal(), Purpose.PATH),
        )

    def _past_sessions(self, instrument_index: int, bar_seconds: int, what: str) -> Sequence[Session]:
        recorded = [session for session in self._files[instrument_index].sessions if session.date < self._session.date]
        if what == "ADJUSTED_LAST":
            adjusted = self._adjusted[instrument_index]
            if bar_seconds != 86_400 or adjusted is None:
                raise MarketRequestError(
                    f"ADJUSTED_LAST of {self._instruments[instrument_index].symbol} in bars of {bar_seconds} s "
                    "does not exist; it needs daily bars and a file daily/SYMBOL.parquet, ask for TRADES"
                )
            return self._sessions_of(adjusted, ())
        raw = self._raw[instrument_index]
        if bar_seconds == 86_400 and what == "TRADES" and raw is not None:
            return self._sessions_of(raw, recorded)
        return recorded

    def _sessions_of(self, daily: DailyFile, recorded: Sequence[Session]) -> Sequence[Session]:
        """Return the past sessions with a daily bar or minute bars, oldest first."""
        wanted = {*daily.position, *(session.date for session in recorded)}
        known = sessions_between(min(wanted), self._session.date)
        return [session for session in known if session.date in wanted and session.date < self._session.date]

    def _daily_bar(self, instrument_index: int, session: Session, what: str) -> Bar | None:
        if session.date >= self._session.date:
            # The played day is what its minutes say; the file's bar holds the closing auction, which is not played.
            return None
        if what == "ADJUSTED_LAST":
            adjusted = self._adjusted[instrument_index]
            assert adjusted is not None, "requests without an adjusted file are refused before"
            scale = self._adjusted_scale(instrument_index, adjusted)
            return _bar_of(adjusted, session, scale)
        raw = self._raw[instrument_index]
        return _bar_of(raw, session, 1.0) if what == "TRADES" and raw is not None else None

    def _adjusted_scale(self, instrument_index: int, adjusted: DailyFile) -> float:
        """Return the factor that makes the last adjusted close before the played day an actual price.

        The file is adjusted for dividends that were paid after the played day as well; the broker's series,
        asked for on that day, would not know them. Without a raw close of that day the scale stays the file's.
        """
        known = self._adjusted_scales.get(instrument_index)
        if known is not None:
            return known
        raw = self._raw[instrument_index]
        shared = adjusted.position.keys() & (raw.position.keys() if raw is not None else ())
        last = max((day for day in shared if day < self._session.date), default=None)
        scale = 1.0
        if raw is not None and last is not None:
            raw_close = raw.prices_nano["close"][raw.position[last]]
            scale = float(raw_close / adjusted.prices_nano["close"][adjusted.position[last]])
        self._adjusted_scales[instrument_index] = scale
        return scale


def _bar_of(daily: DailyFile, session: Session, scale: float) -> Bar | None:
    """Return a file's day as a bar; files know no weighted price and no count, so these are (H+L+C)/3 and 0."""
    row = daily.position.get(session.date)
    if row is None:
        return None
    open_, high, low, close = (
        round(float(daily.prices_nano[name][row]) * scale) for name in ("open", "high", "low", "close")
    )
    return Bar(
        start_ns=session.open_ns,
        open_nano=open_,
        high_nano=high,
        low_nano=low,
        close_nano=close,
        volume_micro=int(daily.volume_shares[row]) * MICRO_SHARES_PER_SHARE,
        wap_nano=(high + low + close) // 3,
        count=0,
    )


def _instrument(file: MinuteFile, raw: DailyFile | None, session: Session) -> Instrument:
    """Describe a symbol by what was known before the session opened."""
    facts = reference_of(file.symbol)
    closes: dict[date, int] = {}
    volumes: dict[date, int] = {}
    for past in file.sessions:
        if past.date < session.date:
            bars = file.session_bars(past)
            closes[past.date] = int(bars.close_nano[np.flatnonzero(bars.present)[-1]])
            volumes[past.date] = int(bars.volume_shares.sum())
    if raw is not None:
        for day, row in raw.position.items():
            if day < session.date:
                closes[day] = int(raw.prices_nano["close"][row])
                volumes[day] = int(raw.volume_shares[row])
    recent = sorted(volumes)[-ADV_SESSIONS_MAX:]
    average_shares = sum(volumes[day] for day in recent) // len(recent) if recent else 0
    return Instrument(
        con_id=contract_id(file.symbol),
        symbol=file.symbol,
        long_name=facts.long_name,
        primary_exchange=facts.primary_exchange,
        stock_type=facts.stock_type,
        sector=facts.sector,
        min_tick_nano=MIN_TICK_NANO,
        lot_size=LOT_SIZE_SHARES,
        prior_close_nano=closes[max(closes)] if closes else 0,
        average_daily_volume_micro=average_shares * MICRO_SHARES_PER_SHARE,
        shares_outstanding=0,
    )
