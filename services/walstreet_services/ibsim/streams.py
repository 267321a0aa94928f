"""Owns the sending of quotes, bars, ticks and results to the subscribers of one market step."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from walstreet_services.ibsim import replies
from walstreet_services.ibsim.times import date_text, local_text
from walstreet_services.ibsim.units import NS_PER_SECOND, price_text, quantity_text
from walstreet_services.ibsim.wire import frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from walstreet_services.ibsim.account import Account
    from walstreet_services.ibsim.model import Bar, MarketStep
    from walstreet_services.ibsim.sessions import BarStream, ClientSession, PnlStream, TickStream
    from walstreet_services.ibsim.tape import Change, Tape

REAL_TIME_BAR_NS = 5 * NS_PER_SECOND
_LENGTH = struct.Struct(">I")
TICK_KINDS = {"Last": 1, "AllLast": 2, "BidAsk": 3, "MidPoint": 4}


def quote_frames(head: bytes, changes: Sequence[Change]) -> bytes:
    """Return the frames of some changes for one subscriber."""
    parts: list[bytes] = []
    for before, after in changes:
        parts += (_LENGTH.pack(len(before) + len(head) + len(after)), before, head, after)
    return b"".join(parts)


def bar_date(start_ns: int, bar_seconds: int, format_date: int) -> str:
    """Return a bar's date as the request wants it: a day, an exchange-local stamp, or epoch seconds."""
    if bar_seconds >= 86400:
        return date_text(start_ns)
    return str(start_ns // NS_PER_SECOND) if format_date == 2 else local_text(start_ns)


def on_step(session: ClientSession, step: MarketStep, live: Tape, delayed: Tape | None, account: Account) -> None:
    """Queue everything that one step brings to one client; the caller flushes."""
    for quote in session.quotes.values():
        tape = delayed if quote.delayed else live
        if tape is None:
            continue
        changes = tape.changes[quote.index]
        if changes:
            session.send(quote_frames(quote.head, changes))
        if quote.real_time_volume and not quote.delayed and step.trade_size_micro[quote.index]:
            session.send(_real_time_volume(quote.head, quote.index, step, live))
    for req_id, stream in session.bars.items():
        _bar(session, req_id, stream, step, live)
    for req_id, ticks in session.ticks.items():
        _ticks(session, req_id, ticks, step)
    for req_id, result in session.results.items():
        send_result(session, req_id, result, account)


def _real_time_volume(head: bytes, index: int, step: MarketStep, tape: Tape) -> bytes:
    image = tape.images[index]
    shares = image.volume_micro // 1_000_000
    average = image.turnover_nano // shares if shares else image.last_nano
    text = (
        f"48\0{price_text(image.last_nano)};{quantity_text(image.last_size_micro)};{step.ts_ns // 1_000_000};"
        f"{shares};{price_text(average)};true\0"
    )
    return quote_frames(head, [(b"46\x006\x00", text.encode())])


def _bar(session: ClientSession, req_id: int, stream: BarStream, step: MarketStep, tape: Tape) -> None:
    bar = stream.builder.add(step)
    if stream.real_time:
        if step.ts_ns % REAL_TIME_BAR_NS == 0:
            _real_time_bar(session, req_id, stream, step, tape, bar)
        return
    if bar is not None and bar != stream.latest:
        stream.latest = bar
        date = bar_date(bar.start_ns, stream.bar_seconds, stream.format_date)
        session.send(replies.historical_update(req_id, bar, date, stream.what))


def _real_time_bar(
    session: ClientSession, req_id: int, stream: BarStream, step: MarketStep, tape: Tape, bar: Bar | None
) -> None:
    """Send the five seconds that end now; without a trade they repeat the last price with no volume."""
    seconds = (step.ts_ns - REAL_TIME_BAR_NS) // NS_PER_SECOND
    if bar is not None:
        prices = (bar.open_nano, bar.high_nano, bar.low_nano, bar.close_nano)
        trades = stream.what == "TRADES"
        volume = quantity_text(bar.volume_micro) if trades else "-1"
        wap, count = (price_text(bar.wap_nano), bar.count) if trades else ("-1", -1)
    else:
        last = tape.images[stream.index].mark_nano
        prices, volume, wap, count = (last,) * 4, "0", price_text(last), 0
    session.send(frame(50, 3, req_id, seconds, *map(price_text, prices), volume, wap, count))


def _ticks(session: ClientSession, req_id: int, stream: TickStream, step: MarketStep) -> None:
    index, seconds = stream.index, step.ts_ns // NS_PER_SECOND
    if stream.kind in {TICK_KINDS["Last"], TICK_KINDS["AllLast"]}:
        size = int(step.trade_size_micro[index])
        if size:
            price = price_text(int(step.trade_nano[index]))
            session.send(frame(99, req_id, stream.kind, seconds, price, quantity_text(size), 0, "", ""))
        return
    bid, ask = int(step.bid_nano[index]), int(step.ask_nano[index])
    sizes = (int(step.bid_size_micro[index]), int(step.ask_size_micro[index]))
    shown = (bid, ask, *sizes) if stream.kind == TICK_KINDS["BidAsk"] else ((bid + ask) // 2,)
    if shown == stream.shown or not bid or not ask:
        return
    stream.shown = shown
    if stream.kind == TICK_KINDS["BidAsk"]:
        texts = (price_text(bid), price_text(ask), *map(quantity_text, sizes))
        session.send(frame(99, req_id, stream.kind, seconds, *texts, 0))
    else:
        session.send(frame(99, req_id, stream.kind, seconds, price_text(shown[0])))


def send_result(session: ClientSession, req_id: int, stream: PnlStream, account: Account) -> None:
    """Queue the account's or one holding's result when it has changed."""
    index = stream.index
    if index is None:
        shown: tuple[int, ...] = (account.daily(), account.unrealized_total(), account.realized_nano)
        if shown != stream.shown:
            daily, unrealized, realized = shown
            session.send(
                replies.profit_and_loss(req_id, daily_nano=daily, unrealized_nano=unrealized, realized_nano=realized)
            )
    else:
        position = account.positions.get(index)
        quantity = position.quantity_micro if position else 0
        realized = position.realized_nano if position else 0
        unrealized = account.unrealized(index)
        # Holdings start the day empty, so the day's result is all of the result.
        shown = (quantity, unrealized + realized, unrealized, realized, account.value(index))
        if shown != stream.shown:
            session.send(
                replies.profit_and_loss_single(
                    req_id,
                    quantity_micro=shown[0],
                    daily_nano=shown[1],
                    unrealized_nano=shown[2],
                    realized_nano=shown[3],
                    value_nano=shown[4],
                )
            )
    stream.shown = shown
