"""Owns vectorbt as a peer of one backtest of the rotation: an account that follows weights which it is given.

vectorbt has no strategy of this kind, so it is handed the targets of every trade, and pays for fills only. That is less
work than ours, which ranks, gates, caps and weighs besides. Its fees leave the account before the next day instead of
being taken off the day's return, which moves the equity by the square of the costs; the ends are compared for that.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from walstreet.domain.units import BPS, FloatArray
from walstreet.research.swing_types import SwingBars, SwingParameters, SwingResult
from walstreet.testing.bench.peers import VECTORBT
from walstreet.testing.bench.row import BenchError

EQUITY_TOLERANCE: Final = 2e-3
"""Share of the end's equity by which the two ways of paying may differ over eleven years."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorbtPeer:
    """One backtest with the weights given."""

    run: Callable[[], FloatArray]
    """Return the equity of each day, (T,)."""


def vectorbt_peer(bars: SwingBars, point: SwingParameters, ours: SwingResult) -> VectorbtPeer:
    """Return the peer that trades when, and to what, ``ours`` did.

    Raises:
        BenchError: Its account ends elsewhere than ours.
    """
    vectorbt: Any = importlib.import_module(VECTORBT)
    pandas: Any = importlib.import_module("pandas")
    days = slice(point.first_day, point.last_day + 1)
    close = np.nan_to_num(bars.close[days], nan=1.0)
    targets = np.where(ours.traded[:, None] > 0, ours.target, np.nan)
    fees = point.slippage_bps / BPS + point.commission_per_share / close
    prices = pandas.DataFrame(close)
    sizes, rates = pandas.DataFrame(targets), pandas.DataFrame(fees)

    def run() -> FloatArray:
        account = vectorbt.Portfolio.from_orders(
            prices,
            sizes,
            size_type="targetpercent",
            fees=rates,
            init_cash=1.0,
            group_by=True,
            cash_sharing=True,
            call_seq="auto",
            freq="1D",
        )
        return np.asarray(account.value(), dtype=np.float64)

    end, expected = float(run()[-1]), float(ours.equity[-1])
    if abs(end / expected - 1.0) > EQUITY_TOLERANCE:
        raise BenchError(f"vectorbt ends at {end:.6f} times the start, the kernels at {expected:.6f}")
    return VectorbtPeer(run=run)
