"""Owns what recorded and synthetic markets share: stepping through a session and answering for the past."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from walstreet_services.ibsim.market_bars import aggregate, bar_end_ns, check_request
from walstreet_services.ibsim.market_errors import MarketRequestError
from walstreet_services.ibsim.market_path import steps_per_minute
from walstreet_services.ibsim.model import MarketStep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from walstreet_services.ibsim.market_path import SessionPath
    from walstreet_services.ibsim.model import Bar, Instrument, Int64Array, Session

SESSION_MINUTES_MAX = 390
INSTRUMENTS_MAX = 1_000
BAR_CACHE_ENTRIES_MAX = 4_096
PATH_CACHE_ENTRIES_MAX = 32
"""A path of one-second steps holds 1.3 MB, so the cache stays near 40 MB."""
assert PATH_CACHE_ENTRIES_MAX < BAR_CACHE_ENTRIES_MAX, "a path yields several kinds of bars"


class PathMarket(ABC):
    """A market whose sessions are step paths; a subclass says where the paths come from."""

    def __init__(
        self, instruments: Sequence[Instrument], session: Session, *, step_ns: int, minutes: int | None = None
    ) -> None:
        """Build the tables of the session that is played.

        Raises:
            MarketRequestError: If there is no instrument, or too many, or ``minutes`` is outside the session.
        """
        session_minutes = (session.close_ns - session.open_ns) // 60_000_000_000
        if not 1 <= len(instruments) <= INSTRUMENTS_MAX:
            raise MarketRequestError(f"{len(instruments)} symbols were asked for; 1 to {INSTRUMENTS_MAX} are possible")
        if minutes is not None and not 1 <= minutes <= SESSION_MINUTES_MAX:
            raise MarketRequestError(f"minutes={minutes} is refused; play 1 to {SESSION_MINUTES_MAX} minutes")
        played = session_minutes if minutes is None else min(minutes, session_minutes)
        self._instruments = tuple(instruments)
        self._session = session
        self._step_ns = step_ns
        self._steps_count = played * steps_per_minute(step_ns)
        self._paths: OrderedDict[tuple[int, int], SessionPath] = OrderedDict()
        self._bars: OrderedDict[tuple[int, int, int, str], tuple[Bar, ...]] = OrderedDict()
        self._fill_tables()

    @abstractmethod
    def _build_path(self, instrument_index: int, session: Session) -> SessionPath:
        """Make the steps of one session of one instrument."""

    @abstractmethod
    def _past_sessions(self, instrument_index: int, bar_seconds: int, what: str) -> Sequence[Session]:
        """Return the sessions before the played one that have data, oldest first."""

    def _daily_bar(self, instrument_index: int, session: Session, what: str) -> Bar | None:
        """Return the day's bar of a better source than the steps, or None."""
        del instrument_index, session, what
        return None

    def _fill_tables(self) -> None:
        count = len(self._instruments)
        names = (
            "bid_nano",
            "ask_nano",
            "bid_size_micro",
            "ask_size_micro",
            "trade_nano",
            "trade_size_micro",
            "trade_side",
        )
        tables = {name: np.zeros((self._steps_count, count), dtype=np.int64) for name in names}
        for index in range(count):
            path = self._build_path(index, self._session)
            for name in names:
                tables[name][:, index] = getattr(path, name)[: self._steps_count]
        tables["volume_micro"] = tables["trade_size_micro"].cumsum(axis=0)
        for table in tables.values():
            table.flags.writeable = False
        self._tables: dict[str, Int64Array] = tables

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """Return the instruments; every array of a step has their order."""
        return self._instruments

    @property
    def session(self) -> Session:
        """Return the session that is played."""
        return self._session

    @property
    def step_ns(self) -> int:
        """Return the length of one step; it divides one minute."""
        return self._step_ns

    @property
    def steps_count(self) -> int:
        """Return the number of steps that can be played."""
        return self._steps_count

    def step(self, index: int) -> MarketStep:
        """Return step ``index``; its arrays are read-only views.

        Raises:
            IndexError: If the step is not part of the played session.
        """
        if not 0 <= index < self._steps_count:
            raise IndexError(f"step {index} does not exist; the market has steps 0 to {self._steps_count - 1}")
        tables = self._tables
        return MarketStep(
            ts_ns=self._session.open_ns + (index + 1) * self._step_ns,
            bid_nano=tables["bid_nano"][index],
            ask_nano=tables["ask_nano"][index],
            bid_size_micro=tables["bid_size_micro"][index],
            ask_size_micro=tables["ask_size_micro"][index],
            trade_nano=tables["trade_nano"][index],
            trade_size_micro=tables["trade_size_micro"][index],
            trade_side=tables["trade_side"][index],
            volume_micro=tables["volume_micro"][index],
        )

    def session_path(self, instrument_index: int, session: Session) -> SessionPath:
        """Return the steps of any session of this market, read-only by agreement.

        Training uses it for order flow of past sessions, which historical bars do not carry.
        """
        key = (instrument_index, session.date.toordinal())
        cached = self._paths.get(key)
        if cached is None:
            cached = self._build_path(instrument_index, session)
            self._paths[key] = cached
            if len(self._paths) > PATH_CACHE_ENTRIES_MAX:
                self._paths.popitem(last=False)
        return cached

    def bars(
        self, instrument_index: int, *, end_ns: int, bar_seconds: int, start_ns: int, what: str
    ) -> tuple[Bar, ...]:
        """Return the complete bars in ``[start_ns, end_ns)``, earlier sessions included, oldest first.

        Raises:
            MarketRequestError: If the bar size, the kind of price or the instrument does not exist.
        """
        check_request(bar_seconds, what, self._step_ns)
        if not 0 <= instrument_index < len(self._instruments):
            raise MarketRequestError(
                f"instrument index {instrument_index} does not exist; there are {len(self._instruments)} instruments"
            )
        played_until_ns = self._session.open_ns + self._steps_count * self._step_ns
        visible_ns = min(end_ns, played_until_ns)
        sessions = [*self._past_sessions(instrument_index, bar_seconds, what), self._session]
        found: list[Bar] = []
        for session in sessions:
            if session.open_ns >= visible_ns or session.close_ns <= start_ns:
                continue
            found.extend(
                bar
                for bar in self._session_bars(instrument_index, session, bar_seconds, what)
                if bar.start_ns >= start_ns and bar_end_ns(bar, bar_seconds, session) <= visible_ns
            )
        return tuple(found)

    def _session_bars(self, instrument_index: int, session: Session, bar_seconds: int, what: str) -> tuple[Bar, ...]:
        key = (instrument_index, session.date.toordinal(), bar_seconds, what)
        cached = self._bars.get(key)
        if cached is not None:
            return cached
        daily = self._daily_bar(instrument_index, session, what) if bar_seconds == 86_400 else None
        if daily is not None:
            return (daily,)
        path = self.session_path(instrument_index, session)
        bars = aggregate(path, session, step_ns=self._step_ns, bar_seconds=bar_seconds, what=what)
        self._bars[key] = bars
        if len(self._bars) > BAR_CACHE_ENTRIES_MAX:
            self._bars.popitem(last=False)
        return bars
