"""Owns what the rotation is compared with: holding one symbol, and equal weights of all that can be traded."""

from __future__ import annotations

import numpy as np

from walstreet.domain.units import FloatArray
from walstreet.research.swing_engine import price_table
from walstreet.research.swing_types import SwingBars


def hold_one(bars: SwingBars, symbol: str, first_day: int, last_day: int) -> FloatArray:
    """Return (D,) daily returns of one symbol bought at the first day's close; 0 on that day, no costs.

    Raises:
        ValueError: The symbol is not among the bars.
    """
    if symbol not in bars.symbols:
        raise ValueError(f"benchmark: {symbol} is not among {', '.join(bars.symbols)}")
    returns = price_table(bars).returns[first_day : last_day + 1, bars.symbols.index(symbol)].copy()
    returns[0] = 0.0
    return returns


def equal_weight(bars: SwingBars, first_day: int, last_day: int) -> FloatArray:
    """Return (D,) daily returns of equal weights of all symbols with a bar at the close before; no costs.

    Weights are restored every day, so this is a measure and not a strategy that could be traded for nothing.
    """
    table = price_table(bars)
    returns = np.zeros(last_day - first_day + 1)
    for row in range(first_day + 1, last_day + 1):
        present = np.flatnonzero(~np.isnan(bars.close[row - 1]))
        if len(present):
            among = table.returns[row, present]
            returns[row - first_day] = float(np.add.accumulate(among)[-1]) / len(present)
    return returns
