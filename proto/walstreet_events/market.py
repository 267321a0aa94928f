"""Owns the events of the market-data gateway: bars, clock, status, reference data and raw quotes."""

from __future__ import annotations

from enum import IntFlag, StrEnum

import msgspec

from walstreet_events.envelope import Event, IntBlock


class BarFlag(IntFlag):
    """What must be known of one symbol's bar before it is used."""

    NONE = 0
    EMPTY = 1
    """No trade in the interval: prices repeat the last close, volume is 0. An explicit fact, not a gap."""
    MISMATCH = 2
    """Bar built from ticks and the broker's own bar differ; the broker's values are carried."""
    NO_QUOTE = 4
    """There was no two-sided quote at the bar's end."""
    UNCHECKED = 8
    """The broker gave no bar of its own to check against."""


class BarBlock(Event, frozen=True, tag="bar_block.v1"):
    """One bar of every symbol of the universe; arrays of shape (N,) in the order of ``symbols``.

    ``ts_ns`` is the end of the bar. The bar covers ``(ts_ns - bar_ns, ts_ns]``: a market step that ends at the
    bar's end belongs to the bar.
    """

    symbols: tuple[str, ...]
    bar_ns: int
    warmup: bool
    """True for history that was asked for at start-up; such bars steer no decision."""
    open_nano: IntBlock
    high_nano: IntBlock
    low_nano: IntBlock
    close_nano: IntBlock
    volume_micro: IntBlock
    trade_count: IntBlock
    vwap_nano: IntBlock
    bid_nano: IntBlock
    """Best bid at the bar's end, 0 without a quote."""
    ask_nano: IntBlock
    bid_size_micro: IntBlock
    ask_size_micro: IntBlock
    spread_mean_nano: IntBlock
    """Mean spread over the quotes seen in the bar, 0 without one."""
    signed_volume_micro: IntBlock
    """Buyer- minus seller-initiated volume by the quote rule (Lee and Ready 1991)."""
    quote_count: IntBlock
    quote_ts_ns: IntBlock
    """Last time a quote of the symbol was confirmed, 0 if never."""
    flags: IntBlock
    """``BarFlag`` per symbol."""


class ClockTick(Event, frozen=True, tag="clock_tick.v1"):
    """A timer as a fact: session time has reached ``ts_ns``."""

    session_date: str
    """ISO date of the session in New York."""
    timer: str = "tick"
    """``minute`` on full minutes, else ``tick``; its own subject, so that slow readers need not wake for each tick."""


class PhaseName(StrEnum):
    """Phases of a session."""

    PRE_OPEN = "pre_open"
    OPEN = "open"
    CLOSED = "closed"


class SessionPhase(Event, frozen=True, tag="session_phase.v1"):
    """The session entered a phase; open and close are of this session, early closes included."""

    session_date: str
    phase: PhaseName
    open_ns: int
    close_ns: int


class FeedStatus(Event, frozen=True, tag="feed_status.v1"):
    """Health of one market-data farm, or of the feed as a whole."""

    farm: str
    healthy: bool
    data_type: str
    """``live``, ``frozen``, ``delayed``, ``delayed_frozen`` as it arrived, or ``unknown``."""
    code: int
    """The broker's message code, 0 for our own observation."""
    detail: str


class BrokerStatus(Event, frozen=True, tag="broker_status.v1"):
    """State of a service's connection to the broker, as journaled by that connection's owner."""

    connected: bool
    client_id: int
    code: int
    detail: str


class SymbolStatus(Event, frozen=True, tag="symbol_status.v1"):
    """Halt state of one symbol (tick type 49)."""

    symbol: str
    halted: bool
    detail: str


class BorrowBlock(Event, frozen=True, tag="borrow_block.v1"):
    """What the broker says can be borrowed, confirmed at ``ts_ns``; a symbol that is absent is not known.

    None where the broker gave no number.
    """

    symbols: tuple[str, ...]
    levels: tuple[float | None, ...]
    """Tick type 46."""
    shortable_micro: tuple[int | None, ...]
    """Tick type 89."""


class BarCheck(Event, frozen=True, tag="bar_check.v1"):
    """A bar built from ticks did not agree with the broker's; both are recorded."""

    symbol: str
    bar_start_ns: int
    ticks_ohlcv: IntBlock
    """(5,) open, high, low, close in nano, volume in micro."""
    broker_ohlcv: IntBlock


class InstrumentRef(Event, frozen=True, tag="instrument_ref.v1"):
    """Reference facts of one instrument as the broker reported them."""

    symbol: str
    con_id: int
    exchange: str
    primary_exchange: str
    currency: str
    sector: str
    min_tick_nano: int
    lot_micro: int
    prior_close_nano: int
    """0 when unknown."""
    average_daily_volume_micro: int
    """0 when unknown; whatever needs it fails closed for the symbol."""


class PriorSession(Event, frozen=True, tag="prior_session.v1"):
    """What the session before was like, by the broker's daily bars; rules that outlast a session begin with it."""

    symbol: str
    session_date: str
    """ISO date of the session that is traded, not of the one that is described."""
    low_nano: int
    """0 when unknown, as the others."""
    close_nano: int
    close_before_nano: int
    """Close of the session before that one."""


class DailyBars(Event, frozen=True, tag="daily_bars.v1"):
    """Daily bars as the broker gave them shortly before the close; the last row is of the day that is not over yet.

    What the daily rotation decides on. Arrays have the shape (T, N): days by symbols, 0 where a symbol has no bar.
    """

    session_date: str
    symbols: tuple[str, ...]
    dates: tuple[str, ...]
    """(T,) ISO dates of the sessions, ascending; the last one is ``session_date``."""
    what: str
    """The broker's kind of history behind the complete days: ``ADJUSTED_LAST`` or ``TRADES``."""
    provisional_end_ns: int
    """End of the last minute in the last row; ``ts_ns`` is when the broker was asked."""
    open_nano: IntBlock
    high_nano: IntBlock
    low_nano: IntBlock
    close_nano: IntBlock


class SessionRef(Event, frozen=True, tag="session_ref.v1"):
    """Facts about the session to be traded, which every service needs before the first bar."""

    session_date: str
    open_ns: int
    close_ns: int
    symbols: tuple[str, ...]
    bar_ns: int
    market: str
    """``recorded``, ``synthetic`` or ``live``."""


class Quote(msgspec.Struct, frozen=True, kw_only=True, tag="quote.v1", tag_field="type"):
    """A quote on MD; not part of the TAPE, so it has a producer sequence instead of an event id."""

    seq: int
    ts_ns: int
    symbol: str
    bid_nano: int
    ask_nano: int
    bid_size_micro: int
    ask_size_micro: int


class Trade(msgspec.Struct, frozen=True, kw_only=True, tag="trade.v1", tag_field="type"):
    """A trade on MD."""

    seq: int
    ts_ns: int
    symbol: str
    price_nano: int
    size_micro: int
