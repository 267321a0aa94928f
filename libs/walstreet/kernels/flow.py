"""Owns order-flow imbalance at the best quotes, summed quote by quote until it is taken."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from walstreet.kernels import _checks as checks
from walstreet.kernels.compiled import compiled
from walstreet.kernels.interface import VALUE_ABS_MAX, FloatArray, Status, StatusArray

__all__ = ["OrderFlowBank", "reference_order_flow_update"]

_QUOTE_FIELD_COUNT: Final = 4


def reference_order_flow_update(  # noqa: PLR0917 - mirrors the native call
    bid: FloatArray,
    ask: FloatArray,
    bid_size: FloatArray,
    ask_size: FloatArray,
    previous: FloatArray,
    imbalance: FloatArray,
    status: StatusArray,
) -> None:
    """Add one quote's order flow to the imbalance, in NumPy."""
    quotes = {"bid": bid, "ask": ask, "bid_size": bid_size, "ask_size": ask_size}
    for name, row in quotes.items():
        checks.require_array(row, name, "float64", 1)
    checks.require_array(previous, "previous", "float64", 2, written=True)
    checks.require_array(imbalance, "imbalance", "float64", 1, written=True)
    checks.require_array(status, "status", "uint8", 1, written=True)
    rows = {"ask": ask, "bid_size": bid_size, "ask_size": ask_size, "imbalance": imbalance}
    for name, row in rows.items():
        checks.require_shape(row, name, bid.shape, "bid")
    checks.require_shape(status, "status", bid.shape, "bid")
    checks.require_shape(previous, "previous", (_QUOTE_FIELD_COUNT, len(bid)), "bid")
    checks.require_separate(("previous", previous), {"imbalance": imbalance, "status": status, **quotes})
    checks.require_separate(("imbalance", imbalance), {"status": status, **quotes})
    checks.require_separate(("status", status), quotes)
    now = np.stack([bid, ask, bid_size, ask_size])
    usable = (np.abs(now) <= VALUE_ABS_MAX).all(axis=0)
    missing = np.isnan(now).any(axis=0)
    seeded = ~np.isnan(previous[0])
    with np.errstate(all="ignore"):
        demand = np.where(previous[0] <= bid, bid_size, 0.0) - np.where(bid <= previous[0], previous[2], 0.0)
        supply = np.where(ask <= previous[1], ask_size, 0.0) - np.where(previous[1] <= ask, previous[3], 0.0)
        imbalance += np.where(usable & seeded, demand - supply, 0.0)
    previous[:] = np.where(usable, now, previous)
    status[:] = np.where(usable, Status.UPDATED, np.where(missing, Status.MISSING, Status.OUT_OF_RANGE))


@dataclass(slots=True, kw_only=True, eq=False)
class OrderFlowBank:
    """Keep the last quote of each symbol and the order flow since it was taken.

    Each quote adds ``[bid >= bid'] * size - [bid <= bid'] * size'`` of the bid and takes away the same of the ask
    with the comparisons reversed, a dash marking the quote before (Cont, Kukanov and Stoikov 2014, "The price
    impact of order book events", equation 3). Plain data: copying the arrays is a snapshot.

    Attributes:
        previous: ``(4, symbols)`` bid, ask, bid size, ask size; NaN before the first full quote.
        imbalance: ``(symbols,)`` in the sizes' unit, positive where buying presses.
        status: ``(symbols,)`` ``Status`` of the last update.
    """

    previous: FloatArray
    imbalance: FloatArray
    status: StatusArray

    @classmethod
    def create(cls, symbol_count: int) -> Self:
        """Return a bank that has seen no quote."""
        return cls(
            previous=np.full((_QUOTE_FIELD_COUNT, symbol_count), np.nan),
            imbalance=np.zeros(symbol_count),
            status=np.zeros(symbol_count, dtype=np.uint8),
        )

    def update(self, bid: FloatArray, ask: FloatArray, bid_size: FloatArray, ask_size: FloatArray) -> None:
        """Take one quote per symbol, ``(symbols,)`` each; a NaN in any field leaves the symbol as it is.

        Raises:
            TypeError: not arrays of float64.
            ValueError: wrong shape or strides, or shared memory.
        """
        native = compiled()
        call = reference_order_flow_update if native is None else native.order_flow_update
        call(bid, ask, bid_size, ask_size, self.previous, self.imbalance, self.status)

    def take(self) -> FloatArray:
        """Return a copy ``(symbols,)`` of the imbalance and start it at zero."""
        taken: FloatArray = self.imbalance.copy()
        self.imbalance[:] = 0.0
        return taken
