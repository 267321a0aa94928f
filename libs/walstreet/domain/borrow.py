"""Owns what the broker says about borrowing: collected by the gateway, confirmed on the log, read by the guard.

Shortability comes by tick types 46 (level) and 89 (shares), and only when it changes. While the market-data connection
is up, what was told last still holds; therefore the gateway repeats all of it at a fixed distance, and the time of that
repetition is the age that the guard looks at. A lost connection ends the repetition, and the facts grow stale.
"""

from __future__ import annotations

import math

from walstreet.domain.guard_short import Borrow
from walstreet.domain.observations import BorrowObserved
from walstreet_events import ROOT, BorrowBlock, derive_id, tag_of


def borrow_block(told: dict[str, BorrowObserved], *, session_date: str, ts_ns: int) -> BorrowBlock:
    """Return what was told last of every symbol, confirmed at ``ts_ns``."""
    symbols = tuple(sorted(told))
    return BorrowBlock(
        id=derive_id(f"borrow:{session_date}:{ts_ns}", tag_of(BorrowBlock), 0),
        cause=ROOT,
        ts_ns=ts_ns,
        symbols=symbols,
        levels=tuple(told[symbol].level for symbol in symbols),
        shortable_micro=tuple(told[symbol].shortable_micro for symbol in symbols),
    )


def fold_borrow(known: dict[str, Borrow], block: BorrowBlock) -> None:
    """Take a confirmation; the broker's interface tells no fee, so that stays unknown."""
    for symbol, level, shares in zip(block.symbols, block.levels, block.shortable_micro, strict=True):
        known[symbol] = Borrow(
            ts_ns=block.ts_ns, level=level, shortable_micro=shares, fee_ts_ns=block.ts_ns, fee_percent=None
        )


def sound_level(text: str) -> float | None:
    """Return tick 46's value; None for what is no finite number of at least 0."""
    try:
        level = float(text)
    except ValueError:
        return None
    return level if math.isfinite(level) and level >= 0.0 else None
