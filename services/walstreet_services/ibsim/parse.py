"""Owns the reading of requests: one parser per message id, from fields to the values of ``requests``.

The layouts are those of server versions 157 to 176. Unset values arrive as empty fields or as the largest
double or integer. A malformed request raises ``FieldError``; ``request_id`` then says whom to answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from walstreet_services.ibsim import requests as rq
from walstreet_services.ibsim.parse_order import place_order
from walstreet_services.ibsim.parse_parts import contract, skip_delta_neutral, skip_legs
from walstreet_services.ibsim.wire import FieldError, FieldReader

if TYPE_CHECKING:
    from collections.abc import Callable

NO_REQUEST_ID = -1
TAGS_MAX = 128
_ID_FIRST = frozenset(
    {3, 20, 22, 77, 78, 79, 81, 83, 84, 86, 87, 88, 89, 90, 92, 93, 94, 95, 96, 97, 98, 100, 101, 102, 103, 104}
)
"""Messages whose request id follows the message id; other known ones have a version between."""
_WITHOUT_ID = frozenset({5, 6, 8, 12, 13, 14, 15, 16, 17, 18, 24, 49, 58, 59, 61, 64, 71, 80, 82, 85, 91, 99})
_CANCEL_ID_FIRST = (77, 90, 93, 95, 98)
_CANCEL_VERSIONED = (2, 25, 51, 63, 75)
MESSAGE_ID_LAST_VERSIONED = 76
"""Newer messages than this have no version field unless listed."""


def request_id(payload: bytes) -> int:
    """Return the id that an error about this payload should carry, or ``NO_REQUEST_ID``."""
    try:
        reader = FieldReader.of(payload)
        message_id = reader.integer(NO_REQUEST_ID)
        if message_id in _WITHOUT_ID:
            return NO_REQUEST_ID
        versioned = message_id not in _ID_FIRST and message_id <= MESSAGE_ID_LAST_VERSIONED
        reader.skip(1 if versioned else 0)
        value = reader.integer(NO_REQUEST_ID)
    except FieldError:
        return NO_REQUEST_ID
    return value if -(2**31) <= value < 2**31 else NO_REQUEST_ID


def parse(payload: bytes, server_version: int) -> rq.Request:
    """Return the request of one payload.

    Raises:
        FieldError: A field is missing or malformed.
    """
    reader = FieldReader.of(payload)
    message_id = reader.integer(NO_REQUEST_ID)
    if message_id == 3:
        return place_order(reader, server_version)
    if message_id in _CANCEL_ID_FIRST:
        return rq.CancelStream(req_id=_id(reader), kind=message_id)
    if message_id in _CANCEL_VERSIONED:
        reader.skip(1)
        return rq.CancelStream(req_id=_id(reader), kind=message_id)
    parser = _PARSERS.get(message_id)
    if parser is None:
        return rq.Unsupported(req_id=request_id(payload), message_id=message_id)
    return parser(reader)


def _id(reader: FieldReader) -> int:
    value = reader.integer(NO_REQUEST_ID)
    if not -(2**31) <= value < 2**31:
        raise FieldError(f"request id {value} is outside 32 bits")
    return value


def _start_api(reader: FieldReader) -> rq.Request:
    reader.skip(1)
    return rq.StartApi(client_id=_id(reader))


def _market_data(reader: FieldReader) -> rq.Request:
    reader.skip(1)
    req_id = _id(reader)
    spec = contract(reader)
    skip_legs(reader, spec, fields_per_leg=4)
    skip_delta_neutral(reader)
    ticks = tuple(tick for tick in reader.text().split(",")[:TAGS_MAX] if tick)
    return rq.RequestMarketData(req_id=req_id, contract=spec, generic_ticks=ticks, snapshot=reader.flag())


def _market_data_type(reader: FieldReader) -> rq.Request:
    reader.skip(1)
    return rq.SetMarketDataType(data_type=reader.integer())


def _cancel_order(reader: FieldReader) -> rq.Request:
    reader.skip(1)
    return rq.CancelOrder(order_id=_id(reader))


def _executions(reader: FieldReader) -> rq.Request:
    reader.skip(1)
    return rq.RequestExecutions(
        req_id=_id(reader),
        client_id=reader.integer(),
        account=reader.text(),
        since=reader.text(),
        symbol=reader.text(),
        sec_type=reader.text(),
        exchange=reader.text(),
        side=reader.text(),
    )


def _account_updates(reader: FieldReader) -> rq.Request:
    reader.skip(1)
    return rq.RequestAccountUpdates(subscribe=reader.flag(), account=reader.text())


def _account_updates_multi(reader: FieldReader) -> rq.Request:
    reader.skip(1)
    return rq.RequestAccountUpdatesMulti(
        req_id=_id(reader), account=reader.text(), model=reader.text(), ledger_only=reader.flag()
    )


def _account_summary(reader: FieldReader) -> rq.Request:
    reader.skip(1)
    return rq.RequestAccountSummary(
        req_id=_id(reader),
        group=reader.text(),
        tags=tuple(tag.strip() for tag in reader.text().split(",")[:TAGS_MAX] if tag.strip()),
    )


def _positions_multi(reader: FieldReader) -> rq.Request:
    reader.skip(1)
    return rq.RequestPositionsMulti(req_id=_id(reader), account=reader.text(), model=reader.text())


def _pnl(reader: FieldReader) -> rq.Request:
    req_id, account = _id(reader), reader.text()
    return rq.RequestPnl(req_id=req_id, account=account, con_id=None)


def _pnl_single(reader: FieldReader) -> rq.Request:
    req_id, account = _id(reader), reader.text()
    reader.skip(1)
    return rq.RequestPnl(req_id=req_id, account=account, con_id=reader.integer())


def _contract_details(reader: FieldReader) -> rq.Request:
    reader.skip(1)
    return rq.RequestContractDetails(req_id=_id(reader), contract=contract(reader))


def _matching_symbols(reader: FieldReader) -> rq.Request:
    return rq.RequestMatchingSymbols(req_id=_id(reader), pattern=reader.text())


def _historical(reader: FieldReader) -> rq.Request:
    req_id = _id(reader)
    spec = contract(reader)
    reader.skip(1)
    end, bar_size, duration = reader.text(), reader.text(), reader.text()
    regular_hours, what, format_date = reader.flag(), reader.text(), reader.integer(1)
    skip_legs(reader, spec, fields_per_leg=4)
    return rq.RequestHistoricalBars(
        req_id=req_id,
        contract=spec,
        end=end,
        bar_size=bar_size,
        duration=duration,
        regular_hours=regular_hours,
        what=what,
        format_date=format_date,
        keep_up_to_date=reader.flag(),
    )


def _head_timestamp(reader: FieldReader) -> rq.Request:
    req_id = _id(reader)
    spec = contract(reader)
    reader.skip(2)
    return rq.RequestHeadTimestamp(req_id=req_id, contract=spec, what=reader.text(), format_date=reader.integer(1))


def _real_time_bars(reader: FieldReader) -> rq.Request:
    reader.skip(1)
    return rq.RequestRealTimeBars(
        req_id=_id(reader), contract=contract(reader), bar_seconds=reader.integer(5), what=reader.text()
    )


def _tick_by_tick(reader: FieldReader) -> rq.Request:
    return rq.RequestTickByTick(
        req_id=_id(reader),
        contract=contract(reader),
        tick_type=reader.text(),
        past_ticks_count=reader.integer(),
    )


_PARSERS: dict[int, Callable[[FieldReader], rq.Request]] = {
    1: _market_data,
    4: _cancel_order,
    5: lambda _: rq.RequestOpenOrders(all_clients=False),
    6: _account_updates,
    7: _executions,
    8: lambda _: rq.RequestIds(),
    9: _contract_details,
    14: lambda _: rq.SetLogLevel(),
    15: lambda _: rq.AutoOpenOrders(),
    16: lambda _: rq.RequestOpenOrders(all_clients=True),
    17: lambda _: rq.RequestManagedAccounts(),
    20: _historical,
    49: lambda _: rq.RequestCurrentTime(),
    50: _real_time_bars,
    58: lambda _: rq.GlobalCancel(),
    59: _market_data_type,
    61: lambda _: rq.RequestPositions(subscribe=True),
    62: _account_summary,
    64: lambda _: rq.RequestPositions(subscribe=False),
    71: _start_api,
    74: _positions_multi,
    76: _account_updates_multi,
    81: _matching_symbols,
    87: _head_timestamp,
    91: lambda reader: rq.RequestMarketRule(rule_id=reader.integer()),
    92: _pnl,
    94: _pnl_single,
    97: _tick_by_tick,
    99: lambda _: rq.RequestCompletedOrders(),
}

assert not set(_PARSERS) & set(_CANCEL_ID_FIRST + _CANCEL_VERSIONED)
