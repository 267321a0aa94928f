"""Owns the answers about the past: historical bars, schedules, head timestamps, and the start of bar streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from walstreet_services.ibsim import replies
from walstreet_services.ibsim.bars import BAR_KINDS, BAR_SECONDS, BarBuilder, duration_start_ns
from walstreet_services.ibsim.market_errors import MarketError
from walstreet_services.ibsim.sessions import STREAMS_MAX, BarStream
from walstreet_services.ibsim.streams import bar_date
from walstreet_services.ibsim.times import date_text, local_text, parse_day, parse_time, schedule_text, utc_text
from walstreet_services.ibsim.units import NS_PER_SECOND

if TYPE_CHECKING:
    from walstreet_services.ibsim.model import Bar, Market
    from walstreet_services.ibsim.requests import (
        RequestHeadTimestamp,
        RequestHistoricalBars,
        RequestRealTimeBars,
    )
    from walstreet_services.ibsim.sessions import ClientSession

BARS_MAX = 100_000
"""More bars than this in one answer would stall the server for every client."""
HEAD_YEARS_NS = 40 * 366 * 86_400 * NS_PER_SECOND
REAL_TIME_BAR_SECONDS = 5
DAY_SECONDS = 86_400


class History:
    """Answers from the market's own past; nothing after the session clock is shown."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._heads: dict[int, int] = {}

    def bars(self, session: ClientSession, request: RequestHistoricalBars, index: int, now_ns: int) -> None:
        """Answer a request for past bars, and start its updates when wanted."""
        req_id = request.req_id
        seconds = BAR_SECONDS.get(request.bar_size)
        if request.what == "SCHEDULE":
            self._schedule(session, request, now_ns)
            return
        if seconds is None or request.what not in BAR_KINDS:
            text = f"bar size '{request.bar_size[:20]}' or kind '{request.what[:20]}' is not served"
            session.error(req_id, 321, f"Error validating request: cause - {text}")
            return
        refusal = self._refused(request)
        end = (now_ns, True) if not request.end else parse_time(request.end)
        span = None if end is None else duration_start_ns(request.duration, min(end[0], now_ns))
        if refusal or end is None or span is None:
            code = 10314 if end is None else 321
            text = refusal or f"end '{request.end[:40]}' or duration '{request.duration[:20]}' is malformed"
            session.error(req_id, code, f"Error validating request: cause - {text}")
            return
        if not end[1]:
            session.error(req_id, 2174, "Warning: the end has no time zone; US/Eastern is assumed.")
        end_ns = min(end[0], now_ns)
        found = self._find(index, request.what, seconds, span, end_ns)
        if isinstance(found, str):
            session.error(req_id, 162, f"Historical Market Data Service error message:{found}")
            return
        if seconds == DAY_SECONDS and not request.end and not request.keep_up_to_date:
            found += self._today(request.what, index, now_ns)
        stream = self._stream(request, index, seconds, now_ns) if request.keep_up_to_date else None
        if stream is not None and stream.latest is not None and stream.latest not in found:
            found.append(stream.latest)
        if not found:
            text = f"HMDS query returned no data: {self._market.instruments[index].symbol}@SMART {request.what}"
            session.error(req_id, 162, f"Historical Market Data Service error message:{text}")
            return
        dates = [bar_date(bar.start_ns, seconds, request.format_date) for bar in found]
        start_text, end_text = local_text(span[0]), local_text(end_ns)
        session.send(replies.historical_bars(req_id, start_text, end_text, found, dates, request.what))
        if stream is not None:
            session.bars[req_id] = stream

    @staticmethod
    def _refused(request: RequestHistoricalBars) -> str:
        if request.what == "ADJUSTED_LAST" and request.end:
            return "End Date not supported with adjusted last"
        if request.keep_up_to_date and (request.end or request.what == "ADJUSTED_LAST"):
            return "keeping up to date allows no end and no adjusted prices"
        return ""

    def _find(self, index: int, what: str, seconds: int, span: tuple[int, int | None], end_ns: int) -> list[Bar] | str:
        """Return the bars of a span, or why there are none; trading days are counted from the end."""
        start_ns, days_count = span
        if (end_ns - start_ns) // NS_PER_SECOND // seconds > BARS_MAX * 4:
            return "query would return too many bars"
        try:
            found = list(self._market.bars(index, end_ns=end_ns, bar_seconds=seconds, start_ns=start_ns, what=what))
        except MarketError as problem:
            return str(problem)
        if days_count is not None:
            days = sorted({date_text(bar.start_ns) for bar in found})[-days_count:]
            found = [bar for bar in found if days and date_text(bar.start_ns) >= days[0]]
        return found if len(found) <= BARS_MAX else f"query returned {len(found)} bars, more than {BARS_MAX}"

    def _stream(self, request: RequestHistoricalBars, index: int, seconds: int, now_ns: int) -> BarStream:
        builder = BarBuilder(index, seconds, request.what, self._market.session.open_ns)
        return BarStream(
            index=index,
            builder=builder,
            what=request.what,
            real_time=False,
            format_date=request.format_date,
            bar_seconds=seconds,
            latest=self._grown(builder, now_ns),
        )

    def _today(self, what: str, index: int, now_ns: int) -> list[Bar]:
        """Return the growing bar of the day: a daily request that ends now has it, as the broker's answer does."""
        growing = self._grown(BarBuilder(index, DAY_SECONDS, what, self._market.session.open_ns), now_ns)
        return [] if growing is None else [growing]

    def _grown(self, builder: BarBuilder, now_ns: int) -> Bar | None:
        """Feed a builder the played steps of the bar that is growing at ``now_ns``."""
        market = self._market
        open_ns, step_ns = market.session.open_ns, market.step_ns
        played = min(max(0, (now_ns - open_ns) // step_ns), market.steps_count)
        if played == 0 or now_ns >= open_ns + market.steps_count * step_ns:
            return None
        start_ns = builder.start_of(now_ns + 1)
        first = max(0, (start_ns - open_ns) // step_ns)
        bar = None
        for place in range(first, played):
            bar = builder.add(market.step(place))
        return bar

    def real_time(self, session: ClientSession, request: RequestRealTimeBars, index: int) -> None:
        """Start five-second bars."""
        if request.what not in {"TRADES", "MIDPOINT", "BID", "ASK"}:
            text = f"kind '{request.what[:20]}' is not served"
            session.error(request.req_id, 321, f"Error validating request: cause - {text}")
            return
        if session.streams_count >= STREAMS_MAX:
            session.error(request.req_id, 456, f"Max number of real time requests ({STREAMS_MAX}) reached")
            return
        session.bars[request.req_id] = BarStream(
            index=index,
            builder=BarBuilder(index, REAL_TIME_BAR_SECONDS, request.what, self._market.session.open_ns),
            what=request.what,
            real_time=True,
            format_date=2,
            bar_seconds=REAL_TIME_BAR_SECONDS,
        )

    def head(self, session: ClientSession, request: RequestHeadTimestamp, index: int, now_ns: int) -> None:
        """Answer where the history of an instrument begins."""
        if index not in self._heads:
            found = self._find(index, "TRADES", BAR_SECONDS["1 day"], (now_ns - HEAD_YEARS_NS, None), now_ns)
            if isinstance(found, str) or not found:
                session.error(request.req_id, 162, "Historical Market Data Service error message:No head time stamp")
                return
            self._heads[index] = found[0].start_ns
        start_ns = self._heads[index]
        text = str(start_ns // NS_PER_SECOND) if request.format_date == 2 else utc_text(start_ns)
        session.send(replies.head_timestamp(request.req_id, text))

    def _schedule(self, session: ClientSession, request: RequestHistoricalBars, now_ns: int) -> None:
        end = (now_ns, True) if not request.end else parse_time(request.end)
        span = None if end is None else duration_start_ns(request.duration, end[0])
        if end is None or span is None or request.bar_size != "1 day":
            session.error(request.req_id, 321, "Error validating request: cause - SCHEDULE needs days")
            return
        # The calendar's package costs more than a second to load, which only this request pays.
        from walstreet_services.ibsim.calendar_xnys import sessions_between  # noqa: PLC0415

        first, last = (parse_day(date_text(ts_ns)) for ts_ns in (span[0], end[0]))
        try:
            found = sessions_between(first, last)
        except MarketError as problem:
            session.error(request.req_id, 162, f"Historical Market Data Service error message:{problem}")
            return
        kept = found[-span[1] :] if span[1] else found
        rows = [(schedule_text(item.open_ns), schedule_text(item.close_ns), f"{item.date:%Y%m%d}") for item in kept]
        if not rows:
            session.error(request.req_id, 162, "Historical Market Data Service error message:no sessions")
            return
        session.send(replies.historical_schedule(request.req_id, rows[0][0], rows[-1][1], rows))
