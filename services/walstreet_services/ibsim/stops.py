"""Owns the trigger of stop orders: whether a market step has reached a stop's price."""

from __future__ import annotations

from typing import TYPE_CHECKING

from walstreet_services.ibsim.model import Side

if TYPE_CHECKING:
    from walstreet_services.ibsim.model import MarketStep
    from walstreet_services.ibsim.order_record import Order


def stop_reached(order: Order, step: MarketStep) -> bool:
    """Return whether a trade of the step, or the quote at its end, is at the stop's price or beyond.

    A stop that sells is reached by a trade at or below it, or by a bid that low; one that buys is the mirror image. A
    stop that arrived within the step is judged from the next one on, because the step's trade may be older.
    """
    stop_nano = order.stop_nano
    if stop_nano is None or order.active_from_ns >= step.ts_ns:
        return False
    index = order.instrument_index
    traded = int(step.trade_size_micro[index]) > 0
    last, bid, ask = int(step.trade_nano[index]), int(step.bid_nano[index]), int(step.ask_nano[index])
    if order.side is Side.SELL:
        return (traded and last <= stop_nano) or 0 < bid <= stop_nano
    return (traded and last >= stop_nano) or ask >= stop_nano
