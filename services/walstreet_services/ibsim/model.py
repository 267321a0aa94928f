"""Owns the vocabulary of the simulated market: what a market offers and what the matching engine consumes.

Two halves of the simulator meet here. The *market* half (``market_recorded``, ``market_synthetic``, ``path``,
``matching``) knows prices and time but no protocol; the *server* half (``server``, ``orders``, ...) knows the
protocol but makes no price. Units: prices are int64 in 1e-9 USD (``*_nano``), quantities int64 in 1e-6 shares
(``*_micro``), times int64 nanoseconds UTC (``*_ns``). Arrays have one entry per instrument, in the order of
``Market.instruments``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    import numpy as np
    from numpy.typing import NDArray

    Int64Array = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One tradable stock or ETF with the contract facts that a broker would report."""

    con_id: int
    symbol: str
    long_name: str
    primary_exchange: str
    stock_type: str
    """``ETF`` or ``COMMON``."""
    sector: str
    min_tick_nano: int
    lot_size: int
    """Shares in a round lot."""
    prior_close_nano: int
    average_daily_volume_micro: int
    shares_outstanding: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One regular trading session; ``open_ns <= t < close_ns`` is trading time (early closes included)."""

    date: date
    open_ns: int
    close_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketStep:
    """Everything that happened in ``(ts_ns - step_ns, ts_ns]``: the trade in it and the quote at its end.

    A step that ends exactly at a bar's end belongs to that bar. ``trade_size_micro == 0`` means that the
    instrument did not trade; a bid or ask of 0 means that there is no quote yet.
    """

    ts_ns: int
    bid_nano: Int64Array
    ask_nano: Int64Array
    bid_size_micro: Int64Array
    ask_size_micro: Int64Array
    trade_nano: Int64Array
    trade_size_micro: Int64Array
    trade_side: Int64Array
    """+1 buyer-initiated, -1 seller-initiated, 0 unknown or no trade."""
    volume_micro: Int64Array
    """Cumulative session volume after the step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar of ``[start_ns, start_ns + bar_seconds)``; minutes without a trade have no bar."""

    start_ns: int
    open_nano: int
    high_nano: int
    low_nano: int
    close_nano: int
    volume_micro: int
    wap_nano: int
    count: int


class Market(Protocol):
    """A market that can be played once, step by step, and asked for its past."""

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """Return the instruments; every array of a step has their order."""

    @property
    def session(self) -> Session:
        """Return the session that is played."""

    @property
    def step_ns(self) -> int:
        """Return the length of one step; it divides one minute."""

    @property
    def steps_count(self) -> int:
        """Return the number of steps of the session."""

    def step(self, index: int) -> MarketStep:
        """Return step ``index``; the same index gives the same step, at any time and in any order."""

    def bars(self, instrument_index: int, *, end_ns: int, bar_seconds: int, start_ns: int, what: str) -> Sequence[Bar]:
        """Return the complete bars in ``[start_ns, end_ns)``, earlier sessions included, oldest first.

        Args:
            instrument_index: Position in ``instruments``.
            end_ns: Nothing after this instant may be seen.
            bar_seconds: 5, 60, 300, 900, 1800, 3600 or 86400 (a day is the session).
            start_ns: First instant of interest.
            what: ``TRADES``, ``MIDPOINT``, ``BID``, ``ASK`` or ``ADJUSTED_LAST``.
        """


class Side(StrEnum):
    """Order sides as the protocol spells them."""

    BUY = "BUY"
    SELL = "SELL"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestingOrder:
    """What the matching engine needs to know of a live order."""

    key: int
    """Stable identity inside the simulator (the permId)."""
    instrument_index: int
    side: Side
    remaining_micro: int
    limit_nano: int | None
    """None for a market order."""
    active_from_ns: int
    """The order cannot trade in a step that ends before this instant (latency model)."""
    arrived_ns: int
    """Time of arrival or of the last price change; it decides the queue position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One execution that the matching engine grants."""

    key: int
    price_nano: int
    quantity_micro: int
    ts_ns: int
    passive: bool
    """True when the order rested and was hit; False when it took liquidity."""


class MatchingEngine(Protocol):
    """Decides who trades in a step; deterministic, given the same orders and steps."""

    def match(self, step: MarketStep, orders: Sequence[RestingOrder]) -> Sequence[Match]:
        """Return the executions of one step, in order of ``orders``; prices never better than the quote."""

    def forget(self, key: int) -> None:
        """Drop queue state of an order that ended."""
