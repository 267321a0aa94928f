"""Owns the encoding of the plain server messages; orders have their own module, ``replies_order``.

Every function returns one frame with exactly the fields that the clients' decoders expect at the negotiated
version. Sizes are in shares, prices in USD.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from walstreet_services.ibsim.times import EXCHANGE_ZONE_NAME
from walstreet_services.ibsim.units import price_text, quantity_text
from walstreet_services.ibsim.wire import UNSET_DOUBLE_TEXT, frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from walstreet_services.ibsim.model import Bar, Instrument

VERSION_ADVANCED_REJECT = 166
VERSION_SIZE_RULES = 164
VERSION_BOND_ISSUER = 176


def error(server_version: int, req_id: int, code: int, text: str) -> bytes:
    """Return an error or a notice (message 4)."""
    fields: list[str | int] = [4, 2, req_id, code, text]
    if server_version >= VERSION_ADVANCED_REJECT:
        fields.append("")
    return frame(*fields)


def next_valid_id(order_id: int) -> bytes:
    """Return the next valid order id (message 9)."""
    return frame(9, 1, order_id)


def managed_accounts(account: str) -> bytes:
    """Return the account list (message 15)."""
    return frame(15, 1, account)


def current_time(seconds: int) -> bytes:
    """Return the session clock in whole seconds (message 49)."""
    return frame(49, 1, seconds)


def market_data_type(req_id: int, data_type: int) -> bytes:
    """Return which kind of quotes a subscription gets (message 58)."""
    return frame(58, 1, req_id, data_type)


def tick_request_parameters(req_id: int, min_tick_nano: int, exchange_map: str) -> bytes:
    """Return the price increment and exchange map of a subscription (message 81)."""
    return frame(81, req_id, price_text(min_tick_nano), exchange_map, 3)


def snapshot_end(req_id: int) -> bytes:
    """Return the end of a snapshot (message 57)."""
    return frame(57, 1, req_id)


def contract_fields(instrument: Instrument, exchange: str) -> tuple[str | int, ...]:
    """Return the contract as openOrder, execDetails and position carry it: eleven fields."""
    symbol = instrument.symbol
    return (instrument.con_id, symbol, "STK", "", "0.0", "", "", exchange, "USD", symbol, symbol)


def contract_details(
    server_version: int,
    req_id: int,
    instrument: Instrument,
    *,
    exchange: str,
    valid_exchanges: str,
    rule_id: int,
    order_types: str,
    hours: str,
) -> bytes:
    """Return one contract in full (message 10)."""
    symbol = instrument.symbol
    fields: list[str | int] = [10]
    if server_version < VERSION_SIZE_RULES:
        fields.append(8)
    fields += [req_id, symbol, "STK", "", "0", "", exchange, "USD", symbol, symbol, symbol]
    fields += [instrument.con_id, price_text(instrument.min_tick_nano)]
    if server_version < VERSION_SIZE_RULES:
        fields.append(100)
    rules = ",".join([str(rule_id)] * (valid_exchanges.count(",") + 1))
    # Clients decode the name with escapes, hence ASCII with backslashes doubled.
    name = instrument.long_name.encode("unicode-escape").decode("ascii")
    fields += ["", order_types, valid_exchanges, 1, 0, name, instrument.primary_exchange, ""]
    fields += [instrument.sector, "", "", EXCHANGE_ZONE_NAME, hours, hours, "", 0, 0]
    fields += [1, "", "", rules, "", instrument.stock_type]
    if server_version >= VERSION_SIZE_RULES:
        fields += [1, 1, instrument.lot_size]
    elif server_version == VERSION_SIZE_RULES - 1:
        fields.append(1)
    return frame(*fields)


def contract_details_end(req_id: int) -> bytes:
    """Return the end of contract details (message 52)."""
    return frame(52, 1, req_id)


def symbol_samples(server_version: int, req_id: int, instruments: Sequence[Instrument]) -> bytes:
    """Return the contracts that a search found (message 79)."""
    fields: list[str | int] = [79, req_id, len(instruments)]
    for item in instruments:
        fields += [item.con_id, item.symbol, "STK", item.primary_exchange, "USD", 0]
        if server_version >= VERSION_BOND_ISSUER:
            fields += [item.long_name, ""]
    return frame(*fields)


def market_rule(rule_id: int, min_tick_nano: int) -> bytes:
    """Return a table of price increments with one row (message 93)."""
    return frame(93, rule_id, 1, "0", price_text(min_tick_nano))


def account_value(tag: str, value: str, currency: str, account: str) -> bytes:
    """Return one account value (message 6)."""
    return frame(6, 2, tag, value, currency, account)


def portfolio(
    instrument: Instrument,
    account: str,
    *,
    quantity_micro: int,
    price_nano: int,
    value_nano: int,
    average_cost_nano: int,
    unrealized_nano: int,
    realized_nano: int,
) -> bytes:
    """Return one position with its valuation (message 7)."""
    symbol = instrument.symbol
    return frame(
        *(7, 8, instrument.con_id, symbol, "STK", "", "0.0", "0", "", instrument.primary_exchange, "USD"),
        *(symbol, symbol, quantity_text(quantity_micro), price_text(price_nano), price_text(value_nano)),
        *(price_text(average_cost_nano), price_text(unrealized_nano), price_text(realized_nano), account),
    )


def account_time(text: str) -> bytes:
    """Return the time of the account values (message 8)."""
    return frame(8, 1, text)


def account_end(account: str) -> bytes:
    """Return the end of the account download (message 54)."""
    return frame(54, 1, account)


def account_multi(req_id: int, account: str, tag: str, value: str, currency: str) -> bytes:
    """Return one account value by request (message 73)."""
    return frame(73, 1, req_id, account, "", tag, value, currency)


def account_multi_end(req_id: int) -> bytes:
    """Return the end of account values by request (message 74)."""
    return frame(74, 1, req_id)


def account_summary(req_id: int, account: str, tag: str, value: str, currency: str) -> bytes:
    """Return one row of the account summary (message 63)."""
    return frame(63, 1, req_id, account, tag, value, currency)


def account_summary_end(req_id: int) -> bytes:
    """Return the end of the account summary (message 64)."""
    return frame(64, 1, req_id)


def position(instrument: Instrument, account: str, *, quantity_micro: int, average_cost_nano: int) -> bytes:
    """Return one position (message 61); as at the broker, it names no exchange."""
    quantity, cost = quantity_text(quantity_micro), price_text(average_cost_nano)
    return frame(61, 3, account, *contract_fields(instrument, ""), quantity, cost)


def position_end() -> bytes:
    """Return the end of the positions (message 62)."""
    return frame(62, 1)


def position_multi(
    req_id: int, instrument: Instrument, account: str, *, quantity_micro: int, average_cost_nano: int
) -> bytes:
    """Return one position by request (message 71)."""
    quantity, cost = quantity_text(quantity_micro), price_text(average_cost_nano)
    return frame(71, 1, req_id, account, *contract_fields(instrument, ""), quantity, cost, "")


def position_multi_end(req_id: int) -> bytes:
    """Return the end of positions by request (message 72)."""
    return frame(72, 1, req_id)


def profit_and_loss(req_id: int, *, daily_nano: int, unrealized_nano: int, realized_nano: int) -> bytes:
    """Return the account's profit and loss (message 94)."""
    return frame(94, req_id, price_text(daily_nano), price_text(unrealized_nano), price_text(realized_nano))


