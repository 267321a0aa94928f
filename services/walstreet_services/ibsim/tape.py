"""Owns the present image of every instrument and what each market step changes in it.

A change is kept as the encoded rest of a message, so that a subscriber's frame is one concatenation: the fields
before and after the request id are made once per step, however many clients listen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from walstreet_services.ibsim.units import NS_PER_SECOND, price_text, quantity_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from walstreet_services.ibsim.model import Instrument, MarketStep

PRICE_HEAD, SIZE_HEAD, STRING_HEAD = b"1\x006\x00", b"2\x006\x00", b"46\x006\x00"
DELAYED_BY_LIVE = {1: 66, 2: 67, 4: 68, 0: 69, 3: 70, 5: 71, 6: 72, 7: 73, 8: 74, 9: 75, 14: 76, 45: 88}
"""Tick type of delayed data for each type of live data."""
NO_QUOTE_NANO = -1_000_000_000
"""The broker's price for a side that has gone."""
Change = tuple[bytes, bytes]
"""What stands before and after the request id in a message."""


@dataclass(slots=True)
class Image:
    """What the market last showed of one instrument; zero means not seen yet."""

    close_nano: int
    bid_nano: int = 0
    ask_nano: int = 0
    bid_size_micro: int = 0
    ask_size_micro: int = 0
    last_nano: int = 0
    last_size_micro: int = 0
    last_ns: int = 0
    open_nano: int = 0
    high_nano: int = 0
    low_nano: int = 0
    volume_micro: int = 0
    turnover_nano: int = 0

    @property
    def mark_nano(self) -> int:
        """Return the price at which holdings are valued: last trade, prior close or middle; zero if unknown."""
        return self.last_nano or self.close_nano or (self.bid_nano + self.ask_nano) // 2


class Tape:
    """Follows the steps of a market; live and delayed quotes are two tapes over the same steps."""

    def __init__(self, instruments: Sequence[Instrument], *, delayed: bool = False) -> None:
        self.images = [Image(close_nano=item.prior_close_nano) for item in instruments]
        self.changes: list[list[Change]] = [[] for _ in instruments]
        """Per instrument, what the latest step changed."""
        self._types = {live: late if delayed else live for live, late in DELAYED_BY_LIVE.items()}
        self._price_tails = {live: str(kind).encode() + b"\0" for live, kind in self._types.items()}

    def _price(self, tick_type: int, nano: int, size_micro: int) -> Change:
        tail = f"{price_text(nano)}\0{quantity_text(size_micro)}\x000\0".encode()
        return PRICE_HEAD, self._price_tails[tick_type] + tail

    def _size(self, tick_type: int, size_micro: int) -> Change:
        return SIZE_HEAD, self._price_tails[tick_type] + f"{quantity_text(size_micro)}\0".encode()

    def on_step(self, step: MarketStep) -> None:
        """Take in one step."""
        columns = zip(
            self.images,
            self.changes,
            step.bid_nano.tolist(),
            step.ask_nano.tolist(),
            step.bid_size_micro.tolist(),
            step.ask_size_micro.tolist(),
            step.trade_nano.tolist(),
            step.trade_size_micro.tolist(),
            step.volume_micro.tolist(),
            strict=True,
        )
        for image, changes, bid, ask, bid_size, ask_size, trade, trade_size, volume in columns:
            changes.clear()
            if bid != image.bid_nano:
                changes.append(self._price(1, bid or NO_QUOTE_NANO, bid_size))
            elif bid_size != image.bid_size_micro:
                changes.append(self._size(0, bid_size))
            if ask != image.ask_nano:
                changes.append(self._price(2, ask or NO_QUOTE_NANO, ask_size))
            elif ask_size != image.ask_size_micro:
                changes.append(self._size(3, ask_size))
            image.bid_nano, image.ask_nano = bid, ask
            image.bid_size_micro, image.ask_size_micro = bid_size, ask_size
            if trade_size:
                self._trade(image, changes, trade, trade_size, step.ts_ns)
            if volume != image.volume_micro:
                image.volume_micro = volume
                changes.append(self._size(8, volume))

    def _trade(self, image: Image, changes: list[Change], trade: int, size: int, ts_ns: int) -> None:
        changes.append(self._stamp(ts_ns))
        if trade != image.last_nano:
            changes.append(self._price(4, trade, size))
        elif size != image.last_size_micro:
            changes.append(self._size(5, size))
        if not image.open_nano:
            image.open_nano = image.high_nano = image.low_nano = trade
            changes += [self._price(14, trade, 0), self._price(6, trade, 0), self._price(7, trade, 0)]
        elif trade > image.high_nano:
            image.high_nano = trade
            changes.append(self._price(6, trade, 0))
        elif trade < image.low_nano:
            image.low_nano = trade
            changes.append(self._price(7, trade, 0))
        image.last_nano, image.last_size_micro, image.last_ns = trade, size, ts_ns
        image.turnover_nano += trade * (size // 1_000_000)

    def _stamp(self, ts_ns: int) -> Change:
        return STRING_HEAD, self._price_tails[45] + f"{ts_ns // NS_PER_SECOND}\0".encode()

    def rescale(self, index: int, price: Callable[[int], int], size: Callable[[int], int]) -> None:
        """Change the image of an instrument as a split does; the next step tells the difference."""
        image = self.images[index]
        for name in ("close_nano", "bid_nano", "ask_nano", "last_nano", "open_nano", "high_nano", "low_nano"):
            setattr(image, name, price(getattr(image, name)))
        for name in ("bid_size_micro", "ask_size_micro", "last_size_micro", "volume_micro"):
            setattr(image, name, size(getattr(image, name)))

    def image_changes(self, index: int) -> list[Change]:
        """Return the whole image of one instrument as a new subscriber gets it."""
        image = self.images[index]
        changes: list[Change] = []
        if image.bid_nano:
            changes.append(self._price(1, image.bid_nano, image.bid_size_micro))
        if image.ask_nano:
            changes.append(self._price(2, image.ask_nano, image.ask_size_micro))
        if image.last_nano:
            changes.append(self._stamp(image.last_ns))
            changes.append(self._price(4, image.last_nano, image.last_size_micro))
        if image.volume_micro:
            changes.append(self._size(8, image.volume_micro))
        if image.open_nano:
            changes.append(self._price(14, image.open_nano, 0))
            changes.append(self._price(6, image.high_nano, 0))
            changes.append(self._price(7, image.low_nano, 0))
        if image.close_nano:
            changes.append(self._price(9, image.close_nano, 0))
        return changes
