"""Owns what comes in: raw messages of one connection become observations and ends of requests.

The library calls this object where it would call its own ``Wrapper``. Orders' states are taken from orderStatus,
execDetails, commissionReport and error messages as they stand on the wire; see ``library`` for why.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from walstreet.adapters.ibkr import codes
from walstreet.adapters.ibkr.account import AccountBook
from walstreet.adapters.ibkr.library import Handler
from walstreet.adapters.ibkr.numbers import integer, micro, nano, seconds_ns, time_ns, whole
from walstreet.adapters.ibkr.options import ConnectOptions
from walstreet.adapters.ibkr.orders import (
    OpenOrderFacts,
    completed_order_facts,
    instrument_facts,
    margin_preview,
    open_order_facts,
)
from walstreet.adapters.ibkr.requests import REQUEST_ID_FIRST, Requests
from walstreet.adapters.ibkr.ticks import TickBook
from walstreet.domain import feeds
from walstreet.domain.observations import (
    BrokerBarObserved,
    CommissionObserved,
    ExecutionObserved,
    FeedObserved,
    HistoryBar,
    LinkObserved,
    Observation,
    OrderErrorObserved,
    OrderStatusObserved,
)
from walstreet.ports import Clock, Observer
from walstreet_events import NANOS_PER_SECOND

ORDERS_KEPT_MAX = 20_000
"""Orders whose symbol and reference are remembered for their status messages; the oldest goes first."""
OPEN_ORDERS = "open orders"
COMPLETED_ORDERS = "completed orders"
BROKER_BAR_NS = 5 * NANOS_PER_SECOND
SAME_MOMENT_NS = 2 * NANOS_PER_SECOND
"""Executions are stamped in whole seconds; an arrival within this distance is the finer stamp of the same moment."""
EXECUTION_FIELDS_MIN = 31
FRAME_FIELDS_SHOWN = 12

_log = logging.getLogger(__name__)


class Wire:
    """The receiving side of one connection."""

    def __init__(self, options: ConnectOptions, clock: Clock, observe: Observer) -> None:
        """Begin unconnected."""
        self.options = options
        self._clock = clock
        self._observer = observe
        self.closed = False
        self.account = ""
        self.requests = Requests(options.request_timeout_s)
        self.ticks = TickBook(clock, self.emit)
        self.book = AccountBook(clock, self.emit, self.requests)
        self.bar_symbols: dict[int, str] = {}
        self.previews: dict[int, int] = {}
        """Order id of a what-if to its request key."""
        self.next_order_id = 0
        self.refusal: tuple[int, str] | None = None
        """Last error before the session was up."""
        self.ready = False
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._orders: dict[tuple[int, int], OpenOrderFacts] = {}
        self._listed: dict[tuple[int, int, int], OpenOrderFacts] = {}

    def handlers(self) -> dict[int, Handler]:
        """Return the raw handlers by message id."""
        end = self.requests.end
        return {
            1: self.ticks.on_price,
            2: self.ticks.on_size,
            3: self._order_status,
            4: self._error,
            6: self.book.on_value,
            8: self.book.on_time,
            9: self._next_valid_id,
            11: self._execution,
            17: self._history,
            45: self.ticks.on_generic,
            49: lambda fields: self.requests.end_barrier(whole(fields[2])),
            50: self._broker_bar,
            52: lambda fields: end(whole(fields[2])),
            53: lambda _fields: end(OPEN_ORDERS),
            54: self.book.on_download_end,
            55: lambda fields: end(whole(fields[2])),
            58: self.ticks.on_data_type,
            59: self._commission,
            61: self.book.on_position,
            62: self.book.on_positions_end,
            63: self.book.on_summary,
            64: lambda fields: end(whole(fields[2])),
            102: lambda _fields: end(COMPLETED_ORDERS),
        }

    def emit(self, observation: Observation) -> None:
        """Hand one observation on, unless the connection was closed by us."""
        if not self.closed:
            self._observer(observation)

    def link(self, *, connected: bool, data_lost: bool, code: int, detail: str) -> None:
        """Report the link's state."""
        self.emit(
            LinkObserved(
                ts_ns=self._clock.now_ns(),
                connected=connected,
                data_lost=data_lost,
                client_id=self.options.client_id,
                next_order_id=self.next_order_id if connected else 0,
                code=code,
                detail=detail,
            )
        )

    def remember(self, facts: OpenOrderFacts) -> None:
        """Keep an order's symbol and reference for its status messages."""
        key = (facts.client_id, facts.broker_order_id)
        self._orders.pop(key, None)
        self._orders[key] = facts
        if len(self._orders) > ORDERS_KEPT_MAX:
            del self._orders[next(iter(self._orders))]

    def begin_listing(self) -> None:
        """Begin to collect the answer to a query of open orders."""
        self._listed.clear()

    def listing(self) -> tuple[OpenOrderFacts, ...]:
        """Return what the query of open orders has brought."""
        return tuple(self._listed.values())

    # ------------------------------------------------- what the library calls where its Wrapper would be

    def connectAck(self) -> None:  # noqa: N802 - the vendor's name
        """Take the end of the handshake; the session follows."""

    def setEventsDone(self) -> None:  # noqa: N802 - the vendor's name
        """Take the socket's end, before and after the session was up."""
        detail = self.refusal[1] if self.refusal else "the gateway closed the connection"
        if not self.lost.done():
            self.lost.set_result(detail)
        self.requests.lose(detail)
        if self.ready:
            self.ready = False
            self.link(connected=False, data_lost=True, code=0, detail="socket closed by the gateway")

    def connectionClosed(self) -> None:  # noqa: N802 - the vendor's name
        """Take the library's notice of a loss, which ``setEventsDone`` has handled already."""

    def openOrder(self, order_id: int, contract: Any, order: Any, order_state: Any) -> None:  # noqa: N802
        """Take a decoded openOrder."""
        if order.whatIf:
            self._previewed(order_id, order_state)
            return
        facts = open_order_facts(contract, order, order_state)
        if facts.client_id == self.options.client_id:
            self.next_order_id = max(self.next_order_id, facts.broker_order_id + 1)
        self.remember(facts)
        if self.requests.rows(OPEN_ORDERS) is not None:
            self._listed[facts.client_id, facts.broker_order_id, facts.perm_id] = facts

    def completedOrder(self, contract: Any, order: Any, order_state: Any) -> None:  # noqa: N802
        """Take a decoded completedOrder."""
        rows = self.requests.rows(COMPLETED_ORDERS)
        if rows is not None and order.account in {"", self.account}:
            rows.append(completed_order_facts(contract, order, order_state))

    def contractDetails(self, request_id: int, details: Any) -> None:  # noqa: N802
        """Take decoded contractDetails."""
        rows = self.requests.rows(request_id)
        if rows is not None:
            rows.append(instrument_facts(details))

    def malformed(self, fields: list[str], error: Exception) -> None:
        """Take a message that could not be read: shown as ill health of the feed, never passed over."""
        shown = "|".join(fields[:FRAME_FIELDS_SHOWN])
        _log.error("message could not be read: %s (%r)", shown, error)
        self._farm("decoder", healthy=False, code=0, detail=f"{error!r} in message {shown}")

    def damaged(self, detail: str) -> None:
        """Take the loss of the framing: nothing that follows can be read."""
        _log.error("framing lost: %s", detail)
        if not self.lost.done():
            self.lost.set_result(detail)
        self.requests.lose(detail)
        if self.ready:
            self.ready = False
            self.link(connected=False, data_lost=True, code=0, detail=detail)

    # -------------------------------------------------------------------------------- raw: order facts

    def _next_valid_id(self, fields: list[str]) -> None:
        self.next_order_id = max(self.next_order_id, whole(fields[2]))

    def _order_status(self, fields: list[str]) -> None:
        order_id, client_id, perm_id = whole(fields[1]), whole(fields[9]), integer(fields[6])
        filled = micro(fields[3]) or 0
        facts = self._orders.get((client_id, order_id))
        if facts is not None and facts.perm_id and perm_id and facts.perm_id != perm_id:
            facts = None
        if facts is not None:
            facts.status = fields[2]
            facts.filled_micro = max(facts.filled_micro, filled)
            facts.perm_id = facts.perm_id or perm_id
        self.emit(
            OrderStatusObserved(
                ts_ns=self._clock.now_ns(),
                broker_order_id=order_id,
                client_id=client_id,
                perm_id=perm_id,
                client_order_id=facts.client_order_id if facts else "",
                symbol=facts.symbol if facts else "",
                status=fields[2],
                filled_micro=filled,
                remaining_micro=micro(fields[4]) or 0,
                average_price_nano=nano(fields[5]) or 0,
                why_held=fields[10],
                limit_nano=facts.limit_nano if facts else None,
                total_micro=facts.total_micro if facts else None,
            )
        )

    def _execution(self, fields: list[str]) -> None:
        if len(fields) < EXECUTION_FIELDS_MIN:
            raise ValueError(f"execDetails has {len(fields)} fields, expected at least {EXECUTION_FIELDS_MIN}")
        if fields[16] != self.account:
            return
        price, quantity = nano(fields[20]), micro(fields[19])
        if price is None or quantity is None:
            raise ValueError(f"execution {fields[14]} has price {fields[20]!r} and shares {fields[19]!r}")
        rows = self.requests.rows(whole(fields[1]))
        stamped_ns, now_ns = time_ns(fields[15]), self._clock.now_ns()
        fresh = rows is None and 0 <= now_ns - stamped_ns < SAME_MOMENT_NS
        observation = ExecutionObserved(
            ts_ns=now_ns if fresh else stamped_ns,
            exec_id=fields[14],
            perm_id=integer(fields[21]),
            broker_order_id=integer(fields[2]),
            client_id=integer(fields[22]),
            client_order_id=fields[26],
            symbol=fields[4],
            con_id=whole(fields[3]),
            buy=fields[18] in {"BOT", "BUY"},
            price_nano=price,
            quantity_micro=quantity,
            cumulative_micro=micro(fields[24]) or 0,
        )
        if observation.client_id == self.options.client_id:
            self.next_order_id = max(self.next_order_id, observation.broker_order_id + 1)
        if rows is None:
            self.emit(observation)
        else:
            rows.append(observation)

    def _commission(self, fields: list[str]) -> None:
        commission = nano(fields[3])
        if commission is None:
            # A fill is final only when its fee is known; an unset fee says nothing, and a query brings it again.
            return
        self.emit(
            CommissionObserved(
                ts_ns=self._clock.now_ns(),
                exec_id=fields[2],
                commission_nano=commission,
                realized_pnl_nano=nano(fields[5]),
            )
        )

    def _previewed(self, order_id: int, order_state: Any) -> None:
        key = self.previews.get(order_id)
        rows = self.requests.rows(key) if key is not None else None
        if key is None or rows is None:
            return
        preview = margin_preview(order_state)
        rows.append(preview)
        # With a warning, a message with unset numbers comes before the one that has them.
        if preview.initial_margin_after_nano is not None:
            self.requests.end(key)

    # ------------------------------------------------------------------------------ raw: market, history

    def _broker_bar(self, fields: list[str]) -> None:
        symbol = self.bar_symbols.get(whole(fields[2]))
        if symbol is None:
            return
        bar = _bar(seconds_ns(fields[3]), fields[4:11])
        self.emit(BrokerBarObserved(symbol=symbol, bar=bar, bar_ns=BROKER_BAR_NS))

    def _history(self, fields: list[str]) -> None:
        request_id, count = whole(fields[1]), whole(fields[4])
        rows = self.requests.rows(request_id)
        if rows is None:
            return
        for index in range(count):
            bar = fields[5 + 8 * index : 13 + 8 * index]
            rows.append(_bar(time_ns(bar[0]), bar[1:]))
        self.requests.end(request_id)

    # --------------------------------------------------------------------------------------- raw: errors

    def _error(self, fields: list[str]) -> None:
        subject, code, text = whole(fields[2]), whole(fields[3]), fields[4]
        if not self.ready and code in codes.REFUSES_CONNECTION:
            self.refusal = (code, f"broker code {code}: {text}")
        if code in codes.LINK_DOWN:
            self.link(connected=False, data_lost=False, code=code, detail=text)
        elif code in codes.LINK_UP:
            self.link(connected=True, data_lost=codes.LINK_UP[code], code=code, detail=text)
        elif code in codes.FARM_HEALTH:
            self._farm(codes.farm_of(text), healthy=codes.FARM_HEALTH[code], code=code, detail=text)
        elif subject in self.previews:
            if not codes.is_warning(code):
                self.requests.fail(self.previews[subject], code, text)
        elif subject >= REQUEST_ID_FIRST:
            self._request_error(subject, code, text)
        elif subject > 0:
            self.emit(OrderErrorObserved(ts_ns=self._clock.now_ns(), broker_order_id=subject, code=code, message=text))
        elif code in codes.NO_DATA:
            self.ticks.doubt(feeds.GATEWAY)
            self._farm(feeds.GATEWAY, healthy=False, code=code, detail=text)
        else:
            # Most codes are no errors, and one that nobody knows is no reason to stop; it is on the log to be read.
            self._farm(feeds.notice(code), healthy=True, code=code, detail=text)

    def _request_error(self, request_id: int, code: int, text: str) -> None:
        symbol = self.ticks.symbol_of(request_id) or self.bar_symbols.get(request_id)
        if symbol is not None and codes.WARNING_FIRST <= code <= codes.WARNING_LAST:
            self._farm(feeds.notice(code), healthy=True, code=code, detail=f"{symbol}: {text}")
        elif symbol is not None:
            self.ticks.doubt(feeds.line(symbol))
            self._farm(feeds.line(symbol), healthy=False, code=code, detail=text)
        elif not codes.is_warning(code):
            # An error on a request that has ended names nothing that anybody still waits for.
            self.requests.fail(request_id, code, text)

    def _farm(self, farm: str, *, healthy: bool, code: int, detail: str) -> None:
        self.emit(
            FeedObserved(
                ts_ns=self._clock.now_ns(),
                farm=farm,
                healthy=healthy,
                data_type=self.ticks.data_type,
                code=code,
                detail=detail,
            )
        )


def _bar(start_ns: int, fields: list[str]) -> HistoryBar:
    """Return a bar from open, high, low, close, volume, average and count; quote bars write -1 for the last three."""
    prices = [nano(text) for text in fields[:4]]
    if any(price is None for price in prices):
        raise ValueError(f"bar at {start_ns} has the prices {fields[:4]}")
    opened, high, low, close = (price or 0 for price in prices)
    return HistoryBar(
        start_ns=start_ns,
        open_nano=opened,
        high_nano=high,
        low_nano=low,
        close_nano=close,
        volume_micro=max(0, micro(fields[4]) or 0),
        vwap_nano=max(0, nano(fields[5]) or 0),
        trade_count=max(0, whole(fields[6])),
    )