def profit_and_loss_single(
    req_id: int,
    *,
    quantity_micro: int,
    daily_nano: int,
    unrealized_nano: int,
    realized_nano: int,
    value_nano: int,
) -> bytes:
    """Return one position's profit and loss (message 95)."""
    amounts = (daily_nano, unrealized_nano, realized_nano, value_nano)
    return frame(95, req_id, quantity_text(quantity_micro), *map(price_text, amounts))


def commission_report(execution_id: str, commission_nano: int, realized_nano: int | None) -> bytes:
    """Return the fee of one execution (message 59); an opening fill has an unset result."""
    realized = UNSET_DOUBLE_TEXT if realized_nano is None else price_text(realized_nano)
    return frame(59, 1, execution_id, price_text(commission_nano), "USD", realized, UNSET_DOUBLE_TEXT, "")


def _bar_fields(bar: Bar, date: str, what: str) -> list[str]:
    prices = [price_text(value) for value in (bar.open_nano, bar.high_nano, bar.low_nano, bar.close_nano)]
    if what in {"TRADES", "ADJUSTED_LAST"}:
        return [date, *prices, quantity_text(bar.volume_micro), price_text(bar.wap_nano), str(bar.count)]
    return [date, *prices, "-1", "-1", "-1"]


def historical_bars(req_id: int, start: str, end: str, bars: Sequence[Bar], dates: Sequence[str], what: str) -> bytes:
    """Return past bars with their end mark (message 17); quote bars have no volume."""
    fields: list[str | int] = [17, req_id, start, end, len(bars)]
    for bar, date in zip(bars, dates, strict=True):
        fields += _bar_fields(bar, date, what)
    return frame(*fields)


def historical_update(req_id: int, bar: Bar, date: str, what: str) -> bytes:
    """Return the newest bar of a kept-up-to-date request (message 90)."""
    day, opened, high, low, close, volume, wap, count = _bar_fields(bar, date, what)
    return frame(90, req_id, count, day, opened, close, high, low, wap, volume)


def head_timestamp(req_id: int, text: str) -> bytes:
    """Return where history begins (message 88)."""
    return frame(88, req_id, text)


def historical_schedule(req_id: int, start: str, end: str, sessions: Sequence[tuple[str, str, str]]) -> bytes:
    """Return past trading sessions as opening, closing and date (message 106)."""
    fields: list[str | int] = [106, req_id, start, end, EXCHANGE_ZONE_NAME, len(sessions)]
    for session in sessions:
        fields += session
    return frame(*fields)
