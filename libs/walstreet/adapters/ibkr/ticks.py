"""Owns the merging of the broker's tick messages into quotes, trades, volumes and halts, one line per symbol.

This is the hot path: four messages make one quote update, a session has hundreds of thousands. Fields stay
text, line ids and tick types are compared as text, and numbers come from a cache; an observation is made only
when something changed.

One update of bid and ask arrives as two messages, so that between them the merged quote may look crossed for an
instant. It is reported as it is, because holding it back until the end of a network packet would make the
sequence depend on how the kernel cut the stream.
"""

from __future__ import annotations

from walstreet.adapters.ibkr.numbers import micro, nano
from walstreet.domain import feeds
from walstreet.domain.borrow import sound_level
from walstreet.domain.observations import (
    BorrowObserved,
    FeedObserved,
    HaltObserved,
    QuoteObserved,
    TradeObserved,
    VolumeObserved,
)
from walstreet.ports import Clock, Observer

DATA_TYPES: dict[str, str] = {"1": "live", "2": "frozen", "3": "delayed", "4": "delayed_frozen"}
UNKNOWN = "unknown"
ON_THE_WAY_NS = 2_000_000_000
"""A tick so soon after the broker said that none come may have been sent before."""
_BADNESS: dict[str, int] = {UNKNOWN: 0, "live": 1, "frozen": 2, "delayed": 3, "delayed_frozen": 4}
_HALTED = ("1", "1.0", "2", "2.0")
_TRADING = ("0", "0.0")


class Line:
    """One market-data subscription with its merged values."""

    __slots__ = (
        "ask",
        "ask_size",
        "bid",
        "bid_size",
        "borrow_level",
        "data_type",
        "echo",
        "halted",
        "last",
        "last_size",
        "proven",
        "shortable",
        "symbol",
        "told",
        "volume",
    )

    def __init__(self, symbol: str) -> None:
        """Begin without a value."""
        self.symbol = symbol
        self.bid = 0
        self.ask = 0
        self.bid_size = 0
        self.ask_size = 0
        self.last = 0
        self.last_size = 0
        self.told = False
        """Whether a trade was told since the last cumulative volume."""
        self.echo = -1
        """Size of a last-price message whose own size message is still to come."""
        self.volume = -1
        self.halted: bool | None = None
        self.borrow_level: float | None = None
        self.shortable: int | None = None
        self.data_type = UNKNOWN
        self.proven = True
        """False from the broker's word that no ticks come until one comes."""


