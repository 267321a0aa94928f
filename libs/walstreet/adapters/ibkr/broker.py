"""Owns one connection to TWS or IB Gateway as the ``Broker`` port; reconnecting is the service's decision."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from walstreet.adapters.ibkr.account import ACCOUNT
from walstreet.adapters.ibkr.connection import choose_account, drop, handshake
from walstreet.adapters.ibkr.errors import BrokerLostError, BrokerRefusedError, BrokerTimeoutError
from walstreet.adapters.ibkr.governor import Priority, RateGovernor
from walstreet.adapters.ibkr.history_request import BAR_SIZES, duration_text
from walstreet.adapters.ibkr.library import Library, load, new_client
from walstreet.adapters.ibkr.numbers import utc_text
from walstreet.adapters.ibkr.options import ConnectOptions
from walstreet.adapters.ibkr.orders import OpenOrderFacts, stock, vendor_order
from walstreet.adapters.ibkr.queries import Queries
from walstreet.adapters.ibkr.requests import REQUEST_ID_FIRST
from walstreet.adapters.ibkr.wire import Wire
from walstreet.domain.observations import (
    HistoryBar,
    InstrumentFacts,
    MarginPreview,
    OrderTicket,
    SnapshotObserved,
)
from walstreet.ports import Clock, Observer
from walstreet_events import NANOS_PER_SECOND

ALL_HISTORY = "ADJUSTED_LAST"
"""This kind of history is refused with an end; it is asked for whole, ending now."""
BID_ASK = "BID_ASK"
"""This kind of history counts twice."""
SHORTABLE = "236"
"""Generic tick that brings tick types 46 and 89."""
MARKET_DATA_TYPES: dict[str, int] = {"live": 1, "delayed": 3}
SYMBOLS_MAX = 1_000


class IbkrBroker:
    """Implements ``walstreet.ports.Broker`` over the configured client library."""

    def __init__(
        self, options: ConnectOptions, *, clock: Clock, observer: Observer, governor: RateGovernor | None = None
    ) -> None:
        """Prepare a connection; nothing is sent before ``connect``.

        Args:
            options: Where and as whom.
            clock: Session time; it stamps observations and paces messages.
            observer: Takes observations from inside the socket's callback; must neither block nor raise.
            governor: The process's one governor; a new one when absent.

        Raises:
            LibraryMissingError: The configured client library is not installed.
        """
        self._options = options
        self._clock = clock
        self._observer = observer
        self._governor = governor or RateGovernor(clock, paced=options.paced, parameters=options.governor)
        self._library: Library = load(options.library)
        self._client: Any = None
        self._wire: Wire | None = None
        self._instruments: dict[str, InstrumentFacts] = {}
        self._order_id_floor = 0
        self._queries = Queries(self._library, self._governor, self._session)

    # --------------------------------------------------------------------------------------- connection

    async def connect(self) -> None:
        """Connect with a fresh client and synchronise.

        Raises:
            BrokerRefusedError: Client id in use, unknown account, or order ids run into request ids.
            BrokerTimeoutError: The gateway's port is open and nobody answers.
            BrokerLostError: No gateway there, or it closed the connection.
        """
        if self._wire is not None:
            await self.close()
        wired = Wire(self._options, self._clock, self._observer)
        client = new_client(self._library, wired, wired.handlers())
        self._wire, self._client = wired, client
        try:
            await handshake(client, wired)
            wired.account = wired.book.account = choose_account(self._options.account, client.getAccounts())
            wired.next_order_id = self._floor(max(wired.next_order_id, int(client.getReqId())))
            # The link comes first: it makes outcomes unknown, which the facts of the synchronisation then settle.
            wired.ready = True
            wired.link(connected=True, data_lost=True, code=0, detail=f"connected through {self._library.name}")
            await self._synchronise(client, wired)
        except BaseException:
            await self._drop(client, wired)
            raise

    async def close(self) -> None:
        """Disconnect; no observation comes after it returns."""
        client, wired = self._client, self._wire
        self._client, self._wire = None, None
        if wired is None:
            return
        wired.closed = True
        await self._drop(client, wired)

    @property
    def connected(self) -> bool:
        """Return whether the socket is up and the session has begun."""
        return self._wire is not None and self._wire.ready

    @property
    def next_order_id(self) -> int:
        """Return a floor for new broker order ids: above every id this client has seen."""
        return max(self._order_id_floor, self._wire.next_order_id if self._wire else 0)

    @property
    def accounts(self) -> tuple[str, ...]:
        """Return every account of the login.

        Raises:
            BrokerLostError: Not connected.
        """
        return tuple(self._session()[0].getAccounts())

    def _floor(self, next_order_id: int) -> int:
        floor = max(next_order_id, self._order_id_floor)
        if floor < REQUEST_ID_FIRST:
            return floor
        raise BrokerRefusedError(
            f"the gateway's next order id {floor} is not below {REQUEST_ID_FIRST}, where request ids begin; reset the "
            "order ids in the gateway's API settings"
        )

    async def _synchronise(self, client: Any, wired: Wire) -> None:
        await self._governor.message()
        client.reqMarketDataType(MARKET_DATA_TYPES[self._options.market_data_type])
        if not self._options.orders:
            return
        pending = wired.requests.open(ACCOUNT)
        await self._governor.message()
        client.reqAccountUpdates(True, wired.account)
        await wired.requests.answer(ACCOUNT, pending, "the account download")
        await self._queries.positions()
        await self._queries.open_orders(all_clients=False)
        for execution in await self._queries.executions():
            wired.emit(execution)

    async def _drop(self, client: Any, wired: Wire) -> None:
        self._order_id_floor = max(self._order_id_floor, wired.next_order_id)
        await drop(client, wired)

    def _session(self) -> tuple[Any, Wire]:
        if self._wire is None or not self._wire.ready:
            raise BrokerLostError("not connected to the gateway; connect before asking")
        return self._client, self._wire

    # ------------------------------------------------------------------------------------------ queries

    async def server_time_ns(self) -> int:
        """Ask the broker for its time, in whole seconds; the answer comes after every earlier message."""
        await self._governor.message()
        client, wired = self._session()
        future = wired.requests.open_barrier()
        client.reqCurrentTime()
        return await wired.requests.barrier_answer(future) * NANOS_PER_SECOND

    async def instruments(self, symbols: Sequence[str]) -> tuple[InstrumentFacts, ...]:
        """Qualify ``symbols``; raises ``BrokerRefusedError`` naming the ones that are unknown or ambiguous."""
        _check_count(symbols)
        results = await asyncio.gather(*(self._details(symbol) for symbol in symbols), return_exceptions=True)
        bad: list[str] = []
        good: list[InstrumentFacts] = []
        for symbol, result in zip(symbols, results, strict=True):
            if isinstance(result, BrokerRefusedError):
                bad.append(f"{symbol} ({result})")
            elif isinstance(result, BaseException):
                raise result
            else:
                good.append(result)
        if bad:
            raise BrokerRefusedError(f"instruments cannot be qualified: {'; '.join(bad)}; mend the universe")
        for facts in good:
            self._instruments[facts.symbol] = facts
        return tuple(good)

    async def _details(self, symbol: str) -> InstrumentFacts:
        await self._governor.message()
        client, wired = self._session()
        request_id = wired.requests.next_id()
        pending = wired.requests.open(request_id)
        client.reqContractDetails(request_id, stock(self._library, symbol=symbol))
        found: list[InstrumentFacts] = await wired.requests.answer(request_id, pending, f"the contract of {symbol}")
        if len(found) != 1 or found[0].symbol != symbol:
            raise BrokerRefusedError(f"{len(found)} contracts found")
        if found[0].min_tick_nano <= 0:
            raise BrokerRefusedError("no price increment given")
        return found[0]

    async def history(
        self,
        symbol: str,
        *,
        end_ns: int,
        days: int,
        bar_seconds: int,
        what: str = "TRADES",
        growing: bool = False,
    ) -> tuple[HistoryBar, ...]:
        """Return complete bars of the last ``days`` sessions before ``end_ns``, oldest first.

        Args:
            symbol: Of the instrument.
            end_ns: End of the span; with ``growing`` it is now, whatever is given.
            days: Sessions, up to a year of them; of daily bars up to 40 years.
            bar_seconds: Length of a bar.
            what: The broker's kind of history.
            growing: Whether the bar that is not complete is wanted too.

        Raises:
            BrokerRefusedError: No data, pacing, or an argument out of range.
        """
        duration = duration_text(days, bar_seconds)
        end_text = "" if what == ALL_HISTORY or growing else utc_text(end_ns)
        key = f"{symbol}|{end_text}|{days}|{bar_seconds}|{what}"
        weight = 2 if what == BID_ASK else 1
        async with self._governor.historical(contract=f"{symbol}|{what}", key=key, weight=weight):
            client, wired = self._session()
            request_id = wired.requests.next_id()
            pending = wired.requests.open(request_id)
            contract = self._contract(symbol)
            size = BAR_SIZES[bar_seconds]
            client.reqHistoricalData(request_id, contract, end_text, duration, size, what, 1, 2, False, [])
            try:
                bars: list[HistoryBar] = await wired.requests.answer(request_id, pending, f"the history of {symbol}")
            except BrokerTimeoutError:
                await self._governor.message()
                if self.connected:
                    client.cancelHistoricalData(request_id)
                raise
        kept = (bar for bar in bars if growing or bar.start_ns + bar_seconds * NANOS_PER_SECOND <= end_ns)
        return tuple(sorted(kept, key=lambda bar: bar.start_ns))

    async def stream(self, symbols: Sequence[str]) -> None:
        """Subscribe ``symbols`` anew: quotes, trades, volume, halts and, if configured, five-second bars."""
        _check_count(symbols)
        client, wired = self._session()
        for request_id in wired.ticks.close_all():
            await self._governor.message()
            client.cancelMktData(request_id)
        for request_id in tuple(wired.bar_symbols):
            await self._governor.message()
            client.cancelRealTimeBars(request_id)
            del wired.bar_symbols[request_id]
        generic_ticks = SHORTABLE if self._options.borrow else ""
        for symbol in symbols:
            await self._governor.message()
            client, wired = self._session()
            request_id = wired.requests.next_id()
            wired.ticks.open(request_id, symbol)
            client.reqMktData(request_id, self._contract(symbol), generic_ticks, False, False, [])
        if self._options.broker_bars:
            for symbol in symbols:
                # Bars in real time count as historical requests of no length: they are never *open*.
                key = f"{symbol}|bars|{wired.requests.next_id()}"
                async with self._governor.historical(contract=f"{symbol}|TRADES", key=key):
                    client, wired = self._session()
                    request_id = wired.requests.next_id()
                    wired.bar_symbols[request_id] = symbol
                    client.reqRealTimeBars(request_id, self._contract(symbol), 5, "TRADES", True, [])

    async def snapshot(self, request: str, ts_ns: int) -> SnapshotObserved:
        """Query open orders, completed orders, executions, positions and account."""
        return await self._queries.snapshot(request, ts_ns)

    async def server_version(self) -> int:
        """Return the version of the protocol that the gateway speaks, 0 when not connected."""
        return int(self._client.serverVersion()) if self.connected else 0

    async def account(self) -> str:
        """Return the account that orders of this connection go to, empty when not connected."""
        return self._wire.account if self._wire is not None and self._wire.ready else ""

    # ------------------------------------------------------------------------------------------- orders

    async def place(self, ticket: OrderTicket) -> None:
        """Send an order; returns when the message has been handed to the socket."""
        await self._send_order(ticket)

    async def modify(self, ticket: OrderTicket) -> None:
        """Send a change of a working order under the same broker order id."""
        await self._send_order(ticket)

    async def cancel(self, broker_order_id: int) -> None:
        """Send a cancel of one order of this client; it does not wait behind ordinary messages."""
        await self._governor.message(Priority.URGENT)
        client, _ = self._session()
        client.cancelOrder(broker_order_id, "")

    async def cancel_all(self) -> None:
        """Send a global cancel, which ends the orders of every client of the account."""
        await self._governor.message(Priority.URGENT)
        client, _ = self._session()
        client.reqGlobalCancel()

    async def preview(self, ticket: OrderTicket, *, timeout_s: float) -> MarginPreview:
        """Ask what margin the order would need; nothing is placed.

        Raises:
            BrokerRefusedError: The broker would refuse the order.
            BrokerTimeoutError: No answer at all in time; unknown, so reject.
        """
        await self._governor.message()
        client, wired = self._session()
        order = vendor_order(
            self._library, ticket, account=wired.account, what_if=True, fractional=self._options.fractional
        )
        key = wired.requests.next_id()
        pending = wired.requests.open(key)
        wired.previews[ticket.broker_order_id] = key
        wired.next_order_id = max(wired.next_order_id, ticket.broker_order_id + 1)
        try:
            client.placeOrder(ticket.broker_order_id, self._contract(ticket.symbol, ticket.con_id), order)
            answers: list[MarginPreview] = await wired.requests.answer(
                key, pending, f"the what-if of {ticket.symbol}", timeout_s=timeout_s
            )
        except BrokerTimeoutError:
            # Answers without a number leave the question open, because one with numbers may follow a warning.
            if not pending.rows:
                raise
            answers = pending.rows
        finally:
            wired.previews.pop(ticket.broker_order_id, None)
        return answers[-1]

    async def _send_order(self, ticket: OrderTicket) -> None:
        _, wired = self._session()
        order = vendor_order(self._library, ticket, account=wired.account, fractional=self._options.fractional)
        await self._governor.message(Priority.URGENT if ticket.urgent else Priority.NORMAL)
        client, wired = self._session()
        wired.remember(
            OpenOrderFacts(
                client_order_id=ticket.client_order_id,
                perm_id=0,
                client_id=self._options.client_id,
                broker_order_id=ticket.broker_order_id,
                symbol=ticket.symbol,
                buy=ticket.buy,
                quantity_micro=ticket.quantity_micro,
                status="",
            )
        )
        wired.next_order_id = max(wired.next_order_id, ticket.broker_order_id + 1)
        # The library's client only serialises; no ``Trade`` is made whose status it could invent.
        client.placeOrder(ticket.broker_order_id, self._contract(ticket.symbol, ticket.con_id), order)

    def _contract(self, symbol: str, con_id: int = 0) -> Any:
        known = self._instruments.get(symbol)
        return stock(self._library, symbol=symbol, con_id=con_id or (known.con_id if known else 0))


def _check_count(symbols: Sequence[str]) -> None:
    if len(symbols) > SYMBOLS_MAX or len(set(symbols)) != len(symbols):
        raise BrokerRefusedError(
            f"{len(symbols)} symbols, {len(set(symbols))} of them different; allowed are {SYMBOLS_MAX} different ones"
        )
