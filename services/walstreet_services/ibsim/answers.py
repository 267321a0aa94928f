"""Owns the answers to requests of a started client: one method per kind of request, chosen by its type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from walstreet_services.ibsim import replies, replies_order, streams
from walstreet_services.ibsim import requests as rq
from walstreet_services.ibsim.account_feed import SUMMARIES_MAX
from walstreet_services.ibsim.sessions import (
    DELAYED,
    DELAYED_FROZEN,
    LIVE,
    MARKET_DATA_LINES_MAX,
    STREAMS_MAX,
    PnlStream,
    QuoteStream,
    TickStream,
)
from walstreet_services.ibsim.times import parse_time
from walstreet_services.ibsim.units import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from walstreet_services.ibsim.gateway import Gateway
    from walstreet_services.ibsim.order_record import Order
    from walstreet_services.ibsim.sessions import ClientSession

EXCHANGE_MAP = "9c0001"
CANCEL_SUMMARY, CANCEL_POSITIONS_MULTI, CANCEL_ACCOUNT_MULTI, CANCEL_HISTORICAL = 63, 75, 77, 25
NO_CONTRACT = "No security definition has been found for the request"


class Answers:
    """Dispatches requests; state lives in the gateway's parts and in the client's session."""

    def __init__(self, gateway: Gateway, on_first_subscription: Callable[[], None]) -> None:
        self._gateway = gateway
        self._on_first_subscription = on_first_subscription
        self._completed: dict[tuple[int, int], tuple[tuple[str, int, int], bytes]] = {}
        """Frame and the state it shows, per protocol version and order; the desk bounds the orders of a session."""
        self._methods: dict[type[rq.Request], Callable[..., None]] = {
            rq.RequestMarketData: self._market_data,
            rq.CancelStream: self._cancel_stream,
            rq.SetMarketDataType: self._market_data_type,
            rq.PlaceOrder: self._place,
            rq.CancelOrder: self._cancel,
            rq.GlobalCancel: self._cancel_all,
            rq.RequestOpenOrders: self._open_orders,
            rq.AutoOpenOrders: self._nothing,
            rq.SetLogLevel: self._nothing,
            rq.RequestCompletedOrders: self._completed_orders,
            rq.RequestExecutions: self._executions,
            rq.RequestIds: self._ids,
            rq.RequestManagedAccounts: self._accounts,
            rq.RequestCurrentTime: self._time,
            rq.RequestAccountUpdates: self._account_updates,
            rq.RequestAccountUpdatesMulti: self._account_multi,
            rq.RequestAccountSummary: self._summary,
            rq.RequestPositions: self._positions,
            rq.RequestPositionsMulti: self._positions_multi,
            rq.RequestPnl: self._results,
            rq.RequestContractDetails: self._details,
            rq.RequestMatchingSymbols: self._symbols,
            rq.RequestMarketRule: self._rule,
            rq.RequestHistoricalBars: self._historical,
            rq.RequestHeadTimestamp: self._head,
            rq.RequestRealTimeBars: self._real_time_bars,
            rq.RequestTickByTick: self._tick_by_tick,
            rq.Unsupported: self._unsupported,
        }

    def answer(self, session: ClientSession, request: rq.Request) -> None:
        """Answer one request into the session's queue."""
        self._methods[type(request)](session, request)

    def _index(self, session: ClientSession, request: rq.ContractRequest) -> int | None:
        index = self._gateway.book.find(request.contract)
        if index is None:
            session.error(request.req_id, 200, NO_CONTRACT)
        return index

    def _foreign_account(self, session: ClientSession, req_id: int, account: str) -> bool:
        if account in {"", "All", self._gateway.options.account}:
            return False
        session.error(req_id, 321, f"Error validating request: cause - Invalid account code '{account[:20]}'.")
        return True

    # Market data

    def _market_data(self, session: ClientSession, request: rq.RequestMarketData) -> None:
        gateway, req_id = self._gateway, request.req_id
        index = self._index(session, request)
        if index is None:
            return
        if len(session.quotes) >= MARKET_DATA_LINES_MAX:
            session.error(req_id, 101, "Max number of tickers has been reached")
            return
        if req_id in session.quotes:
            session.error(req_id, 322, "Error processing request: Duplicate ticker id")
            return
        delayed = gateway.delayed is not None
        if delayed and session.market_data_type not in {DELAYED, DELAYED_FROZEN}:
            text = "Requested market data is not subscribed. Delayed market data is available."
            session.error(req_id, 354, text)
            return
        if delayed:
            text = "Requested market data is not subscribed. Displaying delayed market data."
            session.error(req_id, 10167, text)
        tape = gateway.delayed or gateway.live
        head = f"{req_id}\0".encode()
        instrument = gateway.market.instruments[index]
        shown = session.market_data_type if delayed else LIVE
        session.send(replies.market_data_type(req_id, shown))
        session.send(replies.tick_request_parameters(req_id, instrument.min_tick_nano, EXCHANGE_MAP))
        session.send(streams.quote_frames(head, tape.image_changes(index)))
        self._generic_ticks(session, request, index, head)
        if request.snapshot:
            session.send(replies.snapshot_end(req_id))
            return
        session.quotes[req_id] = QuoteStream(
            index=index,
            head=head,
            delayed=delayed,
            real_time_volume="233" in request.generic_ticks,
            shortable="236" in request.generic_ticks,
        )
        self._on_first_subscription()

    def _generic_ticks(self, session: ClientSession, request: rq.RequestMarketData, index: int, head: bytes) -> None:
        instrument = self._gateway.market.instruments[index]
        changes = [(b"45\x006\x00", f"49\0{self._gateway.halted_text(index)}\0".encode())]
        # A market says zero for what it does not know, and then nothing is sent.
        if "165" in request.generic_ticks and instrument.average_daily_volume_micro:
            shares = instrument.average_daily_volume_micro // 1_000_000
            changes.append((b"2\x006\x00", f"21\0{shares}\0".encode()))
        if "236" in request.generic_ticks:
            changes += self._gateway.shortable(index)
        session.send(streams.quote_frames(head, changes))

    def _market_data_type(self, session: ClientSession, request: rq.SetMarketDataType) -> None:
        if request.data_type in range(LIVE, DELAYED_FROZEN + 1):
            session.market_data_type = request.data_type
        else:
            session.error(-1, 321, f"Error validating request: cause - market data type {request.data_type}")

    def _cancel_stream(self, session: ClientSession, request: rq.CancelStream) -> None:
        req_id = request.req_id
        if request.kind == CANCEL_HISTORICAL and req_id in session.bars:
            session.error(
                req_id,
                162,
                f"Historical Market Data Service error message:API historical data query cancelled: {req_id}",
            )
        if request.kind == CANCEL_SUMMARY:
            session.summaries.pop(req_id, None)
        elif request.kind == CANCEL_POSITIONS_MULTI:
            session.positions_multi.discard(req_id)
        elif request.kind == CANCEL_ACCOUNT_MULTI:
            session.account_multi.discard(req_id)
        elif not session.drop_stream(req_id) and request.kind == 2:
            session.error(req_id, 300, f"Can't find EId with tickerId:{req_id}")

    def _tick_by_tick(self, session: ClientSession, request: rq.RequestTickByTick) -> None:
        index = self._index(session, request)
        kind = streams.TICK_KINDS.get(request.tick_type)
        if index is None:
            return
        if kind is None:
            session.error(
                request.req_id, 321, f"Error validating request: cause - tick type '{request.tick_type[:20]}'"
            )
        elif session.streams_count >= STREAMS_MAX:
            session.error(request.req_id, 10190, "Max number of tick-by-tick requests has been reached")
        else:
            session.ticks[request.req_id] = TickStream(index=index, kind=kind)
            self._on_first_subscription()

    def _historical(self, session: ClientSession, request: rq.RequestHistoricalBars) -> None:
        index = self._index(session, request)
        if index is not None:
            self._gateway.history.bars(session, request, index, self._gateway.clock.now_ns())
            if request.keep_up_to_date:
                self._on_first_subscription()

    def _head(self, session: ClientSession, request: rq.RequestHeadTimestamp) -> None:
        index = self._index(session, request)
        if index is not None:
            self._gateway.history.head(session, request, index, self._gateway.clock.now_ns())

    def _real_time_bars(self, session: ClientSession, request: rq.RequestRealTimeBars) -> None:
        index = self._index(session, request)
        if index is not None:
            self._gateway.history.real_time(session, request, index)
            self._on_first_subscription()

    # Contracts

    def _details(self, session: ClientSession, request: rq.RequestContractDetails) -> None:
        found = self._gateway.book.details(session.server_version, request.req_id, request.contract)
        if found is None:
            session.error(request.req_id, 200, NO_CONTRACT)
        else:
            session.send(found)

    def _symbols(self, session: ClientSession, request: rq.RequestMatchingSymbols) -> None:
        found = self._gateway.book.search(request.pattern)
        session.send(replies.symbol_samples(session.server_version, request.req_id, found))

    def _rule(self, session: ClientSession, request: rq.RequestMarketRule) -> None:
        tick_nano = self._gateway.book.rule(request.rule_id)
        if tick_nano is None:
            session.error(-1, 321, f"Error validating request: cause - market rule {request.rule_id}")
        else:
            session.send(replies.market_rule(request.rule_id, tick_nano))

    # Orders

    def _place(self, session: ClientSession, request: rq.PlaceOrder) -> None:
        assert session.client_id is not None
        self._gateway.desk.place(session.client_id, request, self._gateway.clock.now_ns())

    def _cancel(self, session: ClientSession, request: rq.CancelOrder) -> None:
        assert session.client_id is not None
        self._gateway.desk.cancel(session.client_id, request.order_id, self._gateway.clock.now_ns())

    def _cancel_all(self, _session: ClientSession, _request: rq.GlobalCancel) -> None:
        self._gateway.desk.cancel_all(self._gateway.clock.now_ns())

    def _open_orders(self, session: ClientSession, request: rq.RequestOpenOrders) -> None:
        assert session.client_id is not None
        for order in self._gateway.desk.open_orders(session.client_id, all_clients=request.all_clients):
            session.send(replies_order.open_order(session.server_version, order))
            session.send(replies_order.order_status(order))
        session.send(replies_order.open_orders_end())

    def _completed_orders(self, session: ClientSession, _request: rq.RequestCompletedOrders) -> None:
        for order in self._gateway.desk.completed_orders():
            session.send(self._completed_frame(session.server_version, order))
        session.send(replies_order.completed_orders_end())

    def _completed_frame(self, server_version: int, order: Order) -> bytes:
        """Return the order's frame, made anew only if the order changed: clients ask for all of them every minute."""
        state = (order.shown_status, order.filled_micro, order.updated_ns)
        known = self._completed.get((server_version, order.perm_id))
        if known is None or known[0] != state:
            known = (state, replies_order.completed_order(server_version, order))
            self._completed[server_version, order.perm_id] = known
        return known[1]

    def _executions(self, session: ClientSession, request: rq.RequestExecutions) -> None:
        since = parse_time(request.since) if request.since else None
        fills = self._gateway.desk.fills
        for execution in fills.all():
            order = execution.order
            wanted = (
                request.client_id in {0, order.client_id}
                and request.account in {"", order.account}
                and (since is None or execution.ts_ns >= since[0])
                and request.symbol in {"", order.instrument.symbol}
                and request.sec_type in {"", "STK"}
                and request.exchange in {"", "SMART", execution.exchange}
                and request.side[:1] in {"", order.side.value[:1]}
            )
            if wanted:
                session.send(replies_order.execution_details(request.req_id, execution))
                if fills.fee_reported(execution):
                    session.send(
                        replies.commission_report(
                            execution.execution_id, execution.commission_nano, execution.realized_nano
                        )
                    )
        session.send(replies_order.executions_end(request.req_id))

    def _ids(self, session: ClientSession, _request: rq.RequestIds) -> None:
        assert session.client_id is not None
        session.send(replies.next_valid_id(self._gateway.desk.next_id(session.client_id)))

    # Account and the rest

    def _accounts(self, session: ClientSession, _request: rq.RequestManagedAccounts) -> None:
        session.send(replies.managed_accounts(self._gateway.options.account))

    def _time(self, session: ClientSession, _request: rq.RequestCurrentTime) -> None:
        session.send(replies.current_time(self._gateway.clock.now_ns() // NS_PER_SECOND))

    def _account_updates(self, session: ClientSession, request: rq.RequestAccountUpdates) -> None:
        if self._foreign_account(session, -1, request.account):
            return
        session.account_updates = request.subscribe
        if request.subscribe:
            self._gateway.feed.download(session, self._gateway.clock.now_ns())

    def _account_multi(self, session: ClientSession, request: rq.RequestAccountUpdatesMulti) -> None:
        if not self._foreign_account(session, request.req_id, request.account):
            session.account_multi.add(request.req_id)
            self._gateway.feed.multi(session, request.req_id)

    def _summary(self, session: ClientSession, request: rq.RequestAccountSummary) -> None:
        if len(session.summaries) >= SUMMARIES_MAX and request.req_id not in session.summaries:
            session.error(
                request.req_id, 322, "Error processing request: Maximum number of account summary requests exceeded"
            )
            return
        session.summaries[request.req_id] = request.tags
        self._gateway.feed.summary(session, request.req_id, request.tags)

    def _positions(self, session: ClientSession, request: rq.RequestPositions) -> None:
        session.positions = request.subscribe
        if request.subscribe:
            self._gateway.feed.positions(session)

    def _positions_multi(self, session: ClientSession, request: rq.RequestPositionsMulti) -> None:
        if not self._foreign_account(session, request.req_id, request.account):
            session.positions_multi.add(request.req_id)
            self._gateway.feed.positions_multi(session, request.req_id)

    def _results(self, session: ClientSession, request: rq.RequestPnl) -> None:
        if self._foreign_account(session, request.req_id, request.account):
            return
        index = None
        if request.con_id is not None:
            instruments = self._gateway.market.instruments
            index = next((place for place, item in enumerate(instruments) if item.con_id == request.con_id), None)
            if index is None:
                session.error(request.req_id, 200, NO_CONTRACT)
                return
        stream = PnlStream(index=index)
        session.results[request.req_id] = stream
        streams.send_result(session, request.req_id, stream, self._gateway.account)

    def _nothing(self, session: ClientSession, request: rq.Request) -> None:
        """Leave requests unanswered that a gateway does not answer either."""

    def _unsupported(self, session: ClientSession, request: rq.Unsupported) -> None:
        text = f"Unknown message id: the simulator does not serve request {request.message_id}"
        session.error(request.req_id, 505, text)