class TickBook:
    """All lines of one connection."""

    def __init__(self, clock: Clock, observe: Observer) -> None:
        """Stamp by ``clock`` and report to ``observe``."""
        self._now_ns = clock.now_ns
        self._observe = observe
        self._lines: dict[str, Line] = {}
        self._doubts_ns: dict[str, int] = {}
        """Feeds of which the broker said that they bring nothing, and when."""
        self._data_type = UNKNOWN

    @property
    def data_type(self) -> str:
        """Return the worst data type among the lines."""
        return self._data_type

    def open(self, request_id: int, symbol: str) -> None:
        """Begin a line."""
        self._lines[str(request_id)] = Line(symbol)

    def doubt(self, farm: str) -> None:
        """Take that a line, or all of them, bring nothing; a later tick disproves it."""
        self._doubts_ns[farm] = self._now_ns()
        symbol = feeds.symbol_of_line(farm)
        for each in self._lines.values():
            if symbol is None or each.symbol == symbol:
                each.proven = False

    def close_all(self) -> tuple[int, ...]:
        """Forget all lines and return their request ids."""
        request_ids = tuple(int(key) for key in self._lines)
        self._lines.clear()
        return request_ids

    def symbol_of(self, request_id: int) -> str | None:
        """Return the symbol of a line."""
        line = self._lines.get(str(request_id))
        return line.symbol if line else None

    # ------------------------------------------------------------------------ handlers of raw messages

    def on_price(self, fields: list[str]) -> None:
        """Take a tickPrice: ``1, version, id, type, price, size, mask``."""
        line = self._lines.get(fields[2])
        if line is None:
            return
        kind = fields[3]
        if kind in {"1", "66"}:
            price = _side(fields[4])
            size = micro(fields[5]) or 0 if price else 0
            if price == line.bid and size == line.bid_size:
                return
            line.bid = price
            line.bid_size = size
        elif kind in {"2", "67"}:
            price = _side(fields[4])
            size = micro(fields[5]) or 0 if price else 0
            if price == line.ask and size == line.ask_size:
                return
            line.ask = price
            line.ask_size = size
        elif kind in {"4", "68"}:
            self._trade(line, _side(fields[4]), micro(fields[5]) or 0, delayed=kind == "68")
            return
        else:
            return
        if kind in {"66", "67"}:
            self._arrived(line, "delayed")
        self._quote(line)

    def on_size(self, fields: list[str]) -> None:
        """Take a tickSize: ``2, version, id, type, size``."""
        line = self._lines.get(fields[2])
        if line is None:
            return
        kind = fields[3]
        if kind in {"0", "69"}:
            size = micro(fields[4]) or 0 if line.bid else 0
            if size == line.bid_size:
                return
            line.bid_size = size
            self._quote(line)
        elif kind in {"3", "70"}:
            size = micro(fields[4]) or 0 if line.ask else 0
            if size == line.ask_size:
                return
            line.ask_size = size
            self._quote(line)
        elif kind in {"5", "71"}:
            self._last_size(line, micro(fields[4]) or 0)
        elif kind in {"8", "74"}:
            volume = micro(fields[4])
            if volume is None or volume == line.volume:
                return
            if not line.told and line.volume >= 0 and volume - line.volume == line.last_size:
                # A trade of the same price and size as the last one changes no last price and no last size.
                self._traded(line, line.last_size)
            line.told = False
            line.volume = volume
            self._observe(VolumeObserved(symbol=line.symbol, ts_ns=self._now_ns(), volume_micro=volume))
        elif kind == "89":
            self._borrow(line, line.borrow_level, micro(fields[4]))

    def on_generic(self, fields: list[str]) -> None:
        """Take a tickGeneric: ``45, version, id, type, value``; type 49 is the halt flag, -1 means not known."""
        line = self._lines.get(fields[2])
        if line is not None and fields[3] == "46":
            self._borrow(line, sound_level(fields[4]), line.shortable)
            return
        if line is None or fields[3] != "49" or fields[4] not in {*_HALTED, *_TRADING}:
            return
        halted = fields[4] in _HALTED
        if halted is line.halted:
            return
        line.halted = halted
        self._observe(HaltObserved(symbol=line.symbol, ts_ns=self._now_ns(), halted=halted))

    def on_data_type(self, fields: list[str]) -> None:
        """Take a marketDataType: ``58, version, id, type``."""
        line = self._lines.get(fields[2])
        if line is not None:
            self._arrived(line, DATA_TYPES.get(fields[3], UNKNOWN))

    # ------------------------------------------------------------------------------------------ helpers

    def _prove(self, line: Line) -> None:
        """Take a tick of a doubted line as the proof that it brings data, whatever was said of it."""
        now_ns = self._now_ns()
        names = (feeds.line(line.symbol), feeds.GATEWAY)
        if any(now_ns - self._doubts_ns.get(name, now_ns - ON_THE_WAY_NS) < ON_THE_WAY_NS for name in names):
            return
        line.proven = True
        for name in names:
            self._doubts_ns.pop(name, None)
            self._observe(
                FeedObserved(
                    ts_ns=now_ns, farm=name, healthy=True, data_type=self._data_type, code=0, detail="ticks arrive"
                )
            )

    def _quote(self, line: Line) -> None:
        if not line.proven and line.bid and line.ask:
            self._prove(line)
        self._observe(
            QuoteObserved(
                symbol=line.symbol,
                ts_ns=self._now_ns(),
                bid_nano=line.bid,
                ask_nano=line.ask,
                bid_size_micro=line.bid_size,
                ask_size_micro=line.ask_size,
            )
        )

    def _borrow(self, line: Line, level: float | None, shortable: int | None) -> None:
        if (level, shortable) == (line.borrow_level, line.shortable):
            return
        line.borrow_level, line.shortable = level, shortable
        self._observe(BorrowObserved(symbol=line.symbol, ts_ns=self._now_ns(), level=level, shortable_micro=shortable))

    def _trade(self, line: Line, price: int, size: int, *, delayed: bool) -> None:
        if delayed:
            self._arrived(line, "delayed")
        if price <= 0:
            return
        line.last = price
        line.echo = size
        if size > 0:
            self._traded(line, size)

    def _last_size(self, line: Line, size: int) -> None:
        """Take a last size alone: the echo of a last price, or another trade at the same price."""
        echo, line.echo = line.echo, -1
        if size == echo or size <= 0 or line.last <= 0:
            return
        self._traded(line, size)

    def _traded(self, line: Line, size: int) -> None:
        """Tell a trade at the last price."""
        line.last_size = size
        line.told = True
        self._observe(TradeObserved(symbol=line.symbol, ts_ns=self._now_ns(), price_nano=line.last, size_micro=size))

    def _arrived(self, line: Line, data_type: str) -> None:
        if data_type == line.data_type:
            return
        line.data_type = data_type
        worst = max((each.data_type for each in self._lines.values()), key=_BADNESS.__getitem__)
        if worst == self._data_type:
            return
        self._data_type = worst
        self._observe(
            FeedObserved(
                ts_ns=self._now_ns(),
                farm=feeds.MARKET_DATA,
                healthy=worst == "live",
                data_type=worst,
                code=0,
                detail=f"{data_type} data arrived for {line.symbol}",
            )
        )


def _side(text: str) -> int:
    """Return a price, or 0 where the broker says that there is none (-1, 0, unset)."""
    price = nano(text)
    return price if price is not None and price > 0 else 0
