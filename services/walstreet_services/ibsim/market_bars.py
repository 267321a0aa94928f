"""Owns the aggregation of steps into the bars that historical requests return."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from walstreet_services.ibsim.market_errors import MarketRequestError
from walstreet_services.ibsim.model import Bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from walstreet_services.ibsim.market_path import SessionPath
    from walstreet_services.ibsim.model import Int64Array, Session

NANOSECONDS_PER_SECOND = 1_000_000_000
DAY_SECONDS = 86_400
BAR_SECONDS = (5, 60, 300, 900, 1800, 3600, DAY_SECONDS)
WHAT_PRICES = ("TRADES", "ADJUSTED_LAST", "MIDPOINT", "BID", "ASK")
WAP_UNIT_NANO = 1_000
"""Weighted prices are exact to a millionth of a dollar; finer units would overflow 64 bits on a busy day."""


def check_request(bar_seconds: int, what: str, step_ns: int) -> None:
    """Refuse bar sizes and price kinds that no market serves.

    Raises:
        MarketRequestError: Naming the value and the permitted ones.
    """
    if what not in WHAT_PRICES:
        raise MarketRequestError(f"what={what!r} is unknown; use one of {', '.join(WHAT_PRICES)}")
    if bar_seconds not in BAR_SECONDS:
        raise MarketRequestError(f"bar_seconds={bar_seconds} is not served; use one of {BAR_SECONDS}")
    if bar_seconds * NANOSECONDS_PER_SECOND % step_ns:
        raise MarketRequestError(
            f"bars of {bar_seconds} s cannot be made of steps of {step_ns} ns; play the market with a step that "
            "divides the bar"
        )


def bar_end_ns(bar: Bar, bar_seconds: int, session: Session) -> int:
    """Return when a bar is complete; the session's close cuts the last one, and a day is the session."""
    return min(bar.start_ns + bar_seconds * NANOSECONDS_PER_SECOND, session.close_ns)


def aggregate(path: SessionPath, session: Session, *, step_ns: int, bar_seconds: int, what: str) -> tuple[Bar, ...]:
    """Return the bars of one whole session, aligned to its open, oldest first.

    ``TRADES`` bars carry volume, weighted price and the number of prints; quote bars carry zeros there. A bar
    without a print (without a quote) does not exist.
    """
    group = min(bar_seconds * NANOSECONDS_PER_SECOND, session.close_ns - session.open_ns) // step_ns
    if what in {"TRADES", "ADJUSTED_LAST"}:
        price, active = path.trade_nano, path.trade_size_micro > 0
    else:
        price, active = _quote_series(path, what), path.bid_nano > 0
    size = path.trade_size_micro if what in {"TRADES", "ADJUSTED_LAST"} else np.zeros_like(path.trade_size_micro)
    price, size, mask = _grouped(price, group), _grouped(size, group), _grouped(active, group).astype(np.bool_)
    rows = np.flatnonzero(mask.any(axis=1))
    price, size, mask = price[rows], size[rows], mask[rows]
    everyone = np.arange(len(rows))
    low = np.where(mask, price, np.iinfo(np.int64).max).min(axis=1, initial=np.iinfo(np.int64).max)
    high = np.where(mask, price, 0).max(axis=1, initial=0)
    open_ = price[everyone, mask.argmax(axis=1)]
    close = price[everyone, group - 1 - mask[:, ::-1].argmax(axis=1)]
    volume = size.sum(axis=1)
    wap = _weighted_price(price, size, mask, low)
    count = np.where(volume > 0, mask.sum(axis=1), 0)
    columns = (values.tolist() for values in (rows, open_, high, low, close, volume, wap, count))
    return tuple(
        Bar(
            start_ns=session.open_ns + row * group * step_ns,
            open_nano=bar_open,
            high_nano=bar_high,
            low_nano=bar_low,
            close_nano=bar_close,
            volume_micro=bar_volume,
            wap_nano=bar_wap,
            count=bar_count,
        )
        for row, bar_open, bar_high, bar_low, bar_close, bar_volume, bar_wap, bar_count in zip(*columns, strict=True)
    )


def _quote_series(path: SessionPath, what: str) -> Int64Array:
    if what == "BID":
        return path.bid_nano
    if what == "ASK":
        return path.ask_nano
    return (path.bid_nano + path.ask_nano) // 2


def _grouped(values: Int64Array | NDArray[np.bool_], group: int) -> Int64Array:
    padding = -len(values) % group
    return np.pad(values.astype(np.int64), (0, padding)).reshape(-1, group)


def _weighted_price(price: Int64Array, size: Int64Array, mask: NDArray[np.bool_], low: Int64Array) -> Int64Array:
    shares = size // 1_000_000
    above_low = np.where(mask, price - low[:, None], 0) // WAP_UNIT_NANO
    volume = shares.sum(axis=1)
    mean: Int64Array = (above_low * shares).sum(axis=1) // np.maximum(volume, 1)
    return np.where(volume > 0, low + mean * WAP_UNIT_NANO, 0)
